/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/alloc_fail.h"

#include "base/buf.c"
#include "policy/event.h"

#include "tests/unit/json_check.h"

/* Room for a line that would be too long, so that it is seen and not refused. */
#define ROOMY (4 * EVENT_LINE_MAX)

static struct json_check check;
static char line[ROOMY + 1];

/* Writes the event; its line, which is judged: one line, strict JSON, not too long. */
static const char *line_of(const struct event *e)
{
	_cleanup_buf_ struct buf out = BUF_INIT(ROOMY);
	size_t n;

	assert_int_equal(event_write(e, &out), 0);
	n = buf_len(&out);
	memcpy(line, buf_data(&out), n);
	line[n] = '\0';
	assert_int_equal(strlen(line), n);
	assert_true(n <= EVENT_LINE_MAX);
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	assert_true(json_check(&check, line, n - 1));
	assert_int_equal(line[n - 2], '}');
	return line;
}

static void set_all_texts(struct event *e, const char *z)
{
	const char **const all[] = {
		&e->session,	    &e->rule,	  &e->target,	      &e->method,
		&e->path,	    &e->route_id, &e->auth_mechanism, &e->injection_mode,
		&e->external_proxy, &e->sni,	  &e->comm,	      &e->exe,
		&e->cgroup,	    &e->text,
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		*all[i] = z;
}

/* Everything set, numbers at their longest. */
static struct event longest(enum event_kind kind)
{
	struct event e = {
		.kind = kind,
		.mode = MODE_TRANSPARENT,
		.allow = true,
		.reason = REASON_CREDENTIAL_UNAVAILABLE,
		.seq = UINT64_MAX,
		.lost = UINT64_MAX,
		.worker = UINT32_MAX,
		.count = UINT32_MAX,
		.timestamp_unix_ms = INT64_MIN,
		.port = 65535,
		.status = INT32_MIN,
		.resolved_ip = { .family = 6 },
		.orig_dst = { { .family = 6 }, 65535 },
		.pid = INT32_MIN,
		.uid = INT64_MAX,
		.bytes_up = UINT64_MAX,
		.bytes_down = UINT64_MAX,
		.duration_ms = INT64_MIN,
		.end = END_SHUTDOWN,
	};

	memset(e.resolved_ip.b, 0xee, 16);
	memset(e.orig_dst.addr.b, 0xee, 16);
	set_all_texts(&e, "");
	return e;
}

static const char *const order[] = {
	"v",
	"seq",
	"worker",
	"session",
	"timestamp_unix_ms",
	"event",
	"mode",
	"decision",
	"denial_category",
	"reason",
	"rule",
	"target",
	"port",
	"method",
	"path",
	"status",
	"route_id",
	"auth_mechanism",
	"injection_mode",
	"resolved_ip",
	"external_proxy",
	"orig_dst",
	"sni",
	"pid",
	"comm",
	"exe",
	"uid",
	"cgroup",
	"count",
	"lost",
	"text",
	"bytes_up",
	"bytes_down",
	"duration_ms",
	"end",
};

static void test_longest_line_fits_whatever_the_texts(void **state)
{
	static char z[20000];
	static const char *const fills[] = {
		"\x01",		    /* six bytes for one */
		"\xff",		    /* three for one */
		"\"",		    /* two for one */
		"a",		    /* one for one */
		"\xf0\x9f\x98\x80", /* may not be cut inside */
		"\xc2\x9b",	    /* six for two */
		"\xe2\x82",	    /* three for two, and an ellipsis behind it */
	};

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(fills); f++) {
		size_t n = strlen(fills[f]);

		for (size_t i = 0; i < sizeof(z) - 1; i++)
			z[i] = fills[f][i % n];
		for (int kind = EVENT_OPEN; kind <= EVENT_NOTE; kind++) {
			struct event e = longest((enum event_kind)kind);

			set_all_texts(&e, z);
			assert_true(strlen(line_of(&e)) > EVENT_LINE_MAX * 9 / 10);
		}
	}
}

