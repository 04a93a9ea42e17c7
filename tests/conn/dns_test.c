/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The responder: what is answered, what never reaches a resolver, and what is on record of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "proxy/dns.h"
#include "tests/support/proxy_script.h"

#define OPEN  "\"event\":\"open\""
#define ALLOW "\"decision\":\"allow\""
#define DENY  "\"decision\":\"deny\""
#define DNSM  "\"mode\":\"dns\""

/* ---- queries and answers -----------------------------------------------------------------------
 */

struct query {
	size_t n;
	uint8_t p[600];
};

static void put16(struct query *q, unsigned int v)
{
	q->p[q->n++] = (uint8_t)(v >> 8);
	q->p[q->n++] = (uint8_t)v;
}

/* `udp`: the size that EDNS announces; 0: no EDNS. */
static struct query query_for(const char *name, uint16_t type, uint16_t udp)
{
	struct query q = { .n = 0 };

	put16(&q, 0xbeef);
	put16(&q, 0x0100);
	put16(&q, 1);
	put16(&q, 0);
	put16(&q, 0);
	put16(&q, udp ? 1 : 0);
	for (const char *at = name; *at;) {
		size_t k = strcspn(at, ".");

		q.p[q.n++] = (uint8_t)k;
		memcpy(q.p + q.n, at, k);
		q.n += k;
		at += k + (at[k] == '.');
	}
	q.p[q.n++] = 0;
	put16(&q, type);
	put16(&q, 1);
	if (udp) {
		q.p[q.n++] = 0;
		put16(&q, DNS_OPT);
		put16(&q, udp);
		memset(q.p + q.n, 0, 6);
		q.n += 6;
	}
	return q;
}

struct reply {
	size_t n;
	uint8_t p[DNS_MESSAGE_MAX];
	unsigned int rcode, count, authorities;
	bool tc;
	int ede; /* -1: none */
	char ede_text[200];
	uint32_t ttl;	  /* of the first record */
	char addrs[2000]; /* of A and AAAA records, separated by blanks */
	char names[400];  /* of PTR records */
};

/* Blanks between. */
static void append(char *list, size_t size, const char *text)
{
	size_t n = strlen(list);

	(void)snprintf(list + n, size - n, "%s%s", n ? " " : "", text);
}

static void read_record(struct reply *r, struct dns_reader *rd, const struct dns_rr *rr)
{
	struct addr a = { .family = rr->type == DNS_A ? 4 : 6 };
	char text[ADDR_TEXT_MAX];
	struct dns_name name;
	size_t next;

	if (r->count++ == 0)
		r->ttl = rr->ttl;
	if (rr->type == DNS_A || rr->type == DNS_AAAA) {
		memcpy(a.b, r->p + rr->rdata_at, rr->rdata_len);
		append(r->addrs, sizeof(r->addrs), addr_text(&a, text));
	}
	if (rr->type == DNS_PTR && dns_name_read(rd->msg, rd->n, rr->rdata_at, &name, &next))
		append(r->names, sizeof(r->names), name.text);
}

/* The OPT record stands last; ours has at most the one option. */
static void read_opt(struct reply *r, size_t at)
{
	const uint8_t *p = r->p + at;
	size_t n;

	if (r->p[11] == 0)
		return;
	assert_true(at + 11 <= r->n && p[0] == 0 && p[1] == 0 && p[2] == DNS_OPT);
	r->rcode |= (unsigned int)p[5] << 4;
	n = (size_t)(p[9] << 8 | p[10]);
	assert_int_equal(at + 11 + n, r->n);
	if (n < 6)
		return;
	assert_true(p[11] == 0 && p[12] == 15);
	r->ede = p[15] << 8 | p[16];
	(void)snprintf(r->ede_text, sizeof(r->ede_text), "%.*s", (int)(n - 6), p + 17);
}

static void reply_read(struct reply *r)
{
	struct dns_reader rd;
	struct dns_rr rr;
	int more;

	r->count = 0;
	r->addrs[0] = r->names[0] = r->ede_text[0] = '\0';
	assert_true(r->n >= 12);
	assert_int_equal(r->p[0] << 8 | r->p[1], 0xbeef);
	r->rcode = r->p[3] & 15;
	r->tc = r->p[2] & 2;
	r->authorities = (unsigned int)(r->p[8] << 8 | r->p[9]);
	r->ede = -1;
	if (r->p[2] >> 3 & 15) /* the reader takes answers to queries only */
		return;
	assert_true(dns_reader_open(&rd, r->p, r->n));
	while ((more = dns_reader_next(&rd, &rr)) > 0)
		read_record(r, &rd, &rr);
	assert_int_equal(more, 0);
	read_opt(r, rd.at);
}

struct ask {
	struct rig *g;
	const struct query *q;
	struct reply *reply;
	size_t cap;
	nsec_t took;
};

