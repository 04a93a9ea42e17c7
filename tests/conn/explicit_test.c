/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CONNECT up to its answer: what has to happen before what, and who is refused and how.
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
#include "wire/tls_hello.h"

#define X     "192.0.2.1"
#define X_443 "192.0.2.1:443"

/* "nono:" and the token */
#define BASIC                                                            \
	"Proxy-Authorization: Basic "                                    \
	"bm9ubzowMTIzNDU2Nzg5YWJjZGVmMDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2" \
	"NkZGVlZmYwZjFlMmQzYzRiNWE2OTc4\r\n"
#define CONNECT(target, fields) "CONNECT " target " HTTP/1.1\r\nHost: " target "\r\n" fields "\r\n"
#define A_443			CONNECT("a.test:443", BEARER)
#define OPAQUE			"\x01\x02\r\n\x03 opaque"
#define ANSWER			"the server's answer"

static void resolvable(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", X, 0);
}

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

/* ---- what comes before what */

static void test_nothing_is_resolved_without_the_token(void **state)
{
	static const struct {
		const char *fields, *reason;
	} rows[] = {
		{ "", "token_missing" },
		{ "Authorization: Bearer " RIG_TOKEN "\r\n", "token_missing" },
		{ "X-Nono-Token: " RIG_TOKEN "\r\n", "token_missing" },
		{ "Proxy-Authorization: Digest " RIG_TOKEN "\r\n", "token_missing" },
		{ "Proxy-Authorization: Bearer x\r\n", "token_invalid" },
		{ "Proxy-Authorization: Bearer " RIG_TOKEN "0\r\n", "token_invalid" },
		{ "Proxy-Authorization: Basic " RIG_TOKEN "\r\n", "token_invalid" },
		{ "Proxy-Authorization: Basic bm9ubzp4\r\n", "token_invalid" },
		{ BEARER BEARER, "token_invalid" },
		{ BASIC BEARER, "token_invalid" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		char says[1024], word[60];
		size_t at = 0;

		resolvable(g);
		(void)answering(g, X_443, 1);
		(void)snprintf(says, sizeof(says), CONNECT("a.test:443", "%s"), rows[i].fields);
		c = rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(str_of(says), 0), SCRIPT_EXPECT(1),
					  SCRIPT_EOF));
		rig_run(g);
		rig_expect_denial(g, c, &at, 407, rows[i].reason, true, rows[i].fields);
		assert_int_equal(script_sent(c).n, at);
		assert_int_equal(g->resolves, 0);
		assert_string_equal(rig_dialled(g), "");
		(void)snprintf(word, sizeof(word), "\"reason\":\"%s\"", rows[i].reason);
		/* Where a stranger wants to go is no matter. */
		assert_non_null(rig_record(g, OPEN, DENY, CONNECT_MODE, word, "\"status\":407",
					   "\"method\":\"CONNECT\""));
		assert_false(rig_audit_has(g, "a.test"));
		assert_int_equal(g->audit.recent.n, 0);
		assert_false(rig_audit_has(g, "auth_mechanism"));
		assert_int_equal(rig_count(g, "{"), 1);
	}
}

static void test_no_name_is_resolved_that_is_not_allowed(void **state)
{
	static const char *const targets[] = { "b.test:443", "a.test:80", "x.a.test:443",
					       "denied.test:443" };

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		char says[1024];

		rig_allow(g, "a.test:443");
		rig_allow(g, "denied.test");
		rig_deny(g, "denied.test");
		(void)snprintf(says, sizeof(says), CONNECT("%s", BEARER), targets[i], targets[i]);
		c = saying(g, str_of(says), 0);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), 403,
				   i == 3 ? "host_denied" : "host_not_allowed", targets[i]);
		assert_int_equal(g->resolves, 0);
		assert_string_equal(rig_dialled(g), "");
		assert_non_null(rig_record(g, OPEN, DENY, CONNECT_MODE,
					   "\"auth_mechanism\":\"proxy_authorization\""));
	}
}

