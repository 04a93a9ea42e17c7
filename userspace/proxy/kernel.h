/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel refused before the proxy saw it (datagrams, kinds of sockets, options): into the
 * audit and the summary.
 */
#ifndef NONO_PROXY_KERNEL_H
#define NONO_PROXY_KERNEL_H

#include "proxy/server.h"

struct kernel_watch;

/* Follows the ring of events. 0 or -errno. */
_must_check_ int kernel_watch_start(struct server *s, int ring_map, struct kernel_watch **ret);

/* Reads what is left; the coroutine ends by itself. NULL is fine, here and below. */
void kernel_watch_stop(struct kernel_watch *k);

/* After the loop has ended. */
void kernel_watch_free(struct kernel_watch *k);

#endif
