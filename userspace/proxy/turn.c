/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	send head ─┬─► upload (a coroutine of its own, while there is a body)
 *	           └─► answers: 1xx …, then the final one, head and body
 *
 * Heads are never passed through: what goes out is written from the parsed form, without hop-by-hop fields and with
 * framing fields of our own. Body bytes are forwarded exactly as the scanner judged them.
 *
 * The upload runs beside the answer, because an upstream may answer early and then neither read nor be read from. When
 * the final answer is out and the upload has not ended, neither connection can be used again: both are closed.
 */
#include "proxy/turn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/head.h"

#define READ_SIZE   16384
#define ANSWERS_1XX 16 /* more interim answers than that are no conversation */

/* ---- heads */

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

/* The request as the upstream gets it: in the client's version, because an answer to HTTP/1.0 must not be chunked. */
static int write_request(struct turn *t, const struct http_head *h)
{
	struct str authority = h->form == HTTP_ABSOLUTE_FORM ? h->authority : h->host;
	int r = http_write_request_line(&t->out, h->method, h->path, h->minor);

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

/*
 * Reads an answer's head to the front of `in`. A server may think for as long as any connection may be silent; a head that it has
 * begun must then come. 0, or -errno (-EBADMSG: malformed, -ECONNRESET: ended before).
 */
static int read_answer(struct turn *t, struct buf *in, struct http_head *h, size_t *ret_len)
{
	const struct server_limits *l = &t->c->server->limits;
	nsec_t deadline = loop_now(t->c->server->loop) + (buf_len(in) ? l->header : l->idle);
	const char *why;

	for (;;) {
		bool empty = !buf_len(in);
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
		n = head_receive(t->c->up, in, deadline);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -ECONNRESET;
		if (empty)
			deadline = loop_now(t->c->server->loop) + l->header;
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
	if (framing == HTTP_CHUNKED && t->minor == 0)
		return -EBADMSG; /* the client could not read it */
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

/* ---- all of it */

enum reason turn_failure(const struct turn *t, int error)
{
	if (t->up_reason)
		return t->up_reason;
	if (error == -ECANCELED)
		return REASON_SHUTTING_DOWN;
	return error == -ETIME ? REASON_UPSTREAM_TIMEOUT : REASON_UPSTREAM_UNREACHABLE;
}

int turn_converse(struct turn *t, const struct http_head *h, size_t len)
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
