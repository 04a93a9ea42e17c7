/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers, byte by byte as they must be, and at the edge of the space that they have.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/dns_msg.h"

/* Flags and counts of a plain query with 0 or 1 additional records, and the usual question. */
#define HEAD(arcount) "\x12\x34\1\0\0\1\0\0\0\0\0" arcount
#define NAME	      "\3api\7example\3com\0"
#define IN_A	      "\0\1\0\1"
#define OPT(rest)     "\0\0\x29\4\xd0\0\0\0\0" rest

static const uint8_t *bytes_of(const char *s)
{
	return (const uint8_t *)s;
}

static struct dns_query plain_query(const char *bytes, size_t n)
{
	struct dns_query q;

	assert_int_equal(dns_query_parse(bytes_of(bytes), n, &q), DNS_QUERY_OK);
	return q;
}

#define QUERY(bytes) plain_query(bytes, sizeof(bytes) - 1)

static void test_answer_addresses(void **state)
{
	static const char want[] =
		"\x12\x34\x81\x80\0\1\0\2\0\0\0\0" NAME IN_A
		"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
		"\xc0\x0c\0\x1c\0\1\0\1\0\0\0\x10\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1";
	const struct addr v4 = { 4, { 192, 0, 2, 1 } };
	const struct addr v6 = { 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } };
	const struct dns_query q = QUERY(HEAD("\0") NAME IN_A);
	struct dns_answer a;
	uint8_t out[512];

	(void)state;
	dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
	dns_answer_addr(&a, 60, &v4);
	dns_answer_addr(&a, 65536, &v6);
	assert_int_equal(dns_answer_end(&a), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
}

