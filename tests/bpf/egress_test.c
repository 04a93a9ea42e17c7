/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall by itself: egress, with the programs that would have refused earlier left out on
 * purpose. And its table of packets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/bpf_frame.h"

static char bare[256]; /* a cgroup without sock_create and setsockopt */

static int udp(int family)
{
	return socket(family, SOCK_DGRAM, 0);
}

static int connect_to(int fd, const char *ip, int port)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);

	return bpf_result(connect(fd, (struct sockaddr *)&ss, n));
}

/* A SYN that egress drops gives no error: connect() shall not wait for one. */
static void be_quick(int fd)
{
	struct timeval t = { .tv_usec = 400000 };

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static int to_device(int fd)
{
	be_quick(fd);
	return bpf_result(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, CTR_DEV, sizeof(CTR_DEV)));
}

static int device_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), e = to_device(fd);

	return e ? e : bpf_ask_tcp(fd, EXT4, 443);
}

static int device_tcp6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0), e = to_device(fd);

	return e ? e : bpf_ask_tcp(fd, EXT6, 443);
}

static int device_udp53(void)
{
	int fd = udp(AF_INET), e = to_device(fd);

	return e ? e : bpf_ask_udp(fd, EXT4, 53);
}

static int device_udp53_connected(void)
{
	int fd = udp(AF_INET), e = to_device(fd);

	if (!e)
		e = connect_to(fd, EXT4, 53);
	if (e)
		return e;
	return send(fd, "nono", 4, 0) < 0 ? errno : bpf_answer(fd, NULL);
}

static int to_index(int fd)
{
	int index = (int)if_nametoindex(CTR_DEV);

	be_quick(fd);
	return bpf_result(
		setsockopt(fd, SOL_SOCKET, 62 /* SO_BINDTOIFINDEX */, &index, sizeof(index)));
}

static int index_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), e = to_index(fd);

	return e ? e : bpf_ask_tcp(fd, EXT4, 443);
}

static int index_udp53_6(void)
{
	int fd = udp(AF_INET6), e = to_index(fd);

	return e ? e : bpf_ask_udp(fd, EXT6, 53);
}

static int device_fastopen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), e = to_device(fd);
	socklen_t n;
	struct sockaddr_storage to = bpf_addr(EXT4, 443, &n);

	if (e)
		return e;
	if (sendto(fd, "nono", 4, MSG_FASTOPEN, (struct sockaddr *)&to, n) < 0)
		return errno;
	return bpf_greeting(fd, NULL);
}

/* Bound to the device only when it is connected to the proxy already. */
static int device_after_connect(void)
{
	int fd = udp(AF_INET), e = connect_to(fd, EXT4, 53);

	if (!e)
		e = to_device(fd);
	if (e)
		return e;
	return send(fd, "nono", 4, 0) < 0 ? errno : bpf_answer(fd, NULL);
}

static int unicast_if(void)
{
	uint32_t device_be = htonl(if_nametoindex(CTR_DEV));
	int fd = udp(AF_INET);

	if (setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &device_be, sizeof(device_be)) < 0)
		return errno;
	return bpf_ask_udp(fd, EXT4, 53);
}

static int unicast_if6(void)
{
	uint32_t device_be = htonl(if_nametoindex(CTR_DEV));
	int fd = udp(AF_INET6);

	if (setsockopt(fd, IPPROTO_IPV6, 76 /* IPV6_UNICAST_IF */, &device_be, sizeof(device_be)) <
	    0)
		return errno;
	return bpf_ask_udp(fd, EXT6, 53);
}

