/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver against a small DNS server that runs as coroutines of the same loop. Names say what
 * the server does.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "io/resolver.h"
#include "tests/support/script.h"

#define TYPE_A	   1
#define TYPE_CNAME 5
#define TYPE_TXT   16
#define TYPE_AAAA  28

enum what { ANSWER, NXDOMAIN, EMPTY, SERVFAIL, SILENT, GARBAGE, WRONG_ID, TRUNCATED, CHAIN };

struct row {
	const char *name;
	enum what what;
	unsigned int v4, v6; /* how many addresses */
	uint32_t ttl;
	int result;
	const char *why;
};

static const struct row zone[] = {
	{ "garbage.test", GARBAGE, 0, 0, 0, -ETIMEDOUT, "five bytes that are no message" },
	{ "wrongid.test", WRONG_ID, 1, 1, 9, -ETIMEDOUT, "an answer to another question" },
	{ "silent.test", SILENT, 0, 0, 0, -ETIMEDOUT, "nobody answers" },
	{ "servfail.test", SERVFAIL, 0, 0, 0, -EIO, "the server failed" },
	{ "nx.test", NXDOMAIN, 0, 0, 0, -ENOENT, "no such name" },
	{ "single", NXDOMAIN, 0, 0, 0, -ENOENT, "one label, and no search list" },
	{ "empty.test", EMPTY, 0, 0, 0, -ENODATA, "a name without addresses" },
	{ "one.test", ANSWER, 1, 1, 60, 0, "both families" },
	{ "four.test", ANSWER, 3, 0, 5, 0, "IPv4 only" },
	{ "six.test", ANSWER, 0, 2, 77, 0, "IPv6 only" },
	{ "forever.test", ANSWER, 1, 0, 86400, 0, "a TTL that is cut" },
	{ "never.test", ANSWER, 1, 0, 0, 0, "a TTL that is raised" },
	{ "many.test", ANSWER, 70, 0, 60, 0, "more than fit" },
	{ "exact.test", ANSWER, 40, 24, 60, 0, "exactly as many as fit" },
	{ "chain.test", CHAIN, 1, 1, 60, 0, "by CNAME" },
	{ "big.test", TRUNCATED, 3, 2, 60, 0, "by TCP" },
	{ "host", ANSWER, 1, 0, 60, 0, "one label that exists" },
};

struct dns {
	struct loop *loop;
	int udp, tcp;
	struct co *udp_co, *tcp_co;
	unsigned int queries, tcp_queries;
	char asked[64][64];
	char servers[64];
	struct resolver *resolver;
};

/* ---- the server */

static size_t put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return 2;
}

static size_t put_record(uint8_t *p, const uint8_t *name, size_t name_n, uint16_t type,
			 uint32_t ttl, const void *data, uint16_t n)
{
	uint8_t *start = p;

	memcpy(p, name, name_n);
	p += name_n;
	p += put16(p, type);
	p += put16(p, 1);
	p += put16(p, (uint16_t)(ttl >> 16));
	p += put16(p, (uint16_t)ttl);
	p += put16(p, n);
	memcpy(p, data, n);
	return (size_t)(p + n - start);
}

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(zone); i++)
		if (strcasecmp(zone[i].name, name) == 0)
			return &zone[i];
	return NULL;
}

/* The name of the question as text; returns the place behind the question, 0 if it is none. */
static size_t read_question(const uint8_t *q, size_t n, char *name, uint16_t *type)
{
	size_t at = 12, out = 0;

	while (at < n && q[at] != 0) {
		size_t len = q[at++];

		if (len > 63 || at + len >= n || out + len + 2 > 255)
			return 0;
		if (out)
			name[out++] = '.';
		memcpy(name + out, q + at, len);
		out += len;
		at += len;
	}
	name[out] = '\0';
	if (at + 5 > n)
		return 0;
	*type = (uint16_t)(q[at + 1] << 8 | q[at + 2]);
	return at + 5;
}

