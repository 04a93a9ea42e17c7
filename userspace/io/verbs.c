/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs: each fills in an op on its own stack, waits for it, and turns its result into what the
 * caller wants.
 */
#include "io/verbs.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <string.h>

static void set_nodelay(struct loop *l, int fd)
{
	const int on = 1;

	(void)loop_setsockopt(l, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/*
 * Some hosts have BBR as their default, which paces a loopback connection to a third of its speed.
 * Which algorithms may be chosen without privilege is up to the host.
 */
static void set_congestion_control(struct loop *l, int fd)
{
	if (loop_setsockopt(l, fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) < 0)
		(void)loop_setsockopt(l, fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

static bool is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };
	struct addr plain = addr_unmap(a);

	return plain.family == 4 ? plain.b[0] == 127 : memcmp(plain.b, one, 16) == 0;
}

int io_accept(int fd, struct endpoint *ret_peer, nsec_t deadline)
{
	struct sockaddr_storage sa = { 0 };
	struct op op = { .kind = OP_ACCEPT, .fd = fd, .deadline = deadline };
	int r;

	op.name.sa = ret_peer ? &sa : NULL;
	op.name.len = sizeof(sa);
	r = co_await (&op);
	if (r < 0)
		return r;
	set_nodelay(co_loop(), r);
	if (ret_peer && !endpoint_from_sockaddr((struct sockaddr *)&sa, ret_peer))
		*ret_peer = (struct endpoint){ 0 };
	return r;
}

int io_connect_socket(int fd, const struct endpoint *to, nsec_t deadline)
{
	struct loop *l = co_loop();
	struct sockaddr_storage sa;
	struct op op = { .kind = OP_CONNECT, .fd = fd, .deadline = deadline };

	op.name.len = endpoint_to_sockaddr(to, &sa);
	op.name.sa = &sa;
	set_nodelay(l, fd);
	if (is_loopback(&to->addr))
		set_congestion_control(l, fd);
	return co_await (&op);
}

int io_connect(const struct endpoint *to, nsec_t deadline)
{
	struct loop *l = co_loop();
	int fd, r;

	if (co_cancelled())
		return -ECANCELED;
	fd = loop_socket(l, to->addr.family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM);
	if (fd < 0)
		return fd;
	r = io_connect_socket(fd, to, deadline);
	if (r < 0) {
		loop_close(l, &fd);
		return r;
	}
	return fd;
}

ssize_t io_recv(int fd, void *p, size_t n, nsec_t deadline)
{
	struct op op = { .kind = OP_RECV, .fd = fd, .deadline = deadline };

	op.io.p = p;
	op.io.n = n;
	return co_await (&op);
}

ssize_t io_recv_buf(int fd, struct buf *b, size_t max, nsec_t deadline)
{
	size_t room = MIN(max, b->max - buf_len(b));
	uint8_t *p;
	ssize_t n;

	if (room == 0)
		return -ENOSPC;
	p = buf_reserve(b, room);
	if (!p)
		return -ENOMEM;
	n = io_recv(fd, p, room, deadline);
	if (n > 0)
		buf_commit(b, (size_t)n);
	return n;
}

int io_recv_exact(int fd, void *p, size_t n, nsec_t deadline)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = io_recv(fd, (uint8_t *)p + got, n - got, deadline);

		if (r < 0)
			return (int)r;
		if (r == 0)
			return -ECONNRESET;
		got += (size_t)r;
	}
	return 0;
}

int io_send_all(int fd, const void *p, size_t n, nsec_t deadline)
{
	struct op op = { .kind = OP_SEND, .fd = fd, .deadline = deadline };

	for (size_t sent = 0; sent < n;) {
		int r;

		op.io.p = (uint8_t *)(uintptr_t)p + sent;
		op.io.n = n - sent;
		r = co_await (&op);
		if (r < 0)
			return r;
		sent += (size_t)r;
	}
	return 0;
}

ssize_t io_recvfrom(int fd, void *p, size_t n, struct sockaddr_storage *ret_from,
		    socklen_t *ret_len, nsec_t deadline)
{
	struct iovec iov = { .iov_base = p, .iov_len = n };
	struct msghdr hdr = { .msg_name = ret_from,
			      .msg_namelen = ret_from ? sizeof(*ret_from) : 0,
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };
	struct op op = { .kind = OP_RECVMSG, .fd = fd, .deadline = deadline };
	int r;

	op.msg.hdr = &hdr;
	op.msg.flags = 0;
	r = co_await (&op);
	if (r >= 0 && ret_len)
		*ret_len = hdr.msg_namelen;
	return r;
}

ssize_t io_sendto(int fd, const void *p, size_t n, const struct sockaddr_storage *to, socklen_t len,
		  nsec_t deadline)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
	struct msghdr hdr = { .msg_name = (void *)(uintptr_t)to,
			      .msg_namelen = to ? len : 0,
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };
	struct op op = { .kind = OP_SENDMSG, .fd = fd, .deadline = deadline };

	op.msg.hdr = &hdr;
	op.msg.flags = 0;
	return co_await (&op);
}

int io_poll_in(int fd, nsec_t deadline)
{
	struct op op = { .kind = OP_POLL_IN, .fd = fd, .deadline = deadline };

	return co_await (&op);
}

int io_sleep(nsec_t until)
{
	struct op op = { .kind = OP_TIMER, .deadline = until };
	int r = co_await (&op);

	return r == -ETIME ? 0 : r;
}

void io_linger_close(int *fd, size_t limit, nsec_t deadline)
{
	struct loop *l = co_loop();
	uint8_t dropped[4096];
	size_t got = 0;

	if (*fd < 0)
		return;
	if (loop_shutdown(l, *fd, SHUT_WR) < 0) {
		loop_close(l, fd);
		return;
	}
	while (got < limit) {
		ssize_t n = io_recv(*fd, dropped, MIN(sizeof(dropped), limit - got), deadline);

		if (n <= 0) {
			loop_close(l, fd);
			return;
		}
		got += (size_t)n;
	}
	loop_reset(l, fd);
}

void event_slot_init(struct event_slot *e, struct loop *l)
{
	*e = (struct event_slot){ .loop = l };
}

void event_slot_set(struct event_slot *e)
{
	e->set = true;
	if (e->waiter)
		loop_complete(e->loop, e->waiter, 0);
}

static int slot_wait(struct event_slot *e, nsec_t deadline, int (*await)(struct op *op))
{
	struct op op = { .kind = OP_EVENT, .deadline = deadline };
	int r = 0;

	if (!e->set) {
		assert(!e->waiter);
		e->waiter = &op;
		r = await(&op);
		e->waiter = NULL;
	}
	/* It may have been set between the time-out and our turn. */
	if (e->set && r != -ECANCELED) {
		e->set = false;
		return 0;
	}
	return r;
}

int event_slot_wait(struct event_slot *e, nsec_t deadline)
{
	if (co_cancelled())
		return -ECANCELED;
	return slot_wait(e, deadline, co_await );
}

void event_slot_wait_uncancelled(struct event_slot *e)
{
	(void)slot_wait(e, NSEC_NEVER, co_await_uncancelled);
}
