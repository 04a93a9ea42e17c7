/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The init role: the first process of the sandbox's pid namespace.
 *
 * It starts as root, builds what the sandbox sees, starts COMMAND confined, and then keeps one
 * right only, to signal COMMAND. From then on it collects the dead and tells the supervisor how
 * COMMAND fares. When it ends, for whatever reason, the kernel ends every process of the namespace:
 * so it ends when COMMAND does, when the supervisor is gone, and on any error.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"
#include "ipc/setup.h"
#include "supervisor/command.h"
#include "supervisor/files.h"
#include "supervisor/run.h"
#include "supervisor/view.h"

/* Arguments and environment come twice: as text, and as a list of pointers to it. */
#define ARENA_MAX (32 * 1024 * 1024)

struct init {
	int channel;
	int children; /* signalfd: SIGCHLD */
	struct command_signals signals;
	struct arena arena;
	struct init_setup setup;
	pid_t command;
	struct why why;
};

/* Signals to the supervisor's process group, of which init is one, are the supervisor's business.
 */
static int prepare_signals(struct init *in)
{
	static const int ignored[] = { SIGINT,	SIGQUIT, SIGTERM, SIGHUP,
				       SIGTSTP, SIGTTOU, SIGTTIN, SIGPIPE };
	sigset_t set;

	command_signals_save(&in->signals);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	/* An ignored SIGCHLD would keep the ends of children from us. */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -errno;
	in->children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return in->children < 0 ? -errno : 0;
}

/* Descriptors 0 to 2 exist afterwards: else what is opened next would be COMMAND's standard output.
 */
static int fill_stdio(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -EBADF;
	return 0;
}

static int prepare(struct init *in)
{
	int r = confine_process();

	if (r == 0)
		r = fill_stdio();
	if (r == 0)
		r = confine_fds(STDERR_FILENO + 1, &in->channel, 1);
	if (r == 0 && fcntl(in->channel, F_SETFD, FD_CLOEXEC) < 0)
		r = -errno;
	if (r == 0)
		r = prepare_signals(in);
	if (r == 0 && chdir("/") < 0)
		r = -errno;
	return r < 0 ? why_set(&in->why, r, "cannot protect the sandbox's first process: %s",
			       strerror(-r))
		     : 0;
}

static int receive(struct init *in, enum message_type type, struct message *ret)
{
	int r = channel_recv(in->channel, ret);

	if (r == 0 && ret->type != type)
		r = -EBADMSG;
	return r;
}

static int receive_setup(struct init *in)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	int r = receive(in, MSG_INIT_SETUP, &m);

	if (r == 0)
		r = init_setup_get(&m, &in->arena, &in->setup);
	return r < 0 ? why_set(&in->why, r, "cannot read what the sandbox should be: %s",
			       strerror(-r))
		     : 0;
}

static int report(const struct init *in, enum command_state state, int value)
{
	_cleanup_buf_ struct buf body = BUF_INIT(64);
	const struct status_note note = { state, value };
	int r = status_note_put(&body, &note);

	return r < 0 ? r : channel_send(in->channel, MSG_STATUS, buf_str(&body), NULL, 0);
}

/* Until the supervisor says go. -EPIPE: it will not. */
static int await_go(struct init *in)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	int r = channel_send(in->channel, MSG_READY, STR_LIT(""), NULL, 0);

	return r < 0 ? r : receive(in, MSG_GO, &m);
}

/* Only the right to signal a process of another user is left, and the same system calls as
 * COMMAND's. */
static int give_up_rights(struct init *in)
{
	int r = confine_capabilities((uint64_t)1 << CAP_KILL);

	if (r == 0)
		r = confine_no_new_privs();
	if (r == 0)
		r = confine_seccomp_command();
	return r < 0 ? why_set(&in->why, r, "cannot give up init's rights: %s", strerror(-r)) : 0;
}

/* 1: COMMAND has ended, and the supervisor knows. 0: it goes on. -errno: the supervisor is gone. */
static int note_change(const struct init *in, const siginfo_t *si)
{
	int r;

	if (si->si_pid != in->command)
		return 0;
	switch (si->si_code) {
	case CLD_EXITED:
		r = report(in, COMMAND_EXITED, si->si_status);
		return r < 0 ? r : 1;
	case CLD_KILLED:
	case CLD_DUMPED:
		r = report(in, COMMAND_KILLED, si->si_status);
		return r < 0 ? r : 1;
	case CLD_STOPPED:
		return report(in, COMMAND_STOPPED, si->si_status);
	case CLD_CONTINUED:
		return report(in, COMMAND_CONTINUED, 0);
	default:
		return 0;
	}
}

/* Collects every change there is, COMMAND's and that of orphans. As note_change(). */
static int collect(const struct init *in)
{
	struct signalfd_siginfo drop;

	while (read(in->children, &drop, sizeof(drop)) > 0)
		;
	for (;;) {
		siginfo_t si = { 0 };
		int r;

		if (waitid(P_ALL, 0, &si, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | __WALL) < 0)
			return errno == ECHILD ? 0 : -errno;
		if (si.si_pid == 0)
			return 0;
		r = note_change(in, &si);
		if (r != 0)
			return r;
	}
}

static int pass_on(const struct init *in)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	uint32_t sig;
	int r = channel_recv(in->channel, &m);

	if (r < 0 || m.type != MSG_SIGNAL)
		return r < 0 ? r : -EBADMSG;
	r = message_u32(&m, &sig);
	if (r < 0 || sig == 0 || sig >= _NSIG)
		return -EBADMSG;
	command_signal(in->command, (int)sig);
	return 0;
}

/* Until COMMAND has ended. 0 or -errno. */
static int watch(const struct init *in)
{
	struct pollfd p[] = { { .fd = in->children, .events = POLLIN },
			      { .fd = in->channel, .events = POLLIN } };

	for (;;) {
		int r = collect(in);

		if (r != 0)
			return r < 0 ? r : 0;
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents) {
			r = pass_on(in);
			if (r < 0)
				return r;
		}
	}
}

/* 1: COMMAND runs. 0: it could not be executed, and the supervisor knows. -errno and a sentence. */
static int start_command(struct init *in)
{
	int err, r = command_start(&in->setup, &in->signals, &in->command, &err, &in->why);

	if (r < 0 && err)
		return report(in, COMMAND_NOT_RUN, err);
	if (r == 0)
		r = give_up_rights(in);
	if (r == 0)
		r = report(in, COMMAND_PID, (int)in->command);
	return r < 0 ? r : 1;
}

static int live(struct init *in)
{
	int r = prepare(in);

	if (r == 0)
		r = receive_setup(in);
	if (r == 0)
		r = view_build(&in->setup, &in->why);
	if (r == 0)
		r = await_go(in);
	if (r == 0)
		r = start_command(in);
	return r > 0 ? watch(in) : r;
}

int supervisor_init_main(int channel)
{
	static struct init in = { .children = -EBADF };
	int r;

	in.channel = channel;
	arena_init(&in.arena, ARENA_MAX);
	r = live(&in);
	if (r == 0)
		return 0;
	/* If nobody listens any more, nobody needs to know. */
	if (*in.why.text)
		(void)!channel_send(channel, MSG_FAILED, str_of(in.why.text), NULL, 0);
	return 125;
}
