/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets of the world outside. An object of its own: the hooks are of Linux 6.7, and the name
 * can be read only through the kernel's own types (BTF). Where it does not load, the redirection
 * stands all the same, and userspace says what stays open.
 *
 * The hooks see a name, not the socket behind it.
 *
 * An abstract name has one holder in its network namespace. So the holder can be looked up here, and
 * passes if it is the sandbox's own; the walk takes no lock, so that it may miss one, and what was
 * not found is refused.
 *
 * A path is resolved after the hook, in the mount namespace and from the folder of the caller, who
 * may exchange a component or a link of it between the two. Whatever is looked up here about a path
 * could be outrun. So a path passes only if it is on the list, letter by letter, whoever listens
 * there. Who can change what a listed path leads to chooses the socket.
 */
#include <linux/bpf.h>
#include <linux/errno.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/report.h"

#define BUCKETS	     512  /* of the table: half of them are for abstract names */
#define STEPS	     8192 /* sockets and chains: with more, the search gives up */
#define ANCESTOR_MAX 64
#define FAMILY_BYTES 2 /* before the name, in a socket address */
#define NAME_ROOM    128

enum verdict { DENY, PASS };

char LICENSE[] SEC("license") = "GPL";

/* ---- of the kernel's types, what is read ---- */

#define KERNEL __attribute__((preserve_access_index))

struct hlist_node {
	struct hlist_node *next;
} KERNEL;

struct hlist_head {
	struct hlist_node *first;
} KERNEL;

struct unix_table {
	struct hlist_head *buckets;
} KERNEL;

struct netns_unix {
	struct unix_table table;
} KERNEL;

struct net {
	struct netns_unix unx;
} KERNEL;

typedef struct {
	struct net *net;
} possible_net_t;

struct kernfs_node {
	__u64 id;
} KERNEL;

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[];
} KERNEL;

struct sock_cgroup_data {
	struct cgroup *cgroup;
} KERNEL;

struct sock_common {
	struct hlist_node skc_node;
	possible_net_t skc_net;
} KERNEL;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	struct sock_cgroup_data sk_cgrp_data;
} KERNEL;

struct sockaddr_un {
	char sun_path[NONO_UNIX_PATH];
} KERNEL;

struct unix_address {
	int len;
	struct sockaddr_un name[0];
} KERNEL;

struct unix_sock {
	struct sock sk;
	struct unix_address *addr;
} KERNEL;

struct sockaddr;

struct bpf_sock_addr_kern {
	struct sock *sk;
	struct sockaddr *uaddr;
	__u32 uaddrlen;
} KERNEL;

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

/* ---- maps ---- */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NONO_UNIX_ALLOWED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct unix_name);
	__type(value, __u32);
} unix_allowed SEC(".maps");

/* The number of the sandbox's cgroup, which is known only when it is attached. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} unix_cgroup SEC(".maps");

/* ---- whose abstract name is it? ---- */

struct search {
	struct unix_name name;
	struct hlist_head *buckets;
	struct hlist_node *node;
	__u64 cgroup;
	__u32 bucket;
	__u32 type, own /* the answer */, pad;
};

/* Is the cgroup the sandbox's, or below it? */
static __always_inline int is_inside(struct cgroup *c, __u64 wanted)
{
	int level = BPF_CORE_READ(c, level);

	for (int i = 0; i < ANCESTOR_MAX; i++) {
		struct cgroup *a = NULL;

		if (i > level)
			break;
		if (bpf_probe_read_kernel(&a, sizeof(a), &c->ancestors[i]) || !a)
			break;
		if (BPF_CORE_READ(a, kn, id) == wanted)
			return 1;
	}
	return 0;
}

static __always_inline int has_name(struct unix_address *addr, const struct unix_name *name)
{
	__u8 bytes[NAME_ROOM] = {}, differ = 0;
	int n = BPF_CORE_READ(addr, len) - FAMILY_BYTES;

	if (n != (int)name->n)
		return 0;
	if (bpf_probe_read_kernel(bytes, (__u32)n & (NAME_ROOM - 1), &addr->name[0].sun_path))
		return 0;
	for (int i = 0; i < NONO_UNIX_PATH; i++)
		differ |= bytes[i] ^ name->bytes[i];
	return !differ;
}

