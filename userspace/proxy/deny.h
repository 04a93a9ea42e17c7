/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a client learns that it was refused: in the words of the protocol that it speaks. TLS gets a
 * fatal access_denied alert, clear HTTP a 403 that explains, anything else a reset within a second (a beginning that may be HTTP counts as HTTP).
 * Never a hang, never a silent EOF.
 */
#ifndef NONO_PROXY_DENY_H
#define NONO_PROXY_DENY_H

#include "proxy/conn.h"

/*
 * Answers the client by the first bytes in c->first (reads some if there are none) and closes it.
 * `sentence` replaces the reason's own in the HTTP answer; NULL: the reason's. The record is
 * written by the caller.
 */
void deny_answer(struct conn *c, enum reason reason, const char *sentence) _suspends_;

/* The same for a client that is known to speak HTTP: its request is answered. */
void deny_request(struct conn *c, enum reason reason, const char *sentence) _suspends_;

/* The same, and the connection stays open for another request: only for one whose body was read.
 * 0 or -errno. */
_must_check_ int deny_and_keep(struct conn *c, enum reason reason) _suspends_;

struct denial {
	enum reason reason;
	int status;	      /* 0: the reason's own */
	const char *sentence; /* NULL: the reason's own */
	const char *target;
	uint16_t port;
	const char *rule; /* text, or NULL */
	bool keep;	  /* another request may follow */
	bool head_only;	  /* the answer to a HEAD request has no body */
};

/* A whole HTTP/1.1 refusal with the JSON body of the contract. 0 or -errno of the buffer. */
_must_check_ int deny_http(struct buf *out, const struct denial *d);

#endif
