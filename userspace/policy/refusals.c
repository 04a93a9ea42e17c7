/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was refused, each target once. An entry's key is the target, the port and the reason, so
 * that the same host refused for two reasons tells both. The table is bounded; what finds it full
 * is only counted.
 */
#include "policy/refusals.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define REPORT_EVERY (60 * NSEC_PER_SEC)

/* Columns of the summary: wide enough for most, widened for longer ones, and not without end. */
#define TARGET_COLUMN_MIN 22
#define TARGET_COLUMN_MAX 48
#define TARGET_TEXT_MAX	  (REFUSAL_TARGET_MAX + sizeof("[]:65535"))
#define TIMES_TEXT_MAX	  sizeof("18446744073709551615 times")

void refusals_init(struct refusals *r, const uint8_t seed[16])
{
	*r = (struct refusals){ 0 };
	map_init(&r->by_key, REFUSALS_MAX, seed);
}

void refusals_done(struct refusals *r)
{
	map_done(&r->by_key, free);
	r->overflow = 0;
	r->next_order = 0;
}

static uint32_t add_saturating(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static struct refusal *add_entry(struct refusals *r, struct str key, struct str target,
				 uint16_t port, enum reason reason)
{
	_cleanup_free_ struct refusal *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	if (target.n)
		memcpy(e->target, target.p, target.n);
	e->port = port;
	e->reason = reason;
	e->reported_at = NSEC_NEVER;
	e->order = r->next_order;
	if (map_put(&r->by_key, key, e) < 0)
		return NULL;
	r->next_order++;
	return take_ptr(e);
}

struct refusal *refusals_count(struct refusals *r, const char *target, uint16_t port,
			       enum reason reason, uint32_t times)
{
	char key[4 + REFUSAL_TARGET_MAX] = { (char)(port >> 8), (char)port,
					     (char)((unsigned int)reason >> 8), (char)reason };
	struct str t = str_of(target), k;
	struct refusal *e;

	t.n = MIN(t.n, (size_t)REFUSAL_TARGET_MAX);
	if (t.n)
		memcpy(key + 4, t.p, t.n);
	k = (struct str){ key, 4 + t.n };
	e = map_get(&r->by_key, k);
	if (!e)
		e = add_entry(r, k, t, port, reason);
	if (!e) {
		r->overflow += times;
		return NULL;
	}
	e->count = add_saturating(e->count, times);
	e->unreported = add_saturating(e->unreported, times);
	return e;
}

bool refusal_due(struct refusal *e, nsec_t now, uint32_t *ret_count)
{
	bool again = e->reported_at != NSEC_NEVER;

	if (!e->unreported || (again && now - e->reported_at < REPORT_EVERY))
		return false;
	*ret_count = e->unreported;
	e->unreported = 0;
	e->reported_at = now;
	return true;
}

/* One line of the summary: an entry, and what was folded into it. */
struct line {
	const struct refusal *e;
	uint64_t count; /* 0: folded into another line */
	uint32_t order;
};

static int by_order(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return (x->order > y->order) - (x->order < y->order);
}

/* Adds each refusal without a port to the first line of the same target that has one. Returns how
 * many lines remain. */
static size_t fold(struct line *lines, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct line *dns = &lines[i];

		for (size_t k = 0; dns->e->port == 0 && k < n; k++) {
			struct line *into = &lines[k];

			if (into->e->port == 0 || strcmp(into->e->target, dns->e->target) != 0)
				continue;
			into->count += dns->count;
			into->order = MIN(into->order, dns->order);
			dns->count = 0;
			break;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (lines[i].count)
			lines[kept++] = lines[i];
	qsort(lines, kept, sizeof(*lines), by_order);
	return kept;
}

static int target_text(const struct refusal *e, char out[TARGET_TEXT_MAX])
{
	bool v6 = e->port && strchr(e->target, ':') && e->target[0] != '[';
	const char *name = e->target[0] ? e->target : "(no target)";
	int n = snprintf(out, TARGET_TEXT_MAX, v6 ? "[%s]" : "%s", name);

	for (char *p = out; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	if (e->port)
		n += snprintf(out + n, TARGET_TEXT_MAX - (size_t)n, ":%u", e->port);
	return n;
}

static int times_text(uint64_t count, char out[TIMES_TEXT_MAX])
{
	return count == 1 ? snprintf(out, TIMES_TEXT_MAX, "once")
			  : snprintf(out, TIMES_TEXT_MAX, "%llu times", (unsigned long long)count);
}

/* What can be done about it; where nothing can, why it was refused. */
static const char *remedy(const struct refusal *e, char *out, size_t n)
{
	switch (e->reason) {
	case REASON_METADATA_ADDRESS:
	case REASON_LINK_LOCAL_ADDRESS:
	case REASON_SPECIAL_ADDRESS:
	case REASON_LOOP_REFUSED:
		return "is always refused";
	default:
		break;
	}
	if (*reason_hint(e->reason, e->target, e->port, out, n))
		return out;
	return reason_sentence(e->reason, e->target, out, n);
}

struct columns {
	int target, times, reason;
};

static struct columns measure(const struct line *lines, size_t n)
{
	struct columns c = { TARGET_COLUMN_MIN, 0, 0 };
	char text[TARGET_TEXT_MAX], times[TIMES_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		int word = (int)strlen(reason_word(lines[i].e->reason));

		c.target = MAX(c.target, target_text(lines[i].e, text));
		c.times = MAX(c.times, times_text(lines[i].count, times));
		c.reason = MAX(c.reason, word);
	}
	c.target = MIN(c.target, TARGET_COLUMN_MAX);
	return c;
}

static int print_line(const struct line *l, struct columns c, struct buf *out)
{
	char text[TARGET_TEXT_MAX], times[TIMES_TEXT_MAX];
	char hint[REFUSAL_TARGET_MAX + 128];

	(void)target_text(l->e, text);
	(void)times_text(l->count, times);
	return buf_printf(out, "  %-*s  %-*s  %-*s   %s\n", c.target, text, c.times, times,
			  c.reason, reason_word(l->e->reason), remedy(l->e, hint, sizeof(hint)));
}

static int print_all(const struct refusals *r, const struct line *lines, size_t n, size_t max,
		     struct buf *out)
{
	size_t shown = MIN(n, max), more = n - shown;
	struct columns c = measure(lines, shown);
	int e = buf_append_str(out, STR_LIT("nono-proxy: refused in this run:\n"));

	for (size_t i = 0; i < shown && e == 0; i++)
		e = print_line(&lines[i], c, out);
	if (e == 0 && more)
		e = buf_printf(out, "  … and %zu more target%s\n", more, more == 1 ? "" : "s");
	if (e == 0 && r->overflow)
		e = buf_printf(out, "  … and %llu refusal%s of targets that were not kept\n",
			       (unsigned long long)r->overflow, r->overflow == 1 ? "" : "s");
	return e;
}

int refusals_summary(const struct refusals *r, size_t max, struct buf *out)
{
	size_t n = 0, at = 0, before = buf_len(out);
	_cleanup_free_ struct line *lines = NULL;
	struct str key;
	void *value;
	int e;

	if (!map_count(&r->by_key) && !r->overflow)
		return 0;
	lines = calloc(map_count(&r->by_key) + 1, sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	while (map_next(&r->by_key, &at, &key, &value)) {
		const struct refusal *entry = value;

		assert(n < map_count(&r->by_key));
		if (entry->count)
			lines[n++] = (struct line){ entry, entry->count, entry->order };
	}
	if (!n && !r->overflow)
		return 0;
	qsort(lines, n, sizeof(*lines), by_order);
	e = print_all(r, lines, fold(lines, n), max, out);
	if (e < 0)
		buf_truncate(out, before);
	return e;
}
