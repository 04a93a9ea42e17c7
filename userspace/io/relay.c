/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay: two directions, each a machine of its own.
 *
 * What a direction holds, and the one thing that it waits for (it has one op):
 *
 *	state     in hand                          waits for
 *	-------   ------------------------------   -------------------------------------------
 *	UNUSED    nothing, or the first bytes      relay_start()
 *	READ      nothing at all                   `from` readable
 *	WRITE     a rest, or a pipe with bytes     `to` writable; `from` is not read meanwhile
 *	AGAIN     nothing, or the first bytes      its next turn: it used up its share of this
 *	CLOSED    nothing                          nothing; the end was passed on
 *
 *	UNUSED --start--> AGAIN --> READ <--> WRITE
 *	                    ^        |
 *	                    '--------+--EOF, all delivered--> CLOSED
 *
 * From any state an error, the idle time or a stop ends the whole relay (`ending`): all ops are
 * cancelled, and when the last one is home both descriptors are closed.
 *
 * How the bytes travel is a matter of its own:
 *
 *	copy      recv() into the loop's scratch buffer, send() from there. What send() leaves is
 *	          kept in memory of its own (`rest`) until it is gone. Best for small messages.
 *	splice    from the socket into a pipe until that is full or the socket dry, then from the
 *	          pipe to the other side. Best for bulk.
 *
 *	copy -> splice    PROMOTE_BYTES went through without the socket running dry
 *	splice -> copy    it ran dry THIN_MAX times in a row with little to show for it
 *
 * Pipes are scarce (the kernel counts them per user), so a direction borrows one from the loop's
 * pool only while bytes are in it or about to be; an idle direction has none. No pipe to be had:
 * it copies.
 *
 * Ends. EOF is passed on by shutdown(SHUT_WR) after everything before it; the other direction goes
 * on. Any error is passed on as a reset of both sides, so that nobody takes half of something for
 * all of it.
 */
#include "io/relay.h"

#include <assert.h>
#include <string.h>

#include "io/loop_internal.h"

#define SCRATCH_SIZE ((size_t)64 * 1024)
#define PIPE_SIZE    ((size_t)256 * 1024)
#define PIPE_LEAST \
	((size_t)64 * 1024) /* beyond the user's limit the kernel gives pipes of a page or two */
#define PIPES_MAX     64
#define PROMOTE_BYTES ((size_t)128 * 1024)
#define THIN_BYTES    ((size_t)16 * 1024)
#define THIN_MAX      8
#define SHARE	      ((size_t)256 * 1024) /* of one direction in one turn */

enum dir_state { DIR_UNUSED, DIR_READ, DIR_WRITE, DIR_AGAIN, DIR_CLOSED };

struct pipe {
	int in, out; /* in is written, out is read */
	size_t size;
};

struct direction {
	struct op op;
	uint8_t *rest; /* memory; what is left of it: */
	uint32_t rest_at, rest_end;
	uint32_t piped;	 /* bytes in the pipe */
	uint32_t streak; /* bytes since the socket last ran dry */
	struct pipe pipe;
	uint64_t bytes; /* delivered */
	uint8_t state;
	uint8_t thin;
	bool splice, no_splice, eof;
};

struct relay {
	struct loop *loop;
	struct direction dir[2];
	struct op timer;
	int fd[2]; /* by the direction that reads it: client, server */
	nsec_t idle, last;
	void (*ended)(struct relay *r, void *arg);
	void *arg;
	uint8_t flying; /* ops in flight */
	uint8_t end;
	bool ending;
};

_Static_assert(sizeof(struct relay) <= 512, "an idle tunnel stays small");

/* Per loop. */
struct relay_room {
	size_t pipes, pooled;
	struct pipe pool[PIPES_MAX];
	uint8_t scratch[SCRATCH_SIZE];
};

static void step(struct relay *r, struct direction *d);

/* ---- pipes ---- */

static void pipe_close(struct loop *l, struct relay_room *room, struct pipe *p)
{
	loop_close(l, &p->in);
	loop_close(l, &p->out);
	room->pipes--;
}

static void room_free(struct loop *l, void *p)
{
	struct relay_room *room = p;

	while (room->pooled > 0)
		pipe_close(l, room, &room->pool[--room->pooled]);
	assert(room->pipes == 0);
	free(room);
}

