/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the supervisor for sockets: who gets which, what comes too late, and how much is asked at a time. The supervisor is the
 * test; what it hands out are pipes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/inside.h"

#define ASKERS	  200
#define SENT_MOST 32
#define PENDING	  (-7777)

struct asker {
	struct inside *inside;
	struct co *co;
	nsec_t deadline;
	uint8_t family;
	int result;
};

static struct {
	struct loop *loop;
	struct inside inside;
	int supervisor, proxy;
	struct asker askers[ASKERS];
	size_t open_before;
} t;

static size_t count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static int setup(_unused_ void **state)
{
	int pair[2];

	t.open_before = count_open();
	assert_int_equal(channel_pair(pair), 0);
	t.supervisor = pair[0];
	t.proxy = pair[1];
	assert_int_equal(loop_new(&loop_epoll, NULL, &t.loop), 0);
	inside_init(&t.inside, t.loop, t.proxy);
	return 0;
}

static int teardown(_unused_ void **state)
{
	assert_int_equal(co_count(t.loop), 0);
	assert_true(list_empty(&t.inside.asks));
	loop_free(t.loop);
	if (t.supervisor >= 0)
		(void)close(t.supervisor);
	(void)close(t.proxy);
	assert_int_equal(count_open(), t.open_before);
	return 0;
}

static void ask_run(void *arg)
{
	struct asker *a = arg;

	a->result = inside_socket(a->inside, a->family, a->deadline);
	a->co = NULL;
}

static struct asker *ask(size_t i, uint8_t family, nsec_t deadline)
{
	struct asker *a = &t.askers[i];

	*a = (struct asker){ &t.inside, NULL, deadline, family, PENDING };
	assert_int_equal(co_spawn(t.loop, ask_run, a, &a->co), 0);
	return a;
}

static void turns(void)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(loop_turn(t.loop, 0), 0);
}

/* The next question; false: there is none. */
static bool asked(struct socket_wanted *ret)
{
	struct message m = MESSAGE_INIT;
	bool is = fcntl(t.supervisor, F_SETFL, O_NONBLOCK) == 0 &&
		  channel_recv(t.supervisor, &m) == 0;

	if (is)
		assert_int_equal(socket_wanted_get(&m, ret), 0);
	message_done(&m);
	return is;
}

static size_t drop_questions(void)
{
	struct socket_wanted w;
	size_t n = 0;

	while (asked(&w))
		n++;
	return n;
}

static void take(void)
{
	struct message m = MESSAGE_INIT;

	assert_int_equal(channel_recv(t.proxy, &m), 0);
	assert_int_equal(inside_take(&t.inside, &m), 0);
	message_done(&m);
}

/* Answers with a descriptor, and returns what kind of file it is known by. */
static ino_t give(uint32_t number)
{
	struct buf body = BUF_INIT(8);
	struct stat st;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fstat(fds[0], &st), 0);
	assert_int_equal(socket_note_put(&body, &(struct socket_note){ number, 0 }), 0);
	assert_int_equal(channel_send(t.supervisor, MSG_SOCKET, buf_str(&body), fds, 1), 0);
	buf_done(&body);
	(void)close(fds[0]);
	(void)close(fds[1]);
	take();
	return st.st_ino;
}

static void deny(uint32_t number, int error)
{
	struct buf body = BUF_INIT(8);

	assert_int_equal(socket_note_put(&body, &(struct socket_note){ number, error }), 0);
	assert_int_equal(channel_send(t.supervisor, MSG_SOCKET, buf_str(&body), NULL, 0), 0);
	buf_done(&body);
	take();
}

static void expect_got(struct asker *a, ino_t what)
{
	struct stat st;

	turns();
	assert_true(a->result >= 0);
	assert_int_equal(fstat(a->result, &st), 0);
	assert_true(st.st_ino == what);
	(void)close(a->result);
}

/* Answers in another order than the questions': each gets its own. */
static void test_each_gets_its_own(_unused_ void **state)
{
	struct asker *a = ask(0, 4, NSEC_NEVER), *b = ask(1, 6, NSEC_NEVER),
		     *c = ask(2, 4, NSEC_NEVER);
	struct socket_wanted w[3];
	ino_t second;

	turns();
	for (int i = 0; i < 3; i++)
		assert_true(asked(&w[i]));
	assert_int_equal(w[0].family, 4);
	assert_int_equal(w[1].family, 6);
	second = give(w[1].number);
	expect_got(b, second);
	assert_int_equal(a->result, PENDING);
	deny(w[2].number, EMFILE);
	expect_got(a, give(w[0].number));
	assert_int_equal(c->result, -EMFILE);
}

