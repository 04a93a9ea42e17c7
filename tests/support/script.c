/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See script.h. Everything is level-triggered and looked at again whenever anything may have
 * changed: small, slow, and without ideas of its own about what an edge is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/script_internal.h"

#include <string.h>

#define TURNS_MAX 1000000 /* without coming to rest */

static const struct script_step no_steps[] = { SCRIPT_END };

void *script_alloc(size_t n)
{
	void *p = calloc(1, n);

	assert_non_null(p);
	return p;
}

static bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	struct addr x = addr_unmap(&a->addr), y = addr_unmap(&b->addr);

	return a->port == b->port && addr_eq(&x, &y);
}

static void record_add(struct record *r, const void *p, size_t n)
{
	if (r->n + n > r->cap) {
		r->cap = (r->n + n) * 2;
		r->p = realloc(r->p, r->cap);
		if (!r->p)
			abort();
	}
	if (n > 0)
		memcpy(r->p + r->n, p, n);
	r->n += n;
}

uint8_t script_pattern(size_t i)
{
	return (uint8_t)(i * 167 + (i >> 8) * 13 + (i >> 16));
}

/* ---- descriptors ---- */

struct fake *script_fake(struct script *s, int fd)
{
	if (fd < FD_BASE || fd >= FD_BASE + FDS_MAX || s->fakes[fd - FD_BASE].kind == FAKE_FREE)
		return NULL;
	return &s->fakes[fd - FD_BASE];
}

/* The lowest free number, so that numbers are used again as the kernel does it. */
int script_fake_new(struct script *s, enum fake_kind kind)
{
	for (int i = 0; i < FDS_MAX; i++) {
		struct fake *f = &s->fakes[i];

		if (f->kind != FAKE_FREE)
			continue;
		*f = (struct fake){ .kind = kind };
		list_init(&f->waiting);
		list_init(&f->datagrams);
		return FD_BASE + i;
	}
	return -EMFILE;
}

/* ---- peers ---- */

struct script_peer *script_peer_new(struct script *s, const struct script_step *steps)
{
	struct script_peer *p = script_alloc(sizeof(*p));

	p->script = s;
	p->steps = steps ? steps : no_steps;
	p->window = SIZE_MAX;
	p->fd = -EBADF;
	list_init(&p->waiting);
	list_init(&p->of_server);
	list_add_tail(&s->peers, &p->all);
	return p;
}

/* Our end of a connection. */
int script_peer_attach(struct script *s, struct script_peer *p)
{
	int fd = script_fake_new(s, FAKE_STREAM);

	if (fd >= 0) {
		script_fake(s, fd)->peer = p;
		p->fd = fd;
	}
	return fd;
}

/* Is the current step over? Does what it does at once. */
static bool step_over(struct script_peer *p)
{
	const struct script_step *st = p->steps;
	bool ended = p->got_eof || p->got_reset;

	switch (st->kind) {
	case SCRIPT_STEP_SEND:
	case SCRIPT_STEP_FILL:
		return p->offset >= st->n;
	case SCRIPT_STEP_EXPECT:
		return p->got.n >= st->n || ended;
	case SCRIPT_STEP_EXPECT_EOF:
		return ended;
	case SCRIPT_STEP_WINDOW:
		p->window = st->n;
		return true;
	case SCRIPT_STEP_DELAY:
		if (p->delay_end == 0)
			p->delay_end = p->script->now + (nsec_t)st->n * NSEC_PER_MSEC;
		return p->delay_end <= p->script->now;
	case SCRIPT_STEP_EOF:
		p->eof = true;
		return true;
	case SCRIPT_STEP_RESET:
		p->reset = true;
		return true;
	case SCRIPT_STEP_END:
		break;
	}
	return false;
}

static void peer_advance(struct script_peer *p)
{
	while (!p->reset && step_over(p)) {
		p->steps++;
		p->offset = 0;
		p->delay_end = 0;
	}
}

static bool peer_sends(const struct script_peer *p)
{
	return p->steps->kind == SCRIPT_STEP_SEND || p->steps->kind == SCRIPT_STEP_FILL;
}

static ssize_t peer_read(struct fake *f, uint8_t *to, size_t n)
{
	struct script_peer *p = f->peer;
	const struct script_step *st;

	if (!p)
		return -ENOTCONN;
	peer_advance(p);
	if (p->reset)
		return -ECONNRESET;
	if (!peer_sends(p))
		return p->eof || f->shut_in ? 0 : -EAGAIN;
	st = p->steps;
	n = MIN(n, st->n - p->offset);
	if (st->segment)
		n = MIN(n, st->segment - p->offset % st->segment);
	for (size_t i = 0; i < n; i++)
		to[i] = st->data ? (uint8_t)st->data[p->offset + i] : script_pattern(p->offset + i);
	p->offset += n;
	return (ssize_t)n;
}

