/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The explicit listener: clients that speak to a proxy on purpose. CONNECT and absolute-form http://, only with the session
 * token; and GET /-/refusals, which gives the sandbox its own last refusals.
 */
#ifndef NONO_PROXY_EXPLICIT_H
#define NONO_PROXY_EXPLICIT_H

#include "proxy/conn.h"

/* True: c->fd and c->up shall be relayed, beginning with c->first. False: it is over; everything is said and recorded. */
_must_check_ bool explicit_serve(struct conn *c) _suspends_;

#endif
