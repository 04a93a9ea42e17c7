/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	read head ─► judge ─► record ─► send head ─┬─► upload (a coroutine of its own, while there is a body)
 *	    ▲                                      └─► answers: 1xx …, then the final one, head and body
 *	    └──────────── both sides may go on ◄───────────┘
 *
 * Heads are never passed through: what goes out is written from the parsed form, without hop-by-hop fields and with
 * framing fields of our own. Body bytes are forwarded exactly as the scanner judged them.
 *
 * The upload runs beside the answer, because an upstream may answer early and then neither read nor be read from. When
 * the final answer is out and the upload has not ended, neither connection can be used again: both are closed.
 */
#include "proxy/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/deny.h"
#include "wire/http_body.h"
#include "wire/sniff.h"

#define HEAD_TIME   (10 * NSEC_PER_SEC) /* for a head, from its first byte */
#define READ_SIZE   16384
#define ANSWERS_1XX 16 /* more interim answers than that are no conversation */

/* One request on its way. */
struct turn {
	struct conn *c;
	char method[33];
	bool keep_client, keep_upstream, expects_continue, upgrade, answered;
	struct buf out; /* a head being written */
	/* upload */
	struct http_body up_body;
	struct co *uploader;
	struct event_slot up_done;
	bool uploading, uploaded; /* all of it is sent, framing included */
	enum reason up_reason;	  /* the client broke the framing, or went too far */
	uint64_t bytes_up, bytes_down;
	int status;
};

enum reason exchange_authority(const struct http_head *h, uint16_t port, struct host *ret_host,
			       uint16_t *ret_port)
{
	struct str authority = h->form == HTTP_ABSOLUTE_FORM || h->form == HTTP_AUTHORITY_FORM
				       ? h->authority
				       : h->host;
	struct host host, other;
	uint16_t p, other_p;

	if (!authority.n)
		return REASON_HTTP_MALFORMED;
	if (!host_port_parse(authority, &host, &p))
		return REASON_NAME_INVALID;
	if (h->host_count && authority.p != h->host.p) {
		/* RFC 9112 3.2.2 lets the target win; two names for one request are refused here. */
		if (!host_port_parse(h->host, &other, &other_p))
			return REASON_NAME_INVALID;
		if (strcmp(host.name, other.name) != 0 ||
		    (other_p ? other_p : port) != (p ? p : port))
			return REASON_HOST_MISMATCH;
	}
	*ret_host = host;
	*ret_port = p ? p : port;
	return REASON_NONE;
}

/* ---- heads */

enum head_result { HEAD_OK, HEAD_END, HEAD_REFUSED };

/*
 * Receives until there is something new for the parser, which begins anew each time: its first bytes, another line,
 * or a line that is too long. So a head that comes byte by byte costs a parse per line.
 */
static ssize_t receive_lines(struct conn *c, nsec_t deadline)
{
	ssize_t n;

	do {
		size_t had = buf_len(&c->first);

		n = io_recv_buf(c->fd, &c->first, READ_SIZE, deadline);
		if (n > 0 && (!had || memchr(buf_data(&c->first) + had, '\n', (size_t)n)))
			break;
	} while (n > 0 && buf_len(&c->first) < HTTP_LINE_MAX);
	return n;
}

/*
 * Reads until a whole request head stands at the front of c->first. HEAD_END: the client ended before its first byte
 * (or was idle for too long). HEAD_REFUSED: *ret_reason.
 */
static enum head_result read_request(struct conn *c, struct http_head *h, size_t *ret_len,
				     enum reason *ret_reason, const char **ret_why)
{
	nsec_t deadline = loop_now(c->server->loop) +
			  (buf_len(&c->first) ? HEAD_TIME : c->server->limits.idle);

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
		n = receive_lines(c, deadline);
		if (n == -ETIME && !empty) {
			*ret_reason = REASON_TOO_SLOW;
			return HEAD_REFUSED;
		}
		if (n <= 0 && empty)
			return HEAD_END;
		if (n == -ECANCELED) {
			*ret_reason = REASON_SHUTTING_DOWN;
			return HEAD_REFUSED;
		}
		if (n <= 0) {
			*ret_reason = REASON_HTTP_MALFORMED;
			*ret_why = "the connection ended within a head";
			return HEAD_REFUSED;
		}
		if (empty)
			deadline = loop_now(c->server->loop) + HEAD_TIME;
	}
}

