/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First bytes of many protocols; every row is also given byte by byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/sniff.h"

struct row {
	const char *reason;
	enum sniff want;
	size_t at; /* told from this many bytes on; 0: not checked */
	const char *bytes;
	size_t n;
};

#define ROW(want, at, bytes, reason)                       \
	{                                                  \
		reason, want, at, bytes, sizeof(bytes) - 1 \
	}

/* On every beginning MORE, then the final verdict, which stays. */
static void check_row(const struct row *row)
{
	size_t told_at = 0;
	bool told = false;

	for (size_t n = 0; n <= row->n; n++) {
		enum sniff now = sniff((const uint8_t *)row->bytes, n);

		if (!told && now == SNIFF_MORE)
			continue;
		if (now != row->want)
			fail_msg("%s: %d at %zu bytes", row->reason, now, n);
		if (!told)
			told_at = n;
		told = true;
	}
	if (!told && row->want != SNIFF_MORE)
		fail_msg("%s: not told", row->reason);
	if (row->at && told_at != row->at)
		fail_msg("%s: told at %zu bytes", row->reason, told_at);
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_row(&rows[i]);
}

static void test_http_is_not_missed(void **state)
{
	static const struct row rows[] = {
		ROW(SNIFF_HTTP, 4, "GET / HTTP/1.1\r\n", "known method and blank"),
		ROW(SNIFF_HTTP, 4, "GET\t/ HTTP/1.1\r\n", "tab instead of blank"),
		ROW(SNIFF_HTTP, 4, "GET  /", "two blanks"),
		ROW(SNIFF_HTTP, 4, "GET \0\1", "binary behind a known method"),
		ROW(SNIFF_HTTP, 6, "\r\nGET /", "empty line in front"),
		ROW(SNIFF_HTTP, 6, "\n\nGET /", "bare line feeds in front"),
		ROW(SNIFF_HTTP, 5, "\rGET /", "bare carriage return in front"),
		ROW(SNIFF_HTTP, 4, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "preface of HTTP/2"),
		ROW(SNIFF_HTTP, 8, "CONNECT a:443 HTTP/1.1\r\n", "CONNECT"),
		ROW(SNIFF_HTTP, 10, "PROPPATCH / HTTP/1.1\r\n", "WebDAV"),
		ROW(SNIFF_HTTP, 18, "FROB /x HTTP/1.1\r\n", "method of its own"),
		ROW(SNIFF_HTTP, 17, "FROB /x HTTP/1.0\n", "bare line feed at the end"),
		ROW(SNIFF_HTTP, 16, "get / HTTP/1.1\r\n", "lower case is another method"),
		ROW(SNIFF_HTTP, 17, "GETX / HTTP/1.1\r\n", "longer than a known method"),
		ROW(SNIFF_HTTP, 19, "FROB / HTTP/1.1 \t\r\n", "blanks at the end of the line"),
		ROW(SNIFF_HTTP, 19, "FROB / HTTP/01.10\r\n", "several digits"),
		ROW(SNIFF_HTTP, 17, "FROB /\tHTTP/1.1\r\n", "tab before the version"),
		ROW(SNIFF_HTTP, 0, "M-!#$%&'*+.^_`|~ / HTTP/1.1\r\n",
		    "every sign a token may hold"),
		ROW(SNIFF_HTTP, 0, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\n", "method of 32"),
		ROW(SNIFF_HTTP, 45, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\n",
		    "no length makes a method another thing"),
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_known_methods(void **state)
{
	static const char *const methods[] = {
		"GET",	 "HEAD",    "POST",   "PUT",	  "DELETE",    "OPTIONS", "TRACE",
		"PATCH", "CONNECT", "PRI",    "PROPFIND", "PROPPATCH", "MKCOL",	  "COPY",
		"MOVE",	 "LOCK",    "UNLOCK", "REPORT",	  "SEARCH",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		char line[16];
		size_t n = strlen(methods[i]);

		memcpy(line, methods[i], n);
		line[n] = ' ';
		for (size_t k = 0; k <= n; k++)
			assert_int_equal(sniff((uint8_t *)line, k), SNIFF_MORE);
		assert_int_equal(sniff((uint8_t *)line, n + 1), SNIFF_HTTP);
		assert_int_equal(sniff_at_rest((uint8_t *)line, n + 1), SNIFF_HTTP);
		assert_int_equal(sniff_at_rest((uint8_t *)line, n), SNIFF_HTTP);
	}
}

static void test_tls(void **state)
{
	static const struct row rows[] = {
		ROW(SNIFF_TLS, 1, "\x16\3\1\2\0\1", "handshake record"),
		ROW(SNIFF_TLS, 1, "\x16\3\xff", "what is wrong later is the parser's to say"),
		ROW(SNIFF_TLS, 1, "\x16\2\1", "another version: Go's servers take it"),
		ROW(SNIFF_OPAQUE, 1, "\x15\3\1", "another record"),
		ROW(SNIFF_OPAQUE, 1, "\x80\x2e\1\3\1", "SSL 2"),
		ROW(SNIFF_OPAQUE, 3, "\r\n\x16\3\1", "no server of TLS skips empty lines"),
		ROW(SNIFF_TLS, 1, "\x16", "the type alone"),
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_opaque_protocols(void **state)
{
	static const struct row rows[] = {
		ROW(SNIFF_OPAQUE, 16, "SSH-2.0-OpenSSH\r\n", "SSH"),
		ROW(SNIFF_OPAQUE, 27, "SSH-2.0-OpenSSH_9.2 Debian\n", "SSH with a comment"),
		ROW(SNIFF_OPAQUE, 8, "EHLO x\r\n", "SMTP"),
		ROW(SNIFF_OPAQUE, 1, "\0\0\0\x08\4\xd2\x16\x2f", "PostgreSQL SSLRequest"),
		ROW(SNIFF_OPAQUE, 1, " \0\0\1\x85\xa6", "MySQL"),
		ROW(SNIFF_OPAQUE, 2, "a\0\0\1\x85\xa6", "MySQL, a letter by chance"),
		ROW(SNIFF_OPAQUE, 3, "*1\r\n$4\r\nPING\r\n", "Redis"),
		ROW(SNIFF_OPAQUE, 5, "PING\r\n", "Redis inline"),
		ROW(SNIFF_OPAQUE, 9, "get key\r\n", "memcached"),
		ROW(SNIFF_OPAQUE, 41, "PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n GET", "PROXY"),
		ROW(SNIFF_OPAQUE, 5, "\r\n\r\n\0\r\nQUIT\n", "PROXY version 2"),
		ROW(SNIFF_OPAQUE, 4, "GET\r\n", "known method without a blank"),
		ROW(SNIFF_OPAQUE, 4, "GET:/", "known method and no blank"),
		ROW(SNIFF_OPAQUE, 1, " GET / HTTP/1.1\r\n", "blank in front"),
		ROW(SNIFF_OPAQUE, 16, "FROB / HTTP/1.\r\n", "half a version"),
		ROW(SNIFF_OPAQUE, 0, "FROB / HTTP/.1\r\n", "the other half"),
		ROW(SNIFF_OPAQUE, 0, "FROB / HTTP/11\r\n", "no dot"),
		ROW(SNIFF_OPAQUE, 0, "FROB / HTTP/1x1\r\n", "a letter for the dot"),
		ROW(SNIFF_OPAQUE, 0, "FROB /HTTP/1.1\r\n", "no blank before it"),
		ROW(SNIFF_OPAQUE, 0, "FROB / XTTP/1.1\r\n", "not HTTP"),
		ROW(SNIFF_OPAQUE, 0, "H 1.1\r\n", "hardly anything"),
		ROW(SNIFF_OPAQUE, 0, "a \n", "nothing"),
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void test_empty_lines_have_a_limit(void **state)
{
	uint8_t b[80];

	(void)state;
	memset(b, '\n', sizeof(b));
	assert_int_equal(sniff(b, 0), SNIFF_MORE);
	assert_int_equal(sniff(b, 64), SNIFF_MORE);
	assert_int_equal(sniff(b, 65), SNIFF_HTTP);
	memcpy(b + 64, "GET /", 5);
	assert_int_equal(sniff(b, 67), SNIFF_MORE);
	assert_int_equal(sniff(b, 68), SNIFF_HTTP);
	memcpy(b + 64, "\nGET /", 6);
	assert_int_equal(sniff(b, 70), SNIFF_HTTP);
}

static void test_request_line_has_a_limit(void **state)
{
	static const char end[] = " HTTP/1.1\r\n";
	static uint8_t b[8300];
	const size_t end_n = sizeof(end) - 1;

	(void)state;
	for (size_t line = 8191; line <= 8193; line++) {
		memset(b, 'a', sizeof(b));
		memcpy(b, "FROB /", 6);
		memcpy(b + line - end_n, end, end_n);
		assert_int_equal(sniff(b, 8190), SNIFF_MORE);
		assert_int_equal(sniff(b, 8192), SNIFF_HTTP);
		assert_int_equal(sniff(b, sizeof(b)), SNIFF_HTTP);
	}
}

static void test_at_rest(void **state)
{
	static const struct row rows[] = {
		ROW(SNIFF_HTTP, 0, "POST ", "known method and blank"),
		ROW(SNIFF_TLS, 0, "\x16\3", "TLS"),
		ROW(SNIFF_OPAQUE, 0, "", "nothing"),
		ROW(SNIFF_TLS, 0, "\x16", "a byte of TLS"),
		ROW(SNIFF_HTTP, 0, "PING", "a word: it may be a method"),
		ROW(SNIFF_HTTP, 0, "FROB /x", "line without an end"),
		ROW(SNIFF_HTTP, 0, "\r\n", "empty lines"),
		ROW(SNIFF_OPAQUE, 0, "SSH-2.0-x\r\n", "told before"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (sniff_at_rest((const uint8_t *)rows[i].bytes, rows[i].n) != rows[i].want)
			fail_msg("wrong: %s", rows[i].reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_is_not_missed),
		cmocka_unit_test(test_known_methods),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_opaque_protocols),
		cmocka_unit_test(test_empty_lines_have_a_limit),
		cmocka_unit_test(test_request_line_has_a_limit),
		cmocka_unit_test(test_at_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
