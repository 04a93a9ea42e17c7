/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner of HTTP/1 bodies: a small machine over bytes for the framing, and whole runs for the
 * payload. Its state after n bytes does not depend on the portions in which they came.
 *
 * A chunked body, by states (RFC 9112 7.1):
 *
 *	SIZE ─ CR ─ SIZE_LF ─ DATA ─ DATA_CR ─ DATA_LF ─ SIZE …
 *	 └ ";" EXT_NAME ["=" value] ┘ └ size 0: LINE ─ NAME ":" VALUE CR VALUE_LF ─ LINE … CR END_LF
 *
 * While trailers are scanned, `left` is free: it tells which forbidden names the current one may
 * still become, and how many bytes of it were seen.
 */
#include "wire/http_body.h"

#include "wire/http_chars.h"

#define CHUNK_DIGITS_MAX 16
#define CHUNK_MAX	 (UINT64_C(1) << 60)

enum state {
	SIZE, /* the first, as the scanner begins zeroed */
	EXT_NAME_FIRST,
	EXT_NAME,
	EXT_VALUE_FIRST,
	EXT_VALUE,
	EXT_QUOTED,
	EXT_QUOTED_PAIR,
	EXT_QUOTED_END,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	LINE,
	NAME,
	VALUE,
	VALUE_LF,
	END_LF,
	MALFORMED,
	TOO_LARGE,
};

/* What a trailer would change about the message that the head has already settled. */
static const struct str forbidden[] = { STR_LIT("content-length"), STR_LIT("transfer-encoding"),
					STR_LIT("host") };

#define ALL_FORBIDDEN ((UINT64_C(1) << ARRAY_SIZE(forbidden)) - 1)
#define NAME_POS      8 /* `left` in a name: its length from this bit on, candidates below */

void http_body_begin(struct http_body *b, enum http_framing framing, uint64_t length, uint64_t max)
{
	*b = (struct http_body){ .framing = framing, .max = max };
	if (framing == HTTP_LENGTH) {
		b->left = length;
		if (max && length > max)
			b->state = TOO_LARGE;
	}
	b->done = framing == HTTP_NO_BODY || (framing == HTTP_LENGTH && length == 0);
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* b->line counts the digits here: nothing stands before them. */
static enum state size_byte(struct http_body *b, uint8_t c)
{
	int v = hex_value(c);

	if (v >= 0) {
		if (b->line > CHUNK_DIGITS_MAX || b->left > CHUNK_MAX >> 4)
			return MALFORMED;
		b->left = b->left << 4 | (unsigned int)v;
		return b->left > CHUNK_MAX ? MALFORMED : SIZE;
	}
	if (b->line == 1)
		return MALFORMED;
	return c == ';' ? EXT_NAME_FIRST : c == '\r' ? SIZE_LF : MALFORMED;
}

/* chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ) */
static enum state extension_byte(enum state state, uint8_t c)
{
	switch (state) {
	case EXT_NAME_FIRST:
		return http_is_tchar(c) ? EXT_NAME : MALFORMED;
	case EXT_NAME:
		if (http_is_tchar(c))
			return EXT_NAME;
		if (c == '=')
			return EXT_VALUE_FIRST;
		break;
	case EXT_VALUE_FIRST:
		return c == '"' ? EXT_QUOTED : http_is_tchar(c) ? EXT_VALUE : MALFORMED;
	case EXT_VALUE:
		if (http_is_tchar(c))
			return EXT_VALUE;
		break;
	case EXT_QUOTED:
		return c == '"'		       ? EXT_QUOTED_END
		       : c == '\\'	       ? EXT_QUOTED_PAIR
		       : http_is_value_char(c) ? EXT_QUOTED
					       : MALFORMED;
	case EXT_QUOTED_PAIR:
		return http_is_value_char(c) ? EXT_QUOTED : MALFORMED;
	default: /* EXT_QUOTED_END */
		break;
	}
	return c == ';' ? EXT_NAME_FIRST : c == '\r' ? SIZE_LF : MALFORMED;
}

/* The end of a line that gives a size. */
static enum state size_line_end(struct http_body *b, uint8_t c)
{
	if (c != '\n')
		return MALFORMED;
	b->line = 0;
	if (b->left == 0)
		return LINE;
	return b->max && b->left > b->max - b->total ? TOO_LARGE : DATA;
}

static enum state name_byte(struct http_body *b, uint8_t c)
{
	uint64_t pos = b->left >> NAME_POS, candidates = b->left & ALL_FORBIDDEN;

	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		if (c == ':' && candidates >> i & 1 && pos == forbidden[i].n)
			return MALFORMED;
		if (pos >= forbidden[i].n || ascii_lower((char)c) != forbidden[i].p[pos])
			candidates &= ~(UINT64_C(1) << i);
	}
	if (c == ':')
		return VALUE;
	b->left = (pos + 1) << NAME_POS | candidates;
	return http_is_tchar(c) ? NAME : MALFORMED;
}

