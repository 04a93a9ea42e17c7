/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main() of a fuzz target outside the fuzzer: runs every file named in the arguments, and every
 * file in the directories named there, through the target once. Speaks TAP; a property that does
 * not hold ends the program.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 16 << 20 };

static unsigned int count;

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t n;

	if (!f || fstat(fileno(f), &st) < 0 || st.st_size > FILE_BYTES_MAX) {
		fprintf(stderr, "%s: cannot be read\n", path);
		if (f)
			fclose(f);
		return -EIO;
	}
	data = malloc((size_t)st.st_size + 1);
	assert(data);
	n = fread(data, 1, (size_t)st.st_size, f);
	fclose(f);
	if (n != (size_t)st.st_size) {
		free(data);
		fprintf(stderr, "%s: short read\n", path);
		return -EIO;
	}
	(void)LLVMFuzzerTestOneInput(data, n);
	free(data);
	count++;
	printf("ok %u - %s %s\n", count, program_invocation_short_name, path);
	fflush(stdout); /* so that the file that ends it is the one not named */
	return 0;
}

static int not_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int replay_directory(const char *path)
{
	struct dirent **found;
	int n = scandir(path, &found, not_hidden, alphasort), r = 0;

	if (n < 0) {
		perror(path);
		return -errno;
	}
	for (int i = 0; i < n; i++) {
		char file[4096];
		int len = snprintf(file, sizeof(file), "%s/%s", path, found[i]->d_name);

		if (r == 0)
			r = len < (int)sizeof(file) ? replay_file(file) : -ENAMETOOLONG;
		free(found[i]);
	}
	free(found);
	return r;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat st;
		int r;

		if (stat(argv[i], &st) < 0) {
			perror(argv[i]);
			return EXIT_FAILURE;
		}
		r = S_ISDIR(st.st_mode) ? replay_directory(argv[i]) : replay_file(argv[i]);
		if (r < 0)
			return EXIT_FAILURE;
	}
	printf("1..%u\n", count);
	if (count == 0) {
		fprintf(stderr, "usage: %s FILE|DIRECTORY…: nothing was replayed\n", argv[0]);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
