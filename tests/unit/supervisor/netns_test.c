/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's network namespace, looked at from within: what stands there, and that nothing else
 * does. Root needed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/netns.h"

struct fixture {
	struct netns netns;
	int home;
};

static bool same_namespace(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino;
}

static int setup(void **state)
{
	static struct fixture f;
	struct why why = { "" };

	f = (struct fixture){ .netns = NETNS_INIT, .home = -EBADF };
	*state = &f;
	if (geteuid() != 0)
		return 0;
	f.home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns_make_private(0, &f.netns, &why) < 0) {
		print_error("%s\n", why.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->home >= 0)
		(void)setns(f->home, CLONE_NEWNET);
	fd_close(&f->home);
	netns_done(&f->netns);
	return 0;
}

static struct fixture *need_root(void **state)
{
	struct fixture *f = *state;

	if (f->netns.fd < 0) {
		print_message("SKIP: needs root\n");
		skip();
	}
	return f;
}

static void enter(const struct fixture *f)
{
	assert_int_equal(setns(f->netns.fd, CLONE_NEWNET), 0);
}

static void leave(const struct fixture *f)
{
	assert_int_equal(setns(f->home, CLONE_NEWNET), 0);
}

static void test_netns_we_are_home_again(void **state)
{
	struct fixture *f = need_root(state);
	_cleanup_close_ int now = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;

	assert_true(same_namespace(now, f->home));
	assert_false(same_namespace(f->netns.fd, f->home));
	assert_int_equal(redirect_netns_cookie(s, &cookie), 0);
	assert_true(cookie != f->netns.serve.cookie);
	assert_true(f->netns.serve.cookie != 0);
}

/* Every address there is: as "device address". */
static bool has_address(const char *device, int family, const char *text)
{
	struct ifaddrs *all, *i;
	bool found = false;
	uint8_t want[16];

	assert_int_equal(inet_pton(family, text, want), 1);
	assert_int_equal(getifaddrs(&all), 0);
	for (i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != family || strcmp(i->ifa_name, device))
			continue;
		if (family == AF_INET)
			found |= !memcmp(&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr,
					 want, 4);
		else
			found |= !memcmp(&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr,
					 want, 16);
	}
	freeifaddrs(all);
	return found;
}

static bool is_up(const char *device)
{
	_cleanup_close_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq q = { 0 };

	(void)snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", device);
	return ioctl(s, SIOCGIFFLAGS, &q) == 0 && (q.ifr_flags & IFF_UP) &&
	       (q.ifr_flags & IFF_RUNNING);
}

static void test_netns_furniture(void **state)
{
	struct fixture *f = need_root(state);
	bool lo, v4, v6, up;

	enter(f);
	lo = is_up("lo") && has_address("lo", AF_INET, "127.0.0.1");
	v4 = has_address("eth0", AF_INET, NETNS_DNS_V4);
	v6 = has_address("eth0", AF_INET6, "fd00:6e6f:6e6f::2");
	up = is_up("eth0");
	leave(f);
	assert_true(lo);
	assert_true(v4);
	assert_true(v6);
	assert_true(up);
	assert_true(f->netns.serve.local_count >= 2);
}

/* "Which address would I have?" The answer needs a default route. */
static bool routed_from(int family, const char *to, const char *from)
{
	_cleanup_close_ int s = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_storage mine;
	socklen_t n = sizeof(mine);
	char text[INET6_ADDRSTRLEN];

	if (family == AF_INET) {
		(void)inet_pton(family, to, &a4.sin_addr);
		if (connect(s, (struct sockaddr *)&a4, sizeof(a4)) < 0)
			return false;
	} else {
		(void)inet_pton(family, to, &a6.sin6_addr);
		if (connect(s, (struct sockaddr *)&a6, sizeof(a6)) < 0)
			return false;
	}
	(void)getsockname(s, (struct sockaddr *)&mine, &n);
	if (family == AF_INET)
		(void)inet_ntop(family, &((struct sockaddr_in *)&mine)->sin_addr, text,
				sizeof(text));
	else
		(void)inet_ntop(family, &((struct sockaddr_in6 *)&mine)->sin6_addr, text,
				sizeof(text));
	return strcmp(text, from) == 0;
}

