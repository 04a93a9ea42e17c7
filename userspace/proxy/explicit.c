/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CONNECT: authenticate ─► authorise the name ─► resolve ─► check every address ─► dial ─► record ─► 200 ─► tunnel.
 * Nothing is resolved before the token was right, nothing is answered 200 before the upstream stands, and what the client sent
 * behind its head goes nowhere until then.
 *
 * Inside a tunnel that speaks TLS the name in the hello must be the name that was asked for: an allowed name is no cover for
 * another one. A hello without a name is taken; where an address was asked for by a rule of its own, names are only recorded.
 */
#include "proxy/explicit.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "policy/token.h"
#include "proxy/deny.h"
#include "proxy/exchange.h"
#include "proxy/listen.h"
#include "proxy/route.h"

#define TRIES	      3 /* so often a client may come without the token on one connection */
#define REFUSALS_PATH "/-/refusals"
#define TLS_HANDSHAKE 0x16 /* first byte of a hello's record */

static const char established[] = "HTTP/1.1 200 Connection Established\r\n\r\n";

/* What the requests of one connection have in common. */
struct explicit
{
	unsigned int tries; /* without the token */
	struct route_last last;
};

/* Is it meant for the proxy itself? */
static bool is_direct(const struct http_head *h)
{
	return h->form == HTTP_ORIGIN_FORM || h->form == HTTP_ASTERISK_FORM;
}

/* ---- the token */

static enum reason authenticate(const struct conn *c, const struct http_head *h)
{
	const struct str token = c->server->token;

	if (!token.n)
		return REASON_NONE;
	return is_direct(h) ? token_check_direct(h, token) : token_check(h, token);
}

static bool has_body(const struct http_head *h)
{
	enum http_framing framing = http_request_framing(h);

	return framing == HTTP_CHUNKED || (framing == HTTP_LENGTH && h->content_length > 0);
}

/* A client that was not asked for it yet gets another try on the same connection, unless a body follows that nobody reads. */
static enum claim ask_for_token(struct conn *c, struct explicit *x, const struct http_head *h,
				size_t len, enum reason reason)
{
	bool connect = h->form == HTTP_AUTHORITY_FORM;

	if (is_direct(h))
		c->status = 401;
	/* What came behind a CONNECT was meant for the tunnel. */
	if (++x->tries > TRIES || !h->keep_alive || !h->minor || has_body(h) ||
	    (connect && buf_len(&c->first) > len)) {
		exchange_refuse(c, reason, NULL);
		return CLAIM_OVER;
	}
	conn_refusal_record(c, reason);
	buf_consume(&c->first, len);
	return deny_and_keep(c, reason) < 0 ? CLAIM_OVER : CLAIM_NEXT;
}

/* ---- requests to the proxy itself */

/* Is this the proxy's own authority? */
static bool names_us(const struct conn *c, struct str authority)
{
	struct endpoint at;
	struct host host;

	if (!host_port_parse(authority, &host, &at.port))
		return false;
	at.addr = host.is_addr ? host.addr : addr_v4(INADDR_LOOPBACK);
	return (host.is_addr || strcmp(host.name, "localhost") == 0) &&
	       server_is_self(c->server, &at);
}

static enum claim refuse_direct(struct conn *c, enum reason reason)
{
	exchange_refuse(c, reason, NULL);
	return CLAIM_OVER;
}

static int answer_refusals(struct conn *c, bool keep)
{
	_cleanup_buf_ struct buf body = BUF_INIT(RECENT_JSON_MAX);
	_cleanup_buf_ struct buf out = BUF_INIT(RECENT_JSON_MAX + 1024);
	int r = recent_write(&c->server->audit->recent, &body);

	if (r == 0)
		r = buf_printf(&out,
			       "HTTP/1.1 200 OK\r\n"
			       "Content-Type: application/json\r\n"
			       "Content-Length: %zu\r\n"
			       "Cache-Control: no-store\r\n"
			       "%s\r\n",
			       buf_len(&body), keep ? "" : "Connection: close\r\n");
	if (r == 0)
		r = buf_append_str(&out, buf_str(&body));
	if (r < 0)
		return r;
	return io_send_all(c->fd, buf_data(&out), buf_len(&out),
			   loop_now(c->server->loop) + c->server->limits.idle);
}

static enum claim serve_direct(struct conn *c, const struct http_head *h, size_t len)
{
	bool keep = h->keep_alive && h->minor;

	/* Where no token is asked for, a page in a browser could come here under a name of its own (DNS rebinding). */
	if (!c->server->token.n && !names_us(c, h->host))
		return refuse_direct(c, REASON_HOST_MISMATCH);
	if (!str_eq(h->path, STR_LIT(REFUSALS_PATH)))
		return refuse_direct(c, REASON_ROUTE_UNKNOWN);
	if (!str_eq(h->method, STR_LIT("GET")))
		return refuse_direct(c, REASON_METHOD_REFUSED);
	if (has_body(h))
		return refuse_direct(c, REASON_HTTP_MALFORMED);
	buf_consume(&c->first, len);
	if (answer_refusals(c, keep) == 0 && keep)
		return CLAIM_NEXT;
	io_linger_close(&c->fd, 4096, loop_now(c->server->loop) + NSEC_PER_SEC);
	return CLAIM_OVER;
}

/* ---- CONNECT */

/* What was asked for, as the hello is judged by. */
struct tunnel {
	const struct host *host;
	const struct rule *rule;
};

/* Was an address asked for that has a rule of its own? Then names are no matter. */
static bool by_address(const struct tunnel *t)
{
	return t->host->is_addr && (!t->rule || t->rule->kind != RULE_ANY);
}

