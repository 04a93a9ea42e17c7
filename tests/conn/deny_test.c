/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a refused client hears: in its own words, soon, and in one piece whatever the name is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "proxy/deny.h"
#include "tests/support/proxy_script.h"
#include "tests/unit/json_check.h"
#include "wire/tls_hello.h"

#define X "192.0.2.1"

static const struct str alert = { (const char *)tls_alert_access_denied,
				  sizeof(tls_alert_access_denied) };

static size_t count_of(struct str in, const char *what)
{
	size_t n = 0, k = strlen(what);

	for (size_t i = 0; i + k <= in.n; i++)
		n += memcmp(in.p + i, what, k) == 0;
	return n;
}

static struct str str_from(struct str s, size_t at)
{
	return (struct str){ s.p + at, s.n - at };
}

/* ---- the HTTP answer */

static void test_http_answer_is_never_split(void **state)
{
	static const char *const targets[] = {
		"a.test",
		"evil\r\nSet-Cookie: x=y\r\n\r\n<html>",
		"a\nX-Injected: 1",
		"\"quoted\\",
		"caf\xc3\xa9\xff",
		"\x1b[2J",
		"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		for (int r = REASON_NONE + 1; r < REASON_COUNT; r++) {
			_cleanup_buf_ struct buf out = BUF_INIT(8192);
			enum reason reason = (enum reason)r;
			char denied[80], length[80];
			struct json_check json;
			struct str all, head, body;
			const char *end;
			size_t lines;

			assert_int_equal(deny_http(&out, &(struct denial){ .reason = reason,
									   .target = targets[i],
									   .port = 443,
									   .rule = "*.test" }),
					 0);
			all = buf_str(&out);
			end = memmem(all.p, all.n, "\r\n\r\n", 4);
			assert_non_null(end);
			head = (struct str){ all.p, (size_t)(end - all.p) + 2 };
			body = str_from(all, head.n + 2);
			/* The status line and five fields; a challenge where a log-in is asked for. */
			lines = reason_status(reason) == 407 ? 7 : 6;
			assert_int_equal(count_of(head, "\r\n"), lines);
			assert_int_equal(count_of(head, "\n"), lines);
			for (size_t k = 0; k < head.n; k++)
				assert_true((head.p[k] >= ' ' && head.p[k] <= '~') ||
					    head.p[k] == '\r' || head.p[k] == '\n');
			(void)snprintf(denied, sizeof(denied), "\r\nX-Nono-Denied: %s\r\n",
				       reason_word(reason));
			(void)snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n",
				       body.n);
			assert_int_equal(count_of(head, denied), 1);
			assert_int_equal(count_of(head, length), 1);
			assert_int_equal(count_of(head, "\r\nConnection: close\r\n"), 1);
			assert_true(json_check(&json, body.p, body.n));
			assert_int_equal(count_of(body, "\n"), 0);
		}
}

static void test_http_body_tells_all(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(8192);
	struct denial d = { .reason = REASON_HOST_NOT_ALLOWED,
			    .target = "evil.example",
			    .port = 443 };
	struct str all;

	(void)state;
	assert_int_equal(deny_http(&out, &d), 0);
	all = buf_str(&out);
	assert_int_equal(count_of(all, "HTTP/1.1 403 Forbidden: host evil.example is not in the "
				       "allowlist\r\n"),
			 1);
	assert_int_equal(count_of(all, "\"reason\":\"host_not_allowed\""), 1);
	assert_int_equal(count_of(all, "\"host\":\"evil.example\""), 1);
	assert_int_equal(count_of(all, "\"port\":443"), 1);
	assert_int_equal(count_of(all, "\"rule\":null"), 1);
	assert_int_equal(count_of(all, "--allow-domain evil.example:443"), 1);
	/* All or nothing. */
	buf_done(&out);
	buf_init(&out, 100);
	assert_true(deny_http(&out, &d) < 0);
	assert_int_equal(buf_len(&out), 0);
}

/* ---- the conversation */

/* A client of an address that no rule is about. */
static struct script_peer *refused(struct rig *g, const struct script_step *steps)
{
	return rig_client(g, X ":80", steps);
}