static int write_framing(struct buf *out, const struct http_head *h, enum http_framing framing)
{
	char number[24];

	if (framing == HTTP_CHUNKED)
		return http_write_field(out, "Transfer-Encoding", STR_LIT("chunked"));
	if (!h->has_length)
		return 0;
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)h->content_length);
	return http_write_field(out, "Content-Length", str_of(number));
}

static int write_upgrade(struct buf *out, const struct http_head *h)
{
	int r = http_write_field(out, "Connection", STR_LIT("upgrade"));

	return r < 0 ? r : http_write_field(out, "Upgrade", h->upgrade_to);
}

/* The request as the upstream gets it. */
static int write_request(struct turn *t, const struct http_head *h)
{
	struct str authority = h->form == HTTP_ABSOLUTE_FORM ? h->authority : h->host;
	int r = http_write_request_line(&t->out, h->method, h->path);

	if (r == 0 && authority.n)
		r = http_write_field(&t->out, "Host", authority);
	if (r == 0)
		r = http_write_end_fields(&t->out, h);
	if (r == 0)
		r = write_framing(&t->out, h, http_request_framing(h));
	if (r == 0 && h->upgrade)
		r = write_upgrade(&t->out, h);
	else if (r == 0 && !t->keep_client)
		r = http_write_field(&t->out, "Connection", STR_LIT("close"));
	return r < 0 ? r : buf_append_str(&t->out, STR_LIT("\r\n"));
}

static int write_answer(struct turn *t, const struct http_head *h, enum http_framing framing)
{
	int r = http_write_status_line(&t->out, h->status, h->phrase);

	if (r == 0)
		r = http_write_end_fields(&t->out, h);
	if (r == 0 && h->status >= 200 && h->status != 204) /* RFC 9112 6.1, RFC 9110 8.6 */
		r = write_framing(&t->out, h, framing);
	if (r == 0 && h->status == 101)
		r = write_upgrade(&t->out, h);
	else if (r == 0 && h->status >= 200 && !t->keep_client)
		r = http_write_field(&t->out, "Connection", STR_LIT("close"));
	return r < 0 ? r : buf_append_str(&t->out, STR_LIT("\r\n"));
}

/* ---- the upload */

static void upload_run(void *arg)
{
	struct turn *t = arg;
	struct conn *c = t->c;
	nsec_t idle = c->server->limits.idle;
	bool unsent = false;

	while (!t->up_body.done) {
		ssize_t n = http_body_scan(&t->up_body, buf_data(&c->first), buf_len(&c->first));

		if (n < 0) {
			t->up_reason = n == -EMSGSIZE ? REASON_BODY_TOO_LARGE
						      : REASON_HTTP_MALFORMED;
			break;
		}
		if (n > 0) {
			unsent = io_send_all(c->up, buf_data(&c->first), (size_t)n,
					     loop_now(c->server->loop) + idle) < 0;
			if (unsent)
				break; /* the upstream reads no more: its answer says why */
			t->bytes_up += (uint64_t)n;
			buf_consume(&c->first, (size_t)n);
			continue;
		}
		if (t->up_body.done)
			break;
		n = io_recv_buf(c->fd, &c->first, READ_SIZE, loop_now(c->server->loop) + idle);
		if (n <= 0) {
			t->up_reason = REASON_TOO_SLOW;
			break;
		}
	}
	t->uploaded = t->up_body.done && !unsent;
	/* A body that broke off must not look complete, and whoever waits for the answer must wake. */
	if (t->up_reason)
		(void)loop_shutdown(c->server->loop, c->up, SHUT_RDWR);
	t->uploading = false;
	event_slot_set(&t->up_done);
}

