/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs on a cgroup do not close: sockets that were made outside it, leaving it, families
 * that have no hook. Each way is shown open here under the name of its gap, so that nobody takes it
 * for closed: others have to close it (capabilities, seccomp, what is mounted, the scan), or say so.
 * A row that fails because its way is closed now is good news, and its gap can be struck.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/bpf_frame.h"

/* Made outside before each try; the try inherits them. */
static int outer_tcp, outer_udp, outer_new;
static pid_t outer_pid;

static int connect_to(int fd, const char *ip, int port)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);

	return bpf_result(connect(fd, (struct sockaddr *)&ss, n));
}

static void make_outer(void)
{
	outer_pid = getpid();
	outer_tcp = socket(AF_INET, SOCK_STREAM, 0);
	outer_udp = socket(AF_INET, SOCK_DGRAM, 0);
	outer_new = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect_to(outer_tcp, EXT4, 443), 0);
	assert_int_equal(connect_to(outer_udp, EXT4, 9999), 0);
	(void)poll(NULL, 0, 100); /* its greeting, and the end of it */
}

static void close_outer(void)
{
	(void)close(outer_tcp);
	(void)close(outer_udp);
	(void)close(outer_new);
}

/* ---- descriptors ---- */

static int inherited_tcp(void)
{
	return send(outer_tcp, "nono", 4, MSG_NOSIGNAL) < 0 ? errno : ANS_SENT;
}

static int inherited_udp(void)
{
	return send(outer_udp, "nono", 4, 0) < 0 ? errno : bpf_answer(outer_udp, NULL);
}

static int inherited_unconnected(void)
{
	return bpf_ask_tcp(outer_new, EXT4, 443);
}

/* Passed by a process outside, over a pair. */
static int passed(void)
{
	int pair[2], fd = -1;
	char c = 'x';
	struct iovec iov = { &c, 1 };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)
	};

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return errno;
	memset(&u, 0, sizeof(u));
	u.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
				   .cmsg_type = SCM_RIGHTS,
				   .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(&u.head), &outer_new, sizeof(int));
	if (sendmsg(pair[0], &m, 0) < 0 || recvmsg(pair[1], &m, 0) < 0)
		return errno;
	memcpy(&fd, CMSG_DATA(&u.head), sizeof(int));
	return bpf_ask_tcp(fd, EXT4, 443);
}

static int taken(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, outer_pid, 0), fd;

	fd = (int)syscall(SYS_pidfd_getfd, pidfd, outer_new, 0);
	return fd < 0 ? errno : bpf_ask_tcp(fd, EXT4, 443);
}

/* ---- leaving ---- */

static int fresh_tcp(void)
{
	return bpf_ask_tcp(socket(AF_INET, SOCK_STREAM, 0), EXT4, 443);
}

static int leave_by_procs(void)
{
	int r = bpf_join(bpf_frame.plain);

	return r < 0 ? -r : fresh_tcp();
}

static int leave_by_clone(void)
{
	int fd = open(bpf_frame.plain, O_RDONLY | O_DIRECTORY), status;
	struct clone_args a = { .flags = CLONE_INTO_CGROUP,
				.exit_signal = SIGCHLD,
				.cgroup = (uint64_t)fd };
	pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));

	if (pid < 0)
		return errno;
	if (pid == 0)
		_exit(fresh_tcp());
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
								    : ANS_BROKEN;
}

/* Another mount of the hierarchy shows all of it, whatever is hidden elsewhere. */
static int leave_by_fresh_mount(void)
{
	const char *below = strstr(bpf_frame.plain, "/nono-test-");
	char path[300];
	int r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("cgroup2", "/mnt", "cgroup2", 0, NULL) < 0)
		return errno;
	(void)snprintf(path, sizeof(path), "/mnt%s", below);
	r = bpf_join(path);
	return r < 0 ? -r : fresh_tcp();
}

/* A cgroup of its own below is not a way out. */
static int deeper(void)
{
	char path[300];
	int r;

	(void)snprintf(path, sizeof(path), "%s/deeper", bpf_frame.held);
	if (mkdir(path, 0755) < 0)
		return errno;
	r = bpf_join(path);
	r = r < 0 ? -r : fresh_tcp();
	(void)bpf_join(bpf_frame.held);
	(void)rmdir(path);
	return r;
}

/* ---- families without a hook ---- */

static int packet(void)
{
	const uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0,
				    0,	  0,	0,    1,    0x08, 0x00, 'n' };
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex(CTR_DEV),
				  .sll_halen = 6 };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (fd < 0)
		return errno;
	return sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) < 0
		       ? errno
		       : ANS_SENT;
}

static int packet_in_user_namespace(void)
{
	if (unshare(CLONE_NEWUSER) < 0)
		return ANS_BROKEN;
	return packet();
}

static int xdp(void)
{
	return bpf_result(socket(AF_XDP, SOCK_RAW, 0));
}

static int vsock(void)
{
	return bpf_result(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int tun(void)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);

	/* Who may open the device differs; who may make one does not. */
	if (fd < 0)
		return errno == EACCES ? EPERM : errno;
	return bpf_result(ioctl(fd, TUNSETIFF, &r));
}

