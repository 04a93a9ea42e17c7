/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The original destination under load: 100,000 connections from 400 source ports, every one to a
 * destination of its own, with and without Fast Open, closed by resets. Each client compares what
 * the proxy's side found with what it asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "redirect/origin.h"
#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_place.h"
#include "tests/support/bpf_servers.h"

#define CLIENTS	  4
#define ROUNDS	  25000
#define ACCEPTORS 2

struct counts {
	unsigned long right, wrong, missing, failed;
};

static struct counts *counts; /* one for each client, shared */
static int client_number;
static struct counts *own_counts;
static unsigned int rounds;

static void reset_on_close(int fd)
{
	struct linger l = { 1, 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* Answers with the endpoint that the kernel side recorded, or with family 0. */
static void serve_one(int listener)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	int fd = accept(listener, (struct sockaddr *)&ss, &n);
	struct endpoint peer, found = { 0 };
	struct origin o;

	if (fd < 0)
		return;
	if (endpoint_from_sockaddr((struct sockaddr *)&ss, &peer) &&
	    origin_lookup(redirect_tuple_fd(bpf_frame.redirect), bpf_frame.netns.cookie, &peer,
			  &o) == 0)
		found = o.to;
	(void)send(fd, &found, sizeof(found), MSG_NOSIGNAL);
	reset_on_close(fd);
	/* The client closes first, by a reset: its tuple is free while this side may still hold an
	 * accepted socket. */
	(void)shutdown(fd, SHUT_WR);
	(void)close(fd);
}

static void accept_all(void)
{
	struct pollfd p[2] = { { bpf_frame.tcp4, POLLIN, 0 }, { bpf_frame.tcp6, POLLIN, 0 } };

	(void)fcntl(p[0].fd, F_SETFL, O_NONBLOCK);
	(void)fcntl(p[1].fd, F_SETFL, O_NONBLOCK);
	bpf_ready();
	for (;;) {
		(void)poll(p, 2, -1);
		for (int i = 0; i < 2; i++)
			if (p[i].revents)
				serve_one(p[i].fd);
	}
}

static struct endpoint destination(unsigned int i)
{
	struct endpoint e = { .port = (uint16_t)(1024 + i % 60000) };

	if (i & 1) {
		e.addr.family = 6;
		memcpy(e.addr.b, (const uint8_t[]){ 0x20, 0x01, 0x0d, 0xb8 }, 4);
	} else {
		e.addr.family = 4;
		e.addr.b[0] = 203;
	}
	e.addr.b[e.addr.family == 6 ? 13 : 1] = (uint8_t)(client_number + 1);
	e.addr.b[e.addr.family == 6 ? 14 : 2] = (uint8_t)(i >> 8);
	e.addr.b[e.addr.family == 6 ? 15 : 3] = (uint8_t)i;
	return e;
}

/* An address that is taken for the moment is not a failure: 400 ports are shared by all. */
static int open_to(const struct endpoint *e, bool fast)
{
	struct sockaddr_storage ss;
	socklen_t n = endpoint_to_sockaddr(e, &ss);

	for (int tries = 0; tries < 200; tries++) {
		int fd = socket(ss.ss_family, SOCK_STREAM, 0), r;

		if (fast)
			r = (int)sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL,
					(struct sockaddr *)&ss, n);
		else
			r = connect(fd, (struct sockaddr *)&ss, n);
		if (r >= 0)
			return fd;
		r = errno;
		(void)close(fd);
		if (r != EADDRNOTAVAIL && r != EAGAIN)
			return -1;
		(void)poll(NULL, 0, 1);
	}
	return -1;
}

static void ask(unsigned int i)
{
	struct endpoint want = destination(i), got = { 0 };
	int fd = open_to(&want, i & 2);

	if (fd < 0 || recv(fd, &got, sizeof(got), MSG_WAITALL) != (ssize_t)sizeof(got))
		own_counts->failed++;
	else if (got.addr.family == 0)
		own_counts->missing++;
	else if (got.port == want.port && addr_eq(&got.addr, &want.addr))
		own_counts->right++;
	else
		own_counts->wrong++;
	if (fd >= 0) {
		reset_on_close(fd);
		(void)close(fd);
	}
}

