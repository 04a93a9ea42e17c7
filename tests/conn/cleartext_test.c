/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clear HTTP on redirected connections: what of it reaches an upstream, what the client is told, and
 * what is on record, request by request.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_script.h"

#define X     "192.0.2.1"
#define X_80  "192.0.2.1:80"
#define OPEN  "\"event\":\"open\""
#define ALLOW "\"decision\":\"allow\""
#define DENY  "\"decision\":\"deny\""
#define CLOSE "\"event\":\"close\""

/* These pass as they are: no field of them is changed. */
#define GET(path, host) "GET " path " HTTP/1.1\r\nHost: " host "\r\n\r\n"
#define OK5		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define CONTINUE	"HTTP/1.1 100 Continue\r\n\r\n"
#define POST_HEAD	"POST /u HTTP/1.1\r\nHost: a.test\r\n"
#define UPGRADE		"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"

enum ending { STAYS, CLOSES, RESETS };

/* One connection of one client with one server at X. */
struct talk {
	const char *why;
	const char *says;    /* the client … */
	const char *sees;    /* … and what the server shall see of it */
	const char *answers; /* the server, once it has seen that … */
	const char *hears;   /* … and what the client shall hear; NULL: the same */
	enum ending ending;  /* of the server, behind its answers */
	bool cut;	     /* the client shall see a reset */
};

static void bound(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_allow(g, "b.test");
	rig_bind(g, "a.test", X);
	rig_bind(g, "b.test", X);
}

static const struct script_step *server_steps(struct rig *g, const char *sees, const char *answers,
					      size_t seg, enum ending ending)
{
	const struct script_step expect = SCRIPT_EXPECT(strlen(sees));
	const struct script_step send = SCRIPT_SEND_BYTES(answers, strlen(answers), seg);

	switch (ending) {
	case CLOSES:
		return STEPS(g, expect, send, SCRIPT_EOF);
	case RESETS:
		return STEPS(g, expect, send, SCRIPT_DELAY(1), SCRIPT_RESET);
	case STAYS:
		break;
	}
	return STEPS(g, expect, send, SCRIPT_EXPECT_EOF, SCRIPT_EOF);
}

static struct script_server *serving(struct rig *g, const char *sees, const char *answers)
{
	return script_server(g->script, X_80, SCRIPT_ACCEPTS,
			     server_steps(g, sees, answers, 0, STAYS));
}

static void expect_seen(struct rig *g, struct script_server *srv, size_t i, const char *want,
			const char *why)
{
	struct script_peer *p = script_server_peer(srv, i);
	struct str got;

	if (!p)
		fail_msg("%s: no connection %zu\n%s", why, i, rig_audit(g));
	got = script_sent(p);
	if (got.n != strlen(want) || memcmp(got.p, want, got.n) != 0)
		fail_msg("%s: the server saw: %.*s\n%s", why, (int)got.n, got.p, rig_audit(g));
}

static void expect_heard(struct rig *g, const struct script_peer *c, const char *want,
			 const char *why)
{
	struct str got = script_sent(c);

	if (got.n != strlen(want) || memcmp(got.p, want, got.n) != 0)
		fail_msg("%s: the client heard: %.*s\n%s", why, (int)got.n, got.p, rig_audit(g));
}

/* The client heard `before`, and then a refusal and the end. */
static void expect_refusal(struct rig *g, const struct script_peer *c, const char *before,
			   const char *status, const char *reason, const char *why)
{
	struct str got = script_sent(c);
	size_t n = strlen(before);
	char line[32], field[80], word[80];

	(void)snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
	(void)snprintf(field, sizeof(field), "\r\nX-Nono-Denied: %s\r\n", reason);
	(void)snprintf(word, sizeof(word), "\"reason\":\"%s\"", reason);
	if (got.n < n + strlen(line) || memcmp(got.p, before, n) != 0 ||
	    memcmp(got.p + n, line, strlen(line)) != 0 ||
	    !memmem(got.p + n, got.n - n, field, strlen(field)) ||
	    !memmem(got.p + n, got.n - n, "\r\nConnection: close\r\n", 21))
		fail_msg("%s: not %s %s: %.*s\n%s", why, status, reason, (int)got.n, got.p,
			 rig_audit(g));
	if (!rig_record(g, OPEN, DENY, word))
		fail_msg("%s: no record of %s:\n%s", why, reason, rig_audit(g));
	assert_true(script_sent_eof(c));
	assert_false(script_sent_reset(c));
}