static int upload_start(struct turn *t)
{
	int r;

	t->uploaded = t->up_body.done;
	if (t->uploaded)
		return 0;
	event_slot_init(&t->up_done, t->c->server->loop);
	t->uploading = true;
	r = co_spawn(t->c->server->loop, upload_run, t, &t->uploader);
	if (r < 0)
		t->uploading = false;
	return r;
}

/* The uploader lives on this stack's records: it comes home before they go. */
static void upload_collect(struct turn *t)
{
	while (t->uploading) {
		co_cancel(t->uploader);
		event_slot_wait_uncancelled(&t->up_done);
	}
}

/* ---- the answer */

/* Reads an answer's head to the front of `in`. 0, or -errno (-EBADMSG: malformed, -ECONNRESET: ended before). */
static int read_answer(struct turn *t, struct buf *in, struct http_head *h, size_t *ret_len)
{
	nsec_t deadline = loop_now(t->c->server->loop) + t->c->server->limits.idle;
	const char *why;

	for (;;) {
		ssize_t n;

		switch (http_answer_parse(buf_data(in), buf_len(in), h, ret_len, &why)) {
		case HTTP_OK:
			return 0;
		case HTTP_MORE:
			break;
		case HTTP_BAD:
		case HTTP_VERSION:
		case HTTP_TOO_LARGE:
			return -EBADMSG;
		}
		n = io_recv_buf(t->c->up, in, READ_SIZE, deadline);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -ECONNRESET;
	}
}

static int send_out(struct turn *t)
{
	nsec_t deadline = loop_now(t->c->server->loop) + t->c->server->limits.idle;
	int r = io_send_all(t->c->fd, buf_data(&t->out), buf_len(&t->out), deadline);

	t->bytes_down += buf_len(&t->out);
	t->answered = t->status == 101 || t->status >= 200; /* behind others a refusal may stand */
	buf_consume(&t->out, buf_len(&t->out));
	return r;
}

/* Streams the answer's body. 0 or -errno; an end that comes too early is -ECONNRESET. */
static int pass_body(struct turn *t, struct buf *in, struct http_body *b)
{
	nsec_t idle = t->c->server->limits.idle;

	while (!b->done) {
		ssize_t n = http_body_scan(b, buf_data(in), buf_len(in));
		int r;

		if (n < 0)
			return (int)n;
		if (n > 0) {
			r = io_send_all(t->c->fd, buf_data(in), (size_t)n,
					loop_now(t->c->server->loop) + idle);
			if (r < 0)
				return r;
			t->bytes_down += (uint64_t)n;
			buf_consume(in, (size_t)n);
			continue;
		}
		if (b->done)
			return 0;
		n = io_recv_buf(t->c->up, in, READ_SIZE, loop_now(t->c->server->loop) + idle);
		if (n < 0)
			return (int)n;
		if (n == 0 && !http_body_eof(b))
			return -ECONNRESET;
		if (n == 0)
			return 0;
	}
	return 0;
}

/* One answer of possibly several. 1: it was interim, another one follows; 0: it was the final one; -errno. */
static int pass_answer(struct turn *t, struct buf *in)
{
	struct http_head h;
	enum http_framing framing;
	struct http_body body;
	size_t len;
	int r = read_answer(t, in, &h, &len);

	if (r < 0)
		return r;
	if (t->up_reason)
		return -ECONNRESET; /* what it makes of a body that broke off is no answer */
	if (h.status == 101 && !(t->upgrade && h.upgrade && t->uploaded))
		return -EBADMSG; /* nobody asked for it, or the request has not ended yet */
	framing = http_answer_framing(&h, str_of(t->method));
	if (h.status >= 200) {
		t->keep_upstream = h.keep_alive && framing != HTTP_UNTIL_CLOSE;
		t->keep_client = t->keep_client && framing != HTTP_UNTIL_CLOSE;
	}
	t->status = h.status;
	r = write_answer(t, &h, framing);
	http_body_begin(&body, framing, h.content_length, 0);
	buf_consume(in, len);
	if (r == 0)
		r = send_out(t);
	if (r < 0 || h.status < 200)
		return r < 0 ? r : h.status != 101;
	return pass_body(t, in, &body);
}

