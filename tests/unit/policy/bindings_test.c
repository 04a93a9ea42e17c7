/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bindings: what is refused leaves no trace, nothing is ever taken away, and both directions always
 * agree.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/alloc_fail.h"

/* The map with them: its growth must be able to fail too. */
#include "base/map.c"
#include "policy/bindings.c"

static const uint8_t seed[16] = "0123456789abcde";

static uint64_t rng_state = 0x14057b7ef767814f;

static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return (uint32_t)((rng_state * 0x2545f4914f6cdd1d) >> 33) % below;
}

static int setup(void **state)
{
	struct bindings *b = calloc(1, sizeof(*b));

	if (!b)
		return -1;
	bindings_init(b, seed);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	bindings_done(*state);
	free(*state);
	return 0;
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	if (!addr_parse(str_of(text), &a))
		fail_msg("not an address: %s", text);
	return a;
}

static bool bound(const struct bindings *b, const char *name, const struct addr *a)
{
	const struct bound_addr *x = bindings_by_addr(b, a);
	bool found = false;

	for (size_t i = 0; x && i < x->count; i++)
		found |= strcmp(x->names[i]->name, name) == 0;
	return found;
}

/* Every link exists in both directions exactly once, no entry is empty. */
static void check_consistent(const struct bindings *b)
{
	size_t at = 0, links = 0, back = 0;
	struct str key;
	void *value;

	while (map_next(&b->names, &at, &key, &value)) {
		const struct bound_name *n = value;

		assert_true(str_eq(key, str_of(n->name)));
		assert_in_range(n->count, 1, BINDINGS_MAX_ADDRS_PER_NAME);
		for (size_t i = 0; i < n->count; i++) {
			assert_true(bound(b, n->name, &n->addrs[i]->addr));
			for (size_t k = 0; k < i; k++)
				assert_ptr_not_equal(n->addrs[i], n->addrs[k]);
		}
		links += n->count;
	}
	at = 0;
	while (map_next(&b->addrs, &at, &key, &value)) {
		const struct bound_addr *a = value;

		assert_ptr_equal(bindings_by_addr(b, &a->addr), a);
		assert_in_range(a->count, 1, BINDINGS_MAX_NAMES_PER_ADDR);
		back += a->count;
	}
	assert_int_equal(links, back);
}

static void test_empty(void **state)
{
	struct addr a = addr_of("192.0.2.7");

	assert_null(bindings_by_addr(*state, &a));
	assert_null(bindings_by_name(*state, "a.example"));
	assert_null(bindings_by_name(*state, ""));
}

static void test_names_and_addresses(void **state)
{
	struct bindings *b = *state;
	struct addr one[] = { addr_of("192.0.2.7"), addr_of("2001:db8::7") };
	struct addr two[] = { addr_of("192.0.2.7"), addr_of("192.0.2.8") };
	const struct bound_addr *x;
	const struct bound_name *n;

	assert_int_equal(bindings_add(b, "a.example", one, 2), 0);
	assert_int_equal(bindings_add(b, "b.example", two, 2), 0);
	x = bindings_by_addr(b, &one[0]);
	assert_non_null(x);
	assert_int_equal(x->count, 2);
	assert_string_equal(x->names[0]->name, "a.example");
	assert_string_equal(x->names[1]->name, "b.example");
	/* A later answer adds and never takes away. */
	assert_int_equal(bindings_add(b, "a.example", &two[1], 1), 0);
	n = bindings_by_name(b, "a.example");
	assert_int_equal(n->count, 3);
	assert_true(bound(b, "a.example", &one[1]));
	assert_true(bound(b, "a.example", &two[1]));
	assert_null(bindings_by_name(b, "A.example"));
	check_consistent(b);
}

static void test_again_changes_nothing(void **state)
{
	struct bindings *b = *state;
	struct addr a[] = { addr_of("192.0.2.7"), addr_of("::ffff:192.0.2.7"),
			    addr_of("192.0.2.7") };

	assert_int_equal(bindings_add(b, "a.example", a, 3), 0);
	assert_int_equal(bindings_add(b, "a.example", a, 3), 0);
	assert_int_equal(bindings_by_name(b, "a.example")->count, 1);
	/* The folded form is the one that is kept and found. */
	assert_int_equal(bindings_by_name(b, "a.example")->addrs[0]->addr.family, 4);
	assert_non_null(bindings_by_addr(b, &a[1]));
	assert_ptr_equal(bindings_by_addr(b, &a[0]), bindings_by_addr(b, &a[1]));
	/* Nothing to bind leaves no name behind. */
	assert_int_equal(bindings_add(b, "b.example", a, 0), 0);
	assert_null(bindings_by_name(b, "b.example"));
	check_consistent(b);
}

