/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies: each row is given whole, byte by byte, and in portions of three; what is behind the body
 * is never taken.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/http_body.h"

/* Scans in portions of k; the number of bytes that were taken, or the error. */
static ssize_t scan_in(struct http_body *b, struct str s, size_t k)
{
	size_t at = 0;

	while (at < s.n) {
		size_t n = MIN(k, s.n - at);
		ssize_t r = http_body_scan(b, (const uint8_t *)s.p + at, n);

		if (r < 0) {
			/* An error stays one. */
			assert_int_equal(http_body_scan(b, (const uint8_t *)"0", 1), r);
			assert_false(b->done);
			assert_false(http_body_eof(b));
			return r;
		}
		assert_in_range(r, 0, n);
		at += (size_t)r;
		if ((size_t)r < n) {
			assert_true(b->done);
			break;
		}
	}
	return (ssize_t)at;
}

static const size_t portions[] = { SIZE_MAX, 1, 3 };

struct bad_row {
	const char *reason;
	struct str bytes;
};

#define BAD(bytes, reason)             \
	{                              \
		reason, STR_LIT(bytes) \
	}

static void check_bad(const struct bad_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(portions); k++) {
			struct http_body b;

			http_body_begin(&b, HTTP_CHUNKED, 0, 0);
			if (scan_in(&b, rows[i].bytes, portions[k]) != -EBADMSG)
				fail_msg("taken: %s", rows[i].reason);
		}
	}
}

static void test_chunk_sizes_refused(void **state)
{
	static const struct bad_row rows[] = {
		BAD("\r\n", "no size"),
		BAD(";a\r\n", "an extension but no size"),
		BAD("0x5\r\nabcde\r\n", "as C writes it"),
		BAD("+5\r\nabcde\r\n", "with a sign"),
		BAD("-1\r\n", "negative"),
		BAD(" 5\r\nabcde\r\n", "blank before"),
		BAD("5 \r\nabcde\r\n", "blank behind"),
		BAD("5\t\r\nabcde\r\n", "tab behind"),
		BAD("5\nabcde\r\n", "bare line feed"),
		BAD("5\rabcde\r\n", "bare carriage return"),
		BAD("5\r\r\nabcde\r\n", "two carriage returns"),
		BAD("5\0\r\nabcde\r\n", "NUL"),
		BAD("g\r\n", "no hex digit"),
		BAD("\xef\xbc\x95\r\n", "a digit of another script"),
		BAD("10000000000000005\r\nabcde", "17 digits, wraps to 5"),
		BAD("00000000000000005\r\nabcde", "17 digits, zeros"),
		BAD("1000000000000001\r\n", "one more than 2^60"),
		BAD("ffffffffffffffff\r\n", "2^64 - 1"),
		BAD("8000000000000000\r\n", "2^63"),
		BAD("5\r\nabcdef\r\n", "payload longer than its chunk"),
		BAD("5\r\nabcde\n", "chunk ends with a bare line feed"),
		BAD("5\r\nabcde0\r\n\r\n", "chunk has no end"),
		BAD("5\r\nabcde\r0\r\n\r\n", "chunk ends with a bare carriage return"),
		BAD("5\r\nabcde\r\n\r\n", "no size behind a chunk"),
		BAD("0\n\n", "last chunk with bare line feeds"),
		BAD("0\r\n\n", "end with a bare line feed"),
		BAD("0\r\n\r\r", "end with a bare carriage return"),
	};

	(void)state;
	check_bad(rows, ARRAY_SIZE(rows));
}

