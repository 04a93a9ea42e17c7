/* SPDX-License-Identifier: Apache-2.0 */
/* Which unix sockets of others are found. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "supervisor/sockets_outside.h"

#define HEAD	   "Num       RefCount Protocol Flags    Type St Inode Path\n"
#define LINE(path) "0000000000000000: 00000002 00000000 00010000 0001 01 12345 " path "\n"
#define UNNAMED	   "0000000000000000: 00000003 00000000 00000000 0001 03 12346\n"

static bool all_exist(const char *path)
{
	(void)path;
	return true;
}

static bool not_gone(const char *path)
{
	return strcmp(path, "/gone") != 0;
}

static void test_sockets_parsed(void **state)
{
	static const struct {
		const char *why, *text;
		const char *want[4];
	} rows[] = {
		{ "empty", "", { NULL } },
		{ "only the head", HEAD, { NULL } },
		{ "no name", HEAD UNNAMED, { NULL } },
		{ "abstract", HEAD LINE("@/tmp/.X11-unix/X0"), { NULL } },
		{ "relative to who knows what", HEAD LINE("control.sock"), { NULL } },
		{ "no such file", HEAD LINE("/gone"), { NULL } },
		{ "cut in the middle", HEAD "0000000000000000: 00000002 0000", { NULL } },
		{ "one", HEAD LINE("/run/docker.sock"), { "/run/docker.sock" } },
		{ "narrow and wide inode numbers",
		  HEAD "0: 2 0 10000 1 1     7 /a\n0: 2 0 10000 1 1 4294967295 /b\n",
		  { "/a", "/b" } },
		{ "a blank in the name", HEAD LINE("/run/my socket"), { "/run/my socket" } },
		{ "connections repeat the name",
		  HEAD LINE("/a") UNNAMED LINE("/a") LINE("/b") LINE("/a"),
		  { "/a", "/b" } },
		{ "one name begins like another", HEAD LINE("/a/b") LINE("/a"), { "/a/b", "/a" } },
		{ "without a newline at the end", HEAD "0: 2 0 10000 1 1 7 /a", { "/a" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT(64 * 1024);
		const char *const *got;
		size_t n = 0;

		assert_int_equal(sockets_outside_parse(rows[i].text, not_gone, &arena, &got), 0);
		for (; got[n]; n++)
			if (!rows[i].want[n] || strcmp(got[n], rows[i].want[n]) != 0)
				fail_msg("%s: %s", rows[i].why, got[n]);
		if (rows[i].want[n])
			fail_msg("%s: lacks %s", rows[i].why, rows[i].want[n]);
	}
}

/* One that is not hidden is a way out: too many is an error, not a cut list. */
static void test_sockets_too_many(void **state)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
	_cleanup_arena_ struct arena arena = ARENA_INIT(1 << 20);
	const char *const *got = NULL;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < SOCKETS_OUTSIDE_MAX; i++)
		assert_int_equal(buf_printf(&text, LINE("/s/%d"), i), 0);
	assert_int_equal(buf_append_u8(&text, 0), 0);
	assert_int_equal(
		sockets_outside_parse((const char *)buf_data(&text), all_exist, &arena, &got), 0);
	while (got[n])
		n++;
	assert_int_equal(n, SOCKETS_OUTSIDE_MAX);
	text.end--;
	assert_int_equal(buf_printf(&text, LINE("/s/more")), 0);
	assert_int_equal(buf_append_u8(&text, 0), 0);
	got = NULL;
	assert_int_equal(
		sockets_outside_parse((const char *)buf_data(&text), all_exist, &arena, &got),
		-E2BIG);
	assert_null(got);
}

/* A socket that we bind ourselves is found, and not any more once its file is gone. */
static void test_sockets_of_this_machine(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char dir[64];
	bool before = false, after = false;
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	(void)snprintf(dir, sizeof(dir), P_tmpdir "/nono-sockets-%d", (int)getpid());
	assert_int_equal(mkdir(dir, 0700), 0);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/my socket", dir);
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	for (int i = 0; i < 2; i++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT(4 << 20);
		const char *const *got = NULL;
		struct why why = { "" };

		if (sockets_outside(&arena, &got, &why) < 0)
			print_error("%s\n", why.text);
		for (; got && *got; got++)
			*(i ? &after : &before) |= strcmp(*got, a.sun_path) == 0;
		(void)unlink(a.sun_path);
	}
	(void)close(s);
	assert_int_equal(rmdir(dir), 0);
	assert_true(before);
	assert_false(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets_parsed),
		cmocka_unit_test(test_sockets_too_many),
		cmocka_unit_test(test_sockets_of_this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
