/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is answered:
 *
 *	name not allowed, or not a name       NXDOMAIN + EDE 15 (Blocked), without SOA so that nothing
 *	                                      is cached for long
 *	an address of it is refused           the same, with that reason
 *	A, AAAA                               the real addresses, each checked; both families are
 *	                                      asked, one bad one refuses the name
 *	HTTPS, SVCB                           no data: no ECH, no hints for HTTP/3
 *	SRV, MX, TXT, CAA                     passed on; the names in them need rules of their own
 *	PTR                                   from the bindings
 *	localhost                             127.0.0.1, ::1
 *	anything else                         no data + EDE 21 (Not Supported)
 *	resolver silent or broken             SERVFAIL + EDE 22 / 23
 *	a cap is reached                      SERVFAIL + EDE 0 with the explanation
 */
#include "proxy/dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/lookup.h"

#define TTL_BOUND      60 /* for what we answer ourselves */
#define MAX_JOBS       256
#define QUERY_MAX      4096
#define RAW_ANSWER_MAX 16384
#define STREAM_IDLE    (30 * NSEC_PER_SEC)
#define PAUSE	       (100 * NSEC_PER_MSEC)

/* One query on its way to an answer. */
struct question {
	struct server *server;
	const struct origin *who;
	struct dns_query query;
	struct dns_answer answer;
	struct host host;
	const struct rule *rule;
};

static void record(const struct question *q, enum reason reason, const struct addr *addr)
{
	struct event e = EVENT_INIT;

	e.mode = MODE_DNS;
	e.target = q->host.name[0] ? q->host.name : q->query.name.text;
	e.reason = reason;
	e.rule = q->rule ? q->rule->text : NULL;
	if (addr)
		e.resolved_ip = *addr;
	if (q->who) {
		e.pid = (int32_t)q->who->pid;
		e.uid = q->who->uid;
		e.comm = q->who->comm;
	}
	if (reason) {
		audit_refusal(q->server->audit, &e, loop_now(q->server->loop));
		return;
	}
	e.allow = true;
	audit_note(q->server->audit, &e);
}

/* What the sandboxed program's person reads in dig: the sentence, and the option that would allow
 * it. */
static void explain(struct question *q, enum dns_ede ede, enum reason reason)
{
	char sentence[256], hint[300], text[600];
	const char *target = q->host.name[0] ? q->host.name : q->query.name.text;

	reason_sentence(reason, target, sentence, sizeof(sentence));
	reason_hint(reason, target, 0, hint, sizeof(hint));
	(void)snprintf(text, sizeof(text), "%s: %s%s%s", reason_word(reason), sentence,
		       hint[0] ? "; " : "", hint);
	dns_answer_ede(&q->answer, ede, text);
}

static void refuse(struct question *q, enum reason reason, const struct addr *addr)
{
	dns_answer_rcode(&q->answer, DNS_NXDOMAIN);
	explain(q, DNS_EDE_BLOCKED, reason);
	record(q, reason, addr);
}

/* A name that is allowed could not be looked up. */
static void fail(struct question *q, enum reason reason)
{
	enum dns_ede ede = DNS_EDE_NETWORK_ERROR;

	switch (reason) {
	case REASON_DNS_NO_ADDRESS:
		return; /* no data: a plain, empty answer */
	case REASON_UPSTREAM_TIMEOUT:
		ede = DNS_EDE_NO_REACHABLE_AUTHORITY;
		break;
	case REASON_RATE_LIMITED:
		ede = DNS_EDE_OTHER;
		break;
	default:
		break;
	}
	dns_answer_rcode(&q->answer, DNS_SERVFAIL);
	explain(q, ede, reason);
	record(q, reason, NULL);
}

/* Both families at once, whichever was asked: a name is as good as the worst of its addresses. */
static void answer_addresses(struct question *q)
{
	uint8_t family = q->query.qtype == DNS_A ? 4 : 6;
	struct lookup found;
	enum reason reason = lookup_name(q->server, q->host.name, 0, q->rule, &found);

	if (found.no_such_name) {
		dns_answer_rcode(&q->answer, DNS_NXDOMAIN);
		return;
	}
	if (found.bad.family)
		return refuse(q, reason, &found.bad);
	if (reason)
		return fail(q, reason);
	for (size_t i = 0; i < found.answer.count; i++)
		if (found.answer.addrs[i].family == family)
			dns_answer_addr(&q->answer, found.answer.ttl, &found.answer.addrs[i]);
	if (found.first_time)
		record(q, REASON_NONE, NULL);
}

