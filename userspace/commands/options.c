/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/meant.h"
#include "io/log.h"

#define DRAIN_SECS 5

enum value_kind {
	VALUE_FLAG,   /* bool */
	VALUE_STRING, /* const char * */
	VALUE_LIST,   /* struct string_list */
	VALUE_COUNT,  /* struct option_number, as the next three */
	VALUE_PORT,
	VALUE_SECONDS,
	VALUE_DESCRIPTOR,
	VALUE_ALLOW, /* a rule */
	VALUE_DENY,
	VALUE_CIDR,
};

struct option_entry {
	const char *name, *metavar;
	enum value_kind kind;
	size_t offset;
	unsigned commands;
	const char *help;
};

static const struct {
	uint32_t min, max;
} ranges[] = {
	[VALUE_COUNT] = { 1, 1000000 },
	[VALUE_PORT] = { 0, UINT16_MAX },
	[VALUE_SECONDS] = { 0, 3600 },
	[VALUE_DESCRIPTOR] = { 0, INT_MAX },
};

#define POLICY	  (COMMAND_RUN | COMMAND_ATTACH | COMMAND_SERVE | COMMAND_WHY | COMMAND_CONFIG_SHOW)
#define PROXY	  (COMMAND_RUN | COMMAND_ATTACH | COMMAND_SERVE | COMMAND_CONFIG_SHOW)
#define SESSION	  (COMMAND_RUN | COMMAND_ATTACH | COMMAND_SERVE) /* what is no field of a file */
#define WORDLESS  (COMMAND_SERVE | COMMAND_ENV)
#define AT(field) offsetof(struct options, field)

static const struct option_entry table[] = {
	{ "config", "FILE", VALUE_STRING, AT(config_file), POLICY,
	  "read this configuration file; options add to it" },
	{ "no-config", NULL, VALUE_FLAG, AT(no_config), COMMAND_SERVE,
	  "read no configuration file" },
	{ "allow-domain", "PATTERN", VALUE_ALLOW, 0, POLICY,
	  "let connections to this host through: example.com, *.example.com, *, each with optional "
	  ":PORT" },
	{ "deny-domain", "PATTERN", VALUE_DENY, 0, POLICY,
	  "refuse this host whatever else allows it" },
	{ "allow-cidr", "CIDR:PORT", VALUE_CIDR, 0, POLICY,
	  "let connections to these addresses through, by address alone" },
	{ "resolver", "ADDR[:PORT]", VALUE_LIST, AT(resolvers), POLICY,
	  "ask this DNS server instead of the system's; may be repeated" },
	{ "monitor", NULL, VALUE_FLAG, AT(monitor), POLICY,
	  "decide and record, but let pass; what is always refused is refused all the same" },
	{ "listen", "ADDR", VALUE_STRING, AT(listen), COMMAND_SERVE | COMMAND_CONFIG_SHOW,
	  "listen on this address of the machine (127.0.0.1)" },
	{ "port", "N", VALUE_PORT, AT(port), PROXY,
	  "the port for clients that know of the proxy (0: the kernel chooses)" },
	{ "token-file", "FILE", VALUE_STRING, AT(token_file), SESSION,
	  "the token that clients must show: 64 lower-case hex digits (a fresh one)" },
	{ "no-auth", NULL, VALUE_FLAG, AT(no_auth), COMMAND_SERVE,
	  "serve whoever reaches the port, without a token" },
	{ "max-connections", "N", VALUE_COUNT, AT(max_connections), PROXY,
	  "at most so many at a time (1024)" },
	{ "audit-log", "FILE", VALUE_STRING, AT(audit_log), PROXY,
	  "append the record of every decision here (/var/log/nono-proxy/audit.jsonl)" },
	{ "cgroup", "PATH", VALUE_STRING, AT(cgroup), COMMAND_ATTACH | COMMAND_DETACH | COMMAND_EXEC | COMMAND_ENV,
	  "this cgroup, by its directory" },
	{ "pid", "PID", VALUE_STRING, AT(pid), COMMAND_ATTACH,
	  "the cgroup and the network of this process" },
	{ "container", "ID", VALUE_STRING, AT(container), COMMAND_ATTACH,
	  "the cgroup and the network of this container of podman or docker, by name or id" },
	{ "allow-gap", "NAME", VALUE_LIST, AT(gaps), COMMAND_ATTACH,
	  "a way out that is known and accepted; may be repeated" },
	{ "allow-unix", "PATH", VALUE_LIST, AT(unix_sockets), COMMAND_RUN,
	  "an outside unix socket that COMMAND may use; may be repeated" },
	{ "allow-unix", "NAME", VALUE_LIST, AT(unix_sockets), COMMAND_ATTACH,
	  "refuse every unix socket but this one, see below; may be repeated" },
	{ "detach-on-exit", NULL, VALUE_FLAG, AT(detach_on_exit), COMMAND_ATTACH,
	  "open the cgroup again when ended by SIGTERM or SIGINT" },
	{ "all", NULL, VALUE_FLAG, AT(all), COMMAND_DETACH, "every cgroup that is attached" },
	{ "user", "USER", VALUE_STRING, AT(user), COMMAND_RUN | COMMAND_EXEC,
	  "run COMMAND as this user (default: who called sudo)" },
	{ "net", "private|host", VALUE_STRING, AT(net), COMMAND_RUN,
	  "a network namespace without any way out (private, the default), or the host's" },
	{ "publish", "PORT", VALUE_LIST, AT(publish),
	  COMMAND_RUN | COMMAND_ATTACH | COMMAND_CONFIG_SHOW,
	  "let programs outside connect to this port inside, at 127.0.0.1:PORT; may be repeated" },
	{ "proxy-env", NULL, VALUE_FLAG, AT(proxy_env), COMMAND_RUN | COMMAND_EXEC,
	  "also set HTTP_PROXY and the like, for programs that work with a proxy only" },
	{ "drain-timeout", "S", VALUE_SECONDS, AT(drain_timeout_secs),
	  COMMAND_SERVE | COMMAND_ATTACH, "at the end, wait so many seconds for open connections (5)" },
	{ "owner-fd", "N", VALUE_DESCRIPTOR, AT(owner_fd), COMMAND_SERVE,
	  "end when the other end of this descriptor, a socket or a pipe, is closed" },
	{ "quiet", NULL, VALUE_FLAG, AT(quiet), COMMAND_RUN | COMMAND_SERVE,
	  "no summary of refusals at the end" },
	{ "verbose", NULL, VALUE_FLAG, AT(verbose), SESSION, "tell each refusal as it happens" },
	{ "log-level", "LEVEL", VALUE_STRING, AT(log_level), PROXY, "error, warn, info or debug" },
	{ "log-format", "text|json", VALUE_STRING, AT(log_format), PROXY,
	  "how log lines are written" },
	{ "format", "sh|json", VALUE_STRING, AT(format), COMMAND_ENV,
	  "lines for a shell (sh, the default), or one JSON object" },
	{ "resolved", "IP", VALUE_LIST, AT(resolved), COMMAND_WHY,
	  "suppose that the name has this address; may be repeated" },
	{ "json", NULL, VALUE_FLAG, AT(json),
	  COMMAND_WHY | COMMAND_VERSION | COMMAND_SERVE | COMMAND_ATTACH | COMMAND_STATUS,
	  "answer in JSON" },
	{ "help", NULL, VALUE_FLAG, AT(help), ~0u, "this text" },
};