/* The room set aside for what is not text is enough, and not much too large. */
static void test_fixed_part_is_as_long_as_reckoned(void **state)
{
	struct event e = longest(EVENT_OPEN);
	size_t open = strlen(line_of(&e));

	(void)state;
	e = longest(EVENT_CLOSE);
	assert_true(strlen(line_of(&e)) <= 832);
	assert_true(open <= 832);
}

static void test_long_text_does_not_hide_the_others(void **state)
{
	static char huge[9000];
	struct event e = EVENT_INIT;

	(void)state;
	memset(huge, '\x02', sizeof(huge) - 1);
	e.path = huge;
	e.target = "evil.example";
	e.exe = "/usr/bin/curl";
	e.session = "0123456789abcdef";
	e.text = "why";
	(void)line_of(&e);
	assert_string_equal(json_member(&check, "target"), "\"evil.example\"");
	assert_string_equal(json_member(&check, "exe"), "\"/usr/bin/curl\"");
	assert_string_equal(json_member(&check, "session"), "\"0123456789abcdef\"");
	assert_string_equal(json_member(&check, "text"), "\"why\"");
	/* Alone in being long, it has what the others leave. */
	assert_true(strlen(json_member(&check, "path")) > 3000);
}

/* The longest honest name, rule and so on are whole even when every other text is too long. */
static void test_floors_hold_honest_texts(void **state)
{
	static char huge[9000], name[254], rule[264];
	struct event e = longest(EVENT_CLOSE);
	char want[300];

	(void)state;
	memset(huge, '\x02', sizeof(huge) - 1);
	memset(name, 'n', sizeof(name) - 1);
	memset(rule, 'r', sizeof(rule) - 1);
	set_all_texts(&e, huge);
	e.target = e.sni = name;
	e.rule = rule;
	e.comm = "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"; /* the kernel gives
										    15 */
	e.session = "0123456789abcdef";
	(void)line_of(&e);
	(void)snprintf(want, sizeof(want), "\"%s\"", name);
	assert_string_equal(json_member(&check, "target"), want);
	assert_string_equal(json_member(&check, "sni"), want);
	(void)snprintf(want, sizeof(want), "\"%s\"", rule);
	assert_string_equal(json_member(&check, "rule"), want);
	assert_int_equal(strlen(json_member(&check, "comm")), 2 + 15 * 6);
	assert_string_equal(json_member(&check, "session"), "\"0123456789abcdef\"");
}

static void test_cut_text_ends_in_an_ellipsis(void **state)
{
	static char path[5000];
	struct event e = EVENT_INIT;
	const char *got;
	size_t n;

	(void)state;
	memset(path, 'p', sizeof(path) - 1);
	e.path = path;
	(void)line_of(&e);
	got = json_member(&check, "path");
	n = strlen(got);
	assert_memory_equal(got + n - 4, "\xe2\x80\xa6\"", 4);
	for (size_t i = 1; i < n - 4; i++)
		assert_int_equal(got[i], 'p');

	path[3000] = '\0'; /* fits: no ellipsis, not even if the text is not far from the limit */
	(void)line_of(&e);
	got = json_member(&check, "path");
	assert_int_equal(strlen(got), 3002);
	assert_int_equal(got[3000], 'p');
}

