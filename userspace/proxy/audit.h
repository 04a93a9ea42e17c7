/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit of one worker: an append of one line per event, before the thing is served; and the
 * table of refusals that keeps repetitions down to one record a minute and feeds the summary.
 *
 * A record that cannot be written is counted (`lost` in the next one) and the caller refuses what
 * it stood for.
 */
#ifndef NONO_PROXY_AUDIT_H
#define NONO_PROXY_AUDIT_H

#include "policy/event.h"
#include "policy/recent.h"
#include "policy/refusals.h"

/* What the records of connections to published ports say; they have no mode, because all modes are ways out. */
#define AUDIT_INWARD "from outside"

struct audit {
	int fd; /* -EBADF: no audit file */
	const char *session, *cgroup;
	uint64_t seq, lost;
	bool failing; /* said so already */
	struct refusals refusals, inward;
	struct recent recent; /* the last ones, for the sandbox itself */
	/* Tells the supervisor: `count` more refusals of this target. -EAGAIN: later. NULL: nobody
	 * to tell. */
	int (*note)(void *arg, const struct refusal *r, uint32_t count);
	void *note_arg;
};

/* `cgroup` may be "": there is none. */
void audit_init(struct audit *a, int fd, const char *session, const char *cgroup,
		const uint8_t seed[16]);

/* The descriptor stays the caller's. */
void audit_done(struct audit *a);

/* Stamps and writes the event. 0, or -errno: then what it stands for must not happen. */
_must_check_ int audit_write(struct audit *a, struct event *e);

/* Writes an event that decides nothing (close, note): a failure is counted only. */
void audit_note(struct audit *a, struct event *e);

/* A refusal: counted, noted to the supervisor, and written unless the same one was within the last
 * minute. */
void audit_refusal(struct audit *a, struct event *e, nsec_t now);

/*
 * The same for what came from outside, to a published port: the sandbox has not done it, so neither its list nor the summary
 * tells it.
 */
void audit_refusal_inward(struct audit *a, struct event *e, nsec_t now);

/* At the end: the repetitions that no record told yet. */
void audit_flush(struct audit *a, nsec_t now);

#endif
