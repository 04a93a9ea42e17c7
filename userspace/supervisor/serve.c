/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `serve`: the listener and the audit file are opened here, the proxy role gets them and gives up its rights, and we wait: for a
 * signal, for the proxy's messages, for its end, and for the end of whoever started us.
 *
 * Started by root, the proxy becomes nobody; started by anyone else, it stays who it is, with what can be given up given up.
 */
#include "supervisor/serve.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "confine/confine.h"
#include "io/log.h"
#include "policy/proxy_env.h"
#include "supervisor/audit_file.h"
#include "supervisor/files.h"
#include "supervisor/listeners.h"
#include "supervisor/role.h"
#include "supervisor/summary.h"
#include "wire/json.h"

#define NOBODY	       65534
#define READY_LIMIT_MS 10000
#define END_LIMIT_MS   2000 /* beyond the drain */
#define READY_MAX      (16 * 1024)
#define ARENA_MAX      (64 * 1024)

struct serve {
	const struct serve_options *opt;
	struct why why;
	struct signals signals;
	struct refusals refusals;
	struct role proxy;
	struct endpoint at;
	int listener, audit;
	int parent; /* pidfd; -EBADF: its end does not concern us */
	char session[17];
	int ended_by;	  /* a signal before it served */
	int64_t deadline; /* of draining; 0: nobody has asked us to end */
};

/* ---- starting ---- */

static int choose_session(struct serve *s)
{
	uint8_t id[8], seed[16];

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id) ||
	    getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return why_set(&s->why, -EIO, "no random numbers");
	for (size_t i = 0; i < sizeof(id); i++)
		(void)snprintf(s->session + 2 * i, 3, "%02x", id[i]);
	refusals_init(&s->refusals, seed);
	return 0;
}

/* An owner may have handed its end to a child that lives on; then its own end is what counts. */
static int watch_parent(struct serve *s)
{
	if (s->opt->owner_fd < 0)
		return 0;
	/* One outside of our PID namespace has the number 0: nothing to watch. */
	s->parent = getppid() ? (int)syscall(SYS_pidfd_open, getppid(), 0) : -EBADF;
	return s->parent < 0 && getppid() && errno != ESRCH
		       ? why_set(&s->why, -errno, "cannot watch our parent: %s", strerror(errno))
		       : 0;
}

static int open_listener(struct serve *s)
{
	char text[ENDPOINT_TEXT_MAX];

	s->at = s->opt->listen;
	s->listener = listener_open_tcp(&s->at);
	if (s->listener == -EADDRINUSE)
		return why_set(&s->why, s->listener,
			       "cannot listen on %s: another program has this port; choose another "
			       "one with --port, or leave the choice to us",
			       endpoint_text(&s->opt->listen, text));
	if (s->listener < 0)
		return why_set(&s->why, s->listener, "cannot listen on %s: %s",
			       endpoint_text(&s->opt->listen, text), strerror(-s->listener));
	return 0;
}

/* Is there such an id where we are? In a user namespace few exist. */
static bool is_mapped(const char *path, uint32_t id)
{
	_cleanup_buf_ struct buf b = BUF_INIT(64 * 1024);
	const char *line;

	if (file_read(AT_FDCWD, path, &b) < 0)
		return false;
	for (line = (const char *)buf_data(&b); *line; line += strcspn(line, "\n") + 1) {
		unsigned long long inside, outside, count;

		if (sscanf(line, "%llu %llu %llu", &inside, &outside, &count) == 3 &&
		    id >= inside && id - inside < count)
			return true;
		if (!strchr(line, '\n'))
			break;
	}
	return false;
}

/* May we become nobody? */
static bool can_change_identity(void)
{
	const uint32_t needed = CAP_TO_MASK(CAP_SETUID) | CAP_TO_MASK(CAP_SETGID);
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = { 0 };

	_Static_assert(CAP_SETUID < 32 && CAP_SETGID < 32, "both in the first word");
	return geteuid() == 0 && syscall(SYS_capget, &head, have) == 0 &&
	       (have[0].effective & needed) == needed && is_mapped("/proc/self/uid_map", NOBODY) &&
	       is_mapped("/proc/self/gid_map", NOBODY);
}

