/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a tunnel that stands: which hellos pass, who may speak first, what is waited for, and how
 * it ends.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_expect.h"
#include "wire/tls_hello.h"

#define X     "192.0.2.1"
#define X_443 "192.0.2.1:443"

#define CONNECT(target, fields) "CONNECT " target " HTTP/1.1\r\nHost: " target "\r\n" fields "\r\n"
#define A_443			CONNECT("a.test:443", BEARER)
#define ANSWER			"the server's answer"

/* Says all of it at once, and closes when our side has. */
static struct script_peer *saying(struct rig *g, struct str what, size_t seg)
{
	return rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(what, seg), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
}

/* At X: answers once it has got `n` bytes, and closes when our side has. */
static struct script_server *answering(struct rig *g, const char *at, size_t n)
{
	return script_server(
		g->script, at, SCRIPT_ACCEPTS,
		STEPS(g, SCRIPT_EXPECT(n), SCRIPT_SEND(ANSWER), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
}

/* ---- hellos */

static struct script_peer *in_tunnel(struct rig *g, const char *target, struct str says, size_t seg)
{
	char head[512];
	struct str h;

	(void)snprintf(head, sizeof(head), CONNECT("%s", BEARER), target, target);
	h = rig_joined(g, str_of(head), STR_LIT(""));
	return rig_explicit(
		g, STEPS(g, SCRIPT_SEND_STR(h, 0), SCRIPT_EXPECT(sizeof(ESTABLISHED) - 1),
			 SCRIPT_SEND_STR(says, seg), SCRIPT_EXPECT(sizeof(ESTABLISHED ANSWER) - 1),
			 SCRIPT_EOF, SCRIPT_EXPECT_EOF));
}

static void tunnels(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_allow(g, "b.test");
	rig_cidr(g, "192.0.2.0/24:443");
	rig_resolves(g, "a.test", X, 0);
}

static void everywhere(struct rig *g)
{
	rig_allow(g, "*");
	rig_deny(g, "evil.test");
}

static void expect_passed(struct rig *g, struct script_server *srv, struct script_peer *c,
			  struct str what, const char *why)
{
	rig_expect_seen(g, srv, 0, what, why);
	rig_expect_heard(g, c, STR_LIT(ESTABLISHED ANSWER), why);
	assert_int_equal(rig_count(g, DENY), 0);
	assert_int_equal(rig_count(g, CLOSE), 1);
}

/* An alert, not one byte for the upstream, and a record that names what the client asked for. */
static void expect_alert(struct rig *g, struct script_server *srv, struct script_peer *c,
			 const char *reason, const char *why)
{
	struct str alert = { (const char *)tls_alert_access_denied,
			     sizeof(tls_alert_access_denied) };
	char word[60];

	rig_expect_seen(g, srv, 0, STR_LIT(""), why);
	rig_expect_heard(g, c, rig_joined(g, STR_LIT(ESTABLISHED), alert), why);
	assert_true(script_sent_eof(c));
	assert_false(script_sent_reset(c));
	(void)snprintf(word, sizeof(word), "\"reason\":\"%s\"", reason);
	if (rig_count(g, OPEN, DENY, CONNECT_MODE, word) != 1 || rig_count(g, OPEN, ALLOW) != 1 ||
	    rig_count(g, CLOSE, "\"bytes_up\":0,") != 1)
		fail_msg("%s: wrong records:\n%s", why, rig_audit(g));
}

static void test_hello_that_passes(void **state)
{
	static const struct {
		const char *why, *target, *sni;
		size_t pad, record;
		void (*policy)(struct rig *g);
	} rows[] = {
		{ "the same name", "a.test:443", "a.test", 0, 0, tunnels },
		{ "the same name, as it is written", "A.test.:443", "a.TEST", 0, 0, tunnels },
		{ "no name", "a.test:443", NULL, 0, 0, tunnels },
		{ "long", "a.test:443", "a.test", 20000, 0, tunnels },
		{ "long, many records", "a.test:443", "a.test", 9000, 100, tunnels },
		{ "an address by a rule of its own", X_443, "anything.test", 0, 0, tunnels },
		{ "the same, no name", X_443, NULL, 0, 0, tunnels },
		{ "any address", X_443, "anything.test", 0, 0, everywhere },
		{ "any address, no name", X_443, NULL, 0, 0, everywhere },
	};
	static const size_t segments[] = { 0, 1, 60 };

	for (size_t i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(segments); i++) {
		struct rig *g = rig_renew(state);
		size_t row = i / ARRAY_SIZE(segments);
		struct script_server *srv;
		struct script_peer *c;
		struct str hello;
		char sni[80];

		rows[row].policy(g);
		hello = rig_hello(g, &(struct rig_hello){ .sni = rows[row].sni,
							  .pad = rows[row].pad,
							  .record = rows[row].record });
		srv = answering(g, X_443, hello.n);
		c = in_tunnel(g, rows[row].target, hello, segments[i % ARRAY_SIZE(segments)]);
		rig_run(g);
		expect_passed(g, srv, c, hello, rows[row].why);
		if (rows[row].sni) {
			(void)snprintf(sni, sizeof(sni), "\"sni\":\"%s\"", rows[row].sni);
			assert_int_equal(rig_count(g, CLOSE, sni), 1);
		}
	}
}

static void test_hello_of_another_name(void **state)
{
	static const struct {
		const char *why, *target, *sni, *reason;
		void (*policy)(struct rig *g);
	} rows[] = {
		{ "a name that is not allowed", "a.test:443", "evil.test", "sni_mismatch",
		  tunnels },
		{ "another allowed name", "a.test:443", "b.test", "sni_mismatch", tunnels },
		{ "a name below", "a.test:443", "x.a.test", "sni_mismatch", tunnels },
		{ "a name that goes on", "a.test:443", "a.test.evil", "sni_mismatch", tunnels },
		{ "an address", "a.test:443", X, "name_invalid", tunnels },
		{ "no name at all", "a.test:443", "a..test", "name_invalid", tunnels },
		{ "a denied name", X_443, "evil.test", "host_denied", everywhere },
		{ "metadata", X_443, "metadata.google.internal", "metadata_address", everywhere },
	};
	static const size_t segments[] = { 0, 1, 60 };

	for (size_t i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(segments); i++) {
		struct rig *g = rig_renew(state);
		size_t row = i / ARRAY_SIZE(segments);
		struct script_server *srv;
		struct script_peer *c;
		struct str hello;
		char target[80];

		rows[row].policy(g);
		hello = rig_hello_for(g, rows[row].sni);
		srv = answering(g, X_443, 1);
		c = in_tunnel(g, rows[row].target, hello, segments[i % ARRAY_SIZE(segments)]);
		rig_run(g);
		expect_alert(g, srv, c, rows[row].reason, rows[row].why);
		(void)snprintf(target, sizeof(target), "\"target\":\"%s\"", rows[row].sni);
		assert_int_equal(rig_count(g, OPEN, DENY, target), 1);
		/* What was opened is what is closed. */
		(void)snprintf(target, sizeof(target), "\"target\":\"%.*s\"",
			       (int)strcspn(rows[row].target, ":"), rows[row].target);
		assert_int_equal(rig_count(g, OPEN, ALLOW, target, "\"rule\""), 1);
		assert_int_equal(rig_count(g, CLOSE, target, "\"rule\""), 1);
	}
}

/* The upstream is let go at once, however long the client takes to go. */
static void test_upstream_of_a_refused_hello(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	tunnels(g);
	srv = answering(g, X_443, 1);
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443),
				  SCRIPT_SEND_STR(rig_hello_for(g, "evil.test"), 0),
				  SCRIPT_DELAY(1500), SCRIPT_EOF));
	rig_run_for(g, 100 * NSEC_PER_MSEC);
	assert_true(script_sent_eof(c));
	assert_true(script_peer_fd(c) >= 0);
	assert_true(script_sent_reset(script_server_peer(srv, 0)));
	rig_run(g);
	assert_false(script_sent_reset(c));
}

