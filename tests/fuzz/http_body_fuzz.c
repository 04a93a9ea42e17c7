/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a body: the first four choose framing, length, limit and the portions. What must
 * hold: the portions make no difference; and a chunked body is taken, to the byte, exactly if a
 * reader that has all of it in front of it takes it.
 */
#include "tests/fuzz/fuzz.h"

#include "wire/http_body.h"

enum { HEADER = 4 };

struct outcome {
	ssize_t taken; /* or the error */
	bool done;
	uint64_t total, left;
};

/* Scans in portions of k. */
static struct outcome scan_in(struct http_body b, const uint8_t *p, size_t size, size_t k)
{
	struct outcome o = { 0 };

	for (size_t at = 0; at < size;) {
		size_t n = size - at < k ? size - at : k;
		uint8_t *copy = fuzz_copy(p + at, n);
		ssize_t r = http_body_scan(&b, copy, n);

		if (r < 0) {
			assert((r == -EBADMSG && b.framing == HTTP_CHUNKED) || r == -EMSGSIZE);
			assert(http_body_scan(&b, copy, n) == r && !b.done && !http_body_eof(&b));
			free(copy);
			return (struct outcome){ .taken = r };
		}
		free(copy);
		assert((size_t)r == n || ((size_t)r < n && b.done));
		at += (size_t)r;
		o.taken = (ssize_t)at;
		if (b.done)
			break;
	}
	assert(!b.max || b.total <= b.max);
	assert(b.total <= (uint64_t)o.taken);
	o.done = b.done;
	o.total = b.total;
	o.left = b.left;
	assert(http_body_eof(&b) == (o.done || b.framing == HTTP_UNTIL_CLOSE));
	return o;
}

/* ---- the simple reader: all bytes at once, no state but a position ----------------------- */

struct reader {
	const uint8_t *p;
	size_t n, at;
	bool more; /* the bytes end before it can be told */
};

static int peek(struct reader *r)
{
	if (r->at < r->n)
		return r->p[r->at];
	r->more = true;
	return -1;
}

static bool take(struct reader *r, int c)
{
	if (peek(r) != c)
		return false;
	r->at++;
	return true;
}

static size_t take_all_of(struct reader *r, const char *set)
{
	size_t first = r->at;

	while (peek(r) > 0 && strchr(set, peek(r)))
		r->at++;
	return r->at - first;
}

#define DIGITS "0123456789"
#define TOKEN                    \
	DIGITS "!#$%&'*+-.^_`|~" \
	       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_text(int c)
{
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

static bool take_quoted(struct reader *r)
{
	while (!take(r, '"')) {
		(void)take(r, '\\');
		if (!is_text(peek(r)))
			return false;
		r->at++;
	}
	return true;
}

static bool take_extensions(struct reader *r)
{
	while (take(r, ';')) {
		if (!take_all_of(r, TOKEN))
			return false;
		if (!take(r, '='))
			continue;
		if (take(r, '"') ? !take_quoted(r) : !take_all_of(r, TOKEN))
			return false;
	}
	return true;
}

static bool take_size(struct reader *r, uint64_t *ret)
{
	char digits[17];
	size_t first = r->at, n = take_all_of(r, DIGITS "abcdefABCDEF");

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, r->p + first, n);
	digits[n] = '\0';
	*ret = strtoull(digits, NULL, 16);
	if (*ret > UINT64_C(1) << 60)
		return false;
	return take_extensions(r) && take(r, '\r') && take(r, '\n') &&
	       r->at - first <= HTTP_CHUNK_LINE_MAX;
}

static bool take_trailers(struct reader *r)
{
	size_t first = r->at;

	while (!take(r, '\r')) {
		const char *name = (const char *)r->p + r->at;
		size_t n = take_all_of(r, TOKEN);

		if (n == 0 || !take(r, ':'))
			return false;
		if ((n == 4 && strncasecmp(name, "Host", n) == 0) ||
		    (n == 14 && strncasecmp(name, "Content-Length", n) == 0) ||
		    (n == 17 && strncasecmp(name, "Transfer-Encoding", n) == 0))
			return false;
		while (is_text(peek(r)))
			r->at++;
		if (!take(r, '\r') || !take(r, '\n'))
			return false;
	}
	return take(r, '\n') && r->at - first <= HTTP_TRAILERS_MAX;
}

static bool take_chunked(struct reader *r, uint64_t *ret_total)
{
	for (*ret_total = 0;;) {
		uint64_t size = 0;

		if (!take_size(r, &size))
			return false;
		if (size == 0)
			return take_trailers(r);
		if (size > r->n - r->at) {
			r->at = r->n;
			r->more = true;
			return false;
		}
		r->at += (size_t)size;
		*ret_total += size;
		if (!take(r, '\r') || !take(r, '\n'))
			return false;
	}
}

static void check_simple(const struct outcome *o, const uint8_t *p, size_t size)
{
	struct reader r = { .p = p, .n = size };
	uint64_t total;
	bool taken = take_chunked(&r, &total);

	assert(o->done == taken);
	if (taken)
		assert(o->taken == (ssize_t)r.at && o->total == total && o->left == 0);
	else if (r.more) /* a line may already be too long, or its name a forbidden one */
		assert(o->taken == (ssize_t)size || o->taken == -EBADMSG);
	else
		assert(o->taken == -EBADMSG);
}

static void check_plain(const struct http_body *b, const struct outcome *o, size_t size,
			uint64_t length)
{
	if (o->taken < 0) {
		assert(o->taken == -EMSGSIZE && b->max);
		assert(b->framing == HTTP_LENGTH ? length > b->max : size > b->max);
		return;
	}
	assert(o->total == (uint64_t)o->taken);
	if (b->framing == HTTP_UNTIL_CLOSE)
		assert((size_t)o->taken == size && !o->done);
	else
		assert((size_t)o->taken == (size < length ? size : length) &&
		       o->done == (size >= length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum http_framing framings[] = { HTTP_CHUNKED, HTTP_LENGTH, HTTP_UNTIL_CLOSE,
						      HTTP_NO_BODY };
	struct http_body b;
	struct outcome whole, part;
	enum http_framing framing;
	uint64_t length;

	if (size < HEADER)
		return 0;
	framing = framings[data[0] % ARRAY_SIZE(framings)];
	length = framing == HTTP_LENGTH ? data[1] : 0;
	http_body_begin(&b, framing, length, data[2]);
	assert(b.done == (length == 0 && (framing == HTTP_LENGTH || framing == HTTP_NO_BODY)));
	whole = scan_in(b, data + HEADER, size - HEADER, SIZE_MAX);
	for (size_t i = 0; i < 2; i++) {
		part = scan_in(b, data + HEADER, size - HEADER, i ? 1 + data[3] : 1);
		assert(part.taken == whole.taken && part.done == whole.done);
		assert(part.total == whole.total && part.left == whole.left);
	}
	if (framing != HTTP_CHUNKED) {
		check_plain(&b, &whole, size - HEADER, length);
		return 0;
	}
	/* The limit apart, which that reader does not know. */
	http_body_begin(&b, framing, 0, 0);
	part = scan_in(b, data + HEADER, size - HEADER, SIZE_MAX);
	assert(whole.taken == part.taken || whole.taken == -EMSGSIZE);
	if (whole.taken == -EMSGSIZE)
		assert(part.taken == -EBADMSG || part.total > data[2] ||
		       part.left > data[2] - part.total);
	check_simple(&part, data + HEADER, size - HEADER);
	return 0;
}
