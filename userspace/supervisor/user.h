/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who COMMAND runs as: the user that was asked for, else the one who called sudo, else the caller.
 */
#ifndef NONO_SUPERVISOR_USER_H
#define NONO_SUPERVISOR_USER_H

#include "supervisor/why.h"

struct user {
	uint32_t uid, gid;
	bool changed;		   /* not the one whose environment we have */
	char *name, *home, *shell; /* of the account; NULL if there is none */
};

#define USER_INIT \
	{         \
		0 \
	}

/* `wanted`: a name, UID or UID:GID, or NULL. `envp` is the caller's environment. 0 or -errno and a
 * sentence. */
_must_check_ int user_choose(const char *wanted, const char *const *envp, struct user *ret,
			     struct why *why);

void user_done(struct user *u);

#endif
