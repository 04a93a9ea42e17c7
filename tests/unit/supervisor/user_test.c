/* SPDX-License-Identifier: Apache-2.0 */
/* Who COMMAND runs as, and with which environment. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include <string.h>
#include <unistd.h>

#include "supervisor/environment.h"
#include "supervisor/user.h"

#define ENV_MAX 8

/* No settings of ours. */
static const char *const nothing[] = { NULL };

static const char *const no_env[] = { NULL };

static void test_user_wanted(void **state)
{
	static const struct {
		const char *why, *wanted;
		bool good;
		uint32_t uid, gid;
	} rows[] = {
		{ "nothing", "", false, 0, 0 },
		{ "an unknown name", "no-such-user-here", false, 0, 0 },
		{ "a negative number", "-1", false, 0, 0 },
		{ "the number that means: leave it", "4294967295", false, 0, 0 },
		{ "a number that would wrap to 0", "4294967296", false, 0, 0 },
		{ "hexadecimal", "0x10", false, 0, 0 },
		{ "no group behind the colon", "1000:", false, 0, 0 },
		{ "a bad group", "1000:x", false, 0, 0 },
		{ "a group that means: leave it", "1000:4294967295", false, 0, 0 },
		{ "two colons", "1:2:3", false, 0, 0 },
		{ "a blank", "1 ", false, 0, 0 },
		{ "number and group", "61000:61001", true, 61000, 61001 },
		{ "a number without an account is its own group", "61000", true, 61000, 61000 },
		{ "root by name", "root", true, 0, 0 },
		{ "root by number", "0", true, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct user u = USER_INIT;
		struct why why = { "" };
		int r = user_choose(rows[i].wanted, no_env, &u, &why);

		if ((r == 0) != rows[i].good || (r < 0) != (why.text[0] != '\0'))
			fail_msg("%s: %d %s", rows[i].why, r, why.text);
		if (r == 0 && (u.uid != rows[i].uid || u.gid != rows[i].gid))
			fail_msg("%s: %u:%u", rows[i].why, u.uid, u.gid);
		user_done(&u);
	}
}

static void test_user_of_sudo(void **state)
{
	static const struct {
		const char *why, *env[3];
		bool taken;
		int result; /* for root; nobody else is asked */
	} rows[] = {
		{ "only the user", { "SUDO_UID=61000" }, false, -EINVAL },
		{ "only the group", { "SUDO_GID=61001" }, false, -EINVAL },
		{ "not a number", { "SUDO_UID=x", "SUDO_GID=61001" }, false, -EINVAL },
		{ "empty", { "SUDO_UID=", "SUDO_GID=" }, false, -EINVAL },
		{ "a negative number", { "SUDO_UID=-2", "SUDO_GID=61001" }, false, -EINVAL },
		{ "names that only begin so", { "SUDO_UIDS=61000", "SUDO_GIDS=61001" }, false, 0 },
		{ "both", { "SUDO_UID=61000", "SUDO_GID=61001" }, true, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool taken = rows[i].taken && getuid() == 0; /* from nobody else */
		struct user u = USER_INIT;
		struct why why;

		assert_int_equal(user_choose(NULL, rows[i].env, &u, &why),
				 getuid() ? 0 : rows[i].result);
		if (!getuid() && rows[i].result)
			continue;
		if (u.uid != (taken ? 61000 : getuid()) || u.gid != (taken ? 61001 : getgid()) ||
		    u.changed != taken)
			fail_msg("%s: %u:%u", rows[i].why, u.uid, u.gid);
		user_done(&u);
	}
}

static void test_user_wanted_goes_before_sudo(void **state)
{
	static const char *const env[] = { "SUDO_UID=61000", "SUDO_GID=61001", NULL };
	struct user u = USER_INIT;
	struct why why;

	(void)state;
	assert_int_equal(user_choose("61002:61003", env, &u, &why), 0);
	assert_int_equal(u.uid, 61002);
	assert_int_equal(u.gid, 61003);
	user_done(&u);
}

static void check_environment(const char *why, const struct user *u, const char *const *in,
			      const char *const *want)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT(64 * 1024);
	const char *const *out = environment_for_command(in, u, nothing, &arena);
	size_t n = 0;

	assert_non_null(out);
	for (; out[n]; n++)
		if (!want[n] || strcmp(out[n], want[n]) != 0)
			fail_msg("%s: has %s, not %s", why, out[n], want[n] ? want[n] : "the end");
	if (want[n])
		fail_msg("%s: lacks %s", why, want[n]);
}

static void test_environment_filtered(void **state)
{
	static char name[] = "ada", home[] = "/home/ada", shell[] = "/bin/zsh", no_shell[] = "";
	static const struct user same = { .uid = 5 };
	static const struct user account = {
		.uid = 7, .changed = true, .name = name, .home = home, .shell = shell
	};
	static const struct user shellless = {
		.uid = 7, .changed = true, .name = name, .home = home, .shell = no_shell
	};
	static const struct user stranger = { .uid = 9, .changed = true };
	static const struct {
		const char *why;
		const struct user *user;
		const char *in[ENV_MAX], *out[ENV_MAX];
	} rows[] = {
		{ "nothing", &same, { NULL }, { "XDG_RUNTIME_DIR=/run/user/5" } },
		{ "proxies, either case",
		  &same,
		  { "HTTP_PROXY=a", "https_proxy=b", "NO_PROXY=c", "all_proxy=d",
		    "NODE_USE_ENV_PROXY=1", "A=1" },
		  { "A=1", "XDG_RUNTIME_DIR=/run/user/5" } },
		{ "sockets of others",
		  &same,
		  { "DBUS_SESSION_BUS_ADDRESS=x", "SSH_AUTH_SOCK=y", "DOCKER_HOST=z", "TMUX=t",
		    "XDG_RUNTIME_DIR=/r" },
		  { "XDG_RUNTIME_DIR=/run/user/5" } },
		{ "who called sudo",
		  &same,
		  { "SUDO_UID=1", "SUDO_COMMAND=x", "SUDOKU=9" },
		  { "SUDOKU=9", "XDG_RUNTIME_DIR=/run/user/5" } },
		{ "names that only look alike",
		  &same,
		  { "HTTP_PROXY_X=a", "XHTTP_PROXY=b", "TMUXINATOR=c", "Http_Proxy=d" },
		  { "HTTP_PROXY_X=a", "XHTTP_PROXY=b", "TMUXINATOR=c", "Http_Proxy=d",
		    "XDG_RUNTIME_DIR=/run/user/5" } },
		{ "an entry without a value",
		  &same,
		  { "HOME", "A=" },
		  { "A=", "XDG_RUNTIME_DIR=/run/user/5" } },
		{ "twice the same name: both go",
		  &same,
		  { "no_proxy=1", "no_proxy=2" },
		  { "XDG_RUNTIME_DIR=/run/user/5" } },
		{ "the caller keeps what is its own",
		  &same,
		  { "HOME=/h", "USER=u" },
		  { "HOME=/h", "USER=u", "XDG_RUNTIME_DIR=/run/user/5" } },
		{ "another user has its own",
		  &account,
		  { "HOME=/root", "USER=root", "MAIL=m", "LOGNAME=root", "SHELL=s", "A=1" },
		  { "A=1", "XDG_RUNTIME_DIR=/run/user/7", "HOME=/home/ada", "USER=ada",
		    "LOGNAME=ada", "SHELL=/bin/zsh" } },
		{ "an account without a shell",
		  &shellless,
		  { NULL },
		  { "XDG_RUNTIME_DIR=/run/user/7", "HOME=/home/ada", "USER=ada", "LOGNAME=ada",
		    "SHELL=/bin/sh" } },
		{ "without an account",
		  &stranger,
		  { "HOME=/root", "USER=root" },
		  { "XDG_RUNTIME_DIR=/run/user/9", "HOME=/" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_environment(rows[i].why, rows[i].user, rows[i].in, rows[i].out);
}

static void test_environment_too_large(void **state)
{
	static const char *const in[] = { "A=1", "B=2", NULL };
	static const struct user u = { .uid = 5 };
	_cleanup_arena_ struct arena arena = ARENA_INIT(16);

	(void)state;
	assert_null(environment_for_command(in, &u, nothing, &arena));
}

static void test_environment_get(void **state)
{
	static const char *const in[] = { "AB=1", "A=2", "A=3", "C", NULL };

	(void)state;
	assert_string_equal(environment_get(in, "A"), "2");
	assert_null(environment_get(in, "B"));
	assert_null(environment_get(in, "C"));
	assert_null(environment_get(no_env, "A"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user_wanted),
		cmocka_unit_test(test_user_of_sudo),
		cmocka_unit_test(test_user_wanted_goes_before_sudo),
		cmocka_unit_test(test_environment_filtered),
		cmocka_unit_test(test_environment_too_large),
		cmocka_unit_test(test_environment_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
