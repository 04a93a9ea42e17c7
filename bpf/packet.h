/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of a packet, read from its first bytes. Only what needs no guessing is read: TCP and
 * UDP directly after an IPv4 header without options or an IPv6 header without extensions, and no
 * fragments. Plain C, compiled for BPF and for the host.
 */
#ifndef NONO_BPF_PACKET_H
#define NONO_BPF_PACKET_H

#include <linux/in.h>

#include "bpf/address.h"

/* The two ends of a packet or of a connection. */
struct flow {
	struct ip src, dst;
	__u16 sport_be, dport_be;
	__u32 proto; /* IPPROTO_TCP or IPPROTO_UDP */
	__u32 opens; /* of a packet: the SYN with which TCP asks for a connection */
};

#define TCP_SYN_OF_FLAGS(word_be) (__constant_ntohl(word_be) >> 16 & 0x02)
#define TCP_ACK_OF_FLAGS(word_be) (__constant_ntohl(word_be) >> 16 & 0x10)

/* The fixed headers as words: what a load of 20 and of 40 bytes gives. */
struct head4 {
	__u32 w_be[5];
};

struct head6 {
	__u32 w_be[10];
};

static __always_inline int proto_is_served(__u32 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

/* False: not a packet that may pass. */
static __always_inline int packet_read4(const struct head4 *h, struct flow *ret)
{
	__u32 proto = __constant_ntohl(h->w_be[2]) >> 16 & 0xff;

	if ((h->w_be[0] & __constant_htonl(0xff000000)) != __constant_htonl(0x45000000))
		return 0;
	/* more fragments, or an offset */
	if (h->w_be[1] & __constant_htonl(0x00003fff))
		return 0;
	if (!proto_is_served(proto))
		return 0;
	ret->src = ip_from4(h->w_be[3]);
	ret->dst = ip_from4(h->w_be[4]);
	ret->proto = proto;
	return 1;
}

static __always_inline int packet_read6(const struct head6 *h, struct flow *ret)
{
	__u32 next = __constant_ntohl(h->w_be[1]) >> 8 & 0xff;
	int i;

	if ((h->w_be[0] & __constant_htonl(0xf0000000)) != __constant_htonl(0x60000000))
		return 0;
	if (!proto_is_served(next))
		return 0;
#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		ret->src.w_be[i] = h->w_be[2 + i];
		ret->dst.w_be[i] = h->w_be[6 + i];
	}
	/* A mapped address has no business in an IPv6 header, and would be looked up as IPv4. */
	if (ip_is_mapped(&ret->src) || ip_is_mapped(&ret->dst))
		return 0;
	ret->proto = next;
	return 1;
}

static __always_inline void packet_ports(__u32 word_be, struct flow *ret)
{
	ret->sport_be = __constant_htons(__constant_ntohl(word_be) >> 16);
	ret->dport_be = __constant_htons(__constant_ntohl(word_be) & 0xffff);
}

/* The word with the TCP flags in it: the fourth of the header. */
#define TCP_FLAGS_AT 12

static __always_inline void packet_flags(__u32 word_be, struct flow *ret)
{
	ret->opens = TCP_SYN_OF_FLAGS(word_be) && !TCP_ACK_OF_FLAGS(word_be);
}

static __always_inline struct flow flow_reversed(const struct flow *f)
{
	struct flow r = { f->dst, f->src, f->dport_be, f->sport_be, f->proto, 0 };

	return r;
}

#endif
