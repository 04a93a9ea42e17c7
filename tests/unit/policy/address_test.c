/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes of addresses, and that no way of hiding one changes what it is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "policy/address.h"

static uint64_t rng_state = 0x853c49e6748fea9b;

static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return (uint32_t)((rng_state * 0x2545f4914f6cdd1d) >> 33) % below;
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	if (!addr_parse(str_of(text), &a))
		fail_msg("not an address: %s", text);
	return a;
}

static struct addr_options options_of(const char *prefix)
{
	struct addr_options o;

	if (!cidr_parse(str_of(prefix), &o.nat64))
		fail_msg("not a network: %s", prefix);
	return o;
}

static const struct {
	const char *text;
	enum addr_class cls;
} plain[] = {
	{ "169.254.169.254", ADDR_METADATA },
	{ "169.254.170.2", ADDR_METADATA },
	{ "169.254.170.23", ADDR_METADATA },
	{ "169.254.169.123", ADDR_METADATA },
	{ "169.254.169.253", ADDR_METADATA },
	{ "169.254.169.250", ADDR_METADATA },
	{ "169.254.169.251", ADDR_METADATA },
	{ "169.254.0.23", ADDR_METADATA },
	{ "169.254.42.42", ADDR_METADATA },
	{ "100.100.100.200", ADDR_METADATA },
	{ "168.63.129.16", ADDR_METADATA },
	{ "192.0.0.192", ADDR_METADATA },
	{ "fd00:ec2::254", ADDR_METADATA },
	{ "fd00:ec2::23", ADDR_METADATA },
	{ "fd00:ec2::123", ADDR_METADATA },
	{ "fd00:ec2::253", ADDR_METADATA },
	{ "fd00:ec2:ffff::1", ADDR_METADATA },
	{ "fd20:ce::254", ADDR_METADATA },
	{ "fd00:c1::a9fe:a9fe", ADDR_METADATA },
	{ "fd00:42::42", ADDR_METADATA },
	{ "fd00:a9fe:a9fe::1", ADDR_METADATA },
	{ "fe80::a9fe:a9fe", ADDR_METADATA },
	{ "169.254.0.0", ADDR_LINK_LOCAL },
	{ "169.254.255.255", ADDR_LINK_LOCAL },
	{ "169.254.169.252", ADDR_LINK_LOCAL },
	{ "fe80::1", ADDR_LINK_LOCAL },
	{ "febf:ffff::1", ADDR_LINK_LOCAL },
	{ "0.0.0.0", ADDR_SPECIAL },
	{ "0.255.255.255", ADDR_SPECIAL },
	{ "224.0.0.1", ADDR_SPECIAL },
	{ "239.255.255.250", ADDR_SPECIAL },
	{ "240.0.0.1", ADDR_SPECIAL },
	{ "255.255.255.255", ADDR_SPECIAL },
	{ "192.0.0.1", ADDR_SPECIAL },
	{ "192.0.0.170", ADDR_SPECIAL },
	{ "::", ADDR_SPECIAL },
	{ "ff02::1", ADDR_SPECIAL },
	{ "ffff::", ADDR_SPECIAL },
	{ "100::1", ADDR_SPECIAL },
	{ "fec0::1", ADDR_SPECIAL },
	{ "feff::1", ADDR_SPECIAL },
	{ "4000::1", ADDR_SPECIAL },
	{ "5f00::1", ADDR_SPECIAL },
	{ "1fff:ffff::1", ADDR_SPECIAL },
	{ "127.0.0.1", ADDR_LOOPBACK },
	{ "127.255.255.255", ADDR_LOOPBACK },
	{ "::1", ADDR_LOOPBACK },
	{ "10.0.0.0", ADDR_PRIVATE },
	{ "10.255.255.255", ADDR_PRIVATE },
	{ "172.16.0.1", ADDR_PRIVATE },
	{ "172.31.255.255", ADDR_PRIVATE },
	{ "192.168.0.1", ADDR_PRIVATE },
	{ "100.64.0.1", ADDR_PRIVATE },
	{ "100.127.255.255", ADDR_PRIVATE },
	{ "100.100.100.201", ADDR_PRIVATE },
	{ "fc00::1", ADDR_PRIVATE },
	{ "fdff::1", ADDR_PRIVATE },
	{ "fd00:ec3::254", ADDR_PRIVATE },
	{ "fd20:ce::255", ADDR_PRIVATE },
	{ "1.0.0.1", ADDR_PUBLIC },
	{ "9.255.255.255", ADDR_PUBLIC },
	{ "11.0.0.0", ADDR_PUBLIC },
	{ "100.63.255.255", ADDR_PUBLIC },
	{ "100.128.0.0", ADDR_PUBLIC },
	{ "126.255.255.255", ADDR_PUBLIC },
	{ "128.0.0.1", ADDR_PUBLIC },
	{ "168.63.129.15", ADDR_PUBLIC },
	{ "169.253.255.255", ADDR_PUBLIC },
	{ "169.255.0.0", ADDR_PUBLIC },
	{ "172.15.255.255", ADDR_PUBLIC },
	{ "172.32.0.0", ADDR_PUBLIC },
	{ "192.0.1.0", ADDR_PUBLIC },
	{ "192.0.2.7", ADDR_PUBLIC },
	{ "198.18.0.1", ADDR_PUBLIC },
	{ "198.51.100.1", ADDR_PUBLIC },
	{ "203.0.113.1", ADDR_PUBLIC },
	{ "223.255.255.255", ADDR_PUBLIC },
	{ "2001:db8::1", ADDR_PUBLIC },
	{ "2606:4700::1111", ADDR_PUBLIC },
	{ "3fff::1", ADDR_PUBLIC },
};

