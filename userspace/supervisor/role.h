/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of ours with a role of its own: the same binary, executed with one channel and nothing
 * else.
 */
#ifndef NONO_SUPERVISOR_ROLE_H
#define NONO_SUPERVISOR_ROLE_H

#include <sys/types.h>

#include "ipc/channel.h"
#include "supervisor/signals.h"
#include "supervisor/why.h"

#define ROLE_CHANNEL 3 /* where a role finds its channel */

struct role {
	pid_t pid; /* 0 = none */
	int pidfd, channel;
};

#define ROLE_INIT                                  \
	{                                          \
		.pidfd = -EBADF, .channel = -EBADF \
	}

struct role_options {
	const char *name;	       /* "@proxy": its argv[1] */
	uint64_t namespaces;	       /* CLONE_NEW… */
	int cgroup;		       /* started straight inside; -EBADF: stays in ours */
	int netns;		       /* enters it; -EBADF: stays in ours */
	bool detached;		       /* a session of its own, no standard input and output */
	const struct signals *signals; /* the caller's, put back */
	const char *const *envp;       /* the caller's: only what sanitizers read is passed on */
};

/*
 * A child like fork()'s, born inside the cgroup (-EBADF: ours) and the new namespaces. Its pid, 0
 * in the child, or -errno.
 */
_must_check_ pid_t role_clone(uint64_t namespaces, int cgroup, int *ret_pidfd);

/* 0 or -errno and a sentence. */
_must_check_ int role_start(const struct role_options *o, struct role *ret, struct why *why);

/*
 * Waits for MSG_READY. 0; else -errno and a sentence: the role's own (MSG_FAILED), that it ended,
 * or that it took too long. A signal that asks us to end is -EINTR, with its number in ret_signal.
 */
_must_check_ int role_await_ready(const struct role *r, const struct signals *signals,
				  int timeout_ms, int *ret_signal, struct why *why);

/* The role's end, if it has ended: true and how. Collects it. */
bool role_ended(struct role *r, siginfo_t *ret);

/* To the process itself, whatever has its number by now. */
void role_signal(const struct role *r, int sig);

/* Ends it now, whatever it does, and collects it. Nothing happens if there is none. */
void role_kill(struct role *r);

#endif
