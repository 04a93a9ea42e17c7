/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /run: the sockets of most daemons outside are there, so the sandbox has an empty one of its own.
 */
#ifndef NONO_SUPERVISOR_RUNDIR_H
#define NONO_SUPERVISOR_RUNDIR_H

#include "ipc/setup.h"
#include "supervisor/allowed.h"

/* In it is also what is allowed of what was there before. */
_must_check_ int rundir_build(const struct init_setup *s, struct allowed *allowed, struct why *why);

/* May this working directory be shown in the sandbox's /run? See rundir.c. */
bool rundir_may_keep(const char *cwd);

#endif