static int start_proxy(struct serve *s)
{
	const struct role_options o = { .name = "@proxy",
					.cgroup = -EBADF,
					.netns = -EBADF,
					.detached = true,
					.signals = &s->signals,
					.envp = s->opt->envp };
	struct proxy_setup setup = s->opt->proxy;
	int r = role_start(&o, &s->proxy, &s->why);

	if (r < 0)
		return r;
	setup.session = s->session;
	setup.uid = setup.gid = can_change_identity() ? NOBODY : 0;
	setup.fds[PROXY_FD_EXPLICIT] = s->listener;
	setup.fds[PROXY_FD_AUDIT] = s->audit;
	r = proxy_setup_send(s->proxy.channel, &setup);
	if (r < 0)
		return why_set(&s->why, r, "cannot tell the proxy what to do: %s", strerror(-r));
	r = role_await_ready(&s->proxy, &s->signals, READY_LIMIT_MS, &s->ended_by, &s->why);
	/* They must die with the proxy. */
	fd_close(&s->listener);
	fd_close(&s->audit);
	return r;
}

static int start(struct serve *s)
{
	int r = confine_memory(); /* we know the token */

	if (r < 0)
		return why_set(&s->why, r, "cannot keep others from our memory: %s", strerror(-r));
	r = signals_take(&s->signals);
	if (r < 0)
		return why_set(&s->why, r, "cannot take over signals: %s", strerror(-r));
	r = watch_parent(s);
	if (r == 0)
		r = choose_session(s);
	if (r == 0)
		r = open_listener(s);
	if (r < 0)
		return r;
	s->audit = audit_file_open(s->opt->audit_log, &s->why);
	return s->audit < 0 ? s->audit : start_proxy(s);
}

/* ---- telling that it serves ---- */

static int write_json(const struct serve *s, const char *listen, const char *const *env,
		      struct buf *out)
{
	struct json j;
	int r;

	json_begin(&j, out);
	json_object_begin(&j);
	json_kv_str(&j, "event", "ready");
	json_kv_str(&j, "listen", listen);
	json_key(&j, "token");
	if (s->opt->proxy.no_auth)
		json_put_null(&j);
	else
		json_str(&j, str_of(s->opt->proxy.token));
	json_kv_int(&j, "pid", getpid());
	json_key(&j, "env");
	json_object_begin(&j);
	proxy_env_members(env, &j);
	json_object_end(&j);
	json_object_end(&j);
	r = json_end(&j);
	return r < 0 ? r : buf_append_u8(out, '\n');
}

static int write_text(const char *listen, const char *const *env, struct buf *out)
{
	int r = buf_printf(out, "listening on %s\n", listen);

	return r < 0 ? r : proxy_env_lines(env, out);
}

static int say_ready(struct serve *s)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT(ARENA_MAX);
	_cleanup_buf_ struct buf out = BUF_INIT(READY_MAX);
	const struct proxy_env e = { .listen = &s->at,
				     .token = s->opt->proxy.no_auth ? NULL : s->opt->proxy.token,
				     .proxies = true };
	const char *const *env = proxy_env(&e, &arena);
	char listen[ENDPOINT_TEXT_MAX];
	int r = env ? 0 : -ENOMEM;

	(void)endpoint_text(&s->at, listen);
	if (r == 0)
		r = s->opt->json ? write_json(s, listen, env, &out) : write_text(listen, env, &out);
	if (r == 0 && write(STDOUT_FILENO, buf_data(&out), buf_len(&out)) != (ssize_t)buf_len(&out))
		r = errno ? -errno : -EIO;
	return r < 0 ? why_set(&s->why, r, "cannot say that we are ready: %s", strerror(-r)) : 0;
}

/* ---- while it serves ---- */

/* The first time connections may go on for a while; the second time nobody wants to wait. */
static void ask_to_end(struct serve *s)
{
	_cleanup_buf_ struct buf body = BUF_INIT(4);
	bool again = s->deadline != 0;

	s->deadline = again ? now_ms() : now_ms() + s->opt->drain_ms + END_LIMIT_MS;
	if (!again && (s->proxy.channel < 0 || buf_append_u32(&body, s->opt->drain_ms) < 0 ||
		       channel_send(s->proxy.channel, MSG_STOP, buf_str(&body), NULL, 0) < 0))
		s->deadline = now_ms();
}

