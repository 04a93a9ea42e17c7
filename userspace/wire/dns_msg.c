/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readers: names, queries, the records of answers.
 *
 * Names are first copied to uncompressed wire form (at most 255 bytes, RFC 1035 2.3.4) and judged
 * there. A compression pointer must point before the run of labels that it ends, so that every hop
 * goes strictly backwards, and there is a limit on hops. Queries are held to the letter: a stub
 * resolver has no reason to send what is refused here, and a lenient reader would have to guess
 * what another reader makes of the same bytes.
 */
#include "wire/dns_msg.h"

#include <string.h>

enum {
	HEADER = 12,
	QUESTION_MIN = 5, /* root, type, class */
	RECORD_MIN = 11,  /* root, type, class, TTL, length */
	WIRE_NAME_MAX = 255,
	HOPS_MAX = 64,
	FLAG_QR = 0x8000,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_CD = 0x0010,
};

struct wire_name {
	size_t len;
	uint8_t b[WIRE_NAME_MAX];
};

static bool name_expand(const uint8_t *msg, size_t n, size_t at, bool pointers,
			struct wire_name *ret, size_t *ret_next)
{
	size_t run = at, next = 0, len = 0; /* run: where the labels at hand begin */
	unsigned int hops = 0;

	for (;;) {
		size_t label;

		if (at >= n)
			return false;
		if (msg[at] >= 0xc0) {
			size_t to;

			if (!pointers || n - at < 2 || ++hops > HOPS_MAX)
				return false;
			to = (size_t)(msg[at] & 0x3f) << 8 | msg[at + 1];
			if (to < HEADER || to >= run)
				return false;
			if (next == 0)
				next = at + 2;
			at = run = to;
			continue;
		}
		if (msg[at] > 63) /* 01 and 10: withdrawn kinds of labels (RFC 6891 5) */
			return false;
		label = msg[at] + 1U;
		if (label > n - at || label > WIRE_NAME_MAX - len)
			return false;
		memcpy(ret->b + len, msg + at, label);
		len += label;
		at += label;
		if (label == 1)
			break;
	}
	ret->len = len;
	*ret_next = next ? next : at;
	return true;
}

/* 255 wire bytes are 253 characters: the first length byte and the root's have no counterpart. */
static void name_to_text(const struct wire_name *w, struct dns_name *ret)
{
	size_t len = 0;

	ret->odd = false;
	for (size_t at = 0; w->b[at] != 0; at += w->b[at] + 1U) {
		if (at > 0)
			ret->text[len++] = '.';
		for (size_t i = 1; i <= w->b[at]; i++) {
			uint8_t c = w->b[at + i];

			if (c <= 0x20 || c >= 0x7f || c == '.' || c == '\\')
				ret->odd = true;
			else
				ret->text[len++] = (char)c;
		}
	}
	ret->text[len] = '\0';
	ret->len = (uint8_t)len;
}

bool dns_name_read(const uint8_t *msg, size_t n, size_t at, struct dns_name *ret, size_t *ret_next)
{
	struct wire_name w;
	size_t next;

	if (!name_expand(msg, n, at, true, &w, &next))
		return false;
	name_to_text(&w, ret);
	*ret_next = next;
	return true;
}

/* ---- queries
 * -----------------------------------------------------------------------------------------------------
 */

/* RFC 6891 6.1.2. Options are not used, but must be well-formed; those of a later version may look
 * different. */
static bool read_opt(struct cursor *c, struct dns_query *q)
{
	uint8_t root = cursor_u8(c);
	uint16_t type = cursor_u16(c), size = cursor_u16(c);
	struct cursor options;

	(void)cursor_u8(c); /* upper bits of the rcode: nothing in a query */
	q->edns_version = cursor_u8(c);
	(void)cursor_u16(c); /* flags */
	options = cursor_sub(c, cursor_u16(c));
	if (c->bad || root != 0 || type != DNS_OPT)
		return false;
	while (q->edns_version == 0 && cursor_left(&options) > 0) {
		(void)cursor_u16(&options); /* code */
		(void)cursor_take(&options, cursor_u16(&options));
	}
	q->edns = true;
	q->udp_size = MAX(size, (uint16_t)DNS_UDP_MIN);
	return !options.bad;
}

/* Behind the four counts: one question, and perhaps an OPT record. */
static bool read_query_sections(struct cursor *c, const uint8_t *p, size_t n, bool opt,
				struct dns_query *q)
{
	struct wire_name w;
	size_t next;

	if (!name_expand(p, n, HEADER, false, &w, &next))
		return false;
	(void)cursor_take(c, next - HEADER);
	q->qtype = cursor_u16(c);
	q->qclass = cursor_u16(c);
	if (c->bad)
		return false;
	q->question = p + HEADER;
	q->question_len = next + 4 - HEADER;
	name_to_text(&w, &q->name);
	if (opt && !read_opt(c, q))
		return false;
	return cursor_left(c) == 0;
}

enum dns_query_state dns_query_parse(const uint8_t *p, size_t n, struct dns_query *ret)
{
	struct cursor c = cursor_over(p, n);
	struct dns_query q = { .udp_size = DNS_UDP_MIN }, head;
	uint16_t flags, qdcount, ancount, nscount, arcount;
	bool good;

