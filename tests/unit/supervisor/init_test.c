/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The init role from the other end of its channel: how COMMAND is started, what it has and has not,
 * and how its life is told. Each test has namespaces of its own, which end with it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"
#include "ipc/setup.h"
#include "supervisor/run.h"

#define SOME_UID 54321
#define SOME_GID 54322
#define LIMIT_S	 20

struct box {
	pid_t pid; /* stands between us and init, and ends like it */
	int channel, out;
	pid_t front;	      /* the group that has the terminal, if another one should */
	void (*before)(void); /* in init, before its role begins; may be NULL */
	char text[2048];
};

static const char *const nothing[] = { NULL };
static const char *const plain_env[] = { "PATH=/usr/bin:/bin", "A=b c", NULL };

static struct init_setup setup_for(const char *const *argv)
{
	return (struct init_setup){ .uid = SOME_UID,
				    .gid = SOME_GID,
				    .private_network = true,
				    .cwd = "/",
				    .resolv_conf = "",
				    .hosts = "",
				    .mask = nothing,
				    .argv = argv,
				    .envp = plain_env,
				    .command_tty = "" };
}

/* Between the test and init: enters the namespaces. Never returns. */
static _Noreturn void become_init(struct box *b, int channel, int out)
{
	const gid_t groups[] = { 1, 2, 3 };
	int status;
	pid_t pid;

	if (setgroups(3, groups) < 0 || unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) < 0)
		_exit(99);
	pid = fork();
	if (pid == 0) {
		confine_reset_signals(); /* however the test itself was started */
		if (b->before)
			b->before();
		if (out >= 0 && dup2(out, STDOUT_FILENO) < 0)
			_exit(98);
		_exit(supervisor_init_main(channel));
	}
	(void)close(channel);
	if (out >= 0)
		(void)close(out);
	(void)waitpid(pid, &status, 0);
	if (b->front > 0 && kill(b->front, SIGKILL) == 0)
		(void)waitpid(b->front, NULL, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
}

