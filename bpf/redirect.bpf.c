/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs on the sandbox's cgroup. connect and sendmsg turn what can be served towards the
 * proxy and refuse the rest at once: manners. The wall is skb_egress, which looks at the packet
 * after routing: the device must be `lo`, and the socket at the other end must carry a mark of this
 * sandbox.
 *
 * Everything defaults to refusal: unknown type, protocol, namespace, a failed map operation, a
 * missing listener.
 *
 * Only UAPI headers, no CO-RE: the one object loads from 6.1 on with CAP_BPF and CAP_NET_ADMIN
 * alone. That rules out holes in stack structures and `c ? m->a : m->b` on map values (see
 * read_once).
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/in.h>

#include <bpf/bpf_helpers.h>

#include "bpf/address.h"
#include "bpf/option.h"
#include "bpf/packet.h"
#include "bpf/report.h"

#define AF_INET	    2
#define AF_INET6    10
#define SOCK_STREAM 1
#define SOCK_DGRAM  2

#define LOOPBACK_IFINDEX 1 /* of every network namespace */
#define ETH_P_IP	 __constant_htons(0x0800)
#define ETH_P_IPV6	 __constant_htons(0x86dd)

#define PAGE_MIN 4096 /* longest option value that the kernel shows to a program everywhere */

/* Results of a look-up, beyond enum mark_kind. */
#define NOBODY (-1)

enum verdict { DENY, PASS };

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 instance = 0;

/* ---- maps ---- */

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct mark);
} mark SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct origin_sk);
} origin SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct tuple_key);
	__type(value, struct tuple_value);
} tuples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, struct netns_conf);
} netns_listen SEC(".maps");

/* Ports (network order) of the sandbox that strangers on the same loopback may connect to. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NONO_PUBLISH_MAX);
	__type(key, __u32);
	__type(value, __u32);
} published SEC(".maps");

/* ---- refusals: counter, event, errno ---- */

/* `error` 0: the kernel's own EPERM. */
static __always_inline int refuse_addr(struct bpf_sock_addr *ctx, const struct ip *dst, __u32 kind,
				       int error)
{
	struct refusal r = { *dst, ctx->user_port, kind, ctx->type, ctx->protocol, ctx->family };

	report(&r, 1);
	if (error)
		bpf_set_retval(-error);
	return DENY;
}

/* ---- sockets at the other end ---- */

