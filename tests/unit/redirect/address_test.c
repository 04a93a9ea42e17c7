/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "base/defs.h"
#include "bpf/address.h"

static struct ip ip(const char *text)
{
	struct ip a = ip_from4(0);

	if (strchr(text, ':'))
		assert_int_equal(inet_pton(AF_INET6, text, a.w_be), 1);
	else
		assert_int_equal(inet_pton(AF_INET, text, &a.w_be[3]), 1);
	return a;
}

struct row {
	const char *text;
	bool mapped, any, multi, loopback;
};

static const struct row rows[] = {
	{ "0.0.0.0", true, true, false, false },
	{ "::", false, true, false, false },
	{ "::ffff:0.0.0.0", true, true, false, false },
	{ "127.0.0.1", true, false, false, true },
	{ "127.0.0.53", true, false, false, true },
	{ "127.255.255.254", true, false, false, true },
	/* The two ends of 127/8 are broadcasts of lo. */
	{ "127.0.0.0", true, false, true, false },
	{ "127.255.255.255", true, false, true, false },
	/* A mask of 0x7f000000 would take these for loopback. */
	{ "255.0.0.1", true, false, false, false },
	{ "255.255.255.254", true, false, false, false },
	{ "126.255.255.255", true, false, false, false },
	{ "128.0.0.1", true, false, false, false },
	{ "255.255.255.255", true, false, true, false },
	{ "223.255.255.255", true, false, false, false },
	{ "224.0.0.0", true, false, true, false },
	{ "239.255.255.255", true, false, true, false },
	{ "240.0.0.1", true, false, false, false },
	{ "1.0.0.127", true, false, false, false },
	{ "::1", false, false, false, true },
	{ "::2", false, false, false, false },
	{ "::127.0.0.1", false, false, false, false },
	{ "0:1::1", false, false, false, false },
	{ "::1:0:0:1", false, false, false, false },
	{ "::fffe:127.0.0.1", false, false, false, false },
	{ "1::ffff:127.0.0.1", false, false, false, false },
	{ "64:ff9b::127.0.0.1", false, false, false, false },
	{ "ff02::1", false, false, true, false },
	{ "ff00::", false, false, true, false },
	{ "fe80::1", false, false, false, false },
	{ "2001:db8::1", false, false, false, false },
};

static void test_classes_of_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ip a = ip(rows[i].text);
		bool right = ip_is_mapped(&a) == rows[i].mapped && ip_is_any(&a) == rows[i].any &&
			     ip_is_multi(&a) == rows[i].multi &&
			     ip_is_loopback(&a) == rows[i].loopback;

		if (!right)
			print_error("%s\n", rows[i].text);
		assert_true(right);
	}
}

static void assert_ip(struct ip got, const char *text)
{
	struct ip want = ip(text);

	assert_true(ip_eq(&got, &want));
}

static void test_any_means_loopback(void **state)
{
	struct ip any4 = ip("0.0.0.0"), any6 = ip("::"), other = ip("192.0.2.1");

	(void)state;
	assert_ip(ip_any_to_loopback(&any4), "127.0.0.1");
	assert_ip(ip_any_to_loopback(&any6), "::1");
	assert_ip(ip_any_to_loopback(&other), "192.0.2.1");
}

static void test_local_addresses(void **state)
{
	struct netns_conf conf = { .local_count = 2 };
	struct ip a = ip("192.0.2.2"), b = ip("2001:db8::2"), c = ip("192.0.2.3"),
		  lo = ip("127.9.9.9"), last = ip("10.0.0.8");

	(void)state;
	assert_false(ip_is_local(&a, NULL));
	assert_true(ip_is_local(&lo, NULL));
	conf.local[0] = a;
	conf.local[1] = b;
	conf.local[2] = c; /* behind the count */
	assert_true(ip_is_local(&a, &conf));
	assert_true(ip_is_local(&b, &conf));
	assert_false(ip_is_local(&c, &conf));
	assert_true(ip_is_local(&lo, &conf));
	conf.local_count = NONO_LOCAL_MAX;
	conf.local[NONO_LOCAL_MAX - 1] = last;
	assert_true(ip_is_local(&last, &conf));
	conf.local_count = 255;
	assert_true(ip_is_local(&last, &conf));
}

static void test_places(void **state)
{
	struct netns_conf conf = { .tcp4_be = 1, .tcp6_be = 2, .dns4_be = 3, .dns6_be = 4 };
	struct ip v4 = ip("198.51.100.7"), v6 = ip("2001:db8::7");
	struct place p;

	(void)state;
	p = place_tcp(&conf, &v4);
	assert_ip(p.addr, "127.0.0.1");
	assert_int_equal(p.port_be, 1);
	p = place_tcp(&conf, &v6);
	assert_ip(p.addr, "::1");
	assert_int_equal(p.port_be, 2);
	p = place_dns(&conf, &v6);
	assert_ip(p.addr, "::1");
	assert_int_equal(p.port_be, 4);
	conf.no_ipv6 = 1;
	p = place_tcp(&conf, &v6);
	assert_ip(p.addr, "127.0.0.1");
	assert_int_equal(p.port_be, 1);
	p = place_dns(&conf, &v6);
	assert_ip(p.addr, "127.0.0.1");
	assert_int_equal(p.port_be, 3);
}

static void test_who_is_the_dns_listener(void **state)
{
	struct netns_conf conf = { .dns4_be = 3, .dns6_be = 4 };
	struct ip lo4 = ip("127.0.0.1"), lo4b = ip("127.0.0.2"), lo6 = ip("::1");

	(void)state;
	assert_true(place_is_dns(&conf, &lo4, 3));
	assert_true(place_is_dns(&conf, &lo6, 4));
	assert_false(place_is_dns(&conf, &lo4, 4));
	assert_false(place_is_dns(&conf, &lo6, 3));
	assert_false(place_is_dns(&conf, &lo4b, 3));
	conf.dns6_be = 0;
	assert_false(place_is_dns(&conf, &lo6, 0));
}

static void test_ports_of_the_proxy(void **state)
{
	struct netns_conf conf = { 1, 2, 3, 4, 5, 6, .no_ipv6 = 0 }, empty = { 0 };

	(void)state;
	for (uint16_t port = 1; port <= 6; port++)
		assert_true(port_is_proxys(&conf, port));
	assert_false(port_is_proxys(&conf, 7));
	/* Port 0 asks for any, also where a listener is missing. */
	assert_false(port_is_proxys(&empty, 0));
	assert_false(port_is_proxys(&conf, 0));
}

static void test_source_of_an_answer(void **state)
{
	struct ip lo = ip("127.3.4.5"), own = ip("192.0.2.2"), lo6 = ip("::1");

	(void)state;
	assert_ip(ip_source_for(&lo), "127.0.0.1");
	assert_ip(ip_source_for(&own), "192.0.2.2");
	assert_ip(ip_source_for(&lo6), "::1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes_of_addresses),
		cmocka_unit_test(test_any_means_loopback),
		cmocka_unit_test(test_local_addresses),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_who_is_the_dns_listener),
		cmocka_unit_test(test_ports_of_the_proxy),
		cmocka_unit_test(test_source_of_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
