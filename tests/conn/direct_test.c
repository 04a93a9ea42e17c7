/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the proxy itself: GET /-/refusals, who may ask for it, and what else is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_expect.h"
#include "tests/unit/json_check.h"

#define BASIC64                                                          \
	"bm9ubzowMTIzNDU2Nzg5YWJjZGVmMDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2" \
	"NkZGVlZmYwZjFlMmQzYzRiNWE2OTc4\r\n"
#define ASK(method, path, fields) \
	method " " path " HTTP/1.1\r\nHost: 127.0.0.1:40002\r\n" fields "\r\n"
#define REFUSALS ASK("GET", "/-/refusals", BEARER)

static struct script_peer *saying(struct rig *g, struct str what, size_t seg)
{
	return rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(what, seg), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
}

/* The next answer is the list; the text of it lives until the next call. */
static const char *expect_list(struct rig *g, const struct script_peer *c, size_t *at,
			       const char *why)
{
	static char text[65536];
	struct json_check json;
	struct rig_answer a;

	rig_answer(g, c, at, &a, why);
	if (a.head.status != 200 || !json_check(&json, a.body.p, a.body.n) || a.body.p[0] != '[')
		fail_msg("%s: no list: %.*s", why, STR_FMT(a.all));
	assert_string_equal(rig_answer_field(&a, "Content-Type"), "application/json");
	assert_string_equal(rig_answer_field(&a, "Cache-Control"), "no-store");
	assert_true(a.head.has_length && a.head.content_length == a.body.n);
	(void)snprintf(text, sizeof(text), "%.*s", STR_FMT(a.body));
	return text;
}

static void test_any_way_to_show_the_token(void **state)
{
	static const char *const fields[] = {
		BEARER,
		"Proxy-Authorization: Basic " BASIC64,
		"Authorization: Bearer " RIG_TOKEN "\r\n",
		"Authorization: Basic " BASIC64,
		"X-Nono-Token: " RIG_TOKEN "\r\n",
		"x-nono-token:   " RIG_TOKEN "  \r\n",
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(fields); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		char says[1024];
		size_t at = 0;

		(void)snprintf(says, sizeof(says), ASK("GET", "/-/refusals", "%s"), fields[i / 2]);
		c = rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(str_of(says), i & 1), SCRIPT_EXPECT(1),
					  SCRIPT_EOF));
		rig_run(g);
		assert_string_equal(expect_list(g, c, &at, fields[i / 2]), "[]");
		assert_int_equal(script_sent(c).n, at);
		assert_true(script_sent_eof(c) && !script_sent_reset(c));
		/* It is no traffic: nothing is decided about it. */
		assert_string_equal(rig_audit(g), "");
	}
}

static void test_without_the_token(void **state)
{
	static const struct {
		const char *fields, *reason;
	} rows[] = {
		{ "", "token_missing" },
		{ "Authorization: Digest x\r\n", "token_missing" },
		{ "X-Nono-Token:\r\n", "token_invalid" },
		{ "X-Nono-Token: Bearer " RIG_TOKEN "\r\n", "token_invalid" },
		{ "X-Nono-Token: x\r\nAuthorization: Bearer " RIG_TOKEN "\r\n", "token_invalid" },
		{ "Authorization: Bearer x\r\n", "token_invalid" },
		{ "Authorization: Bearer " RIG_TOKEN "\r\nAuthorization: Bearer " RIG_TOKEN "\r\n",
		  "token_invalid" },
		{ "Proxy-Authorization: Bearer x\r\nAuthorization: Bearer " RIG_TOKEN "\r\n",
		  "token_invalid" },
		{ "Cookie: token=" RIG_TOKEN "\r\n", "token_missing" },
	};
	static const char *const paths[] = { "/-/refusals", "/", ("/-/refusals?token=" RIG_TOKEN) };

	for (size_t i = 0; i < 3 * ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		const char *fields = rows[i / 3].fields;
		struct script_peer *c;
		char says[1024];
		size_t at = 0;

		(void)snprintf(says, sizeof(says), ASK("GET", "%s", "%s") "%s", paths[i % 3],
			       fields, REFUSALS);
		c = rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(str_of(says), 0), SCRIPT_EXPECT(1),
					  SCRIPT_DELAY(10), SCRIPT_EOF));
		rig_run(g);
		rig_expect_denial(g, c, &at, 401, rows[i / 3].reason, true, fields);
		assert_int_equal(g->audit.recent.n, 0); /* strangers do not fill the list */
		/* It is asked to log in, and may do so here. */
		assert_string_equal(expect_list(g, c, &at, fields), "[]");
		assert_int_equal(script_sent(c).n, at);
		assert_non_null(rig_record(g, OPEN, DENY, FORWARD_MODE, "\"status\":401"));
		assert_false(rig_audit_has(g, RIG_TOKEN));
	}
}

