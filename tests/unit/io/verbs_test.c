/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs over scripted peers; each case is one coroutine that fills in what came of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "io/verbs.h"
#include "tests/support/script.h"

struct verb_case {
	int fd;
	struct endpoint to, peer;
	ssize_t r, r2;
	char bytes[64];
	struct buf buf;
	size_t limit;
	nsec_t patience;
	struct sockaddr_storage from;
	socklen_t from_len;
	nsec_t took;
	bool done;
};

static void run_one(struct script *s, void (*fn)(void *), struct verb_case *c)
{
	nsec_t start = loop_now(script_loop(s));
	int r;

	assert_int_equal(co_spawn(script_loop(s), fn, c, NULL), 0);
	r = script_run(s);
	assert_true(r == 0 || r == -EDEADLK);
	assert_int_equal(co_count(script_loop(s)), 0);
	assert_true(c->done);
	c->took = loop_now(script_loop(s)) - start;
}

static nsec_t deadline_of(const struct verb_case *c)
{
	return c->patience ? loop_now(co_loop()) + c->patience : NSEC_NEVER;
}

static void recv_exact(void *arg)
{
	struct verb_case *c = arg;

	c->r = io_recv_exact(c->fd, c->bytes, 10, deadline_of(c));
	c->done = true;
}

