/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failing closed: the proxy gone, somebody else on its port, the loader killed, an attach that
 * cannot be completed; and that removing the pins opens the cgroup again. In this order: later
 * tests use what the earlier ones left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_servers.h"

static int tcp4(void)
{
	return bpf_ask_tcp(socket(AF_INET, SOCK_STREAM, 0), EXT4, 443);
}

static int tcp6(void)
{
	return bpf_ask_tcp(socket(AF_INET6, SOCK_STREAM, 0), EXT6, 443);
}

static int dns4(void)
{
	return bpf_ask_udp(socket(AF_INET, SOCK_DGRAM, 0), EXT4, 53);
}

static int dns4_connect(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 53, &n);

	return bpf_result(connect(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&ss, n));
}

static int udp4(void)
{
	return bpf_ask_udp(socket(AF_INET, SOCK_DGRAM, 0), EXT4, 9999);
}

static int bind_proxys_port(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", bpf_frame.netns.tcp4, &n);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bpf_result(bind(fd, (struct sockaddr *)&ss, n));
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void assert_closed(const char *cgroup)
{
	assert_int_equal(bpf_run(tcp4, cgroup, 0), ECONNREFUSED);
	assert_int_equal(bpf_run(tcp6, cgroup, 65534), ECONNREFUSED);
	assert_int_equal(bpf_run(dns4, cgroup, 0), ECONNREFUSED);
	assert_int_equal(bpf_run(dns4_connect, cgroup, 65534), ECONNREFUSED);
	assert_int_equal(bpf_run(udp4, cgroup, 0), EPERM);
}

static void assert_open(const char *cgroup)
{
	assert_int_equal(bpf_run(tcp4, cgroup, 0), ANS_EXT);
	assert_int_equal(bpf_run(tcp6, cgroup, 65534), ANS_EXT);
	assert_int_equal(bpf_run(dns4, cgroup, 0), ANS_EXT);
	assert_int_equal(bpf_run(udp4, cgroup, 0), ANS_EXT);
}

/* ---- the proxy ---- */

static void close_listeners(void)
{
	int *const all[] = { &bpf_frame.tcp4, &bpf_frame.tcp6, &bpf_frame.dns4, &bpf_frame.dns6,
			     &bpf_frame.explicit4 };

	bpf_stop(bpf_frame.proxy);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		(void)close(*all[i]);
		*all[i] = -1;
	}
}

