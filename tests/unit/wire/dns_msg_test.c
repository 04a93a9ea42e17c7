/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries with one thing wrong each, answers written and read back, and the ways in which
 * compression can be abused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/dns_msg.h"

struct row {
	const char *reason;
	int want;
	const char *bytes;
	size_t n;
};

#define ROW(want, bytes, reason)                       \
	{                                              \
		reason, want, bytes, sizeof(bytes) - 1 \
	}

/* Flags and counts of a plain query with 0 or 1 additional records, and the usual question. */
#define HEAD(arcount) "\x12\x34\1\0\0\1\0\0\0\0\0" arcount
#define NAME	      "\3api\7example\3com\0"
#define IN_A	      "\0\1\0\1"
#define OPT(rest)     "\0\0\x29\4\xd0\0\0\0\0" rest

#define LABEL_63 \
	"\x3f"   \
	"abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"

static const uint8_t *bytes_of(const char *s)
{
	return (const uint8_t *)s;
}

static void test_query_verdicts(void **state)
{
	static const struct row rows[] = {
		ROW(DNS_QUERY_DROP, "", "nothing"),
		ROW(DNS_QUERY_DROP, "\x12\x34\1\0\0\1\0\0\0\0\0", "eleven bytes"),
		ROW(DNS_QUERY_DROP, "\x12\x34\x81\0\0\1\0\0\0\0\0\0" NAME IN_A, "an answer"),
		ROW(DNS_QUERY_DROP, "\x12\x34\xa8\0\0\1\0\0\0\0\0\0", "an answer with an opcode"),
		ROW(DNS_QUERY_NOTIMP, "\x12\x34\x28\0\0\1\0\0\0\0\0\0", "update"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0"), "no bytes for the question"),
		ROW(DNS_QUERY_FORMERR, "\x12\x34\1\0\0\0\0\0\0\0\0\0", "no question"),
		ROW(DNS_QUERY_FORMERR, "\x12\x34\1\0\0\2\0\0\0\0\0\0" NAME IN_A NAME IN_A,
		    "two questions"),
		ROW(DNS_QUERY_FORMERR, "\x12\x34\3\0\0\1\0\0\0\0\0\0" NAME IN_A, "truncated"),
		ROW(DNS_QUERY_FORMERR, "\x12\x34\1\0\0\1\0\1\0\0\0\0" NAME IN_A,
		    "an answer counted"),
		ROW(DNS_QUERY_FORMERR, "\x12\x34\1\0\0\1\0\0\0\1\0\0" NAME IN_A,
		    "an authority counted"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") NAME "\0\1\0", "question cut"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") "\3ap", "name cut"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") "\3api", "name without an end"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") NAME IN_A "x", "a byte behind"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") "\3api\xc0\x0c" IN_A, "pointer to itself"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") "\xc0\0" IN_A, "pointer into the header"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") "\x41\1a\0" IN_A, "label type 01"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") "\x81\1a\0" IN_A, "label type 10"),
		ROW(DNS_QUERY_OK,
		    HEAD("\0") LABEL_63 LABEL_63 LABEL_63
		    "\3abc"
		    "\1z"
		    "\1z"
		    "\x35"
		    "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopq\0" IN_A,
		    "name of 255 bytes"),
		ROW(DNS_QUERY_FORMERR,
		    HEAD("\0") LABEL_63 LABEL_63 LABEL_63
		    "\4abcd"
		    "\1z"
		    "\1z"
		    "\x35"
		    "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopq\0" IN_A,
		    "name of 256 bytes"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A, "OPT counted and not there"),
		ROW(DNS_QUERY_FORMERR, HEAD("\0") NAME IN_A OPT("\0\0"), "OPT not counted"),
		ROW(DNS_QUERY_FORMERR, HEAD("\2") NAME IN_A OPT("\0\0") OPT("\0\0"), "two OPT"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A "\1\0\x29\4\xd0\0\0\0\0\0\0",
		    "OPT owner not the root"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A "\1a" OPT("\0\0"), "OPT with an owner"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A OPT("\0\1"), "OPT data cut"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A OPT("\0\0") "x", "a byte behind OPT"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A OPT("\0\3\0\x0a\0"),
		    "option header cut"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A OPT("\0\5\0\x0a\0\2x"), "option cut"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A "\0\0\xfa\0\xff\0\0\0\0\0\0", "TSIG"),
		ROW(DNS_QUERY_FORMERR, HEAD("\1") NAME IN_A "\0\0\1\0\1\0\0\0\0\0\4abcd",
		    "an address"),
		ROW(DNS_QUERY_BADVERS, HEAD("\1") NAME IN_A "\0\0\x29\4\xd0\0\1\0\0\0\0", "EDNS 1"),
		ROW(DNS_QUERY_OK, HEAD("\0") NAME IN_A, "plain"),
		ROW(DNS_QUERY_OK, HEAD("\1") NAME IN_A OPT("\0\0"), "EDNS"),
		ROW(DNS_QUERY_OK, HEAD("\1") NAME IN_A OPT("\0\x0c\0\x0a\0\10COOKIE!!"),
		    "EDNS with a cookie"),
		ROW(DNS_QUERY_OK, HEAD("\0") "\0" IN_A, "the root"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dns_query q;
		enum dns_query_state got = dns_query_parse(bytes_of(rows[i].bytes), rows[i].n, &q);

		if ((int)got != rows[i].want)
			fail_msg("%s: %d", rows[i].reason, got);
		if (got == DNS_QUERY_DROP)
			continue;
		assert_int_equal(q.id, 0x1234);
		if (got == DNS_QUERY_FORMERR || got == DNS_QUERY_NOTIMP) {
			assert_int_equal(q.question_len, 0);
			assert_false(q.edns);
		}
	}
}

