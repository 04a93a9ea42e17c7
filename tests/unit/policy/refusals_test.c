/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/alloc_fail.h"

#include "base/buf.c"
#include "base/map.c"
#include "policy/refusals.c"

static const uint8_t seed[16] = { 9, 8, 7, 6, 5, 4, 3, 2, 1 };

static struct refusals table;

static int make(void **state)
{
	(void)state;
	alloc_fail_at(-1);
	refusals_init(&table, seed);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	refusals_done(&table);
	return alloc_live == 0 ? 0 : -1;
}

static const char *summary(size_t max)
{
	static char text[100000];
	_cleanup_buf_ struct buf out = BUF_INIT(sizeof(text) - 1);

	assert_int_equal(refusals_summary(&table, max, &out), 0);
	if (buf_len(&out))
		memcpy(text, buf_data(&out), buf_len(&out));
	text[buf_len(&out)] = '\0';
	return text;
}

static void refuse(const char *target, uint16_t port, enum reason reason, uint32_t times)
{
	assert_non_null(refusals_count(&table, target, port, reason, times));
}

static void test_full_table_counts_and_keeps_what_it_has(void **state)
{
	char name[32];

	(void)state;
	for (int i = 0; i < REFUSALS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "h%d.example", i);
		refuse(name, 443, REASON_HOST_NOT_ALLOWED, 1);
	}
	assert_null(refusals_count(&table, "one.more", 443, REASON_HOST_NOT_ALLOWED, 2));
	assert_null(refusals_count(&table, "h0.example", 80, REASON_HOST_NOT_ALLOWED, 1));
	assert_int_equal(table.overflow, 3);
	refuse("h0.example", 443, REASON_HOST_NOT_ALLOWED, 1); /* is there already */
	assert_string_equal(summary(1), "nono-proxy: refused in this run:\n"
					"  h0.example:443          2 times  host_not_allowed   "
					"to allow it: --allow-domain h0.example:443\n"
					"  … and 511 more targets\n"
					"  … and 3 refusals of targets that were not kept\n");
}

static void test_same_target_port_and_reason_is_one_entry(void **state)
{
	struct refusal *e = refusals_count(&table, "a.example", 443, REASON_HOST_NOT_ALLOWED, 1);

	(void)state;
	assert_non_null(e);
	assert_ptr_equal(refusals_count(&table, "a.example", 443, REASON_HOST_NOT_ALLOWED, 4), e);
	assert_int_equal(e->count, 5);
	assert_int_equal(e->unreported, 5);
	assert_int_equal(e->unsent, 0); /* the caller's business */
	assert_ptr_not_equal(refusals_count(&table, "a.example", 444, REASON_HOST_NOT_ALLOWED, 1),
			     e);
	assert_ptr_not_equal(refusals_count(&table, "a.example", 443, REASON_HOST_DENIED, 1), e);
	assert_ptr_not_equal(refusals_count(&table, "a.exampl", 443, REASON_HOST_NOT_ALLOWED, 1),
			     e);
	assert_int_equal(map_count(&table.by_key), 4);
}

static void test_counts_stop_at_their_maximum(void **state)
{
	struct refusal *e = refusals_count(&table, "a", 1, REASON_HOST_DENIED, UINT32_MAX - 1);

	(void)state;
	assert_non_null(e);
	refuse("a", 1, REASON_HOST_DENIED, 5);
	assert_true(e->count == UINT32_MAX && e->unreported == UINT32_MAX);
}

static void test_overlong_target_is_cut_not_overrun(void **state)
{
	char name[1000];
	struct refusal *e;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	e = refusals_count(&table, name, 443, REASON_NAME_INVALID, 1);
	assert_non_null(e);
	assert_int_equal(strlen(e->target), REFUSAL_TARGET_MAX);
	name[REFUSAL_TARGET_MAX] = '\0';
	assert_ptr_equal(refusals_count(&table, name, 443, REASON_NAME_INVALID, 1), e);
	assert_non_null(strstr(summary(5), ":443  2 times  name_invalid   "));
}

static void test_summary_cannot_carry_controls(void **state)
{
	const char *text;

	(void)state;
	refuse("a\nb\x1b[31m\x7f\xc2\x9b", 443, REASON_HOST_NOT_ALLOWED, 1);
	refuse("c\rd", 0, REASON_NAME_INVALID, 1);
	text = summary(10);
	assert_string_equal(text, "nono-proxy: refused in this run:\n"
				  "  a?b?[31m???:443         once  host_not_allowed   "
				  "host a?b?[31m??? is not in the allowlist\n"
				  "  c?d                     once  name_invalid       "
				  "c?d is not a valid host name\n");
}

static void test_nothing_refused_nothing_printed(void **state)
{
	(void)state;
	assert_string_equal(summary(10), "");
	assert_string_equal(summary(0), "");
}

