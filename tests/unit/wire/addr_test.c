/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of addresses: what is read, what is refused, and that the C library agrees wherever both
 * have an opinion.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>

#include "wire/addr.h"

/* xorshift64*, with a fixed seed: the same cases in every run. */
static uint64_t rng_state = 0x9e3779b97f4a7c15;

static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return (uint32_t)((rng_state * 0x2545f4914f6cdd1d) >> 33) % below;
}

static void test_parse_refuses(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "empty" },
		{ " ", "blank" },
		{ "1.2.3.4 ", "trailing blank" },
		{ " 1.2.3.4", "leading blank" },
		{ "1.2.3", "three parts" },
		{ "1.2.3.4.5", "five parts" },
		{ "1.2.3.4.", "trailing dot" },
		{ ".1.2.3.4", "leading dot" },
		{ "1..2.3", "empty part" },
		{ "1.2.3.256", "part over 255" },
		{ "1.2.3.04", "leading zero" },
		{ "01.2.3.4", "leading zero" },
		{ "1.2.3.00", "double zero" },
		{ "0x1.2.3.4", "hexadecimal" },
		{ "+1.2.3.4", "sign" },
		{ "1.2.3.-4", "sign" },
		{ "2852039166", "one part" },
		{ "4294967297.2.3.4", "overflow" },
		{ ":", "one colon" },
		{ ":::", "three colons" },
		{ "1:", "one group" },
		{ ":1::", "leading colon" },
		{ "1::2:", "trailing colon" },
		{ "1::2::3", "two gaps" },
		{ "1:2:3:4:5:6:7", "seven groups" },
		{ "1:2:3:4:5:6:7:8:9", "nine groups" },
		{ "1:2:3:4::5:6:7:8", "gap of no group" },
		{ "::1:2:3:4:5:6:7:8", "gap of no group, front" },
		{ "12345::", "five digits" },
		{ "g::", "not hexadecimal" },
		{ "::1%lo", "zone" },
		{ "fe80::1%25eth0", "zone, escaped" },
		{ "[::1]", "brackets" },
		{ "::1/128", "length" },
		{ "::1.2.3", "short quad" },
		{ "::1.2.3.4:5", "quad not last" },
		{ "1.2.3.4::", "quad before the gap" },
		{ "::1.2.3.04", "leading zero in the quad" },
		{ "1:2:3:4:5:6:7:1.2.3.4", "quad after seven groups" },
		{ "fd00::1.", "trailing dot" },
		{ "::ffff:0x7f.0.0.1", "hexadecimal quad" },
		{ "0000:0000:0000:0000:0000:0000:0000:00000000001", "long group" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr a = { .family = 99 };

		if (addr_parse(str_of(rows[i].text), &a))
			fail_msg("accepted %s (%s)", rows[i].text, rows[i].why);
		assert_int_equal(a.family, 99);
	}
	assert_false(addr_parse((struct str){ "1.2.3.4\0", 8 }, &(struct addr){ 0 }));
	assert_false(addr_parse((struct str){ "::1\0", 4 }, &(struct addr){ 0 }));
	assert_false(addr_parse((struct str){ NULL, 0 }, &(struct addr){ 0 }));
}

