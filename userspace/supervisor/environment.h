/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COMMAND's environment: the caller's, less what leads around the sandbox or belongs to somebody
 * else.
 */
#ifndef NONO_SUPERVISOR_ENVIRONMENT_H
#define NONO_SUPERVISOR_ENVIRONMENT_H

#include "base/arena.h"
#include "supervisor/user.h"

/* The value, or NULL. */
const char *environment_get(const char *const *envp, const char *name);

/* A NULL-terminated list in the arena, or NULL when that is full. `more` are settings of ours, put
 * behind the others. Values that stay are the caller's own strings. */
const char *const *environment_for_command(const char *const *envp, const struct user *u,
					   const char *const *more, struct arena *arena);

#endif