/* Control data is seen by no setsockopt program. */
static int with_control(int fd, const char *ip, int level, int type, const void *data, size_t n)
{
	socklen_t to_n;
	struct sockaddr_storage to = bpf_addr(ip, 53, &to_n);
	char text[] = "nono";
	struct iovec iov = { text, 4 };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(64)];
	} c;
	struct msghdr m = { .msg_name = &to,
			    .msg_namelen = to_n,
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &c,
			    .msg_controllen = CMSG_SPACE(n) };

	memset(&c, 0, sizeof(c));
	c.head.cmsg_level = level;
	c.head.cmsg_type = type;
	c.head.cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(&c.head), data, n);
	return sendmsg(fd, &m, 0) < 0 ? errno : ANS_SENT;
}

static int pktinfo4(void)
{
	struct in_pktinfo i = { .ipi_ifindex = (int)if_nametoindex(CTR_DEV) };

	return with_control(udp(AF_INET), EXT4, IPPROTO_IP, IP_PKTINFO, &i, sizeof(i));
}

static int pktinfo6(void)
{
	struct in6_pktinfo i = { .ipi6_ifindex = if_nametoindex(CTR_DEV) };

	return with_control(udp(AF_INET6), EXT6, IPPROTO_IPV6, IPV6_PKTINFO, &i, sizeof(i));
}

/* A loose source route over ext. */
static const uint8_t source_route[] = { 131, 7, 4, 192, 0, 2, 1, 0 };

static int source_route_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, source_route, sizeof(source_route)) < 0)
		return errno;
	return bpf_ask_tcp_soon(fd, "198.51.100.9", 443);
}

static int source_route_udp(void)
{
	int fd = udp(AF_INET);
	socklen_t n;
	struct sockaddr_storage to = bpf_addr("198.51.100.9", 53, &n);

	if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, source_route, sizeof(source_route)) < 0)
		return errno;
	return sendto(fd, "nono", 4, 0, (struct sockaddr *)&to, n) < 0 ? errno : ANS_SENT;
}

static int source_route_control(void)
{
	return with_control(udp(AF_INET), "198.51.100.9", IPPROTO_IP, IP_RETOPTS, source_route,
			    sizeof(source_route));
}

/* A segment routing header (RFC 8754) with two segments. */
static void segments(uint8_t out[40])
{
	socklen_t n;
	struct sockaddr_storage hop = bpf_addr(EXT6, 0, &n);

	memset(out, 0, 40);
	out[1] = 4;
	out[2] = 4;
	out[3] = 1;
	out[4] = 1;
	memcpy(out + 24, &((struct sockaddr_in6 *)&hop)->sin6_addr, 16);
}

static int segments_tcp(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	uint8_t header[40];

	segments(header);
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, header, sizeof(header)) < 0)
		return errno;
	return bpf_ask_tcp_soon(fd, "2001:db8:9::9", 443);
}

static int segments_udp(void)
{
	int fd = udp(AF_INET6);
	uint8_t header[40];
	socklen_t n;
	struct sockaddr_storage to = bpf_addr("2001:db8:9::9", 53, &n);

	segments(header);
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, header, sizeof(header)) < 0)
		return errno;
	return sendto(fd, "nono", 4, 0, (struct sockaddr *)&to, n) < 0 ? errno : ANS_SENT;
}

static int lite_connected(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 136), e;

	if (fd < 0)
		return errno;
	e = connect_to(fd, EXT4, 9999);
	if (e)
		return e;
	return send(fd, "nono", 4, 0) < 0 ? errno : ANS_SENT;
}

static int echo(int family, int type, int protocol, const char *ip)
{
	struct icmphdr h = { .type = family == AF_INET ? ICMP_ECHO : 128 };
	socklen_t n;
	struct sockaddr_storage to = bpf_addr(ip, 0, &n);
	int fd = socket(family, type, protocol);

	if (fd < 0)
		return errno;
	return sendto(fd, &h, sizeof(h), 0, (struct sockaddr *)&to, n) < 0 ? errno : ANS_SENT;
}

static int ping4(void)
{
	return echo(AF_INET, SOCK_DGRAM, IPPROTO_ICMP, EXT4);
}

static int ping6(void)
{
	return echo(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6, EXT6);
}

