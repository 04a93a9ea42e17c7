/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file's text into the configuration.
 *
 * jansson keeps no places, so every object and list is walked twice in step: its values by jansson,
 * their places by the scanner over the text. Both go in the order in which things are written;
 * with duplicate keys refused none is lost, so the n-th of one is the n-th of the other.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/meant.h"
#include "config/fields.h"
#include "config/syntax.h"
#include "policy/pattern.h"

#define NAMES_MAX 64

struct decoder {
	struct config *c;
	const char *name;
	struct str text, plain; /* as it was read; blanked */
	struct jsonc_place place;
	const char *origin; /* "NAME:LINE" of origin_line */
	unsigned int origin_line;
	char *why;
	size_t why_n;
};

static void add_word(char *out, size_t n, const char *glue, const char *word)
{
	size_t at = strlen(out);

	(void)snprintf(out + at, n - at, "%s%s", glue, word);
}

_printf_(3, 4) static int refuse(struct decoder *d, size_t offset, const char *fmt, ...)
{
	char sentence[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	jsonc_place_move(d->text, offset, &d->place);
	(void)snprintf(d->why, d->why_n, "%s:%u:%u: %s", d->name, d->place.line, d->place.column,
		       sentence);
	return -EINVAL;
}

static int no_memory(struct decoder *d, size_t offset)
{
	(void)refuse(d, offset, "out of memory");
	return -ENOMEM;
}

/* NULL: no memory. Values of one line share it. */
static const char *origin_at(struct decoder *d, size_t offset)
{
	char text[4096 + 16];

	jsonc_place_move(d->text, offset, &d->place);
	if (d->origin && d->origin_line == d->place.line)
		return d->origin;
	(void)snprintf(text, sizeof(text), "%s:%u", d->name, d->place.line);
	d->origin = arena_strdup(&d->c->arena, text);
	d->origin_line = d->place.line;
	return d->origin;
}

static const char *type_of(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	case JSON_NULL:
		break;
	}
	return "null";
}

static int wrong_type(struct decoder *d, const struct config_field *f, const char *wanted,
		      const json_t *v, size_t at)
{
	return refuse(d, at, "\"%s\" must be %s, not %s", f->name, wanted, type_of(v));
}

/* ---- values ---- */

static int decode_version(struct decoder *d, const json_t *v, size_t at)
{
	if (!json_is_integer(v))
		return wrong_type(d, config_field_find(NULL, "version"), "a whole number", v, at);
	if (json_integer_value(v) != CONFIG_VERSION_KNOWN)
		return refuse(d, at, "version %lld is not known; this program reads version %d",
			      (long long)json_integer_value(v), CONFIG_VERSION_KNOWN);
	return 0;
}

static int decode_flag(struct decoder *d, const struct config_field *f, const json_t *v, size_t at)
{
	struct config_flag *field = (void *)((char *)d->c + f->offset);

	if (!json_is_boolean(v))
		return wrong_type(d, f, "true or false", v, at);
	field->v = json_is_true(v);
	field->origin = origin_at(d, at);
	return field->origin ? 0 : no_memory(d, at);
}

static int decode_number(struct decoder *d, const struct config_field *f, const json_t *v,
			 size_t at)
{
	struct config_number *field = (void *)((char *)d->c + f->offset);
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return wrong_type(d, f, "a whole number", v, at);
	if (n < f->min || n > f->max)
		return refuse(d, at, "\"%s\" must be from %u to %u, not %lld", f->name, f->min,
			      f->max, (long long)n);
	field->v = (uint32_t)n;
	field->origin = origin_at(d, at);
	return field->origin ? 0 : no_memory(d, at);
}

/* `copy` NULL: no memory. */
static int set_text(struct decoder *d, const struct config_field *f, const char *copy, size_t at)
{
	struct config_text *field = (void *)((char *)d->c + f->offset);

	field->v = copy;
	field->origin = origin_at(d, at);
	return copy && field->origin ? 0 : no_memory(d, at);
}

static int decode_word(struct decoder *d, const struct config_field *f, const json_t *v, size_t at)
{
	const char *text = json_string_value(v);
	char known[128] = "";

	if (!text)
		return wrong_type(d, f, "a string", v, at);
	for (size_t i = 0; f->words[i]; i++) {
		if (strcmp(text, f->words[i]) == 0)
			return set_text(d, f, f->words[i], at);
		add_word(known, sizeof(known),
			 !i		   ? "\""
			 : f->words[i + 1] ? "\", \""
					   : "\" or \"",
			 f->words[i]);
	}
	return refuse(d, at, "\"%s\" must be %s\", not \"%.100s\"", f->name, known, text);
}

