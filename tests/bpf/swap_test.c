/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the programs under traffic: a second set beside the first, which then goes; and new
 * programs in pinned links. Busy connectors see refusals at worst; no frame leaves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_servers.h"

#define CONNECTORS 2
#define CONNECTS   30000
#define SWAPS	   6

struct tally {
	unsigned long connects, connected, refused, sent, other;
	int last_other;
};

static volatile struct tally *tallies; /* one of each connector, shared */
static volatile int *stop;
static int number;

static void count_connect(volatile struct tally *t, const struct sockaddr_storage *to, socklen_t n)
{
	struct linger reset = { 1, 0 };
	struct timeval limit = { .tv_sec = 1 }; /* what was answered just now may be refused since */
	int fd = socket(to->ss_family, SOCK_STREAM, 0);
	char c;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));

	/* The acceptor answers by a reset, which may come before connect() has returned. Waiting
	 * for it keeps its queue short. */
	if (connect(fd, (const struct sockaddr *)to, n) == 0) {
		t->connected++;
		(void)recv(fd, &c, 1, 0);
	} else if (errno == ECONNRESET) {
		t->connected++;
	} else if (errno == ECONNREFUSED) {
		t->refused++;
	} else {
		t->last_other = errno;
		t->other++;
	}
	t->connects++;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	(void)close(fd);
}

/* TCP of both families and datagrams, without a pause, until it is told to stop and has done its
 * share. */
static void connector(void)
{
	volatile struct tally *t = &tallies[number];
	socklen_t n4, n6, nu;
	struct sockaddr_storage to4 = bpf_addr(EXT4, 443, &n4), to6 = bpf_addr(EXT6, 443, &n6);
	struct sockaddr_storage udp = bpf_addr(EXT4, 9999, &nu);
	int datagram = socket(AF_INET, SOCK_DGRAM, 0);

	bpf_ready();
	while (!*stop || t->connects < CONNECTS / CONNECTORS) {
		if (t->connects & 1)
			count_connect(t, &to6, n6);
		else
			count_connect(t, &to4, n4);
		if (sendto(datagram, "nono", 4, 0, (struct sockaddr *)&udp, nu) >= 0)
			t->sent++;
		if (*stop == 2)
			return;
	}
}

