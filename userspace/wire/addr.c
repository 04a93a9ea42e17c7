/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and their texts. The parsers are our own because the C library's want a terminated
 * string, take what we must refuse (zones, trailing blanks) and differ between libraries; the tests
 * compare them with inet_pton() and inet_aton().
 */
#include "wire/addr.h"

/* An IPv4 address as the second half of ::ffff:0:0/96. */
static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct addr addr_v4(uint32_t host_order)
{
	return (struct addr){
		.family = 4,
		.b = { (uint8_t)(host_order >> 24), (uint8_t)(host_order >> 16),
		       (uint8_t)(host_order >> 8), (uint8_t)host_order },
	};
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

struct addr addr_unmap(const struct addr *a)
{
	struct addr v4 = { .family = 4 };

	if (a->family != 6 || memcmp(a->b, mapped_prefix, sizeof(mapped_prefix)) != 0)
		return *a;
	memcpy(v4.b, a->b + 12, 4);
	return v4;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A decimal number of at most `max`, without sign and without leading zeros, that is the whole
 * view. */
static bool decimal_parse(struct str s, uint32_t max, uint32_t *ret)
{
	uint32_t v = 0;

	if (s.n == 0 || s.n > 5 || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(s.p[i] - '0');
	}
	if (v > max)
		return false;
	*ret = v;
	return true;
}

/* Cuts the view at the first `sep`: what is before it is returned, `*s` becomes what is behind it.
 */
static struct str cut(struct str *s, char sep, bool *ret_found)
{
	const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;
	struct str head = *s;

	*ret_found = at != NULL;
	if (at) {
		head.n = (size_t)(at - s->p);
		s->p = at + 1;
		s->n -= head.n + 1;
	} else {
		s->p += s->n;
		s->n = 0;
	}
	return head;
}

static bool quad_parse(struct str s, uint8_t out[4])
{
	uint8_t b[4];

	for (int i = 0; i < 4; i++) {
		bool dot;
		uint32_t v;
		struct str part = cut(&s, '.', &dot);

		if (dot != (i < 3) || !decimal_parse(part, 255, &v))
			return false;
		b[i] = (uint8_t)v;
	}
	memcpy(out, b, 4);
	return true;
}

/* One to four hexadecimal digits. */
static bool group_parse(struct str s, uint8_t out[2])
{
	unsigned int v = 0;

	if (s.n == 0 || s.n > 4)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int d = digit_value(s.p[i]);

		if (d < 0)
			return false;
		v = v << 4 | (unsigned int)d;
	}
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
	return true;
}

/*
 * The groups between two ends or between an end and "::", into at most 16 bytes. Only the very last
 * group of an address may be a dotted quad. An empty view is no group at all. Returns the number of
 * bytes, or -1.
 */
static int groups_parse(struct str s, bool last, uint8_t out[16])
{
	int n = 0;
	bool more = s.n > 0;

	while (more) {
		struct str part = cut(&s, ':', &more);

		if (last && !more && memchr(part.p, '.', part.n)) {
			if (n > 12 || !quad_parse(part, out + n))
				return -1;
			return n + 4;
		}
		if (n > 14 || !group_parse(part, out + n))
			return -1;
		n += 2;
	}
	return n;
}

static bool v6_parse(struct str s, uint8_t out[16])
{
	uint8_t head[16], tail[16];
	int nh, nt = 0;
	const char *gap = NULL;

	for (size_t i = 0; i + 1 < s.n && !gap; i++)
		if (s.p[i] == ':' && s.p[i + 1] == ':')
			gap = s.p + i;
	if (!gap) {
		if (groups_parse(s, true, head) != 16)
			return false;
		memcpy(out, head, 16);
		return true;
	}

	nh = groups_parse((struct str){ s.p, (size_t)(gap - s.p) }, false, head);
	if (nh < 0)
		return false;
	nt = groups_parse((struct str){ gap + 2, s.n - (size_t)(gap - s.p) - 2 }, true, tail);
	/* "::" stands for at least one group. */
	if (nt < 0 || nh + nt > 14)
		return false;
	memset(out, 0, 16);
	memcpy(out, head, (size_t)nh);
	memcpy(out + 16 - nt, tail, (size_t)nt);
	return true;
}

bool addr_parse(struct str s, struct addr *ret)
{
	struct addr a = { 0 };

	if (s.n == 0 || s.n >= ADDR_TEXT_MAX)
		return false;
	if (memchr(s.p, ':', s.n)) {
		if (!v6_parse(s, a.b))
			return false;
		a.family = 6;
	} else {
		if (!quad_parse(s, a.b))
			return false;
		a.family = 4;
	}
	*ret = a;
	return true;
}

/* One part of an inet_aton() text; any number of leading zeros. False if it is no number or does
 * not fit 32 bits. */
static bool aton_part(struct str s, uint32_t *ret)
{
	uint64_t v = 0;
	uint64_t base = 10;
	size_t i = 0;

	if (s.n == 0)
		return false;
	if (s.n > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'X')) {
		base = 16;
		i = 2;
	} else if (s.p[0] == '0') {
		base = 8;
	}
	for (; i < s.n; i++) {
		int d = digit_value(s.p[i]);

		if (d < 0 || (uint64_t)d >= base)
			return false;
		v = v * base + (uint64_t)d;
		if (v > UINT32_MAX)
			return false;
	}
	*ret = (uint32_t)v;
	return true;
}

