/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be refused at once, with an error: datagrams that are not DNS, kinds of sockets, ports,
 * options, other namespaces. Each shows without programs that it would have worked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/udp.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_ring.h"

#define PORT 9999

#define PROTO_DCCP  33
#define PROTO_SCTP  132
#define PROTO_LITE  136
#define PROTO_SMC   256
#define PROTO_MPTCP 262

static int udp(int family)
{
	return socket(family, SOCK_DGRAM, 0);
}

static int device(void)
{
	return (int)if_nametoindex(CTR_DEV);
}

static int send_to(int fd, const char *ip, int port)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);

	return sendto(fd, "nono", 4, 0, (struct sockaddr *)&ss, n) < 0 ? errno : ANS_SENT;
}

static int connect_to(int fd, const char *ip, int port)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);

	return bpf_result(connect(fd, (struct sockaddr *)&ss, n));
}

/* ---- datagrams ---- */

static int connected(int family, const char *ip)
{
	int fd = udp(family), e = connect_to(fd, ip, PORT);

	/* The connect itself passes: programs ask the routing table that way. */
	if (e)
		return ANS_WRONG;
	return send(fd, "nono", 4, 0) < 0 ? errno : bpf_answer(fd, NULL);
}

static int connected4(void)
{
	return connected(AF_INET, EXT4);
}

static int connected6(void)
{
	return connected(AF_INET6, EXT6);
}

static int connected_mapped(void)
{
	return connected(AF_INET6, EXT4IN6);
}

static int sendto4(void)
{
	return bpf_ask_udp(udp(AF_INET), EXT4, PORT);
}

static int sendto6(void)
{
	return bpf_ask_udp(udp(AF_INET6), EXT6, PORT);
}

static int sendto_mapped(void)
{
	return bpf_ask_udp(udp(AF_INET6), EXT4IN6, PORT);
}

static int sendto_in_on_6(void)
{
	return send_to(udp(AF_INET6), EXT4, PORT);
}

static int sendto_link_local(void)
{
	return send_to(udp(AF_INET6), EXT_LINK6, PORT);
}

static int sendto_quic(void)
{
	return bpf_ask_udp(udp(AF_INET), EXT4, 443);
}

static int sendto_unspec_family(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, PORT, &n);
	int fd = udp(AF_INET);

	ss.ss_family = AF_UNSPEC;
	return sendto(fd, "nono", 4, 0, (struct sockaddr *)&ss, n) < 0 ? errno : ANS_SENT;
}

static int with_mmsg(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, PORT, &n);
	char text[] = "nono";
	struct iovec iov = { text, 4 };
	struct mmsghdr m = {
		.msg_hdr = { .msg_name = &ss, .msg_namelen = n, .msg_iov = &iov, .msg_iovlen = 1 }
	};

	return sendmmsg(udp(AF_INET), &m, 1, 0) < 0 ? errno : ANS_SENT;
}

static int with_gso(void)
{
	char big[4000] = "nono";
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, PORT, &n);
	int fd = udp(AF_INET), size = 1000;

	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
		return errno;
	return sendto(fd, big, sizeof(big), 0, (struct sockaddr *)&ss, n) < 0 ? errno : ANS_SENT;
}

static int with_gso_connected(void)
{
	char big[4000] = "nono";
	int fd = udp(AF_INET), size = 1000;

	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0 ||
	    connect_to(fd, EXT4, PORT))
		return ANS_BROKEN;
	return send(fd, big, sizeof(big), 0) < 0 ? errno : ANS_SENT;
}

static int with_zerocopy(void)
{
	char big[1200] = "nono";
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, PORT, &n);
	int fd = udp(AF_INET), one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) < 0)
		return errno;
	return sendto(fd, big, sizeof(big), MSG_ZEROCOPY, (struct sockaddr *)&ss, n) < 0 ? errno
											 : ANS_SENT;
}

