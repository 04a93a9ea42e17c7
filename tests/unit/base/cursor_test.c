/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cursor.h"

static const uint8_t bytes[] = { 0x80, 0x01, 0x02, 0xff, 0xfe, 0xfd, 0xfc, 0x10, 0x20, 0x30 };

static void test_read_past_end_is_sticky(void **state)
{
	struct cursor c = cursor_over(bytes, 3);

	(void)state;
	assert_int_equal(cursor_u16(&c), 0x8001);
	assert_int_equal(cursor_u16(&c), 0); /* one byte is left, two are wanted: none is given */
	assert_true(c.bad);
	assert_int_equal(cursor_left(&c), 0);
	assert_int_equal(cursor_u8(&c), 0); /* although there is one */
	assert_null(cursor_take(&c, 0));
	assert_true(cursor_sub(&c, 0).bad);
	assert_true(c.bad);
}

static void test_huge_lengths_do_not_wrap(void **state)
{
	static const size_t lengths[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, 11 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct cursor c = cursor_over(bytes, sizeof(bytes)), sub;

		assert_null(cursor_take(&c, lengths[i]));
		assert_true(c.bad);
		c = cursor_over(bytes, sizeof(bytes));
		sub = cursor_sub(&c, lengths[i]);
		assert_true(sub.bad && c.bad);
		assert_int_equal(cursor_left(&sub), 0);
		assert_int_equal(cursor_u8(&sub), 0);
	}
}

static void test_numbers_are_big_endian_and_unsigned(void **state)
{
	struct cursor c = cursor_over(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(cursor_u8(&c), 0x80);
	assert_int_equal(cursor_u16(&c), 0x0102);
	assert_true(cursor_u32(&c) == 0xfffefdfcu);
	assert_int_equal(cursor_u24(&c), 0x102030);
	assert_int_equal(cursor_left(&c), 0);
	assert_false(c.bad);
}

static void test_each_number_needs_all_its_bytes(void **state)
{
	(void)state;
	for (size_t n = 0; n < 4; n++) {
		struct cursor c8 = cursor_over(bytes, n), c16 = c8, c24 = c8, c32 = c8;

		(void)cursor_u8(&c8);
		(void)cursor_u16(&c16);
		(void)cursor_u24(&c24);
		assert_int_equal(cursor_u32(&c32), 0);
		assert_int_equal(c8.bad, n < 1);
		assert_int_equal(c16.bad, n < 2);
		assert_int_equal(c24.bad, n < 3);
		assert_true(c32.bad);
	}
}

static void test_empty_and_null_are_readable_as_nothing(void **state)
{
	struct cursor c = cursor_over(NULL, 0);

	(void)state;
	assert_int_equal(cursor_left(&c), 0);
	assert_null(cursor_take(&c, 0));
	assert_false(c.bad);
	assert_int_equal(cursor_u8(&c), 0);
	assert_true(c.bad);
}

static void test_sub_cursor_cannot_leave_its_part(void **state)
{
	struct cursor c = cursor_over(bytes, sizeof(bytes)), sub = cursor_sub(&c, 2);

	(void)state;
	assert_int_equal(cursor_left(&sub), 2);
	assert_int_equal(cursor_u24(&sub), 0);
	assert_true(sub.bad);
	assert_false(c.bad); /* the outer one has skipped the part, whatever was wrong inside it */
	assert_int_equal(cursor_u8(&c), 0x02);
}

static void test_take_to_the_very_end(void **state)
{
	struct cursor c = cursor_over(bytes, sizeof(bytes));

	(void)state;
	assert_ptr_equal(cursor_take(&c, sizeof(bytes)), bytes);
	assert_int_equal(cursor_left(&c), 0);
	assert_false(c.bad);
	assert_non_null(cursor_take(&c, 0));
	assert_false(c.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_past_end_is_sticky),
		cmocka_unit_test(test_huge_lengths_do_not_wrap),
		cmocka_unit_test(test_numbers_are_big_endian_and_unsigned),
		cmocka_unit_test(test_each_number_needs_all_its_bytes),
		cmocka_unit_test(test_empty_and_null_are_readable_as_nothing),
		cmocka_unit_test(test_sub_cursor_cannot_leave_its_part),
		cmocka_unit_test(test_take_to_the_very_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
