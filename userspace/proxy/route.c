/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route.h"

#include <string.h>

#include "proxy/dial.h"

enum reason route_find(struct conn *c, struct route *ret)
{
	const struct endpoint *to = &c->origin.to;
	char text[ADDR_TEXT_MAX];
	struct verdict v;
	size_t at = 0;

	conn_set_target(c, addr_text(&to->addr, text), NULL);
	*ret = (struct route){ 0 };
	if (server_is_self(c->server, to))
		return REASON_LOOP_REFUSED;
	filter_check_dest(c->server->filter, to, &v);
	c->rule = v.rule;
	if (!v.allowed && v.reason != REASON_CIDR_NOT_ALLOWED)
		return v.reason;
	ret->any = v.allowed && v.rule && v.rule->kind == RULE_ANY;
	ret->by_address = v.allowed && !ret->any;
	ret->rule = v.rule;
	if (lookup_candidate(c->server, to, &at, &ret->first))
		conn_set_target(c, ret->first.name->name,
				ret->by_address ? v.rule : ret->first.rule);
	return REASON_NONE;
}

static bool name_has_addr(const struct bound_name *name, const struct addr *a)
{
	for (size_t i = 0; i < name->count; i++)
		if (addr_eq(&name->addrs[i]->addr, a))
			return true;
	return false;
}

/* Does the address belong to every name that the connection may turn out to be for? */
static bool shared_by_all(const struct conn *c, const struct addr *a)
{
	struct candidate next;
	size_t at = 0;

	while (lookup_candidate(c->server, &c->origin.to, &at, &next))
		if (!name_has_addr(next.name, a))
			return false;
	return true;
}

/* X first. Another address may stand in for it only if it is as good, and never where the rule is
 * about the address. */
static void addresses(const struct conn *c, const struct route *r, struct dial_list *ret)
{
	const struct bound_name *first = r->first.name;

	ret->n = 0;
	dial_list_add(ret, &c->origin.to.addr, c->origin.to.port);
	if (r->by_address || !first)
		return;
	/* The latest few, the latest first: old ones may be stale. */
	for (size_t i = first->count, n = 0; i-- > 0 && n < RACE_MAX; n++)
		if (shared_by_all(c, &first->addrs[i]->addr))
			dial_list_add(ret, &first->addrs[i]->addr, c->origin.to.port);
	dial_list_interleave(ret);
}

enum reason route_dial(struct conn *c, const struct route *r)
{
	const struct rule *by = r->by_address || r->any ? r->rule : r->first.rule;
	struct dial_list list;

	addresses(c, r, &list);
	return dial(c->server, &list, by, &c->up, &c->dialled);
}

/* Was another address dialled in place of X? Then only a name that has that one too may use it. */
static bool stands_in(const struct conn *c)
{
	return !addr_eq(&c->dialled, &c->origin.to.addr);
}

enum reason route_admit(struct conn *c, const struct route *r, const struct host *h,
			enum reason mismatch)
{
	struct candidate found;
	struct verdict v;

	if (lookup_candidate_named(c->server, &c->origin.to, h->name, &found) &&
	    (!stands_in(c) || name_has_addr(found.name, &c->dialled))) {
		conn_set_target(c, h->name, found.rule);
		return REASON_NONE;
	}
	conn_set_target(c, h->name, NULL);
	if (!r->any || stands_in(c))
		return mismatch;
	filter_check_host(c->server->filter, h, c->port, &v);
	c->rule = v.rule;
	return v.allowed ? REASON_NONE : v.reason;
}

/* All addresses that the host has. */
static enum reason look_up(struct conn *c, const struct host *h, const struct rule *by,
			   struct dial_list *ret)
{
	struct lookup found;
	enum reason reason;

	ret->n = 0;
	if (h->is_addr) {
		dial_list_add(ret, &h->addr, c->port);
		return REASON_NONE;
	}
	reason = lookup_name(c->server, h->name, c->port, by, &found);
	if (reason)
		return reason;
	for (size_t i = 0; i < found.answer.count; i++)
		dial_list_add(ret, &found.answer.addrs[i], c->port);
	dial_list_interleave(ret);
	return REASON_NONE;
}

enum reason route_to_host(struct conn *c, const struct host *h)
{
	struct endpoint to = { h->addr, c->port };
	struct dial_list list;
	struct verdict v;
	enum reason reason;

	conn_set_target(c, h->name, NULL);
	if (h->is_addr && server_is_self(c->server, &to))
		return REASON_LOOP_REFUSED;
	filter_check_host(c->server->filter, h, c->port, &v);
	c->rule = v.rule;
	if (!v.allowed)
		return v.reason;
	reason = look_up(c, h, v.rule, &list);
	return reason ? reason : dial(c->server, &list, v.rule, &c->up, &c->dialled);
}

enum reason route_again(struct conn *c, struct route_last *last, const struct host *h)
{
	enum reason reason;

	if (c->up >= 0 && last->port == c->port && strcmp(last->host.name, h->name) == 0) {
		conn_set_target(c, h->name, last->rule);
		c->dialled = last->dialled;
		return REASON_NONE;
	}
	if (c->up >= 0)
		loop_close(c->server->loop, &c->up);
	c->dialled = (struct addr){ 0 };
	reason = route_to_host(c, h);
	if (!reason)
		*last = (struct route_last){ *h, c->port, c->rule, c->dialled };
	return reason;
}

bool route_failed(enum reason reason)
{
	return reason == REASON_UPSTREAM_REFUSED || reason == REASON_UPSTREAM_UNREACHABLE ||
	       reason == REASON_UPSTREAM_TIMEOUT;
}
