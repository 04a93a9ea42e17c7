/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing a cgroup that exists, and keeping it so. See attach.c.
 */
#ifndef NONO_SUPERVISOR_ATTACH_H
#define NONO_SUPERVISOR_ATTACH_H

#include <sys/types.h>

#include "ipc/setup.h"

struct attach_options {
	struct proxy_setup proxy; /* policy and limits; descriptors are filled in here */
	const char *audit_log;	  /* path */
	/* one of the three */
	const char *cgroup;
	const char *container;
	pid_t pid;
	const char *const *gaps; /* ways out that are known and accepted: names */
	size_t gap_count;
	const char *const
		*unix_names; /* unix sockets that may be used, all others not; "none": nothing */
	size_t unix_count;   /* 0: they are not watched over */
	uint32_t drain_ms;
	uint16_t
		port; /* of the explicit listener; 0: the one of the attach before, or the kernel chooses */
	bool token_given; /* the token was asked for; else the one of the attach before is kept */
	bool detach_on_exit, verbose;
	const char *const *envp;
};

/* Returns when it is told to end, when the cgroup is gone, or when the proxy is. The exit status; says what failed on standard
 * error. */
int supervisor_attach(const struct attach_options *opt);

#endif
