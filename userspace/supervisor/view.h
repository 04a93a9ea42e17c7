/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sandbox sees of the file system. Built from within, by the first process of its pid and
 * mount namespaces, before COMMAND exists.
 */
#ifndef NONO_SUPERVISOR_VIEW_H
#define NONO_SUPERVISOR_VIEW_H

#include "ipc/setup.h"
#include "supervisor/why.h"

/* Changes the calling process's mount namespace, which must be its own. All or nothing: after a
 * failure it is good for nothing. */
_must_check_ int view_build(const struct init_setup *s, struct why *why);

#endif
