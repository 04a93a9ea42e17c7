/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network namespace of one sandbox: made, furnished, and the proxy's listeners opened inside it
 * by us, who stay outside.
 */
#ifndef NONO_SUPERVISOR_NETNS_H
#define NONO_SUPERVISOR_NETNS_H

#include "redirect/redirect.h"
#include "supervisor/why.h"

#define NETNS_DNS_V4 "198.18.0.2" /* the one address besides loopback: what resolv.conf names */

struct netns {
	int fd;			    /* -EBADF: the host's own */
	int tcp4, tcp6, dns4, dns6; /* listeners; no v6 ones where ::1 does not exist */
	int explicit4;		    /* 127.0.0.1: what NONO_PROXY_URL names */
	struct redirect_netns serve;
};

#define NETNS_INIT                                                                            \
	{                                                                                     \
		.fd = -EBADF, .tcp4 = -EBADF, .tcp6 = -EBADF, .dns4 = -EBADF, .dns6 = -EBADF, \
		.explicit4 = -EBADF                                                           \
	}

/* A namespace without a way out, and the listeners in it; `port` is the explicit one's (0: the
 * kernel chooses). 0 or -errno and a sentence. We are back in our own in any case. */
_must_check_ int netns_make_private(uint16_t port, struct netns *ret, struct why *why);

/* The listeners in the namespace we are in. */
_must_check_ int netns_use_host(uint16_t port, struct netns *ret, struct why *why);

/*
 * The listeners in somebody else's namespace, which `ns` names: entered, and left again. `ns` becomes ret->fd on success and
 * stays the caller's otherwise.
 */
_must_check_ int netns_use_other(int ns, uint16_t port, struct netns *ret, struct why *why);

void netns_done(struct netns *n);

#endif