/* No beginning of a good query is good: nothing in it may be missing. */
static void test_query_truncated(void **state)
{
	static const char good[] = HEAD("\1") NAME IN_A OPT("\0\x0c\0\x0a\0\10COOKIE!!");
	struct dns_query q;

	(void)state;
	assert_int_equal(dns_query_parse(bytes_of(good), sizeof(good) - 1, &q), DNS_QUERY_OK);
	for (size_t n = 0; n < sizeof(good) - 1; n++)
		assert_int_equal(dns_query_parse(bytes_of(good), n, &q),
				 n < 12 ? DNS_QUERY_DROP : DNS_QUERY_FORMERR);
}

static void test_query_findings(void **state)
{
	static const char mixed[] =
		"\xab\xcd\1\x10\0\1\0\0\0\0\0\1\3aPi\2eX\0\0\x41\0\3\0\0\x29\x10\0\0\0\0\0\0\0";
	static const char small[] = HEAD("\1") NAME IN_A "\0\0\x29\0\x40\0\0\0\0\0\0";
	static const char quiet[] = "\0\7\0\0\0\1\0\0\0\0\0\0\0\0\2\0\1";
	struct dns_query q;

	(void)state;
	assert_int_equal(dns_query_parse(bytes_of(mixed), sizeof(mixed) - 1, &q), DNS_QUERY_OK);
	assert_int_equal(q.id, 0xabcd);
	assert_true(q.rd && q.cd && q.edns);
	assert_string_equal(q.name.text, "aPi.eX");
	assert_int_equal(q.name.len, 6);
	assert_int_equal(q.qtype, DNS_HTTPS);
	assert_int_equal(q.qclass, 3);
	assert_int_equal(q.udp_size, 4096);
	assert_ptr_equal(q.question, mixed + 12);
	assert_int_equal(q.question_len, 12);

	/* Less than every client must take is not believed (RFC 6891 6.2.3). */
	assert_int_equal(dns_query_parse(bytes_of(small), sizeof(small) - 1, &q), DNS_QUERY_OK);
	assert_int_equal(q.udp_size, 512);

	assert_int_equal(dns_query_parse(bytes_of(quiet), sizeof(quiet) - 1, &q), DNS_QUERY_OK);
	assert_false(q.rd || q.cd || q.edns);
	assert_int_equal(q.udp_size, 512);
	assert_string_equal(q.name.text, "");
	assert_false(q.name.odd);
	assert_int_equal(q.qtype, DNS_NS);
}

