/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options: one table gives parsing, checking, help and the "did you mean".
 */
#ifndef NONO_COMMANDS_OPTIONS_H
#define NONO_COMMANDS_OPTIONS_H

#include "base/arena.h"
#include "config/config.h"
#include "ipc/setup.h"
#include "policy/filter.h"

/* Which commands an option belongs to: a bit each. */
enum command_bit {
	COMMAND_RUN = 1 << 0,
	COMMAND_WHY = 1 << 1,
	COMMAND_VERSION = 1 << 2,
	COMMAND_CONFIG_SHOW = 1 << 3,
	COMMAND_CONFIG = 1 << 4, /* the others below `config` */
	COMMAND_ATTACH = 1 << 8,
	COMMAND_DETACH = 1 << 9,
	COMMAND_STATUS = 1 << 10,
	COMMAND_EXEC = 1 << 11,
};

#define OPTIONS_LIST_MAX 4096

struct string_list {
	const char **items; /* NULL-terminated once parsed */
	size_t n;
};

/* What was asked for. Strings belong to argv or to the arena. */
struct options {
	struct arena arena;
	/* policy */
	const char *config_file;
	struct setup_rule *rules;
	size_t rule_count;
	struct string_list resolvers;
	bool monitor;
	uint32_t max_connections;
	const char *audit_log, *log_level, *log_format;
	/* run */
	const char *user, *net;
	bool quiet, verbose;
	/* attach, detach, exec */
	const char *cgroup, *pid, *container;
	struct string_list gaps;
	bool detach_on_exit, all;
	/* why */
	struct string_list resolved;
	bool json;
	bool help;
	/* what is no option */
	const char *const *args;
	size_t arg_count;
	/* what is in force: the file and the options together; filled by options_load() */
	struct config config;
};

void options_init(struct options *o);
void options_done(struct options *o);

/*
 * Parses argv (behind the command's name). Values are "--name value" or "--name=value"; "--" ends
 * the options; so does the first word that is none, for a command whose words are a command line of
 * their own (`run`). 0, or -EINVAL after one sentence on standard error.
 */
_must_check_ int options_parse(struct options *o, enum command_bit command, int argc, char **argv);

/*
 * Reads the configuration file, if there is one, and puts the options on top of it: rules add up, DNS
 * servers of options are asked first, and a single value of an option wins. 0, or -EINVAL after one
 * sentence on standard error.
 */
_must_check_ int options_load(struct options *o);

/* The policy that is in force; a wrong pattern is one sentence on standard error and -EINVAL. */
_must_check_ int options_filter(const struct options *o, struct filter *ret);

/* What a proxy is to be told of it; descriptors are not filled in. Also sets up the log. 0, or -errno after one sentence on
 * standard error. */
_must_check_ int options_proxy_setup(struct options *o, struct proxy_setup *ret);

/* The options of a command, for its help. */
void options_help(enum command_bit command);

#endif
