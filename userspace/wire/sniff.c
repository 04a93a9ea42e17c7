/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first bytes decide, and only those: a verdict looks at nothing behind the place where it
 * falls, so it cannot change when more arrives. What an HTTP server would take for a request line
 * must come out as HTTP, because the caller checks the Host there; hence the lenience (tabs,
 * several digits, blanks at the end of the line) that a parser of requests must not have.
 */
#include "wire/sniff.h"

#include <string.h>

#include "base/str.h"

enum {
	EMPTY_LINES_MAX = 64, /* bytes of CR and LF before the request line */
	LINE_MAX = 8192,      /* request line with its LF */
	TLS_HANDSHAKE = 0x16,
};

/* Known without reading the line to its end. */
static const struct str methods[] = {
	STR_LIT("GET"),	    STR_LIT("HEAD"),	STR_LIT("POST"),     STR_LIT("PUT"),
	STR_LIT("DELETE"),  STR_LIT("OPTIONS"), STR_LIT("TRACE"),    STR_LIT("PATCH"),
	STR_LIT("CONNECT"), STR_LIT("PRI"),	STR_LIT("PROPFIND"), STR_LIT("PROPPATCH"),
	STR_LIT("MKCOL"),   STR_LIT("COPY"),	STR_LIT("MOVE"),     STR_LIT("LOCK"),
	STR_LIT("UNLOCK"),  STR_LIT("REPORT"),	STR_LIT("SEARCH"),
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9110 5.6.2 */
static bool is_tchar(uint8_t c)
{
	if (is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_known_method(const uint8_t *p, size_t n)
{
	struct str token = { (const char *)p, n };

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (str_eq(methods[i], token))
			return true;
	return false;
}

/* Takes the digits at the end of n bytes away; false if there are none. */
static bool strip_digits(const uint8_t *p, size_t *n)
{
	size_t before = *n;

	while (*n > 0 && is_digit(p[*n - 1]))
		(*n)--;
	return *n < before;
}

/* Does the line (without LF) end in a blank, "HTTP/", digits, a dot, digits? */
static bool ends_in_http_version(const uint8_t *p, size_t n)
{
	while (n > 0 && (is_blank(p[n - 1]) || p[n - 1] == '\r'))
		n--;
	if (!strip_digits(p, &n) || n == 0 || p[--n] != '.' || !strip_digits(p, &n))
		return false;
	return n > 5 && memcmp(p + n - 5, "HTTP/", 5) == 0 && is_blank(p[n - 6]);
}

static enum sniff sniff_request_line(const uint8_t *p, size_t n)
{
	const uint8_t *lf;
	size_t token = 0;

	while (token < n && token < LINE_MAX && is_tchar(p[token]))
		token++;
	if (token == n && n < LINE_MAX)
		return SNIFF_MORE;
	if (token == 0 || !is_blank(p[token]))
		return SNIFF_OPAQUE;
	if (is_known_method(p, token))
		return SNIFF_HTTP;
	lf = memchr(p, '\n', MIN(n, (size_t)LINE_MAX));
	if (lf)
		return ends_in_http_version(p, (size_t)(lf - p)) ? SNIFF_HTTP : SNIFF_OPAQUE;
	return n < LINE_MAX ? SNIFF_MORE : SNIFF_HTTP;
}

enum sniff sniff(const uint8_t *p, size_t n)
{
	size_t skip = 0;

	if (n == 0)
		return SNIFF_MORE;
	if (p[0] == TLS_HANDSHAKE)
		return SNIFF_TLS; /* whatever version follows: some servers look at the type alone */
	while (skip < n && (p[skip] == '\r' || p[skip] == '\n'))
		if (++skip > EMPTY_LINES_MAX)
			return SNIFF_HTTP; /* nothing else begins so, and a lenient server would skip them all */
	if (skip == n)
		return SNIFF_MORE;
	return sniff_request_line(p + skip, n - skip);
}

enum sniff sniff_at_rest(const uint8_t *p, size_t n)
{
	enum sniff told = sniff(p, n);

	if (told != SNIFF_MORE)
		return told;
	if (n == 0)
		return SNIFF_OPAQUE;
	return SNIFF_HTTP; /* a pause is no way to become opaque: what may be a beginning is taken for one */
}
