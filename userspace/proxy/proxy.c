/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the supervisor's one message to a serving process: everything that needs a right is done
 * first, then the rights go, and only then is the first byte of the sandbox read.
 */
#include "proxy/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "confine/confine.h"
#include "io/log.h"
#include "ipc/setup.h"
#include "policy/token.h"
#include "proxy/inside.h"
#include "proxy/kernel.h"
#include "proxy/saved.h"
#include "proxy/server.h"

#define ARENA_MAX (4 * 1024 * 1024)

/* Everything of this process. */
struct proxy {
	int channel;
	struct arena arena;
	struct proxy_setup setup;
	struct filter filter;
	struct loop *loop;
	struct resolver *resolver;
	struct audit audit;
	struct server server;
	struct inside inside;
	struct kernel_watch *kernel;
	struct co *control;
	uint8_t seed[16];
	int result;
};

/* The supervisor must learn why; it prints the sentence. */
static int fail(struct proxy *p, const char *what, int error)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1024);

	if (buf_printf(&text, "%s: %s", what, strerror(-error)) < 0 ||
	    channel_send(p->channel, MSG_FAILED, buf_str(&text), NULL, 0) < 0)
		log_error("%s: %s", what, strerror(-error));
	return 1;
}

static int receive_setup(struct proxy *p)
{
	_cleanup_message_ struct message m = MESSAGE_INIT;
	int r = channel_recv(p->channel, &m);

	if (r < 0)
		return r;
	if (m.type != MSG_PROXY_SETUP)
		return -EBADMSG;
	return proxy_setup_get(&m, &p->arena, &p->setup);
}

/* The supervisor has parsed these rules already; here they are parsed by the very code that applies
 * them. */
static int build_filter(struct proxy *p)
{
	char why[256];

	filter_init(&p->filter);
	p->filter.monitor = p->setup.monitor;
	for (size_t i = 0; i < p->setup.rule_count; i++) {
		const struct setup_rule *r = &p->setup.rules[i];
		int e = r->cidr ? filter_add_cidr(&p->filter, r->text, r->origin, why, sizeof(why))
				: filter_add_domain(&p->filter, r->deny, r->text, r->origin, why,
						    sizeof(why));

		if (e < 0)
			return e;
	}
	return 0;
}

/* Two descriptors a connection, and some for ourselves. */
static int raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static int give_up_rights(const struct proxy *p)
{
	int r = raise_descriptor_limit();

	if (r == 0)
		r = confine_no_new_privs();
	if (r == 0 && p->setup.uid != 0)
		r = confine_identity(p->setup.uid, p->setup.gid);
	if (r == 0)
		r = confine_capabilities(0);
	/* Changing identity made the process dumpable again or cleared the death signal: once more.
	 */
	if (r == 0)
		r = confine_process();
	if (r == 0)
		r = confine_seccomp_proxy();
	return r;
}

static int identify(struct server *s, const struct endpoint *peer, struct origin *ret)
{
	const struct proxy *p = s->outside;

	return origin_lookup(p->setup.fds[PROXY_FD_ORIG_TUPLE], p->setup.netns_cookie, peer, ret);
}

static void forget(struct server *s, const struct endpoint *peer, uint64_t client)
{
	const struct proxy *p = s->outside;

	origin_forget(p->setup.fds[PROXY_FD_ORIG_TUPLE], p->setup.netns_cookie, peer, client);
}

static int resolve_name(struct server *s, const char *name, struct answer *ret, nsec_t deadline)
{
	return resolve(((struct proxy *)s->outside)->resolver, name, ret, deadline);
}

static int resolve_records(struct server *s, const char *name, uint16_t type, struct buf *ret,
			   nsec_t deadline)
{
	return resolve_raw(((struct proxy *)s->outside)->resolver, name, type, ret, deadline);
}

static int socket_inside(struct server *s, uint8_t family, nsec_t deadline)
{
	return inside_socket(&((struct proxy *)s->outside)->inside, family, deadline);
}

