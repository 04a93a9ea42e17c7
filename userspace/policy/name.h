/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one normaliser, for rules and for requests alike. What it yields is either a name in its one form or an address:
 *
 *  - counted, never NUL-terminated input: a NUL inside is a character, and refused;
 *  - ASCII letters (lowered), digits, '-', '_', '.'; after IDNA (non-transitional, libidn2) for names with U-labels;
 *  - one trailing dot is dropped; empty labels, labels over 63 and names over 253 bytes are refused;
 *  - a name whose last label is numeric in any inet_aton() form is an *address*, and one that is not a valid address is refused
 *    (WHATWG URL, "ends in a number"): no resolver ever sees it;
 *  - brackets only around IPv6; zone identifiers are refused.
 */
#ifndef NONO_POLICY_NAME_H
#define NONO_POLICY_NAME_H

#include "base/defs.h"
#include "base/str.h"
#include "wire/addr.h"

#define HOST_NAME_MAX_LEN 253

struct host {
	bool is_addr;
	struct addr addr; /* if is_addr; v4-mapped is folded to v4 */
	uint8_t len;
	char name[HOST_NAME_MAX_LEN + 1]; /* normal form, NUL-terminated; for an address its canonical text */
};

/* True if `s` is a valid host; otherwise *ret is untouched and the name is invalid (REASON_NAME_INVALID). */
_must_check_ bool host_parse(struct str s, struct host *ret);

/* "HOST", "HOST:PORT", "[V6]:PORT", bare V6. `*ret_port` is 0 where none is given. */
_must_check_ bool host_port_parse(struct str s, struct host *ret, uint16_t *ret_port);

/* As host_parse(), without IDNA: for names that come from the wire, where only ASCII is legal (SNI, DNS). */
_must_check_ bool host_parse_ascii(struct str s, struct host *ret);

/* Is `name` below `suffix` (a normal name without "*.")? Label-wise: "a.x.org" is below "x.org", "ax.org" and "x.org" are not. */
bool name_is_below(const char *name, const char *suffix);

#endif
