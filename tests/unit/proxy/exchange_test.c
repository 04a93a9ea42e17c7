/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a request is: the one authority that target and Host field have together.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "proxy/exchange.h"

#define NONE	 REASON_NONE
#define MISMATCH REASON_HOST_MISMATCH
#define INVALID	 REASON_NAME_INVALID
#define BAD	 REASON_HTTP_MALFORMED

struct row {
	const char *line; /* the first one */
	const char *host; /* NULL: no such field */
	uint16_t port;	  /* where none is written */
	enum reason wanted;
	const char *name; /* what it is for; of a mismatch, what the target says */
	uint16_t at;
};

static void check(const struct row *row)
{
	static struct http_head head;
	struct host host = { .name = "untouched" };
	uint16_t port = 7;
	char text[1024];
	const char *why = "unfinished";
	enum reason got;
	size_t len;
	int n = row->host ? snprintf(text, sizeof(text), "%s\r\nHost: %s\r\n\r\n", row->line,
				     row->host)
			  : snprintf(text, sizeof(text), "%s\r\n\r\n", row->line);

	if (http_request_parse((const uint8_t *)text, (size_t)n, &head, &len, &why) != HTTP_OK)
		fail_msg("%s: not even a request: %s", row->line, why);
	got = exchange_authority(&head, row->port, &host, &port);
	if (got != row->wanted)
		fail_msg("%s, Host %s: got '%s', wanted '%s'", row->line,
			 row->host ? row->host : "(none)", reason_word(got),
			 reason_word(row->wanted));
	assert_string_equal(host.name, row->name ? row->name : "untouched");
	assert_int_equal(port, row->name ? row->at : 7);
}

static void test_connect(_unused_ void **state)
{
#define CONNECT "CONNECT a.test:443 HTTP/1.1"
	static const struct row rows[] = {
		{ CONNECT, "a.test:443", 0, NONE, "a.test", 443 },
		/* The Host field need not repeat the port, which has no default here. */
		{ CONNECT, "a.test", 0, NONE, "a.test", 443 },
		{ CONNECT, "A.TEST.", 0, NONE, "a.test", 443 },
		{ "CONNECT A.Test.:443 HTTP/1.1", "a.test:443", 0, NONE, "a.test", 443 },
		{ "CONNECT a.test:80 HTTP/1.1", "a.test", 0, NONE, "a.test", 80 },
		{ "CONNECT a.test:443 HTTP/1.0", NULL, 0, NONE, "a.test", 443 },
		{ "CONNECT [2001:db8::1]:443 HTTP/1.1", "[2001:DB8:0::1]:443", 0, NONE,
		  "2001:db8::1", 443 },
		{ "CONNECT 0x7f.1:443 HTTP/1.1", "127.0.0.1", 0, NONE, "127.0.0.1", 443 },
		{ CONNECT, "a.test:80", 0, MISMATCH, "a.test", 443 },
		{ CONNECT, "a.test:444", 0, MISMATCH, "a.test", 443 },
		{ "CONNECT a.test:8443 HTTP/1.1", "a.test:443", 0, MISMATCH, "a.test", 8443 },
		{ CONNECT, "b.test:443", 0, MISMATCH, "a.test", 443 },
		{ CONNECT, "b.test", 0, MISMATCH, "a.test", 443 },
		{ CONNECT, "a.test.evil", 0, MISMATCH, "a.test", 443 },
		{ CONNECT, "192.0.2.1", 0, MISMATCH, "a.test", 443 },
		{ CONNECT, "a..test", 0, INVALID, NULL, 0 },
		{ CONNECT, "a.test:", 0, INVALID, NULL, 0 },
		{ CONNECT, "a.test:x", 0, INVALID, NULL, 0 },
		{ CONNECT, "a.test:0", 0, INVALID, NULL, 0 },
		{ "CONNECT a..test:443 HTTP/1.1", "a.test", 0, INVALID, NULL, 0 },
		{ "CONNECT 1.2.3.4.5:443 HTTP/1.1", "1.2.3.4.5", 0, INVALID, NULL, 0 },
	};
#undef CONNECT

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i]);
}

static void test_absolute_form(_unused_ void **state)
{
#define GET "GET http://a.test/ HTTP/1.1"
	static const struct row rows[] = {
		{ GET, "a.test", 80, NONE, "a.test", 80 },
		{ GET, "a.test:80", 80, NONE, "a.test", 80 },
		{ "GET http://a.test:80/ HTTP/1.1", "A.test", 80, NONE, "a.test", 80 },
		{ "GET http://a.test:8080/ HTTP/1.1", "a.test:8080", 80, NONE, "a.test", 8080 },
		{ "GET http://a.test/ HTTP/1.0", NULL, 80, NONE, "a.test", 80 },
		{ GET, "a.test", 8080, NONE, "a.test", 8080 },
		/* Here a port that is not written is the default one, on both sides. */
		{ "GET http://a.test:8080/ HTTP/1.1", "a.test", 80, MISMATCH, "a.test", 8080 },
		{ GET, "a.test:8080", 80, MISMATCH, "a.test", 80 },
		{ GET, "b.test", 80, MISMATCH, "a.test", 80 },
		{ GET, "a.test.", 80, NONE, "a.test", 80 },
		{ GET, "a..test", 80, INVALID, NULL, 0 },
		{ "GET http://a..test/ HTTP/1.1", "a..test", 80, INVALID, NULL, 0 },
		{ "GET http://a%2e/ HTTP/1.1", "a.test", 80, INVALID, NULL, 0 },
	};
#undef GET

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i]);
}

static void test_origin_form(_unused_ void **state)
{
	static const struct row rows[] = {
		{ "GET / HTTP/1.1", "a.test", 80, NONE, "a.test", 80 },
		{ "GET / HTTP/1.1", "a.test:81", 80, NONE, "a.test", 81 },
		{ "GET / HTTP/1.1", "[::1]", 80, NONE, "::1", 80 },
		{ "OPTIONS * HTTP/1.1", "a.test", 80, NONE, "a.test", 80 },
		{ "GET / HTTP/1.0", NULL, 80, BAD, NULL, 0 },
		{ "GET / HTTP/1.1", "*", 80, INVALID, NULL, 0 },
		{ "GET / HTTP/1.1", ":80", 80, INVALID, NULL, 0 },
		{ "GET / HTTP/1.1", "a.test:65536", 80, INVALID, NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_absolute_form),
		cmocka_unit_test(test_origin_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