static void do_ask(void *arg)
{
	static const struct origin who = { .pid = 4711, .uid = 1000, .comm = "curl" };
	struct ask *a = arg;
	nsec_t begun = loop_now(a->g->loop);

	a->reply->n = dns_respond(&a->g->server, &who, a->q->p, a->q->n, a->reply->p, a->cap);
	a->took = loop_now(a->g->loop) - begun;
}

/* A query through the responder; the reply lives until the next one. */
static struct reply *ask_with(struct rig *g, const struct query *q, size_t cap, nsec_t *ret_took)
{
	static struct reply reply;
	struct ask a = { .g = g, .q = q, .reply = &reply, .cap = cap };

	rig_call(g, do_ask, &a);
	if (reply.n)
		reply_read(&reply);
	if (ret_took)
		*ret_took = a.took;
	return &reply;
}

static struct reply *ask(struct rig *g, const char *name, uint16_t type)
{
	struct query q = query_for(name, type, 1232);

	return ask_with(g, &q, DNS_UDP_MAX, NULL);
}

/* ---- refusals ----------------------------------------------------------------------------------
 */

static void test_refused_names_never_reach_the_resolver(void **state)
{
	static const struct {
		const char *name, *reason;
	} rows[] = {
		{ "evil.example", "host_not_allowed" },
		{ "test", "host_not_allowed" },
		{ "a.test.evil.example", "host_not_allowed" },
		{ "xallowed.test", "host_not_allowed" },
		{ "denied.wild.test", "host_denied" },
		{ "DENIED.wild.test", "host_denied" },
		{ "metadata.google.internal", "metadata_address" },
		{ "METADATA.google.internal", "metadata_address" },
		{ "2852039166", "name_invalid" },
		{ "169.254.169.254", "name_invalid" },
		{ "0xa9fea9fe", "name_invalid" },
		{ "1.2.3.4.5", "name_invalid" },
		{ "a b.test", "name_invalid" },
		{ "a%.wild.test", "name_invalid" },
		{ "a\n.wild.test", "name_invalid" },
		{ "a\xff.wild.test", "name_invalid" },
		{ "", "name_invalid" },
	};
	static const uint16_t types[] = { DNS_A,   DNS_AAAA, DNS_TXT,	DNS_SRV, DNS_MX,
					  DNS_CAA, DNS_ANY,  DNS_HTTPS, DNS_NS,	 DNS_SOA };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		char word[64], reason[80];

		rig_allow(g, "allowed.test");
		rig_allow(g, "*.wild.test");
		rig_deny(g, "denied.wild.test");
		(void)snprintf(word, sizeof(word), "%s: ", rows[i].reason);
		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", rows[i].reason);
		for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
			struct reply *r = ask(g, rows[i].name, types[t]);

			if (r->rcode != DNS_NXDOMAIN || r->ede != DNS_EDE_BLOCKED || r->count ||
			    r->authorities || strncmp(r->ede_text, word, strlen(word)) != 0)
				fail_msg("\"%s\" %u: rcode %u EDE %d %s", rows[i].name, types[t],
					 r->rcode, r->ede, r->ede_text);
		}
		assert_int_equal(g->resolves + g->raw_resolves, 0);
		assert_int_equal(map_count(&g->server.bindings.names), 0);
		assert_int_equal(map_count(&g->server.wildcard_names), 0);
		/* Asked over and over: on record once. */
		if (!rig_record(g, OPEN, DENY, DNSM, reason, "\"comm\":\"curl\"") ||
		    rig_count(g, "{") != 1)
			fail_msg("\"%s\":\n%s", rows[i].name, rig_audit(g));
	}
}

static void test_hint_in_the_explanation(void **state)
{
	struct rig *g = *state;
	struct reply *r = ask(g, "evil.example", DNS_A);

	assert_non_null(strstr(r->ede_text, "--allow-domain evil.example"));
}

/* A name whose labels hide dots, or are not text: refused as what it is. */
static void test_odd_names(void **state)
{
	static const struct str labels[] = { STR_LIT("a.allowed"), STR_LIT("a\0"), STR_LIT("a\\b"),
					     STR_LIT("a\x7f"), STR_LIT(" ") };
	struct rig *g = *state;

	rig_allow(g, "*");
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		struct query q = query_for("x", DNS_A, 1232), odd = { .n = 12 };
		struct reply *r;

		memcpy(odd.p, q.p, 12);
		odd.p[odd.n++] = (uint8_t)labels[i].n;
		memcpy(odd.p + odd.n, labels[i].p, labels[i].n);
		odd.n += labels[i].n;
		memcpy(odd.p + odd.n, q.p + 14, q.n - 14);
		odd.n += q.n - 14;
		r = ask_with(g, &odd, DNS_UDP_MAX, NULL);
		assert_int_equal(r->rcode, DNS_NXDOMAIN);
		assert_int_equal(r->ede, DNS_EDE_BLOCKED);
	}
	assert_int_equal(g->resolves, 0);
}

