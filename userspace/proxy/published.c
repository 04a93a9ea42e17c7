/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way in: a client outside, and a server of the sandbox on its loopback. The socket towards the server is one of the
 * sandbox's network, so whatever it is connected to, it is in there; no rule is asked, because nothing leaves but answers to who
 * asked for them.
 *
 * A server listens on 127.0.0.1, on ::1, or on both; we cannot know, and try them in this order. On one machine a refusal comes
 * at once, so there is no race.
 */
#include "proxy/published.h"

#include <errno.h>

#include "proxy/dial.h"

/* One address. 0, and then c->up is connected; -errno. */
static int try_address(struct conn *c, const struct addr *a, nsec_t deadline)
{
	const struct endpoint to = { *a, c->port };
	struct server *s = c->server;
	int fd = s->socket_inside(s, a->family, deadline), r;

	if (fd < 0)
		return fd;
	r = io_connect_socket(fd, &to, deadline);
	if (r < 0) {
		loop_close(s->loop, &fd);
		return r;
	}
	c->up = fd;
	c->dialled = *a;
	return 0;
}

static enum reason reach(struct conn *c)
{
	const struct addr v4 = addr_v4(INADDR_LOOPBACK), v6 = { .family = 6, .b = { [15] = 1 } };
	nsec_t deadline = loop_now(c->server->loop) + c->server->limits.connect;
	int r = try_address(c, &v4, deadline);

	/* Where there is no IPv6 the first answer says more. */
	if (r < 0 && r != -ECANCELED && r != -ETIME && try_address(c, &v6, deadline) == 0)
		r = 0;
	return r < 0 ? dial_failure(r) : REASON_NONE;
}

bool published_serve(struct conn *c)
{
	enum reason reason;

	c->port = c->published->port;
	conn_set_target(c, PUBLISHED_TARGET, &c->published->rule);
	reason = reach(c);
	if (!reason && !conn_open_record(c))
		reason = REASON_AUDIT_FAILED;
	if (reason)
		conn_refusal_record(c, reason);
	return !reason;
}
