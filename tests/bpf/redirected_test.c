/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be turned to the proxy: every way to connect a TCP socket, every way to ask a name
 * server. The proxy answers, knows the right destination, and nothing appears on the wire.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_ring.h"

static int tcp(int family)
{
	return socket(family, SOCK_STREAM, 0);
}

static int udp(int family)
{
	return socket(family, SOCK_DGRAM, 0);
}

/* ---- TCP ---- */

static int tcp4(void)
{
	return bpf_ask_tcp(tcp(AF_INET), EXT4, 443);
}

static int tcp6(void)
{
	return bpf_ask_tcp(tcp(AF_INET6), EXT6, 443);
}

static int tcp_v6only(void)
{
	int fd = tcp(AF_INET6), one = 1;

	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	return bpf_ask_tcp(fd, EXT6, 443);
}

static int tcp_mapped(void)
{
	return bpf_ask_tcp(tcp(AF_INET6), EXT4IN6, 443);
}

static int tcp_link_local(void)
{
	return bpf_ask_tcp(tcp(AF_INET6), EXT_LINK6, 443);
}

static int tcp_nonblocking(void)
{
	socklen_t n, en = sizeof(int);
	struct sockaddr_storage ss = bpf_addr(EXT4, 443, &n);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), e = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (connect(fd, (struct sockaddr *)&ss, n) == 0 || errno != EINPROGRESS)
		return errno;
	if (poll(&p, 1, 2000) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &en) < 0 || e)
		return e ? e : ANS_QUIET;
	return bpf_greeting(fd, EXT4 ":443");
}

static int tcp_flowinfo(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT6, 443, &n);
	int fd = tcp(AF_INET6);

	((struct sockaddr_in6 *)&ss)->sin6_flowinfo = htonl(0x01200000);
	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, "[" EXT6 "]:443");
}

/* The service of somebody else in the same namespace is as far away as any other. */
static int stranger(const char *ip)
{
	return bpf_ask_tcp(tcp(strchr(ip, ':') ? AF_INET6 : AF_INET), ip, OUT_PORT);
}

static int stranger_loopback4(void)
{
	return stranger("127.0.0.1");
}

static int stranger_loopback4_other(void)
{
	return stranger("127.1.2.3");
}

static int stranger_loopback6(void)
{
	return stranger("::1");
}

static int stranger_mapped(void)
{
	return stranger("::ffff:127.0.0.1");
}

static int stranger_own_address4(void)
{
	return stranger(CTR4);
}

static int stranger_own_address6(void)
{
	return stranger(CTR6);
}

static int stranger_any(const char *ip)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, OUT_PORT, &n);
	int fd = tcp(ss.ss_family);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, ss.ss_family == AF_INET ? "0.0.0.0:8080" : "[::]:8080");
}

static int stranger_any4(void)
{
	return stranger_any("0.0.0.0");
}

static int stranger_any6(void)
{
	return stranger_any("::");
}

static int tcp_again_after_unspec(void)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	int fd = tcp(AF_INET);
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 53, &n);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0 || connect(fd, &unspec, sizeof(unspec)) < 0)
		return errno;
	return bpf_ask_tcp(fd, EXT4, 443);
}

static int fastopen(const char *ip, int flags)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, 443, &n);
	int fd = socket(ss.ss_family, SOCK_STREAM, 0);

	if (flags & SOCK_NONBLOCK && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return errno;
	if (sendto(fd, "nono", 4, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&ss, n) < 0 &&
	    errno != EINPROGRESS)
		return errno;
	return bpf_greeting(fd, strchr(ip, '.') ? EXT4 ":443" : "[" EXT6 "]:443");
}

static int fastopen4(void)
{
	return fastopen(EXT4, 0);
}

static int fastopen6(void)
{
	return fastopen(EXT6, 0);
}

static int fastopen_mapped(void)
{
	return fastopen(EXT4IN6, 0);
}

static int fastopen4_nonblocking(void)
{
	return fastopen(EXT4, SOCK_NONBLOCK);
}

static int fastopen6_nonblocking(void)
{
	return fastopen(EXT6, SOCK_NONBLOCK);
}

static int fastopen_option(int name)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 443, &n);
	int fd = tcp(AF_INET), one = 1;

	if (setsockopt(fd, IPPROTO_TCP, name, &one, sizeof(one)) < 0 ||
	    connect(fd, (struct sockaddr *)&ss, n) < 0 || send(fd, "nono", 4, MSG_NOSIGNAL) < 0)
		return errno;
	return bpf_greeting(fd, EXT4 ":443");
}

