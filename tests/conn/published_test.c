/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections from outside to a published port: where they go inside, what is on record, and that they are nobody's way out.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_expect.h"

#define IN4    RIG_PUBLISHED_TEXT
#define IN6    "[::1]:3000"
#define RULE   "\"rule\":\"publish 3000\""
#define TARGET "\"target\":\"127.0.0.1\",\"port\":3000"
#define INWARD "\"text\":\"from outside\""

/* Says a word, hears three bytes, and both say goodbye. */
static struct script_server *serves(struct rig *g, const char *at)
{
	return script_server(g->script, at, SCRIPT_ACCEPTS,
			     STEPS(g, SCRIPT_SEND("hi"), SCRIPT_EXPECT(3), SCRIPT_SEND("!"),
				   SCRIPT_EXPECT_EOF, SCRIPT_EOF));
}

static struct script_peer *comes(struct rig *g)
{
	return rig_outsider(g, STEPS(g, SCRIPT_EXPECT(2), SCRIPT_SEND("abc"), SCRIPT_EXPECT(3),
				     SCRIPT_EOF, SCRIPT_EXPECT_EOF));
}

static void refuses(struct rig *g, const char *at, enum script_behaviour how)
{
	(void)script_server(g->script, at, how, NULL);
}

static void expect_served(struct rig *g, const struct script_server *srv,
			  const struct script_peer *c, const char *ip)
{
	char resolved[64];

	(void)snprintf(resolved, sizeof(resolved), "\"resolved_ip\":\"%s\"", ip);
	rig_expect_sent(c, STR_LIT("hi!"));
	rig_expect_seen(g, srv, 0, STR_LIT("abc"), ip);
	assert_non_null(rig_record(g, OPEN, ALLOW, RULE, TARGET, INWARD, resolved));
	assert_non_null(rig_record(g, CLOSE, RULE, TARGET, INWARD, resolved, "\"bytes_up\":3,",
				   "\"bytes_down\":3,", "\"end\":\"eof\""));
	assert_int_equal(rig_count(g, "{"), 2);
	assert_false(rig_audit_has(g, "\"mode\""));
	assert_false(rig_audit_has(g, "\"orig_dst\""));
}

static void test_v4_goes_first(void **state)
{
	struct rig *g = *state;
	struct script_server *v4 = serves(g, IN4), *v6 = serves(g, IN6);
	struct script_peer *c = comes(g);

	rig_run(g);
	expect_served(g, v4, c, "127.0.0.1");
	assert_int_equal(script_server_count(v6), 0);
	assert_int_equal(g->inside_sockets, 1);
}

static void test_v6_only(void **state)
{
	struct rig *g = *state;
	struct script_server *v6 = serves(g, IN6);
	struct script_peer *c;

	refuses(g, IN4, SCRIPT_REFUSES);
	c = comes(g);
	rig_run(g);
	expect_served(g, v6, c, "::1");
	assert_string_equal(rig_dialled(g), IN4 " " IN6 " ");
}

/* A client that asks for nothing it is not given: no rule opens or closes this way. */
static void test_no_rule_is_asked(void **state)
{
	struct rig *g = *state;
	struct script_server *v4;
	struct script_peer *c;

	rig_deny(g, "127.0.0.1");
	rig_deny(g, "*");
	v4 = serves(g, IN4);
	c = comes(g);
	rig_run(g);
	expect_served(g, v4, c, "127.0.0.1");
	assert_int_equal(g->resolves, 0);
}

static const struct {
	const char *why;
	enum script_behaviour v4, v6;
	int inside_error;
	nsec_t inside_delay;
	const char *reason;
} failures[] = {
	{ "nobody listens", SCRIPT_REFUSES, SCRIPT_REFUSES, 0, 0, "upstream_refused" },
	{ "no IPv6 there", SCRIPT_REFUSES, SCRIPT_UNREACHABLE, 0, 0, "upstream_refused" },
	{ "its queue is full", SCRIPT_BLACK_HOLE, SCRIPT_ACCEPTS, 0, 0, "upstream_timeout" },
	{ "no socket", SCRIPT_ACCEPTS, SCRIPT_ACCEPTS, -EMFILE, 0, "upstream_unreachable" },
	{ "no answer of the supervisor's", SCRIPT_ACCEPTS, SCRIPT_ACCEPTS, 0, NSEC_NEVER,
	  "upstream_timeout" },
	{ "the supervisor is gone", SCRIPT_ACCEPTS, SCRIPT_ACCEPTS, -ECANCELED, 0,
	  "shutting_down" },
};

static void test_what_cannot_be_reached_is_reset(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		char reason[64];

		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", failures[i].reason);
		g->inside_error = failures[i].inside_error;
		g->inside_delay = failures[i].inside_delay;
		refuses(g, IN4, failures[i].v4);
		refuses(g, IN6, failures[i].v6);
		c = rig_outsider(g, STEPS(g, SCRIPT_SEND("abc")));
		rig_run(g);
		if (!script_sent_reset(c) || script_sent(c).n)
			fail_msg("%s: no reset", failures[i].why);
		if (!rig_record(g, OPEN, DENY, RULE, TARGET, INWARD, reason) ||
		    rig_count(g, "{") != 1)
			fail_msg("%s: %s", failures[i].why, rig_audit(g));
		/* Not the sandbox's doing. */
		assert_int_equal(g->audit.recent.n, 0);
		assert_int_equal(map_count(&g->audit.refusals.by_key), 0);
	}
}

