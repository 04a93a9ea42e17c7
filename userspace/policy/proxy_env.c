/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variables that lead programs to the proxy. Programs disagree about the case of the names:
 * curl reads http_proxy in small letters only, others prefer the large ones, so both are set.
 */
#include "policy/proxy_env.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define USER	     "nono" /* any name will do */
#define SETTINGS_MAX 9

static const char *const url_names[] = { "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy" };
static const char *const others[] = { "NO_PROXY=localhost,127.0.0.1,::1",
				      "no_proxy=localhost,127.0.0.1,::1", "NODE_USE_ENV_PROXY=1" };

_Static_assert(2 + ARRAY_SIZE(url_names) + ARRAY_SIZE(others) == SETTINGS_MAX,
	       "the list holds every setting");

struct list {
	struct arena *arena;
	const char **settings;
	size_t n;
	bool full;
};

/* The first one that does not fit decides: a list with a gap is no list. */
static void add(struct list *l, const char *fmt, ...) _printf_(2, 3);

static void add(struct list *l, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	assert(l->n < SETTINGS_MAX);
	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	text = n < 0 ? NULL : arena_alloc(l->arena, (size_t)n + 1);
	if (!text) {
		l->full = true;
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	l->settings[l->n++] = text;
}

const char *const *proxy_env(const struct proxy_env *e, struct arena *arena)
{
	struct list l = { arena, arena_alloc(arena, (SETTINGS_MAX + 1) * sizeof(char *)), 0,
			  false };
	char at[ENDPOINT_TEXT_MAX];

	if (!l.settings)
		return NULL;
	endpoint_text(e->listen, at);
	add(&l, "NONO_PROXY_URL=http://%s", at);
	if (e->token)
		add(&l, "NONO_PROXY_TOKEN=%s", e->token);
	for (size_t i = 0; e->proxies && i < ARRAY_SIZE(url_names); i++) {
		if (e->token)
			add(&l, "%s=http://" USER ":%s@%s", url_names[i], e->token, at);
		else
			add(&l, "%s=http://%s", url_names[i], at);
	}
	for (size_t i = 0; e->proxies && i < ARRAY_SIZE(others); i++)
		add(&l, "%s", others[i]);
	return l.full ? NULL : l.settings;
}

/* The name before the '=' of a setting, as POSIX shells know names (XBD 3.235); n 0 if it is none. */
static struct str shell_name(const char *setting)
{
	const char *p = setting;

	while (*p == '_' || (ascii_lower(*p) >= 'a' && ascii_lower(*p) <= 'z') ||
	       (p > setting && *p >= '0' && *p <= '9'))
		p++;
	return (struct str){ setting, *p == '=' ? (size_t)(p - setting) : 0 };
}

/* Inside single quotes every byte is itself; a quote has to step outside for a moment. */
static int append_quoted(struct buf *out, const char *value)
{
	int r = buf_append(out, "'", 1);

	while (*value && r == 0) {
		size_t plain = strcspn(value, "'");

		r = buf_append(out, value, plain);
		value += plain;
		if (*value == '\'' && r == 0) {
			r = buf_append_str(out, STR_LIT("'\\''"));
			value++;
		}
	}
	return r < 0 ? r : buf_append(out, "'", 1);
}

int proxy_env_export(const char *setting, struct buf *out)
{
	struct str name = shell_name(setting);
	size_t before = buf_len(out);
	int r;

	if (!name.n)
		return -EINVAL;
	r = buf_append_str(out, STR_LIT("export "));
	if (r == 0)
		r = buf_append(out, setting, name.n + 1);
	if (r == 0)
		r = append_quoted(out, setting + name.n + 1);
	if (r == 0)
		r = buf_append(out, "\n", 1);
	if (r < 0)
		buf_truncate(out, before);
	return r;
}

int proxy_env_lines(const char *const *settings, struct buf *out)
{
	int r = 0;

	for (; r == 0 && *settings; settings++)
		r = proxy_env_export(*settings, out);
	return r;
}

void proxy_env_members(const char *const *settings, struct json *j)
{
	for (; *settings; settings++) {
		size_t n = strcspn(*settings, "=");
		char name[64];

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, *settings);
		json_kv_str(j, name, *settings + n + 1);
	}
}
