/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every program does when it refuses: count, and say so, at most so often. The maps are the
 * sandbox's; an object that is loaded beside the first one takes over that one's.
 */
#ifndef NONO_BPF_REPORT_H
#define NONO_BPF_REPORT_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/address.h"

/* One window of events per kind: a flood of refusals costs counters, not wake-ups. */
#define EVENT_WINDOW_NS	 1000000000ull
#define EVENT_WINDOW_MAX 100

/* The name of the process: a helper that some kernels have not, or only with CAP_PERFMON. Off, its
 * calls are dead code. */
const volatile __u8 with_comm = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KEV_KIND_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct event_window {
	__u64 start, count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEV_KIND_COUNT);
	__type(key, __u32);
	__type(value, struct event_window);
} event_windows SEC(".maps");

struct refusal {
	struct ip dst;
	__u32 port_be, kind, type, protocol, family;
};

/* Two processors may both see the last free place: then there is one event more. */
static __always_inline int event_admitted(__u32 kind)
{
	struct event_window *w = bpf_map_lookup_elem(&event_windows, &kind);
	__u64 now = bpf_ktime_get_ns();

	if (!w)
		return 0;
	if (now - w->start >= EVENT_WINDOW_NS) {
		w->start = now;
		w->count = 0;
	}
	if (w->count >= EVENT_WINDOW_MAX)
		return 0;
	w->count++;
	return 1;
}

/* Counts; is there room for an event? */
static __always_inline int event_counted(__u32 kind)
{
	__u64 *count = bpf_map_lookup_elem(&stats, &kind);

	if (count)
		(*count)++;
	return event_admitted(kind);
}

static __always_inline void event_who(struct kernel_event *e)
{
	e->pid = bpf_get_current_pid_tgid() >> 32;
	e->uid = bpf_get_current_uid_gid();
	if (with_comm)
		bpf_get_current_comm(e->comm, sizeof(e->comm));
}

/* `current`: the hook runs in the process that did it (not so for packets). */
static __always_inline void report(const struct refusal *r, int current)
{
	__u32 kind = r->kind;
	struct kernel_event *e;

	if (!event_counted(kind))
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->dst = r->dst;
	e->port_be = r->port_be;
	e->kind = kind;
	e->type = r->type;
	e->protocol = r->protocol;
	e->family = r->family;
	if (current)
		event_who(e);
	bpf_ringbuf_submit(e, 0);
}

#endif
