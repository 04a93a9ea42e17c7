/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounds-checked reader over bytes that somebody else owns.
 *
 * The error is sticky: after the first read past the end `bad` is set, every further read yields zero or an empty view,
 * and the caller checks once, at the end of what belongs together. Numbers are big-endian, as on the wire.
 */
#ifndef NONO_BASE_CURSOR_H
#define NONO_BASE_CURSOR_H

#include "base/defs.h"

struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

static inline struct cursor cursor_over(const void *p, size_t n)
{
	const uint8_t *b = p;

	return (struct cursor){ b, n ? b + n : b, false };
}

static inline size_t cursor_left(const struct cursor *c)
{
	return c->bad ? 0 : (size_t)(c->end - c->p);
}

/* A view of the next n bytes, or NULL and `bad`. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || (size_t)(c->end - c->p) < n) {
		c->bad = true;
		return NULL;
	}
	if (n)
		c->p += n;
	return p;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 1);

	return p ? p[0] : 0;
}

static inline uint16_t cursor_u16(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 2);

	if (!p)
		return 0;
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t cursor_u24(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 3);

	return p ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

/* A cursor over the next n bytes, which this one skips. Bad if they are not there. */
static inline struct cursor cursor_sub(struct cursor *c, size_t n)
{
	const uint8_t *p = cursor_take(c, n);
	struct cursor sub = cursor_over(p, p ? n : 0);

	sub.bad = c->bad;
	return sub;
}

#endif
