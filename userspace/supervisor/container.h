/* SPDX-License-Identifier: Apache-2.0 */
/* Containers by name: podman and docker are asked through their own programs. */
#ifndef NONO_SUPERVISOR_CONTAINER_H
#define NONO_SUPERVISOR_CONTAINER_H

#include <sys/types.h>

#include "supervisor/signals.h"
#include "supervisor/why.h"

/* The first process of the running container of this name or id. 0 or -errno and a sentence. */
_must_check_ int container_pid(const char *name, const struct signals *signals, pid_t *ret,
			       struct why *why);

#endif