static ssize_t peer_write(struct fake *f, const uint8_t *from, size_t n)
{
	struct script_peer *p = f->peer;

	if (!p)
		return -ENOTCONN;
	peer_advance(p);
	if (p->reset || f->shut_out)
		return p->reset ? -ECONNRESET : -EPIPE;
	if (n > 0 && p->window == 0)
		return -EAGAIN;
	n = MIN(n, p->window);
	if (p->window != SIZE_MAX)
		p->window -= n;
	record_add(&p->got, from, n);
	return (ssize_t)n;
}

/* ---- datagrams ---- */

void script_datagram_arrives(struct fake *f, const struct endpoint *from, const void *p, size_t n)
{
	struct datagram *d = script_alloc(sizeof(*d) + n);

	d->from = *from;
	d->n = n;
	memcpy(d->p, p, n);
	list_add_tail(&f->datagrams, &d->link);
}

static ssize_t udp_read(struct fake *f, uint8_t *to, size_t n, struct endpoint *ret_from)
{
	struct datagram *d;

	if (list_empty(&f->datagrams))
		return -EAGAIN;
	d = container_of(f->datagrams.next, struct datagram, link);
	list_del(&d->link);
	n = MIN(n, d->n);
	memcpy(to, d->p, n);
	if (ret_from)
		*ret_from = d->from;
	free(d);
	return (ssize_t)n;
}

static ssize_t udp_write(struct script *s, struct fake *f, const struct endpoint *to, const void *p,
			 size_t n)
{
	struct sent_datagram *sent = script_alloc(sizeof(*sent));
	char *copy = script_alloc(n + 1);

	memcpy(copy, p, n);
	sent->to = *to;
	sent->bytes = (struct str){ copy, n };
	list_add_tail(&s->sent, &sent->all);
	list_for_each (it, &s->udp_servers) {
		struct udp_server *u = container_of(it, struct udp_server, all);
		static uint8_t reply[65536];
		size_t k;

		if (!same_endpoint(&u->at, to))
			continue;
		k = u->fn(u->arg, p, n, reply, sizeof(reply));
		if (k > 0)
			script_datagram_arrives(f, &u->at, reply, k);
	}
	return (ssize_t)n;
}

/* ---- one operation ---- */

/* True if this is the one that fails. */
static bool fails_now(struct script *s)
{
	return ++s->ops == s->fail_at;
}

static ssize_t do_recv(struct fake *f, void *p, size_t n)
{
	if (f->kind == FAKE_UDP)
		return udp_read(f, p, n, NULL);
	return f->kind == FAKE_STREAM ? peer_read(f, p, n) : -EINVAL;
}

static ssize_t do_send(struct script *s, struct fake *f, const void *p, size_t n)
{
	if (f->kind == FAKE_UDP)
		return f->to.port ? udp_write(s, f, &f->to, p, n) : -EDESTADDRREQ;
	return f->kind == FAKE_STREAM ? peer_write(f, p, n) : -EINVAL;
}

static ssize_t do_recvmsg(struct fake *f, struct msghdr *h)
{
	struct endpoint from = { 0 };
	struct sockaddr_storage sa;
	ssize_t n;

	if (f->kind != FAKE_UDP)
		return do_recv(f, h->msg_iov[0].iov_base, h->msg_iov[0].iov_len);
	n = udp_read(f, h->msg_iov[0].iov_base, h->msg_iov[0].iov_len, &from);
	if (n >= 0 && h->msg_name) {
		socklen_t len = endpoint_to_sockaddr(&from, &sa);

		memcpy(h->msg_name, &sa, MIN(len, h->msg_namelen));
		h->msg_namelen = len;
	}
	h->msg_controllen = 0;
	h->msg_flags = 0;
	return n;
}

static ssize_t do_sendmsg(struct script *s, struct fake *f, const struct msghdr *h)
{
	struct record all = { 0 };
	struct endpoint to = f->to;
	ssize_t n;

	if (h->msg_name && !endpoint_from_sockaddr(h->msg_name, &to))
		return -EAFNOSUPPORT;
	for (size_t i = 0; i < h->msg_iovlen; i++)
		record_add(&all, h->msg_iov[i].iov_base, h->msg_iov[i].iov_len);
	if (f->kind == FAKE_UDP)
		n = to.port ? udp_write(s, f, &to, all.p, all.n) : -EDESTADDRREQ;
	else
		n = do_send(s, f, all.p, all.n);
	free(all.p);
	return n;
}