bool addr_parse_aton(struct str s, struct addr *ret)
{
	uint32_t v = 0, part;
	bool more = true;
	int shift = 32;

	while (more) {
		struct str text = cut(&s, '.', &more);

		if (shift == 0 || !aton_part(text, &part))
			return false;
		if (!more) {
			/* The last part fills what the others left. */
			if (shift < 32 && part >> shift)
				return false;
			v |= part;
		} else {
			if (part > 255)
				return false;
			shift -= 8;
			v |= part << shift;
		}
	}
	*ret = addr_v4(v);
	return true;
}

static char *put_number(char *p, unsigned int v, unsigned int base)
{
	char digits[8];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n > 0)
		*p++ = digits[--n];
	return p;
}

static char *put_quad(char *p, const uint8_t b[4])
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			*p++ = '.';
		p = put_number(p, b[i], 10);
	}
	return p;
}

/* The longest run of zero groups, the first of equals; RFC 5952 4.2.2: a single zero group is not
 * shortened. */
static int longest_gap(const uint16_t g[8], int *ret_n)
{
	int best = -1, best_n = 1;

	for (int i = 0; i < 8; i++) {
		int n = 0;

		while (i + n < 8 && g[i + n] == 0)
			n++;
		if (n > best_n) {
			best = i;
			best_n = n;
		}
		i += n;
	}
	*ret_n = best_n;
	return best;
}

static char *put_v6(char *p, const uint8_t b[16])
{
	uint16_t g[8];
	int gap, gap_n;

	for (int i = 0; i < 8; i++)
		g[i] = (uint16_t)(b[2 * i] << 8 | b[2 * i + 1]);
	gap = longest_gap(g, &gap_n);
	for (int i = 0; i < 8; i++) {
		if (i == gap) {
			*p++ = ':';
			*p++ = ':';
			i += gap_n - 1;
			continue;
		}
		if (i > 0 && (gap < 0 || i != gap + gap_n))
			*p++ = ':';
		p = put_number(p, g[i], 16);
	}
	return p;
}

const char *addr_text(const struct addr *a, char *out)
{
	char *p = out;

	if (a->family == 4) {
		p = put_quad(p, a->b);
	} else if (a->family == 6 && memcmp(a->b, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		memcpy(p, "::ffff:", 7);
		p = put_quad(p + 7, a->b + 12);
	} else if (a->family == 6) {
		p = put_v6(p, a->b);
	}
	*p = '\0';
	return out;
}

const char *endpoint_text(const struct endpoint *e, char *out)
{
	char *p = out;

	if (e->addr.family == 6)
		*p++ = '[';
	addr_text(&e->addr, p);
	p += strlen(p);
	if (e->addr.family == 6)
		*p++ = ']';
	*p++ = ':';
	p = put_number(p, e->port, 10);
	*p = '\0';
	return out;
}

/* Do the first `bits` bits agree? */
static bool bits_eq(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool cidr_parse(struct str s, struct cidr *ret)
{
	struct cidr c = { 0 };
	bool slash;
	uint32_t len;
	struct str text = cut(&s, '/', &slash);

	if (!addr_parse(text, &c.addr))
		return false;
	len = c.addr.family == 4 ? 32 : 128;
	if (slash && !decimal_parse(s, len, &len))
		return false;
	c.len = (uint8_t)len;
	for (unsigned int i = len; i < (c.addr.family == 4 ? 32U : 128U); i++)
		if (c.addr.b[i / 8] & 0x80 >> i % 8)
			return false;
	*ret = c;
	return true;
}

bool cidr_contains(const struct cidr *c, const struct addr *a)
{
	return c->addr.family != 0 && c->addr.family == a->family &&
	       bits_eq(c->addr.b, a->b, c->len);
}

bool port_parse(struct str s, uint16_t *ret)
{
	uint32_t v;

	if (!decimal_parse(s, 65535, &v) || v == 0)
		return false;
	*ret = (uint16_t)v;
	return true;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(e->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->port) };

	memset(ret, 0, sizeof(*ret));
	switch (e->addr.family) {
	case 4:
		memcpy(&in.sin_addr, e->addr.b, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	case 6:
		memcpy(&in6.sin6_addr, e->addr.b, 16);
		memcpy(ret, &in6, sizeof(in6));
		return sizeof(in6);
	default:
		return 0;
	}
}

bool endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret)
{
	struct endpoint e = { 0 };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof(in));
		e.addr.family = 4;
		memcpy(e.addr.b, &in.sin_addr, 4);
		e.port = ntohs(in.sin_port);
		break;
	case AF_INET6:
		memcpy(&in6, sa, sizeof(in6));
		e.addr.family = 6;
		memcpy(e.addr.b, &in6.sin6_addr, 16);
		e.port = ntohs(in6.sin6_port);
		break;
	default:
		return false;
	}
	*ret = e;
	return true;
}
