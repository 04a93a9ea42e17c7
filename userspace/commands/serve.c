/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `serve`: from options to the supervisor of an explicit proxy.
 */
#include "supervisor/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"
#include "policy/address.h"
#include "wire/json.h"

static const char usage[] =
	"Usage: nono-proxy serve [OPTION...]\n"
	"\n"
	"An HTTP proxy for programs that are told to use it: CONNECT and http:// requests, with a "
	"session token.\n"
	"Needs no privilege. Prints where it listens and the variables to set.\n"
	"\n"
	"  nono-proxy serve --allow-domain api.example.com\n"
	"\n";

static const char after[] = "\n"
			    "Ends on SIGTERM and SIGINT, once its connections have ended or their "
			    "time is over; the second one ends it at once.\n"
			    "Exit status: 0 done, 1 failed, 2 wrong options or configuration.\n";

/* The base directory is made if it is missing (XDG Base Directory Specification): for the user alone. */
static void make_base(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
}

/* An ordinary user cannot write where root's record is. NULL: there is no place. */
static const char *users_audit_log(struct options *o)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	bool own = state && state[0] == '/'; /* a relative one is to be ignored */
	char path[4096];
	int n;

	if (!own && (!home || home[0] != '/'))
		return NULL;
	n = snprintf(path, sizeof(path), "%s%s/nono-proxy/audit.jsonl", own ? state : home,
		     own ? "" : "/.local/state");
	if (n >= (int)sizeof(path))
		return NULL;
	make_base(path);
	return arena_strdup(&o->arena, path);
}

static int choose_audit_log(struct options *o, const char **ret)
{
	*ret = o->config.audit_path.v;
	if (!o->config.audit_path.origin && access("/var/log", W_OK) < 0)
		*ret = users_audit_log(o);
	if (*ret)
		return 0;
	log_error("there is no place for the audit log: name one with --audit-log FILE");
	return -EINVAL;
}

static int check_auth(const struct options *o, const struct endpoint *at)
{
	if (!o->no_auth)
		return 0;
	if (addr_classify(&at->addr, &(struct addr_options){ 0 }, NULL) != ADDR_LOOPBACK) {
		log_error("--no-auth is for listening on loopback only: everybody could use it");
		return -EINVAL;
	}
	if (o->token_file) {
		log_error("--no-auth and --token-file: say one of them");
		return -EINVAL;
	}
	return 0;
}

static int check_owner(const struct options *o)
{
	if (!o->owner_fd.given || fcntl((int)o->owner_fd.v, F_GETFD) >= 0)
		return 0;
	log_error("--owner-fd %u: there is no such descriptor", o->owner_fd.v);
	return -EINVAL;
}

static int serve(struct options *o)
{
	struct serve_options serve = {
		.proxy = PROXY_SETUP_INIT,
		.owner_fd = o->owner_fd.given ? (int)o->owner_fd.v : -EBADF,
		.json = o->json,
		.quiet = o->quiet,
		.verbose = o->verbose,
		.envp = (const char *const *)environ,
	};
	char token[TOKEN_TEXT + 1];
	int status;

	if (options_load(o) < 0 || options_proxy_setup(o, &serve.proxy) < 0)
		return EXIT_USAGE;
	serve.listen = options_listen(o);
	serve.drain_ms = o->drain_timeout_secs.v * 1000;
	serve.proxy.no_auth = o->no_auth;
	if (check_auth(o, &serve.listen) < 0 || check_owner(o) < 0 || options_token(o, token) < 0 ||
	    choose_audit_log(o, &serve.audit_log) < 0)
		return EXIT_USAGE;
	serve.proxy.token = token;
	status = supervisor_serve(&serve);
	secret_wipe(token, sizeof(token));
	return status;
}

/* Programs that read only standard output learn why, too. */
static void say_failed(void)
{
	_cleanup_buf_ struct buf out = BUF_INIT(8192);
	struct json j;

	json_begin(&j, &out);
	json_object_begin(&j);
	json_kv_str(&j, "event", "failed");
	json_kv_str(&j, "error", log_last_error());
	json_object_end(&j);
	if (json_end(&j) == 0 && buf_append_u8(&out, '\n') == 0)
		(void)!write(STDOUT_FILENO, buf_data(&out), buf_len(&out));
}

int command_serve(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;
	int status = EXIT_USAGE;

	options_init(&o);
	if (options_parse(&o, COMMAND_SERVE, argc, argv) == 0) {
		if (o.help) {
			fputs(usage, stdout);
			options_help(COMMAND_SERVE);
			fputs(after, stdout);
			return 0;
		}
		status = serve(&o);
	}
	if (status != 0 && o.json)
		say_failed();
	return status;
}
