/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoll back end: tries the system call first and waits for readiness only if the kernel says
 * so.
 *
 * A descriptor is registered once, edge-triggered for both directions, when an op on it has to wait
 * for the first time; after that waiting costs no system call at all. Why no edge is lost: an op is
 * armed in the same turn in which the kernel said -EAGAIN, and events are only read between turns,
 * so whatever happens after the -EAGAIN is in the next epoll_wait(). Registering reports a
 * descriptor that is ready already.
 *
 * OP_WOULD_BLOCK spares even the poll(2) before arming. It is also set after a short read of a
 * stream, which is as good as an -EAGAIN but for two things that do not come with an edge of their
 * own: an end that had arrived before the read, and urgent data, at which a read stops. A
 * descriptor that ever reported one of these is asked with poll(2) again (`wary`).
 *
 * A closed descriptor may live on in another process and report events under a number that is
 * somebody else's by now; the generation in the event tells them apart.
 */
#include "io/loop_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256

struct entry {
	struct op *in, *out;
	uint32_t generation;
	bool registered;
	bool wary;
};

struct epoll {
	int fd;
	struct entry *table; /* by descriptor */
	size_t cap;
	struct epoll_event events[EVENTS_MAX];
};

static int result(ssize_t r)
{
	return r < 0 ? -errno : (int)r;
}

static bool is_output(const struct op *op)
{
	return op->kind == OP_POLL_OUT || op->kind == OP_CONNECT || op->kind == OP_SEND ||
	       op->kind == OP_SENDMSG;
}

static int ep_open(struct loop *l)
{
	struct epoll *ep = calloc(1, sizeof(*ep));
	struct sigaction old;
	int r;

	if (!ep)
		return -ENOMEM;
	ep->fd = epoll_create1(EPOLL_CLOEXEC);
	if (ep->fd < 0) {
		r = -errno;
		free(ep);
		return r;
	}
	/* splice(2) has no MSG_NOSIGNAL. */
	if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN);
	loop_set_data(l, ep);
	return 0;
}

static void ep_close(struct loop *l)
{
	struct epoll *ep = loop_data(l);

	(void)close(ep->fd);
	free(ep->table);
	free(ep);
}

static nsec_t ep_now(_unused_ struct loop *l)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static int try_poll(const struct op *op)
{
	struct pollfd p = { .fd = op->fd,
			    .events = op->kind == OP_POLL_OUT ? POLLOUT : POLLIN | POLLRDHUP };

	if (poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	return p.revents & POLLNVAL ? -EBADF : 0;
}

static int try_accept(struct op *op)
{
	struct sockaddr *sa = (struct sockaddr *)op->name.sa;
	int r;

	do {
		op->name.len = sizeof(*op->name.sa);
		r = result(accept4(op->fd, sa, sa ? &op->name.len : NULL,
				   SOCK_NONBLOCK | SOCK_CLOEXEC));
	} while (r == -ECONNABORTED); /* it has gone already: look for the next one */
	return r;
}

/* The system call of an op: its result, or -EAGAIN. */
static int try(struct op *op)
{
	switch (op->kind) {
	case OP_POLL_IN:
	case OP_POLL_OUT:
		return try_poll(op);
	case OP_ACCEPT:
		return try_accept(op);
	case OP_CONNECT:
		return result(connect(op->fd, (const struct sockaddr *)op->name.sa, op->name.len));
	case OP_RECV:
		return result(recv(op->fd, op->io.p, op->io.n, MSG_DONTWAIT));
	case OP_SEND:
		return result(send(op->fd, op->io.p, op->io.n, MSG_DONTWAIT | MSG_NOSIGNAL));
	case OP_RECVMSG:
		return result(recvmsg(op->fd, op->msg.hdr,
				      op->msg.flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
	case OP_SENDMSG:
		return result(
			sendmsg(op->fd, op->msg.hdr, op->msg.flags | MSG_DONTWAIT | MSG_NOSIGNAL));
	default:
		return -EINVAL;
	}
}

/* True while the op has to wait. */
static bool would_block(const struct op *op, int r)
{
	if (op->kind == OP_CONNECT)
		return r == -EINPROGRESS || r == -EINTR;
	return r == -EAGAIN;
}

static int try_again(struct op *op)
{
	int r;

	do
		r = try(op);
	while (r == -EINTR && op->kind != OP_CONNECT);
	return r;
}

/* The entry of a descriptor, or NULL when memory is short. */
static struct entry *entry_of(struct epoll *ep, int fd)
{
	if ((size_t)fd >= ep->cap) {
		size_t cap = ep->cap ? ep->cap : 64;
		struct entry *table;

		while (cap <= (size_t)fd)
			cap *= 2;
		table = reallocarray(ep->table, cap, sizeof(*table));
		if (!table)
			return NULL;
		for (size_t i = ep->cap; i < cap; i++)
			table[i] = (struct entry){ 0 };
		ep->table = table;
		ep->cap = cap;
	}
	return &ep->table[fd];
}

static int register_fd(struct epoll *ep, struct entry *e, int fd)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
		.data.u64 = (uint64_t)e->generation << 32 | (uint32_t)fd,
	};

	if (e->registered)
		return 0;
	if (epoll_ctl(ep->fd, EPOLL_CTL_ADD, fd, &ev) < 0 &&
	    (errno != EEXIST || epoll_ctl(ep->fd, EPOLL_CTL_MOD, fd, &ev) < 0))
		return -errno;
	e->registered = true;
	return 0;
}

static void ep_submit(struct loop *l, struct op *op)
{
	struct epoll *ep = loop_data(l);
	struct entry *e;
	struct op **place;
	int r;

	if (op->fd < 0) {
		loop_complete(l, op, -EBADF);
		return;
	}
	e = entry_of(ep, op->fd);
	if (!e) {
		loop_complete(l, op, -ENOMEM);
		return;
	}
	if (!(op->flags & OP_WOULD_BLOCK) || e->wary) {
		r = try_again(op);
		if (!would_block(op, r)) {
			loop_complete(l, op, r);
			return;
		}
	}
	r = register_fd(ep, e, op->fd);
	if (r < 0) {
		/* -EPERM: a regular file or the like, which is always ready. */
		loop_complete(l, op, r == -EPERM ? try_again(op) : r);
		return;
	}
	place = is_output(op) ? &e->out : &e->in;
	assert(!*place);
	*place = op;
}

static void ep_cancel(struct loop *l, struct op *op)
{
	struct epoll *ep = loop_data(l);
	struct entry *e = &ep->table[op->fd];
	struct op **place = is_output(op) ? &e->out : &e->in;

	assert(*place == op);
	*place = NULL;
	loop_complete(l, op, -ECANCELED);
}

static int connect_result(int fd)
{
	int err = 0;
	socklen_t n = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0)
		return -errno;
	return -err;
}