static void test_plain(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		struct addr a = addr_of(plain[i].text), real;
		enum addr_class c = addr_classify(&a, NULL, &real);

		if (c != plain[i].cls)
			fail_msg("%s is %s", plain[i].text, addr_class_word(c));
		assert_true(addr_eq(&a, &real));
	}
	assert_int_equal(addr_classify(&(struct addr){ 0 }, NULL, NULL), ADDR_SPECIAL);
}

/* Written out, so that the generator below does not merely repeat the code. */
static void test_known_disguises(void **state)
{
	static const struct {
		const char *text, *nat64, *real;
		enum addr_class cls;
	} rows[] = {
		{ "::ffff:169.254.169.254", NULL, "169.254.169.254", ADDR_METADATA },
		{ "::ffff:0:a9fe:a9fe", NULL, "169.254.169.254", ADDR_METADATA },
		{ "::169.254.169.254", NULL, "169.254.169.254", ADDR_METADATA },
		{ "64:ff9b::a9fe:a9fe", NULL, "169.254.169.254", ADDR_METADATA },
		{ "64:ff9b:1::a9fe:a9fe", NULL, "169.254.169.254", ADDR_METADATA },
		{ "64:ff9b:1:fffe::a9fe:a9fe", NULL, "169.254.169.254", ADDR_METADATA },
		{ "64:ff9b:1:a9fe:a9:fe00::", NULL, "169.254.169.254", ADDR_METADATA },
		{ "64:ff9b:1:a9:fe:a9fe::", NULL, "169.254.169.254", ADDR_METADATA },
		{ "64:ff9b:1:0:a9:fea9:fe00:0", NULL, "169.254.169.254", ADDR_METADATA },
		{ "64:ff9b:1:a9fe:1:100:c000:207", NULL, "169.254.1.1", ADDR_LINK_LOCAL },
		{ "64:ff9b:1:7f00:0:100:c000:207", NULL, "127.0.0.1", ADDR_LOOPBACK },
		{ "2002:a9fe:a9fe::", NULL, "169.254.169.254", ADDR_METADATA },
		{ "2002:a9fe:a9fe:1:2:3:4:5", NULL, "169.254.169.254", ADDR_METADATA },
		{ "2001:0:a9fe:a9fe::", NULL, "169.254.169.254", ADDR_METADATA },
		{ "2001:0:c000:207:0:1234:5601:5601", NULL, "169.254.169.254", ADDR_METADATA },
		{ "2001:db8::5efe:169.254.169.254", NULL, "169.254.169.254", ADDR_METADATA },
		{ "2001:db8::200:5efe:169.254.169.254", NULL, "169.254.169.254", ADDR_METADATA },
		{ "2002:c000:207::5efe:169.254.169.254", NULL, "169.254.169.254", ADDR_METADATA },
		{ "fe80::5efe:192.0.2.7", NULL, "192.0.2.7", ADDR_LINK_LOCAL },
		{ "fd00::5efe:192.0.2.7", NULL, "192.0.2.7", ADDR_PRIVATE },
		{ "::ffff:127.0.0.1", NULL, "127.0.0.1", ADDR_LOOPBACK },
		{ "64:ff9b::7f00:1", NULL, "127.0.0.1", ADDR_LOOPBACK },
		{ "64:ff9b:1::7f00:1", NULL, "127.0.0.1", ADDR_LOOPBACK },
		{ "::7f00:1", NULL, "127.0.0.1", ADDR_LOOPBACK },
		{ "2002:7f00:1::", NULL, "127.0.0.1", ADDR_LOOPBACK },
		{ "64:ff9b::", NULL, "0.0.0.0", ADDR_SPECIAL },
		{ "::ffff:0.0.0.0", NULL, "0.0.0.0", ADDR_SPECIAL },
		{ "64:ff9b::10.1.2.3", NULL, "10.1.2.3", ADDR_PRIVATE },
		{ "64:ff9b::192.0.2.7", NULL, "192.0.2.7", ADDR_PUBLIC },
		/* The gateway is local, so even a public one behind it is private; not refused. */
		{ "64:ff9b:1::192.0.2.7", NULL, "192.0.2.7", ADDR_PRIVATE },
		{ "64:ff9b:1:fffe::192.0.2.7", NULL, "192.0.2.7", ADDR_PRIVATE },
		{ "64:ff9b::168.63.129.16", NULL, "168.63.129.16", ADDR_METADATA },
		{ "64:ff9b::100.100.100.200", NULL, "100.100.100.200", ADDR_METADATA },
		{ "64:ff9b::192.0.0.192", NULL, "192.0.0.192", ADDR_METADATA },
		/* RFC 6052 2.4, its own examples with 192.0.2.33. */
		{ "2001:db8:c000:221::", "2001:db8::/32", "192.0.2.33", ADDR_PUBLIC },
		{ "2001:db8:1c0:2:21::", "2001:db8:100::/40", "192.0.2.33", ADDR_PUBLIC },
		{ "2001:db8:122:c000:2:2100::", "2001:db8:122::/48", "192.0.2.33", ADDR_PUBLIC },
		{ "2001:db8:122:3c0:0:221::", "2001:db8:122:300::/56", "192.0.2.33", ADDR_PUBLIC },
		{ "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344::/64", "192.0.2.33",
		  ADDR_PUBLIC },
		{ "2001:db8:122:344::192.0.2.33", "2001:db8:122:344::/96", "192.0.2.33",
		  ADDR_PUBLIC },
		{ "2001:db8:a9fe:a9fe::", "2001:db8::/32", "169.254.169.254", ADDR_METADATA },
		{ "2001:db8:a9fe:a9fe::", NULL, "2001:db8:a9fe:a9fe::", ADDR_PUBLIC },
		/* A prefix of another length is not one. */
		{ "2001:db8:a9fe:a9fe::", "2001:db8::/33", "2001:db8:a9fe:a9fe::", ADDR_PUBLIC },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr a = addr_of(rows[i].text), want = addr_of(rows[i].real), real;
		struct addr_options opt = { 0 };
		enum addr_class c;

		if (rows[i].nat64)
			opt = options_of(rows[i].nat64);
		c = addr_classify(&a, &opt, &real);
		if (c != rows[i].cls)
			fail_msg("%s is %s", rows[i].text, addr_class_word(c));
		if (!addr_eq(&real, &want))
			fail_msg("%s: wrong inner address", rows[i].text);
	}
}