static void play_talk(void **state, const struct talk *t, size_t seg)
{
	const char *hears = t->hears ? t->hears : t->answers;
	struct rig *g = rig_renew(state);
	const struct script_step send = SCRIPT_SEND_BYTES(t->says, strlen(t->says), seg);
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
			    server_steps(g, t->sees, t->answers, seg, t->ending));
	c = rig_client(g, X_80,
		       STEPS(g, send, SCRIPT_EXPECT(strlen(hears) + t->cut), SCRIPT_EOF,
			     SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_seen(g, srv, 0, t->sees, t->why);
	expect_heard(g, c, hears, t->why);
	if (script_sent_reset(c) != t->cut || script_sent_eof(c) == t->cut)
		fail_msg("%s: the wrong end\n%s", t->why, rig_audit(g));
	assert_int_equal(rig_count(g, OPEN, DENY), 0);
	assert_int_equal(rig_count(g, OPEN, ALLOW), rig_count(g, CLOSE));
}

static void play_talks(void **state, const struct talk *rows, size_t n)
{
	static const size_t segments[] = { 0, 1, 7, 61 };

	for (size_t i = 0; i < n; i++)
		for (size_t s = 0; s < ARRAY_SIZE(segments); s++)
			play_talk(state, &rows[i], segments[s]);
}

/* ---- what passes */

static void test_answers_pass_in_any_segments(void **state)
{
#define R      GET("/", "a.test")
#define HEAD_R "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n"
	static const struct talk rows[] = {
		{ "a length", R, R, OK5, NULL, STAYS, false },
		{ "no bytes", R, R, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL, STAYS,
		  false },
		{ "chunked", R, R,
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
		  NULL, STAYS, false },
		{ "until close", R, R, "HTTP/1.0 200 OK\r\n\r\nhello",
		  "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", CLOSES, false },
		{ "HEAD with a length", HEAD_R, HEAD_R,
		  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", NULL, STAYS, false },
		{ "204", R, R, "HTTP/1.1 204 No Content\r\n\r\n", NULL, STAYS, false },
		{ "204 that tells a length", R, R,
		  "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
		  "HTTP/1.1 204 No Content\r\n\r\n", STAYS, false },
		{ "304 with a length", R, R,
		  "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", NULL, STAYS, false },
		{ "interim answers", R, R,
		  "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" CONTINUE OK5, NULL, STAYS,
		  false },
		{ "the server will close, the client may stay", R, R,
		  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", OK5,
		  CLOSES, false },
		{ "absolute-form", "GET http://a.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n",
		  GET("/x?y", "a.test"), OK5, NULL, STAYS, false },
		{ "absolute-form, Host with the port",
		  "GET http://a.test/x HTTP/1.1\r\nHost: A.test:80\r\n\r\n", GET("/x", "a.test"),
		  OK5, NULL, STAYS, false },
	};

	play_talks(state, rows, ARRAY_SIZE(rows));
#undef R
#undef HEAD_R
}

static void test_hop_by_hop_fields_do_not_pass(void **state)
{
	static const struct talk rows[] = {
		{ "in a request",
		  "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close, X-Secret\r\n"
		  "x-secret: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: y\r\nTE: trailers\r\n"
		  "Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Kept: 2\r\n\r\n",
		  "GET / HTTP/1.1\r\nHost: a.test\r\nX-Kept: 2\r\nConnection: close\r\n\r\n", OK5,
		  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", STAYS,
		  false },
		{ "in an answer", GET("/", "a.test"), GET("/", "a.test"),
		  "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
		  "Proxy-Authenticate: z\r\nUpgrade: h2c\r\nX-Kept: 2\r\nContent-Length: 5\r\n\r\n"
		  "hello",
		  "HTTP/1.1 200 OK\r\nX-Kept: 2\r\nContent-Length: 5\r\n\r\nhello", STAYS, false },
	};

	play_talks(state, rows, ARRAY_SIZE(rows));
}

static void test_uploads_pass_byte_by_byte_exact(void **state)
{
#define SIZED POST_HEAD "Content-Length: 10\r\n\r\n0123456789"
#define CHUNKED                                                                             \
	POST_HEAD "Transfer-Encoding: chunked\r\n\r\nA;e=\"q\"\r\n0123456789\r\n0\r\nX-T: " \
		  "1\r\n\r\n"
	static const struct talk rows[] = {
		{ "a length", SIZED, SIZED, OK5, NULL, STAYS, false },
		{ "chunked", CHUNKED, CHUNKED, OK5, NULL, STAYS, false },
		{ "no bytes", POST_HEAD "Content-Length: 0\r\n\r\n",
		  POST_HEAD "Content-Length: 0\r\n\r\n", OK5, NULL, STAYS, false },
	};
	char want[100];

	play_talks(state, rows, ARRAY_SIZE(rows));
	/* Cut in two at every place. */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t at = 1; at < strlen(rows[i].says); at++) {
			struct rig *g = rig_renew(state);
			const char *says = rows[i].says;
			size_t n = strlen(says);
			struct script_server *srv;
			struct script_peer *c;

			bound(g);
			srv = serving(g, says, OK5);
			c = rig_client(g, X_80,
				       STEPS(g, SCRIPT_SEND_BYTES(says, at, 0), SCRIPT_DELAY(5),
					     SCRIPT_SEND_BYTES(says + at, n - at, 0),
					     SCRIPT_EXPECT(sizeof(OK5) - 1), SCRIPT_EOF));
			rig_run(g);
			(void)snprintf(want, sizeof(want), "%s cut at %zu", rows[i].why, at);
			expect_seen(g, srv, 0, says, want);
			expect_heard(g, c, OK5, want);
		}
}

static void test_large_bodies_both_ways(void **state)
{
	static const char head[] = POST_HEAD "Content-Length: 1000000\r\n\r\n";
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n";
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;
	struct str up, down;

	bound(g);
	srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(head) - 1 + 1000000),
				  SCRIPT_SEND_BYTES(answer, sizeof(answer) - 1, 0),
				  SCRIPT_FILL(700000, 5000), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND_BYTES(head, sizeof(head) - 1, 0),
			     SCRIPT_FILL(1000000, 3001), SCRIPT_EXPECT(sizeof(answer) - 1 + 700000),
			     SCRIPT_EOF));
	rig_run(g);
	up = script_sent(script_server_peer(srv, 0));
	down = script_sent(c);
	assert_int_equal(up.n, sizeof(head) - 1 + 1000000);
	assert_int_equal(down.n, sizeof(answer) - 1 + 700000);
	for (size_t i = 0; i < 1000000; i++)
		assert_int_equal((uint8_t)up.p[sizeof(head) - 1 + i], script_pattern(i));
	for (size_t i = 0; i < 700000; i++)
		assert_int_equal((uint8_t)down.p[sizeof(answer) - 1 + i], script_pattern(i));
}

