/* SPDX-License-Identifier: Apache-2.0 */
/* A cgroup of our own: made, emptied, removed. Root and cgroup2 needed for all but the texts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/cgroup.h"
#include "supervisor/files.h"
#include "supervisor/role.h"

#define ID "feed000000000001" /* no run of the program chooses it while we test: 64 random bits */

static void test_cgroup_text_is_ours(void **state)
{
	static const struct {
		const char *why, *text;
		bool ours;
	} rows[] = {
		{ "the root", "0::/\n", false },
		{ "our parent only", "0::/nono-proxy\n", false },
		{ "a short number", "0::/nono-proxy/0123456789abcde\n", false },
		{ "a long number", "0::/nono-proxy/0123456789abcdef0\n", false },
		{ "not a number", "0::/nono-proxy/0123456789abcdeg\n", false },
		{ "upper case is not ours", "0::/nono-proxy/0123456789ABCDEF\n", false },
		{ "another parent", "0::/x-nono-proxy/0123456789abcdef\n", false },
		{ "a sandbox", "0::/nono-proxy/0123456789abcdef\n", true },
		{ "without a newline", "0::/nono-proxy/0123456789abcdef", true },
		{ "below a sandbox", "0::/nono-proxy/0123456789abcdef/sub/sub\n", true },
		{ "in a container's tree", "0::/docker/77/nono-proxy/0123456789abcdef\n", true },
		{ "beside version 1 lines", "5:cpu:/\n0::/nono-proxy/0123456789abcdef\n", true },
		{ "after a wrong one", "1:x:/nono-proxy/y\n0::/nono-proxy/0123456789abcdef\n",
		  true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (cgroup_text_is_ours(rows[i].text) != rows[i].ours)
			fail_msg("%s", rows[i].why);
}

static void test_cgroup_path_too_long(void **state)
{
	char mount[CGROUP_PATH_MAX + 1], path[CGROUP_PATH_MAX];

	(void)state;
	assert_true(cgroup_path("/m", ID, path));
	assert_string_equal(path, "/m/nono-proxy/" ID);
	memset(mount, 'x', sizeof(mount));
	mount[CGROUP_PATH_MAX] = '\0';
	assert_false(cgroup_path(mount, ID, path));
}

/* The path of the test's cgroup; skips where there can be none. */
static void find_place(char path[CGROUP_PATH_MAX])
{
	char mount[MOUNT_PATH_MAX];
	struct why why;

	if (geteuid() != 0) {
		print_message("SKIP: needs root\n");
		skip();
	}
	if (cgroup_find_mount(mount, &why) < 0) {
		print_message("SKIP: %s\n", why.text);
		skip();
	}
	assert_true(cgroup_path(mount, ID, path));
}

/* A process that only waits, straight in the cgroup. */
static pid_t sleeper(int cgroup, int *pidfd)
{
	pid_t pid = role_clone(0, cgroup, pidfd);

	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	return pid;
}

static void test_cgroup_emptied_and_removed(void **state)
{
	char path[CGROUP_PATH_MAX], child[CGROUP_PATH_MAX + 16];
	_cleanup_close_ int pidfd = -EBADF;
	struct cgroup c = CGROUP_INIT;
	struct why why;
	int status, early, killed, empty;
	pid_t pid;

	(void)state;
	find_place(path);
	(void)!cgroup_remove(path); /* of a test that was killed */
	assert_int_equal(cgroup_make(path, &c, &why), 0);
	(void)snprintf(child, sizeof(child), "%s/sub", path);
	assert_int_equal(mkdir(child, 0755), 0);
	pid = sleeper(c.fd, &pidfd);
	early = cgroup_wait_empty(&c, 20);
	killed = cgroup_kill(&c);
	empty = cgroup_wait_empty(&c, 5000);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(early, -ETIMEDOUT);
	assert_int_equal(killed, 0);
	assert_int_equal(empty, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	cgroup_close(&c);
	assert_int_equal(cgroup_remove(path), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(cgroup_remove(path), 0); /* nothing there: fine */
}

static void test_cgroup_make_twice_keeps_the_first(void **state)
{
	char path[CGROUP_PATH_MAX];
	struct cgroup c = CGROUP_INIT, second = CGROUP_INIT;
	struct why why = { "" };
	int r;

	(void)state;
	find_place(path);
	(void)!cgroup_remove(path);
	assert_int_equal(cgroup_make(path, &c, &why), 0);
	r = cgroup_make(path, &second, &why);
	cgroup_close(&c);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(cgroup_remove(path), 0);
	assert_int_equal(r, -EEXIST);
	assert_int_equal(second.fd, -EBADF);
	assert_non_null(strstr(why.text, path));
}

/* By the descriptor: a new one of the same path is another one. */
static void test_cgroup_made_below_a_descriptor(void **state)
{
	char path[CGROUP_PATH_MAX], child[CGROUP_PATH_MAX + 16];
	struct cgroup c = CGROUP_INIT, below = CGROUP_INIT;
	struct why why;
	int r, gone;

	(void)state;
	find_place(path);
	(void)!cgroup_remove(path);
	assert_int_equal(cgroup_make(path, &c, &why), 0);
	r = cgroup_make_at(c.fd, path, "sub", &below, &why);
	(void)snprintf(child, sizeof(child), "%s/sub", path);
	assert_int_equal(r, 0);
	assert_string_equal(below.path, child);
	cgroup_close(&below);
	assert_int_equal(rmdir(child), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	gone = cgroup_make_at(c.fd, path, "sub", &below, &why);
	cgroup_close(&c);
	assert_int_equal(access(child, F_OK), -1);
	assert_int_equal(cgroup_remove(path), 0);
	assert_int_equal(gone, -ENOENT);
	assert_int_equal(below.fd, -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup_text_is_ours),
		cmocka_unit_test(test_cgroup_path_too_long),
		cmocka_unit_test(test_cgroup_emptied_and_removed),
		cmocka_unit_test(test_cgroup_make_twice_keeps_the_first),
		cmocka_unit_test(test_cgroup_made_below_a_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
