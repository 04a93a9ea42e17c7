/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out: what is dialled, in which order, what stands in for what, and how a failure looks
 * from inside.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "proxy/dial.h"
#include "tests/support/proxy_script.h"
#include "wire/tls_hello.h"

#define OPEN  "\"event\":\"open\""
#define ALLOW "\"decision\":\"allow\""
#define DENY  "\"decision\":\"deny\""

static struct addr addr_of(const char *text)
{
	struct addr a;

	if (!addr_parse(str_of(text), &a))
		fail_msg("%s", text);
	return a;
}

static void accepting(struct rig *g, const char *at)
{
	(void)script_server(g->script, at, SCRIPT_ACCEPTS,
			    STEPS(g, SCRIPT_SEND("ok"), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
}

static struct script_peer *greeted(struct rig *g, const char *to)
{
	return rig_client(g, to, STEPS(g, SCRIPT_EXPECT(2), SCRIPT_EOF, SCRIPT_EXPECT_EOF));
}

static void expect_reset(const struct script_peer *p)
{
	assert_true(script_sent_reset(p));
	assert_int_equal(script_sent(p).n, 0);
}

/* ---- the list */

static void test_interleave(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "192.0.2.1 192.0.2.2 2001:db8::1 2001:db8::2",
		  "192.0.2.1 2001:db8::1 192.0.2.2 2001:db8::2" },
		{ "2001:db8::1 192.0.2.1 192.0.2.2", "2001:db8::1 192.0.2.1 192.0.2.2" },
		{ "2001:db8::1 2001:db8::2 2001:db8::3 192.0.2.1",
		  "2001:db8::1 192.0.2.1 2001:db8::2 2001:db8::3" },
		{ "192.0.2.1 ::ffff:192.0.2.1 192.0.2.1", "192.0.2.1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dial_list l = { .n = 0 };
		char got[400] = "", text[ADDR_TEXT_MAX];
		size_t at = 0;

		for (const char *p = rows[i].in; *p;) {
			size_t n = strcspn(p, " ");
			struct addr a;

			assert_true(addr_parse((struct str){ p, n }, &a));
			dial_list_add(&l, &a, 443);
			p += n + strspn(p + n, " ");
		}
		dial_list_interleave(&l);
		for (size_t k = 0; k < l.n; k++) {
			at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%s", k ? " " : "",
					       addr_text(&l.to[k].addr, text));
			assert_int_equal(l.to[k].port, 443);
		}
		assert_string_equal(got, rows[i].want);
	}
}

static void test_list_is_bounded(void **state)
{
	struct dial_list l = { .n = 0 };

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		struct addr a = addr_v4(0xc0000201u + i);

		dial_list_add(&l, &a, 1);
	}
	assert_int_equal(l.n, RACE_MAX);
}

/* ---- the last check */

struct dialling {
	struct rig *g;
	struct dial_list list;
	const struct rule *by;
	enum reason reason;
	int fd;
	struct addr addr;
};

static void do_dial(void *arg)
{
	struct dialling *d = arg;

	d->fd = -EBADF;
	d->reason = dial(&d->g->server, &d->list, d->by, &d->fd, &d->addr);
	loop_close(d->g->loop, &d->fd);
}

