/* SPDX-License-Identifier: Apache-2.0 */
/* `status` */
#include "supervisor/status.h"

#include <stdio.h>

#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"

#define TEXT_MAX ((size_t)4 << 20)

static const char usage[] =
	"Usage: nono-proxy status [--json]\n"
	"\n"
	"Lists the cgroups that are attached, and whether the kernel holds them closed.\n"
	"\n";

int command_status(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;
	_cleanup_buf_ struct buf out = BUF_INIT(TEXT_MAX);
	struct why why = { "" };

	options_init(&o);
	if (options_parse(&o, COMMAND_STATUS, argc, argv) < 0)
		return EXIT_USAGE;
	if (o.help) {
		fputs(usage, stdout);
		options_help(COMMAND_STATUS);
		return 0;
	}
	if (o.arg_count) {
		log_error("status takes no words");
		return EXIT_USAGE;
	}
	if (supervisor_status(o.json, &out, &why) < 0) {
		log_error("%s", why.text);
		return 1;
	}
	printf("%.*s", STR_FMT(buf_str(&out)));
	return 0;
}