static void test_killed_proxy(void **state)
{
	unsigned long before = bpf_frames();

	(void)state;
	assert_open(bpf_frame.plain);
	assert_int_equal(bpf_run(tcp4, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(bpf_run(dns4, bpf_frame.held, 0), ANS_DNS);
	close_listeners();
	(void)poll(NULL, 0, 300); /* what the first line's connections still send */
	before = bpf_frames();
	assert_closed(bpf_frame.held);
	assert_int_equal(bpf_run(bind_proxys_port, bpf_frame.plain, 0), 0);
	assert_int_equal(bpf_run(bind_proxys_port, bpf_frame.held, 0), EPERM);
	assert_int_equal(bpf_frames(), before);
}

/* Outside the cgroup, so that it may bind; without a mark. */
static void test_squatter_on_the_proxys_port(void **state)
{
	int fd = bpf_listen(SOCK_STREAM, "127.0.0.1", bpf_frame.netns.tcp4);
	int dns = bpf_listen(SOCK_DGRAM, "127.0.0.1", bpf_frame.netns.dns4);
	struct pollfd p[2] = { { fd, POLLIN, 0 }, { dns, POLLIN, 0 } };

	(void)state;
	assert_true(fd >= 0 && dns >= 0);
	assert_closed(bpf_frame.held);
	assert_int_equal(poll(p, 2, 0), 0);
	(void)close(fd);
	(void)close(dns);
}

static void test_proxy_comes_back(void **state)
{
	const struct redirect_netns *ns = &bpf_frame.netns;

	(void)state;
	bpf_frame.tcp4 = bpf_listen(SOCK_STREAM, "127.0.0.1", ns->tcp4);
	bpf_frame.tcp6 = bpf_listen(SOCK_STREAM, "::1", ns->tcp6);
	bpf_frame.dns4 = bpf_listen(SOCK_DGRAM, "127.0.0.1", ns->dns4);
	bpf_frame.dns6 = bpf_listen(SOCK_DGRAM, "::1", ns->dns6);
	bpf_frame.explicit4 = bpf_listen(SOCK_STREAM, "127.0.0.1", ns->explicit4);
	bpf_frame.proxy = bpf_start(bpf_serve_proxy, NULL);
	assert_closed(bpf_frame.held);
	assert_int_equal(redirect_mark(bpf_frame.redirect, bpf_frame.tcp4, REDIRECT_TCP), 0);
	assert_int_equal(bpf_run(tcp4, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(redirect_mark(bpf_frame.redirect, bpf_frame.tcp6, REDIRECT_TCP), 0);
	assert_int_equal(redirect_mark(bpf_frame.redirect, bpf_frame.dns4, REDIRECT_DNS), 0);
	assert_int_equal(redirect_mark(bpf_frame.redirect, bpf_frame.dns6, REDIRECT_DNS), 0);
	assert_int_equal(redirect_mark(bpf_frame.redirect, bpf_frame.explicit4, REDIRECT_EXPLICIT),
			 0);
	assert_int_equal(bpf_run(tcp6, bpf_frame.held, 65534), ANS_PROXY);
	assert_int_equal(bpf_run(dns4, bpf_frame.held, 0), ANS_DNS);
}

static void test_wrong_mark(void **state)
{
	(void)state;
	assert_int_equal(redirect_mark(bpf_frame.redirect, bpf_frame.tcp4, REDIRECT_DNS), 0);
	assert_int_equal(bpf_run(tcp4, bpf_frame.held, 0), ECONNREFUSED);
	assert_int_equal(redirect_mark(bpf_frame.redirect, bpf_frame.tcp4, REDIRECT_TCP), 0);
	assert_int_equal(bpf_run(tcp4, bpf_frame.held, 0), ANS_PROXY);
	assert_int_equal(redirect_mark(bpf_frame.redirect, bpf_frame.tcp4, (enum redirect_mark)9),
			 -EINVAL);
}

/* ---- the loader ---- */

static char killed_cgroup[256];
#define KILLED_PINS "/sys/fs/bpf/killed"

static void load_and_wait(void)
{
	struct redirect *r = NULL;
	char why[300];
	int fd = open(killed_cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (redirect_load(99, &r, why, sizeof(why)) < 0 ||
	    redirect_attach(r, fd, KILLED_PINS, why, sizeof(why)) < 0)
		_exit(1);
	bpf_ready();
	for (;;)
		(void)pause();
}

static void test_killed_loader_and_removed_pins(void **state)
{
	struct stat st;
	unsigned long before;
	pid_t loader;

	(void)state;
	bpf_frame_make_cgroup("killed", killed_cgroup, sizeof(killed_cgroup));
	assert_open(killed_cgroup);
	(void)poll(NULL, 0, 300);
	before = bpf_frames();
	loader = bpf_start(load_and_wait, NULL);
	assert_int_equal(stat(KILLED_PINS, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_closed(killed_cgroup);
	assert_int_equal(kill(loader, SIGKILL), 0);
	assert_int_equal(waitpid(loader, NULL, 0), loader);
	assert_closed(killed_cgroup);
	assert_int_equal(bpf_frames(), before);
	redirect_unpin(KILLED_PINS);
	assert_int_equal(stat(KILLED_PINS, &st), -1);
	assert_true(bpf_frame_wait_open(killed_cgroup));
	assert_open(killed_cgroup);
	redirect_unpin(KILLED_PINS); /* missing is fine */
}

static void test_freeing_detaches_nothing(void **state)
{
	const char *const without[] = { NULL };
	char cgroup[256];

	(void)state;
	/* Frees its redirect at the end. */
	assert_int_equal(bpf_frame_attach("freed", without, cgroup, sizeof(cgroup)), 0);
	assert_int_equal(bpf_run(dns4, cgroup, 0), ANS_DNS);
	assert_int_equal(bpf_run(udp4, cgroup, 0), EPERM);
}

/* ---- an attach that fails ---- */

static int allow_all(enum bpf_prog_type type, enum bpf_attach_type attach)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = attach);

	return bpf_prog_load(type, "in_the_way", "GPL", insns, 2, &o);
}

static uint32_t id_of(int prog)
{
	struct bpf_prog_info info = { 0 };
	uint32_t n = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(prog, &info, &n), 0);
	return info.id;
}

struct obstacle {
	const char *name;
	bool above;
	unsigned int flags;
	bool in_the_way;
};

static const struct obstacle obstacles[] = {
	{ "same_none", false, 0, true },
	{ "same_override", false, BPF_F_ALLOW_OVERRIDE, true },
	{ "same_multi", false, BPF_F_ALLOW_MULTI, false },
	{ "above_none", true, 0, true },
	{ "above_override", true, BPF_F_ALLOW_OVERRIDE, false },
	{ "above_multi", true, BPF_F_ALLOW_MULTI, false },
};

static void try_obstacle(const struct obstacle *o)
{
	char above[256], below[300], why[300] = "", id[32], pins[300];
	int prog = allow_all(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS), at, cgroup, e;
	struct redirect *r = NULL;

	assert_true(prog >= 0);
	bpf_frame_make_cgroup(o->name, above, sizeof(above));
	(void)snprintf(below, sizeof(below), "%s/below", above);
	assert_int_equal(mkdir(below, 0755), 0);
	at = open_dir(o->above ? above : below);
	cgroup = open_dir(below);
	assert_int_equal(bpf_prog_attach(prog, at, BPF_CGROUP_INET_INGRESS, o->flags), 0);
	assert_int_equal(redirect_load(1, &r, why, sizeof(why)), 0);
	(void)snprintf(pins, sizeof(pins), "/sys/fs/bpf/%s", o->name);
	e = redirect_attach(r, cgroup, pins, why, sizeof(why));
	if (o->in_the_way) {
		(void)snprintf(id, sizeof(id), "id %u ", id_of(prog));
		assert_int_equal(e, -EPERM);
		assert_non_null(strstr(why, id));
		assert_non_null(strstr(why, o->above ? "a cgroup above" : "the same cgroup"));
		assert_int_equal(access(pins, F_OK), -1);
		(void)bpf_prog_detach2(prog, at, BPF_CGROUP_INET_INGRESS);
		assert_true(bpf_frame_wait_open(below));
	} else {
		assert_int_equal(e, 0);
		assert_int_equal(redirect_verify(r, cgroup, why, sizeof(why)), 0);
		redirect_unpin(pins);
	}
	redirect_free(r);
	(void)close(prog);
	(void)close(at);
	(void)close(cgroup);
}

static void test_programs_in_the_way(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(obstacles); i++)
		try_obstacle(&obstacles[i]);
}

static void test_pins_where_none_can_be(void **state)
{
	char cgroup[256], why[300] = "";
	struct redirect *r = NULL;
	int fd;

	(void)state;
	bpf_frame_make_cgroup("nopins", cgroup, sizeof(cgroup));
	fd = open_dir(cgroup);
	assert_int_equal(redirect_load(1, &r, why, sizeof(why)), 0);
	assert_true(redirect_attach(r, fd, bpf_frame.plain, why, sizeof(why)) < 0);
	assert_true(redirect_attach(r, fd, "/sys/fs/bpf/no/such/place", why, sizeof(why)) < 0);
	/* A directory can be made there, a pin cannot. */
	assert_true(redirect_attach(r, fd, "/tmp/nono-bpf-nopins", why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "BPF file system"));
	assert_int_equal(access("/tmp/nono-bpf-nopins", F_OK), -1);
	assert_true(bpf_frame_wait_open(cgroup));
	assert_open(cgroup);
	/* And with a right place it still works. */
	assert_int_equal(redirect_attach(r, fd, "/sys/fs/bpf/nopins", why, sizeof(why)), 0);
	assert_closed(cgroup);
	redirect_unpin("/sys/fs/bpf/nopins");
	redirect_free(r);
	assert_true(bpf_frame_wait_open(cgroup));
	assert_open(cgroup);
	(void)close(fd);
}

static void test_verify_looks_at_the_cgroup(void **state)
{
	char why[300] = "";
	int held = open_dir(bpf_frame.held), plain = open_dir(bpf_frame.plain);

	(void)state;
	assert_int_equal(redirect_verify(bpf_frame.redirect, held, why, sizeof(why)), 0);
	assert_int_equal(redirect_verify(bpf_frame.redirect, plain, why, sizeof(why)), -ESTALE);
	assert_non_null(strstr(why, "not in effect"));
	/* One missing program is enough. */
	assert_int_equal(unlink("/sys/fs/bpf/held/link_skb_egress"), 0);
	assert_int_equal(redirect_verify(bpf_frame.redirect, held, why, sizeof(why)), 0);
	redirect_free(bpf_frame.redirect);
	bpf_frame.redirect = NULL;
	(void)close(held);
	(void)close(plain);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_proxy),
		cmocka_unit_test(test_squatter_on_the_proxys_port),
		cmocka_unit_test(test_proxy_comes_back),
		cmocka_unit_test(test_wrong_mark),
		cmocka_unit_test(test_killed_loader_and_removed_pins),
		cmocka_unit_test(test_freeing_detaches_nothing),
		cmocka_unit_test(test_programs_in_the_way),
		cmocka_unit_test(test_pins_where_none_can_be),
		cmocka_unit_test(test_verify_looks_at_the_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