/* One socket, or the next chain. (Loops within loops are more than the verifier will follow.) */
static long look_further(__u32 i, void *arg)
{
	struct search *s = arg;
	struct hlist_head *bucket = s->buckets + (s->bucket & (BUCKETS - 1));
	struct hlist_node *node = s->node;
	struct unix_address *addr;
	struct unix_sock *u;

	(void)i;
	if (!node) {
		if (s->bucket == BUCKETS)
			return 1;
		s->bucket++;
		s->node = BPF_CORE_READ(bucket, first);
		return 0;
	}
	u = (void *)node - bpf_core_field_offset(struct sock_common, skc_node);
	addr = BPF_CORE_READ(u, addr);
	if (addr && BPF_CORE_READ(u, sk.sk_type) == s->type && has_name(addr, &s->name)) {
		s->own = is_inside(BPF_CORE_READ(u, sk.sk_cgrp_data.cgroup), s->cgroup);
		return 1;
	}
	s->node = BPF_CORE_READ(node, next);
	return 0;
}

static __always_inline int is_own_abstract(struct sock *sk, const struct unix_name *name,
					   __u32 type)
{
	struct search s = {};
	__u32 zero = 0;
	__u64 *cgroup = bpf_map_lookup_elem(&unix_cgroup, &zero);

	if (!cgroup || !*cgroup)
		return 0;
	s.name = *name;
	s.cgroup = *cgroup;
	s.type = type;
	s.buckets = BPF_CORE_READ(sk, __sk_common.skc_net.net, unx.table.buckets);
	if (!s.buckets)
		return 0;
	bpf_loop(STEPS, look_further, &s, 0);
	return s.own;
}

/* ---- the two hooks ---- */

static __always_inline int refuse(struct bpf_sock_addr *ctx, const struct unix_name *name)
{
	struct kernel_event_unix *e;

	if (!event_counted(KEV_UNIX))
		return DENY;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return DENY;
	__builtin_memset(e, 0, sizeof(*e));
	e->head.kind = KEV_UNIX;
	e->head.type = ctx->type;
	e->head.family = ctx->family;
	event_who(&e->head);
	e->name = *name;
	bpf_ringbuf_submit(e, 0);
	return DENY;
}

/*
 * The name as the kernel will take it: a path ends at its first zero byte. The address stands in a
 * buffer of the kernel's that is longer than any name.
 */
static __always_inline int read_name(struct bpf_sock_addr_kern *kern, struct unix_name *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)kern->uaddr;
	__u32 n = kern->uaddrlen - FAMILY_BYTES, end = 0;

	if (n == 0 || n > sizeof(ret->bytes))
		return 0;
	if (bpf_probe_read_kernel(ret->bytes, sizeof(ret->bytes), &un->sun_path))
		return 0;
	for (__u32 i = 0; i < sizeof(ret->bytes); i++) {
		if (i == n || (ret->bytes[0] && !ret->bytes[i]))
			end = 1;
		if (end)
			ret->bytes[i] = 0;
		else
			ret->n = i + 1;
	}
	return 1;
}

static __always_inline int judge(struct bpf_sock_addr *ctx)
{
	struct bpf_sock_addr_kern *kern = bpf_cast_to_kern_ctx(ctx);
	struct unix_name name = {};

	if (!read_name(kern, &name))
		return refuse(ctx, &name);
	if (bpf_map_lookup_elem(&unix_allowed, &name))
		return PASS;
	if (!name.bytes[0] && is_own_abstract(kern->sk, &name, ctx->type))
		return PASS;
	return refuse(ctx, &name);
}

SEC("cgroup/connect_unix")
int connect_unix(struct bpf_sock_addr *ctx)
{
	return judge(ctx);
}

SEC("cgroup/sendmsg_unix")
int sendmsg_unix(struct bpf_sock_addr *ctx)
{
	return judge(ctx);
}