/* All answers to one request. 0 or -errno. */
static int pass_answers(struct turn *t, struct buf *in)
{
	int r = 1;

	for (int i = 0; r > 0; i++) {
		if (i == ANSWERS_1XX)
			return -EBADMSG;
		r = pass_answer(t, in);
	}
	return r;
}

/* ---- one turn */

static enum reason reason_of_failure(const struct turn *t, int r)
{
	if (t->up_reason)
		return t->up_reason;
	if (r == -ECANCELED)
		return REASON_SHUTTING_DOWN;
	return r == -ETIME ? REASON_UPSTREAM_TIMEOUT : REASON_UPSTREAM_UNREACHABLE;
}

static void record_close(const struct turn *t, int r)
{
	conn_request_over(t->c, t->bytes_up, t->bytes_down, t->status, r < 0 ? END_RESET : END_EOF);
}

/* Sends the request and passes on what comes back. 0: both sides stand as keep_* say; -errno: neither can go on. */
static int converse(struct turn *t, const struct http_head *h, size_t len)
{
	_cleanup_buf_ struct buf in = BUF_INIT(HTTP_HEAD_MAX + READ_SIZE);
	struct conn *c = t->c;
	int r = write_request(t, h);

	t->upgrade = h->upgrade;
	http_body_begin(&t->up_body, http_request_framing(h), h->content_length, 0);
	buf_consume(&c->first, len);
	if (r == 0)
		r = io_send_all(c->up, buf_data(&t->out), buf_len(&t->out),
				loop_now(c->server->loop) + c->server->limits.connect);
	t->bytes_up += buf_len(&t->out);
	buf_consume(&t->out, buf_len(&t->out));
	if (r == 0)
		r = upload_start(t);
	if (r == 0)
		r = pass_answers(t, &in);
	/* The rest of the body would be read as a request, on either side. */
	if (r == 0 && !t->uploaded)
		t->keep_client = t->keep_upstream = false;
	upload_collect(t);
	if (r == 0 && t->status == 101 && buf_len(&in)) {
		/* What the upstream said right behind its 101 belongs to the tunnel. */
		r = io_send_all(c->fd, buf_data(&in), buf_len(&in),
				loop_now(c->server->loop) + c->server->limits.idle);
		t->bytes_down += buf_len(&in);
	} else if (r == 0 && buf_len(&in)) {
		t->keep_upstream =
			false; /* bytes that nobody asked for: not a connection to use again */
	}
	return r;
}

static void refuse(struct turn *t, enum reason reason, const char *sentence)
{
	struct conn *c = t->c;

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

/* One request. 0: another one may follow; -1: the connection is over; 1: upgraded. */
static int serve_request(struct turn *t, const struct exchange_owner *o, const struct http_head *h,
			 size_t len)
{
	struct conn *c = t->c;
	enum reason reason = check_method(h);
	int r;

	(void)snprintf(t->method, sizeof(t->method), "%.*s", STR_FMT(h->method));
	t->keep_client = h->keep_alive;
	conn_set_request(c, o->mode, h);
	drop_stale_upstream(c);
	if (!reason)
		reason = o->admit(c, o->arg, h);
	if (!reason && !conn_open_record(c))
		reason = REASON_AUDIT_FAILED;
	if (reason) {
		refuse(t, reason, NULL);
		return -1;
	}
	r = converse(t, h, len);
	if (r == 0 && t->status == 101) {
		c->early_up += t->bytes_up;
		c->early_down += t->bytes_down;
		return 1; /* its close record comes with the relay's end */
	}
	record_close(t, r);
	if (r < 0 && !t->answered) {
		refuse(t, reason_of_failure(t, r), NULL);
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
			refuse(&t, reason, why);
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
