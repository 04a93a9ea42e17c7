/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More than the maps hold: connections beyond the table of tuples, refusals that nobody reads. The
 * verdicts stay what they are, a destination that was evicted is missing and never another's, and
 * the counters count.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/redirect.h"
#include "redirect/origin.h"
#include "tests/support/bpf_frame.h"

#define TUPLES	 65536
#define EXTRA	 (2 * TUPLES)
#define REFUSALS 20000
#define RING	 (256u * 1024)

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

static int udp4(void)
{
	return bpf_ask_udp(socket(AF_INET, SOCK_DGRAM, 0), EXT4, 9999);
}

static int raw4(void)
{
	return bpf_result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static void assert_verdicts(void)
{
	unsigned long before = bpf_frames();

	for (uid_t uid = 0; uid < 65535; uid += 65534) {
		assert_int_equal(bpf_run(tcp4, bpf_frame.held, uid), ANS_PROXY);
		assert_int_equal(bpf_run(tcp6, bpf_frame.held, uid), ANS_PROXY);
		assert_int_equal(bpf_run(dns4, bpf_frame.held, uid), ANS_DNS);
		assert_int_equal(bpf_run(udp4, bpf_frame.held, uid), EPERM);
		assert_int_equal(bpf_run(raw4, bpf_frame.held, uid), EPERM);
	}
	assert_int_equal(bpf_frames(), before);
}

/* ---- tuples ---- */

/* Connections of a namespace that is nobody's: each with a destination that names its own number. */
static struct tuple_key key_of(uint32_t i)
{
	struct tuple_key key = { .netns = 5, .port = (uint16_t)i };

	key.src.w_be[2] = htonl(0xffff);
	key.src.w_be[3] = htonl(0x7f000000 | i >> 16);
	return key;
}

static void put(int map, uint32_t i)
{
	struct tuple_value value = { .client = i };
	struct tuple_key key = key_of(i);

	value.origin.dst.w_be[2] = htonl(0xffff);
	value.origin.dst.w_be[3] = htonl(i);
	value.origin.port_be = htons(443);
	assert_int_equal(bpf_map_update_elem(map, &key, &value, BPF_ANY), 0);
}

static bool is_right(const struct origin *o, uint32_t i)
{
	uint32_t addr_be = htonl(i);

	return o->client == i && o->to.port == 443 && memcmp(o->to.addr.b, &addr_be, 4) == 0;
}

static void test_more_connections_than_the_table_holds(void **state)
{
	int map = redirect_tuple_fd(bpf_frame.redirect);
	unsigned int right = 0, missing = 0, wrong = 0;

	(void)state;
	for (uint32_t i = 1; i <= EXTRA; i++)
		put(map, i);
	for (uint32_t i = 1; i <= EXTRA; i++) {
		struct tuple_key key = key_of(i);
		struct endpoint peer = { .port = key.port };
		struct origin o;

		peer.addr = addr_v4(0x7f000000 | i >> 16);
		if (origin_lookup(map, 5, &peer, &o) < 0)
			missing++;
		else if (is_right(&o, i))
			right++;
		else
			wrong++;
	}
	print_message("# of %u entries %u are there, %u went\n", EXTRA, right, missing);
	assert_int_equal(wrong, 0);
	assert_true(missing >= EXTRA - TUPLES);
	assert_true(right > TUPLES / 2);
	/* New ones find room, and their destination: bpf_ask_tcp() compares it. */
	assert_verdicts();
}

/* ---- events ---- */

struct seen {
	unsigned int udp, wrong;
};

static void on_event(void *arg, const struct kernel_refusal *k)
{
	struct seen *s = arg;
	char text[ENDPOINT_TEXT_MAX];

	if (k->what != KEV_UDP)
		return;
	s->udp++;
	if (strcmp(endpoint_text(&k->to, text), EXT4 ":9999") != 0)
		s->wrong++;
}

static uint64_t refusals(uint32_t kind)
{
	uint64_t values[256] = { 0 }, sum = 0;
	int map = redirect_map_fd(bpf_frame.redirect, "stats");

	assert_int_equal(bpf_map_lookup_elem(map, &kind, values), 0);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		sum += values[i];
	return sum;
}

/* The limit per second is taken away again and again, so that the ring fills. */
static int flood(void)
{
	uint64_t window[2] = { 0, 0 };
	uint32_t kind = KEV_UDP;
	int windows = redirect_map_fd(bpf_frame.redirect, "event_windows"), fd;
	socklen_t n;
	struct sockaddr_storage to = bpf_addr(EXT4, 9999, &n);

	fd = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < REFUSALS; i++) {
		if (i % 50 == 0 && bpf_map_update_elem(windows, &kind, window, BPF_ANY) < 0)
			return ANS_BROKEN;
		if (sendto(fd, "nono", 4, 0, (struct sockaddr *)&to, n) >= 0 || errno != EPERM)
			return ANS_WRONG;
	}
	return ANS_OK;
}

static void test_events_that_nobody_reads(void **state)
{
	struct kernel_events *k = NULL;
	struct seen seen = { 0 };
	uint64_t before = refusals(KEV_UDP);

	(void)state;
	assert_int_equal(bpf_run(flood, bpf_frame.held, 0), ANS_OK);
	assert_int_equal(refusals(KEV_UDP) - before, REFUSALS);
	/* Full: and still. */
	assert_verdicts();
	assert_int_equal(
		kernel_events_open(redirect_events_fd(bpf_frame.redirect), on_event, &seen, &k), 0);
	kernel_events_read(k);
	print_message("# %u events of %u refusals fitted\n", seen.udp, REFUSALS);
	assert_in_range(seen.udp, RING / 100, RING / sizeof(struct kernel_event));
	assert_int_equal(seen.wrong, 0);
	/* Read empty, it takes new ones. */
	seen.udp = 0;
	assert_int_equal(bpf_run(flood, bpf_frame.held, 65534), ANS_OK);
	kernel_events_read(k);
	assert_true(seen.udp > 0);
	kernel_events_free(k);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_connections_than_the_table_holds),
		cmocka_unit_test(test_events_that_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
