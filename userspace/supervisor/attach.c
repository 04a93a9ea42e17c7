/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing a cgroup that exists, without a moment in which it is half closed. Read live() first: it is the order of things.
 *
 * Its processes are stopped (cgroup.freeze) before anything is looked at, and go on when everything stands: what we found out
 * about them still holds then, and nothing of them runs between two of our steps.
 *
 * A process of ours inside a frozen cgroup would stand still, too, so the self-test cannot run there. It runs in a cgroup of
 * its own, to which the very same programs are attached for that while, in the target's network namespace, before the target
 * is touched. That the programs are then in effect on the target, and on every cgroup below it, the kernel says itself.
 *
 * A failure before the programs are attached leaves everything as it was. From then on, and when an earlier attach had closed
 * it already, the cgroup stays closed, whatever fails and whoever is killed, until the next attach or `detach`.
 */
#include "supervisor/attach.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "confine/confine.h"
#include "io/log.h"
#include "redirect/pins.h"
#include "supervisor/attach_unix.h"
#include "supervisor/attachment.h"
#include "supervisor/audit_file.h"
#include "supervisor/container.h"
#include "supervisor/environment.h"
#include "supervisor/files.h"
#include "supervisor/keep.h"
#include "supervisor/notify.h"
#include "supervisor/rights.h"
#include "supervisor/selftest.h"
#include "wire/json.h"

#define READY_LIMIT_MS	10000
#define FREEZE_LIMIT_MS 5000

/* ---- before anything is touched ---- */

static int prepare(struct attachment *a)
{
	int r = rights_check("attach", &a->why);

	if (r < 0)
		return r;
	a->audit = audit_file_open(a->opt->audit_log, &a->why);
	if (a->audit < 0)
		return a->audit;
	r = signals_take(&a->signals);
	return r < 0 ? why_set(&a->why, r, "cannot take over signals: %s", strerror(-r)) : 0;
}

static int find_target(struct attachment *a)
{
	pid_t pid = a->opt->pid;
	int r = 0;

	if (a->opt->container)
		r = container_pid(a->opt->container, &a->signals, &pid, &a->why);
	if (r < 0)
		return r;
	if (pid)
		r = target_of_pid(pid, &a->target, &a->why);
	else
		r = target_of_path(a->opt->cgroup, &a->target, &a->why);
	return r < 0 ? r : target_check(&a->target, &a->why);
}

/* ---- the entry in the state directory ---- */