static int with_more(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, PORT, &n);
	int fd = udp(AF_INET);

	if (sendto(fd, "no", 2, MSG_MORE, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return sendto(fd, "no", 2, 0, (struct sockaddr *)&ss, n) < 0 ? errno : ANS_SENT;
}

static int with_splice(void)
{
	int fd = udp(AF_INET), p[2];

	if (connect_to(fd, EXT4, PORT) || pipe(p) < 0 || write(p[1], "nono", 4) != 4)
		return ANS_BROKEN;
	return splice(p[0], NULL, fd, NULL, 4, 0) < 0 ? errno : ANS_SENT;
}

static int with_addrform(void)
{
	int fd = udp(AF_INET6), form = AF_INET;

	if (connect_to(fd, EXT4IN6, PORT) ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &form, sizeof(form)) < 0)
		return ANS_BROKEN;
	return send(fd, "nono", 4, 0) < 0 ? errno : ANS_SENT;
}

static int with_ring(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, PORT, &n);
	int r = bpf_ring_send(0, 0, udp(AF_INET), "nono", 4, &ss, n);

	return r < 0 ? -r : ANS_SENT;
}

static int with_ring_async(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, PORT, &n);
	int r = bpf_ring_send(0, IOSQE_ASYNC, udp(AF_INET), "nono", 4, &ss, n);

	return r < 0 ? -r : ANS_SENT;
}

static int from_53_to_other_by_connect(void)
{
	int fd = udp(AF_INET);

	int e;

	if (connect_to(fd, EXT4, 53))
		return ANS_BROKEN;
	e = connect_to(fd, EXT4, PORT);
	if (e)
		return e;
	return send(fd, "nono", 4, 0) < 0 ? errno : ANS_SENT;
}

static int from_53_to_other_by_unspec(void)
{
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };
	int fd = udp(AF_INET);

	if (connect_to(fd, EXT4, 53) || connect(fd, &unspec, sizeof(unspec)) < 0 ||
	    connect_to(fd, EXT4, PORT))
		return ANS_BROKEN;
	return send(fd, "nono", 4, 0) < 0 ? errno : ANS_SENT;
}

static int from_53_to_other_by_sendto(void)
{
	int fd = udp(AF_INET);

	if (connect_to(fd, EXT4, 53))
		return ANS_BROKEN;
	return send_to(fd, EXT4, PORT);
}

static int to_stranger(void)
{
	return bpf_ask_udp(udp(AF_INET), "127.0.0.1", OUT_PORT);
}

static int to_stranger_connected(void)
{
	int fd = udp(AF_INET);

	if (connect_to(fd, "127.0.0.1", OUT_PORT))
		return ANS_BROKEN;
	return send(fd, "nono", 4, 0) < 0 ? errno : bpf_answer(fd, NULL);
}

static int to_stranger_own_address(void)
{
	return bpf_ask_udp(udp(AF_INET6), CTR6, OUT_PORT);
}

static int to_group(const char *ip, int family)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, 5353, &n);
	int fd = udp(family), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
	if (family == AF_INET6)
		((struct sockaddr_in6 *)&ss)->sin6_scope_id = (uint32_t)device();
	return sendto(fd, "nono", 4, 0, (struct sockaddr *)&ss, n) < 0 ? errno : ANS_SENT;
}

static int to_group_connected(const char *ip)
{
	int fd = udp(AF_INET), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
	if (connect_to(fd, ip, OUT_PORT))
		return ANS_BROKEN;
	return send(fd, "nono", 4, 0) < 0 ? errno : ANS_SENT;
}

static int multicast4(void)
{
	return to_group("224.0.0.251", AF_INET);
}

static int multicast6(void)
{
	return to_group("ff02::fb", AF_INET6);
}

static int broadcast_all(void)
{
	return to_group("255.255.255.255", AF_INET);
}

static int broadcast_subnet(void)
{
	return to_group("192.0.2.255", AF_INET);
}

static int broadcast_loopback(void)
{
	return to_group("127.255.255.255", AF_INET);
}

static int broadcast_loopback_connected(void)
{
	return to_group_connected("127.255.255.255");
}

