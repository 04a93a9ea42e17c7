/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A coroutine that wants a socket stands in a list until its answer comes, its time is over or it is cancelled. Questions are numbered:
 * an answer that nobody waits for any more is closed. Few are on their way at a time, so that neither side of the channel fills up and
 * the supervisor, which has other things to do, is never busy with us for long.
 */
#include "proxy/inside.h"

#include <errno.h>
#include <unistd.h>

#define SENT_MOST 32
#define RETRY	  (100 * NSEC_PER_MSEC) /* the channel was full */

struct ask {
	struct list link;
	struct event_slot answered;
	uint32_t number;
	uint8_t family;
	bool sent;
	int result; /* a descriptor, or -errno */
};

void inside_init(struct inside *i, struct loop *l, int channel)
{
	*i = (struct inside){ .loop = l, .channel = channel };
	list_init(&i->asks);
}

static int send_ask(struct inside *i, const struct ask *a)
{
	_cleanup_buf_ struct buf body = BUF_INIT(8);
	const struct socket_wanted w = { a->number, a->family };
	int r = socket_wanted_put(&body, &w);

	return r < 0 ? r : channel_try_send(i->channel, MSG_SOCKET_WANTED, buf_str(&body), NULL, 0);
}

static void answer(struct ask *a, int result)
{
	a->result = result;
	event_slot_set(&a->answered);
}

/* As many as may be on their way, in order. */
static void send_asks(struct inside *i)
{
	list_for_each (it, &i->asks) {
		struct ask *a = container_of(it, struct ask, link);
		int r;

		if (a->sent || a->answered.set)
			continue;
		if (i->sent >= SENT_MOST)
			return;
		r = send_ask(i, a);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			answer(a, r);
			continue;
		}
		a->sent = true;
		i->sent++;
	}
}

static int wait_for_answer(struct inside *i, struct ask *a, nsec_t deadline)
{
	for (;;) {
		nsec_t until = a->sent ? deadline : MIN(deadline, loop_now(i->loop) + RETRY);
		int r = event_slot_wait(&a->answered, until);

		if (r != -ETIME || loop_now(i->loop) >= deadline)
			return r;
		send_asks(i);
	}
}

int inside_socket(struct inside *i, uint8_t family, nsec_t deadline)
{
	struct ask a = { .number = ++i->number, .family = family, .result = -ECANCELED };
	int r;

	if (i->over)
		return -ECANCELED;
	event_slot_init(&a.answered, i->loop);
	list_add_tail(&i->asks, &a.link);
	send_asks(i);
	r = wait_for_answer(i, &a, deadline);
	list_del(&a.link);
	if (r == 0)
		return a.result;
	/* It came, but too late. */
	if (a.result >= 0)
		loop_close(i->loop, &a.result);
	return r;
}

int inside_take(struct inside *i, struct message *m)
{
	struct socket_note n;
	int r = socket_note_get(m, &n);

	if (r < 0)
		return r;
	if (i->sent)
		i->sent--;
	list_for_each (it, &i->asks) {
		struct ask *a = container_of(it, struct ask, link);

		if (a->number != n.number || !a->sent || a->answered.set)
			continue;
		answer(a, n.error ? -n.error : message_take_fd(m, 0));
		break;
	}
	/* What nobody took goes with the message. */
	send_asks(i);
	return 0;
}

void inside_end(struct inside *i)
{
	i->over = true;
	list_for_each (it, &i->asks) {
		struct ask *a = container_of(it, struct ask, link);

		if (!a->answered.set)
			answer(a, -ECANCELED);
	}
}
