/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions: tables of (rules, host, port) with the reason that must come out, and properties over
 * random policies.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "policy/filter.h"

static uint64_t rng_state = 0xda3e39cb94b95bdb;

static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return (uint32_t)((rng_state * 0x2545f4914f6cdd1d) >> 33) % below;
}

/*
 * A policy in one line: words apart by blanks; "+P" allows the pattern, "-P" denies it, "=C" is a
 * network with a port,
 * "!" switches monitoring on, "~NET" sets the NAT64 prefix.
 */
static void policy(struct filter *f, const char *line)
{
	char copy[512], *save = NULL, why[256];

	filter_init(f);
	assert_true(strlen(line) < sizeof(copy));
	memcpy(copy, line, strlen(line) + 1);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		int r = 0;

		if (*w == '+' || *w == '-')
			r = filter_add_domain(f, *w == '-', w + 1, "test", why, sizeof(why));
		else if (*w == '=')
			r = filter_add_cidr(f, w + 1, "test", why, sizeof(why));
		else if (*w == '~')
			r = cidr_parse(str_of(w + 1), &f->addr_opt.nat64) ? 0 : -EINVAL;
		else if (*w == '!')
			f->monitor = true;
		if (r < 0)
			fail_msg("%s: %s", w, why);
	}
}

static struct host host_of(const char *text)
{
	struct host h;

	if (!host_parse(str_of(text), &h))
		fail_msg("not a host: %s", text);
	return h;
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	if (!addr_parse(str_of(text), &a))
		fail_msg("not an address: %s", text);
	return a;
}

/* How a row's host is decided; a host that the normaliser refuses is NAME_INVALID, as for every
 * caller. */
static enum reason decide(const struct filter *f, const char *text, uint16_t port)
{
	struct verdict v;
	struct host h;

	if (!host_parse(str_of(text), &h))
		return REASON_NAME_INVALID;
	filter_check_host(f, &h, port, &v);
	assert_int_equal(v.allowed, v.reason == REASON_NONE || v.monitored);
	return v.reason;
}

#define YES	REASON_NONE
#define NOT	REASON_HOST_NOT_ALLOWED
#define DENIED	REASON_HOST_DENIED
#define META	REASON_METADATA_ADDRESS
#define LINK	REASON_LINK_LOCAL_ADDRESS
#define SPECIAL REASON_SPECIAL_ADDRESS
#define CIDR	REASON_CIDR_NOT_ALLOWED
#define BAD	REASON_NAME_INVALID

struct row {
	const char *rules, *host;
	uint16_t port;
	enum reason want;
};

static void run_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct filter f;
		enum reason got;

		policy(&f, rows[i].rules);
		got = decide(&f, rows[i].host, rows[i].port);
		if (got != rows[i].want)
			fail_msg("row %zu: {%s} %s:%u is %d, not %d", i, rows[i].rules,
				 rows[i].host, rows[i].port, got, rows[i].want);
		filter_done(&f);
	}
}

static void test_names(void **state)
{
	static const struct row rows[] = {
		/* An empty list allows nothing. */
		{ "", "example.com", 443, NOT },
		{ "", "192.0.2.7", 443, CIDR },
		{ "-evil.com", "example.com", 443, NOT },
		/* The wildcard: any depth below, not itself, and only at a label. */
		{ "+*.example.com", "a.example.com", 443, YES },
		{ "+*.example.com", "a.b.example.com", 443, YES },
		{ "+*.example.com", "A.EXAMPLE.COM.", 443, YES },
		{ "+*.example.com", "example.com", 443, NOT },
		{ "+*.example.com", "evilexample.com", 443, NOT },
		{ "+*.example.com", ".example.com", 443, BAD },
		{ "+*.example.com", "..example.com", 443, BAD },
		{ "+*.example.com", "a..example.com", 443, BAD },
		{ "+*.example.com", "example.com.evil.org", 443, NOT },
		{ "+*.example.com", "a.example.com.evil.org", 443, NOT },
		{ "+example.com", "a.example.com", 443, NOT },
		{ "+example.com", "example.com", 443, YES },
		{ "+example.com", "xexample.com", 443, NOT },
		{ "+example.com", "example.co", 443, NOT },
		/* Spellings. */
		{ "+EXAMPLE.com.", "example.COM", 443, YES },
		{ "+b\u00fccher.example", "xn--bcher-kva.example", 443, YES },
		{ "+xn--bcher-kva.example", "B\u00dcCHER\u3002example", 443, YES },
		{ "+*.b\u00fccher.example", "a.xn--bcher-kva.example", 443, YES },
		{ "+*", "METADATA.google.internal..", 443, BAD },
		{ "+*", "METADATA.google.internal.", 443, META },
		{ "+*", "metadata\u3002google\u3002internal", 443, META },
		{ "+*", "\uff4detadata.google.internal", 443, META },
		{ "+*", "xn--zz", 443, BAD },
		{ "+*", " metadata.google.internal", 443, BAD },
		/* Ports. */
		{ "+example.com:443", "example.com", 443, YES },
		{ "+example.com:443", "example.com", 8443, NOT },
		{ "+*:443", "example.com", 443, YES },
		{ "+*:443", "example.com", 80, NOT },
		{ "+*.example.com:443", "a.example.com", 443, YES },
		{ "+*.example.com:443", "a.example.com", 80, NOT },
		{ "+example.com:443 +example.com:80", "example.com", 80, YES },
		/* Deny beats allow, in either order, exact or wildcard. */
		{ "+evil.com -evil.com", "evil.com", 443, DENIED },
		{ "-evil.com +evil.com", "evil.com", 443, DENIED },
		{ "+* -evil.com", "EVIL.com.", 443, DENIED },
		{ "+* -*.evil.com", "a.evil.com", 443, DENIED },
		{ "+* -*.evil.com", "evil.com", 443, YES },
		{ "+a.evil.com -*.evil.com", "a.evil.com", 443, DENIED },
		{ "+*.evil.com -a.evil.com", "a.evil.com", 443, DENIED },
		{ "+*.evil.com -a.evil.com", "b.evil.com", 443, YES },
		{ "+* -evil.com.:443", "evil.com", 443, DENIED },
		{ "+* -evil.com.:443", "evil.com", 80, YES },
		{ "+evil.com:443 -evil.com", "evil.com", 443, DENIED },
		{ "+* -*", "example.com", 443, DENIED },
		{ "+* -*:25", "mx.example.com", 25, DENIED },
		{ "+* -*:25", "mx.example.com", 587, YES },
		{ "+* -*.google.internal", "metadata.google.internal", 80, META },
	};

	(void)state;
	run_rows(rows, ARRAY_SIZE(rows));
}