static int fastopen_connect(void)
{
	return fastopen_option(TCP_FASTOPEN_CONNECT);
}

static int fastopen_no_cookie(void)
{
	int fd = tcp(AF_INET), one = 1;
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 443, &n);

	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &one, sizeof(one)) < 0 ||
	    sendto(fd, "nono", 4, MSG_FASTOPEN, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, EXT4 ":443");
}

static int bound(const char *ip, int port, const char *to)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);
	int fd = socket(ss.ss_family, SOCK_STREAM, 0), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_ask_tcp(fd, to, 443);
}

static int bound_own4(void)
{
	return bound(CTR4, 0, EXT4);
}

static int bound_own6(void)
{
	return bound(CTR6, 0, EXT6);
}

static int bound_loopback(void)
{
	return bound("127.9.9.9", 0, EXT4);
}

static int with_mark(void)
{
	int fd = tcp(AF_INET), mark = 77;

	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return errno;
	return bpf_ask_tcp(fd, EXT4, 443);
}

static int before_unshare_newnet(void)
{
	int fd = tcp(AF_INET);

	if (unshare(CLONE_NEWNET) < 0)
		return errno;
	return bpf_ask_tcp(fd, EXT4, 443);
}

static int after_unshare_newcgroup(void)
{
	if (unshare(CLONE_NEWCGROUP) < 0)
		return errno;
	return bpf_ask_tcp(tcp(AF_INET), EXT4, 443);
}

static int over_ring(unsigned int setup, unsigned int sqe_flags, bool socket_too)
{
	int fd = socket_too ? bpf_ring_socket(setup, sqe_flags, AF_INET, SOCK_STREAM, 0)
			    : tcp(AF_INET);
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 443, &n);
	int r;

	if (fd < 0)
		return socket_too ? -fd : errno;
	r = bpf_ring_connect(setup, sqe_flags, fd, &ss, n);
	if (r < 0)
		return -r;
	return bpf_greeting(fd, EXT4 ":443");
}

static int ring_connect(void)
{
	return over_ring(0, 0, false);
}

static int ring_connect_async(void)
{
	return over_ring(0, IOSQE_ASYNC, false);
}

static int ring_connect_sqpoll(void)
{
	return over_ring(IORING_SETUP_SQPOLL, 0, false);
}

static int ring_socket(void)
{
	return over_ring(0, 0, true);
}

static int ring_socket_async(void)
{
	return over_ring(0, IOSQE_ASYNC, true);
}

static int ring_socket_sqpoll(void)
{
	return over_ring(IORING_SETUP_SQPOLL, 0, true);
}

static int tcp_53(void)
{
	return bpf_ask_tcp(tcp(AF_INET), EXT4, 53);
}

static const struct bpf_try tcp_tries[] = {
	{ "IPv4", tcp4, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "IPv6", tcp6, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "IPv6 only", tcp_v6only, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "v4-mapped", tcp_mapped, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "link-local with scope", tcp_link_local, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "non-blocking", tcp_nonblocking, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "flow information", tcp_flowinfo, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "stranger at 127.0.0.1", stranger_loopback4, ANS_OUT, ANS_PROXY, 0 },
	{ "stranger at 127.1.2.3", stranger_loopback4_other, ANS_OUT, ANS_PROXY, 0 },
	{ "stranger at ::1", stranger_loopback6, ANS_OUT, ANS_PROXY, 0 },
	{ "stranger at ::ffff:127.0.0.1", stranger_mapped, ANS_OUT, ANS_PROXY, 0 },
	{ "stranger at the own address, IPv4", stranger_own_address4, ANS_OUT, ANS_PROXY, 0 },
	{ "stranger at the own address, IPv6", stranger_own_address6, ANS_OUT, ANS_PROXY, 0 },
	{ "stranger by 0.0.0.0", stranger_any4, ANS_OUT, ANS_PROXY, 0 },
	{ "stranger by ::", stranger_any6, ANS_OUT, ANS_PROXY, 0 },
	{ "again after AF_UNSPEC", tcp_again_after_unspec, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "Fast Open, IPv4", fastopen4, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "Fast Open, IPv6", fastopen6, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "Fast Open, v4-mapped", fastopen_mapped, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "Fast Open, IPv4, non-blocking", fastopen4_nonblocking, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "Fast Open, IPv6, non-blocking", fastopen6_nonblocking, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "TCP_FASTOPEN_CONNECT", fastopen_connect, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "TCP_FASTOPEN_NO_COOKIE", fastopen_no_cookie, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "bound to the own address, IPv4", bound_own4, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "bound to the own address, IPv6", bound_own6, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "bound to 127.9.9.9", bound_loopback, ANS_ANY, ANS_PROXY, 0 },
	{ "SO_MARK", with_mark, ANS_EXT, ANS_PROXY, TRY_FRAME | TRY_ROOT },
	{ "socket from before unshare(NEWNET)", before_unshare_newnet, ANS_EXT, ANS_PROXY,
	  TRY_FRAME | TRY_ROOT },
	{ "unshare(NEWCGROUP)", after_unshare_newcgroup, ANS_EXT, ANS_PROXY, TRY_FRAME | TRY_ROOT },
	{ "io_uring connect", ring_connect, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "io_uring connect, async", ring_connect_async, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "io_uring connect, SQPOLL", ring_connect_sqpoll, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "io_uring socket", ring_socket, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "io_uring socket, async", ring_socket_async, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "io_uring socket, SQPOLL", ring_socket_sqpoll, ANS_EXT, ANS_PROXY, TRY_FRAME },
	{ "TCP port 53", tcp_53, ANS_EXT, ANS_PROXY, TRY_FRAME },
};

