/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/alloc_fail.h"

#include "base/arena.c"

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static void test_cap_is_never_passed(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(1000);
	size_t given = 0;

	(void)state;
	assert_null(arena_alloc(&a, 1001));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 8));
	assert_null(arena_strndup(&a, "x", SIZE_MAX));
	assert_int_equal(a.used, 0);
	while (arena_alloc(&a, 7))
		given += 7;
	assert_true(given >= 1000 / 16 * 7); /* no more is lost than alignment costs */
	assert_true(a.used <= 1000);
	assert_null(arena_alloc(&a, 7));
}

static void test_cap_can_be_used_whole(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(10000);
	uint8_t *p = arena_alloc(&a, 10000);

	(void)state;
	assert_non_null(p);
	assert_true(is_zero(p, 10000));
	memset(p, 1, 10000);
	assert_null(arena_strdup(&a, ""));
}

static void test_zero_cap_gives_nothing(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(0);

	(void)state;
	assert_null(arena_alloc(&a, 0));
	assert_null(arena_strdup(&a, ""));
}

static void test_results_are_aligned_zeroed_and_apart(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(1 << 20);
	uint8_t *all[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		size_t n = i * 37 % 1500; /* crosses block borders in many ways */

		assert_non_null(arena_strdup(&a, "odd")); /* disturbs the alignment */
		all[i] = arena_alloc(&a, n);
		assert_non_null(all[i]);
		assert_int_equal((uintptr_t)all[i] % _Alignof(max_align_t), 0);
		assert_true(is_zero(all[i], n));
		memset(all[i], (int)(i & 255), n);
	}
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t k = 0; k < i * 37 % 1500; k++)
			assert_int_equal(all[i][k], i & 255);
}

static void test_copies_are_terminated_and_exact(void **state)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(100);
	const char raw[] = { 'a', '\0', 'b' };
	char *copy;

	(void)state;
	assert_string_equal(arena_strndup(&a, "example.org", 7), "example");
	assert_string_equal(arena_strdup(&a, "x"), "x");
	assert_string_equal(arena_strndup(&a, NULL, 0), "");
	copy = arena_strndup(&a, raw, sizeof(raw));
	assert_memory_equal(copy, "a\0b", 4);	 /* its NUL included, not cut at the first one */
	assert_int_equal(a.used, 8 + 2 + 1 + 4); /* texts are packed */
}

/* What is taken from the system stays in proportion to the cap for the worst sizes too. */
static void test_waste_is_bounded(void **state)
{
	static const size_t sizes[] = { 1, 16, 129, 2049, 4095, 4097, 5000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_arena_ struct arena a = ARENA_INIT(200000);
		size_t taken = 0;

		while (arena_alloc(&a, sizes[i]) && arena_alloc(&a, 1))
			;
		for (const struct arena_block *b = a.blocks; b; b = b->next)
			taken += sizeof(*b) + b->size;
		assert_true(taken <= 2 * a.max + a.max / 8);
	}
}

static void test_done_arena_can_be_used_again(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 64);
	assert_non_null(arena_alloc(&a, 64));
	assert_null(arena_alloc(&a, 1));
	arena_done(&a);
	arena_done(&a);
	assert_non_null(arena_alloc(&a, 64));
	arena_done(&a);
	assert_int_equal(alloc_live, 0);
}

static void test_memory_fails_what_was_given_stays(void **state)
{
	long k;

	(void)state;
	for (k = 0;; k++) {
		struct arena a = ARENA_INIT(100000);
		char *kept[40] = { NULL };
		size_t n = 0;

		alloc_fail_at(k);
		while (n < ARRAY_SIZE(kept) && (kept[n] = arena_alloc(&a, 500)))
			memset(kept[n++], 'k', 500);
		if (!alloc_failed()) {
			arena_done(&a);
			break;
		}
		assert_true(n < ARRAY_SIZE(kept));
		assert_true(a.used <= n * 512);
		alloc_fail_at(-1);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(kept[i][499], 'k');
		assert_non_null(arena_alloc(&a, 500)); /* the next one works again */
		arena_done(&a);
		assert_int_equal(alloc_live, 0);
	}
	alloc_fail_at(-1);
	assert_true(k >= 4);
	assert_int_equal(alloc_live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap_is_never_passed),
		cmocka_unit_test(test_cap_can_be_used_whole),
		cmocka_unit_test(test_zero_cap_gives_nothing),
		cmocka_unit_test(test_results_are_aligned_zeroed_and_apart),
		cmocka_unit_test(test_copies_are_terminated_and_exact),
		cmocka_unit_test(test_waste_is_bounded),
		cmocka_unit_test(test_done_arena_can_be_used_again),
		cmocka_unit_test(test_memory_fails_what_was_given_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
