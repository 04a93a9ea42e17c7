/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last refusals. The list is short and lies in one piece: it is searched from its start and
 * closed up by moving, which costs less than the connection that was refused.
 */
#include "policy/recent.h"

#include <string.h>

#include "wire/json.h"

/* A hint repeats the target, between words of its own. */
#define HINT_TEXT_MAX (RECENT_TARGET_MAX + 128)

static bool is_same(const struct recent_refusal *a, struct str target, uint16_t port,
		    enum reason reason)
{
	return a->port == port && a->reason == reason && str_eq(str_of(a->target), target);
}

void recent_add(struct recent *r, const char *target, uint16_t port, enum reason reason,
		int64_t timestamp_unix_ms)
{
	struct recent_refusal item = { timestamp_unix_ms, reason, port, "" };
	struct str t = { target, target ? strnlen(target, RECENT_TARGET_MAX) : 0 };
	size_t at = 0, last;

	while (at < r->n && !is_same(&r->items[at], t, port, reason))
		at++;
	if (at == RECENT_MAX) /* it is new, and the list is full: the oldest one goes */
		at = 0;
	else if (at == r->n)
		r->n++;
	last = r->n - 1;
	/* Copied before anything moves: the target may be the text of an entry. */
	if (t.n)
		memcpy(item.target, t.p, t.n);
	memmove(&r->items[at], &r->items[at + 1], (last - at) * sizeof(item));
	r->items[last] = item;
}

static void write_item(struct json *j, const struct recent_refusal *item)
{
	char hint[HINT_TEXT_MAX];

	json_object_begin(j);
	json_kv_int(j, "timestamp_unix_ms", item->timestamp_unix_ms);
	json_kv_str(j, "target", item->target);
	json_key(j, "port");
	if (item->port)
		json_int(j, item->port);
	else
		json_put_null(j);
	json_kv_str(j, "reason", reason_word(item->reason));
	json_key(j, "hint");
	if (*reason_hint(item->reason, item->target, item->port, hint, sizeof(hint)))
		json_str(j, str_of(hint));
	else
		json_put_null(j);
	json_object_end(j);
}

int recent_write(const struct recent *r, struct buf *out)
{
	size_t before = buf_len(out);
	struct json j;
	int e;

	json_begin(&j, out);
	json_array_begin(&j);
	for (size_t i = 0; i < r->n; i++)
		write_item(&j, &r->items[i]);
	json_array_end(&j);
	e = json_end(&j);
	if (e < 0)
		buf_truncate(out, before);
	return e;
}
