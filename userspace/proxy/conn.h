/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One accepted connection, from accept to its last audit record.
 *
 *	identify ──► serve (dns | transparent | explicit | published) ──► finish
 *	                       │
 *	                       └──► relay runs on without a coroutine ──► finish
 *
 * conn_finish() is the one exit: on every path it writes the record, closes what is open and frees
 * the connection.
 */
#ifndef NONO_PROXY_CONN_H
#define NONO_PROXY_CONN_H

#include "io/relay.h"
#include "proxy/server.h"
#include "wire/http_head.h"

struct conn {
	struct list link;
	struct server *server;
	struct co *co;	     /* NULL once the relay has taken over */
	struct relay *relay; /* NULL before */
	int fd;		     /* the client; -EBADF once the relay owns it */
	int up;		     /* the upstream; likewise */
	struct endpoint peer;
	bool by_choice;			   /* of the explicit listener */
	const struct published *published; /* came from outside, for this port; NULL */
	bool identified;
	struct origin origin;

	/* What the records tell; from `method` on, of the request that is served just now. */
	enum event_mode mode;
	char target[HOST_NAME_MAX_LEN + 1]; /* name, or text of the address */
	uint16_t port;
	const struct rule *rule;
	char sni[256];
	struct addr dialled; /* family 0: nothing was dialled */
	char method[33];
	char path[256];	      /* without its query */
	const char *auth;     /* how it showed that it may ask; NULL: nothing was to be shown */
	const char *sentence; /* for a refusal, if the reason's own does not fit */
	int status;	      /* likewise */
	nsec_t requested;
	/* Waiting for a request head or for the client to leave, and so the one to give up when room is needed; `served`: a
	 * request was let through; `idle`: not a byte of the next one is there. */
	bool waiting, idle, served, given_up;
	/* The allow record is written: a close record follows, of the same target. */
	bool opened;
	char opened_as[HOST_NAME_MAX_LEN + 1];
	const struct rule *opened_by;
	enum event_end end; /* how it ended, if not by its relay */

	struct buf first;	       /* client bytes that were read and not sent on */
	uint64_t early_up, early_down; /* bytes moved before the relay */
};

/* Serves a descriptor that the listener of this task has accepted; the connection owns it from now on. 0 or -errno (then the
 * descriptor is closed). */
_must_check_ int conn_start(const struct task *listener, int fd, const struct endpoint *peer);

/* Ends the connection that can best be spared, one that waits: of those that were never let through the oldest, else the oldest. False: there is none. It is gone when its coroutine has come home. */
bool conn_give_one_up(struct server *s);

/* Ends a connection from outside (drain): its coroutine or its relay comes home by the loop. */
void conn_cancel(struct conn *c);

/*
 * Writes the record "this is let through", with what is known of the connection now. False if it
 * cannot be written: then the connection is refused with AUDIT_FAILED and must not be served.
 */
_must_check_ bool conn_open_record(struct conn *c);

/* Writes the record of a refusal. */
void conn_refusal_record(struct conn *c, enum reason reason);

/* Notes a request for its records; NULL: one that could not be read. Forgets the one before: whose target it had, what it was
 * refused or allowed for. */
void conn_set_request(struct conn *c, enum event_mode mode, const struct http_head *h);

/* Writes the close record of a request (status: the upstream's) and makes the connection ready for the next one. */
void conn_request_over(struct conn *c, uint64_t up, uint64_t down, int status, enum event_end end);

/* Names the target in the records. */
void conn_set_target(struct conn *c, const char *text, const struct rule *rule);

#endif
