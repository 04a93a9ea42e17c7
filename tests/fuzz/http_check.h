/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of every head that was taken, shared by the fuzz targets of requests and answers.
 */
#ifndef NONO_TESTS_HTTP_CHECK_H
#define NONO_TESTS_HTTP_CHECK_H

#include "tests/fuzz/fuzz.h"

#include "wire/http_head.h"

typedef enum http_state http_parse_fn(const uint8_t *p, size_t n, struct http_head *ret,
				      size_t *ret_len, const char **ret_why);

enum {
	EVERY_PREFIX = 600, /* inputs up to here are tried at every length */
	STEP = 101,	    /* longer ones at some */
};

/* Exactly these n bytes; what is no HTTP_OK must not have touched what it was given. */
static inline enum http_state check_parse(http_parse_fn *parse, const uint8_t *copy, size_t n,
					  struct http_head *ret, size_t *ret_len)
{
	static struct http_head untouched;
	const char *why = NULL;
	enum http_state state;

	memset(&untouched, 0x5a, sizeof(untouched));
	*ret = untouched;
	*ret_len = SIZE_MAX;
	state = parse(copy, n, ret, ret_len, &why);
	assert((why != NULL) == (state != HTTP_OK && state != HTTP_MORE));
	if (state == HTTP_OK)
		assert(*ret_len <= n && *ret_len <= HTTP_HEAD_MAX);
	else
		assert(*ret_len == SIZE_MAX && memcmp(ret, &untouched, sizeof(untouched)) == 0);
	return state;
}

static inline void check_equal(const struct http_head *a, const struct http_head *b)
{
	assert(str_eq(a->method, b->method) && str_eq(a->target, b->target));
	assert(a->form == b->form && str_eq(a->path, b->path));
	assert(str_eq(a->scheme, b->scheme) && str_eq(a->authority, b->authority));
	assert(a->status == b->status && str_eq(a->phrase, b->phrase) && a->minor == b->minor);
	assert(str_eq(a->host, b->host) && a->host_count == b->host_count);
	assert(a->has_length == b->has_length && a->content_length == b->content_length);
	assert(a->chunked == b->chunked && a->keep_alive == b->keep_alive);
	assert(a->upgrade == b->upgrade && str_eq(a->upgrade_to, b->upgrade_to));
	assert(a->expect_continue == b->expect_continue && a->field_count == b->field_count);
	for (size_t i = 0; i < a->field_count; i++) {
		assert(str_eq(a->fields[i].name, b->fields[i].name));
		assert(str_eq(a->fields[i].value, b->fields[i].value));
	}
}

/*
 * On every shorter beginning the verdict is "more" or already the final one, and a head is complete
 * exactly with its last byte. Returns the verdict on all; the views of *ret lie in `copy`.
 */
static inline enum http_state check_beginnings(http_parse_fn *parse, const uint8_t *copy,
					       size_t size, struct http_head *ret, size_t *ret_len)
{
	static struct http_head part;
	enum http_state last = check_parse(parse, copy, size, ret, ret_len);
	size_t len;

	assert(size > 0 || last == HTTP_MORE);
	assert(size < HTTP_HEAD_MAX || last != HTTP_MORE);
	for (size_t n = 0; n < size; n += size <= EVERY_PREFIX ? 1 : STEP) {
		uint8_t *beginning = fuzz_copy(copy, n);
		enum http_state state = check_parse(parse, beginning, n, &part, &len);

		assert(state == HTTP_MORE || state == last);
		assert(state != HTTP_OK || len == *ret_len);
		if (last == HTTP_OK)
			assert((state == HTTP_OK) == (n >= *ret_len));
		if (state == HTTP_OK)
			check_equal(&part, ret);
		else if (state != HTTP_MORE)
			assert(check_parse(parse, copy, n + 1, &part, &len) == last);
		free(beginning);
	}
	return last;
}

static inline bool is_inside(struct str s, const uint8_t *p, size_t n)
{
	return s.n == 0 || ((const uint8_t *)s.p >= p && (const uint8_t *)s.p + s.n <= p + n);
}

static inline bool is_clean(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] == 0x7f || ((uint8_t)s.p[i] < ' ' && s.p[i] != '\t'))
			return false;
	return true;
}

static inline size_t count_name(const struct http_head *h, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < h->field_count; i++)
		count += str_eq_nocase(h->fields[i].name, str_of(name));
	return count;
}

static inline void check_fields(const struct http_head *h, const uint8_t *p, size_t n)
{
	assert(h->field_count <= HTTP_FIELDS_MAX && h->minor <= 1);
	for (size_t i = 0; i < h->field_count; i++) {
		const struct http_field *f = &h->fields[i];
		char name[64];

		assert(f->name.n > 0 && is_inside(f->name, p, n) && is_inside(f->value, p, n));
		assert(is_clean(f->name) && is_clean(f->value));
		assert(!memchr(f->name.p, ' ', f->name.n) && !memchr(f->name.p, ':', f->name.n));
		if (f->value.n)
			assert(!memchr(" \t", f->value.p[0], 2) &&
			       !memchr(" \t", f->value.p[f->value.n - 1], 2));
		if (f->name.n >= sizeof(name))
			continue;
		memcpy(name, f->name.p, f->name.n);
		name[f->name.n] = '\0';
		assert(http_field_find(h, name) == (count_name(h, name) == 1 ? f : NULL));
	}
	/* How a body is framed cannot be read in two ways. */
	assert(count_name(h, "Content-Length") == h->has_length);
	assert(count_name(h, "Transfer-Encoding") == h->chunked);
	assert(!(h->has_length && h->chunked) && !(h->chunked && h->minor == 0));
	assert(h->content_length < UINT64_C(1000000000000000000));
	assert(h->has_length || h->content_length == 0);
	assert(!h->upgrade || (count_name(h, "Upgrade") == 1 && count_name(h, "Connection")));
	assert(h->upgrade || h->upgrade_to.n == 0);
}

/*
 * A head written anew, which the caller began with its first line and what it adds of its own:
 * taken, with the end-to-end fields of the old one behind `own` fields, and nothing hop-by-hop. The
 * views of *ret lie in `out`; it has SIZE_MAX fields if the new head is too long.
 */
static inline void check_rewritten(http_parse_fn *parse, struct buf *out,
				   const struct http_head *old, size_t own, struct http_head *ret)
{
	size_t len, at = own;

	assert(http_write_end_fields(out, old) == 0);
	assert(buf_append(out, "\r\n", 2) == 0);
	/* "a:b" is written with a blank: at the very limit it does not fit again. */
	if (check_parse(parse, buf_data(out), buf_len(out), ret, &len) == HTTP_TOO_LARGE) {
		assert(buf_len(out) > HTTP_LINE_MAX);
		ret->field_count = SIZE_MAX;
		return;
	}
	assert(len == buf_len(out));
	for (size_t i = 0; i < old->field_count; i++) {
		const struct http_field *f = &old->fields[i];

		if (http_field_is_hop(old, f) || str_eq_nocase(f->name, STR_LIT("Host")) ||
		    str_eq_nocase(f->name, STR_LIT("Content-Length")))
			continue;
		assert(at < ret->field_count);
		assert(str_eq(f->name, ret->fields[at].name));
		assert(str_eq(f->value, ret->fields[at].value));
		assert(!http_field_is_hop(ret, &ret->fields[at]));
		at++;
	}
	assert(at == ret->field_count);
	assert(!ret->chunked && !ret->upgrade && ret->keep_alive);
}

#endif
