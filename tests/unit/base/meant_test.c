/* SPDX-License-Identifier: Apache-2.0 */
/* Which known word was meant: slips are found, other words are not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/defs.h"
#include "base/meant.h"

static const char *const known[] = { "allow-domain", "deny-domain", "net", "run", "why", NULL };

static void test_meant(void **state)
{
	static const struct {
		const char *word, *meant, *reason;
	} rows[] = {
		{ "alow-domain", "allow-domain", "a letter left out" },
		{ "allow-doman", "allow-domain", "a letter left out behind" },
		{ "deny-domains", "deny-domain", "a letter too many" },
		{ "wyh", "why", "two letters swapped" },
		{ "rum", "run", "a wrong letter" },
		{ "nt", "net", "short" },
		{ "frobnicate", NULL, "another word" },
		{ "", NULL, "nothing" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "a",
		  NULL, "longer than any word" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = did_you_mean(rows[i].word, known);

		if (rows[i].meant ? !got || strcmp(got, rows[i].meant) != 0 : got != NULL)
			fail_msg("%s: \"%s\" gives %s", rows[i].reason, rows[i].word,
				 got ? got : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
