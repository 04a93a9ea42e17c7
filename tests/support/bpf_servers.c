/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/bpf_servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "redirect/origin.h"
#include "tests/support/bpf_frame.h"

#define MARKER_TYPE 0x88b5 /* IEEE: local experiments */
#define SERVED_MAX  12

static struct bpf_sniffer *the_sniffer;

/* ---- sniffer ---- */

struct marker {
	struct ethhdr eth;
	uint32_t cpu, number;
	char pad[38];
};

struct bpf_sniffer *bpf_sniffer_make(const char *device)
{
	struct bpf_sniffer *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(device),
	};
	int size = 16 << 20;

	if (s == MAP_FAILED)
		return NULL;
	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    bind(s->fd, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		return NULL;
	the_sniffer = s;
	return s;
}

/* A group that the kernel joins by itself: all nodes, all routers, solicited nodes. */
static bool kernels_own_group(const uint8_t *g)
{
	static const uint8_t solicited[13] = { 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff };

	return memcmp(g, solicited, sizeof(solicited)) == 0 ||
	       (g[0] == 0xff && g[1] <= 5 && g[15] <= 2 && g[14] == 0);
}

/* ARP, neighbour and router discovery, MLD reports about the kernel's own groups. */
static bool kernels_own(const uint8_t *f, size_t n)
{
	uint16_t type = (uint16_t)(f[12] << 8 | f[13]);
	const uint8_t *ip = f + ETH_HLEN;
	const uint8_t *icmp = ip + 40;

	if (type == ETH_P_ARP)
		return true;
	if (type != ETH_P_IPV6 || n < ETH_HLEN + 48)
		return false;
	if (ip[6] == 0 && n >= ETH_HLEN + 56 && ip[40] == IPPROTO_ICMPV6) {
		icmp = ip + 48; /* behind the router alert */
		if (icmp[0] == 143 && n >= ETH_HLEN + 48 + 8 + 20)
			return kernels_own_group(icmp + 12);
		if ((icmp[0] == 131 || icmp[0] == 132) && n >= ETH_HLEN + 48 + 24)
			return kernels_own_group(icmp + 8);
		return false;
	}
	return ip[6] == IPPROTO_ICMPV6 && icmp[0] >= 133 && icmp[0] <= 137;
}

static void describe(const uint8_t *f, size_t n, char *out, size_t out_n)
{
	size_t used = (size_t)snprintf(out, out_n, "%zu bytes:", n);

	for (size_t i = 12; i < n && i < 60 && used + 3 < out_n; i++)
		used += (size_t)snprintf(out + used, out_n - used, "%s%02x", i % 4 ? "" : " ",
					 f[i]);
}

static void sniff(struct bpf_sniffer *s)
{
	uint8_t frame[2048];
	struct sockaddr_ll from;
	socklen_t from_n = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(s->fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &from_n)) >=
	       ETH_HLEN) {
		from_n = sizeof(from);
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		if (from.sll_protocol == htons(MARKER_TYPE)) {
			struct marker m;

			memcpy(&m, frame, sizeof(m));
			if (m.cpu < SNIFFER_CPUS)
				s->marker[m.cpu] = m.number;
		} else if (!kernels_own(frame, (size_t)n)) {
			describe(frame, (size_t)n, s->last, sizeof(s->last));
			s->frames++;
		}
	}
}

static void send_marker(int fd, unsigned int device, uint32_t cpu, uint32_t number)
{
	struct marker m = { .eth = { .h_dest = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
				     .h_proto = htons(MARKER_TYPE) },
			    .cpu = cpu,
			    .number = number };
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)device,
				  .sll_halen = ETH_ALEN };

	(void)sendto(fd, &m, sizeof(m), 0, (struct sockaddr *)&to, sizeof(to));
}

bool bpf_sniffer_catch_up(struct bpf_sniffer *s, const char *device)
{
	static uint32_t number;
	cpu_set_t before, one;
	struct timespec now, end;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	bool all = false;

	if (fd < 0 || sched_getaffinity(0, sizeof(before), &before) < 0)
		return false;
	number++;
	for (uint32_t cpu = 0; cpu < SNIFFER_CPUS; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		(void)sched_setaffinity(0, sizeof(one), &one);
		send_marker(fd, if_nametoindex(device), cpu, number);
	}
	(void)sched_setaffinity(0, sizeof(before), &before);
	(void)close(fd);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 5;
	do {
		all = true;
		for (uint32_t cpu = 0; cpu < SNIFFER_CPUS; cpu++)
			if (CPU_ISSET(cpu, &before) && s->marker[cpu] != number)
				all = false;
		if (!all)
			(void)poll(NULL, 0, 1);
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!all && now.tv_sec <= end.tv_sec);
	return all;
}

/* ---- servers ---- */