static void test_repeated_refusals_are_one_record_a_minute(void **state)
{
	struct rig *g = *state;

	refuses(g, IN4, SCRIPT_REFUSES);
	refuses(g, IN6, SCRIPT_REFUSES);
	for (int i = 0; i < 5; i++)
		(void)rig_outsider(g, STEPS(g, SCRIPT_EXPECT_EOF));
	rig_run(g);
	assert_int_equal(rig_count(g, OPEN), 1);
	audit_flush(&g->audit, loop_now(g->loop));
	assert_non_null(rig_record(g, OPEN, TARGET, "\"count\":4", "from outside, repeated"));
	assert_int_equal(rig_count(g, OPEN), 2);
}

static void test_no_record_no_connection(void **state)
{
	struct rig *g = *state;
	struct script_server *v4 = script_server(g->script, IN4, SCRIPT_ACCEPTS, NULL);
	struct script_peer *c;

	rig_audit_full(g, true);
	c = rig_outsider(g, STEPS(g, SCRIPT_SEND("abc")));
	rig_run(g);
	assert_true(script_sent_reset(c));
	assert_int_equal(script_sent(script_server_peer(v4, 0)).n, 0);
	assert_true(script_sent_reset(script_server_peer(v4, 0)));
}

static void test_one_too_many_is_reset(void **state)
{
	struct rig *g = *state;
	struct script_peer *c[3];

	g->limits.max_connections = 2;
	(void)script_server(g->script, IN4, SCRIPT_ACCEPTS, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		c[i] = rig_outsider(g, NULL);
	rig_run_for(g, NSEC_PER_SEC);
	assert_false(script_sent_reset(c[0]));
	assert_false(script_sent_reset(c[1]));
	assert_true(script_sent_reset(c[2]));
	assert_non_null(rig_record(g, OPEN, DENY, RULE, TARGET, INWARD, "too_many_connections"));
	assert_int_equal(g->audit.recent.n, 0);
}

/* The sandbox's own way to our listener outside would be a circle. */
static void test_the_listener_outside_is_no_destination(void **state)
{
	struct rig *g = *state;
	struct script_server *v4;
	struct script_peer *c;

	rig_cidr(g, "127.0.0.1/32:3000");
	v4 = script_server(g->script, IN4, SCRIPT_ACCEPTS, NULL);
	(void)rig_outsider(g, NULL);
	rig_run_for(g, NSEC_PER_SEC);
	assert_int_equal(script_server_count(v4), 1);
	c = rig_client(g, IN4, STEPS(g, SCRIPT_SEND("\x01"), SCRIPT_EXPECT_EOF));
	rig_run_for(g, NSEC_PER_SEC);
	assert_true(script_sent_reset(c));
	assert_non_null(rig_record(g, OPEN, DENY, "loop_refused"));
	assert_int_equal(script_server_count(v4), 1);
}

static void test_drain(void **state)
{
	struct rig *g = *state;
	struct script_peer *served, *waits;

	(void)script_server(g->script, IN4, SCRIPT_ACCEPTS, NULL);
	served = rig_outsider(g, NULL);
	rig_run_for(g, NSEC_PER_SEC);
	g->inside_delay = NSEC_NEVER;
	waits = rig_outsider(g, NULL);
	rig_run_for(g, NSEC_PER_SEC);
	assert_false(script_sent_reset(served));
	assert_false(script_sent_reset(waits));
	rig_drain(g, 2 * NSEC_PER_SEC);
	assert_true(script_sent_reset(served));
	assert_true(script_sent_reset(waits));
	assert_non_null(rig_record(g, CLOSE, RULE, "\"end\":\"shutdown\""));
	assert_non_null(rig_record(g, OPEN, DENY, RULE, "\"reason\":\"shutting_down\""));
	assert_int_equal(g->server.conn_count, 0);
}

static void play_v4(struct rig *g)
{
	(void)serves(g, IN4);
	(void)comes(g);
	rig_run(g);
}

static void play_v6(struct rig *g)
{
	refuses(g, IN4, SCRIPT_REFUSES);
	(void)serves(g, IN6);
	(void)comes(g);
	rig_run(g);
}

static void test_whatever_fails(void **state)
{
	rig_sweep(state, play_v4);
	rig_sweep(state, play_v6);
}

#define on_rig(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_rig(test_v4_goes_first),
		on_rig(test_v6_only),
		on_rig(test_no_rule_is_asked),
		on_rig(test_what_cannot_be_reached_is_reset),
		on_rig(test_repeated_refusals_are_one_record_a_minute),
		on_rig(test_no_record_no_connection),
		on_rig(test_one_too_many_is_reset),
		on_rig(test_the_listener_outside_is_no_destination),
		on_rig(test_drain),
		on_rig(test_whatever_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