/* Where the rule is about the address, names are recorded and not asked, even if they are none. */
static void test_hello_without_a_sense_under_an_address_rule(void **state)
{
	static const char *const names[] = { X, "a..test" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct rig *g = rig_renew(state);
		struct str hello = rig_hello_for(g, names[i]);
		struct script_server *srv;
		struct script_peer *c;

		tunnels(g);
		srv = answering(g, X_443, hello.n);
		c = in_tunnel(g, X_443, hello, 0);
		rig_run(g);
		expect_passed(g, srv, c, hello, names[i]);
	}
}

static void test_hello_that_is_none_under_an_address_rule(void **state)
{
	static const struct str hello = STR_LIT("\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00");
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	tunnels(g);
	srv = answering(g, X_443, hello.n);
	c = in_tunnel(g, X_443, hello, 0);
	rig_run(g);
	expect_passed(g, srv, c, hello, "malformed");
}

/* The rule that a refusal names is the one that refused. */
static void test_denied_hello_names_its_rule(void **state)
{
	struct rig *g = *state;

	everywhere(g);
	(void)answering(g, X_443, 1);
	(void)in_tunnel(g, X_443, rig_hello_for(g, "evil.test"), 0);
	rig_run(g);
	assert_non_null(rig_record(g, OPEN, DENY, "\"reason\":\"host_denied\"",
				   "\"rule\":\"evil.test\"", "\"target\":\"evil.test\""));
}

