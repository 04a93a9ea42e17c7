/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is given up is really gone. Everything happens in forked children: it cannot be undone. A
 * child that finds something wrong says where, and ends with 1.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <asm/ioctls.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"

#define SOME_UID 54321
#define SOME_GID 54322

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

/* In a child: ends it when the condition does not hold. */
#define must(condition)                                                                   \
	do {                                                                              \
		if (!(condition)) {                                                       \
			(void)fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, \
				      __LINE__, #condition, errno);                       \
			_exit(1);                                                         \
		}                                                                         \
	} while (0)

/* Refused with this errno, and not otherwise. */
#define must_fail(call, err) must((call) == -1 && errno == (err))

/* The wait status of a child that runs `fn`. */
static int status_of(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_fine(void (*fn)(void))
{
	assert_int_equal(status_of(fn), 0);
}

static void need_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("SKIPPED: this test must run as root to have something to give up\n");
	skip();
}

/* The value of a line of /proc/self/status. */
static void status_line(const char *key, char *ret, size_t n)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];

	must(f != NULL);
	ret[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		size_t k = strlen(key);

		if (strncmp(line, key, k) == 0 && line[k] == ':') {
			line[strcspn(line, "\n")] = '\0';
			(void)snprintf(ret, n, "%s", line + k + 1 + strspn(line + k + 1, " \t"));
		}
	}
	(void)fclose(f);
}

static void must_be(const char *key, const char *value)
{
	char got[200];

	status_line(key, got, sizeof(got));
	if (strcmp(got, value) != 0) {
		(void)fprintf(stderr, "%s is \"%s\", not \"%s\"\n", key, got, value);
		_exit(1);
	}
}

/* ---- identity and capabilities ---- */

/* Everything is inheritable: some login programs leave it so. */
static void make_inheritable(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	must(syscall(SYS_capget, &head, data) == 0);
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].inheritable = data[i].permitted;
	must(syscall(SYS_capset, &head, data) == 0);
}

static void become_nobody(void)
{
	const gid_t some[] = { 1, 2, 3 };

	must(setgroups(3, some) == 0);
	make_inheritable();
	must(confine_process() == 0);
	must(confine_identity(SOME_UID, SOME_GID) == 0);
	must(confine_capabilities(0) == 0);
	must(confine_no_new_privs() == 0);
	must(prctl(PR_GET_DUMPABLE) == 0);
}

static void child_gives_up_everything(void)
{
	int death = 0;

	become_nobody();
	must(prctl(PR_GET_PDEATHSIG, &death) == 0 && death == SIGKILL);
	/* Only now readable: the file belongs to root while the process is not dumpable. */
	must(prctl(PR_SET_DUMPABLE, 1) == 0);
	must_be("Uid", "54321\t54321\t54321\t54321");
	must_be("Gid", "54322\t54322\t54322\t54322");
	must_be("Groups", "");
	must_be("CapInh", "0000000000000000");
	must_be("CapPrm", "0000000000000000");
	must_be("CapEff", "0000000000000000");
	must_be("CapBnd", "0000000000000000");
	must_be("CapAmb", "0000000000000000");
	must_be("NoNewPrivs", "1");
	must_fail(setuid(0), EPERM);
	must_fail(setgid(0), EPERM);
	must_fail(setgroups(0, NULL), EPERM);
}

static void test_all_is_given_up(void **state)
{
	(void)state;
	need_root();
	assert_fine(child_gives_up_everything);
}

static void child_root_without_capabilities(void)
{
	must(confine_identity(0, 0) == 0);
	must(confine_capabilities(0) == 0);
	must(confine_no_new_privs() == 0);
	/* What counts is what root has after an execution. */
	(void)execl("/bin/grep", "grep", "-qx", "CapEff:\t0000000000000000", "/proc/self/status",
		    NULL);
	_exit(1);
}

static void test_root_gains_nothing_by_execution(void **state)
{
	(void)state;
	need_root();
	assert_fine(child_root_without_capabilities);
}

