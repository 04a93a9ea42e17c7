/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory: what is believed of it, and what a killed supervisor left. Root and cgroup2
 * needed for the sweeps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/remains.h"
#include "supervisor/role.h"

#define ID    "0123456789abcdef"
#define DEAD  "feed00000000dead"
#define ALIVE "feed0000000a11fe"

static void test_info_parse(void **state)
{
	static const struct {
		const char *why, *text;
		bool good;
	} rows[] = {
		{ "empty", "", false },
		{ "cut after the first line", "cgroup=/c/nono-proxy/" ID "\n", false },
		{ "no newline at the end",
		  "cgroup=/c/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=7", false },
		{ "another order",
		  "pins=/b/nono-proxy/" ID "\ncgroup=/c/nono-proxy/" ID "\nuid=7\n", false },
		{ "a whole machine's cgroup",
		  "cgroup=/sys/fs/cgroup\npins=/b/nono-proxy/" ID "\nuid=7\n", false },
		{ "the parent of all", "cgroup=/c/nono-proxy\npins=/b/nono-proxy/" ID "\nuid=7\n",
		  false },
		{ "another sandbox's cgroup",
		  "cgroup=/c/nono-proxy/fedcba9876543210\npins=/b/nono-proxy/" ID "\nuid=7\n",
		  false },
		{ "another sandbox's pins",
		  "cgroup=/c/nono-proxy/" ID "\npins=/b/nono-proxy/fedcba9876543210\nuid=7\n",
		  false },
		{ "a way around",
		  "cgroup=/c/../d/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=7\n", false },
		{ "relative", "cgroup=c/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=7\n",
		  false },
		{ "no mount in front",
		  "cgroup=/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=7\n", false },
		{ "not a number",
		  "cgroup=/c/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=7x\n", false },
		{ "no number", "cgroup=/c/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=\n",
		  false },
		{ "a number too large",
		  "cgroup=/c/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=4294967296\n",
		  false },
		{ "more behind",
		  "cgroup=/c/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=7\nx\n", false },
		{ "as written", "cgroup=/c/nono-proxy/" ID "\npins=/b/nono-proxy/" ID "\nuid=7\n",
		  true },
	};
	struct state_info info;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (state_info_parse(rows[i].text, ID, &info) != rows[i].good)
			fail_msg("%s", rows[i].why);
	assert_string_equal(info.cgroup, "/c/nono-proxy/" ID);
	assert_string_equal(info.pins, "/b/nono-proxy/" ID);
	assert_int_equal(info.uid, 7);
}

static void test_info_text_comes_back(void **state)
{
	struct state_info in = { .cgroup = "/m n/nono-proxy/" ID,
				 .pins = "/b/nono-proxy/" ID,
				 .uid = 61999 };
	_cleanup_buf_ struct buf b = BUF_INIT(4096);
	struct state_info out;

	(void)state;
	assert_int_equal(state_info_text(&in, &b), 0);
	assert_int_equal(buf_append_u8(&b, 0), 0);
	assert_true(state_info_parse((const char *)buf_data(&b), ID, &out));
	assert_string_equal(out.cgroup, in.cgroup);
	assert_string_equal(out.pins, in.pins);
	assert_int_equal(out.uid, in.uid);
}

/* ---- with a directory ---- */

struct place {
	char base[64], root[96], pins[160];
	char cgroup[CGROUP_PATH_MAX];
	struct cgroup dead; /* with a process in it, if cgroups are to be had */
	pid_t pid;
	int pidfd;
};

static int setup(void **state)
{
	static struct place p;

	p = (struct place){ .dead = CGROUP_INIT, .pidfd = -EBADF };
	(void)snprintf(p.base, sizeof(p.base), P_tmpdir "/nono-remains-%d", (int)getpid());
	if (mkdir(p.base, 0700) < 0)
		return -1;
	(void)snprintf(p.root, sizeof(p.root), "%s/state", p.base);
	*state = &p;
	return 0;
}