static int multicast4_connected(void)
{
	return to_group_connected("224.0.0.251");
}

static const struct bpf_try datagrams[] = {
	{ "send after connect, IPv4", connected4, ANS_EXT, EPERM, TRY_FRAME },
	{ "send after connect, IPv6", connected6, ANS_EXT, EPERM, TRY_FRAME },
	{ "send after connect, v4-mapped", connected_mapped, ANS_EXT, EPERM, TRY_FRAME },
	{ "sendto, IPv4", sendto4, ANS_EXT, EPERM, TRY_FRAME },
	{ "sendto, IPv6", sendto6, ANS_EXT, EPERM, TRY_FRAME },
	{ "sendto, v4-mapped", sendto_mapped, ANS_EXT, EPERM, TRY_FRAME },
	{ "sendto, sockaddr_in on AF_INET6", sendto_in_on_6, ANS_SENT, EPERM, TRY_FRAME },
	{ "sendto, link-local", sendto_link_local, ANS_SENT, EPERM, TRY_FRAME },
	{ "sendto, QUIC's port", sendto_quic, ANS_EXT, EPERM, TRY_FRAME },
	{ "sendto, family AF_UNSPEC", sendto_unspec_family, ANS_SENT, EPERM, TRY_FRAME },
	{ "sendmmsg", with_mmsg, ANS_SENT, EPERM, TRY_FRAME },
	{ "segmentation offload", with_gso, ANS_SENT, EPERM, TRY_FRAME },
	{ "segmentation offload, connected", with_gso_connected, ANS_SENT, EPERM, TRY_FRAME },
	{ "zero copy", with_zerocopy, ANS_SENT, EPERM, TRY_FRAME },
	{ "MSG_MORE", with_more, ANS_SENT, EPERM, TRY_FRAME },
	{ "splice", with_splice, ANS_SENT, EPERM, TRY_FRAME },
	{ "IPV6_ADDRFORM", with_addrform, ANS_SENT, EPERM, TRY_FRAME },
	{ "io_uring", with_ring, ANS_SENT, EPERM, TRY_FRAME },
	{ "io_uring, async", with_ring_async, ANS_SENT, EPERM, TRY_FRAME },
	/* The first connect gave the socket a loopback source; from there is no way out. */
	{ "connected to 53, then elsewhere", from_53_to_other_by_connect, ANS_SENT, EINVAL,
	  TRY_FRAME },
	{ "connected to 53, AF_UNSPEC, elsewhere", from_53_to_other_by_unspec, ANS_SENT, EPERM,
	  TRY_FRAME },
	{ "connected to 53, sendto elsewhere", from_53_to_other_by_sendto, ANS_SENT, EPERM,
	  TRY_FRAME },
	{ "stranger on loopback", to_stranger, ANS_OUT, EPERM, 0 },
	{ "stranger on loopback, connected", to_stranger_connected, ANS_OUT, EPERM, 0 },
	{ "stranger at the own address", to_stranger_own_address, ANS_OUT, EPERM, 0 },
	{ "multicast, IPv4", multicast4, ANS_SENT, EPERM, TRY_FRAME },
	{ "multicast, IPv4, connected", multicast4_connected, ANS_SENT, EPERM, TRY_FRAME },
	{ "multicast, IPv6", multicast6, ANS_SENT, EPERM, TRY_FRAME },
	{ "broadcast to all", broadcast_all, ANS_SENT, EPERM, TRY_FRAME },
	{ "broadcast to the subnet", broadcast_subnet, ANS_SENT, EPERM, TRY_FRAME },
	{ "broadcast on loopback", broadcast_loopback, ANS_SENT, EPERM, 0 },
	{ "broadcast on loopback, connected", broadcast_loopback_connected, ANS_SENT, EPERM, 0 },
};

static void test_datagrams(void **state)
{
	(void)state;
	bpf_tries(datagrams, ARRAY_SIZE(datagrams), bpf_frame.held);
}

/* ---- kinds of sockets ---- */