/* One bad address refuses the name, whichever family was asked. */
static void test_bad_answers(void **state)
{
	static const struct {
		const char *addrs, *reason;
	} rows[] = {
		{ "169.254.169.254", "metadata_address" },
		{ "192.0.2.1 169.254.169.254", "metadata_address" },
		{ "192.0.2.1 fd00:ec2::254", "metadata_address" },
		{ "192.0.2.1 ::ffff:169.254.169.254", "metadata_address" },
		{ "192.0.2.1 64:ff9b::a9fe:a9fe", "metadata_address" },
		{ "192.0.2.1 fe80::1", "link_local_address" },
		{ "192.0.2.1 127.0.0.1", "special_address" },
		{ "192.0.2.1 ::1", "special_address" },
		{ "0.0.0.0", "special_address" },
		{ "192.0.2.1 224.0.0.1", "special_address" },
		{ "192.0.2.1 203.0.113.9", "host_denied" },
	};
	static const uint16_t types[] = { DNS_A, DNS_AAAA };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
			struct rig *g = rig_renew(state);
			char reason[64];
			struct reply *r;

			rig_allow(g, "a.test");
			rig_deny(g, "203.0.113.9");
			rig_resolves(g, "a.test", rows[i].addrs, 0);
			r = ask(g, "a.test", types[t]);
			assert_int_equal(r->rcode, DNS_NXDOMAIN);
			assert_int_equal(r->ede, DNS_EDE_BLOCKED);
			assert_string_equal(r->addrs, "");
			assert_null(bindings_by_name(&g->server.bindings, "a.test"));
			(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", rows[i].reason);
			if (!rig_record(g, OPEN, DENY, DNSM, reason, "\"resolved_ip\""))
				fail_msg("%s:\n%s", rows[i].addrs, rig_audit(g));
		}
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void test_addresses(void **state)
{
	struct rig *g = *state;
	struct addr both[2];
	struct reply *r;

	rig_allow(g, "a.test:443");
	rig_resolves(g, "a.test", "192.0.2.1 2001:db8::1 10.0.0.1", 0)->answer.ttl = 77;
	r = ask(g, "A.tEst", DNS_A);
	assert_int_equal(r->rcode, DNS_NOERROR);
	assert_string_equal(r->addrs, "192.0.2.1 10.0.0.1");
	assert_int_equal(r->ttl, 77);
	assert_int_equal(r->ede, -1);
	r = ask(g, "a.test", DNS_AAAA);
	assert_string_equal(r->addrs, "2001:db8::1");
	/* Both families are bound, whichever was asked; the first look-up is on record. */
	assert_true(addr_parse(str_of("192.0.2.1"), &both[0]));
	assert_true(addr_parse(str_of("2001:db8::1"), &both[1]));
	for (int i = 0; i < 2; i++)
		assert_string_equal(bindings_by_addr(&g->server.bindings, &both[i])->names[0]->name,
				    "a.test");
	assert_non_null(rig_record(g, OPEN, ALLOW, DNSM, "\"target\":\"a.test\"",
				   "\"rule\":\"a.test:443\"", "\"comm\":\"curl\"", "\"uid\":1000"));
	assert_int_equal(rig_count(g, "{"), 1);
}

static void test_one_family_only_is_no_data_for_the_other(void **state)
{
	struct rig *g = *state;
	struct reply *r;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", "192.0.2.1", 0);
	r = ask(g, "a.test", DNS_AAAA);
	assert_int_equal(r->rcode, DNS_NOERROR);
	assert_int_equal(r->count, 0);
	assert_int_equal(r->ede, -1);
}

static void test_failures_of_the_resolver(void **state)
{
	static const struct {
		int result;
		unsigned int rcode;
		int ede;
		const char *reason;
	} rows[] = {
		{ -ENOENT, DNS_NXDOMAIN, -1, NULL },
		{ -ENODATA, DNS_NOERROR, -1, NULL },
		{ -EIO, DNS_SERVFAIL, DNS_EDE_NETWORK_ERROR, "dns_failed" },
		{ -ENOMEM, DNS_SERVFAIL, DNS_EDE_NETWORK_ERROR, "dns_failed" },
		{ -ETIMEDOUT, DNS_SERVFAIL, DNS_EDE_NO_REACHABLE_AUTHORITY, "upstream_timeout" },
	};
	static const uint16_t types[] = { DNS_A, DNS_AAAA, DNS_TXT };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
			struct rig *g = rig_renew(state);
			char reason[64];
			struct reply *r;

			rig_allow(g, "a.test");
			rig_resolves(g, "a.test", NULL, rows[i].result);
			rig_resolves_raw(g, "a.test", DNS_TXT, NULL, 0, rows[i].result);
			r = ask(g, "a.test", types[t]);
			assert_int_equal(r->rcode, rows[i].rcode);
			assert_int_equal(r->ede, rows[i].ede);
			assert_int_equal(r->count, 0);
			assert_int_equal(rig_count(g, "{"), !!rows[i].reason);
			(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"",
				       rows[i].reason ? rows[i].reason : "");
			assert_int_equal(rig_count(g, DENY, reason), !!rows[i].reason);
		}
}

