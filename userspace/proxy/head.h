/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving a head of HTTP, a request's or an answer's. */
#ifndef NONO_PROXY_HEAD_H
#define NONO_PROXY_HEAD_H

#include "io/verbs.h"

/*
 * Receives until there is something new for a parser that begins anew each time: first bytes, another line, or a line that is too
 * long. So a head that comes byte by byte costs a parse per line. As io_recv_buf().
 */
ssize_t head_receive(int fd, struct buf *b, nsec_t deadline) _suspends_;

#endif
