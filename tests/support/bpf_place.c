/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/bpf_place.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/bpf_servers.h"

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	(void)fflush(stdout);
	_exit(99);
}

static void shell(const char *command)
{
	if (system(command) != 0)
		die(command);
}

void bpf_place_enter(const struct bpf_place *p)
{
	if (setns(p->ns, CLONE_NEWNET) < 0)
		die("setns");
}

void bpf_place_leave(void)
{
	if (setns(bpf_frame.ctr_ns, CLONE_NEWNET) < 0)
		die("setns");
}

void bpf_place_make(struct bpf_place *p, bool no_ipv6)
{
	*p = (struct bpf_place){ .tcp4 = -1, .tcp6 = -1, .dns4 = -1, .dns6 = -1, .explicit4 = -1 };
	p->netns.no_ipv6 = no_ipv6;
	if (unshare(CLONE_NEWNET) < 0)
		die("unshare");
	p->ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (p->ns < 0)
		die("/proc/self/ns/net");
	if (no_ipv6)
		shell("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
	shell("echo 1543 > /proc/sys/net/ipv4/tcp_fastopen && ip link set lo up");
	bpf_place_leave();
}

/* Only the proxy holds them: they die with it. */
static void close_listeners(struct bpf_place *p)
{
	int *const all[] = { &p->tcp4, &p->tcp6, &p->dns4, &p->dns6, &p->explicit4 };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (*all[i] >= 0)
			(void)close(*all[i]);
		*all[i] = -1;
	}
}

static struct bpf_place *served;

static void serve(void)
{
	bpf_frame.tcp4 = served->tcp4;
	bpf_frame.dns4 = served->dns4;
	bpf_frame.explicit4 = served->explicit4;
	/* Without IPv6 these are second descriptors of the others: the server wants all of them. */
	bpf_frame.tcp6 = served->tcp6 >= 0 ? served->tcp6 : dup(served->tcp4);
	bpf_frame.dns6 = served->dns6 >= 0 ? served->dns6 : dup(served->dns4);
	bpf_frame.netns = served->netns;
	bpf_serve_proxy();
}

void bpf_place_serve(struct bpf_place *p)
{
	bool six = !p->netns.no_ipv6;

	bpf_place_enter(p);
	p->tcp4 = bpf_listen(SOCK_STREAM, "127.0.0.1", 0);
	p->dns4 = bpf_listen(SOCK_DGRAM, "127.0.0.1", 0);
	p->explicit4 = bpf_listen(SOCK_STREAM, "127.0.0.1", 0);
	if (six) {
		p->tcp6 = bpf_listen(SOCK_STREAM, "::1", 0);
		p->dns6 = bpf_listen(SOCK_DGRAM, "::1", 0);
	}
	bpf_place_leave();
	if (bpf_frame_serve(bpf_frame.redirect, &p->netns,
			    (const int[]){ p->tcp4, p->tcp6, p->dns4, p->dns6, p->explicit4 }) < 0)
		die("listeners in another namespace");
	served = p;
	p->proxy = bpf_start(serve, NULL);
	close_listeners(p);
}

int bpf_place_run(const struct bpf_place *p, int (*fn)(void), const char *cgroup, uid_t uid)
{
	int r;

	bpf_place_enter(p);
	r = bpf_run(fn, cgroup, uid);
	bpf_place_leave();
	return r;
}

void bpf_place_end(struct bpf_place *p)
{
	if (p->proxy)
		bpf_stop(p->proxy);
	close_listeners(p);
	(void)close(p->ns);
}
