/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's own servers: its clients reach them directly, and nobody else does: no other
 * sandbox, no process outside, no host. A stranger that shares a port with one gets nothing.
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

#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_servers.h"

static int tcp_to(const char *ip)
{
	return bpf_ask_tcp(socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0), ip,
			   OWN_PORT);
}

static int udp_to(const char *ip)
{
	return bpf_ask_udp(socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0), ip,
			   OWN_PORT);
}

static int tcp_loopback4(void)
{
	return tcp_to("127.0.0.1");
}

static int tcp_loopback4_other(void)
{
	return tcp_to("127.3.4.5");
}

static int tcp_loopback6(void)
{
	return tcp_to("::1");
}

static int tcp_mapped(void)
{
	return tcp_to("::ffff:127.0.0.1");
}

static int tcp_address4(void)
{
	return tcp_to(CTR4);
}

static int tcp_address6(void)
{
	return tcp_to(CTR6);
}

static int tcp_any4(void)
{
	return tcp_to("0.0.0.0");
}

static int tcp_any6(void)
{
	return tcp_to("::");
}

static int tcp_fastopen(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (sendto(fd, "nono", 4, MSG_FASTOPEN, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, NULL);
}

/* First to the proxy, then directly: nothing of the first may be left. */
static int tcp_after_a_turned_one(void)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	socklen_t n, seen_n = sizeof(struct sockaddr_in);
	struct sockaddr_storage ss = bpf_addr(EXT4, 443, &n);
	struct sockaddr_in seen = { 0 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0 || connect(fd, &unspec, sizeof(unspec)) < 0)
		return errno;
	ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	if (connect(fd, (struct sockaddr *)&ss, n) < 0 ||
	    getpeername(fd, (struct sockaddr *)&seen, &seen_n) < 0)
		return errno;
	return seen.sin_port == htons(OWN_PORT) ? bpf_greeting(fd, NULL) : ANS_WRONG;
}

static int udp_loopback4(void)
{
	return udp_to("127.0.0.1");
}

static int udp_loopback6(void)
{
	return udp_to("::1");
}

static int udp_address4(void)
{
	return udp_to(CTR4);
}

static int udp_mapped(void)
{
	return udp_to("::ffff:127.0.0.1");
}

/* The server answers with sendto() a client that connected its socket. */
static int udp_connected(const char *ip)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, OWN_PORT, &n);
	int fd = socket(ss.ss_family, SOCK_DGRAM, 0);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0 || send(fd, "nono", 4, 0) < 0)
		return errno;
	return bpf_answer(fd, &ss);
}

static int udp_connected4(void)
{
	return udp_connected("127.0.0.1");
}

static int udp_connected6(void)
{
	return udp_connected("::1");
}

static int udp_connected_address(void)
{
	return udp_connected(CTR4);
}

static void test_own_servers_are_reached_directly(void **state)
{
	const struct {
		const char *name;
		int (*fn)(void);
	} ways[] = {
		{ "127.0.0.1", tcp_loopback4 },
		{ "127.3.4.5", tcp_loopback4_other },
		{ "::1", tcp_loopback6 },
		{ "::ffff:127.0.0.1", tcp_mapped },
		{ "own address", tcp_address4 },
		{ "own address, IPv6", tcp_address6 },
		{ "0.0.0.0", tcp_any4 },
		{ "::", tcp_any6 },
		{ "Fast Open", tcp_fastopen },
		{ "after a turned connection", tcp_after_a_turned_one },
		{ "UDP, 127.0.0.1", udp_loopback4 },
		{ "UDP, ::1", udp_loopback6 },
		{ "UDP, own address", udp_address4 },
		{ "UDP, mapped", udp_mapped },
		{ "UDP, connected", udp_connected4 },
		{ "UDP, connected, IPv6", udp_connected6 },
		{ "UDP, connected, own address", udp_connected_address },
	};
	pid_t server = bpf_start(bpf_serve_own, bpf_frame.held);
	unsigned long before = bpf_frames();
	unsigned int bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		int as_root = bpf_run(ways[i].fn, bpf_frame.held, 0);
		int as_nobody = bpf_run(ways[i].fn, bpf_frame.held, 65534);

		if (as_root == ANS_OWN && as_nobody == ANS_OWN)
			continue;
		print_error("%s: %d, as nobody %d\n", ways[i].name, as_root, as_nobody);
		bad++;
	}
	bpf_stop(server);
	assert_int_equal(bad, 0);
	assert_int_equal(bpf_frames(), before);
}

