/* SPDX-License-Identifier: Apache-2.0 */
/* The setup messages: everything arrives, nothing malformed does, and no descriptor leaks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/setup.h"

#define ARENA_MAX (32 * 1024 * 1024)
#define SEALS	  (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static size_t count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static size_t open_before;

static int setup(void **state)
{
	(void)state;
	open_before = count_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(count_open(), open_before);
	return 0;
}

static void receive_proxy(const struct proxy_setup *s, struct message *m)
{
	int p[2];

	assert_int_equal(channel_pair(p), 0);
	assert_int_equal(proxy_setup_send(p[0], s), 0);
	(void)close(p[0]);
	assert_int_equal(channel_recv(p[1], m), 0);
	(void)close(p[1]);
}

static void receive_init(const struct init_setup *s, struct message *m)
{
	int p[2];

	assert_int_equal(channel_pair(p), 0);
	assert_int_equal(init_setup_send(p[0], s), 0);
	(void)close(p[0]);
	assert_int_equal(channel_recv(p[1], m), 0);
	(void)close(p[1]);
}

/* Those that were sent, and new descriptors; closes them. */
static void must_have_two_fds(const struct proxy_setup *got)
{
	for (int i = 0; i < PROXY_FD_COUNT; i++) {
		bool sent = i == PROXY_FD_TCP6 || i == PROXY_FD_AUDIT;

		assert_int_equal(got->fds[i] >= 0, sent);
		if (sent) {
			assert_int_not_equal(got->fds[i], STDERR_FILENO);
			assert_int_equal(close(got->fds[i]), 0);
		}
	}
}

static void test_proxy_setup_round_trip(void **state)
{
	static const struct setup_rule rules[] = {
		{ false, false, "*.example.com:443", "--allow-domain" },
		{ true, false, "10.0.0.0/8:5432", "" },
		{ false, true, "evil.example", "a.json:3" },
	};
	struct proxy_setup s = PROXY_SETUP_INIT, got = PROXY_SETUP_INIT;
	struct message m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);

	(void)state;
	s.session = "0123456789abcdef";
	s.cgroup = "/nono-proxy/x";
	s.resolvers = NULL;
	s.netns_cookie = UINT64_MAX - 1;
	s.uid = 65534;
	s.gid = UINT32_MAX;
	s.max_connections = 1;
	s.max_names_per_wildcard = 2;
	s.dns_timeout_ms = 3;
	s.connect_timeout_ms = 4;
	s.first_bytes_timeout_ms = 5;
	s.idle_timeout_ms = 6;
	s.log_level = 7;
	s.log_json = true;
	s.rules = rules;
	s.rule_count = ARRAY_SIZE(rules);
	s.fds[PROXY_FD_TCP6] = STDERR_FILENO;
	s.fds[PROXY_FD_AUDIT] = STDERR_FILENO;
	receive_proxy(&s, &m);
	assert_int_equal(proxy_setup_get(&m, &arena, &got), 0);
	message_done(&m);
	assert_string_equal(got.session, s.session);
	assert_string_equal(got.cgroup, s.cgroup);
	assert_string_equal(got.resolvers, "");
	assert_true(got.netns_cookie == s.netns_cookie);
	assert_int_equal(got.uid, s.uid);
	assert_int_equal(got.gid, s.gid);
	assert_int_equal(got.max_connections, 1);
	assert_int_equal(got.max_names_per_wildcard, 2);
	assert_int_equal(got.dns_timeout_ms, 3);
	assert_int_equal(got.connect_timeout_ms, 4);
	assert_int_equal(got.first_bytes_timeout_ms, 5);
	assert_int_equal(got.idle_timeout_ms, 6);
	assert_int_equal(got.log_level, 7);
	assert_false(got.monitor);
	assert_true(got.log_json);
	assert_false(got.verbose);
	assert_int_equal(got.rule_count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(got.rules[i].cidr, rules[i].cidr);
		assert_int_equal(got.rules[i].deny, rules[i].deny);
		assert_string_equal(got.rules[i].text, rules[i].text);
		assert_string_equal(got.rules[i].origin, rules[i].origin);
	}
	must_have_two_fds(&got);
	arena_done(&arena);
}

