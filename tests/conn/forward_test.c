/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Absolute-form requests to the explicit listener: what of each reaches which upstream, and what
 * the client hears.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_expect.h"

#define A "192.0.2.1"
#define B "192.0.2.2"

/* What the client says, and what the upstream sees of it. */
#define FORWARD(method, host, path, fields) \
	method " http://" host path " HTTP/1.1\r\nHost: " host "\r\n" BEARER fields "\r\n"
#define SEEN(method, host, path, fields) \
	method " " path " HTTP/1.1\r\nHost: " host "\r\n" fields "\r\n"
#define GET(host, path)	 FORWARD("GET", host, path, "")
#define SEES(host, path) SEEN("GET", host, path, "")
#define OK5		 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define CLOSED5		 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
#define CONTINUE	 "HTTP/1.1 100 Continue\r\n\r\n"

static void two_hosts(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_allow(g, "b.test:80");
	rig_resolves(g, "a.test", A, 0);
	rig_resolves(g, "b.test", B, 0);
}

/* Answers as many requests as `sees` is long, each after another `each` bytes. */
static struct script_server *serving(struct rig *g, const char *at, size_t each, size_t n)
{
	struct script_step steps[20] = { 0 };
	size_t k = 0;

	for (size_t i = 1; i <= n; i++) {
		steps[k++] = (struct script_step)SCRIPT_EXPECT(each * i);
		steps[k++] = (struct script_step)SCRIPT_SEND(OK5);
	}
	steps[k++] = (struct script_step)SCRIPT_EXPECT_EOF;
	steps[k++] = (struct script_step)SCRIPT_EOF;
	assert_true(k < ARRAY_SIZE(steps));
	return script_server(g->script, at, SCRIPT_ACCEPTS, rig_steps(g, steps, ARRAY_SIZE(steps)));
}

static struct script_peer *saying(struct rig *g, struct str what, size_t seg)
{
	return rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(what, seg), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
}

enum ending { STAYS, CLOSES, RESETS };

/* One request of one client to one upstream. */
struct talk {
	const char *why, *says, *sees, *answers;
	const char *hears; /* NULL: the same as `answers` */
	enum ending ending;
	bool cut; /* the client shall see a reset */
};

static void play_talk(void **state, const struct talk *t, size_t seg)
{
	const char *hears = t->hears ? t->hears : t->answers;
	struct rig *g = rig_renew(state);
	const struct script_step expect = SCRIPT_EXPECT(strlen(t->sees)),
				 send = SCRIPT_SEND_BYTES(t->answers, strlen(t->answers), seg),
				 eof = SCRIPT_EOF, reset = SCRIPT_RESET, wait = SCRIPT_EXPECT_EOF;
	struct script_server *srv;
	struct script_peer *c;

	two_hosts(g);
	srv = script_server(g->script, A ":80", SCRIPT_ACCEPTS,
			    t->ending == STAYS ? STEPS(g, expect, send, wait, eof)
					       : STEPS(g, expect, send, SCRIPT_DELAY(1),
						       t->ending == CLOSES ? eof : reset));
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(str_of(t->says), seg),
				  SCRIPT_EXPECT(strlen(hears) + t->cut), SCRIPT_EOF,
				  SCRIPT_EXPECT_EOF));
	rig_run(g);
	rig_expect_seen(g, srv, 0, str_of(t->sees), t->why);
	rig_expect_heard(g, c, str_of(hears), t->why);
	if (script_sent_reset(c) != t->cut || script_sent_eof(c) == t->cut)
		fail_msg("%s: the wrong end\n%s", t->why, rig_audit(g));
	assert_int_equal(rig_count(g, OPEN, ALLOW, FORWARD_MODE), 1);
	assert_int_equal(rig_count(g, CLOSE, FORWARD_MODE), 1);
	assert_int_equal(rig_count(g, "{"), 2);
	assert_false(rig_audit_has(g, RIG_TOKEN));
}

static void play_talks(void **state, const struct talk *rows, size_t n)
{
	static const size_t segments[] = { 0, 1, 7, 61 };

	for (size_t i = 0; i < n; i++)
		for (size_t s = 0; s < ARRAY_SIZE(segments); s++)
			play_talk(state, &rows[i], segments[s]);
}

/* ---- what passes */