/* ---- the table ---- */

struct gap {
	const char *name, *gap; /* NULL: closed */
	int (*fn)(void);
	int root, nobody;
	bool frame; /* where it succeeds, one is seen */
};

static const struct gap gaps[] = {
	{ "inherited, TCP", "alien-sockets", inherited_tcp, ANS_SENT, ANS_SENT, true },
	{ "inherited, UDP", "alien-sockets", inherited_udp, ANS_EXT, ANS_EXT, true },
	{ "inherited, not connected", "alien-sockets", inherited_unconnected, ANS_EXT, ANS_EXT,
	  true },
	{ "passed by SCM_RIGHTS", "alien-sockets", passed, ANS_EXT, ANS_EXT, true },
	{ "taken by pidfd_getfd", "same-user-processes", taken, ANS_EXT, EPERM, true },
	{ "cgroup.procs", "cgroupfs", leave_by_procs, ANS_EXT, EACCES, true },
	{ "clone3 into another cgroup", "cgroupfs", leave_by_clone, ANS_EXT, EACCES, true },
	{ "a fresh mount of cgroup2", "cap-sys-admin", leave_by_fresh_mount, ANS_EXT, EPERM, true },
	{ "a cgroup below", NULL, deeper, ANS_PROXY, EACCES, false },
	{ "packet socket", "cap-net-raw", packet, ANS_SENT, EPERM, true },
	{ "packet socket, user namespace", NULL, packet_in_user_namespace, EPERM, EPERM, false },
	{ "XDP socket", "cap-net-raw", xdp, 0, EPERM, false },
	{ "TUN device", "cap-net-admin", tun, 0, EPERM, false },
	{ "vsock", "vsock", vsock, 0, 0, false },
};

static bool succeeds(int answer)
{
	return answer == ANS_EXT || answer == ANS_SENT;
}

static unsigned int try_gap(const struct gap *g, uid_t uid)
{
	unsigned int bad = 0;
	unsigned long before;
	int want = uid ? g->nobody : g->root, got;

	make_outer();
	before = bpf_frames();
	got = bpf_run(g->fn, bpf_frame.held, uid);
	if (got == EAFNOSUPPORT || got == ENOENT) {
		print_message("# %s: not in this kernel\n", g->name);
	} else if (got != want) {
		print_error("%s, as %u: %d, expected %d\n", g->name, uid, got, want);
		bad++;
	}
	if ((bpf_frames() != before) != (g->frame && succeeds(want))) {
		print_error("%s, as %u: %s\n", g->name, uid,
			    bpf_frames() != before ? bpf_last_frame() : "no frame");
		bad++;
	}
	close_outer();
	(void)poll(NULL, 0, 50); /* the end of what was open */
	return bad;
}

static void test_what_a_cgroup_does_not_close(void **state)
{
	unsigned int bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gaps); i++) {
		bad += try_gap(&gaps[i], 0);
		bad += try_gap(&gaps[i], 65534);
	}
	assert_int_equal(bad, 0);
}

/* ---- every family, type and protocol that this kernel has ---- */

#define FAMILIES  64
#define PROTOCOLS 300

static bool has_hook(int family)
{
	return family == AF_INET || family == AF_INET6;
}

static bool is_served(int type, int protocol)
{
	return (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) ||
	       (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP));
}

/* How many protocols of one family and type open, and how many of them are served. */
static void open_all(int family, int type, int *ret_open, int *ret_served)
{
	*ret_open = *ret_served = 0;
	for (int p = 0; p < (has_hook(family) ? PROTOCOLS : 32); p++) {
		int fd = socket(family, type, p);

		if (fd < 0)
			continue;
		(void)close(fd);
		++*ret_open;
		*ret_served += is_served(type, p);
	}
}

/*
 * What opens besides TCP and UDP has no hook: it is named, for whoever closes it otherwise. The
 * type SOCK_PACKET makes a packet socket of AF_INET, too.
 */
static int open_everything(void)
{
	static const int types[] = { SOCK_STREAM,    SOCK_DGRAM,	SOCK_RAW, SOCK_RDM,
				     SOCK_SEQPACKET, 6 /* SOCK_DCCP */, 10 /* SOCK_PACKET */ };
	int strange = 0, served = 0;

	for (int family = 0; family < FAMILIES; family++) {
		for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
			int open, good;

			open_all(family, types[t], &open, &good);
			if (has_hook(family) && types[t] != 10) {
				strange += open - good;
				served += good;
			} else if (open) {
				print_message("# without a hook: family %d, type %d\n", family,
					      types[t]);
			}
		}
	}
	return strange == 0 && served == 8 ? ANS_OK : ANS_WRONG;
}

static void test_every_kind_of_socket(void **state)
{
	(void)state;
	assert_int_equal(bpf_run(open_everything, bpf_frame.plain, 0), ANS_WRONG);
	assert_int_equal(bpf_run(open_everything, bpf_frame.held, 0), ANS_OK);
	assert_int_equal(bpf_run(open_everything, bpf_frame.held, 65534), ANS_OK);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_cgroup_does_not_close),
		cmocka_unit_test(test_every_kind_of_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