static void test_tcp_every_way(void **state)
{
	(void)state;
	bpf_tries(tcp_tries, ARRAY_SIZE(tcp_tries), bpf_frame.held);
}

/* ---- DNS over UDP ---- */

static int dns_sendto4(void)
{
	return bpf_ask_udp(udp(AF_INET), EXT4, 53);
}

static int dns_sendto6(void)
{
	return bpf_ask_udp(udp(AF_INET6), EXT6, 53);
}

static int dns_sendto_mapped(void)
{
	return bpf_ask_udp(udp(AF_INET6), EXT4IN6, 53);
}

static int dns_stub(void)
{
	return bpf_ask_udp(udp(AF_INET), "127.0.0.53", 53);
}

static int dns_in_on_6(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 53, &n);
	int fd = udp(AF_INET6);

	if (sendto(fd, "nono", 4, 0, (struct sockaddr *)&ss, n) < 0)
		return errno;
	ss = bpf_addr(EXT4IN6, 53, &n);
	return bpf_answer(fd, &ss);
}

static int dns_connected(int family, const char *ip)
{
	socklen_t n, seen_n = sizeof(struct sockaddr_storage);
	struct sockaddr_storage ss = bpf_addr(ip, 53, &n), seen = { 0 };
	int fd = udp(family);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0 ||
	    getpeername(fd, (struct sockaddr *)&seen, &seen_n) < 0 || send(fd, "nono", 4, 0) < 0)
		return errno;
	if (seen_n != n || memcmp(&seen, &ss, n))
		return ANS_WRONG;
	return bpf_answer(fd, &ss);
}

static int dns_connected4(void)
{
	return dns_connected(AF_INET, EXT4);
}

static int dns_connected6(void)
{
	return dns_connected(AF_INET6, EXT6);
}

static int dns_connected_mapped(void)
{
	return dns_connected(AF_INET6, EXT4IN6);
}

static int dns_sendmmsg(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 53, &n);
	char text[] = "nono";
	struct iovec iov = { text, 4 };
	struct mmsghdr m[2];
	int fd = udp(AF_INET);

	memset(m, 0, sizeof(m));
	for (size_t i = 0; i < 2; i++)
		m[i].msg_hdr = (struct msghdr){
			.msg_name = &ss, .msg_namelen = n, .msg_iov = &iov, .msg_iovlen = 1
		};
	if (sendmmsg(fd, m, 2, 0) != 2)
		return errno;
	if (bpf_answer(fd, &ss) == ANS_WRONG)
		return ANS_WRONG;
	return bpf_answer(fd, &ss);
}

static int dns_corked(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 53, &n);
	int fd = udp(AF_INET);

	if (sendto(fd, "no", 2, MSG_MORE, (struct sockaddr *)&ss, n) < 0 ||
	    sendto(fd, "no", 2, 0, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_answer(fd, &ss);
}

static int dns_ring(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 53, &n);
	int fd = udp(AF_INET), r = bpf_ring_send(0, 0, fd, "nono", 4, &ss, n);

	return r < 0 ? -r : bpf_answer(fd, &ss);
}

static const struct bpf_try dns_tries[] = {
	{ "sendto, IPv4", dns_sendto4, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "sendto, IPv6", dns_sendto6, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "sendto, v4-mapped", dns_sendto_mapped, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "sendto, sockaddr_in on AF_INET6", dns_in_on_6, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "a stub of the host's at 127.0.0.53", dns_stub, ANS_OUT, ANS_DNS, 0 },
	{ "connect, IPv4", dns_connected4, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "connect, IPv6", dns_connected6, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "connect, v4-mapped", dns_connected_mapped, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "sendmmsg", dns_sendmmsg, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "corked", dns_corked, ANS_EXT, ANS_DNS, TRY_FRAME },
	{ "io_uring sendmsg", dns_ring, ANS_EXT, ANS_DNS, TRY_FRAME },
};

