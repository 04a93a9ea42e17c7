/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See proxy_script.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/proxy_script.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "io/log.h"
#include "wire/dns_msg.h"

struct rig_block {
	struct rig_block *next;
	max_align_t p[];
};

static const uint8_t seed[16] = { 1, 2, 3 };

static void *rig_alloc(struct rig *g, size_t n)
{
	struct rig_block *b = calloc(1, sizeof(*b) + n);

	assert_non_null(b);
	b->next = g->blocks;
	g->blocks = b;
	return b->p;
}

/* Nobody knows of an error in the tables of a test but its author. */
static struct endpoint endpoint_of(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct endpoint e = { 0 };
	struct str host;

	if (!colon)
		fail_msg("not an endpoint: %s", text);
	host = (struct str){ text, (size_t)(colon - text) };
	if (host.n > 2 && host.p[0] == '[')
		host = (struct str){ host.p + 1, host.n - 2 };
	if (!addr_parse(host, &e.addr) || !port_parse(str_of(colon + 1), &e.port))
		fail_msg("not an endpoint: %s", text);
	return e;
}

static size_t addrs_of(const char *text, struct addr *out, size_t max)
{
	size_t n = 0;

	while (*text) {
		size_t k = strcspn(text, " ");

		if (n == max || !addr_parse((struct str){ text, k }, &out[n++]))
			fail_msg("not addresses: %s", text);
		text += k + strspn(text + k, " ");
	}
	return n;
}

/* ---- what the server asks ----------------------------------------------------------------------
 */

static struct rig *rig_of(struct server *s)
{
	return s->outside;
}

static struct rig_origin *origin_of(struct rig *g, const struct endpoint *peer)
{
	for (size_t i = 0; i < g->origin_count; i++)
		if (g->origins[i].peer.port == peer->port &&
		    addr_eq(&g->origins[i].peer.addr, &peer->addr))
			return &g->origins[i];
	return NULL;
}

static int identify(struct server *s, const struct endpoint *peer, struct origin *ret)
{
	struct rig_origin *o = origin_of(rig_of(s), peer);

	if (!o)
		return -ENOENT;
	o->held = true;
	*ret = o->origin;
	return 0;
}

static void forget(struct server *s, const struct endpoint *peer, uint64_t client)
{
	struct rig_origin *o = origin_of(rig_of(s), peer);

	if (!o || o->origin.client != client)
		return;
	rig_of(s)->forgotten++;
	o->held = false;
}

static const struct rig_name *name_of(const struct rig *g, const char *name, uint16_t type)
{
	for (size_t i = g->name_count; i-- > 0;)
		if (g->names[i].type == type && strcmp(g->names[i].name, name) == 0)
			return &g->names[i];
	return NULL;
}

/* Waits as long as the resolver takes. */
static int take_time(const struct rig_name *n, nsec_t deadline)
{
	nsec_t answers_at;
	int r;

	if (n->delay == 0)
		return 0;
	answers_at = n->delay == NSEC_NEVER ? NSEC_NEVER : loop_now(co_loop()) + n->delay;
	r = io_sleep(MIN(answers_at, deadline));
	return r < 0 ? r : answers_at > deadline ? -ETIME : 0;
}

static int fake_resolve(struct server *s, const char *name, struct answer *ret, nsec_t deadline)
{
	struct rig *g = rig_of(s);
	const struct rig_name *n = name_of(g, name, 0);
	int r;

	g->resolves++;
	if (!n)
		return -ENOENT;
	r = take_time(n, deadline);
	if (r < 0 || n->result < 0)
		return r < 0 ? r : n->result;
	*ret = n->answer;
	return 0;
}