static int ping_connected(void)
{
	struct icmphdr h = { .type = ICMP_ECHO };
	int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), e;

	if (fd < 0)
		return errno;
	e = connect_to(fd, EXT4, 0);
	if (e)
		return e;
	return send(fd, &h, sizeof(h), 0) < 0 ? errno : ANS_SENT;
}

static int raw4(void)
{
	return echo(AF_INET, SOCK_RAW, IPPROTO_ICMP, EXT4);
}

static int raw6(void)
{
	return echo(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, EXT6);
}

/* A datagram written by hand, to somebody else's service on loopback. */
static int raw_by_hand(void)
{
	uint8_t p[32] = { 0x45,
			  0,
			  0,
			  32,
			  0,
			  0,
			  0,
			  0,
			  64,
			  IPPROTO_UDP,
			  0,
			  0,
			  127,
			  0,
			  0,
			  1,
			  127,
			  0,
			  0,
			  1,
			  0x30,
			  0x39,
			  OUT_PORT >> 8,
			  OUT_PORT & 0xff,
			  0,
			  12,
			  0,
			  0,
			  'n',
			  'o' };
	socklen_t n;
	struct sockaddr_storage to = bpf_addr("127.0.0.1", 0, &n);
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

	if (fd < 0)
		return errno;
	return sendto(fd, p, sizeof(p), 0, (struct sockaddr *)&to, n) < 0 ? errno : ANS_SENT;
}

static const struct bpf_try tries[] = {
	{ "SO_BINDTODEVICE, TCP", device_tcp, ANS_EXT, ENETUNREACH, TRY_FRAME },
	{ "SO_BINDTODEVICE, TCP, IPv6", device_tcp6, ANS_EXT, ENETUNREACH, TRY_FRAME },
	{ "SO_BINDTODEVICE, UDP 53", device_udp53, ANS_EXT, ENETUNREACH, TRY_FRAME },
	{ "SO_BINDTODEVICE, UDP 53, connected", device_udp53_connected, ANS_EXT, ENETUNREACH,
	  TRY_FRAME },
	{ "SO_BINDTODEVICE, Fast Open", device_fastopen, ANS_EXT, ENETUNREACH, TRY_FRAME },
	{ "SO_BINDTODEVICE after connect", device_after_connect, ANS_EXT, ANS_ANY, TRY_FRAME },
	{ "SO_BINDTOIFINDEX, TCP", index_tcp, ANS_EXT, ENETUNREACH, TRY_FRAME },
	{ "SO_BINDTOIFINDEX, UDP 53, IPv6", index_udp53_6, ANS_EXT, ENETUNREACH, TRY_FRAME },
	{ "IP_UNICAST_IF", unicast_if, ANS_EXT, EPERM, TRY_FRAME },
	{ "IPV6_UNICAST_IF", unicast_if6, ANS_EXT, ANS_ANY, TRY_FRAME },
	{ "IP_PKTINFO", pktinfo4, ANS_SENT, EPERM, TRY_FRAME },
	{ "IPV6_PKTINFO", pktinfo6, ANS_SENT, ANS_ANY, TRY_FRAME },
	{ "source route, TCP", source_route_tcp, ANS_ANY, ANS_QUIET, TRY_FRAME | TRY_ROOT },
	{ "source route, UDP", source_route_udp, ANS_SENT, EPERM, TRY_FRAME | TRY_ROOT },
	{ "source route, control data", source_route_control, ANS_SENT, EPERM,
	  TRY_FRAME | TRY_ROOT },
	{ "segment routing, TCP", segments_tcp, ANS_ANY, ANS_QUIET, TRY_FRAME },
	{ "segment routing, UDP", segments_udp, ANS_SENT, EPERM, TRY_FRAME },
	{ "UDP-Lite, connected", lite_connected, ANS_SENT, EPERM, TRY_FRAME | TRY_ABSENT },
	{ "ping, IPv4", ping4, ANS_SENT, EPERM, TRY_FRAME },
	/* The kernel does not tell the sender of this one. */
	{ "ping, IPv6", ping6, ANS_SENT, ANS_ANY, TRY_FRAME },
	{ "ping, connected", ping_connected, ANS_SENT, EPERM, TRY_FRAME },
	{ "raw, IPv4", raw4, ANS_SENT, EPERM, TRY_FRAME | TRY_ROOT },
	{ "raw, IPv6", raw6, ANS_SENT, EPERM, TRY_FRAME | TRY_ROOT },
	{ "raw, to a stranger on loopback", raw_by_hand, ANS_SENT, EPERM, TRY_ROOT },
};

