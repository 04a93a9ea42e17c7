/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing a port. Where the sandbox shares its network, its listener is on everybody's loopback already, and the programs
 * only have to let strangers in. Otherwise the proxy listens outside; for each connection it needs a socket of the sandbox's
 * namespace, and a socket stays in the namespace in which it was made. So the proxy, which has no right to enter, asks us: we
 * enter, make one, and come back. It is not connected, and we read no byte of what will pass.
 *
 * What the proxy gets cannot leave that namespace, nor even its loopback device, to which the socket is bound: so it does not
 * matter which routes or translations somebody who is powerful inside may have set up. Only who holds CAP_NET_RAW there could
 * bind it anew, and the proxy holds nothing.
 *
 * A proxy that was taken over may ask for ever. It is not listened to for a while when it has asked for too many, and ended if it
 * does not take what it asked for: we never wait for it.
 */
#include "supervisor/publish.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "io/log.h"
#include "supervisor/files.h"
#include "supervisor/listeners.h"

#define LOOPBACK     1 /* its index in every namespace */
#define WINDOW_MS    100
#define WINDOW_MOST  500 /* sockets */
#define FREE_WAIT_MS 1000
#define FREE_LOOK_MS 20

bool publish_clashes(const struct proxy_setup *wanted, const struct redirect_netns *serve)
{
	for (size_t i = 0; i < wanted->publish_count; i++) {
		uint16_t port = wanted->publish[i];

		if (port == serve->tcp4 || port == serve->tcp6 || port == serve->explicit4 ||
		    port == serve->explicit6)
			return true;
	}
	return false;
}

/* ---- outside ---- */

static int publish_shared(const struct proxy_setup *wanted, struct redirect *redirect,
			  struct why *why)
{
	for (size_t i = 0; i < wanted->publish_count; i++) {
		int r = redirect_publish(redirect, wanted->publish[i]);

		if (r < 0)
			return why_set(why, r, "cannot publish port %u: %s", wanted->publish[i],
				       strerror(-r));
	}
	return 0;
}

/* One of us that was killed just now may not have let go of it yet. */
static int open_listener(uint16_t port, struct why *why)
{
	int64_t deadline = now_ms() + FREE_WAIT_MS;
	struct endpoint at = { addr_v4(INADDR_LOOPBACK), port };
	int fd = listener_open_tcp(&at);

	while (fd == -EADDRINUSE && ms_left(deadline) > 0) {
		(void)poll(NULL, 0, FREE_LOOK_MS);
		fd = listener_open_tcp(&at);
	}
	if (fd == -EADDRINUSE)
		return why_set(why, fd,
			       "cannot publish port %u: another program has 127.0.0.1:%u already",
			       port, port);
	if (fd < 0)
		return why_set(why, fd, "cannot publish port %u: cannot listen on 127.0.0.1:%u: %s",
			       port, port, strerror(-fd));
	return fd;
}

static int open_all(const struct proxy_setup *wanted, struct publish *p, struct why *why)
{
	for (size_t i = 0; i < wanted->publish_count; i++) {
		int fd = open_listener(wanted->publish[i], why);

		if (fd < 0)
			return fd;
		p->ports[p->n] = wanted->publish[i];
		p->fds[p->n++] = fd;
	}
	return 0;
}

/* ---- inside ---- */

static int keep_ways(const struct netns *net, struct publish *p, struct why *why)
{
	p->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	p->inside = fcntl(net->fd, F_DUPFD_CLOEXEC, 0);
	return p->home < 0 || p->inside < 0
		       ? why_set(why, -errno, "cannot hold the network namespaces: %s",
				 strerror(errno))
		       : 0;
}

/* In the namespace that we are in. */
static int make_here(uint8_t family)
{
	const int index = LOOPBACK;
	_cleanup_close_ int fd = socket(family == 4 ? AF_INET : AF_INET6,
					SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof(index)) < 0)
		return -errno;
	return take_fd(&fd);
}

static int make_inside(const struct publish *p, uint8_t family)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (setns(p->inside, CLONE_NEWNET) < 0)
		return -errno;
	fd = make_here(family);
	/* Without a way home everything later would happen in the wrong place. */
	if (setns(p->home, CLONE_NEWNET) < 0) {
		log_error("cannot return from the sandbox's network namespace: %s",
			  strerror(errno));
		abort();
	}
	if (fd < 0)
		return fd;
	r = redirect_mark(p->redirect, fd, REDIRECT_FORWARD);
	return r < 0 ? r : take_fd(&fd);
}

/* ---- all of it ---- */

int publish_begin(const struct proxy_setup *wanted, const struct netns *net,
		  struct redirect *redirect, struct publish *ret, struct why *why)
{
	struct publish p = PUBLISH_INIT;
	int r = redirect_publish_none(redirect);

	if (r < 0)
		return why_set(why, r, "cannot take back what was published: %s", strerror(-r));
	if (!wanted->publish_count)
		return 0;
	if (net->fd < 0)
		return publish_shared(wanted, redirect, why);
	p.redirect = redirect;
	r = keep_ways(net, &p, why);
	if (r == 0)
		r = open_all(wanted, &p, why);
	if (r < 0)
		publish_done(&p);
	else
		*ret = p;
	return r;
}

void publish_tell(const struct publish *p, struct proxy_setup *setup)
{
	setup->publish_count = p->n;
	memcpy(setup->publish, p->ports, sizeof(p->ports));
	memcpy(setup->publish_fds, p->fds, sizeof(p->fds));
}

void publish_hand_over(struct publish *p)
{
	while (p->n)
		fd_close(&p->fds[--p->n]);
}

void publish_done(struct publish *p)
{
	publish_hand_over(p);
	fd_close(&p->inside);
	fd_close(&p->home);
}

/* ---- the proxy asks ---- */

static void count(struct publish *p)
{
	int64_t now = now_ms();

	if (now - p->window >= WINDOW_MS) {
		p->window = now;
		p->made = 0;
	}
	p->made++;
}

int publish_pause_ms(const struct publish *p)
{
	return p->made < WINDOW_MOST ? 0 : ms_left(p->window + WINDOW_MS);
}

int publish_answer(struct publish *p, const struct message *m, int channel)
{
	_cleanup_buf_ struct buf body = BUF_INIT(8);
	_cleanup_close_ int fd = -EBADF;
	struct socket_wanted w;
	int r = socket_wanted_get(m, &w);

	if (r < 0)
		return r;
	if (p->inside < 0)
		return -EPROTO;
	count(p);
	fd = make_inside(p, w.family);
	r = socket_note_put(&body, &(struct socket_note){ w.number, fd < 0 ? -fd : 0 });
	if (r < 0)
		return r;
	r = channel_try_send(channel, MSG_SOCKET, buf_str(&body), &fd, fd >= 0);
	return r == -EPIPE ? 0 : r; /* its end is seen elsewhere */
}
