/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON with comments (// and slash-star) and trailing commas.
 *
 * One pass that knows only strings, comments, brackets and commas; what a value may look like is
 * the JSON parser's business. It only ever writes spaces, so an offset in the blanked text is one
 * in the file. Nothing recurses.
 */
#include "wire/jsonc.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

static bool is_open(char c)
{
	return c == '{' || c == '[';
}

static bool is_close(char c)
{
	return c == '}' || c == ']';
}

static size_t skip_space(struct str t, size_t at)
{
	while (at < t.n && is_space(t.p[at]))
		at++;
	return at;
}

/* Behind the string that begins at `at`. One that is not closed ends with its line. */
static size_t skip_string(struct str t, size_t at)
{
	for (at++; at < t.n && t.p[at] != '\n'; at++) {
		if (t.p[at] == '"')
			return at + 1;
		if (t.p[at] == '\\' && at + 1 < t.n && t.p[at + 1] != '\n')
			at++;
	}
	return at;
}

/* Behind the token at `at`, which is within the text: a string, one sign, or a word. */
static size_t skip_token(struct str t, size_t at)
{
	char c = t.p[at];

	if (c == '"')
		return skip_string(t, at);
	if (is_open(c) || is_close(c) || c == ',' || c == ':')
		return at + 1;
	for (; at < t.n; at++) {
		c = t.p[at];
		if (is_space(c) || is_open(c) || is_close(c) || c == ',' || c == ':' || c == '"')
			break;
	}
	return at;
}

/* ---- to plain JSON ---- */

struct blanker {
	char *text;
	size_t n;
	size_t comma; /* where the last sign is, if it is a comma behind a value; else JSONC_NONE */
	char last; /* the last sign: a byte that is neither blank nor in a comment; 0: none yet */
	unsigned int depth;
	struct jsonc_error *error;
};

static int refuse(struct blanker *b, size_t offset, const char *sentence)
{
	*b->error = (struct jsonc_error){ offset, sentence };
	return -EINVAL;
}

static void blank(struct blanker *b, size_t from, size_t to)
{
	for (; from < to; from++)
		if (!is_line_end(b->text[from]))
			b->text[from] = ' ';
}

/* A comment begins at *at. A line comment ends at either line end: an editor may show both as one.
 */
static int blank_comment(struct blanker *b, size_t *at)
{
	size_t end = *at + 2;

	if (b->text[*at + 1] == '/') {
		while (end < b->n && !is_line_end(b->text[end]))
			end++;
	} else {
		while (end + 1 < b->n && !(b->text[end] == '*' && b->text[end + 1] == '/'))
			end++;
		if (end + 1 >= b->n)
			return refuse(b, *at, "this comment does not end");
		end += 2;
	}
	blank(b, *at, end);
	*at = end;
	return 0;
}

/* What is neither blank nor comment: strings at once, anything else by the byte, for a comment may
 * end a word. */
static int pass(struct blanker *b, size_t *at)
{
	struct str t = { b->text, b->n };
	char c = t.p[*at];

	if (is_close(c) && b->comma != JSONC_NONE)
		b->text[b->comma] = ' ';
	b->comma = JSONC_NONE;
	/* "[,]" and "[1,,]" stay wrong: only a comma behind a value may trail. */
	if (c == ',' && b->last && b->last != ',' && b->last != ':' && !is_open(b->last))
		b->comma = *at;
	if (is_open(c) && ++b->depth > JSONC_DEPTH_MAX)
		return refuse(b, *at, "the brackets are nested too deep here");
	if (is_close(c) && b->depth)
		b->depth--;
	b->last = c;
	*at = c == '"' ? skip_string(t, *at) : *at + 1;
	return 0;
}

int jsonc_blank(char *text, size_t n, struct jsonc_error *ret)
{
	struct blanker b = { .text = text, .n = n, .comma = JSONC_NONE, .error = ret };
	const char *nul = n ? memchr(text, '\0', n) : NULL;
	size_t at = 0;
	int r = 0;

	if (nul)
		return refuse(&b, (size_t)(nul - text), "a NUL byte; this is not text");
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		return refuse(&b, 0, "a byte order mark; save the file as UTF-8 without one");
	while (r == 0 && at < n) {
		char next = at + 1 < n ? text[at + 1] : '\0';

		if (is_space(text[at]))
			at++;
		else if (text[at] == '/' && (next == '/' || next == '*'))
			r = blank_comment(&b, &at);
		else if (text[at] == '*' && next == '/')
			r = refuse(&b, at,
				   "the end of a comment that was not begun; comments do not nest");
		else
			r = pass(&b, &at);
	}
	return r;
}

size_t jsonc_token(struct str text, size_t offset)
{
	size_t at = skip_space(text, 0);

	while (at < text.n && at <= offset) {
		size_t end = skip_token(text, at);

		if (offset < end)
			return at;
		at = skip_space(text, end);
	}
	return offset;
}

/* ---- the walk ---- */

/* Behind the value at `at`. */
static size_t skip_value(struct str t, size_t at)
{
	size_t depth = 0;

	while (at < t.n) {
		char c = t.p[at];

		if (is_close(c)) {
			if (depth == 0)
				return at;
			depth--;
		}
		depth += is_open(c);
		at = skip_token(t, at);
		if (depth == 0)
			return at;
		at = skip_space(t, at);
	}
	return at;
}

/* The item that begins at or behind `at`; false if the container ends there. */
static bool item_at(struct str t, size_t at, bool object, struct jsonc_item *ret)
{
	struct jsonc_item item = { JSONC_NONE, skip_space(t, at) };

	if (item.value >= t.n || is_close(t.p[item.value]))
		return false;
	if (object) {
		item.key = item.value;
		at = skip_space(t, skip_token(t, item.key));
		if (at >= t.n || t.p[at] != ':')
			return false;
		item.value = skip_space(t, at + 1);
		if (item.value >= t.n || is_close(t.p[item.value]))
			return false;
	}
	*ret = item;
	return true;
}

size_t jsonc_root(struct str text)
{
	return skip_space(text, 0);
}

bool jsonc_first(struct str text, size_t container, struct jsonc_item *ret)
{
	if (container >= text.n || !is_open(text.p[container]))
		return false;
	return item_at(text, container + 1, text.p[container] == '{', ret);
}

bool jsonc_next(struct str text, struct jsonc_item *at)
{
	size_t end = skip_space(text, skip_value(text, at->value));

	if (end >= text.n || text.p[end] != ',')
		return false;
	return item_at(text, end + 1, at->key != JSONC_NONE, at);
}

void jsonc_place_move(struct str text, size_t offset, struct jsonc_place *at)
{
	struct jsonc_place p = *at;

	if (offset < p.offset)
		p = (struct jsonc_place)JSONC_PLACE_INIT;
	for (; p.offset < offset && p.offset < text.n; p.offset++) {
		unsigned char c = (unsigned char)text.p[p.offset];

		if (c == '\n') {
			p.line++;
			p.column = 1;
		} else if ((c & 0xc0) != 0x80) {
			p.column++;
		}
	}
	*at = p;
}
