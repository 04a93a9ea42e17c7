/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that stand for an address, and names that only look like it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/dns_msg.h"

static void test_reverse_names(void **state)
{
#define NIBBLES_31 "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0"
	static const struct {
		const char *name;
		uint8_t family;
		uint8_t first, last;
	} rows[] = {
		{ "4.3.2.1.in-addr.arpa", 4, 1, 4 },
		{ "255.0.0.10.IN-ADDR.ARPA", 4, 10, 255 },
		{ "0.0.0.0.in-addr.arpa", 4, 0, 0 },
		{ NIBBLES_31 ".2.ip6.arpa", 6, 0x20, 0 },
		{ NIBBLES_31 ".F.IP6.Arpa", 6, 0xf0, 0 },
		{ "", 0, 0, 0 },
		{ "in-addr.arpa", 0, 0, 0 },
		{ "1.in-addr.arpa", 0, 0, 0 },
		{ "3.2.1.in-addr.arpa", 0, 0, 0 },
		{ "5.4.3.2.1.in-addr.arpa", 0, 0, 0 },
		{ "04.3.2.1.in-addr.arpa", 0, 0, 0 },
		{ "00.3.2.1.in-addr.arpa", 0, 0, 0 },
		{ "256.3.2.1.in-addr.arpa", 0, 0, 0 },
		{ "99999999999999999999.3.2.1.in-addr.arpa", 0, 0, 0 },
		{ "a.3.2.1.in-addr.arpa", 0, 0, 0 },
		{ "-1.3.2.1.in-addr.arpa", 0, 0, 0 },
		{ "4.3.2.1.in-addr.arpa.example", 0, 0, 0 },
		{ "4.3.2.1.in-addr.arp", 0, 0, 0 },
		{ "4.3.2.1.ip6.arpa", 0, 0, 0 },
		{ "0/25.3.2.1.in-addr.arpa", 0, 0, 0 },
		{ NIBBLES_31 ".ip6.arpa", 0, 0, 0 },
		{ NIBBLES_31 ".2.0.ip6.arpa", 0, 0, 0 },
		{ NIBBLES_31 ".g.ip6.arpa", 0, 0, 0 },
		{ NIBBLES_31 ".02.ip6.arpa", 0, 0, 0 },
		{ NIBBLES_31 ".2.ip6.int", 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr a = { .family = 99 };
		struct dns_name name = { .len = (uint8_t)strlen(rows[i].name) };

		memcpy(name.text, rows[i].name, name.len + 1U);
		if (dns_reverse_addr(&name, &a) != (rows[i].family != 0))
			fail_msg("wrong: %s", rows[i].name);
		assert_int_equal(a.family, rows[i].family ? rows[i].family : 99);
		if (rows[i].family) {
			assert_int_equal(a.b[0], rows[i].first);
			assert_int_equal(a.b[a.family == 4 ? 3 : 15], rows[i].last);
			name.odd = true;
			assert_false(dns_reverse_addr(&name, &a));
		}
	}
}

static void test_reverse_v6_order(void **state)
{
	static const char text[] =
		"f.e.d.c.b.a.9.8.7.6.5.4.3.2.1.0.0.1.2.3.4.5.6.7.8.b.d.0.1.0.0.2.ip6.arpa";
	static const uint8_t want[16] = { 0x20, 0x01, 0x0d, 0xb8, 0x76, 0x54, 0x32, 0x10,
					  0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	struct dns_name name = { .len = sizeof(text) - 1 };
	struct addr a;

	(void)state;
	memcpy(name.text, text, sizeof(text));
	assert_true(dns_reverse_addr(&name, &a));
	assert_int_equal(a.family, 6);
	assert_memory_equal(a.b, want, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reverse_names),
		cmocka_unit_test(test_reverse_v6_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