static void remove_at(const struct place *p, const char *tail, int flags)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", p->base, tail);
	(void)unlinkat(AT_FDCWD, path, flags);
}

static int teardown(void **state)
{
	static const char *const ids[] = { DEAD, ALIVE };
	struct place *p = *state;
	char tail[64];

	if (p->dead.fd >= 0) {
		(void)!cgroup_kill(&p->dead);
		(void)!cgroup_wait_empty(&p->dead, 5000);
		cgroup_close(&p->dead);
	}
	if (p->pid > 0)
		(void)waitpid(p->pid, NULL, 0);
	fd_close(&p->pidfd);
	if (p->cgroup[0])
		(void)!cgroup_remove(p->cgroup);
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(tail, sizeof(tail), "state/%s/info", ids[i]);
		remove_at(p, tail, 0);
		(void)snprintf(tail, sizeof(tail), "state/%s/lock", ids[i]);
		remove_at(p, tail, 0);
		(void)snprintf(tail, sizeof(tail), "state/%s", ids[i]);
		remove_at(p, tail, AT_REMOVEDIR);
	}
	remove_at(p, "nono-proxy/" DEAD "/link_x", 0);
	remove_at(p, "nono-proxy/" DEAD, AT_REMOVEDIR);
	remove_at(p, "nono-proxy", AT_REMOVEDIR);
	remove_at(p, "state", AT_REMOVEDIR);
	return rmdir(p->base);
}

/* An entry as a supervisor writes it; returns its lock, open but not held. */
static int write_entry(struct place *p, const char *id, const struct state_info *info)
{
	_cleanup_buf_ struct buf b = BUF_INIT(8192);
	char path[256];
	int lock;

	(void)mkdir(p->root, 0700);
	(void)snprintf(path, sizeof(path), "%s/%s", p->root, id);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/%s/lock", p->root, id);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(lock >= 0);
	if (info) {
		assert_int_equal(state_info_text(info, &b), 0);
		assert_int_equal(buf_append_u8(&b, 0), 0);
		(void)snprintf(path, sizeof(path), "%s/%s/info", p->root, id);
		assert_int_equal(file_create(AT_FDCWD, path, (const char *)buf_data(&b)), 0);
	}
	return lock;
}

static bool exists(const struct place *p, const char *id)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", p->root, id);
	return access(path, F_OK) == 0;
}

/* A cgroup with a process, a directory with a pin, and the note of both. */
static void make_remains(struct place *p)
{
	char mount[MOUNT_PATH_MAX], pin[256];
	struct state_info info = { .uid = 61200 };
	struct why why;
	int lock;

	if (geteuid() != 0 || cgroup_find_mount(mount, &why) < 0) {
		print_message("SKIP: needs root and cgroup2\n");
		skip();
	}
	assert_true(cgroup_path(mount, DEAD, p->cgroup));
	(void)!cgroup_remove(p->cgroup);
	assert_int_equal(cgroup_make(p->cgroup, &p->dead, &why), 0);
	p->pid = role_clone(0, p->dead.fd, &p->pidfd);
	if (p->pid == 0) {
		(void)pause();
		_exit(0);
	}
	assert_true(p->pid > 0);
	(void)snprintf(pin, sizeof(pin), "%s/nono-proxy", p->base);
	assert_int_equal(mkdir(pin, 0700), 0);
	(void)snprintf(p->pins, sizeof(p->pins), "%s/nono-proxy/" DEAD, p->base);
	assert_int_equal(mkdir(p->pins, 0700), 0);
	(void)snprintf(pin, sizeof(pin), "%s/link_x", p->pins);
	assert_int_equal(file_create(AT_FDCWD, pin, "x"), 0);
	(void)snprintf(info.cgroup, sizeof(info.cgroup), "%s", p->cgroup);
	(void)snprintf(info.pins, sizeof(info.pins), "%s", p->pins);
	lock = write_entry(p, DEAD, &info);
	(void)close(lock);
}

