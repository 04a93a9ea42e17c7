/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/alloc_fail.h"

#include "base/arena.c"
#include "base/buf.c"
#include "policy/proxy_env.c"

#define TOKEN "0123456789abcdef00112233445566778899aabbccddeeff0f1e2d3c4b5a6978"

static struct endpoint v4, v6;

static int make(void **state)
{
	(void)state;
	alloc_fail_at(-1);
	v4 = (struct endpoint){ addr_v4(0x7f000001), 38211 };
	v6 = (struct endpoint){ .port = 65535 };
	assert_true(addr_parse(STR_LIT("::1"), &v6.addr));
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	return alloc_live == 0 ? 0 : -1;
}

static void expect(const struct proxy_env *e, const char *const *wanted)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT(4096);
	const char *const *got = proxy_env(e, &arena);
	size_t i;

	assert_non_null(got);
	for (i = 0; wanted[i]; i++) {
		assert_non_null(got[i]);
		assert_string_equal(got[i], wanted[i]);
	}
	assert_null(got[i]);
}

static const char *const all[] = { "NONO_PROXY_URL=http://127.0.0.1:38211",
				   "NONO_PROXY_TOKEN=" TOKEN,
				   "HTTP_PROXY=http://nono:" TOKEN "@127.0.0.1:38211",
				   "HTTPS_PROXY=http://nono:" TOKEN "@127.0.0.1:38211",
				   "http_proxy=http://nono:" TOKEN "@127.0.0.1:38211",
				   "https_proxy=http://nono:" TOKEN "@127.0.0.1:38211",
				   "NO_PROXY=localhost,127.0.0.1,::1",
				   "no_proxy=localhost,127.0.0.1,::1",
				   "NODE_USE_ENV_PROXY=1",
				   NULL };

static void test_arena_of_any_size_all_or_nothing(void **state)
{
	const struct proxy_env e = { &v4, TOKEN, true };
	bool fitted = false;

	(void)state;
	for (size_t max = 0; max < 2048; max++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT(max);
		const char *const *got = proxy_env(&e, &arena);
		size_t n = 0;

		assert_true(arena.used <= max);
		assert_true(got || !fitted);
		if (!got)
			continue;
		fitted = true;
		for (; got[n]; n++)
			assert_string_equal(got[n], all[n]);
		assert_int_equal(n, ARRAY_SIZE(all) - 1);
	}
	assert_true(fitted);
}

static void test_memory_fails_no_list(void **state)
{
	const struct proxy_env e = { &v4, TOKEN, true };
	long k;

	(void)state;
	for (k = 0;; k++) {
		_cleanup_arena_ struct arena arena = ARENA_INIT(4096);
		const char *const *got;

		alloc_fail_at(k);
		got = proxy_env(&e, &arena);
		assert_int_equal(got == NULL, alloc_failed());
		alloc_fail_at(-1);
		if (got)
			break;
	}
	assert_true(k >= 2);
}

static void test_everything_in_order(void **state)
{
	(void)state;
	expect(&(struct proxy_env){ &v4, TOKEN, true }, all);
}

static void test_v6_in_brackets(void **state)
{
	static const char *const wanted[] = { "NONO_PROXY_URL=http://[::1]:65535",
					      "NONO_PROXY_TOKEN=" TOKEN,
					      "HTTP_PROXY=http://nono:" TOKEN "@[::1]:65535",
					      "HTTPS_PROXY=http://nono:" TOKEN "@[::1]:65535",
					      "http_proxy=http://nono:" TOKEN "@[::1]:65535",
					      "https_proxy=http://nono:" TOKEN "@[::1]:65535",
					      "NO_PROXY=localhost,127.0.0.1,::1",
					      "no_proxy=localhost,127.0.0.1,::1",
					      "NODE_USE_ENV_PROXY=1",
					      NULL };

	(void)state;
	expect(&(struct proxy_env){ &v6, TOKEN, true }, wanted);
}

static void test_without_token_no_user_part(void **state)
{
	static const char *const wanted[] = { "NONO_PROXY_URL=http://127.0.0.1:38211",
					      "HTTP_PROXY=http://127.0.0.1:38211",
					      "HTTPS_PROXY=http://127.0.0.1:38211",
					      "http_proxy=http://127.0.0.1:38211",
					      "https_proxy=http://127.0.0.1:38211",
					      "NO_PROXY=localhost,127.0.0.1,::1",
					      "no_proxy=localhost,127.0.0.1,::1",
					      "NODE_USE_ENV_PROXY=1",
					      NULL };
	static const char *const url[] = { "NONO_PROXY_URL=http://127.0.0.1:38211", NULL };

	(void)state;
	expect(&(struct proxy_env){ &v4, NULL, true }, wanted);
	expect(&(struct proxy_env){ &v4, NULL, false }, url);
}

