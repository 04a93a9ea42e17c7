/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Races on scripted I/O: who wins, when the next one starts, and that nobody is left behind,
 * whatever fails and whoever is cancelled.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "io/race.h"
#include "tests/support/script.h"

#define MSEC(n) ((n)*NSEC_PER_MSEC)

struct run {
	struct script *script;
	struct loop *loop;
	/* of a race between addresses */
	struct endpoint to[RACE_MAX];
	size_t n, winner;
	/* of a poll */
	int a, b;
	nsec_t deadline, took;
	struct co *co;
	int result;
	unsigned int running; /* coroutines */
	bool over;
};

static int setup(void **state)
{
	struct run *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->script = script_new();
	r->loop = script_loop(r->script);
	r->deadline = NSEC_NEVER;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct run *r = *state;

	assert_int_equal(loop_turn(r->loop, 0), 0);
	assert_int_equal(co_count(r->loop), 0);
	script_free(r->script);
	free(r);
	return 0;
}

static struct run *renew(void **state)
{
	(void)teardown(state);
	(void)setup(state);
	return *state;
}

static void one_less(struct run *r)
{
	if (--r->running == 0)
		loop_stop(r->loop);
}

static void finished(struct run *r, nsec_t begun)
{
	r->took = loop_now(r->loop) - begun;
	r->over = true;
	one_less(r);
}

static void run_connect(void *arg)
{
	struct run *r = arg;
	nsec_t begun = loop_now(r->loop);

	r->winner = 99;
	r->result = io_connect_race(r->to, r->n, &r->winner, r->deadline);
	finished(r, begun);
	if (r->result >= 0) {
		int fd = r->result;

		loop_close(r->loop, &fd);
	}
}

static void run_poll(void *arg)
{
	struct run *r = arg;
	nsec_t begun = loop_now(r->loop);

	r->result = io_poll_either(r->a, r->b, r->deadline);
	finished(r, begun);
}

static void go(struct run *r, void (*fn)(void *arg))
{
	r->running = 1;
	assert_int_equal(co_spawn(r->loop, fn, r, &r->co), 0);
	assert_int_equal(script_run(r->script), 0);
	assert_true(r->over);
}

struct canceller {
	struct run *run;
	nsec_t after;
};

static void run_cancel(void *arg)
{
	struct canceller *c = arg;

	if (c->after)
		(void)io_sleep(loop_now(c->run->loop) + c->after);
	if (!c->run->over)
		co_cancel(c->run->co);
	one_less(c->run);
}

static void go_cancelled(struct run *r, void (*fn)(void *arg), nsec_t after)
{
	struct canceller c = { r, after };

	r->running = 2;
	assert_int_equal(co_spawn(r->loop, fn, r, &r->co), 0);
	assert_int_equal(co_spawn(r->loop, run_cancel, &c, NULL), 0);
	assert_int_equal(script_run(r->script), 0);
	assert_true(r->over);
}

/* ---- addresses */

static const char *address(size_t i, char text[ENDPOINT_TEXT_MAX])
{
	(void)snprintf(text, ENDPOINT_TEXT_MAX, "192.0.2.%zu:443", i + 1);
	return text;
}

/* a: accepts; r: refuses; u: unreachable; b: never answers; a digit: accepts after so many 100 ms
 */
static void runners(struct run *r, const char *kinds)
{
	char text[ENDPOINT_TEXT_MAX];

	r->n = strlen(kinds);
	for (size_t i = 0; i < r->n; i++) {
		enum script_behaviour how = SCRIPT_ACCEPTS;
		struct script_server *s;

		if (kinds[i] == 'r')
			how = SCRIPT_REFUSES;
		if (kinds[i] == 'u')
			how = SCRIPT_UNREACHABLE;
		if (kinds[i] == 'b')
			how = SCRIPT_BLACK_HOLE;
		s = script_server(r->script, address(i, text), how, NULL);
		if (kinds[i] >= '0' && kinds[i] <= '9')
			script_server_delay(s, 100u * (unsigned int)(kinds[i] - '0'));
		r->to[i] = (struct endpoint){ addr_v4(0xc0000201u + (uint32_t)i), 443 };
	}
}

static size_t dialled(const struct run *r)
{
	size_t n = 0;

	while (script_dialled(r->script, n))
		n++;
	return n;
}