static size_t put_answers(const struct row *row, uint16_t type, uint8_t *p, uint16_t *count)
{
	static const uint8_t owner[] = { 0xc0, 12 }, target[] = "\1t\4test";
	const uint8_t *name = owner;
	size_t at = 0, name_n = 2;
	unsigned int n = type == TYPE_A ? row->v4 : type == TYPE_AAAA ? row->v6 : 0;

	*count = 0;
	if (row->what == CHAIN) {
		at += put_record(p, owner, 2, TYPE_CNAME, 7, target, sizeof(target));
		name = target;
		name_n = sizeof(target);
		++*count;
	}
	if (type == TYPE_TXT) {
		at += put_record(p + at, name, name_n, type, row->ttl, "\5hello", 6);
		++*count;
	}
	for (unsigned int i = 0; i < n; i++) {
		uint8_t a[16] = { 192, 0, 2, (uint8_t)(i + 1) };

		if (type == TYPE_AAAA)
			memcpy(a, (uint8_t[16]){ 0x20, 1, 0xd, 0xb8, [15] = (uint8_t)(i + 1) }, 16);
		at += put_record(p + at, name, name_n, type, row->ttl, a, type == TYPE_A ? 4 : 16);
		++*count;
	}
	return at;
}

/* The reply to a query; 0: none. */
static size_t reply_to(struct dns *d, const uint8_t *q, size_t n, uint8_t *out, bool tcp)
{
	char name[256];
	uint16_t type, count = 0;
	size_t end = read_question(q, n, name, &type);
	const struct row *row;

	if (end == 0)
		return 0;
	(void)snprintf(d->asked[d->queries % 64], sizeof(d->asked[0]), "%.63s", name);
	d->queries++;
	d->tcp_queries += tcp;
	row = find_row(name);
	if (row && row->what == SILENT)
		return 0;
	if (row && row->what == GARBAGE) {
		memset(out, 0xff, 5);
		return 5;
	}
	memcpy(out, q, end);
	out[2] = 0x81;
	out[3] = !row || row->what == NXDOMAIN ? 0x83 : row->what == SERVFAIL ? 0x82 : 0x80;
	memset(out + 6, 0, 6);
	if (!row || row->what == NXDOMAIN || row->what == SERVFAIL || row->what == EMPTY)
		return end;
	if (row->what == WRONG_ID)
		out[0] ^= 0x55;
	if (row->what == TRUNCATED && !tcp) {
		out[2] |= 2;
		return end;
	}
	end += put_answers(row, type, out + end, &count);
	put16(out + 6, count);
	return end;
}

static void serve_udp(void *arg)
{
	struct dns *d = arg;
	static uint8_t q[4096], out[8192];
	struct sockaddr_storage from;
	socklen_t len;

	for (;;) {
		ssize_t n = io_recvfrom(d->udp, q, sizeof(q), &from, &len, NSEC_NEVER);
		size_t k;

		if (n < 0)
			return;
		k = reply_to(d, q, (size_t)n, out, false);
		if (k > 0 && io_sendto(d->udp, out, k, &from, len, NSEC_NEVER) < 0)
			return;
	}
}

static void serve_tcp(void *arg)
{
	struct dns *d = arg;
	static uint8_t q[4096], out[8192];

	for (;;) {
		int fd = io_accept(d->tcp, NULL, NSEC_NEVER);
		uint8_t head[2];

		if (fd < 0)
			return;
		while (io_recv_exact(fd, head, 2, NSEC_NEVER) == 0) {
			size_t n = (size_t)head[0] << 8 | head[1], k;

			if (n > sizeof(q) || io_recv_exact(fd, q, n, NSEC_NEVER) < 0)
				break;
			k = reply_to(d, q, n, out + 2, true);
			put16(out, (uint16_t)k);
			if (k > 0 && io_send_all(fd, out, k + 2, NSEC_NEVER) < 0)
				break;
		}
		loop_close(d->loop, &fd);
	}
}

