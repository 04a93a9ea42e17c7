/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stackful coroutines: handlers that read downwards. See co.c for how they switch.
 *
 *  - A coroutine ends only by returning from its function. It is never destroyed while suspended.
 *  - co_cancel() marks it; from then on every verb returns -ECANCELED at once, so functions return and cleanup attributes run.
 *  - Never suspend inside a callback of a library, and keep nothing thread-local (errno) across a verb.
 *  - Never assert with cmocka inside a coroutine: its long jump would skip this stack.
 */
#ifndef NONO_IO_CO_H
#define NONO_IO_CO_H

#include "io/loop.h"

struct co;

/* Functions that may suspend their coroutine carry this mark. */
#define _suspends_

/*
 * Makes a coroutine and queues it; it starts from the loop. 0, -ENOMEM, or -errno of the mapping of its stack. `ret` (may be
 * NULL) is valid until the function returns.
 */
_must_check_ int co_spawn(struct loop *l, void (*fn)(void *arg), void *arg, struct co **ret);

/* The running coroutine, or NULL on the loop's own stack. */
struct co *co_self(void);
struct loop *co_loop(void);

/* Marks and wakes. The coroutine goes on from the loop, not from within this call. */
void co_cancel(struct co *co);
bool co_cancelled(void);

/* Live coroutines of a loop. */
size_t co_count(const struct loop *l);

/* Submits the op and suspends until it is done; returns its result. The one way in which verbs wait. */
int co_await(struct op *op) _suspends_;

/*
 * The same, but cancelling neither prevents nor ends it: only for collecting what must not be left behind, which is sure
 * to end.
 */
int co_await_uncancelled(struct op *op) _suspends_;

/* Highest use of any stack so far, in bytes (debug builds paint stacks; 0 elsewhere). */
size_t co_stack_high_water(void);

#endif