static int fake_resolve_raw(struct server *s, const char *name, uint16_t type, struct buf *ret,
			    nsec_t deadline)
{
	struct rig *g = rig_of(s);
	const struct rig_name *n = name_of(g, name, type);
	int r;

	g->raw_resolves++;
	if (!n)
		return -ENOENT;
	r = take_time(n, deadline);
	if (r < 0 || n->result < 0)
		return r < 0 ? r : n->result;
	buf_truncate(ret, 0);
	return buf_append_str(ret, buf_str(&n->raw));
}

static int fake_socket_inside(struct server *s, uint8_t family, nsec_t deadline)
{
	struct rig *g = rig_of(s);
	const struct rig_name wait = { .delay = g->inside_delay };
	int r = take_time(&wait, deadline);

	g->inside_sockets++;
	if (r < 0 || g->inside_error)
		return r < 0 ? r : g->inside_error;
	return loop_socket(g->loop, family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM);
}

/* ---- life --------------------------------------------------------------------------------------
 */

int rig_setup(void **state)
{
	struct rig *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	/* What is logged about failures is expected in these tests. */
	log_setup("test", LOG_LEVEL_ERROR, false);
	g->names = calloc(RIG_NAMES_MAX, sizeof(*g->names));
	assert_non_null(g->names);
	g->script = script_new();
	g->loop = script_loop(g->script);
	filter_init(&g->filter);
	g->limits = (struct server_limits){
		.max_connections = 1024,
		.max_names_per_wildcard = 256,
		.dns = 5 * NSEC_PER_SEC,
		.connect = 10 * NSEC_PER_SEC,
		.first_bytes = 3 * NSEC_PER_SEC,
		.header = 10 * NSEC_PER_SEC,
		.idle = 3600 * NSEC_PER_SEC,
	};
	g->audit_fd = memfd_create("audit", MFD_CLOEXEC);
	assert_true(g->audit_fd >= 0);
	audit_init(&g->audit, g->audit_fd, "s-test", "/test", seed);
	*state = g;
	return 0;
}

void rig_start(struct rig *g)
{
	if (g->started)
		return;
	assert_int_equal(server_init(&g->server, g->loop, &g->filter, &g->audit, &g->limits, seed),
			 0);
	g->started = true;
	g->server.identify = identify;
	g->server.forget = forget;
	g->server.resolve = fake_resolve;
	g->server.resolve_raw = fake_resolve_raw;
	g->server.socket_inside = fake_socket_inside;
	g->server.outside = g;
	if (!g->no_auth)
		g->server.token = STR_LIT(RIG_TOKEN);
	g->server.self[0] = endpoint_of(RIG_LISTENER);
	g->server.self[1] = endpoint_of(RIG_DNS);
	g->server.self[2] = endpoint_of(RIG_EXPLICIT);
	g->server.self_count = 3;
	g->listener = script_listener(g->script, RIG_LISTENER);
	g->explicit_listener = script_listener(g->script, RIG_EXPLICIT);
	g->udp = script_udp(g->script, RIG_DNS);
	assert_int_equal(server_serve_tcp(&g->server, g->listener), 0);
	assert_int_equal(server_serve_explicit(&g->server, g->explicit_listener), 0);
	assert_int_equal(server_serve_dns(&g->server, g->udp), 0);
}

struct call {
	struct rig *rig;
	void (*fn)(void *arg);
	void *arg;
	nsec_t grace;
	bool over;
};

static void call_run(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	c->over = true;
	loop_stop(c->rig->loop);
}

void rig_call(struct rig *g, void (*fn)(void *arg), void *arg)
{
	struct call c = { .rig = g, .fn = fn, .arg = arg };
	int r;

	rig_start(g);
	assert_int_equal(co_spawn(g->loop, call_run, &c, NULL), 0);
	r = script_run(g->script);
	if (r < 0 || !c.over)
		fail_msg("it never returned: %s", strerror(-r));
}

static void do_drain(void *arg)
{
	struct call *c = arg;

	server_drain(&c->rig->server, c->grace);
}

