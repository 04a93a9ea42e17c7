/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that are older than the programs. A busy process in the cgroup sends on every kind of
 * them until it is frozen; the programs are attached; when it goes on, no frame leaves any more.
 * (Not frozen, it could stand in the kernel between the hook that was not there and the device.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/redirect.h"
#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_servers.h"

#define SINK_PORT 7443

/* What the busy process tells; shared. */
struct busy {
	unsigned int sent[5];
	int error[5]; /* of the last try */
	int later;    /* what the socket that was not yet connected met, or -1 */
	int go;
};

enum old { OLD_TCP, OLD_TCP6, OLD_UDP, OLD_UDP_UNBOUND, OLD_INBOUND };

static volatile struct busy *busy;
static uid_t busy_uid;

/* ---- in ext: takes everything, says nothing; and one client of the sandbox's server ---- */

static void sink(void)
{
	struct pollfd p[3];
	char text[4096];

	if (setns(bpf_frame.ext_ns, CLONE_NEWNET) < 0)
		return;
	p[0] = (struct pollfd){ bpf_listen(SOCK_STREAM, "::", SINK_PORT), POLLIN, 0 };
	p[1] = (struct pollfd){ bpf_listen(SOCK_DGRAM, "::", SINK_PORT), POLLIN, 0 };
	bpf_ready();
	for (;;) {
		(void)poll(p, 2, -1);
		if (p[0].revents)
			(void)accept(p[0].fd, NULL, NULL); /* kept open */
		if (p[1].revents)
			(void)recv(p[1].fd, text, sizeof(text), 0);
	}
}

static void client_in_ext(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(CTR4, OWN_PORT, &n);
	int fd;

	if (setns(bpf_frame.ext_ns, CLONE_NEWNET) < 0)
		return;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return;
	bpf_ready();
	(void)pause();
}

/* ---- in the cgroup ---- */

static int connected(int type, const char *ip)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, SINK_PORT, &n);
	int fd = socket(ss.ss_family, type, 0);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		_exit(ANS_BROKEN);
	return fd;
}

static void try_send(enum old which, int fd, const struct sockaddr_storage *to, socklen_t n)
{
	if (sendto(fd, "nono", 4, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)to, n) <
	    0) {
		busy->error[which] = errno;
		return;
	}
	busy->error[which] = 0;
	busy->sent[which]++;
}

static void be_busy(void)
{
	socklen_t n;
	struct sockaddr_storage to = bpf_addr(EXT4, SINK_PORT, &n);
	int fds[5], unconnected, listener, extra;

	if (busy_uid && (setresgid(busy_uid, busy_uid, busy_uid) < 0 ||
			 setresuid(busy_uid, busy_uid, busy_uid) < 0))
		_exit(ANS_BROKEN);
	listener = bpf_listen(SOCK_STREAM, "::", OWN_PORT);
	fds[OLD_TCP] = connected(SOCK_STREAM, EXT4);
	fds[OLD_TCP6] = connected(SOCK_STREAM, EXT6);
	fds[OLD_UDP] = connected(SOCK_DGRAM, EXT4);
	fds[OLD_UDP_UNBOUND] = socket(AF_INET, SOCK_DGRAM, 0);
	unconnected = socket(AF_INET, SOCK_STREAM, 0);
	bpf_ready();
	fds[OLD_INBOUND] = accept(listener, NULL, NULL);
	while (!busy->go) {
		for (int i = 0; i < 5; i++)
			try_send((enum old)i, fds[i], i == OLD_UDP_UNBOUND ? &to : NULL,
				 i == OLD_UDP_UNBOUND ? n : 0);
		(void)poll(NULL, 0, 1);
	}
	to = bpf_addr(EXT4, 443, &n);
	/* The frame's proxy knows the map of its own sandbox only, so it names no destination. */
	busy->later = connect(unconnected, (struct sockaddr *)&to, n) < 0
			      ? errno
			      : bpf_greeting(unconnected, "nowhere");
	for (;;) {
		extra = accept(listener, NULL, NULL);
		(void)send(extra, "OWN\n", 4, MSG_NOSIGNAL);
		(void)close(extra);
	}
}

static int own_client(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", OWN_PORT, &n);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, NULL);
}

static int from_ext(void)
{
	if (setns(bpf_frame.ext_ns, CLONE_NEWNET) < 0)
		return ANS_BROKEN;
	return bpf_ask_tcp_soon(socket(AF_INET, SOCK_STREAM, 0), CTR4, OWN_PORT);
}

/* ---- the judge's side ---- */

static void wait_until_all_have_sent(void)
{
	for (int i = 0; i < 1000; i++) {
		bool all = true;

		for (int k = 0; k < 5; k++)
			all = all && busy->sent[k] > 20;
		if (all)
			return;
		(void)poll(NULL, 0, 10);
	}
	fail_msg("the busy process does not get on");
}

