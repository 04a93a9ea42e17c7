/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking over what somebody pinned, trying programs out, reading pins back. Connects go on all the while: not one gets through
 * to where it wanted to go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "redirect/pins.h"
#include "tests/support/bpf_frame.h"

#define PINS	 "/sys/fs/bpf/adopt"
#define INSTANCE 4242
#define TAKEN	 20

static char cgroup[256], other[256];

static int open_cgroup(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int tcp4(void)
{
	return bpf_ask_tcp_soon(socket(AF_INET, SOCK_STREAM, 0), EXT4, 443);
}

static struct redirect *load(const char *pins)
{
	struct redirect *r = NULL;
	char why[300] = "";

	if ((pins ? redirect_load_pinned(INSTANCE, pins, &r, why, sizeof(why))
		  : redirect_load(INSTANCE, &r, why, sizeof(why))) < 0)
		fail_msg("%s", why);
	return r;
}

static void serve(struct redirect *r)
{
	assert_int_equal(redirect_mark(r, bpf_frame.tcp4, REDIRECT_TCP), 0);
	assert_int_equal(redirect_serve_netns(r, &bpf_frame.netns), 0);
}

static void attach_first(void)
{
	struct redirect *r = load(NULL);
	int fd = open_cgroup(cgroup);
	char why[300] = "";

	if (redirect_attach(r, fd, PINS, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	serve(r);
	redirect_free(r);
	(void)close(fd);
}

static int adopt(const char *path, struct redirect **ret)
{
	struct redirect *r = load(PINS);
	int fd = open_cgroup(path);
	char why[300] = "";
	int e = redirect_adopt(r, fd, PINS, why, sizeof(why));

	if (e == 0 && redirect_verify(r, fd, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	(void)close(fd);
	if (e == 0)
		*ret = r;
	else
		redirect_free(r);
	return e;
}

static struct pins read_pins(const char *path)
{
	struct pins p = { 0 };
	int fd = path ? open_cgroup(path) : -EBADF;

	assert_int_equal(pins_read(PINS, fd, false, &p), 0);
	if (fd >= 0)
		(void)close(fd);
	return p;
}

/* A listener inside, made before: its mark must live on. */
static void keep_listening(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(3999),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 5) < 0)
		_exit(1);
	bpf_ready();
	pause();
}

static int connect_inside(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(3999),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
			   peer;
	socklen_t n = sizeof(peer);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return errno;
	/* Turned to the proxy the kernel would know another port. */
	return getpeername(fd, (struct sockaddr *)&peer, &n) < 0 ? errno
	       : peer.sin_port == a.sin_port			 ? 0
								 : ANS_WRONG;
}

/* Connects as fast as it can; shared[0] counts, shared[1] counts those that reached the outside. */
static unsigned long *shared;

static void keep_connecting(void)
{
	bpf_ready();
	for (;;) {
		shared[1] += tcp4() == ANS_EXT;
		shared[0]++;
	}
}

static void test_each_takes_over_from_the_last(void **state)
{
	pid_t listener, client;
	unsigned long before;

	(void)state;
	bpf_frame_make_cgroup("adopt", cgroup, sizeof(cgroup));
	assert_int_equal(bpf_run(tcp4, cgroup, 0), ANS_EXT); /* control */
	attach_first();
	listener = bpf_start(keep_listening, cgroup);
	assert_int_equal(bpf_run(connect_inside, cgroup, 0), 0);
	client = bpf_start(keep_connecting, cgroup);
	before = bpf_frames();
	for (int i = 0; i < TAKEN; i++) {
		unsigned long seen = shared[0];
		struct redirect *r = NULL;

		assert_int_equal(adopt(cgroup, &r), 0);
		redirect_free(r);
		while (shared[0] < seen + 2)
			(void)usleep(100);
	}
	bpf_stop(client);
	assert_true(shared[0] > TAKEN);
	assert_int_equal(shared[1], 0);
	assert_int_equal(bpf_frames(), before);
	assert_int_equal(bpf_run(connect_inside, cgroup, 0), 0);
	bpf_stop(listener);
}

static void test_pins_are_read_back(void **state)
{
	struct pins p = read_pins(cgroup);
	struct redirect *r = NULL;

	(void)state;
	assert_true(p.wanted >= 15);
	assert_int_equal(p.pinned, p.wanted);
	assert_int_equal(p.active, p.wanted);
	assert_true(p.cgroup != 0);
	assert_int_equal(read_pins(NULL).active, 0);
	assert_int_equal(read_pins(bpf_frame.plain).pinned, 0);
	assert_int_equal(unlink(PINS "/link_connect4"), 0);
	assert_int_equal(read_pins(cgroup).pinned, p.wanted - 1);
	/* The next one mends it. */
	assert_int_equal(adopt(cgroup, &r), 0);
	redirect_free(r);
	assert_int_equal(read_pins(cgroup).active, p.wanted);
	assert_int_equal(pins_read("/sys/fs/bpf/nothing", -EBADF, false, &p), -ENOENT);
}

static void test_pins_of_another_cgroup_are_not_taken(void **state)
{
	struct redirect *r = NULL;

	(void)state;
	bpf_frame_make_cgroup("adopt-other", other, sizeof(other));
	assert_int_equal(adopt(other, &r), -ESTALE);
	assert_int_equal(bpf_run(tcp4, other, 0), ANS_EXT);
	assert_int_equal(read_pins(cgroup).active, read_pins(cgroup).wanted);
}

static void test_trying_out_ends(void **state)
{
	struct redirect *r = load(NULL);
	int fd = open_cgroup(other);
	char why[300] = "";

	(void)state;
	assert_int_equal(redirect_try(r, fd, why, sizeof(why)), 0);
	assert_int_equal(redirect_verify(r, fd, why, sizeof(why)), 0);
	assert_true(bpf_run(tcp4, other, 0) != ANS_EXT);
	redirect_try_end(r);
	assert_true(bpf_frame_wait_open(other));
	assert_int_equal(bpf_run(tcp4, other, 0), ANS_EXT);
	redirect_free(r);
	(void)close(fd);
}

static void test_own_marks(void **state)
{
	struct redirect *r = load(NULL);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_false(redirect_is_own(r, fd));
	assert_int_equal(redirect_mark_own(r, fd), 0);
	assert_true(redirect_is_own(r, fd));
	assert_int_equal(redirect_mark(r, fd, REDIRECT_TCP), 0);
	assert_false(redirect_is_own(r, fd));
	redirect_free(r);
	(void)close(fd);
}

static void test_unpinning_opens(void **state)
{
	(void)state;
	redirect_unpin(PINS);
	assert_true(bpf_frame_wait_open(cgroup));
	assert_int_equal(bpf_run(tcp4, cgroup, 0), ANS_EXT);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_takes_over_from_the_last),
		cmocka_unit_test(test_pins_are_read_back),
		cmocka_unit_test(test_pins_of_another_cgroup_are_not_taken),
		cmocka_unit_test(test_trying_out_ends),
		cmocka_unit_test(test_own_marks),
		cmocka_unit_test(test_unpinning_opens),
	};

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