static void test_name_odd_bytes(void **state)
{
	static const uint8_t odd[] = { 0,   1,	  '\t', '\n', 0x1f, ' ',
				       '.', '\\', 0x7f, 0x80, 0xc3, 0xff };
	uint8_t msg[] = { 3, 'a', 0, 'b', 1, 'c', 0 };
	struct dns_name name;
	size_t next;

	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		bool is_odd = c >= 0x80 || memchr(odd, (int)c, sizeof(odd)) || c < 0x20;

		msg[2] = (uint8_t)c;
		assert_true(dns_name_read(msg, sizeof(msg), 0, &name, &next));
		assert_int_equal(next, sizeof(msg));
		assert_int_equal(name.odd, is_odd);
		assert_int_equal(strlen(name.text), name.len);
		if (is_odd)
			assert_string_equal(name.text, "ab.c");
		else
			assert_int_equal(name.text[1], (char)c);
	}
}

static void test_name_compression(void **state)
{
	/* 12: "com", 17: "a" → 12, 21: → 17, 23: itself, 25: → 27 (forward), 27: → 2 (header), 29:
	 * "b" → 30 (into itself) */
	static const uint8_t msg[] = "\0\0\0\0\0\0\0\0\0\0\0\0\3com\0\1a\xc0\x0c\xc0\x11\xc0\x17"
				     "\xc0\x1b\xc0\2\1b\xc0\x1e\xc0";
	const size_t n = sizeof(msg) - 1;
	struct dns_name name;
	size_t next = 0;

	(void)state;
	assert_true(dns_name_read(msg, n, 17, &name, &next));
	assert_string_equal(name.text, "a.com");
	assert_int_equal(next, 21);
	assert_true(dns_name_read(msg, n, 21, &name, &next));
	assert_string_equal(name.text, "a.com");
	assert_int_equal(next, 23);
	assert_false(dns_name_read(msg, n, 23, &name, &next));
	assert_false(dns_name_read(msg, n, 25, &name, &next));
	assert_false(dns_name_read(msg, n, 27, &name, &next));
	assert_false(dns_name_read(msg, n, 29, &name, &next));
	assert_false(dns_name_read(msg, n, n - 1, &name, &next)); /* half a pointer */
	assert_false(dns_name_read(msg, n, n, &name, &next));
	assert_false(dns_name_read(msg, n, n + 1, &name, &next));
	assert_string_equal(name.text, "a.com");
	assert_int_equal(next, 23);
}

/* Pointers that point at pointers: some are taken, a long chain is not. */
static void test_name_pointer_chain(void **state)
{
	uint8_t msg[12 + 1 + 2 * 200] = { 0 };
	struct dns_name name;
	size_t next, taken = 0;

	(void)state;
	for (size_t i = 0; i < 200; i++) {
		size_t to = i == 0 ? 12 : 13 + 2 * (i - 1);

		msg[13 + 2 * i] = (uint8_t)(0xc0 | to >> 8);
		msg[14 + 2 * i] = (uint8_t)to;
	}
	while (taken < 200 && dns_name_read(msg, sizeof(msg), 13 + 2 * taken, &name, &next))
		taken++;
	assert_in_range(taken, 16, 127);
	assert_false(dns_name_read(msg, sizeof(msg), 13 + 2 * 199, &name, &next));
}

#define ANSWER(ancount) "\x12\x34\x81\x80\0\1\0" ancount "\0\0\0\0" NAME IN_A
#define OWNER		"\xc0\x0c"
#define TTL_60		"\0\1\0\0\0\x3c"

