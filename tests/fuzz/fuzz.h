/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fuzz target shares: the name of its one function, and exact copies, so that a read
 * behind the end is seen.
 */
#ifndef NONO_TESTS_FUZZ_H
#define NONO_TESTS_FUZZ_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first n bytes in an allocation of just that size. free() it. */
static inline uint8_t *fuzz_copy(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	assert(copy);
	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

#endif
