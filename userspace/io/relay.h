/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two-direction pump of an opaque tunnel: an explicit state machine without a stack of its own.
 *
 * Each direction copies small messages through the loop's scratch buffer (none of its own while nothing is pending), is promoted to
 * splice(2) through a pooled pipe after 128 KiB without running dry, fills the pipe before it splices out once, and is
 * demoted when it runs dry. EOF is passed on by shutdown() after everything before it was delivered (half-close). A reset on
 * one side resets the other. See relay.c for the states.
 */
#ifndef NONO_IO_RELAY_H
#define NONO_IO_RELAY_H

#include "base/buf.h"
#include "io/loop.h"

enum relay_side { RELAY_UP, RELAY_DOWN }; /* UP: client to server */

enum relay_end {
	RELAY_EOF,     /* both directions came to their end */
	RELAY_RESET,   /* an error on either side */
	RELAY_TIMEOUT, /* nothing moved for the idle time */
	RELAY_STOPPED, /* relay_stop() */
};

struct relay;

/*
 * A relay between two connected descriptors, which it owns from now on. Nothing moves before relay_start().
 * `ended` is called once, from the loop, when the relay is over and both descriptors are closed; the relay is freed after it
 * returns. NULL when memory is short (the descriptors then still belong to the caller).
 */
struct relay *relay_new(struct loop *l, int client, int server, nsec_t idle, void (*ended)(struct relay *r, void *arg),
			void *arg);

/* Starts one direction. For UP, `first` (may be NULL) are the bytes that were parsed and go before all others; it is emptied. */
_must_check_ int relay_start(struct relay *r, enum relay_side side, struct buf *first);

/* Ends it at once: both sides see a reset. `ended` follows from the loop. */
void relay_stop(struct relay *r);

/* For ended() and for status. */
uint64_t relay_bytes(const struct relay *r, enum relay_side side);
enum relay_end relay_end(const struct relay *r);

#endif
