/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file and the options together.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands/options.h"
#include "config/fields.h"
#include "io/log.h"

/* Only root's environment can be sudo's. */
uid_t options_caller(void)
{
	const char *text = geteuid() == 0 ? getenv("SUDO_UID") : NULL;
	unsigned long uid;
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return getuid();
	errno = 0;
	uid = strtoul(text, &end, 10);
	return *end || errno || uid >= UINT32_MAX ? getuid() : (uid_t)uid;
}

/* An empty variable is none. */
static const char *variable(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

static int load_file(struct options *o)
{
	const char *home = variable("XDG_CONFIG_HOME");
	char user[PATH_MAX], why[2048]; /* as long as a line of the log */
	struct config_places places = {
		.option = o->config_file,
		.variable = variable("NONO_PROXY_CONFIG"),
		.system = CONFIG_SYSTEM_FILE,
	};
	int r;

	if (o->no_config && o->config_file) {
		log_error("--config and --no-config: say one of them");
		return -EINVAL;
	}
	if (o->no_config)
		return 0;
	/* A relative one is to be ignored, says the XDG Base Directory Specification. */
	if (home && home[0] == '/' &&
	    snprintf(user, sizeof(user), "%s/nono-proxy/config.json", home) < (int)sizeof(user))
		places.user = user;
	r = config_load(&o->config, &places, options_caller(), why, sizeof(why));
	if (r < 0)
		log_error("%s", why);
	return r;
}

/* Is the value, if there is one, a word of this field? */
static int one_of(const char *option, const char *value, const char *field)
{
	const char *const *words = config_field_find(NULL, field)->words;
	char list[64] = "";

	if (!value)
		return 0;
	for (size_t i = 0; words[i]; i++) {
		size_t at = strlen(list);

		if (strcmp(value, words[i]) == 0)
			return 0;
		(void)snprintf(list + at, sizeof(list) - at, "%s%s",
			       !i	      ? ""
			       : words[i + 1] ? ", "
					      : " or ",
			       words[i]);
	}
	log_error("%s %s: say %s", option, value, list);
	return -EINVAL;
}

static int check_words(const struct options *o)
{
	int r = one_of("--log-level", o->log_level, "log_level");

	return r < 0 ? r : one_of("--log-format", o->log_format, "log_format");
}

static int check_listen(const struct options *o)
{
	const char *fault;
	struct addr a;

	if (o->listen && config_bind_parse(o->listen, &a, &fault) < 0) {
		log_error("--listen: %s %s", o->listen, fault);
		return -EINVAL;
	}
	return 0;
}

static int too_many(int r, const char *what)
{
	if (r == -E2BIG)
		log_error("too many %s", what);
	else if (r < 0)
		log_error("out of memory");
	return r < 0 ? -EINVAL : 0;
}

static int add_servers(struct options *o)
{
	for (size_t i = 0; i < o->resolvers.n; i++) {
		const char *text = o->resolvers.items[i];

		if (!config_server_valid(text)) {
			log_error("--resolver %s: not an address (ADDR or ADDR:PORT, [IPv6]:PORT)",
				  text);
			return -EINVAL;
		}
		if (too_many(config_add_server(&o->config, text), "DNS servers") < 0)
			return -EINVAL;
	}
	return 0;
}

static int add_publish(struct options *o)
{
	for (size_t i = 0; i < o->publish.n; i++) {
		const char *text = o->publish.items[i];
		uint16_t port;

		if (!port_parse(str_of(text), &port)) {
			log_error("--publish %s: not a port (a number from 1 to 65535)", text);
			return -EINVAL;
		}
		if (config_add_publish(&o->config, port) < 0) {
			log_error("too many ports to publish (at most %d)", PUBLISH_MAX);
			return -EINVAL;
		}
	}
	return 0;
}

static int add_rules(struct options *o)
{
	for (size_t i = 0; i < o->rule_count; i++)
		if (too_many(config_add_rule(&o->config, &o->rules[i]), "rules") < 0)
			return -EINVAL;
	return 0;
}

static void set_text(struct config_text *field, const char *option, const char *value)
{
	if (value)
		*field = (struct config_text){ option, value };
}

static void set_number(struct config_number *field, const char *option,
		       const struct option_number *given)
{
	if (given->given)
		*field = (struct config_number){ option, given->v };
}

static void set_values(struct options *o)
{
	struct config *c = &o->config;

	if (o->monitor)
		c->monitor = (struct config_flag){ "--monitor", true };
	set_number(&c->max_connections, "--max-connections", &o->max_connections);
	set_number(&c->bind_port, "--port", &o->port);
	set_text(&c->bind_addr, "--listen", o->listen);
	set_text(&c->audit_path, "--audit-log", o->audit_log);
	set_text(&c->log_level, "--log-level", o->log_level);
	set_text(&c->log_format, "--log-format", o->log_format);
}

int options_load(struct options *o)
{
	if (check_words(o) < 0 || check_listen(o) < 0 || add_servers(o) < 0 || load_file(o) < 0 ||
	    add_rules(o) < 0 || add_publish(o) < 0)
		return -EINVAL;
	set_values(o);
	return 0;
}