static void test_text_is_rfc5952(void **state)
{
	static const struct {
		const char *text, *canonical;
	} rows[] = {
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "192.0.2.7", "192.0.2.7" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "1::", "1::" },
		{ "0:0:0:0:0:0:0:0", "::" },
		{ "2001:0DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },   /* first of equal runs */
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, /* one group stays */
		{ "2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
		{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" }, /* the longer run */
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
		{ "1:0:0:0:0:0:0:8", "1::8" },
		{ "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
		{ "::ffff:102:304", "::ffff:1.2.3.4" },
		{ "::1.2.3.4", "::102:304" },
		{ "64:ff9b::1.2.3.4", "64:ff9b::102:304" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	};
	char out[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr a;

		assert_true(addr_parse(str_of(rows[i].text), &a));
		assert_string_equal(addr_text(&a, out), rows[i].canonical);
	}
	assert_string_equal(addr_text(&(struct addr){ 0 }, out), "");
}

/* inet_aton() of the C library is the oracle; where it reads a text, so must we, with the same
 * value. */
static void test_aton_as_libc(void **state)
{
	static const char *const texts[] = {
		"2852039166",
		"0xa9fea9fe",
		"0XA9FEA9FE",
		"0251.0376.0251.0376",
		"169.254.43518",
		"169.16689662",
		"0xa9.0xfe.0xa9.0xfe",
		"0251.254.0xa9fe",
		"4294967295",
		"4294967296",
		"037777777777",
		"040000000000",
		"0x100000000",
		"256.1",
		"1.256.1",
		"1.2.65536",
		"1.16777216",
		"1.2.3.256",
		"08",
		"0x",
		"0xg",
		"1.",
		".1",
		"1..2",
		"00000000000000000000000000000251.254.169.254",
		"1.2.3.4.5",
		"-1",
		"+1",
		"a",
		"0",
		"00",
		"0.0",
		"127.1",
		"0x7f.1",
		"017700000001",
		"1e3",
		"0b1",
		"1.0x",
		"18446744073709551617",
		"0x1.0x2.0x3.0x4",
		"099",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct in_addr want;
		struct addr got;
		bool ok = inet_aton(texts[i], &want) != 0;

		if (addr_parse_aton(str_of(texts[i]), &got) != ok)
			fail_msg("%s: %s", texts[i], ok ? "not read" : "read");
		if (ok)
			assert_memory_equal(got.b, &want, 4);
	}
	assert_false(addr_parse_aton((struct str){ "1.2.3.4 x", 9 }, &(struct addr){ 0 }));
	assert_false(addr_parse_aton((struct str){ "1\0", 2 }, &(struct addr){ 0 }));
	assert_false(addr_parse_aton((struct str){ NULL, 0 }, &(struct addr){ 0 }));
}

/* Texts made of the letters of addresses: our parsers and the C library's say the same. */
static void test_random_texts_as_libc(void **state)
{
	static const char *const bits[] = { "0", "1",	 "25", "255", "256",  ".",   ":", ":", "::",
					    "f", "ffff", "0x", "07",  "a9fe", "127", "2", "99" };
	unsigned int v4 = 0, v6 = 0, aton = 0;

	(void)state;
	for (int round = 0; round < 400000; round++) {
		char z[64] = "";
		size_t n = 0;
		uint32_t parts = 1 + rnd(9);
		struct in_addr in;
		struct in6_addr in6;
		struct addr a = { 0 };
		bool ok;

		for (uint32_t k = 0; k < parts; k++)
			n += (size_t)snprintf(z + n, sizeof(z) - n, "%s%s",
					      bits[rnd(ARRAY_SIZE(bits))],
					      round % 2 && k + 1 < parts ? "." : "");
		ok = addr_parse(str_of(z), &a);
		if (ok != (inet_pton(AF_INET, z, &in) == 1 || inet_pton(AF_INET6, z, &in6) == 1))
			fail_msg("addr_parse %s: %d", z, ok);
		if (ok && a.family == 4)
			assert_memory_equal(a.b, &in, 4);
		else if (ok)
			assert_memory_equal(a.b, &in6, 16);
		v4 += ok && a.family == 4;
		v6 += ok && a.family == 6;
		ok = addr_parse_aton(str_of(z), &a);
		if (ok != (inet_aton(z, &in) != 0))
			fail_msg("addr_parse_aton %s: %d", z, ok);
		if (ok)
			assert_memory_equal(a.b, &in, 4);
		aton += ok;
	}
	/* The generator must reach what it is for. */
	assert_true(v4 > 50 && v6 > 500 && aton > 5000);
}

static void test_text_round_trip(void **state)
{
	char text[ADDR_TEXT_MAX], libc[INET6_ADDRSTRLEN];

	(void)state;
	for (int round = 0; round < 50000; round++) {
		struct addr a = { .family = rnd(2) ? 6 : 4 }, again;

		for (int i = 0; i < (a.family == 6 ? 16 : 4); i++)
			a.b[i] = rnd(3) ? 0 : (uint8_t)rnd(256);
		addr_text(&a, text);
		assert_true(strlen(text) < ADDR_TEXT_MAX);
		assert_true(addr_parse(str_of(text), &again));
		assert_true(addr_eq(&a, &again));
		assert_non_null(
			inet_ntop(a.family == 6 ? AF_INET6 : AF_INET, a.b, libc, sizeof(libc)));
		/* The C library also writes ::1.2.3.4 with a quad, we only ::ffff:1.2.3.4. */
		if (a.family == 4 || !strchr(libc, '.') || strchr(text, '.'))
			assert_string_equal(text, libc);
	}
}

static void test_unmap(void **state)
{
	struct addr v4 = addr_v4(0xc0000207), a;

	(void)state;
	assert_true(addr_parse(STR_LIT("::ffff:192.0.2.7"), &a));
	a = addr_unmap(&a);
	assert_true(addr_eq(&a, &v4));
	a = addr_unmap(&v4);
	assert_true(addr_eq(&a, &v4));
	assert_true(addr_parse(STR_LIT("::192.0.2.7"), &a));
	v4 = addr_unmap(&a);
	assert_true(addr_eq(&a, &v4));
	assert_int_equal(v4.family, 6);
}

static void test_cidr(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		const char *inside, *outside;
	} rows[] = {
		{ "10.0.0.0/8", true, "10.255.255.255", "11.0.0.0" },
		{ "10.0.0.0/9", true, "10.127.255.255", "10.128.0.0" },
		{ "0.0.0.0/0", true, "255.255.255.255", "::1" },
		{ "192.0.2.7", true, "192.0.2.7", "192.0.2.6" },
		{ "192.0.2.7/32", true, "192.0.2.7", "192.0.2.8" },
		{ "192.0.2.6/31", true, "192.0.2.7", "192.0.2.8" },
		{ "2001:db8::/32", true, "2001:db8:ffff::1", "2001:db9::" },
		{ "2001:db8::/33", true, "2001:db8:7fff::1", "2001:db8:8000::" },
		{ "::/0", true, "ffff::", "1.2.3.4" },
		{ "::1", true, "::1", "::" },
		{ "::1/128", true, "::1", "::3" },
		{ "10.0.0.1/8", false, NULL, NULL },
		{ "2001:db8::1/127", false, NULL, NULL },
		{ "10.0.0.0/33", false, NULL, NULL },
		{ "::/129", false, NULL, NULL },
		{ "10.0.0.0/", false, NULL, NULL },
		{ "10.0.0.0/08", false, NULL, NULL },
		{ "10.0.0.0/+8", false, NULL, NULL },
		{ "10.0.0.0/8/8", false, NULL, NULL },
		{ "10.0.0.0/ 8", false, NULL, NULL },
		{ "10.0.0.0/4294967304", false, NULL, NULL },
		{ "10/8", false, NULL, NULL },
		{ "/8", false, NULL, NULL },
		{ "", false, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cidr c;
		struct addr a;

		if (cidr_parse(str_of(rows[i].text), &c) != rows[i].ok)
			fail_msg("%s", rows[i].text);
		if (!rows[i].ok)
			continue;
		assert_true(addr_parse(str_of(rows[i].inside), &a));
		if (!cidr_contains(&c, &a))
			fail_msg("%s lacks %s", rows[i].text, rows[i].inside);
		assert_true(addr_parse(str_of(rows[i].outside), &a));
		if (cidr_contains(&c, &a))
			fail_msg("%s has %s", rows[i].text, rows[i].outside);
	}
	/* No network contains no address. */
	assert_false(cidr_contains(&(struct cidr){ 0 }, &(struct addr){ 0 }));
}

static void test_port(void **state)
{
	static const struct {
		const char *text;
		uint16_t port; /* 0 = refused */
	} rows[] = {
		{ "1", 1 },
		{ "443", 443 },
		{ "65535", 65535 },
		{ "0", 0 },
		{ "65536", 0 },
		{ "00443", 0 },
		{ "0443", 0 },
		{ "+443", 0 },
		{ "-1", 0 },
		{ "", 0 },
		{ " 443", 0 },
		{ "443 ", 0 },
		{ "0x1bb", 0 },
		{ "44a", 0 },
		{ "99999", 0 },
		{ "4294967739", 0 },
		{ "18446744073709552059", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint16_t port = 7;

		if (port_parse(str_of(rows[i].text), &port) != (rows[i].port != 0))
			fail_msg("%s", rows[i].text);
		assert_int_equal(port, rows[i].port ? rows[i].port : 7);
	}
	assert_false(port_parse((struct str){ "443\0", 4 }, &(uint16_t){ 0 }));
}

static void test_sockaddr_round_trip(void **state)
{
	static const char *const texts[] = { "192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7" };
	struct sockaddr_storage ss;
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct endpoint e = { .port = 65535 }, again = { .port = 1 };

		assert_true(addr_parse(str_of(texts[i]), &e.addr));
		assert_int_equal(endpoint_to_sockaddr(&e, &ss),
				 e.addr.family == 4 ? sizeof(struct sockaddr_in)
						    : sizeof(struct sockaddr_in6));
		assert_true(endpoint_from_sockaddr((struct sockaddr *)&ss, &again));
		assert_true(addr_eq(&e.addr, &again.addr));
		assert_int_equal(again.port, 65535);
	}
	ss.ss_family = AF_UNIX;
	assert_false(endpoint_from_sockaddr((struct sockaddr *)&ss, &(struct endpoint){ 0 }));
	assert_int_equal(endpoint_to_sockaddr(&(struct endpoint){ 0 }, &ss), 0);

	assert_string_equal(endpoint_text(&(struct endpoint){ addr_v4(0xffffffff), 65535 }, text),
			    "255.255.255.255:65535");
	assert_string_equal(endpoint_text(&(struct endpoint){ { 6, { [15] = 1 } }, 1 }, text),
			    "[::1]:1");
}

/* The longest text that an endpoint can have fits its buffer. */
static void test_endpoint_text_longest(void **state)
{
	struct endpoint e = { .addr.family = 6, .port = 65535 };
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	memset(e.addr.b, 0xff, 16);
	assert_string_equal(endpoint_text(&e, text),
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_text_is_rfc5952),
		cmocka_unit_test(test_aton_as_libc),
		cmocka_unit_test(test_random_texts_as_libc),
		cmocka_unit_test(test_text_round_trip),
		cmocka_unit_test(test_unmap),
		cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_port),
		cmocka_unit_test(test_sockaddr_round_trip),
		cmocka_unit_test(test_endpoint_text_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
