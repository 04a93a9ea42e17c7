/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/token.h"
#include "wire/base64.h"

#define TOKEN "0123456789abcdef00112233445566778899aabbccddeeff0f1e2d3c4b5a6978"
#define UPPER "0123456789ABCDEF00112233445566778899AABBCCDDEEFF0F1E2D3C4B5A6978"

#define TEXT_MAX 8192

static const struct str token = STR_LIT(TOKEN);

/* The verdict on a CONNECT with these lines behind Host, read by the parser that reads them in use. */
static enum reason check(const char *lines, struct str against)
{
	static struct http_head h;
	static char text[TEXT_MAX];
	const char *why = NULL;
	size_t len;
	int n = snprintf(text, sizeof(text), "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n%s\r\n",
			 lines);

	assert_true(n > 0 && (size_t)n < sizeof(text));
	if (http_request_parse((const uint8_t *)text, (size_t)n, &h, &len, &why) != HTTP_OK)
		fail_msg("not even a request (%s): %s", why ? why : "unfinished", lines);
	return token_check(&h, against);
}

static const char *field(const char *scheme, const char *value)
{
	static char line[TEXT_MAX / 2 + 64];
	int n = snprintf(line, sizeof(line), "Proxy-Authorization: %s%s\r\n", scheme, value);

	assert_true(n > 0 && (size_t)n < sizeof(line));
	return line;
}

static const char *basic(const void *plain, size_t n)
{
	char text[TEXT_MAX / 2];
	_cleanup_buf_ struct buf out = BUF_INIT(sizeof(text) - 1);

	assert_int_equal(base64_encode(&out, plain, n), 0);
	memcpy(text, buf_data(&out), buf_len(&out));
	text[buf_len(&out)] = '\0';
	return field("Basic ", text);
}

static void expect(enum reason wanted, const char *what, const char *lines)
{
	enum reason got = check(lines, token);

	if (got != wanted)
		fail_msg("%s: got '%s', wanted '%s'", what, reason_word(got), reason_word(wanted));
}

#define MISSING REASON_TOKEN_MISSING
#define INVALID REASON_TOKEN_INVALID
#define PA	"Proxy-Authorization: "