static void test_words_of_the_protocol(void **state)
{
	struct rig *g = *state;
	struct script_peer *tls, *half, *http, *slow_http, *opaque, *silent, *eof, *line;

	tls = refused(g, STEPS(g, SCRIPT_SEND_STR(rig_hello_for(g, "a.test"), 1), SCRIPT_EXPECT_EOF,
			       SCRIPT_EOF));
	half = refused(g, STEPS(g, SCRIPT_SEND("\x16"), SCRIPT_DELAY(800), SCRIPT_SEND("\x03\x01"),
				SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	http = refused(
		g, STEPS(g, SCRIPT_SEND("GET / HTTP/1.1\r\n\r\n"), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	slow_http = refused(g, STEPS(g, SCRIPT_SEND("PO"), SCRIPT_DELAY(800), SCRIPT_SEND("ST "),
				     SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	opaque = refused(g, STEPS(g, SCRIPT_SEND("\x01"), SCRIPT_EXPECT_EOF));
	silent = refused(g, NULL);
	eof = refused(g, STEPS(g, SCRIPT_EOF));
	line = refused(g, STEPS(g, SCRIPT_SEND("QUI")));
	rig_run_for(g, 0);
	assert_true(script_sent_reset(opaque));
	assert_true(script_sent_reset(eof));
	assert_false(script_sent_reset(silent));
	rig_run_for(g, NSEC_PER_SEC);
	/* Within a second, each in its way. */
	rig_expect_sent(tls, alert);
	rig_expect_sent(half, alert);
	assert_int_equal(count_of(script_sent(http), "HTTP/1.1 403 "), 1);
	assert_int_equal(count_of(script_sent(slow_http), "HTTP/1.1 403 "), 1);
	assert_true(script_sent_eof(tls) && script_sent_eof(half) && script_sent_eof(http) &&
		    script_sent_eof(slow_http));
	assert_false(script_sent_reset(tls) || script_sent_reset(http));
	assert_true(script_sent_reset(silent));
	/* What may be the beginning of a request is answered as one. */
	assert_int_equal(count_of(script_sent(line), "HTTP/1.1 403 "), 1);
	assert_int_equal(script_sent(opaque).n + script_sent(silent).n + script_sent(eof).n, 0);
	rig_run(g);
	assert_int_equal(g->server.conn_count, 0);
}

/* The alert is followed by FIN and the rest of what the client sends is drained: a reset would eat
 * it. Whoever goes on for too long, or says nothing and stays, is cut off. */
static void test_linger_is_bounded(void **state)
{
	struct rig *g = *state;
	struct script_peer *polite, *flood, *stays;
	struct str hello = rig_hello_for(g, "a.test");

	polite = refused(g, STEPS(g, SCRIPT_SEND_STR(hello, 0), SCRIPT_FILL(100000, 0),
				  SCRIPT_EXPECT_EOF, SCRIPT_EOF));
	flood = refused(g, STEPS(g, SCRIPT_SEND_STR(hello, 0), SCRIPT_FILL(100000000, 0)));
	stays = refused(g, STEPS(g, SCRIPT_SEND_STR(hello, 0)));
	rig_run_for(g, NSEC_PER_SEC);
	rig_expect_sent(polite, alert);
	assert_false(script_sent_reset(polite));
	assert_true(script_sent_reset(flood));
	assert_true(script_sent_eof(stays));
	assert_int_equal(g->server.conn_count, 1);
	rig_run_for(g, 2 * NSEC_PER_SEC);
	assert_int_equal(g->server.conn_count, 0);
}

/* A client that does not take its answer does not hold the connection. */
static void test_client_that_does_not_read(void **state)
{
	struct rig *g = *state;

	(void)refused(g, STEPS(g, SCRIPT_WINDOW(3), SCRIPT_SEND("GET / HTTP/1.1\r\n\r\n"),
			       SCRIPT_EXPECT_EOF));
	rig_run_for(g, 3 * NSEC_PER_SEC);
	assert_int_equal(g->server.conn_count, 0);
}

static void test_one_record_a_minute(void **state)
{
	struct rig *g = *state;

	for (int i = 0; i < 5; i++)
		(void)refused(g, STEPS(g, SCRIPT_RESET));
	rig_run(g);
	assert_int_equal(rig_count(g, "\"decision\":\"deny\""), 1);
	rig_run_for(g, 61 * NSEC_PER_SEC);
	(void)refused(g, STEPS(g, SCRIPT_RESET));
	rig_run(g);
	assert_int_equal(rig_count(g, "\"decision\":\"deny\""), 2);
	assert_int_equal(rig_count(g, "\"count\":5"), 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_answer_is_never_split),
		cmocka_unit_test(test_http_body_tells_all),
		TEST(test_words_of_the_protocol),
		TEST(test_linger_is_bounded),
		TEST(test_client_that_does_not_read),
		TEST(test_one_record_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