static void test_literals(void **state)
{
	static const struct row rows[] = {
		/* Always refused, whatever the rules. */
		{ "+*", "169.254.169.254", 80, META },
		{ "+*", "[::ffff:169.254.169.254]", 80, META },
		{ "+*", "[::ffff:a9fe:a9fe]", 80, META },
		{ "+*", "[fd00:0ec2::0254]", 80, META },
		{ "+*", "2852039166", 80, META },
		{ "+*", "0xa9fea9fe", 80, META },
		{ "+*", "0251.0376.0251.0376", 80, META },
		{ "+*", "169.254.43518", 80, META },
		{ "+*", "169.254.169.254.", 80, META },
		{ "+*", "\uff11\uff16\uff19.254.169.254", 80, META },
		{ "+*", "[64:ff9b::a9fe:a9fe]", 80, META },
		{ "+*", "[2002:a9fe:a9fe::]", 80, META },
		{ "+*", "::169.254.169.254", 80, META },
		{ "+*", "168.63.129.16", 80, META },
		{ "+*", "100.100.100.200", 80, META },
		{ "+* =100.64.0.0/10:80", "100.100.100.200", 80, META },
		{ "+* =0.0.0.0/0:80", "169.254.169.254", 80, META },
		{ "+* =0.0.0.0/0:80", "169.254.1.1", 80, LINK },
		{ "+* =[::/0]:80", "fe80::1", 80, LINK },
		{ "+* ~2001:db8::/32", "2001:db8:a9fe:a9fe::", 80, META },
		{ "+*", "2001:db8:a9fe:a9fe::", 80, YES },
		{ "+*", "fe80::1%eth0", 80, BAD },
		{ "+*", "fd00:ec2::254.", 80, BAD },
		{ "+*", "0.0.0.0", 80, SPECIAL },
		{ "+*", "0", 80, SPECIAL },
		{ "+*", "[::]", 80, SPECIAL },
		{ "+*", "224.0.0.1", 80, SPECIAL },
		{ "+*", "255.255.255.255", 80, SPECIAL },
		{ "-169.254.169.254 +*", "169.254.169.254", 80, META },
		{ "!", "169.254.169.254", 80, META },
		/* `*` covers public and private literals, not loopback. */
		{ "+*", "192.0.2.7", 443, YES },
		{ "+*", "10.1.2.3", 443, YES },
		{ "+*", "[fd00::1]", 443, YES },
		{ "+*", "127.0.0.1", 5432, CIDR },
		{ "+*", "127.1", 5432, CIDR },
		{ "+*", "[::1]", 5432, CIDR },
		{ "+*", "[64:ff9b::7f00:1]", 5432, CIDR },
		{ "+*:443", "192.0.2.7", 80, CIDR },
		{ "+*.x", "192.0.2.7", 80, CIDR },
		/* Rules for addresses. */
		{ "+192.0.2.7", "192.0.2.7", 80, YES },
		{ "+192.0.2.7", "[::ffff:192.0.2.7]", 80, YES },
		{ "+192.0.2.7", "3221225991", 80, YES },
		{ "+192.0.2.7", "192.0.2.8", 80, CIDR },
		{ "+192.0.2.7", "[64:ff9b::192.0.2.7]", 80, CIDR },
		{ "+192.0.2.7:443", "192.0.2.7", 443, YES },
		{ "+192.0.2.7:443", "192.0.2.7", 80, CIDR },
		{ "+[2001:db8::7]:443", "2001:0db8::0007", 443, YES },
		{ "+[2001:db8::7]:443", "[2001:db8::7]", 80, CIDR },
		{ "+2001:db8::7", "[2001:db8::7]", 80, YES },
		{ "=10.20.0.0/16:5432", "10.20.255.255", 5432, YES },
		{ "=10.20.0.0/16:5432", "10.21.0.0", 5432, CIDR },
		{ "=10.20.0.0/16:5432", "10.20.1.1", 443, CIDR },
		{ "=[2001:db8::/32]:443", "2001:db8:1::1", 443, YES },
		{ "=2001:db8::/32:443", "2001:db8:1::1", 443, YES },
		{ "=[::ffff:10.20.0.0/112]:80", "10.20.1.1", 80, YES },
		{ "=192.0.2.7:22", "192.0.2.7", 22, YES },
		{ "=10.0.0.0/8:443", "intranet.example", 443, NOT },
		/* Loopback wants a rule that is about loopback. */
		{ "=127.0.0.1/32:5432", "127.0.0.1", 5432, YES },
		{ "=127.0.0.1/32:5432", "[::ffff:127.0.0.1]", 5432, YES },
		{ "=127.0.0.1/32:5432", "127.0.0.1", 5433, CIDR },
		{ "=127.0.0.1/32:5432", "127.0.0.2", 5432, CIDR },
		{ "=127.0.0.1/32:5432", "[64:ff9b::7f00:1]", 5432, CIDR },
		{ "=127.0.0.0/8:5432", "127.9.9.9", 5432, YES },
		{ "=0.0.0.0/0:5432", "127.0.0.1", 5432, CIDR },
		{ "=[::/0]:5432", "::1", 5432, CIDR },
		{ "+[::1]:5432", "::1", 5432, YES },
		{ "+127.0.0.1", "127.0.0.1", 1, YES },
		/* Deny rules for addresses, and what hides behind them. */
		{ "+* -127.0.0.1:8975 =127.0.0.1/32:8787", "127.0.0.1", 8975, DENIED },
		{ "+* -127.0.0.1:8975 =127.0.0.1/32:8787", "127.0.0.1", 8787, YES },
		{ "+* -[::1]:8975", "[::1]", 8975, DENIED },
		{ "+* -192.0.2.7", "192.0.2.7", 80, DENIED },
		{ "+* -192.0.2.7", "0xc0000207", 80, DENIED },
		{ "+* -192.0.2.7", "[::ffff:192.0.2.7]", 80, DENIED },
		{ "+* -192.0.2.7", "[64:ff9b::192.0.2.7]", 80, DENIED },
		{ "+* -192.0.2.7", "[2002:c000:207::1]", 80, DENIED },
		{ "+* -192.0.2.7", "[2001:0:c633:6401:0:0:3fff:fdf8]", 80, DENIED },
		{ "+* -192.0.2.7", "[2002:c633:6401::5efe:192.0.2.7]", 80, DENIED },
		{ "+* -192.0.2.7 ~2001:db8::/96", "[2001:db8::192.0.2.7]", 80, DENIED },
		{ "=192.0.2.0/24:80 -192.0.2.7", "192.0.2.7", 80, DENIED },
		{ "=192.0.2.0/24:80 -192.0.2.7", "192.0.2.8", 80, YES },
		{ "=192.0.2.0/24:80 -*", "192.0.2.8", 80, DENIED },
		{ "=192.0.2.0/24:80 -*:80", "192.0.2.8", 80, DENIED },
	};

	(void)state;
	run_rows(rows, ARRAY_SIZE(rows));
}