/* ---- the loop, with a clock that can be put forward */

static struct loop_backend shifted;
static nsec_t shift;

static nsec_t shifted_now(struct loop *l)
{
	return loop_epoll.now(l) + shift;
}

static int bind_to(int type, uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(*port) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		(void)close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static const uint8_t seed[16] = "a seed of bytes";

static void dns_new(struct dns *d, nsec_t timeout, size_t cache)
{
	struct resolver_config cfg = { .timeout = timeout, .cache_entries = cache, .seed = seed };
	uint16_t port = 0;

	*d = (struct dns){ 0 };
	shifted = loop_epoll;
	shifted.now = shifted_now;
	shift = 0;
	assert_int_equal(loop_new(&shifted, NULL, &d->loop), 0);
	/* Both protocols on one port: some other program may have the one that UDP was given. */
	for (int i = 0; i < 20; i++) {
		port = 0;
		d->udp = bind_to(SOCK_DGRAM, &port);
		d->tcp = bind_to(SOCK_STREAM, &port);
		if (d->tcp >= 0)
			break;
		(void)close(d->udp);
	}
	assert_true(d->tcp >= 0);
	assert_int_equal(listen(d->tcp, 8), 0);
	(void)snprintf(d->servers, sizeof(d->servers), "127.0.0.1:%u", port);
	assert_int_equal(co_spawn(d->loop, serve_udp, d, &d->udp_co), 0);
	assert_int_equal(co_spawn(d->loop, serve_tcp, d, &d->tcp_co), 0);
	cfg.servers = d->servers;
	assert_int_equal(resolver_new(d->loop, &cfg, &d->resolver), 0);
}

/* Turns until only `left` coroutines live; bounded. */
static void run_until(struct dns *d, size_t left)
{
	for (int i = 0; i < 1000 && co_count(d->loop) > left; i++)
		assert_int_equal(loop_turn(d->loop, 10 * NSEC_PER_MSEC), 0);
	assert_int_equal(co_count(d->loop), left);
}

static void dns_free(struct dns *d)
{
	resolver_free(d->resolver);
	/* What c-ares had open closes; a connection of the TCP server sees that. */
	for (int i = 0; i < 10; i++)
		assert_int_equal(loop_turn(d->loop, NSEC_PER_MSEC), 0);
	co_cancel(d->udp_co);
	co_cancel(d->tcp_co);
	run_until(d, 0);
	loop_close(d->loop, &d->udp);
	loop_close(d->loop, &d->tcp);
	loop_free(d->loop);
}

/* ---- one who asks */

struct ask {
	struct dns *dns;
	const char *name;
	nsec_t patience; /* 0: for ever */
	uint16_t raw_type;
	struct co *co;
	int result;
	struct answer answer;
	struct buf raw;
	bool done;
};

static void ask_run(void *arg)
{
	struct ask *a = arg;
	nsec_t deadline = a->patience ? loop_now(co_loop()) + a->patience : NSEC_NEVER;

	if (a->raw_type)
		a->result = resolve_raw(a->dns->resolver, a->name, a->raw_type, &a->raw, deadline);
	else
		a->result = resolve(a->dns->resolver, a->name, &a->answer, deadline);
	a->done = true;
}

static void ask_start(struct ask *a, struct dns *d, const char *name, nsec_t patience)
{
	*a = (struct ask){ .dns = d, .name = name, .patience = patience, .raw = BUF_INIT(65535) };
	assert_int_equal(co_spawn(d->loop, ask_run, a, &a->co), 0);
}

/* Asks, and returns how many queries that took. */
static unsigned int ask_now(struct ask *a, struct dns *d, const char *name, nsec_t patience)
{
	unsigned int before = d->queries;

	ask_start(a, d, name, patience);
	run_until(d, 2);
	assert_true(a->done);
	return d->queries - before;
}

/* ---- tests */

static void test_what_servers_say(_unused_ void **state)
{
	static struct ask a;

	for (size_t i = 0; i < ARRAY_SIZE(zone); i++) {
		const struct row *row = &zone[i];
		unsigned int v4 = 0, v6 = 0;
		struct dns d;

		dns_new(&d, 90 * NSEC_PER_MSEC, 0);
		(void)ask_now(&a, &d, row->name, 0);
		if (a.result != row->result)
			fail_msg("%s (%s): %d", row->name, row->why, a.result);
		if (a.result == 0) {
			uint32_t ttl = MIN(MAX(row->ttl, 1), 300);

			for (int k = 0; k < a.answer.count; k++) {
				v4 += a.answer.addrs[k].family == 4;
				v6 += a.answer.addrs[k].family == 6;
			}
			assert_int_equal(v4, MIN(row->v4, RESOLVE_MAX_ADDRS));
			assert_int_equal(v6, row->v6);
			assert_int_equal(a.answer.truncated, row->v4 + row->v6 > RESOLVE_MAX_ADDRS);
			assert_int_equal(a.answer.ttl, row->what == CHAIN ? 7 : ttl);
		}
		assert_int_equal(d.tcp_queries > 0, row->what == TRUNCATED);
		dns_free(&d);
	}
}

static void test_own_deadline_is_told_apart(_unused_ void **state)
{
	static struct ask a;
	struct dns d;

	dns_new(&d, 5 * NSEC_PER_SEC, 10);
	(void)ask_now(&a, &d, "silent.test", 20 * NSEC_PER_MSEC);
	assert_int_equal(a.result, -ETIME);
	/* The question goes on; who comes later joins it. */
	assert_int_equal(ask_now(&a, &d, "silent.test", 20 * NSEC_PER_MSEC), 0);
	assert_int_equal(a.result, -ETIME);
	dns_free(&d); /* while it is still being asked */
}

static void test_equal_names_are_asked_once(_unused_ void **state)
{
	enum { N = 20 };
	static struct ask a[N];
	struct dns d;

	dns_new(&d, NSEC_PER_SEC, 0);
	for (int i = 0; i < N; i++)
		ask_start(&a[i], &d, i == 7 ? "four.test" : "one.test", 0);
	/* One has had enough; the others must not suffer. */
	assert_int_equal(loop_turn(d.loop, 0), 0);
	co_cancel(a[3].co);
	run_until(&d, 2);
	for (int i = 0; i < N; i++) {
		if (i == 3)
			assert_true(a[i].result == -ECANCELED || a[i].result == 0);
		else
			assert_int_equal(a[i].result, 0);
	}
	assert_int_equal(a[7].answer.count, 3);
	assert_int_equal(a[8].answer.count, 2);
	assert_int_equal(d.queries, 4); /* two names, two families */
	dns_free(&d);
}

static void test_cancel_while_waiting(_unused_ void **state)
{
	static struct ask a, b;
	struct dns d;

	dns_new(&d, 5 * NSEC_PER_SEC, 10);
	ask_start(&a, &d, "silent.test", 0);
	ask_start(&b, &d, "silent.test", 0);
	b.raw_type = TYPE_TXT;
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_turn(d.loop, NSEC_PER_MSEC), 0);
	assert_false(a.done || b.done);
	co_cancel(a.co);
	co_cancel(b.co);
	run_until(&d, 2);
	assert_int_equal(a.result, -ECANCELED);
	assert_int_equal(b.result, -ECANCELED);
	dns_free(&d);
}