static void child_root_with_the_engines_list(void)
{
	/* CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT
	 */
	must(confine_identity(0, 0) == 0);
	must(confine_capabilities(confine_root_capabilities()) == 0);
	must_be("CapPrm", "00000000000405fb");
	must_be("CapEff", "00000000000405fb");
	must_be("CapBnd", "00000000000405fb");
	must_be("CapInh", "0000000000000000");
	must_fail(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
	must_fail(socket(AF_INET, SOCK_PACKET | SOCK_CLOEXEC, 0), EPERM);
	must(setgid(SOME_GID) == 0 && setuid(SOME_UID) == 0);
}

static void test_root_keeps_what_engines_give(void **state)
{
	(void)state;
	need_root();
	assert_fine(child_root_with_the_engines_list);
}

static void child_twice(void)
{
	become_nobody();
	/* Without any privilege what is already so can be asked for again, and nothing more. */
	must(confine_identity(SOME_UID, SOME_GID) == 0);
	must(confine_capabilities(0) == 0);
	must(confine_capabilities(confine_root_capabilities()) == 0);
	must(prctl(PR_SET_DUMPABLE, 1) == 0);
	must_be("CapPrm", "0000000000000000");
	must(confine_identity(0, 0) < 0);
	must(confine_identity((uid_t)-1, SOME_GID) < 0);
	must_be("Uid", "54321\t54321\t54321\t54321");
}

static void test_nothing_comes_back(void **state)
{
	(void)state;
	need_root();
	assert_fine(child_twice);
}

static void child_process(void)
{
	struct rlimit core, before;

	must(getrlimit(RLIMIT_CORE, &before) == 0);
	must(confine_process() == 0);
	must(prctl(PR_GET_DUMPABLE) == 0);
	must(getrlimit(RLIMIT_CORE, &core) == 0);
	must(core.rlim_cur == 0 && core.rlim_max == before.rlim_max);
}

static void test_process(void **state)
{
	(void)state;
	assert_fine(child_process);
}

/* ---- descriptors and signals ---- */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void child_fds(void)
{
	static const int places[] = { 10, 11, 12, 13, 50, 51, 200 };
	const int keep[] = { 51, 11, 5, 10 };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		must(dup2(STDERR_FILENO, places[i]) == places[i]);
	must(confine_fds(10, keep, ARRAY_SIZE(keep)) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		bool kept = places[i] == 10 || places[i] == 11 || places[i] == 51;

		must(is_open(places[i]) == kept);
	}
	must(is_open(STDERR_FILENO));
	must(confine_fds(10, NULL, 0) == 0);
	must(!is_open(10) && !is_open(51));
}

static void test_fds(void **state)
{
	(void)state;
	assert_fine(child_fds);
}

static void child_signals(void)
{
	struct sigaction a;
	sigset_t set;

	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigfillset(&set);
	must(sigprocmask(SIG_SETMASK, &set, NULL) == 0);
	confine_reset_signals();
	must(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
	for (int sig = 1; sig < _NSIG; sig++) {
		must(sigismember(&set, sig) != 1);
		if (sigaction(sig, NULL, &a) == 0)
			must(a.sa_handler == SIG_DFL);
	}
}

static void test_signals_are_reset(void **state)
{
	(void)state;
	assert_fine(child_signals);
}

/* ---- COMMAND's filter ---- */

static void filter_command(void)
{
	must(confine_no_new_privs() == 0);
	must(confine_seccomp_command() == 0);
}

static void child_families(void)
{
	static const int allowed[] = { AF_UNIX, AF_INET, AF_INET6 };

	filter_command();
	for (int family = 0; family < 300; family++) {
		bool may = family == AF_NETLINK;

		for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
			may = may || family == allowed[i];
		if (!may)
			must_fail(socket(family, SOCK_DGRAM, 0), EPERM);
	}
	must_fail(socket(AF_VSOCK, SOCK_STREAM, 0), EPERM);
	must_fail(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
	must_fail(socket(AF_ALG, SOCK_SEQPACKET, 0), EPERM);
	must_fail(socket(-1, SOCK_STREAM, 0), EPERM);
	must_fail(socket(INT32_MIN, SOCK_STREAM, 0), EPERM);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		must(socket(allowed[i], SOCK_STREAM, 0) >= 0);
}

static void test_command_socket_families(void **state)
{
	(void)state;
	assert_fine(child_families);
}

/* The kernel looks at 32 bits of these arguments; the upper halves of the registers are the
 * caller's to fill. */
static void child_upper_bits(void)
{
	const unsigned long high = 0x5aa5UL << 32;

	filter_command();
	must_fail(syscall(SYS_socket, high | AF_VSOCK, SOCK_STREAM, 0), EPERM);
	must_fail(syscall(SYS_socket, high | AF_NETLINK, SOCK_RAW, high | NETLINK_AUDIT), EPERM);
	must_fail(syscall(SYS_socket, high | AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT), EPERM);
	must_fail(syscall(SYS_socketpair, high | AF_VSOCK, SOCK_STREAM, 0, NULL), EPERM);
	must_fail(syscall(SYS_ioctl, 0, high | TIOCSTI, "x"), EPERM);
	must_fail(syscall(SYS_ioctl, 0, high | TIOCLINUX, "x"), EPERM);
	/* And an allowed call stays allowed. */
	must(syscall(SYS_socket, high | AF_INET, SOCK_STREAM, 0) >= 0);
	must(syscall(SYS_socket, high | AF_NETLINK, SOCK_RAW, high | NETLINK_ROUTE) >= 0);
}

static void test_command_upper_halves_of_arguments(void **state)
{
	(void)state;
	assert_fine(child_upper_bits);
}

static void child_netlink(void)
{
	filter_command();
	must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) >= 0);
	for (int protocol = 1; protocol < 70; protocol++)
		must_fail(socket(AF_NETLINK, SOCK_RAW, protocol), EPERM);
	must_fail(socket(AF_NETLINK, SOCK_RAW, -1), EPERM);
}

static void test_command_netlink_protocols(void **state)
{
	(void)state;
	assert_fine(child_netlink);
}

static void child_pairs(void)
{
	int fds[2];

	filter_command();
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	for (int family = 2; family < 70; family++)
		must_fail(socketpair(family, SOCK_STREAM, 0, fds), EPERM);
	must_fail(socketpair(0, SOCK_STREAM, 0, fds), EPERM);
}

static void test_command_socket_pairs(void **state)
{
	(void)state;
	assert_fine(child_pairs);
}

static void child_other_calls(void)
{
	filter_command();
	must_fail(syscall(SYS_io_uring_setup, 1, NULL), ENOSYS);
	must_fail(syscall(SYS_io_uring_enter, 0, 0, 0, 0, NULL, 0), ENOSYS);
	must_fail(syscall(SYS_io_uring_register, 0, 0, NULL, 0), ENOSYS);
	must_fail(syscall(SYS_keyctl, 0, 0, 0, 0, 0), EPERM);
	must_fail(syscall(SYS_add_key, "user", "d", "p", 1, -3), EPERM);
	must_fail(syscall(SYS_request_key, "user", "d", NULL, 0), EPERM);
	must_fail(syscall(SYS_bpf, BPF_PROG_LOAD, NULL, 0), EPERM);
	must_fail(ioctl(STDIN_FILENO, TIOCSTI, "x"), EPERM);
	must_fail(ioctl(STDIN_FILENO, TIOCLINUX, "x"), EPERM);
}

static void test_command_other_calls(void **state)
{
	(void)state;
	assert_fine(child_other_calls);
}

#ifdef __x86_64__
/* getpid() of the i386 table; the x32 table is the same entry with a bit in the number. */
static void child_foreign_tables(void)
{
	long r = 20;

	filter_command();
	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "cc", "r8", "r9", "r10", "r11");
	must(r == -ENOSYS);
	must_fail(syscall(0x40000000 | SYS_getpid), ENOSYS);
}
#endif

