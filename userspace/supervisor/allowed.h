/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outside sockets that COMMAND may use all the same. What hides the others leaves them alone, and
 * where a whole directory is replaced they are put into the new one.
 */
#ifndef NONO_SUPERVISOR_ALLOWED_H
#define NONO_SUPERVISOR_ALLOWED_H

#include <sys/stat.h>

#include "supervisor/why.h"

#define ALLOWED_MAX 64

struct allowed_socket;

struct allowed {
	struct allowed_socket *items;
	size_t n;
};

#define ALLOWED_INIT    \
	{               \
		NULL, 0 \
	}

/*
 * Finds each of the NULL-terminated list (or of NULL), before anything is hidden. They stay what
 * they are, whatever happens to their paths. 0 or -errno and a sentence.
 */
_must_check_ int allowed_open(const char *const *paths, struct allowed *ret, struct why *why);
void allowed_close(struct allowed *a);

#define _cleanup_allowed_ _cleanup_(allowed_close)

/* Is this file one of them? */
bool allowed_has(const struct allowed *a, const struct stat *st);

/*
 * Puts those that were below `dir` into the new directory there, which is ours and nobody else's.
 * Not those below `but`, if that is not NULL. 0 or -errno.
 */
_must_check_ int allowed_put_below(struct allowed *a, const char *dir, const char *but);

/* The same for those that stood in the directory that had been `old`, into the root of `mount`. */
_must_check_ int allowed_put_into(struct allowed *a, const struct stat *old, int mount);

/* Does each path lead to its socket now? 0 or -errno and a sentence. */
_must_check_ int allowed_check(const struct allowed *a, struct why *why);

#endif
