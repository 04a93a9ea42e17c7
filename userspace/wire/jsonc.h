/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON with comments and trailing commas, made plain JSON in place, so that every byte stays where
 * it was; and the way back from a value to its place in the text, which JSON libraries do not tell.
 */
#ifndef NONO_WIRE_JSONC_H
#define NONO_WIRE_JSONC_H

#include "base/defs.h"
#include "base/str.h"

#define JSONC_DEPTH_MAX 32
#define JSONC_NONE	SIZE_MAX

struct jsonc_error {
	size_t offset;
	const char *sentence;
};

/*
 * Blanks comments and commas before a closing bracket to spaces; line ends stay. 0, or -EINVAL and
 * what is wrong where: a comment that does not end or was not begun, a NUL, a byte order mark,
 * brackets deeper than JSONC_DEPTH_MAX. Whatever else is wrong is left for the JSON parser to find.
 * What is in the text after a failure is of no use.
 */
_must_check_ int jsonc_blank(char *text, size_t n, struct jsonc_error *ret);

/* Where the token begins that covers the offset; the offset itself if none does. `text` is blanked.
 */
size_t jsonc_token(struct str text, size_t offset);

/* A member of an object, or an item of an array (`key` is JSONC_NONE). */
struct jsonc_item {
	size_t key, value;
};

/*
 * The walk over blanked text that a JSON parser has accepted, in the order in which things are
 * written: the first value, the first item of a container, the next item of the same one. On other
 * texts it ends somewhere, within bounds.
 */
size_t jsonc_root(struct str text);
bool jsonc_first(struct str text, size_t container, struct jsonc_item *ret);
bool jsonc_next(struct str text, struct jsonc_item *at);

/* A place as editors count it: both from 1, columns in characters. */
struct jsonc_place {
	size_t offset;
	unsigned int line, column;
};

#define JSONC_PLACE_INIT \
	{                \
		0, 1, 1  \
	}

/* Moves `at` to the offset, which costs what lies between if it is further on. `text` is as it was
 * read. */
void jsonc_place_move(struct str text, size_t offset, struct jsonc_place *at);

#endif