static int do_accept(struct script *s, struct fake *f, struct op *op)
{
	struct script_peer *p;
	int fd;

	if (f->kind != FAKE_LISTENER)
		return -EINVAL;
	if (list_empty(&f->waiting))
		return -EAGAIN;
	p = container_of(f->waiting.next, struct script_peer, waiting);
	fd = script_peer_attach(s, p);
	if (fd < 0)
		return fd;
	list_del(&p->waiting);
	if (op->name.sa)
		op->name.len = endpoint_to_sockaddr(&p->from, op->name.sa);
	return fd;
}

static struct script_server *server_at(struct script *s, const struct endpoint *at)
{
	list_for_each (it, &s->servers) {
		struct script_server *srv = container_of(it, struct script_server, all);

		if (same_endpoint(&srv->at, at))
			return srv;
	}
	return NULL;
}

/* The state of a connect that was begun. */
static int connect_state(struct script *s, struct fake *f)
{
	struct script_server *srv = f->server;
	struct script_peer *p;

	if (f->peer)
		return 0;
	if (!srv)
		return -ENOTCONN;
	if (srv->behaviour == SCRIPT_BLACK_HOLE || f->answers_at > s->now)
		return -EINPROGRESS;
	f->server = NULL;
	if (srv->behaviour == SCRIPT_REFUSES)
		return -ECONNREFUSED;
	if (srv->behaviour == SCRIPT_UNREACHABLE)
		return -EHOSTUNREACH;
	p = script_peer_new(s, srv->steps);
	p->fd = (int)(f - s->fakes) + FD_BASE;
	f->peer = p;
	list_add_tail(&srv->peers, &p->of_server);
	return 0;
}

static int connect_begin(struct script *s, struct fake *f, const struct sockaddr *sa)
{
	struct dialled *d;
	struct endpoint to;

	if (!endpoint_from_sockaddr(sa, &to))
		return -EAFNOSUPPORT;
	if (f->kind == FAKE_UDP) {
		f->to = to;
		return 0;
	}
	if (f->kind != FAKE_STREAM || f->peer || f->server)
		return -EISCONN;
	d = script_alloc(sizeof(*d));
	(void)endpoint_text(&to, d->text);
	list_add_tail(&s->dialled, &d->all);
	f->server = server_at(s, &to);
	if (!f->server)
		return -ENETUNREACH;
	f->answers_at = s->now + f->server->delay;
	return connect_state(s, f);
}

static bool readable(struct fake *f)
{
	struct script_peer *p = f->peer;

	switch (f->kind) {
	case FAKE_LISTENER:
		return !list_empty(&f->waiting);
	case FAKE_UDP:
		return !list_empty(&f->datagrams);
	case FAKE_STREAM:
		if (!p)
			return false;
		peer_advance(p);
		return peer_sends(p) || p->eof || p->reset || f->shut_in;
	default:
		return false;
	}
}

static bool writable(struct script *s, struct fake *f)
{
	struct script_peer *p = f->peer;

	if (f->kind == FAKE_UDP)
		return true;
	if (f->kind != FAKE_STREAM)
		return false;
	if (!p)
		return connect_state(s, f) != -EINPROGRESS;
	peer_advance(p);
	return p->window > 0 || p->reset || f->shut_out;
}

/* -EAGAIN or -EINPROGRESS: it has to wait. */
static int op_try(struct script *s, struct fake *f, struct op *op, bool first)
{
	switch (op->kind) {
	case OP_POLL_IN:
		return readable(f) ? 0 : -EAGAIN;
	case OP_POLL_OUT:
		return writable(s, f) ? 0 : -EAGAIN;
	case OP_ACCEPT:
		return do_accept(s, f, op);
	case OP_CONNECT:
		return first ? connect_begin(s, f, (const struct sockaddr *)op->name.sa)
			     : connect_state(s, f);
	case OP_RECV:
		return (int)do_recv(f, op->io.p, op->io.n);
	case OP_SEND:
		return (int)do_send(s, f, op->io.p, op->io.n);
	case OP_RECVMSG:
		return (int)do_recvmsg(f, op->msg.hdr);
	case OP_SENDMSG:
		return (int)do_sendmsg(s, f, op->msg.hdr);
	default:
		return -EINVAL;
	}
}

