/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from byte strings to pointers, for keys that an adversary chooses: SipHash-1-3 with a key of the map's own, open
 * addressing, a cap on the number of entries. Keys are copied; values belong to the caller.
 */
#ifndef NONO_BASE_MAP_H
#define NONO_BASE_MAP_H

#include "base/defs.h"
#include "base/str.h"

struct map_slot;

struct map {
	struct map_slot *slots;
	size_t used, tombs, cap, max;
	uint64_t key[2];
};

/* `seed` is 16 random bytes: pure code does not draw its own. */
void map_init(struct map *m, size_t max, const uint8_t seed[16]);

/* Frees the map; calls free_value, if given, for each value. */
void map_done(struct map *m, void (*free_value)(void *value));

void *map_get(const struct map *m, struct str key);

/* 0, -EEXIST (nothing changed), -ENOSPC (cap) or -ENOMEM. */
_must_check_ int map_put(struct map *m, struct str key, void *value);

/* The value that was there, or NULL. */
void *map_del(struct map *m, struct str key);

/* Walks all entries in no particular order; `*at` starts at 0. False at the end. The map may not change meanwhile. */
bool map_next(const struct map *m, size_t *at, struct str *ret_key, void **ret_value);

static inline size_t map_count(const struct map *m)
{
	return m->used;
}

uint64_t siphash13(const uint64_t key[2], const void *p, size_t n);

#endif