/* What the socket that receives `f` is to this sandbox: enum mark_kind, or NOBODY. */
static __always_inline int receiver_of(void *ctx, const struct flow *f)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	struct mark *m;
	__u32 len;
	int kind = MARK_NONE;

	if (ip_is_mapped(&f->dst)) {
		t.ipv4.saddr = f->src.w_be[3];
		t.ipv4.daddr = f->dst.w_be[3];
		t.ipv4.sport = f->sport_be;
		t.ipv4.dport = f->dport_be;
		len = sizeof(t.ipv4);
	} else {
		__builtin_memcpy(t.ipv6.saddr, f->src.w_be, 16);
		__builtin_memcpy(t.ipv6.daddr, f->dst.w_be, 16);
		t.ipv6.sport = f->sport_be;
		t.ipv6.dport = f->dport_be;
		len = sizeof(t.ipv6);
	}
	if (f->proto == IPPROTO_TCP)
		sk = bpf_sk_lookup_tcp(ctx, &t, len, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(ctx, &t, len, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return NOBODY;
	m = bpf_sk_storage_get(&mark, sk, 0, 0);
	if (m && m->instance == instance)
		kind = m->kind;
	bpf_sk_release(sk);
	return kind;
}

/* Who listens at an address of this namespace? No source: an established connection is not meant.
 */
static __always_inline int listener_at(struct bpf_sock_addr *ctx, __u32 proto,
				       const struct ip *addr, __u32 port_be)
{
	struct flow f = {};

	f.dst = *addr;
	f.src = ip_source_for(addr);
	f.dport_be = port_be;
	f.proto = proto;
	return receiver_of(ctx, &f);
}

/*
 * Who receives a datagram of this socket? Its own port goes into the look-up, so that an answer
 * finds a client that connected its socket.
 */
static __always_inline int reader_at(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				     const struct ip *addr, __u32 port_be)
{
	struct flow f = {};

	f.dst = *addr;
	f.src = ip_source_for(addr);
	if (ip_is_mapped(addr) && sk->src_ip4)
		f.src = ip_from4(sk->src_ip4);
	f.sport_be = __constant_htons((__u16)sk->src_port);
	f.dport_be = port_be;
	f.proto = IPPROTO_UDP;
	return receiver_of(ctx, &f);
}

/* The proxy's listener is there, alive, and ours. */
static __always_inline int place_is_alive(struct bpf_sock_addr *ctx, __u32 proto,
					  const struct place *p, int kind)
{
	return p->port_be && listener_at(ctx, proto, &p->addr, p->port_be) == kind;
}

/* ---- the socket's own destination ---- */

static __always_inline struct ip asked4(struct bpf_sock_addr *ctx)
{
	return ip_from4(ctx->user_ip4);
}

static __always_inline struct ip asked6(struct bpf_sock_addr *ctx)
{
	struct ip a;

	a.w_be[0] = ctx->user_ip6[0];
	a.w_be[1] = ctx->user_ip6[1];
	a.w_be[2] = ctx->user_ip6[2];
	a.w_be[3] = ctx->user_ip6[3];
	return a;
}

/* `hook6`: the program sees an IPv6 address (which may be v4-mapped). */
static __always_inline void write_addr(struct bpf_sock_addr *ctx, const struct ip *a, int hook6)
{
	if (!hook6) {
		ctx->user_ip4 = a->w_be[3];
		return;
	}
	ctx->user_ip6[0] = a->w_be[0];
	ctx->user_ip6[1] = a->w_be[1];
	ctx->user_ip6[2] = a->w_be[2];
	ctx->user_ip6[3] = a->w_be[3];
}

static __always_inline int bound_elsewhere(struct bpf_sock *sk)
{
	__u32 device = sk->bound_dev_if;

	return device && device != LOOPBACK_IFINDEX;
}

/* Notes where the socket wanted to go and turns it to `p`. */
static __always_inline int turn(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				const struct ip *dst, const struct place *p, int hook6)
{
	struct origin_sk *o = bpf_sk_storage_get(&origin, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!o)
		return refuse_addr(ctx, dst, KEV_STORAGE, ENOMEM);
	o->dst = *dst;
	o->port_be = ctx->user_port;
	o->proto = ctx->protocol;
	o->family = ctx->family;
	o->pid = bpf_get_current_pid_tgid() >> 32;
	o->uid = bpf_get_current_uid_gid();
	if (with_comm)
		bpf_get_current_comm(o->comm, sizeof(o->comm));
	write_addr(ctx, &p->addr, hook6);
	ctx->user_port = p->port_be;
	return PASS;
}

/* ---- connect ---- */

static __always_inline int connect_tcp(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				       struct netns_conf *conf, const struct ip *dst, int hook6)
{
	struct ip at = ip_any_to_loopback(dst);
	struct place p;

	if (bound_elsewhere(sk))
		return refuse_addr(ctx, dst, KEV_DEVICE, ENETUNREACH);
	/* A wildcard listener matches any destination in the look-up, so ask only for addresses of
	 * this namespace. */
	if (ip_is_local(&at, conf)) {
		int kind = listener_at(ctx, IPPROTO_TCP, &at, ctx->user_port);

		if (kind == MARK_OWN || kind == MARK_EXPLICIT) {
			bpf_sk_storage_delete(&origin, sk);
			write_addr(ctx, &at, hook6);
			return PASS;
		}
	}
	if (!conf)
		return refuse_addr(ctx, dst, KEV_NETNS, ECONNREFUSED);
	p = place_tcp(conf, dst);
	if (!place_is_alive(ctx, IPPROTO_TCP, &p, MARK_TCP))
		return refuse_addr(ctx, dst, KEV_NO_LISTENER, ECONNREFUSED);
	return turn(ctx, sk, dst, &p, hook6);
}

/*
 * To a port other than 53 the connect passes: libcs and programs ask the routing table that way.
 * What the socket would send is refused, by sendmsg or by egress.
 */
static __always_inline int connect_udp(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
				       struct netns_conf *conf, const struct ip *dst, int hook6)
{
	struct ip at = ip_any_to_loopback(dst);
	struct place p;

	if (ctx->user_port != DNS_PORT_BE) {
		bpf_sk_storage_delete(&origin, sk);
		return PASS;
	}
	if (ip_is_local(&at, conf)) {
		int kind = reader_at(ctx, sk, &at, ctx->user_port);

		if (kind == MARK_OWN || kind == MARK_DNS) {
			bpf_sk_storage_delete(&origin, sk);
			return PASS;
		}
	}
	if (bound_elsewhere(sk))
		return refuse_addr(ctx, dst, KEV_DEVICE, ENETUNREACH);
	if (!conf)
		return refuse_addr(ctx, dst, KEV_NETNS, ECONNREFUSED);
	p = place_dns(conf, dst);
	if (!place_is_alive(ctx, IPPROTO_UDP, &p, MARK_DNS))
		return refuse_addr(ctx, dst, KEV_NO_LISTENER, ECONNREFUSED);
	return turn(ctx, sk, dst, &p, hook6);
}

static __always_inline int connect_any(struct bpf_sock_addr *ctx, const struct ip *dst, int hook6)
{
	__u64 netns = bpf_get_netns_cookie(ctx);
	struct netns_conf *conf = bpf_map_lookup_elem(&netns_listen, &netns);
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return refuse_addr(ctx, dst, KEV_SOCKET, 0);
	if (ctx->type == SOCK_STREAM && ctx->protocol == IPPROTO_TCP)
		return connect_tcp(ctx, sk, conf, dst, hook6);
	if (ctx->type == SOCK_DGRAM && ctx->protocol == IPPROTO_UDP)
		return connect_udp(ctx, sk, conf, dst, hook6);
	return refuse_addr(ctx, dst, KEV_SOCKET, 0);
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct ip dst = asked4(ctx);

	return connect_any(ctx, &dst, 0);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct ip dst = asked6(ctx);

	return connect_any(ctx, &dst, 1);
}

/* ---- datagrams with an address ---- */

static __always_inline int send_any(struct bpf_sock_addr *ctx, const struct ip *dst, int hook6)
{
	__u64 netns = bpf_get_netns_cookie(ctx);
	struct netns_conf *conf = bpf_map_lookup_elem(&netns_listen, &netns);
	struct bpf_sock *sk = ctx->sk;
	struct ip at = ip_any_to_loopback(dst);
	struct place p;

	if (!sk || ctx->type != SOCK_DGRAM || ctx->protocol != IPPROTO_UDP)
		return refuse_addr(ctx, dst, KEV_SOCKET, 0);
	/*
	 * MARK_DNS: send() on an AF_INET6 socket that is connected to a mapped address comes here
	 * with the address to which connect already turned it.
	 */
	if (ip_is_local(&at, conf)) {
		int kind = reader_at(ctx, sk, &at, ctx->user_port);

		if (kind == MARK_OWN || kind == MARK_DNS) {
			write_addr(ctx, &at, hook6);
			return PASS;
		}
	}
	if (ctx->user_port != DNS_PORT_BE)
		return refuse_addr(ctx, dst, KEV_UDP, 0);
	if (bound_elsewhere(sk))
		return refuse_addr(ctx, dst, KEV_DEVICE, ENETUNREACH);
	if (!conf)
		return refuse_addr(ctx, dst, KEV_NETNS, ECONNREFUSED);
	p = place_dns(conf, dst);
	/* Here, unlike in connect, the kernel does not take a mapped address for an IPv6 one
	 * (ENOTSUPP). */
	if (hook6 && ip_is_mapped(&p.addr))
		return refuse_addr(ctx, dst, KEV_NO_LISTENER, ENETUNREACH);
	if (!place_is_alive(ctx, IPPROTO_UDP, &p, MARK_DNS))
		return refuse_addr(ctx, dst, KEV_NO_LISTENER, ECONNREFUSED);
	return turn(ctx, sk, dst, &p, hook6);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct ip dst = asked4(ctx);

	return send_any(ctx, &dst, 0);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct ip dst = asked6(ctx);

	return send_any(ctx, &dst, 1);
}

/* ---- what the program sees of its peer ---- */

/* Puts the recorded destination where the proxy's address stands. These hooks cannot refuse. */
static __always_inline int show(struct bpf_sock_addr *ctx, const struct ip *seen, int hook6)
{
	__u64 netns = bpf_get_netns_cookie(ctx);
	struct netns_conf *conf = bpf_map_lookup_elem(&netns_listen, &netns);
	struct bpf_sock *sk = ctx->sk;
	struct origin_sk *o;
	struct ip dst;

	if (!sk || !conf)
		return PASS;
	/* A datagram socket may have other peers than the DNS listener. */
	if (ctx->protocol != IPPROTO_TCP && !place_is_dns(conf, seen, ctx->user_port))
		return PASS;
	o = bpf_sk_storage_get(&origin, sk, 0, 0);
	if (!o)
		return PASS;
	dst = o->dst;
	if (!hook6 && !ip_is_mapped(&dst))
		return PASS;
	write_addr(ctx, &dst, hook6);
	ctx->user_port = o->port_be;
	return PASS;
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct ip seen = asked4(ctx);

	return show(ctx, &seen, 0);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	struct ip seen = asked6(ctx);

	return show(ctx, &seen, 1);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct ip seen = asked4(ctx);

	return show(ctx, &seen, 0);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct ip seen = asked6(ctx);

	return show(ctx, &seen, 1);
}

/* ---- sockets: kinds, ports, options ---- */

static __always_inline int refuse_socket(__u32 kind, __u32 family, __u32 type, __u32 protocol)
{
	struct refusal r = { {}, 0, kind, type, protocol, family };

	report(&r, 1);
	return DENY;
}

SEC("cgroup/sock_create")
int sock_create(struct bpf_sock *sk)
{
	struct mark own = { MARK_OWN, instance };
	__u32 family = sk->family, type = sk->type, protocol = sk->protocol;
	int stream = type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == 0);
	int dgram = type == SOCK_DGRAM && (protocol == IPPROTO_UDP || protocol == 0);

	if (family != AF_INET && family != AF_INET6)
		return refuse_socket(KEV_SOCKET, family, type, protocol);
	if (!stream && !dgram)
		return refuse_socket(KEV_SOCKET, family, type, protocol);
	if (!bpf_sk_storage_get(&mark, sk, &own, BPF_SK_STORAGE_GET_F_CREATE))
		return refuse_socket(KEV_STORAGE, family, type, protocol);
	return PASS;
}

