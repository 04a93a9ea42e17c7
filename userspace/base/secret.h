/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for what must not leak: own pages, locked, left out of core dumps and of forked children, wiped before it is given
 * back. And the comparison that takes the same time wherever the first difference is.
 */
#ifndef NONO_BASE_SECRET_H
#define NONO_BASE_SECRET_H

#include "base/defs.h"

struct secret {
	uint8_t *p;
	size_t n;   /* bytes of content */
	size_t map; /* bytes of the mapping */
	bool locked;
};

/* Room for n bytes, zeroed. 0 or -errno. Locking is best effort; `secret_locked` says whether it worked. */
_must_check_ int secret_alloc(struct secret *s, size_t n);
bool secret_locked(const struct secret *s);

/* Wipes and unmaps; NULL content is fine. */
void secret_done(struct secret *s);
#define _cleanup_secret_ _cleanup_(secret_done)

/* Wipes memory in a way that the compiler may not drop. */
void secret_wipe(void *p, size_t n);

/* Equal? Time depends on the lengths only; different lengths are unequal. */
bool secret_equal(const void *a, size_t na, const void *b, size_t nb);

#endif