static void test_connect_race(void **state)
{
	static const struct {
		const char *kinds;
		int winner; /* -1: none */
		int result; /* then */
		nsec_t took;
		size_t dialled;
		const char *why;
	} rows[] = {
		{ "a", 0, 0, 0, 1, "one" },
		{ "aaaa", 0, 0, 0, 1, "the first is there at once" },
		{ "ba", 1, 0, MSEC(250), 2, "a black hole has its stagger" },
		{ "bba", 2, 0, MSEC(500), 3, "two of them" },
		{ "ra", 1, 0, 0, 2, "a refusal does not wait" },
		{ "ruruua", 5, 0, 0, 6, "nor do many" },
		{ "bra", 2, 0, MSEC(500), 3, "one before it is still trying" },
		{ "2aa", 0, 0, MSEC(200), 1, "within the stagger" },
		{ "4aa", 1, 0, MSEC(250), 2, "behind it" },
		{ "39", 0, 0, MSEC(300), 2, "the first wins though the second runs" },
		{ "91", 1, 0, MSEC(350), 2, "the second wins" },
		{ "r", -1, -ECONNREFUSED, 0, 1, "none" },
		{ "ru", -1, -ECONNREFUSED, 0, 2, "what the first one said" },
		{ "ur", -1, -EHOSTUNREACH, 0, 2, "what the first one said" },
		{ "b", -1, -ETIME, MSEC(10000), 1, "silence" },
		{ "br", -1, -ETIME, MSEC(10000), 2, "the first was still trying" },
		{ "rb", -1, -ECONNREFUSED, MSEC(10000), 2, "what the first one said" },
		{ "bbbbbbbbbbbbbbba", 15, 0, MSEC(3750), 16, "as many as there may be" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct run *r = renew(state);

		runners(r, rows[i].kinds);
		r->deadline = loop_now(r->loop) + MSEC(10000);
		go(r, run_connect);
		if (rows[i].winner < 0 ? r->result != rows[i].result || r->winner != 99
				       : r->result < 0 || r->winner != (size_t)rows[i].winner)
			fail_msg("%s: %d, winner %zu", rows[i].why, r->result, r->winner);
		if (r->took != rows[i].took || dialled(r) != rows[i].dialled)
			fail_msg("%s: %lld ms, %zu dialled", rows[i].why,
				 (long long)(r->took / NSEC_PER_MSEC), dialled(r));
	}
}

/* Both are connected when the first is looked at: one wins, the other one is reset. */
static void test_dead_heat(void **state)
{
	struct run *r = *state;
	char text[ENDPOINT_TEXT_MAX];
	struct script_server *one, *two;

	r->n = 2;
	for (size_t i = 0; i < 2; i++)
		r->to[i] = (struct endpoint){ addr_v4(0xc0000201u + (uint32_t)i), 443 };
	one = script_server(r->script, address(0, text), SCRIPT_ACCEPTS, NULL);
	script_server_delay(one, 350);
	two = script_server(r->script, address(1, text), SCRIPT_ACCEPTS, NULL);
	script_server_delay(two, 100);
	r->deadline = loop_now(r->loop) + MSEC(10000);
	go(r, run_connect);
	assert_true(r->result >= 0);
	assert_int_equal(script_server_count(one), 1);
	assert_int_equal(script_server_count(two), 1);
	assert_true(script_sent_reset(script_server_peer(r->winner ? one : two, 0)));
	assert_false(script_sent_reset(script_server_peer(r->winner ? two : one, 0)));
}

static void test_deadline_before_the_second_starts(void **state)
{
	struct run *r = *state;

	runners(r, "ba");
	r->deadline = loop_now(r->loop) + MSEC(100);
	go(r, run_connect);
	assert_int_equal(r->result, -ETIME);
	assert_int_equal(r->took, MSEC(100));
	assert_int_equal(dialled(r), 1);
}

/* Also at the very moment when somebody answers. */
static void test_cancelled_race(void **state)
{
	static const char *const kinds[] = { "b", "bb", "4b", "bbbbbbbb", "1", "39" };
	static const nsec_t moments[] = { 0,	     MSEC(1),	MSEC(100), MSEC(250),
					  MSEC(300), MSEC(350), MSEC(400), MSEC(900) };

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
			struct run *r = renew(state);

			runners(r, kinds[k]);
			r->deadline = loop_now(r->loop) + MSEC(5000);
			go_cancelled(r, run_connect, moments[i]);
			assert_true(r->took <= moments[i]);
			if (r->result < 0 && r->result != -ECANCELED)
				fail_msg("%s at %lld ms: %d", kinds[k],
					 (long long)(moments[i] / NSEC_PER_MSEC), r->result);
		}
}

/* A deadline that falls on the answer: one of the two, and nothing is left. */
static void test_deadline_on_the_answer(void **state)
{
	static const char *const kinds[] = { "3", "b3", "33", "3b" };

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (nsec_t d = MSEC(200); d <= MSEC(650); d += MSEC(50)) {
			struct run *r = renew(state);

			runners(r, kinds[k]);
			r->deadline = loop_now(r->loop) + d;
			go(r, run_connect);
			if (r->result < 0 && r->result != -ETIME)
				fail_msg("%s with %lld ms: %d", kinds[k],
					 (long long)(d / NSEC_PER_MSEC), r->result);
			assert_true(r->took <= d);
		}
}

