/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages with descriptors over SOCK_SEQPACKET.
 *
 * On the wire a message is its type (four bytes, big-endian) and the payload. Descriptors travel in
 * one SCM_RIGHTS record. Every way of not accepting a message closes the descriptors that came with
 * it.
 */
#include "ipc/channel.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_SIZE 4

/* A target is a host name or an address, with a port at most. */
#define TARGET_MAX 1024

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
};

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}

void message_done(struct message *m)
{
	close_all(m->fds, m->fd_count);
	m->fd_count = 0;
	buf_done(&m->body);
}

int message_take_fd(struct message *m, size_t i)
{
	return i < m->fd_count ? take_fd(&m->fds[i]) : -EBADF;
}

int message_u32(const struct message *m, uint32_t *ret)
{
	struct cursor c = cursor_over(buf_data(&m->body), buf_len(&m->body));
	uint32_t v = cursor_u32(&c);

	if (c.bad || cursor_left(&c))
		return -EBADMSG;
	*ret = v;
	return 0;
}

int channel_pair(int ret[2])
{
	/* The kernel's default may be smaller than one message; it doubles what is asked for. */
	const int room = 2 * CHANNEL_MESSAGE_MAX;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	memcpy(ret, fds, sizeof(fds));
	return 0;
}

static int send_message(int fd, enum message_type type, struct str body, const int *fds,
			size_t fd_count, int flags)
{
	uint8_t head[HEAD_SIZE] = { 0, 0, 0, (uint8_t)type };
	struct iovec iov[] = { { head, sizeof(head) }, { (void *)(uintptr_t)body.p, body.n } };
	union control control = { 0 };
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	ssize_t n;

	if (body.n > CHANNEL_MESSAGE_MAX)
		return -EMSGSIZE;
	if (fd_count > CHANNEL_FDS_MAX)
		return -E2BIG;
	if (fd_count) {
		size_t bytes = fd_count * sizeof(int);

		h.msg_control = control.room;
		h.msg_controllen = CMSG_SPACE(bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&control.align), fds, bytes);
	}
	do
		n = sendmsg(fd, &h, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return errno == ECONNRESET ? -EPIPE : -errno;
}

int channel_send(int fd, enum message_type type, struct str body, const int *fds, size_t fd_count)
{
	return send_message(fd, type, body, fds, fd_count, 0);
}

int channel_try_send(int fd, enum message_type type, struct str body, const int *fds,
		     size_t fd_count)
{
	return send_message(fd, type, body, fds, fd_count, MSG_DONTWAIT);
}

/*
 * recvmsg() that goes on after EINTR, and once after ECONNRESET: the kernel reports that the peer
 * left messages of ours unread before it hands out what the peer still said, and that may be
 * COMMAND's exit status.
 */
static ssize_t receive(int fd, struct msghdr *h, int flags)
{
	bool reset = false;

	for (;;) {
		ssize_t n = recvmsg(fd, h, flags);

		if (n >= 0)
			return n;
		if (errno == ECONNRESET) {
			if (reset)
				return -EPIPE;
			reset = true;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
}

/* Takes the descriptors out of the control data. -EBADMSG if there is anything else in it; what was
 * taken is counted still. */
static int collect_fds(struct msghdr *h, int fds[CHANNEL_FDS_MAX], size_t *count)
{
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			r = -EBADMSG;
			continue;
		}
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		assert(n <= CHANNEL_FDS_MAX - *count);
		memcpy(fds + *count, CMSG_DATA(c), n * sizeof(int));
		*count += n;
	}
	return r;
}

/* The length of the next message: its head and its payload. */
static int next_length(int fd, size_t *ret)
{
	struct msghdr h = { 0 };
	ssize_t n = receive(fd, &h, MSG_PEEK | MSG_TRUNC);

	if (n < 0)
		return (int)n;
	if (n == 0)
		return -EPIPE;
	*ret = (size_t)n;
	return 0;
}

int channel_recv(int fd, struct message *ret)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	uint8_t head[HEAD_SIZE], *p = NULL;
	union control control;
	size_t len, body;
	ssize_t n;
	int r = next_length(fd, &len);

	if (r < 0)
		return r;
	/* A message that is too long is taken off the queue as well, cut. */
	body = len < HEAD_SIZE ? 0 : MIN(len - HEAD_SIZE, (size_t)CHANNEL_MESSAGE_MAX);
	if (body) {
		p = buf_reserve(&m.body, body);
		if (!p)
			return -ENOMEM;
	}

	struct iovec iov[] = { { head, sizeof(head) }, { p, body } };
	struct msghdr h = { .msg_iov = iov,
			    .msg_iovlen = ARRAY_SIZE(iov),
			    .msg_control = control.room,
			    .msg_controllen = sizeof(control.room) };

	n = receive(fd, &h, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return (int)n;
	r = collect_fds(&h, m.fds, &m.fd_count);
	if (r < 0 || h.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || (size_t)n != HEAD_SIZE + body)
		return -EBADMSG;
	if (head[0] || head[1] || head[2] || head[3] < MSG_PROXY_SETUP || head[3] >= MSG_TYPE_END)
		return -EBADMSG;
	if (body)
		buf_commit(&m.body, body);
	m.type = head[3];
	message_done(ret);
	*ret = m;
	m = (struct message)MESSAGE_INIT;
	return 0;
}

