/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session token, and whether a request carries it.
 *
 * The only place where bytes of the stored token are looked at is secret_equal(). Everything around
 * it (schemes, base64, the colon) branches on what the client sent, which the client knows anyhow.
 * The answer of the comparison is public: it becomes the status of the response.
 */
#include "policy/token.h"

#include "base/secret.h"
#include "wire/base64.h"

/* Longest Basic credentials, decoded: a user name of any sense, and the token. */
#define BASIC_MAX 1024

void token_text(const uint8_t random[TOKEN_BYTES], char out[TOKEN_TEXT + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < TOKEN_BYTES; i++) {
		out[2 * i] = digits[random[i] >> 4];
		out[2 * i + 1] = digits[random[i] & 15];
	}
	out[TOKEN_TEXT] = '\0';
}

bool token_is_valid(struct str s)
{
	if (s.n != TOKEN_TEXT)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return true;
}

/* A stored token of another length is none (one that was never set has length 0): nothing equals it. */
static enum reason compare(const void *p, size_t n, struct str token)
{
	if (token.n != TOKEN_TEXT || !secret_equal(p, n, token.p, token.n))
		return REASON_TOKEN_INVALID;
	return REASON_NONE;
}

/*
 * "anything:TOKEN" (RFC 7617 2): a user name has no colon in it, so the password is what stands
 * behind the first one.
 */
static enum reason check_basic(struct str value, struct str token)
{
	uint8_t plain[BASIC_MAX];
	ssize_t n = base64_decode(value, plain, sizeof(plain));
	const uint8_t *colon = n > 0 ? memchr(plain, ':', (size_t)n) : NULL;
	enum reason r = REASON_TOKEN_INVALID;

	if (colon)
		r = compare(colon + 1, (size_t)(plain + n - (colon + 1)), token);
	if (n > 0)
		secret_wipe(plain, (size_t)n);
	return r;
}

/*
 * Credentials are a scheme, and behind blanks its value (RFC 9110 11.4). False if the scheme is
 * another one; a scheme that stands alone has an empty value.
 */
static bool has_scheme(struct str credentials, struct str scheme, struct str *ret_value)
{
	struct str v = credentials;

	if (v.n < scheme.n || !str_eq_nocase((struct str){ v.p, scheme.n }, scheme))
		return false;
	v.p += scheme.n;
	v.n -= scheme.n;
	if (v.n && *v.p != ' ')
		return false;
	while (v.n && *v.p == ' ') {
		v.p++;
		v.n--;
	}
	*ret_value = v;
	return true;
}

/* The fields of that name; *ret is the last of them. */
static size_t find_fields(const struct http_head *h, struct str name, const struct http_field **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < h->field_count; i++)
		if (str_eq_nocase(h->fields[i].name, name)) {
			*ret = &h->fields[i];
			n++;
		}
	return n;
}

/* In the one field of that name, with a scheme. */
static enum reason check_field(const struct http_head *h, struct str name, struct str token)
{
	const struct http_field *found = NULL;
	size_t n = find_fields(h, name, &found);
	struct str value;

	if (n != 1)
		return n ? REASON_TOKEN_INVALID : REASON_TOKEN_MISSING;
	if (has_scheme(found->value, STR_LIT("Bearer"), &value))
		return compare(value.p, value.n, token);
	if (has_scheme(found->value, STR_LIT("Basic"), &value))
		return check_basic(value, token);
	return REASON_TOKEN_MISSING;
}

enum reason token_check(const struct http_head *h, struct str token)
{
	return check_field(h, STR_LIT("Proxy-Authorization"), token);
}

enum reason token_check_direct(const struct http_head *h, struct str token)
{
	const struct http_field *own = NULL;
	size_t n = find_fields(h, STR_LIT("X-Nono-Token"), &own);
	enum reason reason;

	if (n > 1)
		return REASON_TOKEN_INVALID;
	if (n == 1)
		return compare(own->value.p, own->value.n, token);
	reason = token_check(h, token);
	return reason == REASON_TOKEN_MISSING ? check_field(h, STR_LIT("Authorization"), token)
					      : reason;
}
