/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's process: starting it with one socket and nothing else of ours, waiting for its line and for its
 * end, and ending it. It is known by its pidfd: a number could be somebody else's by the time it is
 * used, since a host may reap every child or have the kernel do it.
 */
#ifndef NONO_API_CHILD_H
#define NONO_API_CHILD_H

#include <sys/types.h>

#include "base/defs.h"

/* The descriptor that the proxy has its end of the socket as: standard output. */
#define CHILD_CHANNEL 1

struct child {
	pid_t pid;
	int pidfd;   /* negative: it had ended, and was reaped, before we could ask for it */
	int channel; /* our end; the proxy ends when this one is shut down or closed */
};

#define CHILD_INIT                                            \
	{                                                     \
		.pid = -1, .pidfd = -EBADF, .channel = -EBADF \
	}

/* What came of waiting for the end. */
enum child_end {
	CHILD_RUNS,
	CHILD_EXITED,
	CHILD_SIGNALLED,
	CHILD_GONE, /* ended; somebody else has its status */
};

/* Where the program is installed. */
const char *child_program(void);

/*
 * Starts the program. `log_fd` becomes its standard error, or nothing does (-1). 0, or -errno after a
 * sentence. What a failed start leaves is ended by child_kill() all the same.
 */
_must_check_ int child_start(const char *program, char *const *words, int log_fd,
			     struct child *ret);

/*
 * Reads one line from it, without its line end, into `line` until `deadline` (ms of the monotonic
 * clock). The length; -EMSGSIZE when n bytes hold no line end, -EPIPE when the process ended or closed
 * its end first, -ETIMEDOUT. No sentence.
 */
_must_check_ ssize_t child_line(const struct child *c, char *line, size_t n, int64_t deadline);

/* Waits for its end, for so long at most, and reaps it. `ret` is the exit status or the signal. */
enum child_end child_await(struct child *c, int timeout_ms, int *ret);

bool child_runs(const struct child *c);

/* Ends it, gently for drain_ms, and gives back everything. Nothing to do is fine. */
void child_finish(struct child *c, int drain_ms);
/* The same without patience. */
void child_kill(struct child *c);
/* Gives back everything but the process itself: for a process that does not own it. */
void child_forget(struct child *c);

int64_t child_now_ms(void);

#endif