static void box_open(struct box *b)
{
	const struct timeval limit = { .tv_sec = LIMIT_S };
	int channel[2], out[2];

	if (geteuid() != 0) {
		print_message("SKIPPED: only root can make namespaces and mounts\n");
		skip();
	}
	assert_int_equal(channel_pair(channel), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	(void)fflush(NULL);
	b->pid = fork();
	assert_true(b->pid >= 0);
	if (b->pid == 0) {
		(void)close(channel[0]);
		become_init(b, channel[1], out[1]);
	}
	(void)close(channel[1]);
	(void)close(out[1]);
	b->channel = channel[0];
	b->out = out[0];
	assert_int_equal(setsockopt(b->channel, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
}

static void send_setup(struct box *b, const struct init_setup *s)
{
	struct message m = MESSAGE_INIT;

	assert_int_equal(init_setup_send(b->channel, s), 0);
	assert_int_equal(channel_recv(b->channel, &m), 0);
	if (m.type == MSG_FAILED)
		fail_msg("%.*s", STR_FMT(message_sentence(&m)));
	assert_int_equal(m.type, MSG_READY);
	message_done(&m);
}

static void say(struct box *b, enum message_type type)
{
	assert_int_equal(channel_send(b->channel, type, STR_LIT(""), NULL, 0), 0);
}

static void send_signal(struct box *b, uint32_t sig)
{
	struct buf body = BUF_INIT(4);

	assert_int_equal(buf_append_u32(&body, sig), 0);
	assert_int_equal(channel_send(b->channel, MSG_SIGNAL, buf_str(&body), NULL, 0), 0);
	buf_done(&body);
}

/* The next state must be this one; its value. */
static int expect(struct box *b, enum command_state state)
{
	struct message m = MESSAGE_INIT;
	struct status_note n;

	assert_int_equal(channel_recv(b->channel, &m), 0);
	if (m.type == MSG_FAILED)
		fail_msg("%.*s", STR_FMT(message_sentence(&m)));
	assert_int_equal(status_note_get(&m, &n), 0);
	assert_int_equal(n.state, state);
	message_done(&m);
	return n.value;
}

static void box_start(struct box *b, const struct init_setup *s)
{
	box_open(b);
	send_setup(b, s);
	say(b, MSG_GO);
	assert_true(expect(b, COMMAND_PID) > 1);
}

/* All that COMMAND prints, until nobody can print any more. */
static const char *output(struct box *b)
{
	size_t n = 0;

	for (;;) {
		ssize_t r = read(b->out, b->text + n, sizeof(b->text) - 1 - n);

		assert_true(r >= 0);
		n += (size_t)r;
		if (r == 0 || n == sizeof(b->text) - 1)
			break;
	}
	b->text[n] = '\0';
	return b->text;
}

/* Reads one line: for waiting until COMMAND has come somewhere. */
static void await_line(struct box *b, const char *line)
{
	size_t n = 0;

	while (n < sizeof(b->text) - 1 && read(b->out, b->text + n, 1) == 1 && b->text[n] != '\n')
		n++;
	b->text[n] = '\0';
	assert_string_equal(b->text, line);
}

/* Init has ended; how. */
static int box_close(struct box *b)
{
	int status;

	(void)close(b->channel);
	(void)close(b->out);
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* ---- COMMAND's end ---- */

static void test_exit_status(void **state)
{
	const char *const argv[] = { "sh", "-c", "exit 42", NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_EXITED), 42);
	assert_int_equal(box_close(&b), 0);
}

static void test_killed_by_a_signal(void **state)
{
	const char *const argv[] = { "sh", "-c", "kill -SEGV $$", NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_KILLED), SIGSEGV);
	assert_int_equal(box_close(&b), 0);
}

static void test_what_cannot_be_executed(void **state)
{
	static const struct {
		const char *why, *command;
		int error;
	} rows[] = {
		{ "nowhere in PATH", "no-such-command-here", ENOENT },
		{ "no such file", "/no/such/file", ENOENT },
		{ "not executable", "/etc/passwd", EACCES },
		{ "a directory", "/", EACCES },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *const argv[] = { rows[i].command, NULL };
		struct init_setup s = setup_for(argv);
		struct box b = { 0 };
		int got;

		box_open(&b);
		send_setup(&b, &s);
		say(&b, MSG_GO);
		got = expect(&b, COMMAND_NOT_RUN);
		if (got != rows[i].error)
			fail_msg("%s: errno %d", rows[i].why, got);
		assert_int_equal(box_close(&b), 0);
	}
}

/* What COMMAND leaves running ends with it: the pipe that it holds is closed, or output() would not
 * return. */
static void test_left_processes_end(void **state)
{
	const char *const argv[] = { "sh", "-c", "(trap '' TERM HUP; exec sleep 1000) & exit 0",
				     NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_EXITED), 0);
	assert_string_equal(output(&b), "");
	assert_int_equal(box_close(&b), 0);
}

/* Orphans become init's children; none stays a zombie, and none is taken for COMMAND. */
static void test_orphans_are_collected(void **state)
{
	const char *const argv[] = {
		"sh", "-c",
		"for i in 1 2 3; do (sh -c 'exit 3' & ); done; "
		"while grep -q '^State:.Z' /proc/[0-9]*/status; do :; done 2>/dev/null; exit 5",
		NULL
	};
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_EXITED), 5);
	assert_int_equal(box_close(&b), 0);
}

/* ---- what COMMAND has ---- */

static void test_what_command_has(void **state)
{
	const char *const argv[] = { "sh", "-c",
				     "echo $(id -u) $(id -g) $(id -G); pwd; umask;"
				     "env | sort | grep -v -e ^PWD -e ^SHLVL -e ^_",
				     NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	s.cwd = "/usr";
	(void)umask(027);
	box_start(&b, &s);
	(void)umask(022);
	assert_int_equal(expect(&b, COMMAND_EXITED), 0);
	assert_string_equal(output(&b), "54321 54322 54322\n"
					"/usr\n"
					"0027\n"
					"A=b c\n"
					"PATH=/usr/bin:/bin\n");
	assert_int_equal(box_close(&b), 0);
}

static void test_what_command_has_not(void **state)
{
	const char *const argv[] = { "grep",	"-e", "^Cap",	   "-e",
				     "^NoNew",	"-e", "^Seccomp:", "-e",
				     "^SigBlk", "-e", "^SigIgn",   "/proc/self/status",
				     NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_EXITED), 0);
	assert_string_equal(output(&b), "SigBlk:\t0000000000000000\n"
					"SigIgn:\t0000000000000000\n"
					"CapInh:\t0000000000000000\n"
					"CapPrm:\t0000000000000000\n"
					"CapEff:\t0000000000000000\n"
					"CapBnd:\t0000000000000000\n"
					"CapAmb:\t0000000000000000\n"
					"NoNewPrivs:\t1\n"
					"Seccomp:\t2\n");
	assert_int_equal(box_close(&b), 0);
}