static void note_name(struct conn *c, const struct tls_hello *hello)
{
	struct host unused;

	if (hello && hello->has_sni)
		(void)!listen_sni(c, hello, &unused);
}

static struct judgement judge_hello(struct conn *c, const struct tunnel *t)
{
	struct tls_hello hello;
	struct judgement j = listen_hello(c, &hello);
	struct verdict v;
	struct host h;

	if (j.step == LISTEN_MORE)
		return j;
	if (by_address(t)) {
		note_name(c, j.step == LISTEN_PASS ? &hello : NULL);
		return judged_pass();
	}
	if (j.step == LISTEN_REFUSE)
		return j;
	if (!hello.has_sni)
		return judged_pass();
	if (!listen_sni(c, &hello, &h)) {
		conn_set_target(c, hello.sni, NULL);
		return judged_refuse(REASON_NAME_INVALID);
	}
	if (!t->host->is_addr && strcmp(h.name, t->host->name) == 0)
		return judged_pass();
	conn_set_target(c, h.name, NULL);
	if (!t->host->is_addr)
		return judged_refuse(REASON_SNI_MISMATCH);
	filter_check_host(c->server->filter, &h, c->port, &v);
	c->rule = v.rule;
	return v.allowed ? judged_pass() : judged_refuse(v.reason);
}

static struct judgement judge(struct conn *c, void *arg, enum flow flow)
{
	const struct tunnel *t = arg;
	struct judgement j = judged_pass();

	if (buf_data(&c->first)[0] == TLS_HANDSHAKE)
		j = judge_hello(c, t);
	return j.step == LISTEN_MORE && flow != FLOW_ON ? judged_refuse(REASON_TOO_SLOW) : j;
}

/* The tunnel stands. False: it is over. */
static bool hear_client(struct conn *c, const struct host *host)
{
	struct tunnel t = { host, c->rule };
	struct judgement j;
	int r = listen_to_client(c, judge, &t, &j);

	if (r < 0) {
		c->end = r == -ETIME ? END_TIMEOUT : END_RESET;
		return false;
	}
	if (j.step == LISTEN_PASS)
		return true;
	loop_reset(c->server->loop, &c->up);
	conn_refusal_record(c, j.reason);
	deny_answer(c, j.reason, NULL);
	return false;
}

/* Some clients write into Host where they send a CONNECT to, not where it leads; the field goes no further, so it misleads nobody. */
static enum reason connect_authority(struct conn *c, const struct http_head *h, struct host *ret)
{
	enum reason reason = exchange_authority(h, 0, ret, &c->port);

	if (reason && reason != REASON_HOST_MISMATCH)
		return reason;
	conn_set_target(c, ret->name, NULL);
	if (reason && names_us(c, h->host))
		return REASON_NONE;
	c->sentence = reason ? "the target and the Host field name different hosts" : NULL;
	return reason;
}

static enum claim serve_connect(struct conn *c, const struct http_head *h, size_t len)
{
	struct host host;
	enum reason reason = connect_authority(c, h, &host);
	int r;

	if (c->up >= 0) /* of a request before */
		loop_close(c->server->loop, &c->up);
	if (!reason)
		reason = route_to_host(c, &host);
	if (!reason && !conn_open_record(c))
		reason = REASON_AUDIT_FAILED;
	if (reason) {
		exchange_refuse(c, reason, NULL);
		return CLAIM_OVER;
	}
	buf_consume(&c->first, len);
	r = io_send_all(c->fd, established, sizeof(established) - 1,
			loop_now(c->server->loop) + c->server->limits.connect);
	if (r == 0 && hear_client(c, &host))
		return CLAIM_TUNNEL;
	return CLAIM_OVER;
}

/* ---- which of them it is */

static enum claim claim(struct conn *c, void *arg, const struct http_head *h, size_t len)
{
	bool connect = h->form == HTTP_AUTHORITY_FORM;
	struct explicit *x = arg;
	enum reason reason;

	if (connect)
		conn_set_request(c, MODE_CONNECT, h);
	reason = authenticate(c, h);
	if (reason)
		return ask_for_token(c, x, h, len, reason);
	c->served = true;
	c->auth = c->server->token.n && !is_direct(h) ? "proxy_authorization" : NULL;
	if (connect)
		return serve_connect(c, h, len);
	if (h->form != HTTP_ABSOLUTE_FORM)
		return serve_direct(c, h, len);
	if (str_eq_nocase(h->scheme, STR_LIT("http")))
		return CLAIM_NOT;
	/* TLS is the client's own, end to end. */
	exchange_refuse(c, REASON_METHOD_REFUSED, "an https:// target needs CONNECT");
	return CLAIM_OVER;
}

/* Absolute-form: each request has its own host, the connection to the last one is kept. */
static enum reason admit(struct conn *c, void *arg, const struct http_head *h)
{
	struct explicit *x = arg;
	struct host host;
	enum reason reason = exchange_authority(h, 80, &host, &c->port);

	if (reason && reason != REASON_HOST_MISMATCH)
		return reason;
	conn_set_target(c, host.name, NULL);
	if (reason) {
		c->sentence = "the target and the Host field name different hosts";
		return reason;
	}
	return route_again(c, &x->last, &host);
}

bool explicit_serve(struct conn *c)
{
	struct explicit x = { 0 };
	const struct exchange_owner owner = {
		.mode = MODE_FORWARD, .admit = admit, .claim = claim, .arg = &x
	};

	return exchange_run(c, &owner);
}