static void test_silent_resolver(void **state)
{
	static const uint16_t types[] = { DNS_A, DNS_SRV };
	struct rig *g = *state;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", "192.0.2.1", 0)->delay = NSEC_NEVER;
	rig_resolves_raw(g, "a.test", DNS_SRV, "", 0, 0)->delay = NSEC_NEVER;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct query q = query_for("a.test", types[i], 1232);
		nsec_t took;
		struct reply *r = ask_with(g, &q, DNS_UDP_MAX, &took);

		assert_int_equal(r->rcode, DNS_SERVFAIL);
		assert_int_equal(r->ede, DNS_EDE_NO_REACHABLE_AUTHORITY);
		assert_int_equal(took, 5 * NSEC_PER_SEC);
	}
}

/* More addresses than were handed on: they cannot all have been checked. */
static void test_truncated_answer_is_refused(void **state)
{
	struct rig *g = *state;
	struct reply *r;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", "192.0.2.1", 0)->answer.truncated = true;
	r = ask(g, "a.test", DNS_A);
	assert_int_equal(r->rcode, DNS_SERVFAIL);
	assert_int_equal(r->count, 0);
	assert_null(bindings_by_name(&g->server.bindings, "a.test"));
}

/* What does not fit into the client's datagram sets TC, and TCP has it all. */
static void test_long_answer(void **state)
{
	struct rig *g = *state;
	struct query small = query_for("a.test", DNS_AAAA, 0), large;
	char addrs[64 * 16] = "";
	struct reply *r;

	for (unsigned int i = 1; i <= 60; i++)
		(void)snprintf(addrs + strlen(addrs), sizeof(addrs) - strlen(addrs),
			       "%s2001:db8::%x", i > 1 ? " " : "", i);
	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", addrs, 0);
	r = ask_with(g, &small, DNS_UDP_MAX, NULL);
	assert_true(r->tc && r->n <= 512 && r->count > 0 && r->count < 60);
	large = query_for("a.test", DNS_AAAA, 4096);
	r = ask_with(g, &large, DNS_UDP_MAX, NULL);
	assert_true(r->tc && r->n <= DNS_UDP_MAX && r->count > 20 && r->count < 60);
	r = ask_with(g, &small, DNS_MESSAGE_MAX, NULL);
	assert_false(r->tc);
	assert_int_equal(r->count, 60);
}

static void test_types_without_data(void **state)
{
	static const struct {
		uint16_t type;
		int ede;
	} rows[] = {
		{ DNS_HTTPS, -1 },
		{ DNS_SVCB, -1 },
		{ DNS_NS, DNS_EDE_NOT_SUPPORTED },
		{ DNS_SOA, DNS_EDE_NOT_SUPPORTED },
		{ DNS_ANY, DNS_EDE_NOT_SUPPORTED },
		{ DNS_CNAME, DNS_EDE_NOT_SUPPORTED },
		{ DNS_PTR, DNS_EDE_NOT_SUPPORTED },
		{ 252, DNS_EDE_NOT_SUPPORTED }, /* AXFR */
		{ 10, DNS_EDE_NOT_SUPPORTED },	/* NULL: a tunnel's favourite */
	};
	struct rig *g = *state;

	rig_allow(g, "a.test");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct reply *r = ask(g, "a.test", rows[i].type);

		assert_int_equal(r->rcode, DNS_NOERROR);
		assert_int_equal(r->count, 0);
		assert_int_equal(r->ede, rows[i].ede);
	}
	assert_int_equal(g->resolves + g->raw_resolves, 0);
}

static void test_records_that_are_passed_on(void **state)
{
	/* SRV: the target is compressed in what the resolver got, and must not be in what we send.
	 */
	static const uint8_t srv[] = { 0, 1, 0, 2, 1, 0xbb, 1, 'x', 0xc0, 12 };
	static const uint8_t srv_out[] = { 0, 1,   0, 2,   1,	0xbb, 1,   'x',
					   1, 'a', 4, 't', 'e', 's',  't', 0 };
	static const uint8_t txt[] = { 5, 'h', 'e', 'l', 'l', 'o' };
	static const struct {
		uint16_t type;
		const uint8_t *in, *out;
		size_t in_n, out_n;
	} rows[] = {
		{ DNS_SRV, srv, srv_out, sizeof(srv), sizeof(srv_out) },
		{ DNS_TXT, txt, txt, sizeof(txt), sizeof(txt) },
	};
	struct rig *g = *state;

	rig_allow(g, "a.test");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct reply *r;

		rig_resolves_raw(g, "a.test", rows[i].type, rows[i].in, rows[i].in_n, 0);
		r = ask(g, "a.test", rows[i].type);
		assert_int_equal(r->rcode, DNS_NOERROR);
		assert_int_equal(r->count, 1);
		assert_int_equal(r->ttl, 300);
		assert_non_null(memmem(r->p, r->n, rows[i].out, rows[i].out_n));
	}
	assert_int_equal(g->resolves, 0);
	assert_int_equal(g->raw_resolves, 2);
	assert_int_equal(map_count(&g->server.bindings.names), 0);
}

