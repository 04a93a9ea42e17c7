/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder know about a loop, and nobody else.
 */
#ifndef NONO_IO_LOOP_INTERNAL_H
#define NONO_IO_LOOP_INTERNAL_H

#include "io/loop.h"

enum op_state {
	OP_IDLE,   /* not in flight */
	OP_ARMED,  /* with the back end, or waiting for its deadline or event */
	OP_QUEUED, /* has its result, waits for its done() */
};

/* In op->flags: its deadline has passed, so the cancelling that follows is told as -ETIME. */
#define OP_EXPIRED 0x80

/* Modules of this folder that keep something per loop (stacks, pipes) hang it here. */
enum loop_room { LOOP_ROOM_CO, LOOP_ROOM_RELAY, LOOP_ROOMS };

struct loop {
	const struct loop_backend *backend;
	void *data;
	nsec_t now;
	size_t inflight;
	bool stopping;
	struct op *head, **tail; /* completions in their order */
	struct op **heap;	 /* deadlines, the earliest at [1] */
	uint32_t heap_used, heap_cap;
	struct {
		void *p;
		void (*free)(struct loop *l, void *p);
	} room[LOOP_ROOMS];
};

#endif
