/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side: load the programs, attach them to a cgroup, pin the links, mark sockets. libbpf is named in this folder only.
 *
 * Everything fails closed: until all programs are attached and pinned nothing is redirected, and once they are, a missing
 * listener means "connection refused".
 */
#ifndef NONO_REDIRECT_REDIRECT_H
#define NONO_REDIRECT_REDIRECT_H

#include "base/defs.h"
#include "wire/addr.h"

struct redirect;

/* What a marked socket of ours is (bpf/redirect.h: enum mark_kind). */
enum redirect_mark {
	REDIRECT_TCP = 1,
	REDIRECT_DNS = 2,
	REDIRECT_EXPLICIT = 3,
	REDIRECT_FORWARD = 4, /* a socket in the sandbox's namespace that will connect to a published port */
};

/* One network namespace that is served. */
struct redirect_netns {
	uint64_t cookie;
	uint16_t tcp4, tcp6, dns4, dns6, explicit4, explicit6; /* ports; 0 = none */
	bool no_ipv6;                  /* ::1 does not exist there: v6 goes to ::ffff:127.0.0.1 */
	struct addr local[8];          /* the namespace's own addresses besides loopback */
	size_t local_count;
};

/*
 * Opens and loads the object for this instance. Nothing is attached yet. On failure `why` (why_n bytes) gets one sentence that
 * says what is missing and what to do. 0 or -errno.
 */
_must_check_ int redirect_load(uint32_t instance, struct redirect **ret, char *why, size_t why_n);

/*
 * The same around the maps that an earlier one pinned below `pin_dir`: marks of sockets and recorded destinations live on. To be
 * followed by redirect_adopt().
 */
_must_check_ int redirect_load_pinned(uint32_t instance, const char *pin_dir, struct redirect **ret, char *why,
				      size_t why_n);

/* Detaches nothing: pinned links stay. NULL is fine. */
void redirect_free(struct redirect *r);

/*
 * Attaches every program to the cgroup and pins every link (and the maps) below `pin_dir`, which is made, mode 0700. All or
 * nothing: on failure what was attached is taken back. Names the program id that is in the way, if one is.
 */
_must_check_ int redirect_attach(struct redirect *r, int cgroup_fd, const char *pin_dir, char *why, size_t why_n);

/*
 * Puts our programs in the place of those that are pinned below `pin_dir`, one by one and each at once: at no moment is one
 * missing. What is not pinned is attached and pinned. On failure nothing is taken back: old or new, all of them refuse.
 */
_must_check_ int redirect_adopt(struct redirect *r, int cgroup_fd, const char *pin_dir, char *why, size_t why_n);

/*
 * Attaches every program to a second cgroup, for as long as redirect_try_end() is not called: to try out what the programs do
 * before they mean it.
 */
_must_check_ int redirect_try(struct redirect *r, int cgroup_fd, char *why, size_t why_n);
void redirect_try_end(struct redirect *r);

/* Removes the pins: the programs go when their links do. Missing is fine. */
void redirect_unpin(const char *pin_dir);

_must_check_ int redirect_mark(struct redirect *r, int socket_fd, enum redirect_mark mark);

/* A socket of the sandbox that is older than the programs is its own, too. */
_must_check_ int redirect_mark_own(struct redirect *r, int socket_fd);
bool redirect_is_own(const struct redirect *r, int socket_fd);

/* How many socket options the programs have refused so far. It stands still if they cannot be asked. */
uint64_t redirect_refused_options(const struct redirect *r);

_must_check_ int redirect_serve_netns(struct redirect *r, const struct redirect_netns *ns);

/*
 * Strangers on the same loopback may connect to this TCP port of the sandbox. What a namespace of the sandbox's own needs is a
 * forwarder instead, whose sockets are marked REDIRECT_FORWARD. 0, -E2BIG (more than NONO_PUBLISH_MAX), -errno.
 */
_must_check_ int redirect_publish(struct redirect *r, uint16_t port);

/* Takes all of that back: what an earlier one published is in a map that was pinned. */
_must_check_ int redirect_publish_none(struct redirect *r);

/* Borrowed descriptors, for the proxy. */
int redirect_tuple_fd(const struct redirect *r);
int redirect_events_fd(const struct redirect *r);

/* A map by its name, for objects that are loaded beside this one. Borrowed; -ENOENT. */
int redirect_map_fd(const struct redirect *r, const char *name);

/* Is each of our programs in effect on this cgroup (others may be too)? 0, or -ESTALE with a sentence. */
_must_check_ int redirect_verify(const struct redirect *r, int cgroup_fd, char *why, size_t why_n);

/* The number of the namespace a socket lives in. */
_must_check_ int redirect_netns_cookie(int socket_fd, uint64_t *ret);

#endif
