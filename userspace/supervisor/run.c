/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one sandbox. Read supervisor_run() first: it is the order of things, and each step is
 * a function.
 *
 * Nothing of COMMAND exists before everything stands: the programs are attached to an empty cgroup,
 * checked and tried out, the proxy serves, the view is built. A step that fails says why,
 * everything before it is taken back, and the exit status is 125.
 */
#include "supervisor/run.h"

#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "confine/confine.h"
#include "io/log.h"
#include "supervisor/audit_file.h"
#include "supervisor/files.h"
#include "supervisor/inside.h"
#include "supervisor/rights.h"
#include "supervisor/sandbox.h"
#include "supervisor/selftest.h"
#include "supervisor/summary.h"
#include "supervisor/watch.h"

#define EXIT_NOT_RUN   125
#define READY_LIMIT_MS 10000

/* ---- before anything is made ---- */

static int prepare(struct sandbox *sb)
{
	int r = rights_check("run", &sb->why);

	if (r == 0 && confine_memory() < 0)
		r = why_set(&sb->why, -errno, "cannot keep others from our memory: %s",
			    strerror(errno));
	if (r == 0)
		r = user_choose(sb->opt->user, sb->opt->envp, &sb->user, &sb->why);
	if (r < 0)
		return r;
	sb->audit = audit_file_open(sb->opt->audit_log, &sb->why);
	if (sb->audit < 0)
		return sb->audit;
	terminal_open(&sb->terminal);
	r = signals_take(&sb->signals);
	return r < 0 ? why_set(&sb->why, r, "cannot take over signals: %s", strerror(-r)) : 0;
}

/* ---- the places that outlive us if we are killed: noted before they are made ---- */

static int note_places(struct sandbox *sb)
{
	char mount[MOUNT_PATH_MAX], pins[PIN_PATH_MAX];
	int r = cgroup_find_mount(mount, &sb->why);

	if (r == 0)
		r = bpffs_open(sb->state.root, sb->state.root_path, pins, &sb->why);
	if (r == 0)
		r = state_choose_uid(&sb->state, &sb->info.uid, &sb->why);
	if (r < 0)
		return r;
	(void)snprintf(sb->info.pins, sizeof(sb->info.pins), "%s/%s", pins, sb->state.id);
	if (!cgroup_path(mount, sb->state.id, sb->info.cgroup))
		return why_set(&sb->why, -ENAMETOOLONG, "the path of the cgroup mount is too long");
	return state_record(&sb->state, &sb->info, &sb->why);
}

static int make_places(struct sandbox *sb)
{
	int r = state_begin(STATE_ROOT, &sb->state, &sb->why);

	if (r < 0)
		return r;
	r = note_places(sb);
	state_settle(&sb->state);
	return r < 0 ? r : cgroup_make(sb->info.cgroup, &sb->cgroup, &sb->why);
}

/* ---- the kernel side ---- */

static int load_programs(struct sandbox *sb)
{
	uint32_t instance = 0;

	while (instance == 0)
		if (getrandom(&instance, sizeof(instance), 0) != (ssize_t)sizeof(instance))
			return why_set(&sb->why, -EIO, "no random numbers");
	return redirect_load(instance, &sb->redirect, sb->why.text, sizeof(sb->why.text));
}

static int mark_listeners(struct sandbox *sb)
{
	const struct {
		int fd;
		enum redirect_mark mark;
	} all[] = {
		{ sb->netns.tcp4, REDIRECT_TCP },	    { sb->netns.tcp6, REDIRECT_TCP },
		{ sb->netns.dns4, REDIRECT_DNS },	    { sb->netns.dns6, REDIRECT_DNS },
		{ sb->netns.explicit4, REDIRECT_EXPLICIT },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(all); i++)
		if (all[i].fd >= 0)
			r = redirect_mark(sb->redirect, all[i].fd, all[i].mark);
	if (r == 0)
		r = redirect_serve_netns(sb->redirect, &sb->netns.serve);
	return r < 0 ? why_set(&sb->why, r, "cannot mark the proxy's sockets: %s", strerror(-r))
		     : 0;
}

static int attach_programs(struct sandbox *sb)
{
	int r;

	sb->pinned = true; /* or tried: what is left of a failure goes too */
	r = redirect_attach(sb->redirect, sb->cgroup.fd, sb->info.pins, sb->why.text,
			    sizeof(sb->why.text));
	if (r < 0)
		return r;
	return redirect_verify(sb->redirect, sb->cgroup.fd, sb->why.text, sizeof(sb->why.text));
}

/* The kernel may have chosen a port for the proxy that the sandbox is to have. */
static int open_listeners(struct sandbox *sb)
{
	for (;;) {
		int r = sb->opt->host_network
				? netns_use_host(sb->opt->port, &sb->netns, &sb->why)
				: netns_make_private(sb->opt->port, &sb->netns, &sb->why);

		if (r < 0 || !publish_clashes(&sb->opt->proxy, &sb->netns.serve))
			return r;
		netns_done(&sb->netns);
	}
}

static int make_network(struct sandbox *sb)
{
	int r = load_programs(sb);

	if (r == 0)
		r = open_listeners(sb);
	if (r == 0)
		r = mark_listeners(sb);
	if (r == 0)
		r = publish_begin(&sb->opt->proxy, &sb->netns, sb->redirect, &sb->publish,
				  &sb->why);
	return r < 0 ? r : attach_programs(sb);
}

