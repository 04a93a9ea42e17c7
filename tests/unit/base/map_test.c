/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/alloc_fail.h"

#include "base/map.c"

static const uint8_t seed[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

/* Keys are numbers as text; values point into an array. */
static char values[3000];

static struct str key_of(unsigned int i, char out[16])
{
	return (struct str){ out, (size_t)snprintf(out, 16, "k%u", i) };
}

static int put(struct map *m, unsigned int i)
{
	char text[16];

	return map_put(m, key_of(i, text), &values[i]);
}

static void *get(const struct map *m, unsigned int i)
{
	char text[16];

	return map_get(m, key_of(i, text));
}

static void *del(struct map *m, unsigned int i)
{
	char text[16];

	return map_del(m, key_of(i, text));
}

/*
 * Computed by CPython 3.11, whose hash of bytes is SipHash-1-3 (sys.hash_info.algorithm):
 *
 *	PYTHONHASHSEED=0 python3 -c 'print(hex(hash(bytes(i & 255 for i in range(N))) & (2**64 -
 * 1)))'
 *
 * Seed 0 is the key of zeros. Seed 1 makes its key by a linear generator, x = x * 214013 + 2531011
 * (mod 2^32), byte = x >> 16. The empty message with key 00..0f is not in reach of that; it is from
 * a model in Python that agrees with all others.
 */
static void test_siphash_agrees_with_cpython(void **state)
{
	static const struct {
		uint64_t key[2];
		size_t n;
		uint64_t want;
	} rows[] = {
		{ { 0, 0 }, 1, 0x68a914128e01e473 },
		{ { 0, 0 }, 2, 0x010bac45c41e3669 },
		{ { 0, 0 }, 7, 0x2f098ab0c751325a },
		{ { 0, 0 }, 8, 0xead411e67ebe2eea },
		{ { 0, 0 }, 9, 0x75927f9d95124362 },
		{ { 0, 0 }, 255, 0x5dc1f93ea135eb43 },
		{ { 0, 0 }, 256, 0x31ae646afba70308 },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 1, 0xecd3e5afcecda4b9 },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 3, 0x8d5b20ab227ba858 },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 4, 0x968a3280faeeb716 },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 5, 0xbbda3b5f513c3d69 },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 6, 0xa77f099d6ffed90e },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 15, 0xfa87985f39e97a53 },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 16, 0x12e9d283f9f37002 },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 17, 0x9f5bb4237f61907f },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 64, 0x7e644b6edc375dc8 },
		{ { 0xaed66ce184be2329, 0xebe9bbf1f1499052 }, 1000, 0x8fa3a0c69fb71c88 },
		{ { 0x0706050403020100, 0x0f0e0d0c0b0a0908 }, 0, 0xabac0158050fc4dc },
		{ { 0x0706050403020100, 0x0f0e0d0c0b0a0908 }, 63, 0x9d199062b7bbb3a8 },
	};
	uint8_t message[1001];

	(void)state;
	for (size_t i = 0; i < sizeof(message) - 1; i++)
		message[i + 1] = (uint8_t)i; /* one byte off: alignment must not matter */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_true(siphash13(rows[i].key, message + 1, rows[i].n) == rows[i].want);
	assert_true(siphash13(rows[17].key, NULL, 0) == rows[17].want);
}

static void test_seed_is_the_key(void **state)
{
	struct map m;

	(void)state;
	map_init(&m, 1, seed);
	assert_true(m.key[0] == 0x0807060504030201 && m.key[1] == 0x100f0e0d0c0b0a09);
	map_done(&m, NULL);
}

