/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all connections of one sandbox share: policy, bindings, resolver, audit, limits. One per
 * worker; single-threaded.
 *
 * The three ways to the outside world (who is that client, what are this name's addresses) are
 * functions, so that handlers are tested on scripted I/O.
 */
#ifndef NONO_PROXY_SERVER_H
#define NONO_PROXY_SERVER_H

#include "base/list.h"
#include "io/resolver.h"
#include "io/verbs.h"
#include "ipc/setup.h"
#include "policy/bindings.h"
#include "policy/filter.h"
#include "proxy/audit.h"
#include "redirect/origin.h"

struct server;

struct server_limits {
	uint32_t max_connections;
	uint32_t max_names_per_wildcard;
	nsec_t dns, connect, first_bytes, header, idle;
};

/* A port of the sandbox that outsiders may connect to. */
struct published {
	struct rule rule; /* what the records name */
	char text[16];
	uint16_t port;
};

struct server {
	struct loop *loop;
	const struct filter *filter;
	struct bindings bindings;
	struct map wildcard_names; /* names already counted against a wildcard rule */
	uint32_t *wildcard_counts; /* by rule id */
	struct audit *audit;
	struct server_limits limits;

	/* Who is behind an accepted connection? 0 or -errno; no entry: -ENOENT. forget() drops the
	 * entry at the end. */
	int (*identify)(struct server *s, const struct endpoint *peer, struct origin *ret);
	void (*forget)(struct server *s, const struct endpoint *peer, uint64_t client);
	/* As resolve() and resolve_raw() of io/resolver.h. */
	int (*resolve)(struct server *s, const char *name, struct answer *ret, nsec_t deadline);
	int (*resolve_raw)(struct server *s, const char *name, uint16_t type, struct buf *ret,
			   nsec_t deadline);
	/* A socket of the sandbox's network, for this family (4 or 6): its descriptor, or -errno. */
	int (*socket_inside)(struct server *s, uint8_t family, nsec_t deadline) _suspends_;
	void *outside; /* for those functions */

	struct str token; /* of the explicit listener; n 0: none is asked for */
	int saved; /* file of bindings that outlives us (proxy/saved.h); -EBADF: none */

	struct endpoint self[4 + PUBLISH_MAX]; /* our own listeners, as we would dial them */
	size_t self_count;

	struct published published[PUBLISH_MAX];
	size_t published_count;

	struct list conns; /* struct conn.link */
	uint32_t conn_count, dns_jobs;
	struct list tasks;	/* struct task: coroutines that serve listeners */
	struct event_slot room; /* a connection has ended */
	bool draining;
};

/* Fills in what is not the caller's choice; the functions and listeners are set afterwards. 0 or
 * -ENOMEM. */
_must_check_ int server_init(struct server *s, struct loop *l, const struct filter *f,
			     struct audit *audit, const struct server_limits *limits,
			     const uint8_t seed[16]);

/* Everything must have ended. */
void server_done(struct server *s);

/* Starts serving a listener of redirected connections, one of clients that speak to a proxy on
 * purpose, or a DNS socket. The descriptor stays the caller's. 0 or -errno. */
_must_check_ int server_serve_tcp(struct server *s, int fd);
_must_check_ int server_serve_explicit(struct server *s, int fd);
_must_check_ int server_serve_dns(struct server *s, int fd);

/* The same for a listener outside whose connections go to this port inside. */
_must_check_ int server_serve_published(struct server *s, int fd, uint16_t port);

/*
 * Accepts no more, lets what runs go on for at most `grace`, then ends it. Returns when everything
 * has ended. Runs in a coroutine of its own, not in one of the server's.
 */
void server_drain(struct server *s, nsec_t grace) _suspends_;

/* A coroutine that the server can end: registered while it runs, freed by free() of the record when
 * it has returned. */
struct task {
	struct list link;
	struct server *server;
	struct co *co;
	int fd;
	bool by_choice;			   /* the explicit listener's */
	const struct published *published; /* or that of such a port; NULL */
	void (*run)(struct task *t);
};

/* `t` is malloc()ed, first member of whatever it is part of; on failure it is freed. 0 or -errno.
 */
_must_check_ int task_begin(struct server *s, struct task *t, void (*run)(struct task *t));

/* Is this one of our own listeners? */
bool server_is_self(const struct server *s, const struct endpoint *to);

#endif
