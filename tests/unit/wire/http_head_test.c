/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads: what must be refused, each row also byte by byte, so that no portion is judged otherwise
 * than the whole; then what is taken and what it means.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/http_head.h"

typedef enum http_state parse_fn(const uint8_t *p, size_t n, struct http_head *ret, size_t *ret_len,
				 const char **ret_why);

struct row {
	const char *reason;
	struct str bytes;
};

#define ROW(bytes, reason)             \
	{                              \
		reason, STR_LIT(bytes) \
	}

/* Of any beginning the verdict is MORE or the final one; a refusal says why and touches nothing. */
static void check_refused(parse_fn *parse, struct str s, enum http_state want, const char *reason)
{
	static struct http_head h, untouched;

	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t n = 0; n <= s.n; n++) {
		const char *why = NULL;
		size_t len = 77;
		enum http_state state;

		h = untouched;
		state = parse((const uint8_t *)s.p, n, &h, &len, &why);
		if (state != want && (state != HTTP_MORE || n == s.n))
			fail_msg("%s: %d at %zu bytes", reason, state, n);
		if ((state == HTTP_MORE) != (why == NULL) || len != 77 ||
		    memcmp(&h, &untouched, sizeof(h)) != 0)
			fail_msg("%s: outputs at %zu bytes", reason, n);
	}
}

static void check_rows(parse_fn *parse, enum http_state want, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_refused(parse, rows[i].bytes, want, rows[i].reason);
}

/* A head that must be taken, and none of its beginnings before it is complete. */
static void take(parse_fn *parse, struct str s, struct http_head *ret)
{
	const char *why = NULL;
	size_t len = 0;

	for (size_t n = 0; n < s.n; n++)
		if (parse((const uint8_t *)s.p, n, ret, &len, &why) != HTTP_MORE)
			fail_msg("%.*s: told at %zu bytes (%s)", STR_FMT(s), n, why ? why : "");
	if (parse((const uint8_t *)s.p, s.n, ret, &len, &why) != HTTP_OK)
		fail_msg("refused (%s): %.*s", why ? why : "more", STR_FMT(s));
	assert_int_equal(len, s.n);
	assert_null(why);
}

#define REQUEST(text) take(http_request_parse, STR_LIT(text), &h)
#define ANSWER(text)  take(http_answer_parse, STR_LIT(text), &h)

static void assert_text(struct str s, const char *want)
{
	if (!str_eq(s, str_of(want)))
		fail_msg("\"%.*s\" instead of \"%s\"", STR_FMT(s), want);
}

/* ---- requests that are refused ----------------------------------------------------------- */

static void test_request_line_refused(void **state)
{
	static const struct row rows[] = {
		ROW("GET /\r\n", "HTTP/0.9"),
		ROW("GET\r\n", "a method alone"),
		ROW(" GET / HTTP/1.1\r\n", "blank before the method"),
		ROW("/ HTTP/1.1\r\n", "no method"),
		ROW("GET  / HTTP/1.1\r\n", "two blanks before the target"),
		ROW("GET /  HTTP/1.1\r\n", "two blanks behind the target"),
		ROW("GET\t/ HTTP/1.1\r\n", "tab before the target"),
		ROW("GET /\tHTTP/1.1\r\n", "tab behind the target"),
		ROW("GET / HTTP/1.1 \r\n", "blank behind the version"),
		ROW("GET / x HTTP/1.1\r\n", "blank in the target"),
		ROW("GET / HTTP/1.1 HTTP/1.1\r\n", "two versions"),
		ROW("G(T / HTTP/1.1\r\n", "method is no token"),
		ROW("G\x80T / HTTP/1.1\r\n", "method above ASCII"),
		ROW("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n", "method of 33"),
		ROW("GET /\x80 HTTP/1.1\r\n", "target above ASCII"),
		ROW("GET /\0 HTTP/1.1\r\n", "NUL in the target"),
		ROW("GET /\x1b HTTP/1.1\r\n", "control in the target"),
		ROW("GET /\x7f HTTP/1.1\r\n", "DEL in the target"),
		ROW("GET /#a HTTP/1.1\r\n", "fragment"),
		ROW("GET http://a.example/#@b.example/ HTTP/1.1\r\n", "fragment in a URL"),
		ROW("GET / http/1.1\r\n", "version in lower case"),
		ROW("GET / HTTP/1\r\n", "half a version"),
		ROW("GET / HTTP/11\r\n", "version without a dot"),
		ROW("GET / HTTP/01.1\r\n", "version with two digits"),
		ROW("GET / HTTP/1.10\r\n", "minor version with two digits"),
		ROW("GET / HTTP/1.+\r\n", "minor version with a sign"),
		ROW("GET / HTTPS/1.1\r\n", "another protocol"),
		ROW("GET / ICY/1.1\r\n", "yet another"),
		ROW("GET / HTTP/1.1\n", "bare line feed"),
		ROW("GET / HTTP/1.1\r\r\n", "two carriage returns"),
		ROW("GET / HTTP/1.1\rHost: a\r\n", "bare carriage return"),
		ROW("\n", "bare line feed in front"),
		ROW("\rG", "bare carriage return in front"),
		ROW("\r\n\r\n\r\n", "three empty lines in front"),
		ROW("\x16\x03\x01", "TLS"),
		ROW("\0", "NUL"),
	};

	(void)state;
	check_rows(http_request_parse, HTTP_BAD, rows, ARRAY_SIZE(rows));
}