static int mptcp(void)
{
	return bpf_ask_tcp(socket(AF_INET, SOCK_STREAM, PROTO_MPTCP), EXT4, 443);
}

static int mptcp6(void)
{
	return bpf_ask_tcp(socket(AF_INET6, SOCK_STREAM, PROTO_MPTCP), EXT6, 443);
}

static int lite(int family, const char *ip)
{
	int fd = socket(family, SOCK_DGRAM, PROTO_LITE);

	if (fd < 0)
		return errno;
	if (connect_to(fd, ip, PORT))
		return errno;
	return send(fd, "nono", 4, 0) < 0 ? errno : ANS_SENT;
}

static int lite4(void)
{
	return lite(AF_INET, EXT4);
}

static int lite6(void)
{
	return lite(AF_INET6, EXT6);
}

static int sctp(void)
{
	return bpf_result(socket(AF_INET, SOCK_STREAM, PROTO_SCTP));
}

static int dccp(void)
{
	return bpf_result(socket(AF_INET, 6, PROTO_DCCP));
}

static int smc(void)
{
	return bpf_result(socket(AF_INET, SOCK_STREAM, PROTO_SMC));
}

static int ping(int family, int type, int protocol, const char *ip)
{
	struct icmphdr echo = { .type = family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST };
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, 0, &n);
	int fd = socket(family, type, protocol);

	if (fd < 0)
		return errno;
	return sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&ss, n) < 0 ? errno : ANS_SENT;
}

static int ping4(void)
{
	return ping(AF_INET, SOCK_DGRAM, IPPROTO_ICMP, EXT4);
}

static int ping6(void)
{
	return ping(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6, EXT6);
}

static int raw4(void)
{
	return ping(AF_INET, SOCK_RAW, IPPROTO_ICMP, EXT4);
}

static int raw6(void)
{
	return ping(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, EXT6);
}

static int raw_udp(void)
{
	return ping(AF_INET, SOCK_RAW, 253, EXT4);
}

static int raw_ring(void)
{
	int fd = bpf_ring_socket(0, 0, AF_INET, SOCK_RAW, IPPROTO_ICMP);

	return fd < 0 ? -fd : 0;
}

static int lite_ring(void)
{
	int fd = bpf_ring_socket(0, IOSQE_ASYNC, AF_INET, SOCK_DGRAM, PROTO_LITE);

	return fd < 0 ? -fd : 0;
}

static const struct bpf_try kinds[] = {
	{ "MPTCP, IPv4", mptcp, ANS_EXT, EPERM, TRY_FRAME | TRY_ABSENT },
	{ "MPTCP, IPv6", mptcp6, ANS_EXT, EPERM, TRY_FRAME | TRY_ABSENT },
	{ "UDP-Lite, IPv4", lite4, ANS_SENT, EPERM, TRY_FRAME | TRY_ABSENT },
	{ "UDP-Lite, IPv6", lite6, ANS_SENT, EPERM, TRY_FRAME | TRY_ABSENT },
	{ "UDP-Lite by io_uring", lite_ring, 0, EPERM, TRY_ABSENT },
	{ "SCTP", sctp, 0, EPERM, TRY_ABSENT },
	{ "DCCP", dccp, 0, EPERM, TRY_ABSENT },
	{ "SMC", smc, 0, EPERM, TRY_ABSENT },
	{ "ping, IPv4", ping4, ANS_SENT, EPERM, TRY_FRAME },
	{ "ping, IPv6", ping6, ANS_SENT, EPERM, TRY_FRAME },
	{ "raw, IPv4", raw4, ANS_SENT, EPERM, TRY_FRAME | TRY_ROOT },
	{ "raw, IPv6", raw6, ANS_SENT, EPERM, TRY_FRAME | TRY_ROOT },
	{ "raw, a protocol of no use", raw_udp, ANS_SENT, EPERM, TRY_FRAME | TRY_ROOT },
	{ "raw by io_uring", raw_ring, 0, EPERM, TRY_ROOT },
};