static void test_200_comes_after_the_dial(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", X, 0)->delay = 500 * NSEC_PER_MSEC;
	srv = answering(g, X_443, sizeof(OPAQUE) - 1);
	script_server_delay(srv, 500);
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443 OPAQUE), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run_for(g, 400 * NSEC_PER_MSEC);
	assert_string_equal(rig_dialled(g), "");
	assert_int_equal(script_sent(c).n, 0);
	rig_run_for(g, 500 * NSEC_PER_MSEC);
	assert_string_equal(rig_dialled(g), X_443 " ");
	assert_int_equal(script_sent(c).n, 0);
	/* The record stands before the client hears of it. */
	assert_false(rig_audit_has(g, OPEN));
	rig_run_for(g, 200 * NSEC_PER_MSEC);
	rig_expect_heard(g, c, STR_LIT(ESTABLISHED ANSWER), "dialled");
	rig_expect_seen(g, srv, 0, STR_LIT(OPAQUE), "dialled");
	assert_int_equal(rig_count(g, OPEN, ALLOW, CONNECT_MODE), 1);
}

static void test_no_record_no_tunnel(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	resolvable(g);
	srv = answering(g, X_443, 1);
	rig_audit_full(g, true);
	c = saying(g, STR_LIT(A_443 OPAQUE), 0);
	rig_run(g);
	rig_audit_full(g, false);
	rig_expect_beginning(srv, STR_LIT(""));
	assert_memory_equal(script_sent(c).p, "HTTP/1.1 503 ", 13);
	assert_true(script_sent_eof(c));
}

/* What stands behind the head reaches the upstream once, whatever it is and however it comes. */
static void test_early_data(void **state)
{
	static const size_t segments[] = { 0, 1, 7, 200 };

	for (size_t i = 0; i < 4 * ARRAY_SIZE(segments); i++) {
		struct rig *g = rig_renew(state);
		struct str early[] = { rig_hello_for(g, "a.test"),
				       rig_hello(g, &(struct rig_hello){ .sni = "a.test",
									 .pad = 15000,
									 .record = 1000 }),
				       STR_LIT(OPAQUE),
				       STR_LIT("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n") };
		struct str what = early[i / ARRAY_SIZE(segments)];
		struct script_server *srv;
		struct script_peer *c;

		resolvable(g);
		srv = answering(g, X_443, what.n);
		script_server_delay(srv, 100);
		c = rig_explicit(g, STEPS(g,
					  SCRIPT_SEND_STR(rig_joined(g, STR_LIT(A_443), what),
							  segments[i % ARRAY_SIZE(segments)]),
					  SCRIPT_EXPECT(sizeof(ESTABLISHED ANSWER) - 1), SCRIPT_EOF,
					  SCRIPT_EXPECT_EOF));
		rig_run(g);
		rig_expect_seen(g, srv, 0, what, "early data");
		assert_int_equal(script_server_count(srv), 1);
		rig_expect_heard(g, c, STR_LIT(ESTABLISHED ANSWER), "early data");
		assert_int_equal(rig_count(g, OPEN, ALLOW), 1);
		assert_int_equal(rig_count(g, CLOSE, "\"end\":\"eof\""), 1);
	}
}

static void test_no_early_data_when_refused(void **state)
{
	static const struct {
		const char *target;
		int status;
		const char *reason;
	} rows[] = {
		{ "b.test:443", 403, "host_not_allowed" },
		{ "bad.test:443", 403, "metadata_address" },
		{ "gone.test:443", 502, "dns_failed" },
		{ "refuses.test:443", 502, "upstream_refused" },
		{ "silent.test:443", 504, "upstream_timeout" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		char says[1024];

		rig_allow(g, "*.test");
		rig_deny(g, "b.test");
		rig_resolves(g, "bad.test", X " 169.254.169.254", 0);
		rig_resolves(g, "refuses.test", "198.51.100.1", 0);
		rig_resolves(g, "silent.test", "198.51.100.2", 0);
		srv = answering(g, X_443, 1);
		(void)script_server(g->script, "198.51.100.1:443", SCRIPT_REFUSES, NULL);
		(void)script_server(g->script, "198.51.100.2:443", SCRIPT_BLACK_HOLE, NULL);
		(void)snprintf(says, sizeof(says), CONNECT("%s", BEARER), rows[i].target,
			       rows[i].target);
		c = saying(g, rig_joined(g, str_of(says), rig_hello_for(g, "a.test")), 0);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), rows[i].status,
				   i ? rows[i].reason : "host_denied", rows[i].target);
		assert_int_equal(script_server_count(srv), 0);
	}
}

