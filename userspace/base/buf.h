/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer that cannot be made without its maximum.
 *
 *	data            start      end          cap (allocated)      max (may never be passed)
 *	 |  consumed     |  content |  free       |
 *
 * Appending past `max` fails with -ENOSPC and changes nothing, so a stranger's bytes never grow a buffer without end.
 */
#ifndef NONO_BASE_BUF_H
#define NONO_BASE_BUF_H

#include "base/defs.h"
#include "base/str.h"

struct buf {
	uint8_t *data;
	size_t start, end, cap, max;
};

#define BUF_INIT(limit) { .max = (limit) }

/* An empty buffer; allocates nothing yet. */
void buf_init(struct buf *b, size_t max);

/* Frees the memory; the buffer may be used again. Contents are not wiped: secrets live in base/secret.h. */
void buf_done(struct buf *b);
#define _cleanup_buf_ _cleanup_(buf_done)

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

/* NULL as long as nothing was allocated: not even zero may be added to that. */
static inline const uint8_t *buf_data(const struct buf *b)
{
	return b->data ? b->data + b->start : NULL;
}

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ (const char *)buf_data(b), buf_len(b) };
}

/*
 * Makes room for n more bytes behind the content and returns where they go, or NULL (no memory, or past max).
 * The caller writes at most n bytes there and calls buf_commit().
 */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

/* Drops n bytes from the front; n is at most buf_len(). */
void buf_consume(struct buf *b, size_t n);

/* Drops bytes from the back until `len` remain; len is at most buf_len(). Undoes appends that belong together. */
void buf_truncate(struct buf *b, size_t len);

/* 0, -ENOSPC (past max) or -ENOMEM; on failure nothing is appended. */
_must_check_ int buf_append(struct buf *b, const void *p, size_t n);
_must_check_ int buf_append_str(struct buf *b, struct str s);
_must_check_ int buf_append_u8(struct buf *b, uint8_t v);
_must_check_ int buf_append_u16(struct buf *b, uint16_t v); /* big-endian */
_must_check_ int buf_append_u32(struct buf *b, uint32_t v); /* big-endian */
_must_check_ int buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);

#endif
