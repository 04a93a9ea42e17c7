/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one classifier of addresses, for literals, DNS answers and redirected destinations. It takes off every disguise
 * first (v4-mapped, v4-compatible, v4-translated, NAT64 with the well-known, the local-use and a configured prefix, 6to4, Teredo,
 * ISATAP), then asks the tables. REFERENCE: RFC 6890, RFC 6052, RFC 8215, RFC 3056, RFC 4380, RFC 5214.
 */
#ifndef NONO_POLICY_ADDRESS_H
#define NONO_POLICY_ADDRESS_H

#include "base/reason.h"
#include "wire/addr.h"

enum addr_class {
	ADDR_PUBLIC,
	ADDR_PRIVATE,  /* RFC 1918, fc00::/7, 100.64/10: allowed when the *name* is allowed */
	ADDR_LOOPBACK, /* 127/8, ::1: only by explicit address rule or a rule that names it */
	ADDR_METADATA, /* always refused */
	ADDR_LINK_LOCAL, /* always refused */
	ADDR_SPECIAL,  /* unspecified, multicast, broadcast, 240/4, all IPv6 that is neither global unicast nor ULA: always refused */
};

struct addr_options {
	struct cidr nat64; /* a NAT64 prefix of this network (RFC 6052: /32 /40 /48 /56 /64 /96); family 0 = none */
};

/*
 * The class; of an address that hides another one, the worse of the two. `*ret_real`, if not NULL, is the innermost address.
 * `opt` may be NULL.
 */
enum addr_class addr_classify(const struct addr *a, const struct addr_options *opt, struct addr *ret_real);

/* An address can be at most so many disguises at once (four of a local NAT64 prefix, a configured one, ISATAP; or 6to4 …). */
#define ADDR_HIDDEN_MAX 8

/* The IPv4 addresses that an IPv6 address hides, in every way it can be read; 0 if it hides none. */
size_t addr_hidden(const struct addr *a, const struct addr_options *opt, struct addr out[ADDR_HIDDEN_MAX]);

/* The always-refused or other class that the whole network lies in; ADDR_PUBLIC where it reaches beyond one. */
enum addr_class addr_class_of_net(const struct cidr *net);

/* The reason for which a class is always refused, or REASON_NONE. */
enum reason addr_class_reason(enum addr_class c);

const char *addr_class_word(enum addr_class c);

/* Names that mean a metadata service, whatever they resolve to (metadata.google.internal …). `name` is normal. */
bool name_is_metadata(const char *name);

#endif
