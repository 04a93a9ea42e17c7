/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a role. The binary that is executed is this test itself: as "@…" it plays a role that
 * behaves in one particular way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/inside.h"
#include "supervisor/role.h"

extern char **environ;

/* ---- the roles ---- */

static int send_text(enum message_type type, const char *text)
{
	return channel_send(ROLE_CHANNEL, type, str_of(text), NULL, 0) < 0;
}

/* What a role finds: its descriptors, environment, session, signals, as one text. */
static int describe_self(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4096);
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	struct stat in, null;
	sigset_t mask;
	struct sigaction pipe;
	long fds = 0;

	while (dir && (e = readdir(dir))) {
		long fd = strtol(e->d_name, NULL, 10);

		if (e->d_name[0] != '.' && fd != dirfd(dir))
			fds |= 1L << fd;
	}
	if (dir)
		(void)closedir(dir);
	(void)fstat(0, &in);
	(void)stat("/dev/null", &null);
	(void)sigprocmask(SIG_BLOCK, NULL, &mask);
	(void)sigaction(SIGPIPE, NULL, &pipe);
	if (buf_printf(&b, "fds=%lx null=%d session=%d term=%d pipe=%d env=", (unsigned long)fds,
		       in.st_rdev == null.st_rdev, getsid(0) == getpid(),
		       sigismember(&mask, SIGTERM), pipe.sa_handler == SIG_IGN) < 0)
		return 1;
	for (char **p = environ; *p; p++)
		if (buf_printf(&b, "%s;", *p) < 0)
			return 1;
	return channel_send(ROLE_CHANNEL, MSG_FAILED, buf_str(&b), NULL, 0) < 0;
}

static int play(const char *name)
{
	if (!strcmp(name, "@ready"))
		return send_text(MSG_READY, "");
	if (!strcmp(name, "@late")) /* something else first */
		return send_text(MSG_STATUS, "xxxxxxxx") || send_text(MSG_READY, "");
	if (!strcmp(name, "@failed"))
		return send_text(MSG_FAILED, "the moon is full");
	if (!strcmp(name, "@quits"))
		return 7;
	if (!strcmp(name, "@silent"))
		return pause();
	if (!strcmp(name, "@self"))
		return describe_self();
	return 1;
}

/* ---- the tests ---- */

static const char *const callers_env[] = { "PATH=/x",	      "ASAN_OPTIONS=detect_leaks=0",
					   "SECRET=1",	      "ASAN_OPTIONS=second",
					   "XASAN_OPTIONS=x", NULL };

static void start(const char *name, bool detached, const struct signals *s, struct role *r)
{
	const struct role_options o = { .name = name,
					.cgroup = -EBADF,
					.netns = -EBADF,
					.detached = detached,
					.signals = s,
					.envp = callers_env };
	struct why why = { "" };

	if (role_start(&o, r, &why) < 0)
		fail_msg("%s", why.text);
}

static void test_role_ready_or_not(void **state)
{
	static const struct {
		const char *name;
		int limit_ms, result;
		const char *word;
	} rows[] = {
		{ "@silent", 50, -ETIMEDOUT, "not ready" },
		{ "@quits", 10000, -EPIPE, "ended" },
		{ "@failed", 10000, -EPROTO, "the moon is full" },
		{ "@ready", 10000, 0, "" },
		{ "@late", 10000, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct signals s = SIGNALS_INIT;
		struct role r = ROLE_INIT;
		struct why why = { "" };
		int sig = 0, result;

		assert_int_equal(signals_take(&s), 0);
		start(rows[i].name, true, &s, &r);
		result = role_await_ready(&r, &s, rows[i].limit_ms, &sig, &why);
		role_kill(&r);
		signals_give_back(&s);
		if (result != rows[i].result || !strstr(why.text, rows[i].word))
			fail_msg("%s: %d %s", rows[i].name, result, why.text);
		assert_int_equal(r.pidfd, -EBADF);
		assert_int_equal(r.channel, -EBADF);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
	}
}

static void test_role_waiting_ends_by_signal(void **state)
{
	struct signals s = SIGNALS_INIT;
	struct role r = ROLE_INIT;
	struct why why = { "" };
	int sig = 0, result;

	(void)state;
	assert_int_equal(signals_take(&s), 0);
	start("@silent", true, &s, &r);
	assert_int_equal(raise(SIGWINCH), 0); /* asks for nothing */
	assert_int_equal(raise(SIGTERM), 0);
	result = role_await_ready(&r, &s, 10000, &sig, &why);
	role_kill(&r);
	signals_give_back(&s);
	assert_int_equal(result, -EINTR);
	assert_int_equal(sig, SIGTERM);
}

/* Nothing of ours or of the caller's leaks into a role. */
static void test_role_finds_nothing_but_its_channel(void **state)
{
	struct signals s = SIGNALS_INIT;
	struct role r = ROLE_INIT;
	struct why why = { "" };
	int sig = 0, leak = fcntl(1, F_DUPFD, 9); /* inheritable */

	(void)state;
	assert_int_equal(signals_take(&s), 0);
	start("@self", true, &s, &r);
	(void)!role_await_ready(&r, &s, 10000, &sig, &why);
	role_kill(&r);
	signals_give_back(&s);
	(void)close(leak);
	assert_string_equal(
		why.text, "fds=f null=1 session=1 term=0 pipe=0 env=ASAN_OPTIONS=detect_leaks=0;");
}

static void test_role_end_is_collected_once(void **state)
{
	struct signals s = SIGNALS_INIT;
	struct role r = ROLE_INIT;
	siginfo_t i;

	(void)state;
	assert_int_equal(signals_take(&s), 0);
	start("@quits", true, &s, &r);
	assert_int_equal(fd_wait(r.pidfd, POLLIN, 10000), 1);
	assert_true(role_ended(&r, &i));
	assert_int_equal(i.si_code, CLD_EXITED);
	assert_int_equal(i.si_status, 7);
	assert_false(role_ended(&r, &i));
	role_signal(&r, SIGKILL); /* to nobody */
	role_kill(&r);
	signals_give_back(&s);
}

static void test_hosts(void **state)
{
	static const struct {
		const char *name;
		bool v6;
		const char *text;
	} rows[] = {
		{ "", false, "127.0.0.1 localhost\n" },
		{ "localhost", false, "127.0.0.1 localhost\n" },
		{ "a b", false, "127.0.0.1 localhost\n" },
		{ "x\n6.6.6.6 bank", false, "127.0.0.1 localhost\n" },
		{ "vm-1.lan", false, "127.0.0.1 localhost\n127.0.1.1 vm-1.lan\n" },
		{ "vm", true,
		  "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 vm\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT(4096);

		assert_string_equal(inside_hosts(rows[i].name, rows[i].v6, &arena), rows[i].text);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_role_ready_or_not),
		cmocka_unit_test(test_role_waiting_ends_by_signal),
		cmocka_unit_test(test_role_finds_nothing_but_its_channel),
		cmocka_unit_test(test_role_end_is_collected_once),
		cmocka_unit_test(test_hosts),
	};

	if (argc == 2 && argv[1][0] == '@')
		return play(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