static struct relay_room *room_of(struct loop *l)
{
	if (!l->room[LOOP_ROOM_RELAY].p) {
		struct relay_room *room = malloc(sizeof(*room));

		if (!room)
			return NULL;
		room->pipes = room->pooled = 0;
		l->room[LOOP_ROOM_RELAY].p = room;
		l->room[LOOP_ROOM_RELAY].free = room_free;
	}
	return l->room[LOOP_ROOM_RELAY].p;
}

static bool pipe_borrow(struct loop *l, struct pipe *ret)
{
	struct relay_room *room = room_of(l);
	int fds[2], size;

	if (room->pooled > 0) {
		*ret = room->pool[--room->pooled];
		return true;
	}
	if (room->pipes >= PIPES_MAX)
		return false;
	size = loop_backend(l)->pipe(l, fds, PIPE_SIZE);
	if (size < 0)
		return false;
	*ret = (struct pipe){ .out = fds[0], .in = fds[1], .size = (size_t)size };
	room->pipes++;
	if (ret->size < PIPE_LEAST) {
		pipe_close(l, room, ret);
		return false;
	}
	return true;
}

/* Gives the pipe back, or closes it if something is left in it that nobody else may see. */
static void pipe_return(struct loop *l, struct direction *d)
{
	struct relay_room *room = room_of(l);

	if (d->pipe.in < 0)
		return;
	if (d->piped > 0)
		pipe_close(l, room, &d->pipe);
	else
		room->pool[room->pooled++] = d->pipe;
	d->piped = 0;
	d->pipe = (struct pipe){ .in = -EBADF, .out = -EBADF };
}

/* ---- ends ---- */

static int from_fd(const struct relay *r, const struct direction *d)
{
	return r->fd[d - r->dir];
}

static int to_fd(const struct relay *r, const struct direction *d)
{
	return r->fd[d == &r->dir[RELAY_UP] ? RELAY_DOWN : RELAY_UP];
}

static void drop_pending(struct relay *r)
{
	for (int i = 0; i < 2; i++) {
		struct direction *d = &r->dir[i];

		free(take_ptr(d->rest));
		pipe_return(r->loop, d);
	}
}

static void fly(struct relay *r, struct op *op)
{
	r->flying++;
	loop_submit(r->loop, op);
}

/* The last op is home: closes, tells, frees. */
static void finish(struct relay *r)
{
	drop_pending(r);
	for (int i = 0; i < 2; i++) {
		if (r->end == RELAY_EOF)
			loop_close(r->loop, &r->fd[i]);
		else
			loop_reset(r->loop, &r->fd[i]);
	}
	r->ended(r, r->arg);
	free(r);
}

/* At the end of every done(): nothing of the relay is touched after it. */
static void settle(struct relay *r)
{
	if (r->ending && r->flying == 0)
		finish(r);
}

static void cancel_all(struct relay *r)
{
	loop_cancel(r->loop, &r->dir[RELAY_UP].op);
	loop_cancel(r->loop, &r->dir[RELAY_DOWN].op);
	loop_cancel(r->loop, &r->timer);
}

static void begin_end(struct relay *r, enum relay_end why)
{
	if (r->ending)
		return;
	r->end = (uint8_t)why;
	r->ending = true;
	cancel_all(r);
}

/* ---- waiting ---- */

static void dir_done(struct op *op)
{
	struct relay *r = op->owner;
	struct direction *d = container_of(op, struct direction, op);

	r->flying--;
	if (!r->ending) {
		if (op->res < 0)
			begin_end(r, RELAY_RESET);
		else
			step(r, d);
	}
	settle(r);
}

static void wait_for(struct relay *r, struct direction *d, enum dir_state state, enum op_kind kind,
		     int fd)
{
	d->state = (uint8_t)state;
	d->op = (struct op){
		.done = dir_done,
		.owner = r,
		.kind = (uint8_t)kind,
		.fd = fd,
		.deadline = NSEC_NEVER,
		.flags = OP_WOULD_BLOCK,
	};
	fly(r, &d->op);
}

static void wait_turn(struct relay *r, struct direction *d)
{
	wait_for(r, d, DIR_AGAIN, OP_EVENT, -EBADF);
	loop_complete(r->loop, &d->op, 0);
}

/* The idle timer is not moved with every byte: when it fires it looks how long ago the last one
 * was. */
static void timer_done(struct op *op)
{
	struct relay *r = op->owner;

	r->flying--;
	if (!r->ending && op->kind == OP_TIMER) {
		if (loop_now(r->loop) - r->last >= r->idle || op->res != -ETIME) {
			begin_end(r, RELAY_TIMEOUT);
		} else {
			op->deadline = r->last + r->idle;
			fly(r, op);
		}
	}
	settle(r);
}

