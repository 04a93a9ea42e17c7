/* SPDX-License-Identifier: Apache-2.0 */
/* The names of ways out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "supervisor/gaps.h"

/* The names are promised; a rename breaks people's scripts. */
static void test_names(void **state)
{
	static const char *const promised[] = {
		"unix-sockets",
		"same-user-processes",
		"host-pid",
		"cgroupfs",
		"bpffs",
		"cap-net-raw",
		"cap-net-admin",
		"cap-sys-admin",
		"cap-sys-ptrace",
		"cap-bpf",
		"vsock",
		"packet",
		"keyring",
		"alien-sockets",
		"nested-namespaces",
	};

	(void)state;
	assert_int_equal(ARRAY_SIZE(promised), GAP_COUNT);
	for (enum gap g = 0; g < GAP_COUNT; g++) {
		assert_string_equal(gap_name(g), promised[g]);
		assert_int_equal(gap_of_name(promised[g]), g);
		assert_true(strlen(gap_remedy(g)) > 0);
	}
	assert_null(gap_names()[GAP_COUNT]);
	assert_int_equal(gap_of_name(""), GAP_COUNT);
	assert_int_equal(gap_of_name("VSOCK"), GAP_COUNT);
	assert_int_equal(gap_of_name("vsock "), GAP_COUNT);
}

static void test_text(void **state)
{
	char text[256];

	(void)state;
	gaps_text(0, text, sizeof(text));
	assert_string_equal(text, "");
	gaps_text(1U << GAP_VSOCK | 1U << GAP_HOST_PID, text, sizeof(text));
	assert_string_equal(text, "host-pid,vsock");
	gaps_text((1U << GAP_COUNT) - 1, text, sizeof(text));
	assert_true(strlen(text) < sizeof(text) - 1);
	assert_non_null(strstr(text, "nested-namespaces"));
	gaps_text((1U << GAP_COUNT) - 1, text, 16);
	assert_true(strlen(text) < 16);
}

static void test_first_finding_counts(void **state)
{
	struct gaps g = { 0 };

	(void)state;
	gap_add(&g, GAP_BPF, "process %d", 1);
	gap_add(&g, GAP_BPF, "process %d", 2);
	assert_int_equal(g.open, 1U << GAP_BPF);
	assert_string_equal(g.found[GAP_BPF], "process 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_first_finding_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