void options_init(struct options *o)
{
	memset(o, 0, sizeof(*o));
	arena_init(&o->arena, 16 * 1024 * 1024);
	config_init(&o->config);
	o->drain_timeout_secs.v = DRAIN_SECS;
}

void options_done(struct options *o)
{
	config_done(&o->config);
	arena_done(&o->arena);
}

static const struct option_entry *find_option(const char *name, size_t n, unsigned command)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].commands & command && strlen(table[i].name) == n &&
		    memcmp(table[i].name, name, n) == 0)
			return &table[i];
	return NULL;
}

static int unknown_option(const char *arg, size_t n, unsigned command)
{
	const char *known[ARRAY_SIZE(table) + 1] = { NULL };
	char word[64];
	const char *meant;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].commands & command)
			known[count++] = table[i].name;
	(void)snprintf(word, sizeof(word), "%.*s", (int)n - 2, arg + 2);
	meant = did_you_mean(word, known);
	log_error("unknown option %.*s%s%s%s", (int)n, arg, meant ? "; did you mean --" : "",
		  meant ? meant : "", meant ? "?" : "");
	return -EINVAL;
}

static int add_rule(struct options *o, const struct option_entry *e, const char *value)
{
	struct setup_rule *rules;

	if (o->rule_count == OPTIONS_LIST_MAX) {
		log_error("too many rules (at most %d)", OPTIONS_LIST_MAX);
		return -EINVAL;
	}
	/* Grown by doubling inside the arena: what is outgrown is little and short-lived. */
	if ((o->rule_count & (o->rule_count - 1)) == 0) {
		rules = arena_alloc(&o->arena, sizeof(*rules) * MAX(2 * o->rule_count, (size_t)1));
		if (!rules)
			return -ENOMEM;
		if (o->rule_count)
			memcpy(rules, o->rules, sizeof(*rules) * o->rule_count);
		o->rules = rules;
	}
	o->rules[o->rule_count++] = (struct setup_rule){
		.cidr = e->kind == VALUE_CIDR,
		.deny = e->kind == VALUE_DENY,
		.text = value,
		.origin = e->kind == VALUE_CIDR	  ? "--allow-cidr"
			  : e->kind == VALUE_DENY ? "--deny-domain"
						  : "--allow-domain",
	};
	return 0;
}

