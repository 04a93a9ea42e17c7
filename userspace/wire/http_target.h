/* SPDX-License-Identifier: Apache-2.0 */
/* The target of a request (RFC 9112 3.2): a part of the reader of heads. */
#ifndef NONO_WIRE_HTTP_TARGET_H
#define NONO_WIRE_HTTP_TARGET_H

#include "wire/http_head.h"

/*
 * From the method and the target of `h`, which are a token and visible ASCII, makes its form,
 * scheme, authority and path. NULL, or a static text that says why the target is refused.
 */
const char *http_target_take(struct http_head *h);

#endif
