/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `env`: where the proxy is, in the words of programs that must be told. What is known comes from the
 * environment of the caller, and nothing of it is printed that is not what it should be: the lines
 * are meant for a shell's eval.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/where.h"

#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"
#include "policy/proxy_env.h"
#include "wire/json.h"

#define OUT_MAX (64 * 1024)

static const char usage[] = "Usage: nono-proxy env [--format sh|json]\n"
			    "\n"
			    "Prints the variables that make programs use the proxy: HTTP_PROXY, "
			    "HTTPS_PROXY, NO_PROXY and the like.\n"
			    "Where it is, is read from NONO_PROXY_URL and NONO_PROXY_TOKEN, which "
			    "are set inside `nono-proxy run`\n"
			    "and by the lines that `nono-proxy serve` prints; with --cgroup, from "
			    "what `attach` noted.\n"
			    "\n"
			    "  eval \"$(nono-proxy env)\"\n"
			    "\n";

static const char after[] = "\nExit status: 0; 1 if there is no proxy to tell of; 2 for wrong "
			    "options.\n";

/* "A.B.C.D:PORT" or "[V6]:PORT", and nothing else. */
static bool parse_endpoint(struct str s, struct endpoint *ret)
{
	const char *colon = memrchr(s.p, ':', s.n);
	struct str host = { s.p, colon ? (size_t)(colon - s.p) : 0 };
	bool brackets = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	struct endpoint e;

	if (!colon)
		return false;
	if (brackets)
		host = (struct str){ host.p + 1, host.n - 2 };
	if (!addr_parse(host, &e.addr) || (e.addr.family == 6) != brackets ||
	    !port_parse((struct str){ colon + 1, s.n - (size_t)(colon + 1 - s.p) }, &e.port))
		return false;
	*ret = e;
	return true;
}

/* An empty variable is none. */
static const char *variable(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

/* The sentences do not quote: either variable may hold a token. */
static int read_environment(struct endpoint *ret, const char **ret_token)
{
	static const char scheme[] = "http://";
	const char *url = variable("NONO_PROXY_URL"), *token = variable("NONO_PROXY_TOKEN");

	if (!url) {
		log_error("NONO_PROXY_URL is not set: it is inside `nono-proxy run`, and by the "
			  "lines that `nono-proxy serve` prints");
		return -ENOENT;
	}
	if (strncmp(url, scheme, sizeof(scheme) - 1) != 0 ||
	    !parse_endpoint(str_of(url + sizeof(scheme) - 1), ret)) {
		log_error("NONO_PROXY_URL is not of the form http://ADDR:PORT, with an IP address");
		return -EINVAL;
	}
	if (token && !token_is_valid(str_of(token))) {
		log_error("NONO_PROXY_TOKEN is not %d lower-case hex digits", TOKEN_TEXT);
		return -EINVAL;
	}
	*ret_token = token;
	return 0;
}

static int put_object(const char *const *settings, struct buf *out)
{
	struct json j;
	int r;

	json_begin(&j, out);
	json_object_begin(&j);
	proxy_env_members(settings, &j);
	json_object_end(&j);
	r = json_end(&j);
	return r < 0 ? r : buf_append_u8(out, '\n');
}

static int env(struct options *o)
{
	_cleanup_buf_ struct buf out = BUF_INIT(OUT_MAX);
	bool json = o->format && strcmp(o->format, "json") == 0;
	struct endpoint listen;
	struct proxy_env e = { .listen = &listen, .proxies = true };
	const char *const *settings;
	char token[TOKEN_TEXT + 1];
	struct why why;
	int r;

	if (o->format && !json && strcmp(o->format, "sh") != 0) {
		log_error("--format %s: say sh or json", o->format);
		return EXIT_USAGE;
	}
	if (o->cgroup) {
		if (supervisor_where(o->cgroup, &listen, token, &why) < 0) {
			log_error("%s", why.text);
			return 1;
		}
		e.token = token;
	} else if (read_environment(&listen, &e.token) < 0) {
		return 1;
	}
	settings = proxy_env(&e, &o->arena);
	r = !settings ? -ENOMEM
	    : json    ? put_object(settings, &out)
		      : proxy_env_lines(settings, &out);
	if (r == 0 && fwrite(buf_data(&out), 1, buf_len(&out), stdout) == buf_len(&out) &&
	    fflush(stdout) == 0)
		return 0;
	log_error("cannot print it: %s", strerror(r < 0 ? -r : errno));
	return 1;
}

int command_env(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;

	options_init(&o);
	if (options_parse(&o, COMMAND_ENV, argc, argv) < 0)
		return EXIT_USAGE;
	if (o.help) {
		fputs(usage, stdout);
		options_help(COMMAND_ENV);
		fputs(after, stdout);
		return 0;
	}
	return env(&o);
}
