/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver: c-ares with the loop's descriptors and time, and before it a table of flights.
 *
 * A flight is one name: being asked, or known (the cache). Whoever wants the name waits at the
 * flight; there is one per name, so equal questions are asked once. When the last one stops
 * waiting the question goes on; its answer is kept like any other, since the cost is paid
 * already.
 *
 *	                 answer                            expired, or pushed out by newer ones
 *	asked (asking) ----------> known (in `lru`) ------------------------------------------> gone
 *	               ----------> gone: failures and, without a cache, everything
 *
 * c-ares is a library with callbacks, which may come from within the very call that asks. So they
 * only store a result and complete the ops of those who wait; nobody is resumed, and nothing
 * calls back into c-ares, from within one.
 *
 * Its sockets are the loop's: c-ares makes, uses and closes them through functions of ours, so
 * that whatever stands behind the loop sees them too, and a descriptor is closed only after its
 * last op has come home.
 *
 * Names are absolute. No search list, no HOSTALIASES: the name that was decided about is the name
 * that is asked.
 */
#include "io/resolver.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/map.h"

#define ASKING_MAX   1024 /* questions at a time */
#define EDNS_SIZE    1232 /* never fragmented */
#define TTL_MIN	     1
#define TTL_MAX	     300
#define NEGATIVE_TTL 5
#define RAW_MAX	     65535
#define TIMER_MIN    NSEC_PER_MSEC

struct resolver {
	struct loop *loop;
	ares_channel channel;
	nsec_t timeout;
	size_t cache_entries;
	struct map names; /* name -> struct flight */
	struct list lru;  /* known ones, those used last first */
	size_t known;
	size_t asking; /* questions in c-ares' hands */
	struct list sockets;
	struct op timer;
	size_t flying; /* ops in flight */
	bool dead;     /* freed, as soon as the ops are home */
};

/* A descriptor that c-ares works with. */
struct ares_sock {
	struct list link;
	struct resolver *resolver;
	struct op in, out;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	int fd;
	uint8_t flying;
	bool want_in, want_out, closing, busy;
};

struct flight {
	struct resolver *resolver;
	struct list lru;
	struct list waiters;
	bool asking, listed; /* listed: in `names` */
	int res;
	nsec_t expires;
	struct answer answer;
	char name[];
};

struct waiter {
	struct list link;
	struct op op;
};

/* A question that is not shared. */
struct raw {
	struct resolver *resolver;
	struct op *waiter; /* NULL: nobody waits any more */
	bool asking;
	int res;
	struct buf msg;
};

static int error_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENODATA:
		return -ENODATA;
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return -ENOENT;
	case ARES_ETIMEOUT:
		return -ETIMEDOUT;
	case ARES_ECANCELLED:
	case ARES_EDESTRUCTION:
		return -ECANCELED;
	default:
		return -EIO;
	}
}

/* ---- c-ares' time ---- */

static void timer_done(struct op *op);

static void update_timer(struct resolver *r)
{
	struct timeval tv, *next = r->dead ? NULL : ares_timeout(r->channel, NULL, &tv);
	nsec_t at;

	if (!next) {
		loop_cancel(r->loop, &r->timer);
		return;
	}
	at = loop_now(r->loop) + MAX(next->tv_sec * NSEC_PER_SEC + next->tv_usec * 1000, TIMER_MIN);
	if (!r->timer.done) {
		r->timer = (struct op){
			.done = timer_done, .owner = r, .kind = OP_TIMER, .deadline = at
		};
		r->flying++;
		loop_submit(r->loop, &r->timer);
	} else if (r->timer.deadline > at) {
		loop_cancel(r->loop, &r->timer); /* it comes home and is set anew */
	}
}

/* The last op of a resolver that was freed. */
static void settle(struct resolver *r)
{
	if (r->dead && r->flying == 0 && list_empty(&r->sockets))
		free(r);
}

static void timer_done(struct op *op)
{
	struct resolver *r = op->owner;

	r->flying--;
	op->done = NULL;
	if (!r->dead) {
		if (op->res == -ETIME)
			ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
		update_timer(r);
	}
	settle(r);
}

/* ---- c-ares' sockets ---- */

static struct ares_sock *sock_find(struct resolver *r, int fd)
{
	list_for_each (it, &r->sockets) {
		struct ares_sock *s = container_of(it, struct ares_sock, link);

		if (s->fd == fd && !s->closing)
			return s;
	}
	return NULL;
}

static void sock_done(struct op *op);

static void sock_arm(struct ares_sock *s, struct op *op, enum op_kind kind)
{
	if (op->done)
		return;
	*op = (struct op){
		.done = sock_done,
		.owner = s,
		.kind = (uint8_t)kind,
		.fd = s->fd,
		.deadline = NSEC_NEVER,
	};
	s->flying++;
	s->resolver->flying++;
	loop_submit(s->resolver->loop, op);
}

