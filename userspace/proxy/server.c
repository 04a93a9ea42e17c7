/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One coroutine per listener accepts; each connection is a coroutine until its relay takes over;
 * each datagram that must wait is one. All of them stand in lists, so that draining is: stop the
 * listeners, wait, then end what is left.
 */
#include "proxy/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "io/log.h"
#include "proxy/conn.h"
#include "proxy/dns.h"
#include "proxy/published.h"

/* How long accept pauses when descriptors or memory run out and no connection ends meanwhile. */
#define PAUSE (100 * NSEC_PER_MSEC)

#define MAX_WILDCARD_NAMES 65536

int server_init(struct server *s, struct loop *l, const struct filter *f, struct audit *audit,
		const struct server_limits *limits, const uint8_t seed[16])
{
	memset(s, 0, sizeof(*s));
	s->loop = l;
	s->filter = f;
	s->audit = audit;
	s->limits = *limits;
	s->saved = -EBADF;
	s->wildcard_counts = calloc(f->count + 1, sizeof(*s->wildcard_counts));
	if (!s->wildcard_counts)
		return -ENOMEM;
	bindings_init(&s->bindings, seed);
	map_init(&s->wildcard_names, MAX_WILDCARD_NAMES, seed);
	list_init(&s->conns);
	list_init(&s->tasks);
	event_slot_init(&s->room, l);
	return 0;
}

void server_done(struct server *s)
{
	map_done(&s->wildcard_names, NULL);
	bindings_done(&s->bindings);
	free(s->wildcard_counts);
}

bool server_is_self(const struct server *s, const struct endpoint *to)
{
	for (size_t i = 0; i < s->self_count; i++)
		if (s->self[i].port == to->port && addr_eq(&s->self[i].addr, &to->addr))
			return true;
	return false;
}

static void task_run(void *arg)
{
	struct task *t = arg;
	struct server *s = t->server;

	t->run(t);
	list_del(&t->link);
	event_slot_set(&s->room);
	free(t);
}

int task_begin(struct server *s, struct task *t, void (*run)(struct task *t))
{
	int r;

	t->server = s;
	t->run = run;
	r = co_spawn(s->loop, task_run, t, &t->co);
	if (r < 0) {
		free(t);
		return r;
	}
	list_add_tail(&s->tasks, &t->link);
	return 0;
}

/* From outside. */
static void refuse_published_for_room(struct server *s, int fd, const struct published *p)
{
	struct event e = EVENT_INIT;

	e.reason = REASON_TOO_MANY_CONNECTIONS;
	e.status = reason_status(e.reason);
	e.target = PUBLISHED_TARGET;
	e.port = p->port;
	e.rule = p->text;
	e.text = AUDIT_INWARD;
	audit_refusal_inward(s->audit, &e, loop_now(s->loop));
	loop_reset(s->loop, &fd);
}

static void refuse_for_room(struct server *s, int fd, const struct endpoint *peer, bool by_choice)
{
	struct event e = EVENT_INIT;
	char text[ADDR_TEXT_MAX];
	struct origin origin;

	e.mode = by_choice ? MODE_CONNECT : MODE_TRANSPARENT;
	e.reason = REASON_TOO_MANY_CONNECTIONS;
	e.status = reason_status(e.reason);
	if (!by_choice && s->identify(s, peer, &origin) == 0) {
		e.target = addr_text(&origin.to.addr, text);
		e.port = origin.to.port;
		s->forget(s, peer, origin.client);
	}
	audit_refusal(s->audit, &e, loop_now(s->loop));
	loop_reset(s->loop, &fd);
}

/*
 * Accepts until the task is cancelled. Out of descriptors or memory: the queue of the kernel holds
 * the clients until a connection has ended; no spinning.
 */
static void accept_run(struct task *t)
{
	struct server *s = t->server;

	for (;;) {
		struct endpoint peer;
		int fd = io_accept(t->fd, &peer, NSEC_NEVER);

		if (fd == -ECANCELED || fd == -EBADF || fd == -EINVAL)
			return;
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
			log_warn("cannot accept connections for now: %s", strerror(-fd));
			if (io_sleep(loop_now(s->loop) + PAUSE) == -ECANCELED)
				return;
			continue;
		}
		if (fd < 0) {
			/* That connection is gone already; if it is something that stays, it must
			 * not spin. */
			if (fd != -ECONNABORTED &&
			    io_sleep(loop_now(s->loop) + PAUSE) == -ECANCELED)
				return;
			continue;
		}
		/* Whoever keeps connections waiting must not keep others out. */
		if (s->conn_count < s->limits.max_connections || conn_give_one_up(s)) {
			if (conn_start(t, fd, &peer) < 0)
				log_warn("no memory for another connection");
		} else if (t->published) {
			refuse_published_for_room(s, fd, t->published);
		} else {
			refuse_for_room(s, fd, &peer, t->by_choice);
		}
	}
}

static int serve(struct server *s, int fd, bool by_choice, const struct published *published,
		 void (*run)(struct task *t))
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fd = fd;
	t->by_choice = by_choice;
	t->published = published;
	return task_begin(s, t, run);
}

int server_serve_tcp(struct server *s, int fd)
{
	return serve(s, fd, false, NULL, accept_run);
}

int server_serve_explicit(struct server *s, int fd)
{
	return serve(s, fd, true, NULL, accept_run);
}

int server_serve_dns(struct server *s, int fd)
{
	return serve(s, fd, false, NULL, dns_serve_datagrams);
}

int server_serve_published(struct server *s, int fd, uint16_t port)
{
	struct published *p = &s->published[s->published_count];

	if (s->published_count == PUBLISH_MAX)
		return -E2BIG;
	(void)snprintf(p->text, sizeof(p->text), "publish %u", port);
	p->rule.text = p->text;
	p->port = port;
	s->published_count++;
	return serve(s, fd, false, p, accept_run);
}

/* Nobody shall wait in a queue that is not served any more: the kernel refuses from now on. */
static void close_listeners(struct server *s)
{
	list_for_each (it, &s->tasks) {
		const struct task *t = container_of(it, struct task, link);

		if (t->run == accept_run)
			(void)loop_shutdown(s->loop, t->fd, SHUT_RDWR);
	}
}

/* Who is between two requests, or has not begun one, has nothing to finish. */
static void end_idle(struct server *s)
{
	list_for_each (it, &s->conns) {
		struct conn *c = container_of(it, struct conn, link);

		if (c->idle)
			conn_cancel(c);
	}
}

static void cancel_tasks(struct server *s)
{
	list_for_each (it, &s->tasks)
		co_cancel(container_of(it, struct task, link)->co);
}

void server_drain(struct server *s, nsec_t grace)
{
	nsec_t deadline = loop_now(s->loop) + grace;

	s->draining = true;
	close_listeners(s);
	cancel_tasks(s);
	end_idle(s);
	while (!list_empty(&s->conns) || !list_empty(&s->tasks)) {
		if (event_slot_wait(&s->room, deadline) != -ETIME)
			continue;
		list_for_each (it, &s->conns)
			conn_cancel(container_of(it, struct conn, link));
		cancel_tasks(s);
		deadline = NSEC_NEVER; /* all of them come home now */
	}
}
