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

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_sweep_bound_tls),	  TEST(test_sweep_mismatch),
		TEST(test_sweep_greeting),	  TEST(test_sweep_unbound_tls),
		TEST(test_sweep_unbound_refused), TEST(test_sweep_http),
		TEST(test_sweep_metadata),	  TEST(test_sweep_opaque_bulk),
		TEST(test_sweep_address_rule),	  TEST(test_sweep_fallback),
		TEST(test_sweep_no_entry),	  TEST(test_sweep_http_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
