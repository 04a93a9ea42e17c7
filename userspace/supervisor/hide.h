/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sandbox may not reach by path: sockets of daemons outside, and kernel file systems
 * through which it could change what holds it.
 */
#ifndef NONO_SUPERVISOR_HIDE_H
#define NONO_SUPERVISOR_HIDE_H

#include "supervisor/allowed.h"

/*
 * Hides each unix socket of the NULL-terminated list. What is not there, or is no socket (any
 * more), is passed over. A directory that holds nothing but sockets, and is not `cwd`, is replaced
 * by an empty one of the same owner and mode: then a daemon that makes its socket anew stays hidden
 * too. What is allowed stays, and is in the new one, too. 0 or -errno, a sentence.
 */
_must_check_ int hide_sockets(const char *const *paths, struct allowed *allowed, const char *cwd,
			      struct why *why);

/*
 * Hides every mount of a file system that controls the kernel (cgroups, pinned BPF objects,
 * debugging, …), and of the host's processes, wherever it can still be reached. Our own /proc, and
 * what is at /sys, stay.
 */
_must_check_ int hide_kernel_mounts(struct why *why);

#endif