/* ---- strangers ---- */

static int tcp_soon(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET, SOCK_STREAM, 0), "127.0.0.1", OWN_PORT);
}

static int tcp_soon6(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET6, SOCK_STREAM, 0), "::1", OWN_PORT);
}

static int from_ext(void)
{
	if (setns(bpf_frame.ext_ns, CLONE_NEWNET) < 0)
		return ANS_BROKEN;
	return bpf_ask_tcp_soon(socket(AF_INET, SOCK_STREAM, 0), CTR4, OWN_PORT);
}

static int from_ext6(void)
{
	if (setns(bpf_frame.ext_ns, CLONE_NEWNET) < 0)
		return ANS_BROKEN;
	return bpf_ask_tcp_soon(socket(AF_INET6, SOCK_STREAM, 0), CTR6, OWN_PORT);
}

static int udp_from_ext(void)
{
	if (setns(bpf_frame.ext_ns, CLONE_NEWNET) < 0)
		return ANS_BROKEN;
	return bpf_ask_udp(socket(AF_INET, SOCK_DGRAM, 0), CTR4, OWN_PORT);
}

static int (*const strangers[])(void) = { tcp_soon, tcp_soon6, udp_loopback4, udp_loopback6,
					  from_ext, from_ext6, udp_from_ext };

static void test_nobody_else_reaches_them(void **state)
{
	pid_t server = bpf_start(bpf_serve_own, bpf_frame.plain);
	unsigned long before;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++)
		assert_int_equal(bpf_run(strangers[i], NULL, 0), ANS_OWN);
	bpf_stop(server);
	(void)poll(NULL, 0, 300);
	server = bpf_start(bpf_serve_own, bpf_frame.held);
	before = bpf_frames();
	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++)
		assert_int_equal(bpf_run(strangers[i], NULL, 0), ANS_QUIET);
	assert_int_equal(bpf_frames(), before);
	bpf_stop(server);
}

/* ---- what the sandbox's socket is given at all ---- */

struct received {
	unsigned int strangers, owns;
};

static volatile struct received *received; /* shared */

static void receive(void)
{
	int fd = bpf_listen(SOCK_DGRAM, "127.0.0.1", OWN_PORT);
	char text[16];

	bpf_ready();
	while (recv(fd, text, sizeof(text), 0) > 0) {
		if (text[0] == 'n')
			received->strangers++;
		else
			received->owns++;
	}
}

static int say(const char *text)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return bpf_result(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&ss, n));
}

static int say_stranger(void)
{
	return say("nono");
}

static int say_own(void)
{
	return say("own");
}

/* The second datagram is the sign that the first would have been there. */
static void one_of_each(const char *cgroup)
{
	pid_t pid;

	received->strangers = received->owns = 0;
	pid = bpf_start(receive, cgroup);
	assert_int_equal(bpf_run(say_stranger, NULL, 0), 0);
	assert_int_equal(bpf_run(say_own, cgroup, 0), 0);
	for (int i = 0; i < 500 && !received->owns; i++)
		(void)poll(NULL, 0, 10);
	bpf_stop(pid);
	assert_int_equal(received->owns, 1);
}

static void test_datagram_of_a_stranger_is_not_received(void **state)
{
	(void)state;
	received = mmap(NULL, sizeof(*received), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	assert_true(received != MAP_FAILED);
	one_of_each(bpf_frame.plain);
	assert_int_equal(received->strangers, 1);
	one_of_each(bpf_frame.held);
	assert_int_equal(received->strangers, 0);
}

static int to_other_sandbox(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, NULL);
}

static void test_another_sandbox_does_not_reach_them(void **state)
{
	const char *const without[] = { NULL };
	char other[256];
	pid_t server;

	(void)state;
	assert_int_equal(bpf_frame_attach("other", without, other, sizeof(other)), 0);
	server = bpf_start(bpf_serve_own, bpf_frame.held);
	assert_int_equal(bpf_run(to_other_sandbox, bpf_frame.held, 0), ANS_OWN);
	assert_int_equal(bpf_run(to_other_sandbox, other, 0), ANS_PROXY);
	assert_int_equal(bpf_run(udp_loopback4, other, 0), EPERM);
	assert_int_equal(bpf_run(udp_connected4, other, 0), EPERM);
	bpf_stop(server);
}

