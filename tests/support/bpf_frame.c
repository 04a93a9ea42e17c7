/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the judge is sure that nothing comes any more, without waiting: after a try, a marker frame
 * is sent into the pair from every processor, from outside the cgroup. Frames of one processor do
 * not overtake each other, so when all markers have been seen, everything sent before has been
 * seen.
 */
#include "tests/support/bpf_frame.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/bpf_servers.h"

#define INSTANCE       7
#define WORKER_SECONDS 240
#define TRY_SECONDS    6

struct bpf_frame bpf_frame;

static char base[200]; /* our cgroup */
static struct bpf_sniffer *sniffer;
static uint32_t attached;
static int ready_fd = -1;

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	(void)fflush(stdout);
	_exit(99);
}

static void shell(const char *command)
{
	if (system(command) != 0)
		die(command);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	(void)close(fd);
}

/* ---- cgroups ---- */

static void find_cgroup2(char *out, size_t n)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[1024], where[200];

	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, " - cgroup2 "))
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %199s", where) != 1)
			continue;
		(void)fclose(f);
		(void)snprintf(out, n, "%.150s/nono-test-%d", where, (int)getpid());
		return;
	}
	errno = ENOENT;
	die("a cgroup2 mount");
}

void bpf_frame_make_cgroup(const char *name, char *ret, size_t n)
{
	(void)snprintf(ret, n, "%s/%s", base, name);
	if (mkdir(ret, 0755) < 0)
		die(ret);
}

int bpf_join(const char *cgroup)
{
	char path[300];
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write(fd, "0", 1) < 0 ? -errno : 0;
	(void)close(fd);
	return r;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)at;
	if (type == FTW_DP)
		(void)rmdir(path);
	return 0;
}

/*
 * Ends what is still in the cgroups, then removes them; the kernel needs a moment for the last
 * process. No process can be started here any more: the PID namespace for our children is gone with
 * its first.
 */
static void remove_cgroups(void)
{
	char path[300];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/cgroup.kill", base);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, "1", 1);
		(void)close(fd);
	}
	for (int i = 0; i < 100 && access(base, F_OK) == 0; i++) {
		(void)nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
		if (access(base, F_OK) == 0)
			(void)poll(NULL, 0, 20);
	}
	if (access(base, F_OK) == 0)
		(void)fprintf(stderr, "left behind: %s\n", base);
}

/* ---- processes ---- */

static void become(uid_t uid)
{
	if (uid == 0)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		_exit(ANS_BROKEN);
}

int bpf_run(int (*fn)(void), const char *cgroup, uid_t uid)
{
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)signal(SIGPIPE, SIG_IGN);
		(void)signal(SIGALRM, SIG_DFL);
		if (cgroup && bpf_join(cgroup) < 0)
			_exit(ANS_BROKEN);
		become(uid);
		(void)alarm(TRY_SECONDS);
		_exit(fn() & 0xff);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return ANS_BROKEN;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGALRM ? ANS_HANG : ANS_BROKEN;
	return WEXITSTATUS(status);
}

/* Returns when fn has called bpf_ready() (or is gone). */
pid_t bpf_start(void (*fn)(void), const char *cgroup)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready) < 0)
		die("pipe");
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(ready[0]);
		ready_fd = ready[1];
		if (cgroup && bpf_join(cgroup) < 0)
			_exit(ANS_BROKEN);
		fn();
		_exit(0);
	}
	if (pid < 0)
		die("fork");
	(void)close(ready[1]);
	(void)!read(ready[0], &c, 1);
	(void)close(ready[0]);
	return pid;
}

void bpf_ready(void)
{
	if (ready_fd >= 0)
		(void)close(ready_fd);
	ready_fd = -1;
}

