/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's network namespace. It has no way out: the only devices are `lo` and a veth pair of
 * which both ends are inside. The pair is for the eyes of programs that ask whether they are online
 * (an interface that is up, an address that is not loopback, a default route); it leads nowhere,
 * and a packet that goes there is refused by the egress program, because it is not `lo`.
 *
 * We enter the new namespace, furnish it, open the proxy's listeners, and go back: the sockets stay
 * there and keep working for whoever holds them.
 */
#include "supervisor/netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "io/log.h"
#include "supervisor/files.h"
#include "supervisor/listeners.h"
#include "supervisor/rtnl.h"

#define DEVICE	 "eth0"
#define LOOPBACK 1 /* its index in every namespace */
#define PEER	 "eth0-end"

static const struct addr address_v4 = { .family = 4, .b = { 198, 18, 0, 2 } };
static const struct addr address_v6 = { .family = 6,
					.b = { 0xfd, 0, 0x6e, 0x6f, 0x6e, 0x6f, [15] = 2 } };

/* The host may have switched IPv6 off for new namespaces; it goes nowhere here, and programs are
 * happier with it. */
static void allow_ipv6(void)
{
	(void)!file_write(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
	(void)!file_write(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "0");
}

/* A device that is up; 0 if the kernel has none of the kinds. */
static unsigned int make_device(int rtnl)
{
	static const char *const kinds[] = { "veth", "ifb", "bridge", "dummy" };
	unsigned int index, peer;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		bool pair = i == 0;

		if (rtnl_add_device(rtnl, kinds[i], DEVICE, pair ? PEER : NULL) < 0)
			continue;
		index = if_nametoindex(DEVICE);
		peer = pair ? if_nametoindex(PEER) : 0;
		if (pair && rtnl_up(rtnl, peer) < 0)
			log_debug("the far end of the sandbox's device stays down");
		if (index && rtnl_up(rtnl, index) == 0)
			return index;
	}
	return 0;
}

static void furnish(int rtnl)
{
	unsigned int index = make_device(rtnl);
	bool device = index != 0;

	if (!device)
		index = LOOPBACK;
	if (rtnl_add_address(rtnl, index, &address_v4, device ? 30 : 32) < 0)
		log_debug("the sandbox has no IPv4 address besides loopback");
	if (rtnl_add_address(rtnl, index, &address_v6, device ? 64 : 128) < 0)
		log_debug("the sandbox has no IPv6 address besides loopback");
	/* Never over `lo`: what is not redirected would arrive nowhere instead of being refused. */
	if (device && (rtnl_add_default_route(rtnl, index, 4) < 0 ||
		       rtnl_add_default_route(rtnl, index, 6) < 0))
		log_debug("the sandbox has no default route");
}

/* Called inside. Only `lo` and the listeners must work. */
static int fill(uint16_t port, struct netns *ret, struct why *why)
{
	_cleanup_close_ int rtnl = rtnl_open();
	int r;

	if (rtnl < 0)
		return why_set(why, rtnl, "cannot use rtnetlink: %s", strerror(-rtnl));
	allow_ipv6();
	r = rtnl_up(rtnl, LOOPBACK);
	if (r < 0)
		return why_set(why, r, "cannot switch on lo in the sandbox: %s", strerror(-r));
	furnish(rtnl);
	ret->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ret->fd < 0)
		return why_set(why, -errno, "cannot open the new network namespace: %s",
			       strerror(errno));
	return listeners_open(port, ret, why);
}

int netns_make_private(uint16_t port, struct netns *ret, struct why *why)
{
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	struct netns made = NETNS_INIT;
	int r;

	if (home < 0)
		return why_set(why, -errno, "cannot open /proc/thread-self/ns/net: %s",
			       strerror(errno));
	if (unshare(CLONE_NEWNET) < 0)
		return why_set(why, -errno, "cannot make a network namespace: %s", strerror(errno));
	r = fill(port, &made, why);
	/* Without a way home every later step would happen in the wrong place. */
	if (setns(home, CLONE_NEWNET) < 0) {
		log_error("cannot return from the sandbox's network namespace: %s",
			  strerror(errno));
		abort();
	}
	if (r < 0) {
		netns_done(&made);
		return r;
	}
	*ret = made;
	return 0;
}

int netns_use_host(uint16_t port, struct netns *ret, struct why *why)
{
	struct netns made = NETNS_INIT;
	int r = listeners_open(port, &made, why);

	if (r == 0)
		*ret = made;
	return r;
}

/* Of the namespace that we are in. */
static bool loopback_is_up(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo" };

	return fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_UP);
}

static int listen_there(uint16_t port, struct netns *ret, struct why *why)
{
	if (!loopback_is_up())
		return why_set(why, -ENETDOWN,
			       "the loopback device of the network namespace is switched off: "
			       "switch it on there "
			       "(ip link set lo up)");
	return listeners_open(port, ret, why);
}

int netns_use_other(int ns, uint16_t port, struct netns *ret, struct why *why)
{
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	struct netns made = NETNS_INIT;
	int r;

	if (home < 0)
		return why_set(why, -errno, "cannot open /proc/thread-self/ns/net: %s",
			       strerror(errno));
	if (setns(ns, CLONE_NEWNET) < 0)
		return why_set(why, -errno, "cannot enter the network namespace: %s",
			       strerror(errno));
	r = listen_there(port, &made, why);
	/* As above. */
	if (setns(home, CLONE_NEWNET) < 0) {
		log_error("cannot return from the other network namespace: %s", strerror(errno));
		abort();
	}
	if (r < 0)
		return r;
	made.fd = ns;
	*ret = made;
	return 0;
}

void netns_done(struct netns *n)
{
	listeners_close(n);
	fd_close(&n->fd);
}
