/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One audit event as one line of JSON that is never longer than EVENT_LINE_MAX.
 *
 * Text comes from strangers and may take six bytes for one when it is escaped. So what is shared
 * out is room in the line: first every text gets what it needs up to a floor of its own, then what
 * is left goes to those that need more, in the order of the line. No text can push another one
 * below its floor: a long path does not hide who asked. A text that was cut ends in an ellipsis.
 */
#include "policy/event.h"

#include <string.h>

#include "wire/json.h"

/* Brackets, keys, quotes, commas, words and numbers at their longest; measured by the test of the
 * longest line. */
#define LINE_FIXED 832
#define LINE_TEXT  (EVENT_LINE_MAX - LINE_FIXED)

/* T(field, floor): in the order of the line. A name has at most 253 characters, a rule may add "*."
 * and a port. */
#define TEXT_FIELDS(T)         \
	T(session, 64)         \
	T(rule, 272)           \
	T(target, 272)         \
	T(method, 32)          \
	T(path, 384)           \
	T(route_id, 64)        \
	T(auth_mechanism, 32)  \
	T(injection_mode, 32)  \
	T(external_proxy, 272) \
	T(sni, 272)            \
	T(comm, 96)            \
	T(exe, 256)            \
	T(cgroup, 256)         \
	T(text, 256)

#define T(field, floor) TEXT_##field,
enum text_field { TEXT_FIELDS(T) TEXT_COUNT };
#undef T

#define T(field, floor) +(floor)
_Static_assert(TEXT_FIELDS(T) <= LINE_TEXT, "the floors do not fit into a line");
#undef T

static const char ellipsis[] = "\xe2\x80\xa6";
#define ELLIPSIS (sizeof(ellipsis) - 1)

struct text {
	struct str s;
	size_t room; /* in the line, quotes not counted */
};

struct writer {
	struct json j;
	struct text texts[TEXT_COUNT];
};

/* Shares the room of the line out to the texts of the event. */
static void share_out(const struct event *e, struct text t[TEXT_COUNT])
{
#define T(field, floor) [TEXT_##field] = (floor),
	static const size_t floors[TEXT_COUNT] = { TEXT_FIELDS(T) };
#undef T
#define T(field, floor) t[TEXT_##field].s = str_of(e->field);
	TEXT_FIELDS(T)
#undef T
	size_t need[TEXT_COUNT], left = LINE_TEXT;

	for (size_t i = 0; i < TEXT_COUNT; i++) {
		if (json_fit(t[i].s, LINE_TEXT, &need[i]) < t[i].s.n)
			need[i] = LINE_TEXT;
		t[i].room = MIN(need[i], floors[i]);
		left -= t[i].room;
	}
	for (size_t i = 0; i < TEXT_COUNT; i++) {
		size_t more = MIN(need[i] - t[i].room, left);

		t[i].room += more;
		left -= more;
	}
}

static void put_text(struct writer *w, const char *key, enum text_field field)
{
	const struct text *t = &w->texts[field];
	char cut[LINE_TEXT];
	size_t size, n;

	if (!t->s.p)
		return;
	json_key(&w->j, key);
	if (json_fit(t->s, t->room, &size) == t->s.n) {
		json_str(&w->j, t->s);
		return;
	}
	n = json_fit(t->s, t->room - ELLIPSIS, &size); /* no character is longer than its text */
	memcpy(cut, t->s.p, n);
	memcpy(cut + n, ellipsis, ELLIPSIS);
	json_str(&w->j, (struct str){ cut, n + ELLIPSIS });
}

#define PUT_TEXT(w, field) put_text(w, #field, TEXT_##field)

