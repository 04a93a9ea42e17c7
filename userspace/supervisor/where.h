/* SPDX-License-Identifier: Apache-2.0 */
/* Where the explicit listener of an attached cgroup is, and what to say to it. */
#ifndef NONO_SUPERVISOR_WHERE_H
#define NONO_SUPERVISOR_WHERE_H

#include "policy/token.h"
#include "supervisor/why.h"
#include "wire/addr.h"

/* Needs root. 0 or -errno and a sentence. */
_must_check_ int supervisor_where(const char *cgroup, struct endpoint *ret,
				  char ret_token[TOKEN_TEXT + 1], struct why *why);

#endif
