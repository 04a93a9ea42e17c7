/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSONC text into JSON values.
 *
 * jansson says how far it had read, which is the end of the offending token, and quotes that token.
 * The quotation is left out: root may be asked to read a file that the caller may not, and must not
 * read it out to him.
 */
#include "config/syntax.h"

#include <string.h>

/* By the beginning of jansson's own words. */
static const struct {
	const char *theirs, *ours;
} sentences[] = {
	{ "'}' expected", "',' or '}' is expected here" },
	{ "']' expected", "',' or ']' is expected here" },
	{ "string or '}' expected", "a key in double quotes, or '}', is expected here" },
	{ "':' expected", "':' is expected here" },
	{ "'[' or '{' expected", "a configuration is one object: '{' is expected here" },
	{ "invalid token", "this is no JSON value; strings stand in double quotes" },
	{ "unexpected token", "a value is expected here" },
	{ "unexpected newline", "this string does not end on its line" },
	{ "control character", "a control character in a string; write it as \\u00XX" },
	{ "invalid escape", "an escape that JSON does not have" },
	{ "invalid Unicode", "half of a surrogate pair" },
};

static const char *sentence_of(const json_error_t *e)
{
	switch (json_error_code(e)) {
	case json_error_duplicate_key:
		return "this key is here for the second time";
	case json_error_premature_end_of_input:
		return "the text ends where more is expected";
	case json_error_end_of_input_expected:
		return "nothing may stand behind the closing '}'";
	case json_error_invalid_utf8:
		return "this is not UTF-8";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "a string may not contain NUL";
	case json_error_numeric_overflow:
		return "this number is too large";
	case json_error_out_of_memory:
		return "out of memory";
	default:
		break;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sentences); i++)
		if (strncmp(e->text, sentences[i].theirs, strlen(sentences[i].theirs)) == 0)
			return sentences[i].ours;
	return "this is not JSON";
}

static size_t offset_of(const json_error_t *e, struct str text)
{
	size_t read = MIN((size_t)MAX(e->position, 0), text.n);
	enum json_error_code code = json_error_code(e);

	if (code == json_error_invalid_utf8)
		return read;
	if (code == json_error_premature_end_of_input)
		return text.n;
	return read ? jsonc_token(text, read - 1) : 0;
}

json_t *syntax_parse(char *text, size_t n, struct jsonc_error *ret)
{
	struct str plain = { text, n };
	json_error_t error;
	json_t *root;
	size_t at;

	if (jsonc_blank(text, n, ret) < 0)
		return NULL;
	root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
	if (!root) {
		*ret = (struct jsonc_error){ offset_of(&error, plain), sentence_of(&error) };
		return NULL;
	}
	if (json_is_object(root))
		return root;
	json_decref(root);
	at = jsonc_root(plain);
	*ret = (struct jsonc_error){ at, "a configuration is one object: '{' is expected here" };
	return NULL;
}
