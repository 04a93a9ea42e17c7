/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the kernel do what we asked? A process of ours inside the cgroup and the namespace tries the
 * ways out, before COMMAND does.
 */
#ifndef NONO_SUPERVISOR_SELFTEST_H
#define NONO_SUPERVISOR_SELFTEST_H

#include "supervisor/netns.h"
#include "supervisor/why.h"

struct selftest {
	int cgroup; /* directory */
	const struct netns *netns;
	int tuples, events; /* maps */
	bool unix_sockets;  /* those outside must be refused, too */
};

/* 0, or -errno and a sentence that names what did not hold. Leaves no trace in the maps. */
_must_check_ int selftest_run(const struct selftest *t, struct why *why);

#endif