static int choose_session(struct attachment *a)
{
	uint8_t random[STATE_ID_N / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return why_set(&a->why, -EIO, "no random numbers");
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(a->info.session + 2 * i, 3, "%02x", random[i]);
	return 0;
}

/* In a mount namespace of our own a file system that we mount goes when we do, and the pins with it. */
static int check_pins_last(struct attachment *a)
{
	struct stat ours, first;

	/* The kernel's own threads (the second process) are in the first namespace, too. */
	if (bpffs_is_mounted() || stat("/proc/self/ns/mnt", &ours) < 0 ||
	    (stat("/proc/1/ns/mnt", &first) < 0 && stat("/proc/2/ns/mnt", &first) < 0) ||
	    ours.st_ino == first.st_ino)
		return 0;
	return why_set(&a->why, -ENOENT,
		       "no BPF file system is mounted, and what we mount here would not outlive us "
		       "(a private mount "
		       "namespace): mount it on the host with \"mount -t bpf bpf /sys/fs/bpf\"");
}

/* Is every program of ours pinned, and in effect on the cgroup? The kernel's word, not that of what somebody noted. */
static bool is_closed(const struct attachment *a)
{
	struct pins p = { 0 };

	return pins_read(a->info.pins, a->target.fd, a->info.unix_sockets, &p) == 0 && p.wanted &&
	       p.active >= p.wanted;
}

/* What there will be is noted before it is made. What programs were told before holds on: port and token. */
static int fill_entry(struct attachment *a)
{
	struct attached_info before;
	const struct state view = { .root = a->entry.root };
	char pins[PIN_PATH_MAX];
	int r = check_pins_last(a);

	if (r == 0)
		r = bpffs_open(a->entry.root, a->entry.root_path, pins, &a->why);
	if (r == 0)
		r = state_choose_uid(&view, &a->info.uid, &a->why);
	if (r == 0)
		r = choose_session(a);
	if (r < 0)
		return r;
	(void)snprintf(a->info.pins, sizeof(a->info.pins), "%s/%s", pins, a->entry.name);
	(void)snprintf(a->info.path, sizeof(a->info.path), "%s", a->target.path);
	(void)snprintf(a->info.token, sizeof(a->info.token), "%s", a->opt->proxy.token);
	if (attached_read(&a->entry, &before) == 0) {
		a->info.port = before.port;
		a->info.unix_sockets = before.unix_sockets;
		if (!a->opt->token_given)
			memcpy(a->info.token, before.token, sizeof(before.token));
	}
	a->info.pid = getpid();
	a->info.start = process_start(getpid());
	a->adopted = is_closed(a);
	a->pinned = a->adopted;
	a->partly = !a->adopted && access(a->info.pins, F_OK) == 0;
	a->bindings = attached_open_bindings(&a->entry);
	if (a->bindings < 0)
		return why_set(&a->why, a->bindings, "cannot open %s/%s/bindings: %s",
			       a->entry.root_path, a->entry.name, strerror(-a->bindings));
	return attached_record(&a->entry, &a->info, &a->why);
}

static int take_entry(struct attachment *a)
{
	int r = attached_begin(STATE_ROOT, a->target.id, &a->entry, &a->why);

	if (r < 0)
		return r;
	r = fill_entry(a);
	attached_settle(&a->entry);
	return r;
}

/* Of the cgroup's number, so that whoever takes it over has the same. */
static uint32_t instance_of(const struct attachment *a)
{
	uint32_t instance = (uint32_t)a->target.id;

	return instance ? instance : 1;
}

static int load_programs(struct attachment *a)
{
	char *text = a->why.text;
	size_t n = sizeof(a->why.text);

	return a->adopted
		       ? redirect_load_pinned(instance_of(a), a->info.pins, &a->redirect, text, n)
		       : redirect_load(instance_of(a), &a->redirect, text, n);
}

/* ---- its processes ---- */

static int stop_processes(struct attachment *a)
{
	bool before = attached_was_frozen(&a->entry);
	int r;

	attached_note_frozen(&a->entry, true);
	r = target_freeze(&a->target, FREEZE_LIMIT_MS, &a->why);
	if (r < 0)
		return r;
	/* By one of us that was killed before it could let them go on. */
	if (before)
		a->target.frozen = true;
	if (!a->target.frozen)
		attached_note_frozen(&a->entry, false);
	return target_list(&a->target, &a->why);
}

static void let_go_on(struct attachment *a)
{
	if (!a->target.frozen)
		return;
	target_thaw(&a->target);
	attached_note_frozen(&a->entry, false);
}

/* Every one that is open must have been named. Says each. */
static int judge_gaps(struct attachment *a)
{
	uint32_t accepted = 0, refused;

	for (size_t i = 0; i < a->opt->gap_count; i++)
		accepted |= 1U << gap_of_name(a->opt->gaps[i]);
	refused = a->gaps.open & ~accepted;
	for (enum gap g = 0; g < GAP_COUNT; g++) {
		if (refused & 1U << g)
			log_error("open: %s: %s. To close it: %s", gap_name(g), a->gaps.found[g],
				  gap_remedy(g));
		else if (a->gaps.open & 1U << g)
			log_warn("open, and accepted: %s: %s", gap_name(g), a->gaps.found[g]);
	}
	gaps_text(a->gaps.open & accepted, a->info.gaps, sizeof(a->info.gaps));
	if (!refused)
		return 0;
	return why_set(&a->why, -EPERM,
		       "%s has ways out that the programs in the kernel cannot close: close them, "
		       "or accept each with "
		       "--allow-gap NAME",
		       a->target.path);
}

/* The programs stand on it for the moment of the look; what they would refuse stands still. */
static int find_sockets(struct attachment *a)
{
	int r = a->adopted
			? 0
			: redirect_try(a->redirect, a->target.fd, a->why.text, sizeof(a->why.text));

	if (r == 0)
		r = held_find(&a->target, a->ns, a->redirect, &a->held, &a->why);
	redirect_try_end(a->redirect);
	return r;
}

/* What the sockets of outside programs are found by is their names; one that is connected needs none. */
static void judge_sockets(struct attachment *a)
{
	const struct held_socket *s = held_hiding(&a->held);

	if (s)
		gap_add(&a->gaps, GAP_ALIEN,
			"process %d keeps descriptors where nobody can look at them: on their way "
			"in descriptor %d",
			(int)s->pid, s->fd);
	s = held_leading_out(&a->held, a->ns);
	if (s)
		gap_add(&a->gaps, GAP_UNIX_SOCKETS,
			"descriptor %d of process %d is connected to a program outside (of a "
			"service, 0 to 2 may be the journal: give it files, or pipes)",
			s->fd, (int)s->pid);
}

/*
 * Who froze it before us may let it go on while we are at it. One that is killed stirs once more, and is waited for.
 */
static int check_stopped(struct attachment *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT(2 * 4097);

	if (file_read(a->target.fd, "cgroup.freeze", &b) == 0 && buf_len(&b) &&
	    buf_data(&b)[0] == '1')
		return target_freeze(&a->target, FREEZE_LIMIT_MS, &a->why);
	return why_set(&a->why, -EBUSY,
		       "somebody else let the processes of %s go on while they had to stand still: "
		       "attach again",
		       a->target.path);
}

static int look_around(struct attachment *a)
{
	int r = target_netns(&a->target, &a->ns, &a->why);

	if (r == 0)
		r = find_sockets(a);
	if (r == 0)
		r = gaps_find(&a->target, a->ns, &a->held, &a->gaps, &a->why);
	if (r < 0)
		return r;
	judge_sockets(a);
	attach_unix_judge(a);
	if (a->ns < 0)
		log_warn("%s uses the host's network: only the second wall stands, the programs in "
			 "the kernel",
			 a->target.path);
	r = check_stopped(a);
	return r < 0 ? r : judge_gaps(a);
}

/* ---- the kernel side ---- */

static int mark_listeners(struct attachment *a)
{
	const struct {
		int fd;
		enum redirect_mark mark;
	} all[] = {
		{ a->netns.tcp4, REDIRECT_TCP },	   { a->netns.tcp6, REDIRECT_TCP },
		{ a->netns.dns4, REDIRECT_DNS },	   { a->netns.dns6, REDIRECT_DNS },
		{ a->netns.explicit4, REDIRECT_EXPLICIT },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(all); i++)
		if (all[i].fd >= 0)
			r = redirect_mark(a->redirect, all[i].fd, all[i].mark);
	if (r == 0)
		r = redirect_serve_netns(a->redirect, &a->netns.serve);
	return r < 0 ? why_set(&a->why, r, "cannot mark the proxy's sockets: %s", strerror(-r)) : 0;
}

/* The kernel may have chosen a port for the proxy that the sandbox is to have. */
static int open_listeners(struct attachment *a, uint16_t port)
{
	for (;;) {
		int r = a->ns < 0 ? netns_use_host(port, &a->netns, &a->why)
				  : netns_use_other(a->ns, port, &a->netns, &a->why);

		if (r < 0 || !publish_clashes(&a->opt->proxy, &a->netns.serve))
			return r;
		a->netns.fd = -EBADF; /* still a->ns */
		netns_done(&a->netns);
	}
}

static int make_network(struct attachment *a)
{
	const struct redirect_netns before = { .explicit4 = (uint16_t)a->info.port };
	uint16_t port = a->opt->port;
	int r;

	if (!port && !publish_clashes(&a->opt->proxy, &before))
		port = before.explicit4;
	r = open_listeners(a, port);
	if (r == -EADDRINUSE && !a->opt->port && port) /* somebody else has it by now */
		r = open_listeners(a, 0);
	if (r < 0)
		return r;
	a->ns = -EBADF; /* it is the other's now */
	a->served_ns = a->netns.fd < 0 ? -EBADF : fcntl(a->netns.fd, F_DUPFD_CLOEXEC, 0);
	r = mark_listeners(a);
	return r < 0 ? r
		     : publish_begin(&a->opt->proxy, &a->netns, a->redirect, &a->publish, &a->why);
}

/* In a cgroup of its own; see above. */
static int try_in(struct attachment *a, const struct cgroup *probe)
{
	const struct selftest t = { .cgroup = probe->fd,
				    .netns = &a->netns,
				    .tuples = redirect_tuple_fd(a->redirect),
				    .events = redirect_events_fd(a->redirect),
				    .unix_sockets = a->unix_programs != NULL };
	int r = redirect_try(a->redirect, probe->fd, a->why.text, sizeof(a->why.text));

	if (r == 0)
		r = attach_unix_try(a, probe->fd);
	if (r == 0)
		r = selftest_run(&t, &a->why);
	if (a->unix_programs)
		redirect_unix_try_end(a->unix_programs);
	redirect_try_end(a->redirect);
	return r;
}

static int try_out(struct attachment *a)
{
	struct cgroup probe = CGROUP_INIT;
	char mount[MOUNT_PATH_MAX], path[CGROUP_PATH_MAX], name[ATTACHED_NAME_MAX + 8];
	int r = cgroup_find_mount(mount, &a->why);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "test-%s", a->entry.name);
	if (!cgroup_path(mount, name, path))
		return why_set(&a->why, -ENAMETOOLONG, "the path of the cgroup mount is too long");
	(void)!cgroup_remove(path); /* one of us was killed there */
	r = cgroup_make(path, &probe, &a->why);
	if (r < 0)
		return r;
	r = try_in(a, &probe);
	cgroup_close(&probe);
	if (cgroup_remove(path) < 0)
		log_warn("cannot remove %s", path);
	return r;
}

