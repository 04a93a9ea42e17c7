/* SPDX-License-Identifier: Apache-2.0 */
/* `exec` */
#include "supervisor/join.h"

#include <stdio.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"

static const char usage[] = "Usage: nono-proxy exec --cgroup PATH [OPTION...] -- COMMAND [ARG...]\n"
			    "\n"
			    "Runs COMMAND in a cgroup that is attached and in its network, "
			    "confined as by run. It sees the\n"
			    "host's files, not those of a container.\n"
			    "\n";

static const char after[] = "\nExit status: COMMAND's own; 128+N if signal N ended it; 125 if we "
			    "failed before it ran; 126 if it\n"
			    "cannot be executed; 127 if it was not found; 2 for wrong options.\n";

int command_exec(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;
	struct run_options run = { .proxy = PROXY_SETUP_INIT };

	options_init(&o);
	if (options_parse(&o, COMMAND_EXEC, argc, argv) < 0)
		return EXIT_USAGE;
	if (o.help) {
		fputs(usage, stdout);
		options_help(COMMAND_EXEC);
		fputs(after, stdout);
		return 0;
	}
	if (!o.cgroup || o.arg_count == 0) {
		log_error(
			"exec what, and where? nono-proxy exec --cgroup PATH -- COMMAND [ARG...]");
		return EXIT_USAGE;
	}
	run.user = o.user;
	run.proxy_env = o.proxy_env;
	run.argv = o.args;
	run.envp = (const char *const *)environ;
	return supervisor_join(o.cgroup, &run);
}
