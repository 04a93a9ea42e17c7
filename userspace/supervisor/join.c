/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COMMAND gets a cgroup of its own below the attached one: the programs hold there as well, and when it has ended, what it left
 * behind can be ended without touching what else runs in the cgroup. Everything else is as in run.c, but there is no proxy of
 * ours.
 */
#include "supervisor/join.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "confine/confine.h"
#include "io/log.h"
#include "redirect/pins.h"
#include "supervisor/attached.h"
#include "supervisor/files.h"
#include "supervisor/inside.h"
#include "supervisor/rights.h"
#include "supervisor/sandbox.h"
#include "supervisor/target.h"
#include "supervisor/watch.h"

#define EXIT_NOT_RUN   125
#define READY_LIMIT_MS 10000
#define EMPTY_LIMIT_MS 5000

/* The kernel must say that it holds: an entry is only what somebody wrote down. */
static int check_attached(const struct target *t, struct attached_info *ret, struct why *why)
{
	struct pins pins = { 0 };
	bool alive;
	int r = attached_find(STATE_ROOT, t->id, ret, &alive, why);

	if (r < 0)
		return r;
	if (pins_read(ret->pins, t->fd, ret->unix_sockets, &pins) < 0 || pins.active < pins.wanted)
		return why_set(why, -ESTALE,
			       "%s is not held closed: %u of %u programs are in effect; attach it "
			       "anew",
			       t->path, pins.active, pins.wanted);
	if (!alive)
		log_warn("nobody serves %s: it has no network until it is attached anew", t->path);
	return 0;
}

/* Inside what was checked, by its descriptor: its path may lead to another one by now. */
static int make_below(struct sandbox *sb, const struct target *t, const struct attached_info *info)
{
	struct pins pins = { 0 };
	uint8_t random[8];
	char name[32];
	int r;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return why_set(&sb->why, -EIO, "no random numbers");
	(void)snprintf(name, sizeof(name), "nono-exec-%02x%02x%02x%02x", random[0], random[1],
		       random[2], random[3]);
	r = cgroup_make_at(t->fd, t->path, name, &sb->cgroup, &sb->why);
	if (r < 0)
		return r;
	if (pins_read_below(info->pins, t->fd, sb->cgroup.fd, info->unix_sockets, &pins) < 0 ||
	    pins.active < pins.wanted)
		return why_set(&sb->why, -ESTALE, "%s is not held closed any more", t->path);
	return 0;
}

static int prepare(struct sandbox *sb, const char *cgroup, struct target *t,
		   struct attached_info *ret)
{
	int r = rights_check("exec", &sb->why);

	if (r == 0)
		r = user_choose(sb->opt->user, sb->opt->envp, &sb->user, &sb->why);
	if (r == 0)
		r = target_of_path(cgroup, t, &sb->why);
	if (r == 0)
		r = check_attached(t, ret, &sb->why);
	if (r == 0)
		r = target_list(t, &sb->why);
	if (r == 0)
		r = target_netns(t, &sb->netns.fd, &sb->why);
	if (r < 0)
		return r;
	terminal_open(&sb->terminal);
	r = signals_take(&sb->signals);
	return r < 0 ? why_set(&sb->why, r, "cannot take over signals: %s", strerror(-r)) : 0;
}

static int give_up_rights(struct sandbox *sb)
{
	uint64_t keep = (uint64_t)1 << CAP_KILL | (uint64_t)1 << CAP_DAC_OVERRIDE;
	int r = confine_capabilities(keep);

	return r < 0 ? why_set(&sb->why, r, "cannot give up capabilities: %s", strerror(-r)) : 0;
}

static int start_command(struct sandbox *sb)
{
	int r = inside_start(sb);

	if (r == 0)
		r = role_await_ready(&sb->init, &sb->signals, READY_LIMIT_MS, &sb->ended_by,
				     &sb->why);
	if (r == 0)
		r = give_up_rights(sb);
	if (r < 0)
		return r;
	r = channel_send(sb->init.channel, MSG_GO, STR_LIT(""), NULL, 0);
	return r < 0 ? why_set(&sb->why, r, "cannot start COMMAND: %s", strerror(-r)) : 0;
}

static int live(struct sandbox *sb, const char *cgroup, struct target *t)
{
	static struct attached_info info; /* too much for a stack frame */
	struct run_options opt = *sb->opt;
	int r = prepare(sb, cgroup, t, &info), status;

	opt.host_network = sb->netns.fd < 0;
	opt.proxy.token = info.token;
	sb->netns.serve.explicit4 = (uint16_t)info.port;
	sb->opt = &opt;
	if (r == 0)
		r = make_below(sb, t, &info);
	if (r == 0)
		r = start_command(sb);
	if (r < 0) {
		log_error("%s", sb->why.text);
		return sb->ended_by ? 128 + sb->ended_by : EXIT_NOT_RUN;
	}
	status = watch_command(sb);
	sandbox_kill(sb);
	return status;
}

static void undo(struct sandbox *sb)
{
	int r = 0;

	sandbox_kill(sb);
	role_kill(&sb->init);
	netns_done(&sb->netns);
	if (sb->cgroup.fd >= 0)
		r = cgroup_wait_empty(&sb->cgroup, EMPTY_LIMIT_MS);
	if (r == 0 && sb->cgroup.fd >= 0)
		r = cgroup_remove_one(sb->cgroup.path);
	if (r < 0)
		log_warn("cannot remove %s: %s", sb->cgroup.path, strerror(-r));
	cgroup_close(&sb->cgroup);
	terminal_done(&sb->terminal);
}

int supervisor_join(const char *cgroup, const struct run_options *opt)
{
	static struct sandbox sb; /* too much for a stack frame, and there is only one */
	struct target t = TARGET_INIT;
	int status;

	if (sandbox_init(&sb, opt) < 0) {
		log_error("%s", sb.why.text);
		return EXIT_NOT_RUN;
	}
	status = live(&sb, cgroup, &t);
	undo(&sb);
	target_done(&t);
	sandbox_done(&sb);
	return status;
}