static struct op **op_place(struct fake *f, const struct op *op)
{
	bool out = op->kind == OP_POLL_OUT || op->kind == OP_CONNECT || op->kind == OP_SEND ||
		   op->kind == OP_SENDMSG;

	return out ? &f->out : &f->in;
}

static bool waits(int r)
{
	return r == -EAGAIN || r == -EINPROGRESS;
}

/* ---- the back end ---- */

static int sc_open(struct loop *l)
{
	struct script *s = loop_data(l);

	s->now = 1000 * NSEC_PER_SEC;
	return 0;
}

static void sc_close(_unused_ struct loop *l)
{
}

static nsec_t sc_now(struct loop *l)
{
	return ((struct script *)loop_data(l))->now;
}

static void sc_submit(struct loop *l, struct op *op)
{
	struct script *s = loop_data(l);
	struct fake *f = script_fake(s, op->fd);
	int r;

	if (fails_now(s)) {
		loop_complete(l, op, -s->fail_errno);
		return;
	}
	if (!f) {
		loop_complete(l, op, -EBADF);
		return;
	}
	/* Two readers or two writers of one descriptor: a real back end has no room for that. */
	if (*op_place(f, op))
		abort();
	r = op_try(s, f, op, true);
	if (waits(r))
		*op_place(f, op) = op;
	else
		loop_complete(l, op, r);
}

static void sc_cancel(struct loop *l, struct op *op)
{
	struct fake *f = script_fake(loop_data(l), op->fd);

	if (!f || *op_place(f, op) != op)
		abort(); /* its descriptor was closed under it */
	*op_place(f, op) = NULL;
	loop_complete(l, op, -ECANCELED);
}

static bool retry(struct script *s, struct fake *f, struct op **place)
{
	struct op *op = *place;
	int r;

	if (!op)
		return false;
	r = op_try(s, f, op, false);
	if (waits(r))
		return false;
	*place = NULL;
	loop_complete(s->loop, op, r);
	return true;
}

/* True if anything completed. */
static bool look_around(struct script *s)
{
	bool any = false;

	list_for_each (it, &s->peers)
		peer_advance(container_of(it, struct script_peer, all));
	for (int i = 0; i < FDS_MAX; i++) {
		any |= retry(s, &s->fakes[i], &s->fakes[i].in);
		any |= retry(s, &s->fakes[i], &s->fakes[i].out);
	}
	return any;
}

/* When something happens by itself. */
static nsec_t next_event(struct script *s)
{
	nsec_t at = NSEC_NEVER;

	list_for_each (it, &s->peers) {
		struct script_peer *p = container_of(it, struct script_peer, all);

		if (p->steps->kind == SCRIPT_STEP_DELAY && p->delay_end > s->now)
			at = MIN(at, p->delay_end);
	}
	for (int i = 0; i < FDS_MAX; i++)
		if (s->fakes[i].server && s->fakes[i].answers_at > s->now)
			at = MIN(at, s->fakes[i].answers_at);
	return at;
}

static int sc_wait(struct loop *l, nsec_t timeout)
{
	struct script *s = loop_data(l);
	nsec_t at;

	if (++s->turns > TURNS_MAX)
		return -ELOOP;
	if (look_around(s) || timeout <= 0)
		return 0;
	at = next_event(s);
	if (timeout != NSEC_NEVER)
		at = MIN(at, s->now + timeout);
	if (at == NSEC_NEVER)
		return -EDEADLK;
	s->now = at;
	(void)look_around(s);
	return 0;
}

static int sc_socket(struct loop *l, _unused_ int family, int type)
{
	struct script *s = loop_data(l);

	if (fails_now(s))
		return -s->fail_errno;
	return script_fake_new(s, type == SOCK_DGRAM ? FAKE_UDP : FAKE_STREAM);
}

static int sc_setsockopt(struct loop *l, int fd, int level, int name, const void *value,
			 _unused_ socklen_t n)
{
	struct script *s = loop_data(l);
	struct fake *f = script_fake(s, fd);

	if (fails_now(s))
		return -s->fail_errno;
	if (!f)
		return -EBADF;
	if (level == SOL_SOCKET && name == SO_LINGER) {
		const struct linger *lg = value;

		f->linger0 = lg->l_onoff && lg->l_linger == 0;
	}
	return 0;
}

