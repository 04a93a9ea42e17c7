/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a connection goes, and under which names: what a redirected connection's address X and port P stand for, and the way
 * from an allowed name to an upstream.
 */
#ifndef NONO_PROXY_ROUTE_H
#define NONO_PROXY_ROUTE_H

#include "proxy/conn.h"
#include "proxy/lookup.h"

struct route {
	struct candidate first; /* of the candidates, if there is any */
	bool by_address; /* an address rule covers it (or --monitor lets it pass): names are noted, not asked */
	bool any; /* "*" covers it: any name will do that no deny rule names */
	const struct rule *rule;
};

/* Finds it by c->origin.to, and names the target so far. A reason: it is refused whatever the client says. */
enum reason route_find(struct conn *c, struct route *ret);

/* Does it lead anywhere before the client has spoken? */
static inline bool route_is_known(const struct route *r)
{
	return r->by_address || r->any || r->first.name;
}

/* Dials X, or what may stand in for it, into c->up and c->dialled. */
enum reason route_dial(struct conn *c, const struct route *r) _suspends_;

/*
 * May the client go this way under that name? Names the target. REASON_NONE, `mismatch` (it is no name of the address), or why
 * the name is refused.
 */
enum reason route_admit(struct conn *c, const struct route *r, const struct host *h,
			enum reason mismatch);

/* The host alone, a name or an address: decides, resolves, checks, dials into c->up; c->port is the port. Names the target. */
enum reason route_to_host(struct conn *c, const struct host *h) _suspends_;

/* Whose upstream c->up is, if it is anybody's. All zero: nobody's. */
struct route_last {
	struct host host;
	uint16_t port;
	const struct rule *rule;
	struct addr dialled;
};

/* The same for one request of several: the upstream of the one before is kept if it is for the same host and port. */
enum reason route_again(struct conn *c, struct route_last *last, const struct host *h) _suspends_;

/* Is this a reason for which the network, not the policy, is to blame? */
bool route_failed(enum reason reason);

#endif
