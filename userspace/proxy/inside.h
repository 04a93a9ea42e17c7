/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of the sandbox's network namespace, which we may not enter: the supervisor makes them for us. See inside.c.
 */
#ifndef NONO_PROXY_INSIDE_H
#define NONO_PROXY_INSIDE_H

#include "base/list.h"
#include "io/verbs.h"
#include "ipc/channel.h"

struct inside {
	struct loop *loop;
	int channel;	  /* to the supervisor; does not block */
	struct list asks; /* of coroutines that wait, in order */
	uint32_t number;  /* of the last one */
	uint32_t sent;	  /* asked for and not answered */
	bool over;
};

void inside_init(struct inside *i, struct loop *l, int channel);

/* One for this family (4 or 6), not connected. The descriptor, or -errno. */
int inside_socket(struct inside *i, uint8_t family, nsec_t deadline) _suspends_;

/* MSG_SOCKET has come. 0 or -EBADMSG. */
_must_check_ int inside_take(struct inside *i, struct message *m);

/* Nobody reads the channel any more: who waits gets -ECANCELED, and so does who comes. */
void inside_end(struct inside *i);

#endif
