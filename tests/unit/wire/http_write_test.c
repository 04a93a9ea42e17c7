/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of heads: what passes a proxy and what does not, and that nothing is written that
 * could be read as something else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/http_head.h"

static void parse_request(struct str s, struct http_head *ret)
{
	const char *why = NULL;
	size_t len = 0;

	if (http_request_parse((const uint8_t *)s.p, s.n, ret, &len, &why) != HTTP_OK)
		fail_msg("refused: %s", why ? why : "more");
	assert_int_equal(len, s.n);
}

#define REQUEST(text) parse_request(STR_LIT(text), &h)

static void assert_text(struct str s, const char *want)
{
	if (!str_eq(s, str_of(want)))
		fail_msg("\"%.*s\" instead of \"%s\"", STR_FMT(s), want);
}

#define LINE "GET / HTTP/1.1\r\nHost: a.example\r\n"

static void test_hop_by_hop(void **state)
{
	static const struct {
		const char *name;
		bool hop;
	} rows[] = {
		{ "connection", true },
		{ "Keep-Alive", true },
		{ "Proxy-Connection", true },
		{ "PROXY-AUTHORIZATION", true },
		{ "Proxy-Authenticate", true },
		{ "te", true },
		{ "Trailer", true },
		{ "Transfer-Encoding", true },
		{ "Upgrade", true },
		{ "x-first", true },
		{ "X-Second", true },
		{ "Third", true },
		{ "X-Fourth", false },
		{ "X", false },
		{ "Authorization", false },
		{ "Content-Length", false },
		{ "Tea", false },
	};
	static struct http_head h;

	(void)state;
	REQUEST(LINE "Connection: X-First ,, x-second\r\nX-Fourth: X-Fourth\r\n"
		     "Connection: third,close\r\n\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_field f = { .name = str_of(rows[i].name) };

		if (http_field_is_hop(&h, &f) != rows[i].hop)
			fail_msg("wrong: %s", rows[i].name);
	}
}

static void test_write_request(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(500);
	static struct http_head h;

	(void)state;
	REQUEST("POST http://a.example/x HTTP/1.1\r\nHost: b.example\r\nA:b\r\n"
		"Proxy-Authorization: Basic bm9ubzpzZWNyZXQ=\r\nContent-Length: 5\r\n"
		"Connection: connection, x-gone, close\r\nX-Gone: y\r\nx-stays:  c  d\t\r\n"
		"Keep-Alive: 5\r\nTE: trailers\r\nEmpty:\r\nA: b\r\n\r\n");
	assert_int_equal(http_write_request_line(&b, h.method, h.path, 1), 0);
	assert_int_equal(http_write_field(&b, "Host", h.authority), 0);
	assert_int_equal(http_write_end_fields(&b, &h), 0);
	assert_text(buf_str(&b), "POST /x HTTP/1.1\r\nHost: a.example\r\nA: b\r\n"
				 "x-stays: c  d\r\nEmpty: \r\nA: b\r\n");
}

static void test_write_answer(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(500);

	(void)state;
	assert_int_equal(http_write_status_line(&b, 207, STR_LIT("Multi-Status \xe9")), 0);
	assert_int_equal(http_write_status_line(&b, 599, STR_LIT("")), 0);
	assert_text(buf_str(&b), "HTTP/1.1 207 Multi-Status \xe9\r\nHTTP/1.1 599 \r\n");
}

static void test_writer_refuses_what_ends_a_line(void **state)
{
	static const struct str values[] = {
		STR_LIT("\r\nX: y"), STR_LIT("a\n"),  STR_LIT("\r"),	  STR_LIT("a\0b"),
		STR_LIT("\x1b"),     STR_LIT("\x7f"), STR_LIT("a\r\n b"),
	};
	static const char *const names[] = { "", "A B", "A:", "A\r\n", "\xc3\xa9", "A\t" };
	static const struct str targets[] = {
		STR_LIT(""), STR_LIT("/ "), STR_LIT("/\r\n"), STR_LIT("/#"), STR_LIT("/\x80"),
	};
	static const struct str methods[] = {
		STR_LIT(""),
		STR_LIT("A B"),
		STR_LIT("A\r\n"),
		STR_LIT("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"),
	};
	static const int statuses[] = { -200, 0, 99, 600, 1200 };
	_cleanup_buf_ struct buf b = BUF_INIT(500);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_int_equal(http_write_field(&b, "A", values[i]), -EINVAL);
		assert_int_equal(http_write_status_line(&b, 200, values[i]), -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(http_write_field(&b, names[i], STR_LIT("b")), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		assert_int_equal(http_write_request_line(&b, STR_LIT("GET"), targets[i], 1), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		assert_int_equal(http_write_request_line(&b, methods[i], STR_LIT("/"), 1), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		assert_int_equal(http_write_status_line(&b, statuses[i], STR_LIT("OK")), -EINVAL);
	assert_int_equal(buf_len(&b), 0);
}

static void test_writer_appends_all_or_nothing(void **state)
{
	static struct http_head h;

	(void)state;
	REQUEST(LINE "A: b\r\nC: d\r\n\r\n");
	for (size_t max = 0; max < 12; max++) {
		_cleanup_buf_ struct buf b = BUF_INIT(max);

		assert_int_equal(http_write_end_fields(&b, &h), -ENOSPC);
		assert_int_equal(buf_len(&b), 0);
		assert_int_equal(http_write_field(&b, "Name", STR_LIT("value")), -ENOSPC);
		assert_int_equal(http_write_request_line(&b, h.method, h.path, 1), -ENOSPC);
		assert_int_equal(http_write_status_line(&b, 200, STR_LIT("")), -ENOSPC);
		assert_int_equal(buf_len(&b), 0);
	}
	for (size_t max = 12; max < 14; max++) {
		_cleanup_buf_ struct buf b = BUF_INIT(max);

		assert_int_equal(http_write_end_fields(&b, &h), 0);
		assert_text(buf_str(&b), "A: b\r\nC: d\r\n");
		assert_int_equal(http_write_end_fields(&b, &h), -ENOSPC);
		assert_text(buf_str(&b), "A: b\r\nC: d\r\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hop_by_hop),
		cmocka_unit_test(test_write_request),
		cmocka_unit_test(test_write_answer),
		cmocka_unit_test(test_writer_refuses_what_ends_a_line),
		cmocka_unit_test(test_writer_appends_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