/* The proxy's ports stay its own, also while it is dead: a squatter would get nothing, but it would
 * be in the way. */
static __always_inline int bind_any(struct bpf_sock_addr *ctx, const struct ip *addr)
{
	__u64 netns = bpf_get_netns_cookie(ctx);
	struct netns_conf *conf = bpf_map_lookup_elem(&netns_listen, &netns);

	if (conf && port_is_proxys(conf, ctx->user_port))
		return refuse_addr(ctx, addr, KEV_BIND, 0);
	return PASS;
}

SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr *ctx)
{
	struct ip addr = asked4(ctx);

	return bind_any(ctx, &addr);
}

SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr *ctx)
{
	struct ip addr = asked6(ctx);

	return bind_any(ctx, &addr);
}

SEC("cgroup/setsockopt")
int setsockopt(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (option_leads_around(ctx->level, ctx->optname)) {
		if (!sk)
			return DENY;
		return refuse_socket(KEV_OPTION, sk->family, sk->type, sk->protocol);
	}
	/* The kernel shows one page of a longer value; 0 says that the caller's own bytes are to be
	 * used. */
	if (ctx->optlen > PAGE_MIN)
		ctx->optlen = 0;
	return PASS;
}

/* ---- original destination ---- */

/*
 * Before the SYN leaves, when the source port is final: later (at "established") a server may
 * already have accepted a Fast Open connection. The entry of a connection that was not turned goes,
 * so that nobody takes it for its own.
 */