static void test_race_with_each_operation_failing(void **state)
{
	static const char *const kinds[] = { "a", "ra", "ba", "rrr", "39", "bbb" };
	static const int errors[] = { ECONNRESET, ENOMEM, EMFILE, EACCES };

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
			for (unsigned int nth = 1; nth <= 12; nth++) {
				struct run *r = renew(state);

				runners(r, kinds[k]);
				script_fail_nth(r->script, nth, errors[e]);
				r->deadline = loop_now(r->loop) + MSEC(5000);
				go(r, run_connect);
				assert_true(r->result >= 0 ? r->winner < r->n : r->winner == 99);
			}
}

/* ---- descriptors */

/* Two peers that say something after so many milliseconds; 0: never. */
static void poll_pair(struct run *r, size_t a_msec, size_t b_msec)
{
	static struct script_step steps[2][3];
	const size_t msec[2] = { a_msec, b_msec };
	int *fds[2] = { &r->a, &r->b };

	for (int i = 0; i < 2; i++) {
		steps[i][0] = (struct script_step)SCRIPT_DELAY(msec[i]);
		steps[i][1] = (struct script_step)SCRIPT_SEND("x");
		steps[i][2] = (struct script_step)SCRIPT_END;
		*fds[i] = script_peer_fd(script_pair(r->script, msec[i] ? steps[i] : NULL));
	}
}

static void poll_done(struct run *r)
{
	loop_close(r->loop, &r->a);
	loop_close(r->loop, &r->b);
}

static void test_poll_either(void **state)
{
	static const struct {
		size_t a, b;
		int result;
		nsec_t took;
	} rows[] = {
		{ 10, 0, 1, MSEC(10) },
		{ 0, 10, 2, MSEC(10) },
		{ 10, 20, 1, MSEC(10) },
		{ 20, 10, 2, MSEC(10) },
		{ 10, 10, 3, MSEC(10) },
		{ 0, 0, -ETIME, MSEC(1000) },
		{ 2000, 3000, -ETIME, MSEC(1000) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct run *r = renew(state);

		poll_pair(r, rows[i].a, rows[i].b);
		r->deadline = loop_now(r->loop) + MSEC(1000);
		go(r, run_poll);
		assert_int_equal(r->result, rows[i].result);
		assert_int_equal(r->took, rows[i].took);
		poll_done(r);
	}
}

static void test_poll_of_one(void **state)
{
	struct run *r = *state;
	int other;

	poll_pair(r, 20, 10);
	other = r->b;
	r->b = -EBADF;
	go(r, run_poll);
	assert_int_equal(r->result, 1);
	assert_int_equal(r->took, MSEC(20));
	r->b = other;
	poll_done(r);
}

/* EOF and errors count as readable: the next read tells. */
static void test_poll_of_ends(void **state)
{
	static const struct script_step eof[] = { SCRIPT_EOF, SCRIPT_END };
	static const struct script_step reset[] = { SCRIPT_RESET, SCRIPT_END };
	struct run *r = *state;

	r->a = script_peer_fd(script_pair(r->script, eof));
	r->b = script_peer_fd(script_pair(r->script, reset));
	go(r, run_poll);
	assert_int_equal(r->result, 3);
	poll_done(r);
}

static void test_cancelled_poll(void **state)
{
	static const nsec_t moments[] = { 0, MSEC(5), MSEC(10) };

	for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
		struct run *r = renew(state);

		poll_pair(r, 10, 30);
		go_cancelled(r, run_poll, moments[i]);
		assert_true(r->result == -ECANCELED || (i == 2 && r->result == 1));
		poll_done(r);
	}
}

static void test_poll_with_each_operation_failing(void **state)
{
	for (unsigned int nth = 1; nth <= 2; nth++) {
		struct run *r = renew(state);

		poll_pair(r, 0, 0);
		script_fail_nth(r->script, nth, ENOMEM);
		r->deadline = loop_now(r->loop) + MSEC(1000);
		go(r, run_poll);
		assert_int_equal(r->result, 1 << (nth - 1));
		assert_int_equal(r->took, 0);
		poll_done(r);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_connect_race),
		TEST(test_dead_heat),
		TEST(test_deadline_before_the_second_starts),
		TEST(test_cancelled_race),
		TEST(test_deadline_on_the_answer),
		TEST(test_race_with_each_operation_failing),
		TEST(test_poll_either),
		TEST(test_poll_of_one),
		TEST(test_poll_of_ends),
		TEST(test_cancelled_poll),
		TEST(test_poll_with_each_operation_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
