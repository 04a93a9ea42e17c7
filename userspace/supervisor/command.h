/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COMMAND, as init starts it: confined first, executed then.
 */
#ifndef NONO_SUPERVISOR_COMMAND_H
#define NONO_SUPERVISOR_COMMAND_H

#include <signal.h>
#include <sys/types.h>

#include "ipc/setup.h"
#include "supervisor/why.h"

/* How the caller had its signals: COMMAND gets them so (under nohup it ignores SIGHUP). */
struct command_signals {
	sigset_t ignored, blocked;
};

/* To be called before the process changes any. */
void command_signals_save(struct command_signals *ret);

/*
 * Starts COMMAND. 0: it is being executed, and *ret_pid is its pid here. Otherwise nothing runs:
 * with ret_errno set, execve() said so; with ret_errno 0, -errno and a sentence about what came
 * before.
 */
_must_check_ int command_start(const struct init_setup *s, const struct command_signals *signals,
			       pid_t *ret_pid, int *ret_errno, struct why *why);

/*
 * Passes a signal on. Those that stop and continue go to its whole process group, as the terminal
 * sends them: a program that is continued alone would wait for stopped children.
 */
void command_signal(pid_t pid, int sig);

#endif