static void test_chunk_extensions_refused(void **state)
{
	static const struct bad_row rows[] = {
		BAD("5;\r\nabcde\r\n", "no name"),
		BAD("5;;a\r\nabcde\r\n", "an empty one"),
		BAD("5;=b\r\nabcde\r\n", "value without a name"),
		BAD("5;a=\r\nabcde\r\n", "no value"),
		BAD("5;a=b=c\r\nabcde\r\n", "two values"),
		BAD("5; a\r\nabcde\r\n", "blank before the name"),
		BAD("5;a =b\r\nabcde\r\n", "blank behind the name"),
		BAD("5;a\nX\r\nabcde\r\n", "bare line feed in a name"),
		BAD("5;a=b\nX\r\nabcde\r\n", "bare line feed in a value"),
		BAD("5;a=\"\n\"\r\nabcde\r\n", "line feed in quotes"),
		BAD("5;a=\"\r\n\"\r\nabcde\r\n", "line end in quotes"),
		BAD("5;a=\"\\\r\n\"\r\nabcde\r\n", "line end behind a backslash"),
		BAD("5;a=\"\0\"\r\nabcde\r\n", "NUL in quotes"),
		BAD("5;a=\"\\\"\r\nabcde\r\n", "quotes that do not end"),
		BAD("5;a=\"b\"c\r\nabcde\r\n", "more behind the quotes"),
		BAD("5;a=b\"\r\nabcde\r\n", "quotes inside"),
		BAD("5;a\x80\r\nabcde\r\n", "byte above ASCII"),
		BAD("5,a\r\nabcde\r\n", "another sign"),
	};

	(void)state;
	check_bad(rows, ARRAY_SIZE(rows));
}

static void test_trailers_refused(void **state)
{
	static const struct bad_row rows[] = {
		BAD("0\r\nContent-Length: 5\r\n\r\n", "length"),
		BAD("0\r\ncontent-LENGTH:5\r\n\r\n", "length, other case"),
		BAD("0\r\nA: b\r\nTransfer-Encoding: x\r\n\r\n", "coding, second"),
		BAD("0\r\nhost:evil.example\r\n\r\n", "host"),
		BAD("0\r\n: b\r\n\r\n", "empty name"),
		BAD("0\r\nA b: c\r\n\r\n", "blank in the name"),
		BAD("0\r\nA : c\r\n\r\n", "blank before the colon"),
		BAD("0\r\nHost : c\r\n\r\n", "blank behind a forbidden name"),
		BAD("0\r\n A: b\r\n\r\n", "blank before the name"),
		BAD("0\r\nA: b\r\n c\r\n\r\n", "folded"),
		BAD("0\r\nA: b\r\n\tc\r\n\r\n", "folded with a tab"),
		BAD("0\r\nA\r\n\r\n", "no colon"),
		BAD("0\r\nA: b\nHost: c\r\n\r\n", "bare line feed"),
		BAD("0\r\nA: b\rHost: c\r\n\r\n", "bare carriage return"),
		BAD("0\r\nA: \0\r\n\r\n", "NUL"),
		BAD("0\r\nA: \x7f\r\n\r\n", "DEL"),
		BAD("0\r\nGET / HTTP/1.1\r\n\r\n", "a request behind the last chunk"),
	};

	(void)state;
	check_bad(rows, ARRAY_SIZE(rows));
}