/* The fourth is the directory that ls reads. */
static void test_only_standard_descriptors(void **state)
{
	const char *const argv[] = { "ls", "/proc/self/fd", NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_EXITED), 0);
	assert_string_equal(output(&b), "0\n1\n2\n3\n");
	assert_int_equal(box_close(&b), 0);
}

static void test_root_has_the_engines_list(void **state)
{
	const char *const argv[] = { "sh", "-c",
				     "id -u; id -G; grep -e ^CapEff -e ^CapBnd /proc/self/status",
				     NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	s.uid = s.gid = 0;
	s.root_caps = s.private_dev = true;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_EXITED), 0);
	assert_string_equal(output(&b), "0\n0\n"
					"CapEff:\t00000000000405fb\n"
					"CapBnd:\t00000000000405fb\n");
	assert_int_equal(box_close(&b), 0);
}

static void test_path_is_commands_own(void **state)
{
	static const char *const env[] = { "PATH=/no/such/place", NULL };
	const char *const argv[] = { "true", NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	s.envp = env;
	box_open(&b);
	send_setup(&b, &s);
	say(&b, MSG_GO);
	assert_int_equal(expect(&b, COMMAND_NOT_RUN), ENOENT);
	assert_int_equal(box_close(&b), 0);
}

static void test_working_directory_out_of_reach(void **state)
{
	static const char *const places[] = { "/no/such/place", "/root/private", "" };
	const char *const argv[] = { "pwd", NULL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct init_setup s = setup_for(argv);
		struct box b = { 0 };

		s.cwd = places[i];
		box_start(&b, &s);
		assert_int_equal(expect(&b, COMMAND_EXITED), 0);
		assert_string_equal(output(&b), "/\n");
		assert_int_equal(box_close(&b), 0);
	}
}

/* Init itself: what a sandboxed process sees of it, and can do to it. */
static void test_init_is_confined_and_out_of_reach(void **state)
{
	const char *const argv[] = {
		"sh", "-c",
		"i() { grep -e ^CapEff -e ^CapBnd -e ^NoNew -e ^Seccomp: /proc/1/status; };"
		"while ! i | grep -q '^Seccomp:.2'; do :; done; i;"
		"for f in root/ cwd/ fd/0 fd/3 exe; do readlink /proc/1/$f; ls /proc/1/$f; done "
		"2>/dev/null; cat /proc/1/mem /proc/1/environ 2>/dev/null || echo hidden;"
		"kill -KILL 1; kill -STOP 1; kill -TERM 1; echo there",
		NULL
	};
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	/* Even root inside, which may send it signals. */
	s.uid = s.gid = 0;
	s.root_caps = true;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_EXITED), 0);
	assert_string_equal(output(&b), "CapEff:\t0000000000000020\n"
					"CapBnd:\t0000000000000020\n"
					"NoNewPrivs:\t1\n"
					"Seccomp:\t2\n"
					"hidden\n"
					"there\n");
	assert_int_equal(box_close(&b), 0);
}

/* ---- signals ---- */

static void test_signals_are_passed_on(void **state)
{
	const char *const argv[] = {
		"sh", "-c",
		"trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.05; done", NULL
	};
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	await_line(&b, "ready");
	send_signal(&b, SIGUSR1);
	assert_int_equal(expect(&b, COMMAND_EXITED), 9);
	assert_string_equal(output(&b), "got\n");
	assert_int_equal(box_close(&b), 0);
}

