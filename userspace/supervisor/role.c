/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a role: clone3() into the cgroup and namespaces where it belongs, so that no moment
 * exists in which it is elsewhere, then execution of our own binary. What it gets is its channel as
 * descriptor 3 and standard error; all else is closed.
 */
#include "supervisor/role.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "io/log.h"
#include "supervisor/files.h"

#define SEND_LIMIT_S  5
#define KILL_LIMIT_MS 5000

/* What the sanitizers and the coverage run-time read. Nothing of the caller's environment means
 * anything to a role. */
static const char *const passed_on[] = { "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=",
					 "LLVM_PROFILE_FILE=", "GCOV_PREFIX=" };

static void role_environment(const char *const *envp, const char **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
		for (const char *const *e = envp; *e; e++)
			if (strncmp(*e, passed_on[i], strlen(passed_on[i])) == 0) {
				ret[n++] = *e;
				break;
			}
	ret[n] = NULL;
}

static int detach(void)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || setsid() < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		return -errno;
	return 0;
}

/* The channel becomes descriptor 3 and survives the execution; it may be 3 already. */
static int place_channel(int channel)
{
	if (channel == ROLE_CHANNEL)
		return fcntl(channel, F_SETFD, 0) < 0 ? -errno : 0;
	return dup2(channel, ROLE_CHANNEL) < 0 ? -errno : 0;
}

static _Noreturn void become_role(const struct role_options *o, int channel)
{
	const char *argv[] = { "nono-proxy", o->name, NULL };
	const char *envp[ARRAY_SIZE(passed_on) + 1];
	int r = 0;

	role_environment(o->envp, envp);
	if (o->netns >= 0 && setns(o->netns, CLONE_NEWNET) < 0)
		r = -errno;
	if (r == 0 && o->detached)
		r = detach();
	if (r == 0)
		r = place_channel(channel);
	if (r == 0 && close_range(ROLE_CHANNEL + 1, ~0U, 0) < 0)
		r = -errno;
	if (r == 0) {
		signals_restore(o->signals);
		(void)execve("/proc/self/exe", (char *const *)argv, (char *const *)envp);
		r = -errno;
	}
	log_error("cannot start %s: %s", o->name, strerror(-r));
	_exit(125);
}

/* A role that hangs must not hang us. */
static int limit_sending(int channel)
{
	struct timeval limit = { .tv_sec = SEND_LIMIT_S };

	return setsockopt(channel, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ? -errno : 0;
}

pid_t role_clone(uint64_t namespaces, int cgroup, int *ret_pidfd)
{
	int pidfd = -EBADF;
	struct clone_args args = { .flags = CLONE_PIDFD | namespaces,
				   .pidfd = (uint64_t)(uintptr_t)&pidfd,
				   .exit_signal = SIGCHLD };
	long pid;

	if (cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return -errno;
	*ret_pidfd = pidfd;
	return (pid_t)pid;
}

int role_start(const struct role_options *o, struct role *ret, struct why *why)
{
	int pair[2], pidfd = -EBADF, r = channel_pair(pair);
	pid_t pid;

	if (r < 0)
		return why_set(why, r, "cannot make a channel: %s", strerror(-r));
	r = limit_sending(pair[0]);
	pid = r < 0 ? r : role_clone(o->namespaces, o->cgroup, &pidfd);
	if (pid == 0)
		become_role(o, pair[1]);
	fd_close(&pair[1]);
	if (pid < 0) {
		fd_close(&pair[0]);
		return why_set(why, pid, "cannot start %s (clone3): %s", o->name, strerror(-pid));
	}
	*ret = (struct role){ .pid = pid, .pidfd = pidfd, .channel = pair[0] };
	return 0;
}

/* One message while waiting: 1 ready, 0 something else, -errno. */
static int receive_ready(const struct role *r, struct why *why)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	int err = channel_recv(r->channel, &m);

	if (err < 0)
		return why_set(why, err, "%s",
			       err == -EPIPE ? "a part of ours ended while it was set up"
					     : "a part of ours sent nonsense");
	if (m.type == MSG_READY)
		return 1;
	if (m.type == MSG_FAILED)
		return why_set(why, -EPROTO, "%.*s", STR_FMT(buf_str(&m.body)));
	return 0;
}

int role_await_ready(const struct role *r, const struct signals *signals, int timeout_ms,
		     int *ret_signal, struct why *why)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		struct pollfd p[] = { { .fd = r->channel, .events = POLLIN },
				      { .fd = signals->fd, .events = POLLIN } };
		int n = poll(p, ARRAY_SIZE(p), ms_left(deadline)), sig;

		if (n < 0 && errno != EINTR)
			return why_set(why, -errno, "poll: %s", strerror(errno));
		if (n == 0)
			return why_set(why, -ETIMEDOUT,
				       "a part of ours was not ready within %d s",
				       timeout_ms / 1000);
		if (n > 0 && p[1].revents && (sig = signals_asked_to_end(signals))) {
			*ret_signal = sig;
			return why_set(why, -EINTR, "ended by signal %d before all was ready", sig);
		}
		if (n > 0 && p[0].revents) {
			n = receive_ready(r, why);
			if (n != 0)
				return n < 0 ? n : 0;
		}
	}
}

bool role_ended(struct role *r, siginfo_t *ret)
{
	siginfo_t i = { 0 };

	if (r->pid == 0 || waitid(P_PIDFD, (id_t)r->pidfd, &i, WEXITED | WNOHANG) < 0 ||
	    i.si_pid == 0)
		return false;
	*ret = i;
	r->pid = 0;
	fd_close(&r->pidfd);
	return true;
}

void role_signal(const struct role *r, int sig)
{
	if (r->pid > 0)
		(void)syscall(SYS_pidfd_send_signal, r->pidfd, sig, NULL, 0);
}

void role_kill(struct role *r)
{
	siginfo_t i;

	fd_close(&r->channel);
	if (r->pid == 0)
		return;
	if (!role_ended(r, &i)) {
		role_signal(r, SIGKILL);
		/* A process in uninterruptible sleep is left to whoever inherits it. */
		(void)(fd_wait(r->pidfd, POLLIN, KILL_LIMIT_MS) > 0 && role_ended(r, &i));
	}
	r->pid = 0;
	fd_close(&r->pidfd);
}
