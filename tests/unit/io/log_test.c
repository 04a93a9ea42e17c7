/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "io/log.h"

static char caught[16384];
static size_t lines;

/* Standard error goes into a pipe while `say` runs. */
static void capture(void (*say)(void))
{
	int fds[2], keep = dup(STDERR_FILENO);
	ssize_t n, got = 0;

	assert_true(keep >= 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	say();
	assert_int_equal(dup2(keep, STDERR_FILENO), STDERR_FILENO);
	(void)close(keep);
	(void)close(fds[1]);
	while ((n = read(fds[0], caught + got, sizeof(caught) - 1 - (size_t)got)) > 0)
		got += n;
	(void)close(fds[0]);
	caught[got] = '\0';
	lines = 0;
	for (ssize_t i = 0; i < got; i++)
		lines += caught[i] == '\n';
}

static void say_hostile(void)
{
	log_error("name %s end", "a\r\nnono-proxy: forged\x1b[31m\x7f\xc2\x9b"
				 "0m\tz");
}

static void test_controls_never_reach_the_terminal(_unused_ void **state)
{
	log_setup("nono-proxy", LOG_LEVEL_WARN, false);
	capture(say_hostile);
	assert_string_equal(caught, "nono-proxy: name a??nono-proxy: forged?[31m???0m?z end\n");
	assert_int_equal(lines, 1);
}

static void say_all(void)
{
	log_error("e");
	log_warn("w");
	log_info("i");
	log_debug("d");
}

static void test_levels(_unused_ void **state)
{
	static const struct {
		const char *word, *text;
	} rows[] = {
		{ "error", "p: e\n" },
		{ "warn", "p: e\np: w\n" },
		{ "info", "p: e\np: w\np: i\n" },
		{ "debug", "p: e\np: w\np: i\np: d\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum log_level level;

		assert_true(log_level_parse(rows[i].word, &level));
		log_setup("p", level, false);
		capture(say_all);
		assert_string_equal(caught, rows[i].text);
	}
}

static void test_unknown_level_changes_nothing(_unused_ void **state)
{
	static const char *const words[] = { "", "Warn", "warning", "0", "error " };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		enum log_level level = LOG_LEVEL_INFO;

		assert_false(log_level_parse(words[i], &level));
		assert_int_equal(level, LOG_LEVEL_INFO);
	}
}

static char long_text[9000];

static void say_long(void)
{
	errno = EXDEV;
	log_warn("%s", long_text);
	if (errno != EXDEV)
		log_error("errno changed");
}

static void test_long_text_is_cut_and_errno_kept(_unused_ void **state)
{
	memset(long_text, 'x', sizeof(long_text) - 1);
	for (int json = 0; json < 2; json++) {
		log_setup("p", LOG_LEVEL_WARN, json);
		capture(say_long);
		assert_int_equal(lines, 1);
		assert_in_range(strlen(caught), 1000, 4096);
	}
	/* All quotes: escaping doubles the length, and there is still one whole line. */
	memset(long_text, '"', sizeof(long_text) - 1);
	capture(say_long);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(caught, "\\\"\"}\n"));
}

static void say_json(void)
{
	log_error("a \"quoted\"\nbyte \xff");
}

static void test_json(_unused_ void **state)
{
	log_setup("p", LOG_LEVEL_WARN, true);
	capture(say_json);
	assert_string_equal(caught, "{\"level\":\"error\",\"name\":\"p\",\"message\":"
				    "\"a \\\"quoted\\\"?byte \xef\xbf\xbd\"}\n");
}

static void say_two_errors(void)
{
	log_error("the first, %d", 1);
	log_error("the second\x1b[1m, %s", "in full");
	log_warn("a warning");
	log_info("that is no error");
}

static void say_no_error(void)
{
	log_warn("a warning");
}

/* The text alone, as it was written: without the name, the level, JSON or a newline. */
static void test_last_error_is_kept(_unused_ void **state)
{
	for (int json = 0; json < 2; json++) {
		log_setup("p", LOG_LEVEL_DEBUG, json);
		capture(say_two_errors);
		assert_string_equal(log_last_error(), "the second?[1m, in full");
		capture(say_no_error);
		assert_string_equal(log_last_error(), "the second?[1m, in full");
	}
}

static void say_long_error(void)
{
	log_error("%s", long_text);
}

static void test_last_error_is_cut(_unused_ void **state)
{
	log_setup("p", LOG_LEVEL_WARN, false);
	memset(long_text, 'x', sizeof(long_text) - 1);
	capture(say_long_error);
	assert_in_range(strlen(log_last_error()), 1000, 4096);
	assert_memory_equal(log_last_error(), long_text, strlen(log_last_error()));
	/* A shorter one leaves nothing of it. */
	capture(say_two_errors);
	assert_string_equal(log_last_error(), "the second?[1m, in full");
}

/* Of a parent that was never told of an error. */
static void test_last_error_before_any(_unused_ void **state)
{
	assert_string_equal(log_last_error(), "");
	capture(say_no_error);
	assert_string_equal(log_last_error(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_error_before_any), /* the first: nothing was said yet */
		cmocka_unit_test(test_controls_never_reach_the_terminal),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_unknown_level_changes_nothing),
		cmocka_unit_test(test_long_text_is_cut_and_errno_kept),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_last_error_is_kept),
		cmocka_unit_test(test_last_error_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