/* Cut in two at every place, with time between: nothing goes out before it is judged. */
static void test_hello_cut_anywhere(void **state)
{
	for (int good = 0; good < 2; good++) {
		size_t n = rig_hello_for(*state, "a.test").n;

		for (size_t at = 1; at < n; at++) {
			struct rig *g = rig_renew(state);
			struct str hello = rig_hello_for(g, good ? "a.test" : "b.test");
			struct script_server *srv;
			struct script_peer *c;

			tunnels(g);
			srv = answering(g, X_443, hello.n);
			c = rig_explicit(
				g,
				STEPS(g, SCRIPT_SEND(A_443), SCRIPT_SEND_BYTES(hello.p, at, 0),
				      SCRIPT_DELAY(50), SCRIPT_SEND_BYTES(hello.p + at, n - at, 0),
				      SCRIPT_EXPECT(sizeof(ESTABLISHED ANSWER) - 1), SCRIPT_EOF));
			rig_run_for(g, 20 * NSEC_PER_MSEC);
			rig_expect_seen(g, srv, 0, STR_LIT(""), "half a hello");
			rig_run(g);
			if (good)
				expect_passed(g, srv, c, hello, "cut");
			else
				expect_alert(g, srv, c, "sni_mismatch", "cut");
		}
	}
}

