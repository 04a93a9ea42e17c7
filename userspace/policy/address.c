/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classes of addresses, as two tables, and the ways in which an IPv6 address can stand for an
 * IPv4 one.
 *
 * The first entry of a table that covers an address decides, so the special cases stand before the
 * ranges they lie in. An IPv6 address in disguise may be several disguises at once (6to4 in front,
 * ISATAP behind); every reading is classified and the worst of them, and of the address itself, is
 * the answer.
 */
#include "policy/address.h"

#include "policy/name.h"

struct block4 {
	uint32_t net;
	uint8_t len;
	enum addr_class cls;
};

struct block6 {
	uint8_t net[16];
	uint8_t len;
	enum addr_class cls;
};

#define V4(a, b, c, d) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static const struct block4 blocks4[] = {
	/* Services of a cloud that hand out credentials or configuration, or steer the machine. */
	{ V4(169, 254, 169, 254), 32, ADDR_METADATA }, /* nearly all clouds */
	{ V4(169, 254, 169, 123), 32, ADDR_METADATA }, /* Amazon: time */
	{ V4(169, 254, 169, 249), 32, ADDR_METADATA }, /* Amazon: NTP and activation of Windows */
	{ V4(169, 254, 169, 250), 31, ADDR_METADATA }, /* Amazon: activation of Windows */
	{ V4(169, 254, 169, 253), 32, ADDR_METADATA }, /* Amazon: DNS */
	{ V4(169, 254, 170, 2), 32, ADDR_METADATA },   /* Amazon ECS: task credentials */
	{ V4(169, 254, 170, 23), 32, ADDR_METADATA },  /* Amazon EKS: pod identity */
	{ V4(169, 254, 0, 23), 32, ADDR_METADATA },    /* Tencent */
	{ V4(169, 254, 42, 42), 32, ADDR_METADATA },   /* Scaleway */
	{ V4(100, 100, 100, 200), 32, ADDR_METADATA }, /* Alibaba */
	{ V4(168, 63, 129, 16), 32, ADDR_METADATA },   /* Azure: wire server */
	{ V4(192, 0, 0, 192), 32, ADDR_METADATA },     /* Oracle, classic */

	{ V4(169, 254, 0, 0), 16, ADDR_LINK_LOCAL },
	{ V4(127, 0, 0, 0), 8, ADDR_LOOPBACK },
	{ V4(0, 0, 0, 0), 8,
	  ADDR_SPECIAL }, /* "this network"; Linux connects 0.0.0.0 to loopback */
	{ V4(192, 0, 0, 0), 24, ADDR_SPECIAL }, /* IETF protocol assignments */
	{ V4(224, 0, 0, 0), 4, ADDR_SPECIAL },	/* multicast */
	{ V4(240, 0, 0, 0), 4, ADDR_SPECIAL },	/* reserved, and the broadcast address */
	{ V4(10, 0, 0, 0), 8, ADDR_PRIVATE },
	{ V4(172, 16, 0, 0), 12, ADDR_PRIVATE },
	{ V4(192, 168, 0, 0), 16, ADDR_PRIVATE },
	{ V4(100, 64, 0, 0), 10, ADDR_PRIVATE }, /* RFC 6598 */
	{ 0, 0, ADDR_PUBLIC },
};

static const struct block6 blocks6[] = {
	{ { 0xfd, 0, 0x0e, 0xc2 }, 32, ADDR_METADATA }, /* Amazon: ::254, ::23, ::123, ::253 */
	{ { 0xfd, 0x20, 0, 0xce, [14] = 0x02, 0x54 }, 128, ADDR_METADATA },	     /* Google */
	{ { 0xfd, 0, 0, 0xc1, [12] = 0xa9, 0xfe, 0xa9, 0xfe }, 128, ADDR_METADATA }, /* Oracle */
	{ { 0xfd, 0, 0, 0x42, [14] = 0, 0x42 }, 128, ADDR_METADATA },		     /* Scaleway */
	{ { 0xfd, 0, 0xa9, 0xfe, 0xa9, 0xfe, [15] = 1 }, 128, ADDR_METADATA },	     /* Linode */
	{ { 0xfe, 0x80, [12] = 0xa9, 0xfe, 0xa9, 0xfe }, 128, ADDR_METADATA },	     /* OpenStack */

	{ { 0xfe, 0x80 }, 10, ADDR_LINK_LOCAL },
	{ { [15] = 1 }, 128, ADDR_LOOPBACK },
	{ { 0 }, 128, ADDR_SPECIAL }, /* unspecified; connects to loopback */
	{ { 0xfc }, 7, ADDR_PRIVATE },
	{ { 0, 0x64, 0xff, 0x9b, 0, 1 },
	  48,
	  ADDR_PRIVATE }, /* RFC 8215, NAT64 of a local network */
	/* Prefixes that say nothing by themselves: the address inside does. */
	{ { 0, 0x64, 0xff, 0x9b }, 96, ADDR_PUBLIC },
	{ { 0 }, 96, ADDR_PUBLIC },
	{ { [10] = 0xff, 0xff }, 96, ADDR_PUBLIC },
	{ { [8] = 0xff, 0xff }, 96, ADDR_PUBLIC },
	/*
	 * Outside 2000::/3 nothing else is unicast that one could reach: discard-only, segment
	 * routing, multicast, the site-local addresses that RFC 3879 abolished, and what has not
	 * been given out.
	 */
	{ { 0x20 }, 3, ADDR_PUBLIC },
	{ { 0 }, 0, ADDR_SPECIAL },
};