static void test_cap_refuses_and_changes_nothing(void **state)
{
	struct map m;

	(void)state;
	map_init(&m, 3, seed);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(put(&m, i), 0);
	assert_int_equal(put(&m, 3), -ENOSPC);
	assert_int_equal(put(&m, 1), -EEXIST); /* is there: not a question of room */
	assert_int_equal(map_count(&m), 3);
	assert_null(get(&m, 3));
	assert_ptr_equal(del(&m, 0), &values[0]);
	assert_int_equal(put(&m, 3), 0);
	assert_int_equal(put(&m, 0), -ENOSPC);
	map_done(&m, NULL);

	map_init(&m, 0, seed);
	assert_int_equal(put(&m, 0), -ENOSPC);
	map_done(&m, NULL);
	assert_int_equal(alloc_live, 0);
}

static void test_key_that_is_there_keeps_its_value(void **state)
{
	struct map m;

	(void)state;
	map_init(&m, 10, seed);
	assert_int_equal(map_put(&m, STR_LIT("a"), &values[1]), 0);
	assert_int_equal(map_put(&m, STR_LIT("a"), &values[2]), -EEXIST);
	assert_ptr_equal(map_get(&m, STR_LIT("a")), &values[1]);
	map_done(&m, NULL);
}

static void test_keys_are_bytes_and_copied(void **state)
{
	char k[] = { 'a', '\0', 'b' };
	struct map m;

	(void)state;
	map_init(&m, 10, seed);
	assert_int_equal(map_put(&m, (struct str){ k, 3 }, &values[0]), 0);
	assert_int_equal(map_put(&m, (struct str){ k, 1 }, &values[1]), 0);
	assert_int_equal(map_put(&m, (struct str){ NULL, 0 }, &values[2]), 0);
	k[0] = 'x'; /* the map must not see this */
	assert_ptr_equal(map_get(&m, (struct str){ "a\0b", 3 }), &values[0]);
	assert_ptr_equal(map_get(&m, STR_LIT("a")), &values[1]);
	assert_ptr_equal(map_get(&m, STR_LIT("")), &values[2]);
	assert_null(map_get(&m, (struct str){ "a\0", 2 }));
	map_done(&m, NULL);
	assert_int_equal(alloc_live, 0);
}

static void test_empty_map_has_nothing(void **state)
{
	struct map m;
	struct str key;
	void *value;
	size_t at = 0;

	(void)state;
	map_init(&m, 10, seed);
	assert_null(get(&m, 0));
	assert_null(del(&m, 0));
	assert_false(map_next(&m, &at, &key, &value));
	map_done(&m, NULL);
}

/* A table that sees much coming and going neither grows nor fills with tombstones, so a probe
 * always ends. */
static void test_churn_does_not_fill_the_table(void **state)
{
	struct map m;

	(void)state;
	map_init(&m, 4, seed);
	for (unsigned int i = 0; i < 3000; i++) {
		assert_int_equal(put(&m, i), 0);
		if (i >= 3)
			assert_ptr_equal(del(&m, i - 3), &values[i - 3]);
		assert_null(get(&m, i + 1)); /* would not return if no slot were empty */
		assert_true(m.used + m.tombs <= m.cap / 4 * 3);
	}
	assert_true(m.cap <= 16);
	map_done(&m, NULL);
}

static void test_deleted_place_is_used_again(void **state)
{
	const struct map_slot *slots;
	struct map m;

	(void)state;
	map_init(&m, 100, seed);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(put(&m, i), 0);
	slots = m.slots;
	for (unsigned int i = 0; i < 100; i++) {
		assert_non_null(del(&m, i));
		assert_int_equal(put(&m, i), 0);
		assert_int_equal(m.used + m.tombs, 100);
	}
	assert_ptr_equal(m.slots, slots);
	map_done(&m, NULL);
}

