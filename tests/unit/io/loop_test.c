/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/loop_internal.h"

/* ---- a back end that does nothing but keep the time ---- */

static nsec_t clock_now;
static nsec_t asked_timeout;
static unsigned int submitted, cancelled;

static int null_open(_unused_ struct loop *l)
{
	clock_now = 1000;
	submitted = cancelled = 0;
	return 0;
}

static void null_close(_unused_ struct loop *l)
{
}

static void null_submit(_unused_ struct loop *l, _unused_ struct op *op)
{
	submitted++;
}

static void null_cancel(struct loop *l, struct op *op)
{
	cancelled++;
	loop_complete(l, op, -ECANCELED);
}

/* Time passes exactly as asked for. */
static int null_wait(_unused_ struct loop *l, nsec_t timeout)
{
	asked_timeout = timeout;
	if (timeout == NSEC_NEVER)
		return -EDEADLK;
	clock_now += timeout;
	return 0;
}

static nsec_t null_now(_unused_ struct loop *l)
{
	return clock_now;
}

static const struct loop_backend null_backend = {
	.name = "null",
	.open = null_open,
	.close = null_close,
	.submit = null_submit,
	.cancel = null_cancel,
	.wait = null_wait,
	.now = null_now,
};

struct probe {
	struct op op;
	int done, res;
	struct loop *loop;
	struct op *to_cancel, *to_complete;
	int resubmit;
	bool heap; /* free itself */
	struct probe **order;
	size_t *order_n;
};

static void probe_done(struct op *op)
{
	struct probe *p = container_of(op, struct probe, op);

	p->done++;
	p->res = op->res;
	if (p->order)
		p->order[(*p->order_n)++] = p;
	if (p->to_cancel)
		loop_cancel(p->loop, p->to_cancel);
	if (p->to_complete)
		loop_complete(p->loop, p->to_complete, 7);
	if (p->resubmit > 0) {
		p->resubmit--;
		loop_submit(p->loop, op);
		loop_complete(p->loop, op, 0);
	}
	if (p->heap)
		free(p);
}

static void probe_submit(struct probe *p, struct loop *l, enum op_kind kind, int fd,
			 nsec_t deadline)
{
	p->loop = l;
	p->op.done = probe_done;
	p->op.kind = (uint8_t)kind;
	p->op.fd = fd;
	p->op.deadline = deadline;
	loop_submit(l, &p->op);
}

static struct loop *null_loop(void)
{
	struct loop *l = NULL;

	assert_int_equal(loop_new(&null_backend, NULL, &l), 0);
	return l;
}

static void test_done_never_from_submit_or_complete(_unused_ void **state)
{
	struct loop *l = null_loop();
	struct probe p = { 0 };

	probe_submit(&p, l, OP_EVENT, -1, NSEC_NEVER);
	loop_complete(l, &p.op, 3);
	loop_complete(l, &p.op, 4); /* the first result stands */
	loop_cancel(l, &p.op);
	assert_int_equal(p.done, 0);
	assert_int_equal(loop_inflight(l), 1);
	assert_int_equal(loop_turn(l, 0), 0);
	assert_int_equal(p.done, 1);
	assert_int_equal(p.res, 3);
	assert_int_equal(loop_inflight(l), 0);
	loop_complete(l, &p.op, 5); /* not in flight: nothing */
	loop_cancel(l, &p.op);
	assert_int_equal(loop_turn(l, 0), 0);
	assert_int_equal(p.done, 1);
	loop_free(l);
}

