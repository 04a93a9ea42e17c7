/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See proxy_expect.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/proxy_expect.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/json_check.h"

void rig_expect_seen(struct rig *g, const struct script_server *srv, size_t i, struct str want,
		     const char *why)
{
	const struct script_peer *p = script_server_peer(srv, i);
	struct str got;

	if (!p)
		fail_msg("%s: no connection %zu\n%s", why, i, rig_audit(g));
	got = script_sent(p);
	if (!str_eq(got, want))
		fail_msg("%s: the server saw: %.*s\n%s", why, STR_FMT(got), rig_audit(g));
}

void rig_expect_beginning(const struct script_server *srv, struct str all)
{
	for (size_t i = 0; i < script_server_count(srv); i++) {
		struct str got = script_sent(script_server_peer(srv, i));

		assert_true(got.n <= all.n);
		assert_memory_equal(got.p, all.p, got.n);
	}
}

void rig_expect_heard(struct rig *g, const struct script_peer *c, struct str want, const char *why)
{
	struct str got = script_sent(c);

	if (!str_eq(got, want))
		fail_msg("%s: the client heard: %.*s\n%s", why, STR_FMT(got), rig_audit(g));
}

void rig_answer(struct rig *g, const struct script_peer *c, size_t *at, struct rig_answer *ret,
		const char *why)
{
	struct str heard = script_sent(c);
	const char *wrong = "unfinished";
	size_t len, n;

	assert_true(*at <= heard.n);
	n = heard.n - *at;
	if (http_answer_parse((const uint8_t *)heard.p + *at, n, &ret->head, &len, &wrong) !=
	    HTTP_OK)
		fail_msg("%s: no answer (%s) behind %zu bytes: %.*s\n%s", why, wrong, *at,
			 STR_FMT(heard), rig_audit(g));
	ret->body = (struct str){ heard.p + *at + len, n - len };
	/* An answer to HEAD has a length, and nothing that is so long. */
	if (ret->head.has_length && ret->head.content_length <= ret->body.n)
		ret->body.n = (size_t)ret->head.content_length;
	ret->all = (struct str){ heard.p + *at, len + ret->body.n };
	*at += ret->all.n;
}

const char *rig_answer_field(const struct rig_answer *a, const char *name)
{
	const struct http_field *f = http_field_find(&a->head, name);
	static char text[512];

	(void)snprintf(text, sizeof(text), "%.*s", STR_FMT(f ? f->value : STR_LIT("")));
	return text;
}

static bool same(const struct rig_answer *a, const char *field, const char *want)
{
	return strcmp(rig_answer_field(a, field), want) == 0;
}

/* Clients log in only when they are asked to, in the words that their kind of server has. */
static bool asks_for_credentials(const struct rig_answer *a, int status)
{
	static const char basic[] = "Basic realm=\"nono\"";

	return same(a, "Proxy-Authenticate", status == 407 ? basic : "") &&
	       same(a, "WWW-Authenticate", status == 401 ? basic : "");
}

void rig_expect_denial(struct rig *g, const struct script_peer *c, size_t *at, int status,
		       const char *reason, bool kept, const char *why)
{
	char quoted[80], details[160], record[40];
	struct json_check json;
	struct rig_answer a;

	rig_answer(g, c, at, &a, why);
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", reason);
	(void)snprintf(details, sizeof(details),
		       "nono-proxy; error=http_request_denied; details=%s", quoted);
	(void)snprintf(record, sizeof(record), "\"status\":%d", status);
	if (a.head.status != status || !same(&a, "X-Nono-Denied", reason) ||
	    !same(&a, "Proxy-Status", details) || !same(&a, "Connection", kept ? "" : "close") ||
	    !same(&a, "Content-Type", "application/json") || !asks_for_credentials(&a, status))
		fail_msg("%s: not %d %s: %.*s\n%s", why, status, reason, STR_FMT(a.all),
			 rig_audit(g));
	if (!json_check(&json, a.body.p, a.body.n) ||
	    strcmp(json_member(&json, "reason"), quoted) != 0)
		fail_msg("%s: not the JSON of %s: %.*s", why, reason, STR_FMT(a.body));
	(void)snprintf(details, sizeof(details), "\"reason\":%s", quoted);
	if (!rig_record(g, OPEN, DENY, details, record))
		fail_msg("%s: no record of %s:\n%s", why, reason, rig_audit(g));
}

void rig_expect_refusal(struct rig *g, const struct script_peer *c, struct str before, int status,
			const char *reason, const char *why)
{
	struct str heard = script_sent(c);
	size_t at = before.n;

	if (heard.n < before.n || !str_eq((struct str){ heard.p, before.n }, before))
		fail_msg("%s: the client heard: %.*s\n%s", why, STR_FMT(heard), rig_audit(g));
	rig_expect_denial(g, c, &at, status, reason, false, why);
	if (at != heard.n || !script_sent_eof(c) || script_sent_reset(c))
		fail_msg("%s: not a clean end behind the refusal: %.*s", why, STR_FMT(heard));
}
