/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `run`: from options to the supervisor. Whatever is wrong with them is said before anything is
 * started.
 */
#include "supervisor/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"
#include "supervisor/allowed.h"

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

/* Looked at again from within: what is meant here is only to say early what cannot be. */
static int check_unix(const struct options *o)
{
	for (size_t i = 0; i < o->unix_sockets.n; i++) {
		const char *path = o->unix_sockets.items[i];
		struct stat st;

		if (path[0] != '/') {
			log_error("--allow-unix %s: say the absolute path of a unix socket", path);
			return -EINVAL;
		}
		if (stat(path, &st) < 0) {
			log_error("--allow-unix %s: %s", path, strerror(errno));
			return -EINVAL;
		}
		if (!S_ISSOCK(st.st_mode)) {
			log_error("--allow-unix %s: this is no unix socket", path);
			return -EINVAL;
		}
	}
	if (o->unix_sockets.n > ALLOWED_MAX) {
		log_error("--allow-unix: more than %d sockets", ALLOWED_MAX);
		return -EINVAL;
	}
	return 0;
}

static int run(struct options *o)
{
	struct run_options run = {
		.proxy = PROXY_SETUP_INIT,
		.user = o->user,
		.host_network = o->net && strcmp(o->net, "host") == 0,
		.proxy_env = o->proxy_env,
		.allow_unix = o->unix_sockets.items,
		.quiet = o->quiet,
		.verbose = o->verbose,
		.argv = o->args,
		.envp = (const char *const *)environ,
	};
	char token[TOKEN_TEXT + 1];

	if (check_words(o) < 0 || check_unix(o) < 0 || options_load(o) < 0 ||
	    options_proxy_setup(o, &run.proxy) < 0 || options_publish(o, &run.proxy) < 0 ||
	    options_token(o, token) < 0)
		return EXIT_USAGE;
	run.proxy.token = token;
	run.port = (uint16_t)o->config.bind_port.v;
	run.audit_log = o->config.audit_path.v;
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