static void test_nothing_leaves_without_the_early_refusals(void **state)
{
	const char *const without[] = { "sock_create", "setsockopt", NULL };

	(void)state;
	assert_int_equal(bpf_frame_attach("bare", without, bare, sizeof(bare)), 0);
	bpf_tries(tries, ARRAY_SIZE(tries), bare);
}

/* ---- and without any other program at all ---- */

static int plain_tcp4(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET, SOCK_STREAM, 0), EXT4, 443);
}

static int plain_tcp6(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET6, SOCK_STREAM, 0), EXT6, 443);
}

static int plain_mapped(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET6, SOCK_STREAM, 0), EXT4IN6, 443);
}

static int plain_mptcp(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET, SOCK_STREAM, 262), EXT4, 443);
}

static int plain_udp4(void)
{
	return bpf_ask_udp(udp(AF_INET), EXT4, 9999);
}

static int plain_udp6(void)
{
	return bpf_ask_udp(udp(AF_INET6), EXT6, 53);
}

static int plain_udp_connected(void)
{
	int fd = udp(AF_INET), e = connect_to(fd, EXT4, 9999);

	if (e)
		return e;
	return send(fd, "nono", 4, 0) < 0 ? errno : bpf_answer(fd, NULL);
}

static int stranger_tcp(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET, SOCK_STREAM, 0), "127.0.0.1", OUT_PORT);
}

static int stranger_udp(void)
{
	return bpf_ask_udp(udp(AF_INET), "127.0.0.1", OUT_PORT);
}

static int group(void)
{
	return bpf_ask_udp(udp(AF_INET), "224.0.0.251", 5353);
}

static const struct bpf_try wall[] = {
	{ "TCP, IPv4", plain_tcp4, ANS_EXT, ANS_QUIET, TRY_FRAME },
	{ "TCP, IPv6", plain_tcp6, ANS_EXT, ANS_QUIET, TRY_FRAME },
	{ "TCP, v4-mapped", plain_mapped, ANS_EXT, ANS_QUIET, TRY_FRAME },
	{ "MPTCP", plain_mptcp, ANS_EXT, ANS_QUIET, TRY_FRAME | TRY_ABSENT },
	{ "UDP, IPv4", plain_udp4, ANS_EXT, EPERM, TRY_FRAME },
	{ "UDP, IPv6", plain_udp6, ANS_EXT, ANS_ANY, TRY_FRAME },
	{ "UDP, connected", plain_udp_connected, ANS_EXT, EPERM, TRY_FRAME },
	{ "multicast", group, ANS_QUIET, EPERM, TRY_FRAME },
	{ "a stranger's service, TCP", stranger_tcp, ANS_OUT, ANS_QUIET, 0 },
	{ "a stranger's service, UDP", stranger_udp, ANS_OUT, EPERM, 0 },
};