static void test_kinds_of_sockets(void **state)
{
	(void)state;
	bpf_tries(kinds, ARRAY_SIZE(kinds), bpf_frame.held);
}

/* ---- the proxy's ports ---- */

static int bind_to(int type, const char *ip, int port)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);
	int fd = socket(ss.ss_family, type, 0), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	return bpf_result(bind(fd, (struct sockaddr *)&ss, n));
}

static int bind_tcp4(void)
{
	return bind_to(SOCK_STREAM, "127.0.0.1", bpf_frame.netns.tcp4);
}

static int bind_tcp4_any(void)
{
	return bind_to(SOCK_STREAM, "0.0.0.0", bpf_frame.netns.tcp4);
}

static int bind_tcp6(void)
{
	return bind_to(SOCK_STREAM, "::1", bpf_frame.netns.tcp6);
}

static int bind_dns4(void)
{
	return bind_to(SOCK_DGRAM, "127.0.0.1", bpf_frame.netns.dns4);
}

static int bind_dns6(void)
{
	return bind_to(SOCK_DGRAM, "::1", bpf_frame.netns.dns6);
}

static int bind_explicit(void)
{
	return bind_to(SOCK_STREAM, "127.0.0.1", bpf_frame.netns.explicit4);
}

static int bind_other(void)
{
	return bind_to(SOCK_STREAM, "127.0.0.1", 0);
}

static const struct bpf_try ports[] = {
	{ "TCP listener", bind_tcp4, EADDRINUSE, EPERM, 0 },
	{ "TCP listener's port, any address", bind_tcp4_any, EADDRINUSE, EPERM, 0 },
	{ "TCP listener, IPv6", bind_tcp6, EADDRINUSE, EPERM, 0 },
	{ "DNS listener", bind_dns4, 0, EPERM, 0 },
	{ "DNS listener, IPv6", bind_dns6, 0, EPERM, 0 },
	{ "explicit listener", bind_explicit, EADDRINUSE, EPERM, 0 },
	{ "any other port", bind_other, 0, 0, 0 },
};

static void test_ports_of_the_proxy(void **state)
{
	(void)state;
	bpf_tries(ports, ARRAY_SIZE(ports), bpf_frame.held);
}

/* ---- group membership: the kernel itself sends the frame ---- */

static int igmp_join(void)
{
	struct ip_mreqn m = { .imr_ifindex = device() };

	m.imr_multiaddr.s_addr = htonl(0xefc80102);
	return bpf_result(setsockopt(udp(AF_INET), IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)));
}

static int igmp_join_on_6(void)
{
	struct ip_mreqn m = { .imr_ifindex = device() };

	m.imr_multiaddr.s_addr = htonl(0xefc80103);
	return bpf_result(setsockopt(udp(AF_INET6), IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)));
}

static int igmp_join_source(void)
{
	struct ip_mreq_source m = { 0 };

	m.imr_multiaddr.s_addr = htonl(0xe8010203);
	m.imr_interface.s_addr = htonl(0xc0000202);
	m.imr_sourceaddr.s_addr = htonl(0xc6336401);
	return bpf_result(
		setsockopt(udp(AF_INET), IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof(m)));
}

static int mcast_join(void)
{
	struct group_req m = { .gr_interface = (uint32_t)device() };
	socklen_t n;

	m.gr_group = bpf_addr("239.200.1.4", 0, &n);
	return bpf_result(setsockopt(udp(AF_INET), IPPROTO_IP, MCAST_JOIN_GROUP, &m, sizeof(m)));
}

static int mld_join(void)
{
	struct ipv6_mreq m = { .ipv6mr_interface = (unsigned int)device() };
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("ff15::1234", 0, &n);

	m.ipv6mr_multiaddr = ((struct sockaddr_in6 *)&ss)->sin6_addr;
	return bpf_result(setsockopt(udp(AF_INET6), IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)));
}