static void test_answer_repeats_the_question(void **state)
{
	/* Case, class and CD as sent; RD not set. */
	static const char query[] = "\1\2\0\x10\0\1\0\0\0\0\0\0\3aPi\0\0\x10\0\3";
	static const char want[] = "\1\2\x80\x93\0\1\0\0\0\0\0\0\3aPi\0\0\x10\0\3";
	const struct dns_query q = QUERY(query);
	struct dns_answer a;
	uint8_t out[512];

	(void)state;
	dns_answer_begin(&a, &q, DNS_NXDOMAIN, out, sizeof(out));
	assert_int_equal(dns_answer_end(&a), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
}

static void test_answer_root(void **state)
{
	static const char want[] = "\x12\x34\x81\x80\0\1\0\1\0\0\0\0\0\0\2\0\1"
				   "\0\0\2\0\1\0\0\0\1\0\6\2ns\1x\0";
	const struct dns_query q = QUERY(HEAD("\0") "\0\0\2\0\1");
	struct dns_answer a;
	uint8_t out[512];

	(void)state;
	dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
	dns_answer_name(&a, DNS_NS, 1, "ns.x");
	assert_int_equal(dns_answer_end(&a), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
}

static void test_answer_without_question(void **state)
{
	static const char query[] = "\1\2\x29\0\0\7\0\0\0\0\0\0";
	static const char want[] = "\1\2\xa9\x84\0\0\0\0\0\0\0\0";
	struct dns_query q;
	struct dns_answer a;
	uint8_t out[512];

	(void)state;
	assert_int_equal(dns_query_parse(bytes_of(query), sizeof(query) - 1, &q), DNS_QUERY_NOTIMP);
	dns_answer_begin(&a, &q, DNS_NOTIMP, out, sizeof(out));
	assert_int_equal(dns_answer_end(&a), 12);
	assert_memory_equal(out, want, 12);
}

static void test_answer_ede(void **state)
{
	static const char want[] = "\x12\x34\x81\x83\0\1\0\0\0\0\0\1" NAME IN_A
				   "\0\0\x29\4\xd0\0\0\0\0\0\x0d\0\x0f\0\x09\0\x0f"
				   "refused";
	const struct dns_query q = QUERY(HEAD("\1") NAME IN_A OPT("\0\0"));
	const struct dns_query without = QUERY(HEAD("\0") NAME IN_A);
	struct dns_answer a;
	uint8_t out[512];

	(void)state;
	dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
	dns_answer_rcode(&a, DNS_NXDOMAIN);
	dns_answer_ede(&a, DNS_EDE_BLOCKED, "refused");
	assert_int_equal(dns_answer_end(&a), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);

	/* A client that did not speak EDNS would not understand it. */
	dns_answer_begin(&a, &without, DNS_NXDOMAIN, out, sizeof(out));
	dns_answer_ede(&a, DNS_EDE_BLOCKED, "refused");
	assert_int_equal(dns_answer_end(&a), 12 + without.question_len);
	assert_int_equal(out[11], 0);
}

static void test_answer_badvers(void **state)
{
	static const char query[] = HEAD("\1") NAME IN_A "\0\0\x29\4\xd0\0\1\0\0\0\0";
	static const char want[] = "\x12\x34\x81\x80\0\1\0\0\0\0\0\1" NAME IN_A
				   "\0\0\x29\4\xd0\1\0\0\0\0\0";
	struct dns_query q;
	struct dns_answer a;
	uint8_t out[512];

	(void)state;
	assert_int_equal(dns_query_parse(bytes_of(query), sizeof(query) - 1, &q),
			 DNS_QUERY_BADVERS);
	dns_answer_begin(&a, &q, DNS_BADVERS, out, sizeof(out));
	assert_int_equal(dns_answer_end(&a), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
}

/* The text is cut between characters: to what is kept of it, and to what is free at the end. */
static void test_answer_ede_text_is_cut(void **state)
{
	const struct dns_query q = QUERY(HEAD("\1") NAME IN_A OPT("\0\0"));
	const struct addr v4 = { 4, { 192, 0, 2, 1 } };
	uint8_t out[512], filler[512] = { 0 };
	struct dns_answer a;
	char text[301];
	size_t n;

	(void)state;
	for (size_t i = 0; i < 300; i += 2)
		memcpy(text + i, "\xc3\xa4", 2); /* ä */
	text[300] = '\0';
	dns_answer_begin(&a, &q, DNS_NXDOMAIN, out, sizeof(out));
	dns_answer_ede(&a, DNS_EDE_OTHER, text);
	n = dns_answer_end(&a);
	assert_int_equal(n, 12 + q.question_len + 17 + 158);
	assert_memory_equal(out + n - 2, "\xc3\xa4", 2);

	for (size_t spare = 0; spare < 8; spare++) {
		const size_t record = 12;
		size_t used = 12 + q.question_len + 17;

		dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
		dns_answer_ede(&a, DNS_EDE_OTHER, text);
		dns_answer_raw(&a, DNS_TXT, 1, filler, sizeof(out) - used - record - spare);
		n = dns_answer_end(&a);
		assert_int_equal(n, sizeof(out) - spare % 2);
		assert_int_equal(out[2] & 2, 0);
		assert_int_equal(out[7], 1);
	}
	/* One byte more than the last of these, and the record does not fit. */
	dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
	dns_answer_raw(&a, DNS_TXT, 1, filler, sizeof(out) - (12 + q.question_len + 17) - 12 + 1);
	n = dns_answer_end(&a);
	assert_int_equal(n, 12 + q.question_len + 11);
	assert_int_equal(out[2] & 2, 2);

	dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
	dns_answer_addr(&a, 1, &v4);
	dns_answer_ede(&a, DNS_EDE_NETWORK_ERROR, NULL);
	n = dns_answer_end(&a);
	assert_memory_equal(out + n - 6, "\0\x0f\0\2\0\x17", 6);
}

/* What does not fit is left out whole, and nothing comes behind it. */
static void test_answer_truncation(void **state)
{
	const struct dns_query q = QUERY(HEAD("\1") NAME IN_A OPT("\0\0"));
	const struct addr v6 = { 6, { 0xfd } };
	struct dns_answer a;
	struct dns_reader r;
	struct dns_rr rr;
	uint8_t out[512];
	size_t n, count = 0, fit;

	(void)state;
	dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
	for (size_t i = 0; i < 30; i++)
		dns_answer_addr(&a, 1, &v6);
	dns_answer_raw(&a, DNS_TXT, 1, NULL, 0); /* small enough, but behind a gap */
	n = dns_answer_end(&a);
	fit = (sizeof(out) - 12 - q.question_len - 17) / 28;
	assert_int_equal(n, 12 + q.question_len + fit * 28 + 11);
	assert_true(dns_reader_open(&r, out, n));
	assert_true(r.tc);
	while (dns_reader_next(&r, &rr) > 0) {
		assert_int_equal(rr.type, DNS_AAAA);
		count++;
	}
	assert_int_equal(count, fit);
}

static void test_answer_name_that_is_none(void **state)
{
	static const char *const names[] = {
		".",
		"a..b",
		".a",
		"a.",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl.com",
		"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i."
		"j.k.l.m.n.o.p."
		"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i."
		"j.k.l.m.n.o.p."
		"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.pp",
	};
	const struct dns_query q = QUERY(HEAD("\0") NAME IN_A);
	uint8_t out[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct dns_answer a;

		dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
		dns_answer_name(&a, DNS_PTR, 1, names[i]);
		if (dns_answer_end(&a) != 12 + q.question_len || (out[3] & 15) != DNS_SERVFAIL)
			fail_msg("written: %s", names[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_addresses),
		cmocka_unit_test(test_answer_repeats_the_question),
		cmocka_unit_test(test_answer_root),
		cmocka_unit_test(test_answer_without_question),
		cmocka_unit_test(test_answer_ede),
		cmocka_unit_test(test_answer_badvers),
		cmocka_unit_test(test_answer_ede_text_is_cut),
		cmocka_unit_test(test_answer_truncation),
		cmocka_unit_test(test_answer_name_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
