/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict judge of JSON for tests (RFC 8259, and no duplicate keys in the outermost object): it
 * shares no code with the writer. json_check() says whether the bytes are exactly one value;
 * json_member() reads one member of an object back.
 */
#ifndef TESTS_UNIT_JSON_CHECK_H
#define TESTS_UNIT_JSON_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_CHECK_KEYS 64

struct json_check {
	const unsigned char *p, *end;
	int depth;
	/* Members of the outermost object, in their order. */
	size_t keys;
	char key[JSON_CHECK_KEYS][32];
	const unsigned char *value[JSON_CHECK_KEYS], *value_end[JSON_CHECK_KEYS];
};

static inline bool check_value(struct json_check *c);

static inline void check_space(struct json_check *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

static inline bool check_char(struct json_check *c, int want)
{
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

static inline bool check_word(struct json_check *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
		return false;
	c->p += n;
	return true;
}

static inline bool check_digits(struct json_check *c)
{
	const unsigned char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from;
}

static inline bool check_number(struct json_check *c)
{
	(void)check_char(c, '-');
	if (!check_char(c, '0') && !check_digits(c))
		return false;
	if (check_char(c, '.') && !check_digits(c))
		return false;
	if (check_char(c, 'e') || check_char(c, 'E')) {
		if (!check_char(c, '+'))
			(void)check_char(c, '-');
		return check_digits(c);
	}
	return true;
}

static inline int check_hex4(struct json_check *c)
{
	int v = 0;

	for (int i = 0; i < 4; i++, c->p++) {
		static const char digits[] = "0123456789abcdef";
		const char *d = c->p < c->end ? strchr(digits, *c->p | 0x20) : NULL;

		if (!d || !*d)
			return -1;
		v = v << 4 | (int)(d - digits);
	}
	return v;
}

/* One well-formed UTF-8 character that is not ASCII, by decoding and encoding again. */
static inline bool check_utf8(struct json_check *c)
{
	unsigned int lead = *c->p,
		     n = lead >= 0xf0	? 3
			 : lead >= 0xe0 ? 2
					: 1,
		     ch = lead & (0x3fu >> n);
	static const unsigned int smallest[] = { 0, 0x80, 0x800, 0x10000 };

	if (lead < 0xc0 || lead > 0xf7 || (size_t)(c->end - c->p) <= n)
		return false;
	for (unsigned int i = 1; i <= n; i++) {
		if ((c->p[i] & 0xc0) != 0x80)
			return false;
		ch = ch << 6 | (c->p[i] & 0x3fu);
	}
	c->p += n + 1;
	return ch >= smallest[n] && ch <= 0x10ffff && (ch < 0xd800 || ch > 0xdfff);
}

static inline bool check_escape(struct json_check *c)
{
	int v;

	if (c->p == c->end)
		return false;
	if (*c->p != 'u')
		return strchr("\"\\/bfnrt", *c->p++) != NULL;
	c->p++;
	v = check_hex4(c);
	if (v >= 0xd800 && v <= 0xdbff)
		return check_word(c, "\\u") && (v = check_hex4(c)) >= 0xdc00 && v <= 0xdfff;
	return v >= 0 && !(v >= 0xdc00 && v <= 0xdfff);
}

static inline bool check_string(struct json_check *c)
{
	if (!check_char(c, '"'))
		return false;
	while (c->p < c->end) {
		if (*c->p == '"') {
			c->p++;
			return true;
		}
		if (*c->p < 0x20)
			return false;
		if (*c->p == '\\') {
			c->p++;
			if (!check_escape(c))
				return false;
		} else if (*c->p < 0x80) {
			c->p++;
		} else if (!check_utf8(c)) {
			return false;
		}
	}
	return false;
}

static inline bool note_key(struct json_check *c, const unsigned char *p, size_t n)
{
	if (c->keys == JSON_CHECK_KEYS || n >= sizeof(c->key[0]))
		return false;
	memcpy(c->key[c->keys], p, n);
	c->key[c->keys][n] = '\0';
	for (size_t i = 0; i < c->keys; i++)
		if (strcmp(c->key[i], c->key[c->keys]) == 0)
			return false;
	return true;
}

static inline bool check_object(struct json_check *c)
{
	check_space(c);
	if (check_char(c, '}'))
		return true;
	do {
		const unsigned char *from, *value;

		check_space(c);
		from = c->p + 1;
		if (!check_string(c))
			return false;
		if (c->depth == 1 && !note_key(c, from, (size_t)(c->p - 1 - from)))
			return false;
		check_space(c);
		if (!check_char(c, ':'))
			return false;
		check_space(c);
		value = c->p;
		if (!check_value(c))
			return false;
		if (c->depth == 1) {
			c->value[c->keys] = value;
			c->value_end[c->keys++] = c->p;
		}
		check_space(c);
	} while (check_char(c, ','));
	return check_char(c, '}');
}

static inline bool check_array(struct json_check *c)
{
	check_space(c);
	if (check_char(c, ']'))
		return true;
	do {
		if (!check_value(c))
			return false;
	} while (check_char(c, ','));
	return check_char(c, ']');
}

static inline bool check_value(struct json_check *c)
{
	bool ok;

	check_space(c);
	if (++c->depth > 64 || c->p == c->end)
		return false;
	if (check_char(c, '{'))
		ok = check_object(c);
	else if (check_char(c, '['))
		ok = check_array(c);
	else if (*c->p == '"')
		ok = check_string(c);
	else
		ok = check_word(c, "true") || check_word(c, "false") || check_word(c, "null") ||
		     check_number(c);
	c->depth--;
	check_space(c);
	return ok;
}

/* Exactly one value and nothing else? */
static inline bool json_check(struct json_check *c, const void *p, size_t n)
{
	memset(c, 0, sizeof(*c));
	c->p = p;
	c->end = c->p + n;
	return check_value(c) && c->p == c->end;
}

/* The value of a member of the outermost object as it stands in the text, or "" if there is none.
 * For checked bytes only. */
static inline const char *json_member(const struct json_check *c, const char *key)
{
	static char text[8192];

	text[0] = '\0';
	for (size_t i = 0; i < c->keys; i++)
		if (strcmp(c->key[i], key) == 0)
			(void)snprintf(text, sizeof(text), "%.*s",
				       (int)(c->value_end[i] - c->value[i]),
				       (const char *)c->value[i]);
	return text;
}

#endif
