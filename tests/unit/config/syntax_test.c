/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON library and the scanner walk in step: whatever the library accepts, the scanner finds
 * the same items in the same order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "config/syntax.h"

static uint64_t rng_state = 0x9e3779b97f4a7c15;

static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (uint32_t)(rng_state >> 33) % below;
}

static void put(struct buf *b, const char *z)
{
	assert_int_equal(buf_append_str(b, str_of(z)), 0);
}

static void put_blank(struct buf *b)
{
	static const char *const blanks[] = { "",   " ",       "\n",	 "\t",	      "\r\n",
					      "  ", "/* ] */", "// }\n", "/* \" */ ", "/**/" };

	put(b, blanks[rnd(ARRAY_SIZE(blanks))]);
}

static void put_key(struct buf *b, unsigned int i)
{
	static const char *const heads[] = { "", ",", "]", "\\\"", "\\\\", "//", "\\u00e9", ":" };

	assert_int_equal(buf_printf(b, "\"%s%u\"", heads[rnd(ARRAY_SIZE(heads))], i), 0);
}

static void put_value(struct buf *b, unsigned int depth)
{
	static const char *const plain[] = { "true",	 "false", "null",     "0",	 "-1.5e3",
					     "\"a,]}\"", "\"\"",  "\"\\\"\"", "\"\\\\\"" };
	bool object = rnd(2);
	unsigned int n = rnd(5);

	if (depth == 6 || (depth > 0 && rnd(3) == 0)) {
		put(b, plain[rnd(ARRAY_SIZE(plain))]);
		return;
	}
	object |= depth == 0;
	put(b, object ? "{" : "[");
	for (unsigned int i = 0; i < n; i++) {
		put_blank(b);
		if (object) {
			put_key(b, i);
			put_blank(b);
			put(b, ":");
			put_blank(b);
		}
		put_value(b, depth + 1);
		put_blank(b);
		if (i + 1 < n || rnd(2))
			put(b, ",");
	}
	put_blank(b);
	put(b, object ? "}" : "]");
}

static void check_value(struct str t, const json_t *v, size_t at);

static void check_object(struct str t, const json_t *v, size_t at)
{
	struct jsonc_item item;
	bool more = jsonc_first(t, at, &item);
	const char *key;
	json_t *member;

	json_object_foreach((json_t *)v, key, member)
	{
		assert_true(more);
		assert_int_equal(t.p[item.key], '"');
		check_value(t, member, item.value);
		more = jsonc_next(t, &item);
	}
	assert_false(more);
}

static void check_array(struct str t, const json_t *v, size_t at)
{
	struct jsonc_item item;
	bool more = jsonc_first(t, at, &item);

	for (size_t i = 0; i < json_array_size(v); i++) {
		assert_true(more);
		check_value(t, json_array_get(v, i), item.value);
		more = jsonc_next(t, &item);
	}
	assert_false(more);
}

static void check_value(struct str t, const json_t *v, size_t at)
{
	static const char *const begins[] = {
		[JSON_OBJECT] = "{", [JSON_ARRAY] = "[", [JSON_STRING] = "\"", [JSON_INTEGER] = "0",
		[JSON_REAL] = "-",   [JSON_TRUE] = "t",	 [JSON_FALSE] = "f",   [JSON_NULL] = "n",
	};

	assert_true(at < t.n);
	assert_int_equal(t.p[at], begins[json_typeof(v)][0]);
	if (json_is_object(v))
		check_object(t, v, at);
	else if (json_is_array(v))
		check_array(t, v, at);
}

static void test_in_step(void **state)
{
	(void)state;
	for (int i = 0; i < 3000; i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(1024 * 1024);
		struct jsonc_error error = { 0 };
		struct str t;
		json_t *root;

		put_blank(&b);
		put_value(&b, 0);
		put_blank(&b);
		t = buf_str(&b);
		root = syntax_parse((char *)t.p, t.n, &error);
		if (!root)
			fail_msg("text %d: %zu: %s", i, error.offset, error.sentence);
		check_value(t, root, jsonc_root(t));
		json_decref(root);
	}
}

/* The library's own words for each kind of mistake are known: a version that says it otherwise is noticed here. */
static void test_no_mistake_is_without_a_sentence(void **state)
{
	static const char *const texts[] = {
		"{\"a\" 1}",	    "{\"a\": 1 2}",	    "{\"a\": [1 2]}",	  "{1}",
		"{\"a\": }",	    "{\"a\": x}",	    "{\"a\": \"\n\"}",	  "{\"a\": \"\t\"}",
		"{\"a\": \"\\q\"}", "{\"a\": \"\\udc00\"}", "{\"a\": \"\\u12\"}", "x"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct jsonc_error error = { 0 };
		char text[64];

		(void)snprintf(text, sizeof(text), "%s", texts[i]);
		assert_null(syntax_parse(text, strlen(text), &error));
		if (strcmp(error.sentence, "this is not JSON") == 0)
			fail_msg("%s has no sentence of its own", texts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_step),
		cmocka_unit_test(test_no_mistake_is_without_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
