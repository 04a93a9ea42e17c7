/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/reason.h"

/* The promised list: users' scripts match these words. */
static const char *const promised[] = {
	"host_not_allowed",
	"host_denied",
	"metadata_address",
	"link_local_address",
	"special_address",
	"cidr_not_allowed",
	"name_invalid",
	"sni_missing",
	"sni_mismatch",
	"host_mismatch",
	"tls_malformed",
	"http_malformed",
	"token_missing",
	"token_invalid",
	"route_unknown",
	"endpoint_not_allowed",
	"method_refused",
	"connect_bypasses_route",
	"credential_unavailable",
	"rate_limited",
	"body_too_large",
	"head_too_large",
	"too_slow",
	"dns_failed",
	"dns_no_address",
	"upstream_refused",
	"upstream_unreachable",
	"upstream_timeout",
	"upstream_tls_failed",
	"external_proxy_rejected",
	"too_many_connections",
	"protocol_unknown",
	"loop_refused",
	"no_redirect_entry",
	"audit_failed",
	"shutting_down",
};

static const enum reason not_reasons[] = { REASON_COUNT, (enum reason)1000, (enum reason)(-1) };

static void test_words_are_the_promised_ones_and_no_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(promised); i++) {
		enum reason r = reason_from_word(str_of(promised[i]));

		assert_int_not_equal(r, REASON_NONE);
		assert_string_equal(reason_word(r), promised[i]);
	}
	/* Each word names another reason, so as many words as reasons means none is left over. */
	assert_int_equal(REASON_COUNT - 1, ARRAY_SIZE(promised));
	for (size_t i = 0; i < ARRAY_SIZE(promised); i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(promised[i], promised[k]);
}

static void test_what_is_no_reason_stays_a_refusal(void **state)
{
	char out[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(not_reasons); i++) {
		assert_string_equal(reason_word(not_reasons[i]), "");
		assert_int_equal(reason_status(not_reasons[i]), 403);
		assert_null(reason_category(not_reasons[i]));
		assert_int_equal(reason_hint_kind(not_reasons[i]), HINT_NONE);
		assert_string_equal(reason_sentence(not_reasons[i], "x", out, sizeof(out)), "");
		assert_string_equal(reason_hint(not_reasons[i], "x", 1, out, sizeof(out)), "");
	}
}

static void test_none_is_no_refusal(void **state)
{
	char out[200];

	(void)state;
	assert_string_equal(reason_word(REASON_NONE), "");
	assert_int_equal(reason_status(REASON_NONE), 200);
	assert_null(reason_category(REASON_NONE));
	assert_string_equal(reason_sentence(REASON_NONE, "x", out, sizeof(out)), "");
	assert_string_equal(reason_hint(REASON_NONE, "x", 1, out, sizeof(out)), "");
}

