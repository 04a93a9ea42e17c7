/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which command, or which role. A role is this same program, executed by the supervisor with one
 * descriptor to talk to it; a person who types its name gets told that it is not for people.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/meant.h"
#include "commands/commands.h"
#include "io/log.h"
#include "proxy/proxy.h"
#include "supervisor/run.h"

#define ROLE_CHANNEL 3

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", command_run, "run a command that reaches its allowed hosts and nothing else" },
	{ "serve", command_serve, "a proxy for programs that are told of it; needs no root" },
	{ "env", command_env, "print the variables that make programs use the proxy" },
	{ "attach", command_attach, "close a cgroup that exists, and serve it" },
	{ "detach", command_detach, "give a cgroup its direct network back" },
	{ "exec", command_exec, "run a command in an attached cgroup" },
	{ "status", command_status, "say what is attached, and whether it holds" },
	{ "why", command_why, "say whether a host is allowed, and by which rule" },
	{ "config", command_config, "check a configuration file, or show what is in force" },
	{ "version", command_version, "print the version" },
};

static int help(void)
{
	printf("Usage: nono-proxy COMMAND [OPTION...]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	printf("\nnono-proxy COMMAND --help tells more.\n");
	return 0;
}

static int unknown_command(const char *word)
{
	const char *known[ARRAY_SIZE(commands) + 1] = { NULL };
	const char *meant;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		known[i] = commands[i].name;
	meant = did_you_mean(word, known);
	log_error("unknown command %s%s%s%s", word,
		  meant ? "; did you mean " : " (see nono-proxy --help)", meant ? meant : "",
		  meant ? "?" : "");
	return EXIT_USAGE;
}

/* Only the supervisor can have put a SEQPACKET socket there. */
static bool have_channel(void)
{
	int type = 0;
	socklen_t n = sizeof(type);

	return getsockopt(ROLE_CHANNEL, SOL_SOCKET, SO_TYPE, &type, &n) == 0 &&
	       type == SOCK_SEQPACKET;
}

static int run_role(const char *role)
{
	if (!have_channel()) {
		log_error("%s is started by nono-proxy itself, not by hand", role);
		return EXIT_USAGE;
	}
	if (strcmp(role, "@proxy") == 0)
		return proxy_main(ROLE_CHANNEL);
	if (strcmp(role, "@init") == 0)
		return supervisor_init_main(ROLE_CHANNEL);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	if (argc == 2 && argv[1][0] == '@')
		return run_role(argv[1]);
	if (argc < 2) {
		log_error("what shall be done? See nono-proxy --help");
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0)
		return help();
	if (strcmp(argv[1], "--version") == 0)
		return command_version(0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 2, argv + 2);
	return unknown_command(argv[1]);
}