static void test_answers_that_nobody_waits_for_are_closed(_unused_ void **state)
{
	struct asker *late = ask(0, 4, 0), *gone = ask(1, 4, NSEC_NEVER),
		     *both = ask(2, 4, NSEC_NEVER);
	struct socket_wanted w[3];

	turns();
	assert_int_equal(late->result, -ETIME);
	for (int i = 0; i < 3; i++)
		assert_true(asked(&w[i]));
	co_cancel(gone->co);
	turns();
	assert_int_equal(gone->result, -ECANCELED);
	(void)give(w[0].number);
	(void)give(w[1].number);
	(void)give(4711);
	/* Cancelled and answered in one turn. */
	co_cancel(both->co);
	(void)give(w[2].number);
	turns();
	assert_int_equal(both->result, -ECANCELED);
	assert_int_equal(t.inside.sent, 0);
}

static void test_few_are_asked_for_at_a_time(_unused_ void **state)
{
	struct socket_wanted w;
	size_t served = 0;

	for (size_t i = 0; i < ASKERS; i++)
		(void)ask(i, 4, NSEC_NEVER);
	turns();
	while (asked(&w)) {
		/* In the order in which they came. */
		assert_int_equal(w.number, served + 1);
		assert_true(t.inside.sent <= SENT_MOST);
		expect_got(&t.askers[served++], give(w.number));
	}
	assert_int_equal(served, ASKERS);
}

static void test_one_that_is_cancelled_makes_room_when_its_answer_comes(_unused_ void **state)
{
	struct socket_wanted w[SENT_MOST], last;
	struct asker *next;

	for (size_t i = 0; i < SENT_MOST; i++)
		(void)ask(i, 4, NSEC_NEVER);
	next = ask(SENT_MOST, 6, NSEC_NEVER);
	turns();
	for (size_t i = 0; i < SENT_MOST; i++)
		assert_true(asked(&w[i]));
	for (size_t i = 0; i < SENT_MOST; i++)
		co_cancel(t.askers[i].co);
	turns();
	assert_false(asked(&last));
	(void)give(w[0].number);
	assert_true(asked(&last));
	assert_int_equal(last.family, 6);
	expect_got(next, give(last.number));
}

static void test_end(_unused_ void **state)
{
	struct asker *a = ask(0, 4, NSEC_NEVER), *b;

	turns();
	inside_end(&t.inside);
	turns();
	assert_int_equal(a->result, -ECANCELED);
	b = ask(1, 4, NSEC_NEVER);
	turns();
	assert_int_equal(b->result, -ECANCELED);
	assert_int_equal(drop_questions(), 1);
}

static void test_supervisor_that_is_gone(_unused_ void **state)
{
	struct asker *a;

	(void)close(t.supervisor);
	t.supervisor = -EBADF;
	a = ask(0, 4, NSEC_NEVER);
	turns();
	assert_int_equal(a->result, -EPIPE);
}

/* Other messages have filled the channel: it is asked again later. */
static void test_full_channel(_unused_ void **state)
{
	struct asker *a;
	struct message m = MESSAGE_INIT;
	struct socket_wanted w;

	while (channel_try_send(t.proxy, MSG_READY, STR_LIT(""), NULL, 0) == 0)
		;
	a = ask(0, 4, NSEC_NEVER);
	turns();
	assert_int_equal(a->result, PENDING);
	assert_int_equal(fcntl(t.supervisor, F_SETFL, O_NONBLOCK), 0);
	/* The supervisor reads, and the question comes by itself. */
	do {
		int r = channel_recv(t.supervisor, &m);

		assert_true(r == 0 || r == -EAGAIN);
		if (r == -EAGAIN)
			assert_int_equal(loop_turn(t.loop, NSEC_PER_SEC), 0);
	} while (m.type != MSG_SOCKET_WANTED);
	assert_int_equal(socket_wanted_get(&m, &w), 0);
	message_done(&m);
	expect_got(a, give(w.number));
}

#define on_loop(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_loop(test_each_gets_its_own),
		on_loop(test_answers_that_nobody_waits_for_are_closed),
		on_loop(test_few_are_asked_for_at_a_time),
		on_loop(test_one_that_is_cancelled_makes_room_when_its_answer_comes),
		on_loop(test_end),
		on_loop(test_supervisor_that_is_gone),
		on_loop(test_full_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
