/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `why`: the verdict on a host, by the very code that decides for a connection, and the rule that
 * made it. Opens nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "commands/options.h"
#include "io/log.h"
#include "wire/json.h"

#define DEFAULT_PORT 443

static const char usage[] = "Usage: nono-proxy why HOST[:PORT] | URL [OPTION...]\n"
			    "\n"
			    "Says whether the policy would let a connection to HOST through, and "
			    "by which rule. Without a port: 443.\n"
			    "\n"
			    "  nono-proxy why evil.example:443 --allow-domain '*.example.com'\n"
			    "\n";

static const char after[] =
	"\nExit status: 0 allowed, 1 denied, 2 wrong options or configuration.\n";

/* "https://user@host:port/path" leaves "host:port"; the scheme gives the port where none is
 * written. */
static struct str authority_of(const char *text, uint16_t *ret_port)
{
	const char *p = strstr(text, "://");
	size_t n;

	*ret_port = DEFAULT_PORT;
	if (!p)
		return str_of(text);
	if (strncmp(text, "http://", 7) == 0)
		*ret_port = 80;
	p += 3;
	n = strcspn(p, "/?#");
	return (struct str){ p, n };
}

/* Decides as the data plane does: the name first, then every address that it would have. */
static int decide(const struct options *o, const struct filter *f, const struct host *h,
		  uint16_t port, struct verdict *ret)
{
	filter_check_host(f, h, port, ret);
	for (size_t i = 0; ret->allowed && i < o->resolved.n; i++) {
		const struct rule *by = ret->rule;
		struct addr a;

		if (!addr_parse(str_of(o->resolved.items[i]), &a)) {
			log_error("--resolved %s: not an address", o->resolved.items[i]);
			return -EINVAL;
		}
		filter_check_answer(f, &a, port, by, ret);
		if (ret->allowed)
			ret->rule = by;
	}
	return 0;
}

static void print_json(const struct host *h, uint16_t port, const struct verdict *v,
		       _unused_ const char *monitor)
{
	_cleanup_buf_ struct buf out = BUF_INIT(8192);
	char sentence[512], hint[512], text[ADDR_TEXT_MAX];
	struct json j;

	json_begin(&j, &out);
	json_object_begin(&j);
	json_kv_str(&j, "host", h->name);
	json_kv_int(&j, "port", port);
	json_kv_str(&j, "decision", v->allowed ? "allow" : "deny");
	json_kv_str(&j, "rule", v->rule ? v->rule->text : NULL);
	json_kv_str(&j, "rule_origin", v->rule ? v->rule->origin : NULL);
	if (v->addr.family)
		json_kv_str(&j, "resolved_ip", addr_text(&v->addr, text));
	if (v->reason != REASON_NONE) {
		json_kv_str(&j, "reason", reason_word(v->reason));
		json_kv_str(&j, "message",
			    reason_sentence(v->reason, h->name, sentence, sizeof(sentence)));
		reason_hint(v->reason, h->name, port, hint, sizeof(hint));
		json_kv_str(&j, "hint", hint[0] ? hint : NULL);
	}
	json_object_end(&j);
	if (json_end(&j) == 0)
		printf("%.*s\n", STR_FMT(buf_str(&out)));
}

/* `monitor` is where monitoring was asked for. */
static void print_text(const struct host *h, uint16_t port, const struct verdict *v,
		       const char *monitor)
{
	char sentence[512], hint[512], text[ADDR_TEXT_MAX];

	printf(h->is_addr && h->addr.family == 6 ? "[%s]:%u: %s" : "%s:%u: %s", h->name, port,
	       v->allowed ? "allowed" : "denied");
	if (v->rule)
		printf(" by %s %s", v->rule->origin, v->rule->text);
	if (v->monitored)
		printf(" (by %s; otherwise refused)", monitor);
	printf("\n");
	if (v->reason == REASON_NONE)
		return;
	printf("  %s: %s\n", reason_word(v->reason),
	       reason_sentence(v->reason, h->name, sentence, sizeof(sentence)));
	if (v->addr.family && !h->is_addr)
		printf("  its address %s decided\n", addr_text(&v->addr, text));
	if (reason_hint(v->reason, h->name, port, hint, sizeof(hint))[0])
		printf("  %s\n", hint);
}

static int why(struct options *o)
{
	struct verdict v = { 0 };
	struct filter f;
	struct host h;
	uint16_t port, given;
	int r;

	if (o->arg_count != 1) {
		log_error("why needs one HOST[:PORT] or URL");
		return EXIT_USAGE;
	}
	if (options_load(o) < 0)
		return EXIT_USAGE;
	filter_init(&f);
	r = options_filter(o, &f);
	if (r == 0 && !host_port_parse(authority_of(o->args[0], &port), &h, &given)) {
		char sentence[512];

		log_error("%s", reason_sentence(REASON_NAME_INVALID, o->args[0], sentence,
						sizeof(sentence)));
		filter_done(&f);
		return 1; /* such a name is refused, too */
	}
	if (r == 0)
		r = decide(o, &f, &h, given ? given : port, &v);
	if (r == 0)
		(o->json ? print_json : print_text)(&h, given ? given : port, &v,
						    o->config.monitor.origin);
	filter_done(&f);
	return r < 0 ? EXIT_USAGE : !v.allowed;
}

int command_why(int argc, char **argv)
{
	_cleanup_(options_done) struct options o;

	options_init(&o);
	if (options_parse(&o, COMMAND_WHY, argc, argv) < 0)
		return EXIT_USAGE;
	if (o.help) {
		fputs(usage, stdout);
		options_help(COMMAND_WHY);
		fputs(after, stdout);
		return 0;
	}
	return why(&o);
}