static void test_cancel_and_complete_others_from_done(_unused_ void **state)
{
	struct loop *l = null_loop();
	struct probe a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	probe_submit(&a, l, OP_EVENT, -1, NSEC_NEVER);
	probe_submit(&b, l, OP_EVENT, -1, NSEC_NEVER);
	probe_submit(&c, l, OP_RECV, 5, NSEC_NEVER);
	probe_submit(&d, l, OP_EVENT, -1, NSEC_NEVER);
	a.to_cancel = &b.op; /* which has its result already */
	b.to_cancel = &c.op; /* which is with the back end */
	c.to_complete = &d.op;
	loop_complete(l, &a.op, 1);
	loop_complete(l, &b.op, 2);
	assert_int_equal(loop_turn(l, 0), 0);
	assert_int_equal(a.res, 1);
	assert_int_equal(b.res, 2);
	assert_int_equal(c.res, -ECANCELED);
	assert_int_equal(d.res, 7);
	assert_int_equal(a.done + b.done + c.done + d.done, 4);
	assert_int_equal(cancelled, 1);
	loop_free(l);
}

static void test_record_freed_and_resubmitted_in_done(_unused_ void **state)
{
	struct loop *l = null_loop();
	struct probe *own = calloc(1, sizeof(*own));
	struct probe again = { .resubmit = 3 };

	assert_non_null(own);
	own->heap = true;
	probe_submit(own, l, OP_EVENT, -1, NSEC_NEVER);
	probe_submit(&again, l, OP_EVENT, -1, NSEC_NEVER);
	loop_complete(l, &own->op, 0);
	loop_complete(l, &again.op, 0);
	assert_int_equal(loop_turn(l, 0), 0);
	assert_int_equal(again.done, 4);
	loop_free(l);
}

static void test_endless_completions_do_not_starve_the_back_end(_unused_ void **state)
{
	struct loop *l = null_loop();
	struct probe p = { .resubmit = 100000 };

	probe_submit(&p, l, OP_EVENT, -1, NSEC_NEVER);
	loop_complete(l, &p.op, 0);
	assert_int_equal(loop_turn(l, NSEC_NEVER), 0);
	assert_int_equal(asked_timeout, 0);
	assert_in_range(p.done, 1, 1000);
	p.resubmit = 0;
	assert_int_equal(loop_turn(l, 0), 0);
	loop_free(l);
}

static void test_deadline_cancels_in_the_back_end(_unused_ void **state)
{
	struct loop *l = null_loop();
	struct probe recv_op = { 0 }, timer = { 0 }, past = { 0 }, early = { 0 };

	probe_submit(&recv_op, l, OP_RECV, 5, loop_now(l) + 50);
	probe_submit(&timer, l, OP_TIMER, -1, loop_now(l) + 60);
	probe_submit(&past, l, OP_RECV, 6, loop_now(l)); /* never reaches the back end */
	probe_submit(&early, l, OP_RECV, 7, loop_now(l) + 10);
	loop_cancel(l, &early.op); /* cancelled before its deadline: that is what it says */
	assert_int_equal(submitted, 2);
	assert_int_equal(loop_turn(l, NSEC_NEVER), 0);
	assert_int_equal(past.res, -ETIME);
	assert_int_equal(early.res, -ECANCELED);
	assert_int_equal(loop_turn(l, NSEC_NEVER), 0);
	assert_int_equal(asked_timeout, 50);
	assert_int_equal(recv_op.res, -ETIME);
	assert_int_equal(timer.done, 0);
	assert_int_equal(loop_turn(l, NSEC_NEVER), 0);
	assert_int_equal(asked_timeout, 10);
	assert_int_equal(timer.res, -ETIME);
	assert_int_equal(loop_turn(l, NSEC_NEVER), -EDEADLK);
	loop_free(l);
}

static uint32_t rnd_state = 12345;

static uint32_t rnd(void)
{
	rnd_state = rnd_state * 1664525 + 1013904223;
	return rnd_state >> 8;
}

/*
 * Random timers, some cancelled in between: they fire in the order of their deadlines, none early,
 * none lost. Compared with what a linear search says.
 */