static void test_expect_continue(void **state)
{
	static const char head[] = POST_HEAD "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
	static const char no[] = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(head) - 1), SCRIPT_SEND(CONTINUE),
				  SCRIPT_EXPECT(sizeof(head) - 1 + 5), SCRIPT_SEND(OK5),
				  SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND_BYTES(head, sizeof(head) - 1, 0),
			     SCRIPT_EXPECT(sizeof(CONTINUE) - 1), SCRIPT_SEND("12345"),
			     SCRIPT_EXPECT(sizeof(CONTINUE OK5) - 1), SCRIPT_EOF));
	rig_run(g);
	expect_seen(g, srv, 0, POST_HEAD "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n12345",
		    "continued");
	expect_heard(g, c, CONTINUE OK5, "continued");

	/* Told not to: the body never comes, and the next request must not be taken for it. */
	g = rig_renew(state);
	bound(g);
	srv = serving(g, head, no);
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND_BYTES(head, sizeof(head) - 1, 0),
			     SCRIPT_EXPECT(sizeof(no) - 1), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_seen(g, srv, 0, head, "refused");
	expect_heard(g, c, no, "refused");
	assert_true(script_sent_eof(c));
}

/* ---- request after request */

static void test_each_request_is_judged(void **state)
{
	static const char first[] = GET("/1", "a.test");
	static const char second[] = GET("/2", "b.test");
	static const char third[] = GET("/3", "evil.test");
	static const char both[] = GET("/1", "a.test") GET("/2", "b.test");

	for (int pipelined = 0; pipelined < 2; pipelined++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		size_t wait = pipelined ? 0 : sizeof(OK5) - 1;

		bound(g);
		srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
				    STEPS(g, SCRIPT_EXPECT(sizeof(first) - 1), SCRIPT_SEND(OK5),
					  SCRIPT_EXPECT(sizeof(both) - 1), SCRIPT_SEND(OK5),
					  SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		c = pipelined ? rig_client(g, X_80,
					   STEPS(g,
						 SCRIPT_SEND(GET("/1", "a.test") GET("/2", "b.test")
								     GET("/3", "evil.test")),
						 SCRIPT_EXPECT_EOF, SCRIPT_EOF))
			      : rig_client(g, X_80,
					   STEPS(g, SCRIPT_SEND_IN(GET("/1", "a.test"), 1),
						 SCRIPT_EXPECT(wait), SCRIPT_DELAY(60000),
						 SCRIPT_SEND_BYTES(second, sizeof(second) - 1, 1),
						 SCRIPT_EXPECT(2 * wait),
						 SCRIPT_SEND_BYTES(third, sizeof(third) - 1, 1),
						 SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		expect_seen(g, srv, 0, both, "two of three");
		assert_int_equal(script_server_count(srv), 1);
		expect_refusal(g, c, OK5 OK5, "403", "host_mismatch", "the third");
		assert_non_null(rig_record(g, OPEN, ALLOW, "\"target\":\"a.test\"",
					   "\"path\":\"/1\"", "\"rule\":\"a.test\""));
		assert_non_null(rig_record(g, OPEN, ALLOW, "\"target\":\"b.test\"",
					   "\"path\":\"/2\"", "\"rule\":\"b.test\""));
		assert_non_null(
			rig_record(g, OPEN, DENY, "\"target\":\"evil.test\"", "\"path\":\"/3\""));
		assert_int_equal(rig_count(g, CLOSE, "\"status\":200"), 2);
		assert_int_equal(rig_count(g, "{"), 5);
	}
}

/* What the server sends unasked, or its end, is never taken for the next answer. */
static void test_stale_upstream_is_not_reused(void **state)
{
	static const struct {
		const char *answers;
		size_t late; /* msec */
		enum ending ending;
		const char *why;
	} rows[] = {
		{ OK5 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 0, STAYS,
		  "more at once" },
		{ OK5, 0, CLOSES, "an end" },
		{ OK5, 0, RESETS, "a reset" },
		{ OK5, 50, STAYS, "more later" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		static const char first[] = GET("/1", "a.test"), second[] = GET("/2", "a.test");
		struct script_server *srv;
		struct script_peer *c;

		bound(g);
		if (rows[i].late)
			srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
					    STEPS(g, SCRIPT_EXPECT(sizeof(first) - 1),
						  SCRIPT_SEND(OK5), SCRIPT_DELAY(rows[i].late),
						  SCRIPT_SEND(OK5), SCRIPT_EXPECT_EOF));
		else
			srv = script_server(
				g->script, X_80, SCRIPT_ACCEPTS,
				server_steps(g, first, rows[i].answers, 0, rows[i].ending));
		c = rig_client(g, X_80,
			       STEPS(g, SCRIPT_SEND_BYTES(first, sizeof(first) - 1, 0),
				     SCRIPT_EXPECT(sizeof(OK5) - 1), SCRIPT_DELAY(200),
				     SCRIPT_SEND_BYTES(second, sizeof(second) - 1, 0),
				     SCRIPT_EXPECT(2 * (sizeof(OK5) - 1)), SCRIPT_EOF));
		rig_run(g);
		expect_seen(g, srv, 0, first, rows[i].why);
		expect_seen(g, srv, 1, second, rows[i].why);
		assert_memory_equal(script_sent(c).p, OK5 OK5, sizeof(OK5 OK5) - 1);
		assert_int_equal(script_sent(c).n, sizeof(OK5 OK5) - 1);
	}
}

/* A client that has closed its sending side gets its answer, and a clean end. */
static void test_client_that_half_closes(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	bound(g);
	(void)serving(g, GET("/", "a.test"), OK5);
	c = rig_client(g, X_80, STEPS(g, SCRIPT_SEND(GET("/", "a.test")), SCRIPT_EOF));
	rig_run(g);
	expect_heard(g, c, OK5, "half-closed");
	assert_true(script_sent_eof(c));
	assert_false(script_sent_reset(c));
}

/* ---- uploads that go wrong */

static void test_early_answer_closes(void **state)
{
	static const char head[] = POST_HEAD "Content-Length: 1000000\r\n\r\n";
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(head) - 1), SCRIPT_WINDOW(100),
				  SCRIPT_SEND(OK5), SCRIPT_EXPECT_EOF));
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND_BYTES(head, sizeof(head) - 1, 0),
			     SCRIPT_FILL(100000, 0), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_heard(g, c, OK5, "early");
	assert_true(script_sent_eof(c));
	assert_true(script_sent(script_server_peer(srv, 0)).n <= sizeof(head) - 1 + 100);
	assert_int_equal(rig_count(g, CLOSE, "\"status\":200"), 1);
	assert_int_equal(rig_count(g, "{"), 2);
}