static void test_invalid(void **state)
{
	struct bindings *b = *state;
	struct addr a[] = { addr_of("192.0.2.7"), { 0 } };
	char name[HOST_NAME_MAX_LEN + 2];

	assert_int_equal(bindings_add(b, "a.example", a, 2), -EINVAL);
	assert_null(bindings_by_addr(b, &a[0]));
	assert_int_equal(bindings_add(b, "", a, 1), -EINVAL);
	memset(name, 'a', sizeof(name));
	name[HOST_NAME_MAX_LEN + 1] = '\0';
	assert_int_equal(bindings_add(b, name, a, 1), -EINVAL);
	name[HOST_NAME_MAX_LEN] = '\0';
	assert_int_equal(bindings_add(b, name, a, 1), 0);
	assert_string_equal(bindings_by_name(b, name)->name, name);
}

static void test_addrs_in_one_answer(void **state)
{
	struct bindings *b = *state;
	struct addr a[BINDINGS_MAX_ADDRS_PER_ADD + 1];

	for (uint32_t i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = addr_v4(0xc0000200 + i);
	/* One too many: none of them. */
	assert_int_equal(bindings_add(b, "a.example", a, ARRAY_SIZE(a)), -ENOSPC);
	assert_null(bindings_by_name(b, "a.example"));
	for (size_t i = 0; i < ARRAY_SIZE(a); i++)
		assert_null(bindings_by_addr(b, &a[i]));
	assert_int_equal(map_count(&b->addrs), 0);
	assert_int_equal(bindings_add(b, "a.example", a, ARRAY_SIZE(a) - 1), 0);
	check_consistent(b);
}

static void test_addrs_per_name(void **state)
{
	struct bindings *b = *state;
	struct addr a = addr_v4(0xc6120000), fresh[2];

	for (uint32_t i = 0; i < BINDINGS_MAX_ADDRS_PER_NAME; i++) {
		a = addr_v4(0xc6120000 + i);
		assert_int_equal(bindings_add(b, "a.example", &a, 1), 0);
	}
	fresh[0] = a;
	fresh[1] = addr_v4(0xc0000200);
	assert_int_equal(bindings_add(b, "a.example", fresh, 2), -ENOSPC);
	assert_null(bindings_by_addr(b, &fresh[1]));
	assert_int_equal(bindings_add(b, "a.example", fresh, 1), 0);
	check_consistent(b);
}

static void test_names_per_addr(void **state)
{
	struct bindings *b = *state;
	struct addr a[] = { addr_of("198.51.100.1"), addr_of("192.0.2.7") };
	char name[32];

	for (int i = 0; i < BINDINGS_MAX_NAMES_PER_ADDR; i++) {
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		assert_int_equal(bindings_add(b, name, &a[1], 1), 0);
	}
	/* The good address is not bound either. */
	assert_int_equal(bindings_add(b, "more.example", a, 2), -ENOSPC);
	assert_null(bindings_by_name(b, "more.example"));
	assert_null(bindings_by_addr(b, &a[0]));
	assert_int_equal(bindings_by_addr(b, &a[1])->count, BINDINGS_MAX_NAMES_PER_ADDR);
	assert_int_equal(bindings_add(b, "n0.example", a, 2), 0);
	check_consistent(b);
}

static void test_max_names(void **state)
{
	struct bindings *b = *state;
	char name[32];

	for (uint32_t i = 0; i < BINDINGS_MAX_NAMES; i++) {
		struct addr a = addr_v4(0xc6120000 + i / 2);

		(void)snprintf(name, sizeof(name), "n%u.example", i);
		assert_int_equal(bindings_add(b, name, &a, 1), 0);
	}
	struct addr fresh = addr_of("192.0.2.7");

	assert_int_equal(bindings_add(b, "more.example", &fresh, 1), -ENOSPC);
	assert_null(bindings_by_addr(b, &fresh));
	/* An old name may still get an address, and nothing was forgotten. */
	assert_int_equal(bindings_add(b, "n0.example", &fresh, 1), 0);
	assert_true(bound(b, "n0.example", &fresh));
	assert_non_null(bindings_by_name(b, "n8191.example"));
	check_consistent(b);
}

static void test_max_addrs(void **state)
{
	struct bindings *b = *state;
	struct addr a[BINDINGS_MAX_ADDRS_PER_ADD], more[2];
	uint32_t next = 0xc6120000;
	char name[32];

	for (uint32_t i = 0; map_count(&b->addrs) + ARRAY_SIZE(a) <= BINDINGS_MAX_ADDRS; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(a); k++)
			a[k] = addr_v4(next++);
		(void)snprintf(name, sizeof(name), "n%u.example", i);
		assert_int_equal(bindings_add(b, name, a, ARRAY_SIZE(a)), 0);
	}
	assert_int_equal(map_count(&b->addrs), BINDINGS_MAX_ADDRS);
	more[0] = a[0];
	more[1] = addr_v4(next);
	assert_int_equal(bindings_add(b, "more.example", more, 2), -ENOSPC);
	assert_null(bindings_by_name(b, "more.example"));
	assert_false(bound(b, "more.example", &a[0]));
	/* A new name for an old address needs no new entry. */
	assert_int_equal(bindings_add(b, "more.example", more, 1), 0);
	check_consistent(b);
}

