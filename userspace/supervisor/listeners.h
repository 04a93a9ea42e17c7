/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's listeners in the network namespace that the caller is in. */
#ifndef NONO_SUPERVISOR_LISTENERS_H
#define NONO_SUPERVISOR_LISTENERS_H

#include "supervisor/netns.h"

/* Fills the sockets, ports, cookie and local addresses of `ret`. 0 or -errno and a sentence; then
 * nothing is open. */
_must_check_ int listeners_open(struct netns *ret, struct why *why);

void listeners_close(struct netns *n);

#endif