static int mld_join_ring(void)
{
	struct ipv6_mreq m = { .ipv6mr_interface = (unsigned int)device() };
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("ff15::1235", 0, &n);
	int r;

	m.ipv6mr_multiaddr = ((struct sockaddr_in6 *)&ss)->sin6_addr;
	r = bpf_ring_setsockopt(udp(AF_INET6), IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m));
	return r < 0 ? -r : 0;
}

static const struct bpf_try joins[] = {
	{ "IGMP", igmp_join, 0, EPERM, TRY_FRAME },
	{ "IGMP by an AF_INET6 socket", igmp_join_on_6, 0, EPERM, TRY_FRAME },
	{ "IGMP, one source", igmp_join_source, 0, EPERM, TRY_FRAME },
	{ "MCAST_JOIN_GROUP", mcast_join, 0, EPERM, TRY_FRAME },
	{ "MLD", mld_join, 0, EPERM, TRY_FRAME },
	{ "MLD by io_uring", mld_join_ring, 0, EPERM, TRY_FRAME | TRY_ABSENT },
};

static void test_group_joins(void **state)
{
	(void)state;
	bpf_tries(joins, ARRAY_SIZE(joins), bpf_frame.held);
}

/* ---- options ---- */

struct option {
	int family, level, name;
};

static const struct option options[] = {
	{ AF_INET, 1, 25 },   { AF_INET, 1, 62 },   { AF_INET, 0, 3 },	   { AF_INET, 0, 4 },
	{ AF_INET, 0, 5 },    { AF_INET, 0, 15 },   { AF_INET, 0, 16 },	   { AF_INET, 0, 17 },
	{ AF_INET, 0, 19 },   { AF_INET, 0, 32 },   { AF_INET, 0, 35 },	   { AF_INET, 0, 36 },
	{ AF_INET, 0, 37 },   { AF_INET, 0, 38 },   { AF_INET, 0, 39 },	   { AF_INET, 0, 40 },
	{ AF_INET, 0, 41 },   { AF_INET, 0, 42 },   { AF_INET, 0, 43 },	   { AF_INET, 0, 44 },
	{ AF_INET, 0, 45 },   { AF_INET, 0, 46 },   { AF_INET, 0, 47 },	   { AF_INET, 0, 48 },
	{ AF_INET, 0, 50 },   { AF_INET, 0, 200 },  { AF_INET6, 0, 35 },   { AF_INET6, 0, 50 },
	{ AF_INET6, 41, 3 },  { AF_INET6, 41, 4 },  { AF_INET6, 41, 5 },   { AF_INET6, 41, 6 },
	{ AF_INET6, 41, 9 },  { AF_INET6, 41, 17 }, { AF_INET6, 41, 20 },  { AF_INET6, 41, 22 },
	{ AF_INET6, 41, 27 }, { AF_INET6, 41, 28 }, { AF_INET6, 41, 36 },  { AF_INET6, 41, 42 },
	{ AF_INET6, 41, 46 }, { AF_INET6, 41, 48 }, { AF_INET6, 41, 50 },  { AF_INET6, 41, 54 },
	{ AF_INET6, 41, 55 }, { AF_INET6, 41, 57 }, { AF_INET6, 41, 59 },  { AF_INET6, 41, 75 },
	{ AF_INET6, 41, 76 }, { AF_INET6, 41, 78 }, { AF_INET6, 41, 200 },
};

static const struct option *option;
static char option_value[16];

static int set_it(void)
{
	return bpf_result(setsockopt(udp(option->family), option->level, option->name, option_value,
				     sizeof(option_value)));
}

static int set_it_tcp(void)
{
	return bpf_result(setsockopt(socket(option->family, SOCK_STREAM, 0), option->level,
				     option->name, option_value, sizeof(option_value)));
}

static int set_it_ring(void)
{
	int r = bpf_ring_setsockopt(udp(option->family), option->level, option->name, option_value,
				    sizeof(option_value));

	return r < 0 ? -r : 0;
}

/* As root nothing but the program answers EPERM; the values need not make sense, because the name
 * decides. */