void rig_drain(struct rig *g, nsec_t grace)
{
	struct call c = { .rig = g, .grace = grace };

	rig_call(g, do_drain, &c);
}

static void free_all(struct rig *g)
{
	for (size_t i = 0; i < g->name_count; i++)
		buf_done(&g->names[i].raw);
	free(g->names);
	while (g->blocks) {
		struct rig_block *b = g->blocks;

		g->blocks = b->next;
		free(b);
	}
	free(g->audit_text);
	free(g);
}

int rig_teardown(void **state)
{
	struct rig *g = *state;
	size_t held = 0;

	script_fail_nth(g->script, 0, 0);
	if (g->started) {
		rig_drain(g, 0);
		assert_int_equal(g->server.conn_count, 0);
		assert_int_equal(g->server.dns_jobs, 0);
		server_done(&g->server);
		loop_close(g->loop, &g->listener);
		loop_close(g->loop, &g->explicit_listener);
		if (g->outsider_count)
			loop_close(g->loop, &g->published_listener);
		loop_close(g->loop, &g->udp);
	}
	for (size_t i = 0; i < g->origin_count; i++)
		held += g->origins[i].held;
	assert_int_equal(held, 0);
	/* The drain's own record goes home in one more turn. */
	assert_int_equal(loop_turn(g->loop, 0), 0);
	assert_int_equal(co_count(g->loop), 0);
	script_free(g->script);
	if (g->audit.fd != g->audit_fd && g->audit.fd >= 0)
		close(g->audit.fd);
	audit_done(&g->audit);
	filter_done(&g->filter);
	close(g->audit_fd);
	free_all(g);
	*state = NULL;
	return 0;
}

struct rig *rig_renew(void **state)
{
	(void)rig_teardown(state);
	(void)rig_setup(state);
	return *state;
}

/* ---- policy and outside ------------------------------------------------------------------------
 */

static void add_domain(struct rig *g, bool deny, const char *pattern)
{
	char why[256];

	assert_false(g->started);
	if (filter_add_domain(&g->filter, deny, pattern, "test", why, sizeof(why)) < 0)
		fail_msg("%s", why);
}

void rig_allow(struct rig *g, const char *pattern)
{
	add_domain(g, false, pattern);
}

void rig_deny(struct rig *g, const char *pattern)
{
	add_domain(g, true, pattern);
}

void rig_cidr(struct rig *g, const char *text)
{
	char why[256];

	assert_false(g->started);
	if (filter_add_cidr(&g->filter, text, "test", why, sizeof(why)) < 0)
		fail_msg("%s", why);
}

void rig_no_auth(struct rig *g)
{
	assert_false(g->started);
	g->no_auth = true;
}

void rig_bind(struct rig *g, const char *name, const char *addrs)
{
	struct addr a[RESOLVE_MAX_ADDRS];
	size_t n = addrs_of(addrs, a, ARRAY_SIZE(a));

	rig_start(g);
	assert_int_equal(bindings_add(&g->server.bindings, name, a, n), 0);
}

static struct rig_name *name_new(struct rig *g, const char *name, uint16_t type, int result)
{
	struct rig_name *n = &g->names[g->name_count++];
	char *own = rig_alloc(g, strlen(name) + 1);

	assert_true(g->name_count <= RIG_NAMES_MAX);
	memcpy(own, name, strlen(name) + 1);
	*n = (struct rig_name){ .name = own, .type = type, .result = result };
	buf_init(&n->raw, 65536);
	return n;
}

struct rig_name *rig_resolves(struct rig *g, const char *name, const char *addrs, int result)
{
	struct rig_name *n = name_new(g, name, 0, result);

	n->answer.ttl = 60;
	if (addrs)
		n->answer.count = (uint16_t)addrs_of(addrs, n->answer.addrs,
						     ARRAY_SIZE(n->answer.addrs));
	return n;
}

