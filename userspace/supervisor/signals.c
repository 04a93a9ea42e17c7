/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as a descriptor. */
#include "supervisor/signals.h"

#include "supervisor/files.h"

/* What comes in through the descriptor. */
static const int taken[] = { SIGINT,  SIGTERM,	SIGHUP,	 SIGQUIT, SIGUSR1,
			     SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP, SIGCHLD };

/*
 * Writing to a reader that is gone, and touching the terminal from the background, must not end or
 * stop us. An ignored SIGCHLD would hide our children's ends.
 */
static const struct {
	int number;
	void (*handler)(int);
} changed[SIGNALS_CHANGED] = {
	{ SIGPIPE, SIG_IGN },
	{ SIGTTOU, SIG_IGN },
	{ SIGTTIN, SIG_IGN },
	{ SIGCHLD, SIG_DFL },
};

int signals_take(struct signals *s)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		(void)sigaddset(&set, taken[i]);
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->fd < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++) {
		struct sigaction a = { .sa_handler = changed[i].handler };

		if (sigaction(changed[i].number, &a, &s->old[i]) < 0)
			return -errno;
	}
	return sigprocmask(SIG_BLOCK, &set, &s->mask) < 0 ? -errno : 0;
}

void signals_restore(const struct signals *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++)
		(void)sigaction(changed[i].number, &s->old[i], NULL);
	(void)sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

void signals_give_back(struct signals *s)
{
	struct signalfd_siginfo drop;

	if (s->fd < 0)
		return;
	while (signals_next(s, &drop))
		;
	signals_restore(s);
	fd_close(&s->fd);
}

bool signals_next(const struct signals *s, struct signalfd_siginfo *ret)
{
	return s->fd >= 0 && read(s->fd, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret);
}

int signals_asked_to_end(const struct signals *s)
{
	struct signalfd_siginfo i;

	while (signals_next(s, &i))
		switch (i.ssi_signo) {
		case SIGINT:
		case SIGTERM:
		case SIGHUP:
		case SIGQUIT:
			return (int)i.ssi_signo;
		default:
			break;
		}
	return 0;
}
