/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	read head ─► claim? ─► judge ─► record ─► converse (proxy/turn.h)
 *	    ▲                                         │
 *	    └──────────── both sides may go on ◄──────┘
 */
#include "proxy/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/deny.h"
#include "proxy/head.h"
#include "proxy/turn.h"

enum reason exchange_authority(const struct http_head *h, uint16_t port, struct host *ret_host,
			       uint16_t *ret_port)
{
	struct str authority = h->form == HTTP_ABSOLUTE_FORM || h->form == HTTP_AUTHORITY_FORM
				       ? h->authority
				       : h->host;
	struct host host, other;
	enum reason reason = REASON_NONE;
	uint16_t p, other_p, absent;

	if (!authority.n)
		return REASON_HTTP_MALFORMED;
	if (!host_port_parse(authority, &host, &p))
		return REASON_NAME_INVALID;
	if (h->host_count && authority.p != h->host.p) {
		/* RFC 9112 3.2.2 lets the target win; two names for one request are refused here. */
		if (!host_port_parse(h->host, &other, &other_p))
			return REASON_NAME_INVALID;
		absent = h->form == HTTP_AUTHORITY_FORM ? p : port; /* CONNECT has no default */
		if (strcmp(host.name, other.name) != 0 ||
		    (other_p ? other_p : absent) != (p ? p : port))
			reason = REASON_HOST_MISMATCH;
	}
	*ret_host = host;
	*ret_port = p ? p : port;
	return reason;
}

/* ---- heads */

enum head_result { HEAD_OK, HEAD_END, HEAD_REFUSED };

/* What became of a head that cannot be had: `n` is how receiving ended. */
static enum head_result no_head(const struct conn *c, ssize_t n, bool empty,
				enum reason *ret_reason, const char **ret_why)
{
	if (empty)
		return HEAD_END;
	if (n == -ETIME)
		*ret_reason = REASON_TOO_SLOW;
	else if (n == -ECANCELED)
		*ret_reason = c->given_up ? REASON_TOO_MANY_CONNECTIONS : REASON_SHUTTING_DOWN;
	else
		*ret_reason = REASON_HTTP_MALFORMED;
	if (*ret_reason == REASON_HTTP_MALFORMED)
		*ret_why = "the connection ended within a head";
	return HEAD_REFUSED;
}

/*
 * Reads until a whole request head stands at the front of c->first. HEAD_END: the client ended before its first byte
 * (or was silent for too long). HEAD_REFUSED: *ret_reason.
 */
static enum head_result read_request(struct conn *c, struct http_head *h, size_t *ret_len,
				     enum reason *ret_reason, const char **ret_why)
{
	const struct server_limits *l = &c->server->limits;
	nsec_t deadline = loop_now(c->server->loop) +
			  (buf_len(&c->first) || !c->served ? l->header : l->idle);

	for (;;) {
		bool empty = !buf_len(&c->first);
		ssize_t n;

		switch (http_request_parse(buf_data(&c->first), buf_len(&c->first), h, ret_len,
					   ret_why)) {
		case HTTP_OK:
			return HEAD_OK;
		case HTTP_MORE:
			break;
		case HTTP_TOO_LARGE:
			*ret_reason = REASON_HEAD_TOO_LARGE;
			return HEAD_REFUSED;
		case HTTP_BAD:
		case HTTP_VERSION:
			*ret_reason = REASON_HTTP_MALFORMED;
			return HEAD_REFUSED;
		}
		if (empty && c->server->draining)
			return HEAD_END;
		c->waiting = true;
		c->idle = empty;
		n = head_receive(c->fd, &c->first, deadline);
		c->waiting = c->idle = false;
		if (c->given_up)
			n = -ECANCELED;
		if (n <= 0)
			return no_head(c, n, empty && !buf_len(&c->first), ret_reason, ret_why);
		if (empty)
			deadline = loop_now(c->server->loop) + l->header;
	}
}

void exchange_refuse(struct conn *c, enum reason reason, const char *sentence)
{
	if (c->up >= 0)
		loop_reset(c->server->loop, &c->up);
	conn_refusal_record(c, reason);
	deny_request(c, reason, sentence);
}