static void test_version_refused(void **state)
{
	static const struct row rows[] = {
		ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "preface of HTTP/2"),
		ROW("GET / HTTP/1.2\r\n", "1.2"),
		ROW("GET / HTTP/1.9\r\n", "1.9"),
		ROW("GET / HTTP/0.9\r\n", "0.9"),
		ROW("GET / HTTP/3.1\r\n", "3.1"),
	};

	(void)state;
	check_rows(http_request_parse, HTTP_VERSION, rows, ARRAY_SIZE(rows));
	check_refused(http_answer_parse, STR_LIT("HTTP/2.0 200 OK\r\n"), HTTP_VERSION, "answer");
	check_refused(http_answer_parse, STR_LIT("HTTP/1.2 200\r\n"), HTTP_VERSION, "answer");
}

static void test_targets_refused(void **state)
{
	static const char *const targets[] = {
		/* CONNECT, and the form that is its alone */
		"CONNECT a.example",
		"CONNECT a.example:",
		"CONNECT :443",
		"CONNECT a.example:0",
		"CONNECT a.example:65536",
		"CONNECT a.example:4294967739",
		"CONNECT a.example:99999",
		"CONNECT a.example:+443",
		"CONNECT a.example:-1",
		"CONNECT a.example:0443",
		"CONNECT a.example:443x",
		"CONNECT a.example:https",
		"CONNECT a.example:443:443",
		"CONNECT a.example:443/",
		"CONNECT a.example:443?x",
		"CONNECT user@a.example:443",
		"CONNECT user:secret@a.example:443",
		"CONNECT a.example,b.example:443",
		"CONNECT a.example:443,b.example:443",
		"CONNECT a\\b:443",
		"CONNECT [::1]",
		"CONNECT [::1]:",
		"CONNECT [::1:443",
		"CONNECT []:443",
		"CONNECT ::1:443",
		"CONNECT ::1]:443",
		"CONNECT [::1]443",
		"CONNECT [::1]]:443",
		"CONNECT [[::1]]:443",
		"CONNECT a[::1]:443",
		"CONNECT http://a.example:443",
		"CONNECT http://a.example:443/",
		"CONNECT /",
		"CONNECT *",
		"GET a.example:443",
		"connect a.example:443",
		"OPTIONS a.example:443",
		/* asterisk-form */
		"GET *",
		"CONNECT *:443",
		"options *",
		"OPTIONS **",
		"OPTIONS */",
		"OPTIONS *?x",
		/* absolute-form */
		"GET a.example/",
		"GET http",
		"GET http:",
		"GET http:/",
		"GET http://",
		"GET http:///",
		"GET http:///a.example/",
		"GET http:a.example/",
		"GET http:/a.example/",
		"GET http:\\\\a.example/",
		"GET ://a.example/",
		"GET //a.example/ ",
		"GET ftp://a.example/",
		"GET file:///etc/passwd",
		"GET httpx://a.example/",
		"GET xhttp://a.example/",
		"GET http://?x",
		"GET http://a.example?x",
		"GET http://a.example?x/",
		"GET http://user@a.example/",
		"GET http://user:secret@a.example/",
		"GET http://a.example:80@b.example/",
		"GET http://a.example\\@b.example/",
		"GET http://a.example,b.example/",
		"GET http://a.example:/",
		"GET http://a.example:0/",
		"GET http://a.example:65536/",
		"GET http://:80/",
		"GET http://[::1/",
		"GET http://[]/",
		"GET http://::1/",
		"GET http://[::1]x/",
		"GET http://[::1]80/",
		"GET ?x",
		"GET .",
		"GET \"/\"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(200);

		assert_int_equal(buf_printf(&b, "%s HTTP/1.1\r\n", targets[i]), 0);
		check_refused(http_request_parse, buf_str(&b), HTTP_BAD, targets[i]);
	}
}

#define LINE "GET / HTTP/1.1\r\nHost: a.example\r\n"

