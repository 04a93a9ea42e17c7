/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole connections, in each of which every operation fails once: all of them end, nothing is left
 * open, the records are one refusal or one open and one close, and no byte goes where it may not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/proxy_script.h"

#define X      "192.0.2.1"
#define X_443  "192.0.2.1:443"
#define ANSWER "\x16\x03\x03\x00\x01 the server's answer"

#define BEARER	    "Proxy-Authorization: Bearer " RIG_TOKEN "\r\n"
#define A_443	    "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n" BEARER "\r\n"
#define ESTABLISHED "HTTP/1.1 200 Connection Established\r\n\r\n"
#define OK5	    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define GET(host)   "GET http://" host "/ HTTP/1.1\r\nHost: " host "\r\n" BEARER "\r\n"
#define SEES(host)  "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"

/* A server at X that answers `expect` bytes and closes when the client has. */
static struct script_server *answering(struct rig *g, const char *at, size_t expect)
{
	return script_server(g->script, at, SCRIPT_ACCEPTS,
			     STEPS(g, SCRIPT_EXPECT(expect), SCRIPT_SEND(ANSWER), SCRIPT_EXPECT_EOF,
				   SCRIPT_EOF));
}

/* A client that says this, waits for the answer, and closes. */
static struct script_peer *saying(struct rig *g, const char *to, struct str what, size_t seg)
{
	return rig_client(g, to,
			  STEPS(g, SCRIPT_SEND_STR(what, seg), SCRIPT_EXPECT(sizeof(ANSWER) - 1),
				SCRIPT_EOF, SCRIPT_EXPECT_EOF));
}

static void bound(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X);
}

/* What a server may have heard: nothing, or a beginning of what is allowed. */
static void expect_beginning(struct script_server *srv, struct str all)
{
	for (size_t i = 0; i < script_server_count(srv); i++) {
		struct str got = script_sent(script_server_peer(srv, i));

		assert_true(got.n <= all.n);
		assert_memory_equal(got.p, all.p, got.n);
	}
}

static void play_bound_tls(struct rig *g)
{
	struct script_server *srv;
	struct str hello;

	bound(g);
	hello = rig_hello_for(g, "a.test");
	srv = answering(g, X_443, hello.n);
	(void)saying(g, X_443, hello, 60);
	rig_run(g);
	expect_beginning(srv, hello);
}

static void play_mismatch(struct rig *g)
{
	struct script_server *srv;

	bound(g);
	srv = answering(g, X_443, 1);
	(void)rig_client(g, X_443,
			 STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "b.test"), 60),
			       SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_beginning(srv, STR_LIT(""));
}

static void play_greeting(struct rig *g)
{
	struct script_server *srv;

	bound(g);
	srv = script_server(g->script, X ":22", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_SEND_IN("SSH-2.0-x\r\n", 4), SCRIPT_EXPECT(11),
				  SCRIPT_SEND("bye"), SCRIPT_EOF));
	(void)rig_client(g, X ":22",
			 STEPS(g, SCRIPT_EXPECT(11), SCRIPT_SEND("SSH-2.0-y\r\n"),
			       SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_beginning(srv, STR_LIT("SSH-2.0-y\r\n"));
}

static void play_unbound_tls(struct rig *g)
{
	struct script_server *srv, *x;
	struct str hello;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", "198.51.100.7 198.51.100.8", 0)->delay = NSEC_PER_MSEC;
	hello = rig_hello_for(g, "a.test");
	x = answering(g, X_443, 1);
	(void)script_server(g->script, "198.51.100.7:443", SCRIPT_REFUSES, NULL);
	srv = answering(g, "198.51.100.8:443", hello.n);
	(void)saying(g, X_443, hello, 60);
	rig_run(g);
	expect_beginning(srv, hello);
	assert_int_equal(script_server_count(x), 0);
}

static void play_unbound_refused(struct rig *g)
{
	rig_allow(g, "a.test");
	(void)rig_client(g, X_443,
			 STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "b.test"), 60),
			       SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	assert_string_equal(rig_dialled(g), "");
	assert_int_equal(g->resolves, 0);
}