static void test_damaged_raw_answer(void **state)
{
	static const uint8_t txt[] = { 200, 'x' };
	struct rig *g = *state;
	struct rig_name *n;
	struct reply *r;

	rig_allow(g, "a.test");
	n = rig_resolves_raw(g, "a.test", DNS_TXT, txt, sizeof(txt), 0);
	r = ask(g, "a.test", DNS_TXT);
	assert_int_equal(r->rcode, DNS_NOERROR);
	assert_int_equal(r->count, 0);
	buf_truncate(&n->raw, 11);
	r = ask(g, "a.test", DNS_TXT);
	assert_int_equal(r->rcode, DNS_SERVFAIL);
}

static void test_reverse(void **state)
{
	struct rig *g = *state;
	struct reply *r;

	rig_allow(g, "*");
	rig_bind(g, "a.test", "192.0.2.1 2001:db8::1");
	rig_bind(g, "b.test", "192.0.2.1");
	r = ask(g, "1.2.0.192.in-addr.arpa", DNS_PTR);
	assert_string_equal(r->names, "a.test b.test");
	r = ask(g, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
		DNS_PTR);
	assert_string_equal(r->names, "a.test");
	r = ask(g, "2.2.0.192.in-addr.arpa", DNS_PTR);
	assert_int_equal(r->rcode, DNS_NXDOMAIN);
	/* Only PTR has an answer there; no other type turns into one. */
	r = ask(g, "1.2.0.192.in-addr.arpa", DNS_TXT);
	assert_int_equal(r->rcode, DNS_NOERROR);
	assert_int_equal(r->count, 0);
	assert_int_equal(g->resolves + g->raw_resolves, 0);
}

static void test_localhost(void **state)
{
	static const char *const names[] = { "localhost", "LOCALHOST", "x.localhost" };
	struct rig *g = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(ask(g, names[i], DNS_A)->addrs, "127.0.0.1");
		assert_string_equal(ask(g, names[i], DNS_AAAA)->addrs, "::1");
		assert_int_equal(ask(g, names[i], DNS_TXT)->count, 0);
	}
	assert_int_equal(g->resolves, 0);
	assert_int_equal(map_count(&g->server.bindings.names), 0);
	assert_string_equal(rig_audit(g), "");
}

/* ---- caps --------------------------------------------------------------------------------------
 */

static void test_wildcard_cap(void **state)
{
	static const char *const patterns[] = { "*.test", "*" };

	for (size_t p = 0; p < ARRAY_SIZE(patterns); p++) {
		struct rig *g = rig_renew(state);
		struct reply *r;
		char name[32];

		rig_allow(g, "exact.test");
		rig_allow(g, patterns[p]);
		for (int i = 0; i < 300; i++) {
			(void)snprintf(name, sizeof(name), "n%d.test", i);
			r = ask(g, name, i % 2 ? DNS_TXT : DNS_A);
			if (r->rcode != (i < 256 ? DNS_NXDOMAIN : DNS_SERVFAIL))
				fail_msg("%s: rcode %u", name, r->rcode);
			assert_int_equal(r->ede, i < 256 ? -1 : DNS_EDE_OTHER);
		}
		assert_int_equal(g->resolves + g->raw_resolves, 256);
		/* Those that were counted go on, and rules that name a name have no cap. */
		assert_int_equal(ask(g, "n7.test", DNS_A)->rcode, DNS_NXDOMAIN);
		assert_int_equal(ask(g, "exact.test", DNS_A)->rcode, DNS_NXDOMAIN);
		assert_int_equal(rig_count(g, DENY, "\"reason\":\"rate_limited\""), 44);
	}
}