static void test_netns_default_routes(void **state)
{
	struct fixture *f = need_root(state);
	bool v4, v6;

	enter(f);
	v4 = routed_from(AF_INET, "198.51.100.7", NETNS_DNS_V4);
	v6 = routed_from(AF_INET6, "2001:db8::7", "fd00:6e6f:6e6f::2");
	leave(f);
	assert_true(v4);
	assert_true(v6);
}

/* Three devices: lo and the two ends. Nothing that leads out. */
static void test_netns_no_other_device(void **state)
{
	struct fixture *f = need_root(state);
	struct if_nameindex *all, *i;
	size_t known = 0, other = 0;

	enter(f);
	all = if_nameindex();
	leave(f);
	assert_non_null(all);
	for (i = all; i->if_index; i++)
		if (!strcmp(i->if_name, "lo") || !strcmp(i->if_name, "eth0") ||
		    !strcmp(i->if_name, "eth0-end"))
			known++;
		else if (strncmp(i->if_name, "ifb", 3) && strcmp(i->if_name, "sit0") &&
			 strcmp(i->if_name, "tunl0")) /* made by modules in every namespace, down */
			other++;
	if_freenameindex(all);
	assert_int_equal(known, 3);
	assert_int_equal(other, 0);
}

/* Inside they answer, outside they do not: the sockets live there. */
static void test_netns_listeners(void **state)
{
	struct fixture *f = need_root(state);
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(f->netns.serve.tcp4),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(f->netns.serve.tcp6),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	_cleanup_close_ int inside4 = -EBADF, inside6 = -EBADF, got4 = -EBADF, got6 = -EBADF;
	int r4, r6, before;

	assert_true(f->netns.serve.tcp4 && f->netns.serve.dns4);
	assert_true(f->netns.serve.tcp6 && f->netns.serve.dns6);
	assert_false(f->netns.serve.no_ipv6);
	before = accept4(f->netns.tcp4, NULL, NULL, SOCK_CLOEXEC);
	assert_true(before < 0 && errno == EAGAIN); /* non-blocking */
	enter(f);
	inside4 = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inside6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	leave(f);
	r4 = connect(inside4, (struct sockaddr *)&to, sizeof(to));
	r6 = connect(inside6, (struct sockaddr *)&to6, sizeof(to6));
	got4 = accept4(f->netns.tcp4, NULL, NULL, SOCK_CLOEXEC);
	got6 = accept4(f->netns.tcp6, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(r4, 0);
	assert_int_equal(r6, 0);
	assert_true(got4 >= 0);
	assert_true(got6 >= 0);
}

static void test_netns_host_listeners(void **state)
{
	struct netns n = NETNS_INIT;
	struct why why;
	_cleanup_close_ int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;

	(void)state;
	assert_int_equal(netns_use_host(0, &n, &why), 0);
	assert_int_equal(redirect_netns_cookie(s, &cookie), 0);
	assert_int_equal(n.fd, -EBADF);
	assert_true(n.serve.cookie == cookie);
	assert_true(n.serve.tcp4 != 0 && n.serve.dns4 != 0);
	assert_true(n.serve.local_count <= 8);
	for (size_t i = 0; i < n.serve.local_count; i++)
		assert_true(n.serve.local[i].family != 4 || n.serve.local[i].b[0] != 127);
	netns_done(&n);
	assert_int_equal(n.tcp4, -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_netns_we_are_home_again),
		cmocka_unit_test(test_netns_furniture),
		cmocka_unit_test(test_netns_default_routes),
		cmocka_unit_test(test_netns_no_other_device),
		cmocka_unit_test(test_netns_listeners),
		cmocka_unit_test(test_netns_host_listeners),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
