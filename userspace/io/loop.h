/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of one worker: completions, deadlines, and the descriptors' system calls. It knows nothing of protocols.
 *
 * All descriptor traffic of the proxy goes through here (not only what may wait), so that a test can put a script in the
 * kernel's place and fail the n-th operation, whatever it is.
 */
#ifndef NONO_IO_LOOP_H
#define NONO_IO_LOOP_H

#include "io/op.h"
#include "wire/addr.h"

struct loop;

/*
 * A back end. submit() takes over an op (its deadline is the loop's business); it may complete it at once by
 * loop_complete(). cancel() must lead to a completion. wait() blocks up to `timeout` and completes what is ready.
 * The direct calls return >= 0 or -errno.
 */
struct loop_backend {
	const char *name;
	int (*open)(struct loop *l);
	void (*close)(struct loop *l);
	void (*submit)(struct loop *l, struct op *op);
	void (*cancel)(struct loop *l, struct op *op);
	int (*wait)(struct loop *l, nsec_t timeout);
	nsec_t (*now)(struct loop *l);
	int (*socket)(struct loop *l, int family, int type);
	int (*setsockopt)(struct loop *l, int fd, int level, int name, const void *value, socklen_t n);
	int (*shutdown)(struct loop *l, int fd, int how);
	int (*close_fd)(struct loop *l, int fd);
	/* Begins to connect: 0, -EINPROGRESS (poll for output) or -errno. For c-ares, which has a machine of its own. */
	int (*connect)(struct loop *l, int fd, const struct sockaddr *sa, socklen_t n);
	/* Non-blocking, never waits: for the relay's hot path. -EAGAIN when it would. */
	ssize_t (*recv)(struct loop *l, int fd, void *p, size_t n);
	ssize_t (*send)(struct loop *l, int fd, const void *p, size_t n);
	ssize_t (*splice)(struct loop *l, int from, int to, size_t n);
	/* A pipe for splice(): how much it holds, at most about `size` bytes, or -errno. */
	int (*pipe)(struct loop *l, int fds[2], size_t size);
};

extern const struct loop_backend loop_epoll;

/* `backend_data` is kept for the back end (loop_data()); NULL for epoll. 0 or -errno. */
_must_check_ int loop_new(const struct loop_backend *backend, void *backend_data, struct loop **ret);

/* No operation may be in flight; what was cancelled and only waits for its done() is brought home. NULL is fine. */
void loop_free(struct loop *l);
void *loop_data(struct loop *l);
void loop_set_data(struct loop *l, void *data);
const struct loop_backend *loop_backend(const struct loop *l);

/* The time, read once per turn of the loop. */
nsec_t loop_now(const struct loop *l);

/* Runs until loop_stop() was called and nothing is queued. 0 or -errno of the back end. */
_must_check_ int loop_run(struct loop *l);

/* One turn: waits at most `timeout`, dispatches. For tests. */
_must_check_ int loop_turn(struct loop *l, nsec_t timeout);
void loop_stop(struct loop *l);

/* Operations that were submitted and are not done. */
size_t loop_inflight(const struct loop *l);

/* Submits; done() is never called from within submit. */
void loop_submit(struct loop *l, struct op *op);

/* Asks an op in flight to end with -ECANCELED; harmless for one that is not in flight. done() is called from the loop. */
void loop_cancel(struct loop *l, struct op *op);

/* For back ends, and for OP_EVENT: the op has this result; its done() runs in this or the next turn. Idempotent until then. */
void loop_complete(struct loop *l, struct op *op, int res);

/* Direct calls, see struct loop_backend. loop_close(): ops on the descriptor must be done; sets *fd to -EBADF. */
_must_check_ int loop_socket(struct loop *l, int family, int type);
int loop_setsockopt(struct loop *l, int fd, int level, int name, const void *value, socklen_t n);
int loop_shutdown(struct loop *l, int fd, int how);
void loop_close(struct loop *l, int *fd);

/* Closes so that the peer sees a reset (SO_LINGER 0), not a FIN. */
void loop_reset(struct loop *l, int *fd);

#endif
