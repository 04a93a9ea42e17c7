/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The original destination of an accepted connection, and what the kernel refused: what the proxy reads of the BPF maps.
 * A hint from a hostile process, never an authority.
 */
#ifndef NONO_REDIRECT_ORIGIN_H
#define NONO_REDIRECT_ORIGIN_H

#include "base/defs.h"
#include "bpf/redirect.h"
#include "wire/addr.h"

struct origin {
	struct endpoint to;   /* what the client asked for; v4-mapped is folded to v4 */
	uint64_t client;      /* socket cookie of the client's socket */
	uint32_t pid, uid;
	char comm[16];        /* NUL-terminated */
};

/* `peer` is the accepted socket's peer address. 0, -ENOENT (no entry: not redirected). */
_must_check_ int origin_lookup(int tuple_map, uint64_t netns_cookie, const struct endpoint *peer, struct origin *ret);

/* Drops the entry, unless a later connection took the tuple over. */
void origin_forget(int tuple_map, uint64_t netns_cookie, const struct endpoint *peer, uint64_t client);

/* Something that the kernel refused. */
struct kernel_refusal {
	struct endpoint to;
	uint8_t what; /* enum kernel_event_kind */
	uint32_t pid, uid;
	char comm[16];
	uint8_t type, protocol;
	const char *name; /* KEV_UNIX: of the socket, '@' for an abstract one's first byte; else NULL */
};

/* As people write it: '@' for the first byte of an abstract one, and '?' for what does not print. */
void unix_name_text(const struct unix_name *name, char ret[static NONO_UNIX_PATH + 1]);

struct kernel_events;

/* Reads the ring. `fn` runs from kernel_events_read(). The descriptor to poll is kernel_events_fd(). */
_must_check_ int kernel_events_open(int ring_map, void (*fn)(void *arg, const struct kernel_refusal *k), void *arg,
				    struct kernel_events **ret);
int kernel_events_fd(const struct kernel_events *k);
void kernel_events_read(struct kernel_events *k);
void kernel_events_free(struct kernel_events *k);

#endif