static int verify_one(void *arg, int dir)
{
	struct attachment *a = arg;
	int r = redirect_verify(a->redirect, dir, a->why.text, sizeof(a->why.text));

	return r < 0 ? r : attach_unix_verify(a, dir);
}

/* The place of the pins may have gone since we looked: another version of us, which does not know entries like ours, takes it
 * for the last one's. Once something is pinned there it stays. */
static int attach_and_pin(struct attachment *a)
{
	char pins[PIN_PATH_MAX];
	int r = state_root_lock(a->entry.root);

	if (r < 0)
		return why_set(&a->why, r, "cannot lock the state directory: %s", strerror(-r));
	r = bpffs_open(a->entry.root, a->entry.root_path, pins, &a->why);
	if (r == 0)
		r = redirect_attach(a->redirect, a->target.fd, a->info.pins, a->why.text,
				    sizeof(a->why.text));
	attached_settle(&a->entry);
	return r;
}

static int close_it(struct attachment *a)
{
	int r;

	/* Some of the programs do not close it, and their maps are not ours. Everything stands still. */
	if (a->partly)
		redirect_unpin(a->info.pins);
	a->partly = false;
	r = a->adopted ? redirect_adopt(a->redirect, a->target.fd, a->info.pins, a->why.text,
					sizeof(a->why.text))
		       : attach_and_pin(a);

	if (r < 0)
		return r;
	a->pinned = true;
	r = attach_unix_close(a);
	if (r == 0)
		r = target_each_cgroup(&a->target, verify_one, a);
	return r < 0 ? r : check_stopped(a);
}

