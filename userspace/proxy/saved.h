/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bindings that outlive the proxy: one line "NAME ADDRESS" each, appended before the answer goes out. Whoever takes the
 * sandbox over reads them first, so that addresses which its programs hold still have their names.
 */
#ifndef NONO_PROXY_SAVED_H
#define NONO_PROXY_SAVED_H

#include "policy/bindings.h"

/*
 * Binds what the file says. What does not parse is passed over: a line that was cut when the writer was killed, or anything
 * else. That a name stands there allows nothing; rules decide as ever. -EBADF: nothing happens.
 */
void saved_restore(int fd, struct bindings *b);

/* Appends those of the addresses that are not bound to the name yet: to be called before they are. */
void saved_append(int fd, const struct bindings *b, const char *name, const struct addr *addrs,
		  size_t n);

#endif