static void test_chunked_taken(void **state)
{
	static const struct {
		const char *reason;
		struct str bytes;
		uint64_t total;
	} rows[] = {
		{ "empty", STR_LIT("0\r\n\r\n"), 0 },
		{ "several zeros", STR_LIT("0000000000000000\r\n\r\n"), 0 },
		{ "one chunk", STR_LIT("5\r\nabcde\r\n0\r\n\r\n"), 5 },
		{ "zeros in front", STR_LIT("0000000000000005\r\nabcde\r\n0\r\n\r\n"), 5 },
		{ "three chunks, both cases",
		  STR_LIT("a\r\n0123456789\r\nB\r\n0123456789a\r\n1\r\n\n\r\n0\r\n\r\n"), 22 },
		{ "payload that looks like framing", STR_LIT("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), 5 },
		{ "extension", STR_LIT("1;a\r\nx\r\n0;b=c\r\n\r\n"), 1 },
		{ "extensions, quoted",
		  STR_LIT("1;a=b;c=\"d \\\" \\\\;\t\xff\";e\r\nx\r\n0;f=\"\"\r\n\r\n"), 1 },
		{ "trailers", STR_LIT("0\r\nA: b\r\nX-Sum:\tc, \x80\r\nEmpty:\r\n\r\n"), 0 },
		{ "names like the forbidden ones",
		  STR_LIT("0\r\nHos: a\r\nHosts: b\r\nContent-Length-: c\r\nXHost: host\r\n\r\n"),
		  0 },
	};
	static const char behind[] = "0\r\n\r\nGET / HTTP/1.1\r\n";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char all[200];

		memcpy(all, rows[i].bytes.p, rows[i].bytes.n);
		memcpy(all + rows[i].bytes.n, behind, sizeof(behind));
		for (size_t k = 0; k < ARRAY_SIZE(portions); k++) {
			struct http_body b;

			http_body_begin(&b, HTTP_CHUNKED, 0, 0);
			assert_false(http_body_eof(&b));
			if (scan_in(&b, (struct str){ all, rows[i].bytes.n - 1 }, portions[k]) < 0)
				fail_msg("refused: %s", rows[i].reason);
			/* The end of the connection never ends a chunked body. */
			if (b.done || http_body_eof(&b))
				fail_msg("done before its end: %s", rows[i].reason);
			http_body_begin(&b, HTTP_CHUNKED, 0, 0);
			if (scan_in(&b, (struct str){ all, rows[i].bytes.n + sizeof(behind) },
				    portions[k]) != (ssize_t)rows[i].bytes.n)
				fail_msg("wrong length: %s", rows[i].reason);
			if (!b.done || b.total != rows[i].total || !http_body_eof(&b))
				fail_msg("wrong end: %s", rows[i].reason);
			assert_int_equal(http_body_scan(&b, (const uint8_t *)"0", 1), 0);
		}
	}
}

static void test_largest_chunk(void **state)
{
	struct http_body b;

	(void)state;
	http_body_begin(&b, HTTP_CHUNKED, 0, 0);
	assert_int_equal(scan_in(&b, STR_LIT("1000000000000000\r\nabc"), SIZE_MAX), 21);
	assert_true(b.left == (UINT64_C(1) << 60) - 3);
	assert_true(b.total == 3);
}

/* `line` is the length of the chunk line or trailer section with its line end. */
static ssize_t scan_long(const char *head, size_t line, size_t k)
{
	static char all[HTTP_TRAILERS_MAX + 100];
	size_t skip = strcmp(head, "0\r\nA:") == 0 ? 3 : 0, n = strlen(head);
	struct http_body b;

	memset(all, 'x', sizeof(all));
	memcpy(all, head, n);
	memcpy(all + skip + line - (skip ? 4 : 2), skip ? "\r\n\r\n" : "\r\n", skip ? 4 : 2);
	http_body_begin(&b, HTTP_CHUNKED, 0, 0);
	return scan_in(&b, (struct str){ all, skip + line }, k);
}

static void test_lines_have_limits(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(portions); k++) {
		for (size_t i = 0; i < 2; i++) {
			const char *head = i ? "5;a=\"x\";y" : "5;a";

			assert_int_equal(scan_long(head, HTTP_CHUNK_LINE_MAX, portions[k]),
					 HTTP_CHUNK_LINE_MAX);
			assert_int_equal(scan_long(head, HTTP_CHUNK_LINE_MAX + 1, portions[k]),
					 -EBADMSG);
		}
		assert_int_equal(scan_long("0\r\nA:", HTTP_TRAILERS_MAX, portions[k]),
				 HTTP_TRAILERS_MAX + 3);
		assert_int_equal(scan_long("0\r\nA:", HTTP_TRAILERS_MAX + 1, portions[k]),
				 -EBADMSG);
	}
}

static void test_limits_hold_before_the_end_comes(void **state)
{
	static const uint8_t x[] = { 'x' };
	struct http_body b;
	size_t n = 0;

	(void)state;
	http_body_begin(&b, HTTP_CHUNKED, 0, 0);
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"5;", 2), 2);
	while (n < 10000 && http_body_scan(&b, x, 1) == 1)
		n++;
	assert_int_equal(n, HTTP_CHUNK_LINE_MAX - 2);
	http_body_begin(&b, HTTP_CHUNKED, 0, 0);
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"0\r\n", 3), 3);
	for (n = 0; n < 10000 && http_body_scan(&b, x, 1) == 1;)
		n++;
	assert_int_equal(n, HTTP_TRAILERS_MAX);
}