static void test_egress_alone_is_a_wall(void **state)
{
	const char *const without[] = { "connect4",   "connect6",     "sendmsg4",
					"sendmsg6",   "recvmsg4",     "recvmsg6",
					"bind4",      "getpeername4", "getpeername6",
					"bind6",      "sock_create",  "sock_ops",
					"setsockopt", "skb_ingress",  NULL };
	struct bpf_try bared[ARRAY_SIZE(tries)];
	char alone[256];
	size_t n = 0;

	(void)state;
	assert_int_equal(bpf_frame_attach("alone", without, alone, sizeof(alone)), 0);
	bpf_tries(wall, ARRAY_SIZE(wall), alone);
	/* Those that connect and sendmsg have stopped above: here egress does, and the wire tells. */
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		if (tries[i].with != ENETUNREACH)
			continue;
		bared[n] = tries[i];
		bared[n++].with = ANS_ANY;
	}
	assert_true(n > 4);
	bpf_tries(bared, n, alone);
}

/* ---- packets ---- */

enum receiver { TO_PROXY, TO_DNS, TO_STRANGER, TO_NOBODY };

struct packet_row {
	const char *name;
	int family;
	enum receiver to;
	int at, value; /* one byte after the Ethernet header that is changed; at < 0: none */
	size_t length; /* 0: whole */
	bool other_device;
	int passes;
};

/* Offsets: IPv4 protocol 9, flags 6; IPv6 next header 6. */
static const struct packet_row packets[] = {
	{ "TCP to the proxy", 4, TO_PROXY, -1, 0, 0, false, 1 },
	{ "TCP to the proxy, IPv6", 6, TO_PROXY, -1, 0, 0, false, 1 },
	{ "UDP to the DNS listener", 4, TO_DNS, -1, 0, 0, false, 1 },
	{ "UDP to the DNS listener, IPv6", 6, TO_DNS, -1, 0, 0, false, 1 },
	{ "TCP to nobody (a reset)", 4, TO_NOBODY, -1, 0, 0, false, 1 },
	{ "TCP to a stranger", 4, TO_STRANGER, -1, 0, 0, false, 0 },
	{ "TCP to a stranger, IPv6", 6, TO_STRANGER, -1, 0, 0, false, 0 },
	{ "UDP to a stranger", 4, TO_STRANGER, 9, IPPROTO_UDP, 0, false, 0 },
	{ "UDP to nobody", 4, TO_NOBODY, 9, IPPROTO_UDP, 0, false, 0 },
	{ "another device", 4, TO_PROXY, -1, 0, 0, true, 0 },
	{ "another device, IPv6", 6, TO_PROXY, -1, 0, 0, true, 0 },
	{ "IPv4 options", 4, TO_PROXY, 0, 0x46, 0, false, 0 },
	{ "IPv4 header too short", 4, TO_PROXY, 0, 0x44, 0, false, 0 },
	{ "IPv4 with another version", 4, TO_PROXY, 0, 0x65, 0, false, 0 },
	{ "first fragment", 4, TO_PROXY, 6, 0x20, 0, false, 0 },
	{ "later fragment", 4, TO_PROXY, 7, 0x01, 0, false, 0 },
	{ "later fragment, high bits", 4, TO_PROXY, 6, 0x10, 0, false, 0 },
	{ "do not fragment", 4, TO_PROXY, 6, 0x40, 0, false, 1 },
	{ "ICMP", 4, TO_PROXY, 9, IPPROTO_ICMP, 0, false, 0 },
	{ "IGMP", 4, TO_PROXY, 9, 2, 0, false, 0 },
	{ "UDP-Lite", 4, TO_DNS, 9, 136, 0, false, 0 },
	{ "SCTP", 4, TO_PROXY, 9, 132, 0, false, 0 },
	{ "DCCP", 4, TO_PROXY, 9, 33, 0, false, 0 },
	{ "GRE", 4, TO_PROXY, 9, 47, 0, false, 0 },
	{ "IPv4 in IPv4", 4, TO_PROXY, 9, 4, 0, false, 0 },
	{ "ESP", 4, TO_PROXY, 9, 50, 0, false, 0 },
	{ "unknown protocol", 4, TO_PROXY, 9, 253, 0, false, 0 },
	{ "broadcast", 4, TO_DNS, 17, 0xff, 0, false, 0 },
	{ "hop-by-hop options", 6, TO_PROXY, 6, 0, 0, false, 0 },
	{ "routing header", 6, TO_PROXY, 6, 43, 0, false, 0 },
	{ "fragment header", 6, TO_PROXY, 6, 44, 0, false, 0 },
	{ "destination options", 6, TO_PROXY, 6, 60, 0, false, 0 },
	{ "authentication header", 6, TO_PROXY, 6, 51, 0, false, 0 },
	{ "no next header", 6, TO_PROXY, 6, 59, 0, false, 0 },
	{ "ICMPv6", 6, TO_PROXY, 6, IPPROTO_ICMPV6, 0, false, 0 },
	{ "IPv6 with another version", 6, TO_PROXY, 0, 0x45, 0, false, 0 },
	{ "IPv4 cut in the ports", 4, TO_PROXY, -1, 0, 22, false, 0 },
	{ "IPv6 cut in the ports", 6, TO_PROXY, -1, 0, 42, false, 0 },
	{ "neither IPv4 nor IPv6", 0, TO_PROXY, -1, 0, 0, false, 0 },
};

