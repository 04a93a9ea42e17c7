/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coroutines write down what they saw; asserting is done after the loop has returned.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/verbs.h"

static char trace[4096];

static void note(const char *what)
{
	strncat(trace, what, sizeof(trace) - strlen(trace) - 1);
}

static struct loop *new_loop(void)
{
	struct loop *l = NULL;

	trace[0] = '\0';
	assert_int_equal(loop_new(&loop_epoll, NULL, &l), 0);
	return l;
}

/* Turns until no coroutine lives; bounded, so that a failure is not a hang. */
static void run_all(struct loop *l)
{
	for (int i = 0; i < 5000 && co_count(l) > 0; i++)
		assert_int_equal(loop_turn(l, 10 * NSEC_PER_MSEC), 0);
	assert_int_equal(co_count(l), 0);
	assert_int_equal(loop_inflight(l), 0);
}

static void yield(void)
{
	(void)io_sleep(loop_now(co_loop()));
}

static void say_twice(void *arg)
{
	note(arg);
	yield();
	note(arg);
}

static void test_order(_unused_ void **state)
{
	struct loop *l = new_loop();
	char a[] = "a", b[] = "b";

	assert_int_equal(co_spawn(l, say_twice, a, NULL), 0);
	assert_int_equal(co_spawn(l, say_twice, b, NULL), 0);
	assert_string_equal(trace, ""); /* it starts from the loop */
	assert_int_equal(co_count(l), 2);
	run_all(l);
	assert_string_equal(trace, "abab");
	assert_null(co_self());
	loop_free(l);
}

struct nest {
	int depth;
	struct event_slot slot;
};

static void nest_run(void *arg)
{
	struct nest *n = arg;
	struct nest child = { .depth = n->depth - 1 };
	struct co *self = co_self(), *co;

	note("(");
	event_slot_init(&child.slot, co_loop());
	if (child.depth > 0) {
		if (co_spawn(co_loop(), nest_run, &child, &co) < 0)
			note("spawn failed");
		else
			(void)event_slot_wait(&child.slot, NSEC_NEVER);
	}
	note(self == co_self() ? ")" : "lost myself");
	event_slot_set(&n->slot);
}

static void test_coroutine_waits_for_another(_unused_ void **state)
{
	struct loop *l = new_loop();
	struct nest top = { .depth = 4 };
	struct co *co;

	event_slot_init(&top.slot, l);
	assert_int_equal(co_spawn(l, nest_run, &top, &co), 0);
	run_all(l);
	assert_string_equal(trace, "(((())))");
	loop_free(l);
}

struct cancel_case {
	int before, after, sleep, slot;
	bool cancelled;
	int fd;
	struct event_slot never;
	int cleaned;
};

static void count_clean(struct cancel_case **c)
{
	(*c)->cleaned++;
}

/* Each wait in a frame of its own, with something to clean up. */
static int wait_deep(struct cancel_case *c, int depth)
{
	_cleanup_(count_clean) struct cancel_case *scope = c;
	char byte;

	if (depth > 0)
		return wait_deep(scope, depth - 1);
	return (int)io_recv(c->fd, &byte, 1, NSEC_NEVER);
}

static void cancel_run(void *arg)
{
	struct cancel_case *c = arg;

	c->before = co_cancelled();
	c->after = wait_deep(c, 5);
	c->sleep = io_sleep(loop_now(co_loop()) + NSEC_PER_SEC);
	c->slot = event_slot_wait(&c->never, NSEC_NEVER);
	c->cancelled = co_cancelled();
}

static void cancel_case(int turns, bool expect_before)
{
	struct loop *l = new_loop();
	struct cancel_case c = { 0 };
	struct co *co;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	event_slot_init(&c.never, l);
	c.fd = fds[0];
	assert_int_equal(co_spawn(l, cancel_run, &c, &co), 0);
	for (int i = 0; i < turns; i++)
		assert_int_equal(loop_turn(l, 0), 0);
	co_cancel(co);
	co_cancel(co); /* twice is once */
	assert_int_equal(co_count(l), 1);
	run_all(l);
	assert_int_equal(c.before, expect_before);
	assert_int_equal(c.after, -ECANCELED);
	assert_int_equal(c.sleep, -ECANCELED);
	assert_int_equal(c.slot, -ECANCELED);
	assert_true(c.cancelled);
	assert_int_equal(c.cleaned, 6);
	loop_close(l, &fds[0]);
	(void)close(fds[1]);
	loop_free(l);
}

static void test_cancel_before_start(_unused_ void **state)
{
	cancel_case(0, true);
}

static void test_cancel_while_parked(_unused_ void **state)
{
	cancel_case(2, false);
}

static void cancel_other(void *arg)
{
	co_cancel(arg);
}

/* A result that is there already is not lost to a cancellation; only the next verb is refused. */
static void test_cancel_after_the_op_is_done(_unused_ void **state)
{
	struct loop *l = new_loop();
	struct cancel_case c = { 0 };
	struct co *co;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	event_slot_init(&c.never, l);
	c.fd = fds[0];
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(co_spawn(l, cancel_run, &c, &co), 0);
	/* The coroutine's recv completes at once, in the queue behind this one. */
	assert_int_equal(co_spawn(l, cancel_other, co, NULL), 0);
	run_all(l);
	assert_int_equal(c.after, 1);
	assert_int_equal(c.sleep, -ECANCELED);
	loop_close(l, &fds[0]);
	(void)close(fds[1]);
	loop_free(l);
}

static void cancel_self(void *arg)
{
	int *r = arg;

	co_cancel(co_self());
	*r = io_sleep(0);
}

