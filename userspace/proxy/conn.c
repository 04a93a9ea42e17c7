/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "io/log.h"
#include "proxy/dns.h"
#include "proxy/explicit.h"
#include "proxy/published.h"
#include "proxy/transparent.h"
#include "wire/tls_hello.h"

#define DNS_PORT 53

/* A whole hello, or a whole request head and some of what follows. */
#define FIRST_MAX (MAX(TLS_HELLO_RAW_MAX, HTTP_HEAD_MAX) + 16384)

static void event_of(const struct conn *c, struct event *e)
{
	*e = (struct event)EVENT_INIT;
	e->mode = c->mode;
	e->method = c->method[0] ? c->method : NULL;
	e->path = c->path[0] ? c->path : NULL;
	e->target = c->target[0] ? c->target : NULL;
	e->port = c->port;
	e->auth_mechanism = c->auth;
	e->rule = c->rule ? c->rule->text : NULL;
	e->sni = c->sni[0] ? c->sni : NULL;
	e->resolved_ip = c->dialled;
	e->text = c->published ? AUDIT_INWARD : NULL;
	if (c->identified) {
		e->orig_dst = c->origin.to;
		e->pid = (int32_t)c->origin.pid;
		e->uid = c->origin.uid;
		e->comm = c->origin.comm;
	}
}

bool conn_open_record(struct conn *c)
{
	struct event e;

	event_of(c, &e);
	e.kind = EVENT_OPEN;
	e.allow = true;
	c->opened = audit_write(c->server->audit, &e) == 0;
	(void)snprintf(c->opened_as, sizeof(c->opened_as), "%s", c->target);
	c->opened_by = c->rule;
	return c->opened;
}

void conn_refusal_record(struct conn *c, enum reason reason)
{
	struct event e;

	event_of(c, &e);
	e.kind = EVENT_OPEN;
	e.reason = reason;
	e.status = c->status ? c->status : reason_status(reason);
	if (c->published)
		audit_refusal_inward(c->server->audit, &e, loop_now(c->server->loop));
	else
		audit_refusal(c->server->audit, &e, loop_now(c->server->loop));
}

static void close_record(struct conn *c, uint64_t up, uint64_t down, int status, enum event_end end)
{
	struct event e;

	event_of(c, &e);
	e.kind = EVENT_CLOSE;
	e.target = c->opened_as[0] ? c->opened_as : NULL;
	e.rule = c->opened_by ? c->opened_by->text : NULL;
	e.bytes_up = up;
	e.bytes_down = down;
	e.status = status;
	e.duration_ms = (loop_now(c->server->loop) - c->requested) / NSEC_PER_MSEC;
	e.end = c->server->draining ? END_SHUTDOWN : end;
	audit_note(c->server->audit, &e);
}

/* The path without its query, and without the token, which some client may have put there: records last longer than it is good for. */
static void note_path(struct conn *c, struct str path)
{
	const char *query = path.n ? memchr(path.p, '?', path.n) : NULL;
	const struct str token = c->server->token;
	size_t n = query ? (size_t)(query - path.p) : path.n, at = 0;
	const char *found;

	c->path[0] = '\0';
	while (token.n && n && (found = memmem(path.p, n, token.p, token.n))) {
		size_t before = (size_t)(found - path.p);

		at += (size_t)snprintf(c->path + at, sizeof(c->path) - at, "%.*s[token]",
				       (int)before, path.p);
		path.p += before + token.n;
		n -= before + token.n;
		if (at >= sizeof(c->path))
			return;
	}
	(void)snprintf(c->path + at, sizeof(c->path) - at, "%.*s", (int)n, path.p);
}

/* What is known before a request has named its host: where the kernel says that the connection goes. */
static void forget_target(struct conn *c)
{
	char text[ADDR_TEXT_MAX];

	conn_set_target(c, c->identified ? addr_text(&c->origin.to.addr, text) : "", NULL);
	c->port = c->identified ? c->origin.to.port : 0;
	if (!c->identified)
		c->dialled = (struct addr){ 0 };
	c->sni[0] = '\0';
}

void conn_set_request(struct conn *c, enum event_mode mode, const struct http_head *h)
{
	c->mode = mode;
	c->requested = loop_now(c->server->loop);
	c->opened = false;
	forget_target(c);
	c->status = 0;
	c->sentence = NULL;
	c->auth = NULL;
	(void)snprintf(c->method, sizeof(c->method), "%.*s", STR_FMT(h ? h->method : STR_LIT("")));
	note_path(c, h ? h->path : STR_LIT(""));
}

void conn_request_over(struct conn *c, uint64_t up, uint64_t down, int status, enum event_end end)
{
	if (c->opened)
		close_record(c, up, down, status, end);
	c->opened = false;
}