/* Full: a new name is not answered, and old ones stay. */
static void test_bindings_are_full(void **state)
{
	struct rig *g = *state;
	struct reply *r;
	char name[32];
	struct addr a;

	rig_allow(g, "a.test");
	rig_allow(g, "old.test");
	rig_resolves(g, "a.test", "192.0.2.1", 0);
	rig_resolves(g, "old.test", "198.51.100.1", 0);
	rig_bind(g, "old.test", "198.51.100.1");
	for (uint32_t i = 0; i < BINDINGS_MAX_NAMES - 1; i++) {
		(void)snprintf(name, sizeof(name), "n%u.test", i);
		a = addr_v4(0x0b000000u + i);
		assert_int_equal(bindings_add(&g->server.bindings, name, &a, 1), 0);
	}
	r = ask(g, "a.test", DNS_A);
	assert_int_equal(r->rcode, DNS_SERVFAIL);
	assert_int_equal(r->ede, DNS_EDE_OTHER);
	assert_int_equal(r->count, 0);
	assert_non_null(rig_record(g, DENY, DNSM, "\"reason\":\"rate_limited\""));
	assert_string_equal(ask(g, "old.test", DNS_A)->addrs, "198.51.100.1");
}

static void test_repeated_refusals(void **state)
{
	struct rig *g = *state;

	for (int i = 0; i < 10; i++)
		(void)ask(g, "evil.example", i % 2 ? DNS_A : DNS_AAAA);
	assert_int_equal(rig_count(g, "{"), 1);
	rig_run_for(g, 59 * NSEC_PER_SEC);
	(void)ask(g, "evil.example", DNS_A);
	assert_int_equal(rig_count(g, "{"), 1);
	rig_run_for(g, 2 * NSEC_PER_SEC);
	(void)ask(g, "evil.example", DNS_A);
	assert_int_equal(rig_count(g, "{"), 2);
	assert_non_null(rig_record(g, "\"seq\":1,", "\"count\":11"));
	/* What was not told yet is told at the end. */
	(void)ask(g, "evil.example", DNS_A);
	audit_flush(&g->audit, loop_now(g->loop));
	assert_int_equal(rig_count(g, "{"), 3);
	audit_flush(&g->audit, loop_now(g->loop));
	assert_int_equal(rig_count(g, "{"), 3);
}

/* ---- damaged queries ---------------------------------------------------------------------------
 */

static void test_damaged_queries(void **state)
{
	struct rig *g = *state;
	struct query q = query_for("a.test", DNS_A, 1232), bad;
	struct reply *r;

	rig_allow(g, "*");
	for (size_t n = 0; n < q.n; n++) {
		bad = q;
		bad.n = n;
		r = ask_with(g, &bad, DNS_UDP_MAX, NULL);
		if (n < 12)
			assert_int_equal(r->n, 0);
		else
			assert_int_equal(r->rcode, DNS_FORMERR);
	}
	bad = q;
	bad.p[2] |= 0x80; /* an answer: never answered, or two of us would talk for ever */
	assert_int_equal(ask_with(g, &bad, DNS_UDP_MAX, NULL)->n, 0);
	bad = q;
	bad.p[2] |= 0x28; /* UPDATE */
	assert_int_equal(ask_with(g, &bad, DNS_UDP_MAX, NULL)->rcode, DNS_NOTIMP);
	bad = q;
	bad.p[5] = 2; /* two questions */
	assert_int_equal(ask_with(g, &bad, DNS_UDP_MAX, NULL)->rcode, DNS_FORMERR);
	bad = q;
	bad.p[q.n - 5] = 1; /* EDNS version */
	assert_int_equal(ask_with(g, &bad, DNS_UDP_MAX, NULL)->rcode, DNS_BADVERS);
	bad = query_for("version.bind", DNS_TXT, 0);
	bad.p[bad.n - 1] = 3; /* CHAOS */
	assert_int_equal(ask_with(g, &bad, DNS_UDP_MAX, NULL)->rcode, DNS_NOTIMP);
	assert_int_equal(g->resolves + g->raw_resolves, 0);
}

/* ---- datagrams ---------------------------------------------------------------------------------
 */

static struct reply *datagram_reply(struct rig *g, size_t i, struct endpoint *ret_to)
{
	static struct reply r;
	struct str s = script_datagram_sent(g->script, i, ret_to);

	if (!s.p)
		return NULL;
	r.n = s.n;
	memcpy(r.p, s.p, s.n);
	reply_read(&r);
	return &r;
}

static void test_datagrams(void **state)
{
	struct rig *g = *state;
	struct query slow = query_for("slow.test", DNS_A, 0);
	struct query bad = query_for("evil.example", DNS_A, 0), nothing = { .n = 0 };
	char text[ENDPOINT_TEXT_MAX];
	struct endpoint to;

	rig_allow(g, "slow.test");
	rig_resolves(g, "slow.test", "192.0.2.1", 0)->delay = NSEC_PER_SEC;
	rig_start(g);
	script_datagram(g->script, g->udp, "10.0.0.2:1111", slow.p, slow.n);
	script_datagram(g->script, g->udp, "10.0.0.2:2222", bad.p, bad.n);
	script_datagram(g->script, g->udp, "10.0.0.2:3333", nothing.p, 0);
	script_datagram(g->script, g->udp, "10.0.0.2:4444", slow.p, 5);
	rig_run(g);
	/* Nobody waits for another one. */
	assert_int_equal(datagram_reply(g, 0, &to)->rcode, DNS_NXDOMAIN);
	assert_string_equal(endpoint_text(&to, text), "10.0.0.2:2222");
	assert_string_equal(datagram_reply(g, 1, &to)->addrs, "192.0.2.1");
	assert_string_equal(endpoint_text(&to, text), "10.0.0.2:1111");
	assert_null(datagram_reply(g, 2, &to));
	assert_int_equal(g->server.dns_jobs, 0);
}

