/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of the sandbox that programs outside may connect to. See publish.c.
 */
#ifndef NONO_SUPERVISOR_PUBLISH_H
#define NONO_SUPERVISOR_PUBLISH_H

#include "ipc/setup.h"
#include "supervisor/netns.h"

struct publish {
	/* Listeners outside, at 127.0.0.1. None in a network that is shared. */
	uint16_t ports[PUBLISH_MAX];
	int fds[PUBLISH_MAX];
	size_t n;
	int inside,
		home; /* network namespaces: the sandbox's, ours; -EBADF: nothing is forwarded */
	struct redirect *redirect; /* borrowed */
	int64_t window;		   /* when it began */
	unsigned int made;	   /* sockets since then */
};

#define PUBLISH_INIT                             \
	{                                        \
		.inside = -EBADF, .home = -EBADF \
	}

/* Would the sandbox find the proxy at one of the ports that are to be published? */
bool publish_clashes(const struct proxy_setup *wanted, const struct redirect_netns *serve);

/*
 * Publishes the ports of `wanted`, and no others any more: by the programs' map where the network is shared with the host
 * (net->fd is none), else by listeners outside. 0, or -errno and a sentence (-EADDRINUSE: another program has a port).
 */
_must_check_ int publish_begin(const struct proxy_setup *wanted, const struct netns *net,
			       struct redirect *redirect, struct publish *ret, struct why *why);

/* What the proxy is told of it. */
void publish_tell(const struct publish *p, struct proxy_setup *setup);

/* The listeners are the proxy's from now on: they must die with it. */
void publish_hand_over(struct publish *p);

/* Answers MSG_SOCKET_WANTED. 0; -errno: the proxy does not do as it should. */
_must_check_ int publish_answer(struct publish *p, const struct message *m, int channel);

/* How long the proxy must not be listened to, in ms; 0: it may. */
int publish_pause_ms(const struct publish *p);

void publish_done(struct publish *p);

#endif