static void test_cancel_oneself(_unused_ void **state)
{
	struct loop *l = new_loop();
	struct co *co;
	int r = 1;

	assert_int_equal(co_spawn(l, cancel_self, &r, &co), 0);
	run_all(l);
	assert_int_equal(r, -ECANCELED);
	loop_free(l);
}

struct collect {
	struct event_slot slot;
	struct co *helper;
	int waited;
};

static void helper_run(void *arg)
{
	struct collect *c = arg;

	yield();
	yield();
	event_slot_set(&c->slot);
}

static void collect_run(void *arg)
{
	struct collect *c = arg;

	c->waited = event_slot_wait(&c->slot, NSEC_NEVER);
	event_slot_wait_uncancelled(&c->slot);
	note("collected");
}

static void test_collecting_goes_on_when_cancelled(_unused_ void **state)
{
	struct loop *l = new_loop();
	struct collect c = { 0 };
	struct co *co;

	event_slot_init(&c.slot, l);
	assert_int_equal(co_spawn(l, collect_run, &c, &co), 0);
	assert_int_equal(loop_turn(l, 0), 0);
	co_cancel(co);
	assert_int_equal(co_spawn(l, helper_run, &c, &c.helper), 0);
	run_all(l);
	assert_int_equal(c.waited, -ECANCELED);
	assert_string_equal(trace, "collected");
	loop_free(l);
}

/* Locals of many coroutines stay apart over many switches, deep in their stacks; stacks are used
 * again. */
struct mix {
	unsigned int seed;
	bool ok;
};

static uint64_t churn(unsigned int seed, int depth)
{
	volatile uint64_t mine[16];
	uint64_t below;

	for (int i = 0; i < 16; i++)
		mine[i] = (uint64_t)seed * 31 + (uint64_t)(depth * 16 + i);
	below = depth > 0 ? churn(seed, depth - 1) : 0;
	yield();
	for (int i = 0; i < 16; i++)
		below += mine[i];
	return below;
}

static uint64_t churn_expected(unsigned int seed, int depth)
{
	uint64_t sum = 0;

	for (int d = 0; d <= depth; d++)
		for (int i = 0; i < 16; i++)
			sum += (uint64_t)seed * 31 + (uint64_t)(d * 16 + i);
	return sum;
}

static void mix_run(void *arg)
{
	struct mix *m = arg;
	double half = 0.5 * m->seed; /* floating point survives too */

	m->ok = churn(m->seed, 20) == churn_expected(m->seed, 20) && half * 2 == m->seed;
}

static void test_many_at_once_and_again(_unused_ void **state)
{
	enum { N = 150 };
	struct loop *l = new_loop();
	static struct mix m[N];

	for (int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < N; i++) {
			m[i] = (struct mix){ .seed = i + 1 };
			assert_int_equal(co_spawn(l, mix_run, &m[i], NULL), 0);
		}
		assert_int_equal(co_count(l), N);
		run_all(l);
		for (int i = 0; i < N; i++)
			assert_true(m[i].ok);
	}
#ifdef NONO_DEBUG
	assert_in_range(co_stack_high_water(), 20 * 128, 256 * 1024);
#endif
	loop_free(l);
}

static void slot_timeout(void *arg)
{
	struct event_slot *e = arg;
	int r = event_slot_wait(e, loop_now(co_loop()) + NSEC_PER_MSEC);

	note(r == -ETIME ? "time " : "? ");
	event_slot_set(e);
	note(event_slot_wait(e, NSEC_NEVER) == 0 ? "set " : "? ");
	r = event_slot_wait(e, loop_now(co_loop()) + NSEC_PER_MSEC);
	note(r == -ETIME ? "cleared" : "?");
}

static void test_event_slot(_unused_ void **state)
{
	struct loop *l = new_loop();
	struct event_slot e;

	event_slot_init(&e, l);
	assert_int_equal(co_spawn(l, slot_timeout, &e, NULL), 0);
	run_all(l);
	assert_string_equal(trace, "time set cleared");
	loop_free(l);
}

#if defined(__SANITIZE_ADDRESS__)
#define STACK_SIZE (256 * 1024)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACK_SIZE (256 * 1024)
#endif
#endif
#ifndef STACK_SIZE
#define STACK_SIZE (64 * 1024)
#endif

/* Goes just as deep as is needed to step out of the stack at its end, and no further. */
static __attribute__((noinline)) int overflow(uintptr_t top)
{
	volatile char frame[2048];
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	frame[0] = (char)here;
	if (top - here > STACK_SIZE + 4096)
		return frame[0];
	return overflow(top) + frame[0];
}

static void overflow_run(void *arg)
{
	*(int *)arg = overflow((uintptr_t)__builtin_frame_address(0));
}

/* The guard page turns an overflow into a death, not into writing over a neighbour. */
static void test_overflow_hits_the_guard_page(_unused_ void **state)
{
	int status = 0, out;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit none = { 0, 0 };
		struct loop *l = NULL;

		(void)setrlimit(RLIMIT_CORE, &none);
		(void)close(STDERR_FILENO); /* the sanitizer's report is expected */
		(void)signal(SIGSEGV, SIG_DFL);
		if (loop_new(&loop_epoll, NULL, &l) < 0 ||
		    co_spawn(l, overflow_run, &out, NULL) < 0)
			_exit(1);
		_exit(loop_turn(l, 0) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_coroutine_waits_for_another),
		cmocka_unit_test(test_cancel_before_start),
		cmocka_unit_test(test_cancel_while_parked),
		cmocka_unit_test(test_cancel_after_the_op_is_done),
		cmocka_unit_test(test_cancel_oneself),
		cmocka_unit_test(test_collecting_goes_on_when_cancelled),
		cmocka_unit_test(test_many_at_once_and_again),
		cmocka_unit_test(test_event_slot),
		cmocka_unit_test(test_overflow_hits_the_guard_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