static void test_cache_and_its_end(_unused_ void **state)
{
	static struct ask a;
	struct dns d;

	dns_new(&d, NSEC_PER_SEC, 10);
	assert_int_equal(ask_now(&a, &d, "four.test", 0), 2);
	assert_int_equal(ask_now(&a, &d, "four.test", 0), 0);
	assert_int_equal(a.result, 0);
	assert_int_equal(a.answer.count, 3);
	shift = 4 * NSEC_PER_SEC;
	assert_int_equal(loop_turn(d.loop, 0), 0);
	assert_int_equal(ask_now(&a, &d, "four.test", 0), 0);
	shift = 6 * NSEC_PER_SEC; /* its TTL is 5 s */
	assert_int_equal(loop_turn(d.loop, 0), 0);
	assert_int_equal(ask_now(&a, &d, "four.test", 0), 2);
	/* What is not there is remembered for a short time. */
	assert_in_range(ask_now(&a, &d, "nx.test", 0), 1, 2);
	assert_int_equal(ask_now(&a, &d, "nx.test", 0), 0);
	assert_int_equal(a.result, -ENOENT);
	assert_int_equal(ask_now(&a, &d, "empty.test", 0), 2);
	assert_int_equal(ask_now(&a, &d, "empty.test", 0), 0);
	assert_int_equal(a.result, -ENODATA);
	shift = 12 * NSEC_PER_SEC;
	assert_int_equal(loop_turn(d.loop, 0), 0);
	assert_in_range(ask_now(&a, &d, "nx.test", 0), 1, 2);
	/* A failure is not. */
	assert_in_range(ask_now(&a, &d, "servfail.test", 0), 1, 8);
	assert_in_range(ask_now(&a, &d, "servfail.test", 0), 1, 8);
	dns_free(&d);
}

