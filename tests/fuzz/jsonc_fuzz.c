/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as JSON with comments. What must hold: blanking only ever makes spaces, and never of a
 * line end; blanked text is left alone by a second blanking; the walk goes forwards and stays
 * within its container; a token covers the offset it was asked for; places are the same whether
 * they are counted on or from the beginning.
 */
#include "tests/fuzz/fuzz.h"

#include "wire/jsonc.h"

static void check_blanked(const uint8_t *before, const char *after, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert(after[i] == (char)before[i] || after[i] == ' ');
		if (before[i] == '\n' || before[i] == '\r')
			assert(after[i] == (char)before[i]);
	}
}

/* Returns behind the last item that was seen. */
static size_t check_walk(struct str t, size_t at, unsigned int depth)
{
	struct jsonc_item item, last;
	bool more = jsonc_first(t, at, &item);
	size_t end = at;

	for (; more; more = jsonc_next(t, &item)) {
		assert(item.value > end && item.value < t.n);
		if (t.p[at] == '{')
			assert(item.key > end && item.key < item.value);
		else
			assert(item.key == JSONC_NONE);
		assert(depth < JSONC_DEPTH_MAX);
		end = check_walk(t, item.value, depth + 1); /* at least item.value */
		last = item;
		assert(!jsonc_next(t, &last) || last.value > end);
	}
	return end;
}

static void check_places(struct str t)
{
	struct jsonc_place on = JSONC_PLACE_INIT;
	size_t step = t.n / 16 + 1;

	for (size_t i = 0; i <= t.n; i += step) {
		struct jsonc_place fresh = JSONC_PLACE_INIT;
		size_t token = jsonc_token(t, i);

		assert(token <= i);
		assert(jsonc_token(t, token) == token);
		jsonc_place_move(t, i, &on);
		jsonc_place_move(t, i, &fresh);
		assert(on.line == fresh.line && on.column == fresh.column && on.offset == i);
		assert(on.line >= 1 && on.column >= 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = (char *)fuzz_copy(data, size), *twice;
	struct str t = { text, size };
	struct jsonc_error error = { SIZE_MAX, NULL };

	check_places(t);
	if (jsonc_blank(text, size, &error) < 0) {
		assert(error.offset < size && error.sentence);
		free(text);
		return 0;
	}
	check_blanked(data, text, size);
	twice = (char *)fuzz_copy((const uint8_t *)text, size);
	assert(jsonc_blank(twice, size, &error) == 0);
	assert(size == 0 || memcmp(text, twice, size) == 0);
	free(twice);
	check_places(t);
	if (jsonc_root(t) < size)
		(void)check_walk(t, jsonc_root(t), 0);
	free(text);
	return 0;
}
