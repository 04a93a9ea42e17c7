/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a coroutine does with descriptors. Each verb may suspend, honours an absolute deadline (NSEC_NEVER: none) and returns
 * 0 or a count, or -errno: -ETIME when the deadline passed, -ECANCELED when the coroutine was cancelled.
 */
#ifndef NONO_IO_VERBS_H
#define NONO_IO_VERBS_H

#include "base/buf.h"
#include "io/co.h"

/* A new connection of a listener: its descriptor. `ret_peer` may be NULL. */
int io_accept(int fd, struct endpoint *ret_peer, nsec_t deadline) _suspends_;

/* A new non-blocking TCP socket, connected; the descriptor. */
int io_connect(const struct endpoint *to, nsec_t deadline) _suspends_;

/* The same by a socket that is there already; it stays the caller's, and is of no more use after a failure. 0. */
int io_connect_socket(int fd, const struct endpoint *to, nsec_t deadline) _suspends_;

/* Bytes received, 0 at EOF. */
ssize_t io_recv(int fd, void *p, size_t n, nsec_t deadline) _suspends_;

/* Receives what comes next behind the content of the buffer, at most `max` bytes of it. */
ssize_t io_recv_buf(int fd, struct buf *b, size_t max, nsec_t deadline) _suspends_;

/* Exactly n bytes, -ECONNRESET if EOF comes before. */
int io_recv_exact(int fd, void *p, size_t n, nsec_t deadline) _suspends_;

/* Sends all of it. */
int io_send_all(int fd, const void *p, size_t n, nsec_t deadline) _suspends_;

/* Datagrams. recvfrom fills the sender. */
ssize_t io_recvfrom(int fd, void *p, size_t n, struct sockaddr_storage *ret_from, socklen_t *ret_len,
		    nsec_t deadline) _suspends_;
ssize_t io_sendto(int fd, const void *p, size_t n, const struct sockaddr_storage *to, socklen_t len,
		  nsec_t deadline) _suspends_;

int io_poll_in(int fd, nsec_t deadline) _suspends_;
int io_sleep(nsec_t until) _suspends_; /* 0 when the time has come */

/*
 * Says goodbye to a peer that shall see our last bytes: FIN, then reads and drops what it still sends, until EOF, `limit`
 * bytes or the deadline; then closes (a reset if it went on sending).
 */
void io_linger_close(int *fd, size_t limit, nsec_t deadline) _suspends_;

/* A place to wait for something that happens in the same loop. One waiter at a time. */
struct event_slot {
	bool set;
	struct loop *loop;
	struct op *waiter;
};

void event_slot_init(struct event_slot *e, struct loop *l);

/* Sets and wakes; stays set until the waiter has taken it. */
void event_slot_set(struct event_slot *e);

/* 0 once it is set (and clears it); -ETIME, -ECANCELED. */
int event_slot_wait(struct event_slot *e, nsec_t deadline) _suspends_;

/* The same without deadline, and also for a coroutine that was cancelled: to collect what it started before it may return. */
void event_slot_wait_uncancelled(struct event_slot *e) _suspends_;

#endif
