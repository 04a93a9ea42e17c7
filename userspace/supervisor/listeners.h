/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's listeners in the network namespace that the caller is in. */
#ifndef NONO_SUPERVISOR_LISTENERS_H
#define NONO_SUPERVISOR_LISTENERS_H

#include "supervisor/netns.h"

/* Fills the sockets, ports, cookie and local addresses of `ret`; `port` is the explicit listener's
 * (0: the kernel chooses). 0 or -errno and a sentence; then nothing is open. */
_must_check_ int listeners_open(uint16_t port, struct netns *ret, struct why *why);

/* One TCP listener, for `serve`: its address and port come back in `at`. The descriptor, or -errno. */
_must_check_ int listener_open_tcp(struct endpoint *at);

void listeners_close(struct netns *n);

#endif
