/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/alloc_fail.h"

#include "base/buf.c"

static void test_append_past_max_changes_nothing(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(10);
	volatile size_t huge = SIZE_MAX; /* the compiler would warn of the constant */

	(void)state;
	assert_int_equal(buf_append(&b, "01234567", 8), 0);
	assert_int_equal(buf_append(&b, "abc", 3), -ENOSPC);
	assert_int_equal(buf_append_u32(&b, 1), -ENOSPC);
	assert_int_equal(buf_printf(&b, "%s", "abc"), -ENOSPC);
	assert_int_equal(buf_append(&b, "x", huge), -ENOSPC);
	assert_null(buf_reserve(&b, 3));
	assert_null(buf_reserve(&b, huge));
	assert_int_equal(buf_len(&b), 8);
	assert_memory_equal(buf_data(&b), "01234567", 8);
	assert_int_equal(buf_append(&b, "ab", 2), 0);
	assert_memory_equal(buf_data(&b), "01234567ab", 10);
	assert_true(b.cap <= b.max);
}

static void test_max_zero_holds_nothing(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(0);

	(void)state;
	assert_int_equal(buf_append(&b, "", 0), 0);
	assert_int_equal(buf_printf(&b, "%s", ""), 0);
	assert_int_equal(buf_append_u8(&b, 1), -ENOSPC);
	assert_int_equal(buf_printf(&b, "x"), -ENOSPC);
	assert_int_equal(buf_len(&b), 0);
}

static void test_consumed_room_is_used_again_up_to_max(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	uint8_t all[100];

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	assert_int_equal(buf_append(&b, all, 100), 0);
	buf_consume(&b, 1);
	assert_int_equal(buf_append(&b, "xy", 2), -ENOSPC);
	assert_int_equal(buf_append(&b, "x", 1), 0);
	assert_int_equal(buf_len(&b), 100);
	assert_memory_equal(buf_data(&b), all + 1, 99);
	assert_int_equal(buf_data(&b)[99], 'x');
	assert_true(b.cap <= 100);
}

static void test_reserve_gives_room_that_commit_makes_content(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(5000);
	uint8_t *p;

	(void)state;
	assert_int_equal(buf_append_str(&b, STR_LIT("head")), 0);
	p = buf_reserve(&b, 4000);
	assert_non_null(p);
	memset(p, 'z', 4000); /* the sanitizer says if it is less */
	buf_commit(&b, 3);
	assert_true(str_eq(buf_str(&b), STR_LIT("headzzz")));
	buf_consume(&b, 4);
	assert_true(str_eq(buf_str(&b), STR_LIT("zzz")));
	buf_truncate(&b, 1);
	assert_true(str_eq(buf_str(&b), STR_LIT("z")));
	buf_consume(&b, 1);
	assert_int_equal(b.start, 0);
	assert_non_null(buf_reserve(&b, 0));
}

static void test_numbers_are_big_endian(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(7);

	(void)state;
	assert_int_equal(buf_append_u8(&b, 0x01), 0);
	assert_int_equal(buf_append_u16(&b, 0x0203), 0);
	assert_int_equal(buf_append_u32(&b, 0xf4050607), 0);
	assert_memory_equal(buf_data(&b), "\x01\x02\x03\xf4\x05\x06\x07", 7);
}

static void test_printf_fills_to_the_last_byte_and_no_further(void **state)
{
	char text[201];

	(void)state;
	memset(text, 'a', 200);
	text[200] = '\0';
	/* Every split of a 200-byte buffer between what is there and what is printed. */
	for (int before = 0; before <= 200; before++) {
		_cleanup_buf_ struct buf b = BUF_INIT(200);

		assert_int_equal(buf_append(&b, text, (size_t)before), 0);
		assert_int_equal(buf_printf(&b, "%.*s", 200 - before, text), 0);
		assert_int_equal(buf_printf(&b, "x"), -ENOSPC);
		assert_int_equal(buf_len(&b), 200);
		assert_memory_equal(buf_data(&b), text, 200);
	}
}

