/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's signals: read from a descriptor while it lives, and put back as the caller had
 * them for what it starts (a COMMAND under nohup still ignores SIGHUP).
 */
#ifndef NONO_SUPERVISOR_SIGNALS_H
#define NONO_SUPERVISOR_SIGNALS_H

#include <signal.h>
#include <sys/signalfd.h>

#include "base/defs.h"

#define SIGNALS_CHANGED 4

struct signals {
	int fd; /* signalfd, non-blocking; -EBADF before signals_take() */
	sigset_t mask;
	struct sigaction old[SIGNALS_CHANGED];
};

#define SIGNALS_INIT         \
	{                    \
		.fd = -EBADF \
	}

_must_check_ int signals_take(struct signals *s);

/* In a child, before it executes. */
void signals_restore(const struct signals *s);

/* Puts everything back and closes the descriptor. Signals that came last are dropped: they were
 * meant for the sandbox. */
void signals_give_back(struct signals *s);

/* The next one. False if there is none. */
bool signals_next(const struct signals *s, struct signalfd_siginfo *ret);

/* Has a signal arrived that asks us to end? Its number, or 0; everything else that waits is
 * dropped. */
int signals_asked_to_end(const struct signals *s);

#endif