static void client(void)
{
	own_counts = &counts[client_number];
	bpf_ready();
	for (unsigned int i = 0; i < rounds; i++)
		ask(i);
}

static void narrow_ports(const char *range)
{
	int fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0 && write(fd, range, strlen(range)) > 0);
	(void)close(fd);
}

/* In the present namespace, at the listeners that are in the frame. */
static void load(unsigned int each)
{
	struct counts all = { 0 };
	pid_t clients[CLIENTS], acceptors[ACCEPTORS];

	rounds = each;
	counts = mmap(NULL, sizeof(*counts) * CLIENTS, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(counts != MAP_FAILED);
	narrow_ports("40000 40399");
	for (int i = 0; i < ACCEPTORS; i++)
		acceptors[i] = bpf_start(accept_all, NULL);
	for (client_number = 0; client_number < CLIENTS; client_number++)
		clients[client_number] = bpf_start(client, bpf_frame.held);
	for (int i = 0; i < CLIENTS; i++) {
		(void)waitpid(clients[i], NULL, 0);
		all.right += counts[i].right;
		all.wrong += counts[i].wrong;
		all.missing += counts[i].missing;
		all.failed += counts[i].failed;
	}
	for (int i = 0; i < ACCEPTORS; i++)
		bpf_stop(acceptors[i]);
	narrow_ports("32768 60999");
	print_message("# right %lu, wrong %lu, missing %lu, failed %lu\n", all.right, all.wrong,
		      all.missing, all.failed);
	assert_int_equal(all.wrong, 0);
	assert_int_equal(all.missing, 0);
	/* A reset that the other side's close overtakes; nothing was said then. */
	assert_true(all.failed < CLIENTS * each / 1000);
	assert_int_equal(all.right + all.failed, CLIENTS * each);
}

static void test_hundred_thousand_connections(void **state)
{
	(void)state;
	bpf_stop(bpf_frame.proxy);
	load(ROUNDS);
	bpf_frame.proxy = bpf_start(bpf_serve_proxy, NULL);
}

/* A namespace with nothing but `lo`, whose listeners were made from outside. */
static void test_connections_in_another_namespace(void **state)
{
	struct bpf_frame saved = bpf_frame;
	struct bpf_place place;

	(void)state;
	bpf_place_make(&place, false);
	bpf_place_enter(&place);
	bpf_frame.tcp4 = bpf_listen(SOCK_STREAM, "127.0.0.1", 0);
	bpf_frame.tcp6 = bpf_listen(SOCK_STREAM, "::1", 0);
	bpf_frame.netns = place.netns;
	assert_int_equal(
		bpf_frame_serve(bpf_frame.redirect, &bpf_frame.netns,
				(const int[]){ bpf_frame.tcp4, bpf_frame.tcp6, -1, -1, -1 }),
		0);
	load(ROUNDS / 5);
	(void)close(bpf_frame.tcp4);
	(void)close(bpf_frame.tcp6);
	bpf_place_leave();
	bpf_frame = saved;
	bpf_place_end(&place);
}

/* ---- what is not there ---- */

static int straight_to_the_listener(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr("127.0.0.1", bpf_frame.netns.tcp4, &n);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	return bpf_greeting(fd, "nowhere");
}

static void test_outsider_has_no_entry(void **state)
{
	(void)state;
	assert_int_equal(bpf_run(straight_to_the_listener, NULL, 0), ANS_PROXY);
}

static struct endpoint put(uint64_t client, const char *peer, uint16_t port)
{
	struct tuple_key key = { .netns = 5, .port = port };
	struct tuple_value value = { .client = client };
	struct endpoint e;
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(peer, port, &n);

	assert_true(endpoint_from_sockaddr((struct sockaddr *)&ss, &e));
	if (e.addr.family == 4) {
		key.src.w_be[2] = htonl(0xffff);
		memcpy(&key.src.w_be[3], e.addr.b, 4);
	} else {
		memcpy(key.src.w_be, e.addr.b, 16);
	}
	value.origin.dst.w_be[2] = htonl(0xffff);
	value.origin.dst.w_be[3] = htonl(0xc6336407);
	value.origin.port_be = htons(443);
	value.origin.pid = 12;
	value.origin.uid = 34;
	memset(value.origin.comm, 'c', sizeof(value.origin.comm));
	assert_int_equal(
		bpf_map_update_elem(redirect_tuple_fd(bpf_frame.redirect), &key, &value, 0), 0);
	return e;
}

static void test_lookup_and_forget(void **state)
{
	const char *const peers[] = { "127.0.0.1", "127.9.9.9", "::1", "2001:db8::5" };
	int map = redirect_tuple_fd(bpf_frame.redirect);
	char text[ENDPOINT_TEXT_MAX];
	struct origin o;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		struct endpoint peer = put(77, peers[i], 4000), other = peer;

		other.port++;
		assert_int_equal(origin_lookup(map, 5, &peer, &o), 0);
		assert_string_equal(endpoint_text(&o.to, text), "198.51.100.7:443");
		assert_int_equal(o.client, 77);
		assert_int_equal(o.pid, 12);
		assert_int_equal(o.uid, 34);
		assert_int_equal(strlen(o.comm), 15);
		assert_int_equal(origin_lookup(map, 5, &other, &o), -ENOENT);
		assert_int_equal(origin_lookup(map, 6, &peer, &o), -ENOENT);
		/* Taken over by a later connection: stays. */
		origin_forget(map, 5, &peer, 76);
		assert_int_equal(origin_lookup(map, 5, &peer, &o), 0);
		origin_forget(map, 5, &peer, 77);
		assert_int_equal(origin_lookup(map, 5, &peer, &o), -ENOENT);
		origin_forget(map, 5, &peer, 77);
	}
}

