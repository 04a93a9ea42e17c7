/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No record, no connection; and what is on record when it fails, and afterwards.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/proxy_script.h"
#include "tests/unit/json_check.h"

#define X     "192.0.2.1"
#define X_443 "192.0.2.1:443"
#define OPEN  "\"event\":\"open\""
#define ALLOW "\"decision\":\"allow\""
#define DENY  "\"decision\":\"deny\""
#define CLOSE "\"event\":\"close\""

static struct script_server *bound(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X);
	return script_server(
		g->script, X_443, SCRIPT_ACCEPTS,
		STEPS(g, SCRIPT_EXPECT(1), SCRIPT_SEND("ok"), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
}

static struct script_peer *saying(struct rig *g, struct str what)
{
	return rig_client(g, X_443,
			  STEPS(g, SCRIPT_SEND_STR(what, 0), SCRIPT_EXPECT(2), SCRIPT_EOF,
				SCRIPT_EXPECT_EOF));
}

/* The server hears nothing of a client whose record could not be written. */
static void expect_not_served(struct script_server *srv)
{
	for (size_t i = 0; i < script_server_count(srv); i++) {
		assert_int_equal(script_sent(script_server_peer(srv, i)).n, 0);
		assert_true(script_sent_reset(script_server_peer(srv, i)));
	}
}

static void test_full_disk(void **state)
{
	struct rig *g = *state;
	struct script_server *srv = bound(g);
	struct script_peer *c;

	rig_audit_full(g, true);
	c = saying(g, STR_LIT("\x01"));
	rig_run(g);
	assert_true(script_sent_reset(c));
	assert_int_equal(script_sent(c).n, 0);
	expect_not_served(srv);
	assert_string_equal(rig_audit(g), "");
	/* The allow record and the deny record. */
	assert_int_equal(g->audit.lost, 2);

	rig_audit_full(g, false);
	c = saying(g, STR_LIT("\x01"));
	rig_run(g);
	rig_expect_sent(c, STR_LIT("ok"));
	assert_non_null(rig_record(g, OPEN, ALLOW, "\"lost\":2", "\"seq\":0,"));
	assert_non_null(rig_record(g, CLOSE, "\"seq\":1,"));
	assert_int_equal(rig_count(g, "\"lost\""), 1);
}

static void test_tls_client_is_told(void **state)
{
	struct rig *g = *state;
	struct script_server *srv = bound(g);
	struct script_peer *c;

	rig_audit_full(g, true);
	c = rig_client(g, X_443,
		       STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "a.test"), 0), SCRIPT_EXPECT_EOF,
			     SCRIPT_EOF));
	rig_run(g);
	assert_int_equal(script_sent(c).n, 7);
	expect_not_served(srv);
}

static void test_unbound_connection(void **state)
{
	struct rig *g = *state;
	struct script_server *srv;

	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", X, 0);
	srv = script_server(g->script, X_443, SCRIPT_ACCEPTS, NULL);
	rig_audit_full(g, true);
	(void)rig_client(g, "198.51.100.1:443",
			 STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "a.test"), 0), SCRIPT_EXPECT_EOF,
			       SCRIPT_EOF));
	rig_run(g);
	expect_not_served(srv);
}

/* A refusal stays one, whether it can be told or not. */
static void test_refusal_without_audit(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_audit_full(g, true);
	c = rig_client(g, X_443, STEPS(g, SCRIPT_SEND("\x01")));
	rig_run(g);
	assert_true(script_sent_reset(c));
	assert_string_equal(rig_dialled(g), "");
	assert_int_equal(g->audit.lost, 1);
}

/* The record of a close that fails is counted; the connection is over anyway. */
static void test_fails_while_relaying(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	rig_allow(g, "a.test");
	rig_bind(g, "a.test", X);
	(void)script_server(
		g->script, X_443, SCRIPT_ACCEPTS,
		STEPS(g, SCRIPT_EXPECT(1), SCRIPT_DELAY(1000), SCRIPT_SEND("ok"), SCRIPT_EOF));
	c = saying(g, STR_LIT("\x01"));
	rig_run_for(g, NSEC_PER_MSEC);
	assert_int_equal(rig_count(g, OPEN, ALLOW), 1);
	rig_audit_full(g, true);
	rig_run(g);
	rig_expect_sent(c, STR_LIT("ok"));
	assert_int_equal(rig_count(g, "{"), 1);
	assert_int_equal(g->audit.lost, 1);
}

static void test_closed_descriptor(void **state)
{
	struct rig *g = *state;
	struct script_server *srv = bound(g);

	rig_audit_full(g, true);
	close(g->audit.fd);
	(void)saying(g, STR_LIT("\x01"));
	rig_run(g);
	expect_not_served(srv);
	assert_int_equal(g->audit.lost, 2);
	g->audit.fd = g->audit_fd;
}

