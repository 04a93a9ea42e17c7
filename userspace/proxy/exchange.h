/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 exchanges on one client connection: request after request, each read strictly, judged by its own authority, and written
 * anew to an upstream; its answer likewise. What differs between a redirected connection and the explicit listener (who may ask
 * for what, where it is dialled) is the owner's business: a table of functions.
 *
 * Bodies stream both ways, framed as they came, and at the same time: an early answer is passed on, an upload that stops
 * is seen. Nothing is buffered whole. An upgrade that the upstream accepts (101) ends the exchange; both sides then go to a relay.
 */
#ifndef NONO_PROXY_EXCHANGE_H
#define NONO_PROXY_EXCHANGE_H

#include "proxy/conn.h"
#include "wire/http_head.h"

/* What an owner makes of a request that it answers itself. */
enum claim {
	CLAIM_NOT,    /* a request like any other: admit() is asked */
	CLAIM_NEXT,   /* answered, its head is consumed: another one may follow */
	CLAIM_OVER,   /* the connection has ended, everything is said and recorded */
	CLAIM_TUNNEL, /* c->fd and c->up shall be relayed, beginning with c->first */
};

struct exchange_owner {
	enum event_mode mode;
	/*
	 * Judges a request whose head is parsed: names its target in the connection (conn_set_target, port), and makes c->up a
	 * connected descriptor for it (may dial; may keep the one of the request before). REASON_NONE: go on.
	 */
	enum reason (*admit)(struct conn *c, void *arg, const struct http_head *h) _suspends_;
	/* Asked before that, with the head still at the front of c->first; `len` is its length. NULL: nothing is claimed, and CONNECT
	 * is refused. */
	enum claim (*claim)(struct conn *c, void *arg, const struct http_head *h,
			    size_t len) _suspends_;
	void *arg;
};

/*
 * Serves requests until the connection ends. c->first may hold bytes that were read already. True: it was upgraded or became a tunnel,
 * and c->fd and c->up shall be relayed, beginning with c->first. False: it is over; everything is said and recorded.
 */
_must_check_ bool exchange_run(struct conn *c, const struct exchange_owner *owner) _suspends_;

/* Records and answers a refusal of the request that is served just now, and ends the connection. `sentence` NULL: the reason's own. */
void exchange_refuse(struct conn *c, enum reason reason, const char *sentence) _suspends_;

/*
 * The one authority of a request, as host and port: of the target in absolute-form (which the Host field must equal), else of
 * the Host field. `port` is what it means where none is written (the target of CONNECT always has one). REASON_NONE,
 * HTTP_MALFORMED, NAME_INVALID, HOST_MISMATCH (then with the target's authority).
 */
enum reason exchange_authority(const struct http_head *h, uint16_t port, struct host *ret_host,
			       uint16_t *ret_port);

#endif
