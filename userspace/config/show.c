/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration, and the schema of its file, as indented JSON. Written by our own writer; the
 * library only lays it out.
 */
#include <jansson.h>

#include "config/fields.h"
#include "wire/json.h"

#define TEXT_MAX (64 * 1024 * 1024)

static int lay_out(const struct buf *line, struct buf *out)
{
	json_error_t error;
	json_t *root = json_loadb((const char *)buf_data(line), buf_len(line),
				  JSON_REJECT_DUPLICATES, &error);
	char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	int r = text ? buf_append_str(out, str_of(text)) : -ENOMEM;

	free(text);
	json_decref(root);
	return r < 0 ? r : buf_append_u8(out, '\n');
}

/* Calls `put` for each served field, with its section opened and closed around it. */
static void put_fields(struct json *j, const struct config *c,
		       void (*put)(struct json *j, const struct config *c,
				   const struct config_field *f),
		       void (*open)(struct json *j, const char *section),
		       void (*close)(struct json *j))
{
	const char *section = NULL;

	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *f = &config_fields[i];

		if (f->kind == CONFIG_UNSERVED)
			continue;
		if (!config_same_section(f->section, section)) {
			if (section)
				close(j);
			section = f->section;
			if (section)
				open(j, section);
		}
		put(j, c, f);
	}
	if (section)
		close(j);
}

/* ---- show ---- */

static void put_rules(struct json *j, const struct config *c, const struct config_field *f)
{
	json_key(j, f->name);
	json_array_begin(j);
	for (size_t i = 0; i < c->rule_count; i++) {
		const struct setup_rule *r = &c->rules[i];

		if (r->cidr == (f->kind == CONFIG_CIDR) && r->deny == (f->kind == CONFIG_DENY))
			json_str(j, str_of(r->text));
	}
	json_array_end(j);
}

static void put_servers(struct json *j, const struct config *c, const struct config_field *f)
{
	json_key(j, f->name);
	json_array_begin(j);
	for (size_t i = 0; i < c->server_count; i++)
		json_str(j, str_of(c->servers[i]));
	json_array_end(j);
}

static void put_ports(struct json *j, const struct config *c, const struct config_field *f)
{
	json_key(j, f->name);
	json_array_begin(j);
	for (size_t i = 0; i < c->publish_count; i++)
		json_int(j, c->publish[i]);
	json_array_end(j);
}

static void put_value(struct json *j, const struct config *c, const struct config_field *f)
{
	const void *at = (const char *)c + f->offset;

	switch (f->kind) {
	case CONFIG_VERSION:
		json_kv_int(j, f->name, CONFIG_VERSION_KNOWN);
		break;
	case CONFIG_FLAG:
		json_key(j, f->name);
		json_bool(j, ((const struct config_flag *)at)->v);
		break;
	case CONFIG_NUMBER:
		json_kv_int(j, f->name, ((const struct config_number *)at)->v);
		break;
	case CONFIG_WORD:
	case CONFIG_PATH:
	case CONFIG_BIND:
		json_kv_str(j, f->name, ((const struct config_text *)at)->v);
		break;
	case CONFIG_ALLOW:
	case CONFIG_DENY:
	case CONFIG_CIDR:
		put_rules(j, c, f);
		break;
	case CONFIG_SERVERS:
		put_servers(j, c, f);
		break;
	case CONFIG_PORTS:
		put_ports(j, c, f);
		break;
	case CONFIG_IGNORED:
	case CONFIG_UNSERVED:
		break;
	}
}

static void open_object(struct json *j, const char *section)
{
	json_key(j, section);
	json_object_begin(j);
}

int config_show(const struct config *c, struct buf *out)
{
	_cleanup_buf_ struct buf line = BUF_INIT(TEXT_MAX);
	struct json j;
	int r;

	json_begin(&j, &line);
	json_object_begin(&j);
	json_key(&j, "file");
	if (c->file)
		json_str(&j, str_of(c->file));
	else
		json_put_null(&j);
	open_object(&j, "configuration");
	put_fields(&j, c, put_value, open_object, json_object_end);
	json_object_end(&j);
	json_object_end(&j);
	r = json_end(&j);
	return r < 0 ? r : lay_out(&line, out);
}