static void copy_records(struct question *q, const struct buf *raw)
{
	struct dns_reader r;
	struct dns_rr rr;

	if (!dns_reader_open(&r, buf_data(raw), buf_len(raw))) {
		fail(q, REASON_DNS_FAILED);
		return;
	}
	while (dns_reader_next(&r, &rr) > 0) {
		uint8_t rdata[4096];
		int n;

		if (rr.type != q->query.qtype || rr.class != 1)
			continue;
		n = dns_rr_rdata(&r, &rr, rdata, sizeof(rdata));
		if (n >= 0)
			dns_answer_raw(&q->answer, rr.type, MIN(MAX(rr.ttl, 1u), 300u), rdata,
				       (size_t)n);
	}
}

static void answer_passed_on(struct question *q)
{
	_cleanup_buf_ struct buf raw = BUF_INIT(RAW_ANSWER_MAX);
	enum reason reason = lookup_admit(q->server, q->host.name, q->rule);
	int r;

	if (reason)
		return fail(q, reason);
	r = q->server->resolve_raw(q->server, q->host.name, q->query.qtype, &raw,
				   loop_now(q->server->loop) + q->server->limits.dns);
	switch (r) {
	case 0:
		return copy_records(q, &raw);
	case -ENOENT:
		dns_answer_rcode(&q->answer, DNS_NXDOMAIN);
		return;
	case -ENODATA:
		return;
	case -ETIME:
	case -ETIMEDOUT:
		return fail(q, REASON_UPSTREAM_TIMEOUT);
	default:
		return fail(q, REASON_DNS_FAILED);
	}
}

static void answer_reverse(struct question *q, const struct addr *a)
{
	const struct bound_addr *bound = bindings_by_addr(&q->server->bindings, a);

	if (!bound) {
		dns_answer_rcode(&q->answer, DNS_NXDOMAIN);
		return;
	}
	for (size_t i = 0; i < bound->count && q->query.qtype == DNS_PTR; i++)
		dns_answer_name(&q->answer, DNS_PTR, TTL_BOUND, bound->names[i]->name);
}

static void answer_localhost(struct question *q)
{
	struct addr loopback6 = { .family = 6, .b = { [15] = 1 } };
	struct addr loopback4 = addr_v4(INADDR_LOOPBACK);

	if (q->query.qtype == DNS_A)
		dns_answer_addr(&q->answer, TTL_BOUND, &loopback4);
	if (q->query.qtype == DNS_AAAA)
		dns_answer_addr(&q->answer, TTL_BOUND, &loopback6);
}

static void answer_allowed(struct question *q)
{
	switch (q->query.qtype) {
	case DNS_A:
	case DNS_AAAA:
		return answer_addresses(q);
	case DNS_HTTPS:
	case DNS_SVCB:
		return;
	case DNS_SRV:
	case DNS_MX:
	case DNS_TXT:
	case DNS_CAA:
		return answer_passed_on(q);
	default:
		dns_answer_ede(&q->answer, DNS_EDE_NOT_SUPPORTED,
			       "this record type is not answered in the sandbox");
	}
}

static void answer_question(struct question *q)
{
	struct verdict v;
	struct addr reverse;

	if (q->query.qclass != 1) {
		dns_answer_rcode(&q->answer, DNS_NOTIMP);
		return;
	}
	if (dns_reverse_addr(&q->query.name, &reverse))
		return answer_reverse(q, &reverse);
	if (q->query.name.odd || q->query.name.len == 0 ||
	    !host_parse_ascii((struct str){ q->query.name.text, q->query.name.len }, &q->host))
		return refuse(q, REASON_NAME_INVALID, NULL);
	if (strcmp(q->host.name, "localhost") == 0 || name_is_below(q->host.name, "localhost"))
		return answer_localhost(q);
	if (q->host.is_addr)
		return refuse(q, REASON_NAME_INVALID, NULL); /* an address is never asked for */
	filter_check_name(q->server->filter, &q->host, &v);
	q->rule = v.rule;
	if (!v.allowed)
		return refuse(q, v.reason, NULL);
	answer_allowed(q);
}

