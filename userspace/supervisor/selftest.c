/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The self-test. A child born in the cgroup connects to two addresses that are nowhere; we accept
 * on the proxy's listeners and ask the map where it wanted to go. It also tries what must be
 * refused. First with all of our rights, so that a refusal can only come from the programs, then as
 * nobody, as COMMAND would.
 *
 * The child says what did not hold as a sentence, an empty one if all held, and keeps its sockets
 * open until we have looked.
 */
#include "supervisor/selftest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "redirect/origin.h"
#include "supervisor/files.h"
#include "supervisor/role.h"

#define CONNECT_LIMIT_MS 2000
#define CHILD_LIMIT_MS	 10000
#define ACCEPT_LIMIT_MS	 2000
#define ACCEPT_MAX	 64 /* with the host's network, strangers may connect too */
#define NOBODY		 65534
#define PORT		 9

/* Documentation addresses: nobody is there, and with the programs on nobody is asked. */
static const struct endpoint targets[] = {
	{ .addr = { .family = 4, .b = { 192, 0, 2, 1 } }, .port = PORT },
	{ .addr = { .family = 6, .b = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } }, .port = PORT },
};

/* ---- the child ---- */

/* A new socket of this type must be refused. */
static int must_not_open(int type, int protocol, const char *what, struct why *why)
{
	_cleanup_close_ int fd = socket(AF_INET, type | SOCK_CLOEXEC, protocol);

	if (fd >= 0)
		return why_set(why, -EPERM, "%s can be opened", what);
	if (errno != EPERM && errno != EACCES)
		return why_set(why, -EPERM, "%s fails with \"%s\" instead of being refused", what,
			       strerror(errno));
	return 0;
}

static int must_not_choose_device(struct why *why)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return why_set(why, -errno, "no UDP socket: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) == 0)
		return why_set(why, -EPERM, "a socket can be bound to a device");
	if (errno != EPERM)
		return why_set(why, -EPERM, "binding a socket to a device fails with \"%s\"",
			       strerror(errno));
	return 0;
}

/* A family that the kernel does not have at all needs no test. */
static int open_for(const struct endpoint *to, int type)
{
	int family = to->addr.family == 4 ? AF_INET : AF_INET6;

	return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int must_not_send(const struct endpoint *to, struct why *why)
{
	_cleanup_close_ int fd = open_for(to, SOCK_DGRAM);
	char text[ENDPOINT_TEXT_MAX];
	struct sockaddr_storage sa;
	socklen_t n = endpoint_to_sockaddr(to, &sa);

	if (fd < 0 && errno == EAFNOSUPPORT)
		return 0;
	if (fd < 0)
		return why_set(why, -errno, "no UDP socket: %s", strerror(errno));
	if (sendto(fd, "", 1, 0, (struct sockaddr *)&sa, n) >= 0)
		return why_set(why, -EPERM, "a datagram to %s was sent", endpoint_text(to, text));
	if (errno != EPERM)
		return why_set(why, -EPERM,
			       "a datagram to %s fails with \"%s\" instead of being refused",
			       endpoint_text(to, text), strerror(errno));
	return 0;
}

/* Nobody is there: without the programs the kernel would say so. */
static int must_not_reach(const char *name, bool abstract, struct why *why)
{
	_cleanup_close_ int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int dgram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);

	if (stream < 0 || dgram < 0)
		return why_set(why, -errno, "no unix socket: %s", strerror(errno));
	memcpy(un.sun_path + abstract, name, strlen(name));
	if (connect(stream, (struct sockaddr *)&un, n) == 0 || errno != EPERM)
		return why_set(why, -EPERM, "connecting to a unix socket (%s) is not refused",
			       name);
	if (sendto(dgram, "", 1, 0, (struct sockaddr *)&un, n) >= 0 || errno != EPERM)
		return why_set(why, -EPERM, "a datagram to a unix socket (%s) is not refused",
			       name);
	return 0;
}

static int finish_connect(int fd)
{
	int error = 0, r = fd_wait(fd, POLLOUT, CONNECT_LIMIT_MS);
	socklen_t n = sizeof(error);

	if (r <= 0)
		return r < 0 ? r : -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		return -errno;
	return -error;
}

static bool peer_is(int fd, const struct endpoint *to)
{
	struct sockaddr_storage sa;
	struct endpoint e;
	socklen_t n = sizeof(sa);

	return getpeername(fd, (struct sockaddr *)&sa, &n) == 0 &&
	       endpoint_from_sockaddr((struct sockaddr *)&sa, &e) && e.port == to->port &&
	       addr_eq(&e.addr, &to->addr);
}

/* The socket stays open. */
static int must_connect(const struct endpoint *to, struct why *why)
{
	char text[ENDPOINT_TEXT_MAX];
	struct sockaddr_storage sa;
	socklen_t n = endpoint_to_sockaddr(to, &sa);
	int fd = open_for(to, SOCK_STREAM), r;

	if (fd < 0 && errno == EAFNOSUPPORT)
		return 0;
	if (fd < 0)
		return why_set(why, -errno, "no TCP socket: %s", strerror(errno));
	r = connect(fd, (struct sockaddr *)&sa, n) < 0 ? -errno : 0;
	if (r == -EINPROGRESS)
		r = finish_connect(fd);
	if (r < 0)
		return why_set(why, r, "a connection to %s is not redirected (%s)",
			       endpoint_text(to, text), strerror(-r));
	if (!peer_is(fd, to))
		return why_set(why, -EPROTO, "a redirected connection does not show %s as its peer",
			       endpoint_text(to, text));
	return 0;
}

