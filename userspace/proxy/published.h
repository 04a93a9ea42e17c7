/* SPDX-License-Identifier: Apache-2.0 */
/* Connections from outside to a published port of the sandbox. */
#ifndef NONO_PROXY_PUBLISHED_H
#define NONO_PROXY_PUBLISHED_H

#include "proxy/conn.h"

/* What the records name as the target; which of the loopback addresses it was is their resolved_ip. */
#define PUBLISHED_TARGET "127.0.0.1"

/* True: c->fd and c->up shall be relayed. False: it is over; everything is recorded, and the client gets a reset. */
_must_check_ bool published_serve(struct conn *c) _suspends_;

#endif