static int decode_path(struct decoder *d, const struct config_field *f, const json_t *v, size_t at)
{
	const char *text = json_string_value(v);

	if (!text)
		return wrong_type(d, f, "a string", v, at);
	if (text[0] != '/')
		return refuse(d, at, "\"%s\" must be an absolute path, not \"%.100s\"", f->name,
			      text);
	return set_text(d, f, arena_strdup(&d->c->arena, text), at);
}

static int decode_bind(struct decoder *d, const struct config_field *f, const json_t *v, size_t at)
{
	const char *text = json_string_value(v), *fault;
	struct addr a;

	if (!text)
		return wrong_type(d, f, "a string", v, at);
	if (config_bind_parse(text, &a, &fault) < 0)
		return refuse(d, at, "\"%.100s\" %s", text, fault);
	return set_text(d, f, arena_strdup(&d->c->arena, text), at);
}

/* ---- lists ---- */

static int decode_rule(struct decoder *d, const struct config_field *f, const char *text, size_t at)
{
	struct setup_rule rule = {
		.cidr = f->kind == CONFIG_CIDR,
		.deny = f->kind == CONFIG_DENY,
	};
	struct pattern pattern;
	char why[320];
	int r = rule.cidr ? pattern_parse_cidr(text, &pattern, why, sizeof(why))
			  : pattern_parse_domain(text, rule.deny, NULL, &pattern, why, sizeof(why));

	if (r < 0)
		return refuse(d, at, "%s", why);
	rule.text = arena_strdup(&d->c->arena, text);
	rule.origin = origin_at(d, at);
	r = rule.text && rule.origin ? config_add_rule(d->c, &rule) : -ENOMEM;
	if (r == -E2BIG)
		return refuse(d, at, "too many rules (at most %d)", CONFIG_RULES_MAX);
	return r < 0 ? no_memory(d, at) : 0;
}

static int decode_server(struct decoder *d, const char *text, size_t at)
{
	const char *copy;
	int r;

	if (!config_server_valid(text))
		return refuse(d, at, "\"%.100s\" is no address; say ADDR or ADDR:PORT, [IPv6]:PORT",
			      text);
	copy = arena_strdup(&d->c->arena, text);
	r = copy ? config_add_server(d->c, copy) : -ENOMEM;
	if (r == -E2BIG)
		return refuse(d, at, "too many servers (at most %d)", CONFIG_SERVERS_MAX);
	return r < 0 ? no_memory(d, at) : 0;
}

static int decode_list(struct decoder *d, const struct config_field *f, const json_t *list,
		       size_t at)
{
	struct jsonc_item item = { JSONC_NONE, JSONC_NONE };
	int r = 0;

	if (!json_is_array(list))
		return wrong_type(d, f, "a list of strings", list, at);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		bool in_step = i ? jsonc_next(d->plain, &item) : jsonc_first(d->plain, at, &item);

		assert(in_step);
		if (!json_is_string(v))
			r = refuse(d, item.value, "each item of \"%s\" must be a string, not %s",
				   f->name, type_of(v));
		else if (f->kind == CONFIG_SERVERS)
			r = decode_server(d, json_string_value(v), item.value);
		else
			r = decode_rule(d, f, json_string_value(v), item.value);
	}
	return r;
}

static int decode_ports(struct decoder *d, const struct config_field *f, const json_t *list,
			size_t at)
{
	struct jsonc_item item = { JSONC_NONE, JSONC_NONE };

	if (!json_is_array(list))
		return wrong_type(d, f, "a list of numbers", list, at);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);
		bool in_step = i ? jsonc_next(d->plain, &item) : jsonc_first(d->plain, at, &item);
		json_int_t n = json_integer_value(v);

		assert(in_step);
		if (!json_is_integer(v))
			return refuse(d, item.value, "each item of \"%s\" must be a number, not %s",
				      f->name, type_of(v));
		if (n < f->min || n > f->max)
			return refuse(d, item.value,
				      "each item of \"%s\" must be from %u to %u, not %lld",
				      f->name, f->min, f->max, (long long)n);
		if (config_add_publish(d->c, (uint16_t)n) < 0)
			return refuse(d, item.value, "too many ports to publish (at most %d)",
				      PUBLISH_MAX);
	}
	return 0;
}