/* What the sandbox connects to without a name is decided like the same address in a request. */
static void test_dest_is_decided_like_a_literal(void **state)
{
	static const char *const addrs[] = {
		"192.0.2.7",	      "::ffff:192.0.2.7", "10.1.1.1",
		"127.0.0.1",	      "::ffff:127.0.0.1", "169.254.169.254",
		"64:ff9b::a9fe:a9fe", "fe80::1",	  "::ffff:169.254.170.2",
		"2001:db8::1"
	};
	static const char *const rules[] = {
		"", "+*", "+192.0.2.7:80", "=127.0.0.1/32:80", "+* -192.0.2.7", "!"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct filter f;

		policy(&f, rules[i]);
		for (size_t k = 0; k < ARRAY_SIZE(addrs); k++) {
			struct endpoint e = { addr_of(addrs[k]), 80 };
			struct host h = host_of(addrs[k]);
			struct verdict a, b;

			filter_check_dest(&f, &e, &a);
			filter_check_host(&f, &h, 80, &b);
			assert_int_equal(a.allowed, b.allowed);
			assert_int_equal(a.reason, b.reason);
			assert_ptr_equal(a.rule, b.rule);
		}
		filter_done(&f);
	}
}

static void test_answers(void **state)
{
	static const struct {
		const char *rules, *name, *addr;
		uint16_t port;
		enum reason want;
	} rows[] = {
		{ "+*", "a.example", "192.0.2.7", 443, YES },
		{ "+a.example", "a.example", "10.1.2.3", 443, YES },
		{ "+a.example", "a.example", "fd00::1", 443, YES },
		{ "+a.example", "a.example", "100.64.0.1", 0, YES },
		{ "+*", "a.example", "169.254.169.254", 443, META },
		{ "+a.example", "a.example", "::ffff:169.254.0.1", 443, LINK },
		{ "+a.example", "a.example", "fe80::1", 443, LINK },
		{ "+a.example", "a.example", "64:ff9b::a9fe:a9fe", 443, META },
		{ "+a.example", "a.example", "fd00:ec2::254", 0, META },
		{ "+a.example", "a.example", "0.0.0.0", 443, SPECIAL },
		{ "+a.example", "a.example", "::", 443, SPECIAL },
		{ "+a.example ~2001:db8::/96", "a.example", "2001:db8::169.254.169.254", 0, META },
		/* Loopback as the answer: rebinding, unless somebody asked for it. */
		{ "+*", "a.example", "127.0.0.1", 443, SPECIAL },
		{ "+a.example", "a.example", "127.0.0.1", 443, SPECIAL },
		{ "+a.example", "a.example", "::1", 443, SPECIAL },
		{ "+a.example", "a.example", "::ffff:127.0.0.1", 443, SPECIAL },
		{ "+a.example", "a.example", "64:ff9b::7f00:1", 443, SPECIAL },
		{ "+dev.local:5432", "dev.local", "127.0.0.1", 5432, SPECIAL },
		{ "+localhost:5432", "localhost", "127.0.0.1", 5432, YES },
		{ "+app.localhost", "app.localhost", "::1", 3000, YES },
		{ "+*.localhost", "app.localhost", "::1", 3000, SPECIAL },
		{ "+*", "localhost", "127.0.0.1", 80, SPECIAL },
		{ "+notlocalhost", "notlocalhost", "127.0.0.1", 80, SPECIAL },
		{ "+a.example =127.0.0.1/32:5432", "a.example", "127.0.0.1", 5432, YES },
		{ "+a.example =127.0.0.1/32:5432", "a.example", "127.0.0.1", 80, SPECIAL },
		{ "+a.example =127.0.0.1/32:5432", "a.example", "127.0.0.1", 0, YES },
		{ "+a.example =0.0.0.0/0:5432", "a.example", "127.0.0.1", 5432, SPECIAL },
		/* Deny rules that name the address. */
		{ "+a.example -192.0.2.7", "a.example", "192.0.2.7", 443, DENIED },
		{ "+a.example -192.0.2.7", "a.example", "64:ff9b::c000:207", 443, DENIED },
		{ "+a.example -192.0.2.7", "a.example", "::ffff:192.0.2.7", 0, DENIED },
		{ "+a.example -192.0.2.7:80", "a.example", "192.0.2.7", 443, YES },
		{ "+a.example -192.0.2.7:80", "a.example", "192.0.2.7", 80, DENIED },
		{ "+a.example -192.0.2.7:80", "a.example", "192.0.2.7", 0, YES },
		{ "+localhost -127.0.0.1", "localhost", "127.0.0.1", 80, DENIED },
		{ "!", "a.example", "127.0.0.1", 80, SPECIAL },
		{ "!", "a.example", "169.254.169.254", 80, META },
		{ "!", "a.example", "192.0.2.7", 80, YES },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host h = host_of(rows[i].name);
		struct addr a = addr_of(rows[i].addr), folded = addr_unmap(&a);
		struct verdict by, v;
		struct filter f;

		policy(&f, rows[i].rules);
		filter_check_name(&f, &h, &by);
		assert_true(by.allowed);
		filter_check_answer(&f, &a, rows[i].port, by.rule, &v);
		if (v.reason != rows[i].want)
			fail_msg("row %zu: {%s} %s at %s is %d", i, rows[i].rules, rows[i].name,
				 rows[i].addr, v.reason);
		assert_true(addr_eq(&v.addr, &folded));
		assert_int_equal(v.allowed, rows[i].want == YES);
		filter_done(&f);
	}
}