static void test_deadlines_fire_in_order(_unused_ void **state)
{
	enum { N = 500 };
	static struct probe p[N];
	static struct probe *order[N];
	struct loop *l = null_loop();
	size_t fired = 0, n_cancelled = 0;
	bool gone[N] = { false };

	memset(p, 0, sizeof(p));
	for (int i = 0; i < N; i++) {
		p[i].order = order;
		p[i].order_n = &fired;
		probe_submit(&p[i], l, OP_TIMER, -1, loop_now(l) + 1 + rnd() % 300);
		if (rnd() % 4 == 0) {
			int k = (int)(rnd() % (uint32_t)(i + 1));

			p[k].order = NULL;
			n_cancelled += !gone[k];
			gone[k] = true;
			loop_cancel(l, &p[k].op);
		}
	}
	while (loop_inflight(l) > 0) {
		nsec_t next = NSEC_NEVER;

		for (int i = 0; i < N; i++)
			if (!gone[i] && !p[i].done && p[i].op.deadline < next)
				next = p[i].op.deadline;
		assert_int_equal(loop_turn(l, NSEC_NEVER), 0);
		for (int i = 0; i < N; i++)
			if (!gone[i])
				assert_true(!p[i].done == (p[i].op.deadline > loop_now(l)));
		if (next != NSEC_NEVER)
			assert_true(loop_now(l) <= next);
	}
	assert_int_equal(fired + n_cancelled, N);
	for (size_t i = 1; i < fired; i++)
		assert_true(order[i - 1]->op.deadline <= order[i]->op.deadline);
	loop_free(l);
}

static void stopper(struct op *op)
{
	loop_stop(op->owner);
}

static void test_run_ends_when_stopped_and_nothing_is_queued(_unused_ void **state)
{
	struct loop *l = null_loop();
	struct op stop = { .done = stopper, .owner = l, .kind = OP_EVENT, .deadline = NSEC_NEVER };
	struct probe p = { .resubmit = 600 };

	loop_submit(l, &stop);
	probe_submit(&p, l, OP_EVENT, -1, NSEC_NEVER);
	loop_complete(l, &stop, 0);
	loop_complete(l, &p.op, 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(p.done, 601);
	assert_int_equal(loop_run(l), -EDEADLK); /* the stop was used up */
	loop_free(l);
}

/* ---- epoll ---- */

static struct loop *epoll_loop(void)
{
	struct loop *l = NULL;

	assert_int_equal(loop_new(&loop_epoll, NULL, &l), 0);
	return l;
}

/* Turns until the op is done; at most some seconds, so that a failure is not a hang. */
static void turn_until(struct loop *l, const struct probe *p, int done)
{
	for (int i = 0; i < 500 && p->done < done; i++)
		assert_int_equal(loop_turn(l, 10 * NSEC_PER_MSEC), 0);
	assert_int_equal(p->done, done);
}

static void pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
}

static void test_epoll_recv_now_later_eof(_unused_ void **state)
{
	struct loop *l = epoll_loop();
	struct probe p = { 0 };
	char buf[8];
	int fds[2];

	pair(fds);
	p.op.io.p = buf;
	p.op.io.n = sizeof(buf);
	for (int round = 0; round < 3; round++) {
		bool early = round == 1;

		if (early)
			assert_int_equal(write(fds[1], "abc", 3), 3);
		probe_submit(&p, l, OP_RECV, fds[0], NSEC_NEVER);
		assert_int_equal(p.done, round);
		if (!early) {
			assert_int_equal(loop_turn(l, 0), 0);
			assert_int_equal(p.done, round);
			assert_int_equal(write(fds[1], "abc", 3), 3);
		}
		turn_until(l, &p, round + 1);
		assert_int_equal(p.res, 3);
	}
	(void)shutdown(fds[1], SHUT_WR);
	probe_submit(&p, l, OP_RECV, fds[0], NSEC_NEVER);
	turn_until(l, &p, 4);
	assert_int_equal(p.res, 0);
	loop_close(l, &fds[0]);
	assert_int_equal(fds[0], -EBADF);
	(void)close(fds[1]);
	loop_free(l);
}

