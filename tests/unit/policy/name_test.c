/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The normaliser: hostile spellings first, then that every accepted spelling has one form and keeps
 * it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>

#include "policy/name.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static uint64_t rng_state = 0x2545f4914f6cdd1d;

static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return (uint32_t)((rng_state * 0x2545f4914f6cdd1d) >> 33) % below;
}

#define ROW(s, why)                           \
	{                                     \
		{ (s), sizeof(s) - 1 }, (why) \
	}

static void test_refuses(void **state)
{
	static const struct {
		struct str text;
		const char *why;
	} rows[] = {
		ROW("", "empty"),
		ROW(".", "the root"),
		ROW("..", "empty labels"),
		ROW(".example.com", "leading dot"),
		ROW("..example.com", "leading dots"),
		ROW("a..example.com", "empty label"),
		ROW("example.com..", "two trailing dots"),
		ROW("METADATA.google.internal..", "two trailing dots"),
		ROW("metadata.google.internal...", "three trailing dots"),
		ROW("evil.example\0.wild.allowed.test", "NUL inside"),
		ROW("example.com\0", "NUL at the end"),
		ROW("b\xc3\xbc\0.wild.allowed.test", "NUL behind a U-label"),
		ROW("b\xc3\xbc.example\0", "NUL at the end, with a U-label"),
		ROW("\0example.com", "NUL in front"),
		ROW("exa\tmple.com", "TAB"),
		ROW("exa\033mple.com", "ESC"),
		ROW("example.com\177", "DEL"),
		ROW("example.com\r\nX: y", "CR LF"),
		ROW(" example.com", "blank in front"),
		ROW("example.com ", "blank behind"),
		ROW("exam ple.com", "blank inside"),
		ROW("ex%61mple.com", "percent"),
		ROW("user@example.com", "user"),
		ROW("example.com/x", "path"),
		ROW("example.com?x", "query"),
		ROW("example.com#x", "fragment"),
		ROW("example.com\\x", "backslash"),
		ROW("*.example.com", "star"),
		ROW("a,b", "comma"),
		ROW("<script>", "angle brackets"),
		ROW("xn--zz", "malformed A-label"),
		ROW("xn--zz.example.com", "malformed A-label in front"),
		ROW("example.xn--zz", "malformed A-label behind"),
		ROW("xn--", "empty A-label"),
		ROW("xn--example-", "A-label of an ASCII name"),
		ROW("xn--a-ecp", "A-label that IDNA maps away"),
		ROW("xn--tshc", "A-label of digits with dots"),
		ROW("\xff\xfe", "not UTF-8"),
		ROW("a\xc0\xae"
		    "b",
		    "overlong dot"),
		ROW("a\xed\xa0\x80", "surrogate"),
		ROW("a\xef\xbc\x9a"
		    "b",
		    "full-width colon"),
		ROW("\xe2\x84\x80.example", "maps to a slash"),
		ROW("\xe3\x80\x82", "ideographic root"),
		ROW("a\xe3\x80\x82\xe3\x80\x82"
		    "b",
		    "empty label, ideographic"),
		ROW("\xef\xbc\x85"
		    "00.example",
		    "full-width percent"),
		ROW("[example.com]", "brackets round a name"),
		ROW("[169.254.169.254]", "brackets round IPv4"),
		ROW("[192.0.2.1", "open bracket"),
		ROW("[::1", "open bracket"),
		ROW("::1]", "closing bracket only"),
		ROW("[]", "empty brackets"),
		ROW("[", "a bracket"),
		ROW("[::1].", "dot behind the bracket"),
		ROW("[::1]x", "text behind the bracket"),
		ROW("[[::1]]", "double brackets"),
		ROW("[::1%25lo]", "zone"),
		ROW("fe80::1%eth0", "zone, bare"),
		ROW("fd00::1.", "trailing dot on IPv6"),
		ROW("::1\0", "NUL behind IPv6"),
		ROW("example.com:80", "port"),
		ROW("1.2.3.4.5", "five parts"),
		ROW("1.2.3.256", "part over 255"),
		ROW("256.256.256.256", "parts over 255"),
		ROW("4294967296", "over 32 bits"),
		ROW("0x100000000", "over 32 bits"),
		ROW("example.1", "numeric last label"),
		ROW("example.0x1", "hexadecimal last label"),
		ROW("example.0x", "bare 0x as last label"),
		ROW("0x", "bare 0x"),
		ROW("08", "not octal"),
		ROW("1.2.3.09", "not octal"),
		ROW("1.2.3.4..", "two dots behind IPv4"),
		ROW("192.0.2.1:80", "port behind IPv4"),
		ROW(L63 "h.example", "label of 64"),
		ROW(L63 "." L63 "." L63 "." L63, "255 bytes"),
		ROW(L63 "." L63 "." L63
			".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgg",
		    "254 bytes"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host h = { .len = 77 };

		if (host_parse(rows[i].text, &h) || host_parse_ascii(rows[i].text, &h))
			fail_msg("row %zu (%s): accepted as %s", i, rows[i].why, h.name);
		assert_int_equal(h.len, 77);
	}
}

static void test_normal_form(void **state)
{
	static const struct {
		const char *text, *name;
		bool is_addr;
		bool unicode;
	} rows[] = {
		{ "example.com", "example.com", false, false },
		{ "EXAMPLE.Com", "example.com", false, false },
		{ "example.com.", "example.com", false, false },
		{ "localhost", "localhost", false, false },
		{ "_dmarc.Example.com", "_dmarc.example.com", false, false },
		{ "-x-.example", "-x-.example", false, false },
		{ "r3---sn-4g5e6nsz.googlevideo.com", "r3---sn-4g5e6nsz.googlevideo.com", false,
		  false },
		{ "1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa", false, false },
		{ "3com.com", "3com.com", false, false },
		{ "1.2.3.4x", "1.2.3.4x", false, false },
		{ "0xg", "0xg", false, false },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example", false, false },
		{ "XN--BCHER-KVA.example", "xn--bcher-kva.example", false, false },
		{ L63 ".example", L63 ".example", false, false },
		{ "metadata\u3002google\u3002internal", "metadata.google.internal", false, true },
		{ "metadata\uff0egoogle.internal\u3002", "metadata.google.internal", false, true },
		{ "\uff4d\uff25\uff34\uff21data.google.internal", "metadata.google.internal", false,
		  true },
		{ "meta\u00addata", "metadata", false, true },
		{ "b\u00fccher.example", "xn--bcher-kva.example", false, true },
		{ "bu\u0308cher.example", "xn--bcher-kva.example", false, true },
		{ "B\u00dcCHER.example.", "xn--bcher-kva.example", false, true },
		{ "fa\u00df.de", "xn--fa-hia.de", false, true }, /* non-transitional */
		/* Addresses, in every spelling. */
		{ "192.0.2.7", "192.0.2.7", true, false },
		{ "169.254.169.254.", "169.254.169.254", true, false },
		{ "2852039166", "169.254.169.254", true, false },
		{ "0xA9FEA9FE", "169.254.169.254", true, false },
		{ "0251.0376.0251.0376", "169.254.169.254", true, false },
		{ "0xa9.254.0251.0xfe", "169.254.169.254", true, false },
		{ "169.254.43518", "169.254.169.254", true, false },
		{ "169.16689662.", "169.254.169.254", true, false },
		{ "00000000000000000251.254.169.254", "169.254.169.254", true, false },
		{ "\uff11\uff16\uff19.254.169.254", "169.254.169.254", true, true },
		{ "169\u3002254\u3002169\u3002254", "169.254.169.254", true, true },
		{ "\uff10\uff58a9fea9fe", "169.254.169.254", true, true },
		{ "0", "0.0.0.0", true, false },
		{ "::1", "::1", true, false },
		{ "[::1]", "::1", true, false },
		{ "[FD00:0EC2:0::0254]", "fd00:ec2::254", true, false },
		{ "::ffff:169.254.169.254", "169.254.169.254", true, false },
		{ "[::ffff:a9fe:a9fe]", "169.254.169.254", true, false },
		{ "::169.254.169.254", "::a9fe:a9fe", true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host h;

		if (!host_parse(str_of(rows[i].text), &h))
			fail_msg("row %zu: %s refused", i, rows[i].text);
		assert_string_equal(h.name, rows[i].name);
		assert_int_equal(h.len, strlen(h.name));
		assert_int_equal(h.is_addr, rows[i].is_addr);
		/* Without IDNA the same, but nothing beyond ASCII. */
		assert_int_equal(host_parse_ascii(str_of(rows[i].text), &h), !rows[i].unicode);
	}
}

static void test_longest_name(void **state)
{
	/* 63 + 1 + 63 + 1 + 63 + 1 + 61 = 253 */
	static const char text[] = L63
		"." L63 "." L63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg.";
	struct host h;
	char big[2048];

	(void)state;
	assert_int_equal(sizeof(text) - 2, 253);
	assert_true(host_parse((struct str){ text, 253 }, &h));
	assert_int_equal(h.len, 253);
	assert_true(host_parse((struct str){ text, 254 }, &h)); /* with its final dot */
	assert_int_equal(h.len, 253);
	memset(big, 'a', sizeof(big));
	assert_false(host_parse((struct str){ big, sizeof(big) }, &h));
	for (size_t i = 0; i + 1 < sizeof(big); i += 2)
		memcpy(big + i, "\u00fc", 2);
	assert_false(host_parse((struct str){ big, sizeof(big) }, &h));
	assert_false(host_parse((struct str){ big, 1024 }, &h));
}

static void test_host_port(void **state)
{
	static const struct {
		const char *text, *name; /* NULL: refused */
		uint16_t port;
	} rows[] = {
		{ "example.com:443", "example.com", 443 },
		{ "example.com.:443", "example.com", 443 },
		{ "example.com", "example.com", 0 },
		{ "[::1]:8975", "::1", 8975 },
		{ "[::1]", "::1", 0 },
		{ "::1", "::1", 0 },
		{ "::1:443", "::1:443", 0 }, /* an address, whatever was meant */
		{ "2852039166:80", "169.254.169.254", 80 },
		{ "[::ffff:192.0.2.7]:1", "192.0.2.7", 1 },
		{ "b\u00fccher.example:65535", "xn--bcher-kva.example", 65535 },
		{ "example.com:", NULL, 0 },
		{ "example.com:0", NULL, 0 },
		{ "example.com:65536", NULL, 0 },
		{ "example.com:4294967739", NULL, 0 },
		{ "example.com:+443", NULL, 0 },
		{ "example.com: 443", NULL, 0 },
		{ "example.com:0443", NULL, 0 },
		{ "example.com:443x", NULL, 0 },
		{ "example.com:443:443", NULL, 0 },
		{ ":443", NULL, 0 },
		{ ":", NULL, 0 },
		{ "", NULL, 0 },
		{ "[::1]443", NULL, 0 },
		{ "[::1]:", NULL, 0 },
		{ "[::1]:80:80", NULL, 0 },
		{ "[::1", NULL, 0 },
		{ "[169.254.169.254]:80", NULL, 0 },
		{ "[example.com]:80", NULL, 0 },
		{ "example\uff1a443", NULL, 0 },
		{ "user:pass@example.com:443", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host h = { .len = 77 };
		uint16_t port = 7;
		bool ok = host_port_parse(str_of(rows[i].text), &h, &port);

		if (ok != (rows[i].name != NULL))
			fail_msg("row %zu: %s", i, rows[i].text);
		if (ok) {
			assert_string_equal(h.name, rows[i].name);
			assert_int_equal(port, rows[i].port);
		} else {
			assert_int_equal(h.len, 77);
			assert_int_equal(port, 7);
		}
	}
	assert_false(
		host_port_parse((struct str){ "a\0:1", 4 }, &(struct host){ 0 }, &(uint16_t){ 0 }));
}

static void test_below(void **state)
{
	(void)state;
	assert_true(name_is_below("a.x.org", "x.org"));
	assert_true(name_is_below("a.b.x.org", "x.org"));
	assert_false(name_is_below("x.org", "x.org"));
	assert_false(name_is_below("ax.org", "x.org"));
	assert_false(name_is_below(".x.org", "x.org"));
	assert_false(name_is_below("org", "x.org"));
	assert_false(name_is_below("x.org.evil", "x.org"));
	assert_false(name_is_below("", "x.org"));
}

/* A random text of pieces that matter to the normaliser. */
static size_t random_text(char *out, size_t cap)
{
	static const char *const pieces[] = {
		"a",	  "Z",		"example", "com",
		".",	  ".",		".",	   "-",
		"_",	  "0x",		"169",	   "254",
		"0",	  "017",	"xn--",	   "xn--bcher-kva",
		":",	  "::",		"[",	   "]",
		"ffff",	  "%",		"\u3002",  "\u00fc",
		"\uff11", "\u00ad",	"\u00df",  "\u2024",
		"\u212a", "\u0130",	"\u200d",  " ",
		"*",	  "2852039166", "\xff",	   "\u05d0",
	};
	size_t n = 0;

	for (uint32_t k = 1 + rnd(8); k > 0; k--) {
		const char *p = pieces[rnd(ARRAY_SIZE(pieces))];
		size_t m = strlen(p);

		if (n + m > cap)
			break;
		memcpy(out + n, p, m);
		n += m;
	}
	if (rnd(20) == 0 && n > 0)
		out[rnd((uint32_t)n)] = (char)rnd(256);
	return n;
}

static void test_random_is_closed_and_idempotent(void **state)
{
	unsigned int names = 0, addrs = 0, unicode = 0;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char text[256];
		size_t n = random_text(text, sizeof(text));
		struct host h, again;
		struct in_addr in;

		if (!host_parse((struct str){ text, n }, &h))
			continue;
		assert_int_equal(strlen(h.name), h.len);
		if (!host_parse(str_of(h.name), &again) ||
		    !host_parse_ascii(str_of(h.name), &again))
			fail_msg("refuses its own output %s", h.name);
		assert_memory_equal(&h, &again, sizeof(h));
		addrs += h.is_addr;
		if (h.is_addr)
			continue;
		names++;
		unicode += !host_parse_ascii((struct str){ text, n }, &again);
		assert_int_equal(strspn(h.name, "abcdefghijklmnopqrstuvwxyz0123456789-_."), h.len);
		/* No resolver that reads addresses may take a name for one. */
		if (inet_aton(h.name, &in))
			fail_msg("a resolver reads %s as an address", h.name);
	}
	assert_true(names > 5000 && addrs > 500 && unicode > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_normal_form),
		cmocka_unit_test(test_longest_name),
		cmocka_unit_test(test_host_port),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_random_is_closed_and_idempotent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