size_t dns_respond(struct server *s, const struct origin *who, const uint8_t *query, size_t n,
		   uint8_t *out, size_t cap)
{
	struct question q = { .server = s, .who = who };
	enum dns_query_state state = dns_query_parse(query, n, &q.query);
	bool stream = cap > DNS_UDP_MAX;

	if (state == DNS_QUERY_DROP)
		return 0;
	if (!stream && state == DNS_QUERY_OK)
		cap = MIN(cap, (size_t)MAX(q.query.udp_size, DNS_UDP_MIN));
	dns_answer_begin(&q.answer, &q.query, DNS_NOERROR, out, cap);
	switch (state) {
	case DNS_QUERY_OK:
		answer_question(&q);
		break;
	case DNS_QUERY_NOTIMP:
		dns_answer_rcode(&q.answer, DNS_NOTIMP);
		break;
	case DNS_QUERY_BADVERS:
		dns_answer_rcode(&q.answer, DNS_BADVERS);
		break;
	case DNS_QUERY_FORMERR:
	case DNS_QUERY_DROP:
		dns_answer_rcode(&q.answer, DNS_FORMERR);
		break;
	}
	return dns_answer_end(&q.answer);
}

void dns_serve_stream(struct server *s, int fd, const struct origin *who)
{
	_cleanup_free_ uint8_t *out = malloc(2 + DNS_MESSAGE_MAX);
	_cleanup_free_ uint8_t *query = malloc(QUERY_MAX);
	uint8_t length[2];

	while (out && query) {
		nsec_t deadline = loop_now(s->loop) + STREAM_IDLE;
		size_t n;

		if (io_recv_exact(fd, length, 2, deadline) < 0)
			return;
		n = (size_t)(length[0] << 8 | length[1]);
		if (n > QUERY_MAX || io_recv_exact(fd, query, n, deadline) < 0)
			return;
		n = dns_respond(s, who, query, n, out + 2, DNS_MESSAGE_MAX);
		if (n == 0)
			return;
		out[0] = (uint8_t)(n >> 8);
		out[1] = (uint8_t)n;
		if (io_send_all(fd, out, n + 2, loop_now(s->loop) + STREAM_IDLE) < 0)
			return;
	}
}

/* A datagram that waits for its answer in a coroutine of its own. */
struct job {
	struct task task;
	struct sockaddr_storage from;
	socklen_t from_len;
	size_t n;
	uint8_t query[];
};

static void job_run(struct task *t)
{
	struct job *j = container_of(t, struct job, task);
	uint8_t out[DNS_UDP_MAX];
	size_t n = dns_respond(t->server, NULL, j->query, j->n, out, sizeof(out));

	if (n)
		(void)io_sendto(t->fd, out, n, &j->from, j->from_len,
				loop_now(t->server->loop) + NSEC_PER_SEC);
	t->server->dns_jobs--;
}

static void job_start(struct task *t, const struct sockaddr_storage *from, socklen_t from_len,
		      const uint8_t *p, size_t n)
{
	struct job *j;

	if (t->server->dns_jobs >= MAX_JOBS)
		return; /* the client asks again */
	j = malloc(sizeof(*j) + n);
	if (!j)
		return;
	j->task = (struct task){ .fd = t->fd };
	j->from = *from;
	j->from_len = from_len;
	j->n = n;
	memcpy(j->query, p, n);
	t->server->dns_jobs++;
	if (task_begin(t->server, &j->task, job_run) < 0)
		t->server->dns_jobs--;
}

void dns_serve_datagrams(struct task *t)
{
	for (;;) {
		uint8_t query[QUERY_MAX];
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		ssize_t n = io_recvfrom(t->fd, query, sizeof(query), &from, &from_len, NSEC_NEVER);

		if (n == -ECANCELED || n == -EBADF)
			return;
		if (n > 0)
			job_start(t, &from, from_len, query, (size_t)n);
		/* An error that stays must not spin. */
		if (n < 0 && io_sleep(loop_now(t->server->loop) + PAUSE) == -ECANCELED)
			return;
	}
}