static void test_the_upstream_sees_its_own_request(void **state)
{
#define REQUEST(target, host) "GET " target " HTTP/1.1\r\nHost: " host "\r\n" BEARER "\r\n"
	static const struct talk rows[] = {
		{ "path and query", GET("a.test", "/x?y=1&z"), SEES("a.test", "/x?y=1&z"), OK5,
		  NULL, STAYS, false },
		{ "no path", REQUEST("http://a.test", "a.test"), SEES("a.test", "/"), OK5, NULL,
		  STAYS, false },
		{ "the scheme in capitals", REQUEST("HTTP://a.test/", "a.test"),
		  SEES("a.test", "/"), OK5, NULL, STAYS, false },
		{ "the port in the target", REQUEST("http://a.test:80/", "a.test"),
		  SEES("a.test:80", "/"), OK5, NULL, STAYS, false },
		{ "the port in the Host field", REQUEST("http://a.test/", "a.test:80"),
		  SEES("a.test", "/"), OK5, NULL, STAYS, false },
		{ "another spelling in the Host field", REQUEST("http://A.test/", "a.TEST."),
		  SEES("A.test", "/"), OK5, NULL, STAYS, false },
		{ "a path that looks like a URL", GET("a.test", "/http://b.test/"),
		  SEES("a.test", "/http://b.test/"), OK5, NULL, STAYS, false },
		{ "HEAD", FORWARD("HEAD", "a.test", "/", ""), SEEN("HEAD", "a.test", "/", ""),
		  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", NULL, STAYS, false },
		{ "a method of its own", FORWARD("PROPFIND", "a.test", "/", ""),
		  SEEN("PROPFIND", "a.test", "/", ""), OK5, NULL, STAYS, false },
		{ "a body", FORWARD("POST", "a.test", "/", "Content-Length: 3\r\n") "abc",
		  SEEN("POST", "a.test", "/", "Content-Length: 3\r\n") "abc", OK5, NULL, STAYS,
		  false },
		{ "a chunked body",
		  FORWARD("POST", "a.test", "/",
			  "Transfer-Encoding: chunked\r\n") "3\r\nabc\r\n0\r\n\r\n",
		  SEEN("POST", "a.test", "/",
		       "Transfer-Encoding: chunked\r\n") "3\r\nabc\r\n0\r\n\r\n",
		  OK5, NULL, STAYS, false },
		{ "a chunked answer", GET("a.test", "/"), SEES("a.test", "/"),
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		  NULL, STAYS, false },
		{ "an answer until the end", GET("a.test", "/"), SEES("a.test", "/"),
		  "HTTP/1.1 200 OK\r\n\r\nhello",
		  "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", CLOSES, false },
		{ "interim answers", GET("a.test", "/"), SEES("a.test", "/"),
		  "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" CONTINUE OK5, NULL, STAYS,
		  false },
		{ "an upstream's 407 is not ours", GET("a.test", "/"), SEES("a.test", "/"),
		  "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
		  "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", STAYS, false },
	};

	play_talks(state, rows, ARRAY_SIZE(rows));
#undef REQUEST
}

static void test_fields_that_do_not_pass(void **state)
{
	static const struct talk rows[] = {
		{ "hop-by-hop, in the request",
		  FORWARD("GET", "a.test", "/",
			  "Connection: keep-alive, X-Secret\r\nx-secret: 1\r\nKeep-Alive: 5\r\n"
			  "Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\n"
			  "Trailer: X\r\nX-Nono-Token: " RIG_TOKEN "\r\nX-Kept: 2\r\n"),
		  SEEN("GET", "a.test", "/", "X-Kept: 2\r\n"), OK5, NULL, STAYS, false },
		{ "Connection: close",
		  FORWARD("GET", "a.test", "/", "Connection: close\r\nX-Kept: 2\r\n"),
		  SEEN("GET", "a.test", "/", "X-Kept: 2\r\nConnection: close\r\n"), OK5, CLOSED5,
		  STAYS, false },
		{ "credentials for the upstream do",
		  FORWARD("GET", "a.test", "/", "Authorization: Bearer x\r\nCookie: y\r\n"),
		  SEEN("GET", "a.test", "/", "Authorization: Bearer x\r\nCookie: y\r\n"), OK5, NULL,
		  STAYS, false },
		{ "hop-by-hop, in the answer", GET("a.test", "/"), SEES("a.test", "/"),
		  "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
		  "Proxy-Authenticate: z\r\nX-Kept: 2\r\nContent-Length: 5\r\n\r\nhello",
		  "HTTP/1.1 200 OK\r\nX-Kept: 2\r\nContent-Length: 5\r\n\r\nhello", STAYS, false },
	};

	play_talks(state, rows, ARRAY_SIZE(rows));
}

/* Who speaks HTTP/1.0 is spoken for in HTTP/1.0, and gets an end that it cannot mistake. */
static void test_http_1_0(void **state)
{
#define OLD(fields) "GET http://a.test/ HTTP/1.0\r\n" fields BEARER "\r\n"
#define OLD_SEEN    "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: close\r\n\r\n"
	static const struct talk rows[] = {
		{ "no Host", OLD(""), OLD_SEEN, OK5, CLOSED5, STAYS, false },
		{ "a Host", OLD("Host: a.test\r\n"), OLD_SEEN, OK5, CLOSED5, STAYS, false },
		{ "keep-alive", OLD("Connection: keep-alive\r\n"), OLD_SEEN, OK5, CLOSED5, STAYS,
		  false },
		{ "an answer until the end", OLD(""), OLD_SEEN, "HTTP/1.0 200 OK\r\n\r\nhello",
		  "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", CLOSES, false },
	};
	struct rig *g;
	struct script_server *srv;
	struct script_peer *c;

	play_talks(state, rows, ARRAY_SIZE(rows));

	/* It could not read a chunked one. */
	g = rig_renew(state);
	two_hosts(g);
	srv = script_server(
		g->script, A ":80", SCRIPT_ACCEPTS,
		STEPS(g, SCRIPT_EXPECT(sizeof(OLD_SEEN) - 1),
		      SCRIPT_SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				  "5\r\nhello\r\n0\r\n\r\n"),
		      SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	c = saying(g, STR_LIT(OLD("")), 0);
	rig_run(g);
	rig_expect_refusal(g, c, STR_LIT(""), 502, "upstream_unreachable", "chunked");
	rig_expect_seen(g, srv, 0, STR_LIT(OLD_SEEN), "chunked");
#undef OLD
#undef OLD_SEEN
}

static void test_no_token_is_asked_for_if_there_is_none(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	rig_no_auth(g);
	two_hosts(g);
	srv = serving(g, A ":80", sizeof(SEES("a.test", "/")) - 1, 1);
	c = rig_explicit(
		g, STEPS(g, SCRIPT_SEND("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
			 SCRIPT_EXPECT(sizeof(OK5) - 1), SCRIPT_EOF));
	rig_run(g);
	rig_expect_heard(g, c, STR_LIT(OK5), "no auth");
	rig_expect_seen(g, srv, 0, STR_LIT(SEES("a.test", "/")), "no auth");
	assert_false(rig_audit_has(g, "auth_mechanism"));
}

/* ---- request after request */

/* One upstream for one host and port, another one for another; of two spellings, one. */
static void test_each_host_and_port_has_its_upstream(void **state)
{
#define FIRST  GET("a.test", "/1")
#define SECOND "GET http://A.TEST.:80/2 HTTP/1.1\r\nHost: a.test\r\n" BEARER "\r\n"
#define THIRD  GET("a.test:81", "/3")
#define FOURTH GET("b.test", "/4")
#define FIFTH  GET("a.test", "/5")
#define SIXTH  GET("c.test", "/6")
	static const char two[] = SEES("a.test", "/1") SEES("A.TEST.:80", "/2");

	for (int pipelined = 0; pipelined < 2; pipelined++) {
		struct rig *g = rig_renew(state);
		const size_t k = sizeof(OK5) - 1;
		struct script_server *a, *a81, *b;
		struct script_peer *c;

		two_hosts(g);
		a = script_server(g->script, A ":80", SCRIPT_ACCEPTS,
				  STEPS(g, SCRIPT_EXPECT(sizeof(SEES("a.test", "/1")) - 1),
					SCRIPT_SEND(OK5), SCRIPT_EXPECT(sizeof(two) - 1),
					SCRIPT_SEND(OK5), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		a81 = serving(g, A ":81", sizeof(SEES("a.test:81", "/3")) - 1, 1);
		b = serving(g, B ":80", sizeof(SEES("b.test", "/4")) - 1, 1);
		c = pipelined ? saying(g, STR_LIT(FIRST SECOND THIRD FOURTH FIFTH SIXTH), 11)
			      : rig_explicit(g, STEPS(g, SCRIPT_SEND(FIRST), SCRIPT_EXPECT(k),
						      SCRIPT_SEND(SECOND), SCRIPT_EXPECT(2 * k),
						      SCRIPT_DELAY(1000), SCRIPT_SEND(THIRD),
						      SCRIPT_EXPECT(3 * k), SCRIPT_SEND(FOURTH),
						      SCRIPT_EXPECT(4 * k), SCRIPT_SEND(FIFTH),
						      SCRIPT_EXPECT(5 * k), SCRIPT_SEND(SIXTH),
						      SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		assert_string_equal(rig_dialled(g), A ":80 " A ":81 " B ":80 " A ":80 ");
		rig_expect_seen(g, a, 0, str_of(two), "the first two");
		rig_expect_seen(g, a81, 0, STR_LIT(SEES("a.test:81", "/3")), "another port");
		rig_expect_seen(g, b, 0, STR_LIT(SEES("b.test", "/4")), "another host");
		rig_expect_seen(g, a, 1, STR_LIT(SEES("a.test", "/5")), "the first one again");
		rig_expect_refusal(g, c, STR_LIT(OK5 OK5 OK5 OK5 OK5), 403, "host_not_allowed",
				   "the last");
		assert_int_equal(rig_count(g, OPEN, ALLOW, FORWARD_MODE), 5);
		assert_int_equal(rig_count(g, CLOSE, "\"status\":200"), 5);
		assert_int_equal(rig_count(g, OPEN, ALLOW, "\"target\":\"a.test\"",
					   "\"rule\":\"a.test\"", "\"resolved_ip\":\"" A "\""),
				 4);
		assert_non_null(rig_record(g, OPEN, ALLOW, "\"target\":\"b.test\"",
					   "\"rule\":\"b.test:80\"", "\"path\":\"/4\"",
					   "\"resolved_ip\":\"" B "\""));
		assert_non_null(
			rig_record(g, OPEN, DENY, "\"target\":\"c.test\"", "\"path\":\"/6\""));
		assert_int_equal(rig_count(g, OPEN, DENY, "resolved_ip"), 0);
	}
#undef FIRST
#undef SECOND
#undef THIRD
#undef FOURTH
#undef FIFTH
#undef SIXTH
}

/* Every request needs the token, also behind one that had it. */
static void test_each_request_shows_the_token(void **state)
{
#define BARE "GET http://a.test/2 HTTP/1.1\r\nHost: a.test\r\n\r\n"
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;
	size_t at = sizeof(OK5) - 1;
	struct rig_answer last;

	two_hosts(g);
	srv = serving(g, A ":80", sizeof(SEES("a.test", "/1")) - 1, 2);
	c = saying(g, STR_LIT(GET("a.test", "/1") BARE GET("a.test", "/3")), 0);
	rig_run_for(g, NSEC_PER_SEC);
	assert_memory_equal(script_sent(c).p, OK5, sizeof(OK5) - 1);
	rig_expect_denial(g, c, &at, 407, "token_missing", true, "the second");
	rig_answer(g, c, &at, &last, "the third");
	assert_true(str_eq(last.all, STR_LIT(OK5)));
	rig_expect_seen(g, srv, 0, STR_LIT(SEES("a.test", "/1") SEES("a.test", "/3")), "two");
	assert_non_null(
		rig_record(g, OPEN, DENY, FORWARD_MODE, "\"status\":407", "\"path\":\"/2\""));
	assert_int_equal(rig_count(g, OPEN, DENY, "target"), 0);
	assert_int_equal(rig_count(g, OPEN, DENY, "auth_mechanism"), 0);
#undef BARE
}

/* Nobody reads the body of a request that is refused, so what follows must not be taken for one. */
static void test_407_with_a_body_closes(void **state)
{
#define BARE(method, fields) method " http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" fields "\r\n"
	static const char *const rows[] = {
		BARE("POST", "Content-Length: 5\r\n"),
		BARE("POST", "Content-Length: 1\r\n"),
		BARE("POST", "Transfer-Encoding: chunked\r\n"),
		"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n",
	};
#undef BARE

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;

		two_hosts(g);
		c = saying(g, rig_joined(g, str_of(rows[i]), STR_LIT(GET("a.test", "/evil"))), 0);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), 407, "token_missing", rows[i]);
		assert_string_equal(rig_dialled(g), "");
		assert_int_equal(g->resolves, 0);
	}
}

/* A body without a byte is none. */
static void test_407_with_an_empty_body_keeps(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;
	struct rig_answer last;
	size_t at = 0;

	two_hosts(g);
	srv = serving(g, A ":80", sizeof(SEES("a.test", "/2")) - 1, 1);
	c = saying(g,
		   STR_LIT("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: "
			   "0\r\n\r\n" GET("a.test", "/2")),
		   0);
	rig_run_for(g, NSEC_PER_SEC);
	rig_expect_denial(g, c, &at, 407, "token_missing", true, "an empty body");
	rig_answer(g, c, &at, &last, "the second");
	assert_true(str_eq(last.all, STR_LIT(OK5)));
	rig_expect_seen(g, srv, 0, STR_LIT(SEES("a.test", "/2")), "the second");
}

/* What a record says of a request is of this one and not of the one before. */
static void test_records_do_not_remember(void **state)
{
	static const struct {
		const char *why, *second, *reason;
	} rows[] = {
		{ "no token, for the proxy itself", "GET /-/x HTTP/1.1\r\nHost: x\r\n\r\n",
		  "token_missing" },
		{ "another path of the proxy itself",
		  "GET /-/x HTTP/1.1\r\nHost: x\r\n" BEARER "\r\n", "route_unknown" },
		{ "malformed", "GET\r\n", "http_malformed" },
		{ "TRACE", FORWARD("TRACE", "b.test", "/", ""), "method_refused" },
		{ "https", "GET https://b.test/ HTTP/1.1\r\nHost: b.test\r\n" BEARER "\r\n",
		  "method_refused" },
		{ "a tunnel that is not allowed",
		  "CONNECT c.test:443 HTTP/1.1\r\nHost: c.test\r\n" BEARER "\r\n",
		  "host_not_allowed" },
		{ "no token", "GET http://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n",
		  "token_missing" },
		{ "two names", "GET http://b.test/ HTTP/1.1\r\nHost: c.test\r\n" BEARER "\r\n",
		  "host_mismatch" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		char word[60];
		const char *record;

		two_hosts(g);
		(void)serving(g, A ":80", sizeof(SEES("a.test", "/1")) - 1, 1);
		(void)saying(g, rig_joined(g, STR_LIT(GET("a.test", "/1")), str_of(rows[i].second)),
			     0);
		rig_run_for(g, NSEC_PER_SEC);
		(void)snprintf(word, sizeof(word), "\"reason\":\"%s\"", rows[i].reason);
		record = rig_record(g, OPEN, DENY, word);
		if (!record || strstr(record, "a.test") || strstr(record, A) ||
		    strstr(record, "\"path\":\"/1\"") ||
		    !strstr(record, "\"target\"") != !strstr(record, "\"port\""))
			fail_msg("%s: %s", rows[i].why, record ? record : rig_audit(g));
	}
}

/* ---- what is refused */

static void test_refused_requests(void **state)
{
#define TARGET(t) "GET " t " HTTP/1.1\r\nHost: a.test\r\n" BEARER "\r\n"
	static const struct {
		const char *says;
		int status;
		const char *reason;
	} rows[] = {
		{ GET("evil.test", "/"), 403, "host_not_allowed" },
		{ GET("b.test:81", "/"), 403, "host_not_allowed" },
		{ GET("denied.test", "/"), 403, "host_denied" },
		{ GET("169.254.169.254", "/latest/meta-data"), 403, "metadata_address" },
		{ GET("2852039166", "/"), 403, "metadata_address" },
		{ GET("[::ffff:a9fe:a9fe]", "/"), 403, "metadata_address" },
		{ GET("metadata.google.internal", "/"), 403, "metadata_address" },
		{ GET("127.0.0.1", "/"), 403, "cidr_not_allowed" },
		{ GET(RIG_EXPLICIT, "/-/refusals"), 403, "loop_refused" },
		{ GET("bad.a.test", "/"), 403, "metadata_address" },
		{ GET("gone.a.test", "/"), 502, "dns_failed" },
		{ GET("refuses.a.test", "/"), 502, "upstream_refused" },
		{ GET("silent.a.test", "/"), 504, "upstream_timeout" },
		{ GET("a..test", "/"), 400, "name_invalid" },
		{ TARGET("http://b.test/"), 403, "host_mismatch" },
		{ TARGET("http://a.test:81/"), 403, "host_mismatch" },
		{ TARGET("http://a.test.evil.test/"), 403, "host_mismatch" },
		{ TARGET("http://u@a.test/"), 400, "http_malformed" },
		{ TARGET("http://u:p@a.test/"), 400, "http_malformed" },
		{ TARGET("http:///"), 400, "http_malformed" },
		{ TARGET("http:/a.test/"), 400, "http_malformed" },
		{ TARGET("http://a.test:0/"), 400, "http_malformed" },
		{ TARGET("http://a.test:/"), 400, "http_malformed" },
		{ TARGET("http://a.test:65617/"), 400, "http_malformed" },
		{ TARGET("http://a.test\\@evil.test/"), 400, "http_malformed" },
		{ TARGET("http://a.test#@evil.test/"), 400, "http_malformed" },
		{ TARGET("http://a.test?x"), 400, "http_malformed" },
		{ TARGET("ftp://a.test/"), 400, "http_malformed" },
		{ TARGET("a.test/"), 400, "http_malformed" },
		{ TARGET("//a.test/"), 404, "route_unknown" },
		{ FORWARD("TRACE", "a.test", "/", ""), 405, "method_refused" },
		{ "GET http://a.test/ HTTP/1.1\r\n" BEARER "\r\n", 400, "http_malformed" },
		{ "GET http://a.test/ HTTP/1.1\r\nHost: a..test\r\n" BEARER "\r\n", 400,
		  "name_invalid" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		two_hosts(g);
		rig_allow(g, "*.a.test");
		rig_allow(g, "denied.test");
		rig_deny(g, "denied.test");
		rig_resolves(g, "bad.a.test", A " 169.254.169.254", 0);
		rig_resolves(g, "gone.a.test", NULL, -ENOENT);
		rig_resolves(g, "refuses.a.test", "198.51.100.1", 0);
		rig_resolves(g, "silent.a.test", "198.51.100.2", 0);
		(void)script_server(g->script, "198.51.100.1:80", SCRIPT_REFUSES, NULL);
		(void)script_server(g->script, "198.51.100.2:80", SCRIPT_BLACK_HOLE, NULL);
		srv = serving(g, A ":80", 1, 1);
		/* A second one stands behind it, which must not be served. */
		c = saying(g, rig_joined(g, str_of(rows[i].says), STR_LIT(GET("a.test", "/2"))),
			   i % 2);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), rows[i].status, rows[i].reason, rows[i].says);
		assert_int_equal(script_server_count(srv), 0);
		assert_int_equal(rig_count(g, "{"), 1);
	}
#undef TARGET
}

static void test_https_needs_connect(void **state)
{
	static const char says[] = "GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n" BEARER "\r\n";
	struct rig *g = *state;
	struct script_peer *c;

	two_hosts(g);
	c = saying(g, str_of(says), 0);
	rig_run(g);
	rig_expect_refusal(g, c, STR_LIT(""), 405, "method_refused", "https");
	assert_non_null(
		strstr(script_sent(c).p,
		       "HTTP/1.1 405 Method Not Allowed: an https:// target needs CONNECT"));
	assert_int_equal(g->resolves, 0);
}

static void test_two_names_are_told(void **state)
{
	static const char says[] = "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n" BEARER "\r\n";
	struct rig *g = *state;
	struct script_peer *c;

	two_hosts(g);
	c = saying(g, str_of(says), 0);
	rig_run(g);
	rig_expect_refusal(g, c, STR_LIT(""), 403, "host_mismatch", "two names");
	assert_non_null(strstr(script_sent(c).p, "HTTP/1.1 403 Forbidden: the target and the Host "
						 "field name different hosts\r\n"));
	assert_non_null(rig_record(g, OPEN, DENY, "\"target\":\"a.test\"", "\"port\":80"));
}

static void test_no_record_no_request(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	two_hosts(g);
	srv = serving(g, A ":80", 1, 1);
	rig_audit_full(g, true);
	c = saying(g, STR_LIT(GET("a.test", "/")), 0);
	rig_run(g);
	rig_audit_full(g, false);
	rig_expect_beginning(srv, STR_LIT(""));
	assert_memory_equal(script_sent(c).p, "HTTP/1.1 503 ", 13);
}

/* ---- upgrade */

#define ASK                                      \
	FORWARD("GET", "a.test", "/ws?secret=1", \
		"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n")
#define ASK_SEEN                              \
	SEEN("GET", "a.test", "/ws?secret=1", \
	     "Sec-WebSocket-Key: k\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
#define SWITCHED \
	"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static void test_upgrade(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;
	char up[40], down[40];

	two_hosts(g);
	srv = script_server(g->script, A ":80", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(ASK_SEEN) - 1),
				  SCRIPT_SEND(SWITCHED "early"),
				  SCRIPT_EXPECT(sizeof(ASK_SEEN "frames\x01") - 1),
				  SCRIPT_SEND("late"), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	/* What follows is the tunnel's, also if it looks like a request. */
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(ASK "frames"),
				  SCRIPT_EXPECT(sizeof(SWITCHED "early") - 1), SCRIPT_SEND("\x01"),
				  SCRIPT_SEND(GET("evil.test", "/")),
				  SCRIPT_EXPECT(sizeof(SWITCHED "earlylate") - 1), SCRIPT_EOF));
	rig_run(g);
	rig_expect_seen(g, srv, 0, STR_LIT(ASK_SEEN "frames\x01" GET("evil.test", "/")), "ws");
	rig_expect_heard(g, c, STR_LIT(SWITCHED "earlylate"), "ws");
	(void)snprintf(up, sizeof(up), "\"bytes_up\":%zu,",
		       sizeof(ASK_SEEN "frames\x01" GET("evil.test", "/")) - 1);
	(void)snprintf(down, sizeof(down), "\"bytes_down\":%zu,", sizeof(SWITCHED "earlylate") - 1);
	assert_int_equal(rig_count(g, OPEN, ALLOW, FORWARD_MODE, "\"path\":\"/ws\""), 1);
	assert_non_null(rig_record(g, CLOSE, FORWARD_MODE, up, down, "\"end\":\"eof\""));
	assert_int_equal(rig_count(g, "{"), 2);
	assert_false(rig_audit_has(g, "secret"));
}

static void test_no_tunnel_without_101(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	two_hosts(g);
	srv = serving(g, A ":80", sizeof(ASK_SEEN) - 1, 1);
	c = saying(g, STR_LIT(ASK GET("evil.test", "/")), 0);
	rig_run(g);
	rig_expect_seen(g, srv, 0, STR_LIT(ASK_SEEN), "no tunnel");
	rig_expect_refusal(g, c, STR_LIT(OK5), 403, "host_not_allowed", "no tunnel");
}

/* ---- upstreams and bodies that go wrong */

static void test_truncation_is_visible(void **state)
{
#define TEN "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
#define TE  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	static const struct talk rows[] = {
		{ "length, end", GET("a.test", "/"), SEES("a.test", "/"), TEN "hello", NULL, CLOSES,
		  true },
		{ "length, reset", GET("a.test", "/"), SEES("a.test", "/"), TEN "hello", NULL,
		  RESETS, true },
		{ "within a chunk", GET("a.test", "/"), SEES("a.test", "/"), TE "5\r\nhel", NULL,
		  CLOSES, true },
		{ "before the last chunk", GET("a.test", "/"), SEES("a.test", "/"),
		  TE "5\r\nhello\r\n", NULL, CLOSES, true },
		{ "a chunk that is none", GET("a.test", "/"), SEES("a.test", "/"),
		  TE "5\r\nhello\r\nzz\r\n", TE, STAYS, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		play_talk(state, &rows[i], 0);
#undef TEN
#undef TE
}

static void test_upstream_without_an_answer(void **state)
{
	static const struct {
		const char *answers;
		bool ends;
		int status;
		const char *reason;
	} rows[] = {
		{ "SSH-2.0-x\r\n", false, 502, "upstream_unreachable" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		  false, 502, "upstream_unreachable" },
		{ SWITCHED, false, 502, "upstream_unreachable" },
		{ "", true, 502, "upstream_unreachable" },
		{ "HTTP/1.1 200 OK\r\nCont", true, 502, "upstream_unreachable" },
		{ "", false, 504, "upstream_timeout" },
		{ "HTTP/1.1 200 OK\r\nCont", false, 504, "upstream_timeout" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		const struct script_step expect = SCRIPT_EXPECT(sizeof(SEES("a.test", "/")) - 1),
					 send = SCRIPT_SEND_STR(str_of(rows[i].answers), 0);
		struct script_server *srv;
		struct script_peer *c;

		g->limits.idle = 30 * NSEC_PER_SEC;
		two_hosts(g);
		srv = script_server(g->script, A ":80", SCRIPT_ACCEPTS,
				    rows[i].ends ? STEPS(g, expect, send, SCRIPT_EOF)
						 : STEPS(g, expect, send));
		c = saying(g, STR_LIT(GET("a.test", "/") GET("a.test", "/2")), 0);
		rig_run(g);
		rig_expect_seen(g, srv, 0, STR_LIT(SEES("a.test", "/")), rows[i].answers);
		rig_expect_refusal(g, c, STR_LIT(""), rows[i].status, rows[i].reason,
				   rows[i].answers);
		assert_int_equal(rig_count(g, CLOSE), 1);
	}
}

/* A server may think for long, but not in the middle of a head. */
static void test_upstream_that_stops_within_a_head(void **state)
{
	static const struct {
		const char *first;
		nsec_t takes;
	} rows[] = {
		{ "", 3600 * NSEC_PER_SEC },
		{ "H", 10 * NSEC_PER_SEC },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 10 * NSEC_PER_SEC },
		{ CONTINUE "HTTP/1.1 2", 10 * NSEC_PER_SEC },
		{ CONTINUE, 3600 * NSEC_PER_SEC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;

		two_hosts(g);
		(void)script_server(g->script, A ":80", SCRIPT_ACCEPTS,
				    STEPS(g, SCRIPT_EXPECT(sizeof(SEES("a.test", "/")) - 1),
					  SCRIPT_SEND_STR(str_of(rows[i].first), 0)));
		c = saying(g, STR_LIT(GET("a.test", "/")), 0);
		rig_run_for(g, rows[i].takes - NSEC_PER_SEC);
		assert_false(script_sent_eof(c));
		rig_run_for(g, 2 * NSEC_PER_SEC);
		rig_expect_refusal(g, c,
				   strncmp(rows[i].first, CONTINUE, 21) == 0 ? STR_LIT(CONTINUE)
									     : STR_LIT(""),
				   504, "upstream_timeout", rows[i].first);
	}
}

/* The rest of an upload that nobody reads is no request. */
static void test_early_answer_closes(void **state)
{
#define UPLOAD "Content-Length: 100000\r\n"
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	two_hosts(g);
	srv = script_server(g->script, A ":80", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(SEEN("POST", "a.test", "/", UPLOAD)) - 1),
				  SCRIPT_WINDOW(100), SCRIPT_SEND(OK5), SCRIPT_EXPECT_EOF));
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(FORWARD("POST", "a.test", "/", UPLOAD)),
				  SCRIPT_FILL(50000, 0), SCRIPT_SEND(GET("b.test", "/evil")),
				  SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	rig_expect_heard(g, c, STR_LIT(OK5), "early");
	assert_true(script_sent_eof(c));
	assert_true(script_sent(script_server_peer(srv, 0)).n <=
		    sizeof(SEEN("POST", "a.test", "/", UPLOAD)) - 1 + 100);
	assert_string_equal(rig_dialled(g), A ":80 ");
	assert_int_equal(rig_count(g, CLOSE, "\"status\":200"), 1);
#undef UPLOAD
}

static void test_expect_continue(void **state)
{
#define WAITS "Expect: 100-continue\r\nContent-Length: 5\r\n"
	struct rig *g = *state;
	const size_t head = sizeof(SEEN("POST", "a.test", "/", WAITS)) - 1;
	struct script_server *srv;
	struct script_peer *c;

	two_hosts(g);
	srv = script_server(g->script, A ":80", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(head), SCRIPT_SEND(CONTINUE),
				  SCRIPT_EXPECT(head + 5), SCRIPT_SEND(OK5), SCRIPT_EXPECT_EOF));
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(FORWARD("POST", "a.test", "/", WAITS)),
				  SCRIPT_EXPECT(sizeof(CONTINUE) - 1), SCRIPT_SEND("12345"),
				  SCRIPT_EXPECT(sizeof(CONTINUE OK5) - 1), SCRIPT_EOF));
	rig_run(g);
	rig_expect_seen(g, srv, 0, STR_LIT(SEEN("POST", "a.test", "/", WAITS) "12345"), "continue");
	rig_expect_heard(g, c, STR_LIT(CONTINUE OK5), "continue");