void bpf_stop(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* ---- the sniffer's word ---- */

unsigned long bpf_frames(void)
{
	if (!bpf_sniffer_catch_up(sniffer, CTR_DEV)) {
		errno = ETIMEDOUT;
		die("the sniffer does not see its markers");
	}
	return sniffer->frames;
}

const char *bpf_last_frame(void)
{
	return sniffer->last;
}

/* ---- set-up ---- */

static int namespace_fd(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("/proc/self/ns/net");
	return fd;
}

static void set_sysctls(void)
{
	/* Fast Open for all, without cookies; ping for everybody, else those tries prove nothing.
	 */
	write_file("/proc/sys/net/ipv4/tcp_fastopen", "1543");
	write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	write_file("/proc/sys/net/ipv4/icmp_ratelimit", "0");
}

/* First ext, then ctr, in which we stay. The pair is made in ctr and its far end is given away by
 * descriptor. */
static void make_namespaces(void)
{
	char command[512];

	if (unshare(CLONE_NEWNET) < 0)
		die("unshare");
	bpf_frame.ext_ns = namespace_fd();
	shell("ip link set lo up");
	set_sysctls();
	if (unshare(CLONE_NEWNET) < 0)
		die("unshare");
	bpf_frame.ctr_ns = namespace_fd();
	set_sysctls();
	shell("ip link set lo up");
	(void)snprintf(command, sizeof(command),
		       "ip link add " CTR_DEV " type veth peer name nonoext && "
		       "ip link set nonoext netns /proc/%d/fd/%d",
		       (int)getpid(), bpf_frame.ext_ns);
	shell(command);
	shell("ip addr add " CTR4 "/24 dev " CTR_DEV " && ip link set " CTR_DEV
	      " up && ip -6 addr add " CTR6 "/64 dev " CTR_DEV " nodad && "
	      "ip -6 addr add fe80::2/64 dev " CTR_DEV " nodad");
	if (setns(bpf_frame.ext_ns, CLONE_NEWNET) < 0)
		die("setns");
	shell("ip addr add " EXT4 "/24 dev nonoext && ip link set nonoext up && "
	      "ip -6 addr add " EXT6 "/64 dev nonoext nodad && "
	      "ip -6 addr add " EXT_LINK6 "/64 dev nonoext nodad");
	sniffer = bpf_sniffer_make("nonoext");
	if (!sniffer)
		die("sniffer");
	(void)bpf_start(bpf_serve_ext, NULL);
	if (setns(bpf_frame.ctr_ns, CLONE_NEWNET) < 0)
		die("setns");
	shell("ip route add default via " EXT4 " && ip -6 route add default via " EXT6);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
		die("getsockname");
	return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

static void make_listeners(void)
{
	struct redirect_netns *ns = &bpf_frame.netns;

	bpf_frame.tcp4 = bpf_listen(SOCK_STREAM, "127.0.0.1", 0);
	bpf_frame.tcp6 = bpf_listen(SOCK_STREAM, "::1", 0);
	bpf_frame.dns4 = bpf_listen(SOCK_DGRAM, "127.0.0.1", 0);
	bpf_frame.dns6 = bpf_listen(SOCK_DGRAM, "::1", 0);
	bpf_frame.explicit4 = bpf_listen(SOCK_STREAM, "127.0.0.1", 0);
	if (bpf_frame.tcp4 < 0 || bpf_frame.tcp6 < 0 || bpf_frame.dns4 < 0 || bpf_frame.dns6 < 0 ||
	    bpf_frame.explicit4 < 0)
		die("listeners");
	ns->local_count = 2;
	ns->local[0].family = 4;
	ns->local[1].family = 6;
	(void)inet_pton(AF_INET, CTR4, ns->local[0].b);
	(void)inet_pton(AF_INET6, CTR6, ns->local[1].b);
}

int bpf_frame_serve(struct redirect *r, struct redirect_netns *ns, const int listeners[5])
{
	const enum redirect_mark marks[5] = { REDIRECT_TCP, REDIRECT_TCP, REDIRECT_DNS,
					      REDIRECT_DNS, REDIRECT_EXPLICIT };
	uint16_t *const ports[5] = { &ns->tcp4, &ns->tcp6, &ns->dns4, &ns->dns6, &ns->explicit4 };

	for (size_t i = 0; i < 5; i++) {
		int e;

		if (listeners[i] < 0)
			continue;
		*ports[i] = port_of(listeners[i]);
		e = redirect_netns_cookie(listeners[i], &ns->cookie);
		if (e >= 0)
			e = redirect_mark(r, listeners[i], marks[i]);
		if (e < 0)
			return e;
	}
	return redirect_serve_netns(r, ns);
}

static int mark_listeners(struct redirect *r)
{
	const int all[5] = { bpf_frame.tcp4, bpf_frame.tcp6, bpf_frame.dns4, bpf_frame.dns6,
			     bpf_frame.explicit4 };

	return bpf_frame_serve(r, &bpf_frame.netns, all);
}

static int attach(struct redirect *r, const char *name, const char *cgroup)
{
	char pins[300], why[300] = "";
	int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), e;

	if (fd < 0)
		return -errno;
	(void)snprintf(pins, sizeof(pins), "/sys/fs/bpf/%s", name);
	e = mark_listeners(r);
	if (e >= 0)
		e = redirect_attach(r, fd, pins, why, sizeof(why));
	if (e >= 0)
		e = redirect_verify(r, fd, why, sizeof(why));
	if (e < 0)
		printf("# %s: %s\n", name, why);
	(void)close(fd);
	return e;
}

int bpf_frame_attach(const char *name, const char *const without[], char *ret_cgroup, size_t n)
{
	bpf_frame_make_cgroup(name, ret_cgroup, n);
	return bpf_frame_attach_to(name, without, ret_cgroup);
}

uint32_t bpf_frame_instance(void)
{
	return INSTANCE + attached;
}

int bpf_frame_attach_to(const char *name, const char *const without[], const char *cgroup)
{
	char why[300] = "", pin[400];
	struct redirect *r = NULL;
	int e;

	e = redirect_load(INSTANCE + ++attached, &r, why, sizeof(why));
	if (e >= 0)
		e = attach(r, name, cgroup);
	else
		printf("# %s\n", why);
	for (size_t i = 0; e >= 0 && without[i]; i++) {
		(void)snprintf(pin, sizeof(pin), "/sys/fs/bpf/%s/link_%s", name, without[i]);
		if (unlink(pin) < 0)
			e = -errno;
	}
	/* Closes the last descriptor of the links whose pins are gone. */
	redirect_free(r);
	return e;
}

bool bpf_frame_freeze(const char *cgroup, bool stop)
{
	char path[300], text[200];

	(void)snprintf(path, sizeof(path), "%s/cgroup.freeze", cgroup);
	write_file(path, stop ? "1" : "0");
	(void)snprintf(path, sizeof(path), "%s/cgroup.events", cgroup);
	for (int i = 0; i < 500; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		(void)close(fd);
		if (n < 0)
			return false;
		text[n] = '\0';
		if (strstr(text, stop ? "frozen 1" : "frozen 0"))
			return true;
		(void)poll(NULL, 0, 5);
	}
	return false;
}

int bpf_frame_map_set(const char *pin, const void *key, const void *value)
{
	int fd = bpf_obj_get(pin), r;

	if (fd < 0)
		return fd;
	r = bpf_map_update_elem(fd, key, value, BPF_ANY);
	(void)close(fd);
	return r;
}

bool bpf_frame_wait_open(const char *cgroup)
{
	int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t total = 1;

	for (int i = 0; fd >= 0 && total && i < 500; i++) {
		total = 0;
		for (int type = 0; type < BPF_PERF_EVENT; type++) {
			uint32_t n = 0, flags;

			if (bpf_prog_query(fd, (enum bpf_attach_type)type, 0, &flags, NULL, &n) ==
			    0)
				total += n;
		}
		if (total)
			(void)poll(NULL, 0, 10);
	}
	(void)close(fd);
	return total == 0;
}

static void prepare(void)
{
	char why[300] = "";

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") < 0)
		die("a private bpffs");
	make_namespaces();
	make_listeners();
	bpf_frame_make_cgroup("plain", bpf_frame.plain, sizeof(bpf_frame.plain));
	bpf_frame_make_cgroup("held", bpf_frame.held, sizeof(bpf_frame.held));
	if (redirect_load(INSTANCE, &bpf_frame.redirect, why, sizeof(why)) < 0 ||
	    attach(bpf_frame.redirect, "held", bpf_frame.held) < 0) {
		errno = EINVAL;
		die(why);
	}
	(void)bpf_start(bpf_serve_out, NULL);
	bpf_frame.proxy = bpf_start(bpf_serve_proxy, NULL);
	(void)bpf_frames();
}

static pid_t start_worker(int (*run)(void))
{
	pid_t pid;

	/* The worker is the first process of a PID namespace: whatever it started ends with it. */
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
		die("unshare");
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("proc", "/proc", "proc", 0, NULL) < 0)
			die("/proc");
		prepare();
		_exit(run());
	}
	if (pid < 0)
		die("fork");
	return pid;
}

int bpf_frame_main(int (*run)(void))
{
	struct timespec now, end;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		printf("1..0 # SKIP these tests load BPF programs and make namespaces: run as "
		       "root\n");
		return 0;
	}
	find_cgroup2(base, sizeof(base));
	if (mkdir(base, 0755) < 0)
		die(base);
	pid = start_worker(run);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += WORKER_SECONDS;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec)
			(void)kill(pid, SIGKILL);
		(void)poll(NULL, 0, 20);
	}
	remove_cgroups();
	(void)fflush(NULL);
	/* Not through exit(): a leak check would start a process, which is no longer possible here.
	 */
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
}