/* ---- the token */

static void test_right_token_in_any_form(void **state)
{
	static const char *const fields[] = { BEARER, BASIC,
					      "PROXY-AUTHORIZATION: bEARER  " RIG_TOKEN "\r\n",
					      "X-A: b\r\n" BEARER "Proxy-Connection: close\r\n" };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		char says[1024];

		resolvable(g);
		srv = answering(g, X_443, 1);
		(void)snprintf(says, sizeof(says), CONNECT("a.test:443", "%s"), fields[i]);
		c = rig_explicit(g,
				 STEPS(g, SCRIPT_SEND_STR(str_of(says), 0), SCRIPT_EXPECT(1),
				       SCRIPT_SEND("x"),
				       SCRIPT_EXPECT(sizeof(ESTABLISHED ANSWER) - 1), SCRIPT_EOF));
		rig_run(g);
		rig_expect_seen(g, srv, 0, STR_LIT("x"), fields[i]);
		rig_expect_heard(g, c, STR_LIT(ESTABLISHED ANSWER), fields[i]);
		assert_non_null(rig_record(g, OPEN, ALLOW, CONNECT_MODE, "\"method\":\"CONNECT\"",
					   "\"target\":\"a.test\"", "\"port\":443",
					   "\"rule\":\"a.test\"", "\"resolved_ip\":\"" X "\"",
					   "\"auth_mechanism\":\"proxy_authorization\""));
		assert_false(rig_audit_has(g, RIG_TOKEN));
		assert_false(rig_audit_has(g, "\"path\""));
	}
}

static void test_no_token_is_asked_for_if_there_is_none(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_no_auth(g);
	resolvable(g);
	(void)answering(g, X_443, 1);
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(CONNECT("a.test:443", "")), SCRIPT_EXPECT(1),
				  SCRIPT_SEND("x"), SCRIPT_EXPECT(sizeof(ESTABLISHED ANSWER) - 1),
				  SCRIPT_EOF));
	rig_run(g);
	rig_expect_heard(g, c, STR_LIT(ESTABLISHED ANSWER), "no auth");
	assert_int_equal(rig_count(g, OPEN, ALLOW), 1);
	assert_false(rig_audit_has(g, "auth_mechanism"));
}

/* n tries without the token, and then one with it. */
static struct script_peer *trying(struct rig *g, size_t n, size_t seg)
{
	struct script_step steps[16] = { 0 };
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		steps[at++] = (struct script_step)SCRIPT_SEND_IN(CONNECT("a.test:443", ""), seg);
		steps[at++] = (struct script_step)SCRIPT_EXPECT(1);
		steps[at++] = (struct script_step)SCRIPT_DELAY(50);
	}
	steps[at++] = (struct script_step)SCRIPT_SEND(A_443 OPAQUE);
	steps[at++] = (struct script_step)SCRIPT_EXPECT_EOF;
	steps[at++] = (struct script_step)SCRIPT_EOF;
	return rig_explicit(g, rig_steps(g, steps, ARRAY_SIZE(steps)));
}