static void test_stopping_and_continuing(void **state)
{
	const char *const argv[] = { "sh", "-c", "echo ready; exec sleep 1000", NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	await_line(&b, "ready");
	send_signal(&b, SIGSTOP);
	assert_int_equal(expect(&b, COMMAND_STOPPED), SIGSTOP);
	send_signal(&b, SIGCONT);
	(void)expect(&b, COMMAND_CONTINUED);
	send_signal(&b, SIGKILL);
	assert_int_equal(expect(&b, COMMAND_KILLED), SIGKILL);
	assert_int_equal(box_close(&b), 0);
}

/* Continuing goes to the whole group: a child that stopped would else be waited for in vain. */
static void test_continuing_reaches_the_whole_group(void **state)
{
	const char *const argv[] = {
		"sh", "-c",
		"t() { grep -q '^State:.T' /proc/$c/status; };"
		"trap 'while t; do :; done; exit 4' CONT; sleep 1000 & c=$!; kill -STOP $c;"
		"until t; do :; done; echo ready; while :; do sleep 0.05; done",
		NULL
	};
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	await_line(&b, "ready");
	send_signal(&b, SIGCONT);
	assert_int_equal(expect(&b, COMMAND_EXITED), 4);
	assert_int_equal(box_close(&b), 0);
}

static void ignore_hup(void)
{
	sigset_t set;

	(void)signal(SIGHUP, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Under nohup COMMAND ignores SIGHUP too; a mask is the caller's as well. */
static void test_the_callers_signals_are_kept(void **state)
{
	const char *const argv[] = { "grep", "-e", "^SigBlk", "-e", "^SigIgn", "/proc/self/status",
				     NULL };
	struct init_setup s = setup_for(argv);
	struct box b = { .before = ignore_hup };

	(void)state;
	box_start(&b, &s);
	assert_int_equal(expect(&b, COMMAND_EXITED), 0);
	assert_string_equal(output(&b), "SigBlk:\t0000000000000800\n"
					"SigIgn:\t0000000000000001\n");
	assert_int_equal(box_close(&b), 0);
}

/* ---- the supervisor's end, and nonsense ---- */

static void test_sandbox_ends_with_the_channel(void **state)
{
	const char *const argv[] = {
		"sh", "-c", "trap '' TERM HUP INT; echo ready; while :; do sleep 1000; done", NULL
	};
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };

	(void)state;
	box_start(&b, &s);
	await_line(&b, "ready");
	(void)close(b.channel);
	b.channel = -1;
	assert_string_equal(output(&b), "");
	assert_int_equal(box_close(&b), 125);
}

static void test_nothing_runs_without_go(void **state)
{
	const char *const argv[] = { "sh", "-c", "echo ran", NULL };
	struct init_setup s = setup_for(argv);
	static const int instead[] = { -1, MSG_READY, MSG_SIGNAL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(instead); i++) {
		struct box b = { 0 };

		box_open(&b);
		send_setup(&b, &s);
		if (instead[i] >= 0)
			say(&b, (enum message_type)instead[i]);
		(void)shutdown(b.channel, SHUT_WR);
		assert_string_equal(output(&b), "");
		assert_int_equal(box_close(&b), 125);
	}
}

static void test_nonsense_instead_of_a_setup(void **state)
{
	struct box b = { 0 };
	struct message m = MESSAGE_INIT;

	(void)state;
	box_open(&b);
	assert_int_equal(channel_send(b.channel, MSG_INIT_SETUP, STR_LIT("abc"), NULL, 0), 0);
	assert_int_equal(channel_recv(b.channel, &m), 0);
	assert_int_equal(m.type, MSG_FAILED);
	assert_true(message_sentence(&m).n > 10);
	message_done(&m);
	assert_int_equal(box_close(&b), 125);
}

static void test_nonsense_while_command_runs(void **state)
{
	static const uint32_t bad[] = { 0, 65, 1000, UINT32_MAX };
	const char *const argv[] = { "sh", "-c", "echo ready; while :; do sleep 1000; done", NULL };
	struct init_setup s = setup_for(argv);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct box b = { 0 };

		box_start(&b, &s);
		await_line(&b, "ready");
		send_signal(&b, bad[i]);
		assert_string_equal(output(&b), "");
		assert_int_equal(box_close(&b), 125);
	}
}

/* ---- the terminal ---- */

struct terminal_trial {
	bool background, stdout_is_pipe;
	const char *expected; /* COMMAND is the leader of its group; its group has the terminal */
};

/* The whole box as a session on a terminal of its own; prints nothing itself. */
static _Noreturn void live_on_terminal(const struct terminal_trial *t, int channel,
				       const char *name, int out)
{
	struct box b = { 0 };
	int tty;

	if (setsid() < 0)
		_exit(90);
	tty = open(name, O_RDWR);
	if (tty < 0 || dup2(tty, 0) < 0 || dup2(tty, 2) < 0)
		_exit(91);
	if (t->background) {
		/* Another group is in front. */
		pid_t front = fork();

		if (front == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			(void)pause();
			_exit(0);
		}
		b.front = front;
		(void)signal(SIGTTOU, SIG_IGN);
		if (setpgid(front, front) < 0 || tcsetpgrp(tty, front) < 0)
			_exit(92);
		(void)signal(SIGTTOU, SIG_DFL);
	}
	if (!t->stdout_is_pipe && dup2(tty, 1) < 0)
		_exit(93);
	become_init(&b, channel, t->stdout_is_pipe ? out : -1);
}

/*
 * COMMAND tells on descriptor 2, the terminal, what it finds: field 5 of its stat is its group,
 * field 8 the terminal's; 0 is a group outside.
 */
static void try_terminal(const struct terminal_trial *t)
{
	const char *const argv[] = {
		"sh", "-c",
		"read -r a b c d group e f front rest </proc/self/stat; "
		"read -r self rest </proc/self/stat; "
		"[ $group = 0 ] && g=shared || g=own; [ $front = 0 ] && f=outside || f=inside; "
		"echo $g $f >&2",
		NULL
	};
	const struct timeval limit = { .tv_sec = LIMIT_S };
	struct init_setup s = setup_for(argv);
	struct box b = { 0 };
	int channel[2], out[2], master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char name[64], text[256];
	size_t n = 0;

	if (geteuid() != 0) {
		print_message("SKIPPED: only root can make namespaces and mounts\n");
		skip();
	}
	assert_true(master >= 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
	assert_int_equal(channel_pair(channel), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	b.pid = fork();
	assert_true(b.pid >= 0);
	if (b.pid == 0)
		live_on_terminal(t, channel[1], name, out[1]);
	(void)close(channel[1]);
	(void)close(out[1]);
	b.channel = channel[0];
	b.out = out[0];
	assert_int_equal(setsockopt(b.channel, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	send_setup(&b, &s);
	say(&b, MSG_GO);
	(void)expect(&b, COMMAND_PID);
	assert_int_equal(expect(&b, COMMAND_EXITED), 0);
	while (n < sizeof(text) - 1 && read(master, text + n, 1) == 1 && text[n] != '\r')
		n++;
	text[n] = '\0';
	assert_string_equal(text, t->expected);
	assert_int_equal(box_close(&b), 0);
	(void)close(master);
}

static void test_terminal(void **state)
{
	static const struct terminal_trial rows[] = {
		{ false, false, "own inside" },
		{ true, false, "own outside" },
		{ false, true, "shared outside" },
		{ true, true, "own outside" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		try_terminal(&rows[i]);
}

/*
 * COMMAND keeps what its caller ignored, and a caller may be odd: make leaves signals 32 and 33 ignored, which only the system
 * call itself can mend.
 */
static void forget_signals(void)
{
	static const unsigned char by_default[32];

	for (int number = 1; number <= 64; number++)
		(void)syscall(SYS_rt_sigaction, number, by_default, NULL, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_status),
		cmocka_unit_test(test_killed_by_a_signal),
		cmocka_unit_test(test_what_cannot_be_executed),
		cmocka_unit_test(test_left_processes_end),
		cmocka_unit_test(test_orphans_are_collected),
		cmocka_unit_test(test_what_command_has),
		cmocka_unit_test(test_what_command_has_not),
		cmocka_unit_test(test_only_standard_descriptors),
		cmocka_unit_test(test_root_has_the_engines_list),
		cmocka_unit_test(test_path_is_commands_own),
		cmocka_unit_test(test_working_directory_out_of_reach),
		cmocka_unit_test(test_init_is_confined_and_out_of_reach),
		cmocka_unit_test(test_signals_are_passed_on),
		cmocka_unit_test(test_stopping_and_continuing),
		cmocka_unit_test(test_continuing_reaches_the_whole_group),
		cmocka_unit_test(test_the_callers_signals_are_kept),
		cmocka_unit_test(test_sandbox_ends_with_the_channel),
		cmocka_unit_test(test_nothing_runs_without_go),
		cmocka_unit_test(test_nonsense_instead_of_a_setup),
		cmocka_unit_test(test_nonsense_while_command_runs),
		cmocka_unit_test(test_terminal),
	};

	forget_signals();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
