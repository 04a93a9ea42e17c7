/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last refusals of this sandbox, for the sandbox itself: an agent that asks for them can tell policy from a broken network.
 * A refusal that is there already (same target, port and reason) moves to the end instead of filling the list.
 */
#ifndef NONO_POLICY_RECENT_H
#define NONO_POLICY_RECENT_H

#include "base/buf.h"
#include "base/reason.h"

#define RECENT_MAX	  50
#define RECENT_TARGET_MAX 255

struct recent_refusal {
	int64_t timestamp_unix_ms;
	enum reason reason;
	uint16_t port; /* 0 = none */
	char target[RECENT_TARGET_MAX + 1];
};

/* All zero is empty. */
struct recent {
	struct recent_refusal items[RECENT_MAX]; /* the oldest first */
	size_t n;
};

/* A target that is too long is cut; NULL is the empty one. A full list drops its oldest. */
void recent_add(struct recent *r, const char *target, uint16_t port, enum reason reason,
		int64_t timestamp_unix_ms);

/* The longest text that recent_write() makes: each byte of a target may take six. */
#define RECENT_JSON_MAX (RECENT_MAX * (6 * RECENT_TARGET_MAX + 512))

/*
 * A JSON list, the oldest first, of {"timestamp_unix_ms", "target", "port", "reason", "hint"}; port and hint are null where there is
 * none. 0 or -errno, and then nothing is appended.
 */
_must_check_ int recent_write(const struct recent *r, struct buf *out);

#endif