/* All of the body is here, but the server takes only a part of it: what follows is none of it. */
static void test_early_answer_before_the_last_bytes(void **state)
{
	static const char head[] = POST_HEAD "Content-Length: 10\r\n\r\n";
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(head) - 1), SCRIPT_WINDOW(4),
				  SCRIPT_SEND(OK5), SCRIPT_DELAY(100), SCRIPT_WINDOW(SIZE_MAX),
				  SCRIPT_EXPECT_EOF));
	c = rig_client(g, X_80,
		       STEPS(g,
			     SCRIPT_SEND(POST_HEAD "Content-Length: 10\r\n\r\n0123456789" GET(
				     "/x", "a.test")),
			     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_seen(g, srv, 0, POST_HEAD "Content-Length: 10\r\n\r\n0123", "cut short");
	assert_int_equal(script_server_count(srv), 1);
	expect_heard(g, c, OK5, "cut short");
}

static void test_malformed_upload(void **state)
{
#define CHUNKS POST_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	static const char *const rows[] = { "zz\r\n",
					    "-1\r\n",
					    "0x5\r\nhello\r\n",
					    "5 \r\n",
					    "5\n",
					    "0\r\nContent-Length: 3\r\n\r\n",
					    "5\r\nhelloX\r\n0\r\n\r\n" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		struct str seen;

		bound(g);
		srv = serving(g, CHUNKS "and more, which never comes, as much as all rows are long",
			      OK5);
		c = rig_client(g, X_80,
			       STEPS(g, SCRIPT_SEND(CHUNKS), SCRIPT_DELAY(10),
				     SCRIPT_SEND_BYTES(rows[i], strlen(rows[i]), 0),
				     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		seen = script_sent(script_server_peer(srv, 0));
		assert_int_equal(seen.n, sizeof(CHUNKS) - 1);
		expect_refusal(g, c, "", "400", "http_malformed", rows[i]);
		assert_int_equal(rig_count(g, CLOSE), 1);
	}
#undef CHUNKS
}

static void test_upload_that_stops(void **state)
{
	for (int ends = 0; ends < 2; ends++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		g->limits.idle = 5 * NSEC_PER_SEC;
		bound(g);
		srv = serving(g, POST_HEAD "Content-Length: 10\r\n\r\n0123456789", OK5);
		c = rig_client(
			g, X_80,
			ends ? STEPS(g, SCRIPT_SEND(POST_HEAD "Content-Length: 10\r\n\r\n0123"),
				     SCRIPT_EOF, SCRIPT_EXPECT_EOF)
			     : STEPS(g, SCRIPT_SEND(POST_HEAD "Content-Length: 10\r\n\r\n0123"),
				     SCRIPT_DELAY(4000), SCRIPT_SEND("4"), SCRIPT_EXPECT_EOF,
				     SCRIPT_EOF));
		rig_run(g);
		assert_true(script_sent(script_server_peer(srv, 0)).n <
			    sizeof(POST_HEAD "Content-Length: 10\r\n\r\n0123456789") - 1);
		expect_refusal(g, c, "", "408", "too_slow", ends ? "an end" : "silence");
		assert_int_equal(rig_count(g, CLOSE), 1);
	}
}

/* ---- upgrades */

static void test_upgrade(void **state)
{
#define ASK  "GET /ws HTTP/1.1\r\nHost: a.test\r\n" UPGRADE
#define DONE "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(ASK) - 1), SCRIPT_SEND(DONE "early"),
				  SCRIPT_EXPECT(sizeof(ASK "frames"
							   "\x01\x02\r\n") -
						1),
				  SCRIPT_SEND("late"), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND(ASK "frames"), SCRIPT_EXPECT(sizeof(DONE "early") - 1),
			     SCRIPT_SEND("\x01\x02\r\n"),
			     SCRIPT_EXPECT(sizeof(DONE "earlylate") - 1), SCRIPT_EOF));
	rig_run(g);
	expect_seen(g, srv, 0,
		    ASK "frames"
			"\x01\x02\r\n",
		    "a tunnel");
	expect_heard(g, c, DONE "earlylate", "a tunnel");
	assert_int_equal(rig_count(g, OPEN, ALLOW, "\"path\":\"/ws\""), 1);
	assert_int_equal(rig_count(g, CLOSE, "\"end\":\"eof\""), 1);
	assert_int_equal(rig_count(g, "{"), 2);
}

static void test_no_tunnel_without_101(void **state)
{
	static const char two[] = ASK GET("/2", "a.test");
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = script_server(g->script, X_80, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(ASK) - 1), SCRIPT_SEND(OK5),
				  SCRIPT_EXPECT(sizeof(two) - 1), SCRIPT_SEND(OK5),
				  SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND(ASK GET("/2", "a.test") GET("/3", "evil.test")),
			     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_seen(g, srv, 0, two, "no tunnel");
	expect_refusal(g, c, OK5 OK5, "403", "host_mismatch", "no tunnel");
}

/* ---- what is refused */

