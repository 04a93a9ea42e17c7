/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A redirected connection to address X, port P: under which name does it go out, if at all? See
 * transparent.c.
 */
#ifndef NONO_PROXY_TRANSPARENT_H
#define NONO_PROXY_TRANSPARENT_H

#include "proxy/conn.h"

/*
 * True: c->up is connected, the open record is written, and the relay shall begin with c->first.
 * False: the client was refused or is gone, and all records of that are written.
 */
_must_check_ bool transparent_serve(struct conn *c) _suspends_;

#endif
