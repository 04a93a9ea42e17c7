/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/diag.h"

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sched.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "io/log.h"
#include "supervisor/files.h"

#define ANSWER_MAX 65536
#define BOTH_WAYS  3 /* RCV_SHUTDOWN, SEND_SHUTDOWN */

int diag_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct timeval limit = { .tv_sec = 5 };

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

int diag_open_in(int ns)
{
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd;

	if (ns < 0)
		return diag_open();
	if (home < 0 || setns(ns, CLONE_NEWNET) < 0)
		return -errno;
	fd = diag_open();
	if (setns(home, CLONE_NEWNET) < 0) {
		log_error("cannot return from the other network namespace: %s", strerror(errno));
		abort();
	}
	return fd;
}

static int ask(int fd, uint16_t type, uint16_t flags, const struct inet_diag_req_v2 *req)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} message = { .head = { .nlmsg_len = sizeof(message),
				.nlmsg_type = type,
				.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		      .req = *req };

	return send(fd, &message, sizeof(message), 0) == (ssize_t)sizeof(message) ? 0 : -errno;
}

static struct endpoint endpoint_of(uint8_t family, const __be32 *address, __be16 port)
{
	struct endpoint e = { .addr.family = family == AF_INET ? 4 : 6, .port = ntohs(port) };

	memcpy(e.addr.b, address, family == AF_INET ? 4 : 16);
	return e;
}

static void read_one(const struct nlmsghdr *h, uint8_t protocol, struct diag_socket *ret)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));

	*ret = (struct diag_socket){
		.inode = m->idiag_inode,
		.protocol = protocol,
		.family = m->idiag_family,
		.state = m->idiag_state,
		.cookie = { m->id.idiag_cookie[0], m->id.idiag_cookie[1] },
		.device = m->id.idiag_if,
		.local = endpoint_of(m->idiag_family, m->id.idiag_src, m->id.idiag_sport),
		.remote = endpoint_of(m->idiag_family, m->id.idiag_dst, m->id.idiag_dport),
	};
	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == INET_DIAG_CGROUP_ID && RTA_PAYLOAD(a) >= sizeof(ret->cgroup))
			memcpy(&ret->cgroup, RTA_DATA(a), sizeof(ret->cgroup));
}

/* 1: there is more. 0: that was all. -errno. */
static int read_answer(const uint8_t *p, size_t n, uint8_t protocol,
		       int (*fn)(void *arg, const struct diag_socket *s), void *arg)
{
	const struct nlmsghdr *h = (const void *)p;

	for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		struct diag_socket s;
		int r;

		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
		if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		    h->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			continue;
		read_one(h, protocol, &s);
		r = fn(arg, &s);
		if (r < 0)
			return r;
	}
	return 1;
}

static int dump(int fd, uint8_t family, uint8_t protocol,
		int (*fn)(void *arg, const struct diag_socket *s), void *arg)
{
	const struct inet_diag_req_v2 req = { .sdiag_family = family,
					      .sdiag_protocol = protocol,
					      .idiag_states = ~0U };
	_cleanup_free_ uint8_t *answer = malloc(ANSWER_MAX);
	int r = answer ? ask(fd, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &req) : -ENOMEM;

	while (r == 0) {
		ssize_t n = recv(fd, answer, ANSWER_MAX, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		r = read_answer(answer, (size_t)n, protocol, fn, arg);
		if (r <= 0)
			return r;
		r = 0;
	}
	return r;
}

int diag_each(int fd, int (*fn)(void *arg, const struct diag_socket *s), void *arg)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE,
					     IPPROTO_RAW };
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		for (size_t k = 0; k < ARRAY_SIZE(families); k++) {
			int r = dump(fd, families[k], protocols[i], fn, arg);

			/* What the kernel cannot list has these answers. */
			if (r < 0 && r != -ENOENT && r != -EINVAL && r != -EPROTONOSUPPORT &&
			    r != -EOPNOTSUPP)
				return r;
		}
	return 0;
}

static void put_address(const struct endpoint *e, __be32 *address, __be16 *port)
{
	memcpy(address, e->addr.b, e->addr.family == 4 ? 4 : 16);
	*port = htons(e->port);
}

int diag_destroy(int fd, const struct diag_socket *s)
{
	struct inet_diag_req_v2 req = { .sdiag_family = s->family,
					.sdiag_protocol = s->protocol,
					.idiag_states = ~0U };
	uint8_t answer[1024];
	ssize_t n;
	int r;

	put_address(&s->local, req.id.idiag_src, &req.id.idiag_sport);
	put_address(&s->remote, req.id.idiag_dst, &req.id.idiag_dport);
	req.id.idiag_if = s->device;
	req.id.idiag_cookie[0] = s->cookie[0];
	req.id.idiag_cookie[1] = s->cookie[1];
	r = ask(fd, SOCK_DESTROY, NLM_F_ACK, &req);
	if (r < 0)
		return r;
	do
		n = recv(fd, answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r = read_answer(answer, (size_t)n, 0, NULL, NULL);
	return r < 0 ? r : 0;
}

/* An end that has been closed has no inode either, but then this one is shut down. */
static struct diag_peer read_peer(const struct nlmsghdr *h)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));
	struct diag_peer p = { 0 };
	uint32_t inode;
	uint8_t down = 0;

	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(a) >= sizeof(inode)) {
			memcpy(&inode, RTA_DATA(a), sizeof(inode));
			p = (struct diag_peer){ true, inode };
		} else if (a->rta_type == UNIX_DIAG_SHUTDOWN && RTA_PAYLOAD(a) >= sizeof(down)) {
			memcpy(&down, RTA_DATA(a), sizeof(down));
		}
	if (p.inode == 0 && down == BOTH_WAYS)
		p.connected = false;
	return p;
}

int diag_unix_peer(int fd, uint64_t inode, struct diag_peer *ret)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} message = { .head = { .nlmsg_len = sizeof(message),
				.nlmsg_type = SOCK_DIAG_BY_FAMILY,
				.nlmsg_flags = NLM_F_REQUEST },
		      .req = { .sdiag_family = AF_UNIX,
			       .udiag_states = ~0U,
			       .udiag_ino = (uint32_t)inode,
			       .udiag_show = UDIAG_SHOW_PEER,
			       .udiag_cookie = { ~0U, ~0U } } };
	union {
		struct nlmsghdr head;
		uint8_t bytes[4096];
	} answer;
	ssize_t n;

	if (send(fd, &message, sizeof(message), 0) != (ssize_t)sizeof(message))
		return -errno;
	do
		n = recv(fd, &answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(&answer.head, (size_t)n))
		return -EIO;
	if (answer.head.nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)NLMSG_DATA(&answer.head))->error;
	if (answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer.head.nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
		return -EIO;
	*ret = read_peer(&answer.head);
	return 0;
}
