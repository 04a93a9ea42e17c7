/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types that the BPF programs and userspace share: map keys and values, marks, events. Fixed-width
 * types, explicit padding, sizes asserted. Addresses and ports whose names end in _be are in
 * network order.
 */
#ifndef NONO_BPF_REDIRECT_H
#define NONO_BPF_REDIRECT_H

#include <linux/types.h>

#define NONO_LOCAL_MAX	      8
#define NONO_PUBLISH_MAX      64
#define NONO_UNIX_ALLOWED_MAX 256

/* What a marked socket is. OWN is set by sock_create, the others by userspace through the
 * descriptor. */
enum mark_kind {
	MARK_NONE,
	MARK_TCP,      /* the proxy's listener of redirected connections (and what it accepts) */
	MARK_DNS,      /* the proxy's DNS listener */
	MARK_EXPLICIT, /* the proxy's explicit listener */
	MARK_OWN,      /* a socket of the sandbox itself */
	MARK_FORWARD,  /* one that carries an outside connection in, to a published port */
};

struct mark {
	__u32 kind;
	__u32 instance; /* two sandboxes never reach each other */
};

/* An address of either family; IPv4 as v4-mapped, so that there is one form. */
struct ip {
	__u32 w_be[4];
};

/* Where a socket of the sandbox wanted to go (sk_storage). */
struct origin_sk {
	struct ip dst;
	__u16 port_be;
	__u8 proto;  /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 family; /* of the socket's own view: AF_INET, AF_INET6 */
	__u32 pid, uid;
	char comm[16];
};

/* The client's side of a redirected connection, as the accepted socket sees its peer. */
struct tuple_key {
	__u64 netns;
	struct ip src;
	__u16 port; /* host order */
	__u16 pad0;
	__u32 pad1;
};

struct tuple_value {
	__u64 client; /* socket cookie */
	struct origin_sk origin;
	__u32 pad0;
};

/* One network namespace that is served; keyed by its cookie. */
struct netns_conf {
	__u16 tcp4_be, tcp6_be, dns4_be, dns6_be, explicit4_be, explicit6_be;
	__u8 no_ipv6;
	__u8 local_count;
	__u16 pad0;
	struct ip local[NONO_LOCAL_MAX]; /* addresses of the namespace besides loopback */
};

/* What the kernel refused: also the index into the stats array. */
enum kernel_event_kind {
	KEV_NOTHING,
	KEV_NO_LISTENER, /* TCP or DNS: no marked listener in this namespace */
	KEV_UDP,	 /* a datagram to a port that is not 53 */
	KEV_SOCKET,	 /* a kind of socket that is not served */
	KEV_BIND,	 /* one of the proxy's ports */
	KEV_OPTION,	 /* a socket option that leads around */
	KEV_DEVICE,	 /* bound to a device */
	KEV_EGRESS,	 /* a packet that would have left */
	KEV_INGRESS,	 /* a packet from outside */
	KEV_STORAGE,	 /* out of memory for socket storage */
	KEV_NETNS,	 /* a network namespace that nobody serves */
	KEV_UNIX,	 /* a unix socket outside; the record goes on with its name */
	KEV_KIND_COUNT
};

struct kernel_event {
	struct ip dst;
	__u16 port_be;
	__u8 kind;
	__u8 type; /* SOCK_… */
	__u16 protocol;
	__u16 family;
	__u32 pid, uid;
	char comm[16];
};

#define NONO_UNIX_PATH 108

/* The name of a unix socket as the caller wrote it: a path up to its end, or an abstract name (first
 * byte 0), whose length counts. Zero to the end. */
struct unix_name {
	__u8 bytes[NONO_UNIX_PATH];
	__u32 n;
};

struct kernel_event_unix {
	struct kernel_event head;
	struct unix_name name;
};

_Static_assert(sizeof(struct unix_name) == 112, "unix_name has no hidden padding");
_Static_assert(sizeof(struct kernel_event_unix) == 160, "kernel_event_unix has no hidden padding");
_Static_assert(sizeof(struct origin_sk) == 44, "origin_sk has no hidden padding");
_Static_assert(sizeof(struct tuple_key) == 32, "tuple_key has no hidden padding");
_Static_assert(sizeof(struct tuple_value) == 56, "tuple_value has no hidden padding");
_Static_assert(sizeof(struct netns_conf) == 16 + 16 * NONO_LOCAL_MAX,
	       "netns_conf has no hidden padding");
_Static_assert(sizeof(struct kernel_event) == 48, "kernel_event has no hidden padding");

#endif
