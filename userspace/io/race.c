/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each runner of a race is one op (poll) or one coroutine (connect). All report into a slot that
 * the waiting coroutine sleeps on. No runner outlives the call: losers are cancelled and waited
 * for, so that everything may live on this stack.
 */
#include "io/race.h"

#include <assert.h>
#include <errno.h>

struct poller {
	struct op op;
	struct event_slot *wake;
	bool done;
};

static void poller_done(struct op *op)
{
	struct poller *p = container_of(op, struct poller, op);

	p->done = true;
	event_slot_set(p->wake);
}

/* Collects a runner that may still be in flight. Cancellation of the waiter itself is no reason to
 * leave it behind. */
static void poller_collect(struct loop *l, struct poller *p)
{
	while (!p->done) {
		loop_cancel(l, &p->op);
		event_slot_wait_uncancelled(p->wake);
	}
}

int io_poll_either(int a, int b, nsec_t deadline)
{
	struct loop *l = co_loop();
	struct event_slot wake;
	struct poller p[2] = { 0 };
	int fds[2] = { a, b };
	int result = 0;
	int r;

	if (co_cancelled())
		return -ECANCELED;
	event_slot_init(&wake, l);
	for (int i = 0; i < 2; i++) {
		p[i].wake = &wake;
		p[i].done = fds[i] < 0;
		if (p[i].done)
			continue;
		p[i].op = (struct op){ .done = poller_done,
				       .kind = OP_POLL_IN,
				       .fd = fds[i],
				       .deadline = NSEC_NEVER };
		loop_submit(l, &p[i].op);
	}
	r = event_slot_wait(&wake, deadline);
	for (int i = 0; i < 2; i++)
		poller_collect(l, &p[i]);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0 && p[i].op.res != -ECANCELED)
			result |= 1 << i; /* an error is readable too: the next recv() says which */
	return result ? result : r;
}

struct racer {
	const struct endpoint *to;
	struct event_slot *wake;
	nsec_t deadline;
	struct co *co;
	int fd; /* result */
	bool started, done;
};

static void racer_run(void *arg)
{
	struct racer *r = arg;

	r->fd = io_connect(r->to, r->deadline);
	r->done = true;
	event_slot_set(r->wake);
}

/* Starts the next attempt. A failure to start counts as that attempt's result. */
static void racer_start(struct racer *r, const struct endpoint *to, struct event_slot *wake,
			nsec_t deadline)
{
	int e;

	*r = (struct racer){ .to = to, .wake = wake, .deadline = deadline, .started = true };
	e = co_spawn(co_loop(), racer_run, r, &r->co);
	if (e < 0) {
		r->fd = e;
		r->done = true;
		event_slot_set(wake);
	}
}

/* The index of a connected racer, -1 if there is none; `*ret_running` tells whether one is still
 * trying. */
static int race_winner(const struct racer *r, size_t started, bool *ret_running)
{
	*ret_running = false;
	for (size_t i = 0; i < started; i++) {
		if (r[i].done && r[i].fd >= 0)
			return (int)i;
		if (!r[i].done)
			*ret_running = true;
	}
	return -1;
}

/* Ends all attempts but the winner's. */
static void race_collect(struct racer *r, size_t started, int winner, struct event_slot *wake)
{
	for (size_t i = 0; i < started; i++) {
		while (!r[i].done) {
			co_cancel(r[i].co);
			event_slot_wait_uncancelled(wake);
		}
		if ((int)i != winner && r[i].fd >= 0)
			loop_reset(co_loop(), &r[i].fd);
	}
}

int io_connect_race(const struct endpoint *to, size_t n, size_t *ret_winner, nsec_t deadline)
{
	struct racer r[RACE_MAX];
	struct event_slot wake;
	size_t started = 0;
	nsec_t next_start = 0;
	int winner, e = 0;
	bool running;

	assert(n > 0 && n <= RACE_MAX);
	event_slot_init(&wake, co_loop());
	for (;;) {
		nsec_t now = loop_now(co_loop());

		winner = race_winner(r, started, &running);
		if (winner >= 0 || e < 0 || (!running && started == n))
			break;
		if (started < n && (!running || now >= next_start)) {
			racer_start(&r[started], &to[started], &wake, deadline);
			started++;
			next_start = now + RACE_STAGGER;
			continue;
		}
		e = event_slot_wait(&wake, started < n ? MIN(next_start, deadline) : deadline);
		if (e == -ETIME && loop_now(co_loop()) < deadline)
			e = 0; /* time for the next attempt */
	}
	race_collect(r, started, winner, &wake);
	if (winner < 0)
		return r[0].fd == -ECANCELED && e < 0 ? e : r[0].fd;
	*ret_winner = (size_t)winner;
	return r[winner].fd;
}
