/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What loading needs: exactly CAP_BPF and CAP_NET_ADMIN; and what it says when they are not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/bpf_frame.h"

static char cgroup[256];

/* The bits that stay, of the effective and the permitted set. */
static int keep(uint64_t caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)caps, .permitted = (uint32_t)caps },
		{ .effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32) },
	};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

#define BIT(cap) (1ull << (cap))

static int load_with(uint64_t caps, bool attach_too, const char *expect)
{
	struct redirect *r = NULL;
	char why[300] = "";
	int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), e;

	if (keep(caps) < 0)
		return ANS_BROKEN;
	e = redirect_load(1, &r, why, sizeof(why));
	if (e < 0)
		return expect && strstr(why, expect) ? EACCES : ANS_WRONG;
	if (attach_too) {
		/* The directory of pins belongs to root, who has no capability left to need. */
		e = redirect_attach(r, fd, "/sys/fs/bpf/two", why, sizeof(why));
		if (e < 0 || redirect_mark(r, bpf_frame.tcp4, REDIRECT_TCP) < 0 ||
		    redirect_serve_netns(r, &bpf_frame.netns) < 0) {
			print_error("%s\n", why);
			return ANS_WRONG;
		}
	}
	redirect_free(r);
	return 0;
}

static const char needs[] = "needs root or CAP_BPF and CAP_NET_ADMIN";

static int both(void)
{
	return load_with(BIT(CAP_BPF) | BIT(CAP_NET_ADMIN), true, NULL);
}

static int only_bpf(void)
{
	return load_with(BIT(CAP_BPF), false, needs);
}

static int only_net_admin(void)
{
	return load_with(BIT(CAP_NET_ADMIN), false, needs);
}

static int none(void)
{
	return load_with(0, false, needs);
}

static int tcp4(void)
{
	return bpf_ask_tcp(socket(AF_INET, SOCK_STREAM, 0), EXT4, 443);
}

/* The frame's proxy greets, but knows only its own set of maps. */
static int turned(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 443, &n);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, "nowhere");
}

static int udp4(void)
{
	return bpf_ask_udp(socket(AF_INET, SOCK_DGRAM, 0), EXT4, 9999);
}

static void test_two_capabilities_are_enough(void **state)
{
	(void)state;
	bpf_frame_make_cgroup("two", cgroup, sizeof(cgroup));
	assert_int_equal(bpf_run(both, NULL, 0), 0);
	assert_int_equal(bpf_run(turned, cgroup, 0), ANS_PROXY);
	assert_int_equal(bpf_run(udp4, cgroup, 0), EPERM);
	redirect_unpin("/sys/fs/bpf/two");
	assert_true(bpf_frame_wait_open(cgroup));
	assert_int_equal(bpf_run(tcp4, cgroup, 0), ANS_EXT);
}

static void test_fewer_are_not_and_it_says_so(void **state)
{
	(void)state;
	assert_int_equal(bpf_run(only_bpf, NULL, 0), EACCES);
	assert_int_equal(bpf_run(only_net_admin, NULL, 0), EACCES);
	assert_int_equal(bpf_run(none, NULL, 0), EACCES);
	assert_int_equal(bpf_run(none, NULL, 65534), EACCES);
}

static void test_serving_more_addresses_than_fit(void **state)
{
	struct redirect_netns ns = bpf_frame.netns;

	(void)state;
	ns.local_count = 9;
	assert_int_equal(redirect_serve_netns(bpf_frame.redirect, &ns), -E2BIG);
}

static void test_cookie_of_a_namespace(void **state)
{
	uint64_t a = 0, b = 0;
	int fd = socket(AF_INET, SOCK_STREAM, 0), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(redirect_netns_cookie(bpf_frame.tcp4, &a), 0);
	assert_int_equal(redirect_netns_cookie(fd, &b), 0);
	assert_true(a != 0 && a == b);
	assert_int_equal(redirect_netns_cookie(null, &b), -ENOTSOCK);
	assert_true(a == b);
	(void)close(fd);
	(void)close(null);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_capabilities_are_enough),
		cmocka_unit_test(test_fewer_are_not_and_it_says_so),
		cmocka_unit_test(test_serving_more_addresses_than_fit),
		cmocka_unit_test(test_cookie_of_a_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