static void test_cache_has_a_cap(_unused_ void **state)
{
	static struct ask a;
	struct dns d;

	dns_new(&d, NSEC_PER_SEC, 2);
	assert_int_equal(ask_now(&a, &d, "one.test", 0), 2);
	assert_int_equal(ask_now(&a, &d, "six.test", 0), 2);
	assert_int_equal(ask_now(&a, &d, "one.test", 0), 0);
	assert_int_equal(ask_now(&a, &d, "four.test", 0),
			 2); /* pushes out what was used least recently */
	assert_int_equal(ask_now(&a, &d, "one.test", 0), 0);
	assert_int_equal(ask_now(&a, &d, "six.test", 0), 2);
	dns_free(&d);
}

static void test_names_are_absolute(_unused_ void **state)
{
	static struct ask a;
	struct dns d;

	assert_int_equal(setenv("LOCALDOMAIN", "evil.test", 1), 0);
	assert_int_equal(setenv("RES_OPTIONS", "ndots:5", 1), 0);
	dns_new(&d, NSEC_PER_SEC, 0);
	(void)ask_now(&a, &d, "single", 0);
	(void)ask_now(&a, &d, "nx.test", 0);
	(void)ask_now(&a, &d, "host", 0);
	assert_int_equal(a.result, 0);
	for (unsigned int i = 0; i < d.queries; i++)
		if (strstr(d.asked[i], "evil"))
			fail_msg("asked for %s", d.asked[i]);
	dns_free(&d);
	(void)unsetenv("LOCALDOMAIN");
	(void)unsetenv("RES_OPTIONS");
}

static void test_raw(_unused_ void **state)
{
	static const struct {
		const char *name;
		int result;
	} rows[] = {
		{ "silent.test", -ETIMEDOUT },
		{ "nx.test", -ENOENT },
		{ "empty.test", -ENODATA },
		{ "servfail.test", -EIO },
		{ "a..b.test", -ENOENT },
		{ "one.test", 0 },
		{ "big.test", 0 },
	};
	static struct ask a;
	struct dns d;

	dns_new(&d, 90 * NSEC_PER_MSEC, 10);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ask_start(&a, &d, rows[i].name, 0);
		a.raw_type = TYPE_TXT;
		assert_int_equal(buf_append(&a.raw, "old", 3), 0);
		run_until(&d, 2);
		assert_int_equal(a.result, rows[i].result);
		if (a.result == 0)
			assert_non_null(memmem(buf_data(&a.raw), buf_len(&a.raw), "\5hello", 6));
		buf_done(&a.raw);
	}
	dns_free(&d);
}