#undef WAITS
}

/* Bytes that nobody asked for are not the answer to the next request. */
static void test_stale_upstream_is_not_reused(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	two_hosts(g);
	srv = script_server(g->script, A ":80", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(SEES("a.test", "/1")) - 1),
				  SCRIPT_SEND(OK5), SCRIPT_DELAY(50),
				  SCRIPT_SEND("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
				  SCRIPT_EXPECT_EOF));
	c = rig_explicit(g,
			 STEPS(g, SCRIPT_SEND(GET("a.test", "/1")), SCRIPT_EXPECT(sizeof(OK5) - 1),
			       SCRIPT_DELAY(200), SCRIPT_SEND(GET("a.test", "/2")),
			       SCRIPT_EXPECT(sizeof(OK5 OK5) - 1), SCRIPT_EOF));
	rig_run(g);
	rig_expect_seen(g, srv, 0, STR_LIT(SEES("a.test", "/1")), "the first");
	rig_expect_seen(g, srv, 1, STR_LIT(SEES("a.test", "/2")), "the second");
	rig_expect_heard(g, c, STR_LIT(OK5 OK5), "stale");
}

/* ---- the records */

static void test_records_tell_each_request(void **state)
{
#define POST	  FORWARD("POST", "a.test", "/u?secret=1", "Content-Length: 3\r\n") "abc"
#define POST_SEEN SEEN("POST", "a.test", "/u?secret=1", "Content-Length: 3\r\n") "abc"
	struct rig *g = *state;
	char up[40], down[40];

	two_hosts(g);
	(void)serving(g, A ":80", sizeof(POST_SEEN) - 1, 1);
	(void)rig_explicit(g,
			   STEPS(g, SCRIPT_SEND(POST), SCRIPT_EXPECT(sizeof(OK5) - 1), SCRIPT_EOF));
	rig_run(g);
	(void)snprintf(up, sizeof(up), "\"bytes_up\":%zu,", sizeof(POST_SEEN) - 1);
	(void)snprintf(down, sizeof(down), "\"bytes_down\":%zu,", sizeof(OK5) - 1);
	assert_non_null(rig_record(
		g, OPEN, ALLOW, FORWARD_MODE, "\"seq\":0,", "\"method\":\"POST\"",
		"\"path\":\"/u\"", "\"target\":\"a.test\"", "\"port\":80", "\"rule\":\"a.test\"",
		"\"resolved_ip\":\"" A "\"", "\"auth_mechanism\":\"proxy_authorization\""));
	assert_non_null(rig_record(g, CLOSE, FORWARD_MODE, "\"seq\":1,", "\"path\":\"/u\"", up,
				   down, "\"status\":200", "\"end\":\"eof\""));
	assert_int_equal(rig_count(g, "{"), 2);
	assert_false(rig_audit_has(g, "secret"));
	assert_false(rig_audit_has(g, RIG_TOKEN));

	/* Nor the token, wherever some client puts it. */
	g = rig_renew(state);
	two_hosts(g);
	(void)saying(g, STR_LIT(GET("c.test", "/x/" RIG_TOKEN "/y/" RIG_TOKEN "?" RIG_TOKEN)), 0);
	rig_run(g);
	assert_non_null(rig_record(g, OPEN, DENY, "\"path\":\"/x/[token]/y/[token]\""));
	assert_false(rig_audit_has(g, RIG_TOKEN));
#undef POST
#undef POST_SEEN
}