static void test_tries_are_counted_here_too(void **state)
{
	static const int statuses[] = { 401, 407, 407, 401 };
	struct rig *g = *state;
	struct script_peer *c;
	size_t at = 0;

#define TRY ASK("GET", "/-/refusals", "")
	c = saying(g,
		   STR_LIT(TRY "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"
			       "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n" TRY REFUSALS),
		   0);
#undef TRY
	rig_run(g);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct rig_answer a;

		rig_answer(g, c, &at, &a, "a try");
		assert_int_equal(a.head.status, statuses[i]);
		assert_int_equal(a.head.keep_alive, i < 3);
	}
	assert_int_equal(script_sent(c).n, at);
	assert_true(script_sent_eof(c));
}

static void test_no_token_is_asked_for_if_there_is_none(void **state)
{
	static const char *const fields[] = { "", "X-Nono-Token: x\r\n" };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		char says[1024];
		size_t at = 0;

		rig_no_auth(g);
		(void)snprintf(says, sizeof(says), ASK("GET", "/-/refusals", "%s"), fields[i]);
		c = rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(str_of(says), 0), SCRIPT_EXPECT(1),
					  SCRIPT_EOF));
		rig_run(g);
		assert_string_equal(expect_list(g, c, &at, "no auth"), "[]");
	}
}

/* A page in a browser that comes here by a name of its own learns nothing, nor that a path exists. */
static void test_without_a_token_it_must_name_the_proxy(void **state)
{
	static const struct {
		const char *host;
		bool passes;
	} rows[] = {
		{ "127.0.0.1:40002", true },
		{ "localhost:40002", true },
		{ "LOCALHOST:40002", true },
		{ "127.0.0.1:40001", true }, /* the other listener */
		{ "127.0.0.1", false },
		{ "127.0.0.1:80", false },
		{ "localhost", false },
		{ "evil.test:40002", false },
		{ "evil.test", false },
		{ "127.0.0.1.evil.test:40002", false },
		{ "a.localhost:40002", false },
		{ "127.0.0.2:40002", false },
		{ "[::1]:40002", false },
		{ "a..test", false },
	};
	static const char *const paths[] = { "/-/refusals", "/" };

	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		bool list = rows[i / 2].passes && i % 2 == 0;
		struct script_peer *c;
		char says[1024];
		size_t at = 0;

		rig_no_auth(g);
		(void)snprintf(says, sizeof(says), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
			       paths[i % 2], rows[i / 2].host);
		c = saying(g, rig_joined(g, str_of(says), STR_LIT("")), 0);
		rig_run_for(g, NSEC_PER_SEC);
		if (list)
			assert_string_equal(expect_list(g, c, &at, rows[i / 2].host), "[]");
		else
			rig_expect_denial(g, c, &at, rows[i / 2].passes ? 404 : 403,
					  rows[i / 2].passes ? "route_unknown" : "host_mismatch",
					  false, rows[i / 2].host);
		assert_int_equal(script_sent(c).n, at);
	}
}