static void play_http(struct rig *g)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
	static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
	struct script_server *srv;

	bound(g);
	srv = script_server(g->script, X ":80", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(request) - 1),
				  SCRIPT_SEND_BYTES(answer, sizeof(answer) - 1, 5),
				  SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	(void)rig_client(g, X ":80",
			 STEPS(g, SCRIPT_SEND_BYTES(request, sizeof(request) - 1, 2),
			       SCRIPT_EXPECT(sizeof(answer) - 1), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_beginning(srv, (struct str){ request, sizeof(request) - 1 });
}

static void play_http_refused(struct rig *g)
{
	struct script_server *srv;

	bound(g);
	srv = answering(g, X ":80", 1);
	(void)rig_client(g, X ":80",
			 STEPS(g, SCRIPT_SEND_IN("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n", 2),
			       SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_beginning(srv, STR_LIT(""));
}

static void play_metadata(struct rig *g)
{
	rig_allow(g, "*");
	(void)rig_client(
		g, "169.254.169.254:80",
		STEPS(g, SCRIPT_SEND("GET / HTTP/1.1\r\n\r\n"), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	assert_string_equal(rig_dialled(g), "");
}

static void play_opaque_bulk(struct rig *g)
{
	bound(g);
	(void)script_server(
		g->script, X ":5432", SCRIPT_ACCEPTS,
		STEPS(g, SCRIPT_EXPECT(4), SCRIPT_FILL(300000, 0), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	(void)rig_client(g, X ":5432",
			 STEPS(g, SCRIPT_SEND("\x01\x02\x03\x04"), SCRIPT_EXPECT(300000),
			       SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	rig_run(g);
}

static void play_address_rule(struct rig *g)
{
	rig_cidr(g, X "/32:443");
	(void)answering(g, X_443, 4);
	(void)saying(g, X_443, STR_LIT("GET "), 1);
	rig_run(g);
}

static void play_fallback(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X " 192.0.2.2");
	(void)script_server(g->script, X_443, SCRIPT_BLACK_HOLE, NULL);
	(void)answering(g, "192.0.2.2:443", 1);
	(void)saying(g, X_443, STR_LIT("\x01"), 0);
	rig_run(g);
}

static void play_no_entry(struct rig *g)
{
	(void)rig_client(g, NULL, STEPS(g, SCRIPT_SEND("x"), SCRIPT_EXPECT_EOF));
	rig_run(g);
}

/* ---- clients of the explicit listener */

static void resolvable(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_allow(g, "b.test");
	rig_resolves(g, "a.test", X, 0)->delay = NSEC_PER_MSEC;
	rig_resolves(g, "b.test", "192.0.2.2", 0);
}

/* Whatever failed: what heard a byte stands in the records. */
static void expect_recorded(struct rig *g, struct script_server *srv)
{
	size_t heard = 0;

	for (size_t i = 0; i < script_server_count(srv); i++)
		heard += script_sent(script_server_peer(srv, i)).n;
	if (heard)
		assert_true(rig_count(g, "\"event\":\"open\"", "\"decision\":\"allow\"") > 0);
}

/* A tunnel to X that a client asks for with these bytes, behind which its hello stands. */
static void play_tunnel(struct rig *g, struct str head, const char *sni, struct str allowed)
{
	struct script_server *srv;
	struct str hello;

	resolvable(g);
	hello = rig_hello_for(g, sni);
	srv = answering(g, X_443, hello.n);
	(void)rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(rig_joined(g, head, hello), 90),
				    SCRIPT_EXPECT(sizeof(ESTABLISHED ANSWER) - 1), SCRIPT_EOF,
				    SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_beginning(srv, allowed.n ? hello : allowed);
	expect_recorded(g, srv);
}

static void play_connect(struct rig *g)
{
	play_tunnel(g, STR_LIT(A_443), "a.test", STR_LIT("hello"));
}

static void play_connect_mismatch(struct rig *g)
{
	play_tunnel(g, STR_LIT(A_443), "b.test", STR_LIT(""));
}

static void play_connect_refused(struct rig *g)
{
	play_tunnel(g, STR_LIT("CONNECT c.test:443 HTTP/1.1\r\nHost: c.test\r\n" BEARER "\r\n"),
		    "a.test", STR_LIT(""));
	assert_string_equal(rig_dialled(g), "");
	assert_int_equal(g->resolves, 0);
}

static void play_connect_retry(struct rig *g)
{
	struct script_server *srv;

	resolvable(g);
	srv = answering(g, X_443, 4);
	(void)rig_explicit(
		g, STEPS(g, SCRIPT_SEND("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
			 SCRIPT_EXPECT(1), SCRIPT_DELAY(5), SCRIPT_SEND(A_443 "\x01\x02\x03\x04"),
			 SCRIPT_DELAY(100), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_beginning(srv, STR_LIT("\x01\x02\x03\x04"));
	expect_recorded(g, srv);
}

static void play_connect_greeting(struct rig *g)
{
	struct script_server *srv;

	resolvable(g);
	srv = script_server(g->script, X ":22", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_SEND_IN("SSH-2.0-x\r\n", 4), SCRIPT_EXPECT(11),
				  SCRIPT_SEND("bye"), SCRIPT_EOF));
	(void)rig_explicit(
		g,
		STEPS(g,
		      SCRIPT_SEND("CONNECT a.test:22 HTTP/1.1\r\nHost: a.test\r\n" BEARER "\r\n"),
		      SCRIPT_EXPECT(sizeof(ESTABLISHED) - 1 + 11), SCRIPT_SEND("SSH-2.0-y\r\n"),
		      SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	expect_beginning(srv, STR_LIT("SSH-2.0-y\r\n"));
}

/* Two upstreams one after the other, and a tunnel behind them. */
static void play_forward(struct rig *g)
{
	struct script_server *a, *b, *tunnel;

	resolvable(g);
	a = script_server(g->script, X ":80", SCRIPT_ACCEPTS,
			  STEPS(g, SCRIPT_EXPECT(sizeof(SEES("a.test")) - 1), SCRIPT_SEND(OK5),
				SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	b = script_server(g->script, "192.0.2.2:80", SCRIPT_ACCEPTS,
			  STEPS(g, SCRIPT_EXPECT(sizeof(SEES("b.test")) - 1), SCRIPT_SEND(OK5),
				SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	tunnel = answering(g, X_443, 1);
	(void)rig_explicit(g,
			   STEPS(g, SCRIPT_SEND_IN(GET("a.test") GET("b.test") A_443 "\x01", 150),
				 SCRIPT_EXPECT(sizeof(OK5 OK5 ESTABLISHED ANSWER) - 1), SCRIPT_EOF,
				 SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_beginning(a, STR_LIT(SEES("a.test")));
	expect_beginning(b, STR_LIT(SEES("b.test")));
	expect_beginning(tunnel, STR_LIT("\x01"));
	expect_recorded(g, a);
	expect_recorded(g, tunnel);
}

static void play_forward_upload(struct rig *g)
{
#define BODY "Content-Length: 10\r\n\r\n0123456789"
	static const char sees[] = "POST / HTTP/1.1\r\nHost: a.test\r\n" BODY;
	struct script_server *srv;

	resolvable(g);
	srv = script_server(g->script, X ":80", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(sees) - 1), SCRIPT_SEND_IN(OK5, 20),
				  SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	(void)rig_explicit(
		g,
		STEPS(g,
		      SCRIPT_SEND_IN("POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" BEARER BODY,
				     70),
		      SCRIPT_EXPECT(sizeof(OK5) - 1), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_beginning(srv, str_of(sees));
	expect_recorded(g, srv);
#undef BODY
}

static void play_forward_upgrade(struct rig *g)
{
#define UPGRADE	 "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCHED "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE
	static const char sees[] = "GET /ws HTTP/1.1\r\nHost: a.test\r\n" UPGRADE "frames";
	struct script_server *srv;

	resolvable(g);
	srv = script_server(g->script, X ":80", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(sizeof(sees) - 1 - 6), SCRIPT_SEND(SWITCHED "x"),
				  SCRIPT_EXPECT(sizeof(sees) - 1), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	(void)rig_explicit(
		g,
		STEPS(g,
		      SCRIPT_SEND("GET http://a.test/ws HTTP/1.1\r\nHost: a.test\r\n" BEARER UPGRADE
				  "frames"),
		      SCRIPT_EXPECT(sizeof(SWITCHED "x") - 1), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_beginning(srv, str_of(sees));
	expect_recorded(g, srv);
#undef UPGRADE
#undef SWITCHED
}

static void play_refusals(struct rig *g)
{
	resolvable(g);
	(void)rig_explicit(g,
			   STEPS(g,
				 SCRIPT_SEND("GET /-/refusals HTTP/1.1\r\nHost: x\r\n\r\n"
					     "GET /-/refusals HTTP/1.1\r\nHost: x\r\n"
					     "X-Nono-Token: " RIG_TOKEN "\r\n\r\n"),
				 SCRIPT_EXPECT(1), SCRIPT_DELAY(5), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	rig_run(g);
	assert_int_equal(rig_count(g, "\"decision\":\"allow\""), 0);
}

#define SWEEP(name)                                 \
	static void test_sweep_##name(void **state) \
	{                                           \
		rig_sweep(state, play_##name);      \
	}
SWEEP(bound_tls)
SWEEP(mismatch)
SWEEP(greeting)
SWEEP(unbound_tls)
SWEEP(unbound_refused)
SWEEP(http)
SWEEP(http_refused)
SWEEP(metadata)
SWEEP(opaque_bulk)
SWEEP(address_rule)
SWEEP(fallback)
SWEEP(no_entry)
SWEEP(connect)
SWEEP(connect_mismatch)
SWEEP(connect_refused)
SWEEP(connect_retry)
SWEEP(connect_greeting)
SWEEP(forward)
SWEEP(forward_upload)
SWEEP(forward_upgrade)
SWEEP(refusals)

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_sweep_bound_tls),	   TEST(test_sweep_mismatch),
		TEST(test_sweep_greeting),	   TEST(test_sweep_unbound_tls),
		TEST(test_sweep_unbound_refused),  TEST(test_sweep_http),
		TEST(test_sweep_metadata),	   TEST(test_sweep_opaque_bulk),
		TEST(test_sweep_address_rule),	   TEST(test_sweep_fallback),
		TEST(test_sweep_no_entry),	   TEST(test_sweep_http_refused),
		TEST(test_sweep_connect),	   TEST(test_sweep_connect_mismatch),
		TEST(test_sweep_connect_refused),  TEST(test_sweep_connect_retry),
		TEST(test_sweep_connect_greeting), TEST(test_sweep_forward),
		TEST(test_sweep_forward_upload),   TEST(test_sweep_forward_upgrade),
		TEST(test_sweep_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