static int decode_value(struct decoder *d, const struct config_field *f, const json_t *v,
			const struct jsonc_item *at)
{
	switch (f->kind) {
	case CONFIG_IGNORED:
		return json_is_string(v) ? 0 : wrong_type(d, f, "a string", v, at->value);
	case CONFIG_VERSION:
		return decode_version(d, v, at->value);
	case CONFIG_FLAG:
		return decode_flag(d, f, v, at->value);
	case CONFIG_NUMBER:
		return decode_number(d, f, v, at->value);
	case CONFIG_WORD:
		return decode_word(d, f, v, at->value);
	case CONFIG_PATH:
		return decode_path(d, f, v, at->value);
	case CONFIG_BIND:
		return decode_bind(d, f, v, at->value);
	case CONFIG_ALLOW:
	case CONFIG_DENY:
	case CONFIG_CIDR:
	case CONFIG_SERVERS:
		return decode_list(d, f, v, at->value);
	case CONFIG_PORTS:
		return decode_ports(d, f, v, at->value);
	case CONFIG_UNSERVED:
		break;
	}
	return refuse(d, at->key, "\"%s\" is not served yet by this version", f->name);
}

/* ---- objects ---- */

/* The names that are known at this level, NULL-terminated; each section once at the top. */
static void known_names(const char *section, const char *ret[NAMES_MAX])
{
	size_t n = 0;

	assert(config_field_count < NAMES_MAX / 2);
	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *f = &config_fields[i];

		if (config_same_section(f->section, section))
			ret[n++] = f->name;
		else if (!section && (i == 0 || !config_same_section(f[-1].section, f->section)))
			ret[n++] = f->section;
	}
	ret[n] = NULL;
}

static int unknown_key(struct decoder *d, const char *section, const char *key, size_t at)
{
	const char *known[NAMES_MAX], *meant;

	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *f = &config_fields[i];

		if (strcmp(f->name, key) != 0)
			continue;
		return f->section ? refuse(d, at, "\"%s\" belongs into \"%s\"", key, f->section)
				  : refuse(d, at, "\"%s\" belongs to the top level", key);
	}
	known_names(section, known);
	meant = did_you_mean(key, known);
	return refuse(d, at, "unknown key \"%.100s\"%s%s%s", key, meant ? "; did you mean \"" : "",
		      meant ? meant : "", meant ? "\"?" : "");
}

static int decode_object(struct decoder *d, const char *section, json_t *object, size_t at);

static int decode_member(struct decoder *d, const char *section, const char *key, json_t *v,
			 const struct jsonc_item *at)
{
	const struct config_field *f = config_field_find(section, key);

	if (f)
		return decode_value(d, f, v, at);
	if (section || !config_is_section(key))
		return unknown_key(d, section, key, at->key);
	if (!json_is_object(v))
		return refuse(d, at->value, "\"%s\" must be an object, not %s", key, type_of(v));
	return decode_object(d, key, v, at->value); /* once: there are no sections in sections */
}

static int decode_object(struct decoder *d, const char *section, json_t *object, size_t at)
{
	struct jsonc_item item = { JSONC_NONE, JSONC_NONE };
	bool first = true;
	const char *key;
	json_t *v;

	json_object_foreach(object, key, v)
	{
		bool in_step = first ? jsonc_first(d->plain, at, &item)
				     : jsonc_next(d->plain, &item);
		int r;

		assert(in_step);
		first = false;
		r = decode_member(d, section, key, v, &item);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Before anything else: a file of another version may mean other things by the same names. */
static int check_version(struct decoder *d, json_t *root, size_t at)
{
	struct jsonc_item item = { JSONC_NONE, JSONC_NONE };
	bool first = true;
	const char *key;
	json_t *v;

	json_object_foreach(root, key, v)
	{
		bool in_step = first ? jsonc_first(d->plain, at, &item)
				     : jsonc_next(d->plain, &item);

		assert(in_step);
		first = false;
		if (strcmp(key, "version") == 0)
			return decode_version(d, v, item.value);
	}
	return refuse(d, at, "\"version\" is missing; write \"version\": %d", CONFIG_VERSION_KNOWN);
}

int config_parse(struct config *c, const char *name, struct str text, char *why, size_t why_n)
{
	_cleanup_free_ char *plain = malloc(text.n + 1);
	struct decoder d = {
		.c = c,
		.name = name,
		.text = text,
		.plain = { plain, text.n },
		.place = JSONC_PLACE_INIT,
		.why = why,
		.why_n = why_n,
	};
	struct jsonc_error error;
	json_t *root;
	size_t at;
	int r;

	if (!plain)
		return no_memory(&d, 0);
	if (text.n)
		memcpy(plain, text.p, text.n);
	root = syntax_parse(plain, text.n, &error);
	if (!root)
		return refuse(&d, error.offset, "%s", error.sentence);
	at = jsonc_root(d.plain);
	r = check_version(&d, root, at);
	if (r == 0)
		r = decode_object(&d, NULL, root, at);
	json_decref(root);
	return r;
}