struct rig_name *rig_resolves_raw(struct rig *g, const char *name, uint16_t type, const void *p,
				  size_t n, int result)
{
	struct rig_name *rn = name_new(g, name, type, result);
	static const uint8_t head[] = { 0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0 };
	struct buf *b = &rn->raw;
	int r = buf_append(b, head, sizeof(head));

	for (const char *at = name; p && *at;) {
		size_t k = strcspn(at, ".");

		r |= buf_append_u8(b, (uint8_t)k) | buf_append(b, at, k);
		at += k + (at[k] == '.');
	}
	r |= buf_append_u8(b, 0) | buf_append_u16(b, type) | buf_append_u16(b, 1);
	r |= buf_append_u16(b, 0xc00c) | buf_append_u16(b, type) | buf_append_u16(b, 1);
	r |= buf_append_u32(b, 86400) | buf_append_u16(b, (uint16_t)n);
	if (p)
		r |= buf_append(b, p, n);
	assert_int_equal(r, 0);
	return rn;
}

/* ---- clients -----------------------------------------------------------------------------------
 */

struct script_peer *rig_client(struct rig *g, const char *to, const struct script_step *steps)
{
	static const char from[] = "10.0.0.2";
	struct rig_origin *o = &g->origins[g->origin_count++];
	char text[64];

	assert_true(g->origin_count <= RIG_ORIGINS_MAX);
	rig_start(g);
	(void)snprintf(text, sizeof(text), "%s:%zu", from, 20000 + g->origin_count);
	if (to) {
		o->peer = endpoint_of(text);
		o->origin = (struct origin){ .to = endpoint_of(to),
					     .client = 77000 + g->origin_count,
					     .pid = 4711,
					     .uid = 1000,
					     .comm = "curl" };
	}
	return script_client(g->script, g->listener, text, steps);
}

struct script_peer *rig_explicit(struct rig *g, const struct script_step *steps)
{
	char text[64];

	rig_start(g);
	(void)snprintf(text, sizeof(text), "10.0.0.3:%zu", 20000 + ++g->explicit_count);
	return script_client(g->script, g->explicit_listener, text, steps);
}

struct script_peer *rig_outsider(struct rig *g, const struct script_step *steps)
{
	char text[64];

	rig_start(g);
	if (!g->outsider_count) {
		g->published_listener = script_listener(g->script, RIG_PUBLISHED_TEXT);
		assert_int_equal(
			server_serve_published(&g->server, g->published_listener, RIG_PUBLISHED),
			0);
		g->server.self[g->server.self_count++] = endpoint_of(RIG_PUBLISHED_TEXT);
	}
	(void)snprintf(text, sizeof(text), "127.0.0.1:%zu", 20000 + ++g->outsider_count);
	return script_client(g->script, g->published_listener, text, steps);
}

void rig_run(struct rig *g)
{
	/* The listeners wait for ever: that is how it ends. */
	assert_int_equal(script_run(g->script), -EDEADLK);
}

static void do_sleep(void *arg)
{
	(void)io_sleep(*(nsec_t *)arg);
}

void rig_run_for(struct rig *g, nsec_t time)
{
	nsec_t until = loop_now(g->loop) + time;

	rig_call(g, do_sleep, &until);
}

const struct script_step *rig_steps(struct rig *g, const struct script_step *steps, size_t n)
{
	struct script_step *own = rig_alloc(g, n * sizeof(*own));

	memcpy(own, steps, n * sizeof(*own));
	return own;
}

struct str rig_joined(struct rig *g, struct str a, struct str b)
{
	char *own = rig_alloc(g, a.n + b.n + 1);

	if (a.n)
		memcpy(own, a.p, a.n);
	if (b.n)
		memcpy(own + a.n, b.p, b.n);
	return (struct str){ own, a.n + b.n };
}

/* ---- ClientHellos ------------------------------------------------------------------------------
 */