/* All that there can be: each port has its listener, in order, behind all others. */
static void test_published_ports(void **state)
{
	struct proxy_setup s = PROXY_SETUP_INIT, got = PROXY_SETUP_INIT;
	struct message m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);
	int files[PUBLISH_MAX];

	(void)state;
	for (int i = 0; i < PROXY_FD_COUNT; i++)
		s.fds[i] = STDERR_FILENO;
	for (int i = 0; i < PUBLISH_MAX; i++) {
		files[i] = memfd_create("x", MFD_CLOEXEC);
		s.publish[i] = (uint16_t)(65535 - i);
		s.publish_fds[i] = files[i];
	}
	s.publish_count = PUBLISH_MAX;
	receive_proxy(&s, &m);
	assert_int_equal(proxy_setup_get(&m, &arena, &got), 0);
	message_done(&m);
	assert_int_equal(got.publish_count, PUBLISH_MAX);
	for (int i = 0; i < PUBLISH_MAX; i++) {
		struct stat a, b;

		assert_int_equal(got.publish[i], 65535 - i);
		assert_int_equal(fstat(files[i], &a), 0);
		assert_int_equal(fstat(got.publish_fds[i], &b), 0);
		assert_true(a.st_ino == b.st_ino);
		(void)close(files[i]);
		(void)close(got.publish_fds[i]);
	}
	for (int i = 0; i < PROXY_FD_COUNT; i++)
		(void)close(got.fds[i]);
	s.publish_count = PUBLISH_MAX + 1;
	assert_int_equal(proxy_setup_send(STDERR_FILENO, &s), -E2BIG);
	arena_done(&arena);
}

static void test_published_ports_refused(void **state)
{
	struct proxy_setup s = PROXY_SETUP_INIT, got;
	struct message m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);

	(void)state;
	s.publish_fds[0] = s.publish_fds[1] = STDERR_FILENO;
	s.publish[0] = 3000;
	s.publish_count = 2; /* and the second is 0 */
	receive_proxy(&s, &m);
	assert_int_equal(proxy_setup_get(&m, &arena, &got), -EBADMSG);
	s.publish[1] = 3001;
	receive_proxy(&s, &m);
	(void)close(m.fds[--m.fd_count]); /* a port without its listener */
	assert_int_equal(proxy_setup_get(&m, &arena, &got), -EBADMSG);
	message_done(&m);
	arena_done(&arena);
}

/* More than a message can hold: 40 000 rules. */
static void test_proxy_setup_with_many_rules(void **state)
{
	enum { COUNT = 40000 };
	struct setup_rule *rules = calloc(COUNT, sizeof(*rules));
	struct proxy_setup s = PROXY_SETUP_INIT, got;
	struct message m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);

	(void)state;
	assert_non_null(rules);
	for (size_t i = 0; i < COUNT; i++)
		rules[i] = (struct setup_rule){ false, i & 1, "registry.npmjs.org:443",
						"--preset" };
	s.rules = rules;
	s.rule_count = COUNT;
	receive_proxy(&s, &m);
	assert_int_equal(proxy_setup_get(&m, &arena, &got), 0);
	assert_int_equal(got.rule_count, COUNT);
	assert_true(got.rules[COUNT - 1].deny);
	assert_string_equal(got.rules[COUNT - 1].text, "registry.npmjs.org:443");
	message_done(&m);
	arena_done(&arena);
	free(rules);
}

static void test_proxy_setup_without_memory(void **state)
{
	static const struct setup_rule rule = { false, false, "example.com", "x" };
	struct proxy_setup s = PROXY_SETUP_INIT, got = PROXY_SETUP_INIT;
	struct message m = MESSAGE_INIT;

	(void)state;
	s.rules = &rule;
	s.rule_count = 1;
	s.fds[PROXY_FD_TCP4] = STDERR_FILENO;
	receive_proxy(&s, &m);
	for (size_t max = 0; max < 8; max++) {
		struct arena arena = ARENA_INIT(max);

		assert_int_equal(proxy_setup_get(&m, &arena, &got), -ENOMEM);
		arena_done(&arena);
	}
	assert_int_equal(got.fds[PROXY_FD_TCP4], -EBADF);
	message_done(&m);
}

static const char *const argv_[] = { "sh", "-c", "", NULL };
static const char *const envp_[] = { "A=1", "PATH=/bin", NULL };
static const char *const mask_[] = { "/tmp/a b\n", NULL };
static const char *const allow_[] = { "/run/x", "/y", NULL };

static void test_init_setup_round_trip(void **state)
{
	const struct init_setup s = { .uid = 1000,
				      .gid = 1001,
				      .private_network = true,
				      .cwd = "/home/x",
				      .resolv_conf = "nameserver 127.0.0.1\n",
				      .mask = mask_,
				      .allow = allow_,
				      .argv = argv_,
				      .envp = envp_ };
	struct init_setup got;
	struct message m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);

	(void)state;
	receive_init(&s, &m);
	assert_int_equal(init_setup_get(&m, &arena, &got), 0);
	message_done(&m);
	assert_int_equal(got.uid, 1000);
	assert_int_equal(got.gid, 1001);
	assert_false(got.root_caps);
	assert_true(got.private_network);
	assert_false(got.private_dev);
	assert_string_equal(got.cwd, "/home/x");
	assert_string_equal(got.resolv_conf, s.resolv_conf);
	assert_string_equal(got.hosts, "");
	assert_string_equal(got.command_tty, "");
	assert_string_equal(got.mask[0], mask_[0]);
	assert_null(got.mask[1]);
	assert_string_equal(got.allow[0], allow_[0]);
	assert_string_equal(got.allow[1], allow_[1]);
	assert_null(got.allow[2]);
	for (int i = 0; i < 3; i++)
		assert_string_equal(got.argv[i], argv_[i]);
	assert_null(got.argv[3]);
	assert_string_equal(got.envp[1], "PATH=/bin");
	assert_null(got.envp[2]);
	arena_done(&arena);
}