static void test_three_tries_on_one_connection(void **state)
{
	for (size_t tries = 0; tries < 8; tries++) {
		struct rig *g = rig_renew(state);
		size_t n = tries / 2, at = 0;
		struct script_server *srv;
		struct script_peer *c;

		resolvable(g);
		srv = script_server(
			g->script, X_443, SCRIPT_ACCEPTS,
			STEPS(g, SCRIPT_EXPECT(sizeof(OPAQUE) - 1), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
		c = trying(g, n, tries & 1);
		rig_run(g);
		for (size_t i = 0; i < n; i++)
			rig_expect_denial(g, c, &at, 407, "token_missing", true, "a try");
		assert_memory_equal(script_sent(c).p + at, ESTABLISHED, sizeof(ESTABLISHED) - 1);
		rig_expect_seen(g, srv, 0, STR_LIT(OPAQUE), "in the end");
		assert_int_equal(rig_count(g, OPEN, ALLOW), 1);
		assert_int_equal(rig_count(g, CLOSE), 1);
	}
}

static void test_the_fourth_try_is_the_last(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;
	size_t at = 0;

	resolvable(g);
	c = trying(g, 4, 0);
	rig_run(g);
	for (size_t i = 0; i < 4; i++)
		rig_expect_denial(g, c, &at, 407, "token_missing", i < 3, "a try");
	assert_int_equal(script_sent(c).n, at);
	assert_true(script_sent_eof(c));
	assert_int_equal(g->resolves, 0);
	assert_int_equal(rig_count(g, ALLOW), 0);
}

/* A client that says that it will not come back is not waited for. */
static void test_407_closes_for_a_client_that_closes(void **state)
{
	static const char *const rows[] = { CONNECT("a.test:443", "Connection: close\r\n"),
					    "CONNECT a.test:443 HTTP/1.0\r\n\r\n" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;

		resolvable(g);
		c = saying(g, rig_joined(g, str_of(rows[i]), STR_LIT(A_443)), 0);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), 407, "token_missing", rows[i]);
		assert_int_equal(g->resolves, 0);
	}
}

/* What stands behind the head of a CONNECT was meant for the tunnel, and is no request. */
static void test_early_data_behind_a_407(void **state)
{
	static const struct str early[] = { { NULL, 0 }, STR_LIT(A_443), STR_LIT("\r\n") };

	for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		struct str what;

		what = i ? early[i] : rig_hello_for(g, "a.test");
		resolvable(g);
		c = saying(g, rig_joined(g, STR_LIT(CONNECT("a.test:443", "")), what), 0);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), 407, "token_missing", "early data");
		assert_int_equal(g->resolves, 0);
		assert_string_equal(rig_dialled(g), "");
	}
}

/* ---- refusals */

struct refused {
	const char *target;
	int status;
	const char *reason;
};

static void play_refusals(void **state, void (*policy)(struct rig *g), const struct refused *rows,
			  size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		nsec_t begun;
		char says[1024];

		policy(g);
		rig_start(g);
		begun = loop_now(g->loop);
		(void)snprintf(says, sizeof(says), CONNECT("%s", BEARER), rows[i].target,
			       rows[i].target);
		c = saying(g, str_of(says), 0);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), rows[i].status, rows[i].reason,
				   rows[i].target);
		assert_non_null(rig_record(g, OPEN, DENY, CONNECT_MODE, "\"method\":\"CONNECT\""));
		assert_int_equal(rig_count(g, "{"), 1);
		if (loop_now(g->loop) - begun > 20 * NSEC_PER_SEC)
			fail_msg("%s: it took too long", rows[i].target);
	}
}

static void anything(struct rig *g)
{
	rig_allow(g, "*");
	rig_resolves(g, "localhost", "127.0.0.1", 0);
	rig_resolves(g, "loop.test", "::1", 0);
	rig_resolves(g, "one-bad.test", X " 169.254.169.254", 0);
	rig_resolves(g, "mapped.test", X " ::ffff:169.254.169.254", 0);
}