/* A length that is not known yet, and what it counts once it is. */
static size_t open_length(struct buf *b)
{
	assert_int_equal(buf_append_u16(b, 0), 0);
	return buf_len(b);
}

static void close_length(struct buf *b, size_t at)
{
	size_t n = buf_len(b) - at;

	b->data[b->start + at - 2] = (uint8_t)(n >> 8);
	b->data[b->start + at - 1] = (uint8_t)n;
}

static void put_extensions(struct buf *b, const struct rig_hello *h)
{
	static const uint8_t versions[] = { 0, 43, 0, 5, 4, 0x7a, 0x7a, 3, 4 };
	static const uint8_t grease[] = { 0x5a, 0x5a, 0, 0 };
	size_t all = open_length(b);
	int r = buf_append(b, grease, sizeof(grease));

	if (h->sni) {
		size_t ext, list, name;

		r |= buf_append_u16(b, 0);
		ext = open_length(b);
		list = open_length(b);
		r |= buf_append_u8(b, 0);
		name = open_length(b);
		r |= buf_append_str(b, str_of(h->sni));
		close_length(b, name);
		close_length(b, list);
		close_length(b, ext);
	}
	r |= buf_append(b, versions, sizeof(versions));
	if (h->pad) {
		size_t ext;

		r |= buf_append_u16(b, 21);
		ext = open_length(b);
		for (size_t i = 0; i < h->pad; i++)
			r |= buf_append_u8(b, 0);
		close_length(b, ext);
	}
	assert_int_equal(r, 0);
	close_length(b, all);
}

static void put_message(struct buf *b, const struct rig_hello *h)
{
	size_t at;
	int r = buf_append_u16(b, 0x0100); /* client_hello, length */

	at = open_length(b);
	r |= buf_append_u16(b, 0x0303);
	for (int i = 0; i < 32; i++)
		r |= buf_append_u8(b, (uint8_t)(i * 7 + 1)); /* random */
	r |= buf_append_u8(b, 0);			     /* session id */
	r |= buf_append_u16(b, 4) | buf_append_u32(b, 0x1a1a1301);
	r |= buf_append_u16(b, 0x0100); /* compression */
	assert_int_equal(r, 0);
	put_extensions(b, h);
	close_length(b, at);
}

struct str rig_hello(struct rig *g, const struct rig_hello *h)
{
	_cleanup_buf_ struct buf message = BUF_INIT(65536);
	_cleanup_buf_ struct buf raw = BUF_INIT(65536);
	size_t most = h->record ? h->record : 16384;
	uint8_t *own;

	put_message(&message, h);
	while (buf_len(&message) > 0) {
		size_t n = MIN(buf_len(&message), most);
		int r = buf_append_u8(&raw, 22) | buf_append_u16(&raw, 0x0301) |
			buf_append_u16(&raw, (uint16_t)n) | buf_append(&raw, buf_data(&message), n);

		assert_int_equal(r, 0);
		buf_consume(&message, n);
	}
	own = rig_alloc(g, buf_len(&raw));
	memcpy(own, buf_data(&raw), buf_len(&raw));
	return (struct str){ (const char *)own, buf_len(&raw) };
}

struct str rig_hello_for(struct rig *g, const char *sni)
{
	return rig_hello(g, &(struct rig_hello){ .sni = sni });
}

/* ---- the audit ---------------------------------------------------------------------------------
 */

const char *rig_audit(struct rig *g)
{
	struct stat st;

	assert_int_equal(fstat(g->audit_fd, &st), 0);
	free(g->audit_text);
	g->audit_text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(g->audit_text);
	assert_int_equal(pread(g->audit_fd, g->audit_text, (size_t)st.st_size, 0), st.st_size);
	return g->audit_text;
}

static bool has_all(struct str line, const char *const *texts)
{
	for (; *texts; texts++)
		if (!memmem(line.p, line.n, *texts, strlen(*texts)))
			return false;
	return true;
}