/* Accepts and drops: what is asked for does not matter here. */
static void accept_and_drop(void)
{
	struct pollfd p[2] = { { bpf_frame.tcp4, POLLIN, 0 }, { bpf_frame.tcp6, POLLIN, 0 } };
	struct linger reset = { 1, 0 };

	(void)fcntl(p[0].fd, F_SETFL, O_NONBLOCK);
	(void)fcntl(p[1].fd, F_SETFL, O_NONBLOCK);
	bpf_ready();
	for (;;) {
		(void)poll(p, 2, -1);
		for (int i = 0; i < 2; i++) {
			int fd;

			while ((fd = accept(p[i].fd, NULL, NULL)) >= 0) {
				(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
				(void)close(fd);
			}
		}
	}
}

static pid_t connectors[CONNECTORS], acceptor;

static void start_traffic(const char *cgroup)
{
	memset((void *)(uintptr_t)tallies, 0, sizeof(*tallies) * CONNECTORS);
	*stop = 0;
	acceptor = bpf_start(accept_and_drop, NULL);
	for (number = 0; number < CONNECTORS; number++)
		connectors[number] = bpf_start(connector, cgroup);
}

static struct tally end_traffic(int how)
{
	struct tally sum = { 0 };

	*stop = how;
	for (int i = 0; i < CONNECTORS; i++) {
		(void)waitpid(connectors[i], NULL, 0);
		sum.connects += tallies[i].connects;
		sum.connected += tallies[i].connected;
		sum.refused += tallies[i].refused;
		sum.sent += tallies[i].sent;
		sum.other += tallies[i].other;
		if (tallies[i].other)
			sum.last_other = tallies[i].last_other;
	}
	bpf_stop(acceptor);
	print_message(
		"# %lu connects: %lu turned, %lu refused, %lu other (%d); %lu datagrams sent\n",
		sum.connects, sum.connected, sum.refused, sum.other, sum.last_other, sum.sent);
	return sum;
}

static void pins_of(int k, char *name, size_t name_n, char *path, size_t path_n)
{
	(void)snprintf(name, name_n, "swap%d", k);
	(void)snprintf(path, path_n, "/sys/fs/bpf/swap%d", k);
}

static char cgroup[256];

/* New beside old, then the old one's pins go: how a dead instance is replaced. */
static void test_second_set_beside_the_first(void **state)
{
	const char *const all[] = { NULL };
	char name[32], path[64], old_name[32], old_path[64];
	unsigned long before;
	struct tally sum;

	(void)state;
	bpf_frame_make_cgroup("swapped", cgroup, sizeof(cgroup));
	pins_of(0, name, sizeof(name), path, sizeof(path));
	assert_int_equal(bpf_frame_attach_to(name, all, cgroup), 0);
	before = bpf_frames();
	start_traffic(cgroup);
	for (int k = 1; k <= SWAPS; k++) {
		pins_of(k - 1, old_name, sizeof(old_name), old_path, sizeof(old_path));
		pins_of(k, name, sizeof(name), path, sizeof(path));
		assert_int_equal(bpf_frame_attach_to(name, all, cgroup), 0);
		redirect_unpin(old_path);
	}
	sum = end_traffic(1);
	assert_true(sum.connects >= CONNECTS);
	assert_true(sum.connected > CONNECTS / 10);
	assert_int_equal(sum.sent, 0);
	if (bpf_frames() != before)
		fail_msg("a frame: %s", bpf_last_frame());
}

/* The program in the link pinned at `path`. */
static int program_of(const char *path)
{
	struct bpf_link_info info = { 0 };
	uint32_t n = sizeof(info);
	int link = bpf_obj_get(path), e;

	assert_true(link >= 0);
	e = bpf_obj_get_info_by_fd(link, &info, &n);
	(void)close(link);
	assert_int_equal(e, 0);
	return bpf_prog_get_fd_by_id(info.prog_id);
}

/* Every link below `pins` gets the program that is in the same link below `from`. */
static unsigned int update_links(const char *pins, const char *from)
{
	struct dirent *entry;
	unsigned int updated = 0;
	DIR *d = opendir(pins);

	assert_non_null(d);
	while ((entry = readdir(d))) {
		char path[400];
		int link, program;

		if (strncmp(entry->d_name, "link_", 5) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);
		program = program_of(path);
		(void)snprintf(path, sizeof(path), "%s/%s", pins, entry->d_name);
		link = bpf_obj_get(path);
		assert_true(program >= 0 && link >= 0);
		assert_int_equal(bpf_link_update(link, program, NULL), 0);
		(void)close(link);
		(void)close(program);
		updated++;
	}
	(void)closedir(d);
	return updated;
}

/* How an instance is adopted: one program after another, each at once. */
static void test_new_programs_in_old_links(void **state)
{
	const char *const all[] = { NULL };
	char spare[2][256], pins[64], name[32];
	unsigned long before;
	struct tally sum;

	(void)state;
	pins_of(SWAPS, name, sizeof(name), pins, sizeof(pins));
	assert_int_equal(bpf_frame_attach("spare0", all, spare[0], sizeof(spare[0])), 0);
	assert_int_equal(bpf_frame_attach("spare1", all, spare[1], sizeof(spare[1])), 0);
	before = bpf_frames();
	start_traffic(cgroup);
	for (int k = 0; k < 200; k++)
		assert_true(update_links(pins, k & 1 ? "/sys/fs/bpf/spare1"
						     : "/sys/fs/bpf/spare0") >= 15);
	sum = end_traffic(1);
	assert_true(sum.connects >= CONNECTS);
	assert_int_equal(sum.sent, 0);
	assert_int_equal(sum.other, 0);
	if (bpf_frames() != before)
		fail_msg("a frame: %s", bpf_last_frame());
}

static int tcp4(void)
{
	return bpf_ask_tcp(socket(AF_INET, SOCK_STREAM, 0), EXT4, 443);
}

/* The wrong order, so that it is known that the judge would have seen it. */
static void test_gap_between_two_sets_is_seen(void **state)
{
	const char *const all[] = { NULL };
	char pins[64], name[32];
	unsigned long before;

	(void)state;
	pins_of(SWAPS, name, sizeof(name), pins, sizeof(pins));
	before = bpf_frames();
	start_traffic(cgroup);
	redirect_unpin(pins);
	assert_true(bpf_frame_wait_open(cgroup));
	for (int i = 0; i < 500 && bpf_frames() == before; i++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(bpf_frame_attach_to("after", all, cgroup), 0);
	(void)end_traffic(2);
	assert_true(bpf_frames() > before);
	assert_int_equal(bpf_run(tcp4, bpf_frame.plain, 0), ANS_EXT);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second_set_beside_the_first),
		cmocka_unit_test(test_new_programs_in_old_links),
		cmocka_unit_test(test_gap_between_two_sets_is_seen),
	};

	tallies = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tallies == MAP_FAILED)
		return 1;
	stop = (volatile int *)(uintptr_t)&tallies[CONNECTORS];
	/* The frame's proxy would only be in the way. */
	bpf_stop(bpf_frame.proxy);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
