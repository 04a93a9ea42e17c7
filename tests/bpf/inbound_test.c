/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections into the sandbox: none from another machine, none from a stranger on the same
 * loopback, except to a published port, over loopback, by TCP; or by a socket that is marked as the
 * forwarder's. What is published opens nothing in the other direction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/redirect.h"
#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_servers.h"

#define OTHER_PORT (OWN_PORT + 1) /* of the sandbox, not published */
#define BULK	   (1u << 20)

static int stream(const char *ip)
{
	return socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
}

static int datagram(const char *ip)
{
	return socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
}

static int enter_ext(void)
{
	return setns(bpf_frame.ext_ns, CLONE_NEWNET);
}

/* ---- ways in ---- */

static int lo4(void)
{
	return bpf_ask_tcp_soon(stream("127.0.0.1"), "127.0.0.1", OWN_PORT);
}

static int lo6(void)
{
	return bpf_ask_tcp_soon(stream("::1"), "::1", OWN_PORT);
}

static int lo_mapped(void)
{
	return bpf_ask_tcp_soon(stream("::"), "::ffff:127.0.0.1", OWN_PORT);
}

static int lo_own_address4(void)
{
	return bpf_ask_tcp_soon(stream(CTR4), CTR4, OWN_PORT);
}

static int lo_own_address6(void)
{
	return bpf_ask_tcp_soon(stream(CTR6), CTR6, OWN_PORT);
}

static int lo_fastopen(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	int fd = stream("127.0.0.1");

	if (sendto(fd, "nono", 4, MSG_FASTOPEN, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, NULL);
}

static int lo_udp4(void)
{
	return bpf_ask_udp(datagram("127.0.0.1"), "127.0.0.1", OWN_PORT);
}

static int lo_udp6(void)
{
	return bpf_ask_udp(datagram("::1"), "::1", OWN_PORT);
}

static int lo_other_port(void)
{
	return bpf_ask_tcp_soon(stream("127.0.0.1"), "127.0.0.1", OTHER_PORT);
}

static int ext_tcp4(void)
{
	return enter_ext() < 0 ? ANS_BROKEN : bpf_ask_tcp_soon(stream(CTR4), CTR4, OWN_PORT);
}

static int ext_tcp6(void)
{
	return enter_ext() < 0 ? ANS_BROKEN : bpf_ask_tcp_soon(stream(CTR6), CTR6, OWN_PORT);
}

static int ext_udp4(void)
{
	return enter_ext() < 0 ? ANS_BROKEN : bpf_ask_udp(datagram(CTR4), CTR4, OWN_PORT);
}

static int ext_udp6(void)
{
	return enter_ext() < 0 ? ANS_BROKEN : bpf_ask_udp(datagram(CTR6), CTR6, OWN_PORT);
}

/* With programs: nothing published, the port published. */
static const struct way {
	const char *name;
	int (*fn)(void);
	int closed, published;
} ways[] = {
	{ "loopback, IPv4", lo4, ANS_QUIET, ANS_OWN },
	{ "loopback, IPv6", lo6, ANS_QUIET, ANS_OWN },
	{ "loopback, v4-mapped", lo_mapped, ANS_QUIET, ANS_OWN },
	{ "loopback, by the own address", lo_own_address4, ANS_QUIET, ANS_OWN },
	{ "loopback, by the own address, IPv6", lo_own_address6, ANS_QUIET, ANS_OWN },
	{ "loopback, another port", lo_other_port, ANS_QUIET, ANS_QUIET },
	{ "loopback, UDP", lo_udp4, ANS_QUIET, ANS_QUIET },
	{ "loopback, UDP, IPv6", lo_udp6, ANS_QUIET, ANS_QUIET },
	{ "another machine, IPv4", ext_tcp4, ANS_QUIET, ANS_QUIET },
	{ "another machine, IPv6", ext_tcp6, ANS_QUIET, ANS_QUIET },
	{ "another machine, UDP", ext_udp4, ANS_QUIET, ANS_QUIET },
	{ "another machine, UDP, IPv6", ext_udp6, ANS_QUIET, ANS_QUIET },
};

static void serve_other(void)
{
	int fd = bpf_listen(SOCK_STREAM, "::", OTHER_PORT);

	bpf_ready();
	for (;;) {
		int c = accept(fd, NULL, NULL);

		(void)send(c, "OWN\n", 4, MSG_NOSIGNAL);
		(void)close(c);
	}
}

/* Both servers, in the cgroup. Frames to ext are answers: with programs there are none. */
static void try_ways(const char *cgroup, size_t expected)
{
	pid_t server = bpf_start(bpf_serve_own, cgroup), other = bpf_start(serve_other, cgroup);
	unsigned long before;
	unsigned int bad = 0;

	(void)poll(NULL, 0, 300); /* what an earlier pass still sends */
	before = bpf_frames();
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const int want[] = { ANS_OWN, ways[i].closed, ways[i].published };

		for (uid_t uid = 0; uid < 65535; uid += 65534) {
			/* Only root enters another namespace. */
			int got = bpf_run(ways[i].fn, NULL, uid);

			if (got == want[expected] || (uid && got == ANS_BROKEN))
				continue;
			print_error("%s, as %u: %d, expected %d\n", ways[i].name, uid, got,
				    want[expected]);
			bad++;
		}
	}
	if (expected && bpf_frames() != before) {
		print_error("an answer on the wire: %s\n", bpf_last_frame());
		bad++;
	}
	bpf_stop(server);
	bpf_stop(other);
	assert_int_equal(bad, 0);
}