static void test_command_foreign_tables(void **state)
{
	(void)state;
#ifdef __x86_64__
	assert_fine(child_foreign_tables);
#else
	print_message("SKIPPED: only x86-64 can call another table from the same process\n");
	skip();
#endif
}

static void *thread_main(void *arg)
{
	return arg;
}

static void child_ordinary_work(void)
{
	pthread_t t;
	void *got;
	int status;
	pid_t pid;

	filter_command();
	must(pthread_create(&t, NULL, thread_main, &status) == 0);
	must(pthread_join(t, &got) == 0 && got == &status);
	pid = fork();
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", "exit 7", NULL);
		_exit(1);
	}
	must(waitpid(pid, &status, 0) == pid);
	must(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	must(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	     MAP_FAILED);
}

static void test_command_threads_forks_and_executes(void **state)
{
	(void)state;
	assert_fine(child_ordinary_work);
}

static void child_filter_is_inherited(void)
{
	filter_command();
	(void)execl("/bin/grep", "grep", "-qx", "Seccomp:\t2", "/proc/self/status", NULL);
	_exit(1);
}

static void test_command_filter_survives_execution(void **state)
{
	(void)state;
	assert_fine(child_filter_is_inherited);
}

static void child_filter_without_nnp(void)
{
	must(confine_capabilities(0) == 0);
	must(confine_seccomp_command() < 0);
}