/* They may have come by others between the look and the programs. */
static int find_sockets_again(struct attachment *a)
{
	int r;

	held_done(&a->held);
	r = target_list(&a->target, &a->why);
	if (r == 0)
		r = held_find(&a->target, a->netns.fd, a->redirect, &a->held, &a->why);
	if (r < 0)
		return r;
	if (!(a->gaps.open & 1U << GAP_ALIEN) && (held_alien(&a->held) || held_hiding(&a->held)))
		return why_set(&a->why, -EPERM,
			       "processes of %s came by sockets from outside meanwhile: attach "
			       "again",
			       a->target.path);
	return 0;
}

/* What was made before the programs were there; what we cannot deal with, they keep silent. */
static int settle_sockets(struct attachment *a)
{
	int r = find_sockets_again(a);
	unsigned int left;

	if (r < 0)
		return r;
	left = held_settle(&a->held, a->netns.fd, a->redirect, &a->netns.serve, !a->adopted);
	if (left)
		log_warn("%u sockets from before could not be dealt with: they are cut off", left);
	held_done(&a->held);
	return 0;
}

/* ---- the proxy ---- */

static int start_proxy(struct attachment *a)
{
	const struct role_options o = { .name = "@proxy",
					.cgroup = -EBADF,
					.netns = -EBADF,
					.detached = true,
					.signals = &a->signals,
					.envp = a->opt->envp };
	struct proxy_setup setup = a->opt->proxy;
	int r = role_start(&o, &a->proxy, &a->why);

	if (r < 0)
		return r;
	setup.session = a->info.session;
	setup.cgroup = a->target.below;
	setup.netns_cookie = a->netns.serve.cookie;
	setup.uid = setup.gid = a->info.uid;
	setup.fds[PROXY_FD_TCP4] = a->netns.tcp4;
	setup.fds[PROXY_FD_TCP6] = a->netns.tcp6;
	setup.fds[PROXY_FD_DNS4] = a->netns.dns4;
	setup.fds[PROXY_FD_DNS6] = a->netns.dns6;
	setup.fds[PROXY_FD_EXPLICIT] = a->netns.explicit4;
	setup.token = a->info.token;
	setup.fds[PROXY_FD_ORIG_TUPLE] = redirect_tuple_fd(a->redirect);
	setup.fds[PROXY_FD_EVENTS] = redirect_events_fd(a->redirect);
	setup.fds[PROXY_FD_AUDIT] = a->audit;
	setup.fds[PROXY_FD_BINDINGS] = a->bindings;
	publish_tell(&a->publish, &setup);
	r = proxy_setup_send(a->proxy.channel, &setup);
	if (r < 0)
		return why_set(&a->why, r, "cannot tell the proxy what to do: %s", strerror(-r));
	return role_await_ready(&a->proxy, &a->signals, READY_LIMIT_MS, &a->ended_by, &a->why);
}