static void test_names_without_port(void **state)
{
	static const struct {
		const char *rules, *host;
		enum reason want;
	} rows[] = {
		{ "", "example.com", NOT },
		{ "+example.com:443", "example.com", YES },
		{ "+example.com:443", "a.example.com", NOT },
		{ "+* -evil.com", "evil.com", DENIED },
		{ "+* -evil.com:443", "evil.com", YES },
		{ "+evil.com:443 -evil.com:80", "evil.com", YES },
		/* No port is left. */
		{ "+evil.com:443 -evil.com:443", "evil.com", DENIED },
		{ "+evil.com:443 +evil.com:80 -evil.com:443", "evil.com", YES },
		{ "+evil.com:443 +*.com:80 -evil.com:443 -*:80", "evil.com", DENIED },
		{ "+*", "metadata.google.internal", META },
		{ "+*", "169.254.169.254", META },
		{ "+*", "2852039166", META },
		{ "+*", "127.0.0.1", CIDR },
		{ "=127.0.0.1/32:80", "127.0.0.1", YES },
		{ "+* -192.0.2.7:80", "192.0.2.7", YES },
		{ "+* -192.0.2.7", "192.0.2.7", DENIED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host h = host_of(rows[i].host);
		struct verdict v;
		struct filter f;

		policy(&f, rows[i].rules);
		filter_check_name(&f, &h, &v);
		if (v.reason != rows[i].want)
			fail_msg("row %zu: {%s} %s is %d", i, rows[i].rules, rows[i].host,
				 v.reason);
		filter_done(&f);
	}
}

static void test_monitor(void **state)
{
	static const struct {
		const char *rules, *host;
		enum reason reason;
		bool allowed, monitored;
	} rows[] = {
		{ "!", "example.com", NOT, true, true },
		{ "! +example.com", "example.com", YES, true, false },
		{ "! -evil.com", "evil.com", DENIED, true, true },
		{ "!", "192.0.2.7", CIDR, true, true },
		{ "!", "169.254.169.254", META, false, false },
		{ "!", "metadata.google.internal", META, false, false },
		{ "!", "169.254.1.1", LINK, false, false },
		{ "!", "0.0.0.0", SPECIAL, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct host h = host_of(rows[i].host);
		struct verdict v, n;
		struct filter f;

		policy(&f, rows[i].rules);
		filter_check_host(&f, &h, 443, &v);
		filter_check_name(&f, &h, &n);
		if (v.reason != rows[i].reason || v.allowed != rows[i].allowed ||
		    v.monitored != rows[i].monitored)
			fail_msg("row %zu: %s", i, rows[i].host);
		assert_int_equal(n.allowed, v.allowed);
		assert_int_equal(n.monitored, v.monitored);
		filter_done(&f);
	}
}

/* The verdict names the rule that decided, the first of several. */
static void test_verdict_names_the_rule(void **state)
{
	struct filter f;
	struct host h = host_of("a.example.com");
	struct verdict v;

	(void)state;
	policy(&f, "+*.example.com:80 +*.Example.com +a.example.com -*.evil.com -a.evil.com");
	assert_int_equal(f.count, 5);
	filter_check_host(&f, &h, 443, &v);
	assert_non_null(v.rule);
	assert_int_equal(v.rule->id, 1);
	assert_string_equal(v.rule->text, "*.Example.com");
	assert_string_equal(v.rule->name, "example.com");
	assert_string_equal(v.rule->origin, "test");
	h = host_of("a.evil.com");
	filter_check_host(&f, &h, 443, &v);
	assert_int_equal(v.rule->id, 3);
	h = host_of("b.org");
	filter_check_host(&f, &h, 443, &v);
	assert_null(v.rule);
	h = host_of("169.254.169.254");
	filter_check_host(&f, &h, 443, &v);
	assert_null(v.rule);
	filter_done(&f);
	assert_null(f.rules);
	/* And can be filled again. */
	assert_int_equal(filter_add_domain(&f, false, "x.org", NULL, (char[64]){ 0 }, 64), 0);
	assert_int_equal(f.rules->id, 0);
	filter_done(&f);
}

static void test_patterns_refused(void **state)
{
	static const struct {
		const char *text, *sentence;
	} rows[] = {
		{ "", "\"\": the pattern is empty" },
		{ "*.", "\"*.\": a wildcard needs a name behind it" },
		{ "*.:443", "\"*.:443\": a wildcard needs a name behind it" },
		{ "*corp", "\"*corp\": write *.corp (a pattern never matches without the dot)" },
		{ "**", "write *.*" },
		{ ".corp", "write *.corp for the names below, or corp for the name itself" },
		{ "a.*.com", "stands alone or at the front" },
		{ "*.*.com", "stands alone or at the front" },
		{ "a.com.*", "stands alone or at the front" },
		{ "https://x/", "\"https://x/\": give the host only, without scheme and path" },
		{ "x.com/path", "without a path" },
		{ "10.0.0.0/8", "a network is written --allow-cidr 10.0.0.0/LEN:PORT" },
		{ "user@x.com", "without a user" },
		{ "x.com ", "blanks" },
		{ " x.com", "blanks" },
		{ "x\ty", "\"x?y\": blanks and control characters" },
		{ "x\033[31m", "\"x?[31m\": blanks" },
		{ "x.com:0", "the port must be a number from 1 to 65535" },
		{ "x.com:65536", "the port must be a number from 1 to 65535" },
		{ "x.com:", "the port must be a number from 1 to 65535" },
		{ "x.com:http", "the port must be a number from 1 to 65535" },
		{ "*:0", "the port must be a number from 1 to 65535" },
		{ "*:", "the port must be a number from 1 to 65535" },
		{ "[::1]:99999", "the port must be a number from 1 to 65535" },
		{ "[::1", "the bracket is not closed" },
		{ "[::1]443", "only :PORT may follow the bracket" },
		{ "[x.com]", "[x.com] is not a valid host name" },
		{ "a..b", "a..b is not a valid host name" },
		{ "x.com..", "x.com.. is not a valid host name" },
		{ "xn--zz", "xn--zz is not a valid host name" },
		{ "x.com:80:90", "x.com:80:90 is not a valid host name" },
		{ "fe80::1%eth0", "is not a valid host name" },
		{ "a,b", "a,b is not a valid host name" },
		{ "1.2.3.4.5", "is not a valid host name" },
		{ "*.1.2.3.4", "a wildcard needs a name behind it, not an address" },
		{ "*.[::1]", "a wildcard needs a name behind it, not an address" },
		{ "2852039166", "write the address plainly: 169.254.169.254" },
		{ "0x7f.1:80", "write the address plainly: 127.0.0.1" },
		{ "\uff11.2.3.4", "write the address plainly: 1.2.3.4" },
		{ "169.254.169.254",
		  "169.254.169.254 is a cloud metadata address, which is always" },
		{ "[64:ff9b::a9fe:a9fe]:80",
		  "is a cloud metadata address, which is always refused" },
		{ "169.254.1.1", "169.254.1.1 is link-local, which is always refused" },
		{ "0.0.0.0", "0.0.0.0 is a special address, which is always refused" },
		{ "metadata.google.internal:443",
		  "is a cloud metadata name, which is always refused" },
		{ "*.metadata.google.internal",
		  "is a cloud metadata name, which is always refused" },
		{ "METADATA.", "metadata is a cloud metadata name" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct filter f;
		char why[512] = "";

		filter_init(&f);
		assert_int_equal(
			filter_add_domain(&f, false, rows[i].text, "test", why, sizeof(why)),
			-EINVAL);
		if (!strstr(why, rows[i].sentence))
			fail_msg("%s: says %s", rows[i].text, why);
		assert_int_equal(f.count, 0);
		assert_null(f.rules);
		filter_done(&f);
	}
}

static void test_patterns_accepted(void **state)
{
	static const struct {
		const char *text;
		bool deny;
		enum rule_kind kind;
		uint16_t port;
		const char *name;
	} rows[] = {
		{ "example.com", false, RULE_EXACT, 0, "example.com" },
		{ "Example.COM.:443", false, RULE_EXACT, 443, "example.com" },
		{ "*.example.com:443", false, RULE_SUFFIX, 443, "example.com" },
		{ "*.b\u00fccher.example", false, RULE_SUFFIX, 0, "xn--bcher-kva.example" },
		{ "*", false, RULE_ANY, 0, NULL },
		{ "*:443", false, RULE_ANY, 443, NULL },
		{ "[2001:db8::7]:443", false, RULE_ADDR, 443, NULL },
		{ "2001:db8::7", false, RULE_ADDR, 0, NULL },
		{ "192.0.2.7", false, RULE_ADDR, 0, NULL },
		{ "192.0.2.7.:443", false, RULE_ADDR, 443, NULL },
		{ "[::ffff:192.0.2.7]", false, RULE_ADDR, 0, NULL },
		{ "127.0.0.1:80", false, RULE_ADDR, 80, NULL },
		/* A deny rule may name what is refused anyway. */
		{ "169.254.169.254", true, RULE_ADDR, 0, NULL },
		{ "metadata.google.internal", true, RULE_EXACT, 0, "metadata.google.internal" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct filter f;
		char why[256] = "";

		filter_init(&f);
		if (filter_add_domain(&f, rows[i].deny, rows[i].text, "test", why, sizeof(why)))
			fail_msg("%s", why);
		assert_int_equal(f.rules->kind, rows[i].kind);
		assert_int_equal(f.rules->port, rows[i].port);
		assert_int_equal(f.rules->deny, rows[i].deny);
		assert_string_equal(f.rules->text, rows[i].text);
		if (rows[i].name)
			assert_string_equal(f.rules->name, rows[i].name);
		filter_done(&f);
	}
}

static void test_cidrs_refused(void **state)
{
	static const struct {
		const char *text, *sentence;
	} rows[] = {
		{ "", "\"\": the network is empty" },
		{ "10.20.0.0/16", "a port is needed, as in 10.20.0.0/16:443" },
		{ "[2001:db8::/32]", "a port is needed, as in [2001:db8::/32]:443" },
		{ "10.1.2.3", "a port is needed, as in 10.1.2.3:443" },
		{ "10.20.3.4/16:80",
		  "bits behind the prefix are set; the network is 10.20.0.0/16" },
		{ "[2001:db8::1/64]:80", "the network is 2001:db8::/64" },
		{ "10.0.0.0/33:80", "the prefix length must be a number from 0 to 32" },
		{ "10.0.0.0/:80", "the prefix length must be a number from 0 to 32" },
		{ "10.0.0.0/x:80", "the prefix length must be a number from 0 to 32" },
		{ "[::/129]:80", "the prefix length must be a number from 0 to 128" },
		{ "10.0.0.0/8:0", "the port must be a number from 1 to 65535" },
		{ "10.0.0.0/8:", "the port must be a number from 1 to 65535" },
		{ "10.0.0.0/8:65536", "the port must be a number from 1 to 65535" },
		{ "10.0.0.0/8:80:90", "the port must be a number from 1 to 65535" },
		{ "2001:db8::7:443", "write an IPv6 address with brackets" },
		{ "[2001:db8::/32", "the bracket is not closed" },
		{ "[2001:db8::/32]443", "only :PORT may follow the bracket" },
		{ "example.com/8:80", "example.com is not an IP address" },
		{ "0x0a000000/8:80", "0x0a000000 is not an IP address" },
		{ "10/8:80", "10 is not an IP address" },
		{ ":80", "is not an IP address" },
		{ "10.0.0.0/8 :80", "blanks" },
		{ "169.254.0.0/16:80", "the network is link-local, which is always refused" },
		{ "169.254.169.254/32:80", "is a cloud metadata address, which is always refused" },
		{ "[::ffff:169.254.0.0/112]:80", "the network is link-local" },
		{ "[fe80::/64]:80", "the network is link-local, which is always refused" },
		{ "224.0.0.0/4:80", "the network is special, which is always refused" },
		{ "[ff02::/16]:80", "the network is special, which is always refused" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct filter f;
		char why[256] = "";

		filter_init(&f);
		assert_int_equal(filter_add_cidr(&f, rows[i].text, "test", why, sizeof(why)),
				 -EINVAL);
		if (!strstr(why, rows[i].sentence))
			fail_msg("%s: says %s", rows[i].text, why);
		assert_int_equal(f.count, 0);
		filter_done(&f);
	}
}

/* The sentence is cut to its buffer, and never written beyond. */
static void test_sentence_is_cut(void **state)
{
	char text[1000], why[300];
	struct filter f;

	(void)state;
	filter_init(&f);
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (size_t n = 1; n < sizeof(why); n++) {
		memset(why, '~', sizeof(why));
		assert_int_equal(filter_add_domain(&f, false, text, NULL, why, n), -EINVAL);
		assert_true(memchr(why, '\0', n) != NULL);
		for (size_t i = n; i < sizeof(why); i++)
			assert_int_equal(why[i], '~');
	}
	filter_done(&f);
}

/* The store of rules has an end, and reaching it changes nothing. */
static void test_rules_have_a_cap(void **state)
{
	struct filter f;
	char name[32], why[64];
	uint32_t before;
	struct verdict v;
	struct host h;
	int r = 0;

	(void)state;
	filter_init(&f);
	f.arena.max = 100000;
	for (unsigned int i = 0; r == 0 && i < 100000; i++) {
		before = f.count;
		(void)snprintf(name, sizeof(name), "h%u.example", i);
		r = filter_add_domain(&f, false, name, "test", why, sizeof(why));
	}
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(f.count, before);
	h = host_of(name);
	filter_check_host(&f, &h, 443, &v);
	assert_false(v.allowed);
	h = host_of("h0.example");
	filter_check_host(&f, &h, 443, &v);
	assert_true(v.allowed);
	filter_done(&f);
}

/* ---- properties ---- */

static const char *const pool[] = {
	"example.com", "a.example.com",	    "b.a.example.com", "evil.com",	   "x.evil.com",
	"localhost",   "app.localhost",	    "192.0.2.7",       "10.1.2.3",	   "127.0.0.1",
	"2001:db8::7", "64:ff9b::c000:207", "2002:c000:207::", "::ffff:192.0.2.7", "com",
};

static void random_policy(struct filter *f, char *line, size_t cap)
{
	static const char *const patterns[] = {
		"*",
		"*:443",
		"example.com",
		"*.example.com",
		"a.example.com:443",
		"evil.com",
		"*.evil.com",
		"*.com",
		"localhost",
		"192.0.2.7",
		"10.1.2.3:80",
		"127.0.0.1",
		"[2001:db8::7]:443",
		"*.com:80",
	};
	static const char *const nets[] = { "10.0.0.0/8:443", "0.0.0.0/0:80", "127.0.0.0/8:443",
					    "[2001:db8::/32]:80", "192.0.2.0/24:443" };
	size_t n = 0;

	line[0] = '\0';
	for (uint32_t k = rnd(7); k > 0; k--) {
		uint32_t what = rnd(8);

		n += (size_t)snprintf(line + n, cap - n, "%c%s ",
				      what == 0	 ? '='
				      : what < 4 ? '-'
						 : '+',
				      what == 0 ? nets[rnd(ARRAY_SIZE(nets))]
						: patterns[rnd(ARRAY_SIZE(patterns))]);
	}
	policy(f, line);
}

/* A deny rule that matches is never overruled, and nothing is allowed that no rule covers. */
static void test_random_policies(void **state)
{
	static const uint16_t ports[] = { 80, 443, 22 };
	unsigned int allowed = 0, denied = 0, refused = 0;

	(void)state;
	for (int round = 0; round < 30000; round++) {
		struct host h = host_of(pool[rnd(ARRAY_SIZE(pool))]);
		uint16_t port = ports[rnd(ARRAY_SIZE(ports))];
		bool deny_match = false, allow_match = false;
		struct verdict v, n;
		struct filter f;
		char line[512];

		random_policy(&f, line, sizeof(line));
		for (const struct rule *r = f.rules; r; r = r->next) {
			deny_match |= r->deny && rule_matches_name(r, &h, port);
			allow_match |= !r->deny && rule_matches_name(r, &h, port);
		}
		filter_check_host(&f, &h, port, &v);
		filter_check_name(&f, &h, &n);
		if (deny_match && (v.allowed || v.reason != DENIED))
			fail_msg("{%s} %s:%u: a deny rule matches", line, h.name, port);
		if (!allow_match && v.allowed)
			fail_msg("{%s} %s:%u: no allow rule matches", line, h.name, port);
		/* What is allowed on a port is allowed without one; a name is asked before its port
		 * is known. */
		if (v.allowed && !n.allowed)
			fail_msg("{%s} %s:%u allowed, but not as a name", line, h.name, port);
		if (v.allowed != (v.reason == YES) || (v.allowed && !v.rule))
			fail_msg("{%s} %s:%u: verdict at odds with itself", line, h.name, port);
		if (!h.is_addr && !deny_match && allow_match != v.allowed)
			fail_msg("{%s} %s:%u: allowed name refused", line, h.name, port);
		allowed += v.allowed;
		denied += v.reason == DENIED;
		refused += v.reason == NOT || v.reason == CIDR;
		filter_done(&f);
	}
	assert_true(allowed > 2000 && denied > 2000 && refused > 2000);
}

/* One spelling of an IPv4 address that inet_aton() reads. */
static void spell(const struct addr *a, char *out, size_t cap)
{
	static const char *const formats[] = { "%u", "0%o", "0x%x", "0X%X", "000%o", "0x0%x" };
	uint32_t parts = 1 + rnd(4), v = (uint32_t)a->b[0] << 24 | (uint32_t)a->b[1] << 16 |
					 (uint32_t)a->b[2] << 8 | a->b[3];
	size_t n = 0;

	for (uint32_t k = 0; k < parts; k++) {
		const char *fmt = formats[rnd(ARRAY_SIZE(formats))];
		unsigned int part = k + 1 < parts ? a->b[k] : k ? v & (0xffffffffU >> 8 * k) : v;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		n += (size_t)snprintf(out + n, cap - n, fmt, part);
#pragma GCC diagnostic pop
		if (k + 1 < parts || rnd(4) == 0)
			n += (size_t)snprintf(out + n, cap - n, ".");
	}
}

/* One IPv6 address that stands for an IPv4 one, as text. */
static void wrap(const struct addr *a, char *out, size_t cap)
{
	const uint8_t *b = a->b;
	unsigned int hi = (unsigned int)b[0] << 8 | b[1], lo = (unsigned int)b[2] << 8 | b[3];
	char inner[64];

	(void)snprintf(inner, sizeof(inner), rnd(2) ? "%x:%x" : "%04x:%04X", hi, lo);
	switch (rnd(9)) {
	case 0:
		(void)snprintf(out, cap, "[::ffff:%s]", inner);
		break;
	case 1:
		(void)snprintf(out, cap, "::%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
		break;
	case 2:
		(void)snprintf(out, cap, "[::FFFF:0:%s]", inner);
		break;
	case 3:
		(void)snprintf(out, cap, "64:ff9b::%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
		break;
	case 4:
		(void)snprintf(out, cap, "[64:ff9b:1:%x::%s]", rnd(65536), inner);
		break;
	case 5:
		(void)snprintf(out, cap, "[2002:%s:%x::%x]", inner, rnd(65536), rnd(65536));
		break;
	case 6:
		(void)snprintf(out, cap, "2001:0:%s::%x", inner, 1 + rnd(65535));
		break;
	case 7:
		(void)snprintf(out, cap, "[2001:0:c000:201:0:0:%x:%x]", hi ^ 0xffff, lo ^ 0xffff);
		break;
	default:
		(void)snprintf(out, cap, "2001:db8::%s:%s", rnd(2) ? "5efe" : "200:5efe", inner);
		break;
	}
}

/* The always-refused addresses in every disguise that can be made, against the widest policy there
 * is. */
static void test_disguises_are_refused(void **state)
{
	static const char *const addrs[] = {
		"169.254.169.254", "169.254.170.2",   "169.254.170.23", "169.254.169.123",
		"169.254.169.253", "100.100.100.200", "168.63.129.16",	"192.0.0.192",
		"169.254.1.1",	   "224.0.0.251",     "240.0.0.1",	"255.255.255.255",
	};
	struct filter wide, monitor;

	(void)state;
	policy(&wide, "+* =0.0.0.0/0:80 =[::/0]:80");
	policy(&monitor, "! +*");
	for (int round = 0; round < 40000; round++) {
		struct addr a = addr_of(addrs[rnd(ARRAY_SIZE(addrs))]);
		enum reason want = addr_class_reason(addr_classify(&a, NULL, NULL));
		struct verdict v;
		struct host h;
		char text[128];

		if (rnd(2))
			spell(&a, text, sizeof(text));
		else
			wrap(&a, text, sizeof(text));
		if (!host_parse(str_of(text), &h))
			fail_msg("%s is not read", text);
		if (!h.is_addr)
			fail_msg("%s is taken for a name", text);
		filter_check_host(&wide, &h, 80, &v);
		/* In the local NAT64 prefix a shorter reading may be worse still. */
		if (v.allowed || (v.reason != want && strncmp(text, "[64:ff9b:1:", 11) != 0))
			fail_msg("%s: reason %d", text, v.reason);
		filter_check_dest(&wide, &(struct endpoint){ h.addr, 80 }, &v);
		assert_false(v.allowed);
		filter_check_answer(&wide, &h.addr, 80, wide.rules, &v);
		assert_false(v.allowed);
		filter_check_host(&monitor, &h, 80, &v);
		assert_false(v.allowed);
	}
	filter_done(&wide);
	filter_done(&monitor);
}

/* Patterns and hosts made of the same letters: a pattern that is accepted matches its own normal
 * name and nothing shorter. */
static void test_random_patterns(void **state)
{
	static const char *const bits[] = { "*",       ".", "a", "b.c", "*.",	     ":443",
					    "example", "[", "]", "::1", "192.0.2.7", "\u00fc",
					    "xn--",    "-", ":", "/8" };
	unsigned int accepted = 0;

	(void)state;
	for (int round = 0; round < 100000; round++) {
		char text[128] = "", why[128];
		struct filter f;
		size_t n = 0;
		struct verdict v;

		for (uint32_t k = 1 + rnd(5); k > 0; k--)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s",
					      bits[rnd(ARRAY_SIZE(bits))]);
		filter_init(&f);
		if (filter_add_domain(&f, false, text, "t", why, sizeof(why)) == 0) {
			const struct rule *r = f.rules;
			char below[300];
			struct host h;

			accepted++;
			if (r->kind == RULE_EXACT || r->kind == RULE_SUFFIX) {
				h = host_of(r->name);
				filter_check_host(&f, &h, 443, &v);
				assert_int_equal(v.allowed, r->kind == RULE_EXACT);
				(void)snprintf(below, sizeof(below), "z.%s", r->name);
				h = host_of(below);
				filter_check_host(&f, &h, 443, &v);
				assert_int_equal(v.allowed, r->kind == RULE_SUFFIX);
				(void)snprintf(below, sizeof(below), "z%s", r->name);
				if (host_parse(str_of(below), &h)) {
					filter_check_host(&f, &h, 443, &v);
					assert_int_equal(v.allowed, rule_matches_name(r, &h, 443));
				}
			}
		} else {
			assert_null(f.rules);
			assert_true(strlen(why) > strlen("\"\": "));
		}
		filter_done(&f);
	}
	assert_true(accepted > 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_dest_is_decided_like_a_literal),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_names_without_port),
		cmocka_unit_test(test_monitor),
		cmocka_unit_test(test_verdict_names_the_rule),
		cmocka_unit_test(test_patterns_refused),
		cmocka_unit_test(test_patterns_accepted),
		cmocka_unit_test(test_cidrs_refused),
		cmocka_unit_test(test_sentence_is_cut),
		cmocka_unit_test(test_rules_have_a_cap),
		cmocka_unit_test(test_random_policies),
		cmocka_unit_test(test_disguises_are_refused),
		cmocka_unit_test(test_random_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
