/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink without a library: requests are a few dozen bytes, built in one buffer of fixed size.
 * An attribute that does not fit marks the request as too long, and sending it fails.
 */
#include "supervisor/rtnl.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/time.h>

#include "supervisor/files.h"

struct request {
	_Alignas(NLMSG_ALIGNTO) struct nlmsghdr h;
	uint8_t body[512];
	bool too_long;
};

static void *append(struct request *q, size_t n)
{
	uint8_t *p = (uint8_t *)&q->h + NLMSG_ALIGN(q->h.nlmsg_len);

	if ((size_t)(q->body + sizeof(q->body) - p) < NLMSG_ALIGN(n)) {
		q->too_long = true;
		return NULL;
	}
	q->h.nlmsg_len = (uint32_t)(p - (uint8_t *)&q->h) + (uint32_t)n;
	return p;
}

static void begin(struct request *q, uint16_t type, uint16_t flags, const void *head, size_t n)
{
	void *p;

	memset(q, 0, sizeof(*q));
	q->h.nlmsg_len = NLMSG_LENGTH(0);
	q->h.nlmsg_type = type;
	q->h.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	p = append(q, n);
	if (p)
		memcpy(p, head, n);
}

static struct rtattr *put(struct request *q, uint16_t type, const void *data, size_t n)
{
	struct rtattr *a = append(q, RTA_LENGTH(n));

	if (!a)
		return NULL;
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), data, n);
	return a;
}

static void put_text(struct request *q, uint16_t type, const char *text)
{
	(void)put(q, type, text, strlen(text) + 1);
}

/* Ends an attribute that holds what was appended since. */
static void close_nest(struct request *q, struct rtattr *a)
{
	if (a)
		a->rta_len = (uint16_t)((uint8_t *)&q->h + q->h.nlmsg_len - (uint8_t *)a);
}

static int ask(int fd, const struct request *q)
{
	_Alignas(NLMSG_ALIGNTO) uint8_t answer[4096];
	const struct nlmsghdr *h = (const void *)answer;
	struct nlmsgerr e;
	ssize_t n;

	if (q->too_long)
		return -EMSGSIZE;
	if (send(fd, &q->h, q->h.nlmsg_len, 0) < 0)
		return -errno;
	do
		n = recv(fd, answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(e)) || h->nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	memcpy(&e, NLMSG_DATA(h), sizeof(e));
	return e.error;
}

int rtnl_open(void)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct timeval limit = { .tv_sec = 5 };

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return take_fd(&fd);
}

int rtnl_add_device(int fd, const char *kind, const char *name, const char *peer)
{
	struct ifinfomsg none = { .ifi_family = AF_UNSPEC };
	struct rtattr *info, *data, *other;
	struct request q;

	begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &none, sizeof(none));
	put_text(&q, IFLA_IFNAME, name);
	info = put(&q, IFLA_LINKINFO, NULL, 0);
	put_text(&q, IFLA_INFO_KIND, kind);
	if (peer) {
		data = put(&q, IFLA_INFO_DATA, NULL, 0);
		other = put(&q, VETH_INFO_PEER, &none, sizeof(none));
		put_text(&q, IFLA_IFNAME, peer);
		close_nest(&q, other);
		close_nest(&q, data);
	}
	close_nest(&q, info);
	return ask(fd, &q);
}

int rtnl_up(int fd, unsigned int index)
{
	struct ifinfomsg m = { .ifi_family = AF_UNSPEC,
			       .ifi_index = (int)index,
			       .ifi_flags = IFF_UP,
			       .ifi_change = IFF_UP };
	struct request q;

	begin(&q, RTM_NEWLINK, 0, &m, sizeof(m));
	return ask(fd, &q);
}

int rtnl_add_address(int fd, unsigned int index, const struct addr *a, uint8_t prefix_len)
{
	struct ifaddrmsg m = { .ifa_family = a->family == 4 ? AF_INET : AF_INET6,
			       .ifa_prefixlen = prefix_len,
			       .ifa_flags = a->family == 6 ? IFA_F_NODAD : 0,
			       .ifa_index = index };
	size_t n = a->family == 4 ? 4 : 16;
	struct request q;

	begin(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof(m));
	(void)put(&q, IFA_LOCAL, a->b, n);
	(void)put(&q, IFA_ADDRESS, a->b, n);
	return ask(fd, &q);
}

int rtnl_add_default_route(int fd, unsigned int index, uint8_t family)
{
	struct rtmsg m = { .rtm_family = family == 4 ? AF_INET : AF_INET6,
			   .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = RTPROT_STATIC,
			   .rtm_scope = family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
			   .rtm_type = RTN_UNICAST };
	struct request q;

	begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof(m));
	(void)put(&q, RTA_OIF, &index, sizeof(index));
	return ask(fd, &q);
}
