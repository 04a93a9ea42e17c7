/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is freed all at once, with its owner: one arena per connection or per policy. It has a cap, like everything
 * that a stranger can grow.
 */
#ifndef NONO_BASE_ARENA_H
#define NONO_BASE_ARENA_H

#include "base/defs.h"
#include "base/str.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used, max;
};

#define ARENA_INIT(limit) { .max = (limit) }

void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a);
#define _cleanup_arena_ _cleanup_(arena_done)

/* Zeroed, aligned for any type; NULL when the cap or the memory is exhausted. */
void *arena_alloc(struct arena *a, size_t n);

/* A NUL-terminated copy; NULL as above. */
char *arena_strndup(struct arena *a, const char *p, size_t n);
char *arena_strdup(struct arena *a, const char *z);

#endif
