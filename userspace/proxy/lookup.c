/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/lookup.h"

#include <errno.h>
#include <string.h>

#include "proxy/saved.h"

static enum reason reason_of_failure(int r)
{
	switch (r) {
	case -ENODATA:
		return REASON_DNS_NO_ADDRESS;
	case -ETIMEDOUT:
	case -ETIME:
		return REASON_UPSTREAM_TIMEOUT;
	case -ECANCELED:
		return REASON_SHUTTING_DOWN;
	default:
		return REASON_DNS_FAILED;
	}
}

enum reason lookup_admit(struct server *s, const char *name, const struct rule *by)
{
	uint32_t *count;

	if (!by || (by->kind != RULE_SUFFIX && by->kind != RULE_ANY))
		return REASON_NONE;
	if (map_get(&s->wildcard_names, str_of(name)))
		return REASON_NONE;
	count = &s->wildcard_counts[by->id];
	if (*count >= s->limits.max_names_per_wildcard)
		return REASON_RATE_LIMITED;
	if (map_put(&s->wildcard_names, str_of(name), count) < 0)
		return REASON_RATE_LIMITED;
	++*count;
	return REASON_NONE;
}

/* Every address, not only the one that will be used: a name that has one bad address is not to be
 * trusted with the others. */
static enum reason check_all(const struct server *s, const struct answer *a, uint16_t port,
			     const struct rule *by, struct addr *ret_bad)
{
	struct verdict v;

	for (size_t i = 0; i < a->count; i++) {
		filter_check_answer(s->filter, &a->addrs[i], port, by, &v);
		if (!v.allowed) {
			*ret_bad = a->addrs[i];
			return v.reason;
		}
	}
	return REASON_NONE;
}

enum reason lookup_name(struct server *s, const char *name, uint16_t port, const struct rule *by,
			struct lookup *ret)
{
	enum reason reason = lookup_admit(s, name, by);
	struct answer *a = &ret->answer;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (reason)
		return reason;
	r = s->resolve(s, name, a, loop_now(s->loop) + s->limits.dns);
	ret->no_such_name = r == -ENOENT;
	if (r < 0)
		return reason_of_failure(r);
	if (a->count == 0)
		return REASON_DNS_NO_ADDRESS;
	if (a->truncated)
		return REASON_RATE_LIMITED;
	reason = check_all(s, a, port, by, &ret->bad);
	if (reason)
		return reason;
	ret->first_time = !bindings_by_name(&s->bindings, name);
	saved_append(s->saved, &s->bindings, name, a->addrs, a->count);
	if (bindings_add(&s->bindings, name, a->addrs, a->count) < 0)
		return REASON_RATE_LIMITED;
	return REASON_NONE;
}

static bool admits(const struct server *s, const struct endpoint *to, const struct bound_name *name,
		   struct candidate *ret)
{
	const struct rule *rule;
	struct verdict v;
	struct host h;

	if (!host_parse_ascii(str_of(name->name), &h))
		return false;
	filter_check_host(s->filter, &h, to->port, &v);
	rule = v.rule;
	if (v.allowed)
		filter_check_answer(s->filter, &to->addr, to->port, rule, &v);
	if (v.allowed)
		*ret = (struct candidate){ name, rule };
	return v.allowed;
}

bool lookup_candidate(const struct server *s, const struct endpoint *to, size_t *at,
		      struct candidate *ret)
{
	const struct bound_addr *bound = bindings_by_addr(&s->bindings, &to->addr);

	while (bound && *at < bound->count)
		if (admits(s, to, bound->names[(*at)++], ret))
			return true;
	return false;
}

bool lookup_candidate_named(const struct server *s, const struct endpoint *to, const char *name,
			    struct candidate *ret)
{
	const struct bound_name *bound = bindings_by_name(&s->bindings, name);
	struct addr plain = addr_unmap(&to->addr);

	for (size_t i = 0; bound && i < bound->count; i++)
		if (addr_eq(&bound->addrs[i]->addr, &plain))
			return admits(s, to, bound, ret);
	return false;
}
