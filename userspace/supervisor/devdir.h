/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev: for root a minimal one (uid 0 owns the host's disks), for everybody else the host's, but
 * with shared memory of its own.
 */
#ifndef NONO_SUPERVISOR_DEVDIR_H
#define NONO_SUPERVISOR_DEVDIR_H

#include "supervisor/allowed.h"

_must_check_ int devdir_build(bool private, struct allowed *allowed, struct why *why);

#endif