static void test_malformed_hello(void **state)
{
	static const struct str rows[] = {
		STR_LIT("\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"), /* no client_hello */
		STR_LIT("\x16\x02\x00\x00\x05\x01"),		     /* an old version */
		STR_LIT("\x16\x16\x03\x00\x05\x01"),
		STR_LIT("\x16\x03\x01\x00\x00"),		     /* an empty record */
		STR_LIT("\x16\x03\x01\xff\xff\x01\x00\x00\x01\x00"), /* a record that is too long */
		STR_LIT("\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		tunnels(g);
		srv = answering(g, X_443, 1);
		c = in_tunnel(g, "a.test:443", rows[i], 0);
		rig_run(g);
		rig_expect_seen(g, srv, 0, STR_LIT(""), "malformed");
		assert_int_equal(rig_count(g, OPEN, DENY, "\"reason\":\"tls_malformed\""), 1);
		assert_memory_equal(script_sent(c).p, ESTABLISHED, sizeof(ESTABLISHED) - 1);
		assert_true(script_sent_eof(c) || script_sent_reset(c));
	}
}

static void test_hello_that_stalls(void **state)
{
	static const size_t beginnings[] = { 1, 2, 5, 50 };

	for (size_t i = 0; i < 2 * ARRAY_SIZE(beginnings); i++) {
		struct rig *g = rig_renew(state);
		struct str hello = rig_hello_for(g, "a.test");
		const struct script_step part = SCRIPT_SEND_BYTES(hello.p, beginnings[i / 2], 0);
		struct script_server *srv;
		struct script_peer *c;

		tunnels(g);
		srv = answering(g, X_443, 1);
		c = rig_explicit(
			g,
			i & 1 ? STEPS(g, SCRIPT_SEND(A_443), part, SCRIPT_EOF, SCRIPT_EXPECT_EOF)
			      : STEPS(g, SCRIPT_SEND(A_443), part, SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run_for(g, 6 * NSEC_PER_SEC);
		rig_expect_seen(g, srv, 0, STR_LIT(""), "stalled");
		assert_true(script_sent_eof(c) || script_sent_reset(c));
		assert_int_equal(rig_count(g, OPEN, DENY, "\"reason\":\"too_slow\""), 1);
		assert_int_equal(rig_count(g, CLOSE), 1);
	}
}

/* Nothing that is no TLS is waited for, not even in one byte. */
static void test_opaque_bytes_pass_at_once(void **state)
{
	static const struct str rows[] = {
		STR_LIT("\x01"),
		STR_LIT("\0\0\0\x08\x04\xd2\x16\x2f"),
		STR_LIT("G"),
		STR_LIT("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
		STR_LIT("SSH-2.0-x\r\n"),
		STR_LIT("\x15\x03\x01\x00"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		tunnels(g);
		srv = answering(g, X_443, rows[i].n);
		c = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443),
					  SCRIPT_EXPECT(sizeof(ESTABLISHED) - 1),
					  SCRIPT_SEND_STR(rows[i], 0)));
		rig_run_for(g, NSEC_PER_MSEC);
		rig_expect_seen(g, srv, 0, rows[i], "opaque");
		rig_expect_heard(g, c, STR_LIT(ESTABLISHED ANSWER), "opaque");
	}
}

static void test_server_that_speaks_first(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	tunnels(g);
	srv = script_server(g->script, X ":22", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_SEND_IN("SSH-2.0-server\r\n", 5), SCRIPT_EXPECT(11),
				  SCRIPT_SEND("kex"), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(CONNECT("a.test:22", BEARER)),
				  SCRIPT_EXPECT(sizeof(ESTABLISHED "SSH-2.0-server\r\n") - 1),
				  SCRIPT_DELAY(60000), SCRIPT_SEND_IN("SSH-2.0-y\r\n", 3),
				  SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	rig_expect_seen(g, srv, 0, STR_LIT("SSH-2.0-y\r\n"), "SSH");
	rig_expect_heard(g, c, STR_LIT(ESTABLISHED "SSH-2.0-server\r\nkex"), "SSH");
	assert_non_null(
		rig_record(g, CLOSE, "\"bytes_up\":11,", "\"bytes_down\":19,", "\"end\":\"eof\""));
}

/* A server's words open no way for a name that is not the tunnel's. */
static void test_server_that_speaks_first_and_a_wrong_hello(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;

	tunnels(g);
	srv = script_server(g->script, X_443, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_SEND("220 hello\r\n"), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	(void)rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443),
				    SCRIPT_EXPECT(sizeof(ESTABLISHED "220 hello\r\n") - 1),
				    SCRIPT_SEND_STR(rig_hello_for(g, "evil.test"), 0),
				    SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	rig_expect_seen(g, srv, 0, STR_LIT(""), "a wrong hello");
	assert_int_equal(rig_count(g, OPEN, DENY, "\"reason\":\"sni_mismatch\""), 1);
	assert_int_equal(rig_count(g, CLOSE, "\"bytes_down\":11,"), 1);
}

static void test_silent_client_is_ended_by_the_idle_limit(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	g->limits.idle = 100 * NSEC_PER_SEC;
	tunnels(g);
	srv = script_server(g->script, X_443, SCRIPT_ACCEPTS, NULL);
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run_for(g, 99 * NSEC_PER_SEC);
	rig_expect_heard(g, c, STR_LIT(ESTABLISHED), "silent");
	assert_false(script_sent_eof(c) || script_sent_reset(c));
	rig_run_for(g, 2 * NSEC_PER_SEC);
	assert_true(script_sent_eof(c) || script_sent_reset(c));
	rig_expect_seen(g, srv, 0, STR_LIT(""), "silent");
	assert_non_null(rig_record(g, CLOSE, CONNECT_MODE, "\"end\":\"timeout\""));
}

/* The limit is about the connection: a server that goes on talking keeps it. */
static void test_silent_client_of_a_server_that_talks(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	g->limits.idle = 100 * NSEC_PER_SEC;
	tunnels(g);
	(void)script_server(g->script, X_443, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_DELAY(60000), SCRIPT_SEND("1"), SCRIPT_DELAY(60000),
				  SCRIPT_SEND("2")));
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run_for(g, 210 * NSEC_PER_SEC);
	rig_expect_heard(g, c, STR_LIT(ESTABLISHED "12"), "a server that talks");
	assert_false(script_sent_eof(c) || script_sent_reset(c));
	rig_run_for(g, 20 * NSEC_PER_SEC);
	assert_true(script_sent_eof(c) || script_sent_reset(c));
	assert_int_equal(rig_count(g, CLOSE, "\"end\":\"timeout\""), 1);
}

/* ---- ends */

static void test_half_close_both_ways(void **state)
{
	for (int server_first = 0; server_first < 2; server_first++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		tunnels(g);
		srv = script_server(g->script, X_443, SCRIPT_ACCEPTS,
				    server_first ? STEPS(g, SCRIPT_EXPECT(5), SCRIPT_SEND("bye"),
							 SCRIPT_EOF, SCRIPT_EXPECT_EOF)
						 : STEPS(g, SCRIPT_EXPECT_EOF, SCRIPT_DELAY(1000),
							 SCRIPT_SEND("bye"), SCRIPT_EOF));
		c = rig_explicit(
			g, server_first
				   ? STEPS(g, SCRIPT_SEND(A_443 "early"), SCRIPT_EXPECT_EOF,
					   SCRIPT_DELAY(1000), SCRIPT_SEND("+late"), SCRIPT_EOF)
				   : STEPS(g, SCRIPT_SEND(A_443 "early+late"), SCRIPT_EOF));
		rig_run(g);
		rig_expect_seen(g, srv, 0, STR_LIT("early+late"), "half closed");
		rig_expect_heard(g, c, STR_LIT(ESTABLISHED "bye"), "half closed");
		assert_true(script_sent_eof(c) && !script_sent_reset(c));
		assert_non_null(rig_record(g, CLOSE, CONNECT_MODE, "\"bytes_up\":10,",
					   "\"bytes_down\":3,", "\"end\":\"eof\""));
		assert_int_equal(rig_count(g, "{"), 2);
	}
}

/* Without a word from the client: its end is the server's, and the other way round. */
static void test_half_close_without_a_word(void **state)
{
	for (int server_first = 0; server_first < 2; server_first++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		tunnels(g);
		srv = script_server(g->script, X_443, SCRIPT_ACCEPTS,
				    server_first ? STEPS(g, SCRIPT_EOF, SCRIPT_EXPECT(4))
						 : STEPS(g, SCRIPT_EXPECT_EOF, SCRIPT_SEND("data"),
							 SCRIPT_EOF));
		c = rig_explicit(g, server_first
					    ? STEPS(g, SCRIPT_SEND(A_443), SCRIPT_EXPECT_EOF,
						    SCRIPT_SEND("\x01\x02\x03\x04"), SCRIPT_EOF)
					    : STEPS(g, SCRIPT_SEND(A_443), SCRIPT_EOF));
		rig_run(g);
		rig_expect_seen(g, srv, 0, server_first ? STR_LIT("\x01\x02\x03\x04") : STR_LIT(""),
				"no word");
		rig_expect_heard(g, c,
				 server_first ? STR_LIT(ESTABLISHED) : STR_LIT(ESTABLISHED "data"),
				 "no word");
		assert_true(script_sent_eof(c) && !script_sent_reset(c));
		assert_int_equal(rig_count(g, CLOSE, "\"end\":\"eof\""), 1);
	}
}

static void test_bulk_is_counted(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;
	struct str up, down;

	tunnels(g);
	srv = script_server(g->script, X_443, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT(1), SCRIPT_FILL(700000, 3001), SCRIPT_EXPECT_EOF,
				  SCRIPT_EOF));
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443 "\x01"), SCRIPT_FILL(1000000, 0),
				  SCRIPT_EXPECT(sizeof(ESTABLISHED) - 1 + 700000), SCRIPT_EOF));
	rig_run(g);
	up = script_sent(script_server_peer(srv, 0));
	down = script_sent(c);
	assert_int_equal(up.n, 1000001);
	assert_int_equal(down.n, sizeof(ESTABLISHED) - 1 + 700000);
	for (size_t i = 0; i < 1000000; i++)
		assert_int_equal((uint8_t)up.p[1 + i], script_pattern(i));
	for (size_t i = 0; i < 700000; i++)
		assert_int_equal((uint8_t)down.p[sizeof(ESTABLISHED) - 1 + i], script_pattern(i));
	assert_non_null(rig_record(g, CLOSE, CONNECT_MODE, "\"bytes_up\":1000001,",
				   "\"bytes_down\":700000,"));
}