void conn_set_target(struct conn *c, const char *text, const struct rule *rule)
{
	(void)snprintf(c->target, sizeof(c->target), "%s", text);
	c->rule = rule;
}

/* The one exit. `end` is how it ended, for the close record of a connection that was opened. */
static void conn_finish(struct conn *c, enum event_end end)
{
	struct server *s = c->server;
	uint64_t up = c->early_up, down = c->early_down;

	if (c->relay) {
		up += relay_bytes(c->relay, RELAY_UP);
		down += relay_bytes(c->relay, RELAY_DOWN);
	}
	if (c->opened)
		close_record(c, up, down, 0, end);
	if (c->fd >= 0)
		loop_reset(s->loop, &c->fd);
	if (c->up >= 0)
		loop_reset(s->loop, &c->up);
	if (c->identified)
		s->forget(s, &c->peer, c->origin.client);
	buf_done(&c->first);
	list_del(&c->link);
	s->conn_count--;
	event_slot_set(&s->room);
	free(c);
}

static void relay_ended(struct relay *r, void *arg)
{
	static const enum event_end ends[] = {
		[RELAY_EOF] = END_EOF,
		[RELAY_RESET] = END_RESET,
		[RELAY_TIMEOUT] = END_TIMEOUT,
		[RELAY_STOPPED] = END_SHUTDOWN,
	};

	conn_finish(arg, ends[relay_end(r)]);
}

/* Hands both descriptors and the client's first bytes to a relay. True if the connection now lives
 * on without its coroutine. */
static bool conn_relay(struct conn *c)
{
	c->relay = relay_new(c->server->loop, c->fd, c->up, c->server->limits.idle, relay_ended, c);
	if (!c->relay)
		return false;
	c->fd = c->up = -EBADF;
	c->co = NULL;
	/* A direction that cannot start ends the relay, and `ended` comes from the loop all the
	 * same. */
	if (relay_start(c->relay, RELAY_UP, &c->first) < 0 ||
	    relay_start(c->relay, RELAY_DOWN, NULL) < 0)
		relay_stop(c->relay);
	return true;
}

static bool conn_identify(struct conn *c)
{
	int r = c->server->identify(c->server, &c->peer, &c->origin);

	if (r < 0) {
		log_debug("a connection without a redirect entry (%s)", strerror(-r));
		conn_refusal_record(c, REASON_NO_REDIRECT_ENTRY);
		return false;
	}
	c->identified = true;
	c->port = c->origin.to.port;
	return true;
}

static void conn_run(void *arg)
{
	struct conn *c = arg;
	bool served = false;

	if (c->published) {
		served = published_serve(c);
	} else if (c->by_choice) {
		served = explicit_serve(c);
	} else if (conn_identify(c)) {
		if (c->origin.to.port == DNS_PORT) {
			dns_serve_stream(c->server, c->fd, &c->origin);
			/* A reset would destroy answers on their way. */
			loop_close(c->server->loop, &c->fd);
		} else {
			served = transparent_serve(c);
		}
	}
	if (served && conn_relay(c))
		return;
	conn_finish(c, c->end);
}

static enum event_mode mode_of(const struct task *listener)
{
	if (listener->published)
		return MODE_NONE;
	return listener->by_choice ? MODE_CONNECT : MODE_TRANSPARENT;
}

int conn_start(const struct task *listener, int fd, const struct endpoint *peer)
{
	struct server *s = listener->server;
	struct conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		loop_reset(s->loop, &fd);
		return -ENOMEM;
	}
	c->server = s;
	c->fd = fd;
	c->up = -EBADF;
	c->end = END_RESET;
	c->peer = *peer;
	c->requested = loop_now(s->loop);
	c->by_choice = listener->by_choice;
	c->published = listener->published;
	c->mode = mode_of(listener);
	buf_init(&c->first, FIRST_MAX);
	r = co_spawn(s->loop, conn_run, c, &c->co);
	if (r < 0) {
		loop_reset(s->loop, &c->fd);
		free(c);
		return r;
	}
	list_add_tail(&s->conns, &c->link);
	s->conn_count++;
	return 0;
}

bool conn_give_one_up(struct server *s)
{
	struct conn *found = NULL;

	list_for_each (it, &s->conns) {
		struct conn *c = container_of(it, struct conn, link);

		if (!c->waiting || (found && c->served))
			continue;
		found = c;
		if (!c->served)
			break;
	}
	if (!found)
		return false;
	found->waiting = false;
	found->given_up = true;
	conn_cancel(found);
	return true;
}

void conn_cancel(struct conn *c)
{
	if (c->relay)
		relay_stop(c->relay);
	else
		co_cancel(c->co);
}
