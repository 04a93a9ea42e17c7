/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request that is allowed, and its answer: written anew, sent, streamed, both at the same time.
 */
#ifndef NONO_PROXY_TURN_H
#define NONO_PROXY_TURN_H

#include "proxy/conn.h"
#include "wire/http_body.h"

/* One request on its way. */
struct turn {
	/* the caller's */
	struct conn *c;
	char method[33];
	uint8_t minor;	/* HTTP/1.minor of the client */
	struct buf out; /* a head being written */
	/* what may be used again afterwards; keep_client is the caller's to begin with */
	bool keep_client, keep_upstream;
	/* the answer */
	int status;
	bool answered; /* a final answer has begun: nothing else can be said any more */
	uint64_t bytes_up, bytes_down;
	/* the upload */
	bool upgrade;
	struct http_body up_body;
	struct co *uploader;
	struct event_slot up_done;
	bool uploading, uploaded; /* all of it is sent, framing included */
	enum reason up_reason;	  /* the client broke the framing, or went too far */
};

/*
 * Sends the request whose head of `len` bytes stands at the front of c->first, and passes on what comes back. 0: both sides stand as
 * keep_* say (status 101: as a tunnel); -errno: neither can go on.
 */
_must_check_ int turn_converse(struct turn *t, const struct http_head *h, size_t len) _suspends_;

/* What a failure that nothing was answered for is to be told as. */
enum reason turn_failure(const struct turn *t, int error);

#endif
