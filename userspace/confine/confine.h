/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process of ours, or COMMAND, gives up what it does not need: identity, capabilities, system
 * calls. libseccomp is named in this folder only. Each step returns 0 or -errno, and a step that
 * fails ends the process: nothing runs half confined.
 */
#ifndef NONO_CONFINE_CONFINE_H
#define NONO_CONFINE_CONFINE_H

#include <sys/types.h>

#include "base/defs.h"

/* Nobody but root looks into our memory, and there is no core of it. What we execute is as ever. */
_must_check_ int confine_memory(void);

/*
 * Not dumpable, no core, dies with its parent. First thing in every role. The hard limit for cores
 * stays: it is inherited by COMMAND, which may have cores if it wants to.
 */
_must_check_ int confine_process(void);

/* Closes every descriptor from `first` on, except those in `keep` (ascending order is not needed).
 */
_must_check_ int confine_fds(int first, const int *keep, size_t n);

/*
 * No supplementary groups, then gid, then uid, for good. A change to another user than root also
 * empties the bounding set, for which the right is lost with the identity. What confine_process()
 * did holds still afterwards.
 */
_must_check_ int confine_identity(uid_t uid, gid_t gid);

/*
 * Leaves these capabilities, as far as the process has them, in the permitted, effective and
 * bounding sets; inheritable and ambient are empty. 0 = none. A bit per CAP_ number. The bounding
 * set stays as it is for a process that has no right to change it and, by no_new_privs, no use for it.
 */
_must_check_ int confine_capabilities(uint64_t keep);

/* What container engines give to root (INTERFACE 1). */
uint64_t confine_root_capabilities(void);

/* no_new_privs. */
_must_check_ int confine_no_new_privs(void);

/* Every disposition is the default and nothing is blocked, before COMMAND is executed. */
void confine_reset_signals(void);

/* The proxy's system calls: an allow list; executing, tracing or loading BPF kills. Not applied
 * under sanitizers. */
_must_check_ int confine_seccomp_proxy(void);

/*
 * COMMAND's: everything but the ways out that no cgroup hook sees: socket families other than UNIX,
 * INET, INET6 and NETLINK_ROUTE (EPERM), io_uring (ENOSYS: it makes sockets that seccomp cannot
 * see), key calls, TIOCSTI and TIOCLINUX, bpf(), foreign system call tables (i386, x32).
 */
_must_check_ int confine_seccomp_command(void);

#endif
