/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/cleartext.h"

#include "proxy/exchange.h"

/* What one connection's requests have in common. */
struct cleartext {
	const struct route *route; /* NULL: by name */
	struct route_last last;	   /* by name */
};

/* A known route has one upstream for all its names. */
static enum reason admit_routed(struct conn *c, const struct route *r, const struct host *h)
{
	enum reason reason = REASON_NONE;

	if (!h->is_addr)
		reason = route_admit(c, r, h, REASON_HOST_MISMATCH);
	else if (r->any && addr_eq(&h->addr, &c->origin.to.addr))
		reason = REASON_NONE;
	else
		reason = REASON_HOST_MISMATCH;
	if (!reason && h->is_addr)
		c->rule = r->rule;
	if (!reason && c->up < 0)
		reason = route_dial(c, r);
	return reason;
}

static enum reason admit(struct conn *c, void *arg, const struct http_head *head)
{
	struct cleartext *t = arg;
	struct host h;
	uint16_t port;
	enum reason reason = exchange_authority(head, c->port, &h, &port);

	if (reason && reason != REASON_HOST_MISMATCH)
		return reason;
	conn_set_target(c, h.name, NULL);
	if (reason)
		return reason;
	if (port != c->port)
		return REASON_HOST_MISMATCH;
	if (t->route)
		return admit_routed(c, t->route, &h);
	return h.is_addr ? REASON_CIDR_NOT_ALLOWED : route_again(c, &t->last, &h);
}

bool cleartext_serve(struct conn *c, const struct route *r)
{
	struct cleartext t = { .route = r };
	struct exchange_owner owner = { .mode = MODE_TRANSPARENT, .admit = admit, .arg = &t };

	return exchange_run(c, &owner);
}
