/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/alloc_fail.h"
#include "tests/unit/json_check.h"

#include "base/buf.c"
#include "policy/recent.c"

static struct recent list;

static int make(void **state)
{
	(void)state;
	alloc_fail_at(-1);
	memset(&list, 0, sizeof(list));
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	return alloc_live == 0 ? 0 : -1;
}

/* The list as text: JSON by the judge, one line, plain to any terminal. */
static const char *text(void)
{
	static char all[RECENT_JSON_MAX + 1];
	_cleanup_buf_ struct buf out = BUF_INIT(RECENT_JSON_MAX);
	struct json_check judge;

	assert_int_equal(recent_write(&list, &out), 0);
	assert_true(json_check(&judge, buf_data(&out), buf_len(&out)));
	memcpy(all, buf_data(&out), buf_len(&out));
	all[buf_len(&out)] = '\0';
	assert_int_equal(strlen(all), buf_len(&out));
	for (const char *p = all; *p; p++)
		assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
	return all;
}

static void add_numbered(int i)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "h%d.example", i);
	recent_add(&list, name, 443, REASON_HOST_NOT_ALLOWED, 1000 + i);
}

/* The list holds h<first>, h<first+1>, … in this order. */
static void expect_numbered(int first, size_t n)
{
	assert_int_equal(list.n, n);
	for (size_t i = 0; i < n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "h%d.example", first + (int)i);
		assert_string_equal(list.items[i].target, name);
		assert_int_equal(list.items[i].timestamp_unix_ms, 1000 + first + (int)i);
	}
}

static void test_one_more_pushes_the_oldest_out(void **state)
{
	(void)state;
	for (int i = 0; i < RECENT_MAX; i++) {
		add_numbered(i);
		expect_numbered(0, (size_t)i + 1);
	}
	for (int i = RECENT_MAX; i < 3 * RECENT_MAX; i++) {
		add_numbered(i);
		expect_numbered(i + 1 - RECENT_MAX, RECENT_MAX);
	}
}

static void test_overlong_target_is_cut_not_overrun(void **state)
{
	static char name[100000];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	for (int i = 0; i < RECENT_MAX + 1; i++)
		recent_add(&list, name, (uint16_t)(i + 1), REASON_NAME_INVALID, i);
	assert_int_equal(list.n, RECENT_MAX);
	for (int i = 0; i < RECENT_MAX; i++) {
		assert_int_equal(strlen(list.items[i].target), RECENT_TARGET_MAX);
		assert_int_equal(list.items[i].port, i + 2);
	}
	/* What begins alike for as long as is kept is the same. */
	name[RECENT_TARGET_MAX] = '\0';
	recent_add(&list, name, 2, REASON_NAME_INVALID, 99);
	assert_int_equal(list.n, RECENT_MAX);
	assert_int_equal(list.items[RECENT_MAX - 1].port, 2);
	assert_int_equal(list.items[RECENT_MAX - 1].timestamp_unix_ms, 99);
	assert_int_equal(list.items[0].port, 3);
	(void)text();
}

static void test_target_cannot_break_the_json(void **state)
{
	static const struct {
		const char *target, *written;
	} rows[] = {
		{ "a\",\"reason\":\"", "\"a\\\",\\\"reason\\\":\\\"\"" },
		{ "a\\", "\"a\\\\\"" },
		{ "a\r\nb\x1b[31m\x7f", "\"a\\r\\nb\\u001b[31m\\u007f\"" },
		{ "\xff\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xe2\x80\xae", "\"\\u202e\"" },
		{ "", "\"\"" },
	};
	char wanted[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		list.n = 0;
		recent_add(&list, rows[i].target, 443, REASON_HOST_NOT_ALLOWED, 5);
		/* What no rule can name gets no hint to paste. */
		(void)snprintf(wanted, sizeof(wanted),
			       "[{\"timestamp_unix_ms\":5,\"target\":%s,\"port\":443,"
			       "\"reason\":\"host_not_allowed\",\"hint\":null}]",
			       rows[i].written);
		assert_string_equal(text(), wanted);
	}
	list.n = 0;
	recent_add(&list, NULL, 0, REASON_HTTP_MALFORMED, 5);
	assert_string_equal(text(), "[{\"timestamp_unix_ms\":5,\"target\":\"\",\"port\":null,"
				    "\"reason\":\"http_malformed\",\"hint\":null}]");
}

