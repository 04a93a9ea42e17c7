/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit event: a closed set of fields (INTERFACE 5), and its one line of JSON. Absent = not applicable: a zero or NULL
 * field is left out. Secrets, tokens, query strings and bodies have no field, so they cannot be written.
 */
#ifndef NONO_POLICY_EVENT_H
#define NONO_POLICY_EVENT_H

#include "base/buf.h"
#include "base/reason.h"
#include "wire/addr.h"

enum event_kind { EVENT_OPEN, EVENT_CLOSE, EVENT_NOTE };
enum event_mode { MODE_NONE, MODE_CONNECT, MODE_REVERSE, MODE_EXTERNAL, MODE_FORWARD, MODE_TRANSPARENT, MODE_DNS };
enum event_end { END_NONE, END_EOF, END_RESET, END_TIMEOUT, END_LIMIT, END_SHUTDOWN };

struct event {
	enum event_kind kind;
	enum event_mode mode;
	bool allow; /* decision; written for open only */
	enum reason reason;
	uint64_t seq, lost;
	uint32_t worker, count; /* count: written when above 1 */
	int64_t timestamp_unix_ms;
	const char *session;
	const char *rule, *target, *method, *path, *route_id, *auth_mechanism, *injection_mode, *external_proxy, *sni;
	const char *comm, *exe, *cgroup, *text; /* text: what a note says */
	uint16_t port;
	int status;
	struct addr resolved_ip;
	struct endpoint orig_dst;
	int32_t pid;  /* 0 = unknown */
	int64_t uid;  /* -1 = unknown */
	uint64_t bytes_up, bytes_down; /* close only */
	int64_t duration_ms;
	enum event_end end;
};

#define EVENT_INIT { .uid = -1 }

/* Longest line that an event may become; string fields are cut so that it always fits. */
#define EVENT_LINE_MAX 4096

/* Appends the line with its '\n'. 0 or -errno of the buffer. */
_must_check_ int event_write(const struct event *e, struct buf *out);

const char *event_mode_word(enum event_mode m);
const char *event_end_word(enum event_end e);

#endif