static void test_payload_over_its_limit(void **state)
{
	static const struct {
		const char *reason;
		enum http_framing framing;
		uint64_t length, max;
		struct str bytes;
		ssize_t want;
	} rows[] = {
		{ "length, just", HTTP_LENGTH, 5, 5, STR_LIT("abcde"), 5 },
		{ "length, over", HTTP_LENGTH, 6, 5, STR_LIT("a"), -EMSGSIZE },
		{ "to the end, just", HTTP_UNTIL_CLOSE, 0, 5, STR_LIT("abcde"), 5 },
		{ "to the end, over", HTTP_UNTIL_CLOSE, 0, 5, STR_LIT("abcdef"), -EMSGSIZE },
		{ "chunks, just", HTTP_CHUNKED, 0, 5, STR_LIT("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
		  20 },
		{ "chunks, over", HTTP_CHUNKED, 0, 5, STR_LIT("2\r\nab\r\n4\r\n"), -EMSGSIZE },
		{ "first chunk over", HTTP_CHUNKED, 0, 5, STR_LIT("1000000000000000\r\n"),
		  -EMSGSIZE },
		{ "framing does not count", HTTP_CHUNKED, 0, 1,
		  STR_LIT("1;abcdef=ghi\r\na\r\n0\r\nA: bcdef\r\n\r\n"), 32 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(portions); k++) {
			struct http_body b;

			http_body_begin(&b, rows[i].framing, rows[i].length, rows[i].max);
			if (scan_in(&b, rows[i].bytes, portions[k]) != rows[i].want)
				fail_msg("wrong: %s", rows[i].reason);
		}
	}
}

static void test_length(void **state)
{
	struct http_body b;

	(void)state;
	http_body_begin(&b, HTTP_LENGTH, 5, 0);
	assert_false(b.done);
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"abc", 3), 3);
	assert_false(b.done);
	assert_false(http_body_eof(&b));
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"", 0), 0);
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"deGET", 5), 2);
	assert_true(b.done);
	assert_true(http_body_eof(&b));
	assert_true(b.total == 5);
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"GET", 3), 0);

	http_body_begin(&b, HTTP_LENGTH, UINT64_C(999999999999999999), 0);
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"abc", 3), 3);
	assert_true(b.left == UINT64_C(999999999999999996));
}

static void test_no_body_is_done_at_once(void **state)
{
	static const enum http_framing framings[] = { HTTP_NO_BODY, HTTP_LENGTH };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(framings); i++) {
		struct http_body b;

		http_body_begin(&b, framings[i], 0, 1);
		assert_true(b.done);
		assert_int_equal(http_body_scan(&b, (const uint8_t *)"GET", 3), 0);
		assert_true(http_body_eof(&b));
		assert_true(b.total == 0);
	}
}

static void test_until_close(void **state)
{
	struct http_body b;

	(void)state;
	http_body_begin(&b, HTTP_UNTIL_CLOSE, 0, 0);
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"0\r\n\r\n", 5), 5);
	assert_false(b.done);
	assert_true(http_body_eof(&b));
	assert_true(b.done);
	assert_true(b.total == 5);
	assert_int_equal(http_body_scan(&b, (const uint8_t *)"x", 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunk_sizes_refused),
		cmocka_unit_test(test_chunk_extensions_refused),
		cmocka_unit_test(test_trailers_refused),
		cmocka_unit_test(test_chunked_taken),
		cmocka_unit_test(test_largest_chunk),
		cmocka_unit_test(test_lines_have_limits),
		cmocka_unit_test(test_limits_hold_before_the_end_comes),
		cmocka_unit_test(test_payload_over_its_limit),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_no_body_is_done_at_once),
		cmocka_unit_test(test_until_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
