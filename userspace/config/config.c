/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as a value: defaults, and lists that grow by doubling within the arena; what is
 * outgrown is little and lives no longer than the rest.
 */
#include "config/config.h"

#include <string.h>

#include "config/fields.h"
#include "policy/address.h"
#include "policy/name.h"

#define ARENA_MAX (32 * 1024 * 1024)

static void set_default(struct config *c, const struct config_field *f)
{
	void *at = (char *)c + f->offset;

	if (f->kind == CONFIG_NUMBER)
		((struct config_number *)at)->v = f->fallback;
	else if (f->kind == CONFIG_WORD)
		((struct config_text *)at)->v = f->words[f->fallback];
	else if (f->kind == CONFIG_PATH || f->kind == CONFIG_BIND)
		((struct config_text *)at)->v = f->fallback_text;
}

void config_init(struct config *c)
{
	*c = (struct config){ 0 };
	arena_init(&c->arena, ARENA_MAX);
	for (size_t i = 0; i < config_field_count; i++)
		set_default(c, &config_fields[i]);
}

void config_done(struct config *c)
{
	arena_done(&c->arena);
	config_init(c);
}

/* The list with room for one more item, or NULL. A list grows when its length is a power of two. */
static void *grow(struct config *c, void *list, size_t n, size_t size)
{
	void *more;

	if (n & (n - 1))
		return list;
	more = arena_alloc(&c->arena, size * MAX(2 * n, (size_t)1));
	if (more && n)
		memcpy(more, list, size * n);
	return more;
}

int config_add_rule(struct config *c, const struct setup_rule *rule)
{
	struct setup_rule *rules;

	if (c->rule_count == CONFIG_RULES_MAX)
		return -E2BIG;
	rules = grow(c, c->rules, c->rule_count, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	rules[c->rule_count++] = *rule;
	c->rules = rules;
	return 0;
}

int config_add_server(struct config *c, const char *text)
{
	const char **servers;

	if (c->server_count == CONFIG_SERVERS_MAX)
		return -E2BIG;
	servers = grow(c, c->servers, c->server_count, sizeof(*servers));
	if (!servers)
		return -ENOMEM;
	servers[c->server_count++] = text;
	c->servers = servers;
	return 0;
}

int config_add_publish(struct config *c, uint16_t port)
{
	for (size_t i = 0; i < c->publish_count; i++)
		if (c->publish[i] == port)
			return 0;
	if (c->publish_count == PUBLISH_MAX)
		return -E2BIG;
	c->publish[c->publish_count++] = port;
	return 0;
}

bool config_server_valid(const char *text)
{
	struct host h;
	uint16_t port;

	return host_port_parse(str_of(text), &h, &port) && h.is_addr;
}

int config_bind_parse(const char *text, struct addr *ret, const char **ret_fault)
{
	struct addr a;

	if (!addr_parse(str_of(text), &a)) {
		*ret_fault = "is no address; say an IP address, such as 127.0.0.1 or ::1";
		return -EINVAL;
	}
	a = addr_unmap(&a);
	if (addr_eq(&a, &(struct addr){ .family = a.family })) {
		*ret_fault = "means every address; name one address of this machine";
		return -EINVAL;
	}
	/* Multicast, broadcast and the like. */
	if (addr_classify(&a, NULL, NULL) == ADDR_SPECIAL) {
		*ret_fault = "is no machine's address; name one address of this machine";
		return -EINVAL;
	}
	*ret = a;
	return 0;
}
