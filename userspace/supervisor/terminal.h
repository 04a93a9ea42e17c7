/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controlling terminal: the shell that started us knows only our process group, COMMAND may
 * have one of its own in the foreground. Stopping and continuing is passed on between the two.
 */
#ifndef NONO_SUPERVISOR_TERMINAL_H
#define NONO_SUPERVISOR_TERMINAL_H

#include <sys/types.h>

#include "base/defs.h"

struct terminal {
	int fd;		     /* -EBADF: there is none */
	bool was_foreground; /* we were, at the start */
	pid_t command;	     /* COMMAND as seen from here; 0 = not known (yet) */
};

#define TERMINAL_INIT        \
	{                    \
		.fd = -EBADF \
	}

void terminal_open(struct terminal *t);

/* COMMAND runs: `inner` is its pid in the sandbox's namespace. */
void terminal_found_command(struct terminal *t, int cgroup, int inner);

/* Did the terminal send this signal to COMMAND as well? True when COMMAND is in our own process
 * group. */
bool terminal_reaches_command(const struct terminal *t);

/* COMMAND has stopped: the terminal comes back to us, and we stop, so that the shell takes over.
 * Returns when we go on. */
void terminal_command_stopped(const struct terminal *t);

/* We go on: in the foreground, the terminal goes to COMMAND's group again. */
void terminal_continued(const struct terminal *t);

/* The end: the terminal comes back to us if we had it, unless somebody else uses it by now. */
void terminal_done(struct terminal *t);

#endif