/* ---- moving bytes ---- */

/* What became of one attempt. */
enum moved { MOVED, BLOCKED, FAILED };

static void delivered(struct relay *r, struct direction *d, size_t n)
{
	d->bytes += n;
	r->last = loop_now(r->loop);
}

/* Sends bytes until they are gone or the other side would block; `*ret_sent` is how many. */
static enum moved push(struct relay *r, struct direction *d, const uint8_t *p, size_t n,
		       size_t *ret_sent)
{
	size_t sent = 0;
	enum moved m = MOVED;

	while (sent < n && m == MOVED) {
		ssize_t k = loop_backend(r->loop)->send(r->loop, to_fd(r, d), p + sent, n - sent);

		if (k == -EAGAIN)
			m = BLOCKED;
		else if (k < 0)
			m = FAILED;
		else
			sent += (size_t)k;
	}
	if (sent > 0)
		delivered(r, d, sent);
	*ret_sent = sent;
	return m;
}

static enum moved push_rest(struct relay *r, struct direction *d)
{
	size_t sent;
	enum moved m;

	if (!d->rest)
		return MOVED;
	m = push(r, d, d->rest + d->rest_at, d->rest_end - d->rest_at, &sent);
	d->rest_at += (uint32_t)sent;
	if (d->rest_at == d->rest_end)
		free(take_ptr(d->rest));
	return m;
}

static enum moved push_pipe(struct relay *r, struct direction *d)
{
	while (d->piped > 0) {
		ssize_t n = loop_backend(r->loop)->splice(r->loop, d->pipe.out, to_fd(r, d),
							  d->piped);

		if (n == -EAGAIN)
			return BLOCKED;
		if (n <= 0)
			return FAILED;
		d->piped -= (uint32_t)n;
		delivered(r, d, (size_t)n);
	}
	return MOVED;
}

static int keep_rest(struct direction *d, const uint8_t *p, size_t n)
{
	d->rest = malloc(n);
	if (!d->rest)
		return -ENOMEM;
	memcpy(d->rest, p, n);
	d->rest_at = 0;
	d->rest_end = (uint32_t)n;
	return 0;
}

/* One recv() and what it brought out again. BLOCKED: the source is dry. */
static enum moved copy(struct relay *r, struct direction *d, size_t *share)
{
	uint8_t *scratch = room_of(r->loop)->scratch;
	ssize_t n = loop_backend(r->loop)->recv(r->loop, from_fd(r, d), scratch, SCRATCH_SIZE);
	size_t sent;
	enum moved m;

	if (n == -EAGAIN) {
		d->streak = 0;
		return BLOCKED;
	}
	if (n < 0)
		return FAILED;
	if (n == 0) {
		d->eof = true;
		return MOVED;
	}
	*share += (size_t)n;
	m = push(r, d, scratch, (size_t)n, &sent);
	if (m == FAILED)
		return FAILED;
	if (m == BLOCKED && keep_rest(d, scratch + sent, (size_t)n - sent) < 0)
		return FAILED;
	d->streak += (uint32_t)n;
	if (d->streak >= PROMOTE_BYTES && !d->no_splice) {
		d->splice = true;
		d->thin = 0;
		d->streak = 0;
	}
	if ((size_t)n == SCRATCH_SIZE || d->rest)
		return MOVED;
	d->streak = 0;
	return BLOCKED; /* a short read: nothing more is there */
}

/* The source is dry and the pipe is empty: hands it back, and thinks about copying instead. */
static enum moved splice_dry(struct relay *r, struct direction *d)
{
	pipe_return(r->loop, d);
	d->thin = d->streak < THIN_BYTES ? d->thin + 1 : 0;
	d->streak = 0;
	if (d->thin >= THIN_MAX)
		d->splice = false;
	return BLOCKED;
}

