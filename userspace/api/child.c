/* SPDX-License-Identifier: Apache-2.0 */
#include "api/child.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/failure.h"

/* After the time for draining: what it takes to hear SIGTERM, and then what it takes to die. */
#define TERM_MS 1000
#define KILL_MS 5000

#define FIRST_FREE 3 /* behind the standard descriptors */

/* Set by the build: PREFIX/bin/nono-proxy. */
const char *child_program(void)
{
	return NONO_PROXY_PROGRAM;
}

int64_t child_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -EBADF;
}

/* Moves a descriptor behind the standard ones: a host that has closed those gets them back as something else. */
static int move_up(int *fd)
{
	int moved;

	if (*fd < 0 || *fd >= FIRST_FREE)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE);
	if (moved < 0)
		return -errno;
	(void)close(*fd);
	*fd = moved;
	return 0;
}

static int make_channel(int pair[2])
{
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = move_up(&pair[0]);
	if (r == 0)
		r = move_up(&pair[1]);
	if (r < 0) {
		close_fd(&pair[0]);
		close_fd(&pair[1]);
	}
	return r;
}

/*
 * 0: nothing, 1: the channel, 2: the log, and all else closed. In this order, since the log may be any
 * of the three, while the channel is none of them.
 */
static int add_files(posix_spawn_file_actions_t *files, int channel, int log_fd)
{
	int r = log_fd >= 0 ? posix_spawn_file_actions_adddup2(files, log_fd, STDERR_FILENO)
			    : posix_spawn_file_actions_addopen(files, STDERR_FILENO, "/dev/null",
							       O_WRONLY, 0);

	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, channel, CHILD_CHANNEL);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(files, FIRST_FREE);
	return -r;
}

/* Signals as a fresh program has them, whatever the host does with them; no terminal of the host's. */
static int add_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							   POSIX_SPAWN_SETSID);
	return -r;
}

static int spawn(const char *program, char *const *words, int channel, int log_fd, pid_t *ret)
{
	/* The host's secrets are in its environment more often than not, and nothing of it means anything to a proxy. */
	char *const environment[] = { NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r = -posix_spawn_file_actions_init(&files);

	if (r < 0)
		return r;
	r = -posix_spawnattr_init(&attr);
	if (r == 0) {
		r = add_files(&files, channel, log_fd);
		if (r == 0)
			r = add_attributes(&attr);
		if (r == 0)
			r = -posix_spawn(ret, program, &files, &attr, words, environment);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return r;
}

int child_start(const char *program, char *const *words, int log_fd, struct child *ret)
{
	struct child c = CHILD_INIT;
	int pair[2], r;

	/* Without this it would be posix_spawn() that says so, of the program. */
	if (log_fd >= 0 && fcntl(log_fd, F_GETFD) < 0)
		return failure_set(-EINVAL, "log_fd %d is no open descriptor", log_fd);
	r = make_channel(pair);
	if (r < 0)
		return failure_set(r, "cannot make a socket: %s", failure_words(r));
	r = spawn(program, words, pair[1], log_fd, &c.pid);
	(void)close(pair[1]);
	if (r < 0) {
		(void)close(pair[0]);
		return failure_set(r, "cannot execute %s: %s", program, failure_words(r));
	}
	c.channel = pair[0];
	c.pidfd = pidfd_open(c.pid, 0);
	/* ESRCH: it has ended already, and the kernel or the host has reaped it; what it said is still there. */
	if (c.pidfd < 0 && errno != ESRCH) {
		r = -errno;
		/* Nothing but the number is left. */
		(void)close(c.channel);
		(void)kill(c.pid, SIGKILL);
		while (waitpid(c.pid, NULL, 0) < 0 && errno == EINTR)
			;
		return failure_set(r, "cannot watch %s: %s", program, failure_words(r));
	}
	(void)move_up(&c.pidfd);
	*ret = c;
	return 0;
}

static int left_ms(int64_t deadline)
{
	int64_t left = deadline - child_now_ms();

	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/*
 * What is there now: bytes, 0 at the end, -EAGAIN. A process that has ended says no more, even if a
 * child of its own still holds the socket.
 */
static ssize_t receive(const struct child *c, char *p, size_t n, bool ended)
{
	ssize_t got;

	do
		got = recv(c->channel, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (got < 0 && errno == EINTR);
	if (got >= 0)
		return got;
	return errno != EAGAIN ? -errno : ended ? 0 : -EAGAIN;
}

ssize_t child_line(const struct child *c, char *line, size_t n, int64_t deadline)
{
	size_t have = 0;

	for (;;) {
		struct pollfd p[] = { { .fd = c->channel, .events = POLLIN },
				      { .fd = c->pidfd, .events = POLLIN } };
		int ready = poll(p, ARRAY_SIZE(p), left_ms(deadline));
		const char *end;
		ssize_t got;

		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready == 0)
			return -ETIMEDOUT;
		if (ready < 0)
			continue;
		/* Whether it has ended is asked first: what it wrote before is in the socket then. */
		got = receive(c, line + have, n - have, p[1].revents != 0);
		if (got == -EAGAIN)
			continue;
		if (got <= 0)
			return got < 0 && got != -ECONNRESET ? got : -EPIPE;
		end = memchr(line + have, '\n', (size_t)got);
		if (end)
			return end - line;
		have += (size_t)got;
		if (have == n)
			return -EMSGSIZE;
	}
}

/* Whether the process ends, or has ended, within this time. */
static bool ends_within(const struct child *c, int timeout_ms)
{
	int64_t deadline = child_now_ms() + timeout_ms;
	int ready;

	if (c->pidfd < 0)
		return true;
	do {
		struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

		ready = poll(&p, 1, left_ms(deadline));
	} while (ready < 0 && errno == EINTR);
	return ready > 0;
}

enum child_end child_await(struct child *c, int timeout_ms, int *ret)
{
	siginfo_t i = { 0 };
	int r;

	if (!ends_within(c, timeout_ms))
		return CHILD_RUNS;
	if (c->pidfd < 0)
		return CHILD_GONE;
	do
		r = waitid(P_PIDFD, (id_t)c->pidfd, &i, WEXITED | WNOHANG);
	while (r < 0 && errno == EINTR);
	if (r < 0 || i.si_pid == 0)
		return CHILD_GONE;
	*ret = i.si_status;
	return i.si_code == CLD_EXITED ? CHILD_EXITED : CHILD_SIGNALLED;
}

bool child_runs(const struct child *c)
{
	return !ends_within(c, 0);
}

void child_forget(struct child *c)
{
	close_fd(&c->channel);
	close_fd(&c->pidfd);
}

static void signal_child(const struct child *c, int sig)
{
	if (c->pidfd >= 0)
		(void)pidfd_send_signal(c->pidfd, sig, NULL, 0);
}

void child_finish(struct child *c, int drain_ms)
{
	int status;

	/* Shut down rather than closed: a fork of the host may hold a copy of our end. */
	if (c->channel >= 0)
		(void)shutdown(c->channel, SHUT_RDWR);
	if (child_await(c, drain_ms, &status) == CHILD_RUNS) {
		signal_child(c, SIGTERM);
		if (child_await(c, TERM_MS, &status) == CHILD_RUNS)
			child_kill(c);
	}
	child_forget(c);
}

void child_kill(struct child *c)
{
	int status;

	signal_child(c, SIGKILL);
	/* A process in uninterruptible sleep is left to itself; it dies when it wakes. */
	(void)child_await(c, KILL_MS, &status);
	child_forget(c);
}
