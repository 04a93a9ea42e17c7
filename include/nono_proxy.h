/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nono-proxy as a library: a proxy that lets its clients reach the hosts you allow and nothing else.
 *
 *	struct nono_proxy_config cfg = NONO_PROXY_CONFIG_INIT;
 *	const char *hosts[] = { "api.example.com", "*.example.org:443", NULL };
 *	struct nono_proxy *p;
 *
 *	cfg.allowed_hosts = hosts;
 *	if (nono_proxy_start(&cfg, &p) < 0)
 *		complain(nono_proxy_last_error());
 *	else
 *		run_something_with(nono_proxy_env_vars(p));
 *	nono_proxy_shutdown(p);
 *
 * The proxy is a process of its own, `nono-proxy serve`, which this library starts and ends. It ends
 * by itself when the calling process does, however that ends. It needs no privilege.
 *
 * Threads. There is no state besides the handles and one sentence per thread (see
 * nono_proxy_last_error()). Different handles may be used by different threads at the same time. One
 * handle may be read by several threads, but nobody may use it while or after it is shut down. The
 * thread that started a proxy may end; the proxy stays.
 *
 * Processes. A child of fork() inherits the handle's memory, not the proxy: there the handle may be
 * read, and nono_proxy_shutdown() frees it and leaves the proxy to the parent.
 *
 * Signals. No handler is installed and SIGPIPE is not raised. The proxy is a child of the calling
 * process, so that SIGCHLD comes when it ends; SIGCHLD may be ignored, and a program that waits for
 * just any child may find this one (nono_proxy_pid() tells which). The proxy runs in a session of
 * its own: what is typed at the terminal does not end it.
 *
 * Descriptors. A handle holds two, both closed on execution. The proxy inherits none besides log_fd.
 */
#ifndef NONO_PROXY_H
#define NONO_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A running proxy. */
struct nono_proxy;

/*
 * What the proxy shall do. Start from NONO_PROXY_CONFIG_INIT, with which nothing is allowed. Nothing
 * of it is needed any more when nono_proxy_start() has returned. Lists end with NULL; NULL is an
 * empty list.
 *
 * Patterns are those of `--allow-domain`: example.com (exactly it), *.example.com (any depth below,
 * not itself), * (all), each with an optional :PORT, or an IP address. A value is taken as it is and
 * is never split.
 *
 * What is said of 0 and NULL holds where config_file, if there is one, does not say otherwise. (With a
 * file and no audit_log, the program chooses a place, or fails to find one.)
 */
struct nono_proxy_config {
	size_t size; /* of this structure, as the caller was compiled; set by NONO_PROXY_CONFIG_INIT */

	int log_fd;    /* where the proxy logs; stays the caller's. -1: nowhere */
	uint16_t port; /* where it listens. 0: any that is free */
	bool monitor;  /* decide and record, but let pass what is not refused always */
	bool no_auth;  /* ask no token: whoever reaches the port may use it. Loopback only */

	const char *const *allowed_hosts; /* patterns */
	const char *const *denied_hosts;  /* patterns; deny beats allow */
	const char *const *allowed_cidrs; /* CIDR:PORT */
	const char *const *resolvers;	  /* ADDR[:PORT] of DNS servers. NULL: the system's */
	const char *config_file;	  /* the rest adds to it. NULL: none is read at all */
	const char *listen;		  /* one of this machine's addresses. NULL: 127.0.0.1 */
	const char *audit_log; /* append the record of every decision here. NULL: none is kept */
	const char *log_level; /* error, warn, info, debug */
	const char *program;   /* the nono-proxy to execute. NULL: the installed one */

	/* The two times are an hour at most. */
	uint32_t max_connections;  /* at a time. 0: 1024 */
	uint32_t start_timeout_ms; /* for nono_proxy_start(). 0: 10 s */
	uint32_t drain_timeout_ms; /* for connections at nono_proxy_shutdown(). 0: 5 s */
	uint32_t reserved;	   /* 0 */
};

#define NONO_PROXY_CONFIG_INIT                                                                 \
	{                                                                                      \
		sizeof(struct nono_proxy_config), -1, 0, false, false, NULL, NULL, NULL, NULL, \
			NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0                               \
	}

/*
 * Starts a proxy and waits until it listens.
 *
 * Returns 0 and the handle, which is the caller's and ends with nono_proxy_shutdown(). Else returns a
 * negative errno, sets *ret to NULL, leaves neither process nor descriptor, and
 * nono_proxy_last_error() tells why:
 *
 *	-EINVAL     the configuration is wrong: a pattern, an address, a file, `size`
 *	-E2BIG      the configuration has a setting that this library is too old for; or it is too long
 *	-ENOENT, -EACCES, -ENOEXEC, … the program cannot be executed
 *	-ETIMEDOUT  it was not ready within start_timeout_ms
 *	-EPROTO     what it said is not what nono-proxy says
 *	-EIO        it could not start: a port that is taken, a file that cannot be written
 *	-ENOMEM, -EMFILE, -EAGAIN, … the system refused something to the calling process
 *
 * Blocks for start_timeout_ms at most, and for a moment more to clear away what did not start.
 * Signals that arrive meanwhile do not end the waiting. The proxy gets nothing of the environment.
 */
int nono_proxy_start(const struct nono_proxy_config *cfg, struct nono_proxy **ret);

/*
 * Ends the proxy and frees the handle; NULL is fine. New connections are refused at once. Those that
 * exist may go on for drain_timeout_ms; then they are cut off. Blocks until the process has ended: a
 * few milliseconds without connections, a little more than drain_timeout_ms at most. Cannot fail.
 */
void nono_proxy_shutdown(struct nono_proxy *p);

/*
 * Why the last nono_proxy_start() of this thread failed, as one sentence; empty when it did not fail.
 * Valid until this thread starts the next one; not to be freed. Does not block.
 */
const char *nono_proxy_last_error(void);

/* The port on which it listens. Does not block; 0 for NULL. */
uint16_t nono_proxy_port(const struct nono_proxy *p);

/*
 * The token that clients must present; NULL with no_auth. A secret for all but the proxy's clients.
 * Owned by p. Does not block.
 */
const char *nono_proxy_token(const struct nono_proxy *p);

/*
 * What a client's environment shall have, as "NAME=value" strings, ended by NULL: HTTP_PROXY,
 * HTTPS_PROXY, NO_PROXY and their lower-case forms, NONO_PROXY_URL, NONO_PROXY_TOKEN and others. They
 * contain the token. Owned by p. Does not block; NULL for NULL.
 */
const char *const *nono_proxy_env_vars(const struct nono_proxy *p);

/*
 * The proxy's process. To recognise it, not to wait for it or to signal it. Does not block; -1 for
 * NULL.
 */
int nono_proxy_pid(const struct nono_proxy *p);

/* Whether the proxy's process is there. Does not block; false for NULL. */
bool nono_proxy_is_running(const struct nono_proxy *p);

/*
 * A descriptor that poll() and epoll report as readable (POLLIN) once the proxy's process has ended.
 * Nothing can be read from it. Owned by p: not to be closed. Does not block; -1 for NULL.
 */
int nono_proxy_poll_fd(const struct nono_proxy *p);

#ifdef __cplusplus
}
#endif

#endif
