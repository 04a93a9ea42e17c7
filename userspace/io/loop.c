/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: a queue of completions, a heap of deadlines, and a back end that does the waiting.
 *
 *	          submit                     complete                    dispatch
 *	OP_IDLE ----------> OP_ARMED ----------------------> OP_QUEUED -----------> OP_IDLE, done()
 *
 * Nothing but the dispatch of a turn calls done(). So submit, cancel and complete may be called
 * from anywhere, in any order, also from within a done(), and no caller is ever entered twice. An
 * op that has its result keeps it: to cancel it then is too late, because the result may be a
 * descriptor or bytes that nobody else knows of.
 *
 * An op takes a place in the heap only if it did not complete within submit, which most do.
 */
#include "io/loop_internal.h"

#include <assert.h>

/* Completions in one turn before the back end is asked again: no descriptor waits longer for those
 * that are always ready. */
#define BATCH_MAX 256

static void heap_place(struct loop *l, uint32_t at, struct op *op)
{
	l->heap[at] = op;
	op->heap_at = at;
}

static void heap_up(struct loop *l, uint32_t at, struct op *op)
{
	for (; at > 1 && l->heap[at / 2]->deadline > op->deadline; at /= 2)
		heap_place(l, at, l->heap[at / 2]);
	heap_place(l, at, op);
}

static void heap_down(struct loop *l, uint32_t at, struct op *op)
{
	for (;;) {
		uint32_t child = at * 2;

		if (child > l->heap_used)
			break;
		if (child < l->heap_used && l->heap[child + 1]->deadline < l->heap[child]->deadline)
			child++;
		if (l->heap[child]->deadline >= op->deadline)
			break;
		heap_place(l, at, l->heap[child]);
		at = child;
	}
	heap_place(l, at, op);
}

static int heap_add(struct loop *l, struct op *op)
{
	if (l->heap_used + 1 >= l->heap_cap) {
		uint32_t cap = l->heap_cap ? l->heap_cap * 2 : 64;
		struct op **heap = reallocarray(l->heap, cap, sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		l->heap = heap;
		l->heap_cap = cap;
	}
	heap_up(l, ++l->heap_used, op);
	return 0;
}

static void heap_del(struct loop *l, struct op *op)
{
	uint32_t at = op->heap_at;
	struct op *last;

	if (at == 0)
		return;
	op->heap_at = 0;
	last = l->heap[l->heap_used--];
	if (last == op)
		return;
	if (at > 1 && l->heap[at / 2]->deadline > last->deadline)
		heap_up(l, at, last);
	else
		heap_down(l, at, last);
}

int loop_new(const struct loop_backend *backend, void *backend_data, struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->backend = backend;
	l->data = backend_data;
	l->tail = &l->head;
	r = backend->open(l);
	if (r < 0) {
		free(l);
		return r;
	}
	l->now = backend->now(l);
	*ret = l;
	return 0;
}

void *loop_data(struct loop *l)
{
	return l->data;
}

void loop_set_data(struct loop *l, void *data)
{
	l->data = data;
}

const struct loop_backend *loop_backend(const struct loop *l)
{
	return l->backend;
}

nsec_t loop_now(const struct loop *l)
{
	return l->now;
}

size_t loop_inflight(const struct loop *l)
{
	return l->inflight;
}

void loop_complete(struct loop *l, struct op *op, int res)
{
	if (op->state != OP_ARMED)
		return;
	heap_del(l, op);
	op->res = res == -ECANCELED && (op->flags & OP_EXPIRED) ? -ETIME : res;
	op->state = OP_QUEUED;
	op->next = NULL;
	*l->tail = op;
	l->tail = &op->next;
}

/* Timers and events are the loop's own: no back end sees them. */
static bool is_local(const struct op *op)
{
	return op->kind == OP_TIMER || op->kind == OP_EVENT;
}

void loop_submit(struct loop *l, struct op *op)
{
	assert(op->state == OP_IDLE);
	op->state = OP_ARMED;
	op->flags &= OP_WOULD_BLOCK;
	l->inflight++;
	if (op->deadline <= l->now) {
		loop_complete(l, op, -ETIME);
		return;
	}
	if (!is_local(op))
		l->backend->submit(l, op);
	if (op->state == OP_ARMED && op->deadline != NSEC_NEVER && heap_add(l, op) < 0) {
		/* Without its deadline it might never end. */
		if (is_local(op))
			loop_complete(l, op, -ENOMEM);
		else
			l->backend->cancel(l, op);
	}
}

void loop_cancel(struct loop *l, struct op *op)
{
	if (op->state != OP_ARMED)
		return;
	if (is_local(op))
		loop_complete(l, op, -ECANCELED);
	else
		l->backend->cancel(l, op);
}

static void expire(struct loop *l)
{
	while (l->heap_used > 0 && l->heap[1]->deadline <= l->now) {
		struct op *op = l->heap[1];

		heap_del(l, op);
		op->flags |= OP_EXPIRED;
		loop_cancel(l, op);
	}
}

static void dispatch(struct loop *l)
{
	for (int i = 0; i < BATCH_MAX && l->head; i++) {
		struct op *op = l->head;

		l->head = op->next;
		if (!l->head)
			l->tail = &l->head;
		op->state = OP_IDLE;
		op->flags = 0;
		l->inflight--;
		op->done(op); /* the record may be gone now */
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->head)
		dispatch(l);
	assert(l->inflight == 0);
	for (size_t i = 0; i < LOOP_ROOMS; i++)
		if (l->room[i].free)
			l->room[i].free(l, l->room[i].p);
	l->backend->close(l);
	free(l->heap);
	free(l);
}

int loop_turn(struct loop *l, nsec_t timeout)
{
	int r;

	if (l->head)
		timeout = 0;
	else if (l->heap_used > 0)
		timeout = MIN(timeout, MAX(l->heap[1]->deadline - l->now, 0));
	r = l->backend->wait(l, timeout);
	l->now = l->backend->now(l);
	if (r < 0)
		return r;
	expire(l);
	dispatch(l);
	return 0;
}

int loop_run(struct loop *l)
{
	int r = 0;

	while (r == 0 && !(l->stopping && !l->head))
		r = loop_turn(l, NSEC_NEVER);
	l->stopping = false;
	return r;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}

int loop_socket(struct loop *l, int family, int type)
{
	return l->backend->socket(l, family, type);
}

int loop_setsockopt(struct loop *l, int fd, int level, int name, const void *value, socklen_t n)
{
	return l->backend->setsockopt(l, fd, level, name, value, n);
}

int loop_shutdown(struct loop *l, int fd, int how)
{
	return l->backend->shutdown(l, fd, how);
}

void loop_close(struct loop *l, int *fd)
{
	if (*fd >= 0)
		(void)l->backend->close_fd(l, *fd);
	*fd = -EBADF;
}

void loop_reset(struct loop *l, int *fd)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (*fd >= 0)
		(void)loop_setsockopt(l, *fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	loop_close(l, fd);
}