/* What was refused before, by whatever part of the server, is in the list. */
static void test_the_list_tells_what_was_refused(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;
	const char *list;
	size_t at = 0;

	rig_allow(g, "a.test");
	(void)saying(g,
		     STR_LIT("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n" BEARER "\r\n"),
		     0);
	(void)saying(
		g,
		STR_LIT("GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n" BEARER
			"\r\n"),
		0);
	(void)rig_client(g, "198.51.100.9:80",
			 STEPS(g, SCRIPT_SEND("GET / HTTP/1.1\r\nHost: wrong.test\r\n\r\n"),
			       SCRIPT_EXPECT_EOF));
	rig_run_for(g, 10 * NSEC_PER_SEC);
	c = saying(g, STR_LIT(REFUSALS), 0);
	rig_run_for(g, NSEC_PER_SEC);
	list = expect_list(g, c, &at, "the list");
	assert_non_null(strstr(list, "\"target\":\"evil.test\",\"port\":443,"
				     "\"reason\":\"host_not_allowed\","
				     "\"hint\":\"to allow it: --allow-domain evil.test:443\""));
	assert_non_null(strstr(list, "\"target\":\"169.254.169.254\",\"port\":80,"
				     "\"reason\":\"metadata_address\",\"hint\":null"));
	assert_non_null(strstr(list, "\"target\":\"wrong.test\",\"port\":80,"
				     "\"reason\":\"host_not_allowed\""));
}

/* What strangers wrote stays text in it; and it has an end. */
static void test_the_list_is_capped_and_clean(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;
	const char *list;
	size_t at = 0, n = 0;

	rig_allow(g, "a.test");
	for (int i = 0; i < 60; i++) {
		char says[200];

		(void)snprintf(says, sizeof(says),
			       "CONNECT n%d.test:443 HTTP/1.1\r\nHost: n%d.test\r\n" BEARER "\r\n",
			       i, i);
		(void)saying(g, rig_joined(g, str_of(says), STR_LIT("")), 0);
	}
	(void)saying(g, STR_LIT("GET http://x/ HTTP/1.1\r\nHost: \"\x80\xff<>&\r\n" BEARER "\r\n"),
		     0);
	rig_run_for(g, 10 * NSEC_PER_SEC);
	c = saying(g, STR_LIT(REFUSALS), 0);
	rig_run_for(g, NSEC_PER_SEC);
	list = expect_list(g, c, &at, "a long list");
	for (const char *p = list; (p = strstr(p, "timestamp_unix_ms")); p++)
		n++;
	assert_int_equal(n, 50);
	assert_null(strstr(list, "\"n9.test\""));
	assert_non_null(strstr(list, "\"n59.test\""));
}

/* ---- what else is asked for */

static void test_paths_and_methods(void **state)
{
	static const struct {
		const char *says;
		int status;
		const char *reason;
	} rows[] = {
		{ ASK("GET", "/", BEARER), 404, "route_unknown" },
		{ ASK("GET", "/-/refusals/", BEARER), 404, "route_unknown" },
		{ ASK("GET", "/-/refusals?x", BEARER), 404, "route_unknown" },
		{ ASK("GET", "/-/Refusals", BEARER), 404, "route_unknown" },
		{ ASK("GET", "/-/../-/refusals", BEARER), 404, "route_unknown" },
		{ ASK("GET", "/%2d/refusals", BEARER), 404, "route_unknown" },
		{ ASK("GET", "//a.test/", BEARER), 404, "route_unknown" },
		{ ASK("GET", "/http://a.test/", BEARER), 404, "route_unknown" },
		{ ASK("OPTIONS", "*", BEARER), 404, "route_unknown" },
		{ ASK("POST", "/x", BEARER "Content-Length: 3\r\n") "abc", 404, "route_unknown" },
		{ ASK("POST", "/-/refusals", BEARER), 405, "method_refused" },
		{ ASK("DELETE", "/-/refusals", BEARER), 405, "method_refused" },
		{ ASK("TRACE", "/-/refusals", BEARER), 405, "method_refused" },
		{ ASK("get", "/-/refusals", BEARER), 405, "method_refused" },
		{ ASK("GET", "/-/refusals", BEARER "Content-Length: 3\r\n") "abc", 400,
		  "http_malformed" },
		{ ASK("GET", "/-/refusals", BEARER "Transfer-Encoding: chunked\r\n") "0\r\n\r\n",
		  400, "http_malformed" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;

		rig_allow(g, "*");
		c = saying(g, rig_joined(g, str_of(rows[i].says), STR_LIT(REFUSALS)), 0);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), rows[i].status, rows[i].reason, rows[i].says);
		assert_int_equal(g->resolves, 0);
		assert_string_equal(rig_dialled(g), "");
	}
}