static void test_nobody_gets_in(void **state)
{
	(void)state;
	try_ways(bpf_frame.plain, 0);
	try_ways(bpf_frame.held, 1);
}

static void test_published_port_over_loopback_only(void **state)
{
	pid_t server;

	(void)state;
	assert_int_equal(redirect_publish(bpf_frame.redirect, OWN_PORT), 0);
	try_ways(bpf_frame.held, 2);
	server = bpf_start(bpf_serve_own, bpf_frame.held);
	assert_int_equal(bpf_run(lo_fastopen, NULL, 0), ANS_OWN);
	bpf_stop(server);
	/* Nobody listens: refused, as anywhere. */
	assert_int_equal(bpf_run(lo4, NULL, 0), ECONNREFUSED);
}

static void test_which_ports_can_be_published(void **state)
{
	struct redirect *r = NULL;
	char why[300];

	(void)state;
	assert_int_equal(redirect_load(5, &r, why, sizeof(why)), 0);
	assert_int_equal(redirect_publish(r, 0), -EINVAL);
	for (uint16_t i = 1; i <= NONO_PUBLISH_MAX; i++)
		assert_int_equal(redirect_publish(r, i), 0);
	assert_int_equal(redirect_publish(r, 1), 0);
	assert_int_equal(redirect_publish(r, 65535), -E2BIG);
	assert_int_equal(redirect_publish_none(r), 0);
	assert_int_equal(redirect_publish(r, 65535), 0);
	assert_int_equal(redirect_publish_none(r), 0);
	assert_int_equal(redirect_publish_none(r), 0);
	redirect_free(r);
}

/* ---- what comes through ---- */

static void serve_bulk(void)
{
	int fd = bpf_listen(SOCK_STREAM, "127.0.0.1", OWN_PORT), c;
	char buf[4096];
	size_t got = 0;
	ssize_t n;

	bpf_ready();
	c = accept(fd, NULL, NULL);
	while ((n = recv(c, buf, sizeof(buf), 0)) > 0)
		got += (size_t)n;
	if (got != BULK)
		return;
	memset(buf, 'o', sizeof(buf));
	for (size_t sent = 0; sent < BULK; sent += (size_t)n) {
		n = send(c, buf, sizeof(buf), MSG_NOSIGNAL);
		if (n <= 0)
			return;
	}
	(void)close(c);
}

/* All of it there, all of it back, and both ends close in order. */
static int bulk(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	int fd = stream("127.0.0.1");
	char buf[4096];
	size_t got = 0;
	ssize_t r;

	memset(buf, 'i', sizeof(buf));
	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	for (size_t sent = 0; sent < BULK; sent += (size_t)r) {
		r = send(fd, buf, sizeof(buf), MSG_NOSIGNAL);
		if (r <= 0)
			return errno;
	}
	(void)shutdown(fd, SHUT_WR);
	while ((r = recv(fd, buf, sizeof(buf), 0)) > 0)
		got += (size_t)r;
	if (r < 0)
		return errno;
	return got == BULK ? ANS_OK : ANS_WRONG;
}

static void test_published_connection_carries_data(void **state)
{
	pid_t server = bpf_start(serve_bulk, bpf_frame.held);

	(void)state;
	assert_int_equal(bpf_run(bulk, NULL, 65534), ANS_OK);
	bpf_stop(server);
}

/* ---- and nothing in the other direction ---- */

/*
 * The server closes first, and what it keeps of the connection for a minute hides its listener from look-ups with the same two
 * ends: so the tries that come later ask for more than the first one.
 */
static int let_server_close(int fd, int answer)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char drop[64];

	while (answer == ANS_OUT && poll(&p, 1, 400) > 0 && recv(fd, drop, sizeof(drop), 0) > 0)
		;
	(void)close(fd);
	return answer;
}

static int out_from_published(const char *ip)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(strchr(ip, ':') ? "::1" : "127.0.0.1", OWN_PORT, &n);
	int fd = stream(ip), one = 1, held;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	held = dup(fd);
	return let_server_close(held, bpf_ask_tcp_soon(fd, ip, OUT_PORT));
}

static int out_from_published4(void)
{
	return out_from_published("127.0.0.1");
}

static int out_from_published6(void)
{
	return out_from_published("::1");
}

static int out_from_published_fastopen(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	int fd = stream("127.0.0.1"), one = 1, held;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	(void)setsockopt(fd, IPPROTO_TCP, 34 /* TCP_FASTOPEN_NO_COOKIE */, &one, sizeof(one));
	ss = bpf_addr("127.0.0.1", OUT_PORT, &n);
	if (sendto(fd, "nono", 4, MSG_FASTOPEN | MSG_DONTWAIT, (struct sockaddr *)&ss, n) < 0 &&
	    errno != EINPROGRESS)
		return errno;
	if (poll(&p, 1, 400) == 0)
		return ANS_QUIET;
	held = dup(fd);
	return let_server_close(held, bpf_greeting(fd, NULL));
}