static void test_options(void **state)
{
	int (*const ways[])(void) = { set_it, set_it_tcp, set_it_ring };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		option = &options[i];
		for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
			int without = bpf_run(ways[w], bpf_frame.plain, 0);
			int with = bpf_run(ways[w], bpf_frame.held, 0);

			if (without == EPERM || with != EPERM)
				print_error("level %d option %d way %zu: %d, with programs %d\n",
					    option->level, option->name, w, without, with);
			assert_int_not_equal(without, EPERM);
			assert_int_equal(with, EPERM);
		}
	}
}

static int long_option(void)
{
	static char value[8192];
	int fd = udp(AF_INET), wanted = 20000, got = 0;
	socklen_t n = sizeof(got);

	memcpy(value, &wanted, sizeof(wanted));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, value, sizeof(value)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &n) < 0)
		return errno;
	return got == 2 * wanted ? 0 : ANS_WRONG;
}

static int harmless_options(void)
{
	const struct option ok[] = { { AF_INET, SOL_SOCKET, SO_REUSEADDR },
				     { AF_INET, SOL_SOCKET, SO_KEEPALIVE },
				     { AF_INET, IPPROTO_IP, IP_TTL },
				     { AF_INET, IPPROTO_IP, IP_TOS },
				     { AF_INET, IPPROTO_IP, IP_RECVERR },
				     { AF_INET, IPPROTO_IP, IP_PKTINFO },
				     { AF_INET6, IPPROTO_IPV6, IPV6_RECVPKTINFO },
				     { AF_INET6, IPPROTO_IPV6, IPV6_UNICAST_HOPS },
				     { AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY },
				     { AF_INET, IPPROTO_TCP, 1 /* TCP_NODELAY */ } };
	int one = 1;

	for (size_t i = 0; i < ARRAY_SIZE(ok); i++) {
		int fd = socket(ok[i].family, SOCK_STREAM, 0);

		if (setsockopt(fd, ok[i].level, ok[i].name, &one, sizeof(one)) < 0)
			return errno;
		(void)close(fd);
	}
	return 0;
}

static void test_other_options_pass(void **state)
{
	(void)state;
	assert_int_equal(bpf_run(long_option, bpf_frame.plain, 0), 0);
	assert_int_equal(bpf_run(long_option, bpf_frame.held, 0), 0);
	assert_int_equal(bpf_run(harmless_options, bpf_frame.plain, 0), 0);
	assert_int_equal(bpf_run(harmless_options, bpf_frame.held, 0), 0);
}

/* ---- other namespaces ---- */

static int in_new_namespace(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return ANS_BROKEN;
	return connect_to(socket(AF_INET, SOCK_STREAM, 0), EXT4, 443);
}

static int in_ext(void)
{
	if (setns(bpf_frame.ext_ns, CLONE_NEWNET) < 0)
		return errno;
	return bpf_ask_tcp(socket(AF_INET, SOCK_STREAM, 0), "127.0.0.1", 443);
}

static int in_on_6(void)
{
	struct sockaddr_in6 sa = { 0 };
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 443, &n);

	memcpy(&sa, &ss, n);
	return bpf_result(
		connect(socket(AF_INET6, SOCK_STREAM, 0), (struct sockaddr *)&sa, sizeof(sa)));
}

static const struct bpf_try elsewhere[] = {
	{ "unshare(NEWUSER|NEWNET)", in_new_namespace, ENETUNREACH, ECONNREFUSED, 0 },
	{ "setns to ext", in_ext, ANS_EXT, ECONNREFUSED, TRY_ROOT },
	{ "sockaddr_in on an AF_INET6 stream", in_on_6, EAFNOSUPPORT, EAFNOSUPPORT, 0 },
};

static void test_other_namespaces(void **state)
{
	(void)state;
	bpf_tries(elsewhere, ARRAY_SIZE(elsewhere), bpf_frame.held);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_kinds_of_sockets),
		cmocka_unit_test(test_ports_of_the_proxy),
		cmocka_unit_test(test_group_joins),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_other_options_pass),
		cmocka_unit_test(test_other_namespaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
