/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other network namespaces of the sandbox: a container's with nothing but `lo`, one that appears
 * later, and what a process with CAP_NET_ADMIN in the frame's own can do to the routes there. No
 * frame leaves; unserved is refused, and said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/redirect.h"
#include "redirect/origin.h"
#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_place.h"
#include "tests/support/bpf_servers.h"

static int stream(const char *ip)
{
	return socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
}

static int datagram(const char *ip)
{
	return socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
}

static int tcp4(void)
{
	return bpf_ask_tcp(stream(EXT4), EXT4, 443);
}

static int tcp6(void)
{
	return bpf_ask_tcp(stream(EXT6), EXT6, 443);
}

static int tcp_mapped(void)
{
	return bpf_ask_tcp(stream(EXT4IN6), EXT4IN6, 443);
}

static int fastopen(const char *ip, const char *where)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, 443, &n);
	int fd = stream(ip);

	if (sendto(fd, "nono", 4, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, where);
}

static int fastopen4(void)
{
	return fastopen(EXT4, EXT4 ":443");
}

static int fastopen6(void)
{
	return fastopen(EXT6, "[" EXT6 "]:443");
}

static int dns4(void)
{
	return bpf_ask_udp(datagram(EXT4), EXT4, 53);
}

static int dns6(void)
{
	return bpf_ask_udp(datagram(EXT6), EXT6, 53);
}

static int dns_connected6(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT6, 53, &n);
	int fd = datagram(EXT6);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0 || send(fd, "nono", 4, 0) < 0)
		return errno;
	return bpf_answer(fd, &ss);
}

static int dns_tcp4(void)
{
	return bpf_ask_tcp(stream(EXT4), EXT4, 53);
}

static int udp4(void)
{
	return bpf_ask_udp(datagram(EXT4), EXT4, 9999);
}

static int explicit4(void);

struct row {
	const char *name;
	int (*fn)(void);
	int unserved, with_ipv6, without_ipv6;
};

static const struct row rows[] = {
	{ "TCP, IPv4", tcp4, ECONNREFUSED, ANS_PROXY, ANS_PROXY },
	{ "TCP, IPv6", tcp6, ECONNREFUSED, ANS_PROXY, ANS_PROXY },
	{ "TCP, v4-mapped", tcp_mapped, ECONNREFUSED, ANS_PROXY, ANS_PROXY },
	{ "Fast Open, IPv4", fastopen4, ECONNREFUSED, ANS_PROXY, ANS_PROXY },
	{ "Fast Open, IPv6", fastopen6, ECONNREFUSED, ANS_PROXY, ANS_PROXY },
	{ "TCP, port 53", dns_tcp4, ECONNREFUSED, ANS_PROXY, ANS_PROXY },
	{ "DNS, IPv4", dns4, ECONNREFUSED, ANS_DNS, ANS_DNS },
	/* The kernel takes no mapped address for an IPv6 one in sendto(). */
	{ "DNS, IPv6", dns6, ECONNREFUSED, ANS_DNS, ENETUNREACH },
	{ "DNS, IPv6, connected", dns_connected6, ECONNREFUSED, ANS_DNS, ANS_DNS },
	{ "UDP", udp4, EPERM, EPERM, EPERM },
	{ "the explicit listener", explicit4, ECONNREFUSED, ANS_EXPLICIT, ANS_EXPLICIT },
};

static uint16_t explicit_port = 9;

static int explicit4(void)
{
	return bpf_ask_tcp(stream("127.0.0.1"), "127.0.0.1", explicit_port);
}

static unsigned int try_rows(const struct bpf_place *p, int column)
{
	unsigned int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const int want[] = { rows[i].unserved, rows[i].with_ipv6, rows[i].without_ipv6 };

		for (uid_t uid = 0; uid < 65535; uid += 65534) {
			int got = bpf_place_run(p, rows[i].fn, bpf_frame.held, uid);

			if (got == want[column])
				continue;
			print_error("%s, as %u: %d, expected %d\n", rows[i].name, uid, got,
				    want[column]);
			bad++;
		}
	}
	return bad;
}

