/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/deny.h"

#include <string.h>

#include "wire/json.h"
#include "wire/sniff.h"
#include "wire/tls_hello.h"

/* A client that has not spoken by then will not be told: it gets a reset. */
#define SPEAK_TIME (900 * NSEC_PER_MSEC)
/* How long, and how much, a refused client may go on sending before it is cut off. */
#define LINGER_TIME (2 * NSEC_PER_SEC)
#define LINGER_MAX  (256 * 1024)

static const char *status_phrase(int status)
{
	switch (status) {
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 407:
		return "Proxy Authentication Required";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	default:
		return "Refused";
	}
}

static int deny_body(struct buf *out, const struct denial *d, int status, const char *sentence)
{
	char hint[400];
	struct json j;

	reason_hint(d->reason, d->target, d->port, hint, sizeof(hint));
	json_begin(&j, out);
	json_object_begin(&j);
	json_kv_str(&j, "error", status_phrase(status));
	json_kv_str(&j, "reason", reason_word(d->reason));
	json_kv_str(&j, "message", sentence);
	json_kv_str(&j, "host", d->target[0] ? d->target : NULL);
	if (d->port)
		json_kv_int(&j, "port", d->port);
	json_key(&j, "rule");
	if (d->rule)
		json_str(&j, str_of(d->rule));
	else
		json_put_null(&j);
	json_kv_str(&j, "hint", hint[0] ? hint : NULL);
	json_object_end(&j);
	return json_end(&j);
}

/* Clients log in only when they are asked to (RFC 9110 11.6.1, 11.7.1). */
static const char *challenge(int status)
{
	return status == 407   ? "Proxy-Authenticate: Basic realm=\"nono\"\r\n"
	       : status == 401 ? "WWW-Authenticate: Basic realm=\"nono\"\r\n"
			       : "";
}

int deny_http(struct buf *out, const struct denial *d)
{
	_cleanup_buf_ struct buf body = BUF_INIT(4096);
	int status = d->status ? d->status : reason_status(d->reason), r;
	const char *sentence = d->sentence;
	char own[512];

	if (!sentence)
		sentence = reason_sentence(d->reason, d->target, own, sizeof(own));
	r = deny_body(&body, d, status, sentence);
	if (r < 0)
		return r;
	r = buf_printf(out,
		       "HTTP/1.1 %d %s: %s\r\n"
		       "X-Nono-Denied: %s\r\n"
		       "Proxy-Status: nono-proxy; error=http_request_denied; details=\"%s\"\r\n"
		       "%s"
		       "Content-Type: application/json\r\n"
		       "Content-Length: %zu\r\n"
		       "%s\r\n",
		       status, status_phrase(status), sentence, reason_word(d->reason),
		       reason_word(d->reason), challenge(status), buf_len(&body),
		       d->keep ? "" : "Connection: close\r\n");
	if (r < 0 || d->head_only)
		return r;
	return buf_append_str(out, buf_str(&body));
}

/* Reads until it can be told what the client speaks, or time is up. */
static enum sniff what_it_speaks(struct conn *c)
{
	nsec_t deadline = loop_now(c->server->loop) + SPEAK_TIME;
	enum sniff what = sniff(buf_data(&c->first), buf_len(&c->first));

	while (what == SNIFF_MORE) {
		if (io_recv_buf(c->fd, &c->first, 4096, deadline) <= 0)
			return sniff_at_rest(buf_data(&c->first), buf_len(&c->first));
		what = sniff(buf_data(&c->first), buf_len(&c->first));
	}
	return what;
}

/* The alert is read by the client only after its hello is out; so what it still sends is drained,
 * not reset. */
static void say(struct conn *c, const void *p, size_t n)
{
	nsec_t deadline = loop_now(c->server->loop) + LINGER_TIME;

	c->waiting = true; /* nobody misses it */
	if (io_send_all(c->fd, p, n, deadline) == 0)
		io_linger_close(&c->fd, LINGER_MAX, deadline);
}

static struct denial denial_of(const struct conn *c, enum reason reason, const char *sentence)
{
	return (struct denial){ .reason = reason,
				.status = c->status,
				.sentence = sentence ? sentence : c->sentence,
				.target = c->target,
				.port = c->port,
				.rule = c->rule ? c->rule->text : NULL,
				.head_only = strcmp(c->method, "HEAD") == 0 };
}

void deny_request(struct conn *c, enum reason reason, const char *sentence)
{
	_cleanup_buf_ struct buf answer = BUF_INIT(8192);
	struct denial d = denial_of(c, reason, sentence);

	if (deny_http(&answer, &d) == 0)
		say(c, buf_data(&answer), buf_len(&answer));
	if (c->fd >= 0)
		loop_reset(c->server->loop, &c->fd);
}

int deny_and_keep(struct conn *c, enum reason reason)
{
	_cleanup_buf_ struct buf answer = BUF_INIT(8192);
	struct denial d = denial_of(c, reason, NULL);
	int r;

	d.keep = true;
	r = deny_http(&answer, &d);
	return r < 0 ? r
		     : io_send_all(c->fd, buf_data(&answer), buf_len(&answer),
				   loop_now(c->server->loop) + LINGER_TIME);
}

void deny_answer(struct conn *c, enum reason reason, const char *sentence)
{
	switch (what_it_speaks(c)) {
	case SNIFF_TLS:
		say(c, tls_alert_access_denied, sizeof(tls_alert_access_denied));
		break;
	case SNIFF_HTTP:
		deny_request(c, reason, sentence);
		break;
	case SNIFF_MORE:
	case SNIFF_OPAQUE:
		break;
	}
	if (c->fd >= 0)
		loop_reset(c->server->loop, &c->fd);
}