	q.id = cursor_u16(&c);
	flags = cursor_u16(&c);
	qdcount = cursor_u16(&c);
	ancount = cursor_u16(&c);
	nscount = cursor_u16(&c);
	arcount = cursor_u16(&c);
	if (c.bad || flags & FLAG_QR)
		return DNS_QUERY_DROP;
	q.opcode = flags >> 11 & 15;
	q.rd = flags & FLAG_RD;
	q.cd = flags & FLAG_CD;
	head = q;
	if (q.opcode != 0) {
		*ret = head;
		return DNS_QUERY_NOTIMP;
	}
	/* OPT is the only additional record that is taken, and there is at most one: no signed
	 * queries (TSIG, SIG(0)). */
	good = !(flags & FLAG_TC) && qdcount == 1 && ancount == 0 && nscount == 0 && arcount <= 1 &&
	       read_query_sections(&c, p, n, arcount == 1, &q);
	*ret = good ? q : head;
	if (!good)
		return DNS_QUERY_FORMERR;
	return q.edns_version == 0 ? DNS_QUERY_OK : DNS_QUERY_BADVERS;
}

/* ---- answers
 * -----------------------------------------------------------------------------------------------------
 */

bool dns_reader_open(struct dns_reader *r, const uint8_t *p, size_t n)
{
	struct cursor c = cursor_over(p, n);
	struct wire_name w;
	uint16_t flags, qdcount, ancount;
	size_t others, at = HEADER;

	(void)cursor_u16(&c); /* id */
	flags = cursor_u16(&c);
	qdcount = cursor_u16(&c);
	ancount = cursor_u16(&c);
	others = cursor_u16(&c);
	others += cursor_u16(&c);
	if (c.bad || n > DNS_MESSAGE_MAX || !(flags & FLAG_QR) || (flags >> 11 & 15) != 0)
		return false;
	if ((size_t)qdcount * QUESTION_MIN + (ancount + others) * RECORD_MIN > cursor_left(&c))
		return false;
	for (; qdcount > 0; qdcount--) {
		if (!name_expand(p, n, at, true, &w, &at) || n - at < 4)
			return false;
		at += 4;
	}
	*r = (struct dns_reader){
		.msg = p,
		.n = n,
		.at = at,
		.left = ancount,
		.rcode = flags & 15,
		.tc = flags & FLAG_TC,
	};
	return true;
}

int dns_reader_next(struct dns_reader *r, struct dns_rr *ret)
{
	struct wire_name w;
	struct dns_rr rr;
	struct cursor c;
	size_t at;

	if (r->left == 0)
		return 0;
	if (!name_expand(r->msg, r->n, r->at, true, &w, &at))
		return -EBADMSG;
	c = cursor_over(r->msg + at, r->n - at);
	rr.type = cursor_u16(&c);
	rr.class = cursor_u16(&c);
	rr.ttl = cursor_u32(&c);
	rr.rdata_len = cursor_u16(&c);
	(void)cursor_take(&c, rr.rdata_len);
	if (c.bad)
		return -EBADMSG;
	rr.rdata_at = at + RECORD_MIN - 1;
	name_to_text(&w, &rr.owner);
	r->at = rr.rdata_at + rr.rdata_len;
	r->left--;
	*ret = rr;
	return 1;
}

/* ---- rdata
 * -------------------------------------------------------------------------------------------------------
 */

/* `fixed` bytes that are copied, then a name up to the end of the rdata. */
static int rdata_with_name(const struct dns_reader *r, const struct dns_rr *rr, size_t fixed,
			   uint8_t *out, size_t cap)
{
	size_t end = rr->rdata_at + rr->rdata_len, next;
	struct wire_name w;

	/* Compressed or not, what stands in the rdata itself may not pass its end. */
	if (rr->rdata_len <= fixed ||
	    !name_expand(r->msg, end, rr->rdata_at + fixed, true, &w, &next) || next != end)
		return -EBADMSG;
	if (fixed + w.len > cap)
		return -ENOSPC;
	if (fixed > 0)
		memcpy(out, r->msg + rr->rdata_at, fixed);
	memcpy(out + fixed, w.b, w.len);
	return (int)(fixed + w.len);
}

/* RFC 1035 3.3.14: one or more character strings. */
static bool txt_is_good(struct cursor c)
{
	if (cursor_left(&c) == 0)
		return false;
	while (cursor_left(&c) > 0)
		(void)cursor_take(&c, cursor_u8(&c));
	return !c.bad;
}

/* RFC 8659 4.1: flags, a tag of letters and digits, a value of any bytes. */
static bool caa_is_good(struct cursor c)
{
	const uint8_t *tag;
	size_t n;

	(void)cursor_u8(&c);
	n = cursor_u8(&c);
	tag = cursor_take(&c, n);
	if (!tag || n == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		char t = ascii_lower((char)tag[i]);

		if (!((t >= 'a' && t <= 'z') || (t >= '0' && t <= '9')))
			return false;
	}
	return true;
}

int dns_rr_rdata(const struct dns_reader *r, const struct dns_rr *rr, uint8_t *out, size_t cap)
{
	struct cursor c = cursor_over(r->msg + rr->rdata_at, rr->rdata_len);

	switch (rr->type) {
	case DNS_CNAME:
	case DNS_NS:
	case DNS_PTR:
		return rdata_with_name(r, rr, 0, out, cap);
	case DNS_MX:
		return rdata_with_name(r, rr, 2, out, cap);
	case DNS_SRV:
		return rdata_with_name(r, rr, 6, out, cap);
	case DNS_TXT:
		if (!txt_is_good(c))
			return -EBADMSG;
		break;
	case DNS_CAA:
		if (!caa_is_good(c))
			return -EBADMSG;
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (rr->rdata_len > cap)
		return -ENOSPC;
	memcpy(out, r->msg + rr->rdata_at, rr->rdata_len);
	return rr->rdata_len;
}