static __always_inline void note_tuple(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct tuple_value value = {};
	struct tuple_key key = {};
	struct origin_sk *o;
	/* Every field before any branch: loads merged over branches would be at a variable offset.
	 */
	__u32 v4 = read_once(ctx->local_ip4), family = read_once(ctx->family);
	struct ip v6 = { { read_once(ctx->local_ip6[0]), read_once(ctx->local_ip6[1]),
			   read_once(ctx->local_ip6[2]), read_once(ctx->local_ip6[3]) } };

	key.netns = bpf_get_netns_cookie(ctx);
	key.port = read_once(ctx->local_port);
	key.src = family == AF_INET ? ip_from4(v4) : v6;
	o = bpf_sk_storage_get(&origin, sk, 0, 0);
	if (!o || o->proto != IPPROTO_TCP) {
		bpf_map_delete_elem(&tuples, &key);
		return;
	}
	value.client = bpf_get_socket_cookie(ctx);
	value.origin = *o;
	if (bpf_map_update_elem(&tuples, &key, &value, BPF_ANY))
		bpf_map_delete_elem(&tuples, &key);
}

SEC("sockops")
int sock_ops(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk;

	if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB)
		return 1;
	sk = ctx->sk;
	if (sk)
		note_tuple(ctx, sk);
	return 1;
}