/* The second address of a name is tried when the first is silent; each was checked. */
static void test_next_address_of_the_name(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", "198.51.100.1 2001:db8::1", 0);
	(void)script_server(g->script, "198.51.100.1:443", SCRIPT_BLACK_HOLE, NULL);
	srv = answering(g, "[2001:db8::1]:443", 1);
	c = saying(g, STR_LIT(A_443 "\x01"), 0);
	rig_run_for(g, NSEC_PER_SEC);
	rig_expect_heard(g, c, STR_LIT(ESTABLISHED ANSWER), "the second");
	rig_expect_seen(g, srv, 0, STR_LIT("\x01"), "the second");
	assert_non_null(rig_record(g, OPEN, ALLOW, "\"resolved_ip\":\"2001:db8::1\""));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_hello_that_passes),
		TEST(test_hello_of_another_name),
		TEST(test_upstream_of_a_refused_hello),
		TEST(test_hello_without_a_sense_under_an_address_rule),
		TEST(test_hello_that_is_none_under_an_address_rule),
		TEST(test_denied_hello_names_its_rule),
		TEST(test_hello_cut_anywhere),
		TEST(test_malformed_hello),
		TEST(test_hello_that_stalls),
		TEST(test_opaque_bytes_pass_at_once),
		TEST(test_server_that_speaks_first),
		TEST(test_server_that_speaks_first_and_a_wrong_hello),
		TEST(test_silent_client_is_ended_by_the_idle_limit),
		TEST(test_silent_client_of_a_server_that_talks),
		TEST(test_half_close_both_ways),
		TEST(test_half_close_without_a_word),
		TEST(test_bulk_is_counted),
		TEST(test_next_address_of_the_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
