/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redirected connections: under which name they go out, if at all, and what is on record of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_script.h"
#include "wire/tls_hello.h"

#define X      "192.0.2.1"
#define X_443  "192.0.2.1:443"
#define ANSWER "\x16\x03\x03\x00\x01 the server's answer"
#define OPEN   "\"event\":\"open\""
#define ALLOW  "\"decision\":\"allow\""
#define DENY   "\"decision\":\"deny\""
#define CLOSE  "\"event\":\"close\""

static const struct str alert = { (const char *)tls_alert_access_denied,
				  sizeof(tls_alert_access_denied) };

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

static void expect_reset(const struct script_peer *p)
{
	assert_true(script_sent_reset(p));
	assert_int_equal(script_sent(p).n, 0);
}

/* Nothing of the client went anywhere: whoever was connected to heard nothing and was reset. */
static void expect_silence(struct script_server *srv)
{
	for (size_t i = 0; i < script_server_count(srv); i++) {
		assert_int_equal(script_sent(script_server_peer(srv, i)).n, 0);
		assert_true(script_sent_reset(script_server_peer(srv, i)));
	}
}

static void bound(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X);
}

/* ---- TLS, bound */

static void test_matching_sni_in_any_segments(void **state)
{
	static const struct {
		struct rig_hello hello;
		size_t seg;
		const char *why;
	} rows[] = {
		{ { "a.test", 0, 0 }, 0, "at once" },
		{ { "a.test", 0, 0 }, 40, "in three segments" },
		{ { "a.test", 0, 0 }, 1, "byte by byte" },
		{ { "a.test", 0, 7 }, 5, "in many records" },
		{ { "a.test", 15000, 4096 }, 1400, "a long one" },
		{ { "A.tEsT", 0, 0 }, 0, "upper case" },
		{ { "a.test.", 0, 0 }, 0, "a trailing dot" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		char up[40], down[40], sni[40];
		struct str hello;

		bound(g);
		hello = rig_hello(g, &rows[i].hello);
		srv = answering(g, X_443, hello.n);
		c = saying(g, X_443, hello, rows[i].seg);
		rig_run(g);
		if (strcmp(rig_dialled(g), X_443 " ") != 0)
			fail_msg("%s: dialled %s\n%s", rows[i].why, rig_dialled(g), rig_audit(g));
		rig_expect_sent(script_server_peer(srv, 0), hello);
		rig_expect_sent(c, STR_LIT(ANSWER));
		assert_true(script_sent_eof(c));
		assert_false(script_sent_reset(c));
		(void)snprintf(sni, sizeof(sni), "\"sni\":\"%s\"", rows[i].hello.sni);
		assert_non_null(rig_record(
			g, OPEN, ALLOW, "\"target\":\"a.test\"", sni, "\"resolved_ip\":\"" X "\"",
			"\"rule\":\"a.test\"", "\"orig_dst\":\"" X_443 "\"", "\"port\":443",
			"\"pid\":4711", "\"uid\":1000", "\"comm\":\"curl\"", "\"seq\":0,"));
		(void)snprintf(up, sizeof(up), "\"bytes_up\":%zu,", hello.n);
		(void)snprintf(down, sizeof(down), "\"bytes_down\":%zu,", sizeof(ANSWER) - 1);
		assert_non_null(rig_record(g, CLOSE, "\"target\":\"a.test\"", up, down,
					   "\"end\":\"eof\"", "\"seq\":1,"));
		assert_int_equal(rig_count(g, "{"), 2);
		assert_int_equal(g->forgotten, 1);
	}
}

static void test_refused_hellos(void **state)
{
	static const struct {
		const char *sni, *reason, *target;
	} rows[] = {
		{ "b.test", "sni_mismatch", "b.test" }, /* allowed, not bound to X */
		{ "evil.example", "sni_mismatch", "evil.example" },
		{ "x.a.test", "sni_mismatch", "x.a.test" },
		{ "a.test.evil.example", "sni_mismatch", "a.test.evil.example" },
		{ NULL, "sni_missing", "a.test" },
		{ X, "name_invalid", X },
		{ "2852039166", "name_invalid", "2852039166" },
		{ "a..test", "name_invalid", "a..test" },
		{ "a.test..", "name_invalid", "a.test.." },
		{ "a.test:443", "name_invalid", "a.test:443" },
		{ "\"},{\"v\":2", "name_invalid", "\\\"},{\\\"v\\\":2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		char reason[64], target[80];
		struct script_peer *c;

		rig_allow(g, "b.test");
		bound(g);
		srv = answering(g, X_443, 1);
		c = rig_client(g, X_443,
			       STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, rows[i].sni), 0),
				     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		rig_expect_sent(c, alert);
		assert_true(script_sent_eof(c));
		expect_silence(srv);
		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", rows[i].reason);
		(void)snprintf(target, sizeof(target), "\"target\":\"%s\"", rows[i].target);
		if (!rig_record(g, OPEN, DENY, reason, target))
			fail_msg("SNI %s:\n%s", rows[i].sni ? rows[i].sni : "(none)", rig_audit(g));
		assert_int_equal(rig_count(g, "{"), 1);
	}
}

static void test_malformed_hellos(void **state)
{
	static const struct {
		struct str bytes;
		const char *why;
	} rows[] = {
		{ STR_LIT("\x16\x03\x01\x00\x00"), "an empty record" },
		{ STR_LIT("\x16\x03\x01\xff\xff"), "a record that is too long" },
		{ STR_LIT("\x16\x03\x07\x00\x05\x01"), "no such version" },
		{ STR_LIT("\x16\x02\x01\x00\x05\x01"), "a version that Go's servers take" },
		{ STR_LIT("\x16\x0f\x01\x00\x05\x01"), "another one" },
		{ STR_LIT("\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"), "a ServerHello" },
		{ STR_LIT("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), "too short for a hello" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		bound(g);
		srv = answering(g, X_443, 1);
		c = rig_client(g, X_443,
			       STEPS(g, SCRIPT_SEND_STR(rows[i].bytes, 0), SCRIPT_EXPECT_EOF));
		rig_run(g);
		if (!rig_record(g, OPEN, DENY, "\"reason\":\"tls_malformed\""))
			fail_msg("%s:\n%s", rows[i].why, rig_audit(g));
		rig_expect_sent(c, alert);
		expect_silence(srv);
	}
}

/* What was judged must be all that the server reads as a hello, however slowly it comes. */
static void test_hello_that_pauses(void **state)
{
	/* The place after which the client pauses, and for how long. */
	static const struct {
		size_t at, msec;
		const char *sni, *reason;
	} rows[] = {
		{ 1, 600, "b.test", "sni_mismatch" },
		{ 1, 2500, "b.test", "sni_mismatch" },
		{ 2, 2500, "b.test", "sni_mismatch" },
		{ 50, 2900, "b.test", "sni_mismatch" },
		{ 1, 600, "a.test", NULL },
		{ 1, 2500, "a.test", NULL },
		{ 50, 2900, "a.test", NULL },
		{ 1, 3100, "a.test", "too_slow" },
		{ 2, 3100, "a.test", "too_slow" },
		{ 50, 3100, "a.test", "too_slow" },
		{ 50, 3600000, "a.test", "too_slow" },
		{ 1, 3600000, "b.test", "too_slow" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct str hello, rest;
		char reason[64];

		bound(g);
		rig_bind(g, "c.test", X); /* bound, and no rule admits it */
		hello = rig_hello_for(g, rows[i].sni);
		rest = (struct str){ hello.p + rows[i].at, hello.n - rows[i].at };
		srv = answering(g, X_443, hello.n);
		(void)rig_client(g, X_443,
				 STEPS(g, SCRIPT_SEND_BYTES(hello.p, rows[i].at, 0),
				       SCRIPT_DELAY(rows[i].msec), SCRIPT_SEND_STR(rest, 0),
				       SCRIPT_EXPECT_EOF));
		rig_run_for(g, 4 * NSEC_PER_SEC);
		if (!rows[i].reason) {
			rig_expect_sent(script_server_peer(srv, 0), hello);
			continue;
		}
		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", rows[i].reason);
		if (!rig_record(g, OPEN, DENY, reason))
			fail_msg("pause at %zu for %zu ms:\n%s", rows[i].at, rows[i].msec,
				 rig_audit(g));
		expect_silence(srv);
	}
}

static void test_hello_cut_off_by_eof(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct str hello;

	bound(g);
	hello = rig_hello_for(g, "a.test");
	srv = answering(g, X_443, 1);
	(void)rig_client(g, X_443, STEPS(g, SCRIPT_SEND_BYTES(hello.p, 30, 0), SCRIPT_EOF));
	rig_run(g);
	assert_non_null(rig_record(g, OPEN, DENY, "\"reason\":\"too_slow\""));
	expect_silence(srv);
}

/* ---- other protocols, bound */

/* The record stands in the audit before the client hears anything. */
static void test_server_that_speaks_first(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X);
	srv = script_server(g->script, X ":22", SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_SEND("SSH-2.0-x\r\n"), SCRIPT_EXPECT(11),
				  SCRIPT_SEND("bye"), SCRIPT_EOF));
	c = rig_client(g, X ":22",
		       STEPS(g, SCRIPT_EXPECT(11), SCRIPT_DELAY(60000),
			     SCRIPT_SEND("SSH-2.0-y\r\n"), SCRIPT_EXPECT(14), SCRIPT_EOF));
	rig_run_for(g, NSEC_PER_SEC);
	rig_expect_sent(c, STR_LIT("SSH-2.0-x\r\n"));
	assert_non_null(rig_record(g, OPEN, ALLOW, "\"target\":\"a.test\"", "\"port\":22"));
	rig_run(g);
	rig_expect_sent(c, STR_LIT("SSH-2.0-x\r\nbye"));
	rig_expect_sent(script_server_peer(srv, 0), STR_LIT("SSH-2.0-y\r\n"));
	assert_non_null(
		rig_record(g, CLOSE, "\"bytes_up\":11,", "\"bytes_down\":14,", "\"end\":\"eof\""));
	assert_int_equal(rig_count(g, "{"), 2);
}

static void test_greeting_without_audit(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	bound(g);
	(void)script_server(g->script, X_443, SCRIPT_ACCEPTS, STEPS(g, SCRIPT_SEND("hello")));
	c = rig_client(g, X_443, STEPS(g, SCRIPT_EXPECT_EOF));
	rig_audit_full(g, true);
	rig_run(g);
	expect_reset(c);
}

/* The greeting does not soften what comes after it. */
static void test_greeted_client_with_other_name(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;
	struct script_peer *c;

	bound(g);
	srv = script_server(g->script, X_443, SCRIPT_ACCEPTS, STEPS(g, SCRIPT_SEND("hello")));
	c = rig_client(g, X_443,
		       STEPS(g, SCRIPT_EXPECT(5), SCRIPT_SEND_STR(rig_hello_for(g, "b.test"), 0),
			     SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_silence(srv);
	assert_int_equal(script_sent(c).n, 5 + alert.n);
	assert_non_null(rig_record(g, OPEN, DENY, "\"reason\":\"sni_mismatch\""));
	assert_non_null(rig_record(g, CLOSE, "\"bytes_up\":0,", "\"bytes_down\":5,"));
}

/* A terminal: one key at a time, some of which could begin a request if the server had not spoken.
 */
static void test_greeted_client_with_single_keys(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;

	bound(g);
	srv = script_server(g->script, X ":23", SCRIPT_ACCEPTS, STEPS(g, SCRIPT_SEND("login: ")));
	(void)rig_client(g, X ":23",
			 STEPS(g, SCRIPT_EXPECT(7), SCRIPT_SEND("j"), SCRIPT_DELAY(5000),
			       SCRIPT_SEND("oe\r\n")));
	rig_run_for(g, NSEC_PER_SEC);
	rig_expect_sent(script_server_peer(srv, 0), STR_LIT("j"));
	rig_run_for(g, 5 * NSEC_PER_SEC);
	rig_expect_sent(script_server_peer(srv, 0), STR_LIT("joe\r\n"));
}

/* Idle is who does not move anything, not who only listens. */
static void test_server_that_only_speaks(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	g->limits.idle = 10 * NSEC_PER_SEC;
	bound(g);
	(void)script_server(g->script, X_443, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_SEND("one "), SCRIPT_DELAY(8000), SCRIPT_SEND("two "),
				  SCRIPT_DELAY(8000), SCRIPT_SEND("three"), SCRIPT_EOF));
	c = rig_client(g, X_443, STEPS(g, SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	rig_run(g);
	rig_expect_sent(c, STR_LIT("one two three"));
	assert_non_null(rig_record(g, CLOSE, "\"bytes_down\":13,", "\"end\":\"eof\""));
}

static void test_both_silent(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	bound(g);
	(void)script_server(g->script, X_443, SCRIPT_ACCEPTS, NULL);
	c = rig_client(g, X_443, NULL);
	rig_run(g);
	expect_reset(c);
	assert_non_null(rig_record(g, OPEN, ALLOW, "\"target\":\"a.test\""));
	assert_non_null(rig_record(g, CLOSE, "\"bytes_up\":0,", "\"bytes_down\":0,",
				   "\"duration_ms\":3600000", "\"end\":\"timeout\""));
}

static void test_opaque_with_binding(void **state)
{
	static const struct str rows[] = {
		STR_LIT("\x00\x00\x00\x08\x04\xd2\x16\x2f"), /* PostgreSQL asks for TLS */
		STR_LIT("*1\r\n$4\r\nPING\r\n"),
		STR_LIT("EHLO x\r\n"),
		STR_LIT("AMQP\x00\x00\x09\x01"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;

		bound(g);
		srv = answering(g, X ":5432", rows[i].n);
		c = saying(g, X ":5432", rows[i], 0);
		rig_run(g);
		rig_expect_sent(script_server_peer(srv, 0), rows[i]);
		rig_expect_sent(c, STR_LIT(ANSWER));
		assert_non_null(rig_record(g, OPEN, ALLOW, "\"target\":\"a.test\""));
		assert_false(rig_audit_has(g, "\"sni\""));
	}
}

static void test_client_that_only_closes(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	bound(g);
	(void)script_server(g->script, X_443, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_EXPECT_EOF, SCRIPT_SEND("late"), SCRIPT_EOF));
	c = rig_client(g, X_443, STEPS(g, SCRIPT_EOF));
	rig_run(g);
	rig_expect_sent(c, STR_LIT("late"));
	assert_non_null(rig_record(g, CLOSE, "\"bytes_down\":4,", "\"end\":\"eof\""));
}

/* ---- HTTP */

/* A refusal in HTTP's words, and a clean end. */
static void expect_http_refusal(const struct script_peer *c, const char *status, const char *reason)
{
	struct str got = script_sent(c);
	char denied[80], line[32];

	(void)snprintf(denied, sizeof(denied), "\r\nX-Nono-Denied: %s\r\n", reason);
	(void)snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
	if (got.n < 13 || memcmp(got.p, line, 13) != 0 ||
	    !memmem(got.p, got.n, denied, strlen(denied)) ||
	    !memmem(got.p, got.n, "\r\nContent-Type: application/json\r\n", 34) ||
	    !memmem(got.p, got.n, "\r\nConnection: close\r\n\r\n{", 24))
		fail_msg("%.*s", (int)got.n, got.p);
	assert_true(script_sent_eof(c));
}

/* However slowly it begins: a request is judged by its Host, and a strange one is no other protocol. */
static void test_http_is_judged(void **state)
{
	static const struct {
		const char *bytes;
		size_t pause_at, msec;
		const char *status, *bound, *unbound; /* reasons */
		const char *why;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n", 0, 0, "403", "host_mismatch",
		  "host_not_allowed", "at once" },
		{ "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n", 2, 600, "403", "host_mismatch",
		  "host_not_allowed", "a pause in the method" },
		{ "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n", 3, 2500, "403", "host_mismatch",
		  "host_not_allowed", "a pause behind it" },
		{ "\r\nGET / HTTP/1.1\r\nHost: b.test\r\n\r\n", 2, 600, "403", "host_mismatch",
		  "host_not_allowed", "behind an empty line" },
		{ "QUUX / HTTP/1.1\r\nHost: b.test\r\n\r\n", 6, 600, "403", "host_mismatch",
		  "host_not_allowed", "a method of its own" },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1, 600, "400", "http_malformed",
		  "http_malformed", "HTTP/2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		struct rig *g = rig_renew(state);
		const char *b = rows[i / 2].bytes;
		const char *why = i & 1 ? rows[i / 2].bound : rows[i / 2].unbound;
		size_t at = rows[i / 2].pause_at;
		struct script_server *srv;
		struct script_peer *c;
		char reason[64];

		rig_allow(g, "a.test");
		if (i & 1)
			rig_bind(g, "a.test", X);
		srv = answering(g, X ":80", 1);
		c = rig_client(g, X ":80",
			       STEPS(g, SCRIPT_SEND_BYTES(b, at, 0), SCRIPT_DELAY(rows[i / 2].msec),
				     SCRIPT_SEND_BYTES(b + at, strlen(b) - at, 0),
				     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", why);
		if (!rig_record(g, OPEN, DENY, reason))
			fail_msg("%s:\n%s", rows[i / 2].why, rig_audit(g));
		expect_http_refusal(c, rows[i / 2].status, why);
		expect_silence(srv);
		assert_int_equal(g->resolves, 0);
	}
}

/* A beginning that may still become a request never passes as something else. */
static void test_http_beginning_is_never_opaque(void **state)
{
	static const char *const rows[] = { "G", "GET", "\r\n", "QUUX /", "X" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;

		bound(g);
		srv = answering(g, X ":80", 1);
		(void)rig_client(g, X ":80",
				 STEPS(g, SCRIPT_SEND_BYTES(rows[i], strlen(rows[i]), 0),
				       SCRIPT_DELAY(10000),
				       SCRIPT_SEND(" / HTTP/1.1\r\nHost: b.test\r\n\r\n"),
				       SCRIPT_EXPECT_EOF));
		rig_run(g);
		if (!rig_record(g, OPEN, DENY, "\"reason\":\"too_slow\""))
			fail_msg("%s:\n%s", rows[i], rig_audit(g));
		expect_silence(srv);
	}
}

/* ---- without a binding */

static void test_unbound_name_is_dialled(void **state)
{
	struct rig *g = *state;
	struct script_server *srv, *x;
	struct script_peer *c;
	struct str hello;

	rig_allow(g, "a.test:443");
	rig_resolves(g, "a.test", "198.51.100.7", 0)->delay = 20 * NSEC_PER_MSEC;
	hello = rig_hello_for(g, "A.test");
	x = answering(g, X_443, 1);
	srv = answering(g, "198.51.100.7:443", hello.n);
	c = saying(g, X_443, hello, 50);
	rig_run(g);
	assert_string_equal(rig_dialled(g), "198.51.100.7:443 ");
	assert_int_equal(script_server_count(x), 0);
	rig_expect_sent(script_server_peer(srv, 0), hello);
	rig_expect_sent(c, STR_LIT(ANSWER));
	assert_non_null(rig_record(g, OPEN, ALLOW, "\"target\":\"a.test\"", "\"sni\":\"A.test\"",
				   "\"resolved_ip\":\"198.51.100.7\"",
				   "\"orig_dst\":\"" X_443 "\""));
	assert_non_null(rig_record(g, CLOSE, "\"end\":\"eof\""));
	assert_int_equal(rig_count(g, "{"), 2);
}

static void test_unbound_refusals(void **state)
{
	static const struct {
		const char *sni, *bytes; /* one of them */
		const char *reason;
		unsigned int resolves;
	} rows[] = {
		{ "b.example", NULL, "host_not_allowed", 0 },
		{ "test", NULL, "host_not_allowed", 0 },
		{ "denied.test", NULL, "host_denied", 0 },
		{ "denied-port.test", NULL, "host_denied", 0 },
		{ "metadata.google.internal", NULL, "metadata_address", 0 },
		{ "169.254.169.254", NULL, "name_invalid", 0 },
		{ "gone.test", NULL, "dns_failed", 1 },
		{ "empty.test", NULL, "dns_no_address", 1 },
		{ "silent.test", NULL, "upstream_timeout", 1 },
		{ "meta.test", NULL, "metadata_address", 1 },
		{ "mixed.test", NULL, "metadata_address", 1 },
		{ "mapped.test", NULL, "metadata_address", 1 },
		{ "loop.test", NULL, "special_address", 1 },
		{ NULL, "\x01\x02\x03\x04", "protocol_unknown", 0 },
		{ NULL, "EHLO x\r\n", "protocol_unknown", 0 },
		{ NULL, "\x16\x03\x01\xff\xff", "tls_malformed", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct str says = str_of(rows[i].bytes);
		struct script_peer *c;
		char reason[64];

		rig_allow(g, "*.test:443");
		rig_allow(g, "b.example:8443");
		rig_deny(g, "denied.test");
		rig_deny(g, "denied-port.test:443");
		rig_resolves(g, "gone.test", NULL, -EIO);
		rig_resolves(g, "empty.test", NULL, -ENODATA);
		rig_resolves(g, "silent.test", X, 0)->delay = NSEC_NEVER;
		rig_resolves(g, "meta.test", "169.254.169.254", 0);
		rig_resolves(g, "mixed.test", X " 169.254.169.254", 0);
		rig_resolves(g, "mapped.test", "::ffff:169.254.169.254 " X, 0);
		rig_resolves(g, "loop.test", X " 127.0.0.1", 0);
		rig_resolves(g, "b.example", X, 0);
		if (rows[i].sni)
			says = rig_hello_for(g, rows[i].sni);
		c = rig_client(g, X_443, STEPS(g, SCRIPT_SEND_STR(says, 0), SCRIPT_EXPECT_EOF));
		rig_run(g);
		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", rows[i].reason);
		if (!rig_record(g, OPEN, DENY, reason) || rig_count(g, "{") != 1)
			fail_msg("row %zu, not %s:\n%s", i, reason, rig_audit(g));
		assert_string_equal(rig_dialled(g), "");
		assert_int_equal(g->resolves, rows[i].resolves);
		assert_true(script_sent_eof(c) || script_sent_reset(c));
		/* Where the network is to blame, it looks like the network. */
		if (says.p && says.p[0] == '\x16' &&
		    strcmp(rows[i].reason, "upstream_timeout") != 0)
			rig_expect_sent(c, alert);
		else
			expect_reset(c);
	}
}

/* A silent client of an unbound address has three seconds. */
static void test_unbound_silence(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_allow(g, "a.test:443");
	c = rig_client(g, X_443, NULL);
	rig_run_for(g, 2900 * NSEC_PER_MSEC);
	assert_false(script_sent_reset(c));
	assert_string_equal(rig_audit(g), "");
	rig_run_for(g, 1100 * NSEC_PER_MSEC);
	expect_reset(c);
	assert_non_null(rig_record(g, OPEN, DENY, "\"reason\":\"cidr_not_allowed\""));
	assert_string_equal(rig_dialled(g), "");
}

/* Nothing that the client could say would help: it is told at once, if it is an HTTP or TLS client
 * that has spoken. */
static void test_port_without_rule(void **state)
{
	struct rig *g = *state;
	struct script_peer *silent, *tls;

	rig_allow(g, "a.test:443");
	silent = rig_client(g, X ":25", NULL);
	tls = rig_client(g, X ":8443",
			 STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "a.test"), 0), SCRIPT_EXPECT_EOF,
			       SCRIPT_EOF));
	rig_run_for(g, 0);
	assert_int_equal(rig_count(g, OPEN, DENY, "\"reason\":\"cidr_not_allowed\""), 2);
	rig_run_for(g, 950 * NSEC_PER_MSEC);
	expect_reset(silent);
	rig_expect_sent(tls, alert);
	assert_string_equal(rig_dialled(g), "");
}

static void test_port_without_rule_for_the_bound_name(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_allow(g, "a.test:443");
	rig_bind(g, "a.test", X);
	c = rig_client(g, X ":22", NULL);
	rig_run(g);
	expect_reset(c);
	assert_non_null(
		rig_record(g, OPEN, DENY, "\"reason\":\"cidr_not_allowed\"", "\"port\":22"));
	assert_string_equal(rig_dialled(g), "");
}

/* ---- rules for addresses, and "*" */

static void test_address_rule(void **state)
{
	static const struct {
		const char *sni;
		struct str bytes;
	} rows[] = {
		{ "whatever.example", { 0 } },
		{ NULL, STR_LIT("\x16\x03\x01\xff\xff") },
		{ NULL, STR_LIT("GET / HTTP/1.1\r\n\r\n") },
		{ NULL, STR_LIT("G") },
		{ NULL, STR_LIT("\x01\x02") },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		struct str says;

		rig_cidr(g, "192.0.2.0/24:443");
		says = rows[i].sni ? rig_hello_for(g, rows[i].sni) : rows[i].bytes;
		srv = answering(g, X_443, says.n);
		c = saying(g, X_443, says, 0);
		rig_run(g);
		rig_expect_sent(script_server_peer(srv, 0), says);
		rig_expect_sent(c, STR_LIT(ANSWER));
		assert_non_null(rig_record(g, OPEN, ALLOW, "\"target\":\"" X "\"",
					   "\"rule\":\"192.0.2.0/24:443\""));
		assert_int_equal(rig_count(g, OPEN, "\"sni\":\"whatever.example\""), !!rows[i].sni);
		assert_int_equal(g->resolves, 0);
	}
}

/* Another address never stands in where the rule is about the address. */
static void test_address_rule_has_no_stand_in(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_cidr(g, "192.0.2.1/32:443");
	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X " 192.0.2.2");
	(void)script_server(g->script, X_443, SCRIPT_REFUSES, NULL);
	(void)answering(g, "192.0.2.2:443", 1);
	c = rig_client(g, X_443, NULL);
	rig_run(g);
	expect_reset(c);
	assert_string_equal(rig_dialled(g), X_443 " ");
}

static void test_any_rule_with_a_deny_rule(void **state)
{
	static const struct {
		const char *sni; /* NULL: none */
		const char *reason;
	} rows[] = {
		{ "evil.test", "host_denied" },
		{ "EVIL.test.", "host_denied" },
		{ "x.evil.org", "host_denied" },
		{ "metadata.google.internal", "metadata_address" },
		{ "10.0.0.1", "name_invalid" },
		{ "good.test", NULL },
		{ NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct script_peer *c;
		char reason[64];
		struct str hello;

		rig_allow(g, "*");
		rig_deny(g, "evil.test");
		rig_deny(g, "*.evil.org");
		hello = rig_hello_for(g, rows[i].sni);
		srv = answering(g, X_443, hello.n);
		c = saying(g, X_443, hello, 0);
		rig_run(g);
		if (!rows[i].reason) {
			rig_expect_sent(script_server_peer(srv, 0), hello);
			assert_non_null(rig_record(g, OPEN, ALLOW, "\"rule\":\"*\""));
			continue;
		}
		expect_silence(srv);
		rig_expect_sent(c, alert);
		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", rows[i].reason);
		if (!rig_record(g, OPEN, DENY, reason))
			fail_msg("%s:\n%s", rows[i].sni, rig_audit(g));
	}
}

/* ---- destinations that are always refused */

static void test_refused_destinations(void **state)
{
	static const struct {
		const char *to, *reason;
	} rows[] = {
		{ "169.254.169.254:80", "metadata_address" },
		{ "[::ffff:169.254.169.254]:80", "metadata_address" },
		{ "[64:ff9b::a9fe:a9fe]:80", "metadata_address" },
		{ "[2002:a9fe:a9fe::]:80", "metadata_address" },
		{ "[fd00:ec2::254]:80", "metadata_address" },
		{ "169.254.1.1:80", "link_local_address" },
		{ "[fe80::1]:80", "link_local_address" },
		{ "0.0.0.0:80", "special_address" },
		{ "224.0.0.1:80", "special_address" },
		{ "255.255.255.255:80", "special_address" },
		{ "127.0.0.1:40001", "loop_refused" }, /* our own listener */
		{ "127.0.0.1:80", "cidr_not_allowed" },
		{ "[::1]:80", "cidr_not_allowed" },
	};
	static const struct str says[] = {
		STR_LIT(""), /* a ClientHello */
		STR_LIT("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
		STR_LIT("\x01\x02\x03"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(says); i++) {
		struct rig *g = rig_renew(state);
		const char *to = rows[i / ARRAY_SIZE(says)].to;
		const char *why = rows[i / ARRAY_SIZE(says)].reason;
		size_t how = i % ARRAY_SIZE(says);
		struct str bytes = says[how];
		char reason[64];
		struct script_peer *c;

		rig_allow(g, "*:443"); /* for another port */
		rig_cidr(g, "0.0.0.0/0:80");
		if (how == 0)
			bytes = rig_hello_for(g, "a.test");
		c = rig_client(g, to,
			       STEPS(g, SCRIPT_SEND_STR(bytes, 0), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", why);
		if (!rig_record(g, OPEN, DENY, reason) || rig_count(g, "{") != 1)
			fail_msg("%s:\n%s", to, rig_audit(g));
		assert_string_equal(rig_dialled(g), "");
		if (how == 0)
			rig_expect_sent(c, alert);
		else if (how == 1)
			expect_http_refusal(c, "403", why);
		else
			expect_reset(c);
	}
}

/* ---- identity and limits */

static void test_no_redirect_entry(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_allow(g, "*");
	c = rig_client(g, NULL, STEPS(g, SCRIPT_SEND("GET / HTTP/1.1\r\n\r\n"), SCRIPT_EXPECT_EOF));
	rig_run(g);
	expect_reset(c);
	assert_non_null(rig_record(g, OPEN, DENY, "\"reason\":\"no_redirect_entry\""));
	assert_int_equal(rig_count(g, "{"), 1);
}

static void test_too_many_connections(void **state)
{
	struct rig *g = *state;
	struct script_peer *first, *second, *third;

	g->limits.max_connections = 2;
	bound(g);
	(void)script_server(g->script, X_443, SCRIPT_ACCEPTS, NULL);
	first = rig_client(g, X_443,
			   STEPS(g, SCRIPT_SEND("\x01"), SCRIPT_DELAY(5000), SCRIPT_RESET));
	second = rig_client(g, X_443, STEPS(g, SCRIPT_SEND("\x01")));
	third = rig_client(g, X_443, NULL);
	rig_run_for(g, NSEC_PER_SEC);
	assert_true(script_peer_fd(first) >= 0 || g->server.conn_count == 2);
	assert_false(script_sent_reset(second));
	expect_reset(third);
	assert_non_null(rig_record(g, OPEN, DENY, "\"reason\":\"too_many_connections\"",
				   "\"target\":\"" X "\"", "\"port\":443"));
	rig_run_for(g, 5 * NSEC_PER_SEC);
	assert_int_equal(g->server.conn_count, 1);
	third = rig_client(g, X_443, STEPS(g, SCRIPT_SEND("\x01")));
	rig_run_for(g, NSEC_PER_SEC);
	assert_int_equal(g->server.conn_count, 2);
	assert_false(script_sent_reset(third));
	/* The one that was turned away leaves no entry behind either. */
	assert_int_equal(g->forgotten, 2);
}

static void test_descriptors_run_out(void **state)
{
	static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		unsigned int ops;

		bound(g);
		srv = answering(g, X_443, 1);
		script_fail_nth(g->script, 1, errors[i]);
		(void)saying(g, X_443, STR_LIT("\x01"), 0);
		rig_run_for(g, 90 * NSEC_PER_MSEC);
		/* It waits: one accept that failed, the other listener, and the datagram socket. */
		assert_int_equal(script_ops_done(g->script), 3);
		assert_int_equal(script_server_count(srv), 0);
		ops = script_ops_done(g->script);
		rig_run(g);
		assert_true(script_ops_done(g->script) > ops);
		assert_int_equal(script_server_count(srv), 1);
		assert_non_null(rig_record(g, CLOSE, "\"end\":\"eof\""));
	}
}

/* Errors that the accepted connection brings along are no reason to stop, nor to wait. */
static void test_accept_goes_on_after_errors(void **state)
{
	static const int errors[] = { ECONNABORTED, ECONNRESET, EPERM };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct rig *g = rig_renew(state);

		bound(g);
		(void)answering(g, X_443, 1);
		script_fail_nth(g->script, 1, errors[i]);
		(void)saying(g, X_443, STR_LIT("\x01"), 0);
		rig_run_for(g, 0);
		rig_run(g);
		assert_non_null(rig_record(g, CLOSE, "\"end\":\"eof\""));
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_matching_sni_in_any_segments),
		TEST(test_refused_hellos),
		TEST(test_malformed_hellos),
		TEST(test_hello_that_pauses),
		TEST(test_hello_cut_off_by_eof),
		TEST(test_server_that_speaks_first),
		TEST(test_greeting_without_audit),
		TEST(test_greeted_client_with_other_name),
		TEST(test_greeted_client_with_single_keys),
		TEST(test_server_that_only_speaks),
		TEST(test_both_silent),
		TEST(test_opaque_with_binding),
		TEST(test_client_that_only_closes),
		TEST(test_http_is_judged),
		TEST(test_http_beginning_is_never_opaque),
		TEST(test_unbound_name_is_dialled),
		TEST(test_unbound_refusals),
		TEST(test_unbound_silence),
		TEST(test_port_without_rule),
		TEST(test_port_without_rule_for_the_bound_name),
		TEST(test_address_rule),
		TEST(test_address_rule_has_no_stand_in),
		TEST(test_any_rule_with_a_deny_rule),
		TEST(test_refused_destinations),
		TEST(test_no_redirect_entry),
		TEST(test_too_many_connections),
		TEST(test_descriptors_run_out),
		TEST(test_accept_goes_on_after_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