/* ---- schema ---- */

static void put_list_type(struct json *j, int64_t max)
{
	json_kv_str(j, "type", "array");
	json_key(j, "items");
	json_object_begin(j);
	json_kv_str(j, "type", "string");
	json_kv_int(j, "minLength", 1);
	json_object_end(j);
	json_kv_int(j, "maxItems", max);
}

static void put_port_list_type(struct json *j, const struct config_field *f)
{
	json_kv_str(j, "type", "array");
	json_key(j, "items");
	json_object_begin(j);
	json_kv_str(j, "type", "integer");
	json_kv_int(j, "minimum", f->min);
	json_kv_int(j, "maximum", f->max);
	json_object_end(j);
	json_kv_int(j, "maxItems", PUBLISH_MAX);
}

static void put_words(struct json *j, const struct config_field *f)
{
	json_key(j, "enum");
	json_array_begin(j);
	for (size_t i = 0; f->words[i]; i++)
		json_str(j, str_of(f->words[i]));
	json_array_end(j);
	json_kv_str(j, "default", f->words[f->fallback]);
}

static void put_type(struct json *j, const struct config_field *f)
{
	switch (f->kind) {
	case CONFIG_IGNORED:
		json_kv_str(j, "type", "string");
		break;
	case CONFIG_VERSION:
		json_kv_int(j, "const", CONFIG_VERSION_KNOWN);
		break;
	case CONFIG_FLAG:
		json_kv_str(j, "type", "boolean");
		json_key(j, "default");
		json_bool(j, false);
		break;
	case CONFIG_NUMBER:
		json_kv_str(j, "type", "integer");
		json_kv_int(j, "minimum", f->min);
		json_kv_int(j, "maximum", f->max);
		json_kv_int(j, "default", f->fallback);
		break;
	case CONFIG_WORD:
		put_words(j, f);
		break;
	case CONFIG_PATH:
		json_kv_str(j, "type", "string");
		json_kv_str(j, "pattern", "^/");
		json_kv_str(j, "default", f->fallback_text);
		break;
	case CONFIG_BIND:
		json_kv_str(j, "type", "string");
		json_kv_str(j, "pattern", "^[0-9A-Fa-f:.]+$");
		json_kv_str(j, "default", f->fallback_text);
		break;
	case CONFIG_ALLOW:
	case CONFIG_DENY:
	case CONFIG_CIDR:
		put_list_type(j, CONFIG_RULES_MAX);
		break;
	case CONFIG_SERVERS:
		put_list_type(j, CONFIG_SERVERS_MAX);
		break;
	case CONFIG_PORTS:
		put_port_list_type(j, f);
		break;
	case CONFIG_UNSERVED:
		break;
	}
}

static void put_property(struct json *j, _unused_ const struct config *c,
			 const struct config_field *f)
{
	json_key(j, f->name);
	json_object_begin(j);
	json_kv_str(j, "description", f->help);
	put_type(j, f);
	json_object_end(j);
}

static void open_schema(struct json *j)
{
	json_kv_str(j, "type", "object");
	json_key(j, "additionalProperties");
	json_bool(j, false);
	json_key(j, "properties");
	json_object_begin(j);
}

static void open_section(struct json *j, const char *section)
{
	json_key(j, section);
	json_object_begin(j);
	open_schema(j);
}

static void close_section(struct json *j)
{
	json_object_end(j);
	json_object_end(j);
}

int config_schema(struct buf *out)
{
	_cleanup_buf_ struct buf line = BUF_INIT(TEXT_MAX);
	struct json j;
	int r;

	json_begin(&j, &line);
	json_object_begin(&j);
	json_kv_str(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
	json_kv_str(&j, "title", "nono-proxy configuration");
	json_key(&j, "required");
	json_array_begin(&j);
	json_str(&j, STR_LIT("version"));
	json_array_end(&j);
	open_schema(&j);
	put_fields(&j, NULL, put_property, open_section, close_section);
	json_object_end(&j);
	json_object_end(&j);
	r = json_end(&j);
	return r < 0 ? r : lay_out(&line, out);
}
