/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clear HTTP on a redirected connection: every request is judged by its own Host, the second of a kept-alive connection as the
 * first.
 */
#ifndef NONO_PROXY_CLEARTEXT_H
#define NONO_PROXY_CLEARTEXT_H

#include "proxy/route.h"

/*
 * `r` is the known route, whose upstream stands in c->up, or NULL: then each request's Host is resolved and dialled, and the
 * address that the client asked for is not. As transparent_serve().
 */
_must_check_ bool cleartext_serve(struct conn *c, const struct route *r) _suspends_;

#endif