/* A cut in the middle of a character leaves text all the same. */
static void test_cut_inside_a_character(void **state)
{
	char name[RECENT_TARGET_MAX + 2];

	(void)state;
	memset(name, 'n', sizeof(name));
	memcpy(name + RECENT_TARGET_MAX - 1, "\xc3\xa9", 3);
	recent_add(&list, name, 443, REASON_NAME_INVALID, 5);
	assert_non_null(strstr(text(), "n\xef\xbf\xbd\",\"port\":443"));
}

static void test_longest_text_has_room(void **state)
{
	char name[RECENT_TARGET_MAX + 1];

	(void)state;
	memset(name, 1, sizeof(name) - 1);
	name[RECENT_TARGET_MAX] = '\0';
	for (int i = 0; i < RECENT_MAX; i++)
		recent_add(&list, name, (uint16_t)(65535 - i), REASON_HOST_DENIED, INT64_MIN + i);
	assert_true(strlen(text()) > RECENT_MAX * 6 * RECENT_TARGET_MAX);
	/* A long hint, and every reason. */
	memset(name, 'n', sizeof(name) - 1);
	for (unsigned int r = 0; r <= REASON_COUNT; r++)
		recent_add(&list, name, 65535, (enum reason)r, INT64_MAX);
	(void)text();
}

static void test_same_refusal_moves_to_the_end(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		add_numbered(i);
	recent_add(&list, "h0.example", 443, REASON_HOST_NOT_ALLOWED, 1005);
	assert_string_equal(list.items[4].target, "h0.example");
	assert_int_equal(list.items[4].timestamp_unix_ms, 1005);
	list.n--;
	expect_numbered(1, 4);
	/* The last one stays where it is, and takes the new time; also when a clock went back. */
	recent_add(&list, "h4.example", 443, REASON_HOST_NOT_ALLOWED, 7);
	assert_int_equal(list.n, 4);
	assert_int_equal(list.items[3].timestamp_unix_ms, 7);
	list.items[3].timestamp_unix_ms = 1004;
	expect_numbered(1, 4);
}

/* In a full list, too: nothing is pushed out by what is there. */
static void test_same_refusal_in_a_full_list(void **state)
{
	(void)state;
	for (int i = 0; i < RECENT_MAX; i++)
		add_numbered(i);
	for (int i = 0; i < RECENT_MAX; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "h%d.example", i);
		recent_add(&list, name, 443, REASON_HOST_NOT_ALLOWED, 1000 + i);
		assert_int_equal(list.n, RECENT_MAX);
		assert_string_equal(list.items[RECENT_MAX - 1].target, name);
	}
	expect_numbered(0, RECENT_MAX);
}

static void test_other_port_reason_or_target_is_another(void **state)
{
	(void)state;
	recent_add(&list, "a.example", 443, REASON_HOST_NOT_ALLOWED, 1);
	recent_add(&list, "a.example", 80, REASON_HOST_NOT_ALLOWED, 2);
	recent_add(&list, "a.example", 0, REASON_HOST_NOT_ALLOWED, 3);
	recent_add(&list, "a.example", 443, REASON_HOST_DENIED, 4);
	recent_add(&list, "a.exampl", 443, REASON_HOST_NOT_ALLOWED, 5);
	recent_add(&list, "a.example.", 443, REASON_HOST_NOT_ALLOWED, 6);
	recent_add(&list, "", 443, REASON_HOST_NOT_ALLOWED, 7);
	assert_int_equal(list.n, 7);
	for (size_t i = 0; i < list.n; i++)
		assert_int_equal(list.items[i].timestamp_unix_ms, i + 1);
}