static int become_nobody(struct why *why)
{
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return why_set(why, -errno, "cannot become another user: %s", strerror(errno));
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

static int try_all(const struct selftest *t, struct why *why)
{
	int r = 0;

	if (t->netns->fd >= 0 && setns(t->netns->fd, CLONE_NEWNET) < 0)
		return why_set(why, -errno, "cannot enter the sandbox's network namespace: %s",
			       strerror(errno));
	r = must_not_open(SOCK_RAW, IPPROTO_ICMP, "a raw socket", why);
	if (r == 0)
		r = must_not_open(SOCK_DGRAM, IPPROTO_ICMP, "a ping socket", why);
	if (r == 0)
		r = must_not_choose_device(why);
	if (r == 0 && t->unix_sockets)
		r = must_not_reach("/nono-proxy/self-test", false, why);
	if (r == 0 && t->unix_sockets)
		r = must_not_reach("nono-proxy-self-test", true, why);
	if (r == 0)
		r = become_nobody(why);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(targets); i++)
		r = must_not_send(&targets[i], why);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(targets); i++)
		r = must_connect(&targets[i], why);
	return r;
}

static _Noreturn void child(const struct selftest *t, int talk)
{
	struct why why = { "" };
	char wait;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (try_all(t, &why) < 0 && !why.text[0])
		(void)why_set(&why, -EIO, "it could not be done");
	(void)send(talk, why.text, sizeof(why.text), MSG_NOSIGNAL);
	(void)recv(talk, &wait, 1, 0); /* until the other side has looked, or is gone */
	_exit(0);
}

/* ---- the supervisor's side ---- */

/* Which of the targets has arrived through this listener? Sets their bits. */
static void accept_all(const struct selftest *t, int listener, unsigned int *arrived)
{
	for (int i = 0; listener >= 0 && i < ACCEPT_MAX; i++) {
		struct sockaddr_storage sa;
		socklen_t n = sizeof(sa);
		_cleanup_close_ int fd = accept4(listener, (struct sockaddr *)&sa, &n,
						 SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct linger reset = { .l_onoff = 1 };
		struct endpoint peer;
		struct origin o;

		if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (fd < 0 || !endpoint_from_sockaddr((struct sockaddr *)&sa, &peer))
			continue;
		/* No TIME_WAIT in the sandbox. */
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (origin_lookup(t->tuples, t->netns->serve.cookie, &peer, &o) < 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(targets); k++)
			if (o.to.port == targets[k].port && addr_eq(&o.to.addr, &targets[k].addr))
				*arrived |= 1U << k;
		origin_forget(t->tuples, t->netns->serve.cookie, &peer, o.client);
	}
}

/* The connections stand in the queues already: the child's connect() has returned. */
static int check_arrivals(const struct selftest *t, struct why *why)
{
	_cleanup_close_ int has_v6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int arrived = 0, all = has_v6 >= 0 ? 3 : 1;
	char text[ENDPOINT_TEXT_MAX];

	if (fd_wait(t->netns->tcp4, POLLIN, ACCEPT_LIMIT_MS) > 0)
		accept_all(t, t->netns->tcp4, &arrived);
	if (t->netns->tcp6 >= 0 && has_v6 >= 0 &&
	    fd_wait(t->netns->tcp6, POLLIN, ACCEPT_LIMIT_MS) > 0)
		accept_all(t, t->netns->tcp6, &arrived);
	for (size_t k = 0; k < ARRAY_SIZE(targets); k++)
		if ((all & ~arrived) & (1U << k))
			return why_set(why, -EPROTO,
				       "self-test failed: the connection to %s arrived without its "
				       "destination",
				       endpoint_text(&targets[k], text));
	return 0;
}

static int judge(const struct selftest *t, int talk, struct why *why)
{
	struct why said = { "" };
	int r = fd_wait(talk, POLLIN, CHILD_LIMIT_MS);

	if (r == 0)
		return why_set(why, -ETIMEDOUT, "self-test failed: it took too long");
	if (r < 0 || recv(talk, said.text, sizeof(said.text), 0) != (ssize_t)sizeof(said.text))
		return why_set(why, -EIO, "self-test failed: it ended unexpectedly");
	said.text[sizeof(said.text) - 1] = '\0';
	if (said.text[0])
		return why_set(why, -EPERM, "self-test failed: %.400s", said.text);
	return check_arrivals(t, why);
}

static void ignore_event(_unused_ void *arg, _unused_ const struct kernel_refusal *k)
{
}

/* What the test provoked is nobody's refusal. */
static int drain_events(const struct selftest *t, struct why *why)
{
	struct kernel_events *events;
	int r = kernel_events_open(t->events, ignore_event, NULL, &events);

	if (r < 0)
		return why_set(why, r, "cannot read the events of the BPF programs: %s",
			       strerror(-r));
	kernel_events_read(events);
	kernel_events_free(events);
	return 0;
}

int selftest_run(const struct selftest *t, struct why *why)
{
	struct role helper = ROLE_INIT;
	int pair[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return why_set(why, -errno, "cannot make a channel: %s", strerror(errno));
	pid = role_clone(0, t->cgroup, &helper.pidfd);
	if (pid == 0) {
		(void)close(pair[0]);
		child(t, pair[1]);
	}
	fd_close(&pair[1]);
	if (pid < 0) {
		fd_close(&pair[0]);
		return why_set(why, pid, "cannot start a process in the cgroup (clone3): %s",
			       strerror(-pid));
	}
	helper.pid = pid;
	r = judge(t, pair[0], why);
	fd_close(&pair[0]);
	role_kill(&helper);
	return r == 0 ? drain_events(t, why) : r;
}
