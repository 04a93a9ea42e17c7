/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any first bytes. What must hold: a verdict once given stays, whatever comes behind; at rest there
 * always is one; and no request with a known method comes out as opaque.
 */
#include "tests/fuzz/fuzz.h"

#include "wire/sniff.h"

static enum sniff sniff_copy(const uint8_t *data, size_t n)
{
	uint8_t *copy = fuzz_copy(data, n);
	enum sniff told = sniff(copy, n), rest = sniff_at_rest(copy, n);

	assert(rest != SNIFF_MORE);
	assert(told == SNIFF_MORE ? rest != SNIFF_MORE && (rest == SNIFF_OPAQUE) == (n == 0)
				  : rest == told);
	free(copy);
	return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum sniff told = SNIFF_MORE;
	size_t skip = 0;

	/* A verdict may fall at any byte up to the longest line with empty lines before it; behind
	 * that, nothing is left. */
	for (size_t n = 0; n <= size; n += n < 600 || size - n < 600 ? 1 : 61) {
		enum sniff now = sniff_copy(data, n);

		assert(told == SNIFF_MORE || now == told);
		told = now;
	}
	told = sniff_copy(data, size);
	assert(size < 64 + 8192 || told != SNIFF_MORE);
	if (size >= 2)
		assert((told == SNIFF_TLS) == (data[0] == 0x16));

	while (skip < size && skip < 64 && (data[skip] == '\r' || data[skip] == '\n'))
		skip++;
	if (size - skip >= 4 && memcmp(data + skip, "GET ", 4) == 0)
		assert(told == SNIFF_HTTP);
	return 0;
}