/* Does what is due after anything happened to the socket. It may be gone afterwards. */
static void sock_update(struct ares_sock *s)
{
	if (s->busy)
		return;
	if (!s->closing) {
		if (s->want_in)
			sock_arm(s, &s->in, OP_POLL_IN);
		if (s->want_out)
			sock_arm(s, &s->out, OP_POLL_OUT);
	} else if (s->flying == 0) {
		loop_close(s->resolver->loop, &s->fd);
		list_del(&s->link);
		free(s);
	}
}

static void sock_done(struct op *op)
{
	struct ares_sock *s = op->owner;
	struct resolver *r = s->resolver;
	bool in = op == &s->in;

	op->done = NULL;
	s->flying--;
	r->flying--;
	if (op->res < 0) {
		/* Left to c-ares' time-out. */
		s->want_in = s->want_out = false;
	} else if (!s->closing && (in ? s->want_in : s->want_out)) {
		s->busy = true;
		ares_process_fd(r->channel, in ? s->fd : ARES_SOCKET_BAD,
				in ? ARES_SOCKET_BAD : s->fd);
		s->busy = false;
	}
	sock_update(s);
	update_timer(r);
	settle(r);
}

static void on_sock_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct ares_sock *s = sock_find(data, fd);

	if (!s)
		return;
	s->want_in = readable;
	s->want_out = writable;
	sock_update(s);
}

static int fail_errno(int r)
{
	errno = -r;
	return -1;
}

static ares_socket_t on_socket(int family, int type, _unused_ int protocol, void *data)
{
	struct resolver *r = data;
	struct ares_sock *s = calloc(1, sizeof(*s));

	if (!s)
		return fail_errno(-ENOMEM);
	s->fd = loop_socket(r->loop, family, type);
	if (s->fd < 0) {
		int e = s->fd;

		free(s);
		return fail_errno(e);
	}
	s->resolver = r;
	list_add_tail(&r->sockets, &s->link);
	return s->fd;
}

static int on_close(ares_socket_t fd, void *data)
{
	struct resolver *r = data;
	struct ares_sock *s = sock_find(r, fd);

	if (!s)
		return fail_errno(-EBADF);
	s->closing = true;
	if (s->in.done)
		loop_cancel(r->loop, &s->in);
	if (s->out.done)
		loop_cancel(r->loop, &s->out);
	sock_update(s);
	return 0;
}

static int on_connect(ares_socket_t fd, const struct sockaddr *sa, ares_socklen_t n, void *data)
{
	struct resolver *r = data;
	struct ares_sock *s = sock_find(r, fd);
	int e;

	if (!s || n > sizeof(s->peer))
		return fail_errno(-EBADF);
	memcpy(&s->peer, sa, n);
	s->peer_len = n;
	e = loop_backend(r->loop)->connect(r->loop, fd, sa, n);
	return e < 0 ? fail_errno(e) : 0;
}

/* The socket is connected, so what arrives is from its peer, and that is what c-ares compares. */
static ares_ssize_t on_recvfrom(ares_socket_t fd, void *p, size_t n, _unused_ int flags,
				struct sockaddr *from, ares_socklen_t *from_len, void *data)
{
	struct resolver *r = data;
	struct ares_sock *s = sock_find(r, fd);
	ssize_t k;

	if (!s)
		return fail_errno(-EBADF);
	k = loop_backend(r->loop)->recv(r->loop, fd, p, n);
	if (k < 0)
		return fail_errno((int)k);
	if (from && from_len) {
		*from_len = MIN(*from_len, s->peer_len);
		memcpy(from, &s->peer, *from_len);
	}
	return k;
}

static ares_ssize_t on_sendv(ares_socket_t fd, const struct iovec *iov, int n, void *data)
{
	struct resolver *r = data;
	ssize_t k;

	/* A datagram is one piece; of a stream the first is a short write. */
	k = n > 0 ? loop_backend(r->loop)->send(r->loop, fd, iov[0].iov_base, iov[0].iov_len) : 0;
	return k < 0 ? fail_errno((int)k) : k;
}

static const struct ares_socket_functions socket_functions = {
	.asocket = on_socket,
	.aclose = on_close,
	.aconnect = on_connect,
	.arecvfrom = on_recvfrom,
	.asendv = on_sendv,
};

/* ---- flights ---- */

static void flight_settle(struct flight *f)
{
	if (!f->listed && !f->asking && list_empty(&f->waiters))
		free(f);
}