static void test_summary_as_people_see_it(void **state)
{
	(void)state;
	refuse("evil.example", 443, REASON_HOST_NOT_ALLOWED, 2);
	refuse("169.254.169.254", 80, REASON_METADATA_ADDRESS, 1);
	refuse("evil.example", 443, REASON_HOST_NOT_ALLOWED, 1);
	assert_string_equal(
		summary(20),
		"nono-proxy: refused in this run:\n"
		"  evil.example:443        3 times  host_not_allowed   "
		"to allow it: --allow-domain evil.example:443\n"
		"  169.254.169.254:80      once     metadata_address   is always refused\n");
}

static void test_remedy_says_what_can_be_done_or_why_nothing(void **state)
{
	static const struct {
		const char *target;
		uint16_t port;
		enum reason reason;
		const char *target_text, *remedy;
	} rows[] = {
		{ "fe80::1", 80, REASON_LINK_LOCAL_ADDRESS, "  [fe80::1]:80 ",
		  " is always refused\n" },
		{ "0.0.0.0", 80, REASON_SPECIAL_ADDRESS, "  0.0.0.0:80 ", " is always refused\n" },
		{ "127.0.0.1", 9, REASON_LOOP_REFUSED, "  127.0.0.1:9 ", " is always refused\n" },
		{ "2001:db8::1", 53, REASON_CIDR_NOT_ALLOWED, "  [2001:db8::1]:53 ",
		  "to allow it: --allow-cidr [2001:db8::1/128]:53\n" },
		{ "bad.example", 443, REASON_HOST_DENIED, "  bad.example:443 ",
		  "it is refused by --deny-domain; remove that rule to allow it\n" },
		{ "", 0, REASON_TOO_MANY_CONNECTIONS, "  (no target) ",
		  "to allow more: --max-connections N\n" },
		/* No option helps, and it would not be true that it is always refused. */
		{ "slow.example", 443, REASON_UPSTREAM_TIMEOUT, "  slow.example:443 ",
		  "slow.example did not answer in time\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text;

		(void)unmake(state);
		(void)make(state);
		refuse(rows[i].target, rows[i].port, rows[i].reason, 1);
		text = summary(10);
		assert_non_null(strstr(text, rows[i].target_text));
		assert_non_null(strstr(text, rows[i].remedy));
		assert_non_null(strstr(text, reason_word(rows[i].reason)));
	}
}

static void test_dns_refusal_is_folded_into_the_connection(void **state)
{
	(void)state;
	refuse("a.example", 0, REASON_HOST_NOT_ALLOWED, 2); /* asked for first: keeps that place */
	refuse("b.example", 443, REASON_HOST_NOT_ALLOWED, 1);
	refuse("a.example", 443, REASON_HOST_NOT_ALLOWED, 1);
	refuse("a.example", 80, REASON_HOST_NOT_ALLOWED, 1); /* another port, another option */
	refuse("b.example", 0, REASON_HOST_NOT_ALLOWED, 1);
	refuse("only-dns.example", 0, REASON_HOST_NOT_ALLOWED, 1);
	refuse("a.example.org", 0, REASON_HOST_NOT_ALLOWED, 1); /* not the same name */
	assert_string_equal(summary(20), "nono-proxy: refused in this run:\n"
					 "  a.example:443           3 times  host_not_allowed   "
					 "to allow it: --allow-domain a.example:443\n"
					 "  b.example:443           2 times  host_not_allowed   "
					 "to allow it: --allow-domain b.example:443\n"
					 "  a.example:80            once     host_not_allowed   "
					 "to allow it: --allow-domain a.example:80\n"
					 "  only-dns.example        once     host_not_allowed   "
					 "to allow it: --allow-domain only-dns.example\n"
					 "  a.example.org           once     host_not_allowed   "
					 "to allow it: --allow-domain a.example.org\n");
}

static void test_more_than_max_are_counted(void **state)
{
	const char *text;

	(void)state;
	refuse("c.example", 1, REASON_HOST_NOT_ALLOWED, 1);
	refuse("b.example", 1, REASON_HOST_NOT_ALLOWED, 1);
	refuse("a.example", 1, REASON_HOST_NOT_ALLOWED, 1);
	text = summary(2);
	assert_true(strstr(text, "c.example") < strstr(text, "b.example"));
	assert_null(strstr(text, "a.example:"));
	assert_non_null(strstr(text, "\n  … and 1 more target\n"));
	assert_null(strstr(summary(3), "more target"));
	assert_string_equal(summary(0),
			    "nono-proxy: refused in this run:\n  … and 3 more targets\n");
}

static void test_wide_targets_widen_the_column_up_to_a_point(void **state)
{
	static const char wide[] = "a-name-of-forty-characters-in-it.example";
	char line[200];

	(void)state;
	refuse(wide, 443, REASON_HOST_DENIED, 1);
	refuse("b", 1, REASON_HOST_DENIED, 1);
	(void)snprintf(line, sizeof(line), "\n  %-44s  once  host_denied   it is", "b:1");
	assert_non_null(strstr(summary(5), line));
	refuse("a-much-longer-name-of-more-than-forty-eight-characters.example", 443,
	       REASON_HOST_DENIED, 1);
	(void)snprintf(line, sizeof(line), "\n  %-48s  once  host_denied   it is", "b:1");
	assert_non_null(strstr(summary(5), line));
}

static void test_summary_into_small_buffer_appends_nothing(void **state)
{
	size_t whole;

	(void)state;
	refuse("a.example", 443, REASON_HOST_NOT_ALLOWED, 1);
	refuse("b.example", 443, REASON_HOST_NOT_ALLOWED, 1);
	whole = strlen(summary(1));
	for (size_t max = 3; max <= whole + 3; max++) {
		_cleanup_buf_ struct buf out = BUF_INIT(max);

		assert_int_equal(buf_append(&out, "old", 3), 0);
		assert_int_equal(refusals_summary(&table, 1, &out), max < whole + 3 ? -ENOSPC : 0);
		assert_int_equal(buf_len(&out), max < whole + 3 ? 3 : whole + 3);
	}
}

static void test_due_once_a_minute(void **state)
{
	struct refusal *e = refusals_count(&table, "a", 0, REASON_HOST_NOT_ALLOWED, 2);
	const nsec_t start = 0; /* a clock may well begin there */
	uint32_t n = 77;

	(void)state;
	assert_non_null(e);
	assert_true(refusal_due(e, start, &n)); /* the first one at once */
	assert_int_equal(n, 2);
	n = 77;
	assert_false(refusal_due(e, start, &n)); /* nothing new */
	refuse("a", 0, REASON_HOST_NOT_ALLOWED, 1);
	assert_false(refusal_due(e, start + 1, &n));
	refuse("a", 0, REASON_HOST_NOT_ALLOWED, 3);
	assert_false(refusal_due(e, start + 60 * NSEC_PER_SEC - 1, &n));
	assert_int_equal(n, 77);
	assert_true(refusal_due(e, start + 60 * NSEC_PER_SEC, &n));
	assert_int_equal(n, 4); /* what the record stands for */
	assert_int_equal(e->count, 6);
	assert_false(refusal_due(e, start + 180 * NSEC_PER_SEC, &n)); /* time alone is no event */
	refuse("a", 0, REASON_HOST_NOT_ALLOWED, 1);
	assert_true(refusal_due(e, start + 180 * NSEC_PER_SEC, &n));
	assert_int_equal(n, 1);
}

/* Each allocation fails once: what could not be kept is counted, and the table still works. */
static void test_memory_fails_refusal_is_still_counted(void **state)
{
	long k;

	for (k = 0;; k++) {
		struct refusals *t = &table;
		const char *names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
		uint64_t kept = 0;
		bool failed;

		(void)unmake(state);
		(void)make(state);
		alloc_fail_at(k);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			kept += refusals_count(t, names[i], 1, REASON_HOST_DENIED, 1) != NULL;
		failed = alloc_failed();
		alloc_fail_at(-1);
		assert_int_equal(kept, map_count(&t->by_key));
		assert_int_equal(t->overflow, failed ? 1 : 0);
		assert_int_equal(kept + t->overflow, ARRAY_SIZE(names));
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			refuse(names[i], 1, REASON_HOST_DENIED, 1);
		assert_int_equal(t->next_order, ARRAY_SIZE(names));
		if (!failed)
			break;
	}
	assert_true(k >= 16);
}

static void test_memory_fails_summary_appends_nothing(void **state)
{
	long k;

	(void)state;
	refuse("a.example", 443, REASON_HOST_NOT_ALLOWED, 1);
	for (k = 0;; k++) {
		struct buf out = BUF_INIT(4096);
		int r;

		alloc_fail_at(k);
		r = refusals_summary(&table, 10, &out);
		alloc_fail_at(-1);
		if (r == 0)
			assert_true(buf_len(&out) > 0);
		else
			assert_int_equal(buf_len(&out), 0);
		buf_done(&out);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
	}
	assert_true(k >= 2);
}

#define with_table(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_table(test_full_table_counts_and_keeps_what_it_has),
		with_table(test_same_target_port_and_reason_is_one_entry),
		with_table(test_counts_stop_at_their_maximum),
		with_table(test_overlong_target_is_cut_not_overrun),
		with_table(test_summary_cannot_carry_controls),
		with_table(test_nothing_refused_nothing_printed),
		with_table(test_summary_as_people_see_it),
		with_table(test_remedy_says_what_can_be_done_or_why_nothing),
		with_table(test_dns_refusal_is_folded_into_the_connection),
		with_table(test_more_than_max_are_counted),
		with_table(test_wide_targets_widen_the_column_up_to_a_point),
		with_table(test_summary_into_small_buffer_appends_nothing),
		with_table(test_due_once_a_minute),
		with_table(test_memory_fails_refusal_is_still_counted),
		with_table(test_memory_fails_summary_appends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