/* Whatever a caller hands over, an address that is always refused is not dialled. */
static void test_checked_again_at_the_moment_of_dialling(void **state)
{
	static const struct {
		const char *addr;
		enum reason want;
	} rows[] = {
		{ "169.254.169.254", REASON_METADATA_ADDRESS },
		{ "::ffff:169.254.169.254", REASON_METADATA_ADDRESS },
		{ "64:ff9b::a9fe:a9fe", REASON_METADATA_ADDRESS },
		{ "169.254.3.4", REASON_LINK_LOCAL_ADDRESS },
		{ "0.0.0.0", REASON_SPECIAL_ADDRESS },
		{ "127.0.0.1", REASON_SPECIAL_ADDRESS },
		{ "::1", REASON_SPECIAL_ADDRESS },
		{ "203.0.113.9", REASON_HOST_DENIED },
		{ "192.0.2.1", REASON_NONE },
		{ "10.0.0.1", REASON_NONE }, /* private, and the name is allowed */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct dialling d = { .g = g };
		struct addr a = addr_of(rows[i].addr);

		rig_allow(g, "a.test");
		rig_deny(g, "203.0.113.9");
		rig_start(g);
		accepting(g, "192.0.2.1:443");
		accepting(g, "10.0.0.1:443");
		d.by = g->filter.rules;
		dial_list_add(&d.list, &a, 443);
		rig_call(g, do_dial, &d);
		if (d.reason != rows[i].want)
			fail_msg("%s: %s", rows[i].addr, reason_word(d.reason));
		assert_int_equal(*rig_dialled(g) != '\0', rows[i].want == REASON_NONE);
	}
}

static void test_self_is_not_dialled(void **state)
{
	struct rig *g = *state;
	struct dialling d = { .g = g };
	struct addr a = addr_of("127.0.0.1");

	rig_cidr(g, "127.0.0.1/32:40001");
	rig_start(g);
	d.by = g->filter.rules;
	dial_list_add(&d.list, &a, 40001);
	rig_call(g, do_dial, &d);
	assert_int_equal(d.reason, REASON_LOOP_REFUSED);
	d.list.n = 0;
	rig_call(g, do_dial, &d);
	assert_int_equal(d.reason, REASON_DNS_NO_ADDRESS);
	assert_string_equal(rig_dialled(g), "");
}

/* One bad address among good ones is passed over here; that the name is refused for it is the
 * look-up's business. */
static void test_bad_one_is_passed_over(void **state)
{
	struct rig *g = *state;
	struct dialling d = { .g = g };
	struct addr bad = addr_of("169.254.169.254"), good = addr_of("192.0.2.1");

	rig_allow(g, "a.test");
	rig_start(g);
	accepting(g, "192.0.2.1:443");
	d.by = g->filter.rules;
	dial_list_add(&d.list, &bad, 443);
	dial_list_add(&d.list, &good, 443);
	rig_call(g, do_dial, &d);
	assert_int_equal(d.reason, REASON_NONE);
	assert_true(addr_eq(&d.addr, &good));
	assert_string_equal(rig_dialled(g), "192.0.2.1:443 ");
}

/* ---- failures, as the client and the audit see them */

static void test_upstream_failures(void **state)
{
	static const struct {
		enum script_behaviour behaviour;
		const char *reason;
		nsec_t after;
	} rows[] = {
		{ SCRIPT_REFUSES, "upstream_refused", 0 },
		{ SCRIPT_UNREACHABLE, "upstream_unreachable", 0 },
		{ SCRIPT_BLACK_HOLE, "upstream_timeout", 10 * NSEC_PER_SEC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;
		bool known = i % 2;
		char reason[64];

		rig_allow(g, "a.test");
		if (known)
			rig_bind(g, "a.test", "192.0.2.1");
		rig_resolves(g, "a.test", "192.0.2.1", 0);
		(void)script_server(g->script, "192.0.2.1:443", rows[i / 2].behaviour, NULL);
		c = rig_client(g, "192.0.2.1:443",
			       STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "a.test"), 0),
				     SCRIPT_EXPECT_EOF));
		if (rows[i / 2].after) {
			rig_run_for(g, rows[i / 2].after - NSEC_PER_MSEC);
			assert_false(script_sent_reset(c));
		}
		rig_run_for(g, 2 * NSEC_PER_MSEC);
		expect_reset(c);
		(void)snprintf(reason, sizeof(reason), "\"reason\":\"%s\"", rows[i / 2].reason);
		if (!rig_record(g, OPEN, DENY, reason, "\"target\":\"a.test\""))
			fail_msg("%s:\n%s", reason, rig_audit(g));
		assert_int_equal(rig_count(g, "{"), 1);
	}
}