/* ---- events ---- */

static int flood(void)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(EXT4, 9999, &n);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (int i = 0; i < 1000; i++)
		if (sendto(fd, "nono", 4, 0, (struct sockaddr *)&ss, n) >= 0 || errno != EPERM)
			return ANS_WRONG;
	return 0;
}

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
	if (strcmp(endpoint_text(&k->to, text), EXT4 ":9999") || k->type != SOCK_DGRAM ||
	    k->protocol != IPPROTO_UDP || k->pid == 0 || k->uid != 0)
		s->wrong++;
}

static unsigned long udp_refusals(void)
{
	uint64_t values[256] = { 0 };
	uint32_t kind = KEV_UDP;
	int map = bpf_obj_get("/sys/fs/bpf/held/map_stats");
	unsigned long sum = 0;

	assert_true(map >= 0);
	assert_int_equal(bpf_map_lookup_elem(map, &kind, values), 0);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		sum += values[i];
	(void)close(map);
	return sum;
}

static void test_flood_of_events(void **state)
{
	struct kernel_events *k = NULL;
	struct seen seen = { 0 };
	struct pollfd p;
	unsigned long before = udp_refusals();

	(void)state;
	assert_int_equal(
		kernel_events_open(redirect_events_fd(bpf_frame.redirect), on_event, &seen, &k), 0);
	kernel_events_read(k);
	seen = (struct seen){ 0 };
	assert_int_equal(bpf_run(flood, bpf_frame.held, 0), 0);
	p = (struct pollfd){ kernel_events_fd(k), POLLIN, 0 };
	assert_int_equal(poll(&p, 1, 1000), 1);
	kernel_events_read(k);
	kernel_events_free(k);
	assert_int_equal(udp_refusals() - before, 1000);
	/* At most two windows were touched. */
	assert_in_range(seen.udp, 1, 202);
	assert_int_equal(seen.wrong, 0);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup_and_forget),
		cmocka_unit_test(test_outsider_has_no_entry),
		cmocka_unit_test(test_flood_of_events),
		cmocka_unit_test(test_hundred_thousand_connections),
		cmocka_unit_test(test_connections_in_another_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return bpf_frame_main(run);
}
