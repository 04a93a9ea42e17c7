/* SPDX-License-Identifier: Apache-2.0 */
/* Giving cgroups their direct network back. */
#ifndef NONO_SUPERVISOR_DETACH_H
#define NONO_SUPERVISOR_DETACH_H

/* The cgroup of this path, or with NULL every one. Who holds it is ended first. The exit status; says what failed on standard
 * error. */
int supervisor_detach(const char *path);

#endif