static void test_reader_refuses(void **state)
{
	static const struct row rows[] = {
		ROW(0, "", "nothing"),
		ROW(0, "\x12\x34\x81\x80\0\1\0\0\0\0\0", "eleven bytes"),
		ROW(0, HEAD("\0") NAME IN_A, "a query"),
		ROW(0, "\x12\x34\xa9\x80\0\1\0\0\0\0\0\0" NAME IN_A, "another opcode"),
		ROW(0, "\x12\x34\x81\x80\xff\xff\0\0\0\0\0\0" NAME IN_A,
		    "more questions than bytes"),
		ROW(0, "\x12\x34\x81\x80\0\1\xff\xff\0\0\0\0" NAME IN_A, "more answers than bytes"),
		ROW(0, "\x12\x34\x81\x80\0\1\0\0\0\0\xff\xff" NAME IN_A,
		    "more additionals than bytes"),
		ROW(0, "\x12\x34\x81\x80\0\1\0\0\0\0\0\0\3apix", "question cut"),
		ROW(0, "\x12\x34\x81\x80\0\1\0\0\0\0\0\0\0\0\1\0", "class cut"),
		ROW(0, "\x12\x34\x81\x80\0\1\0\0\0\0\0\0\3api\0\0\1\0", "class cut behind a name"),
		ROW(1, "\x12\x34\x81\x80\0\0\0\0\0\0\0\0", "no question"),
		ROW(1, ANSWER("\0"), "no answer"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dns_reader r;

		if (dns_reader_open(&r, bytes_of(rows[i].bytes), rows[i].n) != rows[i].want)
			fail_msg("wrong: %s", rows[i].reason);
	}
}

static void test_reader_records(void **state)
{
	static const char msg[] = "\x12\x34\x83\x83\0\1\0\2\0\1\0\0" NAME IN_A OWNER "\0\5" TTL_60
				  "\0\6\3cdn\xc0\x10"
				  "\xc0\x2d\0\1" TTL_60 "\0\4\xc0\0\2\1"
				  "\0\0\6" TTL_60 "\0\0";
	struct dns_reader r;
	struct dns_rr rr;

	(void)state;
	assert_true(dns_reader_open(&r, bytes_of(msg), sizeof(msg) - 1));
	assert_int_equal(r.rcode, DNS_NXDOMAIN);
	assert_true(r.tc);
	assert_int_equal(dns_reader_next(&r, &rr), 1);
	assert_string_equal(rr.owner.text, "api.example.com");
	assert_int_equal(rr.type, DNS_CNAME);
	assert_int_equal(rr.class, 1);
	assert_int_equal(rr.ttl, 60);
	assert_int_equal(dns_reader_next(&r, &rr), 1);
	assert_string_equal(rr.owner.text, "cdn.example.com");
	assert_int_equal(rr.type, DNS_A);
	assert_int_equal(rr.rdata_len, 4);
	assert_memory_equal(msg + rr.rdata_at, "\xc0\0\2\1", 4);
	/* The authority section is not the answer. */
	assert_int_equal(dns_reader_next(&r, &rr), 0);
	assert_int_equal(dns_reader_next(&r, &rr), 0);

	for (size_t n = 0; n < sizeof(msg) - 1; n++)
		if (dns_reader_open(&r, bytes_of(msg), n))
			while (dns_reader_next(&r, &rr) > 0)
				assert_true(rr.rdata_at + rr.rdata_len <= n);
}

static void test_reader_malformed_record(void **state)
{
	static const struct row rows[] = {
		ROW(-EBADMSG, ANSWER("\1") OWNER "\0\1" TTL_60 "\0\5abcd", "rdata past the end"),
		ROW(-EBADMSG, ANSWER("\1") "\xc0\xff\0\1" TTL_60 "\0\4abcd", "owner points behind"),
		ROW(-EBADMSG,
		    ANSWER("\1") "\x3f"
				 "aaaaaaaaaaaaa",
		    "owner past the end"),
		ROW(-EBADMSG, ANSWER("\1") "\1a\1b\1c\1d\1e\0\0\1", "fixed part cut"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dns_reader r;
		struct dns_rr rr;

		assert_true(dns_reader_open(&r, bytes_of(rows[i].bytes), rows[i].n));
		if (dns_reader_next(&r, &rr) != rows[i].want)
			fail_msg("wrong: %s", rows[i].reason);
		assert_int_equal(dns_reader_next(&r, &rr), rows[i].want);
	}
}

struct rdata_row {
	const char *reason;
	uint16_t type;
	int want;
	const char *in;
	size_t n;
	const char *out;
};

#define RDATA(type, want, in, out, reason)                  \
	{                                                   \
		reason, type, want, in, sizeof(in) - 1, out \
	}

static void test_rdata(void **state)
{
	static const struct rdata_row rows[] = {
		RDATA(DNS_CNAME, 21, "\3cdn\xc0\x0c", "\3cdn" NAME, "compressed"),
		RDATA(DNS_CNAME, 3, "\1x\0", "\1x", "not compressed"),
		RDATA(DNS_NS, 17, "\xc0\x0c", NAME, "a pointer and nothing else"),
		RDATA(DNS_PTR, 1, "\0", "", "the root"),
		RDATA(DNS_MX, 19, "\0\x0a\xc0\x0c", "\0\x0a" NAME, "MX"),
		RDATA(DNS_SRV, 23, "\0\1\0\2\1\xbb\xc0\x0c", "\0\1\0\2\1\xbb" NAME, "SRV"),
		RDATA(DNS_SRV, 15, "\0\1\0\2\1\xbb\7My Copy\0", "\0\1\0\2\1\xbb\7My Copy",
		      "name with a blank"),
		RDATA(DNS_TXT, 5, "\1a\2bc", "\1a\2bc", "two strings"),
		RDATA(DNS_TXT, 1, "\0", "", "an empty string"),
		RDATA(DNS_CAA, 8, "\x80\5issue;", "\x80\5issue;", "CAA"),
		RDATA(DNS_CAA, 3, "\0\1a", "\0\1a", "CAA without a value"),
		RDATA(DNS_CNAME, -EBADMSG, "", "", "no name"),
		RDATA(DNS_CNAME, -EBADMSG, "\1a", "", "name past the rdata"),
		RDATA(DNS_CNAME, -EBADMSG, "\1a\0x", "", "a byte behind the name"),
		RDATA(DNS_CNAME, -EBADMSG, "\1a\xc0", "", "half a pointer"),
		RDATA(DNS_CNAME, -EBADMSG, "\1a\xc0\x2d", "", "pointer to itself"),
		RDATA(DNS_MX, -EBADMSG, "\0\1", "", "MX without a name"),
		RDATA(DNS_SRV, -EBADMSG, "\0\1\0\2\1", "", "SRV cut"),
		RDATA(DNS_TXT, -EBADMSG, "", "", "no string"),
		RDATA(DNS_TXT, -EBADMSG, "\1a\2b", "", "string past the rdata"),
		RDATA(DNS_CAA, -EBADMSG, "\0", "", "CAA cut"),
		RDATA(DNS_CAA, -EBADMSG, "\0\0x", "", "tag empty"),
		RDATA(DNS_CAA, -EBADMSG, "\0\6issue", "", "tag past the rdata"),
		RDATA(DNS_CAA, -EBADMSG, "\0\5is-ue", "", "tag with a sign"),
		RDATA(DNS_A, -EOPNOTSUPP, "\x7f\0\0\1", "", "addresses go another way"),
		RDATA(DNS_SOA, -EOPNOTSUPP, "\0\0", "", "SOA"),
		RDATA(DNS_HTTPS, -EOPNOTSUPP, "\0\1\0", "", "HTTPS"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct rdata_row *row = &rows[i];
		uint8_t msg[128], out[64], untouched[64];
		const size_t head = sizeof(ANSWER("\1") OWNER) - 1;
		struct dns_reader r;
		struct dns_rr rr;
		int got;

		memcpy(msg, ANSWER("\1") OWNER, head);
		memcpy(msg + head, (uint8_t[]){ (uint8_t)(row->type >> 8), (uint8_t)row->type }, 2);
		memcpy(msg + head + 2, TTL_60, 6);
		memcpy(msg + head + 8, (uint8_t[]){ 0, (uint8_t)row->n }, 2);
		memcpy(msg + head + 10, row->in, row->n);
		assert_true(dns_reader_open(&r, msg, head + 10 + row->n));
		assert_int_equal(dns_reader_next(&r, &rr), 1);
		memset(out, 0x5a, sizeof(out));
		memset(untouched, 0x5a, sizeof(untouched));
		got = dns_rr_rdata(&r, &rr, out, sizeof(out));
		if (got != row->want)
			fail_msg("%s: %d", row->reason, got);
		if (got < 0) {
			assert_memory_equal(out, untouched, sizeof(out));
			continue;
		}
		assert_memory_equal(out, row->out, (size_t)got);
		assert_int_equal(dns_rr_rdata(&r, &rr, out, (size_t)got), got);
		assert_int_equal(dns_rr_rdata(&r, &rr, out, (size_t)got - 1), -ENOSPC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_verdicts),
		cmocka_unit_test(test_query_truncated),
		cmocka_unit_test(test_query_findings),
		cmocka_unit_test(test_name_odd_bytes),
		cmocka_unit_test(test_name_compression),
		cmocka_unit_test(test_name_pointer_chain),
		cmocka_unit_test(test_reader_refuses),
		cmocka_unit_test(test_reader_records),
		cmocka_unit_test(test_reader_malformed_record),
		cmocka_unit_test(test_rdata),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