/* 256 wait; the rest is dropped, and asks again. */
static void test_job_cap(void **state)
{
	struct rig *g = *state;
	struct query q = query_for("slow.test", DNS_A, 0);
	size_t n = 0;

	rig_allow(g, "slow.test");
	rig_resolves(g, "slow.test", "192.0.2.1", 0)->delay = NSEC_PER_SEC;
	rig_start(g);
	for (int i = 0; i < 300; i++)
		script_datagram(g->script, g->udp, "10.0.0.2:1111", q.p, q.n);
	rig_run_for(g, NSEC_PER_MSEC);
	assert_int_equal(g->server.dns_jobs, 256);
	rig_run(g);
	while (script_datagram_sent(g->script, n, NULL).p)
		n++;
	assert_int_equal(n, 256);
	assert_int_equal(g->resolves, 256);
	script_datagram(g->script, g->udp, "10.0.0.2:1111", q.p, q.n);
	rig_run(g);
	assert_non_null(script_datagram_sent(g->script, 256, NULL).p);
}

static void test_datagram_errors(void **state)
{
	static const int errors[] = { ECONNREFUSED, ENOMEM, ENOBUFS, EMFILE, EIO };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		for (unsigned int nth = 1; nth <= 6; nth++) {
			struct rig *g = rig_renew(state);
			struct query q = query_for("a.test", DNS_A, 0);

			rig_allow(g, "a.test");
			rig_resolves(g, "a.test", "192.0.2.1", 0);
			script_fail_nth(g->script, nth, errors[i]);
			rig_start(g);
			script_datagram(g->script, g->udp, "10.0.0.2:1111", q.p, q.n);
			rig_run(g);
			script_datagram(g->script, g->udp, "10.0.0.2:2222", q.p, q.n);
			rig_run(g);
			/* At most the one answer is missing. */
			assert_non_null(script_datagram_sent(g->script, 0, NULL).p);
			assert_int_equal(g->server.dns_jobs, 0);
		}
}

/* ---- streams -----------------------------------------------------------------------------------
 */

static struct str framed(struct rig *g, const struct query *q, size_t count)
{
	struct script_step *keep;
	size_t n = q->n + 2;
	uint8_t *p;

	/* Memory that lives as long as the rig. */
	keep = (struct script_step *)(uintptr_t)rig_steps(g, (struct script_step[40]){ SCRIPT_END },
							  40);
	assert_true(count * n <= 40 * sizeof(*keep));
	p = (uint8_t *)keep;
	for (size_t i = 0; i < count; i++) {
		p[i * n] = (uint8_t)(q->n >> 8);
		p[i * n + 1] = (uint8_t)q->n;
		memcpy(p + i * n + 2, q->p, q->n);
	}
	return (struct str){ (const char *)p, count * n };
}

static struct reply *stream_reply(const struct script_peer *p, size_t i)
{
	static struct reply r;
	struct str s = script_sent(p);
	size_t at = 0;

	for (;; i--) {
		if (at == s.n)
			return NULL;
		assert_true(at + 2 <= s.n);
		r.n = (size_t)((uint8_t)s.p[at] << 8 | (uint8_t)s.p[at + 1]);
		assert_true(at + 2 + r.n <= s.n);
		if (i == 0)
			break;
		at += 2 + r.n;
	}
	memcpy(r.p, s.p + at + 2, r.n);
	reply_read(&r);
	return &r;
}

/* Any server's address: port 53 ends here. */
static void test_pipelined_queries(void **state)
{
	static const size_t segments[] = { 0, 1, 7 };

	for (size_t k = 0; k < ARRAY_SIZE(segments); k++) {
		struct rig *g = rig_renew(state);
		struct query q = query_for("a.test", DNS_A, 0), bad = query_for("b.test", DNS_A, 0);
		struct script_peer *c;

		rig_allow(g, "a.test");
		rig_resolves(g, "a.test", "192.0.2.1", 0)->delay = NSEC_PER_MSEC;
		c = rig_client(g, "8.8.8.8:53",
			       STEPS(g, SCRIPT_SEND_STR(framed(g, &q, 3), segments[k]),
				     SCRIPT_SEND_STR(framed(g, &bad, 1), segments[k]), SCRIPT_EOF,
				     SCRIPT_EXPECT_EOF));
		rig_run(g);
		for (size_t i = 0; i < 3; i++)
			assert_string_equal(stream_reply(c, i)->addrs, "192.0.2.1");
		assert_int_equal(stream_reply(c, 3)->rcode, DNS_NXDOMAIN);
		assert_null(stream_reply(c, 4));
		/* A reset could destroy the answers on their way. */
		assert_true(script_sent_eof(c));
		assert_false(script_sent_reset(c));
		assert_string_equal(rig_dialled(g), "");
		assert_non_null(rig_record(g, DENY, DNSM, "\"target\":\"b.test\"", "\"pid\":4711",
					   "\"comm\":\"curl\""));
		assert_int_equal(rig_count(g, "\"mode\":\"transparent\""), 0);
		assert_int_equal(g->forgotten, 1);
	}
}

