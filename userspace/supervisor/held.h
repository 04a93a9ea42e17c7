/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets that the processes of a cgroup hold, and what they are. A socket belongs to the cgroup in which it was made, for
 * good: one that was made elsewhere and inherited, or passed on, is seen by no program of ours. That is an alien socket.
 */
#ifndef NONO_SUPERVISOR_HELD_H
#define NONO_SUPERVISOR_HELD_H

#include "redirect/redirect.h"
#include "supervisor/diag.h"
#include "supervisor/target.h"

#define HELD_MAX 65536

enum held_kind {
	HELD_OTHER, /* not of the Internet families: unix, netlink, … */
	HELD_OWN,   /* made in this cgroup, or below */
	HELD_ALIEN, /* of the Internet families, or vsock, and made elsewhere */
	HELD_PACKET,
	HELD_UNKNOWN, /* could not be looked at: to be taken for an alien one */
	HELD_GONE,    /* was not there any more when it was asked: closed, or moved */
};

struct held_socket {
	uint64_t inode;
	pid_t pid; /* of the first that was found to hold it; a thread's, if its table is its own */
	int fd;
	enum held_kind kind;
	int family;		 /* AF_…, where the socket itself was asked; else 0 */
	bool hides;		 /* descriptors are on their way in it, or may be */
	struct diag_socket diag; /* of one that is OWN, or ALIEN and found */
};

/* Sorted by inode, each once. */
struct held {
	struct held_socket *items;
	size_t n;
	struct held_socket ring; /* an io_uring that has files registered; no pid: there is none */
};

/*
 * Finds them all. `ns` is the target's network namespace, -EBADF if it is ours. The programs of `r` must be in effect on the
 * target: where the kernel has no list, they are what tells its own sockets from others. The members must stand still for the
 * answer to be exact. 0 or -errno and a sentence.
 */
_must_check_ int held_find(const struct target *t, int ns, const struct redirect *r,
			   struct held *ret, struct why *why);
void held_done(struct held *h);

/* True if a member holds this one. */
bool held_has(const struct held *h, uint64_t inode);

/* The first that was made outside, or could not be looked at; NULL. */
const struct held_socket *held_alien(const struct held *h);

/* The first place that other descriptors are in, which nobody can look into; NULL. */
const struct held_socket *held_hiding(const struct held *h);

/* The first unix socket whose other end no member holds; NULL. What cannot be looked at counts. */
const struct held_socket *held_leading_out(const struct held *h, int ns);

/*
 * Once the programs are attached: what was made before is the sandbox's own, too, and what is connected to somewhere outside is
 * broken off (a datagram socket only with `datagrams`). Returns how many sockets could not be dealt with: the programs keep
 * those silent.
 */
unsigned int held_settle(const struct held *h, int ns, struct redirect *r,
			 const struct redirect_netns *local, bool datagrams);

/*
 * Ends (SIGKILL) every member that holds what held_alien() means, and with `hiding` what held_hiding() means. They must stand
 * still. `tell` is called for each that was ended. 0, or -errno when one of them goes on.
 */
_must_check_ int held_end(const struct target *t, const struct held *h, bool hiding,
			  void (*tell)(void *arg, const struct held_socket *s), void *arg);

#endif
