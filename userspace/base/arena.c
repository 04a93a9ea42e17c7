/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is freed all at once: a chain of blocks, newest first, each handed out from the
 * front. The cap counts what callers were given, alignment included; a block is at most as large as
 * what the cap still leaves, so that the blocks together stay within about twice the cap whatever
 * sizes are asked for.
 */
#include "base/arena.h"

#define BLOCK_FIRST 256
#define BLOCK_MAX   4096
#define ALIGN_ANY   (_Alignof(max_align_t))

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(max_align_t) uint8_t data[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

void arena_done(struct arena *a)
{
	struct arena_block *b = a->blocks, *next;

	for (; b; b = next) {
		next = b->next;
		free(b);
	}
	arena_init(a, a->max);
}

/* A new block with room for n bytes at its head, or NULL. `left` is what the cap still allows. */
static struct arena_block *add_block(struct arena *a, size_t n, size_t left)
{
	size_t size = a->blocks ? a->blocks->size : BLOCK_FIRST / 2;
	struct arena_block *b;

	size = size < BLOCK_MAX ? size * 2 : BLOCK_MAX;
	size = MAX(MIN(size, left), n);
	if (size > SIZE_MAX - sizeof(*b))
		return NULL;
	b = calloc(1, sizeof(*b) + size);
	if (!b)
		return NULL;
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

/*
 * n > 0 zeroed bytes at a multiple of `align`, which divides that of any type. A new block is no
 * larger than what the cap left, so the rest of the newest block never is either: what fits there,
 * padding included, is within the cap.
 */
static void *take(struct arena *a, size_t n, size_t align)
{
	struct arena_block *b = a->blocks;
	size_t left = a->max - a->used, pad = 0;
	void *p;

	if (n > left)
		return NULL;
	if (b)
		pad = (align - b->used % align) % align;
	if (!b || pad > b->size - b->used || n > b->size - b->used - pad) {
		pad = 0;
		b = add_block(a, n, left);
		if (!b)
			return NULL;
	}
	p = b->data + b->used + pad;
	b->used += pad + n;
	a->used += pad + n;
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return take(a, n ? n : 1, ALIGN_ANY);
}

char *arena_strndup(struct arena *a, const char *p, size_t n)
{
	char *copy = n == SIZE_MAX ? NULL : take(a, n + 1, 1);

	if (copy && n)
		memcpy(copy, p, n);
	return copy;
}

char *arena_strdup(struct arena *a, const char *z)
{
	return arena_strndup(a, z, strlen(z));
}