static void test_dns_every_way(void **state)
{
	(void)state;
	bpf_tries(dns_tries, ARRAY_SIZE(dns_tries), bpf_frame.held);
}

/* ---- cgroups ---- */

/* A socket belongs to the cgroup in which it was made, wherever its process goes. */
static int made_inside_moved_out(void)
{
	int fd = tcp(AF_INET);

	if (bpf_join(bpf_frame.plain) < 0)
		return ANS_BROKEN;
	return bpf_ask_tcp(fd, EXT4, 443);
}

static void test_socket_made_inside_then_moved_out(void **state)
{
	unsigned long before = bpf_frames();

	(void)state;
	assert_int_equal(bpf_run(made_inside_moved_out, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(bpf_frames(), before);
}

static void test_cgroup_made_later_inside(void **state)
{
	char sub[300];
	unsigned long before = bpf_frames();

	(void)state;
	(void)snprintf(sub, sizeof(sub), "%s/later", bpf_frame.held);
	assert_int_equal(mkdir(sub, 0755), 0);
	assert_int_equal(bpf_run(tcp4, sub, 0), ANS_PROXY);
	assert_int_equal(bpf_run(dns_sendto4, sub, 65534), ANS_DNS);
	assert_int_equal(bpf_frames(), before);
	(void)rmdir(sub);
}

/* ---- the proxy's own places ---- */

static int explicit_port(void)
{
	return bpf_ask_tcp(tcp(AF_INET), "127.0.0.1", bpf_frame.netns.explicit4);
}

static int transparent_port(void)
{
	return bpf_ask_tcp(tcp(AF_INET), "127.0.0.1", bpf_frame.netns.tcp4);
}

static int dns_port_connect(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", bpf_frame.netns.dns4, &n);
	int fd = udp(AF_INET);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0 || send(fd, "nono", 4, 0) < 0)
		return errno;
	return bpf_answer(fd, &ss);
}

static int dns_port_sendto(void)
{
	return bpf_ask_udp(udp(AF_INET), "127.0.0.1", bpf_frame.netns.dns4);
}

static void test_places_of_the_proxy(void **state)
{
	(void)state;
	assert_int_equal(bpf_run(explicit_port, bpf_frame.held, 0), ANS_EXPLICIT);
	/* Turned like any other, with itself as the destination: the proxy sees the loop. */
	assert_int_equal(bpf_run(transparent_port, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(bpf_run(dns_port_connect, bpf_frame.held, 0), ANS_DNS);
	assert_int_equal(bpf_run(dns_port_sendto, bpf_frame.held, 0), ANS_DNS);
}

/* ---- a namespace without IPv6 ---- */

static void test_ipv6_destinations_without_ipv6(void **state)
{
	struct redirect_netns ns = bpf_frame.netns;

	(void)state;
	ns.no_ipv6 = true;
	ns.tcp6 = ns.dns6 = 0;
	assert_int_equal(redirect_serve_netns(bpf_frame.redirect, &ns), 0);
	assert_int_equal(bpf_run(tcp6, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(bpf_run(tcp4, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(bpf_run(tcp_mapped, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(bpf_run(fastopen6, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(bpf_run(dns_connected6, bpf_frame.held, 0), ANS_DNS);
	assert_int_equal(bpf_run(dns_sendto_mapped, bpf_frame.held, 0), ANS_DNS);
	/* These two cannot be helped: refused, and not sent. */
	assert_int_equal(bpf_run(dns_sendto6, bpf_frame.held, 0), ENETUNREACH);
	assert_int_equal(bpf_run(tcp_v6only, bpf_frame.held, 0), ENETUNREACH);
	assert_int_equal(redirect_serve_netns(bpf_frame.redirect, &bpf_frame.netns), 0);
	assert_int_equal(bpf_run(dns_sendto6, bpf_frame.held, 0), ANS_DNS);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_every_way),
		cmocka_unit_test(test_dns_every_way),
		cmocka_unit_test(test_socket_made_inside_then_moved_out),
		cmocka_unit_test(test_cgroup_made_later_inside),
		cmocka_unit_test(test_places_of_the_proxy),
		cmocka_unit_test(test_ipv6_destinations_without_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