enum { DISGUISES = 15 };

/* Hides an IPv4 address in way `how`; the rest of the bits are noise where noise is allowed. */
static struct addr disguise(const struct addr *v4, int how, struct addr_options *opt)
{
	static const uint8_t lens[] = { 32, 40, 48, 56, 64, 96 };
	struct addr a = { .family = 6 };
	size_t at = 12;

	*opt = (struct addr_options){ 0 };
	for (int i = 0; i < 16; i++)
		a.b[i] = (uint8_t)rnd(256);
	switch (how) {
	case 0: /* mapped */
		memset(a.b, 0, 10);
		a.b[10] = a.b[11] = 0xff;
		break;
	case 1: /* compatible */
		memset(a.b, 0, 12);
		break;
	case 2: /* translated */
		memset(a.b, 0, 12);
		a.b[8] = a.b[9] = 0xff;
		break;
	case 3: /* NAT64, well-known */
		memcpy(a.b, "\0\x64\xff\x9b\0\0\0\0\0\0\0", 12);
		break;
	case 4: /* NAT64, local use */
		memcpy(a.b, "\0\x64\xff\x9b\0\1", 6);
		break;
	case 5: /* 6to4 */
		a.b[0] = 0x20;
		a.b[1] = 0x02;
		at = 2;
		break;
	case 6: /* Teredo, the server */
		memcpy(a.b, "\x20\1\0", 4);
		at = 4;
		break;
	case 7: /* Teredo, the client */
		memcpy(a.b, "\x20\1\0", 4);
		for (int i = 0; i < 4; i++)
			a.b[12 + i] = v4->b[i] ^ 0xff;
		return a;
	case 8: /* ISATAP */
		memcpy(a.b + 8, "\0\0\x5e\xfe", 4);
		a.b[8] = (uint8_t)rnd(4);
		break;
	default: /* a configured NAT64 prefix of each length */
		opt->nat64.len = lens[how - 9];
		opt->nat64.addr.family = 6;
		a.b[0] = 0x26;
		memcpy(opt->nat64.addr.b, a.b, lens[how - 9] / 8);
		at = lens[how - 9] / 8;
		break;
	}
	for (int i = 0; i < 4; i++) {
		if (at == 8)
			at++;
		a.b[at++] = v4->b[i];
	}
	return a;
}