static void test_epoll_both_directions_of_one_descriptor(_unused_ void **state)
{
	struct loop *l = epoll_loop();
	struct probe in = { 0 }, out = { 0 };
	static char block[1 << 20], sink[1 << 20];
	char c;
	int fds[2];

	pair(fds);
	while (write(fds[0], block, sizeof(block)) > 0)
		;
	in.op.io.p = &c;
	in.op.io.n = 1;
	out.op.io.p = block;
	out.op.io.n = 1;
	probe_submit(&in, l, OP_RECV, fds[0], NSEC_NEVER);
	probe_submit(&out, l, OP_SEND, fds[0], NSEC_NEVER);
	assert_int_equal(loop_turn(l, 0), 0);
	assert_int_equal(in.done + out.done, 0);
	while (read(fds[1], sink, sizeof(sink)) > 0)
		;
	turn_until(l, &out, 1);
	assert_int_equal(out.res, 1);
	assert_int_equal(in.done, 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	turn_until(l, &in, 1);
	loop_close(l, &fds[0]);
	(void)close(fds[1]);
	loop_free(l);
}

static void test_epoll_deadline_and_cancel(_unused_ void **state)
{
	struct loop *l = epoll_loop();
	struct probe p = { 0 };
	int fds[2];

	pair(fds);
	probe_submit(&p, l, OP_POLL_IN, fds[0], loop_now(l) + 20 * NSEC_PER_MSEC);
	turn_until(l, &p, 1);
	assert_int_equal(p.res, -ETIME);
	probe_submit(&p, l, OP_POLL_IN, fds[0], NSEC_NEVER);
	loop_cancel(l, &p.op);
	assert_int_equal(p.done, 1);
	turn_until(l, &p, 2);
	assert_int_equal(p.res, -ECANCELED);
	/* The place in the table is free again. */
	assert_int_equal(write(fds[1], "x", 1), 1);
	probe_submit(&p, l, OP_POLL_IN, fds[0], NSEC_NEVER);
	turn_until(l, &p, 3);
	assert_int_equal(p.res, 0);
	loop_close(l, &fds[0]);
	(void)close(fds[1]);
	loop_free(l);
}

/*
 * A short read and OP_WOULD_BLOCK, with an end that had arrived before the read: no edge follows,
 * and still the op must not wait.
 */
static void test_epoll_would_block_does_not_miss_an_end(_unused_ void **state)
{
	struct loop *l = epoll_loop();
	struct probe p = { 0 };
	char buf[16];
	int fds[2];

	pair(fds);
	probe_submit(&p, l, OP_POLL_IN, fds[0], NSEC_NEVER);
	assert_int_equal(loop_turn(l, 0), 0);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	(void)shutdown(fds[1], SHUT_WR);
	turn_until(l, &p, 1);
	assert_int_equal(recv(fds[0], buf, sizeof(buf), 0), 3);
	p.op.flags = OP_WOULD_BLOCK;
	probe_submit(&p, l, OP_POLL_IN, fds[0], NSEC_NEVER);
	turn_until(l, &p, 2);
	assert_int_equal(p.res, 0);
	loop_close(l, &fds[0]);
	(void)close(fds[1]);
	loop_free(l);
}

/* The number of a closed descriptor is given to the next one, whose first wait must register it
 * anew. */
static void test_epoll_number_is_reused(_unused_ void **state)
{
	struct loop *l = epoll_loop();
	struct probe p = { 0 };
	int first[2], second[2], number, keep;

	pair(first);
	probe_submit(&p, l, OP_POLL_IN, first[0], NSEC_NEVER);
	assert_int_equal(loop_turn(l, 0), 0);
	loop_cancel(l, &p.op);
	turn_until(l, &p, 1);
	/* The old one lives on under another number and goes on reporting. */
	keep = dup(first[0]);
	assert_true(keep >= 0);
	number = first[0];
	loop_close(l, &first[0]);
	pair(second);
	assert_int_equal(second[0], number);
	probe_submit(&p, l, OP_POLL_IN, second[0], NSEC_NEVER);
	assert_int_equal(write(first[1], "x", 1), 1);
	assert_int_equal(loop_turn(l, 20 * NSEC_PER_MSEC), 0);
	assert_int_equal(p.done, 1);
	assert_int_equal(write(second[1], "x", 1), 1);
	turn_until(l, &p, 2);
	assert_int_equal(p.res, 0);
	loop_close(l, &second[0]);
	(void)close(second[1]);
	(void)close(first[1]);
	(void)close(keep);
	loop_free(l);
}

static void test_epoll_regular_file_is_always_ready(_unused_ void **state)
{
	struct loop *l = epoll_loop();
	struct probe p = { 0 };
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	p.op.flags = OP_WOULD_BLOCK;
	probe_submit(&p, l, OP_POLL_IN, fd, NSEC_NEVER);
	turn_until(l, &p, 1);
	assert_int_equal(p.res, 0);
	loop_close(l, &fd);
	probe_submit(&p, l, OP_POLL_IN, -EBADF, NSEC_NEVER);
	turn_until(l, &p, 2);
	assert_int_equal(p.res, -EBADF);
	loop_free(l);
}

static int listener(struct sockaddr_in *sa)
{
	socklen_t n = sizeof(*sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*sa = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)sa, sizeof(*sa)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)sa, &n), 0);
	return fd;
}