static void test_filter_that_the_kernel_refuses_is_an_error(void **state)
{
	(void)state;
	need_root();
	assert_fine(child_filter_without_nnp);
}

/* ---- the proxy's filter ---- */

static void filter_proxy(void)
{
	must(confine_no_new_privs() == 0);
	must(confine_seccomp_proxy() == 0);
}

static void proxy_executes(void)
{
	filter_proxy();
	(void)execl("/bin/true", "true", NULL);
}

static void proxy_executes_at(void)
{
	filter_proxy();
	(void)syscall(SYS_execveat, -1, "/bin/true", NULL, NULL, 0);
}

static void proxy_loads_bpf(void)
{
	filter_proxy();
	(void)syscall(SYS_bpf, BPF_PROG_LOAD, NULL, 0);
}

static void proxy_makes_a_map(void)
{
	filter_proxy();
	(void)syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0);
}

static void proxy_attaches_bpf(void)
{
	filter_proxy();
	(void)syscall(SYS_bpf, BPF_LINK_CREATE, NULL, 0);
}

static void proxy_hides_a_command(void)
{
	filter_proxy();
	(void)syscall(SYS_bpf, 1UL << 32 | BPF_PROG_LOAD, NULL, 0);
}

static void proxy_traces(void)
{
	filter_proxy();
	(void)syscall(SYS_ptrace, 0, 0, NULL, NULL);
}

static void proxy_reads_memory(void)
{
	filter_proxy();
	(void)syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
}

static void proxy_makes_a_ring(void)
{
	filter_proxy();
	(void)syscall(SYS_io_uring_setup, 1, NULL);
}

static void proxy_changes_namespace(void)
{
	filter_proxy();
	(void)syscall(SYS_setns, -1, 0);
}

static void proxy_mounts(void)
{
	filter_proxy();
	(void)syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
}

static void proxy_asks_for_keys(void)
{
	filter_proxy();
	(void)syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}

static void skip_under_sanitizer(void)
{
	if (!UNDER_SANITIZER)
		return;
	print_message("SKIPPED: the proxy's filter is not applied under sanitizers\n");
	skip();
}

static void test_proxy_dies_of_an_intruders_calls(void **state)
{
	static const struct {
		const char *what;
		void (*fn)(void);
	} rows[] = {
		{ "execve", proxy_executes },
		{ "execveat", proxy_executes_at },
		{ "bpf(PROG_LOAD)", proxy_loads_bpf },
		{ "bpf(MAP_CREATE)", proxy_makes_a_map },
		{ "bpf(LINK_CREATE)", proxy_attaches_bpf },
		{ "bpf() with more bits than the kernel looks at", proxy_hides_a_command },
		{ "ptrace", proxy_traces },
		{ "process_vm_readv", proxy_reads_memory },
		{ "io_uring_setup", proxy_makes_a_ring },
		{ "setns", proxy_changes_namespace },
		{ "mount", proxy_mounts },
		{ "keyctl", proxy_asks_for_keys },
	};

	(void)state;
	skip_under_sanitizer();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int status = status_of(rows[i].fn);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("survived: %s (status %#x)", rows[i].what, status);
	}
}

