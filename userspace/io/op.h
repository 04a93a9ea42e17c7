/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation in flight, and the one completion rule: `op->done(op)` is called exactly once, from the loop, with the result
 * in `op->res`.
 *
 * The record belongs to whoever submits it (a relay direction, or the stack of a waiting coroutine) and must stay until
 * done() was called. Cancelling an operation makes it complete with -ECANCELED; it never makes it vanish. done() may submit
 * the same record again.
 *
 * A back end (epoll today, io_uring later, a script in tests) gets the whole record, so that it may do the work itself
 * (io_uring) or try the system call and wait for readiness (epoll).
 */
#ifndef NONO_IO_OP_H
#define NONO_IO_OP_H

#include <sys/socket.h>

#include "base/clock.h"
#include "base/defs.h"

enum op_kind {
	OP_POLL_IN,  /* until fd is readable or at EOF; res 0 */
	OP_POLL_OUT, /* until fd is writable; res 0 */
	OP_ACCEPT,   /* res: the new descriptor, non-blocking, close-on-exec */
	OP_CONNECT,  /* res 0 */
	OP_RECV,     /* res: bytes, 0 at EOF */
	OP_SEND,     /* res: bytes, maybe fewer than asked (MSG_NOSIGNAL is set) */
	OP_RECVMSG,
	OP_SENDMSG,
	OP_TIMER, /* until the deadline; res -ETIME */
	OP_EVENT, /* until loop_complete() is called for it */
};

/* Flags that the submitter sets. The loop keeps its own in the upper half. */
#define OP_WOULD_BLOCK 0x01 /* POLL_*: -EAGAIN (or a short read of a stream) was seen in this same callback: do not ask again */

/* A record is all zeroes before its first use. */
struct op {
	void (*done)(struct op *op);
	void *owner; /* for whoever submits it */
	int res; /* result, or -errno; -ETIME when the deadline passed, -ECANCELED when cancelled */
	int fd;
	uint8_t kind;
	uint8_t state;    /* of the loop: idle, armed, queued */
	uint8_t flags;    /* OP_WOULD_BLOCK; cleared when it is done */
	uint32_t heap_at; /* place in the deadline heap, 0 = not in it */
	nsec_t deadline;  /* NSEC_NEVER = none */
	struct op *next;  /* completion queue */
	union {
		struct {
			void *p;
			size_t n;
		} io; /* RECV, SEND */
		struct {
			struct msghdr *hdr;
			int flags;
		} msg;
		struct {
			struct sockaddr_storage *sa; /* ACCEPT: filled (may be NULL); CONNECT: given */
			socklen_t len;
		} name;
	};
};

#endif
