/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `config`: whether a file is right, what is in force, and how a file may look.
 */
#include <stdio.h>
#include <string.h>

#include "base/meant.h"
#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"

#define OUT_MAX (64 * 1024 * 1024)

static const char usage[] = "Usage: nono-proxy config check FILE\n"
			    "       nono-proxy config show [OPTION...]\n"
			    "       nono-proxy config schema\n"
			    "\n"
			    "check   says whether FILE would be accepted: exit status 0 or 2\n"
			    "show    prints what is in force, as JSON: the file, which is named, "
			    "and the options together\n"
			    "schema  prints the JSON Schema of the file\n"
			    "\n"
			    "A file is looked for in: --config, $NONO_PROXY_CONFIG, "
			    "$XDG_CONFIG_HOME/nono-proxy/config.json,\n" CONFIG_SYSTEM_FILE "\n"
			    "\n";

static int print(int r, const struct buf *out)
{
	if (r == 0 && fwrite(buf_data(out), 1, buf_len(out), stdout) == buf_len(out) &&
	    fflush(stdout) == 0)
		return 0;
	log_error("cannot print it: %s", strerror(r < 0 ? -r : errno));
	return 1;
}

static int check(struct options *o)
{
	if (o->arg_count != 1) {
		log_error("config check needs one FILE");
		return EXIT_USAGE;
	}
	o->config_file = o->args[0];
	return options_load(o) < 0 ? EXIT_USAGE : 0;
}

static int show(struct options *o)
{
	_cleanup_buf_ struct buf out = BUF_INIT(OUT_MAX);
	struct filter filter;
	int r;

	if (o->arg_count != 0) {
		log_error("config show takes options only");
		return EXIT_USAGE;
	}
	if (options_load(o) < 0)
		return EXIT_USAGE;
	filter_init(&filter);
	r = options_filter(o, &filter); /* the patterns of options are checked here */
	filter_done(&filter);
	return r < 0 ? EXIT_USAGE : print(config_show(&o->config, &out), &out);
}

static int schema(struct options *o)
{
	_cleanup_buf_ struct buf out = BUF_INIT(OUT_MAX);

	if (o->arg_count != 0) {
		log_error("config schema takes nothing");
		return EXIT_USAGE;
	}
	return print(config_schema(&out), &out);
}

static const struct {
	const char *name;
	enum command_bit bit;
	int (*run)(struct options *o);
} parts[] = {
	{ "check", COMMAND_CONFIG, check },
	{ "show", COMMAND_CONFIG_SHOW, show },
	{ "schema", COMMAND_CONFIG, schema },
};

static int help(void)
{
	fputs(usage, stdout);
	options_help(COMMAND_CONFIG_SHOW);
	return 0;
}

static int unknown_part(const char *word)
{
	const char *known[ARRAY_SIZE(parts) + 1] = { NULL }, *meant;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		known[i] = parts[i].name;
	meant = did_you_mean(word, known);
	log_error("unknown command config %s%s%s%s", word,
		  meant ? "; did you mean config " : " (check FILE, show or schema)",
		  meant ? meant : "", meant ? "?" : "");
	return EXIT_USAGE;
}

int command_config(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;

	options_init(&o);
	if (argc == 0) {
		log_error("config what? check FILE, show or schema");
		return EXIT_USAGE;
	}
	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
		return help();
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (strcmp(argv[0], parts[i].name) != 0)
			continue;
		if (options_parse(&o, parts[i].bit, argc - 1, argv + 1) < 0)
			return EXIT_USAGE;
		return o.help ? help() : parts[i].run(&o);
	}
	return unknown_part(argv[0]);
}