int put_str(struct buf *b, struct str s)
{
	uint8_t *p;

	if (s.n > UINT32_MAX - 4 || s.n + 4 > b->max - buf_len(b))
		return -ENOSPC;
	p = buf_reserve(b, s.n + 4);
	if (!p)
		return -ENOMEM;
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(s.n >> (24 - 8 * i));
	if (s.n)
		memcpy(p + 4, s.p, s.n);
	buf_commit(b, s.n + 4);
	return 0;
}

int put_u64(struct buf *b, uint64_t v)
{
	uint8_t be[8];

	for (int i = 0; i < 8; i++)
		be[i] = (uint8_t)(v >> (56 - 8 * i));
	return buf_append(b, be, sizeof(be));
}

struct str get_str(struct cursor *c)
{
	size_t n = cursor_u32(c);
	const uint8_t *p = cursor_take(c, n);

	return (struct str){ (const char *)p, p ? n : 0 };
}

uint64_t get_u64(struct cursor *c)
{
	uint64_t high = cursor_u32(c), low = cursor_u32(c);

	return c->bad ? 0 : high << 32 | low;
}

int refusal_note_put(struct buf *b, const struct refusal_note *n)
{
	int r = put_str(b, n->target);

	if (r == 0)
		r = buf_append_u16(b, n->port);
	if (r == 0)
		r = buf_append_u32(b, (uint32_t)n->reason);
	if (r == 0)
		r = buf_append_u32(b, n->count);
	return r;
}

int refusal_note_get(const struct message *m, struct refusal_note *ret)
{
	struct cursor c = cursor_over(buf_data(&m->body), buf_len(&m->body));
	struct refusal_note n = { .target = get_str(&c), .port = cursor_u16(&c) };
	uint32_t reason = cursor_u32(&c);

	n.count = cursor_u32(&c);
	if (m->type != MSG_REFUSAL || c.bad || cursor_left(&c) || n.target.n > TARGET_MAX)
		return -EBADMSG;
	if (reason == REASON_NONE || reason >= REASON_COUNT)
		return -EBADMSG;
	n.reason = (enum reason)reason;
	*ret = n;
	return 0;
}

int status_note_put(struct buf *b, const struct status_note *n)
{
	int r = buf_append_u32(b, (uint32_t)n->state);

	return r < 0 ? r : buf_append_u32(b, (uint32_t)n->value);
}

int status_note_get(const struct message *m, struct status_note *ret)
{
	struct cursor c = cursor_over(buf_data(&m->body), buf_len(&m->body));
	uint32_t state = cursor_u32(&c), value = cursor_u32(&c);

	if (m->type != MSG_STATUS || c.bad || cursor_left(&c))
		return -EBADMSG;
	if (state < COMMAND_EXITED || state > COMMAND_PID || value > INT_MAX)
		return -EBADMSG;
	*ret = (struct status_note){ (enum command_state)state, (int)value };
	return 0;
}

int socket_wanted_put(struct buf *b, const struct socket_wanted *n)
{
	int r = buf_append_u32(b, n->number);

	return r < 0 ? r : buf_append_u8(b, n->family);
}

int socket_wanted_get(const struct message *m, struct socket_wanted *ret)
{
	struct cursor c = cursor_over(buf_data(&m->body), buf_len(&m->body));
	struct socket_wanted n = { .number = cursor_u32(&c) };

	n.family = cursor_u8(&c);
	if (m->type != MSG_SOCKET_WANTED || c.bad || cursor_left(&c) || m->fd_count)
		return -EBADMSG;
	if (n.family != 4 && n.family != 6)
		return -EBADMSG;
	*ret = n;
	return 0;
}

int socket_note_put(struct buf *b, const struct socket_note *n)
{
	int r = buf_append_u32(b, n->number);

	return r < 0 ? r : buf_append_u32(b, (uint32_t)n->error);
}

int socket_note_get(const struct message *m, struct socket_note *ret)
{
	struct cursor c = cursor_over(buf_data(&m->body), buf_len(&m->body));
	uint32_t number = cursor_u32(&c), error = cursor_u32(&c);

	if (m->type != MSG_SOCKET || c.bad || cursor_left(&c) || error > INT_MAX)
		return -EBADMSG;
	if (m->fd_count != (error ? 0 : 1))
		return -EBADMSG;
	*ret = (struct socket_note){ number, (int)error };
	return 0;
}