/* ---- packets ---- */

static __always_inline int read_ports(struct __sk_buff *skb, __u32 at, struct flow *ret)
{
	__u32 word;

	if (bpf_skb_load_bytes(skb, at, &word, sizeof(word)))
		return 0;
	packet_ports(word, ret);
	if (ret->proto != IPPROTO_TCP)
		return 1;
	if (bpf_skb_load_bytes(skb, at + TCP_FLAGS_AT, &word, sizeof(word)))
		return 0;
	packet_flags(word, ret);
	return 1;
}

static __always_inline int read_packet(struct __sk_buff *skb, struct flow *ret)
{
	struct head4 h4;
	struct head6 h6;

	if (skb->protocol == ETH_P_IP) {
		if (bpf_skb_load_bytes(skb, 0, &h4, sizeof(h4)) || !packet_read4(&h4, ret))
			return 0;
		return read_ports(skb, sizeof(h4), ret);
	}
	if (skb->protocol == ETH_P_IPV6) {
		if (bpf_skb_load_bytes(skb, 0, &h6, sizeof(h6)) || !packet_read6(&h6, ret))
			return 0;
		return read_ports(skb, sizeof(h6), ret);
	}
	return 0;
}

/* The sandbox's end of a connection is at a published port. */
static __always_inline int is_published(const struct flow *f, __u32 port_be)
{
	return f->proto == IPPROTO_TCP && bpf_map_lookup_elem(&published, &port_be);
}

static __always_inline int refuse_packet(struct __sk_buff *skb, const struct flow *f, __u32 kind)
{
	struct refusal r = { f->dst, f->dport_be, kind, 0, f->proto, skb->family };

	report(&r, 0);
	return DENY;
}

/*
 * A connection that somebody else had from this very port, and that its server closed not long ago, hides the listener from the
 * look-up; the kernel would hand the SYN to it all the same. Without a source only the listener can be meant.
 */
static __always_inline int opened_at(struct __sk_buff *skb, const struct flow *f)
{
	struct flow to = *f;

	to.sport_be = 0;
	return receiver_of(skb, &to);
}

SEC("cgroup_skb/egress")
int skb_egress(struct __sk_buff *skb)
{
	struct flow f = {};
	int kind;

	if (skb->ifindex != LOOPBACK_IFINDEX) {
		(void)read_packet(skb, &f); /* for the report */
		return refuse_packet(skb, &f, KEV_EGRESS);
	}
	if (!read_packet(skb, &f))
		return refuse_packet(skb, &f, KEV_EGRESS);
	kind = receiver_of(skb, &f);
	if (kind == NOBODY && f.opens)
		kind = opened_at(skb, &f);
	if (f.proto == IPPROTO_TCP) {
		if (kind > MARK_NONE)
			return PASS;
		/* A stranger gets nothing, however the connection came to be, except that it hears
		 * from a published port once it has asked: without a SYN of ours there is no
		 * connection that it has not opened. A connection of its own that lingers
		 * (TIME_WAIT) is found by nobody but answers a SYN. */
		if (is_published(&f, f.sport_be) ? !f.opens : kind != MARK_NONE)
			return PASS; /* nobody there: resets, closing connections */
		return refuse_packet(skb, &f, KEV_EGRESS);
	}
	/* A datagram to nobody in particular may be a broadcast to everybody. */
	if (kind <= MARK_NONE || ip_is_multi(&f.dst))
		return refuse_packet(skb, &f, KEV_EGRESS);
	return PASS;
}

/*
 * The sender of what comes in over `lo` is either the proxy or the sandbox itself, or asks for a
 * published port. No port is published over other devices: the answers would have to leave.
 */
SEC("cgroup_skb/ingress")
int skb_ingress(struct __sk_buff *skb)
{
	struct flow f = {}, back;

	if (!read_packet(skb, &f) || skb->ifindex != LOOPBACK_IFINDEX)
		return refuse_packet(skb, &f, KEV_INGRESS);
	back = flow_reversed(&f);
	if (receiver_of(skb, &back) == MARK_NONE && !is_published(&f, f.dport_be))
		return refuse_packet(skb, &f, KEV_INGRESS);
	return PASS;
}