/* An answer to HEAD is a head. */
static void test_head_gets_no_body(void **state)
{
	static const struct {
		const char *says;
		int status;
		bool stays;
	} rows[] = {
		{ ASK("HEAD", "/-/refusals", BEARER), 405, false },
		{ ASK("HEAD", "/x", BEARER), 404, false },
		{ ASK("HEAD", "/-/refusals", ""), 401, true },
		{ "HEAD http://b.test/ HTTP/1.1\r\nHost: b.test\r\n" BEARER "\r\n", 403, false },
		{ "HEAD http://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 407, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct rig_answer a;
		struct script_peer *c;
		struct str heard;
		size_t at = 0;

		rig_allow(g, "a.test");
		c = rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(str_of(rows[i].says), 0),
					  SCRIPT_EXPECT(1), SCRIPT_EOF));
		rig_run(g);
		rig_answer(g, c, &at, &a, rows[i].says);
		heard = script_sent(c);
		assert_int_equal(a.head.status, rows[i].status);
		assert_true(a.head.has_length && a.head.content_length > 0);
		assert_int_equal(a.head.keep_alive, rows[i].stays);
		assert_memory_equal(heard.p + heard.n - 4, "\r\n\r\n", 4);
	}
}

/* Several on one connection, among other requests; and the ends. */
static void test_kept_alive(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;
	size_t at = 0;

	c = saying(g,
		   STR_LIT(REFUSALS REFUSALS ASK("GET", "/-/refusals",
						 BEARER "Connection: close\r\n") REFUSALS),
		   9);
	rig_run(g);
	for (int i = 0; i < 3; i++)
		assert_string_equal(expect_list(g, c, &at, "kept alive"), "[]");
	assert_int_equal(script_sent(c).n, at);
	assert_true(script_sent_eof(c) && !script_sent_reset(c));
	c = saying(g, STR_LIT("GET /-/refusals HTTP/1.0\r\n" BEARER "\r\n" REFUSALS), 0);
	rig_run(g);
	at = 0;
	assert_string_equal(expect_list(g, c, &at, "HTTP/1.0"), "[]");
	assert_int_equal(script_sent(c).n, at);
	assert_true(script_sent_eof(c));
}

/* Whoever reads slowly gets all of it, and whoever does not read at all is not waited for for ever. */
static void test_slow_readers(void **state)
{
	struct rig *g = *state;
	struct script_peer *slow, *stuck;
	size_t at = 0;

	g->limits.idle = 60 * NSEC_PER_SEC;
	slow = rig_explicit(g, STEPS(g, SCRIPT_WINDOW(10), SCRIPT_SEND(REFUSALS), SCRIPT_EXPECT(10),
				     SCRIPT_DELAY(1000), SCRIPT_WINDOW(SIZE_MAX),
				     SCRIPT_EXPECT(100), SCRIPT_EOF));
	stuck = rig_explicit(g, STEPS(g, SCRIPT_WINDOW(10), SCRIPT_SEND(REFUSALS)));
	rig_run_for(g, 50 * NSEC_PER_SEC);
	assert_string_equal(expect_list(g, slow, &at, "slow"), "[]");
	assert_false(script_sent_reset(stuck));
	rig_run_for(g, 20 * NSEC_PER_SEC);
	assert_true(script_sent_eof(stuck) || script_sent_reset(stuck));
	assert_int_equal(g->server.conn_count, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_any_way_to_show_the_token),
		TEST(test_without_the_token),
		TEST(test_tries_are_counted_here_too),
		TEST(test_no_token_is_asked_for_if_there_is_none),
		TEST(test_without_a_token_it_must_name_the_proxy),
		TEST(test_the_list_tells_what_was_refused),
		TEST(test_the_list_is_capped_and_clean),
		TEST(test_paths_and_methods),
		TEST(test_head_gets_no_body),
		TEST(test_kept_alive),
		TEST(test_slow_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
