/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unix sockets of daemons outside the sandbox (docker, D-Bus, resolvers, agents): ways out that
 * no network hook sees. Their paths are hidden from COMMAND.
 */
#ifndef NONO_SUPERVISOR_SOCKETS_OUTSIDE_H
#define NONO_SUPERVISOR_SOCKETS_OUTSIDE_H

#include "base/arena.h"
#include "supervisor/why.h"

#define SOCKETS_OUTSIDE_MAX 512

/*
 * Out of the text of /proc/net/unix: every absolute path once for which `exists` is true;
 * NULL-terminated, in the arena. 0, -ENOMEM, -E2BIG (more than SOCKETS_OUTSIDE_MAX).
 */
_must_check_ int sockets_outside_parse(const char *text, bool (*exists)(const char *path),
				       struct arena *arena, const char *const **ret);

/* The same of this machine, now. 0 or -errno and a sentence. */
_must_check_ int sockets_outside(struct arena *arena, const char *const **ret, struct why *why);

#endif