static int udp_from_published(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	int fd = datagram("127.0.0.1");

	if (bind(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_ask_udp(fd, "127.0.0.1", OUT_PORT);
}

/* Without the programs that would turn the call, so that egress is alone. */
static void test_published_port_opens_no_way_out(void **state)
{
	const char *const without[] = { "connect4", "connect6", "sendmsg4", "sendmsg6", NULL };
	int (*const outs[])(void) = { out_from_published4, out_from_published6,
				      out_from_published_fastopen };
	char bare[256], path[] = "/sys/fs/bpf/out/map_published";
	uint32_t port_be = htons(OWN_PORT);

	(void)state;
	assert_int_equal(bpf_frame_attach("out", without, bare, sizeof(bare)), 0);
	assert_int_equal(bpf_frame_map_set(path, &port_be, &port_be), 0);
	for (size_t i = 0; i < ARRAY_SIZE(outs); i++) {
		assert_int_equal(bpf_run(outs[i], bpf_frame.plain, 0), ANS_OUT);
		assert_int_equal(bpf_run(outs[i], bare, 0), ANS_QUIET);
		assert_int_equal(bpf_run(outs[i], bare, 65534), ANS_QUIET);
	}
	assert_int_equal(bpf_run(udp_from_published, bpf_frame.plain, 0), ANS_OUT);
	assert_int_equal(bpf_run(udp_from_published, bare, 0), EPERM);
}

/* Another sandbox is turned to its proxy as for any address. */
static void test_another_sandbox_at_a_published_port(void **state)
{
	const char *const without[] = { NULL };
	char other[256];
	pid_t server = bpf_start(bpf_serve_own, bpf_frame.held);

	(void)state;
	assert_int_equal(bpf_frame_attach("beside", without, other, sizeof(other)), 0);
	assert_int_equal(bpf_run(lo4, NULL, 0), ANS_OWN);
	assert_int_equal(bpf_run(lo4, bpf_frame.held, 0), ANS_OWN);
	assert_int_equal(bpf_run(lo4, other, 0), ANS_PROXY);
	bpf_stop(server);
}

/* ---- the forwarder of a namespace that nobody else is in ---- */

static struct redirect *forward_marks; /* NULL: the socket is not marked */

/* The socket is of ctr, the process is not. */
static int forward(const char *ip)
{
	int fd;

	if (setns(bpf_frame.ctr_ns, CLONE_NEWNET) < 0)
		return ANS_BROKEN;
	fd = stream(ip);
	if (fd < 0 || enter_ext() < 0)
		return ANS_BROKEN;
	if (forward_marks && redirect_mark(forward_marks, fd, REDIRECT_FORWARD) < 0)
		return ANS_BROKEN;
	return bpf_ask_tcp_soon(fd, ip, OTHER_PORT);
}

static int forward4(void)
{
	return forward("127.0.0.1");
}

static int forward6(void)
{
	return forward("::1");
}

static void test_marked_forwarder(void **state)
{
	pid_t server = bpf_start(serve_other, bpf_frame.held);
	struct redirect *strange = NULL;
	char why[300];

	(void)state;
	assert_int_equal(redirect_load(6, &strange, why, sizeof(why)), 0);
	forward_marks = NULL;
	assert_int_equal(bpf_run(forward4, NULL, 0), ANS_QUIET);
	assert_int_equal(bpf_run(forward6, NULL, 0), ANS_QUIET);
	forward_marks = strange;
	assert_int_equal(bpf_run(forward4, NULL, 0), ANS_QUIET);
	forward_marks = bpf_frame.redirect;
	assert_int_equal(bpf_run(forward4, NULL, 0), ANS_OWN);
	assert_int_equal(bpf_run(forward6, NULL, 0), ANS_OWN);
	redirect_free(strange);
	bpf_stop(server);
}

/* A listener with the forwarder's mark is nobody that the sandbox may connect to. */
static void test_mark_of_the_forwarder_opens_no_listener(void **state)
{
	int fd = bpf_listen(SOCK_STREAM, "127.0.0.1", OWN_PORT);

	(void)state;
	assert_int_equal(redirect_mark(bpf_frame.redirect, fd, REDIRECT_FORWARD), 0);
	assert_int_equal(bpf_run(lo4, bpf_frame.held, 0), ANS_PROXY);
	(void)close(fd);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_gets_in),
		cmocka_unit_test(test_published_port_over_loopback_only),
		cmocka_unit_test(test_which_ports_can_be_published),
		cmocka_unit_test(test_published_connection_carries_data),
		cmocka_unit_test(test_published_port_opens_no_way_out),
		cmocka_unit_test(test_another_sandbox_at_a_published_port),
		cmocka_unit_test(test_marked_forwarder),
		cmocka_unit_test(test_mark_of_the_forwarder_opens_no_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
