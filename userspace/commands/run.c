/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `run`: from options to the supervisor. Whatever is wrong with them is said before anything is
 * started.
 */
#include "supervisor/run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"

static const char usage[] = "Usage: nono-proxy run [OPTION...] -- COMMAND [ARG...]\n"
			    "\n"
			    "Runs COMMAND where it reaches the hosts that are allowed and nothing "
			    "else; it needs to know of no proxy.\n"
			    "\n"
			    "  sudo nono-proxy run --allow-domain api.example.com -- curl -sS "
			    "https://api.example.com/\n"
			    "\n";

static const char after[] =
	"\n"
	"Exit status: COMMAND's own; 128+N if signal N ended it; 125 if we "
	"failed before it ran; 126 if it cannot be\n"
	"executed; 127 if it was not found; 2 for wrong options or configuration.\n";

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

static int check_words(const struct options *o)
{
	if (o->net && strcmp(o->net, "private") != 0 && strcmp(o->net, "host") != 0) {
		log_error("--net %s: say private or host", o->net);
		return -EINVAL;
	}
	if (o->arg_count == 0) {
		log_error("run what? nono-proxy run [OPTION...] -- COMMAND [ARG...]");
		return -EINVAL;
	}
	return 0;
}

static void set_limits(const struct config *c, struct proxy_setup *s)
{
	s->max_connections = c->max_connections.v;
	s->max_names_per_wildcard = c->max_labels_per_wildcard.v;
	s->dns_timeout_ms = c->dns_timeout_ms.v;
	s->connect_timeout_ms = c->connect_timeout_secs.v * 1000;
	s->idle_timeout_ms = c->idle_timeout_secs.v * 1000;
}

static int run(struct options *o)
{
	struct run_options run = {
		.proxy = PROXY_SETUP_INIT,
		.user = o->user,
		.host_network = o->net && strcmp(o->net, "host") == 0,
		.quiet = o->quiet,
		.verbose = o->verbose,
		.argv = o->args,
		.envp = (const char *const *)environ,
	};
	const struct config *c = &o->config;
	enum log_level level = LOG_LEVEL_WARN;
	struct filter filter;
	bool log_json;
	int r;

	if (check_words(o) < 0 || options_load(o) < 0)
		return EXIT_USAGE;
	(void)log_level_parse(c->log_level.v, &level); /* checked when it was loaded */
	log_json = strcmp(c->log_format.v, "json") == 0;
	log_setup("nono-proxy", level, log_json);
	filter_init(&filter);
	r = options_filter(o, &filter);
	filter_done(&filter);
	if (r == 0)
		r = join_resolvers(o, &run.proxy.resolvers);
	if (r < 0)
		return EXIT_USAGE;
	set_limits(c, &run.proxy);
	run.audit_log = c->audit_path.v;
	run.proxy.rules = c->rules;
	run.proxy.rule_count = c->rule_count;
	run.proxy.monitor = c->monitor.v;
	run.proxy.verbose = o->verbose;
	run.proxy.log_level = level;
	run.proxy.log_json = log_json;
	return supervisor_run(&run);
}

int command_run(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;

	options_init(&o);
	if (options_parse(&o, COMMAND_RUN, argc, argv) < 0)
		return EXIT_USAGE;
	if (o.help) {
		fputs(usage, stdout);
		options_help(COMMAND_RUN);
		fputs(after, stdout);
		return 0;
	}
	return run(&o);
}
