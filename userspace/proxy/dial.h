/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out: connects to the first of some checked addresses that answers. No host name is ever
 * handed to a connect; each address is checked once more at the moment of dialling.
 */
#ifndef NONO_PROXY_DIAL_H
#define NONO_PROXY_DIAL_H

#include "io/race.h"
#include "proxy/server.h"

struct dial_list {
	struct endpoint to[RACE_MAX];
	size_t n;
};

/* Appends unless it is there already or the list is full. */
void dial_list_add(struct dial_list *l, const struct addr *a, uint16_t port);

/* Reorders all but the first entry so that address families alternate (RFC 8305 4). */
void dial_list_interleave(struct dial_list *l);

/* What the errno of a connect means. */
enum reason dial_failure(int error);

/*
 * Dials. On success *ret_fd is connected to *ret_addr. `by` is the rule that allowed the target
 * (NULL: an address rule was asked by the caller). Reasons: UPSTREAM_REFUSED, UPSTREAM_UNREACHABLE,
 * UPSTREAM_TIMEOUT, LOOP_REFUSED, SHUTTING_DOWN, or why no address may be dialled.
 */
enum reason dial(struct server *s, const struct dial_list *list, const struct rule *by, int *ret_fd,
		 struct addr *ret_addr) _suspends_;

#endif