static void test_addresses_that_are_always_refused(void **state)
{
	static const struct refused rows[] = {
		{ "169.254.169.254:80", 403, "metadata_address" },
		{ "2852039166:80", 403, "metadata_address" },
		{ "0xa9fea9fe:80", 403, "metadata_address" },
		{ "0251.0376.0251.0376:80", 403, "metadata_address" },
		{ "169.254.43518:80", 403, "metadata_address" },
		{ "0xA9.0376.169.0xfe:80", 403, "metadata_address" },
		{ "169.254.169.254.:80", 403, "metadata_address" },
		{ "[::ffff:169.254.169.254]:80", 403, "metadata_address" },
		{ "[::ffff:a9fe:a9fe]:80", 403, "metadata_address" },
		{ "[::169.254.169.254]:80", 403, "metadata_address" },
		{ "[64:ff9b::a9fe:a9fe]:80", 403, "metadata_address" },
		{ "[2002:a9fe:a9fe::1]:80", 403, "metadata_address" },
		{ "[fd00:ec2::254]:80", 403, "metadata_address" },
		{ "100.100.100.200:80", 403, "metadata_address" },
		{ "metadata.google.internal:80", 403, "metadata_address" },
		{ "METADATA.google.internal.:80", 403, "metadata_address" },
		{ "169.254.1.1:80", 403, "link_local_address" },
		{ "[fe80::1]:80", 403, "link_local_address" },
		{ "127.0.0.1:5432", 403, "cidr_not_allowed" },
		{ "127.1:5432", 403, "cidr_not_allowed" },
		{ "[::1]:5432", 403, "cidr_not_allowed" },
		{ "0.0.0.0:5432", 403, "special_address" },
		{ "0:5432", 403, "special_address" },
		{ "224.0.0.1:5432", 403, "special_address" },
		{ "localhost:5432", 403, "special_address" },
		{ "loop.test:5432", 403, "special_address" },
		{ "one-bad.test:443", 403, "metadata_address" },
		{ "mapped.test:443", 403, "metadata_address" },
		{ RIG_LISTENER, 403, "loop_refused" },
		{ RIG_EXPLICIT, 403, "loop_refused" },
		{ "2130706433:40002", 403, "loop_refused" },
		{ "[::ffff:127.0.0.1]:40002", 403, "loop_refused" },
	};

	play_refusals(state, anything, rows, ARRAY_SIZE(rows));
}

static void loopback(struct rig *g)
{
	rig_allow(g, "*");
	rig_cidr(g, "127.0.0.0/8:40001");
	rig_cidr(g, "127.0.0.0/8:40002");
	rig_cidr(g, "127.0.0.0/8:53");
	rig_resolves(g, "self.test", "127.0.0.1", 0);
}

/* A rule that covers our own listeners leads nowhere. */
static void test_the_proxy_itself_is_refused(void **state)
{
	static const struct refused rows[] = {
		{ RIG_LISTENER, 403, "loop_refused" },
		{ RIG_EXPLICIT, 403, "loop_refused" },
		{ RIG_DNS, 403, "loop_refused" },
		{ "0x7f.1:40002", 403, "loop_refused" },
		{ "self.test:40002", 403, "loop_refused" },
		{ "self.test:40001", 403, "loop_refused" },
	};

	play_refusals(state, loopback, rows, ARRAY_SIZE(rows));
}

static void failing(struct rig *g)
{
	rig_allow(g, "*.test");
	rig_resolves(g, "gone.test", NULL, -ENOENT);
	rig_resolves(g, "broken.test", NULL, -EIO);
	rig_resolves(g, "none.test", NULL, -ENODATA);
	rig_resolves(g, "empty.test", "", 0);
	rig_resolves(g, "slow.test", X, 0)->delay = NSEC_NEVER;
	rig_resolves(g, "refuses.test", "198.51.100.1", 0);
	rig_resolves(g, "silent.test", "198.51.100.2 2001:db8::2", 0);
	rig_resolves(g, "away.test", "198.51.100.3", 0);
	(void)script_server(g->script, "198.51.100.1:443", SCRIPT_REFUSES, NULL);
	(void)script_server(g->script, "198.51.100.2:443", SCRIPT_BLACK_HOLE, NULL);
	(void)script_server(g->script, "[2001:db8::2]:443", SCRIPT_BLACK_HOLE, NULL);
	(void)script_server(g->script, "198.51.100.3:443", SCRIPT_UNREACHABLE, NULL);
}

