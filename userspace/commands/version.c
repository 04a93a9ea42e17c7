/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "commands/commands.h"
#include "commands/options.h"

int command_version(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;

	options_init(&o);
	if (options_parse(&o, COMMAND_VERSION, argc, argv) < 0)
		return EXIT_USAGE;
	printf(o.json ? "{\"name\":\"nono-proxy\",\"version\":\"%s\"}\n" : "nono-proxy %s\n",
	       NONO_VERSION);
	return 0;
}
