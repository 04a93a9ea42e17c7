/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The five things that we ask of rtnetlink: make a device, switch it on, give it an address, route
 * over it. Each call is one request and its answer, in the network namespace in which the socket
 * was opened.
 */
#ifndef NONO_SUPERVISOR_RTNL_H
#define NONO_SUPERVISOR_RTNL_H

#include "wire/addr.h"

/* The socket, or -errno. */
_must_check_ int rtnl_open(void);

/* A device of this kind; `peer` is the name of a veth's other end, NULL for other kinds. 0 or
 * -errno, like all below. */
_must_check_ int rtnl_add_device(int fd, const char *kind, const char *name, const char *peer);

_must_check_ int rtnl_up(int fd, unsigned int index);

/* IPv6 addresses are usable at once: nobody else can have them. */
_must_check_ int rtnl_add_address(int fd, unsigned int index, const struct addr *a,
				  uint8_t prefix_len);

/* A default route over the device, without a gateway. `family` is 4 or 6. */
_must_check_ int rtnl_add_default_route(int fd, unsigned int index, uint8_t family);

#endif