static int test_network(struct sandbox *sb)
{
	const struct selftest t = { .cgroup = sb->cgroup.fd,
				    .netns = &sb->netns,
				    .tuples = redirect_tuple_fd(sb->redirect),
				    .events = redirect_events_fd(sb->redirect) };

	return selftest_run(&t, &sb->why);
}

/* ---- the roles ---- */

static int await(struct sandbox *sb, const struct role *r)
{
	return role_await_ready(r, &sb->signals, READY_LIMIT_MS, &sb->ended_by, &sb->why);
}

static int start_proxy(struct sandbox *sb)
{
	const struct role_options o = { .name = "@proxy",
					.cgroup = -EBADF,
					.netns = -EBADF,
					.detached = true,
					.signals = &sb->signals,
					.envp = sb->opt->envp };
	struct proxy_setup setup = sb->opt->proxy;
	int r = role_start(&o, &sb->proxy, &sb->why);

	if (r < 0)
		return r;
	setup.session = sb->state.id;
	/* Below the mount: the part that is the same in everybody's view. */
	setup.cgroup = strstr(sb->cgroup.path, "/" CGROUP_PARENT "/");
	setup.netns_cookie = sb->netns.serve.cookie;
	setup.uid = setup.gid = sb->info.uid;
	setup.fds[PROXY_FD_TCP4] = sb->netns.tcp4;
	setup.fds[PROXY_FD_TCP6] = sb->netns.tcp6;
	setup.fds[PROXY_FD_DNS4] = sb->netns.dns4;
	setup.fds[PROXY_FD_DNS6] = sb->netns.dns6;
	setup.fds[PROXY_FD_EXPLICIT] = sb->netns.explicit4;
	setup.fds[PROXY_FD_ORIG_TUPLE] = redirect_tuple_fd(sb->redirect);
	setup.fds[PROXY_FD_EVENTS] = redirect_events_fd(sb->redirect);
	setup.fds[PROXY_FD_AUDIT] = sb->audit;
	publish_tell(&sb->publish, &setup);
	r = proxy_setup_send(sb->proxy.channel, &setup);
	if (r < 0)
		return why_set(&sb->why, r, "cannot tell the proxy what to do: %s", strerror(-r));
	return await(sb, &sb->proxy);
}

/* The listeners must die with the proxy: as long as we held them too, connections would wait in a
 * queue that nobody serves. */
static void hand_over(struct sandbox *sb)
{
	struct redirect_netns served = sb->netns.serve;

	netns_done(&sb->netns);
	sb->netns.serve = served;
	publish_hand_over(&sb->publish);
	fd_close(&sb->audit);
}

/* From here on we wait, signal and clear away, and make sockets inside if something is published. */
static int give_up_rights(struct sandbox *sb)
{
	uint64_t keep = (uint64_t)1 << CAP_KILL | (uint64_t)1 << CAP_DAC_OVERRIDE |
			(uint64_t)1 << CAP_SYS_ADMIN; /* to unmount, and to enter a network */
	int r = confine_capabilities(keep);

	return r < 0 ? why_set(&sb->why, r, "cannot give up capabilities: %s", strerror(-r)) : 0;
}

static int start_command(struct sandbox *sb)
{
	int r = inside_start(sb);

	if (r == 0)
		r = await(sb, &sb->init);
	if (r < 0)
		return r;
	hand_over(sb);
	r = give_up_rights(sb);
	if (r < 0)
		return r;
	if (sb->user.uid == 0 && !sb->opt->quiet)
		log_warn("COMMAND runs as root: it can still write the host's files");
	for (const char *const *p = sb->opt->allow_unix; p && *p && !sb->opt->quiet; p++)
		log_warn("--allow-unix %s: whatever listens there acts for COMMAND with its own "
			 "rights",
			 *p);
	r = channel_send(sb->init.channel, MSG_GO, STR_LIT(""), NULL, 0);
	return r < 0 ? why_set(&sb->why, r, "cannot start COMMAND: %s", strerror(-r)) : 0;
}

/* ---- all of it ---- */

static int live(struct sandbox *sb)
{
	int r = prepare(sb), status;

	if (r == 0)
		r = make_places(sb);
	if (r == 0)
		r = make_network(sb);
	if (r == 0)
		r = test_network(sb);
	if (r == 0)
		r = start_proxy(sb);
	if (r == 0)
		r = start_command(sb);
	if (r < 0) {
		log_error("%s", sb->why.text);
		return sb->ended_by ? 128 + sb->ended_by : EXIT_NOT_RUN;
	}
	status = watch_command(sb);
	sandbox_kill(sb);
	watch_end_proxy(sb);
	return status;
}

int supervisor_run(const struct run_options *opt)
{
	static struct sandbox sb; /* too much for a stack frame, and there is only one */
	int status;

	if (sandbox_init(&sb, opt) < 0) {
		log_error("%s", sb.why.text);
		return EXIT_NOT_RUN;
	}
	status = live(&sb);
	sandbox_undo(&sb);
	if (!opt->quiet)
		summary_print(&sb.refusals);
	sandbox_done(&sb);
	return status;
}