/* Whatever is always refused in the open is refused in every disguise, and no disguise makes an
 * address better. */
static void test_no_disguise_helps(void **state)
{
	static const int badness[] = {
		[ADDR_PUBLIC] = 0,  [ADDR_PRIVATE] = 1,	   [ADDR_LOOPBACK] = 2,
		[ADDR_SPECIAL] = 3, [ADDR_LINK_LOCAL] = 4, [ADDR_METADATA] = 5,
	};

	(void)state;
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
			struct addr v4 = addr_of(plain[i].text), a;
			struct addr_options opt;
			int how = (int)rnd(DISGUISES);
			enum addr_class c;

			if (v4.family != 4)
				continue;
			a = disguise(&v4, how, &opt);
			c = addr_classify(&a, &opt, NULL);
			if (badness[c] < badness[plain[i].cls])
				fail_msg("%s in disguise %d is %s", plain[i].text, how,
					 addr_class_word(c));
		}
	}
}

static void test_hidden_never_overflows(void **state)
{
	(void)state;
	for (int round = 0; round < 100000; round++) {
		struct addr v4 = addr_v4(0xa9fea9fe), a, out[ADDR_HIDDEN_MAX];
		struct addr_options opt;

		a = disguise(&v4, (int)rnd(DISGUISES), &opt);
		memcpy(a.b + 8, "\0\0\x5e\xfe", 4);
		if (rnd(2))
			opt.nat64 = (struct cidr){ { .family = 6 }, 64 };
		memcpy(opt.nat64.addr.b, a.b, 8);
		assert_true(addr_hidden(&a, &opt, out) <= ADDR_HIDDEN_MAX);
	}
	/* The most there can be: every reading of a local NAT64 prefix, a configured one, ISATAP.
	 */
	struct addr most = addr_of("64:ff9b:1:a9fe:fe:a9fe:7f00:1"), out[ADDR_HIDDEN_MAX];
	struct addr_options opt = options_of("64:ff9b:1::/48");

	assert_in_range(addr_hidden(&most, &opt, out), 2, ADDR_HIDDEN_MAX);
}