/* Counts; the first goes to *ret_first. */
static size_t look_for(struct rig *g, const char *const *texts, struct str *ret_first)
{
	size_t n = 0;

	for (const char *p = rig_audit(g); *p;) {
		struct str line = { p, strcspn(p, "\n") };

		if (p[line.n] != '\n')
			fail_msg("an unfinished record: %s", p);
		if (has_all(line, texts) && n++ == 0)
			*ret_first = line;
		p += line.n + 1;
	}
	return n;
}

size_t rig_count_all(struct rig *g, const char *const *texts)
{
	struct str first;

	return look_for(g, texts, &first);
}

const char *rig_record_all(struct rig *g, const char *const *texts)
{
	struct str first;
	char *own;

	if (look_for(g, texts, &first) == 0)
		return NULL;
	own = rig_alloc(g, first.n + 1);
	memcpy(own, first.p, first.n);
	return own;
}

bool rig_audit_has(struct rig *g, const char *text)
{
	return strstr(rig_audit(g), text) != NULL;
}

void rig_audit_full(struct rig *g, bool on)
{
	if (g->audit.fd != g->audit_fd)
		close(g->audit.fd);
	g->audit.fd = on ? open("/dev/full", O_WRONLY | O_CLOEXEC) : g->audit_fd;
	assert_true(g->audit.fd >= 0);
}

/* ---- counting ----------------------------------------------------------------------------------
 */

const char *rig_dialled(struct rig *g)
{
	_cleanup_buf_ struct buf text = BUF_INIT(65536);
	const char *to;
	char *own;

	for (size_t i = 0; (to = script_dialled(g->script, i)); i++)
		assert_int_equal(buf_printf(&text, "%s ", to), 0);
	own = rig_alloc(g, buf_len(&text) + 1);
	if (buf_len(&text))
		memcpy(own, buf_data(&text), buf_len(&text));
	return own;
}

void rig_expect_sent(const struct script_peer *p, struct str want)
{
	struct str got = script_sent(p);

	if (got.n != want.n)
		fail_msg("%zu bytes instead of %zu: %.*s", got.n, want.n, (int)MIN(got.n, 300u),
			 got.p);
	assert_memory_equal(got.p, want.p, want.n);
}

/* ---- the sweep ---------------------------------------------------------------------------------
 */

/* What must be true of one connection, whatever failed. */
static void check_records(struct rig *g, unsigned int nth, int err)
{
	size_t open = rig_count(g, "\"event\":\"open\"", "\"decision\":\"allow\""),
	       deny = rig_count(g, "\"event\":\"open\"", "\"decision\":\"deny\""),
	       close = rig_count(g, "\"event\":\"close\"");
	bool one = open <= 1 && deny <= 1 && open + deny > 0;

	/* A server that greeted was let through before its client turned out to be refused. */
	if (close != open || (!g->explicit_count && !one))
		fail_msg("operation %u with %s: %zu opened, %zu refused, %zu closed:\n%s", nth,
			 strerror(err), open, deny, close, rig_audit(g));
}

static unsigned int sweep_round(void **state, void (*play)(struct rig *g), unsigned int nth,
				int err)
{
	struct rig *g = rig_renew(state);
	unsigned int ops;

	script_fail_nth(g->script, nth, err);
	play(g);
	ops = script_ops_done(g->script);
	script_fail_nth(g->script, 0, 0);
	rig_drain(g, 0);
	check_records(g, nth, err);
	return ops;
}

void rig_sweep(void **state, void (*play)(struct rig *g))
{
	static const int errors[] = { ECONNRESET, ENOMEM, EMFILE };
	unsigned int ops = sweep_round(state, play, 0, 0);

	assert_true(ops > 3 && ops < 2000);
	for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
		for (unsigned int nth = 1; nth <= ops; nth++)
			(void)sweep_round(state, play, nth, errors[e]);
}