/* ---- RFC 8305 */

static void test_black_hole_is_passed_by_after_the_stagger(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_allow(g, "a.test");
	rig_bind(g, "a.test", "192.0.2.1 192.0.2.2");
	(void)script_server(g->script, "192.0.2.1:22", SCRIPT_BLACK_HOLE, NULL);
	accepting(g, "192.0.2.2:22");
	c = greeted(g, "192.0.2.1:22");
	rig_run_for(g, 249 * NSEC_PER_MSEC);
	assert_string_equal(rig_dialled(g), "192.0.2.1:22 ");
	rig_run_for(g, 2 * NSEC_PER_MSEC);
	assert_string_equal(rig_dialled(g), "192.0.2.1:22 192.0.2.2:22 ");
	rig_run(g);
	rig_expect_sent(c, STR_LIT("ok"));
	assert_non_null(rig_record(g, OPEN, ALLOW, "\"resolved_ip\":\"192.0.2.2\"",
				   "\"orig_dst\":\"192.0.2.1:22\""));
}

static void test_refusals_do_not_wait(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_allow(g, "a.test");
	rig_bind(g, "a.test", "192.0.2.1 192.0.2.2 192.0.2.3");
	(void)script_server(g->script, "192.0.2.1:22", SCRIPT_REFUSES, NULL);
	(void)script_server(g->script, "192.0.2.2:22", SCRIPT_UNREACHABLE, NULL);
	(void)script_server(g->script, "192.0.2.3:22", SCRIPT_REFUSES, NULL);
	c = greeted(g, "192.0.2.1:22");
	rig_run_for(g, NSEC_PER_MSEC);
	expect_reset(c);
	/* What the address said that was asked for. */
	assert_non_null(rig_record(g, OPEN, DENY, "\"reason\":\"upstream_refused\""));
	assert_int_equal(strncmp(rig_dialled(g), "192.0.2.1:22 ", 13), 0);
	assert_int_equal(strlen(rig_dialled(g)), 39);
}

/* Two names share X: what only one of them has cannot stand in for both. */
static void test_only_shared_addresses_stand_in(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_allow(g, "*.test");
	rig_bind(g, "a.test", "192.0.2.1 192.0.2.2 192.0.2.3");
	rig_bind(g, "b.test", "192.0.2.4 192.0.2.3 192.0.2.1");
	(void)script_server(g->script, "192.0.2.1:443", SCRIPT_REFUSES, NULL);
	accepting(g, "192.0.2.2:443");
	accepting(g, "192.0.2.4:443");
	(void)script_server(g->script, "192.0.2.3:443", SCRIPT_REFUSES, NULL);
	c = greeted(g, "192.0.2.1:443");
	rig_run(g);
	expect_reset(c);
	assert_string_equal(rig_dialled(g), "192.0.2.1:443 192.0.2.3:443 ");
}

/* A name that the filter does not admit on this port does not narrow the choice. */
static void test_names_of_other_ports_do_not_count(void **state)
{
	struct rig *g = *state;

	rig_allow(g, "a.test");
	rig_allow(g, "b.test:8443");
	rig_bind(g, "a.test", "192.0.2.1 192.0.2.2");
	rig_bind(g, "b.test", "192.0.2.1");
	(void)script_server(g->script, "192.0.2.1:443", SCRIPT_REFUSES, NULL);
	accepting(g, "192.0.2.2:443");
	(void)greeted(g, "192.0.2.1:443");
	rig_run(g);
	assert_string_equal(rig_dialled(g), "192.0.2.1:443 192.0.2.2:443 ");
}

