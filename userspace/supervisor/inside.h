/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the sandbox's first process, and telling it what the sandbox should look like from
 * within. */
#ifndef NONO_SUPERVISOR_INSIDE_H
#define NONO_SUPERVISOR_INSIDE_H

#include "supervisor/sandbox.h"

/* Starts init and tells it everything; it is ready when role_await_ready() says so. 0 or -errno and
 * a sentence. */
_must_check_ int inside_start(struct sandbox *sb);

/* The contents of the sandbox's hosts file, in the arena; NULL when that is full. */
const char *inside_hosts(const char *host_name, bool ipv6, struct arena *arena);

#endif
