/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From fork to execve.
 *
 * The child reports what goes wrong through a pipe that closes by itself when the execution
 * succeeds. The order of its steps: the terminal while it is still root; identity before the
 * working directory, which perhaps only the user may enter; capabilities after identity (see
 * confine/confine.c); the system call filter last, because everything before would have to pass it.
 */
#include "supervisor/command.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "confine/confine.h"
#include "supervisor/files.h"

enum step { STEP_IDENTITY, STEP_CAPABILITIES, STEP_PRIVILEGES, STEP_FDS, STEP_SECCOMP, STEP_EXEC };

static const char *const step_words[] = {
	[STEP_IDENTITY] = "become the user that COMMAND runs as",
	[STEP_CAPABILITIES] = "give up capabilities",
	[STEP_PRIVILEGES] = "rule out new privileges (no_new_privs)",
	[STEP_FDS] = "close inherited descriptors",
	[STEP_SECCOMP] = "install the system call filter (the kernel needs CONFIG_SECCOMP_FILTER)",
	[STEP_EXEC] = "execute COMMAND",
};

struct report {
	int step, error;
};

void command_signals_save(struct command_signals *ret)
{
	(void)sigemptyset(&ret->ignored);
	for (int sig = 1; sig < _NSIG; sig++) {
		struct sigaction a;

		if (sigaction(sig, NULL, &a) == 0 && a.sa_handler == SIG_IGN)
			(void)sigaddset(&ret->ignored, sig);
	}
	(void)sigprocmask(SIG_BLOCK, NULL, &ret->blocked);
}

static void restore_signals(const struct command_signals *s)
{
	confine_reset_signals();
	for (int sig = 1; sig < _NSIG; sig++)
		if (sigismember(&s->ignored, sig) == 1)
			(void)signal(sig, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &s->blocked, NULL);
}

/*
 * Is our process group the foreground one of this terminal? Group ids mean nothing across pid
 * namespaces (the kernel says 0), but reading tells: with SIGTTIN blocked it is EIO from the
 * background. Of nothing, nothing is read.
 */
static bool in_foreground(int tty)
{
	char nothing;

	return read(tty, &nothing, 0) == 0;
}

/*
 * COMMAND gets a process group of its own, which becomes the terminal's if ours was. One exception:
 * when standard output goes from the terminal's foreground into a pipe, a pager outside may be in
 * our group and needs the terminal too; COMMAND then stays with it.
 */
static void take_terminal(void)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	sigset_t job, old;

	(void)sigemptyset(&job);
	(void)sigaddset(&job, SIGTTIN);
	(void)sigaddset(&job, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &job, &old);
	if (tty < 0 || !in_foreground(tty)) {
		(void)setpgid(0, 0);
	} else if (isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		(void)setpgid(0, 0);
		(void)tcsetpgrp(tty, getpid());
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	if (tty >= 0)
		(void)close(tty);
}

/* The user's own directory may be out of reach (it is hidden, or it is gone): the root is always
 * there. */
static int enter_directory(const char *cwd)
{
	if (*cwd && chdir(cwd) == 0)
		return 0;
	return chdir("/") < 0 ? -errno : 0;
}

/* Returns only on failure: the step in *step, -errno. */
static int confine_and_execute(const struct init_setup *s, const struct command_signals *signals,
			       int report, enum step *step)
{
	bool root = s->uid == 0 && s->root_caps;
	int r;

	*step = STEP_IDENTITY;
	r = confine_identity(s->uid, s->gid);
	if (r == 0)
		r = enter_directory(s->cwd);
	if (r < 0)
		return r;
	*step = STEP_CAPABILITIES;
	r = confine_capabilities(root ? confine_root_capabilities() : 0);
	if (r < 0)
		return r;
	*step = STEP_PRIVILEGES;
	r = confine_no_new_privs();
	if (r < 0)
		return r;
	*step = STEP_FDS;
	r = confine_fds(STDERR_FILENO + 1, &report, 1);
	if (r < 0)
		return r;
	restore_signals(signals);
	*step = STEP_SECCOMP;
	r = confine_seccomp_command();
	if (r < 0)
		return r;
	*step = STEP_EXEC;
	/* So that the search uses COMMAND's own PATH. */
	environ = (char **)(uintptr_t)s->envp;
	(void)execvp(s->argv[0], (char *const *)(uintptr_t)s->argv);
	return -errno;
}

static _Noreturn void child(const struct init_setup *s, const struct command_signals *signals,
			    int report)
{
	enum step step;
	struct report rep;

	take_terminal();
	rep.error = -confine_and_execute(s, signals, report, &step);
	rep.step = (int)step;
	(void)!write(report, &rep, sizeof(rep));
	_exit(125);
}

/* Waits for the pipe to close. 0: executed. 1: *ret says why not. */
static int read_report(int fd, struct report *ret)
{
	ssize_t n;

	do
		n = read(fd, ret, sizeof(*ret));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*ret);
}

int command_start(const struct init_setup *s, const struct command_signals *signals, pid_t *ret_pid,
		  int *ret_errno, struct why *why)
{
	struct report rep;
	int fds[2];
	pid_t pid;

	*ret_errno = 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return why_set(why, -errno, "cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		child(s, signals, fds[1]);
	(void)close(fds[1]);
	if (pid < 0) {
		int err = -errno;

		(void)close(fds[0]);
		return why_set(why, err, "cannot make a process for COMMAND: %s", strerror(-err));
	}
	if (!read_report(fds[0], &rep)) {
		(void)close(fds[0]);
		*ret_pid = pid;
		return 0;
	}
	(void)close(fds[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (rep.step == STEP_EXEC)
		*ret_errno = rep.error;
	return why_set(why, -rep.error, "cannot %s: %s", step_words[rep.step], strerror(rep.error));
}

void command_signal(pid_t pid, int sig)
{
	switch (sig) {
	case SIGCONT:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		if (kill(-pid, sig) == 0)
			return;
		break;
	default:
		break;
	}
	(void)kill(pid, sig);
}
