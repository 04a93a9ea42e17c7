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
#include "policy/token.h"

/* Which commands an option belongs to: a bit each. */
enum command_bit {
	COMMAND_RUN = 1 << 0,
	COMMAND_WHY = 1 << 1,
	COMMAND_VERSION = 1 << 2,
	COMMAND_CONFIG_SHOW = 1 << 3,
	COMMAND_CONFIG = 1 << 4, /* the others below `config` */
	COMMAND_SERVE = 1 << 5,
	COMMAND_ENV = 1 << 6,
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

struct option_number {
	bool given;
	uint32_t v;
};

/* What was asked for. Strings belong to argv or to the arena. */
struct options {
	struct arena arena;
	/* policy */
	const char *config_file;
	struct setup_rule *rules;
	size_t rule_count;
	struct string_list resolvers, publish;
	bool monitor;
	/* run and serve */
	struct option_number max_connections;
	const char *audit_log, *log_level, *log_format;
	const char *listen;
	struct option_number port;
	const char *token_file;
	bool quiet, verbose;
	struct string_list unix_sockets; /* run and attach */
	/* run */
	const char *user, *net;
	bool proxy_env;
	/* serve */
	bool no_auth, no_config;
	struct option_number owner_fd;
	struct option_number drain_timeout_secs; /* 5 where it was not given */
	/* attach, detach, exec */
	const char *cgroup, *pid, *container;
	struct string_list gaps;
	bool detach_on_exit, all;
	/* why */
	struct string_list resolved;
	/* env */
	const char *format;
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
 * their own (`run`). Some commands take options only. 0, or -EINVAL after one sentence on standard error.
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

/* Who asks: behind sudo it is the user who called it, whose own files may be believed. */
uid_t options_caller(void);

/*
 * What is in force, for a proxy: the policy (checked here), DNS servers, limits, what is logged and how; the log follows it
 * from then on. The rest of *ret stays as it is. What it points to belongs to the options. 0, or -EINVAL after one sentence on
 * standard error.
 */
_must_check_ int options_proxy_setup(struct options *o, struct proxy_setup *ret);

/*
 * The ports to publish, for a proxy. 0, or -EINVAL after one sentence on standard error: one of them is to be the proxy's own.
 */
_must_check_ int options_publish(const struct options *o, struct proxy_setup *ret);

/* Where a listener of one's own shall be: what is in force. */
struct endpoint options_listen(const struct options *o);

/*
 * The session token: what --token-file names, or a fresh one. 0, or -EINVAL after one sentence on standard error, which
 * tells nothing of the file's content.
 */
_must_check_ int options_token(const struct options *o, char ret[TOKEN_TEXT + 1]);

/* The options of a command, for its help. */
void options_help(enum command_bit command);

#endif
