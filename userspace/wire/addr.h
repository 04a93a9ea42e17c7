/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses and endpoints as values, and their texts. Nothing here asks a resolver.
 */
#ifndef NONO_WIRE_ADDR_H
#define NONO_WIRE_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/defs.h"
#include "base/str.h"

/* An address. IPv4 uses b[0..3], the rest is zero, so addresses compare by memcmp(). */
struct addr {
	uint8_t family; /* 4, 6; 0 = none */
	uint8_t b[16];
};

struct endpoint {
	struct addr addr;
	uint16_t port; /* host order */
};

struct cidr {
	struct addr addr; /* host bits are zero */
	uint8_t len;
};

#define ADDR_TEXT_MAX     46 /* longest IPv6 text and NUL */
#define ENDPOINT_TEXT_MAX 54 /* "[" address "]:65535" and NUL */

struct addr addr_v4(uint32_t host_order);
bool addr_eq(const struct addr *a, const struct addr *b);

/* ::ffff:a.b.c.d becomes a.b.c.d; anything else stays. */
struct addr addr_unmap(const struct addr *a);

/*
 * Strict texts only: canonical dotted quad (four decimal numbers, no leading zeros), or RFC 4291 IPv6 without a zone and
 * without brackets. True if the whole view is one.
 */
bool addr_parse(struct str s, struct addr *ret);

/*
 * IPv4 the way inet_aton() reads it: one to four parts, each decimal, octal (0…) or hexadecimal (0x…), the last one filling
 * the rest. Used to recognise disguises ("2852039166", "0xa9fea9fe", "169.254.43518"); never to produce text.
 */
bool addr_parse_aton(struct str s, struct addr *ret);

/* RFC 5952 text, NUL-terminated. `out` holds ADDR_TEXT_MAX. Returns out. */
const char *addr_text(const struct addr *a, char *out);

/* "a.b.c.d:port" or "[v6]:port". `out` holds ENDPOINT_TEXT_MAX. Returns out. */
const char *endpoint_text(const struct endpoint *e, char *out);

/* "A.B.C.D/LEN", "V6/LEN"; a bare address is /32 or /128. Host bits that are set are refused. */
bool cidr_parse(struct str s, struct cidr *ret);
bool cidr_contains(const struct cidr *c, const struct addr *a);

/* "1".."65535", decimal, no sign, no leading zero. */
bool port_parse(struct str s, uint16_t *ret);

/* To and from the kernel's form. endpoint_from_sockaddr: false for a family that is not IP. v4-mapped is kept as it is. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret);
bool endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret);

#endif