/* What is refused whatever the policy says: a tunnel is no request, and TRACE makes the upstream say back what it was told. */
static enum reason check_method(const struct http_head *h)
{
	bool refused = h->form == HTTP_AUTHORITY_FORM || str_eq(h->method, STR_LIT("TRACE"));

	return refused ? REASON_METHOD_REFUSED : REASON_NONE;
}

/*
 * Between two requests an upstream has nothing to say. If it does, or has closed, the connection is no good: its bytes would be
 * taken for the next answer.
 */
static void drop_stale_upstream(struct conn *c)
{
	struct loop *l = c->server->loop;
	uint8_t byte;

	/* A deadline that passes in the next turn: only what is there already is received. */
	if (c->up >= 0 && io_recv(c->up, &byte, 1, loop_now(l) + 1) != -ETIME)
		loop_close(l, &c->up);
}

/* One request. 0: another one may follow; -1: the connection is over; 1: a tunnel. */
static int serve_request(struct turn *t, const struct exchange_owner *o, const struct http_head *h,
			 size_t len)
{
	static const int claimed[] = { [CLAIM_NEXT] = 0, [CLAIM_OVER] = -1, [CLAIM_TUNNEL] = 1 };
	struct conn *c = t->c;
	enum claim claim;
	enum reason reason;
	int r;

	conn_set_request(c, o->mode, h);
	claim = o->claim ? o->claim(c, o->arg, h, len) : CLAIM_NOT;
	if (claim != CLAIM_NOT)
		return claimed[claim];
	(void)snprintf(t->method, sizeof(t->method), "%.*s", STR_FMT(h->method));
	t->minor = h->minor;
	t->keep_client = h->keep_alive &&
			 h->minor; /* who speaks HTTP/1.0 gets an end that it cannot mistake */
	reason = check_method(h);
	drop_stale_upstream(c);
	if (!reason)
		reason = o->admit(c, o->arg, h);
	c->served = c->served || !reason;
	if (!reason && !conn_open_record(c))
		reason = REASON_AUDIT_FAILED;
	if (reason) {
		exchange_refuse(c, reason, NULL);
		return -1;
	}
	r = turn_converse(t, h, len);
	if (r == 0 && t->status == 101) {
		c->early_up += t->bytes_up;
		c->early_down += t->bytes_down;
		return 1; /* its close record comes with the relay's end */
	}
	conn_request_over(c, t->bytes_up, t->bytes_down, t->status, r < 0 ? END_RESET : END_EOF);
	if (r < 0 && !t->answered) {
		exchange_refuse(c, turn_failure(t, r), NULL);
		return -1;
	}
	if (r < 0) {
		/* In the middle of an answer: what ends with the connection must not look complete. */
		loop_reset(c->server->loop, &c->fd);
		return -1;
	}
	if (!t->keep_upstream)
		loop_close(c->server->loop, &c->up);
	return t->keep_client ? 0 : -1;
}

/* The client shall see all of the last answer. */
static void say_goodbye(struct conn *c, const struct turn *t)
{
	c->waiting = true;
	if (c->fd >= 0 && t->status && !t->keep_client)
		io_linger_close(&c->fd, 256 * 1024, loop_now(c->server->loop) + 2 * NSEC_PER_SEC);
}

bool exchange_run(struct conn *c, const struct exchange_owner *owner)
{
	for (;;) {
		struct turn t = { .c = c, .out = BUF_INIT(HTTP_HEAD_MAX + 4096) };
		enum reason reason = REASON_NONE;
		const char *why = NULL;
		struct http_head h;
		size_t len;
		int r = -1;

		switch (read_request(c, &h, &len, &reason, &why)) {
		case HEAD_END:
			/* A reset would destroy the last answer. */
			loop_close(c->server->loop, &c->fd);
			break;
		case HEAD_REFUSED:
			conn_set_request(c, owner->mode, NULL);
			exchange_refuse(c, reason, why);
			break;
		case HEAD_OK:
			r = serve_request(&t, owner, &h, len);
			break;
		}
		buf_done(&t.out);
		if (r == 1)
			return true;
		if (r < 0) {
			say_goodbye(c, &t);
			return false;
		}
	}
}
