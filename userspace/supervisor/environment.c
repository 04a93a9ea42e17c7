/* SPDX-License-Identifier: Apache-2.0 */
/* COMMAND's environment. */
#include "supervisor/environment.h"

#include <stdio.h>
#include <string.h>

/*
 * Proxy settings would send programs to a proxy that is not there; the others name sockets of
 * daemons outside, which are hidden, or tell who called sudo. XDG_RUNTIME_DIR and the user's own
 * variables are set anew.
 */
static const char *const removed[] = {
	"HTTP_PROXY",
	"HTTPS_PROXY",
	"ALL_PROXY",
	"FTP_PROXY",
	"NO_PROXY",
	"http_proxy",
	"https_proxy",
	"all_proxy",
	"ftp_proxy",
	"no_proxy",
	"NODE_USE_ENV_PROXY",
	"NONO_PROXY_URL",
	"NONO_PROXY_TOKEN",
	"DBUS_SESSION_BUS_ADDRESS",
	"DBUS_SYSTEM_BUS_ADDRESS",
	"SSH_AUTH_SOCK",
	"SSH_AGENT_PID",
	"GPG_AGENT_INFO",
	"DOCKER_HOST",
	"CONTAINER_HOST",
	"TMUX",
	"TMUX_PANE",
	"STY",
	"XDG_RUNTIME_DIR",
	"NOTIFY_SOCKET",
	"LISTEN_FDS",
	"LISTEN_PID",
	"LISTEN_FDNAMES",
};

/* Set from the account when COMMAND's user is not the caller. */
static const char *const personal[] = { "HOME", "USER", "LOGNAME", "SHELL", "MAIL" };

#define SET_MAX 5

static bool is_named(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

static bool is_one_of(const char *entry, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_named(entry, names[i]))
			return true;
	return false;
}

const char *environment_get(const char *const *envp, const char *name)
{
	for (; *envp; envp++)
		if (is_named(*envp, name))
			return *envp + strlen(name) + 1;
	return NULL;
}

static bool is_kept(const char *entry, const struct user *u)
{
	return strchr(entry, '=') && strncmp(entry, "SUDO_", 5) != 0 &&
	       !is_one_of(entry, removed, ARRAY_SIZE(removed)) &&
	       !(u->changed && is_one_of(entry, personal, ARRAY_SIZE(personal)));
}

/* "NAME=value", or NULL. */
static const char *setting(struct arena *arena, const char *name, const char *value)
{
	size_t n = strlen(name) + strlen(value) + 2;
	char *p = arena_alloc(arena, n);

	if (p)
		(void)snprintf(p, n, "%s=%s", name, value);
	return p;
}

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

const char *const *environment_for_command(const char *const *envp, const struct user *u,
					   const char *const *more, struct arena *arena)
{
	const char **out, *fresh[SET_MAX];
	size_t n, k = 0;
	char runtime[40];

	out = arena_alloc(arena, (count(envp) + SET_MAX + count(more) + 1) * sizeof(*out));
	if (!out)
		return NULL;
	n = 0;
	for (; *envp; envp++)
		if (is_kept(*envp, u))
			out[n++] = *envp;
	(void)snprintf(runtime, sizeof(runtime), "/run/user/%u", u->uid);
	fresh[k++] = setting(arena, "XDG_RUNTIME_DIR", runtime);
	if (u->changed) {
		fresh[k++] = setting(arena, "HOME", u->home ? u->home : "/");
		if (u->name) {
			fresh[k++] = setting(arena, "USER", u->name);
			fresh[k++] = setting(arena, "LOGNAME", u->name);
			fresh[k++] = setting(arena, "SHELL", u->shell[0] ? u->shell : "/bin/sh");
		}
	}
	for (size_t i = 0; i < k; i++) {
		if (!fresh[i])
			return NULL;
		out[n++] = fresh[i];
	}
	for (; *more; more++)
		out[n++] = *more;
	return out;
}
