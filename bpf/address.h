/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs decide about addresses and ports. Plain C, compiled for BPF and, for the unit
 * tests, for the host.
 */
#ifndef NONO_BPF_ADDRESS_H
#define NONO_BPF_ADDRESS_H

#include <asm/byteorder.h>
#include <linux/types.h>

#include "bpf/redirect.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define IP_MAPPED_WORD	__constant_htonl(0x0000ffff)
#define IP_LOOPBACK4_BE __constant_htonl(0x7f000001)
#define DNS_PORT_BE	__constant_htons(53)

/*
 * A field of a map value, read exactly here. Without CAP_PERFMON the verifier refuses the one load
 * at a variable offset into which the compiler would merge `c ? m->a : m->b`.
 */
#define read_once(x) (*(const volatile __typeof__(x) *)&(x))

static __always_inline struct ip ip_from4(__u32 v4_be)
{
	struct ip a = { { 0, 0, IP_MAPPED_WORD, v4_be } };

	return a;
}

static __always_inline struct ip ip_loopback6(void)
{
	struct ip a = { { 0, 0, 0, __constant_htonl(1) } };

	return a;
}

static __always_inline int ip_eq(const struct ip *a, const struct ip *b)
{
	return a->w_be[0] == b->w_be[0] && a->w_be[1] == b->w_be[1] && a->w_be[2] == b->w_be[2] &&
	       a->w_be[3] == b->w_be[3];
}

static __always_inline int ip_is_mapped(const struct ip *a)
{
	return a->w_be[0] == 0 && a->w_be[1] == 0 && a->w_be[2] == IP_MAPPED_WORD;
}

/* 0.0.0.0, ::ffff:0.0.0.0, :: */
static __always_inline int ip_is_any(const struct ip *a)
{
	return a->w_be[0] == 0 && a->w_be[1] == 0 && a->w_be[3] == 0 &&
	       (a->w_be[2] == 0 || a->w_be[2] == IP_MAPPED_WORD);
}

/* To connect to "any" means to connect to the machine itself. */
static __always_inline struct ip ip_any_to_loopback(const struct ip *a)
{
	if (!ip_is_any(a))
		return *a;
	return ip_is_mapped(a) ? ip_from4(IP_LOOPBACK4_BE) : ip_loopback6();
}

/*
 * Goes to more than one socket: no lookup of "the" socket says who receives it. The two ends of
 * 127/8 are the broadcast addresses of `lo`.
 */
static __always_inline int ip_is_multi(const struct ip *a)
{
	__u32 v4_be = a->w_be[3];

	if (!ip_is_mapped(a))
		return (a->w_be[0] & __constant_htonl(0xff000000)) == __constant_htonl(0xff000000);
	return (v4_be & __constant_htonl(0xf0000000)) == __constant_htonl(0xe0000000) ||
	       v4_be == 0xffffffff || v4_be == __constant_htonl(0x7fffffff) ||
	       v4_be == __constant_htonl(0x7f000000);
}

/* One address of 127/8 or ::1. */
static __always_inline int ip_is_loopback(const struct ip *a)
{
	if (ip_is_mapped(a))
		return (a->w_be[3] & __constant_htonl(0xff000000)) ==
			       __constant_htonl(0x7f000000) &&
		       !ip_is_multi(a);
	return a->w_be[0] == 0 && a->w_be[1] == 0 && a->w_be[2] == 0 &&
	       a->w_be[3] == __constant_htonl(1);
}

/* An address of the namespace itself, loopback included. `conf` may be NULL: then only loopback is
 * known to be. */
static __always_inline int ip_is_local(const struct ip *a, const struct netns_conf *conf)
{
	int i;

	if (ip_is_loopback(a))
		return 1;
	if (!conf)
		return 0;
#pragma GCC unroll 8
	for (i = 0; i < NONO_LOCAL_MAX; i++)
		if (i < read_once(conf->local_count) && ip_eq(a, &conf->local[i]))
			return 1;
	return 0;
}

/*
 * The address from which the kernel answers when the socket itself has none: for 127/8 that is
 * 127.0.0.1, for any other own address that address.
 */
static __always_inline struct ip ip_source_for(const struct ip *dst)
{
	if (ip_is_mapped(dst) && ip_is_loopback(dst))
		return ip_from4(IP_LOOPBACK4_BE);
	return *dst;
}

/* A place where the proxy listens; port 0 = nowhere. */
struct place {
	struct ip addr;
	__u32 port_be;
};

/*
 * Where a connection to `dst` is turned to: within the family, except that a namespace without IPv6
 * takes everything at 127.0.0.1.
 */
static __always_inline struct place place_for(const struct ip *dst, int no_ipv6, __u16 port4_be,
					      __u16 port6_be)
{
	struct place p;

	if (no_ipv6 || ip_is_mapped(dst)) {
		p.addr = ip_from4(IP_LOOPBACK4_BE);
		p.port_be = port4_be;
	} else {
		p.addr = ip_loopback6();
		p.port_be = port6_be;
	}
	return p;
}

static __always_inline struct place place_tcp(const struct netns_conf *conf, const struct ip *dst)
{
	__u16 port4 = read_once(conf->tcp4_be), port6 = read_once(conf->tcp6_be);

	return place_for(dst, read_once(conf->no_ipv6), port4, port6);
}

static __always_inline struct place place_dns(const struct netns_conf *conf, const struct ip *dst)
{
	__u16 port4 = read_once(conf->dns4_be), port6 = read_once(conf->dns6_be);

	return place_for(dst, read_once(conf->no_ipv6), port4, port6);
}

/* Is this the DNS listener's own address and port, as a received datagram shows its source? */
static __always_inline int place_is_dns(const struct netns_conf *conf, const struct ip *addr,
					__u16 port_be)
{
	__u16 port4 = read_once(conf->dns4_be), port6 = read_once(conf->dns6_be);
	struct ip loopback4 = ip_from4(IP_LOOPBACK4_BE), loopback6 = ip_loopback6();

	if (!port_be)
		return 0;
	return (port_be == port4 && ip_eq(addr, &loopback4)) ||
	       (port_be == port6 && ip_eq(addr, &loopback6));
}

/* A port that only the proxy may hold, alive or not. */
static __always_inline int port_is_proxys(const struct netns_conf *conf, __u16 port_be)
{
	__u16 tcp4 = read_once(conf->tcp4_be), tcp6 = read_once(conf->tcp6_be);
	__u16 dns4 = read_once(conf->dns4_be), dns6 = read_once(conf->dns6_be);
	__u16 explicit4 = read_once(conf->explicit4_be), explicit6 = read_once(conf->explicit6_be);

	if (!port_be)
		return 0;
	return port_be == tcp4 || port_be == tcp6 || port_be == dns4 || port_be == dns6 ||
	       port_be == explicit4 || port_be == explicit6;
}

#endif
