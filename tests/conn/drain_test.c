/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a server: no more is accepted, what runs may go on for a while, then all of it comes
 * home, wherever it stands.
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
#define X_443 "192.0.2.1:443"
#define OPEN  "\"event\":\"open\""
#define ALLOW "\"decision\":\"allow\""
#define DENY  "\"decision\":\"deny\""
#define CLOSE "\"event\":\"close\""

/* How long a drain takes. */
static nsec_t drain(struct rig *g, nsec_t grace)
{
	nsec_t begun = loop_now(g->loop);

	rig_drain(g, grace);
	assert_int_equal(g->server.conn_count, 0);
	assert_true(list_empty(&g->server.conns) && list_empty(&g->server.tasks));
	return loop_now(g->loop) - begun;
}

static void test_nothing_runs(void **state)
{
	struct rig *g = *state;

	rig_start(g);
	assert_int_equal(drain(g, 60 * NSEC_PER_SEC), 0);
	assert_string_equal(rig_audit(g), "");
	/* A second one finds nothing to do. */
	assert_int_equal(drain(g, 60 * NSEC_PER_SEC), 0);
}

static void test_no_more_is_accepted(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_allow(g, "*");
	rig_start(g);
	rig_drain(g, 0);
	c = rig_client(g, X_443, STEPS(g, SCRIPT_SEND("\x01")));
	rig_run_for(g, NSEC_PER_SEC);
	assert_true(script_peer_fd(c) < 0);
	assert_string_equal(rig_dialled(g), "");
}

static struct script_peer *relaying(struct rig *g, const struct script_step *server,
				    const struct script_step *client)
{
	struct script_peer *c;

	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X);
	(void)script_server(g->script, X_443, SCRIPT_ACCEPTS, server);
	c = rig_client(g, X_443, client);
	rig_run_for(g, NSEC_PER_SEC);
	return c;
}

static void test_idle_relay_is_ended_after_the_grace(void **state)
{
	static const nsec_t graces[] = { 0, 5 * NSEC_PER_SEC };

	for (size_t i = 0; i < ARRAY_SIZE(graces); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c = relaying(g, STEPS(g, SCRIPT_EXPECT(1), SCRIPT_SEND("hi")),
						 STEPS(g, SCRIPT_SEND("\x01")));

		assert_int_equal(drain(g, graces[i]), graces[i]);
		assert_true(script_sent_reset(c));
		assert_int_equal(rig_count(g, OPEN, ALLOW), 1);
		assert_non_null(rig_record(g, CLOSE, "\"end\":\"shutdown\"", "\"bytes_up\":1,",
					   "\"bytes_down\":2,"));
		assert_int_equal(rig_count(g, "{"), 2);
	}
}

/* A transfer that ends within the grace ends well, and the drain does not wait longer. */
static void test_relay_ends_within_the_grace(void **state)
{
	struct rig *g = *state;
	struct script_peer *c = relaying(
		g,
		STEPS(g, SCRIPT_EXPECT(1), SCRIPT_DELAY(3000), SCRIPT_SEND("the rest"), SCRIPT_EOF),
		STEPS(g, SCRIPT_SEND("\x01"), SCRIPT_EXPECT(8), SCRIPT_EOF));

	assert_true(drain(g, 60 * NSEC_PER_SEC) < 3 * NSEC_PER_SEC);
	rig_expect_sent(c, STR_LIT("the rest"));
	assert_false(script_sent_reset(c));
	assert_non_null(rig_record(g, CLOSE, "\"bytes_down\":8,"));
}

/* ---- a connection in each phase; nothing is let through on the way out */

enum phase {
	DIALLING,
	WAITING_FOR_CLIENT,
	HALF_A_HELLO,
	GREETED,
	GREETING_BLOCKED,
	UNBOUND_SILENT,
	UNBOUND_HALF_A_HELLO,
	RESOLVING,
	UNBOUND_DIALLING,
	REFUSED_SILENT,
	REFUSED_LINGERING,
	DNS_IDLE,
	DNS_RESOLVING,
	PHASES,
};

static const struct script_step *client_steps(struct rig *g, enum phase p)
{
	static const char query[] = "\x00\x18\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
				    "\x01"
				    "a\x04test\x00\x00\x01\x00\x01";
	struct str hello = rig_hello_for(g, "a.test");

	switch (p) {
	case HALF_A_HELLO:
	case UNBOUND_HALF_A_HELLO:
		return STEPS(g, SCRIPT_SEND_BYTES(hello.p, 30, 0));
	case GREETING_BLOCKED:
		return STEPS(g, SCRIPT_WINDOW(2));
	case RESOLVING:
	case UNBOUND_DIALLING:
	case REFUSED_LINGERING:
		return STEPS(g, SCRIPT_SEND_STR(hello, 0));
	case DNS_RESOLVING:
		return STEPS(g, SCRIPT_SEND(query));
	default:
		return NULL;
	}
}

