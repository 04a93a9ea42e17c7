/* SPDX-License-Identifier: Apache-2.0 */
/* `detach` */
#include "supervisor/detach.h"

#include <stdio.h>

#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"

static const char usage[] = "Usage: nono-proxy detach (--cgroup PATH | --all)\n"
			    "\n"
			    "Gives a cgroup back the network that it had before it was attached. "
			    "Who is attached to it is ended first.\n"
			    "\n";

int command_detach(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;

	options_init(&o);
	if (options_parse(&o, COMMAND_DETACH, argc, argv) < 0)
		return EXIT_USAGE;
	if (o.help) {
		fputs(usage, stdout);
		options_help(COMMAND_DETACH);
		return 0;
	}
	if (!!o.cgroup + o.all != 1 || o.arg_count) {
		log_error("detach what? Say --cgroup PATH, or --all");
		return EXIT_USAGE;
	}
	return supervisor_detach(o.cgroup);
}
