/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classes of bytes that HTTP/1 is made of (RFC 9110 5.5, 5.6; RFC 9112 3), shared by the reader
 * of heads, the scanner of bodies and the writer, so that none takes what another refuses.
 */
#ifndef NONO_WIRE_HTTP_CHARS_H
#define NONO_WIRE_HTTP_CHARS_H

#include "base/defs.h"
#include "base/str.h"

#define HTTP_METHOD_MAX 32

/* A letter of a token: !#$%&'*+-.^_`|~, digits, letters. */
static inline bool http_is_tchar(uint8_t c)
{
#define IN_SET(c) (UINT64_C(1) << ((c)&63))
	static const uint64_t set[4] = {
		IN_SET('!') | IN_SET('#') | IN_SET('$') | IN_SET('%') | IN_SET('&') | IN_SET('\'') |
			IN_SET('*') | IN_SET('+') | IN_SET('-') | IN_SET('.') |
			UINT64_C(0x3ff) << '0',
		IN_SET('^') | IN_SET('_') | IN_SET('`') | IN_SET('|') | IN_SET('~') |
			UINT64_C(0x3ffffff) << ('A' - 64) | UINT64_C(0x3ffffff) << ('a' - 64),
	};
#undef IN_SET

	return set[c >> 6] >> (c & 63) & 1;
}

static inline bool http_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool http_is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* What may stand in a value or a phrase: blanks, visible ASCII, and bytes above it. */
static inline bool http_is_value_char(uint8_t c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* Visible ASCII; a fragment is never sent. */
static inline bool http_is_target_char(uint8_t c)
{
	return c > 0x20 && c < 0x7f && c != '#';
}

static inline bool http_is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!http_is_tchar((uint8_t)s.p[i]))
			return false;
	return s.n > 0;
}

static inline bool http_is_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!http_is_value_char((uint8_t)s.p[i]))
			return false;
	return true;
}

static inline bool http_is_target(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!http_is_target_char((uint8_t)s.p[i]))
			return false;
	return s.n > 0;
}

/* Without the blanks around it. */
static inline struct str http_trim(struct str s)
{
	while (s.n && http_is_blank((uint8_t)s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && http_is_blank((uint8_t)s.p[s.n - 1]))
		s.n--;
	return s;
}

/*
 * The next element of a comma list (RFC 9110 5.6.1), without its blanks; may be empty. False at the
 * end. `rest` begins as the whole value and is NULL behind the last element.
 */
static inline bool http_list_next(struct str *rest, struct str *ret)
{
	const char *comma;
	size_t n;

	if (!rest->p)
		return false;
	comma = rest->n ? memchr(rest->p, ',', rest->n) : NULL;
	n = comma ? (size_t)(comma - rest->p) : rest->n;
	*ret = http_trim((struct str){ rest->p, n });
	*rest = comma ? (struct str){ comma + 1, rest->n - n - 1 } : (struct str){ NULL, 0 };
	return true;
}

#endif