/* No audit file was asked for. */
static void test_without_audit(void **state)
{
	struct rig *g = *state;
	struct script_peer *c;

	(void)bound(g);
	g->audit.fd = -EBADF;
	c = saying(g, STR_LIT("\x01"));
	rig_run(g);
	rig_expect_sent(c, STR_LIT("ok"));
	assert_int_equal(g->audit.lost, 0);
	g->audit.fd = g->audit_fd;
}

/* Room for half a record: the half is ended, so that the next one stands on a line of its own. */
static void test_half_a_record(void **state)
{
	struct rig *g = *state;
	struct event e = EVENT_INIT;
	struct rlimit before, tight;
	size_t n;

	rig_start(g);
	e.kind = EVENT_NOTE;
	e.text = "one";
	assert_int_equal(audit_write(&g->audit, &e), 0);
	n = strlen(rig_audit(g));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tight = before;
	tight.rlim_cur = n + 30;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	e.text = "two";
	n = audit_write(&g->audit, &e) < 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(n, 1);
	assert_int_equal(g->audit.lost, 1);
	e.text = "three";
	assert_int_equal(audit_write(&g->audit, &e), 0);
	assert_int_equal(rig_count(g, "\"text\":\"three\"", "\"seq\":1,", "\"lost\":1"), 1);
}

/* What was let through without being noted at that time is still in the summary. */
static int take_note(void *arg, const struct refusal *r, uint32_t count)
{
	uint32_t *told = arg;

	assert_string_equal(r->target, X);
	*told += count;
	return 0;
}

static int not_now(_unused_ void *arg, _unused_ const struct refusal *r, _unused_ uint32_t count)
{
	return -EAGAIN;
}

static void test_supervisor_hears_of_each_refusal(void **state)
{
	struct rig *g = *state;
	uint32_t told = 0;

	rig_start(g);
	g->audit.note = not_now;
	for (int i = 0; i < 3; i++)
		(void)rig_client(g, X_443, STEPS(g, SCRIPT_RESET));
	rig_run(g);
	g->audit.note = take_note;
	g->audit.note_arg = &told;
	for (int i = 0; i < 3; i++)
		(void)rig_client(g, X_443, STEPS(g, SCRIPT_RESET));
	rig_run(g);
	audit_flush(&g->audit, loop_now(g->loop));
	assert_int_equal(told, 6);
	audit_flush(&g->audit, loop_now(g->loop));
	assert_int_equal(told, 6);
	assert_non_null(rig_record(g, "\"count\":5", "\"text\":\"repeated\""));
}

/* More targets than the table holds: none is hidden. */
static void test_table_of_refusals_is_full(void **state)
{
	struct rig *g = *state;
	char to[64];

	rig_start(g);
	for (int i = 0; i < REFUSALS_MAX + 50; i++) {
		(void)snprintf(to, sizeof(to), "192.0.%d.%d:443", i / 250, i % 250 + 1);
		(void)rig_client(g, to, STEPS(g, SCRIPT_RESET));
	}
	rig_run(g);
	assert_int_equal(rig_count(g, OPEN, DENY), REFUSALS_MAX + 50);
	(void)rig_client(g, to, STEPS(g, SCRIPT_RESET));
	rig_run(g);
	assert_int_equal(rig_count(g, OPEN, DENY), REFUSALS_MAX + 51);
}

/* Whatever a client says, a record is one line of JSON. */
static void test_every_line_is_json(void **state)
{
	struct rig *g = *state;
	static const char *const names[] = { "\"},{\"x\":\"", "a\\b.test", "\x7e}\x7e", "a.test" };
	const char *p;

	(void)bound(g);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)rig_client(g, X_443,
				 STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, names[i]), 0),
				       SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	memcpy(g->origins[0].origin.comm, "\"\n\x1b[2J\xff", 8);
	rig_run_for(g, NSEC_PER_SEC);
	rig_drain(g, 0);
	assert_int_equal(rig_count(g, "{"), 5);
	for (p = rig_audit(g); *p; p += strcspn(p, "\n") + 1) {
		struct json_check json;

		assert_true(json_check(&json, p, strcspn(p, "\n")));
		assert_int_equal(strspn(p, "{"), 1);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_full_disk),
		TEST(test_tls_client_is_told),
		TEST(test_unbound_connection),
		TEST(test_refusal_without_audit),
		TEST(test_fails_while_relaying),
		TEST(test_closed_descriptor),
		TEST(test_without_audit),
		TEST(test_half_a_record),
		TEST(test_supervisor_hears_of_each_refusal),
		TEST(test_table_of_refusals_is_full),
		TEST(test_every_line_is_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
