/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/secret.h"

/* The address sanitizer replaces mlock() by nothing, and says that it worked. */
#if defined(__SANITIZE_ADDRESS__)
#define MLOCK_WORKS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MLOCK_WORKS false
#endif
#endif
#ifndef MLOCK_WORKS
#define MLOCK_WORKS true
#endif

/* Runs `fn` in a child and returns its wait status. */
static int in_child(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		const struct rlimit no_core = { 0, 0 };

		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)signal(SIGSEGV,
			     SIG_DFL); /* the test library would go on with the next test */
		fn(arg);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool faulted(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void read_byte(void *arg)
{
	volatile uint8_t *p = arg;

	(void)*p;
}

static void test_guards_on_both_sides(void **state)
{
	static const size_t lengths[] = { 1, 16, 17, 32, 64, 4095, 4096, 4097, 10000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		_cleanup_secret_ struct secret s = { 0 };
		size_t page = (size_t)sysconf(_SC_PAGESIZE), past = (lengths[i] + 15) / 16 * 16;
		uint8_t *first;

		assert_int_equal(secret_alloc(&s, lengths[i]), 0);
		first = s.p - (uintptr_t)s.p % page;
		assert_true(faulted(in_child(read_byte, s.p + past)));
		assert_true(faulted(in_child(read_byte, first - 1)));
		assert_int_equal(in_child(read_byte, s.p), 0);
		assert_int_equal(in_child(read_byte, s.p + past - 1), 0);
	}
}

static void test_room_is_zeroed_and_writable(void **state)
{
	static const size_t lengths[] = { 0, 1, 15, 16, 4096, 70000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		_cleanup_secret_ struct secret s = { 0 };

		assert_int_equal(secret_alloc(&s, lengths[i]), 0);
		assert_int_equal(s.n, lengths[i]);
		for (size_t k = 0; k < s.n; k++)
			assert_int_equal(s.p[k], 0);
		memset(s.p, 0xaa, s.n);
	}
}

/* The VmFlags line of /proc/self/smaps for the mapping that holds p, with a space at both ends. */
static bool has_flag(const void *p, const char *flag)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512], want[8];
	bool inside = false, found = false;

	assert_non_null(f);
	(void)snprintf(want, sizeof(want), " %s ", flag);
	while (fgets(line, sizeof(line), f)) {
		unsigned long long from, to;

		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			inside = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, want) != NULL;
	}
	(void)fclose(f);
	return found;
}

static void test_pages_are_marked(void **state)
{
	_cleanup_secret_ struct secret s = { 0 };
	_cleanup_free_ uint8_t *plain = malloc(64);

	(void)state;
	assert_int_equal(secret_alloc(&s, 64), 0);
	assert_true(has_flag(s.p, "dd")); /* not dumped */
	assert_true(has_flag(s.p, "wf")); /* wiped on fork */
	if (MLOCK_WORKS)
		assert_int_equal(has_flag(s.p, "lo"), secret_locked(&s));
	assert_false(has_flag(plain, "dd"));
}

static void see_the_secret(void *arg)
{
	const struct secret *s = arg;

	for (size_t i = 0; i < s->n; i++)
		if (s->p[i])
			_exit(1);
}

static void test_forked_child_sees_zeros(void **state)
{
	_cleanup_secret_ struct secret s = { 0 };

	(void)state;
	assert_int_equal(secret_alloc(&s, 5000), 0);
	memset(s.p, 'k', s.n);
	assert_int_equal(in_child(see_the_secret, &s), 0);
	assert_int_equal(s.p[4999], 'k');
}

static void alloc_without_lock(void *arg)
{
	const struct rlimit none = { 0, 0 };
	struct secret s = { 0 };

	(void)arg;
	/* Root may lock without limit: become somebody else. */
	if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setuid(65534) < 0))
		_exit(2);
	if (secret_alloc(&s, 32) < 0)
		_exit(3);
	if (secret_locked(&s))
		_exit(4);
	s.p[31] = 1;
	secret_done(&s);
}

static void test_lock_is_best_effort_and_told(void **state)
{
	(void)state;
	if (!MLOCK_WORKS)
		skip();
	assert_int_equal(in_child(alloc_without_lock, NULL), 0);
}

static void test_done_unmaps_everything(void **state)
{
	struct secret s = { 0 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE), map;
	uint8_t *base;

	(void)state;
	secret_done(&s);
	assert_int_equal(secret_alloc(&s, 5000), 0);
	base = s.p - (uintptr_t)s.p % page - page;
	map = s.map;
	s.n = 3; /* a caller that needed less than it had asked for */
	secret_done(&s);
	assert_null(s.p);
	for (size_t off = 0; off < map; off += page) {
		assert_int_equal(msync(base + off, page, MS_ASYNC), -1);
		assert_int_equal(errno, ENOMEM); /* nothing is mapped there */
	}
	secret_done(&s);
}

static void test_impossible_size_leaves_the_output(void **state)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2, SIZE_MAX / 4 };
	uint8_t mine;
	struct secret s = { .p = &mine, .n = 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_int_equal(secret_alloc(&s, sizes[i]), -ENOMEM);
	assert_ptr_equal(s.p, &mine);
	assert_int_equal(s.n, 1);
}

static void test_wipe_zeroes_exactly(void **state)
{
	char text[] = "xsecretx";

	(void)state;
	secret_wipe(text + 1, 6);
	assert_memory_equal(text, "x\0\0\0\0\0\0x", 8);
	secret_wipe(NULL, 0);
}

static void test_equal_only_if_each_bit_is(void **state)
{
	uint8_t a[64], b[64];

	(void)state;
	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = b[i] = (uint8_t)(i * 7);
	assert_true(secret_equal(a, 64, b, 64));
	for (size_t bit = 0; bit < 64 * 8; bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(secret_equal(a, 64, b, 64));
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	memset(a, 0xff, 64);
	memset(b, 0x00, 64);
	assert_false(secret_equal(a, 64, b, 64));
}

static void test_lengths_differ_unequal(void **state)
{
	(void)state;
	assert_false(secret_equal("abc", 3, "abcd", 4));
	assert_false(secret_equal("abc", 3, "abc", 0));
	assert_false(secret_equal(NULL, 0, "abc", 3));
	assert_true(secret_equal("abc", 0, "xyz", 0));
	assert_true(secret_equal(NULL, 0, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guards_on_both_sides),
		cmocka_unit_test(test_room_is_zeroed_and_writable),
		cmocka_unit_test(test_pages_are_marked),
		cmocka_unit_test(test_forked_child_sees_zeros),
		cmocka_unit_test(test_lock_is_best_effort_and_told),
		cmocka_unit_test(test_done_unmaps_everything),
		cmocka_unit_test(test_impossible_size_leaves_the_output),
		cmocka_unit_test(test_wipe_zeroes_exactly),
		cmocka_unit_test(test_equal_only_if_each_bit_is),
		cmocka_unit_test(test_lengths_differ_unequal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
