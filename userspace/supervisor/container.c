/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `podman container inspect --format … -- NAME`, and the same with docker. No shell, the name is never taken for an option, and
 * an engine that does not answer is not waited for.
 */
#include "supervisor/container.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/role.h"

#define LIMIT_MS 15000
#define SAID_MAX 4096

enum answer {
	ANSWER_PID,
	ANSWER_ABSENT /* there is no such program */,
	ANSWER_UNKNOWN,
	ANSWER_STOPPED,
	ANSWER_SILENT
};

struct said {
	char out[SAID_MAX], err[SAID_MAX];
	size_t out_n, err_n;
};

static _Noreturn void become(const char *engine, const char *name, const struct signals *signals,
			     int out, int err)
{
	const char *const argv[] = {
		engine, "container", "inspect", "--format", "{{.State.Running}} {{.State.Pid}}",
		"--",	name,	     NULL
	};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	signals_restore(signals);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
	    dup2(err, STDERR_FILENO) >= 0)
		(void)execvp(engine, (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Appends what there is; what does not fit is dropped. False at the end. */
static bool take(int fd, char *text, size_t *n)
{
	char drop[512];
	bool full = *n + 1 >= SAID_MAX;
	ssize_t got = full ? read(fd, drop, sizeof(drop)) : read(fd, text + *n, SAID_MAX - 1 - *n);

	if (got < 0)
		return errno == EINTR;
	if (!full)
		*n += (size_t)got;
	text[*n] = '\0';
	return got > 0;
}

/* Until both ends are closed. False when it takes too long. */
static bool listen_to(int out, int err, struct said *s)
{
	int64_t deadline = now_ms() + LIMIT_MS;
	struct pollfd p[] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		int n = poll(p, ARRAY_SIZE(p), ms_left(deadline));

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		if (n > 0 && p[0].revents && !take(out, s->out, &s->out_n))
			p[0].fd = -1;
		if (n > 0 && p[1].revents && !take(err, s->err, &s->err_n))
			p[1].fd = -1;
	}
	return true;
}

static enum answer judge(const siginfo_t *i, struct said *s, pid_t *ret)
{
	char running[8];
	long pid;

	if (i->si_code == CLD_EXITED && i->si_status == 127)
		return ANSWER_ABSENT;
	if (i->si_code != CLD_EXITED || i->si_status != 0)
		return ANSWER_UNKNOWN;
	if (sscanf(s->out, "%7s %ld", running, &pid) != 2 || pid < 0 || pid > INT_MAX)
		return ANSWER_UNKNOWN;
	if (strcmp(running, "true") != 0 || pid == 0)
		return ANSWER_STOPPED;
	*ret = (pid_t)pid;
	return ANSWER_PID;
}

static enum answer ask(const char *engine, const char *name, const struct signals *signals,
		       struct said *s, pid_t *ret)
{
	int out[2] = { -EBADF, -EBADF }, err[2] = { -EBADF, -EBADF };
	enum answer answer = ANSWER_SILENT;
	struct role child = ROLE_INIT;
	siginfo_t i;

	memset(s, 0, sizeof(*s));
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) {
		child.pid = -1;
	} else {
		child.pid = role_clone(0, -EBADF, &child.pidfd);
		if (child.pid == 0)
			become(engine, name, signals, out[1], err[1]);
	}
	fd_close(&out[1]);
	fd_close(&err[1]);
	if (child.pid > 0) {
		if (listen_to(out[0], err[0], s) && fd_wait(child.pidfd, POLLIN, LIMIT_MS) > 0 &&
		    role_ended(&child, &i))
			answer = judge(&i, s, ret);
		role_kill(&child);
	}
	fd_close(&out[0]);
	fd_close(&err[0]);
	return answer;
}

/* What was found out so far. */
struct search {
	const char *running, *stopped; /* the engine that knows it so */
	pid_t pid;
	bool any; /* there is an engine */
	char said[160];
};

static int ask_one(const char *engine, const char *name, const struct signals *signals,
		   struct search *f, struct why *why)
{
	static struct said s;
	pid_t pid;

	switch (ask(engine, name, signals, &s, &pid)) {
	case ANSWER_PID:
		if (f->running)
			return why_set(why, -EEXIST,
				       "both %s and %s run a container %s: name it by its id, or "
				       "its first process with --pid",
				       f->running, engine, name);
		f->running = engine;
		f->pid = pid;
		return 0;
	case ANSWER_STOPPED:
		f->stopped = engine;
		return 0;
	case ANSWER_SILENT:
		return why_set(why, -ETIMEDOUT, "%s does not answer", engine);
	case ANSWER_UNKNOWN:
		f->any = true;
		(void)snprintf(f->said, sizeof(f->said), " (%s: %.*s)", engine,
			       (int)MIN(strcspn(s.err, "\n"), (size_t)120), s.err);
		return 0;
	case ANSWER_ABSENT:
		return 0;
	}
	return 0;
}

/* Every engine is asked: a name that two of them know means neither. */
int container_pid(const char *name, const struct signals *signals, pid_t *ret, struct why *why)
{
	static const char *const engines[] = { "podman", "docker" };
	struct search f = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		int r = ask_one(engines[i], name, signals, &f, why);

		if (r < 0)
			return r;
	}
	if (f.running) {
		*ret = f.pid;
		return 0;
	}
	if (f.stopped)
		return why_set(why, -ESRCH, "the container %s (%s) is not running: start it first",
			       name, f.stopped);
	if (!f.any)
		return why_set(why, -ENOENT,
			       "--container needs podman or docker: neither is installed");
	return why_set(why, -ENOENT, "there is no container %s%s", name, f.said);
}