/* The descriptor of an armed op is ready. */
static void wake(struct loop *l, struct op **place)
{
	struct op *op = *place;
	int r;

	if (!op)
		return;
	if (op->kind == OP_POLL_IN || op->kind == OP_POLL_OUT)
		r = 0;
	else if (op->kind == OP_CONNECT)
		r = connect_result(op->fd);
	else
		r = try_again(op);
	if (r == -EAGAIN)
		return;
	*place = NULL;
	loop_complete(l, op, r);
}

static void on_event(struct loop *l, struct epoll *ep, const struct epoll_event *ev)
{
	struct entry *e = &ep->table[(uint32_t)ev->data.u64];
	const uint32_t last = EPOLLHUP | EPOLLERR;

	if (e->generation != (uint32_t)(ev->data.u64 >> 32))
		return;
	if (ev->events & (EPOLLRDHUP | EPOLLPRI | last))
		e->wary = true;
	if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | last))
		wake(l, &e->in);
	if (ev->events & (EPOLLOUT | last))
		wake(l, &e->out);
}

/* Rounded up: a deadline is never reported early. */
static int to_msec(nsec_t t)
{
	if (t == NSEC_NEVER)
		return -1;
	if (t / NSEC_PER_MSEC >= INT_MAX)
		return INT_MAX;
	return (int)((t + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

static int ep_wait(struct loop *l, nsec_t timeout)
{
	struct epoll *ep = loop_data(l);
	int n = epoll_wait(ep->fd, ep->events, EVENTS_MAX, to_msec(timeout));

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		on_event(l, ep, &ep->events[i]);
	return 0;
}

static int ep_socket(_unused_ struct loop *l, int family, int type)
{
	return result(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int ep_setsockopt(_unused_ struct loop *l, int fd, int level, int name, const void *value,
			 socklen_t n)
{
	return result(setsockopt(fd, level, name, value, n));
}

static int ep_shutdown(_unused_ struct loop *l, int fd, int how)
{
	return result(shutdown(fd, how));
}

static int ep_connect(_unused_ struct loop *l, int fd, const struct sockaddr *sa, socklen_t n)
{
	return result(connect(fd, sa, n));
}

static int ep_close_fd(struct loop *l, int fd)
{
	struct epoll *ep = loop_data(l);

	if ((size_t)fd < ep->cap) {
		struct entry *e = &ep->table[fd];

		assert(!e->in && !e->out);
		*e = (struct entry){ .generation = e->generation + 1 };
	}
	return result(close(fd));
}

static ssize_t ep_recv(_unused_ struct loop *l, int fd, void *p, size_t n)
{
	ssize_t r;

	do
		r = recv(fd, p, n, MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static ssize_t ep_send(_unused_ struct loop *l, int fd, const void *p, size_t n)
{
	ssize_t r;

	do
		r = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static ssize_t ep_splice(_unused_ struct loop *l, int from, int to, size_t n)
{
	ssize_t r;

	do
		r = splice(from, NULL, to, NULL, n, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static int ep_pipe(_unused_ struct loop *l, int fds[2], size_t size)
{
	int r;

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return -errno;
	/* Refused beyond the limit of the user: then the pipe is what it is. */
	(void)fcntl(fds[1], F_SETPIPE_SZ, (int)size);
	r = result(fcntl(fds[1], F_GETPIPE_SZ));
	if (r < 0) {
		(void)close(fds[0]);
		(void)close(fds[1]);
	}
	return r;
}

const struct loop_backend loop_epoll = {
	.name = "epoll",
	.open = ep_open,
	.close = ep_close,
	.submit = ep_submit,
	.cancel = ep_cancel,
	.wait = ep_wait,
	.now = ep_now,
	.socket = ep_socket,
	.setsockopt = ep_setsockopt,
	.shutdown = ep_shutdown,
	.close_fd = ep_close_fd,
	.connect = ep_connect,
	.recv = ep_recv,
	.send = ep_send,
	.splice = ep_splice,
	.pipe = ep_pipe,
};