static void test_malformed_names_come_back_at_once(_unused_ void **state)
{
	static const char *const names[] = {
		"a..b",
		".",
		"..",
		"",
		"a\\.b..",
		/* a label of 64 */
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test",
	};
	static struct ask a;
	struct dns d;

	dns_new(&d, 90 * NSEC_PER_MSEC, 10);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)ask_now(&a, &d, names[i], 0);
		assert_true(a.result < 0);
	}
	dns_free(&d);
}

static void test_server_lists(_unused_ void **state)
{
	static const struct {
		const char *servers;
		int result;
	} rows[] = {
		{ "nonsense", -EINVAL },
		{ "127.0.0.1:5353", 0 },
		{ "[::1]:5353", 0 },
		{ "::1", 0 },
		{ "127.0.0.1,[2001:db8::1]:53", 0 },
		{ NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct resolver_config cfg = { .servers = rows[i].servers,
					       .timeout = NSEC_PER_SEC,
					       .seed = seed };
		struct resolver *r = NULL;
		struct loop *l;

		assert_int_equal(loop_new(&loop_epoll, NULL, &l), 0);
		assert_int_equal(resolver_new(l, &cfg, &r), rows[i].result);
		resolver_free(r);
		loop_free(l);
	}
	resolver_free(NULL);
}

/* With a script in the kernel's place: a black hole costs no time, and each operation may fail. */

struct scripted_ask {
	struct resolver *resolver;
	struct answer answer;
	int result;
	bool done;
};

static void scripted_run(void *arg)
{
	struct scripted_ask *a = arg;

	a->result = resolve(a->resolver, "one.test", &a->answer, NSEC_NEVER);
	a->done = true;
	loop_stop(co_loop());
}

static size_t scripted_reply(void *arg, const uint8_t *q, size_t n, uint8_t *out,
			     _unused_ size_t max)
{
	return reply_to(arg, q, n, out, false);
}

static void test_each_operation_fails_once(_unused_ void **state)
{
	static const int errors[] = { ECONNREFUSED, EMFILE, ENOMEM };
	static struct scripted_ask a;
	unsigned int ops = 1;

	for (size_t e = 0; e < ARRAY_SIZE(errors); e++) {
		for (unsigned int nth = 0; nth <= ops; nth++) {
			struct script *s = script_new();
			struct resolver_config cfg = { .servers = "192.0.2.53",
						       .timeout = 60 * NSEC_PER_MSEC,
						       .seed = seed };
			static struct dns counts;

			script_udp_server(s, "192.0.2.53:53", scripted_reply, &counts);
			assert_int_equal(resolver_new(script_loop(s), &cfg, &a.resolver), 0);
			script_fail_nth(s, nth, errors[e]);
			a.done = false;
			assert_int_equal(co_spawn(script_loop(s), scripted_run, &a, NULL), 0);
			assert_int_equal(script_run(s), 0);
			assert_true(a.done);
			if (nth == 0) {
				assert_int_equal(a.result, 0);
				assert_int_equal(a.answer.count, 2);
				ops = script_ops_done(s);
				assert_in_range(ops, 5, 100);
			}
			resolver_free(a.resolver);
			script_free(s);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_servers_say),
		cmocka_unit_test(test_malformed_names_come_back_at_once),
		cmocka_unit_test(test_own_deadline_is_told_apart),
		cmocka_unit_test(test_equal_names_are_asked_once),
		cmocka_unit_test(test_cancel_while_waiting),
		cmocka_unit_test(test_cache_and_its_end),
		cmocka_unit_test(test_cache_has_a_cap),
		cmocka_unit_test(test_names_are_absolute),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_server_lists),
		cmocka_unit_test(test_each_operation_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