/* Random bytes in every text, random presence of everything. */
static void test_random_events_are_one_line_of_json(void **state)
{
	static char raw[14][1500];
	uint32_t rnd = 2024;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct event e = longest((enum event_kind)(round % 3));
		const char **const all[] = {
			&e.session,	   &e.rule,	&e.target,	   &e.method,
			&e.path,	   &e.route_id, &e.auth_mechanism, &e.injection_mode,
			&e.external_proxy, &e.sni,	&e.comm,	   &e.exe,
			&e.cgroup,	   &e.text,
		};

		for (size_t f = 0; f < ARRAY_SIZE(all); f++) {
			size_t n;

			rnd = rnd * 1664525 + 1013904223;
			n = (rnd >> 16) % (round & 8 ? 1500 : 150);
			for (size_t i = 0; i < n; i++) {
				rnd = rnd * 1664525 + 1013904223;
				raw[f][i] = (char)(rnd >> 24 ? rnd >> 24 : 1);
			}
			raw[f][n] = '\0';
			*all[f] = rnd & 0x10000 ? raw[f] : NULL;
		}
		e.reason = (enum reason)((rnd >> 8) % (REASON_COUNT + 1));
		e.mode = (enum event_mode)((rnd >> 12) % 8);
		e.uid = rnd & 0x20000 ? -1 : 0;
		e.lost = rnd & 0x40000 ? 0 : 1;
		(void)line_of(&e);
		for (size_t f = 0, at = 0; f < check.keys; f++, at++) {
			while (at < ARRAY_SIZE(order) && strcmp(order[at], check.key[f]) != 0)
				at++;
			assert_true(at < ARRAY_SIZE(order)); /* a known key, in its order */
		}
	}
}

static void test_all_fields_in_their_order(void **state)
{
	struct event e = longest(EVENT_CLOSE);

	(void)state;
	set_all_texts(&e, "x");
	(void)line_of(&e);
	/* On close all but the decision. */
	assert_int_equal(check.keys, ARRAY_SIZE(order) - 1);
	for (size_t i = 0, k = 0; i < ARRAY_SIZE(order); i++)
		if (strcmp(order[i], "decision") != 0)
			assert_string_equal(check.key[k++], order[i]);
	e.kind = EVENT_OPEN;
	(void)line_of(&e);
	assert_int_equal(check.keys, ARRAY_SIZE(order) - 4);
	for (size_t i = 0; i < check.keys; i++)
		assert_string_equal(check.key[i], order[i]);
}

static void test_refused_name(void **state)
{
	struct event e = EVENT_INIT;

	(void)state;
	e.mode = MODE_TRANSPARENT;
	e.reason = REASON_HOST_NOT_ALLOWED;
	e.seq = 7;
	e.session = "00112233aabbccdd";
	e.timestamp_unix_ms = 1700000000123;
	e.target = "evil.example";
	e.port = 443;
	e.orig_dst = (struct endpoint){ addr_v4(0xc0000201), 443 };
	e.pid = 42;
	e.uid = 1000;
	e.count = 3;
	assert_string_equal(
		line_of(&e),
		"{\"v\":1,\"seq\":7,\"worker\":0,\"session\":\"00112233aabbccdd\","
		"\"timestamp_unix_ms\":1700000000123,\"event\":\"open\",\"mode\":\"transparent\","
		"\"decision\":\"deny\",\"denial_category\":\"host_denied\",\"reason\":\"host_not_"
		"allowed\","
		"\"target\":\"evil.example\",\"port\":443,\"orig_dst\":\"192.0.2.1:443\",\"pid\":"
		"42,"
		"\"uid\":1000,\"count\":3}\n");
}

static void test_close_always_tells_the_bytes(void **state)
{
	struct event e = EVENT_INIT;

	(void)state;
	e.kind = EVENT_CLOSE;
	e.mode = MODE_CONNECT;
	e.allow = true;
	e.resolved_ip = addr_v4(0x7f000001);
	e.end = END_EOF;
	assert_string_equal(
		line_of(&e),
		"{\"v\":1,\"seq\":0,\"worker\":0,\"timestamp_unix_ms\":0,\"event\":\"close\","
		"\"mode\":\"connect\",\"resolved_ip\":\"127.0.0.1\",\"bytes_up\":0,"
		"\"bytes_down\":0,\"duration_ms\":0,\"end\":\"eof\"}\n");
}

