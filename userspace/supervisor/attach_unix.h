/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unix sockets of a cgroup that is attached: refused by programs of their own, if that was asked for and the kernel can.
 */
#ifndef NONO_SUPERVISOR_ATTACH_UNIX_H
#define NONO_SUPERVISOR_ATTACH_UNIX_H

#include "supervisor/attachment.h"

/*
 * Loads the programs, with the names that are allowed. Where the kernel cannot, that is said, and a->unix_programs stays NULL.
 * 0, or -errno and a sentence, as all here.
 */
_must_check_ int attach_unix_load(struct attachment *a);

/* They close a gap. Tells what goes on all the same. */
void attach_unix_judge(struct attachment *a);

/* In a cgroup of our own; redirect_unix_try_end() ends it. */
_must_check_ int attach_unix_try(struct attachment *a, int cgroup_fd);

_must_check_ int attach_unix_close(struct attachment *a);

/* Are they in effect on this cgroup? */
_must_check_ int attach_unix_verify(struct attachment *a, int dir);

/* Once everything stands: those that an earlier attach was asked for, and we were not, go. Says so. */
void attach_unix_drop(struct attachment *a);

#endif