/* Fills the pipe as far as it goes. The emptying is the caller's. BLOCKED: the source is dry. */
static enum moved fill(struct relay *r, struct direction *d, size_t *share)
{
	if (d->pipe.in < 0 && !pipe_borrow(r->loop, &d->pipe))
		return copy(r, d, share);
	while (d->piped < d->pipe.size) {
		ssize_t n = loop_backend(r->loop)->splice(r->loop, from_fd(r, d), d->pipe.in,
							  d->pipe.size - d->piped);

		if (n == -EINVAL && d->piped == 0) {
			/* A kind of descriptor that cannot. */
			pipe_return(r->loop, d);
			d->splice = false;
			d->no_splice = true;
			return MOVED;
		}
		if (n == -EAGAIN && d->piped > 0)
			break; /* dry, or no slot left: the next round tells */
		if (n == -EAGAIN)
			return splice_dry(r, d);
		if (n < 0)
			return FAILED;
		if (n == 0) {
			d->eof = true;
			break;
		}
		d->piped += (uint32_t)n;
		d->streak += (uint32_t)MIN((size_t)n, UINT32_MAX / 2 - d->streak);
		*share += (size_t)n;
	}
	return MOVED;
}

/* Everything before it was delivered: passes the end on. */
static void close_direction(struct relay *r, struct direction *d)
{
	struct direction *other = &r->dir[d == &r->dir[RELAY_UP] ? RELAY_DOWN : RELAY_UP];

	pipe_return(r->loop, d);
	d->state = DIR_CLOSED;
	r->last = loop_now(r->loop);
	if (loop_shutdown(r->loop, to_fd(r, d), SHUT_WR) < 0)
		begin_end(r, RELAY_RESET);
	else if (other->state == DIR_CLOSED)
		begin_end(r, RELAY_EOF);
}

static void step(struct relay *r, struct direction *d)
{
	size_t share = 0;

	for (;;) {
		enum moved m = push_rest(r, d);

		if (m == MOVED)
			m = push_pipe(r, d);
		if (m == BLOCKED) {
			wait_for(r, d, DIR_WRITE, OP_POLL_OUT, to_fd(r, d));
			return;
		}
		if (m == MOVED && d->eof) {
			close_direction(r, d);
			return;
		}
		if (m == MOVED && share >= SHARE) {
			pipe_return(r->loop, d);
			wait_turn(r, d);
			return;
		}
		if (m == MOVED)
			m = d->splice ? fill(r, d, &share) : copy(r, d, &share);
		if (m == FAILED) {
			begin_end(r, RELAY_RESET);
			return;
		}
		if (m == BLOCKED) {
			wait_for(r, d, DIR_READ, OP_POLL_IN, from_fd(r, d));
			return;
		}
	}
}

/* ---- the interface ---- */

struct relay *relay_new(struct loop *l, int client, int server, nsec_t idle,
			void (*ended)(struct relay *r, void *arg), void *arg)
{
	struct relay *r;

	if (!room_of(l))
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->loop = l;
	r->fd[RELAY_UP] = client;
	r->fd[RELAY_DOWN] = server;
	r->idle = idle;
	r->ended = ended;
	r->arg = arg;
	for (int i = 0; i < 2; i++)
		r->dir[i].pipe = (struct pipe){ .in = -EBADF, .out = -EBADF };
	return r;
}

static void start_timer(struct relay *r)
{
	if (r->idle == NSEC_NEVER || r->timer.done)
		return;
	r->timer = (struct op){
		.done = timer_done, .owner = r, .kind = OP_TIMER, .deadline = r->last + r->idle
	};
	fly(r, &r->timer);
}

int relay_start(struct relay *r, enum relay_side side, struct buf *first)
{
	struct direction *d = &r->dir[side];

	assert(d->state == DIR_UNUSED && !r->ending);
	if (first && buf_len(first) > 0) {
		if (first->end > UINT32_MAX)
			return -E2BIG;
		/* Its very memory: what was parsed is what is sent. */
		d->rest = first->data;
		d->rest_at = (uint32_t)first->start;
		d->rest_end = (uint32_t)first->end;
		buf_init(first, first->max);
	}
	r->last = loop_now(r->loop);
	wait_turn(r, d);
	start_timer(r);
	return 0;
}

void relay_stop(struct relay *r)
{
	if (r->ending)
		return;
	begin_end(r, RELAY_STOPPED);
	if (r->flying == 0) {
		/* `ended` comes from the loop, so something has to. */
		r->timer = (struct op){
			.done = timer_done, .owner = r, .kind = OP_EVENT, .deadline = NSEC_NEVER
		};
		fly(r, &r->timer);
		loop_complete(r->loop, &r->timer, 0);
	}
}

uint64_t relay_bytes(const struct relay *r, enum relay_side side)
{
	return r->dir[side].bytes;
}

enum relay_end relay_end(const struct relay *r)
{
	return r->end;
}
