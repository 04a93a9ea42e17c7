/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A streaming JSON writer (RFC 8259) into a capped buffer.
 *
 * Besides what JSON demands, everything is escaped that could make one line look like another on a
 * terminal: C0 and C1 controls, DEL, the line and paragraph separators, and the marks that change
 * the direction of text. Text that is well-formed UTF-8 and none of these is copied in runs.
 */
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 31 /* `first` has a bit per depth, the outermost level included */

#define INVALID UINT32_MAX /* in place of a character: these bytes are not one */

/*
 * The character at the front of the n > 0 bytes at p, and how many bytes it takes. Ill-formed bytes
 * are INVALID and are taken together up to where a decoder first knows (Unicode, table 3-7: second
 * bytes of E0, ED, F0 and F4 have narrower ranges, which excludes overlong forms, surrogates and
 * what is past U+10FFFF).
 */
static size_t utf8_next(const uint8_t *p, size_t n, uint32_t *ret_char)
{
	uint8_t low = 0x80, high = 0xbf;
	uint32_t ch;
	size_t more, i;

	*ret_char = INVALID;
	if (p[0] < 0x80) {
		*ret_char = p[0];
		return 1;
	}
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 1;
	more = p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
	ch = p[0] & (0x3fu >> more);
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	for (i = 1; i <= more; i++) {
		if (i == n || p[i] < low || p[i] > high)
			return i;
		ch = ch << 6 | (p[i] & 0x3fu);
		low = 0x80;
		high = 0xbf;
	}
	*ret_char = ch;
	return i;
}

static bool must_hide(uint32_t ch)
{
	return ch < 0x20 || (ch >= 0x7f && ch <= 0x9f) || ch == 0x200e || ch == 0x200f ||
	       (ch >= 0x2028 && ch <= 0x202e) || (ch >= 0x2066 && ch <= 0x2069);
}

/* What stands for the character in a string: the length of the text in `out`, or 0 if it stands for
 * itself. */
static size_t escape(uint32_t ch, char out[8])
{
	static const char short_forms[] = { ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
					    ['\n'] = 'n', ['\r'] = 'r',	 ['\t'] = 't' };

	if (ch == INVALID) {
		memcpy(out, "\xef\xbf\xbd", 3);
		return 3;
	}
	if (ch < sizeof(short_forms) && short_forms[ch]) {
		out[0] = '\\';
		out[1] = short_forms[ch];
		return 2;
	}
	if (!must_hide(ch))
		return 0;
	(void)snprintf(out, 8, "\\u%04x", (unsigned int)(ch & 0xffff));
	return 6;
}

static void put(struct json *j, const void *p, size_t n)
{
	if (!j->error)
		j->error = buf_append(j->out, p, n);
}

static void misuse(struct json *j)
{
	if (!j->error)
		j->error = -EINVAL;
}

static void quoted(struct json *j, struct str s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	size_t run = 0, i = 0;

	put(j, "\"", 1);
	while (i < s.n && !j->error) {
		uint32_t ch;
		char text[8];
		size_t taken = utf8_next(p + i, s.n - i, &ch), n = escape(ch, text);

		if (n) {
			put(j, p + run, i - run);
			put(j, text, n);
			run = i + taken;
		}
		i += taken;
	}
	if (s.n)
		put(j, p + run, s.n - run);
	put(j, "\"", 1);
}

/* The comma, where one is due, before the next item at this level. */
static void separate(struct json *j)
{
	uint32_t bit = (uint32_t)1 << j->depth;

	if (j->first & bit)
		j->first &= ~bit;
	else if (j->depth == 0)
		misuse(j); /* a second value beside the first */
	else
		put(j, ",", 1);
}

static void before_value(struct json *j)
{
	if (j->after_key)
		j->after_key = false;
	else
		separate(j);
}

static void open_level(struct json *j, const char *bracket)
{
	before_value(j);
	if (j->depth == DEPTH_MAX) {
		misuse(j);
		return;
	}
	put(j, bracket, 1);
	j->depth++;
	j->first |= (uint32_t)1 << j->depth;
}

static void close_level(struct json *j, const char *bracket)
{
	if (j->depth == 0 || j->after_key) {
		misuse(j);
		return;
	}
	put(j, bracket, 1);
	j->depth--;
}

void json_begin(struct json *j, struct buf *out)
{
	*j = (struct json){ .out = out, .first = 1 };
}

void json_object_begin(struct json *j)
{
	open_level(j, "{");
}

void json_object_end(struct json *j)
{
	close_level(j, "}");
}

void json_array_begin(struct json *j)
{
	open_level(j, "[");
}

void json_array_end(struct json *j)
{
	close_level(j, "]");
}

void json_key(struct json *j, const char *key)
{
	if (j->after_key || j->depth == 0) {
		misuse(j);
		return;
	}
	separate(j);
	quoted(j, str_of(key));
	put(j, ":", 1);
	j->after_key = true;
}

void json_str(struct json *j, struct str s)
{
	before_value(j);
	quoted(j, s);
}

void json_int(struct json *j, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRId64, v);

	before_value(j);
	put(j, text, (size_t)n);
}

void json_bool(struct json *j, bool v)
{
	before_value(j);
	put(j, v ? "true" : "false", v ? 4 : 5);
}

void json_put_null(struct json *j)
{
	before_value(j);
	put(j, "null", 4);
}

void json_kv_str(struct json *j, const char *key, const char *z)
{
	if (!z)
		return;
	json_key(j, key);
	json_str(j, str_of(z));
}

void json_kv_int(struct json *j, const char *key, int64_t v)
{
	json_key(j, key);
	json_int(j, v);
}

int json_end(const struct json *j)
{
	if (j->error)
		return j->error;
	return j->depth == 0 && !j->after_key && !(j->first & 1) ? 0 : -EINVAL;
}

size_t json_fit(struct str s, size_t room, size_t *ret_size)
{
	const uint8_t *p = (const uint8_t *)s.p;
	size_t i = 0, size = 0;

	while (i < s.n) {
		uint32_t ch;
		char text[8];
		size_t taken = utf8_next(p + i, s.n - i, &ch), n = escape(ch, text);

		n = n ? n : taken;
		if (n > room - size)
			break;
		size += n;
		i += taken;
	}
	*ret_size = size;
	return i;
}