static void test_upstreams_that_cannot_be_had(void **state)
{
	static const struct refused rows[] = {
		{ "gone.test:443", 502, "dns_failed" },
		{ "broken.test:443", 502, "dns_failed" },
		{ "none.test:443", 502, "dns_no_address" },
		{ "empty.test:443", 502, "dns_no_address" },
		{ "slow.test:443", 504, "upstream_timeout" },
		{ "refuses.test:443", 502, "upstream_refused" },
		{ "silent.test:443", 504, "upstream_timeout" },
		{ "away.test:443", 502, "upstream_unreachable" },
		{ "192.0.2.9:443", 403, "cidr_not_allowed" },
		{ "[2001:db8::9]:443", 403, "cidr_not_allowed" },
		{ "a..test:443", 400, "name_invalid" },
		{ "a%2etest:443", 400, "name_invalid" },
		{ ".test:443", 400, "name_invalid" },
		{ "a.test..:443", 400, "name_invalid" },
		{ "1.2.3.4.5:443", 400, "name_invalid" },
		{ "a.0x:443", 400, "name_invalid" },
		{ "256.256.256.256:443", 400, "name_invalid" },
		{ "[::g]:443", 400, "name_invalid" },
		{ "[fe80::1%25eth0]:443", 400, "name_invalid" },
	};

	play_refusals(state, failing, rows, ARRAY_SIZE(rows));
}

/* Refused by the parser, before anybody asks who it is. */
static void test_targets_that_are_none(void **state)
{
	static const char *const rows[] = {
		"a.test",
		"a.test:",
		"a.test:0",
		"a.test:65536",
		"a.test:0443",
		"a.test:+443",
		":443",
		"u@a.test:443",
		"a.test:443/",
		"http://a.test:443",
		"[::1:443",
		"[]:443",
		"::1:443",
		"a test:443",
		"*",
		"/",
		"a.test:443:80",
		"a.test:443?x",
		"a.test\\x:443",
		"a,b:443",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		char says[1024];

		rig_allow(g, "*");
		(void)snprintf(says, sizeof(says),
			       "CONNECT %s HTTP/1.1\r\nHost: a.test\r\n" BEARER "\r\n" OPAQUE,
			       rows[i]);
		c = saying(g, str_of(says), 0);
		rig_run(g);
		rig_expect_refusal(g, c, STR_LIT(""), 400, "http_malformed", rows[i]);
		assert_int_equal(g->resolves, 0);
		assert_string_equal(rig_dialled(g), "");
	}
}