static void reach(struct rig *g, enum phase p)
{
	bool is_bound = p <= GREETING_BLOCKED, dns = p >= DNS_IDLE;
	const char *to = dns ? "8.8.8.8:53" : X_443;
	struct script_peer *c;

	if (p != REFUSED_SILENT && p != REFUSED_LINGERING)
		rig_allow(g, "a.test");
	if (is_bound)
		rig_bind(g, "a.test", X);
	rig_resolves(g, "a.test", "198.51.100.7", 0)->delay = p == RESOLVING || p == DNS_RESOLVING
								      ? 4 * NSEC_PER_SEC
								      : 0;
	(void)script_server(g->script, "198.51.100.7:443", SCRIPT_BLACK_HOLE, NULL);
	(void)script_server(g->script, X_443, p == DIALLING ? SCRIPT_BLACK_HOLE : SCRIPT_ACCEPTS,
			    p == GREETED || p == GREETING_BLOCKED ? STEPS(g, SCRIPT_SEND("hello"))
								  : NULL);
	c = rig_client(g, to, client_steps(g, p));
	rig_run_for(g, 500 * NSEC_PER_MSEC);
	if (g->server.conn_count != 1)
		fail_msg("phase %d was not reached:\n%s", p, rig_audit(g));
	assert_false(script_sent_reset(c));
}

static void test_each_phase(void **state)
{
	static const nsec_t graces[] = { 0, 100 * NSEC_PER_MSEC };

	for (int p = 0; p < PHASES; p++)
		for (size_t i = 0; i < ARRAY_SIZE(graces); i++) {
			struct rig *g = rig_renew(state);
			size_t open, deny, closed;

			reach(g, (enum phase)p);
			if (drain(g, graces[i]) != graces[i])
				fail_msg("phase %d took another time", p);
			open = rig_count(g, OPEN, ALLOW);
			deny = rig_count(g, OPEN, DENY, "\"mode\":\"transparent\"");
			closed = rig_count(g, CLOSE, "\"end\":\"shutdown\"");
			if (open != closed || open + deny != (p < DNS_IDLE ? 1 : 0))
				fail_msg("phase %d:\n%s", p, rig_audit(g));
			assert_int_equal(g->forgotten, 1);
		}
}

/* What was cut off by the end is not blamed on the client, nor on its rules. */
static void test_reasons_at_the_end(void **state)
{
	static const enum phase phases[] = { DIALLING, UNBOUND_SILENT, UNBOUND_HALF_A_HELLO,
					     RESOLVING, UNBOUND_DIALLING };

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		struct rig *g = rig_renew(state);

		reach(g, phases[i]);
		rig_drain(g, 0);
		if (!rig_record(g, OPEN, DENY, "\"reason\":\"shutting_down\""))
			fail_msg("phase %d:\n%s", phases[i], rig_audit(g));
	}
}

/* ---- datagrams */

static void test_waiting_datagram(void **state)
{
	static const uint8_t query[] = "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01"
				       "a\x04test\x00\x00\x01\x00\x01";
	struct rig *g = *state;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", X, 0)->delay = NSEC_NEVER;
	rig_start(g);
	for (int i = 0; i < 20; i++)
		script_datagram(g->script, g->udp, "10.0.0.2:1111", query, sizeof(query) - 1);
	rig_run_for(g, NSEC_PER_SEC);
	assert_int_equal(g->server.dns_jobs, 20);
	assert_true(drain(g, 0) == 0);
	assert_int_equal(g->server.dns_jobs, 0);
}

/* Many at once, in all kinds of places. */
static void test_crowd(void **state)
{
	struct rig *g = *state;

	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X);
	rig_resolves(g, "a.test", "198.51.100.7", 0)->delay = 4 * NSEC_PER_SEC;
	(void)script_server(g->script, X_443, SCRIPT_ACCEPTS, NULL);
	(void)script_server(g->script, X ":1", SCRIPT_BLACK_HOLE, NULL);
	for (int i = 0; i < 200; i++)
		(void)rig_client(g,
				 i % 5 == 0   ? X ":1"
				 : i % 5 == 1 ? "192.0.2.9:443"
					      : X_443,
				 i % 2 ? STEPS(g, SCRIPT_SEND("\x01"))
				       : STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "a.test"), 50)));
	rig_run_for(g, 300 * NSEC_PER_MSEC);
	assert_true(g->server.conn_count > 150);
	assert_int_equal(drain(g, 2 * NSEC_PER_SEC), 2 * NSEC_PER_SEC);
	assert_int_equal(rig_count(g, OPEN, ALLOW), rig_count(g, CLOSE));
	assert_int_equal(g->forgotten, 200);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_nothing_runs),
		TEST(test_no_more_is_accepted),
		TEST(test_idle_relay_is_ended_after_the_grace),
		TEST(test_relay_ends_within_the_grace),
		TEST(test_each_phase),
		TEST(test_reasons_at_the_end),
		TEST(test_waiting_datagram),
		TEST(test_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