static void test_programs_are_left_alone(void **state)
{
	static const char *const wanted[] = { "NONO_PROXY_URL=http://127.0.0.1:38211",
					      "NONO_PROXY_TOKEN=" TOKEN, NULL };
	static const char *const wanted6[] = { "NONO_PROXY_URL=http://[::1]:65535",
					       "NONO_PROXY_TOKEN=" TOKEN, NULL };

	(void)state;
	expect(&(struct proxy_env){ &v4, TOKEN, false }, wanted);
	expect(&(struct proxy_env){ &v6, TOKEN, false }, wanted6);
}

static void test_export_refuses_what_is_no_name(void **state)
{
	static const struct {
		const char *what, *setting;
	} rows[] = {
		{ "nothing", "" },
		{ "no '='", "NAME" },
		{ "no name", "=value" },
		{ "a digit first", "1NAME=value" },
		{ "a blank", "A B=value" },
		{ "a blank first", " A=value" },
		{ "a blank behind", "A =value" },
		{ "an option", "-p=value" },
		{ "a command", "A;reboot;B=value" },
		{ "a line feed", "A\nreboot\nB=value" },
		{ "a substitution", "$(reboot)=value" },
		{ "an element", "A[0]=value" },
		{ "an addition", "A+=value" },
		{ "a quote", "A'=value" },
		{ "a dot", "A.B=value" },
		{ "a byte above ASCII", "\xc3\x84=value" },
		{ "beside the letters", "A@=value" },
		{ "beside the letters, too", "A`=value" },
	};
	_cleanup_buf_ struct buf out = BUF_INIT(1000);

	(void)state;
	assert_int_equal(buf_append(&out, "old", 3), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (proxy_env_export(rows[i].setting, &out) != -EINVAL)
			fail_msg("taken: %s", rows[i].what);
		assert_true(str_eq(buf_str(&out), STR_LIT("old")));
	}
}

static void test_export_quotes(void **state)
{
	static const struct {
		const char *setting, *line;
	} rows[] = {
		{ "A=", "export A=''\n" },
		{ "A='", "export A=''\\'''\n" },
		{ "A=''", "export A=''\\'''\\'''\n" },
		{ "A=it's", "export A='it'\\''s'\n" },
		{ "A=';reboot;'", "export A=''\\'';reboot;'\\'''\n" },
		{ "A=b=c=", "export A='b=c='\n" },
		{ "A=$(x) `x` \\ \"\n!", "export A='$(x) `x` \\ \"\n!'\n" },
		{ "_a9Z=\xff", "export _a9Z='\xff'\n" },
		{ "NODE_USE_ENV_PROXY=1", "export NODE_USE_ENV_PROXY='1'\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1000);

		assert_int_equal(proxy_env_export(rows[i].setting, &out), 0);
		assert_true(str_eq(buf_str(&out), str_of(rows[i].line)));
	}
}

/* What a shell makes of the line, said by the shell itself. */
static void shell_reads(const struct buf *line, char *value, size_t n)
{
	_cleanup_free_ char *script = malloc(buf_len(line) + 32);
	int ends[2], status;
	ssize_t got;
	pid_t pid;

	assert_non_null(script);
	memcpy(script, buf_data(line), buf_len(line));
	memcpy(script + buf_len(line), "printf %s \"$A\"", sizeof("printf %s \"$A\""));
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		(void)close(ends[0]);
		(void)close(ends[1]);
		(void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(126);
	}
	assert_true(pid > 0);
	(void)close(ends[1]);
	got = read(ends[0], value, n - 1); /* shorter than what a pipe takes in one piece */
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(got >= 0);
	value[got] = '\0';
}

static void test_shell_reads_every_byte_back(void **state)
{
	char setting[300] = "A=", value[300];
	size_t n = 2;
	_cleanup_buf_ struct buf line = BUF_INIT(2000);

	(void)state;
	for (int c = 1; c < 256; c++)
		setting[n++] = (char)c;
	memcpy(setting + n, "''\\''$A", sizeof("''\\''$A"));
	assert_int_equal(proxy_env_export(setting, &line), 0);
	shell_reads(&line, value, sizeof(value));
	assert_string_equal(value, setting + 2);
}

static void test_export_into_small_buffer_appends_nothing(void **state)
{
	const size_t whole = strlen("oldexport A='it'\\''s'\n");

	(void)state;
	for (size_t max = 3; max <= whole; max++) {
		_cleanup_buf_ struct buf out = BUF_INIT(max);

		assert_int_equal(buf_append(&out, "old", 3), 0);
		assert_int_equal(proxy_env_export("A=it's", &out), max < whole ? -ENOSPC : 0);
		assert_int_equal(buf_len(&out), max < whole ? 3 : whole);
	}
}

#define with_endpoints(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_endpoints(test_arena_of_any_size_all_or_nothing),
		with_endpoints(test_memory_fails_no_list),
		with_endpoints(test_everything_in_order),
		with_endpoints(test_v6_in_brackets),
		with_endpoints(test_without_token_no_user_part),
		with_endpoints(test_programs_are_left_alone),
		with_endpoints(test_export_refuses_what_is_no_name),
		with_endpoints(test_export_quotes),
		with_endpoints(test_shell_reads_every_byte_back),
		with_endpoints(test_export_into_small_buffer_appends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
