/* SPDX-License-Identifier: Apache-2.0 */
/* What the sandbox's first process is told. */
#include "supervisor/inside.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/proxy_env.h"
#include "supervisor/environment.h"
#include "supervisor/files.h"
#include "supervisor/sockets_outside.h"

#define HOST_NAME_TEXT_MAX 256

/* Something that can stand in a hosts file. */
static bool is_host_name(const char *s)
{
	return *s &&
	       s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] ==
		       '\0';
}

/* Without its own name a machine puzzles programs (Java's getLocalHost, sudo). */
const char *inside_hosts(const char *host_name, bool ipv6, struct arena *arena)
{
	char text[HOST_NAME_TEXT_MAX + 128];
	bool named = is_host_name(host_name) && strcmp(host_name, "localhost") != 0;

	(void)snprintf(text, sizeof(text), "127.0.0.1 localhost\n%s%s%.*s%s",
		       ipv6 ? "::1 localhost ip6-localhost ip6-loopback\n" : "",
		       named ? "127.0.1.1 " : "", named ? HOST_NAME_TEXT_MAX : 0, host_name,
		       named ? "\n" : "");
	return arena_strdup(arena, text);
}

/* Where the explicit listener is, and what to say to it. */
static const char *const *proxy_settings(struct sandbox *sb)
{
	struct endpoint at = { addr_v4(INADDR_LOOPBACK), sb->netns.serve.explicit4 };
	struct proxy_env env = { .listen = &at,
				 .token = sb->opt->proxy.token,
				 .proxies = sb->opt->proxy_env };

	return proxy_env(&env, &sb->arena);
}

/* Everything that init is told. Texts are in the arena or are the caller's. */
static int describe(struct sandbox *sb, struct init_setup *ret)
{
	const char *const *settings = proxy_settings(sb);
	char name[HOST_NAME_TEXT_MAX] = "", *cwd = arena_alloc(&sb->arena, PATH_MAX);
	bool root = sb->user.uid == 0, private = !sb->opt->host_network;
	int r;

	*ret = (struct init_setup){
		.uid = sb->user.uid,
		.gid = sb->user.gid,
		.root_caps = root,
		.private_dev = root,
		.private_network = private,
		.resolv_conf = private ? "nameserver " NETNS_DNS_V4 "\n" : "nameserver 127.0.0.1\n",
		.allow = sb->opt->allow_unix,
		.argv = sb->opt->argv,
		.command_tty = "",
	};
	r = sockets_outside(&sb->arena, &ret->mask, &sb->why);
	if (r < 0)
		return r;
	if (gethostname(name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	ret->hosts = inside_hosts(name, !sb->netns.serve.no_ipv6, &sb->arena);
	ret->envp = settings ? environment_for_command(sb->opt->envp, &sb->user, settings,
						       &sb->arena)
			     : NULL;
	if (!cwd || !ret->hosts || !ret->envp)
		return why_set(&sb->why, -ENOMEM, "out of memory");
	ret->cwd = getcwd(cwd, PATH_MAX) && cwd[0] == '/' ? cwd : "/";
	return 0;
}

int inside_start(struct sandbox *sb)
{
	struct role_options o = { .name = "@init",
				  .namespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC,
				  .cgroup = sb->cgroup.fd,
				  .netns = sb->netns.fd,
				  .signals = &sb->signals,
				  .envp = sb->opt->envp };
	struct init_setup setup;
	int r = describe(sb, &setup);

	if (r == 0)
		r = role_start(&o, &sb->init, &sb->why);
	if (r < 0)
		return r;
	r = init_setup_send(sb->init.channel, &setup);
	if (r < 0)
		return why_set(
			&sb->why, r, "cannot tell the sandbox's first process what to do: %s%s",
			strerror(-r),
			r == -ENOSPC ? " (the arguments and the environment are too long)" : "");
	return 0;
}
