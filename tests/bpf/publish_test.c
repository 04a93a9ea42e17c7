/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's part of publishing, against a proxy that does as it likes: what it can get are sockets of the one namespace,
 * bound to its loopback device, marked; at a pace; and it holds nobody up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/publish.h"
#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_servers.h"

#define PORT 7171 /* published */

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static struct {
	struct publish publish;
	struct proxy_setup wanted;
	int supervisor, proxy; /* the channel */
	int home;
} t;

static int setup(void **state)
{
	struct netns net = NETNS_INIT;
	struct why why;
	int pair[2];

	(void)state;
	t.home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(t.home >= 0);
	/* A supervisor is elsewhere. */
	assert_int_equal(setns(bpf_frame.ext_ns, CLONE_NEWNET), 0);
	t.publish = (struct publish)PUBLISH_INIT;
	t.wanted = (struct proxy_setup)PROXY_SETUP_INIT;
	t.wanted.publish[t.wanted.publish_count++] = PORT;
	net.fd = bpf_frame.ctr_ns;
	assert_int_equal(publish_begin(&t.wanted, &net, bpf_frame.redirect, &t.publish, &why), 0);
	assert_int_equal(channel_pair(pair), 0);
	t.supervisor = pair[0];
	t.proxy = pair[1];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	publish_done(&t.publish);
	assert_int_equal(setns(t.home, CLONE_NEWNET), 0);
	(void)close(t.supervisor);
	(void)close(t.proxy);
	(void)close(t.home);
	return 0;
}

static uint64_t cookie(int fd)
{
	uint64_t c = 0;
	socklen_t n = sizeof(c);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &c, &n), 0);
	return c;
}

/* Where the supervisor is. */
static uint64_t here(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t c = cookie(fd);

	(void)close(fd);
	return c;
}

/* What a proxy sends, received and answered. */
static int answer(enum message_type type, const void *p, size_t n, int fd)
{
	struct message m = MESSAGE_INIT;
	int r;

	assert_int_equal(channel_send(t.proxy, type, (struct str){ p, n }, &fd, fd >= 0), 0);
	assert_int_equal(channel_recv(t.supervisor, &m), 0);
	r = publish_answer(&t.publish, &m, t.supervisor);
	message_done(&m);
	return r;
}

static int want(uint32_t number, uint8_t family)
{
	const uint8_t body[] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16),
				 (uint8_t)(number >> 8), (uint8_t)number, family };

	return answer(MSG_SOCKET_WANTED, body, sizeof(body), -EBADF);
}

/* The descriptor that was given. */
static int given(uint32_t number)
{
	struct message m = MESSAGE_INIT;
	struct socket_note n;
	int fd;

	assert_int_equal(channel_recv(t.proxy, &m), 0);
	assert_int_equal(socket_note_get(&m, &n), 0);
	assert_int_equal(n.number, number);
	assert_int_equal(n.error, 0);
	fd = message_take_fd(&m, 0);
	message_done(&m);
	return fd;
}

static void test_a_socket_of_that_namespace_on_its_loopback(void **state)
{
	uint64_t before = here();

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		int fd, value = 0;
		socklen_t n = sizeof(value);

		assert_int_equal(want(i, i ? 6 : 4), 0);
		fd = given(i);
		assert_true(cookie(fd) == bpf_frame.netns.cookie);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &value, &n), 0);
		assert_int_equal(value, 1);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &n), 0);
		assert_int_equal(value, i ? AF_INET6 : AF_INET);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &n), 0);
		assert_int_equal(value, SOCK_STREAM);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		(void)close(fd);
	}
	assert_true(here() == before);
	assert_true(before != bpf_frame.netns.cookie);
}

/* ---- what a proxy can do with one, as a user without any capability ---- */

static struct {
	int fd;
	const char *to;
	int port;
} with_it;

static int connect_it(void)
{
	return bpf_ask_tcp_soon(with_it.fd, with_it.to, with_it.port);
}

static int bind_anew(void)
{
	const int none = 0;

	return bpf_result(
		setsockopt(with_it.fd, SOL_SOCKET, SO_BINDTOIFINDEX, &none, sizeof(none)));
}

