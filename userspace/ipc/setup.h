/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one message with which the supervisor starts a role: everything that the role may know, and
 * the descriptors it works on. A role reads no file, no option and no environment variable of its
 * own.
 */
#ifndef NONO_IPC_SETUP_H
#define NONO_IPC_SETUP_H

#include "ipc/channel.h"
#include "policy/filter.h"

/* Descriptors of the proxy, by place in the message. -EBADF where there is none. */
enum proxy_fd {
	PROXY_FD_TCP4, /* listener of redirected connections, 127.0.0.1 in the sandbox's namespace
			*/
	PROXY_FD_TCP6, /* ::1 */
	PROXY_FD_DNS4, /* UDP, 127.0.0.1 */
	PROXY_FD_DNS6, /* UDP, ::1 */
	PROXY_FD_EXPLICIT,   /* listener for clients that speak to a proxy on purpose */
	PROXY_FD_ORIG_TUPLE, /* BPF map: original destinations */
	PROXY_FD_EVENTS,     /* BPF ring buffer: what the kernel refused */
	PROXY_FD_AUDIT,	     /* append-only file */
	PROXY_FD_BINDINGS,   /* what was answered before, and will be: read first, then appended to */
	PROXY_FD_COUNT
};

/* Ports of one sandbox that outsiders may connect to, at most. */
#define PUBLISH_MAX 16

struct setup_rule {
	bool cidr, deny;
	const char *text, *origin;
};

struct proxy_setup {
	const char *session;   /* 16 hex digits: names the sandbox in the audit */
	const char *cgroup;    /* path below the mount, for the audit */
	const char *resolvers; /* "" = the system's */
	const char *token;     /* of the explicit listener; "" only with no_auth */
	uint64_t netns_cookie; /* of the sandbox */
	uint32_t uid, gid;     /* what the proxy becomes; 0 = stay as it is (serve) */
	uint32_t max_connections;
	uint32_t max_names_per_wildcard;
	uint32_t dns_timeout_ms, connect_timeout_ms, first_bytes_timeout_ms, idle_timeout_ms;
	uint32_t header_timeout_ms;
	uint32_t log_level;
	bool monitor, log_json, verbose;
	bool no_auth; /* the explicit listener asks for no token */
	const struct setup_rule *rules;
	size_t rule_count;
	int fds[PROXY_FD_COUNT];
	/* Ports that are published, and a listener outside for each. */
	uint16_t publish[PUBLISH_MAX];
	int publish_fds[PUBLISH_MAX];
	size_t publish_count;
};

#define PROXY_SETUP_INIT                                                                        \
	{                                                                                       \
		.session = "", .cgroup = "", .resolvers = "", .token = "",                      \
		.max_connections = 1024, .max_names_per_wildcard = 256, .dns_timeout_ms = 5000, \
		.connect_timeout_ms = 10000, .first_bytes_timeout_ms = 3000,                    \
		.idle_timeout_ms = 3600 * 1000, .header_timeout_ms = 10000, .log_level = 1,     \
		.fds = { [0 ... PROXY_FD_COUNT - 1] = -EBADF }                                  \
	}

/* Sends it. 0 or -errno; -E2BIG or -ENOSPC: it does not fit. */
_must_check_ int proxy_setup_send(int channel, const struct proxy_setup *s);

/*
 * Reads it out of a received message: strings and rules are copied into the arena, descriptors move
 * into ret->fds. 0, -EBADMSG, -ENOMEM.
 */
_must_check_ int proxy_setup_get(struct message *m, struct arena *arena, struct proxy_setup *ret);

/* What init needs: it builds the sandbox's view from within, then runs COMMAND. */
struct init_setup {
	uint32_t uid, gid;
	bool root_caps;	      /* uid 0: keep what container engines give, else nothing */
	bool private_network; /* a /sys of its own namespace */
	bool private_dev;     /* a minimal /dev */
	const char *cwd;
	const char *resolv_conf, *hosts; /* contents; "" = leave as is */
	const char *const *
		mask; /* unix sockets of outside daemons to hide: absolute paths, NULL-terminated */
	const char *const *allow; /* of all sockets those that COMMAND may use; or NULL */
	const char *const *argv, *const *envp; /* NULL-terminated */
	const char *command_tty; /* not used: init sees itself whether the terminal is ours */
};

_must_check_ int init_setup_send(int channel, const struct init_setup *s);
_must_check_ int init_setup_get(struct message *m, struct arena *arena, struct init_setup *ret);

#endif