/* The caller may name the target by an entry of the list itself. */
static void test_target_out_of_the_list(void **state)
{
	(void)state;
	for (int i = 0; i < RECENT_MAX; i++)
		add_numbered(i);
	recent_add(&list, list.items[0].target, 443, REASON_HOST_NOT_ALLOWED, 8);
	assert_string_equal(list.items[RECENT_MAX - 1].target, "h0.example");
	recent_add(&list, list.items[0].target, 80, REASON_HOST_NOT_ALLOWED, 9);
	assert_string_equal(list.items[RECENT_MAX - 1].target, "h1.example");
	assert_string_equal(list.items[0].target, "h2.example");
}

static void test_list_as_a_program_reads_it(void **state)
{
	(void)state;
	assert_string_equal(text(), "[]");
	recent_add(&list, "evil.example", 443, REASON_HOST_NOT_ALLOWED, 1700000000123);
	recent_add(&list, "evil.example", 0, REASON_HOST_NOT_ALLOWED, 1700000000124);
	recent_add(&list, "169.254.169.254", 80, REASON_METADATA_ADDRESS, 1700000000125);
	assert_string_equal(
		text(),
		"[{\"timestamp_unix_ms\":1700000000123,\"target\":\"evil.example\",\"port\":443,"
		"\"reason\":\"host_not_allowed\","
		"\"hint\":\"to allow it: --allow-domain evil.example:443\"},"
		"{\"timestamp_unix_ms\":1700000000124,\"target\":\"evil.example\",\"port\":null,"
		"\"reason\":\"host_not_allowed\","
		"\"hint\":\"to allow it: --allow-domain evil.example\"},"
		"{\"timestamp_unix_ms\":1700000000125,\"target\":\"169.254.169.254\",\"port\":80,"
		"\"reason\":\"metadata_address\",\"hint\":null}]");
}

static void test_small_buffer_gets_nothing(void **state)
{
	size_t whole;

	(void)state;
	add_numbered(0);
	add_numbered(1);
	whole = strlen(text());
	for (size_t max = 3; max <= whole + 3; max++) {
		_cleanup_buf_ struct buf out = BUF_INIT(max);

		assert_int_equal(buf_append(&out, "old", 3), 0);
		assert_int_equal(recent_write(&list, &out), max < whole + 3 ? -ENOSPC : 0);
		assert_int_equal(buf_len(&out), max < whole + 3 ? 3 : whole + 3);
	}
}

static void test_memory_fails_nothing_is_appended(void **state)
{
	long k;

	(void)state;
	for (int i = 0; i < RECENT_MAX; i++)
		add_numbered(i);
	for (k = 0;; k++) {
		_cleanup_buf_ struct buf out = BUF_INIT(RECENT_JSON_MAX);
		int r;

		alloc_fail_at(k);
		r = recent_write(&list, &out);
		alloc_fail_at(-1);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(buf_len(&out), 0);
	}
	assert_true(k >= 2);
}

#define with_list(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_list(test_one_more_pushes_the_oldest_out),
		with_list(test_overlong_target_is_cut_not_overrun),
		with_list(test_target_cannot_break_the_json),
		with_list(test_cut_inside_a_character),
		with_list(test_longest_text_has_room),
		with_list(test_same_refusal_moves_to_the_end),
		with_list(test_same_refusal_in_a_full_list),
		with_list(test_other_port_reason_or_target_is_another),
		with_list(test_target_out_of_the_list),
		with_list(test_list_as_a_program_reads_it),
		with_list(test_small_buffer_gets_nothing),
		with_list(test_memory_fails_nothing_is_appended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