static int egress_program(void)
{
	struct bpf_link_info info = { 0 };
	uint32_t n = sizeof(info);
	int link = bpf_obj_get("/sys/fs/bpf/held/link_skb_egress");

	if (link < 0 || bpf_obj_get_info_by_fd(link, &info, &n) < 0)
		return -1;
	(void)close(link);
	return bpf_prog_get_fd_by_id(info.prog_id);
}

static void build(const struct packet_row *row, uint8_t *p)
{
	const struct redirect_netns *ns = &bpf_frame.netns;
	const uint16_t ports[2][4] = { { ns->tcp4, ns->dns4, OUT_PORT, 9 },
				       { ns->tcp6, ns->dns6, OUT_PORT, 9 } };
	uint8_t *ip = p + 14, proto = row->to == TO_DNS ? IPPROTO_UDP : IPPROTO_TCP, *l4;
	bool six = row->family == 6;
	uint16_t port = ports[six][row->to];

	memset(p, 0, 96);
	p[12] = six ? 0x86 : 0x08;
	p[13] = six ? 0xdd : 0x00;
	if (!row->family)
		p[13] = 0x06;
	if (six) {
		ip[0] = 0x60;
		ip[5] = 40;
		ip[6] = proto;
		ip[7] = 64;
		ip[23] = 1;
		ip[39] = 1;
		l4 = ip + 40;
	} else {
		ip[0] = 0x45;
		ip[3] = 60;
		ip[8] = 64;
		ip[9] = proto;
		ip[12] = ip[16] = 127;
		ip[15] = ip[19] = 1;
		l4 = ip + 20;
	}
	l4[0] = 0x9c;
	l4[2] = (uint8_t)(port >> 8);
	l4[3] = (uint8_t)port;
	l4[12] = 0x50;
	if (row->at >= 0)
		ip[row->at] = (uint8_t)row->value;
}

static void test_table_of_packets(void **state)
{
	int prog = egress_program();
	unsigned int bad = 0;

	(void)state;
	assert_true(prog >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		const struct packet_row *row = &packets[i];
		struct __sk_buff ctx = { .ifindex = row->other_device ? if_nametoindex(CTR_DEV)
								      : 1 };
		uint8_t data[96];
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = data,
			    .data_size_in = (uint32_t)(14 + (row->length ? row->length : 80)),
			    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
		int r;

		build(row, data);
		r = bpf_prog_test_run_opts(prog, &o);
		if (r < 0 || (int)o.retval != row->passes) {
			print_error("%s: run %d, verdict %u, expected %d\n", row->name, r, o.retval,
				    row->passes);
			bad++;
		}
	}
	(void)close(prog);
	assert_int_equal(bad, 0);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_leaves_without_the_early_refusals),
		cmocka_unit_test(test_egress_alone_is_a_wall),
		cmocka_unit_test(test_table_of_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
