/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel knows an address; the policy is about names. What joins them is what the sandbox was
 * told before:
 *
 *  - Candidates are the names that our DNS answers bound to X and whose rule admits P; besides them
 *    an address rule may cover X:P. With either, X is dialled at once, without waiting for the
 *    client: in SSH, SMTP or MySQL the server speaks first. The server's bytes pass. The client's
 *    bytes wait until it is known what they are:
 *	TLS	the SNI must be one of the candidates
 *	HTTP	each request's Host must be (proxy/cleartext.h)
 *	else	passes
 *    TLS that does not parse, or names nobody, is refused. Under an address rule names are
 *    recorded, not asked.
 *
 *  - Without either (an address from before the sandbox, from a hosts file, or made up) the first
 *    bytes must name an allowed host. That *name* is resolved, checked and dialled. X is not.
 *
 * The bytes that were judged are the bytes that are sent on: they are read once, into c->first, and
 * leave from there.
 */
#include "proxy/transparent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/cleartext.h"
#include "proxy/deny.h"
#include "proxy/listen.h"
#include "proxy/route.h"
#include "wire/sniff.h"

#define TLS_HANDSHAKE 0x16 /* first byte of a hello's record */

/* Records and tells; always false, for `return refuse(…)`. */
static bool refuse(struct conn *c, enum reason reason)
{
	if (c->up >= 0)
		loop_reset(c->server->loop, &c->up);
	conn_refusal_record(c, reason);
	deny_answer(c, reason, NULL);
	return false;
}

/* The upstream cannot be had: a reset at once, as if the network had said so. */
static bool drop(struct conn *c, enum reason reason)
{
	conn_refusal_record(c, reason);
	loop_reset(c->server->loop, &c->fd);
	return false;
}

static struct judgement judge_hello(struct conn *c, const struct route *r)
{
	struct tls_hello hello;
	struct judgement j = listen_hello(c, &hello);
	enum reason reason;
	struct host h;

	if (j.step != LISTEN_PASS)
		return j;
	if (!hello.has_sni)
		return r->any ? judged_pass() : judged_refuse(REASON_SNI_MISSING);
	if (!listen_sni(c, &hello, &h)) {
		conn_set_target(c, hello.sni, NULL);
		return judged_refuse(REASON_NAME_INVALID);
	}
	reason = route_admit(c, r, &h, REASON_SNI_MISMATCH);
	return reason ? judged_refuse(reason) : judged_pass();
}

/* Under an address rule the name is only noted, if it is there already. */
static void note_name(struct conn *c)
{
	struct tls_hello hello;

	if (tls_hello_parse(buf_data(&c->first), buf_len(&c->first), &hello) == TLS_HELLO_OK &&
	    hello.has_sni)
		(void)snprintf(c->sni, sizeof(c->sni), "%s", hello.sni);
}

/*
 * Bytes that may still become TLS or a request are never passed as something else while more can
 * come: what comes then would go out unjudged. A NUL stands in no request line.
 */
static struct judgement judge_beginning(const uint8_t *p, size_t n, enum flow flow)
{
	if (flow == FLOW_ENDED || memchr(p, '\0', n))
		return judged_pass();
	return flow == FLOW_SLOW ? judged_refuse(REASON_TOO_SLOW)
				 : (struct judgement){ .step = LISTEN_MORE };
}

static struct judgement judge(struct conn *c, void *arg, enum flow flow)
{
	const struct route *r = arg;
	const uint8_t *p = buf_data(&c->first);
	size_t n = buf_len(&c->first);

	if (r->by_address) {
		note_name(c);
		return judged_pass();
	}
	switch (sniff(p, n)) {
	case SNIFF_TLS: {
		struct judgement j = judge_hello(c, r);

		return j.step == LISTEN_MORE && flow != FLOW_ON ? judged_refuse(REASON_TOO_SLOW)
								: j;
	}
	case SNIFF_HTTP:
		if (c->early_down)
			break; /* the server spoke first: that is no HTTP, whatever the client's words look like */
		return (struct judgement){ .step = LISTEN_HTTP };
	case SNIFF_MORE:
		if (c->early_down && p[0] != TLS_HANDSHAKE)
			break;
		return judge_beginning(p, n, flow);
	case SNIFF_OPAQUE:
		break;
	}
	return judged_pass();
}