/* Random operations against an array of flags. */
static void test_random_operations_match_a_plain_array(void **state)
{
	static bool there[600];
	uint32_t rnd = 4711;
	size_t count = 0;
	struct map m;

	(void)state;
	map_init(&m, 500, seed);
	for (int step = 0; step < 60000; step++) {
		unsigned int i;

		rnd = rnd * 1664525 + 1013904223;
		i = (rnd >> 8) % 600;
		switch (rnd >> 28 & 3) {
		case 0:
			assert_ptr_equal(del(&m, i), there[i] ? &values[i] : NULL);
			count -= there[i];
			there[i] = false;
			break;
		case 1:
			assert_ptr_equal(get(&m, i), there[i] ? &values[i] : NULL);
			break;
		default:
			assert_int_equal(put(&m, i), there[i]	    ? -EEXIST
						     : count == 500 ? -ENOSPC
								    : 0);
			if (!there[i] && count < 500) {
				there[i] = true;
				count++;
			}
		}
		assert_int_equal(map_count(&m), count);
	}
	map_done(&m, NULL);
	assert_int_equal(alloc_live, 0);
}

static void test_walk_meets_each_entry_once(void **state)
{
	bool seen[100] = { false };
	struct map m;
	struct str key;
	void *value;
	size_t at = 0, n = 0;

	(void)state;
	map_init(&m, 100, seed);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(put(&m, i), 0);
	for (unsigned int i = 0; i < 100; i += 3)
		assert_non_null(del(&m, i));
	while (map_next(&m, &at, &key, &value)) {
		size_t i = (size_t)((char *)value - values);
		char text[16];

		assert_true(str_eq(key, key_of((unsigned int)i, text)));
		assert_true(i < 100 && i % 3 != 0 && !seen[i]);
		seen[i] = true;
		n++;
	}
	assert_int_equal(n, map_count(&m));
	map_done(&m, NULL);
}

static int freed;

static void count_free(void *value)
{
	assert_true((char *)value >= values && (char *)value < values + sizeof(values));
	freed++;
}

static void test_done_frees_live_values_only(void **state)
{
	struct map m;

	(void)state;
	map_init(&m, 100, seed);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(put(&m, i), 0);
	assert_non_null(del(&m, 5));
	freed = 0;
	map_done(&m, count_free);
	assert_int_equal(freed, 19);
	assert_int_equal(alloc_live, 0);
	assert_int_equal(map_count(&m), 0);
	assert_int_equal(put(&m, 7), 0); /* usable again, with its cap and key */
	assert_ptr_equal(get(&m, 7), &values[7]);
	map_done(&m, NULL);
}

/* Each allocation fails once: -ENOMEM, the map as it was, nothing leaks. */
static void test_memory_fails_map_stays(void **state)
{
	long k;

	(void)state;
	for (k = 0;; k++) {
		unsigned int i = 0;
		struct map m;
		int r = 0;

		map_init(&m, 100, seed);
		alloc_fail_at(k);
		while (i < 30 && (r = put(&m, i)) == 0)
			i++;
		if (!alloc_failed()) {
			assert_int_equal(i, 30);
			map_done(&m, NULL);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(map_count(&m), i);
		assert_null(get(&m, i));
		for (unsigned int n = 0; n < i; n++)
			assert_ptr_equal(get(&m, n), &values[n]);
		alloc_fail_at(-1);
		assert_int_equal(put(&m, i), 0);
		map_done(&m, NULL);
		assert_int_equal(alloc_live, 0);
	}
	alloc_fail_at(-1);
	assert_true(k > 30); /* the keys, and the table more than once */
	assert_int_equal(alloc_live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_agrees_with_cpython),
		cmocka_unit_test(test_seed_is_the_key),
		cmocka_unit_test(test_cap_refuses_and_changes_nothing),
		cmocka_unit_test(test_key_that_is_there_keeps_its_value),
		cmocka_unit_test(test_keys_are_bytes_and_copied),
		cmocka_unit_test(test_empty_map_has_nothing),
		cmocka_unit_test(test_churn_does_not_fill_the_table),
		cmocka_unit_test(test_deleted_place_is_used_again),
		cmocka_unit_test(test_random_operations_match_a_plain_array),
		cmocka_unit_test(test_walk_meets_each_entry_once),
		cmocka_unit_test(test_done_frees_live_values_only),
		cmocka_unit_test(test_memory_fails_map_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