static int add_item(struct options *o, struct string_list *l, const char *value)
{
	const char **items = arena_alloc(&o->arena, sizeof(*items) * (l->n + 2));

	if (!items)
		return -ENOMEM;
	if (l->n)
		memcpy(items, l->items, sizeof(*items) * l->n);
	items[l->n++] = value;
	l->items = items;
	return 0;
}

static int set_number(const struct option_entry *e, struct option_number *field, const char *value)
{
	uint32_t min = ranges[e->kind].min, max = ranges[e->kind].max;
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || n < min || n > max) {
		log_error("--%s %s: not a number from %u to %u", e->name, value, min, max);
		return -EINVAL;
	}
	*field = (struct option_number){ true, (uint32_t)n };
	return 0;
}

static int set_option(struct options *o, const struct option_entry *e, const char *value)
{
	char *field = (char *)o + e->offset;

	switch (e->kind) {
	case VALUE_FLAG:
		*(bool *)(void *)field = true;
		return 0;
	case VALUE_STRING:
		*(const char **)(void *)field = value;
		return 0;
	case VALUE_LIST:
		return add_item(o, (struct string_list *)(void *)field, value);
	case VALUE_COUNT:
	case VALUE_PORT:
	case VALUE_SECONDS:
	case VALUE_DESCRIPTOR:
		return set_number(e, (struct option_number *)(void *)field, value);
	case VALUE_ALLOW:
	case VALUE_DENY:
	case VALUE_CIDR:
		break;
	}
	return add_rule(o, e, value);
}

/* One option at argv[*at]; moves *at behind it. */
static int parse_option(struct options *o, unsigned command, int argc, char **argv, int *at)
{
	const char *arg = argv[*at], *equals = strchr(arg, '=');
	size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
	const struct option_entry *e;
	const char *value = equals ? equals + 1 : NULL;

	if (strcmp(arg, "-h") == 0) {
		o->help = true;
		++*at;
		return 0;
	}
	e = n > 2 && arg[1] == '-' ? find_option(arg + 2, n - 2, command) : NULL;
	if (!e)
		return unknown_option(arg, n, command);
	if (e->kind == VALUE_FLAG && value) {
		log_error("--%s takes no value", e->name);
		return -EINVAL;
	}
	if (e->kind != VALUE_FLAG && !value) {
		if (*at + 1 >= argc) {
			log_error("--%s needs a value: --%s %s", e->name, e->name, e->metavar);
			return -EINVAL;
		}
		value = argv[++*at];
	}
	++*at;
	return set_option(o, e, value);
}

int options_parse(struct options *o, enum command_bit command, int argc, char **argv)
{
	struct string_list words = { 0 };
	int at = 0;

	while (at < argc) {
		int r;

		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (argv[at][0] == '-' && argv[at][1]) {
			r = parse_option(o, command, argc, argv, &at);
			if (r < 0)
				return r;
			continue;
		}
		if (command == COMMAND_RUN || command == COMMAND_EXEC)
			break;
		r = add_item(o, &words, argv[at++]);
		if (r < 0)
			return r;
	}
	for (; at < argc; at++) {
		int r = add_item(o, &words, argv[at]);

		if (r < 0)
			return r;
	}
	if (words.n && !o->help && (command & WORDLESS)) {
		log_error("%s takes options only", command == COMMAND_SERVE ? "serve" : "env");
		return -EINVAL;
	}
	o->args = words.items;
	o->arg_count = words.n;
	return 0;
}

int options_filter(const struct options *o, struct filter *ret)
{
	char why[320];

	ret->monitor = o->config.monitor.v;
	for (size_t i = 0; i < o->config.rule_count; i++) {
		const struct setup_rule *r = &o->config.rules[i];
		int e = r->cidr ? filter_add_cidr(ret, r->text, r->origin, why, sizeof(why))
				: filter_add_domain(ret, r->deny, r->text, r->origin, why,
						    sizeof(why));

		if (e == -EINVAL)
			log_error("%s %s", r->origin, why);
		if (e < 0)
			return e;
	}
	return 0;
}

void options_help(enum command_bit command)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char left[48];

		if (!(table[i].commands & command))
			continue;
		(void)snprintf(left, sizeof(left), "--%s%s%s", table[i].name,
			       table[i].metavar ? " " : "",
			       table[i].metavar ? table[i].metavar : "");
		printf("  %-26s %s\n", left, table[i].help);
	}
}
