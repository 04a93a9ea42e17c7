/* SPDX-License-Identifier: Apache-2.0 */
#include "api/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/child.h"
#include "api/failure.h"

/* No version of the structure will be this large: what says so was never initialised. */
#define SIZE_LIMIT 4096

/* The most that --drain-timeout takes. */
#define DRAIN_SECS_MAX 3600

#define NOT_INITIALISED "the configuration does not begin with NONO_PROXY_CONFIG_INIT"

/* Only the tail that we do not know: all zero, and the caller wants nothing of it. */
static bool is_zero(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

int config_take(const struct nono_proxy_config *given, struct nono_proxy_config *ret)
{
	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
	size_t size;

	if (!given)
		return failure_set(-EINVAL, "no configuration was given");
	size = given->size;
	/* Every version ends where a pointer may begin, so no field is cut in two. */
	if (size <= sizeof(size) || size > SIZE_LIMIT || size % sizeof(void *))
		return failure_set(-EINVAL, NOT_INITIALISED);
	if (size > sizeof(cfg) &&
	    !is_zero((const unsigned char *)given + sizeof(cfg), size - sizeof(cfg)))
		return failure_set(
			-E2BIG, "the configuration has a setting that this library does not know: "
				"it is older than its header");
	memcpy(&cfg, given, MIN(size, sizeof(cfg)));
	if (cfg.reserved)
		return failure_set(
			-E2BIG, "the reserved field of the configuration is not 0: this library is "
				"older than its header, or " NOT_INITIALISED);
	cfg.size = sizeof(cfg);
	*ret = cfg;
	return 0;
}

const char *config_program(const struct nono_proxy_config *cfg)
{
	return cfg->program ? cfg->program : child_program();
}

void words_done(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->items[i]);
	free(w->items);
	*w = (struct words){ 0 };
}

/* Appends name and value as one word; the list always ends with NULL. */
static int add(struct words *w, const char *name, const char *value)
{
	size_t a = strlen(name), b = strlen(value);
	char *word;

	if (w->n + 2 > w->cap) {
		size_t cap = MAX(2 * w->cap, (size_t)32);
		char **items = reallocarray(w->items, cap, sizeof(*items));

		if (!items)
			return -ENOMEM;
		w->items = items;
		w->cap = cap;
	}
	word = malloc(a + b + 1);
	if (!word)
		return -ENOMEM;
	memcpy(word, name, a);
	memcpy(word + a, value, b + 1);
	w->items[w->n++] = word;
	w->items[w->n] = NULL;
	return 0;
}

static int add_list(struct words *w, const char *name, const char *const *values)
{
	int r = 0;

	for (; r == 0 && values && *values; values++)
		r = add(w, name, *values);
	return r;
}

static int add_number(struct words *w, const char *name, uint32_t value)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%" PRIu32, value);
	return add(w, name, text);
}

static uint32_t drain_secs(uint32_t ms)
{
	return MIN(ms / 1000 + (ms % 1000 != 0), (uint32_t)DRAIN_SECS_MAX);
}

int config_words(const struct nono_proxy_config *cfg, struct words *ret)
{
	const struct {
		const char *name, *value;
	} single[] = {
		{ "--listen=", cfg->listen },
		/* Nobody asked for a record: the program would choose a place of its own. */
		{ "--audit-log=",
		  cfg->audit_log || cfg->config_file ? cfg->audit_log : "/dev/null" },
		{ "--log-level=", cfg->log_level },
	};
	_cleanup_words_ struct words w = { 0 };
	int r = add(&w, "nono-proxy", "");

	if (r == 0)
		r = add(&w, "serve", "");
	if (r == 0)
		r = add(&w, "--json", "");
	if (r == 0)
		r = add_number(&w, "--owner-fd=", CHILD_CHANNEL);
	/* Without a file the configuration is what is here: none is to be found by accident. */
	if (r == 0)
		r = cfg->config_file ? add(&w, "--config=", cfg->config_file)
				     : add(&w, "--no-config", "");
	if (r == 0)
		r = add_list(&w, "--allow-domain=", cfg->allowed_hosts);
	if (r == 0)
		r = add_list(&w, "--deny-domain=", cfg->denied_hosts);
	if (r == 0)
		r = add_list(&w, "--allow-cidr=", cfg->allowed_cidrs);
	if (r == 0)
		r = add_list(&w, "--resolver=", cfg->resolvers);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(single); i++)
		if (single[i].value)
			r = add(&w, single[i].name, single[i].value);
	/* The limit in ms is kept by who waits; the program's own is not to come before it. */
	if (r == 0 && cfg->drain_timeout_ms)
		r = add_number(&w, "--drain-timeout=", drain_secs(cfg->drain_timeout_ms));
	if (r == 0 && cfg->port)
		r = add_number(&w, "--port=", cfg->port);
	if (r == 0 && cfg->max_connections)
		r = add_number(&w, "--max-connections=", cfg->max_connections);
	if (r == 0 && cfg->monitor)
		r = add(&w, "--monitor", "");
	if (r == 0 && cfg->no_auth)
		r = add(&w, "--no-auth", "");
	if (r < 0)
		return failure_set(r, "no memory for the command line");
	*ret = w;
	w = (struct words){ 0 };
	return 0;
}