/* Nothing but `lo`: refused as long as there is no listener, served as soon as there is one. */
static void test_only_lo(void **state)
{
	unsigned long before = bpf_frames();

	(void)state;
	for (int no_ipv6 = 0; no_ipv6 < 2; no_ipv6++) {
		struct bpf_place p;

		bpf_place_make(&p, no_ipv6);
		assert_int_equal(bpf_place_run(&p, tcp4, bpf_frame.plain, 0), ENETUNREACH);
		explicit_port = 9;
		assert_int_equal(try_rows(&p, 0), 0);
		bpf_place_serve(&p);
		explicit_port = p.netns.explicit4;
		assert_int_equal(try_rows(&p, 1 + no_ipv6), 0);
		/* The frame's own goes on. */
		assert_int_equal(bpf_run(tcp4, bpf_frame.held, 0), ANS_PROXY);
		bpf_place_end(&p);
	}
	assert_int_equal(bpf_frames(), before);
}

/* The proxy of the place is gone: its listeners and their marks too. */
static void test_killed_proxy_of_another_namespace(void **state)
{
	struct bpf_place p;

	(void)state;
	bpf_place_make(&p, false);
	bpf_place_serve(&p);
	assert_int_equal(bpf_place_run(&p, tcp4, bpf_frame.held, 0), ANS_PROXY);
	bpf_stop(p.proxy);
	p.proxy = 0;
	assert_int_equal(bpf_place_run(&p, tcp4, bpf_frame.held, 0), ECONNREFUSED);
	assert_int_equal(bpf_place_run(&p, dns4, bpf_frame.held, 65534), ECONNREFUSED);
	assert_int_equal(bpf_run(tcp4, bpf_frame.held, 0), ANS_PROXY);
	bpf_place_end(&p);
}

/* ---- a namespace that appears later ---- */

struct seen {
	unsigned int right, wrong;
	uint32_t uid;
};

static void on_event(void *arg, const struct kernel_refusal *k)
{
	struct seen *s = arg;
	char text[ENDPOINT_TEXT_MAX];

	if (k->what != KEV_NETNS)
		return;
	if (strcmp(endpoint_text(&k->to, text), EXT4 ":443") == 0 && k->pid && k->uid == s->uid)
		s->right++;
	else
		s->wrong++;
}

/* nobody makes a namespace of its own, as a nested container does. */
static int nested(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return ANS_BROKEN;
	return tcp4();
}

static void test_nested_namespace_is_refused_and_said(void **state)
{
	struct kernel_events *k = NULL;
	struct seen seen = { .uid = 65534 };

	(void)state;
	assert_int_equal(
		kernel_events_open(redirect_events_fd(bpf_frame.redirect), on_event, &seen, &k), 0);
	kernel_events_read(k);
	seen.right = seen.wrong = 0;
	assert_int_equal(bpf_run(tcp4, bpf_frame.held, 65534), ANS_PROXY);
	kernel_events_read(k);
	assert_int_equal(seen.right + seen.wrong, 0);
	assert_int_equal(bpf_run(nested, bpf_frame.held, 65534), ECONNREFUSED);
	kernel_events_read(k);
	kernel_events_free(k);
	assert_int_equal(seen.right, 1);
	assert_int_equal(seen.wrong, 0);
}

/* Its own server and client speak with each other there, served or not. */
static int own_inside(void)
{
	int fd, c, l;
	char text[4];
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);

	l = bpf_listen(SOCK_STREAM, "127.0.0.1", OWN_PORT);
	fd = stream("127.0.0.1");
	if (l < 0 || connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	c = accept(l, NULL, NULL);
	if (send(c, "OWN\n", 4, 0) != 4 || recv(fd, text, 4, MSG_WAITALL) != 4)
		return errno;
	return ANS_OWN;
}

