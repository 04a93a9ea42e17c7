/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request head, and whether it carries the session token. What must hold: the verdict is that of
 * a slow judge, which shares no code with what it judges; it reads the lines of the head itself,
 * and base64 bit by bit. And whatever passes does so with this one token only.
 */
#include "tests/fuzz/fuzz.h"

#include <strings.h>

#include "policy/token.h"

#define TOKEN "0123456789abcdef00112233445566778899aabbccddeeff0f1e2d3c4b5a6978"
#define FIELD "proxy-authorization:"

enum {
	PLAIN_MAX = 1024, /* as much of Basic as is taken */
};

/* n bytes in plain, or SIZE_MAX if the text is not exactly what an encoder makes. */
static size_t slow_decode(const char *p, size_t n, uint8_t *plain)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789+/";
	size_t bits = 0, pads = 0;

	if (n % 4 != 0)
		return SIZE_MAX;
	memset(plain, 0, n);
	for (size_t i = 0; i < n; i++) {
		const char *letter = memchr(letters, p[i], 64);

		if (p[i] == '=')
			pads++;
		if (pads > 2 || (pads && p[i] != '=') || (!pads && !letter))
			return SIZE_MAX;
		for (int bit = 5; !pads && bit >= 0; bit--, bits++)
			if ((letter - letters) >> bit & 1)
				plain[bits / 8] |= (uint8_t)(0x80 >> bits % 8);
	}
	for (size_t i = bits / 8 * 8; i < bits; i++)
		if (plain[i / 8] & 0x80 >> i % 8)
			return SIZE_MAX;
	/* A padded group holds a whole byte at least. */
	return pads && bits % 8 == 6 ? SIZE_MAX : bits / 8;
}

static enum reason judge_basic(const char *p, size_t n)
{
	static uint8_t plain[HTTP_LINE_MAX];
	size_t len = slow_decode(p, n, plain), at = 0;

	if (len == SIZE_MAX || len > PLAIN_MAX)
		return REASON_TOKEN_INVALID;
	while (at < len && plain[at] != ':')
		at++;
	return len - at == 1 + TOKEN_TEXT && memcmp(plain + at + 1, TOKEN, TOKEN_TEXT) == 0
		       ? REASON_NONE
		       : REASON_TOKEN_INVALID;
}

/* The value of the field: everything behind its colon and before its CR. */
static enum reason judge_value(const char *p, size_t n)
{
	size_t scheme = 0, at;

	for (; n && (*p == ' ' || *p == '\t'); n--)
		p++;
	while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	while (scheme < n && p[scheme] != ' ')
		scheme++;
	for (at = scheme; at < n && p[at] == ' ';)
		at++;
	if (scheme == 5 && strncasecmp(p, "basic", 5) == 0)
		return judge_basic(p + at, n - at);
	if (scheme != 6 || strncasecmp(p, "bearer", 6) != 0)
		return REASON_TOKEN_MISSING;
	return n - at == TOKEN_TEXT && memcmp(p + at, TOKEN, TOKEN_TEXT) == 0
		       ? REASON_NONE
		       : REASON_TOKEN_INVALID;
}

/* The lines of a head that was taken: each ends with CR LF, and neither stands elsewhere. */
static enum reason judge(const char *p, size_t n)
{
	enum reason r = REASON_TOKEN_MISSING;
	unsigned int count = 0;

	while (n) {
		const char *lf = memchr(p, '\n', n);
		size_t line = (size_t)(lf - p) + 1, name = strlen(FIELD);

		if (line > name && strncasecmp(p, FIELD, name) == 0) {
			r = judge_value(p + name, line - 2 - name);
			count++;
		}
		p += line;
		n -= line;
	}
	return count > 1 ? REASON_TOKEN_INVALID : r;
}

static void check(const struct http_head *h, const uint8_t *p, size_t n)
{
	char *stored = (char *)fuzz_copy((const uint8_t *)TOKEN, TOKEN_TEXT);
	struct str token = { stored, TOKEN_TEXT }, none = { NULL, 0 };
	enum reason r = token_check(h, token), wrong;

	assert(r == judge((const char *)p, n));
	wrong = r == REASON_NONE ? REASON_TOKEN_INVALID : r;
	assert(token_check(h, none) == wrong);
	assert(token_check(h, (struct str){ stored, TOKEN_TEXT - 1 }) == wrong);
	stored[n % TOKEN_TEXT] ^= 1;
	assert(r != REASON_NONE || token_check(h, token) == wrong);
	free(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head h;
	uint8_t *copy = fuzz_copy(data, size);
	const char *why = NULL;
	size_t len;

	if (http_request_parse(copy, size, &h, &len, &why) == HTTP_OK)
		check(&h, copy, len);
	free(copy);
	return 0;
}