static void test_smuggling_is_refused(void **state)
{
#define H    "Host: a.test\r\n"
#define EVIL "GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n"
	static const struct {
		const char *bytes, *why;
	} rows[] = {
		{ POST_HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL,
		  "CL and TE" },
		{ POST_HEAD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" EVIL,
		  "TE and CL" },
		{ POST_HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" EVIL, "two CL" },
		{ POST_HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" EVIL,
		  "two equal CL" },
		{ POST_HEAD "Content-Length: 5, 5\r\n\r\nhello" EVIL, "a list of CL" },
		{ POST_HEAD "Content-Length: +5\r\n\r\nhello" EVIL, "CL +5" },
		{ POST_HEAD "Content-Length: 0x5\r\n\r\nhello" EVIL, "CL 0x5" },
		{ POST_HEAD "Content-Length: -1\r\n\r\nhello" EVIL, "CL -1" },
		{ POST_HEAD "Content-Length:\r\n\r\nhello" EVIL, "an empty CL" },
		{ POST_HEAD "Content-Length: 99999999999999999999\r\n\r\n" EVIL, "a huge CL" },
		{ POST_HEAD "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" EVIL, "TE xchunked" },
		{ POST_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" EVIL, "TE list" },
		{ POST_HEAD "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n" EVIL, "TE with a tab" },
		{ POST_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
			    "0\r\n\r\n" EVIL,
		  "TE twice" },
		{ "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL,
		  "TE with HTTP/1.0" },
		{ "GET / HTTP/1.1\r\n" H "X: 1\r\n Content-Length: 5\r\n\r\n" EVIL, "obs-fold" },
		{ "GET / HTTP/1.1\n" H "\r\n", "a bare LF in the first line" },
		{ "GET / HTTP/1.1\r\nHost: a.test\nX: 1\r\n\r\n", "a bare LF in a field" },
		{ "GET / HTTP/1.1\r\n" H "X: 1\rY: 2\r\n\r\n", "a bare CR" },
		{ "GET / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\nhello",
		  "a blank before colon" },
		{ "GET / HTTP/1.1\r\n" H "X\r\n\r\n", "no colon" },
		{ "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", "no name" },
		{ "GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", "a control character" },
		{ "GET / HTTP/1.1\r\n" H H "\r\n", "two Hosts" },
		{ "GET / HTTP/1.1\r\n" H "Host: evil.test\r\n\r\n", "two different Hosts" },
		{ "GET / HTTP/1.1\r\n\r\n", "no Host" },
		{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", "an empty Host" },
		{ "GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n", "userinfo in Host" },
		{ "GET http://a.test@evil.test/ HTTP/1.1\r\n" H "\r\n", "userinfo in the target" },
		{ "GET /#f HTTP/1.1\r\n" H "\r\n", "a fragment" },
		{ "GET  / HTTP/1.1\r\n" H "\r\n", "two blanks" },
		{ "GET / x HTTP/1.1\r\n" H "\r\n", "a blank in the target" },
		{ "GET /\r\n", "HTTP/0.9" },
		{ "GET / HTTP/1.1 \r\n" H "\r\n", "a blank behind the version" },
		{ "GET / HTTP/2.0\r\n" H "\r\n", "HTTP/2.0" },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the preface of HTTP/2" },
		{ "CONNECT a.test:443 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
		  "CONNECT with a body" },
	};
	static const char good[] = GET("/good", "a.test");

	for (size_t i = 0; i < ARRAY_SIZE(rows) * 4; i++) {
		struct rig *g = rig_renew(state);
		const char *bad = rows[i / 4].bytes, *why = rows[i / 4].why;
		bool behind = i & 1;
		size_t seg = i & 2 ? 1 : 0;
		struct script_server *srv;
		struct script_peer *c;
		char says[1024];

		bound(g);
		srv = serving(g, good, OK5);
		(void)snprintf(says, sizeof(says), "%s%s", behind ? good : "", bad);
		c = rig_client(g, X_80,
			       STEPS(g, SCRIPT_SEND_BYTES(says, strlen(says), seg),
				     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		expect_seen(g, srv, 0, behind ? good : "", why);
		assert_int_equal(script_server_count(srv), 1);
		expect_refusal(g, c, behind ? OK5 : "", "400", "http_malformed", why);
		assert_int_equal(rig_count(g, OPEN, ALLOW), behind);
		assert_int_equal(rig_count(g, CLOSE), behind);
	}
}

/* A NUL ends no string here. */
static void test_nul_is_refused(void **state)
{
	static const char bytes[] = GET("/good", "a.test") "GET / HTTP/1.1\r\nHost: a.test\r\n"
							   "X: a\0b\r\n\r\n";
	static const char good[] = GET("/good", "a.test");
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = serving(g, good, OK5);
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND_BYTES(bytes, sizeof(bytes) - 1, 0), SCRIPT_EXPECT_EOF,
			     SCRIPT_EOF));
	rig_run(g);
	expect_seen(g, srv, 0, good, "NUL");
	expect_refusal(g, c, OK5, "400", "http_malformed", "NUL");
}

static void test_refused_requests(void **state)
{
	static const struct {
		const char *bytes, *status, *reason, *method;
	} rows[] = {
		{ "TRACE / HTTP/1.1\r\n" H "\r\n", "405", "method_refused", "TRACE" },
		{ "CONNECT a.test:80 HTTP/1.1\r\n" H "\r\n", "405", "method_refused", "CONNECT" },
		{ GET("/", "evil.test"), "403", "host_mismatch", "GET" },
		{ GET("/", "a.test.evil.test"), "403", "host_mismatch", "GET" },
		{ GET("/", "a.test:8080"), "403", "host_mismatch", "GET" },
		{ GET("/", X), "403", "host_mismatch", "GET" },
		{ GET("/", "169.254.169.254"), "403", "host_mismatch", "GET" },
		{ GET("/", "2852039166"), "403", "host_mismatch", "GET" },
		{ GET("/", "a..test"), "400", "name_invalid", "GET" },
		{ "GET http://evil.test/ HTTP/1.1\r\n" H "\r\n", "403", "host_mismatch", "GET" },
		{ "GET http://a.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", "403", "host_mismatch",
		  "GET" },
		{ "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", "403", "host_mismatch",
		  "GET" },
		{ "GET http://a.test:81/ HTTP/1.1\r\n" H "\r\n", "403", "host_mismatch", "GET" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		char method[40];

		bound(g);
		srv = serving(g, "x", OK5);
		c = rig_client(g, X_80,
			       STEPS(g, SCRIPT_SEND_BYTES(rows[i].bytes, strlen(rows[i].bytes), 0),
				     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		expect_seen(g, srv, 0, "", rows[i].bytes);
		expect_refusal(g, c, "", rows[i].status, rows[i].reason, rows[i].bytes);
		(void)snprintf(method, sizeof(method), "\"method\":\"%s\"", rows[i].method);
		assert_non_null(rig_record(g, OPEN, DENY, method));
		assert_int_equal(rig_count(g, "{"), 1);
	}
}

static void test_head_that_is_too_large_or_too_slow(void **state)
{
	static char many[80000], line[9000];
	struct rig *g = *state;
	struct script_peer *c;
	size_t n;

	bound(g);
	(void)serving(g, "x", OK5);
	n = (size_t)snprintf(many, sizeof(many), "GET / HTTP/1.1\r\n" H);
	while (n + 1010 < sizeof(many))
		n += (size_t)snprintf(many + n, sizeof(many) - n, "X: %01000d\r\n", 7);
	memset(line, 'a', sizeof(line));
	memcpy(line, "GET /", 5);
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND_BYTES(many, n, 0), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_refusal(g, c, "", "431", "head_too_large", "many fields");
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND_BYTES(line, sizeof(line), 100), SCRIPT_EXPECT_EOF,
			     SCRIPT_EOF));
	rig_run(g);
	expect_refusal(g, c, "", "431", "head_too_large", "an endless line");
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND("GET / HTTP/1.1\r\nHo"), SCRIPT_DELAY(9000),
			     SCRIPT_SEND("s"), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_refusal(g, c, "", "408", "too_slow", "a slow head");
}

/* ---- upstreams that go wrong */

static void test_upstream_without_an_answer(void **state)
{
	static char endless[70000];
	static const struct {
		const char *answers;
		enum ending ending;
		const char *status, *reason;
	} rows[] = {
		{ "SSH-2.0-x\r\n", STAYS, "502", "upstream_unreachable" },
		{ "\x01\x02\x03\r\n\r\n", STAYS, "502", "upstream_unreachable" },
		{ "HTTP/1.1 200 OK\nContent-Length: 0\n\n", STAYS, "502", "upstream_unreachable" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", STAYS,
		  "502", "upstream_unreachable" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		  STAYS, "502", "upstream_unreachable" },
		{ "HTTP/2.0 200 OK\r\n\r\n", STAYS, "502", "upstream_unreachable" },
		{ "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE "x", STAYS, "502",
		  "upstream_unreachable" },
		{ endless, STAYS, "502", "upstream_unreachable" },
		{ "", CLOSES, "502", "upstream_unreachable" },
		{ "", RESETS, "502", "upstream_unreachable" },
		{ "HTTP/1.1 200 OK\r\nConte", CLOSES, "502", "upstream_unreachable" },
		{ "HTTP/1.1 200 OK\r\nConte", RESETS, "502", "upstream_unreachable" },
		{ "", STAYS, "504", "upstream_timeout" },
		{ "HTTP/1.1 200 OK\r\nConte", STAYS, "504", "upstream_timeout" },
	};

	memset(endless, 'a', sizeof(endless) - 1);
	memcpy(endless, "HTTP/1.1 200 OK\r\nX: ", 20);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		g->limits.idle = 30 * NSEC_PER_SEC;
		bound(g);
		srv = script_server(
			g->script, X_80, SCRIPT_ACCEPTS,
			server_steps(g, GET("/", "a.test"), rows[i].answers, 0, rows[i].ending));
		c = rig_client(
			g, X_80,
			STEPS(g, SCRIPT_SEND(GET("/", "a.test")), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		expect_seen(g, srv, 0, GET("/", "a.test"), rows[i].answers);
		expect_refusal(g, c, "", rows[i].status, rows[i].reason, rows[i].answers);
		assert_int_equal(rig_count(g, CLOSE), 1);
	}
}

/* Interim answers are none: the refusal stands behind them. */
static void test_upstream_with_interim_answers_only(void **state)
{
	static const char sees[] = GET("/", "a.test");

	for (int many = 0; many < 2; many++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		char answers[1024] = "", hears[1024] = "";

		bound(g);
		for (int i = 0; i < (many ? 17 : 1); i++)
			memcpy(answers + (size_t)i * (sizeof(CONTINUE) - 1), CONTINUE,
			       sizeof(CONTINUE));
		for (int i = 0; i < (many ? 16 : 1); i++)
			memcpy(hears + (size_t)i * (sizeof(CONTINUE) - 1), CONTINUE,
			       sizeof(CONTINUE));
		(void)script_server(g->script, X_80, SCRIPT_ACCEPTS,
				    server_steps(g, sees, answers, 0, many ? STAYS : CLOSES));
		c = rig_client(g, X_80,
			       STEPS(g, SCRIPT_SEND_BYTES(sees, sizeof(sees) - 1, 0),
				     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		expect_refusal(g, c, hears, "502", "upstream_unreachable", "interim answers");
		assert_int_equal(rig_count(g, CLOSE), 1);
	}
}

static void test_answer_that_breaks_off_looks_broken(void **state)
{
#define R   GET("/", "a.test")
#define C   "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
#define TEN "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"
#define TE  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	static const struct talk rows[] = {
		{ "length, end", R, R, TEN "\r\nhello", NULL, CLOSES, true },
		{ "length, reset", R, R, TEN "\r\nhello", NULL, RESETS, true },
		{ "length, end, Connection: close", C, C, TEN "\r\nhello",
		  TEN "Connection: close\r\n\r\nhello", CLOSES, true },
		{ "chunked, end", R, R, TE "\r\n5\r\nhel", NULL, CLOSES, true },
		{ "chunked, end before the last chunk", R, R, TE "\r\n5\r\nhello\r\n", NULL, CLOSES,
		  true },
		{ "chunked, end, Connection: close", C, C, TE "\r\n5\r\nhello\r\n",
		  TE "Connection: close\r\n\r\n5\r\nhello\r\n", CLOSES, true },
		{ "until close, reset", R, R, "HTTP/1.1 200 OK\r\n\r\nhello",
		  "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", RESETS, true },
	};

	play_talks(state, rows, ARRAY_SIZE(rows));
#undef R
#undef C
#undef TEN
#undef TE
}

/* ---- addresses that no answer gave */

static void test_unbound_names_are_dialled(void **state)
{
	static const char a[] = GET("/1", "a.test") GET("/2", "A.test.");
	struct rig *g = *state;
	struct script_server *x, *at_a, *at_b;
	struct script_peer *c;

	rig_allow(g, "*.test:80");
	rig_deny(g, "evil.test");
	rig_resolves(g, "a.test", "198.51.100.7", 0);
	rig_resolves(g, "b.test", "198.51.100.8", 0)->delay = 20 * NSEC_PER_MSEC;
	x = serving(g, "", "");
	at_a = script_server(g->script, "198.51.100.7:80", SCRIPT_ACCEPTS,
			     STEPS(g, SCRIPT_EXPECT(sizeof(GET("/1", "a.test")) - 1),
				   SCRIPT_SEND(OK5), SCRIPT_EXPECT(sizeof(a) - 1), SCRIPT_SEND(OK5),
				   SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	at_b = script_server(g->script, "198.51.100.8:80", SCRIPT_ACCEPTS,
			     STEPS(g, SCRIPT_EXPECT(sizeof(GET("/3", "b.test")) - 1),
				   SCRIPT_SEND(OK5), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	c = rig_client(g, X_80,
		       STEPS(g,
			     SCRIPT_SEND(GET("/1", "a.test") GET("/2", "A.test.")
						 GET("/3", "b.test") GET("/4", "evil.test")),
			     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	assert_string_equal(rig_dialled(g), "198.51.100.7:80 198.51.100.8:80 ");
	assert_int_equal(script_server_count(x), 0);
	expect_seen(g, at_a, 0, a, "the first name");
	expect_seen(g, at_b, 0, GET("/3", "b.test"), "the second name");
	expect_refusal(g, c, OK5 OK5 OK5, "403", "host_denied", "the third name");
	assert_int_equal(rig_count(g, OPEN, ALLOW, "\"target\":\"a.test\"",
				   "\"resolved_ip\":\"198.51.100.7\"", "\"rule\":\"*.test:80\""),
			 2);
	assert_int_equal(rig_count(g, OPEN, ALLOW, "\"target\":\"b.test\"",
				   "\"resolved_ip\":\"198.51.100.8\"", "\"rule\":\"*.test:80\""),
			 1);
	assert_int_equal(rig_count(g, OPEN, DENY, "resolved_ip\":\"198"), 0);
}

static void test_unbound_refusals(void **state)
{
	static const struct {
		const char *host, *status, *reason;
	} rows[] = {
		{ "b.example", "403", "host_not_allowed" },
		{ "denied.test", "403", "host_denied" },
		{ "metadata.google.internal", "403", "metadata_address" },
		{ "169.254.169.254", "403", "cidr_not_allowed" },
		{ X, "403", "cidr_not_allowed" },
		{ "gone.test", "502", "dns_failed" },
		{ "meta.test", "403", "metadata_address" },
		{ "refuses.test", "502", "upstream_refused" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *x;
		struct script_peer *c;
		char says[200];

		rig_allow(g, "*.test:80");
		rig_deny(g, "denied.test");
		rig_resolves(g, "gone.test", NULL, -EIO);
		rig_resolves(g, "meta.test", "169.254.169.254", 0);
		rig_resolves(g, "refuses.test", "198.51.100.9", 0);
		(void)script_server(g->script, "198.51.100.9:80", SCRIPT_REFUSES, NULL);
		x = serving(g, "x", OK5);
		(void)snprintf(says, sizeof(says), GET("/", "%s"), rows[i].host);
		c = rig_client(g, X_80,
			       STEPS(g, SCRIPT_SEND_BYTES(says, strlen(says), 0), SCRIPT_EXPECT_EOF,
				     SCRIPT_EOF));
		rig_run(g);
		expect_refusal(g, c, "", rows[i].status, rows[i].reason, rows[i].host);
		assert_int_equal(script_server_count(x), 0);
		assert_int_equal(rig_count(g, "{"), 1);
	}
}

/* ---- the records */

static void test_records_tell_each_request(void **state)
{
#define POST "POST /u?secret=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"
#define GONE "HTTP/1.1 404 Gone\r\nContent-Length: 2\r\n\r\nno"
	struct rig *g = *state;
	char up[40], down[40];

	bound(g);
	(void)script_server(g->script, X_80, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(POST) - 1), SCRIPT_SEND(OK5),
				  SCRIPT_EXPECT(sizeof(POST GET("/2", "a.test")) - 1),
				  SCRIPT_SEND(GONE), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	(void)rig_client(g, X_80,
			 STEPS(g, SCRIPT_SEND(POST), SCRIPT_EXPECT(sizeof(OK5) - 1),
			       SCRIPT_SEND(GET("/2", "a.test")),
			       SCRIPT_EXPECT(sizeof(OK5 GONE) - 1), SCRIPT_EOF));
	rig_run(g);
	(void)snprintf(up, sizeof(up), "\"bytes_up\":%zu,", sizeof(POST) - 1);
	(void)snprintf(down, sizeof(down), "\"bytes_down\":%zu,", sizeof(OK5) - 1);
	assert_non_null(rig_record(g, OPEN, ALLOW, "\"method\":\"POST\"", "\"path\":\"/u\"",
				   "\"target\":\"a.test\"", "\"seq\":0,"));
	assert_non_null(rig_record(g, CLOSE, "\"method\":\"POST\"", "\"path\":\"/u\"", up, down,
				   "\"status\":200", "\"end\":\"eof\"", "\"seq\":1,"));
	(void)snprintf(up, sizeof(up), "\"bytes_up\":%zu,", sizeof(GET("/2", "a.test")) - 1);
	(void)snprintf(down, sizeof(down), "\"bytes_down\":%zu,", sizeof(GONE) - 1);
	assert_non_null(
		rig_record(g, OPEN, ALLOW, "\"method\":\"GET\"", "\"path\":\"/2\"", "\"seq\":2,"));
	assert_non_null(rig_record(g, CLOSE, "\"method\":\"GET\"", "\"path\":\"/2\"", up, down,
				   "\"status\":404", "\"end\":\"eof\"", "\"seq\":3,"));
	assert_int_equal(rig_count(g, "{"), 4);
	assert_false(rig_audit_has(g, "secret"));
}

static void test_no_record_no_request(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = serving(g, "x", OK5);
	rig_audit_full(g, true);
	c = rig_client(g, X_80,
		       STEPS(g, SCRIPT_SEND(GET("/", "a.test")), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	rig_audit_full(g, false);
	expect_seen(g, srv, 0, "", "no audit");
	assert_memory_equal(script_sent(c).p, "HTTP/1.1 503 ", 13);
}

/* ---- the sweep */

static void expect_beginning(struct script_server *srv, const char *all)
{
	for (size_t i = 0; i < script_server_count(srv); i++) {
		struct str got = script_sent(script_server_peer(srv, i));

		assert_true(got.n <= strlen(all));
		assert_memory_equal(got.p, all, got.n);
	}
}

static void play_simple(struct rig *g, const char *says, const char *sees, const char *answers)
{
	struct script_server *srv;

	bound(g);
	srv = serving(g, sees, answers);
	(void)rig_client(g, X_80,
			 STEPS(g, SCRIPT_SEND_BYTES(says, strlen(says), 20),
			       SCRIPT_EXPECT(strlen(answers)), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_beginning(srv, sees);
}

static void play_get(struct rig *g)
{
	play_simple(g, GET("/", "a.test"), GET("/", "a.test"), OK5);
}

static void play_upload(struct rig *g)
{
	play_simple(g, CHUNKED, CHUNKED, OK5);
}

static void play_upgrade(struct rig *g)
{
	play_simple(g, ASK "frames", ASK "frames", DONE "back");
}

static void play_bad_chunk(struct rig *g)
{
	static const char sees[] = POST_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

	play_simple(g, POST_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", sees,
		    "");
}

static void play_until_close(struct rig *g)
{
	bound(g);
	(void)script_server(
		g->script, X_80, SCRIPT_ACCEPTS,
		server_steps(g, GET("/", "a.test"), "HTTP/1.0 200 OK\r\n\r\nhello", 3, CLOSES));
	(void)rig_client(g, X_80,
			 STEPS(g, SCRIPT_SEND(GET("/", "a.test")), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
}

static void play_unbound(struct rig *g)
{
	struct script_server *x, *srv;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", "198.51.100.7", 0)->delay = NSEC_PER_MSEC;
	x = serving(g, "x", OK5);
	srv = script_server(g->script, "198.51.100.7:80", SCRIPT_ACCEPTS,
			    server_steps(g, GET("/", "a.test"), OK5, 0, STAYS));
	(void)rig_client(g, X_80,
			 STEPS(g, SCRIPT_SEND_IN(GET("/", "a.test"), 9),
			       SCRIPT_EXPECT(sizeof(OK5) - 1), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_beginning(srv, GET("/", "a.test"));
	assert_int_equal(script_server_count(x), 0);
}

#define SWEEP(name)                                 \
	static void test_sweep_##name(void **state) \
	{                                           \
		rig_sweep(state, play_##name);      \
	}
SWEEP(get)
SWEEP(upload)
SWEEP(upgrade)
SWEEP(bad_chunk)
SWEEP(until_close)
SWEEP(unbound)

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_answers_pass_in_any_segments),
		TEST(test_hop_by_hop_fields_do_not_pass),
		TEST(test_uploads_pass_byte_by_byte_exact),
		TEST(test_large_bodies_both_ways),
		TEST(test_expect_continue),
		TEST(test_each_request_is_judged),
		TEST(test_stale_upstream_is_not_reused),
		TEST(test_client_that_half_closes),
		TEST(test_early_answer_closes),
		TEST(test_early_answer_before_the_last_bytes),
		TEST(test_malformed_upload),
		TEST(test_upload_that_stops),
		TEST(test_upgrade),
		TEST(test_no_tunnel_without_101),
		TEST(test_smuggling_is_refused),
		TEST(test_nul_is_refused),
		TEST(test_refused_requests),
		TEST(test_head_that_is_too_large_or_too_slow),
		TEST(test_upstream_without_an_answer),
		TEST(test_upstream_with_interim_answers_only),
		TEST(test_answer_that_breaks_off_looks_broken),
		TEST(test_unbound_names_are_dialled),
		TEST(test_unbound_refusals),
		TEST(test_records_tell_each_request),
		TEST(test_no_record_no_request),
		TEST(test_sweep_get),
		TEST(test_sweep_upload),
		TEST(test_sweep_upgrade),
		TEST(test_sweep_bad_chunk),
		TEST(test_sweep_until_close),
		TEST(test_sweep_unbound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
