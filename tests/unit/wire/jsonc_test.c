/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blanking of comments and trailing commas, each text also in an allocation of just its size;
 * the walk; places.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/jsonc.h"

static char *exact(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	if (n)
		memcpy(copy, p, n);
	return copy;
}

static void test_blanks(void **state)
{
	static const struct {
		const char *text, *plain, *reason;
	} rows[] = {
		{ "", "", "nothing" },
		{ "{}", "{}", "plain" },
		{ "// all\n", "      \n", "a line comment" },
		{ "// to the end", "             ", "a line comment at the end" },
		{ "//", "  ", "the shortest one" },
		{ "// a\r\n1", "    \r\n1", "CR LF stays" },
		{ "// a\r1", "    \r1", "a lone CR ends it, too" },
		{ "/* a\nb */1", "    \n    1", "lines within stay" },
		{ "/**/1", "    1", "an empty comment" },
		{ "/***/1", "     1", "stars" },
		{ "/*//*/1", "      1", "a line comment within" },
		{ "// /* \n1", "      \n1", "its opening in a line comment opens nothing" },
		{ "/* \" */\"x\"", "       \"x\"", "a quote in a comment" },
		{ "\"// no\"", "\"// no\"", "a line comment in a string" },
		{ "\"/* no */\"", "\"/* no */\"", "a comment in a string" },
		{ "\"\\\"// no\"", "\"\\\"// no\"", "behind an escaped quote" },
		{ "\"\\\\\"// yes", "\"\\\\\"      ", "behind an escaped backslash" },
		{ "1// a", "1    ", "right behind a word" },
		{ "1/**/2", "1    2", "within a word: two words" },
		{ "[1,]", "[1 ]", "trailing comma" },
		{ "{\"a\":1,}", "{\"a\":1 }", "in an object" },
		{ "[1 , /* x */ \n ]", "[1           \n ]", "with a comment behind it" },
		{ "[[1,],]", "[[1 ] ]", "nested" },
		{ "[\"a,]\",]", "[\"a,]\" ]", "a comma in a string" },
		{ "[,]", "[,]", "without a value it stays wrong" },
		{ "{,}", "{,}", "in an object" },
		{ "[1,,]", "[1,,]", "two stay wrong" },
		{ "{\"a\":,}", "{\"a\":,}", "without a value" },
		{ ",]", ",]", "in front of everything" },
		{ "[1,2]", "[1,2]", "between values" },
		{ "/", "/", "a lone slash is left to the parser" },
		{ "/ /", "/ /", "two apart" },
		{ "\"abc\n// x", "\"abc\n    ", "a string ends with its line" },
		{ "\"abc\\", "\"abc\\", "a backslash at the end" },
		{ "]]]{", "]]]{", "unbalanced" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].text);
		char *text = exact(rows[i].text, n);
		struct jsonc_error error;

		assert_int_equal(strlen(rows[i].plain), n);
		if (jsonc_blank(text, n, &error) < 0)
			fail_msg("%s: %s", rows[i].reason, error.sentence);
		if (memcmp(text, rows[i].plain, n) != 0)
			fail_msg("%s: '%.*s'", rows[i].reason, (int)n, text);
		free(text);
	}
}

