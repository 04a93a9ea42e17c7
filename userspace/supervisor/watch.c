/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's one loop. It waits for five things: a signal to us, a message of the proxy, the
 * proxy's end, a message of init, init's end.
 *
 * The proxy's end does not end COMMAND: it has no network from then on, and what it does without
 * one is its own business.
 */
#include "supervisor/watch.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "io/log.h"
#include "supervisor/files.h"
#include "supervisor/summary.h"

#define DRAIN_MS       200 /* nobody is left to be served */
#define PROXY_LIMIT_MS 2000

struct watch {
	struct sandbox *sb;
	bool done;
	int status;
	unsigned int asked; /* how often somebody asked us to end it */
};

static void finish(struct watch *w, int status)
{
	w->done = true;
	w->status = status;
}

/* ---- the proxy ---- */

/* A channel that ended, or carries nonsense, is not read again. The end itself is seen by the
 * pidfd, which comes without delay if it has not come yet. */
static void on_proxy_message(struct sandbox *sb)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	int r = channel_recv(sb->proxy.channel, &m);

	if (r == 0 && m.type == MSG_SOCKET_WANTED)
		r = publish_answer(&sb->publish, &m, sb->proxy.channel);
	else if (r == 0 && m.type == MSG_REFUSAL)
		summary_count(&sb->refusals, &m, sb->opt->verbose);
	else if (r == -EAGAIN)
		return;
	if (r < 0) {
		fd_close(&sb->proxy.channel);
		role_signal(&sb->proxy, SIGKILL);
	}
}

static void on_proxy_end(struct sandbox *sb)
{
	siginfo_t i;

	if (!role_ended(&sb->proxy, &i))
		return;
	fd_close(&sb->proxy.channel);
	log_error("the proxy ended unexpectedly (%s %d): the sandbox has no network",
		  i.si_code == CLD_EXITED ? "status" : "signal", i.si_status);
}

void watch_end_proxy(struct sandbox *sb)
{
	_cleanup_buf_ struct buf body = BUF_INIT(4);
	int64_t deadline = now_ms() + PROXY_LIMIT_MS;
	siginfo_t i;

	if (sb->proxy.pid == 0)
		return;
	if (sb->proxy.channel < 0 || buf_append_u32(&body, DRAIN_MS) < 0 ||
	    channel_send(sb->proxy.channel, MSG_STOP, buf_str(&body), NULL, 0) < 0)
		deadline = 0;
	while (!role_ended(&sb->proxy, &i) && ms_left(deadline) > 0) {
		struct pollfd p[] = { { .fd = sb->proxy.channel, .events = POLLIN },
				      { .fd = sb->proxy.pidfd, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), ms_left(deadline)) < 0 && errno != EINTR)
			break;
		if (p[0].revents & POLLIN)
			on_proxy_message(sb);
		else if (p[0].revents)
			fd_close(&sb->proxy.channel);
	}
	/* What it said last is still in the channel; it says no more. */
	role_signal(&sb->proxy, SIGKILL);
	while (sb->proxy.channel >= 0 && fd_wait(sb->proxy.channel, POLLIN, 0) > 0)
		on_proxy_message(sb);
	role_kill(&sb->proxy);
}

/* ---- init ---- */

static void not_run(struct watch *w, int error)
{
	log_error("cannot run %s: %s", w->sb->opt->argv[0], strerror(error));
	finish(w, error == ENOENT ? 127 : 126);
}

static void on_status(struct watch *w, const struct message *m)
{
	struct status_note n;

	if (status_note_get(m, &n) < 0)
		return;
	switch (n.state) {
	case COMMAND_EXITED:
		finish(w, n.value);
		return;
	case COMMAND_KILLED:
		finish(w, 128 + n.value);
		return;
	case COMMAND_NOT_RUN:
		not_run(w, n.value);
		return;
	case COMMAND_PID:
		terminal_found_command(&w->sb->terminal, w->sb->cgroup.fd, n.value);
		return;
	case COMMAND_STOPPED:
		terminal_command_stopped(&w->sb->terminal);
		return;
	case COMMAND_CONTINUED:
		return;
	}
}