/* JSON numbers that readers keep exact as integers end here. */
static void put_u64(struct writer *w, const char *key, uint64_t v)
{
	json_kv_int(&w->j, key, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

static const char *kind_word(enum event_kind k)
{
	switch (k) {
	case EVENT_OPEN:
		return "open";
	case EVENT_CLOSE:
		return "close";
	case EVENT_NOTE:
		return "note";
	}
	return NULL;
}

const char *event_mode_word(enum event_mode m)
{
	switch (m) {
	case MODE_NONE:
		break;
	case MODE_CONNECT:
		return "connect";
	case MODE_REVERSE:
		return "reverse";
	case MODE_EXTERNAL:
		return "external";
	case MODE_FORWARD:
		return "forward";
	case MODE_TRANSPARENT:
		return "transparent";
	case MODE_DNS:
		return "dns";
	}
	return "";
}

const char *event_end_word(enum event_end e)
{
	switch (e) {
	case END_NONE:
		break;
	case END_EOF:
		return "eof";
	case END_RESET:
		return "reset";
	case END_TIMEOUT:
		return "timeout";
	case END_LIMIT:
		return "limit";
	case END_SHUTDOWN:
		return "shutdown";
	}
	return "";
}

static void put_head(struct writer *w, const struct event *e)
{
	struct json *j = &w->j;

	json_kv_int(j, "v", 1);
	put_u64(w, "seq", e->seq);
	json_kv_int(j, "worker", e->worker);
	PUT_TEXT(w, session);
	json_kv_int(j, "timestamp_unix_ms", e->timestamp_unix_ms);
	json_kv_str(j, "event", kind_word(e->kind));
	if (e->mode != MODE_NONE)
		json_kv_str(j, "mode", event_mode_word(e->mode));
	if (e->kind == EVENT_OPEN)
		json_kv_str(j, "decision", e->allow ? "allow" : "deny");
	if (e->reason != REASON_NONE) {
		json_kv_str(j, "denial_category", reason_category(e->reason));
		json_kv_str(j, "reason", reason_word(e->reason));
	}
}

static void put_request(struct writer *w, const struct event *e)
{
	PUT_TEXT(w, rule);
	PUT_TEXT(w, target);
	if (e->port)
		json_kv_int(&w->j, "port", e->port);
	PUT_TEXT(w, method);
	PUT_TEXT(w, path);
	if (e->status)
		json_kv_int(&w->j, "status", e->status);
	PUT_TEXT(w, route_id);
	PUT_TEXT(w, auth_mechanism);
	PUT_TEXT(w, injection_mode);
}

static void put_ends(struct writer *w, const struct event *e)
{
	char ip[ADDR_TEXT_MAX], dst[ENDPOINT_TEXT_MAX];

	if (e->resolved_ip.family)
		json_kv_str(&w->j, "resolved_ip", addr_text(&e->resolved_ip, ip));
	PUT_TEXT(w, external_proxy);
	if (e->orig_dst.addr.family)
		json_kv_str(&w->j, "orig_dst", endpoint_text(&e->orig_dst, dst));
	PUT_TEXT(w, sni);
}

static void put_process(struct writer *w, const struct event *e)
{
	if (e->pid)
		json_kv_int(&w->j, "pid", e->pid);
	PUT_TEXT(w, comm);
	PUT_TEXT(w, exe);
	if (e->uid >= 0)
		json_kv_int(&w->j, "uid", e->uid);
	PUT_TEXT(w, cgroup);
}

static void put_close(struct writer *w, const struct event *e)
{
	put_u64(w, "bytes_up", e->bytes_up);
	put_u64(w, "bytes_down", e->bytes_down);
	json_kv_int(&w->j, "duration_ms", e->duration_ms);
	if (e->end != END_NONE)
		json_kv_str(&w->j, "end", event_end_word(e->end));
}

int event_write(const struct event *e, struct buf *out)
{
	size_t before = buf_len(out);
	struct writer w;
	int r;

	share_out(e, w.texts);
	json_begin(&w.j, out);
	json_object_begin(&w.j);
	put_head(&w, e);
	put_request(&w, e);
	put_ends(&w, e);
	put_process(&w, e);
	if (e->count > 1)
		json_kv_int(&w.j, "count", e->count);
	if (e->lost)
		put_u64(&w, "lost", e->lost);
	PUT_TEXT(&w, text);
	if (e->kind == EVENT_CLOSE)
		put_close(&w, e);
	json_object_end(&w.j);

	r = json_end(&w.j);
	if (r == 0)
		r = buf_append_u8(out, '\n');
	if (r < 0)
		buf_truncate(out, before);
	return r;
}
