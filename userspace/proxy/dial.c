/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/dial.h"

#include <errno.h>

void dial_list_add(struct dial_list *l, const struct addr *a, uint16_t port)
{
	struct addr plain = addr_unmap(a);

	for (size_t i = 0; i < l->n; i++)
		if (addr_eq(&l->to[i].addr, &plain))
			return;
	if (l->n < RACE_MAX)
		l->to[l->n++] = (struct endpoint){ plain, port };
}

void dial_list_interleave(struct dial_list *l)
{
	for (size_t i = 1; i < l->n; i++) {
		size_t j = i;

		while (j < l->n && l->to[j].addr.family == l->to[i - 1].addr.family)
			j++;
		if (j == l->n)
			return; /* only one family is left */
		/* Rotate, so that the resolver's order within a family stays. */
		struct endpoint other = l->to[j];

		for (; j > i; j--)
			l->to[j] = l->to[j - 1];
		l->to[i] = other;
	}
}

enum reason dial_failure(int error)
{
	switch (error) {
	case -ECONNREFUSED:
	case -ECONNRESET:
		return REASON_UPSTREAM_REFUSED;
	case -ETIME:
	case -ETIMEDOUT:
		return REASON_UPSTREAM_TIMEOUT;
	case -ECANCELED:
		return REASON_SHUTTING_DOWN;
	default:
		return REASON_UPSTREAM_UNREACHABLE;
	}
}

/* What may be dialled of the list. */
static enum reason check_list(const struct server *s, const struct dial_list *list,
			      const struct rule *by, struct dial_list *ret)
{
	enum reason first_bad = REASON_NONE;

	ret->n = 0;
	for (size_t i = 0; i < list->n; i++) {
		const struct endpoint *to = &list->to[i];
		struct verdict v = { .allowed = true };

		if (server_is_self(s, to))
			v = (struct verdict){ .reason = REASON_LOOP_REFUSED };
		else if (by && by->kind != RULE_CIDR && by->kind != RULE_ADDR)
			filter_check_answer(s->filter, &to->addr, to->port, by, &v);
		else
			filter_check_dest(s->filter, to, &v);
		if (v.allowed)
			ret->to[ret->n++] = *to;
		else if (!first_bad)
			first_bad = v.reason;
	}
	return ret->n ? REASON_NONE : first_bad ? first_bad : REASON_DNS_NO_ADDRESS;
}

enum reason dial(struct server *s, const struct dial_list *list, const struct rule *by, int *ret_fd,
		 struct addr *ret_addr)
{
	struct dial_list good;
	enum reason reason = check_list(s, list, by, &good);
	size_t winner = 0;
	int fd;

	if (reason)
		return reason;
	fd = io_connect_race(good.to, good.n, &winner, loop_now(s->loop) + s->limits.connect);
	if (fd < 0)
		return dial_failure(fd);
	*ret_fd = fd;
	*ret_addr = good.to[winner].addr;
	return REASON_NONE;
}