static void child_proxy_refused(void)
{
	filter_proxy();
	must_fail(socket(AF_VSOCK, SOCK_STREAM, 0), EPERM);
	must_fail(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), EPERM);
	must_fail(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
	must_fail(fork(), EPERM);
	must_fail(kill(getppid(), 0), EPERM);
	must_fail(syscall(SYS_tgkill, getppid(), getppid(), 0), EPERM);
	must(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	     MAP_FAILED);
	must_fail(unlink("/nonexistent"), EPERM);
	must_fail(chmod("/nonexistent", 0), EPERM);
	must_fail(ioctl(STDIN_FILENO, TIOCSTI, "x"), EPERM);
	must_fail(syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, NULL), EPERM);
	must_fail(prctl(PR_SET_DUMPABLE, 1), EPERM);
}

static void test_proxy_refused_calls(void **state)
{
	(void)state;
	skip_under_sanitizer();
	assert_fine(child_proxy_refused);
}

/* A connection over loopback, waited for with epoll: what the proxy does all day. */
static void serve_one(int family)
{
	struct sockaddr_storage a = { .ss_family = (sa_family_t)family };
	socklen_t n = sizeof(a);
	struct epoll_event ev = { .events = EPOLLIN };
	int listener = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int client = socket(family, SOCK_STREAM, 0), epoll = epoll_create1(0), server, p[2];
	char c;

	must(listener >= 0 && client >= 0 && epoll >= 0 && pipe2(p, O_NONBLOCK) == 0);
	must(listen(listener, 1) == 0);
	must(getsockname(listener, (struct sockaddr *)&a, &n) == 0);
	must(connect(client, (struct sockaddr *)&a, n) == 0);
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) == 0);
	must(epoll_wait(epoll, &ev, 1, 1000) == 1);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	must(server >= 0);
	must(send(client, "x", 1, MSG_NOSIGNAL) == 1);
	must(splice(server, NULL, p[1], NULL, 1, 0) == 1);
	must(read(p[0], &c, 1) == 1 && c == 'x');
	must(shutdown(client, SHUT_WR) == 0);
	must(recv(server, &c, 1, 0) == 0);
}

static void child_proxy_serves(void)
{
	struct rlimit limit;
	union bpf_attr attr = { .map_fd = ~0U };
	FILE *f;
	void *m;

	filter_proxy();
	serve_one(AF_INET);
	serve_one(AF_INET6);
	must(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	/* Looking something up in a map gets as far as the descriptor. */
	must(syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)) == -1 && errno != EPERM);
	attr.info.bpf_fd = ~0U;
	must(syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) == -1 && errno != EPERM);
	f = fopen("/etc/passwd", "re");
	must(f != NULL && fgetc(f) != EOF);
	(void)fclose(f);
	m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(m != MAP_FAILED && mprotect(m, 4096, PROT_NONE) == 0);
	must(madvise(m, 4096, MADV_DONTNEED) == 0 && munmap(m, 1 << 20) == 0);
	must(getrlimit(RLIMIT_NOFILE, &limit) == 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
	errno = 0;
	must(printf("%s", "") == 0 && fflush(stdout) == 0);
}

static void test_proxy_serves(void **state)
{
	(void)state;
	assert_fine(child_proxy_serves);
}

static void child_proxy_aborts(void)
{
	must(confine_process() == 0);
	filter_proxy();
	abort();
}

static void test_proxy_can_abort(void **state)
{
	int status;

	(void)state;
	status = status_of(child_proxy_aborts);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_given_up),
		cmocka_unit_test(test_root_gains_nothing_by_execution),
		cmocka_unit_test(test_root_keeps_what_engines_give),
		cmocka_unit_test(test_nothing_comes_back),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_fds),
		cmocka_unit_test(test_signals_are_reset),
		cmocka_unit_test(test_command_socket_families),
		cmocka_unit_test(test_command_upper_halves_of_arguments),
		cmocka_unit_test(test_command_netlink_protocols),
		cmocka_unit_test(test_command_socket_pairs),
		cmocka_unit_test(test_command_other_calls),
		cmocka_unit_test(test_command_foreign_tables),
		cmocka_unit_test(test_command_threads_forks_and_executes),
		cmocka_unit_test(test_command_filter_survives_execution),
		cmocka_unit_test(test_filter_that_the_kernel_refuses_is_an_error),
		cmocka_unit_test(test_proxy_dies_of_an_intruders_calls),
		cmocka_unit_test(test_proxy_refused_calls),
		cmocka_unit_test(test_proxy_serves),
		cmocka_unit_test(test_proxy_can_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