static void test_refused_as_written(void **state)
{
	static const struct {
		const char *what;
		enum reason wanted;
		const char *lines;
	} rows[] = {
		{ "no field", MISSING, "" },
		{ "empty field", MISSING, PA "\r\n" },
		{ "blanks only", MISSING, PA "   \r\n" },
		{ "another scheme", MISSING, PA "Digest " TOKEN "\r\n" },
		{ "a scheme that begins like one", MISSING, PA "Bearer2 " TOKEN "\r\n" },
		{ "a scheme that goes on", MISSING, PA "Bearer," TOKEN "\r\n" },
		{ "the beginning of a scheme", MISSING, PA "Bear " TOKEN "\r\n" },
		{ "a tab behind the scheme", MISSING, PA "Bearer\t" TOKEN "\r\n" },
		{ "quoted scheme", MISSING, PA "\"Bearer\" " TOKEN "\r\n" },
		{ "the token without a scheme", MISSING, PA TOKEN "\r\n" },
		{ "the end client's field", MISSING, "Authorization: Bearer " TOKEN "\r\n" },
		{ "the field of reverse requests", MISSING, "X-Nono-Token: " TOKEN "\r\n" },
		{ "a name that begins like it", MISSING,
		  "Proxy-Authorization2: Bearer " TOKEN "\r\n" },
		{ "scheme alone", INVALID, PA "Bearer\r\n" },
		{ "scheme and blanks", INVALID, PA "Bearer  \r\n" },
		{ "Basic alone", INVALID, PA "Basic\r\n" },
		{ "upper case", INVALID, PA "Bearer " UPPER "\r\n" },
		{ "all but its end", INVALID, PA "Bearer 0123456789abcdef\r\n" },
		{ "longer than it", INVALID, PA "Bearer " TOKEN "0\r\n" },
		{ "twice in a row", INVALID, PA "Bearer " TOKEN TOKEN "\r\n" },
		{ "something in front", INVALID, PA "Bearer 0" TOKEN "\r\n" },
		{ "and something else", INVALID, PA "Bearer " TOKEN " x\r\n" },
		{ "a list", INVALID, PA "Bearer " TOKEN ", Bearer " TOKEN "\r\n" },
		{ "quoted", INVALID, PA "Bearer \"" TOKEN "\"\r\n" },
		{ "as a parameter", INVALID, PA "Bearer token=" TOKEN "\r\n" },
		{ "two schemes", INVALID, PA "Bearer Bearer " TOKEN "\r\n" },
		{ "all zeros", INVALID,
		  PA
		  "Bearer 0000000000000000000000000000000000000000000000000000000000000000\r\n" },
		{ "two fields, both right", INVALID,
		  PA "Bearer " TOKEN "\r\n" PA "Bearer " TOKEN "\r\n" },
		{ "two fields, the first right", INVALID,
		  PA "Bearer " TOKEN "\r\n" PA "Digest x\r\n" },
		{ "two fields, the last right", INVALID,
		  PA "Digest x\r\nproxy-authorization: Bearer " TOKEN "\r\n" },
		{ "two fields of other schemes", INVALID, PA "Digest x\r\n" PA "Digest x\r\n" },
		{ "Basic with the bare token", INVALID, PA "Basic " TOKEN "\r\n" },
		{ "Basic, not encoded", INVALID, PA "Basic nono:" TOKEN "\r\n" },
		{ "Basic, a digit missing", INVALID, PA "Basic bm9ubzp\r\n" },
		{ "Basic, a letter that is none", INVALID, PA "Basic bm9ubzp*\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(rows[i].wanted, rows[i].what, rows[i].lines);
}

static void test_basic_refused(void **state)
{
	static const struct {
		const char *what;
		struct str plain;
	} rows[] = {
		{ "no colon", STR_LIT("nono" TOKEN) },
		{ "the token alone", STR_LIT(TOKEN) },
		{ "a colon alone", STR_LIT(":") },
		{ "no password", STR_LIT("nono:") },
		{ "the token as the user", STR_LIT(TOKEN ":") },
		{ "the token as the user, a wrong password", STR_LIT(TOKEN ":x") },
		{ "behind a second colon", STR_LIT("nono:x:" TOKEN) },
		{ "behind two colons", STR_LIT("nono::" TOKEN) },
		{ "in front of a second colon", STR_LIT("nono:" TOKEN ":") },
		{ "upper case", STR_LIT("nono:" UPPER) },
		{ "a line feed behind it", STR_LIT("nono:" TOKEN "\n") },
		{ "a NUL behind it", STR_LIT("nono:" TOKEN "\0") },
		{ "a NUL in front of it", STR_LIT("nono:\0" TOKEN) },
		{ "a blank in front of it", STR_LIT("nono: " TOKEN) },
		{ "longer than it", STR_LIT("nono:" TOKEN "0") },
		{ "shorter than it", STR_LIT("nono:0123456789abcdef") },
		{ "NULs only", STR_LIT("\0\0\0") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(INVALID, rows[i].what, basic(rows[i].plain.p, rows[i].plain.n));
}

/* A user name of any length and the right token: refused, not overrun, from where it is too long. */
static void test_basic_longest(void **state)
{
	char plain[2048 + 1];

	(void)state;
	memset(plain, 'u', sizeof(plain));
	for (size_t n = TOKEN_TEXT + 1; n < sizeof(plain); n++) {
		plain[n - TOKEN_TEXT - 1] = ':';
		memcpy(plain + n - TOKEN_TEXT, TOKEN, TOKEN_TEXT);
		expect(n <= 1024 ? REASON_NONE : INVALID, "long user name", basic(plain, n));
		memset(plain, 'u', n);
	}
}

/* One digit changed, one left out, one added: at every place, in both schemes. */
static void test_no_near_miss_passes(void **state)
{
	char plain[] = "nono:" TOKEN "x", *t = plain + strlen("nono:");

	(void)state;
	for (size_t i = 0; i < TOKEN_TEXT; i++) {
		for (int bit = 0; bit < 7; bit++) {
			char was = t[i];

			t[i] = (char)(was ^ 1 << bit);
			t[TOKEN_TEXT] = '\0';
			if (t[i] > ' ' && t[i] != 0x7f)
				expect(INVALID, "Bearer, a bit", field("Bearer ", t));
			expect(INVALID, "Basic, a bit", basic(plain, sizeof(plain) - 2));
			t[i] = was;
		}
	}
	for (size_t n = 0; n < TOKEN_TEXT; n++) {
		char part[TOKEN_TEXT + 1] = "";

		memcpy(part, TOKEN, n);
		expect(INVALID, "a beginning", field("Bearer ", part));
		expect(INVALID, "an end", field("Bearer ", &TOKEN[TOKEN_TEXT - n]));
		expect(INVALID, "Basic, a beginning", basic(plain, 5 + n));
	}
}

/* A session whose token was never set, or is no token, lets nobody in, least of all with nothing. */
static void test_stored_token_that_is_none(void **state)
{
	static const struct str stored[] = { { NULL, 0 },
					     STR_LIT(""),
					     STR_LIT("x"),
					     STR_LIT("0123456789abcdef"),
					     STR_LIT(TOKEN "0") };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		assert_int_equal(check("", stored[i]), MISSING);
		assert_int_equal(check(field("Bearer", ""), stored[i]), INVALID);
		assert_int_equal(check(basic("nono:", 5), stored[i]), INVALID);
		assert_int_equal(check(field("Bearer ", "x"), stored[i]), INVALID);
		assert_int_equal(check(basic("nono:x", 6), stored[i]), INVALID);
		assert_int_equal(check(field("Bearer ", "0123456789abcdef"), stored[i]), INVALID);
		assert_int_equal(check(field("Bearer ", TOKEN "0"), stored[i]), INVALID);
		assert_int_equal(check(field("Bearer ", TOKEN), stored[i]), INVALID);
	}
}

static void test_right_token(void **state)
{
	static const struct {
		const char *what, *lines;
	} rows[] = {
		{ "Bearer", PA "Bearer " TOKEN "\r\n" },
		{ "small", "proxy-authorization: bearer " TOKEN "\r\n" },
		{ "large", "PROXY-AUTHORIZATION: BEARER " TOKEN "\r\n" },
		{ "several blanks", PA "Bearer   " TOKEN "\r\n" },
		{ "blanks around", PA "  Bearer " TOKEN "  \r\n" },
		{ "other credentials beside it",
		  "Authorization: Bearer x\r\n" PA "Bearer " TOKEN "\r\nX-A: b\r\n" },
		/* what curl and wget send for http://nono:TOKEN@… */
		{ "as curl writes it",
		  PA "Basic bm9ubzowMTIzNDU2Nzg5YWJjZGVmMDAxMTIyMzM0NDU1NjY3Nzg4"
		     "OTlhYWJiY2NkZGVlZmYwZjFlMmQzYzRiNWE2OTc4\r\n" },
		{ "the same, the scheme in capitals",
		  PA "BASIC bm9ubzowMTIzNDU2Nzg5YWJjZGVmMDAxMTIyMzM0NDU1NjY3Nzg4"
		     "OTlhYWJiY2NkZGVlZmYwZjFlMmQzYzRiNWE2OTc4\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect(REASON_NONE, rows[i].what, rows[i].lines);
	expect(REASON_NONE, "no user", basic(":" TOKEN, 1 + TOKEN_TEXT));
	expect(REASON_NONE, "any user", basic("\xff\0x y:" TOKEN, 6 + TOKEN_TEXT));
}

/* ---- requests to the proxy itself */

#define AU "Authorization: "
#define XT "X-Nono-Token: "
#define B64                                                    \
	"bm9ubzowMTIzNDU2Nzg5YWJjZGVmMDAxMTIyMzM0NDU1NjY3Nzg4" \
	"OTlhYWJiY2NkZGVlZmYwZjFlMmQzYzRiNWE2OTc4"

static enum reason check_direct(const char *lines, struct str against)
{
	static struct http_head h;
	static char text[TEXT_MAX];
	const char *why = NULL;
	size_t len;
	int n = snprintf(text, sizeof(text), "GET /-/refusals HTTP/1.1\r\nHost: a\r\n%s\r\n",
			 lines);

	assert_true(n > 0 && (size_t)n < sizeof(text));
	if (http_request_parse((const uint8_t *)text, (size_t)n, &h, &len, &why) != HTTP_OK)
		fail_msg("not even a request (%s): %s", why ? why : "unfinished", lines);
	return token_check_direct(&h, against);
}

static void test_direct_places(void **state)
{
	static const struct {
		const char *what;
		enum reason wanted;
		const char *lines;
	} rows[] = {
		{ "nothing", MISSING, "" },
		{ "a cookie", MISSING, "Cookie: " TOKEN "\r\n" },
		{ "another scheme", MISSING, AU "Digest " TOKEN "\r\n" },
		{ "the bare token in Authorization", MISSING, AU TOKEN "\r\n" },
		{ "another scheme in both", MISSING, AU "Digest x\r\n" PA "Digest x\r\n" },
		{ "a wrong one in X-Nono-Token", INVALID, XT "x\r\n" },
		{ "an empty X-Nono-Token", INVALID, XT "\r\n" },
		{ "a scheme in X-Nono-Token", INVALID, XT "Bearer " TOKEN "\r\n" },
		{ "upper case in X-Nono-Token", INVALID, XT UPPER "\r\n" },
		{ "X-Nono-Token longer than it", INVALID, XT TOKEN "0\r\n" },
		{ "a list in X-Nono-Token", INVALID, XT TOKEN ", " TOKEN "\r\n" },
		{ "a wrong one in Authorization", INVALID, AU "Bearer x\r\n" },
		{ "a wrong Basic in Authorization", INVALID, AU "Basic bm9ubzp4\r\n" },
		{ "two Authorization, both right", INVALID,
		  AU "Bearer " TOKEN "\r\n" AU "Bearer " TOKEN "\r\n" },
		/* Nobody gets a second guess in one request. */
		{ "X-Nono-Token is wrong, Authorization right", INVALID,
		  XT "x\r\n" AU "Bearer " TOKEN "\r\n" },
		{ "X-Nono-Token is wrong, Proxy-Authorization right", INVALID,
		  XT "x\r\n" PA "Bearer " TOKEN "\r\n" },
		{ "Proxy-Authorization is wrong, Authorization right", INVALID,
		  PA "Bearer x\r\n" AU "Bearer " TOKEN "\r\n" },
		{ "X-Nono-Token", REASON_NONE, XT TOKEN "\r\n" },
		{ "x-nono-token", REASON_NONE, "x-nono-token:  " TOKEN " \r\n" },
		{ "Authorization: Bearer", REASON_NONE, AU "bearer " TOKEN "\r\n" },
		{ "Authorization: Basic", REASON_NONE, AU "Basic " B64 "\r\n" },
		{ "Proxy-Authorization: Bearer", REASON_NONE, PA "Bearer " TOKEN "\r\n" },
		{ "Proxy-Authorization: Basic", REASON_NONE, PA "Basic " B64 "\r\n" },
		{ "of another scheme in Proxy-Authorization", REASON_NONE,
		  PA "Digest x\r\n" AU "Bearer " TOKEN "\r\n" },
		{ "credentials of somebody else beside it", REASON_NONE,
		  XT TOKEN "\r\n" AU "Bearer x\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum reason got = check_direct(rows[i].lines, token);

		if (got != rows[i].wanted)
			fail_msg("%s: got '%s', wanted '%s'", rows[i].what, reason_word(got),
				 reason_word(rows[i].wanted));
	}
}

/* Two fields are no field to choose from, here as elsewhere. */
static void test_direct_two_fields_of_its_own(void **state)
{
	static const char *const rows[] = {
		XT TOKEN "\r\n" XT TOKEN "\r\n",
		XT "x\r\n" XT TOKEN "\r\n",
		XT "x\r\n" XT "x\r\n" AU "Bearer " TOKEN "\r\n",
		XT "x\r\n" XT "x\r\n" PA "Bearer " TOKEN "\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(check_direct(rows[i], token), INVALID);
}

static void test_direct_stored_token_that_is_none(void **state)
{
	static const struct str stored[] = { { NULL, 0 }, STR_LIT(""), STR_LIT("x") };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		assert_int_equal(check_direct("", stored[i]), MISSING);
		assert_int_equal(check_direct(XT "\r\n", stored[i]), INVALID);
		assert_int_equal(check_direct(XT "x\r\n", stored[i]), INVALID);
		assert_int_equal(check_direct(AU "Bearer x\r\n", stored[i]), INVALID);
		assert_int_equal(check_direct(AU "Basic bm9ubzo=\r\n", stored[i]), INVALID);
	}
}

/* Where it stands in a request to the proxy itself, it is no credential for a tunnel. */
static void test_direct_places_do_not_count_for_others(void **state)
{
	(void)state;
	assert_int_equal(check(XT TOKEN "\r\n", token), MISSING);
	assert_int_equal(check(AU "Bearer " TOKEN "\r\n", token), MISSING);
}

static void test_text_of_random_bytes(void **state)
{
	uint8_t random[TOKEN_BYTES];
	char text[TOKEN_TEXT + 2], two[3];

	(void)state;
	for (int base = 0; base < 256; base += TOKEN_BYTES) {
		for (int i = 0; i < TOKEN_BYTES; i++)
			random[i] = (uint8_t)(base + i);
		memset(text, 'x', sizeof(text));
		token_text(random, text);
		assert_int_equal(text[TOKEN_TEXT], '\0');
		assert_int_equal(text[TOKEN_TEXT + 1], 'x');
		for (int i = 0; i < TOKEN_BYTES; i++) {
			(void)snprintf(two, sizeof(two), "%02x", (unsigned int)random[i]);
			assert_memory_equal(text + (size_t)i * 2, two, 2);
		}
		assert_true(token_is_valid(str_of(text)));
	}
}

static void test_valid_is_64_lower_hex_digits(void **state)
{
	char text[] = TOKEN;

	(void)state;
	assert_false(token_is_valid((struct str){ NULL, 0 }));
	assert_false(token_is_valid(STR_LIT(TOKEN "0")));
	assert_false(token_is_valid(STR_LIT(TOKEN "\n")));
	assert_false(token_is_valid((struct str){ TOKEN, TOKEN_TEXT - 1 }));
	assert_false(token_is_valid(STR_LIT(UPPER)));
	for (size_t i = 0; i < TOKEN_TEXT; i++) {
		for (int c = 0; c < 256; c++) {
			bool digit = c != '\0' && strchr("0123456789abcdef", c);

			text[i] = (char)c;
			assert_int_equal(token_is_valid((struct str){ text, TOKEN_TEXT }), digit);
		}
		text[i] = TOKEN[i];
	}
	assert_true(token_is_valid(token));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_as_written),
		cmocka_unit_test(test_basic_refused),
		cmocka_unit_test(test_basic_longest),
		cmocka_unit_test(test_no_near_miss_passes),
		cmocka_unit_test(test_stored_token_that_is_none),
		cmocka_unit_test(test_right_token),
		cmocka_unit_test(test_direct_places),
		cmocka_unit_test(test_direct_two_fields_of_its_own),
		cmocka_unit_test(test_direct_stored_token_that_is_none),
		cmocka_unit_test(test_direct_places_do_not_count_for_others),
		cmocka_unit_test(test_text_of_random_bytes),
		cmocka_unit_test(test_valid_is_64_lower_hex_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
