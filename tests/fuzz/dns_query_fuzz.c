/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a query, and the answers that are made of it. What must hold: an answer fits, can be
 * read back by the strict reader, repeats the question byte by byte, and holds the records that
 * were put in or says that it was cut.
 */
#include "tests/fuzz/fuzz.h"

#include "wire/dns_msg.h"

enum { RECORDS = 40 };

static void check_text(const struct dns_name *name)
{
	assert(strlen(name->text) == name->len && name->len <= DNS_NAME_MAX);
	for (size_t i = 0; i < name->len; i++)
		assert(name->text[i] > 0x20 && name->text[i] < 0x7f && name->text[i] != '\\');
}

static void check_head(const struct dns_query *q, const uint8_t *p, size_t n, enum dns_rcode rcode)
{
	struct dns_reader r;

	/* The reader takes answers to queries only; a refusal of another opcode repeats that. */
	assert(dns_reader_open(&r, p, n) == (q->opcode == 0));
	assert((p[3] & 15) == (rcode & 15));
	assert((p[0] << 8 | p[1]) == q->id);
	assert((p[2] >> 3 & 15) == q->opcode && (p[2] & 1) == q->rd && !(p[2] & 4));
	assert((p[3] >> 4 & 1) == q->cd && p[3] & 0x80);
	assert(q->question_len == 0 || memcmp(p + 12, q->question, q->question_len) == 0);
	assert(p[11] == q->edns);
}

/* Addresses of both families until it is full. */
static void check_addresses(const struct dns_query *q, uint8_t *out, size_t cap)
{
	const struct addr v4 = { .family = 4, .b = { 192, 0, 2, 1 } };
	const struct addr v6 = { .family = 6, .b = { 0x20, 0x01, 0x0d, 0xb8 } };
	struct dns_answer a;
	struct dns_reader r;
	struct dns_rr rr;
	size_t n, count = 0;
	int more;

	dns_answer_begin(&a, q, DNS_NOERROR, out, cap);
	for (size_t i = 0; i < RECORDS; i++)
		dns_answer_addr(&a, (uint32_t)i, i % 2 ? &v6 : &v4);
	n = dns_answer_end(&a);
	assert(n <= cap);
	check_head(q, out, n, DNS_NOERROR);
	assert(dns_reader_open(&r, out, n));
	for (; (more = dns_reader_next(&r, &rr)) > 0; count++) {
		const struct addr *want = count % 2 ? &v6 : &v4;

		assert(rr.ttl == count && rr.class == 1);
		assert(rr.type == (count % 2 ? DNS_AAAA : DNS_A));
		assert(strcmp(rr.owner.text, q->name.text) == 0 && rr.owner.odd == q->name.odd);
		assert(memcmp(out + rr.rdata_at, want->b, rr.rdata_len) == 0);
	}
	assert(more == 0);
	assert(r.tc == (count < RECORDS));
}

/* A name is the same after writing and reading. */
static void check_name(const struct dns_query *q, uint8_t *out, size_t cap)
{
	struct dns_answer a;
	struct dns_reader r;
	struct dns_rr rr;
	struct dns_name back;
	uint8_t wire[255];
	size_t n, next;

	if (q->name.odd)
		return;
	dns_answer_begin(&a, q, DNS_NOERROR, out, cap);
	dns_answer_name(&a, DNS_CNAME, 60, q->name.text);
	n = dns_answer_end(&a);
	assert(n <= cap && dns_reader_open(&r, out, n));
	if (r.tc)
		return;
	assert(r.rcode == DNS_NOERROR && dns_reader_next(&r, &rr) == 1);
	assert(dns_name_read(out, n, rr.rdata_at, &back, &next));
	assert(next == rr.rdata_at + rr.rdata_len);
	assert(!back.odd && strcmp(back.text, q->name.text) == 0);
	/* Written without compression: expanding changes nothing. */
	assert(dns_rr_rdata(&r, &rr, wire, sizeof(wire)) == rr.rdata_len);
	assert(memcmp(wire, out + rr.rdata_at, rr.rdata_len) == 0);
}

static void check_refusal(const struct dns_query *q, enum dns_rcode rcode, uint8_t *out, size_t cap)
{
	static const char text[] =
		"«name_not_allowed»: the name is on no list; ask for a rule — or use another host. "
		"«name_not_allowed»: the name is on no list; ask for a rule — or use another "
		"host. ";
	struct dns_answer a;
	size_t n;

	dns_answer_begin(&a, q, rcode, out, cap);
	dns_answer_ede(&a, DNS_EDE_BLOCKED, text);
	n = dns_answer_end(&a);
	assert(n <= cap);
	check_head(q, out, n, rcode);
	assert(n >= 12 + q->question_len + (q->edns ? 17U : 0U));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_rcode rcodes[] = {
		[DNS_QUERY_OK] = DNS_NXDOMAIN,
		[DNS_QUERY_FORMERR] = DNS_FORMERR,
		[DNS_QUERY_NOTIMP] = DNS_NOTIMP,
		[DNS_QUERY_BADVERS] = DNS_BADVERS,
	};
	uint8_t *in = fuzz_copy(data, size), *out;
	struct addr reverse;
	struct dns_query q;
	size_t cap;
	enum dns_query_state state = dns_query_parse(in, size, &q);

	if (state == DNS_QUERY_DROP) {
		free(in);
		return 0;
	}
	check_text(&q.name);
	assert(q.udp_size >= DNS_UDP_MIN);
	cap = MIN((size_t)q.udp_size, (size_t)DNS_UDP_MAX);
	out = malloc(cap);
	assert(out);
	check_refusal(&q, rcodes[state], out, cap);
	if (state == DNS_QUERY_OK) {
		assert(q.opcode == 0 && q.question_len >= 5 && q.question == in + 12);
		check_addresses(&q, out, cap);
		check_name(&q, out, cap);
		if (dns_reverse_addr(&q.name, &reverse))
			assert(reverse.family == 4 || reverse.family == 6);
	} else if (state != DNS_QUERY_BADVERS) {
		assert(q.question_len == 0 && !q.edns);
	}
	free(out);
	free(in);
	return 0;
}