/* Nobody will find it any more. It may be gone afterwards. */
static void flight_forget(struct flight *f)
{
	struct resolver *r = f->resolver;

	if (f->listed)
		(void)map_del(&r->names, str_of(f->name));
	f->listed = false;
	if (!list_empty(&f->lru)) {
		list_del(&f->lru);
		r->known--;
	}
	flight_settle(f);
}

/* The answer has come: it is kept, or forgotten with the last who waits for it. */
static void flight_land(struct flight *f)
{
	struct resolver *r = f->resolver;
	bool negative = f->res == -ENOENT || f->res == -ENODATA;

	f->asking = false;
	r->asking--;
	list_for_each (it, &f->waiters)
		loop_complete(r->loop, &container_of(it, struct waiter, link)->op, 0);
	if (r->cache_entries == 0 || (f->res < 0 && !negative)) {
		flight_forget(f);
		return;
	}
	f->expires = loop_now(r->loop) +
		     (negative ? NEGATIVE_TTL : (nsec_t)f->answer.ttl) * NSEC_PER_SEC;
	list_add_head(&r->lru, &f->lru);
	r->known++;
	if (r->known > r->cache_entries)
		flight_forget(container_of(r->lru.prev, struct flight, lru));
}

static bool addr_of_node(const struct ares_addrinfo_node *node, struct addr *ret)
{
	struct endpoint e;

	if (!endpoint_from_sockaddr(node->ai_addr, &e))
		return false;
	*ret = e.addr;
	return true;
}

static void read_addrinfo(const struct ares_addrinfo *ai, struct answer *a)
{
	int ttl = TTL_MAX;

	for (const struct ares_addrinfo_node *n = ai->nodes; n; n = n->ai_next) {
		ttl = MIN(ttl, n->ai_ttl);
		if (a->count == RESOLVE_MAX_ADDRS)
			a->truncated = true;
		else if (addr_of_node(n, &a->addrs[a->count]))
			a->count++;
	}
	for (const struct ares_addrinfo_cname *c = ai->cnames; c; c = c->next)
		ttl = MIN(ttl, c->ttl);
	a->ttl = (uint32_t)MAX(ttl, TTL_MIN);
}

static void on_addrinfo(void *arg, int status, _unused_ int timeouts, struct ares_addrinfo *ai)
{
	struct flight *f = arg;

	f->res = error_of(status);
	if (f->res == 0) {
		read_addrinfo(ai, &f->answer);
		if (f->answer.count == 0)
			f->res = -ENODATA;
	}
	if (ai)
		ares_freeaddrinfo(ai);
	flight_land(f);
}

static int flight_new(struct resolver *r, const char *name, struct flight **ret)
{
	size_t n = strlen(name) + 1;
	struct flight *f;
	int e;

	if (r->asking >= ASKING_MAX)
		return -EIO;
	f = calloc(1, sizeof(*f) + n);
	if (!f)
		return -EIO;
	memcpy(f->name, name, n);
	f->resolver = r;
	list_init(&f->lru);
	list_init(&f->waiters);
	e = map_put(&r->names, str_of(name), f);
	if (e < 0) {
		free(f);
		return -EIO;
	}
	f->listed = true;
	*ret = f;
	return 0;
}

/* Waits for an event of this resolver; its own time limit is told as -ETIMEDOUT, the caller's as
 * -ETIME. */
static int wait_event(struct resolver *r, struct op *op, nsec_t deadline)
{
	nsec_t own = loop_now(r->loop) + r->timeout;
	int e;

	op->kind = OP_EVENT;
	op->deadline = MIN(deadline, own);
	e = co_await (op);
	return e == -ETIME && own < deadline ? -ETIMEDOUT : e;
}

/* Not inlined, or gcc 12 warns of the address of a local that stays behind; it does not. */
static __attribute__((noinline)) void flight_join(struct flight *f, struct waiter *w)
{
	list_add_tail(&f->waiters, &w->link);
}

/* The caller is among the waiters meanwhile, so that the flight stays. */
static int flight_wait(struct flight *f, struct answer *ret, nsec_t deadline)
{
	struct waiter w = { 0 };
	int e = 0;

	flight_join(f, &w);
	if (f->asking)
		e = wait_event(f->resolver, &w.op, deadline);
	if (e == 0) {
		e = f->res;
		if (e == 0)
			*ret = f->answer;
	}
	list_del(&w.link);
	flight_settle(f);
	return e;
}

/* A known name that has not expired, or one that is being asked; NULL otherwise. */
static struct flight *flight_find(struct resolver *r, const char *name)
{
	struct flight *f = map_get(&r->names, str_of(name));

	if (!f || f->asking)
		return f;
	if (f->expires <= loop_now(r->loop)) {
		flight_forget(f);
		return NULL;
	}
	list_del(&f->lru);
	list_add_head(&r->lru, &f->lru);
	return f;
}

