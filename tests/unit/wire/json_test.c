/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/json.h"

#include "tests/unit/json_check.h"

/* The text between the quotes that the writer makes of s. */
static const char *text_of(struct str s)
{
	static char text[4096];
	_cleanup_buf_ struct buf out = BUF_INIT(4000);
	struct json_check check;
	struct json j;

	json_begin(&j, &out);
	json_str(&j, s);
	assert_int_equal(json_end(&j), 0);
	assert_true(json_check(&check, buf_data(&out), buf_len(&out)));
	memcpy(text, buf_data(&out) + 1, buf_len(&out) - 2);
	text[buf_len(&out) - 2] = '\0';
	return text;
}

#define FFFD "\xef\xbf\xbd"

static void test_hostile_text_stays_one_string(void **state)
{
	static const struct {
		struct str in;
		const char *want;
	} rows[] = {
		{ STR_LIT("\",\"decision\":\"allow"),
		  "\\\",\\\"decision\\\":\\\"allow" }, /* adds a member */
		{ STR_LIT("\\\""), "\\\\\\\"" },       /* an escape of its own */
		{ STR_LIT("a\r\n{}"), "a\\r\\n{}" },   /* adds a line */
		{ STR_LIT("\b\f\t"), "\\b\\f\\t" },
		{ STR_LIT("\x00\x01\x1f"), "\\u0000\\u0001\\u001f" },
		{ STR_LIT("\x1b[2J\x7f"), "\\u001b[2J\\u007f" }, /* drives a terminal */
		{ STR_LIT("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0"),
		  "\\u0080\\u009b\\u009f\xc2\xa0" }, /* C1 */
		{ STR_LIT("\xe2\x80\xa8\xe2\x80\xa9"),
		  "\\u2028\\u2029" }, /* line ends of JavaScript */
		{ STR_LIT("\xe2\x80\xae"
			  "cod"),
		  "\\u202ecod" }, /* reads backwards */
		{ STR_LIT("\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8e"), "\\u2066\\u2069\\u200e" },
		{ STR_LIT("/ '<>&"), "/ '<>&" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(text_of(rows[i].in), rows[i].want);
}

/* The counts of U+FFFD are those of Python's bytes.decode("utf-8", "replace"). */
static void test_ill_formed_utf8_is_replaced(void **state)
{
	static const struct {
		struct str in;
		const char *want;
	} rows[] = {
		{ STR_LIT("\x80"), FFFD },			      /* a continuation alone */
		{ STR_LIT("\xc0\xaf"), FFFD FFFD },		      /* an overlong slash */
		{ STR_LIT("\xc1\xbf"), FFFD FFFD },		      /* overlong */
		{ STR_LIT("\xe0\x80\xaf"), FFFD FFFD FFFD },	      /* overlong in three */
		{ STR_LIT("\xe0\x9f\xbf"), FFFD FFFD FFFD },	      /* the last overlong one */
		{ STR_LIT("\xe0\xa0\x80"), "\xe0\xa0\x80" },	      /* the first that is not */
		{ STR_LIT("\xf0\x8f\xbf\xbf"), FFFD FFFD FFFD FFFD }, /* overlong in four */
		{ STR_LIT("\xf0\x90\x80\x80"), "\xf0\x90\x80\x80" },
		{ STR_LIT("\xed\xa0\x80"), FFFD FFFD FFFD }, /* a surrogate */
		{ STR_LIT("\xed\x9f\xbf\xee\x80\x80"),
		  "\xed\x9f\xbf\xee\x80\x80" },			      /* around them */
		{ STR_LIT("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf" },  /* U+10FFFF */
		{ STR_LIT("\xf4\x90\x80\x80"), FFFD FFFD FFFD FFFD }, /* one more */
		{ STR_LIT("\xf5\x80"), FFFD FFFD },
		{ STR_LIT("\xfe\xff"), FFFD FFFD },
		{ STR_LIT("\xc3"), FFFD },     /* cut short at the end */
		{ STR_LIT("\xe2\x82"), FFFD }, /* so, taken together */
		{ STR_LIT("\xf0\x9f\x98"), FFFD },
		{ STR_LIT("\xe2\x82\"x"), FFFD "\\\"x" }, /* must not swallow the quote */
		{ STR_LIT("\xf0\x9f\n"), FFFD "\\n" },
		{ STR_LIT("\xc3\xe2\x82\xac"), FFFD "\xe2\x82\xac" },
		{ STR_LIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
		  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(text_of(rows[i].in), rows[i].want);
}

static void test_nesting_and_commas(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct json j;

	(void)state;
	json_begin(&j, &out);
	json_object_begin(&j);
	json_kv_int(&j, "min", INT64_MIN);
	json_kv_str(&j, "absent", NULL);
	json_kv_str(&j, "s", "x");
	json_key(&j, "a");
	json_array_begin(&j);
	json_int(&j, 0);
	json_object_begin(&j);
	json_object_end(&j);
	json_array_begin(&j);
	json_array_end(&j);
	json_bool(&j, true);
	json_bool(&j, false);
	json_put_null(&j);
	json_array_end(&j);
	json_key(&j, "k\"");
	json_object_begin(&j);
	json_kv_int(&j, "max", INT64_MAX);
	json_object_end(&j);
	json_kv_str(&j, "e", "");
	json_object_end(&j);
	assert_int_equal(json_end(&j), 0);
	assert_true(str_eq(
		buf_str(&out),
		STR_LIT("{\"min\":-9223372036854775808,\"s\":\"x\",\"a\":[0,{},[],true,false,null],"
			"\"k\\\"\":{\"max\":9223372036854775807},\"e\":\"\"}")));
}

static void test_empty_containers_and_single_values(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct json j;

	(void)state;
	json_begin(&j, &out);
	json_object_begin(&j);
	json_object_end(&j);
	assert_int_equal(json_end(&j), 0);
	json_begin(&j, &out);
	json_put_null(&j);
	assert_int_equal(json_end(&j), 0);
	assert_true(str_eq(buf_str(&out), STR_LIT("{}null")));
}

static void unfinished_object(struct json *j)
{
	json_object_begin(j);
}

static void key_without_value(struct json *j)
{
	json_object_begin(j);
	json_key(j, "k");
}

static void key_closed(struct json *j)
{
	json_object_begin(j);
	json_key(j, "k");
	json_object_end(j);
}

static void two_keys(struct json *j)
{
	json_object_begin(j);
	json_key(j, "k");
	json_key(j, "l");
	json_int(j, 1);
	json_object_end(j);
}

static void closed_too_often(struct json *j)
{
	json_array_begin(j);
	json_array_end(j);
	json_array_end(j);
}

static void two_values(struct json *j)
{
	json_int(j, 1);
	json_int(j, 2);
}

static void nothing(struct json *j)
{
	(void)j;
}

static void key_outside(struct json *j)
{
	json_kv_int(j, "k", 1);
}

static void too_deep(struct json *j)
{
	for (int i = 0; i < 32; i++)
		json_array_begin(j);
	for (int i = 0; i < 32; i++)
		json_array_end(j);
}

static void test_misuse_is_an_error_not_bad_json(void **state)
{
	static void (*const cases[])(struct json * j) = {
		unfinished_object, key_without_value, key_closed,  two_keys, closed_too_often,
		two_values,	   nothing,	      key_outside, too_deep,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1000);
		struct json j;

		json_begin(&j, &out);
		cases[i](&j);
		assert_int_equal(json_end(&j), -EINVAL);
	}
}

static void test_deepest_nesting(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct json_check check;
	struct json j;

	(void)state;
	json_begin(&j, &out);
	for (int i = 0; i < 31; i++) {
		json_array_begin(&j);
		json_int(&j, i);
	}
	for (int i = 0; i < 31; i++)
		json_array_end(&j);
	assert_int_equal(json_end(&j), 0);
	assert_true(json_check(&check, buf_data(&out), buf_len(&out)));
}

/* With every maximum that is too small: -ENOSPC, and nothing after the first failure, however
 * small. */
static void test_full_buffer_is_a_sticky_error(void **state)
{
	static const char want[] = "{\"a\":\"x\\ny\",\"b\":[1,true,null]}";

	(void)state;
	for (size_t max = 0; max <= strlen(want); max++) {
		_cleanup_buf_ struct buf out = BUF_INIT(max);
		struct json j;

		json_begin(&j, &out);
		json_object_begin(&j);
		json_kv_str(&j, "a", "x\ny");
		json_key(&j, "b");
		json_array_begin(&j);
		json_int(&j, 1);
		json_bool(&j, true);
		json_put_null(&j);
		json_array_end(&j);
		json_object_end(&j);
		assert_int_equal(json_end(&j), max < strlen(want) ? -ENOSPC : 0);
		if (buf_len(&out))
			assert_memory_equal(want, buf_data(&out), buf_len(&out));
	}
}

static void test_fit_counts_whole_characters(void **state)
{
	static const struct {
		struct str in;
		size_t room, bytes, size;
	} rows[] = {
		{ STR_LIT("abc"), 0, 0, 0 },
		{ STR_LIT("abc"), 2, 2, 2 },
		{ STR_LIT("abc"), SIZE_MAX, 3, 3 },
		{ STR_LIT("\x01\x01"), 11, 1, 6 }, /* six bytes each */
		{ STR_LIT("\x01\x01"), 12, 2, 12 },
		{ STR_LIT("\"\""), 3, 1, 2 },
		{ STR_LIT("\xff\xff"), 5, 1, 3 },      /* a replacement character each */
		{ STR_LIT("a\xe2\x82\xac"), 3, 1, 1 }, /* not in the middle of a character */
		{ STR_LIT("a\xe2\x82\xac"), 4, 4, 4 },
		{ STR_LIT(""), 0, 0, 0 },
	};
	size_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(json_fit(rows[i].in, rows[i].room, &size), rows[i].bytes);
		assert_int_equal(size, rows[i].size);
	}
	assert_int_equal(json_fit((struct str){ NULL, 0 }, 5, &size), 0);
}

/* Any bytes: one valid string, and json_fit() foretells the size of every cut exactly. */
static void test_random_bytes_give_valid_json(void **state)
{
	static const char mixed[] =
		"\"\\\n\x01\x7f\x80\xc2\x9b\xe2\x80\xa8\xed\xa0\xf0\x90\xf4\x8f\xbf a";
	uint32_t rnd = 99;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		char raw[40];
		size_t n, room, size, fit;

		for (n = 0; n < sizeof(raw); n++) {
			rnd = rnd * 1664525 + 1013904223;
			raw[n] = round & 1 ? mixed[(rnd >> 16) % (sizeof(mixed) - 1)]
					   : (char)(rnd >> 24);
		}
		n = (rnd >> 8) % sizeof(raw);
		room = (rnd >> 20) % 120;
		fit = json_fit((struct str){ raw, n }, room, &size);
		assert_true(fit <= n && size <= room);
		assert_int_equal(strlen(text_of((struct str){ raw, fit })), size);
		if (fit < n) /* and one byte more of room would not always, but 6 more must do */
			assert_true(json_fit((struct str){ raw, n }, room + 6, &size) > fit);
	}
}

/* The judge must be able to say no. */
static void test_judge_refuses_what_is_not_json(void **state)
{
	static const char *const wrong[] = {
		"",
		"{",
		"{}x",
		"{\"a\":1,}",
		"[1,]",
		"{a:1}",
		"01",
		"+1",
		"1.",
		"nul",
		"\"\n\"",
		"\"\\x\"",
		"\"\\u12g4\"",
		"\"\\ud800\"",
		"\"\x80\"",
		"\"\xc0\xaf\"",
		"\"\xed\xa0\x80\"",
		"{\"a\":1,\"a\":2}",
		"\"a",
		"{\"a\" 1}",
		"[1 2]",
		"'a'",
		"\"\xf4\x90\x80\x80\"",
		"-",
		"{}{}",
	};
	static const char *const right[] = {
		"{}",
		" [ ] ",
		"-0.5e+3",
		"\"\\u00e4\\ud83d\\ude00\xc3\xa4\"",
		"{\"a\":{\"b\":[1,2,null]},\"c\":true}",
	};
	struct json_check check;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(json_check(&check, wrong[i], strlen(wrong[i])));
	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		assert_true(json_check(&check, right[i], strlen(right[i])));
	assert_string_equal(json_member(&check, "a"), "{\"b\":[1,2,null]}");
	assert_string_equal(json_member(&check, "b"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_text_stays_one_string),
		cmocka_unit_test(test_ill_formed_utf8_is_replaced),
		cmocka_unit_test(test_nesting_and_commas),
		cmocka_unit_test(test_empty_containers_and_single_values),
		cmocka_unit_test(test_misuse_is_an_error_not_bad_json),
		cmocka_unit_test(test_deepest_nesting),
		cmocka_unit_test(test_full_buffer_is_a_sticky_error),
		cmocka_unit_test(test_fit_counts_whole_characters),
		cmocka_unit_test(test_random_bytes_give_valid_json),
		cmocka_unit_test(test_judge_refuses_what_is_not_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
