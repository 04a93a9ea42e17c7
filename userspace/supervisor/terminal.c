/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job control. SIGTTOU is ignored while we live, so taking the terminal from the background does
 * not stop us. Without a controlling terminal nothing here does anything.
 */
#include "supervisor/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/files.h"

void terminal_open(struct terminal *t)
{
	*t = (struct terminal)TERMINAL_INIT;
	t->fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (t->fd < 0) {
		t->fd = -EBADF;
		return;
	}
	t->was_foreground = tcgetpgrp(t->fd) == getpgrp();
}

/* The last number of "NSpid: 4711 2": the pid in the innermost namespace. 0 if there is none. */
static int inner_pid(int pid)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4 * 4097);
	char path[40];
	const char *p;
	int last = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (file_read(AT_FDCWD, path, &b) < 0)
		return 0;
	p = strstr((const char *)buf_data(&b), "\nNSpid:");
	if (!p)
		return 0;
	for (p += 7; *p == '\t' || *p == ' ';) {
		char *end;

		last = (int)strtol(p, &end, 10);
		p = end;
	}
	return last;
}

void terminal_found_command(struct terminal *t, int cgroup, int inner)
{
	_cleanup_buf_ struct buf b = BUF_INIT(64 * 4097);
	const char *p;

	if (t->fd < 0 || file_read(cgroup, "cgroup.procs", &b) < 0)
		return;
	for (p = (const char *)buf_data(&b); *p;) {
		char *end;
		long pid = strtol(p, &end, 10);

		if (end == p)
			return;
		if (pid > 0 && inner_pid((int)pid) == inner) {
			t->command = (pid_t)pid;
			return;
		}
		p = end + strspn(end, "\n");
	}
}

/* COMMAND's process group as seen from here; 0 = not known. */
static pid_t command_group(const struct terminal *t)
{
	pid_t g = t->command > 0 ? getpgid(t->command) : 0;

	return g > 0 ? g : 0;
}

bool terminal_reaches_command(const struct terminal *t)
{
	return command_group(t) == getpgrp();
}

void terminal_command_stopped(const struct terminal *t)
{
	pid_t group = command_group(t);

	if (t->fd < 0)
		return;
	if (group > 0 && tcgetpgrp(t->fd) == group)
		(void)tcsetpgrp(t->fd, getpgrp());
	(void)raise(SIGSTOP);
}

void terminal_continued(const struct terminal *t)
{
	pid_t group = command_group(t);

	if (t->fd < 0 || group == 0 || group == getpgrp())
		return;
	if (tcgetpgrp(t->fd) == getpgrp())
		(void)tcsetpgrp(t->fd, group);
	(void)kill(-group, SIGCONT);
}

void terminal_done(struct terminal *t)
{
	pid_t front = t->fd >= 0 ? tcgetpgrp(t->fd) : -1;

	/* A group that lives is a shell, or a job that the user has put in front of us. */
	if (t->was_foreground && front > 0 && front != getpgrp() && kill(-front, 0) < 0 &&
	    errno == ESRCH)
		(void)tcsetpgrp(t->fd, getpgrp());
	fd_close(&t->fd);
}