static int sc_shutdown(struct loop *l, int fd, int how)
{
	struct script *s = loop_data(l);
	struct fake *f = script_fake(s, fd);

	if (fails_now(s))
		return -s->fail_errno;
	if (!f || f->kind != FAKE_STREAM)
		return f ? -ENOTSOCK : -EBADF;
	if (!f->peer || f->peer->reset)
		return -ENOTCONN;
	if (how != SHUT_WR)
		f->shut_in = true;
	if (how != SHUT_RD) {
		f->shut_out = true;
		f->peer->got_eof = true;
	}
	return 0;
}

static void pipe_end_close(struct fake_pipe *p)
{
	if (--p->ends > 0)
		return;
	free(p->p);
	free(p);
}

static int sc_close_fd(struct loop *l, int fd)
{
	struct fake *f = script_fake(loop_data(l), fd);

	if (!f)
		return -EBADF;
	if (f->in || f->out)
		abort(); /* ops on the descriptor must be done */
	if (f->peer) {
		f->peer->fd = -EBADF;
		if (f->linger0)
			f->peer->got_reset = true;
		else
			f->peer->got_eof = true;
	}
	list_for_each_safe (it, &f->datagrams) {
		list_del(it);
		free(container_of(it, struct datagram, link));
	}
	list_for_each_safe (it, &f->waiting) {
		container_of(it, struct script_peer, waiting)->got_reset = true;
		list_del(it);
	}
	if (f->pipe)
		pipe_end_close(f->pipe);
	*f = (struct fake){ 0 };
	return 0;
}

static int sc_connect(struct loop *l, int fd, const struct sockaddr *sa, _unused_ socklen_t n)
{
	struct script *s = loop_data(l);
	struct fake *f = script_fake(s, fd);

	if (fails_now(s))
		return -s->fail_errno;
	return f ? connect_begin(s, f, sa) : -EBADF;
}

static ssize_t sc_recv(struct loop *l, int fd, void *p, size_t n)
{
	struct script *s = loop_data(l);
	struct fake *f = script_fake(s, fd);

	if (fails_now(s))
		return -s->fail_errno;
	return f ? do_recv(f, p, n) : -EBADF;
}

static ssize_t sc_send(struct loop *l, int fd, const void *p, size_t n)
{
	struct script *s = loop_data(l);
	struct fake *f = script_fake(s, fd);

	if (fails_now(s))
		return -s->fail_errno;
	return f ? do_send(s, f, p, n) : -EBADF;
}

static ssize_t sc_splice(struct loop *l, int from, int to, size_t n)
{
	struct script *s = loop_data(l);
	struct fake *f = script_fake(s, from), *t = script_fake(s, to);
	struct fake_pipe *p;
	ssize_t r;

	if (fails_now(s))
		return -s->fail_errno;
	if (!f || !t)
		return -EBADF;
	if (f->kind == FAKE_STREAM && t->kind == FAKE_PIPE_IN) {
		p = t->pipe;
		if (p->n == p->size)
			return -EAGAIN;
		r = peer_read(f, p->p + p->n, MIN(n, p->size - p->n));
		p->n += r > 0 ? (size_t)r : 0;
		return r;
	}
	if (f->kind != FAKE_PIPE_OUT || t->kind != FAKE_STREAM)
		return -EINVAL;
	p = f->pipe;
	if (p->n == 0)
		return -EAGAIN;
	r = peer_write(t, p->p, MIN(n, p->n));
	if (r > 0) {
		p->n -= (size_t)r;
		memmove(p->p, p->p + r, p->n);
	}
	return r;
}

static int sc_pipe(struct loop *l, int fds[2], size_t size)
{
	struct script *s = loop_data(l);
	struct fake_pipe *p;

	if (fails_now(s))
		return -s->fail_errno;
	fds[0] = script_fake_new(s, FAKE_PIPE_OUT);
	fds[1] = script_fake_new(s, FAKE_PIPE_IN);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	p = script_alloc(sizeof(*p));
	p->p = script_alloc(size);
	p->size = size;
	p->ends = 2;
	script_fake(s, fds[0])->pipe = script_fake(s, fds[1])->pipe = p;
	return (int)size;
}

const struct loop_backend loop_script = {
	.name = "script",
	.open = sc_open,
	.close = sc_close,
	.submit = sc_submit,
	.cancel = sc_cancel,
	.wait = sc_wait,
	.now = sc_now,
	.socket = sc_socket,
	.setsockopt = sc_setsockopt,
	.shutdown = sc_shutdown,
	.close_fd = sc_close_fd,
	.connect = sc_connect,
	.recv = sc_recv,
	.send = sc_send,
	.splice = sc_splice,
	.pipe = sc_pipe,
};