int resolve(struct resolver *r, const char *name, struct answer *ret, nsec_t deadline)
{
	static const struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
							  .ai_family = AF_UNSPEC,
							  .ai_socktype = SOCK_STREAM };
	struct waiter keep = { 0 };
	struct flight *f;
	int e;

	if (co_cancelled())
		return -ECANCELED;
	f = flight_find(r, name);
	if (f)
		return flight_wait(f, ret, deadline);
	e = flight_new(r, name, &f);
	if (e < 0)
		return e;
	/* It may land, and be forgotten, before the call returns. */
	flight_join(f, &keep);
	f->asking = true;
	r->asking++;
	ares_getaddrinfo(r->channel, f->name, NULL, &hints, on_addrinfo, f);
	update_timer(r);
	list_del(&keep.link);
	return flight_wait(f, ret, deadline);
}

/* ---- other questions ---- */

static void raw_settle(struct raw *q)
{
	if (q->asking || q->waiter)
		return;
	buf_done(&q->msg);
	free(q);
}

static void on_message(void *arg, int status, _unused_ int timeouts, unsigned char *msg, int n)
{
	struct raw *q = arg;

	q->asking = false;
	q->resolver->asking--;
	q->res = error_of(status);
	if (q->res == 0 && (n <= 0 || buf_append(&q->msg, msg, (size_t)n) < 0))
		q->res = -EIO;
	if (q->waiter)
		loop_complete(q->resolver->loop, q->waiter, 0);
	raw_settle(q);
}

int resolve_raw(struct resolver *r, const char *name, uint16_t type, struct buf *ret,
		nsec_t deadline)
{
	struct op op = { 0 };
	struct raw *q;
	int e = 0;

	if (co_cancelled())
		return -ECANCELED;
	if (r->asking >= ASKING_MAX)
		return -EIO;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -EIO;
	*q = (struct raw){ .resolver = r, .waiter = &op, .asking = true };
	buf_init(&q->msg, RAW_MAX);
	r->asking++;
	ares_query(r->channel, name, ns_c_in, type, on_message, q);
	update_timer(r);
	if (q->asking)
		e = wait_event(r, &op, deadline);
	if (e == 0)
		e = q->res;
	if (e == 0) {
		buf_consume(ret, buf_len(ret));
		if (buf_append(ret, buf_data(&q->msg), buf_len(&q->msg)) < 0)
			e = -EIO;
	}
	q->waiter = NULL;
	raw_settle(q);
	return e;
}

/* ---- life ---- */

static int open_channel(struct resolver *r, const struct resolver_config *cfg)
{
	char dns[] = "b", hosts_and_dns[] = "fb";
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
		/* c-ares doubles it for the second round: together one look-up's time. */
		.timeout = (int)MIN(MAX(cfg->timeout / 3 / NSEC_PER_MSEC, 1), 60000),
		.tries = 2,
		.ndots = 0,
		.ndomains = 0,
		.lookups = cfg->hosts_file ? hosts_and_dns : dns,
		.sock_state_cb = on_sock_state,
		.sock_state_cb_data = r,
		.ednspsz = EDNS_SIZE,
	};
	int status = ares_init_options(&r->channel, &o,
				       ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					       ARES_OPT_NDOTS | ARES_OPT_DOMAINS |
					       ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
					       ARES_OPT_EDNSPSZ);

	if (status != ARES_SUCCESS)
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	ares_set_socket_functions(r->channel, &socket_functions, r);
	if (cfg->servers && ares_set_servers_ports_csv(r->channel, cfg->servers) != ARES_SUCCESS) {
		ares_destroy(r->channel);
		return -EINVAL;
	}
	return 0;
}

int resolver_new(struct loop *l, const struct resolver_config *cfg, struct resolver **ret)
{
	static bool library_ready;
	struct resolver *r;
	int e;

	if (!library_ready && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -EIO;
	library_ready = true;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->loop = l;
	r->timeout = cfg->timeout;
	r->cache_entries = cfg->cache_entries;
	list_init(&r->lru);
	list_init(&r->sockets);
	map_init(&r->names, cfg->cache_entries + 1 + ASKING_MAX, cfg->seed);
	e = open_channel(r, cfg);
	if (e < 0) {
		map_done(&r->names, NULL);
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	/* Tells everything that is still asked, which forgets itself; closes the sockets. */
	ares_destroy(r->channel);
	while (!list_empty(&r->lru))
		flight_forget(container_of(r->lru.next, struct flight, lru));
	assert(map_count(&r->names) == 0 && r->asking == 0);
	map_done(&r->names, NULL);
	r->dead = true;
	update_timer(r);
	settle(r);
}
