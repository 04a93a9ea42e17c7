/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's listeners: TCP and UDP on the loopback addresses, each on a port that the kernel
 * chooses, because something in the sandbox may hold any fixed one (only the explicit listener's can
 * be asked for). Loopback is the only place that every namespace has and that nobody else reaches.
 */
#include "supervisor/listeners.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "supervisor/files.h"

#define BACKLOG 4096

/* Binds at `at`, whose port may be 0 and comes back. The descriptor, or -errno. */
static int open_one(int type, struct endpoint *at)
{
	struct sockaddr_storage sa;
	socklen_t n = endpoint_to_sockaddr(at, &sa);
	_cleanup_close_ int fd = socket(sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0)
		return -errno;
	if (at->addr.family == 6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return -errno;
	/* A port that somebody was told must be free again as soon as the one who had it has ended. */
	if (type == SOCK_STREAM &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, n) < 0)
		return -errno;
	if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		return -errno;
	n = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return -errno;
	if (!endpoint_from_sockaddr((struct sockaddr *)&sa, at))
		return -EAFNOSUPPORT;
	return take_fd(&fd);
}

int listener_open_tcp(struct endpoint *at)
{
	return open_one(SOCK_STREAM, at);
}

static int open_at(int type, const struct addr *a, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
	struct endpoint at = { *a, port };
	int fd = open_one(type, &at);

	if (fd < 0)
		return fd;
	*ret_port = at.port;
	*ret_fd = fd;
	return 0;
}

/* Both sockets of one family, or none. */
static int open_pair(const struct addr *a, int *tcp, uint16_t *tcp_port, int *dns,
		     uint16_t *dns_port)
{
	int r = open_at(SOCK_STREAM, a, 0, tcp, tcp_port);

	if (r == 0)
		r = open_at(SOCK_DGRAM, a, 0, dns, dns_port);
	if (r < 0) {
		fd_close(tcp);
		*tcp_port = 0;
	}
	return r;
}

static bool is_own_address(const struct addr *a)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (a->family == 4)
		return a->b[0] != 127;
	return memcmp(a->b, loopback6, sizeof(loopback6)) != 0 &&
	       !(a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80); /* needs a zone */
}

/* More than fit are left out: those are then addresses like any other, subject to rules. */
static void collect_local(struct redirect_netns *ns)
{
	struct ifaddrs *all, *i;

	if (getifaddrs(&all) < 0)
		return;
	for (i = all; i && ns->local_count < ARRAY_SIZE(ns->local); i = i->ifa_next) {
		struct endpoint e;

		if (i->ifa_addr && endpoint_from_sockaddr(i->ifa_addr, &e) &&
		    is_own_address(&e.addr))
			ns->local[ns->local_count++] = e.addr;
	}
	freeifaddrs(all);
}

int listeners_open(uint16_t port, struct netns *ret, struct why *why)
{
	struct addr v4 = addr_v4(INADDR_LOOPBACK), v6 = { .family = 6, .b = { [15] = 1 } };
	struct redirect_netns *ns = &ret->serve;
	int r;

	*ns = (struct redirect_netns){ 0 };
	r = open_pair(&v4, &ret->tcp4, &ns->tcp4, &ret->dns4, &ns->dns4);
	if (r < 0)
		return why_set(why, r, "cannot listen on 127.0.0.1 in the sandbox: %s",
			       strerror(-r));
	r = open_pair(&v6, &ret->tcp6, &ns->tcp6, &ret->dns6, &ns->dns6);
	if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT) {
		ns->no_ipv6 = true;
		r = 0;
	}
	if (r < 0) {
		listeners_close(ret);
		return why_set(why, r, "cannot listen on ::1 in the sandbox: %s", strerror(-r));
	}
	r = open_at(SOCK_STREAM, &v4, port, &ret->explicit4, &ns->explicit4);
	if (r < 0) {
		listeners_close(ret);
		return why_set(why, r, "cannot listen on 127.0.0.1:%u in the sandbox: %s", port,
			       strerror(-r));
	}
	r = redirect_netns_cookie(ret->tcp4, &ns->cookie);
	if (r < 0) {
		listeners_close(ret);
		return why_set(
			why, r,
			"cannot learn the number of the network namespace (%s): Linux 6.1 or later "
			"is needed",
			strerror(-r));
	}
	collect_local(ns);
	return 0;
}

void listeners_close(struct netns *n)
{
	fd_close(&n->tcp4);
	fd_close(&n->tcp6);
	fd_close(&n->dns4);
	fd_close(&n->dns6);
	fd_close(&n->explicit4);
}
