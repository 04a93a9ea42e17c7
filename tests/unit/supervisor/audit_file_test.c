/* SPDX-License-Identifier: Apache-2.0 */
/* Where the audit log may be. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/audit_file.h"
#include "supervisor/files.h"

struct place {
	char base[64], path[128];
};

static int setup(void **state)
{
	static struct place p;

	(void)snprintf(p.base, sizeof(p.base), P_tmpdir "/nono-audit-%d", (int)getpid());
	*state = &p;
	return mkdir(p.base, 0700);
}

static int teardown(void **state)
{
	struct place *p = *state;

	(void)unlink(p->path);
	(void)snprintf(p->path, sizeof(p->path), "%s/new", p->base);
	(void)rmdir(p->path);
	return rmdir(p->base);
}

static int open_in(struct place *p, const char *name, struct why *why)
{
	(void)snprintf(p->path, sizeof(p->path), "%s/%s", p->base, name);
	return audit_file_open(p->path, why);
}

static void test_audit_appends(void **state)
{
	struct place *p = *state;
	struct why why;
	struct stat st;

	for (int i = 0; i < 2; i++) {
		_cleanup_close_ int fd = open_in(p, "log", &why);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, "line\n", 5), 5);
		assert_int_equal(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 5 * (i + 1));
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

static void test_audit_makes_its_directory(void **state)
{
	struct place *p = *state;
	struct why why;
	_cleanup_close_ int fd = open_in(p, "new/log", &why);
	char dir[128];
	struct stat st;

	assert_true(fd >= 0);
	(void)snprintf(dir, sizeof(dir), "%s/new", p->base);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07027, 0);
}

static void check_refused(struct place *p, const char *name, const char *word)
{
	struct why why = { "" };
	int fd = open_in(p, name, &why);

	if (fd >= 0)
		fail_msg("%s was opened", name);
	if (!strstr(why.text, p->path) || !strstr(why.text, "--audit-log") ||
	    !strstr(why.text, word))
		fail_msg("%s: %s", name, why.text);
}

static void test_audit_no_two_directories(void **state)
{
	check_refused(*state, "new/newer/log", "No such file");
}

static void test_audit_no_link(void **state)
{
	struct place *p = *state;

	(void)snprintf(p->path, sizeof(p->path), "%s/log", p->base);
	assert_int_equal(symlink("/dev/null", p->path), 0);
	check_refused(p, "log", "symbolic link");
}

/* Neither waits for a reader nor writes to one. */
static void test_audit_no_fifo(void **state)
{
	struct place *p = *state;
	_cleanup_close_ int reader = -EBADF;

	(void)snprintf(p->path, sizeof(p->path), "%s/log", p->base);
	assert_int_equal(mkfifo(p->path, 0600), 0);
	check_refused(p, "log", "No such device");
	reader = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	check_refused(p, "log", "not a file");
}

static void test_audit_no_directory(void **state)
{
	check_refused(*state, ".", "directory");
}

static void test_audit_dev_null(void **state)
{
	struct why why;
	_cleanup_close_ int fd = audit_file_open("/dev/null", &why);

	(void)state;
	assert_true(fd >= 0);
}

int main(void)
{
#define WITH_PLACE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_PLACE(test_audit_appends),
		WITH_PLACE(test_audit_makes_its_directory),
		WITH_PLACE(test_audit_no_two_directories),
		WITH_PLACE(test_audit_no_link),
		WITH_PLACE(test_audit_no_fifo),
		WITH_PLACE(test_audit_no_directory),
		cmocka_unit_test(test_audit_dev_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