/* Random operations against an array that does the same, and the number of bytes moved stays
 * proportional. */
static void test_random_operations_match_a_plain_array(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(700);
	uint8_t model[700];
	size_t n = 0;
	uint32_t rnd = 12345;

	(void)state;
	for (int step = 0; step < 20000; step++) {
		uint8_t bytes[128];
		size_t k;

		rnd = rnd * 1664525 + 1013904223;
		k = rnd >> 24 & 127;
		if (rnd >> 16 & 1) {
			memset(bytes, (int)(rnd >> 8 & 255), k);
			if (n + k > sizeof(model)) {
				assert_int_equal(buf_append(&b, bytes, k), -ENOSPC);
			} else {
				assert_int_equal(buf_append(&b, bytes, k), 0);
				memcpy(model + n, bytes, k);
				n += k;
			}
		} else {
			k = MIN(k, n);
			buf_consume(&b, k);
			memmove(model, model + k, n - k);
			n -= k;
		}
		assert_int_equal(buf_len(&b), n);
		if (n)
			assert_memory_equal(buf_data(&b), model, n);
		assert_true(b.start <= b.end && b.end <= b.cap && b.cap <= b.max);
	}
}

static void test_done_buffer_can_be_used_again(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 3);
	assert_int_equal(buf_append(&b, "abc", 3), 0);
	buf_done(&b);
	buf_done(&b);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_append(&b, "abcd", 4), -ENOSPC);
	assert_int_equal(buf_append(&b, "def", 3), 0);
	buf_done(&b);
	assert_int_equal(alloc_live, 0);
}

static int grow_in_four_ways(struct buf *b)
{
	int r = buf_append(b, "0123456789", 10);

	if (r == 0)
		r = buf_printf(b, "%0100d", 7);
	if (r == 0)
		buf_consume(b, 3);
	if (r == 0 && !buf_reserve(b, 1000))
		r = -ENOMEM;
	if (r == 0)
		r = buf_printf(b, "%3000s", "x");
	return r;
}

/* Each allocation fails once: -ENOMEM, the content before it intact, nothing leaks. */
static void test_memory_fails_content_stays(void **state)
{
	long failures = 0;

	(void)state;
	for (long k = 0;; k++) {
		struct buf b = BUF_INIT(8000);
		int r;

		alloc_fail_at(k);
		r = grow_in_four_ways(&b);
		if (!alloc_failed()) {
			assert_int_equal(r, 0);
			buf_done(&b);
			break;
		}
		failures++;
		assert_int_equal(r, -ENOMEM);
		alloc_fail_at(-1);
		if (k == 0)
			assert_int_equal(buf_len(&b), 0);
		else if (k == 1)
			assert_true(str_eq(buf_str(&b), STR_LIT("0123456789")));
		else
			assert_memory_equal(buf_data(&b), "3456789000", 10);
		assert_int_equal(buf_append(&b, "more", 4), 0);
		assert_memory_equal(buf_data(&b) + buf_len(&b) - 4, "more", 4);
		buf_done(&b);
		assert_int_equal(alloc_live, 0);
	}
	alloc_fail_at(-1);
	assert_true(failures >= 3);
	assert_int_equal(alloc_live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_past_max_changes_nothing),
		cmocka_unit_test(test_max_zero_holds_nothing),
		cmocka_unit_test(test_consumed_room_is_used_again_up_to_max),
		cmocka_unit_test(test_reserve_gives_room_that_commit_makes_content),
		cmocka_unit_test(test_numbers_are_big_endian),
		cmocka_unit_test(test_printf_fills_to_the_last_byte_and_no_further),
		cmocka_unit_test(test_random_operations_match_a_plain_array),
		cmocka_unit_test(test_done_buffer_can_be_used_again),
		cmocka_unit_test(test_memory_fails_content_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