/* The order of badness, for an address that is several things at once. */
static int badness(enum addr_class c)
{
	switch (c) {
	case ADDR_PUBLIC:
		return 0;
	case ADDR_PRIVATE:
		return 1;
	case ADDR_LOOPBACK:
		return 2;
	case ADDR_SPECIAL:
		return 3;
	case ADDR_LINK_LOCAL:
		return 4;
	case ADDR_METADATA:
		return 5;
	}
	return 5;
}

static uint32_t v4_value(const uint8_t b[4])
{
	return V4(b[0], b[1], b[2], b[3]);
}

/* The class of the first block that covers the whole network. */
static enum addr_class class_of_net4(uint32_t net, unsigned int len)
{
	for (size_t i = 0; i < ARRAY_SIZE(blocks4); i++) {
		const struct block4 *k = &blocks4[i];

		if (len >= k->len && (k->len == 0 || (net ^ k->net) >> (32 - k->len) == 0))
			return k->cls;
	}
	return ADDR_SPECIAL;
}

static enum addr_class class_of_net6(const struct addr *net, unsigned int len)
{
	struct cidr block = { .addr.family = 6 };

	for (size_t i = 0; i < ARRAY_SIZE(blocks6); i++) {
		const struct block6 *k = &blocks6[i];

		/* Cheap first: most addresses differ in the first byte from most blocks. */
		if (len < k->len || (k->len >= 8 && k->net[0] != net->b[0]))
			continue;
		memcpy(block.addr.b, k->net, 16);
		block.len = k->len;
		if (cidr_contains(&block, net))
			return k->cls;
	}
	return ADDR_SPECIAL;
}

enum addr_class addr_class_of_net(const struct cidr *net)
{
	/* A wider network than a whole class is public in this sense: some of it may be reached. */
	if (net->addr.family == 4)
		return class_of_net4(v4_value(net->addr.b), net->len);
	return net->len < 3 ? ADDR_PUBLIC : class_of_net6(&net->addr, net->len);
}

static enum addr_class class_itself(const struct addr *a)
{
	switch (a->family) {
	case 4:
		return class_of_net4(v4_value(a->b), 32);
	case 6:
		return class_of_net6(a, 128);
	default:
		return ADDR_SPECIAL;
	}
}

/* RFC 6052 2.2: the IPv4 address behind a prefix of `len` bits; byte 8 is always skipped. */
static struct addr nat64_at(const uint8_t b[16], unsigned int len)
{
	struct addr v4 = { .family = 4 };
	unsigned int at = len / 8;

	for (int i = 0; i < 4; i++) {
		if (at == 8)
			at++;
		v4.b[i] = b[at++];
	}
	return v4;
}

static bool nat64_len_ok(unsigned int len)
{
	return len == 32 || len == 40 || len == 48 || len == 56 || len == 64 || len == 96;
}

static void add_v4(struct addr out[ADDR_HIDDEN_MAX], size_t *n, const uint8_t b[4])
{
	out[*n] = (struct addr){ .family = 4 };
	memcpy(out[(*n)++].b, b, 4);
}

/*
 * RFC 8215 gives 64:ff9b:1::/48 to NAT64 gateways without saying how long their prefix is. It is
 * nearly always a /96; read with a shorter one, such an address yields nonsense that must not
 * refuse it. So a shorter reading counts only where it would reach something dangerous.
 */
static void add_local_nat64(const struct addr *a, struct addr out[ADDR_HIDDEN_MAX], size_t *n)
{
	static const uint8_t lens[] = { 48, 56, 64 };

	add_v4(out, n, a->b + 12);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct addr v4 = nat64_at(a->b, lens[i]);
		enum addr_class c = class_itself(&v4);

		if (c == ADDR_METADATA || c == ADDR_LINK_LOCAL || c == ADDR_LOOPBACK)
			out[(*n)++] = v4;
	}
}