/* Under "*" the client may mean a name that is not bound at all; the stand-in is not its server. */
static void test_stand_in_serves_only_its_names(void **state)
{
	static const struct {
		const char *sni;
		bool passes;
	} rows[] = { { "a.test", true }, { "z.test", false } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		struct str hello;

		rig_allow(g, "*");
		rig_bind(g, "a.test", "192.0.2.1 192.0.2.2");
		hello = rig_hello_for(g, rows[i].sni);
		(void)script_server(g->script, "192.0.2.1:443", SCRIPT_REFUSES, NULL);
		srv = script_server(g->script, "192.0.2.2:443", SCRIPT_ACCEPTS, NULL);
		(void)rig_client(g, "192.0.2.1:443", STEPS(g, SCRIPT_SEND_STR(hello, 0)));
		rig_run_for(g, NSEC_PER_SEC);
		assert_int_equal(script_server_count(srv), 1);
		rig_expect_sent(script_server_peer(srv, 0),
				rows[i].passes ? hello : (struct str){ "", 0 });
		assert_int_equal(rig_count(g, OPEN, DENY, "\"reason\":\"sni_mismatch\""),
				 !rows[i].passes);
	}
}

/* ---- rebinding */

/* The name was good when it was bound; an address of it that is refused today is not dialled. */
static void test_bound_bad_address_is_no_stand_in(void **state)
{
	struct rig *g = *state;

	rig_allow(g, "a.test");
	rig_bind(g, "a.test", "192.0.2.1 169.254.169.254 127.0.0.1");
	(void)script_server(g->script, "192.0.2.1:80", SCRIPT_REFUSES, NULL);
	(void)greeted(g, "192.0.2.1:80");
	rig_run(g);
	assert_string_equal(rig_dialled(g), "192.0.2.1:80 ");
}

static void test_rebinding_dials_nothing(void **state)
{
	static const char *const rows[] = {
		"192.0.2.1 169.254.169.254",
		"127.0.0.1",
		"192.0.2.1 ::1",
		"192.0.2.1 ::ffff:127.0.0.1",
		"192.0.2.1 64:ff9b::7f00:1",
		"0.0.0.0",
		"192.0.2.1 fe80::1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig *g = rig_renew(state);
		struct script_peer *c;

		rig_allow(g, "a.test");
		rig_resolves(g, "a.test", rows[i], 0);
		accepting(g, "192.0.2.1:443");
		c = rig_client(g, "192.0.2.1:443",
			       STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "a.test"), 0),
				     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		rig_run(g);
		assert_string_equal(rig_dialled(g), "");
		assert_int_equal(script_sent(c).n, sizeof(tls_alert_access_denied));
		assert_null(bindings_by_name(&g->server.bindings, "a.test"));
	}
}

/* The resolver's answer changes; what was checked is what is dialled. */
static void test_checked_address_is_the_dialled_one(void **state)
{
	struct rig *g = *state;
	struct rig_name *n;

	rig_allow(g, "a.test");
	n = rig_resolves(g, "a.test", "198.51.100.7", 0);
	script_server_delay(script_server(g->script, "198.51.100.7:443", SCRIPT_BLACK_HOLE, NULL),
			    0);
	(void)rig_client(g, "192.0.2.1:443",
			 STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "a.test"), 0)));
	rig_run_for(g, NSEC_PER_SEC);
	n->answer.addrs[0] = addr_of("127.0.0.1");
	rig_run(g);
	assert_int_equal(g->resolves, 1);
	assert_string_equal(rig_dialled(g), "198.51.100.7:443 ");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interleave),
		cmocka_unit_test(test_list_is_bounded),
		TEST(test_checked_again_at_the_moment_of_dialling),
		TEST(test_self_is_not_dialled),
		TEST(test_bad_one_is_passed_over),
		TEST(test_upstream_failures),
		TEST(test_black_hole_is_passed_by_after_the_stagger),
		TEST(test_refusals_do_not_wait),
		TEST(test_only_shared_addresses_stand_in),
		TEST(test_names_of_other_ports_do_not_count),
		TEST(test_stand_in_serves_only_its_names),
		TEST(test_bound_bad_address_is_no_stand_in),
		TEST(test_rebinding_dials_nothing),
		TEST(test_checked_address_is_the_dialled_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