static void test_absent_is_left_out(void **state)
{
	struct event e = EVENT_INIT;

	(void)state;
	assert_string_equal(line_of(&e), "{\"v\":1,\"seq\":0,\"worker\":0,\"timestamp_unix_ms\":0,"
					 "\"event\":\"open\",\"decision\":\"deny\"}\n");
	e.kind = EVENT_NOTE;
	e.text = "";
	e.uid = 0;   /* root, not unknown */
	e.count = 1; /* stands for itself */
	e.lost = 2;
	e.bytes_up = 5; /* belongs to close */
	assert_string_equal(line_of(&e),
			    "{\"v\":1,\"seq\":0,\"worker\":0,\"timestamp_unix_ms\":0,"
			    "\"event\":\"note\",\"uid\":0,\"lost\":2,\"text\":\"\"}\n");
}

static void test_category_only_where_the_reason_has_one(void **state)
{
	struct event e = EVENT_INIT;

	(void)state;
	e.reason = REASON_TOO_SLOW;
	(void)line_of(&e);
	assert_string_equal(json_member(&check, "denial_category"), "");
	assert_string_equal(json_member(&check, "reason"), "\"too_slow\"");
}

static void test_words(void **state)
{
	static const char *const modes[] = { "",	"connect",     "reverse", "external",
					     "forward", "transparent", "dns",	  "" };
	static const char *const ends[] = {
		"", "eof", "reset", "timeout", "limit", "shutdown", ""
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++)
		assert_string_equal(event_mode_word((enum event_mode)i), modes[i]);
	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++)
		assert_string_equal(event_end_word((enum event_end)i), ends[i]);
}

static void test_buffer_too_small_keeps_what_was_there(void **state)
{
	struct event e = longest(EVENT_CLOSE);
	size_t n;

	(void)state;
	set_all_texts(&e, "text");
	n = strlen(line_of(&e));
	for (size_t max = 3; max <= 3 + n; max++) {
		_cleanup_buf_ struct buf out = BUF_INIT(max);

		assert_int_equal(buf_append(&out, "old", 3), 0);
		assert_int_equal(event_write(&e, &out), max < 3 + n ? -ENOSPC : 0);
		assert_int_equal(buf_len(&out), max < 3 + n ? 3 : 3 + n);
		assert_memory_equal(buf_data(&out), "old", 3);
	}
}

static void test_memory_fails_buffer_keeps_what_was_there(void **state)
{
	struct event e = longest(EVENT_CLOSE);
	long k;

	(void)state;
	for (k = 0;; k++) {
		struct buf out = BUF_INIT(EVENT_LINE_MAX);
		int r;

		assert_int_equal(buf_append(&out, "old", 3), 0);
		alloc_fail_at(k);
		r = event_write(&e, &out);
		alloc_failing = -1;
		if (r == 0) {
			buf_done(&out);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_true(str_eq(buf_str(&out), STR_LIT("old")));
		buf_done(&out);
	}
	assert_true(k >= 2);
	assert_int_equal(alloc_live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_line_fits_whatever_the_texts),
		cmocka_unit_test(test_fixed_part_is_as_long_as_reckoned),
		cmocka_unit_test(test_long_text_does_not_hide_the_others),
		cmocka_unit_test(test_floors_hold_honest_texts),
		cmocka_unit_test(test_cut_text_ends_in_an_ellipsis),
		cmocka_unit_test(test_random_events_are_one_line_of_json),
		cmocka_unit_test(test_all_fields_in_their_order),
		cmocka_unit_test(test_refused_name),
		cmocka_unit_test(test_close_always_tells_the_bytes),
		cmocka_unit_test(test_absent_is_left_out),
		cmocka_unit_test(test_category_only_where_the_reason_has_one),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_buffer_too_small_keeps_what_was_there),
		cmocka_unit_test(test_memory_fails_buffer_keeps_what_was_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