int bpf_listen(int type, const char *ip, int port)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);
	int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0), one = 1, zero = 0;

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ss.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, strcmp(ip, "::") ? &one : &zero,
				 sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, n) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 1024) < 0)) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

struct served {
	int fd, type;
	const char *name;
	bool find_origin;
};

static void greet(const struct served *s)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	int fd = accept4(s->fd, (struct sockaddr *)&ss, &n, SOCK_CLOEXEC);
	char text[128], where[ENDPOINT_TEXT_MAX] = "nowhere";
	struct endpoint peer;
	struct origin o;

	if (fd < 0)
		return;
	if (s->find_origin && endpoint_from_sockaddr((struct sockaddr *)&ss, &peer) &&
	    origin_lookup(redirect_tuple_fd(bpf_frame.redirect), bpf_frame.netns.cookie, &peer,
			  &o) == 0)
		(void)endpoint_text(&o.to, where);
	(void)snprintf(text, sizeof(text), "%s %s\n", s->name, s->find_origin ? where : "");
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_WR);
	(void)close(fd);
}

static void answer(const struct served *s)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	char buf[2048];

	if (recvfrom(s->fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&ss, &n) >= 0)
		(void)sendto(s->fd, s->name, strlen(s->name), 0, (struct sockaddr *)&ss, n);
}

static void serve(const struct served *all, size_t count, struct bpf_sniffer *sniffer)
{
	struct pollfd p[SERVED_MAX + 1];

	for (size_t i = 0; i < count; i++) {
		if (all[i].fd < 0)
			_exit(1);
		p[i] = (struct pollfd){ .fd = all[i].fd, .events = POLLIN };
	}
	bpf_ready();
	p[count] = (struct pollfd){ .fd = sniffer ? sniffer->fd : -1, .events = POLLIN };
	for (;;) {
		if (poll(p, count + 1, -1) < 0 && errno != EINTR)
			_exit(1);
		if (p[count].revents)
			sniff(sniffer);
		for (size_t i = 0; i < count; i++) {
			if (!p[i].revents)
				continue;
			if (all[i].type == SOCK_STREAM)
				greet(&all[i]);
			else
				answer(&all[i]);
		}
	}
}

/* The proxy's listeners live as long as anybody holds them: those who are not the proxy must not.
 */
static void let_go_of_the_proxys(void)
{
	(void)close(bpf_frame.tcp4);
	(void)close(bpf_frame.tcp6);
	(void)close(bpf_frame.dns4);
	(void)close(bpf_frame.dns6);
	(void)close(bpf_frame.explicit4);
}

void bpf_serve_ext(void)
{
	const struct served all[] = {
		{ bpf_listen(SOCK_STREAM, "::", 443), SOCK_STREAM, "EXT", false },
		{ bpf_listen(SOCK_STREAM, "::", 53), SOCK_STREAM, "EXT", false },
		{ bpf_listen(SOCK_DGRAM, "::", 443), SOCK_DGRAM, "EXT", false },
		{ bpf_listen(SOCK_DGRAM, "::", 53), SOCK_DGRAM, "EXT", false },
		{ bpf_listen(SOCK_DGRAM, "::", 9999), SOCK_DGRAM, "EXT", false },
	};

	serve(all, sizeof(all) / sizeof(all[0]), the_sniffer);
}

void bpf_serve_out(void)
{
	const struct served all[] = {
		{ bpf_listen(SOCK_STREAM, "::", OUT_PORT), SOCK_STREAM, "OUT", false },
		{ bpf_listen(SOCK_DGRAM, "::", OUT_PORT), SOCK_DGRAM, "OUT", false },
		{ bpf_listen(SOCK_DGRAM, "127.0.0.53", 53), SOCK_DGRAM, "OUT", false },
	};

	let_go_of_the_proxys();
	serve(all, sizeof(all) / sizeof(all[0]), NULL);
}

void bpf_serve_proxy(void)
{
	const struct served all[] = {
		{ bpf_frame.tcp4, SOCK_STREAM, "PROXY", true },
		{ bpf_frame.tcp6, SOCK_STREAM, "PROXY", true },
		{ bpf_frame.dns4, SOCK_DGRAM, "DNS", false },
		{ bpf_frame.dns6, SOCK_DGRAM, "DNS", false },
		{ bpf_frame.explicit4, SOCK_STREAM, "EXPLICIT", false },
	};

	serve(all, sizeof(all) / sizeof(all[0]), NULL);
}

void bpf_serve_own(void)
{
	const struct served all[] = {
		{ bpf_listen(SOCK_STREAM, "::", OWN_PORT), SOCK_STREAM, "OWN", false },
		{ bpf_listen(SOCK_DGRAM, "::", OWN_PORT), SOCK_DGRAM, "OWN", false },
	};

	let_go_of_the_proxys();
	serve(all, sizeof(all) / sizeof(all[0]), NULL);
}
