/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop waits for a signal to us, a message of the proxy, the proxy's end, and the cgroup's.
 *
 * That the cgroup's directory is removed, its parent's tells (inotify). cgroup.events alone would not do: the kernel holds its
 * notices back for some milliseconds, and drops them if the cgroup goes meanwhile. The listeners keep a network namespace
 * alive, and should not do so for long.
 */
#include "supervisor/keep.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "io/log.h"
#include "supervisor/files.h"
#include "supervisor/summary.h"

#define GONE_LOOK_MS   250 /* where the kernel does not tell */
#define ALIEN_LOOK_MS  10000
#define PROXY_LIMIT_MS 2000 /* beyond the time that it was given */

static void on_message(struct attachment *a)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	int r = channel_recv(a->proxy.channel, &m);

	if (r == 0 && m.type == MSG_SOCKET_WANTED)
		r = publish_answer(&a->publish, &m, a->proxy.channel);
	else if (r == 0 && m.type == MSG_REFUSAL && a->opt->verbose)
		summary_say(&m);
	else if (r == -EAGAIN)
		return;
	if (r < 0) {
		fd_close(&a->proxy.channel);
		role_signal(&a->proxy, SIGKILL);
	}
}

/* True when it has ended. */
static bool on_proxy_end(struct attachment *a)
{
	siginfo_t i;

	if (!role_ended(&a->proxy, &i))
		return false;
	fd_close(&a->proxy.channel);
	log_error("the proxy ended unexpectedly (%s %d): %s stays cut off until it is attached "
		  "anew, or "
		  "detached",
		  i.si_code == CLD_EXITED ? "status" : "signal", i.si_status, a->target.path);
	return true;
}

/* One that asks us to end, or 0. */
static int asked_to_end(struct attachment *a)
{
	struct signalfd_siginfo i;

	while (signals_next(&a->signals, &i))
		switch (i.ssi_signo) {
		case SIGINT:
		case SIGTERM:
		case SIGQUIT:
			return (int)i.ssi_signo;
		default:
			break;
		}
	return 0;
}

/* It drains as long as it was told; a second signal does not wait for that. */
static void end_proxy(struct attachment *a)
{
	_cleanup_buf_ struct buf body = BUF_INIT(4);
	int64_t deadline = now_ms() + a->opt->drain_ms + PROXY_LIMIT_MS;
	siginfo_t i;

	if (buf_append_u32(&body, a->opt->drain_ms) < 0 ||
	    channel_send(a->proxy.channel, MSG_STOP, buf_str(&body), NULL, 0) < 0)
		deadline = 0;
	while (!role_ended(&a->proxy, &i) && ms_left(deadline) > 0) {
		struct pollfd p[] = { { .fd = a->proxy.channel, .events = POLLIN },
				      { .fd = a->proxy.pidfd, .events = POLLIN },
				      { .fd = a->signals.fd, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), ms_left(deadline)) < 0 && errno != EINTR)
			break;
		if (p[0].revents & POLLIN)
			on_message(a);
		else if (p[0].revents)
			fd_close(&a->proxy.channel);
		if (p[2].revents && asked_to_end(a))
			break;
	}
	role_kill(&a->proxy);
}

/* ---- sockets that came in from outside ---- */

/* A socket can be passed in at any time, and no program of ours sees it: so we look, tell, and break it off. */
static void look_for_aliens(struct attachment *a)
{
	struct held h = { 0 };
	int ns = -EBADF;
	struct why why;

	if (a->gaps.open & 1U << GAP_ALIEN) /* accepted */
		return;
	if (target_list(&a->target, &why) < 0 || a->target.pid_count == 0)
		return;
	if (target_netns(&a->target, &ns, &why) < 0)
		ns = -EBADF; /* in several by now: then those of ours only are listed, the others asked */
	if (held_find(&a->target, ns, a->redirect, &h, &why) < 0) {
		fd_close(&ns);
		return;
	}
	for (size_t i = 0; i < h.n; i++) {
		const struct held_socket *s = &h.items[i];

		if (s->kind != HELD_ALIEN || s->inode == a->alien)
			continue;
		a->alien = s->inode;
		log_error("alien-sockets: process %d holds a socket that was made outside of %s "
			  "(descriptor %d): it is broken off",
			  (int)s->pid, a->target.path, s->fd);
	}
	held_break(&h, ns);
	held_done(&h);
	fd_close(&ns);
}

/* ---- the loop ---- */

/* A descriptor that wakes us when something is removed from the directory above, or -EBADF. */
static int watch_parent(const struct attachment *a)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/..", a->target.fd);
	if (fd < 0 || inotify_add_watch(fd, path, IN_DELETE | IN_ONLYDIR) < 0)
		return -EBADF;
	return take_fd(&fd);
}

static void forget_events(int fd)
{
	char drop[4096];

	while (fd >= 0 && read(fd, drop, sizeof(drop)) > 0)
		;
}

static bool is_gone(const struct attachment *a)
{
	return target_populated(&a->target) <= 0 && target_is_gone(&a->target);
}

/* Until the next thing that nobody tells us of. */
static int wait_ms(bool told_of_gone, int64_t look_at, int pause)
{
	int ms = ms_left(look_at);

	if (!told_of_gone)
		ms = MIN(ms, GONE_LOOK_MS);
	return pause ? MIN(ms, pause) : ms;
}

enum keep_end keep_attached(struct attachment *a)
{
	_cleanup_close_ int parent = watch_parent(a);
	int64_t look_at = now_ms() + ALIEN_LOOK_MS;

	while (!is_gone(a)) {
		int pause = publish_pause_ms(&a->publish), n;
		struct pollfd p[] = { { .fd = a->signals.fd, .events = POLLIN },
				      { .fd = pause ? -EBADF : a->proxy.channel, .events = POLLIN },
				      { .fd = a->proxy.pidfd, .events = POLLIN },
				      { .fd = parent, .events = POLLIN } };

		n = poll(p, ARRAY_SIZE(p), wait_ms(parent >= 0, look_at, pause));

		if (n < 0 && errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			return KEEP_FAILED;
		}
		if (n > 0 && p[1].revents)
			on_message(a);
		if (n > 0 && p[2].revents && on_proxy_end(a))
			return KEEP_PROXY;
		if (n > 0 && p[0].revents && asked_to_end(a)) {
			end_proxy(a);
			return KEEP_ASKED;
		}
		if (n > 0 && p[3].revents)
			forget_events(parent);
		if (ms_left(look_at) == 0) {
			look_for_aliens(a);
			look_at = now_ms() + ALIEN_LOOK_MS;
		}
	}
	end_proxy(a);
	return KEEP_GONE;
}