static int note_refusal(void *arg, const struct refusal *r, uint32_t count)
{
	struct proxy *p = arg;
	struct refusal_note note = { str_of(r->target), r->port, r->reason, count };
	_cleanup_buf_ struct buf body = BUF_INIT(1024);
	int e = refusal_note_put(&body, &note);

	return e < 0 ? e : channel_send(p->channel, MSG_REFUSAL, buf_str(&body), NULL, 0);
}

static nsec_t msec(uint32_t n)
{
	return (nsec_t)n * NSEC_PER_MSEC;
}

static int make_resolver(struct proxy *p)
{
	struct resolver_config cfg = {
		.servers = p->setup.resolvers[0] ? p->setup.resolvers : NULL,
		.timeout = msec(p->setup.dns_timeout_ms),
		.hosts_file = !p->setup.resolvers[0],
		.cache_entries = 1024,
		.seed = p->seed,
	};

	return resolver_new(p->loop, &cfg, &p->resolver);
}

/* Where the sandbox would find us, and where we would find ourselves: a connection to there is a loop. */
static void note_self(struct proxy *p, int fd)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);

	if (fd >= 0 && p->server.self_count < ARRAY_SIZE(p->server.self) &&
	    getsockname(fd, (struct sockaddr *)&sa, &n) == 0 &&
	    endpoint_from_sockaddr((struct sockaddr *)&sa, &p->server.self[p->server.self_count]))
		p->server.self_count++;
}

static int make_server(struct proxy *p)
{
	struct server_limits limits = {
		.max_connections = p->setup.max_connections,
		.max_names_per_wildcard = p->setup.max_names_per_wildcard,
		.dns = msec(p->setup.dns_timeout_ms),
		.connect = msec(p->setup.connect_timeout_ms),
		.first_bytes = msec(p->setup.first_bytes_timeout_ms),
		.header = msec(p->setup.header_timeout_ms),
		.idle = msec(p->setup.idle_timeout_ms),
	};
	int r = server_init(&p->server, p->loop, &p->filter, &p->audit, &limits, p->seed);

	if (r < 0)
		return r;
	p->server.outside = p;
	p->server.identify = identify;
	p->server.forget = forget;
	p->server.resolve = resolve_name;
	p->server.resolve_raw = resolve_records;
	p->server.socket_inside = socket_inside;
	inside_init(&p->inside, p->loop, p->channel);
	p->server.saved = p->setup.fds[PROXY_FD_BINDINGS];
	saved_restore(p->server.saved, &p->server.bindings);
	note_self(p, p->setup.fds[PROXY_FD_TCP4]);
	note_self(p, p->setup.fds[PROXY_FD_TCP6]);
	note_self(p, p->setup.fds[PROXY_FD_EXPLICIT]);
	for (size_t i = 0; i < p->setup.publish_count; i++)
		note_self(p, p->setup.publish_fds[i]);
	return 0;
}

/* Without a token it is served only where that was asked for in so many words. */
static int serve_explicit(struct proxy *p)
{
	if (p->setup.fds[PROXY_FD_EXPLICIT] < 0)
		return 0;
	if (!p->setup.no_auth && !token_is_valid(str_of(p->setup.token)))
		return -EINVAL;
	p->server.token = p->setup.no_auth ? STR_LIT("") : str_of(p->setup.token);
	return server_serve_explicit(&p->server, p->setup.fds[PROXY_FD_EXPLICIT]);
}

