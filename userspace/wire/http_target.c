/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four forms of a target, none of which can be taken for another: CONNECT always has an
 * authority, "*" is for OPTIONS alone, a path begins with a slash, and what is left must be an http
 * URL. An authority is looked at by its letters alone; whether it is a name or an address that may
 * be reached is decided elsewhere. Userinfo has no place in it.
 */
#include "wire/http_target.h"

#include "wire/http_chars.h"

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || http_is_digit(c) || c == '.' ||
	       c == '-' || c == '_' || c == '%';
}

/* 1–65535, without leading zeros. */
static bool is_port(struct str s)
{
	unsigned int port = 0;

	if (s.n == 0 || s.n > 5 || s.p[0] == '0')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!http_is_digit(s.p[i]))
			return false;
		port = port * 10 + (unsigned int)(s.p[i] - '0');
	}
	return port <= 65535;
}

/* HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT. */
static bool is_authority(struct str s, bool needs_port)
{
	bool brackets = s.n && s.p[0] == '[';
	size_t first = brackets ? 1 : 0, at = first;

	while (at < s.n && (is_host_char(s.p[at]) || (brackets && s.p[at] == ':')))
		at++;
	if (at == first)
		return false;
	if (brackets && (at == s.n || s.p[at++] != ']'))
		return false;
	if (at == s.n)
		return !needs_port;
	return s.p[at] == ':' && is_port((struct str){ s.p + at + 1, s.n - at - 1 });
}

static const char *take_absolute(struct http_head *h)
{
	const struct str target = h->target;
	const char *colon = memchr(target.p, ':', target.n);
	size_t n = colon ? (size_t)(colon - target.p) : target.n, end;

	h->scheme = (struct str){ target.p, n };
	if (target.n - n < 3 || memcmp(target.p + n, "://", 3) != 0 ||
	    !(str_eq_nocase(h->scheme, STR_LIT("http")) ||
	      str_eq_nocase(h->scheme, STR_LIT("https"))))
		return "the target is neither a path nor an http URL";
	n += 3;
	end = n;
	while (end < target.n && target.p[end] != '/' && target.p[end] != '?')
		end++;
	h->form = HTTP_ABSOLUTE_FORM;
	h->authority = (struct str){ target.p + n, end - n };
	if (!is_authority(h->authority, false))
		return "the authority in the target is malformed";
	h->path = (struct str){ target.p + end, target.n - end };
	if (h->path.n == 0)
		h->path = STR_LIT("/");
	else if (h->path.p[0] == '?') /* "/?…" would be no view of what was received */
		return "the target has a query but no path";
	return NULL;
}

const char *http_target_take(struct http_head *h)
{
	if (str_eq(h->method, STR_LIT("CONNECT"))) {
		h->form = HTTP_AUTHORITY_FORM;
		h->authority = h->target;
		h->path = STR_LIT("");
		return is_authority(h->target, true) ? NULL
						     : "the target of CONNECT is not HOST:PORT";
	}
	if (h->target.p[0] == '/') {
		h->form = HTTP_ORIGIN_FORM;
		h->path = h->target;
		return NULL;
	}
	if (str_eq(h->target, STR_LIT("*"))) {
		h->form = HTTP_ASTERISK_FORM;
		h->path = h->target;
		return str_eq(h->method, STR_LIT("OPTIONS")) ? NULL
							     : "the target * is for OPTIONS only";
	}
	return take_absolute(h);
}