static void on_init_message(struct watch *w)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	struct sandbox *sb = w->sb;
	int r = channel_recv(sb->init.channel, &m);

	if (r < 0 && r != -EAGAIN) {
		fd_close(&sb->init.channel);
		role_signal(&sb->init, SIGKILL);
	} else if (r == 0 && m.type == MSG_STATUS) {
		on_status(w, &m);
	} else if (r == 0 && m.type == MSG_FAILED) {
		log_error("%.*s", STR_FMT(buf_str(&m.body)));
		finish(w, 125);
	}
}

/* What it said before it ended counts first. */
static void on_init_end(struct watch *w)
{
	struct sandbox *sb = w->sb;
	siginfo_t i;

	while (!w->done && sb->init.channel >= 0 && fd_wait(sb->init.channel, POLLIN, 0) > 0)
		on_init_message(w);
	if (!role_ended(&sb->init, &i) || w->done)
		return;
	if (i.si_code == CLD_EXITED) {
		log_error("the sandbox's first process ended unexpectedly (status %d)",
			  i.si_status);
		finish(w, 125);
	} else {
		if (w->asked < 2)
			log_error("the sandbox's first process was killed (signal %d)",
				  i.si_status);
		finish(w, 128 + i.si_status);
	}
}

/* ---- signals ---- */

static void pass_on(struct watch *w, uint32_t sig)
{
	_cleanup_buf_ struct buf body = BUF_INIT(4);

	if (w->sb->init.channel >= 0 && buf_append_u32(&body, sig) == 0)
		(void)!channel_send(w->sb->init.channel, MSG_SIGNAL, buf_str(&body), NULL, 0);
}

static void on_signal(struct watch *w, const struct signalfd_siginfo *i)
{
	bool by_terminal = i->ssi_code == SI_KERNEL;

	switch (i->ssi_signo) {
	case SIGCHLD:
		return;
	case SIGINT:
	case SIGTERM:
		/* Who asks a second time does not want to wait for COMMAND's answer. */
		if (!by_terminal && w->asked++ > 0)
			sandbox_kill(w->sb);
		break;
	case SIGCONT:
		terminal_continued(&w->sb->terminal);
		break;
	default:
		break;
	}
	if (!by_terminal || !terminal_reaches_command(&w->sb->terminal))
		pass_on(w, i->ssi_signo);
}

static void on_signals(struct watch *w)
{
	struct signalfd_siginfo i;

	while (signals_next(&w->sb->signals, &i))
		on_signal(w, &i);
}

/* ---- the loop ---- */

enum place { AT_SIGNALS, AT_PROXY, AT_PROXY_END, AT_INIT, AT_INIT_END, PLACES };

int watch_command(struct sandbox *sb)
{
	struct watch w = { .sb = sb };

	while (!w.done) {
		int pause = publish_pause_ms(&sb->publish);
		/* Negative descriptors are passed over. */
		struct pollfd p[PLACES] = {
			[AT_SIGNALS] = { .fd = sb->signals.fd, .events = POLLIN },
			[AT_PROXY] = { .fd = pause ? -EBADF : sb->proxy.channel, .events = POLLIN },
			[AT_PROXY_END] = { .fd = sb->proxy.pidfd, .events = POLLIN },
			[AT_INIT] = { .fd = sb->init.channel, .events = POLLIN },
			[AT_INIT_END] = { .fd = sb->init.pidfd, .events = POLLIN },
		};

		if (poll(p, PLACES, pause ? pause : -1) < 0) {
			if (errno == EINTR)
				continue;
			log_error("poll: %s", strerror(errno));
			return 125;
		}
		if (p[AT_PROXY].revents)
			on_proxy_message(sb);
		if (p[AT_PROXY_END].revents)
			on_proxy_end(sb);
		if (p[AT_INIT].revents)
			on_init_message(&w);
		if (p[AT_INIT_END].revents && !w.done)
			on_init_end(&w);
		if (p[AT_SIGNALS].revents && !w.done)
			on_signals(&w);
	}
	return w.status;
}