static void test_fields_refused(void **state)
{
	static const struct row rows[] = {
		ROW(LINE "A : b\r\n", "blank before the colon"),
		ROW(LINE "A\t: b\r\n", "tab before the colon"),
		ROW(LINE " A: b\r\n", "blank before the name, or folded"),
		ROW(LINE "\tA: b\r\n", "tab before the name, or folded"),
		ROW("GET / HTTP/1.1\r\n Host: a\r\n", "blank before the first name"),
		ROW(LINE " \r\n", "a line of blanks is no end"),
		ROW(LINE ": b\r\n", "empty name"),
		ROW(LINE "A B: c\r\n", "blank in a name"),
		ROW(LINE "A\"B\": c\r\n", "quotes in a name"),
		ROW(LINE "A\x80: b\r\n", "name above ASCII"),
		ROW(LINE "A@: b\r\n", "name that is no token"),
		ROW(LINE "A[: b\r\n", "name that is no token"),
		ROW(LINE "A\0: b\r\n", "NUL in a name"),
		ROW(LINE "A: b\0c\r\n", "NUL in a value"),
		ROW(LINE "A: \x01\r\n", "control in a value"),
		ROW(LINE "A: \x1b[2J\r\n", "escape in a value"),
		ROW(LINE "A: \x7f\r\n", "DEL in a value"),
		ROW(LINE "A: b\n", "bare line feed"),
		ROW(LINE "A: b\nC: d\r\n", "bare line feed between fields"),
		ROW(LINE "A: b\rC: d\r\n", "bare carriage return"),
		ROW(LINE "A: b\r\r\n", "two carriage returns"),
		ROW(LINE "A\r\n", "no colon"),
		ROW(LINE "GET / HTTP/1.1\r\n", "another request line"),
		ROW(LINE "\n", "end with a bare line feed"),
		ROW(LINE "\r\r", "end with a bare carriage return"),
	};

	(void)state;
	check_rows(http_request_parse, HTTP_BAD, rows, ARRAY_SIZE(rows));
}

static void test_hosts_refused(void **state)
{
	static const struct row rows[] = {
		ROW("GET / HTTP/1.1\r\n\r\n", "none"),
		ROW("GET http://a.example/ HTTP/1.1\r\nX: y\r\n\r\n", "none, with a URL"),
		ROW(LINE "Host: a.example\r\n", "two, equal"),
		ROW(LINE "hOST: b.example\r\n", "two, not equal"),
		ROW("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", "two, in HTTP/1.0"),
		ROW("GET / HTTP/1.1\r\nHost:\r\n", "empty"),
		ROW("GET / HTTP/1.1\r\nHost:  \t \r\n", "of blanks"),
		ROW("GET / HTTP/1.1\r\nHost: a b\r\n", "blank"),
		ROW("GET / HTTP/1.1\r\nHost: a\tb\r\n", "tab"),
		ROW("GET / HTTP/1.1\r\nHost: a,b\r\n", "comma"),
		ROW("GET / HTTP/1.1\r\nHost: a@b\r\n", "userinfo"),
		ROW("GET / HTTP/1.1\r\nHost: a/b\r\n", "path"),
		ROW("GET / HTTP/1.1\r\nHost: http://a\r\n", "URL"),
		ROW("GET / HTTP/1.1\r\nHost: a?b\r\n", "query"),
		ROW("GET / HTTP/1.1\r\nHost: a#b\r\n", "fragment"),
		ROW("GET / HTTP/1.1\r\nHost: a\\b\r\n", "backslash"),
		ROW("GET / HTTP/1.1\r\nHost: evil.example\0.a.example\r\n", "NUL"),
	};

	(void)state;
	check_rows(http_request_parse, HTTP_BAD, rows, ARRAY_SIZE(rows));
}

#define POST "POST / HTTP/1.1\r\nHost: a.example\r\n"

