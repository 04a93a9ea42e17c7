/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting the scene of a script, and telling what came of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/script_internal.h"

#include <string.h>

static struct endpoint parse_endpoint(const char *text)
{
	struct endpoint e = { 0 };
	const char *colon = strrchr(text, ':');
	struct str host, port;

	assert_non_null(colon);
	host = (struct str){ text, (size_t)(colon - text) };
	port = str_of(colon + 1);
	if (host.n > 2 && host.p[0] == '[')
		host = (struct str){ host.p + 1, host.n - 2 };
	if (!addr_parse(host, &e.addr) || !port_parse(port, &e.port))
		fail_msg("not an endpoint: %s", text);
	return e;
}

struct script *script_new(void)
{
	struct script *s = script_alloc(sizeof(*s));

	list_init(&s->peers);
	list_init(&s->servers);
	list_init(&s->udp_servers);
	list_init(&s->sent);
	list_init(&s->dialled);
	assert_int_equal(loop_new(&loop_script, s, &s->loop), 0);
	return s;
}

void script_free(struct script *s)
{
	assert_int_equal(loop_turn(s->loop, 0), 0);
	assert_int_equal(loop_inflight(s->loop), 0);
	loop_free(s->loop); /* and the pipes of its pool */
	s->loop = NULL;
	assert_int_equal(script_open_fds(s), 0);
	list_for_each_safe (p, &s->peers) {
		free(container_of(p, struct script_peer, all)->got.p);
		free(container_of(p, struct script_peer, all));
	}
	list_for_each_safe (v, &s->servers)
		free(container_of(v, struct script_server, all));
	list_for_each_safe (u, &s->udp_servers)
		free(container_of(u, struct udp_server, all));
	list_for_each_safe (d, &s->dialled)
		free(container_of(d, struct dialled, all));
	list_for_each_safe (g, &s->sent) {
		struct sent_datagram *sent = container_of(g, struct sent_datagram, all);

		free((void *)(uintptr_t)sent->bytes.p);
		free(sent);
	}
	free(s);
}

struct loop *script_loop(struct script *s)
{
	return s->loop;
}

int script_run(struct script *s)
{
	s->turns = 0;
	return loop_run(s->loop);
}

int script_listener(struct script *s, const char *endpoint)
{
	int fd = script_fake_new(s, FAKE_LISTENER);

	assert_true(fd >= 0);
	script_fake(s, fd)->bound = parse_endpoint(endpoint);
	return fd;
}

struct script_peer *script_client(struct script *s, int listener, const char *from,
				  const struct script_step *steps)
{
	struct fake *f = script_fake(s, listener);
	struct script_peer *p = script_peer_new(s, steps);

	assert_non_null(f);
	assert_int_equal(f->kind, FAKE_LISTENER);
	p->from = parse_endpoint(from);
	list_add_tail(&f->waiting, &p->waiting);
	return p;
}

struct script_peer *script_pair(struct script *s, const struct script_step *steps)
{
	struct script_peer *p = script_peer_new(s, steps);

	assert_true(script_peer_attach(s, p) >= 0);
	return p;
}

struct script_server *script_server(struct script *s, const char *endpoint,
				    enum script_behaviour behaviour,
				    const struct script_step *steps)
{
	struct script_server *srv = script_alloc(sizeof(*srv));

	srv->at = parse_endpoint(endpoint);
	srv->behaviour = behaviour;
	srv->steps = steps;
	list_init(&srv->peers);
	list_add_tail(&s->servers, &srv->all);
	return srv;
}

void script_server_delay(struct script_server *srv, unsigned int msec)
{
	srv->delay = msec * NSEC_PER_MSEC;
}

size_t script_server_count(const struct script_server *srv)
{
	size_t n = 0;

	list_for_each (it, &srv->peers)
		n++;
	return n;
}

struct script_peer *script_server_peer(const struct script_server *srv, size_t i)
{
	list_for_each (it, &srv->peers)
		if (i-- == 0)
			return container_of(it, struct script_peer, of_server);
	return NULL;
}

const char *script_dialled(const struct script *s, size_t i)
{
	list_for_each (it, &s->dialled)
		if (i-- == 0)
			return container_of(it, struct dialled, all)->text;
	return NULL;
}

int script_peer_fd(const struct script_peer *p)
{
	return p->fd;
}

struct str script_sent(const struct script_peer *p)
{
	return (struct str){ p->got.p ? (const char *)p->got.p : "", p->got.n };
}

bool script_sent_eof(const struct script_peer *p)
{
	return p->got_eof;
}

bool script_sent_reset(const struct script_peer *p)
{
	return p->got_reset;
}

bool script_steps_over(const struct script_peer *p)
{
	return p->reset || p->steps->kind == SCRIPT_STEP_END;
}

int script_udp(struct script *s, const char *endpoint)
{
	int fd = script_fake_new(s, FAKE_UDP);

	assert_true(fd >= 0);
	script_fake(s, fd)->bound = parse_endpoint(endpoint);
	return fd;
}

void script_datagram(struct script *s, int fd, const char *from, const void *p, size_t n)
{
	struct fake *f = script_fake(s, fd);
	struct endpoint e = parse_endpoint(from);

	assert_non_null(f);
	assert_int_equal(f->kind, FAKE_UDP);
	script_datagram_arrives(f, &e, p, n);
}

struct str script_datagram_sent(const struct script *s, size_t i, struct endpoint *ret_to)
{
	list_for_each (it, &s->sent) {
		const struct sent_datagram *d = container_of(it, struct sent_datagram, all);

		if (i-- > 0)
			continue;
		if (ret_to)
			*ret_to = d->to;
		return d->bytes;
	}
	return (struct str){ NULL, 0 };
}

void script_udp_server(struct script *s, const char *endpoint,
		       size_t (*fn)(void *arg, const uint8_t *query, size_t n, uint8_t *reply,
				    size_t max),
		       void *arg)
{
	struct udp_server *u = script_alloc(sizeof(*u));

	u->at = parse_endpoint(endpoint);
	u->fn = fn;
	u->arg = arg;
	list_add_tail(&s->udp_servers, &u->all);
}

void script_fail_nth(struct script *s, unsigned int n, int err)
{
	s->fail_at = n ? s->ops + n : 0;
	s->fail_errno = err;
}

unsigned int script_ops_done(const struct script *s)
{
	return s->ops;
}

size_t script_open_fds(const struct script *s)
{
	size_t n = 0;

	for (int i = 0; i < FDS_MAX; i++)
		n += s->fakes[i].kind != FAKE_FREE;
	return n;
}