static void test_own_loopback_of_an_unserved_namespace(void **state)
{
	struct bpf_place p;

	(void)state;
	bpf_place_make(&p, false);
	assert_int_equal(bpf_place_run(&p, own_inside, bpf_frame.held, 0), ANS_OWN);
	assert_int_equal(bpf_place_run(&p, own_inside, bpf_frame.held, 65534), ANS_OWN);
	bpf_place_end(&p);
}

/* ---- CAP_NET_ADMIN in a namespace that has a device ---- */

static int shell(const char *command)
{
	return system(command) == 0 ? 0 : ANS_BROKEN;
}

/* Each command is run by the sandbox, as root with all capabilities; `undo` puts it back. */
static const struct bend {
	const char *name, *command, *undo;
	bool leaks; /* nothing on the cgroup closes it: CAP_NET_ADMIN is a gap of its own */
} bends[] = {
	{ "127/8 is routed over the device",
	  "ip addr del 127.0.0.1/8 dev lo; ip route del local 127.0.0.0/8 dev lo table local "
	  "2>/dev/null;"
	  "ip route add 127.0.0.0/8 via " EXT4 " dev " CTR_DEV,
	  "ip route del 127.0.0.0/8 via " EXT4 " dev " CTR_DEV "; ip addr add 127.0.0.1/8 dev lo",
	  false },
	{ "destination NAT of loopback",
	  "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet;"
	  "nft 'table ip t { chain o { type nat hook output priority -100; ip daddr 127.0.0.1 tcp "
	  "dport 1-65535 "
	  "dnat to " EXT4
	  ":443; }; chain p { type nat hook postrouting priority 100; oifname " CTR_DEV
	  " masquerade; }; }'",
	  "nft delete table ip t; echo 0 > /proc/sys/net/ipv4/conf/all/route_localnet", false },
	{ "loopback is copied to the device",
	  "nft 'table netdev t { chain i { type filter hook ingress device lo priority 0; dup "
	  "to " CTR_DEV "; }; }'",
	  "nft delete table netdev t", true },
};

static const struct bend *bend;

static int bend_it(void)
{
	return shell(bend->command);
}

static int unbend(void)
{
	return shell(bend->undo);
}

/* What the bent namespace answers does not matter: the wire does. */
static int talk(void)
{
	(void)bpf_ask_tcp_soon(stream(EXT4), EXT4, 443);
	(void)bpf_ask_udp(datagram(EXT4), EXT4, 53);
	return ANS_OK;
}

/* Without programs, what goes to loopback appears on the wire. */
static int talk_to_loopback(void)
{
	return bpf_ask_tcp_soon(stream("127.0.0.1"), "127.0.0.1", 443);
}

static void test_bent_namespace(void **state)
{
	unsigned int bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bends); i++) {
		unsigned long before;

		bend = &bends[i];
		assert_int_equal(bpf_run(bend_it, bpf_frame.held, 0), 0);
		before = bpf_frames();
		(void)bpf_run(talk_to_loopback, bpf_frame.plain, 0);
		assert_true(bpf_frames() > before);
		(void)poll(NULL, 0, 300); /* what it still sends when it closes */
		before = bpf_frames();
		assert_int_equal(bpf_run(talk, bpf_frame.held, 0), ANS_OK);
		assert_int_equal(bpf_run(talk, bpf_frame.held, 65534), ANS_OK);
		if ((bpf_frames() != before) != bend->leaks) {
			print_error("%s: %s\n", bend->name,
				    bend->leaks ? "no frame: is it closed now?" : bpf_last_frame());
			bad++;
		}
		assert_int_equal(bpf_run(unbend, NULL, 0), 0);
	}
	assert_int_equal(bad, 0);
	assert_int_equal(bpf_run(tcp4, bpf_frame.held, 0), ANS_PROXY);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_lo),
		cmocka_unit_test(test_killed_proxy_of_another_namespace),
		cmocka_unit_test(test_nested_namespace_is_refused_and_said),
		cmocka_unit_test(test_own_loopback_of_an_unserved_namespace),
		cmocka_unit_test(test_bent_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
