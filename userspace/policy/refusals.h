/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was refused, each target once, with how often: for the summary at the end of `run`, for /-/refusals, and to keep
 * repeated refusals of one name down to one audit record a minute.
 */
#ifndef NONO_POLICY_REFUSALS_H
#define NONO_POLICY_REFUSALS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/reason.h"

#define REFUSALS_MAX 512
#define REFUSAL_TARGET_MAX 255

struct refusal {
	char target[REFUSAL_TARGET_MAX + 1];
	uint16_t port; /* 0 = none (DNS) */
	enum reason reason;
	uint32_t count;      /* in all */
	uint32_t unreported; /* since the last audit record */
	uint8_t mode;        /* enum event_mode of the first one */
	uint32_t unsent;     /* not yet told to the supervisor */
	nsec_t reported_at;  /* when that record was written */
	uint32_t order;      /* of first appearance */
};

struct refusals {
	struct map by_key;
	uint64_t overflow; /* refusals that found the table full */
	uint32_t next_order;
};

void refusals_init(struct refusals *r, const uint8_t seed[16]);
void refusals_done(struct refusals *r);

/* The entry for this target, counted once more; NULL when the table is full (counted in overflow). */
struct refusal *refusals_count(struct refusals *r, const char *target, uint16_t port, enum reason reason,
			       uint32_t times);

/* Should this refusal be written to the audit now? At most once a minute per entry; `*ret_count` is what the record stands for. */
bool refusal_due(struct refusal *e, nsec_t now, uint32_t *ret_count);

/*
 * The summary that `run` prints: each target once, in order of first appearance, at most `max` lines; a DNS refusal of a name
 * that was also refused with a port is folded into it. Appends nothing when nothing was refused. 0 or -errno.
 */
_must_check_ int refusals_summary(const struct refusals *r, size_t max, struct buf *out);

#endif
