/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reverse names: the one exact form of each family (RFC 1035 3.5, RFC 3596 2.5), read from the
 * least significant label.
 */
#include "wire/dns_msg.h"

/* One decimal byte without leading zeros, and the dot behind it. */
static bool take_octet(struct str *s, uint8_t *ret)
{
	unsigned int v = 0;
	size_t i = 0;

	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		v = v * 10 + (unsigned int)(s->p[i] - '0');
		if (v > 255 || (i > 0 && s->p[0] == '0'))
			return false;
	}
	if (i == 0 || i == s->n || s->p[i] != '.')
		return false;
	*ret = (uint8_t)v;
	*s = (struct str){ s->p + i + 1, s->n - i - 1 };
	return true;
}

/* One hexadecimal digit and the dot behind it. */
static bool take_nibble(struct str *s, uint8_t *ret)
{
	char c;

	if (s->n < 2 || s->p[1] != '.')
		return false;
	c = ascii_lower(s->p[0]);
	if (c >= '0' && c <= '9')
		*ret = (uint8_t)(c - '0');
	else if (c >= 'a' && c <= 'f')
		*ret = (uint8_t)(c - 'a' + 10);
	else
		return false;
	*s = (struct str){ s->p + 2, s->n - 2 };
	return true;
}

static bool reverse_v4(struct str s, struct addr *ret)
{
	struct addr a = { .family = 4 };

	for (size_t i = 4; i-- > 0;)
		if (!take_octet(&s, &a.b[i]))
			return false;
	if (!str_eq_nocase(s, STR_LIT("in-addr.arpa")))
		return false;
	*ret = a;
	return true;
}

static bool reverse_v6(struct str s, struct addr *ret)
{
	struct addr a = { .family = 6 };

	for (size_t i = 16; i-- > 0;) {
		uint8_t low, high;

		if (!take_nibble(&s, &low) || !take_nibble(&s, &high))
			return false;
		a.b[i] = (uint8_t)(high << 4 | low);
	}
	if (!str_eq_nocase(s, STR_LIT("ip6.arpa")))
		return false;
	*ret = a;
	return true;
}

bool dns_reverse_addr(const struct dns_name *name, struct addr *ret)
{
	struct str s = { name->text, name->len };

	if (name->odd)
		return false;
	return reverse_v4(s, ret) || reverse_v6(s, ret);
}
