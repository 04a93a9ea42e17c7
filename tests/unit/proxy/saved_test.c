/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings in a file: what comes back, and what a killed or hostile writer left. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/saved.h"

static const uint8_t seed[16] = { 1 };

static int file_of(const char *text, size_t n)
{
	int fd = memfd_create("saved", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), (ssize_t)n);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	return fd;
}

static bool is_bound(const struct bindings *b, const char *name, const char *address)
{
	const struct bound_name *n = bindings_by_name(b, name);
	struct addr a;

	assert_true(addr_parse(str_of(address), &a));
	for (size_t i = 0; n && i < n->count; i++)
		if (addr_eq(&n->addrs[i]->addr, &a))
			return true;
	return false;
}

static void test_round_trip(void **state)
{
	struct addr addrs[] = { addr_v4(0xcb00710a), { .family = 6, .b = { 0x20, 1, 0xd, 0xb8 } } };
	struct bindings a, b;
	int fd = file_of("", 0);
	off_t size;

	(void)state;
	bindings_init(&a, seed);
	saved_append(fd, &a, "api.example.com", addrs, 2);
	assert_int_equal(bindings_add(&a, "api.example.com", addrs, 2), 0);
	size = lseek(fd, 0, SEEK_END);
	/* What is bound already is not written again. */
	saved_append(fd, &a, "api.example.com", addrs, 2);
	assert_int_equal(lseek(fd, 0, SEEK_END), size);
	bindings_init(&b, seed);
	saved_restore(fd, &b);
	assert_true(is_bound(&b, "api.example.com", "203.0.113.10"));
	assert_true(is_bound(&b, "api.example.com", "2001:db8::"));
	bindings_done(&a);
	bindings_done(&b);
	(void)close(fd);
}

static void test_damage(void **state)
{
	static const struct {
		const char *why, *text;
		bool first, second; /* a.example 192.0.2.1, b.example 192.0.2.2 */
	} rows[] = {
		{ "whole", "a.example 192.0.2.1\nb.example 192.0.2.2\n", true, true },
		{ "the last line is cut", "a.example 192.0.2.1\nb.example 192.0.2.2", true, false },
		{ "cut in the name", "a.example 192.0.2.1\nb.exa", true, false },
		{ "a line without a blank", "a.example\nb.example 192.0.2.2\n", false, true },
		{ "not an address", "a.example 192.0.2\nb.example 192.0.2.2\n", false, true },
		{ "something behind the address", "a.example 192.0.2.1 x\nb.example 192.0.2.2\n",
		  false, true },
		{ "an address for a name", "192.0.2.1 192.0.2.1\nb.example 192.0.2.2\n", false,
		  true },
		{ "empty lines", "\n\n\na.example 192.0.2.1\n\nb.example 192.0.2.2\n", true, true },
		{ "not a name", "a..example 192.0.2.1\nb.example 192.0.2.2\n", false, true },
		{ "nothing", "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int fd = file_of(rows[i].text, strlen(rows[i].text));
		struct bindings b;

		bindings_init(&b, seed);
		saved_restore(fd, &b);
		if (is_bound(&b, "a.example", "192.0.2.1") != rows[i].first ||
		    is_bound(&b, "b.example", "192.0.2.2") != rows[i].second)
			fail_msg("%s", rows[i].why);
		bindings_done(&b);
		(void)close(fd);
	}
}

static void test_a_cut_line_does_not_swallow_the_next(void **state)
{
	static const char cut[] = "a.example 192.0.2.1\nb.example 192.0";
	struct addr c = addr_v4(0xc0000203);
	int fd = file_of(cut, sizeof(cut) - 1);
	struct bindings b;

	(void)state;
	bindings_init(&b, seed);
	saved_restore(fd, &b);
	saved_append(fd, &b, "c.example", &c, 1);
	bindings_done(&b);
	bindings_init(&b, seed);
	saved_restore(fd, &b);
	assert_true(is_bound(&b, "a.example", "192.0.2.1"));
	assert_true(is_bound(&b, "c.example", "192.0.2.3"));
	assert_null(bindings_by_name(&b, "b.example"));
	bindings_done(&b);
	(void)close(fd);
}

static void test_no_file(void **state)
{
	struct addr a = addr_v4(0xc0000201);
	struct bindings b;
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);

	(void)state;
	bindings_init(&b, seed);
	saved_restore(-EBADF, &b);
	saved_append(-EBADF, &b, "a.example", &a, 1);
	saved_append(full, &b, "a.example", &a, 1); /* says so, and goes on */
	assert_null(bindings_by_name(&b, "a.example"));
	bindings_done(&b);
	(void)close(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_a_cut_line_does_not_swallow_the_next),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