static int serve_all(struct proxy *p)
{
	static const enum proxy_fd tcp[] = { PROXY_FD_TCP4, PROXY_FD_TCP6 };
	static const enum proxy_fd dns[] = { PROXY_FD_DNS4, PROXY_FD_DNS6 };
	int r = 0;

	for (size_t i = 0; i < 2 && r == 0; i++) {
		if (p->setup.fds[tcp[i]] >= 0)
			r = server_serve_tcp(&p->server, p->setup.fds[tcp[i]]);
		if (r == 0 && p->setup.fds[dns[i]] >= 0)
			r = server_serve_dns(&p->server, p->setup.fds[dns[i]]);
	}
	if (r == 0)
		r = serve_explicit(p);
	for (size_t i = 0; r == 0 && i < p->setup.publish_count; i++)
		r = server_serve_published(&p->server, p->setup.publish_fds[i],
					   p->setup.publish[i]);
	if (r == 0 && p->setup.fds[PROXY_FD_EVENTS] >= 0)
		r = kernel_watch_start(&p->server, p->setup.fds[PROXY_FD_EVENTS], &p->kernel);
	return r;
}

/* How long connections may still run, once the supervisor says stop or is gone. */
static nsec_t wait_for_stop(struct proxy *p)
{
	for (;;) {
		_cleanup_message_ struct message m = MESSAGE_INIT;
		struct cursor c;
		int r = io_poll_in(p->channel, NSEC_NEVER);

		if (r == 0)
			r = channel_recv(p->channel, &m);
		if (r == -EAGAIN)
			continue;
		if (r == 0 && m.type == MSG_SOCKET)
			r = inside_take(&p->inside, &m);
		if (r < 0)
			return 0; /* the supervisor is gone: so is the sandbox */
		if (m.type != MSG_STOP)
			continue;
		c = cursor_over(buf_data(&m.body), buf_len(&m.body));
		return msec(cursor_u32(&c));
	}
}

static void control_run(void *arg)
{
	struct proxy *p = arg;
	nsec_t grace = wait_for_stop(p);

	inside_end(&p->inside);
	kernel_watch_stop(p->kernel);
	server_drain(&p->server, grace);
	audit_flush(&p->audit, loop_now(p->loop));
	loop_stop(p->loop);
}

static int start(struct proxy *p, const char **ret_what)
{
	int r;

	*ret_what = "the setup message";
	r = receive_setup(p);
	if (r < 0)
		return r;
	log_setup("nono-proxy: proxy", p->setup.log_level, p->setup.log_json);
	*ret_what = "the policy";
	r = build_filter(p);
	if (r < 0)
		return r;
	*ret_what = "random numbers";
	if (getrandom(p->seed, sizeof(p->seed), 0) != sizeof(p->seed))
		return -EIO;
	audit_init(&p->audit, p->setup.fds[PROXY_FD_AUDIT], p->setup.session, p->setup.cgroup,
		   p->seed);
	p->audit.note = note_refusal;
	p->audit.note_arg = p;
	*ret_what = "the event loop";
	r = loop_new(&loop_epoll, NULL, &p->loop);
	if (r < 0)
		return r;
	*ret_what = "giving up rights";
	r = give_up_rights(p);
	if (r < 0)
		return r;
	*ret_what = "the resolver";
	r = make_resolver(p);
	if (r < 0)
		return r;
	*ret_what = "serving";
	r = make_server(p);
	if (r == 0)
		r = serve_all(p);
	if (r == 0)
		r = co_spawn(p->loop, control_run, p, &p->control);
	return r;
}

int proxy_main(int channel)
{
	static struct proxy p;
	const char *what = "";
	int r;

	p.channel = channel;
	arena_init(&p.arena, ARENA_MAX);
	(void)signal(SIGPIPE, SIG_IGN);
	r = confine_process();
	if (r == 0)
		r = start(&p, &what);
	if (r < 0)
		return fail(&p, what, r);
	r = channel_send(channel, MSG_READY, STR_LIT(""), NULL, 0);
	if (r < 0)
		return 1;
	/* From here on a full channel must not stop the loop: notes wait instead. */
	if (fcntl(channel, F_SETFL, fcntl(channel, F_GETFL) | O_NONBLOCK) < 0)
		return 1;
	r = loop_run(p.loop);
	kernel_watch_free(p.kernel);
	server_done(&p.server);
	resolver_free(p.resolver);
	audit_done(&p.audit);
	loop_free(p.loop);
	filter_done(&p.filter);
	arena_done(&p.arena);
	return r < 0;
}