static void test_drain_within_an_answer(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	two_hosts(g);
	(void)script_server(
		g->script, A ":80", SCRIPT_ACCEPTS,
		STEPS(g, SCRIPT_EXPECT(1),
		      SCRIPT_SEND("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")));
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(GET("a.test", "/"))));
	rig_run_for(g, NSEC_PER_SEC);
	rig_drain(g, 0);
	assert_true(script_sent_reset(c));
	assert_int_equal(rig_count(g, CLOSE, FORWARD_MODE, "\"end\":\"shutdown\""), 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_the_upstream_sees_its_own_request),
		TEST(test_fields_that_do_not_pass),
		TEST(test_http_1_0),
		TEST(test_no_token_is_asked_for_if_there_is_none),
		TEST(test_each_host_and_port_has_its_upstream),
		TEST(test_each_request_shows_the_token),
		TEST(test_407_with_a_body_closes),
		TEST(test_407_with_an_empty_body_keeps),
		TEST(test_records_do_not_remember),
		TEST(test_refused_requests),
		TEST(test_https_needs_connect),
		TEST(test_two_names_are_told),
		TEST(test_no_record_no_request),
		TEST(test_upgrade),
		TEST(test_no_tunnel_without_101),
		TEST(test_truncation_is_visible),
		TEST(test_upstream_without_an_answer),
		TEST(test_upstream_that_stops_within_a_head),
		TEST(test_early_answer_closes),
		TEST(test_expect_continue),
		TEST(test_stale_upstream_is_not_reused),
		TEST(test_records_tell_each_request),
		TEST(test_drain_within_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
