/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that keep the explicit listener waiting: how long they may, and who has to go when there
 * is no room for another one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_expect.h"

#define X	 "192.0.2.1"
#define A_443	 "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n" BEARER "\r\n"
#define REFUSALS "GET /-/refusals HTTP/1.1\r\nHost: x\r\n" BEARER "\r\n"

static bool is_over(const struct script_peer *c)
{
	return script_sent_eof(c) || script_sent_reset(c);
}

static void room_for(struct rig *g, uint32_t n)
{
	g->limits.max_connections = n;
	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", X, 0);
	(void)script_server(g->script, X ":443", SCRIPT_ACCEPTS, NULL);
}

static void let_pass(struct rig *g)
{
	rig_run_for(g, 10 * NSEC_PER_MSEC);
}

/* ---- how long */

static void test_half_a_head_is_answered_408(void **state)
{
	static const char *const halves[] = {
		"C", "CONNECT a.test:443 HTTP/1.1\r\n",
		"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" BEARER "X: ",
		"GET /-/refusals HTTP/1.1\r\nHost: x\r\n\r"
	};

	for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;

		g->limits.header = 4 * NSEC_PER_SEC;
		c = rig_explicit(g,
				 STEPS(g, SCRIPT_DELAY(1000), SCRIPT_SEND_STR(str_of(halves[i]), 0),
				       SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run_for(g, 3900 * NSEC_PER_MSEC);
		assert_int_equal(script_sent(c).n, 0);
		rig_run_for(g, 1200 * NSEC_PER_MSEC);
		rig_expect_refusal(g, c, STR_LIT(""), 408, "too_slow", halves[i]);
		assert_int_equal(rig_count(g, "{"), 1);
	}
}

/* A byte now and then does not buy time. */
static void test_a_trickle_is_answered_408(void **state)
{
	struct rig *g = *state;
	struct script_step steps[128] = { 0 };
	struct script_peer *c;
	size_t n = 0;

	g->limits.header = 4 * NSEC_PER_SEC;
	for (int i = 0; i < 60; i++) {
		steps[n++] = (struct script_step)SCRIPT_SEND("X");
		steps[n++] = (struct script_step)SCRIPT_DELAY(100);
	}
	c = rig_explicit(g, rig_steps(g, steps, ARRAY_SIZE(steps)));
	rig_run_for(g, 4500 * NSEC_PER_MSEC);
	assert_memory_equal(script_sent(c).p, "HTTP/1.1 408 ", 13);
	rig_run_for(g, 5 * NSEC_PER_SEC);
	assert_true(is_over(c));
	assert_int_equal(rig_count(g, DENY, "\"reason\":\"too_slow\""), 1);
}

/* Lines now and then do not, either. */
static void test_a_trickle_of_lines_is_answered_408(void **state)
{
	struct rig *g = *state;
	struct script_step steps[128] = { 0 };
	struct script_peer *c;
	size_t n = 0;

	g->limits.header = 4 * NSEC_PER_SEC;
	steps[n++] = (struct script_step)SCRIPT_SEND("GET http://a.test/ HTTP/1.1\r\n");
	for (int i = 0; i < 60; i++) {
		steps[n++] = (struct script_step)SCRIPT_SEND("X: y\r\n");
		steps[n++] = (struct script_step)SCRIPT_DELAY(100);
	}
	c = rig_explicit(g, rig_steps(g, steps, ARRAY_SIZE(steps)));
	rig_run_for(g, 4500 * NSEC_PER_MSEC);
	assert_memory_equal(script_sent(c).p, "HTTP/1.1 408 ", 13);
}

static void test_a_silent_client_is_closed_without_a_word(void **state)
{
	struct rig *g = *state;
	struct script_peer *silent, *gone;

	g->limits.header = 4 * NSEC_PER_SEC;
	silent = rig_explicit(g, STEPS(g, SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	gone = rig_explicit(g, STEPS(g, SCRIPT_EOF));
	rig_run_for(g, 3900 * NSEC_PER_MSEC);
	assert_false(is_over(silent));
	assert_true(script_sent_eof(gone));
	rig_run_for(g, 200 * NSEC_PER_MSEC);
	assert_true(script_sent_eof(silent) && !script_sent_reset(silent));
	assert_int_equal(script_sent(silent).n, 0);
	assert_string_equal(rig_audit(g), "");
	assert_int_equal(g->server.conn_count, 0);
}

/* Between two requests a client may take the time that any connection may. */
static void test_an_idle_client_that_was_served(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;
	size_t first;

	g->limits.header = 4 * NSEC_PER_SEC;
	g->limits.idle = 100 * NSEC_PER_SEC;
	c = rig_explicit(
		g, STEPS(g, SCRIPT_SEND(REFUSALS), SCRIPT_DELAY(60000), SCRIPT_SEND(REFUSALS)));
	rig_run_for(g, 10 * NSEC_PER_SEC);
	first = script_sent(c).n;
	assert_true(first > 0);
	rig_run_for(g, 60 * NSEC_PER_SEC);
	assert_int_equal(script_sent(c).n, 2 * first);
	rig_run_for(g, 80 * NSEC_PER_SEC);
	assert_false(is_over(c));
	rig_run_for(g, 20 * NSEC_PER_SEC);
	assert_true(script_sent_eof(c));
	assert_int_equal(script_sent(c).n, 2 * first);
}

/* Who has shown no token has not been served, and gets no more time than another. */
static void test_a_client_that_was_asked_for_the_token(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	g->limits.header = 4 * NSEC_PER_SEC;
	c = rig_explicit(
		g, STEPS(g, SCRIPT_SEND("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")));
	rig_run_for(g, 3900 * NSEC_PER_MSEC);
	assert_memory_equal(script_sent(c).p, "HTTP/1.1 407 ", 13);
	assert_false(is_over(c));
	rig_run_for(g, 200 * NSEC_PER_MSEC);
	assert_true(script_sent_eof(c) && !script_sent_reset(c));
}

/* ---- who has to go */

/* The oldest of those that have not asked for anything yet, one for each that comes. */
static void test_the_oldest_half_open_goes_first(void **state)
{
	struct rig *g = *state;
	struct script_peer *silent, *half, *served, *late, *good;

	room_for(g, 4);
	served = rig_explicit(g, STEPS(g, SCRIPT_SEND(REFUSALS)));
	let_pass(g);
	half = rig_explicit(g, STEPS(g, SCRIPT_SEND("CONNECT a.t")));
	let_pass(g);
	silent = rig_explicit(g, NULL);
	let_pass(g);
	late = rig_explicit(g, STEPS(g, SCRIPT_SEND("GET ")));
	let_pass(g);
	assert_false(is_over(served) || is_over(half) || is_over(silent) || is_over(late));
	good = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
	let_pass(g);
	rig_expect_heard(g, good, STR_LIT(ESTABLISHED), "a good client");
	assert_true(is_over(half));
	assert_false(is_over(served) || is_over(silent) || is_over(late));
	assert_non_null(
		rig_record(g, OPEN, DENY, "\"reason\":\"too_many_connections\"", "\"status\":503"));
	good = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
	let_pass(g);
	rig_expect_heard(g, good, STR_LIT(ESTABLISHED), "a second one");
	assert_true(is_over(silent));
	assert_int_equal(script_sent(silent).n, 0);
	assert_false(is_over(served) || is_over(late));
	good = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
	let_pass(g);
	rig_expect_heard(g, good, STR_LIT(ESTABLISHED), "a third one");
	assert_true(is_over(late));
	assert_false(is_over(served));
	/* Only now an idle one that was served. */
	good = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
	let_pass(g);
	rig_expect_heard(g, good, STR_LIT(ESTABLISHED), "a fourth one");
	assert_true(script_sent_eof(served) && !script_sent_reset(served));
	/* Four tunnels: none of them can be spared. (The same refusal within a minute is one record.) */
	assert_int_equal(rig_count(g, DENY), 1);
	rig_run_for(g, 61 * NSEC_PER_SEC);
	good = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
	let_pass(g);
	assert_true(script_sent_reset(good));
	assert_int_equal(script_sent(good).n, 0);
	assert_int_equal(rig_count(g, OPEN, ALLOW), 4);
	assert_int_equal(rig_count(g, CLOSE), 0);
	assert_int_equal(rig_count(g, DENY, CONNECT_MODE, "\"reason\":\"too_many_connections\""),
			 1);
	assert_int_equal(g->server.conn_count, 4);
}

/* Of those that were served, the oldest goes. */
static void test_the_oldest_idle_goes_first(void **state)
{
	struct rig *g = *state;
	struct script_peer *c[3], *good;

	room_for(g, 3);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		c[i] = rig_explicit(g, STEPS(g, SCRIPT_SEND(REFUSALS)));
		let_pass(g);
	}
	good = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
	let_pass(g);
	rig_expect_heard(g, good, STR_LIT(ESTABLISHED), "a good client");
	assert_true(script_sent_eof(c[0]));
	assert_false(is_over(c[1]) || is_over(c[2]));
}

/* Nobody misses who was refused and does not go, nor who only shows a wrong token. */
static void test_refused_clients_go_first(void **state)
{
	static const char *const says[] = {
		"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n" BEARER "\r\n",
		"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX-Nono-Token: x\r\n\r\n",
		"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
		"nonsense\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *served, *refused, *good;

		room_for(g, 2);
		served = rig_explicit(g, STEPS(g, SCRIPT_SEND(REFUSALS)));
		let_pass(g);
		refused = rig_explicit(g, STEPS(g, SCRIPT_SEND_STR(str_of(says[i]), 0)));
		let_pass(g);
		assert_true(script_sent(refused).n > 0 && script_peer_fd(refused) >= 0);
		good = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
		let_pass(g);
		rig_expect_heard(g, good, STR_LIT(ESTABLISHED), says[i]);
		/* The first one had the token, and its target is what was refused. */
		assert_int_equal(script_peer_fd(refused) >= 0, i == 0);
		assert_int_equal(is_over(served), i == 0);
	}
}

/* Many half-open heads at once: every good client is served, and their number stays bounded. */
static void test_a_flood_of_half_open_heads(void **state)
{
	struct rig *g = *state;
	struct script_peer *good[20];

	room_for(g, 50);
	for (size_t i = 0; i < 400; i++) {
		(void)rig_explicit(g, i & 1 ? NULL : STEPS(g, SCRIPT_SEND("CONNECT ")));
		if (i % 20 == 0)
			good[i / 20] = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
	}
	rig_run_for(g, NSEC_PER_SEC);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		rig_expect_heard(g, good[i], STR_LIT(ESTABLISHED), "a good client in a flood");
	assert_true(g->server.conn_count <= 50);
	assert_int_equal(rig_count(g, OPEN, ALLOW), ARRAY_SIZE(good));
}

/* A redirected connection gets the place of a half-open explicit one, and the other way round. */
static void test_room_is_shared(void **state)
{
	struct rig *g = *state;
	struct script_peer *half, *c, *web;

	room_for(g, 1);
	(void)script_server(g->script, X ":80", SCRIPT_ACCEPTS, NULL);
	rig_bind(g, "a.test", X);
	half = rig_explicit(g, NULL);
	let_pass(g);
	web = rig_client(g, X ":80", STEPS(g, SCRIPT_SEND("GET / HTTP/1.1\r\nHos")));
	let_pass(g);
	assert_true(is_over(half));
	assert_false(is_over(web));
	c = rig_explicit(g, STEPS(g, SCRIPT_SEND(A_443)));
	let_pass(g);
	assert_true(is_over(web));
	rig_expect_heard(g, c, STR_LIT(ESTABLISHED), "instead of half a request");
	web = rig_client(g, X ":80", STEPS(g, SCRIPT_SEND("GET / HTTP/1.1\r\nHos")));
	let_pass(g);
	assert_true(script_sent_reset(web));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_half_a_head_is_answered_408),
		TEST(test_a_trickle_is_answered_408),
		TEST(test_a_trickle_of_lines_is_answered_408),
		TEST(test_a_silent_client_is_closed_without_a_word),
		TEST(test_an_idle_client_that_was_served),
		TEST(test_a_client_that_was_asked_for_the_token),
		TEST(test_the_oldest_half_open_goes_first),
		TEST(test_the_oldest_idle_goes_first),
		TEST(test_refused_clients_go_first),
		TEST(test_a_flood_of_half_open_heads),
		TEST(test_room_is_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