static void test_epoll_connect_and_accept(_unused_ void **state)
{
	struct loop *l = epoll_loop();
	struct probe a = { 0 }, c = { 0 };
	struct sockaddr_in to;
	struct sockaddr_storage peer, sa = { 0 };
	int listening = listener(&to), fd, taken;

	a.op.name.sa = &peer;
	probe_submit(&a, l, OP_ACCEPT, listening, NSEC_NEVER);
	assert_int_equal(loop_turn(l, 0), 0);
	assert_int_equal(a.done, 0);
	fd = loop_socket(l, AF_INET, SOCK_STREAM);
	memcpy(&sa, &to, sizeof(to));
	c.op.name.sa = &sa;
	c.op.name.len = sizeof(to);
	probe_submit(&c, l, OP_CONNECT, fd, NSEC_NEVER);
	turn_until(l, &c, 1);
	turn_until(l, &a, 1);
	assert_int_equal(c.res, 0);
	taken = a.res;
	assert_true(taken >= 0);
	assert_true(fcntl(taken, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(taken, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(peer.ss_family, AF_INET);
	loop_reset(l, &fd);
	/* A reset, not a mere end. */
	c.op.io.p = &sa;
	c.op.io.n = 1;
	probe_submit(&c, l, OP_RECV, taken, NSEC_NEVER);
	turn_until(l, &c, 2);
	assert_int_equal(c.res, -ECONNRESET);
	loop_close(l, &taken);
	loop_close(l, &listening);
	/* And nobody listens now. */
	fd = loop_socket(l, AF_INET, SOCK_STREAM);
	c.op.name.sa = &sa;
	c.op.name.len = sizeof(to);
	memcpy(&sa, &to, sizeof(to));
	probe_submit(&c, l, OP_CONNECT, fd, NSEC_NEVER);
	turn_until(l, &c, 3);
	assert_int_equal(c.res, -ECONNREFUSED);
	loop_close(l, &fd);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_done_never_from_submit_or_complete),
		cmocka_unit_test(test_cancel_and_complete_others_from_done),
		cmocka_unit_test(test_record_freed_and_resubmitted_in_done),
		cmocka_unit_test(test_endless_completions_do_not_starve_the_back_end),
		cmocka_unit_test(test_deadline_cancels_in_the_back_end),
		cmocka_unit_test(test_deadlines_fire_in_order),
		cmocka_unit_test(test_run_ends_when_stopped_and_nothing_is_queued),
		cmocka_unit_test(test_epoll_recv_now_later_eof),
		cmocka_unit_test(test_epoll_both_directions_of_one_descriptor),
		cmocka_unit_test(test_epoll_deadline_and_cancel),
		cmocka_unit_test(test_epoll_would_block_does_not_miss_an_end),
		cmocka_unit_test(test_epoll_number_is_reused),
		cmocka_unit_test(test_epoll_regular_file_is_always_ready),
		cmocka_unit_test(test_epoll_connect_and_accept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
