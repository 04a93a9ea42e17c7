/* SPDX-License-Identifier: Apache-2.0 */
/* Running a command in a cgroup that is attached. */
#ifndef NONO_SUPERVISOR_JOIN_H
#define NONO_SUPERVISOR_JOIN_H

#include "supervisor/run.h"

/* Runs opt->argv in the cgroup and in its network namespace, confined as `run` does. */
int supervisor_join(const char *cgroup, const struct run_options *opt);

#endif