static void on_message(struct serve *s)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	int r = channel_recv(s->proxy.channel, &m);

	if (r < 0 && r != -EAGAIN)
		fd_close(&s->proxy.channel); /* its end comes next */
	else if (r == 0 && m.type == MSG_REFUSAL)
		summary_count(&s->refusals, &m, s->opt->verbose);
}

/* What it said last is still in the channel. */
static int on_end(struct serve *s)
{
	siginfo_t i;

	while (s->proxy.channel >= 0 && fd_wait(s->proxy.channel, POLLIN, 0) > 0)
		on_message(s);
	if (!role_ended(&s->proxy, &i))
		return 1;
	if (s->deadline && i.si_code == CLD_EXITED && i.si_status == 0)
		return 0;
	log_error("the proxy ended unexpectedly (%s %d)",
		  i.si_code == CLD_EXITED ? "status" : "signal", i.si_status);
	return 1;
}

enum place { AT_SIGNALS, AT_PROXY, AT_PROXY_END, AT_OWNER, AT_PARENT, PLACES };

/* Until the proxy has ended. The exit status. */
static int watch(struct serve *s)
{
	for (;;) {
		bool ending = s->deadline != 0;
		struct pollfd p[PLACES] = {
			[AT_SIGNALS] = { .fd = s->signals.fd, .events = POLLIN },
			[AT_PROXY] = { .fd = s->proxy.channel, .events = POLLIN },
			[AT_PROXY_END] = { .fd = s->proxy.pidfd, .events = POLLIN },
			/* These end us once; they stay as they are then. */
			[AT_OWNER] = { .fd = ending ? -EBADF : s->opt->owner_fd,
				       .events = POLLRDHUP },
			[AT_PARENT] = { .fd = ending ? -EBADF : s->parent, .events = POLLIN },
		};
		int n = poll(p, PLACES, ending ? ms_left(s->deadline) : -1);

		if (n < 0 && errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			return 1;
		}
		if (ending && ms_left(s->deadline) == 0)
			return 0; /* what is left is cut off */
		if (n <= 0)
			continue;
		if (p[AT_PROXY].revents)
			on_message(s);
		if (p[AT_PROXY_END].revents)
			return on_end(s);
		if (p[AT_OWNER].revents || p[AT_PARENT].revents ||
		    (p[AT_SIGNALS].revents && signals_asked_to_end(&s->signals)))
			ask_to_end(s);
	}
}

/* What only starting needed; to end the proxy a root of ours still needs the right to signal it. */
static int give_up_rights(struct serve *s)
{
	int r = confine_no_new_privs();

	if (r == 0)
		r = confine_capabilities((uint64_t)1 << CAP_KILL);
	return r < 0 ? why_set(&s->why, r, "cannot give up capabilities: %s", strerror(-r)) : 0;
}

static int live(struct serve *s)
{
	int r = start(s);

	if (r == 0)
		r = give_up_rights(s);
	if (r == 0)
		r = say_ready(s);
	if (r < 0) {
		log_error("%s", s->why.text);
		return s->ended_by ? 128 + s->ended_by : 1;
	}
	return watch(s);
}

int supervisor_serve(const struct serve_options *opt)
{
	static struct serve s; /* too much for a stack frame, and there is only one */
	int status;

	s = (struct serve){ .opt = opt,
			    .signals = SIGNALS_INIT,
			    .proxy = ROLE_INIT,
			    .listener = -EBADF,
			    .audit = -EBADF,
			    .parent = -EBADF };
	status = live(&s);
	role_kill(&s.proxy);
	fd_close(&s.listener);
	fd_close(&s.audit);
	fd_close(&s.parent);
	if (!opt->quiet && !opt->json)
		summary_print(&s.refusals);
	refusals_done(&s.refusals);
	signals_give_back(&s.signals);
	return status;
}
