/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first 16 bytes as an address and as a NAT64 prefix, the rest as the text of an address, a
 * network and a port. What must hold: the C library agrees about texts; an address reads back from
 * its own text; a hidden address is never judged better than it is in the open.
 */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>

#include "policy/address.h"

static void check_text(struct str s, const char *z)
{
	struct in6_addr in6;
	struct in_addr in;
	struct addr a;
	struct cidr c;
	uint16_t port;
	bool plain = strlen(z) == s.n; /* no NUL inside */

	if (addr_parse(s, &a)) {
		assert(plain && inet_pton(a.family == 4 ? AF_INET : AF_INET6, z, &in6) == 1);
		assert(memcmp(&in6, a.b, a.family == 4 ? 4 : 16) == 0);
		assert(cidr_parse(s, &c) && cidr_contains(&c, &a));
	} else if (plain) {
		assert(inet_pton(AF_INET, z, &in) != 1 && inet_pton(AF_INET6, z, &in6) != 1);
	}
	/* inet_aton() lets blanks and anything behind them follow. */
	if (addr_parse_aton(s, &a))
		assert(plain && inet_aton(z, &in) && memcmp(&in, a.b, 4) == 0);
	else if (plain && !z[strcspn(z, " \t\n\v\f\r")])
		assert(!inet_aton(z, &in));
	if (cidr_parse(s, &c))
		assert(cidr_contains(&c, &c.addr));
	if (port_parse(s, &port))
		assert(plain && s.n <= 5 && (unsigned long)port == strtoul(z, NULL, 10));
}

static bool always_refused(enum addr_class c)
{
	return addr_class_reason(c) != REASON_NONE;
}

static void check_bytes(const uint8_t b[16])
{
	struct addr_options opt = { .nat64 = { .addr.family = 6, .len = b[15] } };
	struct addr a = { .family = 6 }, out[ADDR_HIDDEN_MAX], again, real, v4;
	char text[ENDPOINT_TEXT_MAX];
	struct sockaddr_storage ss;
	struct endpoint e, back;
	enum addr_class c;
	size_t n;

	memcpy(a.b, b, 16);
	assert(addr_parse(str_of(addr_text(&a, text)), &again) && addr_eq(&a, &again));
	v4 = addr_unmap(&a);
	c = addr_classify(&a, NULL, &real);
	assert(always_refused(c) || !always_refused(addr_classify(&v4, NULL, NULL)));
	if (v4.family == 4)
		assert(c == addr_classify(&v4, NULL, NULL) && addr_eq(&real, &v4));

	memcpy(opt.nat64.addr.b, b, 8);
	n = addr_hidden(&a, &opt, out);
	assert(n <= ADDR_HIDDEN_MAX);
	c = addr_classify(&a, &opt, &real);
	for (size_t i = 0; i < n; i++) {
		enum addr_class inner = addr_classify(&out[i], NULL, NULL);

		assert(out[i].family == 4);
		assert(!always_refused(inner) || always_refused(c));
		assert(inner != ADDR_METADATA || c == ADDR_METADATA);
		assert(inner != ADDR_LOOPBACK || (c != ADDR_PUBLIC && c != ADDR_PRIVATE));
		assert(inner != ADDR_PRIVATE || c != ADDR_PUBLIC);
	}

	e = (struct endpoint){ a, (uint16_t)(b[0] << 8 | b[1]) };
	assert(strlen(endpoint_text(&e, text)) < ENDPOINT_TEXT_MAX);
	assert(endpoint_to_sockaddr(&e, &ss) == sizeof(struct sockaddr_in6));
	assert(endpoint_from_sockaddr((struct sockaddr *)&ss, &back));
	assert(addr_eq(&e.addr, &back.addr) && e.port == back.port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t b[16] = { 0 }, *copy;
	size_t n = size < 16 ? size : 16;
	char *z;

	if (n)
		memcpy(b, data, n);
	check_bytes(b);
	copy = fuzz_copy(data + n, size - n);
	z = malloc(size - n + 1);
	assert(z);
	memcpy(z, copy, size - n);
	z[size - n] = '\0';
	check_text((struct str){ (const char *)copy, size - n }, z);
	free(z);
	free(copy);
	return 0;
}
