/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each attached cgroup is in one of these states:
 *
 *	served   every program is in effect, and somebody serves
 *	closed   every program is in effect, and nobody serves: nothing gets out or through
 *	broken   a program is missing: `attach` mends it, `detach` ends it
 *	gone     the cgroup has been removed
 */
#include "supervisor/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "redirect/pins.h"
#include "redirect/unix.h"
#include "supervisor/attached.h"
#include "supervisor/files.h"
#include "supervisor/target.h"
#include "wire/json.h"

struct report {
	struct buf *out;
	struct json *json; /* NULL: text */
	int error;
	size_t count;
};

struct row {
	const char *id, *state;
	const struct attached_info *info;
	struct pins pins;
	bool alive;
};

static void name_json(void *arg, const char *name)
{
	json_str(arg, str_of(name));
}

static void row_json(struct json *j, const struct row *r)
{
	char listen[32];

	(void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", r->info->port);
	json_object_begin(j);
	json_kv_str(j, "cgroup_id", r->id);
	json_kv_str(j, "cgroup", r->info->path);
	json_kv_str(j, "state", r->state);
	json_key(j, "alive");
	json_bool(j, r->alive);
	if (r->alive) {
		json_kv_int(j, "pid", r->info->pid);
		json_kv_str(j, "listen", listen);
	}
	json_kv_str(j, "session", r->info->session);
	json_key(j, "allow_unix");
	if (r->pins.unix_sockets) {
		json_array_begin(j);
		redirect_unix_names(r->info->pins, name_json, j);
		json_array_end(j);
	} else {
		json_put_null(j);
	}
	json_kv_int(j, "programs", r->pins.wanted);
	json_kv_int(j, "programs_pinned", r->pins.pinned);
	json_kv_int(j, "programs_in_effect", r->pins.active);
	json_key(j, "gaps");
	json_array_begin(j);
	for (const char *p = r->info->gaps; *p;) {
		size_t n = strcspn(p, ",");

		json_str(j, (struct str){ p, n });
		p += n + (p[n] == ',' ? 1 : 0);
	}
	json_array_end(j);
	json_object_end(j);
}

static int row_text(struct buf *out, const struct row *r)
{
	return buf_printf(out, "%-7s %s  id %s, programs in effect %u of %u%s%s%s\n", r->state,
			  r->info->path, r->id, r->pins.active, r->pins.wanted,
			  r->pins.unix_sockets ? ", unix sockets refused" : "",
			  r->info->gaps[0] ? ", open: " : "", r->info->gaps);
}

static const char *state_of(const struct row *r, bool gone)
{
	if (gone)
		return "gone";
	if (r->pins.wanted == 0 || r->pins.active < r->pins.wanted)
		return "broken";
	return r->alive ? "served" : "closed";
}

static void look(void *arg, struct attached *a, bool alive)
{
	struct report *rep = arg;
	struct attached_info info = { 0 };
	struct row row = { .id = a->name + strlen(STATE_ATTACHED), .info = &info, .alive = alive };
	struct target t = TARGET_INIT;
	struct why ignored;
	bool there;

	if (attached_read(a, &info) < 0)
		(void)snprintf(info.path, sizeof(info.path), "?");
	there = target_of_path(info.path, &t, &ignored) == 0 && t.id == strtoull(row.id, NULL, 10);
	(void)!pins_read(info.pins, there ? t.fd : -EBADF, info.unix_sockets, &row.pins);
	row.state = state_of(&row, !there);
	if (rep->json)
		row_json(rep->json, &row);
	else if (rep->error == 0)
		rep->error = row_text(rep->out, &row);
	rep->count++;
	target_done(&t);
}

int supervisor_status(bool json, struct buf *out, struct why *why)
{
	struct report rep = { .out = out };
	struct json j;
	int r;

	if (geteuid() != 0)
		return why_set(why, -EPERM, "status needs root: the state directory is root's");
	if (json) {
		rep.json = &j;
		json_begin(&j, out);
		json_object_begin(&j);
		json_key(&j, "attached");
		json_array_begin(&j);
	}
	r = attached_each(STATE_ROOT, look, &rep, why);
	if (r < 0)
		return r;
	if (json) {
		json_array_end(&j);
		json_object_end(&j);
		rep.error = json_end(&j);
		if (rep.error == 0)
			rep.error = buf_append_u8(out, '\n');
	} else if (rep.count == 0) {
		rep.error = buf_printf(out, "nothing is attached\n");
	}
	return rep.error < 0 ? why_set(why, rep.error, "there is too much to tell") : 0;
}