static void test_refuses(void **state)
{
#define ROW(text, offset, part, reason)                      \
	{                                                    \
		text, sizeof(text) - 1, offset, part, reason \
	}
	static const struct {
		const char *text;
		size_t n, offset;
		const char *part, *reason;
	} rows[] = {
		ROW("{} /* x", 3, "does not end", "unterminated"),
		ROW("/*/", 0, "does not end", "its own star does not close it"),
		ROW("/*", 0, "does not end", "cut"),
		ROW("/* x *", 0, "does not end", "cut before the slash"),
		ROW("/* /* */ */", 9, "nest", "nested"),
		ROW("*/", 0, "not begun", "without a beginning"),
		ROW("1*/", 1, "not begun", "right behind a word"),
		ROW("// a\r*/", 5, "not begun", "behind a lone CR"),
		ROW("a\0b", 1, "NUL", "NUL"),
		ROW("// \0", 3, "NUL", "NUL in a comment"),
		ROW("\xef\xbb\xbf{}", 0, "byte order", "a byte order mark"),
		ROW("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 32, "deep", "one too deep"),
		ROW("{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", 32, "deep", "objects, too"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text = exact(rows[i].text, rows[i].n);
		struct jsonc_error error = { 0 };

		if (jsonc_blank(text, rows[i].n, &error) != -EINVAL)
			fail_msg("%s: accepted", rows[i].reason);
		if (error.offset != rows[i].offset || !strstr(error.sentence, rows[i].part))
			fail_msg("%s: %zu: %s", rows[i].reason, error.offset, error.sentence);
		free(text);
	}
}

static void test_depth_is_the_deepest_at_a_time(void **state)
{
	char text[JSONC_DEPTH_MAX * 2 * 3];
	struct jsonc_error error;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		memset(text + i * 2 * JSONC_DEPTH_MAX, '[', JSONC_DEPTH_MAX);
		memset(text + (i * 2 + 1) * JSONC_DEPTH_MAX, ']', JSONC_DEPTH_MAX);
	}
	assert_int_equal(jsonc_blank(text, sizeof(text), &error), 0);
}

/* Each item of a container as "key@offset=value@offset ". */
static void walk(const char *text, size_t at, char *out, size_t n)
{
	struct str t = str_of(text);
	struct jsonc_item item;
	bool more = jsonc_first(t, at, &item);

	out[0] = '\0';
	for (; more; more = jsonc_next(t, &item)) {
		size_t len = strlen(out);

		if (item.key == JSONC_NONE)
			(void)snprintf(out + len, n - len, "%zu ", item.value);
		else
			(void)snprintf(out + len, n - len, "%zu=%zu ", item.key, item.value);
	}
}

static void test_walks(void **state)
{
	static const struct {
		const char *text, *items, *reason;
	} rows[] = {
		{ "[]", "", "empty list" },
		{ "{ }", "", "empty object" },
		{ "[ 1, 2 ]", "2 5 ", "list" },
		{ "{\"a\":1,\"b\" : 2}", "1=5 7=13 ", "object" },
		{ "[\"a,]\\\"\",2]", "1 9 ", "signs in a string" },
		{ "[[1,[2]],{\"x\":[3]},4]", "1 9 19 ", "containers are passed over" },
		{ "{\"a:\":{\"b\":1},\"c\":[{}]}", "1=6 14=18 ", "objects in an object" },
		{ "\n\t[1\n,\n2]", "3 7 ", "white space" },
		{ "1", "", "not a container" },
		{ "[1", "1 ", "cut" },
		{ "[1,", "1 ", "cut behind a comma" },
		{ "{\"a\"", "", "cut behind a key" },
		{ "{\"a\":", "", "cut behind a colon" },
		{ "{\"a\" 1}", "", "no colon" },
		{ "[1}", "1 ", "the wrong bracket" },
		{ "[1 2]", "1 ", "no comma" },
	};
	char got[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		walk(rows[i].text, jsonc_root(str_of(rows[i].text)), got, sizeof(got));
		if (strcmp(got, rows[i].items) != 0)
			fail_msg("%s: '%s'", rows[i].reason, got);
	}
}

static void test_tokens(void **state)
{
	static const char text[] = "{\"a b\": true , [12]}";
	static const struct {
		size_t offset, token;
	} rows[] = { { 0, 0 },	 { 1, 1 },   { 3, 1 },	 { 5, 1 },   { 6, 6 },
		     { 7, 7 },	 { 8, 8 },   { 11, 8 },	 { 12, 12 }, { 13, 13 },
		     { 16, 16 }, { 17, 16 }, { 19, 19 }, { 99, 99 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(jsonc_token(str_of(text), rows[i].offset), rows[i].token);
}

static void test_places(void **state)
{
	static const char text[] = "a\nb\xc3\xbc"
				   "c\r\n\xe2\x82\xac!\n";
	static const struct {
		size_t offset;
		unsigned int line, column;
	} rows[] = { { 0, 1, 1 }, { 1, 1, 2 },	{ 2, 2, 1 },  { 3, 2, 2 }, { 5, 2, 3 },
		     { 8, 3, 1 }, { 11, 3, 2 }, { 13, 4, 1 }, { 2, 2, 1 }, { 99, 4, 1 } };
	struct jsonc_place at = JSONC_PLACE_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct jsonc_place fresh = JSONC_PLACE_INIT;

		jsonc_place_move(str_of(text), rows[i].offset, &at);
		jsonc_place_move(str_of(text), rows[i].offset, &fresh);
		assert_int_equal(at.line, rows[i].line);
		assert_int_equal(at.column, rows[i].column);
		assert_memory_equal(&at, &fresh, sizeof(at));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blanks),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_depth_is_the_deepest_at_a_time),
		cmocka_unit_test(test_walks),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
