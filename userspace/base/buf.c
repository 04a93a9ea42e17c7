/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a maximum.
 *
 * Room is made in this order: what is free behind the content; moving the content to the front,
 * when at least as much as its length was consumed (so that every byte is moved a bounded number of
 * times) or when there is no other way below the maximum; growing by doubling. One byte more than
 * `cap` is allocated, so that a text that fills the buffer to its very maximum can be formatted in
 * place, NUL included.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUF_FIRST 64

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

static void move_to_front(struct buf *b)
{
	if (b->start == 0)
		return;
	memmove(b->data, b->data + b->start, buf_len(b));
	b->end -= b->start;
	b->start = 0;
}

/* 0: there are n free bytes behind the content. -ENOSPC, -ENOMEM: the content is as it was. */
static int make_room(struct buf *b, size_t n)
{
	size_t len = buf_len(b), cap;
	uint8_t *data;

	if (n > b->max - len)
		return -ENOSPC;
	if (b->data && n <= b->cap - b->end)
		return 0;
	if (b->data && n <= b->cap - len && (b->start >= len || b->cap >= b->max / 2)) {
		move_to_front(b);
		return 0;
	}

	cap = b->cap <= b->max / 2 ? b->cap * 2 : b->max;
	cap = MIN(MAX(MAX(cap, len + n), (size_t)BUF_FIRST), b->max);
	if (cap == SIZE_MAX)
		return -ENOMEM;
	move_to_front(b);
	data = realloc(b->data, cap + 1);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	return make_room(b, n) < 0 ? NULL : b->data + b->end;
}

void buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->end);
	b->end += n;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->start += n;
	if (b->start == b->end)
		b->start = b->end = 0;
}

void buf_truncate(struct buf *b, size_t len)
{
	assert(len <= buf_len(b));
	b->end = b->start + len;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
	int r;

	if (n == 0)
		return 0;
	r = make_room(b, n);
	if (r < 0)
		return r;
	memcpy(b->data + b->end, p, n);
	b->end += n;
	return 0;
}

int buf_append_str(struct buf *b, struct str s)
{
	return buf_append(b, s.p, s.n);
}

int buf_append_u8(struct buf *b, uint8_t v)
{
	return buf_append(b, &v, 1);
}

int buf_append_u16(struct buf *b, uint16_t v)
{
	const uint8_t be[] = { (uint8_t)(v >> 8), (uint8_t)v };

	return buf_append(b, be, sizeof(be));
}

int buf_append_u32(struct buf *b, uint32_t v)
{
	const uint8_t be[] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
			       (uint8_t)v };

	return buf_append(b, be, sizeof(be));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	size_t room = b->data ? b->cap - b->end + 1 : 0;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(room ? (char *)b->data + b->end : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EOVERFLOW;
	if (n == 0)
		return 0;
	if ((size_t)n >= room) { /* the first pass only measured */
		r = make_room(b, (size_t)n);
		if (r < 0)
			return r;
		va_start(ap, fmt);
		(void)vsnprintf((char *)b->data + b->end, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->end += (size_t)n;
	return 0;
}