static void test_framing_refused(void **state)
{
	static const struct row rows[] = {
		ROW(POST "Content-Length: 5\r\nContent-Length: 5\r\n", "two lengths, equal"),
		ROW(POST "Content-Length: 5\r\ncontent-length: 6\r\n", "two lengths, not equal"),
		ROW(POST "Content-Length: 5, 5\r\n", "two in one"),
		ROW(POST "Content-Length:\r\n", "empty"),
		ROW(POST "Content-Length: +5\r\n", "sign"),
		ROW(POST "Content-Length: -5\r\n", "negative"),
		ROW(POST "Content-Length: 5 6\r\n", "blank inside"),
		ROW(POST "Content-Length: 0x5\r\n", "hexadecimal"),
		ROW(POST "Content-Length: 5.0\r\n", "fraction"),
		ROW(POST "Content-Length: 5a\r\n", "letter behind"),
		ROW(POST "Content-Length: \"5\"\r\n", "quotes"),
		ROW(POST "Content-Length: \xb2\r\n", "a digit of another script"),
		ROW(POST "Content-Length: 1000000000000000000\r\n", "19 digits"),
		ROW(POST "Content-Length: 18446744073709551621\r\n", "2^64 + 5"),
		ROW(POST "Content-Length: 0000000000000000005\r\n", "19 digits, zeros"),
		ROW(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
		ROW(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", "both"),
		ROW(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "two"),
		ROW(POST "Transfer-Encoding: chunked, chunked\r\n", "twice"),
		ROW(POST "Transfer-Encoding: chunked,\r\n", "comma behind"),
		ROW(POST "Transfer-Encoding: gzip, chunked\r\n", "another before"),
		ROW(POST "Transfer-Encoding: chunked, identity\r\n", "another behind"),
		ROW(POST "Transfer-Encoding: identity\r\n", "another"),
		ROW(POST "Transfer-Encoding: xchunked\r\n", "letter before"),
		ROW(POST "Transfer-Encoding: chunkedx\r\n", "letter behind"),
		ROW(POST "Transfer-Encoding: chunke\r\n", "letter less"),
		ROW(POST "Transfer-Encoding: chunked;q=1\r\n", "parameter"),
		ROW(POST "Transfer-Encoding: \"chunked\"\r\n", "quotes"),
		ROW(POST "Transfer-Encoding: \x0b"
			 "chunked\r\n",
		    "vertical tab"),
		ROW(POST "Transfer-Encoding: chunk\xc4\x97"
			 "d\r\n",
		    "a letter of another alphabet"),
		ROW(POST "Transfer-Encoding:\r\n", "empty"),
		ROW(POST "Transfer-Encoding: chunked\t\r\n", "tab behind"),
		ROW(POST "Transfer-Encoding: chunked \t \r\n", "tab between blanks"),
		ROW(POST "Transfer-Encoding:\tchunked\r\n", "tab before"),
		ROW(POST "Content-Length: 5\t\r\n", "tab behind a length"),
		ROW(POST "Transfer-Encoding : chunked\r\n", "blank before the colon"),
		ROW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"),
		ROW("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\n", "CONNECT"),
		ROW("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		    "CONNECT, chunked"),
	};

	(void)state;
	check_rows(http_request_parse, HTTP_BAD, rows, ARRAY_SIZE(rows));
}

static void test_connection_refused(void **state)
{
	static const struct row rows[] = {
		ROW(LINE "Connection: a b\r\n", "two words"),
		ROW(LINE "Connection: close;\r\n", "another sign"),
		ROW(LINE "Connection: close, \"x\"\r\n", "quotes"),
		ROW(LINE "Connection: \xc3\xa9\r\n", "no ASCII"),
		ROW(LINE "Connection: ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\n", "33 empty ones"),
		ROW(LINE "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n"
			 "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n",
		    "33 in two fields"),
	};

	(void)state;
	check_rows(http_request_parse, HTTP_BAD, rows, ARRAY_SIZE(rows));
	check_rows(http_answer_parse, HTTP_BAD,
		   (const struct row[]){ ROW("HTTP/1.1 200 OK\r\nConnection: a b\r\n", "answer") },
		   1);
}

/* ---- limits ------------------------------------------------------------------------------ */

/* A request whose second line is a field of `line` bytes, CRLF included. */
static void build_line(struct buf *b, size_t line)
{
	assert_int_equal(buf_append_str(b, STR_LIT(LINE "A:")), 0);
	for (size_t i = 4; i < line; i++)
		assert_int_equal(buf_append_u8(b, 'x'), 0);
	assert_int_equal(buf_append_str(b, STR_LIT("\r\n\r\n")), 0);
}

static enum http_state parse_request(const struct buf *b, size_t n, struct http_head *ret)
{
	const char *why = NULL;
	size_t len;
	enum http_state state = http_request_parse(buf_data(b), n, ret, &len, &why);

	if (state == HTTP_OK)
		assert_int_equal(len, n);
	return state;
}

static void test_lines_have_a_limit(void **state)
{
	const size_t before = sizeof(LINE) - 1;
	static struct http_head h;

	(void)state;
	for (size_t line = HTTP_LINE_MAX - 1; line <= HTTP_LINE_MAX + 1; line++) {
		_cleanup_buf_ struct buf b = BUF_INIT(HTTP_HEAD_MAX);
		bool fits = line <= HTTP_LINE_MAX;

		build_line(&b, line);
		assert_int_equal(parse_request(&b, buf_len(&b), &h),
				 fits ? HTTP_OK : HTTP_TOO_LARGE);
		assert_int_equal(parse_request(&b, before + HTTP_LINE_MAX - 2, &h), HTTP_MORE);
		/* An endless one is refused when its last possible byte is no end. */
		assert_int_equal(parse_request(&b, before + HTTP_LINE_MAX, &h),
				 fits ? HTTP_MORE : HTTP_TOO_LARGE);
	}
}

static void test_request_line_has_a_limit(void **state)
{
	static struct http_head h;

	(void)state;
	for (size_t line = HTTP_LINE_MAX - 1; line <= HTTP_LINE_MAX + 1; line++) {
		_cleanup_buf_ struct buf b = BUF_INIT(HTTP_HEAD_MAX);

		assert_int_equal(buf_append_str(&b, STR_LIT("GET /")), 0);
		while (buf_len(&b) < line - 11)
			assert_int_equal(buf_append_u8(&b, 'x'), 0);
		assert_int_equal(
			buf_append_str(&b, STR_LIT(" HTTP/1.1\r\nHost: a.example\r\n\r\n")), 0);
		assert_int_equal(parse_request(&b, buf_len(&b), &h),
				 line <= HTTP_LINE_MAX ? HTTP_OK : HTTP_TOO_LARGE);
	}
}

/* Eight lines of fields, the last one as long as `total` wants. */
static void test_head_has_a_limit(void **state)
{
	static struct http_head h;

	(void)state;
	for (size_t total = HTTP_HEAD_MAX - 1; total <= HTTP_HEAD_MAX + 1; total++) {
		_cleanup_buf_ struct buf b = BUF_INIT(2 * HTTP_HEAD_MAX);
		bool fits = total <= HTTP_HEAD_MAX;

		assert_int_equal(buf_append_str(&b, STR_LIT(LINE)), 0);
		for (size_t i = 0; i < 8; i++) {
			size_t left = total - 2 - buf_len(&b);
			size_t line = MIN(left, (size_t)HTTP_LINE_MAX - 4);

			assert_int_equal(buf_append_str(&b, STR_LIT("A:")), 0);
			for (size_t k = 4; k < line; k++)
				assert_int_equal(buf_append_u8(&b, 'x'), 0);
			assert_int_equal(buf_append_str(&b, STR_LIT("\r\n")), 0);
		}
		assert_int_equal(buf_append_str(&b, STR_LIT("\r\n")), 0);
		assert_int_equal(buf_len(&b), total);
		assert_int_equal(parse_request(&b, total, &h), fits ? HTTP_OK : HTTP_TOO_LARGE);
		assert_int_equal(parse_request(&b, HTTP_HEAD_MAX - 2, &h), HTTP_MORE);
		assert_int_equal(parse_request(&b, total - 1, &h),
				 total - 1 < HTTP_HEAD_MAX ? HTTP_MORE : HTTP_TOO_LARGE);
	}
}

static void test_fields_have_a_limit(void **state)
{
	static struct http_head h;

	(void)state;
	for (size_t count = HTTP_FIELDS_MAX - 1; count <= HTTP_FIELDS_MAX + 1; count++) {
		_cleanup_buf_ struct buf b = BUF_INIT(HTTP_HEAD_MAX);

		assert_int_equal(buf_append_str(&b, STR_LIT(LINE)), 0);
		for (size_t i = 1; i < count; i++)
			assert_int_equal(buf_append_str(&b, STR_LIT("A:\r\n")), 0);
		if (count > HTTP_FIELDS_MAX) {
			check_refused(http_request_parse, buf_str(&b), HTTP_TOO_LARGE, "fields");
			continue;
		}
		assert_int_equal(buf_append_str(&b, STR_LIT("\r\n")), 0);
		assert_int_equal(parse_request(&b, buf_len(&b), &h), HTTP_OK);
		assert_int_equal(h.field_count, count);
	}
}

/* ---- requests that are taken ------------------------------------------------------------- */

static void test_request(void **state)
{
	static struct http_head h;

	(void)state;
	REQUEST("POST /a/b?c=d&e=[]{}|\\^\"<>` HTTP/1.1\r\nHost: A.example:8080\r\n"
		"User-Agent:curl/8\r\nX-Empty:\r\nX-Wide: \t a \t b\xff \t\r\n"
		"!#$%&'*+-.^_`|~09azAZ: token\r\nx-wide: twice\r\nContent-Length: 007\r\n\r\n");
	assert_text(h.method, "POST");
	assert_text(h.target, "/a/b?c=d&e=[]{}|\\^\"<>`");
	assert_text(h.path, "/a/b?c=d&e=[]{}|\\^\"<>`");
	assert_int_equal(h.form, HTTP_ORIGIN_FORM);
	assert_int_equal(h.authority.n + h.scheme.n + h.phrase.n, 0);
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.host_count, 1);
	assert_text(h.host, "A.example:8080");
	assert_true(h.has_length && !h.chunked && h.keep_alive);
	assert_false(h.upgrade || h.expect_continue);
	assert_true(h.content_length == 7);
	assert_int_equal(http_request_framing(&h), HTTP_LENGTH);
	assert_int_equal(h.field_count, 7);
	assert_text(h.fields[1].name, "User-Agent");
	assert_text(h.fields[1].value, "curl/8");
	assert_text(h.fields[2].value, "");
	assert_text(h.fields[3].value, "a \t b\xff");
	assert_text(h.fields[4].name, "!#$%&'*+-.^_`|~09azAZ");

	assert_ptr_equal(http_field_find(&h, "user-agent"), &h.fields[1]);
	assert_ptr_equal(http_field_find(&h, "X-EMPTY"), &h.fields[2]);
	assert_null(http_field_find(&h, "X-Wide"));
	assert_null(http_field_find(&h, "X-Empt"));
	assert_null(http_field_find(&h, ""));
}

static void test_targets(void **state)
{
	static const struct {
		const char *line;
		enum http_target_form form;
		const char *scheme, *authority, *path;
	} rows[] = {
		{ "GET /", HTTP_ORIGIN_FORM, "", "", "/" },
		{ "GET //b.example/x", HTTP_ORIGIN_FORM, "", "", "//b.example/x" },
		{ "GET /?http://b.example/@", HTTP_ORIGIN_FORM, "", "", "/?http://b.example/@" },
		{ "OPTIONS *", HTTP_ASTERISK_FORM, "", "", "*" },
		{ "OPTIONS /*", HTTP_ORIGIN_FORM, "", "", "/*" },
		{ "GET http://a.example/x?y", HTTP_ABSOLUTE_FORM, "http", "a.example", "/x?y" },
		{ "GET http://a.example", HTTP_ABSOLUTE_FORM, "http", "a.example", "/" },
		{ "GET http://a.example:8080", HTTP_ABSOLUTE_FORM, "http", "a.example:8080", "/" },
		{ "GET hTTpS://A_-%.example:1/", HTTP_ABSOLUTE_FORM, "hTTpS", "A_-%.example:1",
		  "/" },
		{ "GET http://[::1%25lo]:65535/", HTTP_ABSOLUTE_FORM, "http", "[::1%25lo]:65535",
		  "/" },
		{ "GET http://[::ffff:1.2.3.4]/@", HTTP_ABSOLUTE_FORM, "http", "[::ffff:1.2.3.4]",
		  "/@" },
		{ "CONNECT a.example:443", HTTP_AUTHORITY_FORM, "", "a.example:443", "" },
		{ "CONNECT [::1]:1", HTTP_AUTHORITY_FORM, "", "[::1]:1", "" },
		{ "CONNECT 1.2.3.4:65535", HTTP_AUTHORITY_FORM, "", "1.2.3.4:65535", "" },
		{ "CONNECT http:80", HTTP_AUTHORITY_FORM, "", "http:80", "" },
		/* Whether it is a name is decided elsewhere. */
		{ "CONNECT a..example.:443", HTTP_AUTHORITY_FORM, "", "a..example.:443", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(200);
		static struct http_head h;

		assert_int_equal(
			buf_printf(&b, "%s HTTP/1.1\r\nHost: x.example\r\n\r\n", rows[i].line), 0);
		take(http_request_parse, buf_str(&b), &h);
		assert_int_equal(h.form, rows[i].form);
		assert_text(h.scheme, rows[i].scheme);
		assert_text(h.authority, rows[i].authority);
		assert_text(h.path, rows[i].path);
		assert_text(h.host, "x.example");
		assert_int_equal(http_request_framing(&h), HTTP_NO_BODY);
	}
}

static void test_small_heads(void **state)
{
	static struct http_head h;

	(void)state;
	REQUEST("\r\n\r\nGET / HTTP/1.1\r\nHost:a\r\n\r\n");
	assert_text(h.method, "GET");
	REQUEST("GET / HTTP/1.0\r\n\r\n");
	assert_int_equal(h.host_count, 0);
	assert_int_equal(h.host.n, 0);
	assert_int_equal(h.minor, 0);
	REQUEST("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.0\r\n\r\n");
	assert_int_equal(h.method.n, 32);
	/* IDNA is the business of whoever reads the name. */
	REQUEST("GET / HTTP/1.1\r\nHost: \xc3\xa4.example\r\n\r\n");
	assert_text(h.host, "\xc3\xa4.example");
	REQUEST("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(http_request_framing(&h), HTTP_NO_BODY);
	REQUEST(POST "transfer-encoding:  ChunKed \r\n\r\n");
	assert_int_equal(http_request_framing(&h), HTTP_CHUNKED);
	REQUEST(POST "Content-Length: 999999999999999999\r\n\r\n");
	assert_true(h.content_length == UINT64_C(999999999999999999));
}

static void test_bytes_behind_a_head_are_not_read(void **state)
{
	static const char two[] = LINE "\r\n\0\n: Host";
	static struct http_head h;
	const char *why = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(http_request_parse((const uint8_t *)two, sizeof(two), &h, &len, &why),
			 HTTP_OK);
	assert_int_equal(len, sizeof(LINE) - 1 + 2);
}

static void test_what_connection_says(void **state)
{
	static const struct {
		const char *version, *fields;
		bool keep_alive, upgrade;
		const char *upgrade_to;
	} rows[] = {
		{ "1.1", "", true, false, "" },
		{ "1.0", "", false, false, "" },
		{ "1.1", "Connection: close\r\n", false, false, "" },
		{ "1.1", "Connection: x , ,CLOSE,\r\n", false, false, "" },
		{ "1.1", "Connection: x\r\nconnection: close\r\n", false, false, "" },
		{ "1.1", "Connection: closed\r\n", true, false, "" },
		{ "1.1", "Connection: keep-alive\r\n", true, false, "" },
		{ "1.0", "Connection: Keep-Alive\r\n", true, false, "" },
		{ "1.0", "Connection: keep-alive, close\r\n", false, false, "" },
		{ "1.1", "Connection: close, keep-alive\r\n", false, false, "" },
		{ "1.0", "Proxy-Connection: keep-alive\r\n", false, false, "" },
		{ "1.1", "Connection:\r\n", true, false, "" },
		{ "1.1", "Connection: connection\r\n", true, false, "" },
		{ "1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", true, true, "websocket" },
		{ "1.1", "Upgrade: a/1, b\r\nConnection: x, upgrade\r\n", true, true, "a/1, b" },
		{ "1.1", "Upgrade: websocket\r\n", true, false, "" },
		{ "1.1", "Connection: upgrade\r\n", true, false, "" },
		{ "1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n", false, false, "" },
		{ "1.1", "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", true, false, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(200);
		static struct http_head h;

		for (size_t answer = 0; answer < 2; answer++) {
			buf_truncate(&b, 0);
			assert_int_equal(buf_printf(&b,
						    answer ? "HTTP/%s 200 OK\r\n%s\r\n"
							   : "GET / HTTP/%s\r\nHost: a\r\n%s\r\n",
						    rows[i].version, rows[i].fields),
					 0);
			take(answer ? http_answer_parse : http_request_parse, buf_str(&b), &h);
			if (h.keep_alive != rows[i].keep_alive || h.upgrade != rows[i].upgrade)
				fail_msg("HTTP/%s: %s", rows[i].version, rows[i].fields);
			assert_text(h.upgrade_to, rows[i].upgrade_to);
		}
	}
}

static void test_expect(void **state)
{
	static struct http_head h;

	(void)state;
	REQUEST(POST "Expect: 100-Continue\r\n\r\n");
	assert_true(h.expect_continue);
	REQUEST(POST "Expect: 200-maybe\r\n\r\n");
	assert_false(h.expect_continue);
	REQUEST(POST "Expect: 100-continue, x\r\n\r\n");
	assert_false(h.expect_continue);
	REQUEST("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
	assert_false(h.expect_continue);
	ANSWER("HTTP/1.1 200 OK\r\nExpect: 100-continue\r\n\r\n");
	assert_false(h.expect_continue);
}

/* ---- answers ----------------------------------------------------------------------------- */

static void test_answers_refused(void **state)
{
	static const struct row rows[] = {
		ROW("\r\n", "empty line in front"),
		ROW("HTTP/1.1\r\n", "no status"),
		ROW("HTTP/1.1 \r\n", "empty status"),
		ROW("HTTP/1.1  200 OK\r\n", "two blanks"),
		ROW("HTTP/1.1\t200 OK\r\n", "tab"),
		ROW("HTTP/1.1 200\tOK\r\n", "tab behind the status"),
		ROW("HTTP/1.1 20 OK\r\n", "two digits"),
		ROW("HTTP/1.1 2000 OK\r\n", "four digits"),
		ROW("HTTP/1.1 099 OK\r\n", "below 100"),
		ROW("HTTP/1.1 600 OK\r\n", "above 599"),
		ROW("HTTP/1.1 2x0 OK\r\n", "letter"),
		ROW("HTTP/1.1 +20 OK\r\n", "sign"),
		ROW("HTTP/1.1 -20 OK\r\n", "negative"),
		ROW("HTTP/1.1 2\0000 OK\r\n", "NUL"),
		ROW("HTTP/1.1 200 O\0K\r\n", "NUL in the phrase"),
		ROW("HTTP/1.1 200 O\x1bK\r\n", "control in the phrase"),
		ROW("HTTP/1.1 200 OK\n", "bare line feed"),
		ROW("HTTP/1.1 200 O\rK\r\n", "bare carriage return"),
		ROW("http/1.1 200 OK\r\n", "lower case"),
		ROW("HTTP/1.1.1 200 OK\r\n", "longer version"),
		ROW("HTTP/1 200 OK\r\n", "half a version"),
		ROW("ICY 200 OK\r\n", "another protocol"),
		ROW("200 OK\r\n", "no version"),
		ROW("SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
		ROW("\x15\x03\x03\0\2\2\x28", "TLS alert"),
		ROW("HTTP/1.1 200 OK\r\n A: b\r\n", "folded"),
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", "two lengths"),
		ROW("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		    "both"),
		ROW("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", "two codings"),
		ROW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1.0, chunked"),
	};

	(void)state;
	check_rows(http_answer_parse, HTTP_BAD, rows, ARRAY_SIZE(rows));
}

static void test_answer_that_never_ends_its_line(void **state)
{
	static uint8_t b[HTTP_LINE_MAX + 100];
	static struct http_head h;
	const char *why = NULL;
	size_t len;

	(void)state;
	memset(b, 'x', sizeof(b));
	assert_int_equal(http_answer_parse(b, HTTP_LINE_MAX - 1, &h, &len, &why), HTTP_MORE);
	assert_int_equal(http_answer_parse(b, HTTP_LINE_MAX, &h, &len, &why), HTTP_TOO_LARGE);
	assert_int_equal(http_answer_parse(b, sizeof(b), &h, &len, &why), HTTP_TOO_LARGE);
}

static void test_answers(void **state)
{
	static struct http_head h;

	(void)state;
	ANSWER("HTTP/1.1 404 Not  Found \xe9\r\nHost: a\r\nHost: b\r\nContent-Length: 9\r\n\r\n");
	assert_int_equal(h.status, 404);
	assert_int_equal(h.minor, 1);
	assert_text(h.phrase, "Not  Found \xe9");
	assert_true(h.has_length && h.content_length == 9 && h.keep_alive);
	assert_int_equal(h.host_count, 0);
	assert_int_equal(h.host.n + h.method.n + h.target.n, 0);
	ANSWER("HTTP/1.0 200 \r\n\r\n");
	assert_text(h.phrase, "");
	assert_false(h.keep_alive);
	ANSWER("HTTP/1.1 100\r\n\r\n");
	assert_int_equal(h.status, 100);
	assert_text(h.phrase, "");
	ANSWER("HTTP/1.1 599 x\r\n\r\n");
	assert_int_equal(h.status, 599);
}

static void test_answer_framing(void **state)
{
	static const struct {
		const char *reason, *method;
		int status;
		const char *fields;
		enum http_framing want;
	} rows[] = {
		{ "length", "GET", 200, "Content-Length: 5\r\n", HTTP_LENGTH },
		{ "length of an error", "POST", 500, "Content-Length: 0\r\n", HTTP_LENGTH },
		{ "chunked", "GET", 200, "Transfer-Encoding: chunked\r\n", HTTP_CHUNKED },
		{ "neither", "GET", 200, "", HTTP_UNTIL_CLOSE },
		{ "neither, kept alive", "GET", 200, "Connection: keep-alive\r\n",
		  HTTP_UNTIL_CLOSE },
		{ "HEAD", "HEAD", 200, "Content-Length: 5\r\n", HTTP_NO_BODY },
		{ "HEAD, chunked", "HEAD", 404, "Transfer-Encoding: chunked\r\n", HTTP_NO_BODY },
		{ "a method of its own", "head", 200, "Content-Length: 5\r\n", HTTP_LENGTH },
		{ "100", "GET", 100, "Content-Length: 5\r\n", HTTP_NO_BODY },
		{ "101", "GET", 101, "", HTTP_NO_BODY },
		{ "199", "GET", 199, "Transfer-Encoding: chunked\r\n", HTTP_NO_BODY },
		{ "204", "GET", 204, "Content-Length: 5\r\n", HTTP_NO_BODY },
		{ "205 has one", "GET", 205, "Content-Length: 5\r\n", HTTP_LENGTH },
		{ "304", "GET", 304, "Content-Length: 5\r\n", HTTP_NO_BODY },
		{ "302 has one", "GET", 302, "Content-Length: 5\r\n", HTTP_LENGTH },
		{ "tunnel", "CONNECT", 200, "Content-Length: 5\r\n", HTTP_NO_BODY },
		{ "tunnel, chunked", "CONNECT", 299, "Transfer-Encoding: chunked\r\n",
		  HTTP_NO_BODY },
		{ "no tunnel", "CONNECT", 300, "Content-Length: 5\r\n", HTTP_LENGTH },
		{ "tunnel refused", "CONNECT", 407, "", HTTP_UNTIL_CLOSE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(200);
		static struct http_head h;

		assert_int_equal(
			buf_printf(&b, "HTTP/1.1 %d x\r\n%s\r\n", rows[i].status, rows[i].fields),
			0);
		take(http_answer_parse, buf_str(&b), &h);
		if (http_answer_framing(&h, str_of(rows[i].method)) != rows[i].want)
			fail_msg("wrong: %s", rows[i].reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_line_refused),
		cmocka_unit_test(test_version_refused),
		cmocka_unit_test(test_targets_refused),
		cmocka_unit_test(test_fields_refused),
		cmocka_unit_test(test_hosts_refused),
		cmocka_unit_test(test_framing_refused),
		cmocka_unit_test(test_connection_refused),
		cmocka_unit_test(test_lines_have_a_limit),
		cmocka_unit_test(test_request_line_has_a_limit),
		cmocka_unit_test(test_head_has_a_limit),
		cmocka_unit_test(test_fields_have_a_limit),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_small_heads),
		cmocka_unit_test(test_bytes_behind_a_head_are_not_read),
		cmocka_unit_test(test_what_connection_says),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_answers_refused),
		cmocka_unit_test(test_answer_that_never_ends_its_line),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_answer_framing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