/* One byte of the trailer section; no line of it may be a continuation. */
static enum state trailer_byte(struct http_body *b, uint8_t c)
{
	switch (b->state) {
	case LINE:
		if (c == '\r')
			return END_LF;
		b->left = ALL_FORBIDDEN;
		return c == ':' ? MALFORMED : name_byte(b, c);
	case NAME:
		return name_byte(b, c);
	case VALUE:
		return c == '\r' ? VALUE_LF : http_is_value_char(c) ? VALUE : MALFORMED;
	case VALUE_LF:
		return c == '\n' ? LINE : MALFORMED;
	default: /* END_LF */
		if (c != '\n')
			return MALFORMED;
		b->left = 0;
		b->done = true;
		return END_LF;
	}
}

/* One byte that is not payload. */
static enum state framing_byte(struct http_body *b, uint8_t c)
{
	switch (b->state) {
	case DATA_CR:
		return c == '\r' ? DATA_LF : MALFORMED;
	case DATA_LF:
		return c == '\n' ? SIZE : MALFORMED;
	case SIZE:
		return ++b->line > HTTP_CHUNK_LINE_MAX ? MALFORMED : size_byte(b, c);
	case SIZE_LF:
		return ++b->line > HTTP_CHUNK_LINE_MAX ? MALFORMED : size_line_end(b, c);
	case LINE:
	case NAME:
	case VALUE:
	case VALUE_LF:
	case END_LF:
		return ++b->line > HTTP_TRAILERS_MAX ? MALFORMED : trailer_byte(b, c);
	default:
		return ++b->line > HTTP_CHUNK_LINE_MAX ? MALFORMED : extension_byte(b->state, c);
	}
}

/* Up to n bytes of payload. */
static size_t take_payload(struct http_body *b, size_t n)
{
	if (b->left < n)
		n = (size_t)b->left;
	b->left -= n;
	b->total += n;
	return n;
}

static size_t scan_chunked(struct http_body *b, const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (at < n && !b->done && b->state < MALFORMED) {
		if (b->state == DATA) {
			at += take_payload(b, n - at);
			if (b->left == 0)
				b->state = DATA_CR;
		} else {
			b->state = (uint8_t)framing_byte(b, p[at++]);
		}
	}
	return at;
}

ssize_t http_body_scan(struct http_body *b, const uint8_t *p, size_t n)
{
	size_t taken = 0;

	if (b->done)
		return 0;
	switch (b->framing) {
	case HTTP_CHUNKED:
		taken = scan_chunked(b, p, n);
		break;
	case HTTP_LENGTH:
		if (b->state == TOO_LARGE)
			break;
		taken = take_payload(b, n);
		b->done = b->left == 0;
		break;
	case HTTP_UNTIL_CLOSE:
		if (b->state == TOO_LARGE || (b->max && n > b->max - b->total)) {
			b->state = TOO_LARGE;
			break;
		}
		taken = n;
		b->total += n;
		break;
	case HTTP_NO_BODY:
		break;
	}
	if (b->state == MALFORMED)
		return -EBADMSG;
	if (b->state == TOO_LARGE)
		return -EMSGSIZE;
	return (ssize_t)taken;
}

bool http_body_eof(struct http_body *b)
{
	if (b->framing == HTTP_UNTIL_CLOSE && b->state != TOO_LARGE)
		b->done = true;
	return b->done;
}