/* The listeners must die with the proxy: as long as we held them too, connections would wait in a queue that nobody serves. */
static void hand_over(struct attachment *a)
{
	struct redirect_netns served = a->netns.serve;

	netns_done(&a->netns);
	a->netns.serve = served;
	publish_hand_over(&a->publish);
	fd_close(&a->audit);
	fd_close(&a->bindings);
}

/* ---- standing ---- */

static int note_standing(struct attachment *a)
{
	a->info.port = a->netns.serve.explicit4;
	a->info.unix_sockets = a->unix_programs || (a->info.unix_sockets && a->opt->unix_count > 0);
	return attached_record(&a->entry, &a->info, &a->why);
}

static void tell_ready(const struct attachment *a)
{
	_cleanup_buf_ struct buf out = BUF_INIT(16384);
	char listen[32], id[24];
	struct json j;

	(void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", a->info.port);
	(void)snprintf(id, sizeof(id), "%" PRIu64, a->target.id);
	json_begin(&j, &out);
	json_object_begin(&j);
	json_kv_str(&j, "event", "ready");
	json_kv_str(&j, "cgroup", a->target.path);
	json_kv_str(&j, "cgroup_id", id);
	json_kv_str(&j, "listen", listen);
	json_kv_int(&j, "pid", a->info.pid);
	json_kv_str(&j, "session", a->info.session);
	json_key(&j, "adopted");
	json_bool(&j, a->adopted);
	json_key(&j, "publish");
	json_array_begin(&j);
	for (size_t i = 0; i < a->opt->proxy.publish_count; i++)
		json_int(&j, a->opt->proxy.publish[i]);
	json_array_end(&j);
	json_object_end(&j);
	if (json_end(&j) == 0 && buf_append_u8(&out, '\n') == 0)
		(void)!write(STDOUT_FILENO, buf_data(&out), buf_len(&out));
	if (notify_ready(environment_get(a->opt->envp, "NOTIFY_SOCKET")) < 0)
		log_warn("cannot tell the service manager that we are ready (NOTIFY_SOCKET)");
}

/* From here on we wait, look, make sockets inside if something is published, and clear away. */
static int give_up_rights(struct attachment *a)
{
	uint64_t keep = (uint64_t)1 << CAP_KILL | (uint64_t)1 << CAP_DAC_OVERRIDE |
			(uint64_t)1 << CAP_SYS_ADMIN | (uint64_t)1 << CAP_SYS_PTRACE |
			(uint64_t)1 << CAP_NET_ADMIN | (uint64_t)1 << CAP_BPF;
	int r = confine_capabilities(keep);

	return r < 0 ? why_set(&a->why, r, "cannot give up capabilities: %s", strerror(-r)) : 0;
}

/* ---- all of it ---- */

static int close_and_serve(struct attachment *a)
{
	int r = prepare(a);

	if (r == 0)
		r = find_target(a);
	if (r == 0)
		r = take_entry(a);
	if (r == 0)
		r = load_programs(a);
	if (r == 0)
		r = attach_unix_load(a);
	if (r == 0)
		r = stop_processes(a);
	if (r == 0)
		r = look_around(a);
	if (r == 0)
		r = make_network(a);
	if (r == 0)
		r = try_out(a);
	if (r == 0)
		r = start_proxy(a);
	if (r == 0)
		r = close_it(a);
	if (r == 0)
		r = settle_sockets(a);
	if (r == 0)
		r = note_standing(a);
	if (r == 0)
		attach_unix_drop(a);
	return r;
}

static void open_again(struct attachment *a)
{
	redirect_unix_free(take_ptr(a->unix_programs));
	redirect_free(take_ptr(a->redirect));
	redirect_unpin(a->info.pins);
	attached_remove(&a->entry);
}

/* After a failure: what the kernel says, not what was meant. */
static void say_what_is_left(struct attachment *a)
{
	if (a->pinned && target_is_gone(&a->target))
		open_again(a); /* nobody is left to be kept in */
	else if ((a->pinned || a->partly) && is_closed(a))
		log_error("%s stays cut off until it is attached anew, or detached",
			  a->target.path);
	else if (a->pinned || a->partly)
		log_error("%s is NOT cut off: only some of the programs are in effect on it; "
			  "attach it "
			  "anew, or detach it",
			  a->target.path);
	else
		attached_remove(&a->entry);
}

/* What could not be looked at does not go on because nobody looks any more. */
static void leave(struct attachment *a, enum keep_end end)
{
	if (end == KEEP_ASKED)
		log_info("%s stays cut off until it is attached anew, or detached", a->target.path);
	if (a->target.frozen)
		log_error("the processes of %s stay stopped until then", a->target.path);
	a->target.frozen = false;
}

static int live(struct attachment *a)
{
	int r = close_and_serve(a);
	enum keep_end end;

	hand_over(a);
	if (r == 0)
		r = give_up_rights(a);
	if (r < 0) {
		role_kill(&a->proxy);
		let_go_on(a);
		log_error("%s", a->why.text);
		say_what_is_left(a);
		return 1;
	}
	let_go_on(a);
	tell_ready(a);
	end = keep_attached(a);
	if (end == KEEP_GONE || (end == KEEP_ASKED && a->opt->detach_on_exit))
		open_again(a);
	else
		leave(a, end);
	return end == KEEP_ASKED || end == KEEP_GONE ? 0 : 1;
}

int supervisor_attach(const struct attach_options *opt)
{
	static struct attachment a; /* too much for a stack frame, and there is only one */
	int status;

	a.opt = opt;
	a.signals = (struct signals)SIGNALS_INIT;
	a.target = (struct target)TARGET_INIT;
	a.entry = (struct attached)ATTACHED_INIT;
	a.netns = (struct netns)NETNS_INIT;
	a.publish = (struct publish)PUBLISH_INIT;
	a.proxy = (struct role)ROLE_INIT;
	a.audit = a.bindings = a.ns = a.served_ns = -EBADF;
	status = live(&a);
	redirect_unix_free(take_ptr(a.unix_programs));
	publish_done(&a.publish);
	redirect_free(take_ptr(a.redirect));
	held_done(&a.held);
	attached_abandon(&a.entry);
	fd_close(&a.ns);
	fd_close(&a.served_ns);
	target_done(&a.target);
	signals_give_back(&a.signals);
	return status;
}
