/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the search that looks at what a process sees of the file system. */
#ifndef NONO_SUPERVISOR_GAPFILES_H
#define NONO_SUPERVISOR_GAPFILES_H

#include "supervisor/gaps.h"

/*
 * Looks at the mount namespace of this member: sockets of programs outside, cgroups that can be written, the pins. `root`: it
 * runs as the host's root. 0 or -errno.
 */
_must_check_ int gapfiles_find(pid_t pid, bool root, const struct target *t, const struct held *h,
			       struct gaps *g);

#endif