static void test_class_of_net(void **state)
{
	static const struct {
		const char *text;
		enum addr_class cls;
	} rows[] = {
		{ "0.0.0.0/0", ADDR_PUBLIC },	    { "::/0", ADDR_PUBLIC },
		{ "10.0.0.0/8", ADDR_PRIVATE },	    { "10.0.0.0/7", ADDR_PUBLIC },
		{ "127.0.0.0/8", ADDR_LOOPBACK },   { "126.0.0.0/7", ADDR_PUBLIC },
		{ "::1/128", ADDR_LOOPBACK },	    { "169.254.0.0/16", ADDR_LINK_LOCAL },
		{ "168.0.0.0/7", ADDR_PUBLIC },	    { "169.254.169.254/32", ADDR_METADATA },
		{ "224.0.0.0/8", ADDR_SPECIAL },    { "fe80::/64", ADDR_LINK_LOCAL },
		{ "fd00:ec2::/48", ADDR_METADATA }, { "fd00::/16", ADDR_PRIVATE },
		{ "ff00::/8", ADDR_SPECIAL },	    { "2001:db8::/32", ADDR_PUBLIC },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cidr c;

		assert_true(cidr_parse(str_of(rows[i].text), &c));
		if (addr_class_of_net(&c) != rows[i].cls)
			fail_msg("%s is %s", rows[i].text, addr_class_word(addr_class_of_net(&c)));
	}
}

static void test_reasons_and_words(void **state)
{
	static const struct {
		enum addr_class cls;
		enum reason reason;
		const char *word;
	} rows[] = {
		{ ADDR_PUBLIC, REASON_NONE, "public" },
		{ ADDR_PRIVATE, REASON_NONE, "private" },
		{ ADDR_LOOPBACK, REASON_NONE, "loopback" },
		{ ADDR_METADATA, REASON_METADATA_ADDRESS, "metadata" },
		{ ADDR_LINK_LOCAL, REASON_LINK_LOCAL_ADDRESS, "link-local" },
		{ ADDR_SPECIAL, REASON_SPECIAL_ADDRESS, "special" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(addr_class_reason(rows[i].cls), rows[i].reason);
		assert_string_equal(addr_class_word(rows[i].cls), rows[i].word);
	}
}

static void test_metadata_names(void **state)
{
	static const char *const yes[] = {
		"metadata",
		"metadata.google.internal",
		"x.metadata.google.internal",
		"metadata.goog",
		"metadata.azure.internal",
		"instance-data",
		"instance-data.ec2.internal",
		"instance-data.us-west-2.compute.internal",
		"metadata.tencentyun.com",
		"metadata.packet.net",
		"metadata.platformequinix.com",
		"api.metadata.cloud.ibm.com",
	};
	static const char *const no[] = {
		"metadata.example.com",
		"google.internal",
		"xmetadata.google.internal",
		"metadata.google.internal.example",
		"goog",
		"instance-data.example",
		"instance-data.corp.internal",
		"www.compute.internal",
		"metadata-x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (!name_is_metadata(yes[i]))
			fail_msg("%s is not", yes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (name_is_metadata(no[i]))
			fail_msg("%s is", no[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_disguises),
		cmocka_unit_test(test_no_disguise_helps),
		cmocka_unit_test(test_hidden_never_overflows),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_class_of_net),
		cmocka_unit_test(test_reasons_and_words),
		cmocka_unit_test(test_metadata_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
