/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns, read strictly. The sentences are for a person who has just typed the text: each says
 * what is wrong and, where one can guess it, what was meant.
 */
#include "policy/pattern.h"

#include <stdarg.h>
#include <stdio.h>

#define QUOTE_MAX 280

/* Where the sentence goes, and the text that it quotes. */
struct complaint {
	const char *text;
	char *why;
	size_t n;
};

/* Writes `"TEXT": SENTENCE` and returns -EINVAL. Control characters of the text become '?'. */
static _printf_(2, 3) int complain(const struct complaint *c, const char *fmt, ...)
{
	char quoted[QUOTE_MAX];
	size_t n = 0;
	va_list ap;
	int used;

	for (; c->text[n] && n < sizeof(quoted) - 1; n++) {
		unsigned char ch = (unsigned char)c->text[n];

		quoted[n] = ch < ' ' || ch == 0x7f ? '?' : c->text[n];
	}
	quoted[n] = '\0';
	used = snprintf(c->why, c->n, "\"%s\": ", quoted);
	if (used < 0 || (size_t)used >= c->n)
		return -EINVAL;
	va_start(ap, fmt);
	(void)vsnprintf(c->why + used, c->n - (size_t)used, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool has_blank(const char *z)
{
	for (; *z; z++)
		if ((unsigned char)*z <= ' ' || *z == 0x7f)
			return true;
	return false;
}

/* What is wrong before one looks at hosts: the mistakes of pasting something else than a host. */
static int check_shape(const struct complaint *c)
{
	const char *z = c->text, *slash;
	struct addr a;

	if (!*z)
		return complain(c, "the pattern is empty");
	if (has_blank(z))
		return complain(c, "blanks and control characters are not allowed");
	if (strstr(z, "://"))
		return complain(c, "give the host only, without scheme and path");
	slash = strchr(z, '/');
	if (slash && addr_parse((struct str){ z, (size_t)(slash - z) }, &a))
		return complain(c, "a network is written --allow-cidr %.*s/LEN:PORT",
				(int)(slash - z), z);
	if (slash)
		return complain(c, "give the host only, without a path");
	if (strchr(z, '@'))
		return complain(c, "give the host only, without a user");
	return 0;
}

/* Takes the '*' off the front. `*ret_rest` is the host, or "" for any, then the port if there is
 * one. */
static int check_star(const struct complaint *c, enum rule_kind *ret_kind, const char **ret_rest)
{
	const char *z = c->text;

	*ret_kind = RULE_EXACT;
	*ret_rest = z;
	if (z[0] == '*' && (z[1] == '\0' || z[1] == ':')) {
		*ret_kind = RULE_ANY;
		*ret_rest = z + 1;
	} else if (z[0] == '*' && z[1] == '.') {
		*ret_kind = RULE_SUFFIX;
		*ret_rest = z + 2;
		if (z[2] == '\0' || z[2] == ':')
			return complain(c, "a wildcard needs a name behind it");
	} else if (z[0] == '*') {
		return complain(c, "write *.%s (a pattern never matches without the dot)", z + 1);
	} else if (z[0] == '.') {
		return complain(c, "write *%s for the names below, or %s for the name itself", z,
				z + 1);
	}
	if (strchr(*ret_rest, '*'))
		return complain(c, "\"*\" stands alone or at the front, as in *.example.com");
	return 0;
}

/*
 * Splits the port off. Only what cannot be a bare IPv6 address has one: text behind a bracket, or
 * one colon in all.
 */
static int split_port(const struct complaint *c, const char *z, struct str *ret_host,
		      uint16_t *ret_port)
{
	const char *end = *z == '[' ? strchr(z, ']') : NULL;
	const char *colon = end ? end + 1 : strchr(z, ':');

	*ret_host = str_of(z);
	*ret_port = 0;
	if (*z == '[' && !end)
		return complain(c, "the bracket is not closed");
	if (end && *colon && *colon != ':')
		return complain(c, "only :PORT may follow the bracket");
	if (!colon || !*colon || (!end && strchr(colon + 1, ':')))
		return 0;
	if (!port_parse(str_of(colon + 1), ret_port))
		return complain(c, "the port must be a number from 1 to 65535");
	ret_host->n = (size_t)(colon - z);
	return 0;
}

static const char *refused_word(enum addr_class c)
{
	switch (c) {
	case ADDR_METADATA:
		return "a cloud metadata address";
	case ADDR_LINK_LOCAL:
		return "link-local";
	default:
		return "a special address";
	}
}

/* A literal address as a pattern: written plainly, and not one that nothing can allow. */
static int check_literal(const struct complaint *c, struct str text, bool deny,
			 const struct addr_options *opt, struct pattern *p)
{
	const struct addr *a = &p->host.addr;
	enum addr_class cls = addr_classify(a, opt, NULL);
	struct addr plain;

	if (text.p[0] == '[')
		text = (struct str){ text.p + 1, text.n - 2 };
	if (text.p[text.n - 1] == '.')
		text.n--;
	if (!addr_parse(text, &plain))
		return complain(c, "write the address plainly: %s", p->host.name);
	if (!deny && addr_class_reason(cls) != REASON_NONE)
		return complain(c, "%s is %s, which is always refused", p->host.name,
				refused_word(cls));
	p->kind = RULE_ADDR;
	p->net.addr = *a;
	p->net.len = a->family == 4 ? 32 : 128;
	return 0;
}

int pattern_parse_domain(const char *text, bool deny, const struct addr_options *opt,
			 struct pattern *ret, char *why, size_t why_n)
{
	const struct complaint c = { text, why, why_n };
	struct pattern p = { 0 };
	struct str host;
	const char *rest;
	int r;

	if ((r = check_shape(&c)) < 0 || (r = check_star(&c, &p.kind, &rest)) < 0 ||
	    (r = split_port(&c, rest, &host, &p.port)) < 0)
		return r;
	if (p.kind != RULE_ANY) {
		if (!host_parse(host, &p.host))
			return complain(&c, "%.*s is not a valid host name", STR_FMT(host));
		if (p.host.is_addr && p.kind == RULE_SUFFIX)
			return complain(&c, "a wildcard needs a name behind it, not an address");
		if (p.host.is_addr)
			r = check_literal(&c, host, deny, opt, &p);
		else if (!deny && name_is_metadata(p.host.name))
			r = complain(&c, "%s is a cloud metadata name, which is always refused",
				     p.host.name);
	}
	if (r == 0)
		*ret = p;
	return r;
}

/* "NET" and "PORT" of "NET:PORT"; a bare IPv6 address needs brackets or a "/LEN" for its end to be
 * seen. */
static int split_cidr(const struct complaint *c, struct str *ret_net, uint16_t *ret_port)
{
	const char *z = c->text, *slash = strchr(z, '/');
	const char *end = z[0] == '[' ? strchr(z, ']') : NULL;
	const char *colon;

	if (z[0] == '[' && !end)
		return complain(c, "the bracket is not closed");
	colon = end ? end + 1 : strchr(slash ? slash : z, ':');
	*ret_net = end ? (struct str){ z + 1, (size_t)(end - z - 1) } : str_of(z);
	if (end && *colon && *colon != ':')
		return complain(c, "only :PORT may follow the bracket");
	if (!colon || !*colon)
		return complain(c, "a port is needed, as in %s:443", z);
	if (!end && !slash && strchr(colon + 1, ':'))
		return complain(c, "write an IPv6 address with brackets, as in [2001:db8::7]:443");
	if (!end)
		ret_net->n = (size_t)(colon - z);
	if (!port_parse(str_of(colon + 1), ret_port))
		return complain(c, "the port must be a number from 1 to 65535");
	return 0;
}

/* cidr_parse() said no: find the words for it. */
static int explain_cidr(const struct complaint *c, struct str net)
{
	const char *slash = net.n ? memchr(net.p, '/', net.n) : NULL;
	size_t n = slash ? (size_t)(slash - net.p) : net.n;
	char out[ADDR_TEXT_MAX];
	struct addr a;

	if (!addr_parse((struct str){ net.p, n }, &a))
		return complain(c, "%.*s is not an IP address", (int)n, net.p);
	/* Clear bits from the end until the length fits: the network that was meant, if there is
	 * one. */
	for (int bits = a.family == 4 ? 32 : 128; slash && bits-- > 0;) {
		struct str tail = { slash, net.n - n };
		char text[ADDR_TEXT_MAX + 8];
		struct cidr found;

		a.b[bits / 8] &= (uint8_t) ~(0x80 >> bits % 8);
		addr_text(&a, out);
		if (tail.n > 4)
			break;
		(void)snprintf(text, sizeof(text), "%s%.*s", out, STR_FMT(tail));
		if (cidr_parse(str_of(text), &found))
			return complain(c, "bits behind the prefix are set; the network is %s",
					text);
	}
	return complain(c, "the prefix length must be a number from 0 to %d",
			a.family == 4 ? 32 : 128);
}

int pattern_parse_cidr(const char *text, struct pattern *ret, char *why, size_t why_n)
{
	const struct complaint c = { text, why, why_n };
	struct pattern p = { .kind = RULE_CIDR };
	struct str net;
	struct addr folded;
	enum addr_class cls;
	int r;

	if (!*text)
		return complain(&c, "the network is empty");
	if (has_blank(text))
		return complain(&c, "blanks and control characters are not allowed");
	r = split_cidr(&c, &net, &p.port);
	if (r < 0)
		return r;
	if (!cidr_parse(net, &p.net))
		return explain_cidr(&c, net);
	/* Addresses are folded before they are compared, so the network must be too. */
	folded = addr_unmap(&p.net.addr);
	if (folded.family != p.net.addr.family && p.net.len >= 96)
		p.net = (struct cidr){ folded, (uint8_t)(p.net.len - 96) };
	cls = addr_class_of_net(&p.net);
	if (addr_class_reason(cls) != REASON_NONE)
		return complain(&c, "the network is %s, which is always refused",
				cls == ADDR_SPECIAL ? "special" : refused_word(cls));
	*ret = p;
	return 0;
}