/* Whichever allocation of an addition fails, it is as if it had never been tried. */
static void test_no_memory_leaves_no_trace(void **state)
{
	struct bindings *b = *state;
	struct addr a[12], old = addr_of("192.0.2.7");
	long failures = 0;
	int r = -ENOMEM;

	for (uint32_t i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = addr_v4(0xc6120000 + i);
	a[5] = old;
	assert_int_equal(bindings_add(b, "old.example", &old, 1), 0);
	for (long at = 0; r != 0; at++) {
		alloc_fail_at(at);
		r = bindings_add(b, "a.example", a, ARRAY_SIZE(a));
		if (r == 0)
			break;
		alloc_fail_at(-1);
		assert_int_equal(r, -ENOMEM);
		failures++;
		assert_null(bindings_by_name(b, "a.example"));
		assert_int_equal(map_count(&b->addrs), 1);
		assert_int_equal(bindings_by_addr(b, &old)->count, 1);
		check_consistent(b);
	}
	alloc_fail_at(-1);
	/* One for the name and each new address at the least. */
	assert_true(failures >= (long)ARRAY_SIZE(a));
	assert_int_equal(bindings_by_name(b, "a.example")->count, ARRAY_SIZE(a));
	check_consistent(b);
	bindings_done(b);
	/* All that is left is the table itself, which the fixture frees. */
	assert_int_equal(alloc_live, 1);
	bindings_init(b, seed);
}

/* Random additions against a plain table of what must be bound. */
static void test_random_as_model(void **state)
{
	enum { NAMES = 100, ADDRS = 100 };
	static bool model[NAMES][ADDRS];
	struct bindings *b = *state;
	unsigned int full = 0, done = 0;

	for (int round = 0; round < 3000; round++) {
		uint32_t name = rnd(NAMES), n = 1 + rnd(8), pick[8];
		struct addr a[8];
		char text[32];
		int r;

		for (uint32_t i = 0; i < n; i++) {
			pick[i] = rnd(ADDRS);
			a[i] = addr_v4(0xc0000200 + pick[i]);
		}
		(void)snprintf(text, sizeof(text), "n%u.example", name);
		r = bindings_add(b, text, a, n);
		if (r == 0)
			for (uint32_t i = 0; i < n; i++)
				model[name][pick[i]] = true;
		else
			assert_int_equal(r, -ENOSPC);
		done += r == 0;
		full += r != 0;
	}
	assert_int_equal(done, 3000);
	assert_int_equal(full, 0);
	for (uint32_t n = 0; n < NAMES; n++) {
		for (uint32_t k = 0; k < ADDRS; k++) {
			struct addr a = addr_v4(0xc0000200 + k);
			char text[32];

			(void)snprintf(text, sizeof(text), "n%u.example", n);
			assert_int_equal(bound(b, text, &a), model[n][k]);
		}
	}
	check_consistent(b);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_empty),
		TEST(test_addrs_in_one_answer),
		TEST(test_addrs_per_name),
		TEST(test_names_per_addr),
		TEST(test_max_names),
		TEST(test_max_addrs),
		TEST(test_invalid),
		TEST(test_names_and_addresses),
		TEST(test_again_changes_nothing),
		TEST(test_random_as_model),
		TEST(test_no_memory_leaves_no_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
