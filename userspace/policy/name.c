/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The normaliser of host names. Every spelling of a host ends in one form, in this order:
 * characters, IDNA where there are U-labels, the final dot, labels, and last the question whether
 * the name is an address in disguise. All later steps look at the result of the earlier ones only,
 * so nothing that IDNA maps to (a digit, a dot, a colon) escapes them.
 */
#include "policy/name.h"

#include <idn2.h>

#define LABEL_MAX_LEN 63

/* No name of 253 bytes comes from a longer text: a U-label is shorter than four times its A-label.
 */
#define HOST_TEXT_MAX 1024

#define IDN_FLAGS (IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT)

static void cleanup_idn2(char **p)
{
	idn2_free(*p);
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* Is the label "xn--…" what IDNA makes of the label that it decodes to? Others look like one name
 * and are another. */
static bool alabel_ok(const char *label, size_t n)
{
	_cleanup_(cleanup_idn2) char *again = NULL;
	char z[LABEL_MAX_LEN + 1];

	memcpy(z, label, n);
	z[n] = '\0';
	return idn2_to_ascii_8z(z, &again, IDN_FLAGS) == IDN2_OK && strcmp(z, again) == 0;
}

static bool label_ok(const char *label, size_t n)
{
	if (n == 0 || n > LABEL_MAX_LEN)
		return false;
	return n < 4 || memcmp(label, "xn--", 4) != 0 || alabel_ok(label, n);
}

/* WHATWG URL, "ends in a number": all digits, or "0x" and hexadecimal digits or nothing. */
static bool numeric_label(const char *label, size_t n)
{
	size_t i = 0;

	if (n >= 2 && label[0] == '0' && label[1] == 'x') {
		for (i = 2; i < n; i++)
			if (!((label[i] >= '0' && label[i] <= '9') ||
			      (label[i] >= 'a' && label[i] <= 'f')))
				return false;
		return true;
	}
	for (i = 0; i < n; i++)
		if (label[i] < '0' || label[i] > '9')
			return false;
	return true;
}

static void host_set_addr(const struct addr *a, struct host *ret)
{
	*ret = (struct host){ .is_addr = true, .addr = addr_unmap(a) };
	addr_text(&ret->addr, ret->name);
	ret->len = (uint8_t)strlen(ret->name);
}

/* A name in ASCII letters; `name` holds n lowered characters. */
static bool name_finish(char name[HOST_NAME_MAX_LEN + 2], size_t n, struct host *ret)
{
	size_t start = 0, last = 0;
	struct addr a;

	if (n > 0 && name[n - 1] == '.')
		n--;
	if (n == 0 || n > HOST_NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i <= n; i++) {
		if (i < n && !name_char(name[i]))
			return false;
		if (i < n && name[i] != '.')
			continue;
		if (!label_ok(name + start, i - start))
			return false;
		last = start;
		start = i + 1;
	}
	if (numeric_label(name + last, n - last)) {
		if (!addr_parse_aton((struct str){ name, n }, &a))
			return false;
		host_set_addr(&a, ret);
		return true;
	}
	*ret = (struct host){ .len = (uint8_t)n };
	memcpy(ret->name, name, n);
	return true;
}

static bool ascii_finish(struct str s, struct host *ret)
{
	char name[HOST_NAME_MAX_LEN + 2];

	if (s.n >= sizeof(name))
		return false;
	for (size_t i = 0; i < s.n; i++)
		name[i] = ascii_lower(s.p[i]);
	return name_finish(name, s.n, ret);
}

static bool unicode_finish(struct str s, struct host *ret)
{
	_cleanup_(cleanup_idn2) char *ascii = NULL;
	char z[HOST_TEXT_MAX + 1];

	memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	if (idn2_to_ascii_8z(z, &ascii, IDN_FLAGS) != IDN2_OK)
		return false;
	return ascii_finish(str_of(ascii), ret);
}

/* Addresses with colons, bare or in brackets. No name contains either. */
static bool v6_host(struct str s, bool bare, struct host *ret)
{
	struct addr a;

	if (!bare) {
		if (s.n < 2 || s.p[s.n - 1] != ']')
			return false;
		s = (struct str){ s.p + 1, s.n - 2 };
	}
	if (!addr_parse(s, &a) || a.family != 6)
		return false;
	host_set_addr(&a, ret);
	return true;
}

static bool parse(struct str s, bool idna, struct host *ret)
{
	bool ascii = true;

	if (s.n == 0 || s.n > HOST_TEXT_MAX)
		return false;
	if (s.p[0] == '[')
		return v6_host(s, false, ret);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == ':')
			return v6_host(s, true, ret);
		/* Before IDNA, which takes a terminated string. */
		if (c <= ' ' || c == 0x7f)
			return false;
		if (c > 0x7f)
			ascii = false;
	}
	if (ascii)
		return ascii_finish(s, ret);
	return idna && unicode_finish(s, ret);
}

bool host_parse(struct str s, struct host *ret)
{
	return parse(s, true, ret);
}

bool host_parse_ascii(struct str s, struct host *ret)
{
	return parse(s, false, ret);
}

bool host_port_parse(struct str s, struct host *ret, uint16_t *ret_port)
{
	const char *colon = s.n ? memchr(s.p, ':', s.n) : NULL;
	uint16_t port = 0;
	struct host h;

	if (s.n && s.p[0] == '[') {
		const char *end = memchr(s.p, ']', s.n);

		if (!end)
			return false;
		colon = end + 1 < s.p + s.n ? end + 1 : NULL;
		if (colon && *colon != ':')
			return false;
	} else if (colon && memchr(colon + 1, ':', s.n - (size_t)(colon + 1 - s.p))) {
		colon = NULL; /* bare IPv6: no port can follow */
	}
	if (colon) {
		size_t n = (size_t)(colon - s.p);

		if (!port_parse((struct str){ colon + 1, s.n - n - 1 }, &port))
			return false;
		s.n = n;
	}
	if (!host_parse(s, &h))
		return false;
	*ret = h;
	*ret_port = port;
	return true;
}

bool name_is_below(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m + 1 && name[n - m - 1] == '.' && memcmp(name + n - m, suffix, m) == 0;
}
