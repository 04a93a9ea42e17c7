/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of answers.
 *
 *	header | question as sent | records … | free | reserve for OPT
 *
 * Every record goes in whole or not at all, and after one that did not fit none goes in, so that a
 * truncated answer is a beginning of the full one. Counts and the TC bit are written at the end;
 * nothing before `n` is ever moved.
 */
#include "wire/dns_msg.h"

#include <assert.h>
#include <string.h>

enum {
	HEADER = 12,
	LABEL_MAX = 63,
	WIRE_NAME_MAX = 255,
	CLASS_IN = 1,
	OPT_FIXED = 11,
	OPTION_EDE = 15,
	EDE_FIXED = 6, /* option code, length, info code */
	QUESTION_COUNT_LOW = 5,
};

static void put_u8(struct dns_answer *a, uint8_t v)
{
	a->p[a->n++] = v;
}

static void put_u16(struct dns_answer *a, uint16_t v)
{
	put_u8(a, (uint8_t)(v >> 8));
	put_u8(a, (uint8_t)v);
}

static void put_bytes(struct dns_answer *a, const void *p, size_t n)
{
	if (n > 0)
		memcpy(a->p + a->n, p, n);
	a->n += n;
}

void dns_answer_begin(struct dns_answer *a, const struct dns_query *q, enum dns_rcode rcode,
		      uint8_t *p, size_t cap)
{
	assert(cap >= DNS_UDP_MIN);
	*a = (struct dns_answer){
		.p = p,
		.cap = MIN(cap, (size_t)DNS_MESSAGE_MAX),
		.reserve = q->edns ? OPT_FIXED + EDE_FIXED : 0,
		.edns = q->edns,
		.ede = DNS_EDE_NONE,
	};
	put_u16(a, q->id);
	put_u8(a, (uint8_t)(0x80 | (q->opcode & 15) << 3 | q->rd)); /* QR, opcode, RD */
	put_u8(a, (uint8_t)(0x80 | q->cd << 4));		    /* RA, CD */
	put_u16(a, q->question_len > 0);
	put_u16(a, 0);
	put_u16(a, 0);
	put_u16(a, 0);
	put_bytes(a, q->question, q->question_len);
	dns_answer_rcode(a, rcode);
}

void dns_answer_rcode(struct dns_answer *a, enum dns_rcode rcode)
{
	/* RFC 6891 6.1.3: what does not fit four bits stands in the OPT record. */
	assert(rcode < 16 || a->edns);
	a->p[3] = (uint8_t)((a->p[3] & 0xf0) | ((unsigned int)rcode & 15));
	a->rcode_high = (uint8_t)((unsigned int)rcode >> 4);
}

/* At most n bytes of UTF-8, not cutting a character in two. */
static size_t utf8_cut(const char *text, size_t len, size_t n)
{
	if (len <= n)
		return len;
	while (n > 0 && ((uint8_t)text[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void dns_answer_ede(struct dns_answer *a, enum dns_ede code, const char *text)
{
	size_t n = text ? utf8_cut(text, strlen(text), sizeof(a->ede_text) - 1) : 0;

	a->ede = code;
	if (n > 0)
		memcpy(a->ede_text, text, n);
	a->ede_text[n] = '\0';
}

void dns_answer_raw(struct dns_answer *a, uint16_t type, uint32_t ttl, const uint8_t *rdata,
		    size_t n)
{
	bool root;
	size_t need;

	/* Without a question there is no owner. */
	assert(a->p[QUESTION_COUNT_LOW] == 1);
	root = a->p[HEADER] == 0;
	need = (root ? 1U : 2U) + 10U + n;
	if (a->tc || n > UINT16_MAX || need > a->cap - a->reserve - a->n) {
		a->tc = true;
		return;
	}
	if (root)
		put_u8(a, 0);
	else
		put_u16(a, 0xc000 | HEADER);
	put_u16(a, type);
	put_u16(a, CLASS_IN);
	put_u16(a, (uint16_t)(ttl >> 16));
	put_u16(a, (uint16_t)ttl);
	put_u16(a, (uint16_t)n);
	put_bytes(a, rdata, n);
	a->ancount++;
}

void dns_answer_addr(struct dns_answer *a, uint32_t ttl, const struct addr *addr)
{
	assert(addr->family == 4 || addr->family == 6);
	if (addr->family == 4)
		dns_answer_raw(a, DNS_A, ttl, addr->b, 4);
	else
		dns_answer_raw(a, DNS_AAAA, ttl, addr->b, 16);
}

/* The length in wire form, or 0 if the text is not a name. */
static size_t name_to_wire(const char *text, uint8_t out[WIRE_NAME_MAX])
{
	size_t n = 0;

	while (*text != '\0') {
		size_t label = strcspn(text, ".");

		if (label == 0 || label > LABEL_MAX || n + 1 + label + 1 > WIRE_NAME_MAX)
			return 0;
		out[n++] = (uint8_t)label;
		memcpy(out + n, text, label);
		n += label;
		text += label;
		if (*text == '.' && *++text == '\0')
			return 0;
	}
	out[n++] = 0;
	return n;
}

void dns_answer_name(struct dns_answer *a, uint16_t type, uint32_t ttl, const char *name)
{
	uint8_t wire[WIRE_NAME_MAX];
	size_t n = name_to_wire(name, wire);

	if (n > 0)
		dns_answer_raw(a, type, ttl, wire, n);
	else
		dns_answer_rcode(a, DNS_SERVFAIL);
}

/* RFC 6891 6.1.2 and RFC 8914 2. The reserve holds all of it but the text, which takes what is
 * free. */
static void put_opt(struct dns_answer *a)
{
	size_t text = 0;

	put_u8(a, 0);
	put_u16(a, DNS_OPT);
	put_u16(a, DNS_UDP_MAX);
	put_u8(a, a->rcode_high);
	put_u8(a, 0); /* version */
	put_u16(a, 0);
	if (a->ede == DNS_EDE_NONE) {
		put_u16(a, 0);
		return;
	}
	text = utf8_cut(a->ede_text, strlen(a->ede_text), a->cap - a->n - 2 - EDE_FIXED);
	put_u16(a, (uint16_t)(EDE_FIXED + text));
	put_u16(a, OPTION_EDE);
	put_u16(a, (uint16_t)(2 + text));
	put_u16(a, (uint16_t)a->ede);
	put_bytes(a, a->ede_text, text);
}

size_t dns_answer_end(struct dns_answer *a)
{
	if (a->edns) {
		put_opt(a);
		a->p[11] = 1; /* ARCOUNT */
	}
	if (a->tc)
		a->p[2] |= 0x02;
	a->p[6] = (uint8_t)(a->ancount >> 8);
	a->p[7] = (uint8_t)a->ancount;
	return a->n;
}
