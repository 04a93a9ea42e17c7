/* SPDX-License-Identifier: Apache-2.0 */
/* From what is in force to what a proxy is told. */
#include <errno.h>
#include <string.h>

#include "commands/options.h"
#include "io/log.h"

/* The resolvers as c-ares wants them: a comma-separated list. Each was checked when it was loaded. */
static int join_resolvers(struct options *o, const char **ret)
{
	_cleanup_buf_ struct buf list = BUF_INIT(4096);

	for (size_t i = 0; i < o->config.server_count; i++) {
		struct host h;
		uint16_t port;

		if (!host_port_parse(str_of(o->config.servers[i]), &h, &port))
			return -EINVAL;
		if (buf_printf(&list, h.addr.family == 6 ? "%s[%s]:%u" : "%s%s:%u", i ? "," : "",
			       h.name, port ? port : 53u) < 0)
			return -ENOMEM;
	}
	*ret = arena_strndup(&o->arena, (const char *)buf_data(&list), buf_len(&list));
	return *ret ? 0 : -ENOMEM;
}

static void set_limits(const struct config *c, struct proxy_setup *s)
{
	s->max_connections = c->max_connections.v;
	s->max_names_per_wildcard = c->max_labels_per_wildcard.v;
	s->dns_timeout_ms = c->dns_timeout_ms.v;
	s->connect_timeout_ms = c->connect_timeout_secs.v * 1000;
	s->idle_timeout_ms = c->idle_timeout_secs.v * 1000;
}

int options_proxy_setup(struct options *o, struct proxy_setup *ret)
{
	const struct config *c = &o->config;
	enum log_level level = LOG_LEVEL_WARN;
	bool log_json = strcmp(c->log_format.v, "json") == 0;
	struct filter filter;
	int r;

	(void)log_level_parse(c->log_level.v, &level); /* checked when it was loaded */
	log_setup("nono-proxy", level, log_json);
	filter_init(&filter);
	r = options_filter(o, &filter);
	filter_done(&filter);
	if (r == 0)
		r = join_resolvers(o, &ret->resolvers);
	if (r < 0)
		return r;
	set_limits(c, ret);
	ret->rules = c->rules;
	ret->rule_count = c->rule_count;
	ret->monitor = c->monitor.v;
	ret->verbose = o->verbose;
	ret->log_level = level;
	ret->log_json = log_json;
	return 0;
}