static void test_recv_exact(_unused_ void **state)
{
	static const struct script_step dribble[] = { SCRIPT_SEND_IN("0123456789ab", 3),
						      SCRIPT_END };
	static const struct script_step early_end[] = { SCRIPT_SEND("0123"), SCRIPT_EOF,
							SCRIPT_END };
	static const struct script_step silence[] = { SCRIPT_SEND("0123"), SCRIPT_END };
	static const struct script_step reset[] = { SCRIPT_SEND("0123"), SCRIPT_RESET, SCRIPT_END };
	static const struct {
		const struct script_step *steps;
		int result;
		const char *why;
	} rows[] = {
		{ early_end, -ECONNRESET, "an end before the last byte" },
		{ silence, -ETIME, "a peer that stops in the middle" },
		{ reset, -ECONNRESET, "a reset" },
		{ dribble, 0, "in pieces" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct script *s = script_new();
		struct verb_case c = { .patience = 3 * NSEC_PER_SEC };

		c.fd = script_peer_fd(script_pair(s, rows[i].steps));
		run_one(s, recv_exact, &c);
		if (c.r != rows[i].result)
			fail_msg("%s: %d", rows[i].why, (int)c.r);
		if (c.r == 0)
			assert_memory_equal(c.bytes, "0123456789", 10);
		assert_int_equal(c.took, c.r == -ETIME ? 3 * NSEC_PER_SEC : 0);
		loop_close(script_loop(s), &c.fd);
		script_free(s);
	}
}

static void recv_buf(void *arg)
{
	struct verb_case *c = arg;

	c->r = io_recv_buf(c->fd, &c->buf, c->limit, NSEC_NEVER);
	c->r2 = io_recv_buf(c->fd, &c->buf, c->limit, NSEC_NEVER);
	c->done = true;
}

static void test_recv_buf_keeps_its_caps(_unused_ void **state)
{
	static const struct script_step steps[] = { SCRIPT_SEND("0123456789"), SCRIPT_END };
	static const struct {
		size_t max, limit;
		ssize_t first, second;
	} rows[] = {
		{ 8, 100, 8, -ENOSPC }, /* the buffer's */
		{ 100, 4, 4, 4 },	/* the caller's */
		{ 6, 4, 4, 2 },
		{ 0, 4, -ENOSPC, -ENOSPC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct script *s = script_new();
		struct verb_case c = { .limit = rows[i].limit };

		buf_init(&c.buf, rows[i].max);
		c.fd = script_peer_fd(script_pair(s, steps));
		run_one(s, recv_buf, &c);
		assert_int_equal(c.r, rows[i].first);
		assert_int_equal(c.r2, rows[i].second);
		if (buf_len(&c.buf) > 0)
			assert_memory_equal(buf_data(&c.buf), "0123456789", buf_len(&c.buf));
		buf_done(&c.buf);
		loop_close(script_loop(s), &c.fd);
		script_free(s);
	}
}

static void send_all(void *arg)
{
	struct verb_case *c = arg;

	c->r = io_send_all(c->fd, "0123456789", 10, deadline_of(c));
	c->done = true;
}

static void test_send_all_in_pieces(_unused_ void **state)
{
	static const struct script_step slow[] = { SCRIPT_WINDOW(3), SCRIPT_DELAY(20),
						   SCRIPT_WINDOW(6), SCRIPT_DELAY(20),
						   SCRIPT_WINDOW(6), SCRIPT_END };
	static const struct script_step stuck[] = { SCRIPT_WINDOW(3), SCRIPT_END };
	static const struct script_step gone[] = { SCRIPT_WINDOW(3), SCRIPT_DELAY(20), SCRIPT_RESET,
						   SCRIPT_END };
	static const struct {
		const struct script_step *steps;
		int result;
		size_t sent;
	} rows[] = { { stuck, -ETIME, 3 }, { gone, -ECONNRESET, 3 }, { slow, 0, 10 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct script *s = script_new();
		struct script_peer *p = script_pair(s, rows[i].steps);
		struct verb_case c = { .fd = script_peer_fd(p), .patience = NSEC_PER_SEC };

		run_one(s, send_all, &c);
		assert_int_equal(c.r, rows[i].result);
		assert_int_equal(script_sent(p).n, rows[i].sent);
		assert_memory_equal(script_sent(p).p, "0123456789", rows[i].sent);
		loop_close(script_loop(s), &c.fd);
		script_free(s);
	}
}

static void connect_case(void *arg)
{
	struct verb_case *c = arg;

	c->fd = io_connect(&c->to, deadline_of(c));
	c->r = c->fd < 0 ? c->fd : io_recv(c->fd, c->bytes, sizeof(c->bytes), NSEC_NEVER);
	c->done = true;
}

static void test_connect(_unused_ void **state)
{
	static const struct script_step hello[] = { SCRIPT_SEND("hello"), SCRIPT_END };
	static const struct {
		enum script_behaviour behaviour;
		unsigned int delay;
		int result;
		nsec_t took;
	} rows[] = {
		{ SCRIPT_REFUSES, 0, -ECONNREFUSED, 0 },
		{ SCRIPT_REFUSES, 30, -ECONNREFUSED, 30 * NSEC_PER_MSEC },
		{ SCRIPT_UNREACHABLE, 0, -EHOSTUNREACH, 0 },
		{ SCRIPT_BLACK_HOLE, 0, -ETIME, 5 * NSEC_PER_SEC },
		{ SCRIPT_ACCEPTS, 6000, -ETIME, 5 * NSEC_PER_SEC },
		{ SCRIPT_ACCEPTS, 40, 5, 40 * NSEC_PER_MSEC },
		{ SCRIPT_ACCEPTS, 0, 5, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct script *s = script_new();
		struct script_server *srv = script_server(s, "192.0.2.1:443", rows[i].behaviour,
							  hello);
		struct verb_case c = { .patience = 5 * NSEC_PER_SEC, .to.port = 443 };

		script_server_delay(srv, rows[i].delay);
		assert_true(addr_parse(STR_LIT("192.0.2.1"), &c.to.addr));
		run_one(s, connect_case, &c);
		assert_int_equal(c.r, rows[i].result);
		assert_int_equal(c.took, rows[i].took);
		assert_string_equal(script_dialled(s, 0), "192.0.2.1:443");
		assert_null(script_dialled(s, 1));
		assert_int_equal(script_server_count(srv), c.r > 0);
		loop_close(script_loop(s), &c.fd);
		script_free(s);
	}
}

static void test_connect_fails_at_each_step(_unused_ void **state)
{
	for (unsigned int nth = 1; nth <= 4; nth++) {
		struct script *s = script_new();
		struct verb_case c = { .to.port = 443 };

		(void)script_server(s, "127.0.0.1:443", SCRIPT_REFUSES, NULL);
		assert_true(addr_parse(STR_LIT("127.0.0.1"), &c.to.addr));
		script_fail_nth(s, nth, ENOMEM);
		run_one(s, connect_case, &c);
		assert_true(c.r == -ENOMEM || c.r == -ECONNREFUSED);
		assert_int_equal(script_open_fds(s), 0);
		script_free(s);
	}
}

static void accept_case(void *arg)
{
	struct verb_case *c = arg;

	c->r = io_accept(c->fd, &c->peer, deadline_of(c));
	c->done = true;
}

static void test_accept(_unused_ void **state)
{
	struct script *s = script_new();
	struct verb_case c = { .fd = script_listener(s, "10.0.0.1:3128"),
			       .patience = NSEC_PER_SEC };
	char text[ENDPOINT_TEXT_MAX];
	int fd;

	run_one(s, accept_case, &c);
	assert_int_equal(c.r, -ETIME);
	(void)script_client(s, c.fd, "[2001:db8::7]:40001", NULL);
	script_fail_nth(s, 1, EMFILE);
	run_one(s, accept_case, &c);
	assert_int_equal(c.r, -EMFILE); /* the connection still waits */
	run_one(s, accept_case, &c);
	assert_true(c.r >= 0);
	assert_string_equal(endpoint_text(&c.peer, text), "[2001:db8::7]:40001");
	fd = (int)c.r;
	loop_close(script_loop(s), &fd);
	loop_close(script_loop(s), &c.fd);
	script_free(s);
}

static void linger_case(void *arg)
{
	struct verb_case *c = arg;

	(void)io_send_all(c->fd, "bye", 3, NSEC_NEVER);
	io_linger_close(&c->fd, 1000, loop_now(co_loop()) + 2 * NSEC_PER_SEC);
	c->done = true;
}

static void test_linger_close(_unused_ void **state)
{
	static const struct script_step polite[] = { SCRIPT_EXPECT_EOF, SCRIPT_SEND("ok"),
						     SCRIPT_EOF, SCRIPT_END };
	static const struct script_step deaf[] = { SCRIPT_FILL(1000000, 100), SCRIPT_END };
	static const struct script_step silent[] = { SCRIPT_SEND("x"), SCRIPT_END };
	static const struct script_step gone[] = { SCRIPT_EXPECT_EOF, SCRIPT_RESET, SCRIPT_END };
	static const struct {
		const struct script_step *steps;
		bool reset;
		nsec_t took;
		const char *why;
	} rows[] = {
		{ deaf, true, 0, "goes on sending" },
		{ silent, false, 2 * NSEC_PER_SEC, "never closes" },
		{ gone, false, 0, "resets" },
		{ polite, false, 0, "says goodbye too" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct script *s = script_new();
		struct script_peer *p = script_pair(s, rows[i].steps);
		struct verb_case c = { .fd = script_peer_fd(p) };

		run_one(s, linger_case, &c);
		if (script_sent_reset(p) != rows[i].reset || !script_sent_eof(p) ||
		    c.took != rows[i].took)
			fail_msg("%s", rows[i].why);
		assert_int_equal(c.fd, -EBADF);
		assert_int_equal(script_sent(p).n, 3);
		script_free(s);
	}
}

static void datagram_case(void *arg)
{
	struct verb_case *c = arg;

	c->r = io_recvfrom(c->fd, c->bytes, sizeof(c->bytes), &c->from, &c->from_len,
			   deadline_of(c));
	if (c->r >= 0)
		c->r2 = io_sendto(c->fd, c->bytes, (size_t)c->r, &c->from, c->from_len, NSEC_NEVER);
	c->done = true;
}

static void test_datagrams(_unused_ void **state)
{
	struct script *s = script_new();
	struct verb_case c = { .fd = script_udp(s, "127.0.0.1:53"), .patience = NSEC_PER_SEC };
	struct endpoint to;
	char text[ENDPOINT_TEXT_MAX];

	run_one(s, datagram_case, &c);
	assert_int_equal(c.r, -ETIME);
	script_datagram(s, c.fd, "127.0.0.9:5000", "query", 5);
	run_one(s, datagram_case, &c);
	assert_int_equal(c.r, 5);
	assert_int_equal(c.r2, 5);
	assert_true(str_eq(script_datagram_sent(s, 0, &to), STR_LIT("query")));
	assert_string_equal(endpoint_text(&to, text), "127.0.0.9:5000");
	assert_null(script_datagram_sent(s, 1, NULL).p);
	loop_close(script_loop(s), &c.fd);
	script_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recv_exact),
		cmocka_unit_test(test_recv_buf_keeps_its_caps),
		cmocka_unit_test(test_send_all_in_pieces),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_connect_fails_at_each_step),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_linger_close),
		cmocka_unit_test(test_datagrams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