static int with(int fd, int (*fn)(void), const char *to, int port)
{
	int r;

	with_it.fd = fd;
	with_it.to = to;
	with_it.port = port;
	r = bpf_run(fn, bpf_frame.plain, 65534);
	(void)close(fd);
	return r;
}

static int given_now(uint8_t family)
{
	assert_int_equal(want(1, family), 0);
	return given(1);
}

/* Of that namespace, but made by somebody else. */
static int other_socket(void)
{
	int fd;

	assert_int_equal(setns(bpf_frame.ctr_ns, CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(bpf_frame.ext_ns, CLONE_NEWNET), 0);
	return fd;
}

static pid_t start_server(void)
{
	pid_t pid;

	assert_int_equal(setns(t.home, CLONE_NEWNET), 0);
	pid = bpf_start(bpf_serve_own, bpf_frame.held);
	assert_int_equal(setns(bpf_frame.ext_ns, CLONE_NEWNET), 0);
	return pid;
}

static unsigned long frames(void)
{
	unsigned long n;

	assert_int_equal(setns(t.home, CLONE_NEWNET), 0);
	n = bpf_frames();
	assert_int_equal(setns(bpf_frame.ext_ns, CLONE_NEWNET), 0);
	return n;
}

static void test_what_a_proxy_can_do_with_it(void **state)
{
	pid_t server = start_server();
	unsigned long before;

	(void)state;
	assert_int_equal(with(given_now(4), connect_it, "127.0.0.1", OWN_PORT), ANS_OWN);
	assert_int_equal(with(given_now(6), connect_it, "::1", OWN_PORT), ANS_OWN);
	/* Another machine answers, but not such a socket. */
	assert_int_equal(with(other_socket(), connect_it, EXT4, 443), ANS_EXT);
	before = frames();
	assert_int_not_equal(with(given_now(4), connect_it, EXT4, 443), ANS_EXT);
	assert_int_not_equal(with(given_now(6), connect_it, EXT6, 443), ANS_EXT);
	assert_int_equal(frames(), before);
	assert_int_equal(with(given_now(4), bind_anew, NULL, 0), EPERM);
	bpf_stop(server);
}

static void test_nonsense_is_the_proxys_end(void **state)
{
	static const uint8_t bodies[][6] = { { 0, 0, 0, 1, 4, 0 }, { 0, 0, 0, 1, 5 }, { 0 } };
	static const size_t lengths[] = { 6, 5, 4, 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		assert_int_equal(answer(MSG_SOCKET_WANTED, bodies[MIN(i, 2u)], lengths[i], -EBADF),
				 -EBADMSG);
	assert_int_equal(answer(MSG_SOCKET_WANTED, "\0\0\0\1\4", 5, t.home), -EBADMSG);
	assert_int_equal(want(1, 4), 0);
	(void)close(given(1));
}

static void test_nothing_is_published_nothing_is_given(void **state)
{
	(void)state;
	publish_done(&t.publish);
	assert_int_equal(want(1, 4), -EPROTO);
}

/* It asks and asks, and takes nothing: we do not wait for it. */
static void test_a_proxy_that_does_not_read(void **state)
{
	int r = 0;
	uint32_t i;

	(void)state;
	for (i = 0; i < 100000 && r == 0; i++)
		r = want(i, 4);
	assert_int_equal(r, -EAGAIN);
}

static void test_a_proxy_that_asks_for_ever_is_paused(void **state)
{
	uint32_t i;
	int ms;

	(void)state;
	for (i = 0; i < 100000 && publish_pause_ms(&t.publish) == 0; i++) {
		assert_int_equal(want(i, 4), 0);
		(void)close(given(i));
	}
	assert_in_range(i, 100, 50000);
	ms = publish_pause_ms(&t.publish);
	assert_in_range(ms, 1, 1000);
	(void)poll(NULL, 0, ms);
	while (publish_pause_ms(&t.publish))
		(void)poll(NULL, 0, 1);
	assert_int_equal(want(i, 4), 0);
	(void)close(given(i));
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_socket_of_that_namespace_on_its_loopback,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_proxy_can_do_with_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense_is_the_proxys_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_published_nothing_is_given, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_proxy_that_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_proxy_that_asks_for_ever_is_paused, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
