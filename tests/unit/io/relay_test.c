/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relays between real sockets, the far ends being moved by hand between the turns of the loop; and
 * between scripted ones, where each operation fails once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/relay.h"
#include "tests/support/script.h"

#define CHUNK 65536

/* A far end: sends a known stream, checks that it receives another. */
struct far_end {
	int fd;
	uint32_t seed_out, seed_in;
	uint64_t to_send, sent, received;
	bool shut_when_sent, shut, eof, wrong;
	int error;
	size_t read_max; /* per pump; 0: all there is, SIZE_MAX: nothing */
};

struct rig {
	struct loop *loop;
	struct relay *relay;
	struct far_end client, server;
	bool over;
	enum relay_end end;
	uint64_t up, down;
};

static uint8_t stream_byte(uint32_t seed, uint64_t at)
{
	uint64_t x = (at / 7 + seed) * 0x9e3779b97f4a7c15u;

	return (uint8_t)(x >> 40) ^ (uint8_t)at;
}

static void ended(struct relay *r, void *arg)
{
	struct rig *g = arg;

	g->over = true;
	g->end = relay_end(r);
	g->up = relay_bytes(r, RELAY_UP);
	g->down = relay_bytes(r, RELAY_DOWN);
}

static void tcp_pair(int *a, int *b)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 128 * 1024;

	/* Small, so that back-pressure is seen soon. */
	assert_int_equal(setsockopt(l, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	assert_int_equal(bind(l, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &n), 0);
	*a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(*a, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(connect(*a, (struct sockaddr *)&sa, sizeof(sa)), 0);
	*b = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*b >= 0);
	assert_int_equal(fcntl(*a, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(*b, F_SETFL, O_NONBLOCK), 0);
	size = 1;
	(void)setsockopt(*a, IPPROTO_TCP, TCP_NODELAY, &size, sizeof(size));
	(void)setsockopt(*b, IPPROTO_TCP, TCP_NODELAY, &size, sizeof(size));
	(void)close(l);
}

static void unix_pair(int *a, int *b)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	*a = fds[0];
	*b = fds[1];
}

static void rig_new(struct rig *g, void (*make_pair)(int *, int *), nsec_t idle)
{
	int client, server;

	*g = (struct rig){ 0 };
	assert_int_equal(loop_new(&loop_epoll, NULL, &g->loop), 0);
	make_pair(&g->client.fd, &client);
	make_pair(&g->server.fd, &server);
	g->client.seed_out = g->server.seed_in = 1;
	g->client.seed_in = g->server.seed_out = 2;
	g->relay = relay_new(g->loop, client, server, idle, ended, g);
	assert_non_null(g->relay);
}

static void rig_start(struct rig *g)
{
	assert_int_equal(relay_start(g->relay, RELAY_UP, NULL), 0);
	assert_int_equal(relay_start(g->relay, RELAY_DOWN, NULL), 0);
}

static void rig_free(struct rig *g)
{
	if (g->client.fd >= 0)
		(void)close(g->client.fd);
	if (g->server.fd >= 0)
		(void)close(g->server.fd);
	loop_free(g->loop);
}

static void pump_out(struct far_end *e)
{
	static uint8_t block[CHUNK];

	while (e->sent < e->to_send && !e->error) {
		size_t n = MIN(sizeof(block), e->to_send - e->sent);
		ssize_t k;

		for (size_t i = 0; i < n; i++)
			block[i] = stream_byte(e->seed_out, e->sent + i);
		k = send(e->fd, block, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k < 0 && errno == EAGAIN)
			return;
		if (k < 0)
			e->error = errno;
		else
			e->sent += (uint64_t)k;
	}
	if (e->shut_when_sent && !e->shut && e->sent == e->to_send) {
		e->shut = true;
		(void)shutdown(e->fd, SHUT_WR);
	}
}

static void pump_in(struct far_end *e)
{
	static uint8_t block[CHUNK];
	size_t left = e->read_max ? e->read_max : SIZE_MAX;

	while (!e->eof && !e->error && left > 0 && e->read_max != SIZE_MAX) {
		ssize_t k = recv(e->fd, block, MIN(sizeof(block), left), MSG_DONTWAIT);

		if (k < 0 && errno == EAGAIN)
			return;
		if (k < 0)
			e->error = errno;
		if (k == 0)
			e->eof = true;
		for (ssize_t i = 0; i < k; i++)
			e->wrong |= block[i] != stream_byte(e->seed_in, e->received + (uint64_t)i);
		if (k > 0) {
			e->received += (uint64_t)k;
			left -= (size_t)k;
		}
	}
}

static void pump(struct rig *g)
{
	if (g->client.fd >= 0) {
		pump_out(&g->client);
		pump_in(&g->client);
	}
	if (g->server.fd >= 0) {
		pump_out(&g->server);
		pump_in(&g->server);
	}
	assert_int_equal(loop_turn(g->loop, NSEC_PER_MSEC), 0);
}

/* Pumps until the relay is over; fails when nothing moves for some seconds. */
static void pump_to_the_end(struct rig *g)
{
	uint64_t last = 0;

	for (int quiet = 0; !g->over && quiet < 3000;) {
		uint64_t moved = g->client.received + g->server.received + g->client.sent +
				 g->server.sent;

		quiet = moved == last ? quiet + 1 : 0;
		last = moved;
		pump(g);
	}
	assert_true(g->over);
	pump_in(&g->client);
	pump_in(&g->server);
	assert_int_equal(loop_inflight(g->loop), 0);
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static void bulk(void (*make_pair)(int *, int *), uint64_t up, uint64_t down)
{
	struct rig g;
	int before = open_descriptors();

	rig_new(&g, make_pair, 60 * NSEC_PER_SEC);
	g.client.to_send = up;
	g.server.to_send = down;
	g.client.shut_when_sent = g.server.shut_when_sent = true;
	rig_start(&g);
	pump_to_the_end(&g);
	assert_int_equal(g.end, RELAY_EOF);
	assert_int_equal(g.server.received, up);
	assert_int_equal(g.client.received, down);
	assert_true(g.server.eof && g.client.eof);
	assert_false(g.server.wrong || g.client.wrong);
	assert_int_equal(g.up, up);
	assert_int_equal(g.down, down);
	rig_free(&g);
	assert_int_equal(open_descriptors(), before);
}

static void test_nothing_at_all(_unused_ void **state)
{
	bulk(tcp_pair, 0, 0);
}

static void test_sizes_around_the_thresholds(_unused_ void **state)
{
	static const uint64_t sizes[] = {
		1,	   CHUNK - 1,	  CHUNK,	CHUNK + 1, 2 * CHUNK - 1,
		2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK + 3
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		bulk(tcp_pair, sizes[i], 0);
		bulk(unix_pair, 0, sizes[i]);
		bulk(tcp_pair, sizes[i], sizes[ARRAY_SIZE(sizes) - 1 - i]);
	}
}

static void test_bulk_is_byte_exact(_unused_ void **state)
{
	bulk(tcp_pair, 64 << 20, 16 << 20);
	bulk(unix_pair, 8 << 20, 8 << 20);
}

/* ---- the splice path is really taken */

static struct loop_backend counting;
static size_t spliced, received_by_copy, pipes_made;
static int pipe_errno;

static ssize_t count_splice(struct loop *l, int from, int to, size_t n)
{
	ssize_t r = loop_epoll.splice(l, from, to, n);

	if (r > 0)
		spliced += (size_t)r;
	return r;
}

static ssize_t count_recv(struct loop *l, int fd, void *p, size_t n)
{
	ssize_t r = loop_epoll.recv(l, fd, p, n);

	if (r > 0)
		received_by_copy += (size_t)r;
	return r;
}

static int count_pipe(struct loop *l, int fds[2], size_t size)
{
	if (pipe_errno)
		return -pipe_errno;
	pipes_made++;
	return loop_epoll.pipe(l, fds, size);
}

static void counted_bulk(struct rig *g, uint64_t up)
{
	int client, server;

	counting = loop_epoll;
	counting.splice = count_splice;
	counting.recv = count_recv;
	counting.pipe = count_pipe;
	spliced = received_by_copy = pipes_made = 0;
	*g = (struct rig){ 0 };
	assert_int_equal(loop_new(&counting, NULL, &g->loop), 0);
	tcp_pair(&g->client.fd, &client);
	tcp_pair(&g->server.fd, &server);
	g->client.seed_out = g->server.seed_in = 1;
	g->client.seed_in = g->server.seed_out = 2;
	g->client.to_send = up;
	g->client.shut_when_sent = g->server.shut_when_sent = true;
	g->relay = relay_new(g->loop, client, server, 60 * NSEC_PER_SEC, ended, g);
	rig_start(g);
	pump_to_the_end(g);
	assert_int_equal(g->server.received, up);
	assert_false(g->server.wrong);
	rig_free(g);
}

static void test_bulk_is_spliced(_unused_ void **state)
{
	struct rig g;

	pipe_errno = 0;
	counted_bulk(&g, 32 << 20);
	/* Each byte counts twice, in and out. */
	assert_true(spliced > (size_t)(32 << 20));
	assert_int_equal(pipes_made, 1);
	assert_true(received_by_copy < (size_t)(16 << 20));
}

static void test_without_pipes_it_copies(_unused_ void **state)
{
	struct rig g;

	pipe_errno = EMFILE;
	counted_bulk(&g, 4 << 20);
	pipe_errno = 0;
	assert_int_equal(spliced, 0);
	assert_int_equal(received_by_copy, 4 << 20);
}

/* ---- back-pressure */

/* The kernel enlarges buffers as it sees fit, and acknowledges when it has time. */
static void pump_until_stuck(struct rig *g)
{
	uint64_t last = 0;

	for (int i = 0, still = 0; i < 20000 && still < 300; i++) {
		pump(g);
		still = g->client.sent == last ? still + 1 : 0;
		last = g->client.sent;
	}
}

static void test_slow_reader_stops_the_writer(_unused_ void **state)
{
	struct rig g;
	size_t heap;
	uint64_t stuck;

	rig_new(&g, tcp_pair, 60 * NSEC_PER_SEC);
	g.client.to_send = 64 << 20;
	g.client.shut_when_sent = true;
	g.server.read_max = SIZE_MAX;
	rig_start(&g);
	pump_until_stuck(&g);
	stuck = g.client.sent;
	heap = mallinfo2().uordblks;
	for (int i = 0; i < 100; i++)
		pump(&g);
	/* What the sockets hold, and no more; and not a byte of memory. */
	assert_int_equal(g.client.sent, stuck);
	assert_true(stuck < (uint64_t)(32 << 20));
	assert_true(mallinfo2().uordblks <= heap + 4096);
	/* The other direction is not held up. */
	g.server.to_send = 10000;
	for (int i = 0; i < 200 && g.client.received < 10000; i++)
		pump(&g);
	assert_int_equal(g.client.received, 10000);
	g.server.shut_when_sent = true;
	g.server.read_max = 300000;
	pump_to_the_end(&g);
	assert_int_equal(g.server.received, 64 << 20);
	assert_false(g.server.wrong || g.client.wrong);
	rig_free(&g);
}

/* ---- ends */

static void half_close(bool by_client)
{
	struct rig g;
	struct far_end *first, *second;

	rig_new(&g, tcp_pair, 60 * NSEC_PER_SEC);
	first = by_client ? &g.client : &g.server;
	second = by_client ? &g.server : &g.client;
	first->to_send = 5000;
	first->shut_when_sent = true;
	rig_start(&g);
	for (int i = 0; i < 2000 && !second->eof; i++)
		pump(&g);
	assert_true(second->eof);
	assert_int_equal(second->received, 5000);
	assert_false(g.over);
	/* The answer still comes, long after the question was closed. */
	second->to_send = 300000;
	second->shut_when_sent = true;
	pump_to_the_end(&g);
	assert_int_equal(g.end, RELAY_EOF);
	assert_int_equal(first->received, 300000);
	assert_false(first->wrong || second->wrong);
	rig_free(&g);
}

static void test_half_close_each_way(_unused_ void **state)
{
	half_close(true);
	half_close(false);
}

static void hard_reset(struct far_end *e)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	assert_int_equal(setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	(void)close(e->fd);
	e->fd = -1;
}

static void reset_by(bool by_client, uint64_t pending)
{
	struct rig g;
	struct far_end *other;
	int before = open_descriptors();

	rig_new(&g, tcp_pair, 60 * NSEC_PER_SEC);
	other = by_client ? &g.server : &g.client;
	other->to_send = pending;
	other->read_max = pending ? SIZE_MAX : 0;
	rig_start(&g);
	for (int i = 0; i < 30; i++)
		pump(&g);
	hard_reset(by_client ? &g.client : &g.server);
	other->to_send = other->sent;
	for (int i = 0; i < 2000 && !g.over; i++)
		pump(&g);
	assert_true(g.over);
	assert_int_equal(g.end, RELAY_RESET);
	other->read_max = 0;
	for (int i = 0; i < 100 && !other->error && !other->eof; i++)
		pump(&g);
	assert_int_equal(other->error, ECONNRESET); /* never a clean end */
	rig_free(&g);
	assert_int_equal(open_descriptors(), before);
}

static void test_reset_is_passed_on(_unused_ void **state)
{
	reset_by(true, 0);
	reset_by(false, 0);
	reset_by(true, 8 << 20); /* while bytes wait in the relay */
	reset_by(false, 8 << 20);
}

static void test_idle_time(_unused_ void **state)
{
	struct rig g;
	nsec_t start;

	rig_new(&g, tcp_pair, 50 * NSEC_PER_MSEC);
	rig_start(&g);
	start = loop_now(g.loop);
	/* Bytes put it off … */
	for (int i = 0; loop_now(g.loop) < start + 120 * NSEC_PER_MSEC && i < 1000; i++) {
		g.client.to_send++;
		pump(&g);
	}
	assert_false(g.over);
	/* … and silence ends it. */
	for (int i = 0; i < 2000 && !g.over; i++)
		pump(&g);
	assert_true(g.over);
	assert_int_equal(g.end, RELAY_TIMEOUT);
	rig_free(&g);
}

static void test_stop(_unused_ void **state)
{
	for (int turns = 0; turns < 3; turns++) {
		struct rig g;

		rig_new(&g, tcp_pair, 60 * NSEC_PER_SEC);
		if (turns > 0)
			rig_start(&g); /* also one that was never started */
		for (int i = 1; i < turns; i++)
			pump(&g);
		relay_stop(g.relay);
		relay_stop(g.relay);
		assert_false(g.over); /* it is told from the loop */
		for (int i = 0; i < 5 && !g.over; i++)
			assert_int_equal(loop_turn(g.loop, 0), 0);
		assert_true(g.over);
		assert_int_equal(g.end, RELAY_STOPPED);
		pump_in(&g.client);
		assert_int_equal(g.client.error, ECONNRESET);
		rig_free(&g);
	}
}

static void test_first_bytes_go_first(_unused_ void **state)
{
	struct rig g;
	struct buf first = BUF_INIT(200000);
	uint8_t *p = buf_reserve(&first, 100010);

	assert_non_null(p);
	for (size_t i = 0; i < 100000; i++)
		p[i + 10] = stream_byte(1, i);
	buf_commit(&first, 100010);
	buf_consume(&first, 10);
	rig_new(&g, tcp_pair, 60 * NSEC_PER_SEC);
	g.client.sent = 100000; /* what follows fits behind it */
	g.client.to_send = 400000;
	g.client.shut_when_sent = g.server.shut_when_sent = true;
	pump_out(&g.client);
	assert_int_equal(relay_start(g.relay, RELAY_DOWN, NULL), 0);
	assert_int_equal(relay_start(g.relay, RELAY_UP, &first), 0);
	assert_int_equal(buf_len(&first), 0);
	pump_to_the_end(&g);
	assert_int_equal(g.server.received, 400000);
	assert_false(g.server.wrong);
	assert_int_equal(g.up, 400000);
	buf_done(&first);
	rig_free(&g);
}

/* ---- scripted ends: the n-th operation fails */

struct sweep {
	struct loop *loop;
	struct relay *relay;
	bool over;
	enum relay_end end;
};

static void sweep_ended(struct relay *r, void *arg)
{
	struct sweep *w = arg;

	w->over = true;
	w->end = relay_end(r);
	loop_stop(w->loop);
}

static const struct script_step client_steps[] = {
	SCRIPT_SEND("hello"), SCRIPT_EXPECT(7), SCRIPT_FILL(400000, 0), SCRIPT_EOF, SCRIPT_END,
};

static const struct script_step server_steps[] = {
	SCRIPT_EXPECT(5),
	SCRIPT_SEND("welcome"),
	SCRIPT_WINDOW(1000),
	SCRIPT_DELAY(20),
	SCRIPT_WINDOW(SIZE_MAX),
	SCRIPT_EXPECT(400005),
	SCRIPT_FILL(300000, 70000),
	SCRIPT_EOF,
	SCRIPT_END,
};

static void scripted(unsigned int nth, int err, unsigned int *ret_ops)
{
	struct script *s = script_new();
	struct sweep g = { .loop = script_loop(s) };
	struct script_peer *client = script_pair(s, client_steps);
	struct script_peer *server = script_pair(s, server_steps);

	script_fail_nth(s, nth, err);
	g.relay = relay_new(g.loop, script_peer_fd(client), script_peer_fd(server), NSEC_PER_SEC,
			    sweep_ended, &g);
	assert_non_null(g.relay);
	assert_int_equal(relay_start(g.relay, RELAY_UP, NULL), 0);
	assert_int_equal(relay_start(g.relay, RELAY_DOWN, NULL), 0);
	assert_int_equal(script_run(s), 0);
	assert_true(g.over);
	*ret_ops = script_ops_done(s);
	if (nth == 0) {
		assert_int_equal(g.end, RELAY_EOF);
		assert_int_equal(script_sent(server).n, 400005);
		assert_int_equal(script_sent(client).n, 300007);
		assert_int_equal(script_sent_eof(server) && script_sent_eof(client), 1);
		assert_false(script_sent_reset(server) || script_sent_reset(client));
	}
	if (g.end != RELAY_EOF) {
		/* Nobody may take half of it for all. */
		assert_true(script_sent_reset(server) || script_sent_eof(server));
		assert_true(script_sent_reset(client) || script_sent_eof(client));
	}
	script_free(s); /* asserts that nothing is open or in flight */
}

static void test_each_operation_fails_once(_unused_ void **state)
{
	static const int errors[] = { ECONNRESET, ENOMEM, EPIPE, EMFILE, EAGAIN, EINVAL };
	unsigned int ops, ignored;

	scripted(0, 0, &ops);
	assert_in_range(ops, 20, 2000);
	for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
		for (unsigned int n = 1; n <= ops; n++)
			scripted(n, errors[e], &ignored);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset_is_passed_on),
		cmocka_unit_test(test_each_operation_fails_once),
		cmocka_unit_test(test_slow_reader_stops_the_writer),
		cmocka_unit_test(test_nothing_at_all),
		cmocka_unit_test(test_sizes_around_the_thresholds),
		cmocka_unit_test(test_bulk_is_byte_exact),
		cmocka_unit_test(test_bulk_is_spliced),
		cmocka_unit_test(test_without_pipes_it_copies),
		cmocka_unit_test(test_half_close_each_way),
		cmocka_unit_test(test_idle_time),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_first_bytes_go_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
