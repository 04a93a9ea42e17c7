/* SPDX-License-Identifier: Apache-2.0 */
/* `attach`: from options to the supervisor. */
#include "supervisor/attach.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/meant.h"
#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"
#include "redirect/unix.h"
#include "supervisor/gaps.h"

static const char usage[] =
	"Usage: nono-proxy attach (--cgroup PATH | --pid PID | --container ID) [OPTION...]\n"
	"\n"
	"Lets the processes of a cgroup reach the hosts that are allowed and nothing else. Stays "
	"in the\n"
	"foreground, and says so in one line of JSON when it stands. However it ends, the cgroup "
	"stays\n"
	"cut off until it is attached anew, or detached.\n"
	"\n"
	"  sudo nono-proxy attach --container my-agent --allow-domain api.example.com\n"
	"\n";

static const char after[] =
	"\n"
	"--allow-unix NAME closes the gap unix-sockets (Linux 6.7): NAME is the only socket that may be\n"
	"used, a /PATH letter by letter as it will be asked for, or an @ABSTRACT name; \"none\" is none at\n"
	"all. The cgroup's own abstract names work. Every other path is refused, also those that it makes\n"
	"itself. Who can rename, link or mount where a PATH leads chooses the socket.\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong options or configuration.\n";

static int parse_pid(const char *text, pid_t *ret)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || n == 0 || n > INT_MAX) {
		log_error("--pid %s: not the number of a process", text);
		return -EINVAL;
	}
	*ret = (pid_t)n;
	return 0;
}

static int check_gaps(const struct options *o)
{
	const char *meant;

	for (size_t i = 0; i < o->gaps.n; i++) {
		if (gap_of_name(o->gaps.items[i]) != GAP_COUNT)
			continue;
		meant = did_you_mean(o->gaps.items[i], gap_names());
		log_error("--allow-gap %s: there is no gap of that name%s%s%s", o->gaps.items[i],
			  meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
		return -EINVAL;
	}
	return 0;
}

/* A path means what the processes see there: nothing is looked for. */
static int check_unix(const struct options *o)
{
	const struct string_list *l = &o->unix_sockets;

	for (size_t i = 0; i < l->n; i++) {
		const char *name = l->items[i];
		bool none = strcmp(name, "none") == 0;

		if (none && l->n > 1) {
			log_error("--allow-unix none: then no other can be named");
			return -EINVAL;
		}
		if (!none && ((name[0] != '/' && name[0] != '@') || !name[1])) {
			log_error("--allow-unix %s: say an absolute path, @NAME of an abstract socket, or none",
				  name);
			return -EINVAL;
		}
		if (strlen(name) > REDIRECT_UNIX_NAME_MAX) {
			log_error("--allow-unix %s: no unix socket has so long a name (more than %d bytes)",
				  name, REDIRECT_UNIX_NAME_MAX);
			return -EINVAL;
		}
	}
	if (l->n > REDIRECT_UNIX_NAMES_MAX) {
		log_error("--allow-unix: more than %d names", REDIRECT_UNIX_NAMES_MAX);
		return -EINVAL;
	}
	return 0;
}

static int attach(struct options *o)
{
	struct attach_options a = {
		.proxy = PROXY_SETUP_INIT,
		.cgroup = o->cgroup,
		.container = o->container,
		.gaps = o->gaps.items,
		.gap_count = o->gaps.n,
		.unix_names = o->unix_sockets.items,
		.unix_count = o->unix_sockets.n,
		.drain_ms = o->drain_timeout_secs.v * 1000,
		.token_given = o->token_file != NULL,
		.detach_on_exit = o->detach_on_exit,
		.verbose = o->verbose,
		.envp = (const char *const *)environ,
	};
	char token[TOKEN_TEXT + 1];

	if (!!o->cgroup + !!o->pid + !!o->container != 1 || o->arg_count) {
		log_error("attach to what? Say one of --cgroup PATH, --pid PID, --container ID");
		return EXIT_USAGE;
	}
	if (o->pid && parse_pid(o->pid, &a.pid) < 0)
		return EXIT_USAGE;
	if (check_gaps(o) < 0 || check_unix(o) < 0)
		return EXIT_USAGE;
	if (options_load(o) < 0 || options_proxy_setup(o, &a.proxy) < 0 ||
	    options_publish(o, &a.proxy) < 0 || options_token(o, token) < 0)
		return EXIT_USAGE;
	a.proxy.token = token;
	a.port = (uint16_t)o->config.bind_port.v;
	a.audit_log = o->config.audit_path.v;
	return supervisor_attach(&a);
}

int command_attach(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;

	options_init(&o);
	if (options_parse(&o, COMMAND_ATTACH, argc, argv) < 0)
		return EXIT_USAGE;
	if (o.help) {
		fputs(usage, stdout);
		options_help(COMMAND_ATTACH);
		fputs(after, stdout);
		return 0;
	}
	return attach(&o);
}