static void test_init_setup_with_a_large_environment(void **state)
{
	enum { SIZE = 2 * 1024 * 1024 };
	char *big = malloc(SIZE);
	const char *envp[] = { big, NULL };
	struct init_setup s = { .argv = argv_, .envp = envp }, got;
	struct message m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);
	int p[2];

	(void)state;
	assert_non_null(big);
	memset(big, 'e', SIZE);
	big[SIZE - 1] = '\0';
	receive_init(&s, &m);
	assert_int_equal(init_setup_get(&m, &arena, &got), 0);
	assert_string_equal(got.envp[0], big);
	message_done(&m);
	arena_done(&arena);

	/* And one that no kernel would take. */
	const char *many[] = { big, big, big, big, big, NULL };

	s.envp = many;
	assert_int_equal(channel_pair(p), 0);
	assert_int_equal(init_setup_send(p[0], &s), -E2BIG);
	(void)close(p[0]);
	(void)close(p[1]);
	free(big);
}

static int memory_file(const void *bytes, size_t n, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* A message as the other side could have made it. */
static void forge(struct message *m, enum message_type type, uint32_t n, int file)
{
	message_done(m);
	m->type = type;
	assert_int_equal(buf_append_u32(&m->body, n), 0);
	m->fds[0] = file;
	m->fd_count = 1;
}

/* The fields of a good message. */
static size_t fields_of(const struct message *m, uint8_t *ret, size_t max)
{
	uint32_t n;

	assert_int_equal(message_u32(m, &n), 0);
	assert_true(n <= max);
	assert_int_equal(pread(m->fds[0], ret, n, 0), n);
	return n;
}

static const struct init_setup small = {
	.uid = 1, .cwd = "/", .resolv_conf = "r", .mask = mask_, .argv = argv_, .envp = envp_
};

static void test_file_that_is_not_what_it_should_be(void **state)
{
	struct message good = MESSAGE_INIT, m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);
	struct init_setup got;
	uint8_t bytes[512];
	uint32_t n;

	(void)state;
	receive_init(&small, &good);
	n = (uint32_t)fields_of(&good, bytes, sizeof(bytes));
	message_done(&good);

	const struct {
		const char *why;
		int r;
		enum message_type type;
		uint32_t n;
		int seals;
	} rows[] = {
		{ "as it should be", 0, MSG_INIT_SETUP, n, SEALS },
		{ "not sealed", -EBADMSG, MSG_INIT_SETUP, n, 0 },
		{ "can still be written", -EBADMSG, MSG_INIT_SETUP, n, SEALS & ~F_SEAL_WRITE },
		{ "can still shrink", -EBADMSG, MSG_INIT_SETUP, n, SEALS & ~F_SEAL_SHRINK },
		{ "another type", -EBADMSG, MSG_PROXY_SETUP, n, SEALS },
		{ "no length", -EBADMSG, MSG_INIT_SETUP, 0, SEALS },
		{ "longer than the file", -EBADMSG, MSG_INIT_SETUP, n + 1, SEALS },
		{ "shorter than the file", -EBADMSG, MSG_INIT_SETUP, n - 1, SEALS },
		{ "absurdly long", -EBADMSG, MSG_INIT_SETUP, UINT32_MAX, SEALS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		forge(&m, rows[i].type, rows[i].n, memory_file(bytes, n, rows[i].seals));
		if (init_setup_get(&m, &arena, &got) != rows[i].r)
			fail_msg("wrong: %s", rows[i].why);
	}
	/* No file at all, and something that is none. */
	forge(&m, MSG_INIT_SETUP, n, dup(STDERR_FILENO));
	assert_int_equal(init_setup_get(&m, &arena, &got), -EBADMSG);
	(void)close(message_take_fd(&m, 0));
	assert_int_equal(init_setup_get(&m, &arena, &got), -EBADMSG);
	m.fd_count = 0;
	assert_int_equal(init_setup_get(&m, &arena, &got), -EBADMSG);
	message_done(&m);
	arena_done(&arena);
}

static int get_forged_init(const uint8_t *bytes, size_t n, struct init_setup *ret,
			   struct arena *arena)
{
	struct message m = MESSAGE_INIT;
	int r;

	forge(&m, MSG_INIT_SETUP, (uint32_t)n, memory_file(bytes, n, SEALS));
	r = init_setup_get(&m, arena, ret);
	message_done(&m);
	return r;
}

static void test_init_setup_cut_anywhere(void **state)
{
	struct message good = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);
	struct init_setup got;
	uint8_t bytes[512];
	size_t n;

	(void)state;
	receive_init(&small, &good);
	n = fields_of(&good, bytes, sizeof(bytes) - 1);
	message_done(&good);
	for (size_t cut = 1; cut < n; cut++)
		assert_int_equal(get_forged_init(bytes, cut, &got, &arena), -EBADMSG);
	bytes[n] = 0;
	assert_int_equal(get_forged_init(bytes, n + 1, &got, &arena), -EBADMSG);
	assert_int_equal(get_forged_init(bytes, n, &got, &arena), 0);
	/* The first field after the numbers is a truth value. */
	bytes[8] = 2;
	assert_int_equal(get_forged_init(bytes, n, &got, &arena), -EBADMSG);
	arena_done(&arena);
}