/* A second descriptor of the listening TCP socket that the process holds. */
static int take_listener(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), found = -1;

	for (int fd = 3; fd < 64 && found < 0; fd++) {
		int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0), listens = 0;
		socklen_t n = sizeof(listens);

		if (got < 0)
			continue;
		if (getsockopt(got, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens)
			found = got;
		else
			(void)close(got);
	}
	(void)close(pidfd);
	assert_true(found >= 0);
	return found;
}

static void watch_old_sockets(const char *name, uid_t uid)
{
	const char *const without[] = { NULL };
	char cgroup[256];
	pid_t ext_sink = bpf_start(sink, NULL), pid, ext_client;
	unsigned long before;

	memset((void *)(uintptr_t)busy, 0, sizeof(*busy));
	busy->later = -1;
	busy_uid = uid;
	bpf_frame_make_cgroup(name, cgroup, sizeof(cgroup));
	before = bpf_frames();
	pid = bpf_start(be_busy, cgroup);
	ext_client = bpf_start(client_in_ext, NULL);
	wait_until_all_have_sent();
	assert_true(bpf_frames() >= before + 40);

	assert_true(bpf_frame_freeze(cgroup, true));
	assert_int_equal(bpf_frame_attach_to(name, without, cgroup), 0);
	before = bpf_frames();
	assert_true(bpf_frame_freeze(cgroup, false));
	(void)poll(NULL, 0, 700); /* longer than a retransmission, and hundreds of sends */
	if (bpf_frames() != before)
		fail_msg("a frame after attach: %s", bpf_last_frame());
	assert_int_equal(busy->error[OLD_UDP], EPERM);
	assert_int_equal(busy->error[OLD_UDP_UNBOUND], EPERM);

	/* What attach does with the old connections: they end at once, and nobody hears of it. */
	assert_int_equal(system("ss -t -K '( dport = 7443 or sport = 7070 )' >/dev/null"), 0);
	(void)poll(NULL, 0, 100);
	assert_int_equal(busy->error[OLD_TCP] == ECONNABORTED || busy->error[OLD_TCP] == EPIPE, 1);
	assert_int_equal(busy->error[OLD_TCP6] == ECONNABORTED || busy->error[OLD_TCP6] == EPIPE,
			 1);
	assert_int_equal(
		busy->error[OLD_INBOUND] == ECONNABORTED || busy->error[OLD_INBOUND] == EPIPE, 1);

	/* The old socket that was not connected is turned like a new one. */
	busy->go = 1;
	for (int i = 0; i < 500 && busy->later < 0; i++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(busy->later, ANS_PROXY);
	bpf_stop(pid);
	bpf_stop(ext_client);
	bpf_stop(ext_sink);
	if (bpf_frames() != before)
		fail_msg("a frame when the old sockets ended: %s", bpf_last_frame());
}

static void test_old_sockets_of_root(void **state)
{
	(void)state;
	watch_old_sockets("busyroot", 0);
}

static void test_old_sockets_of_nobody(void **state)
{
	(void)state;
	watch_old_sockets("busynobody", 65534);
}

/* An old listener is nobody's: strangers and clients of the sandbox alike do not reach it, until it
 * is marked as the sandbox's own. */
static void test_old_listener(void **state)
{
	const char *const without[] = { NULL };
	char cgroup[256];
	struct mark own = { .kind = MARK_OWN };
	pid_t pid;
	int fd;

	(void)state;
	bpf_frame_make_cgroup("oldlistener", cgroup, sizeof(cgroup));
	pid = bpf_start(bpf_serve_own, cgroup);
	assert_int_equal(bpf_run(own_client, cgroup, 0), ANS_OWN);
	assert_int_equal(bpf_run(from_ext, NULL, 0), ANS_OWN);
	(void)poll(NULL, 0, 300);
	assert_int_equal(bpf_frame_attach_to("oldlistener", without, cgroup), 0);
	assert_int_equal(bpf_run(own_client, cgroup, 65534), ANS_PROXY);
	assert_int_equal(bpf_run(from_ext, NULL, 0), ANS_QUIET);
	fd = take_listener(pid);
	own.instance = bpf_frame_instance();
	assert_int_equal(bpf_frame_map_set("/sys/fs/bpf/oldlistener/map_mark", &fd, &own), 0);
	(void)close(fd);
	assert_int_equal(bpf_run(own_client, cgroup, 65534), ANS_OWN);
	assert_int_equal(bpf_run(from_ext, NULL, 0), ANS_QUIET);
	bpf_stop(pid);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_old_sockets_of_root),
		cmocka_unit_test(test_old_sockets_of_nobody),
		cmocka_unit_test(test_old_listener),
	};

	busy = mmap(NULL, sizeof(*busy), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return busy == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