/* With a candidate, or with a rule that covers the address. */
static bool serve_known(struct conn *c, struct route *r)
{
	struct judgement j;
	enum reason reason = route_dial(c, r);
	int e;

	if (reason)
		return drop(c, reason);
	e = listen_to_client(c, judge, r, &j);
	if (e < 0) {
		/* Nobody said anything: still a connection that was made. */
		c->end = e == -ETIME ? END_TIMEOUT : END_RESET;
		if (!c->opened && !conn_open_record(c))
			conn_refusal_record(c, REASON_AUDIT_FAILED);
		return false;
	}
	if (j.step == LISTEN_REFUSE)
		return refuse(c, j.reason);
	if (j.step == LISTEN_HTTP)
		return cleartext_serve(c, r);
	if (!c->opened && !conn_open_record(c))
		return refuse(c, REASON_AUDIT_FAILED);
	return true;
}

/* Could any name be allowed on this port? If not, nothing that the client says can help it. */
static bool port_has_rule(const struct filter *f, uint16_t port)
{
	for (const struct rule *r = f->rules; r; r = r->next)
		if (!r->deny && r->kind <= RULE_ANY && (!r->port || r->port == port))
			return true;
	return false;
}

/* Reads until the client has named its host, or begins a request. REASON_NONE: *ret is it. */
static enum reason named_host(struct conn *c, struct host *ret, bool *ret_http)
{
	nsec_t deadline = loop_now(c->server->loop) + c->server->limits.first_bytes;
	struct tls_hello hello;

	for (;;) {
		enum sniff what = sniff(buf_data(&c->first), buf_len(&c->first));
		enum tls_hello_state state = TLS_HELLO_MORE;

		if (what == SNIFF_TLS)
			state = tls_hello_parse(buf_data(&c->first), buf_len(&c->first), &hello);
		if (state == TLS_HELLO_OK)
			break;
		if (state != TLS_HELLO_MORE)
			return REASON_TLS_MALFORMED;
		*ret_http = what == SNIFF_HTTP;
		if (*ret_http)
			return REASON_NONE;
		if (what == SNIFF_OPAQUE)
			return REASON_PROTOCOL_UNKNOWN;
		if (io_recv_buf(c->fd, &c->first, 16384, deadline) > 0)
			continue;
		if (co_cancelled())
			return REASON_SHUTTING_DOWN;
		return buf_len(&c->first) ? REASON_TOO_SLOW : REASON_CIDR_NOT_ALLOWED;
	}
	if (!hello.has_sni)
		return REASON_SNI_MISSING;
	if (listen_sni(c, &hello, ret))
		return REASON_NONE;
	conn_set_target(c, hello.sni, NULL);
	return REASON_NAME_INVALID;
}

/* Without either: the client's own word for where it goes, which then is where it goes. */
static bool serve_by_first_bytes(struct conn *c)
{
	bool http = false;
	enum reason reason;
	struct host h;

	if (!port_has_rule(c->server->filter, c->port))
		return refuse(c, REASON_CIDR_NOT_ALLOWED);
	reason = named_host(c, &h, &http);
	if (http)
		return cleartext_serve(c, NULL);
	if (!reason)
		reason = route_to_host(c, &h);
	if (route_failed(reason))
		return drop(c, reason);
	if (!reason && !conn_open_record(c))
		reason = REASON_AUDIT_FAILED;
	return reason ? refuse(c, reason) : true;
}

bool transparent_serve(struct conn *c)
{
	struct route route;
	enum reason reason = route_find(c, &route);

	if (reason)
		return refuse(c, reason);
	return route_is_known(&route) ? serve_known(c, &route) : serve_by_first_bytes(c);
}
