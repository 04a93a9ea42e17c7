/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line, one write(2) on an append-only descriptor: lines of several writers never mix, and what
 * was written is on its way to the disk even if this process is killed a moment later.
 */
#include "proxy/audit.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/log.h"

void audit_init(struct audit *a, int fd, const char *session, const char *cgroup,
		const uint8_t seed[16])
{
	memset(a, 0, sizeof(*a)); /* too much for a compound literal on the stack */
	a->fd = fd;
	a->session = session;
	a->cgroup = *cgroup ? cgroup : NULL;
	refusals_init(&a->refusals, seed);
	refusals_init(&a->inward, seed);
}

void audit_done(struct audit *a)
{
	refusals_done(&a->refusals);
	refusals_done(&a->inward);
}

static int64_t unix_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* All of the line or an error: half a line would make the next one unreadable, so it is ended by a
 * newline if need be. */
static int write_line(int fd, const uint8_t *p, size_t n)
{
	bool begun = false;

	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			int e = w < 0 ? -errno : -EIO;

			if (begun && write(fd, "\n", 1) < 0)
				return e;
			return e;
		}
		begun = true;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int audit_write(struct audit *a, struct event *e)
{
	_cleanup_buf_ struct buf line = BUF_INIT(EVENT_LINE_MAX);
	int r;

	if (a->fd < 0)
		return 0;
	e->seq = a->seq;
	e->lost = a->lost;
	e->session = a->session;
	e->cgroup = a->cgroup;
	e->timestamp_unix_ms = unix_ms();
	r = event_write(e, &line);
	if (r == 0)
		r = write_line(a->fd, buf_data(&line), buf_len(&line));
	if (r < 0) {
		a->lost++;
		if (!a->failing)
			log_error("the audit log cannot be written (%s): connections are refused "
				  "until it can",
				  strerror(-r));
		a->failing = true;
		return r;
	}
	if (a->failing)
		log_warn("the audit log can be written again; %llu records are missing",
			 (unsigned long long)a->lost);
	a->failing = false;
	a->lost = 0;
	a->seq++;
	return 0;
}

void audit_note(struct audit *a, struct event *e)
{
	if (audit_write(a, e) < 0)
		return; /* counted and said there */
}

static void tell(struct audit *a, struct refusal *r)
{
	if (a->note && r->unsent && a->note(a->note_arg, r, r->unsent) == 0)
		r->unsent = 0;
}

void audit_refusal(struct audit *a, struct event *e, nsec_t now)
{
	uint32_t count = e->count ? e->count : 1;
	struct refusal *r = refusals_count(&a->refusals, e->target ? e->target : "", e->port,
					   e->reason, count);

	/* Who has no token is not the sandbox, and shall not fill its list. */
	if (e->reason != REASON_TOKEN_MISSING && e->reason != REASON_TOKEN_INVALID)
		recent_add(&a->recent, e->target ? e->target : "", e->port, e->reason, unix_ms());
	if (!r) { /* the table is full: every one is written, none is hidden */
		audit_note(a, e);
		return;
	}
	if (r->count == count)
		r->mode = (uint8_t)e->mode;
	r->unsent += count;
	if (!refusal_due(r, now, &e->count))
		return;
	tell(a, r);
	audit_note(a, e);
}

void audit_refusal_inward(struct audit *a, struct event *e, nsec_t now)
{
	struct refusal *r = refusals_count(&a->inward, e->target, e->port, e->reason, 1);

	if (!r || refusal_due(r, now, &e->count))
		audit_note(a, e);
}

static void flush(struct audit *a, struct refusals *all, const char *text, nsec_t now)
{
	struct str key;
	void *value;
	size_t at = 0;

	while (map_next(&all->by_key, &at, &key, &value)) {
		struct refusal *r = value;
		struct event e = EVENT_INIT;

		tell(a, r);
		if (!r->unreported)
			continue;
		e.mode = r->mode;
		e.reason = r->reason;
		e.target = r->target[0] ? r->target : NULL;
		e.port = r->port;
		e.count = r->unreported;
		e.text = text;
		r->unreported = 0;
		r->reported_at = now;
		audit_note(a, &e);
	}
}

void audit_flush(struct audit *a, nsec_t now)
{
	flush(a, &a->refusals, "repeated", now);
	flush(a, &a->inward, AUDIT_INWARD ", repeated", now);
}