static void test_word_is_matched_whole_and_exactly(void **state)
{
	static const struct str wrong[] = {
		STR_LIT(""),		  /* REASON_NONE's own word names nothing */
		STR_LIT("HOST_DENIED"),	  /* the symbol is not the word */
		STR_LIT("host_denie"),	  /* a prefix */
		STR_LIT("host_denied "),  /* and more */
		STR_LIT("host_denied\0"), /* a NUL is a byte like others */
		STR_LIT("host-denied"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(reason_from_word(wrong[i]), REASON_NONE);
	assert_int_equal(reason_from_word(STR_LIT("host_denied")), REASON_HOST_DENIED);
}

static void test_every_reason_is_complete(void **state)
{
	(void)state;
	for (int r = 1; r < REASON_COUNT; r++) {
		char out[300];
		int status = reason_status((enum reason)r);

		assert_true(status >= 400 && status <= 599);
		(void)reason_sentence((enum reason)r, "evil.example", out, sizeof(out));
		assert_true(strlen(out) > 10 && strlen(out) < sizeof(out) - 1);
		assert_null(strchr(out, '%'));
		assert_null(strchr(reason_word((enum reason)r), ' '));
	}
}

static void test_status_and_category(void **state)
{
	(void)state;
	assert_int_equal(reason_status(REASON_HOST_NOT_ALLOWED), 403);
	assert_int_equal(reason_status(REASON_TOKEN_MISSING), 407);
	assert_int_equal(reason_status(REASON_UPSTREAM_TIMEOUT), 504);
	assert_string_equal(reason_category(REASON_METADATA_ADDRESS), "host_denied");
	assert_string_equal(reason_category(REASON_DNS_FAILED), "upstream_connect_failed");
	assert_null(reason_category(REASON_TOO_SLOW));
}

static void test_sentence_cannot_carry_controls(void **state)
{
	static const struct {
		const char *target, *want;
	} rows[] = {
		{ "a\r\nX-Injected: 1", "host a??X-Injected: 1 is not in the allowlist" },
		{ "\x1b[2J\x07", "host ?[2J? is not in the allowlist" }, /* drives a terminal */
		{ "x\x7fy", "host x?y is not in the allowlist" },	 /* DEL */
		{ "\xc2\x9b"
		  "2J",
		  "host ??2J is not in the allowlist" },	     /* C1 in UTF-8 */
		{ "\xff\x80", "host ?? is not in the allowlist" },   /* not UTF-8 at all */
		{ "%T%s%n", "host %T%s%n is not in the allowlist" }, /* is not a format */
		{ "evil.example", "host evil.example is not in the allowlist" },
		{ "", "host (unknown) is not in the allowlist" },
		{ NULL, "host (unknown) is not in the allowlist" },
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(
			reason_sentence(REASON_HOST_NOT_ALLOWED, rows[i].target, out, sizeof(out)),
			rows[i].want);
}

/* Cut at every length: always a prefix, always terminated, never a byte beyond. */
static void test_texts_are_cut_to_their_room(void **state)
{
	char whole[200], out[200];

	(void)state;
	(void)reason_sentence(REASON_HOST_NOT_ALLOWED, "evil.example", whole, sizeof(whole));
	for (size_t n = 0; n < sizeof(out); n++) {
		memset(out, '#', sizeof(out));
		assert_ptr_equal(reason_sentence(REASON_HOST_NOT_ALLOWED, "evil.example", out, n),
				 out);
		if (n) {
			assert_int_equal(strlen(out), MIN(n - 1, strlen(whole)));
			assert_memory_equal(out, whole, strlen(out));
		}
		for (size_t i = n; i < sizeof(out); i++)
			assert_int_equal(out[i], '#');
		(void)reason_hint(REASON_HOST_NOT_ALLOWED, "evil.example", 443, out, n);
		for (size_t i = n; i < sizeof(out); i++)
			assert_int_equal(out[i], '#');
	}
}

static void test_a_protocol_is_refused_in_its_own_words(void **state)
{
	static const struct {
		const char *target, *want;
	} rows[] = {
		{ "udp:192.0.2.1",
		  "udp:192.0.2.1: only TCP, and UDP to port 53, are served in the sandbox" },
		{ "unix:/run/x", "unix:/run/x: unix sockets are refused, but for the sandbox's own "
				 "abstract ones" },
		{ "192.0.2.1",
		  "the connection to 192.0.2.1 uses a protocol that names no host, and no rule "
		  "covers its address" },
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(
			reason_sentence(REASON_PROTOCOL_UNKNOWN, rows[i].target, out, sizeof(out)),
			rows[i].want);
}

static void test_hints(void **state)
{
	static const struct {
		enum reason reason;
		const char *target;
		uint16_t port;
		const char *want;
	} rows[] = {
		/* A hint is pasted into a shell: nothing for a target that no rule could name. */
		{ REASON_HOST_NOT_ALLOWED, "a;reboot", 443, "" },
		{ REASON_HOST_NOT_ALLOWED, "$(id)", 443, "" },
		{ REASON_HOST_NOT_ALLOWED, "a\nb", 443, "" },
		{ REASON_CIDR_NOT_ALLOWED, "::1;id", 443, "" },
		{ REASON_SNI_MISMATCH, "\xc3\xa4.example", 443, "" },
		{ REASON_HOST_NOT_ALLOWED, "", 443, "" },
		{ REASON_HOST_NOT_ALLOWED, NULL, 443, "" },
		{ REASON_HOST_NOT_ALLOWED, "[]", 443, "" },
		/* Names. */
		{ REASON_HOST_NOT_ALLOWED, "evil.example", 443,
		  "to allow it: --allow-domain evil.example:443" },
		{ REASON_HOST_NOT_ALLOWED, "evil.example", 65535,
		  "to allow it: --allow-domain evil.example:65535" },
		{ REASON_HOST_NOT_ALLOWED, "evil.example", 0,
		  "to allow it: --allow-domain evil.example" },
		{ REASON_SNI_MISMATCH, "_x.Evil-1.example", 8443,
		  "to allow it: --allow-domain _x.Evil-1.example:8443" },
		{ REASON_HOST_NOT_ALLOWED, "10.0.0.1.example", 80,
		  "to allow it: --allow-domain 10.0.0.1.example:80" },
		{ REASON_CIDR_NOT_ALLOWED, "db.example", 5432,
		  "to allow it: --allow-domain db.example:5432" },
		{ REASON_PROTOCOL_UNKNOWN, "db.example", 80, "" },
		/* What the kernel refused: no rule is about it. */
		{ REASON_PROTOCOL_UNKNOWN, "udp:192.0.2.1", 443, "" },
		{ REASON_PROTOCOL_UNKNOWN, "unix:/run/x.sock", 0,
		  "to allow it: --allow-unix /run/x.sock" },
		{ REASON_PROTOCOL_UNKNOWN, "unix:@name", 0, "to allow it: --allow-unix @name" },
		{ REASON_PROTOCOL_UNKNOWN, "unix:/run/x;reboot", 0, "" },
		{ REASON_PROTOCOL_UNKNOWN, "unix:/run/$(x)", 0, "" },
		{ REASON_PROTOCOL_UNKNOWN, "unix:/run/?", 0, "" },
		{ REASON_PROTOCOL_UNKNOWN, "unix:/", 0, "" },
		{ REASON_PROTOCOL_UNKNOWN, "unix:relative", 0, "" },
		{ REASON_PROTOCOL_UNKNOWN, "unix:", 0, "" },
		{ REASON_HOST_NOT_ALLOWED, "unix:/run/x.sock", 0, "" },
		{ REASON_PROTOCOL_UNKNOWN, "udp:2001:db8::1", 443, "" },
		{ REASON_PROTOCOL_UNKNOWN, "socket:type 3 protocol 1", 0, "" },
		/* Addresses, whichever way they were refused. */
		{ REASON_CIDR_NOT_ALLOWED, "10.1.2.3", 5432,
		  "to allow it: --allow-cidr 10.1.2.3/32:5432" },
		{ REASON_HOST_NOT_ALLOWED, "10.1.2.3", 5432,
		  "to allow it: --allow-cidr 10.1.2.3/32:5432" },
		{ REASON_CIDR_NOT_ALLOWED, "10.1.2.3", 0,
		  "to allow it: --allow-cidr 10.1.2.3/32:PORT" },
		{ REASON_SNI_MISSING, "2001:db8::1", 443,
		  "to allow it: --allow-cidr [2001:db8::1/128]:443" },
		{ REASON_HOST_NOT_ALLOWED, "[2001:db8::1]", 443,
		  "to allow it: --allow-cidr [2001:db8::1/128]:443" },
		{ REASON_CIDR_NOT_ALLOWED, "::ffff:10.0.0.1", 0,
		  "to allow it: --allow-cidr [::ffff:10.0.0.1/128]:PORT" },
		/* The rest. */
		{ REASON_HOST_DENIED, "evil.example", 443,
		  "it is refused by --deny-domain; remove that rule to allow it" },
		{ REASON_TOO_MANY_CONNECTIONS, "", 0, "to allow more: --max-connections N" },
		{ REASON_METADATA_ADDRESS, "169.254.169.254", 80, "" },
		{ REASON_NAME_INVALID, "a..b", 80, "" },
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memcpy(out, "old", 4);
		assert_string_equal(
			reason_hint(rows[i].reason, rows[i].target, rows[i].port, out, sizeof(out)),
			rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_are_the_promised_ones_and_no_other),
		cmocka_unit_test(test_what_is_no_reason_stays_a_refusal),
		cmocka_unit_test(test_none_is_no_refusal),
		cmocka_unit_test(test_word_is_matched_whole_and_exactly),
		cmocka_unit_test(test_every_reason_is_complete),
		cmocka_unit_test(test_status_and_category),
		cmocka_unit_test(test_sentence_cannot_carry_controls),
		cmocka_unit_test(test_texts_are_cut_to_their_room),
		cmocka_unit_test(test_a_protocol_is_refused_in_its_own_words),
		cmocka_unit_test(test_hints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
