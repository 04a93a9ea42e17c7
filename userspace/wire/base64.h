/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648 4), strict: padding required, no blanks, no bits left over. */
#ifndef NONO_WIRE_BASE64_H
#define NONO_WIRE_BASE64_H

#include "base/buf.h"
#include "base/str.h"

/* The length of the decoded bytes, or -EBADMSG / -ENOSPC. */
ssize_t base64_decode(struct str s, uint8_t *out, size_t cap);
_must_check_ int base64_encode(struct buf *out, const void *p, size_t n);

#endif
