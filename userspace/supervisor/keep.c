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
#define HIDING_LOOK_MS 200 /* after one that found descriptors on their way */
#define HIDING_LOOKS   5
#define FREEZE_MS      5000
#define TELL_AGAIN_MS  60000
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

/*
 * A socket can be passed in at any time, and no program of ours sees it. Breaking it off does not help: one without a
 * connection cannot be, and one that was can be connected again. So whoever holds it is ended.
 *
 * A look at processes that run is not exact. One that finds something, or that misses something twice, is repeated while they
 * stand still, and that one counts. Descriptors that are on their way through a unix socket are an everyday thing; that there
 * are some at every look is not.
 *
 * Who can make the look fail must not gain by it. Then all are stopped, not ended: a want of memory makes it fail, too, and
 * what is stopped can go on.
 */

static bool is_stopped(const struct attachment *a)
{
	return a->target.frozen;
}

static void go_on(struct attachment *a)
{
	if (!is_stopped(a))
		return;
	target_thaw(&a->target);
	attached_note_frozen(&a->entry, false);
}

static int stop(struct attachment *a)
{
	int r;

	attached_note_frozen(&a->entry, true);
	r = target_freeze(&a->target, FREEZE_MS, &a->why);
	if (!is_stopped(a))
		attached_note_frozen(&a->entry, false);
	return r;
}

static int look(struct attachment *a, struct held *ret)
{
	int r = target_list(&a->target, &a->why);

	if (r < 0 || a->target.pid_count == 0)
		return r;
	return held_find(&a->target, a->served_ns, a->redirect, ret, &a->why);
}

/* Was the same socket not there when it was asked, both times? Then it is moved about. */
static bool dodges(const struct held *first, const struct held *second)
{
	for (size_t i = 0, k = 0; i < first->n && k < second->n;) {
		const struct held_socket *x = &first->items[i], *y = &second->items[k];

		if (x->inode == y->inode && x->kind == HELD_GONE && y->kind == HELD_GONE)
			return true;
		i += x->inode <= y->inode;
		k += y->inode <= x->inode;
	}
	return false;
}

static bool is_dodged(struct attachment *a, const struct held *h)
{
	struct held again = { 0 };
	bool dodged = false;

	for (size_t i = 0; i < h->n && !dodged; i++)
		dodged = h->items[i].kind == HELD_GONE;
	if (dodged)
		dodged = look(a, &again) < 0 || held_alien(&again) || dodges(h, &again);
	held_done(&again);
	return dodged;
}

/* While they run. */
static bool is_clean(struct attachment *a)
{
	struct held h = { 0 };
	bool clean = look(a, &h) == 0 && !held_alien(&h) && !is_dodged(a, &h);

	a->hiding = held_hiding(&h) ? a->hiding + 1 : 0;
	held_done(&h);
	return clean && a->hiding < HIDING_LOOKS;
}

static void tell_ended(void *arg, const struct held_socket *s)
{
	const struct attachment *a = arg;
	const char *what = s->hides ? "kept descriptors where nobody can look at them"
			   : s->kind == HELD_ALIEN ? "held a socket that was made outside"
						   : "held a socket that cannot be looked at";

	log_error("alien-sockets: process %d of %s %s (descriptor %d): it is killed", (int)s->pid,
		  a->target.path, what, s->fd);
}

/* They stand still. */
static int end_holders(struct attachment *a)
{
	struct held h = { 0 };
	int r = look(a, &h);

	if (r == 0)
		r = held_end(&a->target, &h, a->hiding >= HIDING_LOOKS, tell_ended, a);
	if (r < 0 && !a->why.text[0])
		(void)why_set(&a->why, r, "cannot end a process: %s", strerror(-r));
	held_done(&h);
	return r;
}

/* They cannot even be stopped. */
static void end_all(struct attachment *a)
{
	int r = file_write(a->target.fd, "cgroup.kill", "1");

	if (r == 0)
		log_error("alien-sockets: %s: all processes of it are killed", a->why.text);
	else if (!target_is_gone(&a->target))
		log_error("alien-sockets: %s, nor killed (%s): a socket from outside may be in use",
			  a->why.text, strerror(-r));
}

static void tell_stopped(struct attachment *a)
{
	if (a->told && now_ms() - a->told < TELL_AGAIN_MS)
		return;
	a->told = now_ms();
	log_error("alien-sockets: %s: what cannot be looked at may have a socket from outside, so "
		  "all processes of %s are stopped until it can, or until \"detach\"",
		  a->why.text, a->target.path);
}

static void look_for_aliens(struct attachment *a)
{
	a->why.text[0] = '\0';
	if (a->gaps.open & 1U << GAP_ALIEN) /* accepted */
		return;
	if (!is_stopped(a) && is_clean(a))
		return;
	a->why.text[0] = '\0';
	if (stop(a) < 0) {
		end_all(a);
		return;
	}
	if (end_holders(a) < 0) {
		tell_stopped(a);
		return;
	}
	a->hiding = 0;
	if (a->told)
		log_warn("%s can be looked at again, and goes on", a->target.path);
	a->told = 0;
	go_on(a);
}

static int next_look_ms(const struct attachment *a)
{
	return a->hiding ? HIDING_LOOK_MS : ALIEN_LOOK_MS;
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
			look_at = now_ms() + next_look_ms(a);
		}
	}
	end_proxy(a);
	return KEEP_GONE;
}