static void test_bad_streams(void **state)
{
	static const struct str rows[] = {
		STR_LIT("\x10\x01"),			 /* 4097 bytes to come */
		STR_LIT("\xff\xff"),			 /* 65535 */
		STR_LIT("\x00\x00"),			 /* none */
		STR_LIT("\x00\x05\x01\x02\x03\x04\x05"), /* no header */
		STR_LIT("GET / HTTP/1.1\r\n\r\n"),
		STR_LIT("\x00"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;

		rig_allow(g, "*");
		c = rig_client(g, "8.8.8.8:53",
			       STEPS(g, SCRIPT_SEND_STR(rows[i], 0), SCRIPT_EXPECT_EOF));
		rig_run_for(g, 31 * NSEC_PER_SEC);
		assert_int_equal(script_sent(c).n, 0);
		assert_true(script_sent_eof(c) || script_sent_reset(c));
		assert_int_equal(g->server.conn_count, 0);
		assert_string_equal(rig_dialled(g), "");
	}
}

static void test_idle_stream(void **state)
{
	struct rig *g = *state;
	struct script_peer *c = rig_client(g, "8.8.8.8:53", NULL);

	rig_run_for(g, 29 * NSEC_PER_SEC);
	assert_int_equal(g->server.conn_count, 1);
	rig_run_for(g, 2 * NSEC_PER_SEC);
	assert_int_equal(g->server.conn_count, 0);
	assert_true(script_sent_eof(c) || script_sent_reset(c));
}

/* A client that asks and never reads blocks itself only, and not for ever. */
static void test_stream_that_does_not_read(void **state)
{
	struct rig *g = *state;
	struct query q = query_for("a.test", DNS_A, 0);

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", "192.0.2.1", 0);
	(void)rig_client(g, "8.8.8.8:53",
			 STEPS(g, SCRIPT_WINDOW(10), SCRIPT_SEND_STR(framed(g, &q, 5), 0),
			       SCRIPT_EXPECT_EOF));
	rig_run_for(g, 31 * NSEC_PER_SEC);
	assert_int_equal(g->server.conn_count, 0);
	assert_int_equal(g->resolves, 1);
}

static void test_stream_errors(void **state)
{
	static const int errors[] = { ECONNRESET, ENOMEM, EMFILE };

	for (size_t e = 0; e < ARRAY_SIZE(errors); e++)
		for (unsigned int nth = 1; nth <= 20; nth++) {
			struct rig *g = rig_renew(state);
			struct query q = query_for("a.test", DNS_A, 0);

			rig_allow(g, "a.test");
			rig_resolves(g, "a.test", "192.0.2.1", 0);
			script_fail_nth(g->script, nth, errors[e]);
			(void)rig_client(
				g, "8.8.8.8:53",
				STEPS(g, SCRIPT_SEND_STR(framed(g, &q, 3), 20), SCRIPT_EOF));
			rig_run(g);
			assert_int_equal(g->server.conn_count, 0);
			assert_true(rig_count(g, "{") <= 1);
		}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_refused_names_never_reach_the_resolver),
		TEST(test_hint_in_the_explanation),
		TEST(test_odd_names),
		TEST(test_bad_answers),
		TEST(test_addresses),
		TEST(test_one_family_only_is_no_data_for_the_other),
		TEST(test_failures_of_the_resolver),
		TEST(test_silent_resolver),
		TEST(test_truncated_answer_is_refused),
		TEST(test_long_answer),
		TEST(test_types_without_data),
		TEST(test_records_that_are_passed_on),
		TEST(test_damaged_raw_answer),
		TEST(test_reverse),
		TEST(test_localhost),
		TEST(test_wildcard_cap),
		TEST(test_bindings_are_full),
		TEST(test_repeated_refusals),
		TEST(test_damaged_queries),
		TEST(test_datagrams),
		TEST(test_job_cap),
		TEST(test_datagram_errors),
		TEST(test_pipelined_queries),
		TEST(test_bad_streams),
		TEST(test_idle_stream),
		TEST(test_stream_that_does_not_read),
		TEST(test_stream_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