/* ---- a port shared with a stranger: which of the two a SYN meets is the kernel's choice ---- */

static char shared_ip[20];

static void serve_shared(const char *name)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(shared_ip, OWN_PORT, &n);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, n) < 0 || listen(fd, 64) < 0)
		return;
	bpf_ready();
	for (;;) {
		int c = accept(fd, NULL, NULL);

		(void)send(c, name, strlen(name), MSG_NOSIGNAL);
		(void)close(c);
	}
}

static void serve_shared_own(void)
{
	serve_shared("OWN\n");
}

static void serve_shared_stranger(void)
{
	serve_shared("OUT\n");
}

static int ask_shared(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET, SOCK_STREAM, 0), shared_ip, OWN_PORT);
}

/*
 * For some addresses connect sees the sandbox's own listener and lets the call pass; of those SYNs
 * some meet the stranger all the same, and egress has to stop them (the try is quiet then). As many
 * addresses are taken as it needs to see that.
 */
static void test_port_shared_with_a_stranger(void **state)
{
	int direct = 0, stopped = 0, strangers_without = 0;

	(void)state;
	for (int net = 1; net < 60; net++) {
		pid_t own, stranger;

		(void)snprintf(shared_ip, sizeof(shared_ip), "127.0.%d.1", net);
		own = bpf_start(serve_shared_own, bpf_frame.held);
		stranger = bpf_start(serve_shared_stranger, NULL);

		for (int i = 0; i < 6; i++) {
			int got = bpf_run(ask_shared, bpf_frame.held, 0);

			assert_int_not_equal(got, ANS_OUT);
			direct += got == ANS_OWN;
			stopped += got == ANS_QUIET;
			strangers_without += bpf_run(ask_shared, NULL, 0) == ANS_OUT;
		}
		bpf_stop(own);
		bpf_stop(stranger);
		if (direct > 2 && stopped > 2 && strangers_without > 2)
			break;
	}
	assert_true(direct > 2);
	assert_true(stopped > 2);
	assert_true(strangers_without > 2);
}

/* ---- the same port, another address ---- */

static int ask_at(const char *ip)
{
	return bpf_ask_tcp_soon(socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0), ip,
				OWN_PORT);
}

static int ask_own(void)
{
	return ask_at("127.0.77.2");
}

static int ask_own_mapped(void)
{
	return ask_at("::ffff:127.0.77.2");
}

static int ask_strangers(void)
{
	return ask_at("127.0.77.1");
}

static int ask_nobodys(void)
{
	return ask_at("127.0.77.3");
}

static int ask_own_port_on_6(void)
{
	return ask_at("::1");
}

/* Whose a port is, is asked of the address, too. */
static void test_port_at_two_addresses(void **state)
{
	pid_t own, stranger;

	(void)state;
	(void)snprintf(shared_ip, sizeof(shared_ip), "127.0.77.2");
	own = bpf_start(serve_shared_own, bpf_frame.held);
	(void)snprintf(shared_ip, sizeof(shared_ip), "127.0.77.1");
	stranger = bpf_start(serve_shared_stranger, NULL);
	for (uid_t uid = 0; uid < 65535; uid += 65534) {
		assert_int_equal(bpf_run(ask_own, bpf_frame.held, uid), ANS_OWN);
		assert_int_equal(bpf_run(ask_own_mapped, bpf_frame.held, uid), ANS_OWN);
		assert_int_equal(bpf_run(ask_strangers, NULL, uid), ANS_OUT);
		assert_int_equal(bpf_run(ask_strangers, bpf_frame.held, uid), ANS_PROXY);
		assert_int_equal(bpf_run(ask_nobodys, bpf_frame.held, uid), ANS_PROXY);
		assert_int_equal(bpf_run(ask_own_port_on_6, bpf_frame.held, uid), ANS_PROXY);
	}
	bpf_stop(own);
	bpf_stop(stranger);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_servers_are_reached_directly),
		cmocka_unit_test(test_nobody_else_reaches_them),
		cmocka_unit_test(test_datagram_of_a_stranger_is_not_received),
		cmocka_unit_test(test_another_sandbox_does_not_reach_them),
		cmocka_unit_test(test_port_shared_with_a_stranger),
		cmocka_unit_test(test_port_at_two_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
