/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file, and whether it may be believed.
 *
 * Root may run under another user's environment. So what counts is the file as it was opened: who
 * owns it and who can write it, not where its name came from.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

static void cleanup_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
#define _cleanup_close_ _cleanup_(cleanup_close)

static int check_file(int fd, const char *path, uid_t caller, char *why, size_t why_n)
{
	struct stat st;
	int n = 0;

	if (fstat(fd, &st) < 0)
		n = snprintf(why, why_n, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		n = snprintf(why, why_n, "%s: not a file", path);
	else if (st.st_uid != 0 && st.st_uid != caller)
		n = snprintf(why, why_n,
			     "%s: owned by user %u, who is neither root nor the caller (user %u); "
			     "not trusted",
			     path, (unsigned int)st.st_uid, (unsigned int)caller);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		n = snprintf(
			why, why_n,
			"%s: can be written by others than its owner; not trusted (chmod go-w)",
			path);
	else if (st.st_size > CONFIG_FILE_MAX)
		n = snprintf(why, why_n, "%s: larger than %d bytes", path, CONFIG_FILE_MAX);
	return n ? -EINVAL : 0;
}

/* The whole file, up to one byte past the cap: it may have grown since it was looked at. */
static int read_file(int fd, const char *path, struct buf *ret, char *why, size_t why_n)
{
	for (;;) {
		uint8_t *p = buf_reserve(ret, 4096);
		ssize_t got = p ? read(fd, p, 4096) : -1;

		if (p && got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			(void)snprintf(why, why_n, "%s: %s", path,
				       p ? strerror(errno) : "too large");
			return -EINVAL;
		}
		if (got == 0)
			return 0;
		buf_commit(ret, (size_t)got);
	}
}

/* -ENOENT: there is no such file. */
static int load_file(struct config *c, const char *path, uid_t caller, char *why, size_t why_n)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CONFIG_FILE_MAX + 4096);
	/* O_NONBLOCK: a FIFO must be refused, not waited for. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r, err = errno;

	if (fd < 0) {
		(void)snprintf(why, why_n, "%s: %s", path, strerror(err));
		return err == ENOENT || err == ENOTDIR ? -ENOENT : -EINVAL;
	}
	r = check_file(fd, path, caller, why, why_n);
	if (r == 0)
		r = read_file(fd, path, &text, why, why_n);
	if (r == 0)
		r = config_parse(c, path, buf_str(&text), why, why_n);
	if (r < 0)
		return r;
	c->file = arena_strdup(&c->arena, path);
	if (!c->file)
		(void)snprintf(why, why_n, "%s: out of memory", path);
	return c->file ? 0 : -ENOMEM;
}

int config_load(struct config *c, const struct config_places *places, uid_t caller, char *why,
		size_t why_n)
{
	const char *maybe[] = { places->user, places->system };

	if (places->option || places->variable) {
		int r = load_file(c, places->option ? places->option : places->variable, caller,
				  why, why_n);

		return r == -ENOENT ? -EINVAL : r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(maybe); i++) {
		int r = maybe[i] ? load_file(c, maybe[i], caller, why, why_n) : -ENOENT;

		if (r != -ENOENT)
			return r;
	}
	return 0;
}