static void test_dead_supervisor_is_swept(void **state)
{
	struct place *p = *state;
	struct state s = STATE_INIT;
	struct why why = { "" };

	make_remains(p);
	assert_int_equal(state_begin(p->root, &s, &why), 0);
	assert_false(exists(p, DEAD));
	assert_int_equal(access(p->cgroup, F_OK), -1);
	assert_int_equal(access(p->pins, F_OK), -1);
	assert_int_equal(fd_wait(p->pidfd, POLLIN, 0), 1); /* killed */
	assert_true(exists(p, s.id));
	state_settle(&s);
	state_remove(&s);
	assert_false(exists(p, "")); /* the last one takes the directory along */
}

static void test_living_supervisor_is_left_alone(void **state)
{
	struct place *p = *state;
	struct state_info info = { .cgroup = "/c/nono-proxy/" ALIVE,
				   .pins = "/b/nono-proxy/" ALIVE,
				   .uid = 61300 };
	_cleanup_close_ int lock = write_entry(p, ALIVE, &info);
	struct state s = STATE_INIT;
	struct why why;

	assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(state_begin(p->root, &s, &why), 0);
	assert_true(exists(p, ALIVE));
	state_settle(&s);
	state_remove(&s);
	assert_true(exists(p, ALIVE));
}

/* Killed between its first two steps: nothing had been made, and nothing is done. */
static void test_entry_without_a_note_is_swept(void **state)
{
	struct place *p = *state;
	struct state s = STATE_INIT;
	struct why why;

	(void)close(write_entry(p, DEAD, NULL));
	assert_int_equal(state_begin(p->root, &s, &why), 0);
	assert_false(exists(p, DEAD));
	state_remove(&s);
}

/* A number that another entry has noted is taken, whatever the accounts say. */
static void test_uid_of_another_sandbox_is_not_chosen(void **state)
{
	struct place *p = *state;
	struct state_info info = { .cgroup = "/c/nono-proxy/" ALIVE,
				   .pins = "/b/nono-proxy/" ALIVE };
	_cleanup_close_ int lock = -EBADF;
	struct state s = STATE_INIT;
	struct why why;
	uint32_t first, second;

	assert_int_equal(state_begin(p->root, &s, &why), 0);
	assert_int_equal(state_choose_uid(&s, &first, &why), 0);
	assert_in_range(first, 61184, 65519);
	info.uid = first;
	lock = write_entry(p, ALIVE, &info);
	assert_true(state_uid_is_used(&s, first));
	assert_int_equal(state_choose_uid(&s, &second, &why), 0);
	assert_true(second != first);
	assert_false(state_uid_is_used(&s, second));
	state_remove(&s);
}

static void test_directory_of_somebody_else_is_refused(void **state)
{
	struct place *p = *state;
	struct state s = STATE_INIT;
	struct why why = { "" };

	assert_int_equal(mkdir(p->root, 0700), 0);
	assert_int_equal(chmod(p->root, 0777), 0);
	assert_int_equal(state_begin(p->root, &s, &why), -EPERM);
	assert_non_null(strstr(why.text, p->root));
	assert_int_equal(s.root, -EBADF);
}

static void test_link_instead_of_the_directory_is_refused(void **state)
{
	struct place *p = *state;
	struct state s = STATE_INIT;
	struct why why = { "" };

	assert_int_equal(symlink(p->base, p->root), 0);
	assert_true(state_begin(p->root, &s, &why) < 0);
	assert_int_equal(unlink(p->root), 0);
	assert_true(why.text[0] != '\0');
}

int main(void)
{
#define WITH_PLACE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_info_parse),
		cmocka_unit_test(test_info_text_comes_back),
		WITH_PLACE(test_dead_supervisor_is_swept),
		WITH_PLACE(test_living_supervisor_is_left_alone),
		WITH_PLACE(test_entry_without_a_note_is_swept),
		WITH_PLACE(test_uid_of_another_sandbox_is_not_chosen),
		WITH_PLACE(test_directory_of_somebody_else_is_refused),
		WITH_PLACE(test_link_instead_of_the_directory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