size_t addr_hidden(const struct addr *a, const struct addr_options *opt,
		   struct addr out[ADDR_HIDDEN_MAX])
{
	static const uint8_t zero[12], nat64[12] = { 0, 0x64, 0xff, 0x9b },
				       translated[12] = { [8] = 0xff, 0xff },
				       mapped[12] = { [10] = 0xff, 0xff };
	const uint8_t *b = a->b;
	size_t n = 0;

	if (a->family != 6)
		return 0;
	/* v4-compatible (RFC 4291 2.5.5.1), but :: and ::1 are themselves. */
	if (memcmp(b, zero, 12) == 0 && v4_value(b + 12) > 1)
		add_v4(out, &n, b + 12);
	/* v4-mapped, v4-translated (RFC 2765), the well-known NAT64 prefix (RFC 6052). */
	if (memcmp(b, mapped, 12) == 0 || memcmp(b, translated, 12) == 0 ||
	    memcmp(b, nat64, 12) == 0)
		add_v4(out, &n, b + 12);
	if (memcmp(b, (const uint8_t[]){ 0, 0x64, 0xff, 0x9b, 0, 1 }, 6) == 0)
		add_local_nat64(a, out, &n);
	if (opt && nat64_len_ok(opt->nat64.len) && cidr_contains(&opt->nat64, a))
		out[n++] = nat64_at(b, opt->nat64.len);
	/* 6to4 (RFC 3056). */
	if (b[0] == 0x20 && b[1] == 0x02)
		add_v4(out, &n, b + 2);
	/* Teredo (RFC 4380): the server in clear, the client with all bits inverted. */
	if (memcmp(b, (const uint8_t[]){ 0x20, 0x01, 0, 0 }, 4) == 0) {
		uint8_t client[4];

		for (int i = 0; i < 4; i++)
			client[i] = b[12 + i] ^ 0xff;
		add_v4(out, &n, b + 4);
		add_v4(out, &n, client);
	}
	/* ISATAP (RFC 5214 6.1), whatever the universal and group bits say. */
	if ((b[8] & 0xfc) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe)
		add_v4(out, &n, b + 12);
	return n;
}

enum addr_class addr_classify(const struct addr *a, const struct addr_options *opt,
			      struct addr *ret_real)
{
	struct addr hidden[ADDR_HIDDEN_MAX];
	size_t n = addr_hidden(a, opt, hidden);
	enum addr_class worst = class_itself(a);
	struct addr real = *a;

	for (size_t i = 0; i < n; i++) {
		enum addr_class c = class_itself(&hidden[i]);

		/* Of equally bad ones the hidden one is where the packets go. */
		if (badness(c) > badness(worst) || addr_eq(&real, a))
			real = hidden[i];
		if (badness(c) > badness(worst))
			worst = c;
	}
	if (ret_real)
		*ret_real = real;
	return worst;
}

enum reason addr_class_reason(enum addr_class c)
{
	switch (c) {
	case ADDR_METADATA:
		return REASON_METADATA_ADDRESS;
	case ADDR_LINK_LOCAL:
		return REASON_LINK_LOCAL_ADDRESS;
	case ADDR_SPECIAL:
		return REASON_SPECIAL_ADDRESS;
	case ADDR_PUBLIC:
	case ADDR_PRIVATE:
	case ADDR_LOOPBACK:
		return REASON_NONE;
	}
	return REASON_SPECIAL_ADDRESS;
}

const char *addr_class_word(enum addr_class c)
{
	switch (c) {
	case ADDR_PUBLIC:
		return "public";
	case ADDR_PRIVATE:
		return "private";
	case ADDR_LOOPBACK:
		return "loopback";
	case ADDR_METADATA:
		return "metadata";
	case ADDR_LINK_LOCAL:
		return "link-local";
	case ADDR_SPECIAL:
		return "special";
	}
	return "special";
}

bool name_is_metadata(const char *name)
{
	/* Search lists complete the short ones, so those count alone. */
	static const char *const alone[] = { "metadata", "instance-data" };
	static const char *const tops[] = {
		"metadata.google.internal",   "metadata.goog", /* Google */
		"metadata.azure.internal",		       /* Azure */
		"instance-data.ec2.internal",		       /* Amazon, us-east-1 */
		"metadata.tencentyun.com",		       /* Tencent */
		"metadata.packet.net",	      "metadata.platformequinix.com", /* Equinix */
		"api.metadata.cloud.ibm.com",				      /* IBM */
	};

	for (size_t i = 0; i < ARRAY_SIZE(alone); i++)
		if (strcmp(name, alone[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(tops); i++)
		if (strcmp(name, tops[i]) == 0 || name_is_below(name, tops[i]))
			return true;
	/* Amazon's other regions: instance-data.REGION.compute.internal. */
	return strncmp(name, "instance-data.", 14) == 0 && name_is_below(name, "compute.internal");
}
