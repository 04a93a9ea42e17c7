/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The word of the least edit distance (Levenshtein), if that is small against the word's length.
 */
#include "base/meant.h"

#include <string.h>

#include "base/defs.h"

static size_t distance(const char *a, const char *b)
{
	size_t row[64], n = strlen(b);

	if (n >= ARRAY_SIZE(row) || strlen(a) >= ARRAY_SIZE(row))
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t up = row[j];

			row[j] = MIN(MIN(row[j - 1], up) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = up;
		}
	}
	return row[n];
}

const char *did_you_mean(const char *word, const char *const *known)
{
	size_t best = strlen(word) / 3 + 2; /* a swap of two letters counts two */
	const char *found = NULL;

	for (; *known; known++) {
		size_t d = distance(word, *known);

		if (d < best) {
			best = d;
			found = *known;
		}
	}
	return found;
}