/* The Host field says the same as the target, or nothing. */
static void test_host_field_and_target(void **state)
{
	static const struct {
		const char *head;
		int status;
		const char *reason;
	} rows[] = {
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n", 200, NULL },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n", 200, NULL },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: A.Test.:443\r\n", 200, NULL },
		{ "CONNECT a.test.:443 HTTP/1.1\r\nHost: a.test\r\n", 200, NULL },
		{ "CONNECT a.test:443 HTTP/1.0\r\n", 200, NULL },
		{ "CONNECT a.test:443 HTTP/1.0\r\nHost: a.test\r\n", 200, NULL },
		{ "CONNECT a.test:443 HTTP/1.0\r\nHost: b.test\r\n", 403, "host_mismatch" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: b.test:443\r\n", 403, "host_mismatch" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: b.test\r\n", 403, "host_mismatch" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:80\r\n", 403, "host_mismatch" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:444\r\n", 403, "host_mismatch" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: " X ":443\r\n", 403, "host_mismatch" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a..test:443\r\n", 400, "name_invalid" },
		{ "CONNECT a.test:443 HTTP/1.1\r\n", 400, "http_malformed" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost:\r\n", 400, "http_malformed" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n", 400,
		  "http_malformed" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: u@a.test\r\n", 400, "http_malformed" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n", 400,
		  "http_malformed" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n",
		  400, "http_malformed" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n", 200,
		  NULL },
		/* Some write where they send the request to. */
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: " RIG_EXPLICIT "\r\n", 200, NULL },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: localhost:40002\r\n", 200, NULL },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: localhost\r\n", 403, "host_mismatch" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: 127.0.0.1:5432\r\n", 403, "host_mismatch" },
		{ "CONNECT a.test:443 HTTP/1.1\r\nHost: a.localhost:40002\r\n", 403,
		  "host_mismatch" },
		/* What is refused is the target, whatever the field says. */
		{ "CONNECT b.test:443 HTTP/1.1\r\nHost: a.test:443\r\n", 403, "host_mismatch" },
		{ "CONNECT b.test:443 HTTP/1.1\r\nHost: " RIG_EXPLICIT "\r\n", 403,
		  "host_not_allowed" },
		{ "CONNECT " RIG_EXPLICIT " HTTP/1.1\r\nHost: a.test\r\n", 403, "host_mismatch" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		resolvable(g);
		srv = script_server(
			g->script, X_443, SCRIPT_ACCEPTS,
			STEPS(g, SCRIPT_EXPECT(sizeof(OPAQUE) - 1), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
		c = saying(g, rig_joined(g, str_of(rows[i].head), STR_LIT(BEARER "\r\n" OPAQUE)),
			   0);
		rig_run(g);
		if (rows[i].reason) {
			rig_expect_refusal(g, c, STR_LIT(""), rows[i].status, rows[i].reason,
					   rows[i].head);
			assert_int_equal(script_server_count(srv), 0);
			continue;
		}
		rig_expect_heard(g, c, STR_LIT(ESTABLISHED), rows[i].head);
		rig_expect_seen(g, srv, 0, STR_LIT(OPAQUE), rows[i].head);
	}
}

/* A tunnel behind other requests on the same connection: their upstream is let go. */
static void test_tunnel_behind_a_forwarded_request(void **state)
{
#define GET_A	   "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" BEARER "\r\n"
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"
	static const char sees[] = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
	struct rig *g = *state;
	struct script_server *plain, *srv;
	struct script_peer *c;

	resolvable(g);
	plain = script_server(g->script, X ":80", SCRIPT_ACCEPTS,
			      STEPS(g, SCRIPT_EXPECT(sizeof(sees) - 1), SCRIPT_SEND(NO_CONTENT),
				    SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	srv = answering(g, X_443, 1);
	c = saying(g, STR_LIT(GET_A A_443 "\x01"), 0);
	rig_run_for(g, NSEC_PER_SEC);
	rig_expect_heard(g, c, STR_LIT(NO_CONTENT ESTABLISHED ANSWER), "a tunnel behind it");
	rig_expect_seen(g, plain, 0, STR_LIT("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"), "plain");
	rig_expect_seen(g, srv, 0, STR_LIT("\x01"), "a tunnel behind it");
	/* Two ends of the tunnel; three listening descriptors. */
	assert_int_equal(script_open_fds(g->script), 5);
	assert_true(script_sent_eof(script_server_peer(plain, 0)) ||
		    script_sent_reset(script_server_peer(plain, 0)));
}

/* ---- a drain in every phase */

enum phase {
	SILENT,
	HALF_A_HEAD,
	ASKED_FOR_TOKEN,
	RESOLVING,
	DIALLING,
	ANSWER_BLOCKED,
	LISTENING,
	HALF_A_HELLO,
	RELAYING,
	REFUSED_LINGERING,
	PHASES,
};

static const struct script_step *phase_steps(struct rig *g, enum phase p)
{
	struct str hello = rig_hello_for(g, "a.test");

	switch (p) {
	case SILENT:
		return STEPS(g, SCRIPT_EXPECT_EOF);
	case HALF_A_HEAD:
		return STEPS(g, SCRIPT_SEND("CONNECT a.te"));
	case ASKED_FOR_TOKEN:
		return STEPS(g, SCRIPT_SEND(CONNECT("a.test:443", "")));
	case ANSWER_BLOCKED:
		return STEPS(g, SCRIPT_WINDOW(3), SCRIPT_SEND(A_443));
	case HALF_A_HELLO:
		return STEPS(g, SCRIPT_SEND(A_443), SCRIPT_SEND_BYTES(hello.p, 30, 0));
	case REFUSED_LINGERING:
		return STEPS(g, SCRIPT_SEND(CONNECT("b.test:443", BEARER)));
	case RELAYING:
		return STEPS(g, SCRIPT_SEND(A_443 OPAQUE));
	default:
		return STEPS(g, SCRIPT_SEND(A_443));
	}
}

static void test_drain_in_each_phase(void **state)
{
	for (int p = 0; p < PHASES; p++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		size_t opens;

		rig_allow(g, "a.test");
		rig_resolves(g, "a.test", X, 0)->delay = p == RESOLVING ? NSEC_NEVER : 0;
		srv = script_server(g->script, X_443,
				    p == DIALLING ? SCRIPT_BLACK_HOLE : SCRIPT_ACCEPTS, NULL);
		c = rig_explicit(g, phase_steps(g, (enum phase)p));
		rig_run_for(g, 500 * NSEC_PER_MSEC);
		rig_drain(g, 0);
		opens = rig_count(g, OPEN, ALLOW);
		assert_true(script_sent_eof(c) || script_sent_reset(c));
		assert_int_equal(opens, p >= ANSWER_BLOCKED && p <= RELAYING);
		assert_int_equal(rig_count(g, CLOSE, "\"end\":\"shutdown\""), opens);
		rig_expect_beginning(srv, p == RELAYING ? STR_LIT(OPAQUE) : STR_LIT(""));
		if (p == RESOLVING || p == DIALLING || p == HALF_A_HEAD)
			assert_int_equal(rig_count(g, DENY, "\"reason\":\"shutting_down\""), 1);
	}
}

/* Who has nothing to finish is not waited for. */
static void test_drain_does_not_wait_for_idle_clients(void **state)
{
	static const struct {
		const struct script_step steps[4];
		nsec_t takes;
	} rows[] = {
		{ { SCRIPT_EXPECT_EOF, SCRIPT_END }, 0 },
		{ { SCRIPT_SEND(CONNECT("a.test:443", "")), SCRIPT_EXPECT_EOF, SCRIPT_END }, 0 },
		{ { SCRIPT_SEND("CONNECT a.te"), SCRIPT_EXPECT_EOF, SCRIPT_END },
		  5 * NSEC_PER_SEC },
		{ { SCRIPT_SEND(A_443), SCRIPT_EXPECT_EOF, SCRIPT_END }, 5 * NSEC_PER_SEC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		nsec_t begun;

		resolvable(g);
		(void)script_server(g->script, X_443, SCRIPT_ACCEPTS, NULL);
		c = rig_explicit(g, rows[i].steps);
		rig_run_for(g, 500 * NSEC_PER_MSEC);
		begun = loop_now(g->loop);
		rig_drain(g, 5 * NSEC_PER_SEC);
		assert_int_equal(loop_now(g->loop) - begun, rows[i].takes);
		assert_true(script_sent_eof(c) || script_sent_reset(c));
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_nothing_is_resolved_without_the_token),
		TEST(test_no_name_is_resolved_that_is_not_allowed),
		TEST(test_200_comes_after_the_dial),
		TEST(test_no_record_no_tunnel),
		TEST(test_early_data),
		TEST(test_no_early_data_when_refused),
		TEST(test_right_token_in_any_form),
		TEST(test_no_token_is_asked_for_if_there_is_none),
		TEST(test_three_tries_on_one_connection),
		TEST(test_the_fourth_try_is_the_last),
		TEST(test_407_closes_for_a_client_that_closes),
		TEST(test_early_data_behind_a_407),
		TEST(test_addresses_that_are_always_refused),
		TEST(test_the_proxy_itself_is_refused),
		TEST(test_upstreams_that_cannot_be_had),
		TEST(test_targets_that_are_none),
		TEST(test_host_field_and_target),
		TEST(test_tunnel_behind_a_forwarded_request),
		TEST(test_drain_in_each_phase),
		TEST(test_drain_does_not_wait_for_idle_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