static void test_init_setup_refused(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const empty[] = { "", NULL };
	struct init_setup s = small, got;
	struct message m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);
	uint8_t bytes[512], *at;
	size_t n;

	(void)state;
	s.argv = none;
	receive_init(&s, &m);
	assert_int_equal(init_setup_get(&m, &arena, &got), -EBADMSG);
	s.argv = empty;
	receive_init(&s, &m);
	assert_int_equal(init_setup_get(&m, &arena, &got), -EBADMSG);
	/* A NUL in the middle of a string. */
	receive_init(&small, &m);
	n = fields_of(&m, bytes, sizeof(bytes));
	at = memmem(bytes, n, "PATH", 4);
	assert_non_null(at);
	*at = '\0';
	assert_int_equal(get_forged_init(bytes, n, &got, &arena), -EBADMSG);
	message_done(&m);
	arena_done(&arena);
}

static void test_descriptors_that_do_not_match_are_refused(void **state)
{
	struct proxy_setup s = PROXY_SETUP_INIT, got;
	struct message m = MESSAGE_INIT;
	struct arena arena = ARENA_INIT(ARENA_MAX);

	(void)state;
	s.fds[PROXY_FD_TCP4] = STDERR_FILENO;
	receive_proxy(&s, &m);
	m.fds[m.fd_count++] = dup(STDERR_FILENO);
	assert_int_equal(proxy_setup_get(&m, &arena, &got), -EBADMSG);
	(void)close(m.fds[--m.fd_count]);
	(void)close(m.fds[--m.fd_count]);
	assert_int_equal(proxy_setup_get(&m, &arena, &got), -EBADMSG);
	message_done(&m);
	arena_done(&arena);
}

/* Random changes to good messages, and random bytes: every answer is one of three, and memory stays
 * within the arena. */
static void test_random_bytes(void **state)
{
	uint64_t x = 2463534242ULL;
	struct message good = MESSAGE_INIT;
	uint8_t bytes[512], changed[512];
	size_t n;

	(void)state;
	receive_init(&small, &good);
	n = fields_of(&good, bytes, sizeof(bytes));
	message_done(&good);
	for (int i = 0; i < 3000; i++) {
		struct arena arena = ARENA_INIT(64 * 1024);
		struct message m = MESSAGE_INIT;
		struct proxy_setup proxy;
		struct init_setup init;
		int r;

		memcpy(changed, bytes, n);
		for (int k = 0; k < 1 + i % 4 * 16; k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			changed[(x >> 8) % n] = x & 0x10000000 ? (uint8_t)x : (uint8_t)(x & 3);
		}
		forge(&m, MSG_INIT_SETUP, (uint32_t)n, memory_file(changed, n, SEALS));
		r = init_setup_get(&m, &arena, &init);
		assert_true(r == 0 || r == -EBADMSG || r == -ENOMEM);
		if (r == 0)
			assert_true(init.argv[0][0] != '\0');
		m.type = MSG_PROXY_SETUP;
		r = proxy_setup_get(&m, &arena, &proxy);
		assert_true(r == 0 || r == -EBADMSG || r == -ENOMEM);
		message_done(&m);
		arena_done(&arena);
	}
}

#define no_leaks(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		no_leaks(test_proxy_setup_round_trip),
		no_leaks(test_published_ports),
		no_leaks(test_published_ports_refused),
		no_leaks(test_proxy_setup_with_many_rules),
		no_leaks(test_proxy_setup_without_memory),
		no_leaks(test_init_setup_round_trip),
		no_leaks(test_init_setup_with_a_large_environment),
		no_leaks(test_file_that_is_not_what_it_should_be),
		no_leaks(test_init_setup_cut_anywhere),
		no_leaks(test_init_setup_refused),
		no_leaks(test_descriptors_that_do_not_match_are_refused),
		no_leaks(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
