/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names the sandbox learned for which address, through our DNS answers.
 *
 * A binding says: name N had address X, and X passed the classifier. Bindings live as long as the sandbox and never change
 * owner: a later answer may add names to an address, none takes one away. The table has caps; when it is full, a new name
 * is not answered (SERVFAIL), never an old one forgotten.
 */
#ifndef NONO_POLICY_BINDINGS_H
#define NONO_POLICY_BINDINGS_H

#include "base/map.h"
#include "policy/name.h"

#define BINDINGS_MAX_ADDRS          16384
#define BINDINGS_MAX_NAMES          8192
#define BINDINGS_MAX_NAMES_PER_ADDR 1024
#define BINDINGS_MAX_ADDRS_PER_NAME 1024
#define BINDINGS_MAX_ADDRS_PER_ADD  64 /* in one answer */

struct bound_addr;

/* A name with all addresses ever given for it. Lives as long as the table. */
struct bound_name {
	char name[HOST_NAME_MAX_LEN + 1];
	uint16_t count, room;
	struct bound_addr **addrs;
};

/* An address with all names ever given it. Lives as long as the table. */
struct bound_addr {
	struct addr addr;
	uint16_t count, room;
	struct bound_name **names;
};

struct bindings {
	struct map names, addrs;
};

void bindings_init(struct bindings *b, const uint8_t seed[16]);
void bindings_done(struct bindings *b);

/*
 * Binds all of `n` addresses to the (normal) name, or none of them. 0, -ENOSPC (a cap is reached), -ENOMEM, or -EINVAL (no
 * name, or no address). Binding what is bound already, or nothing, is 0. v4-mapped addresses are folded.
 */
_must_check_ int bindings_add(struct bindings *b, const char *name, const struct addr *addrs, size_t n);

/* NULL if nothing is bound there. The address is unmapped first. */
const struct bound_addr *bindings_by_addr(const struct bindings *b, const struct addr *a);
const struct bound_name *bindings_by_name(const struct bindings *b, const char *name);

#endif
