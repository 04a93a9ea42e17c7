/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an allowed name to addresses that may be dialled: resolve, check every address, bind. The
 * one place where a name becomes an address, for DNS answers and for connections alike.
 */
#ifndef NONO_PROXY_LOOKUP_H
#define NONO_PROXY_LOOKUP_H

#include "proxy/server.h"

/* What a look-up found out besides its reason. */
struct lookup {
	struct answer answer;
	struct addr bad;   /* the address that refuses the name; family 0: none */
	bool first_time;   /* nothing was bound to the name before */
	bool no_such_name; /* the name does not exist (with DNS_FAILED) */
};

/*
 * `by` is the rule that allowed the name; port 0 where it is not known (DNS). On success every
 * address of the answer passed the classifier and is bound to the name. Reasons: DNS_FAILED,
 * DNS_NO_ADDRESS, UPSTREAM_TIMEOUT (the resolver was silent), RATE_LIMITED (a cap is reached), or
 * why one of its addresses is refused: one bad address refuses the name.
 */
enum reason lookup_name(struct server *s, const char *name, uint16_t port, const struct rule *by,
			struct lookup *ret) _suspends_;

/*
 * May this name be asked for at all? A rule that covers any number of names (a wildcard) could
 * carry data out in labels, one query each: only so many different names are resolved for one.
 */
enum reason lookup_admit(struct server *s, const char *name, const struct rule *by);

/* A name that is bound to an address and whose rule admits the port. */
struct candidate {
	const struct bound_name *name; /* NULL: none */
	const struct rule *rule;
};

/* Walks the candidates of an address; `*at` starts at 0. False at the end. */
bool lookup_candidate(const struct server *s, const struct endpoint *to, size_t *at,
		      struct candidate *ret);

/* The candidate of that (normal) name. False: it is none. */
bool lookup_candidate_named(const struct server *s, const struct endpoint *to, const char *name,
			    struct candidate *ret);

#endif
