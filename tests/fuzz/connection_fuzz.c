/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole connections: any client bytes and any answers, through the server, on a kernel made of
 * paper. The first byte chooses what kind of client it is; the rest is cut at every FF 00 into what
 * the client says, what its upstreams answer, what the client says then, what they answer then.
 * Some bytes of the client stand for what no fuzzer finds by itself: F0 for the field with the
 * token, F1 and F2 for hellos, to an allowed name and to another one.
 *
 * What must hold: all of it ends, in bounded time, and leaves nothing behind; only allowed
 * addresses are dialled, and of the explicit listener none without the token; whatever heard a byte
 * is on record; the records are JSON, as many of ends as of beginnings, and without the token.
 */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stdio.h>

#include "tests/support/proxy_script.h"
#include "tests/unit/json_check.h"

enum { PARTS = 4, INPUT_MAX = 1 << 14 };

enum {
	REDIRECTED = 1 << 0,
	PORT_80 = 1 << 1,
	UNBOUND = 1 << 2, /* redirected: to an address that no answer gave */
	NO_AUTH = 1 << 2, /* explicit */
	SEGMENTS = 3 << 3,
	SERVER_ENDS = 1 << 5,
	CLIENT_STAYS = 1 << 6,
	SERVER_FIRST = 1 << 7, /* it does not wait for a byte of the client */
};

static const char *const servers[] = {
	"192.0.2.1:80",
	"192.0.2.1:443",
	"192.0.2.2:80",
	"192.0.2.3:443",
	/* from here on nothing may be dialled */
	"192.0.2.2:443",
	"192.0.2.66:80",
	"192.0.2.66:443",
	"198.51.100.9:80",
	"198.51.100.9:443",
	"169.254.169.254:80",
	"127.0.0.1:80",
	RIG_LISTENER,
	RIG_EXPLICIT,
};

enum { ALLOWED_SERVERS = 4 };

static void policy(struct rig *g)
{
	g->limits.idle = 20 * NSEC_PER_SEC;
	rig_allow(g, "a.test");
	rig_allow(g, "b.test:80");
	rig_allow(g, "*.c.test:443");
	rig_cidr(g, "192.0.2.3/32:443");
	rig_deny(g, "evil.c.test");
	(void)rig_resolves(g, "a.test", "192.0.2.1", 0);
	(void)rig_resolves(g, "b.test", "192.0.2.2", 0);
	(void)rig_resolves(g, "x.c.test", "192.0.2.3", 0);
	(void)rig_resolves(g, "bad.c.test", "192.0.2.1 169.254.169.254", 0);
	(void)rig_resolves(g, "self.c.test", "127.0.0.1", 0);
	(void)rig_resolves(g, "evil.test", "192.0.2.66", 0);
	(void)rig_resolves(g, "evil.c.test", "192.0.2.66", 0);
}

/* ---- the input */

struct input {
	uint8_t flags;
	struct str part[PARTS];
};

static void take_apart(const uint8_t *data, size_t size, struct input *ret)
{
	const char *p = (const char *)data + 1;
	size_t left = size - 1;

	*ret = (struct input){ .flags = data[0] };
	for (size_t i = 0; i < PARTS && left; i++) {
		const char *cut = i + 1 < PARTS ? memmem(p, left, "\xff\x00", 2) : NULL;
		size_t n = cut ? (size_t)(cut - p) : left;

		ret->part[i] = (struct str){ p, n };
		p += n + (cut ? 2 : 0);
		left -= n + (cut ? 2 : 0);
	}
}

/* With what its bytes stand for. */
static struct str written(struct rig *g, struct str s)
{
	struct str out = rig_joined(g, STR_LIT(""), STR_LIT(""));

	while (s.n) {
		size_t n = 0;
		uint8_t c;

		while (n < s.n && ((uint8_t)s.p[n] < 0xf0 || (uint8_t)s.p[n] > 0xf2))
			n++;
		out = rig_joined(g, out, (struct str){ s.p, n });
		if (n == s.n)
			break;
		c = (uint8_t)s.p[n];
		out = rig_joined(g, out,
				 c == 0xf0
					 ? STR_LIT("Proxy-Authorization: Bearer " RIG_TOKEN "\r\n")
				 : c == 0xf1 ? rig_hello_for(g, "a.test")
					     : rig_hello_for(g, "evil.test"));
		s.p += n + 1;
		s.n -= n + 1;
	}
	return out;
}

/* False: whatever the client says, it is nobody that may go out. */
static bool may_know_the_token(const struct input *in, struct str says, struct str then)
{
	struct str all[] = { says, then };

	if (in->flags & (REDIRECTED | NO_AUTH))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (memmem(all[i].p, all[i].n, RIG_TOKEN, sizeof(RIG_TOKEN) - 1) ||
		    memmem(all[i].p, all[i].n, "MTIzNDU2Nzg5", 12)) /* in Basic credentials */
			return true;
	return false;
}

/* ---- what must hold */

static void check_dialled(struct rig *g, bool may)
{
	const char *to;

	for (size_t i = 0; (to = script_dialled(g->script, i)); i++) {
		assert(may);
		/* The rule for a.test has no port. */
		assert(strncmp(to, "192.0.2.1:", 10) == 0 || strcmp(to, "192.0.2.2:80") == 0 ||
		       strcmp(to, "192.0.2.3:443") == 0);
	}
	assert(may || (g->resolves == 0 && g->raw_resolves == 0));
}

static void check_records(struct rig *g, bool heard)
{
	size_t open = rig_count(g, "\"event\":\"open\"", "\"decision\":\"allow\""),
	       close = rig_count(g, "\"event\":\"close\"");
	const char *text = rig_audit(g);

	assert(open == close);
	assert(!heard || open);
	assert(!strstr(text, RIG_TOKEN));
	while (*text) {
		size_t n = strcspn(text, "\n");
		struct json_check json;

		assert(json_check(&json, text, n));
		text += n + 1;
	}
}

static void check_list(struct rig *g)
{
	_cleanup_buf_ struct buf out = BUF_INIT(RECENT_JSON_MAX);
	struct json_check json;

	assert(recent_write(&g->audit.recent, &out) == 0);
	assert(json_check(&json, buf_data(&out), buf_len(&out)));
}

/* ---- one connection */

static void add_servers(struct rig *g, const struct input *in, size_t seg,
			struct script_server *ret[ARRAY_SIZE(servers)])
{
	const struct script_step first = SCRIPT_SEND_STR(in->part[1], seg),
				 then = SCRIPT_SEND_STR(in->part[3], seg),
				 hears = SCRIPT_EXPECT(in->flags & SERVER_FIRST ? 0 : 1);
	const struct script_step *steps =
		in->flags & SERVER_ENDS ? STEPS(g, hears, first, SCRIPT_DELAY(20), then, SCRIPT_EOF)
					: STEPS(g, hears, first, SCRIPT_DELAY(20), then,
						SCRIPT_EXPECT_EOF, SCRIPT_EOF);

	for (size_t i = 0; i < ARRAY_SIZE(servers); i++)
		ret[i] = script_server(g->script, servers[i], SCRIPT_ACCEPTS, steps);
}

static void add_client(struct rig *g, const struct input *in, size_t seg, struct str says,
		       struct str answers)
{
	const struct script_step first = SCRIPT_SEND_STR(says, seg),
				 then = SCRIPT_SEND_STR(answers, seg);
	const struct script_step *steps =
		in->flags & CLIENT_STAYS
			? STEPS(g, first, SCRIPT_DELAY(10), then, SCRIPT_EXPECT_EOF, SCRIPT_EOF)
			: STEPS(g, first, SCRIPT_DELAY(10), then, SCRIPT_DELAY(50), SCRIPT_EOF,
				SCRIPT_EXPECT_EOF);

	if (!(in->flags & REDIRECTED))
		(void)rig_explicit(g, steps);
	else if (in->flags & UNBOUND)
		(void)rig_client(g, in->flags & PORT_80 ? "198.51.100.9:80" : "198.51.100.9:443",
				 steps);
	else
		(void)rig_client(g, in->flags & PORT_80 ? "192.0.2.1:80" : "192.0.2.1:443", steps);
}

static void play(struct rig *g, const struct input *in)
{
	static const size_t segments[] = { 0, 1, 7, 100 };
	size_t seg = segments[(in->flags & SEGMENTS) >> 3];
	struct script_server *up[ARRAY_SIZE(servers)];
	struct str says, answers;
	bool heard = false;
	nsec_t begun;

	policy(g);
	if (!(in->flags & REDIRECTED) && in->flags & NO_AUTH)
		rig_no_auth(g);
	rig_start(g);
	rig_bind(g, "a.test", "192.0.2.1");
	says = written(g, in->part[0]);
	answers = written(g, in->part[2]);
	add_servers(g, in, seg, up);
	add_client(g, in, seg, says, answers);
	begun = loop_now(g->loop);
	rig_run(g);

	assert(g->server.conn_count == 0);
	/* A request is 16 bytes long at least, and may wait for a name, for addresses and for an
	 * answer. */
	assert(loop_now(g->loop) - begun <=
	       (nsec_t)(2 + (says.n + answers.n) / 16) * 60 * NSEC_PER_SEC);
	check_dialled(g, may_know_the_token(in, says, answers));
	for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
		assert(i < ALLOWED_SERVERS || script_server_count(up[i]) == 0);
		for (size_t k = 0; k < script_server_count(up[i]); k++)
			heard = heard || script_sent(script_server_peer(up[i], k)).n;
	}
	check_records(g, heard);
	check_list(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in;
	void *state;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	assert(rig_setup(&state) == 0);
	take_apart(data, size, &in);
	play(state, &in);
	assert(rig_teardown(&state) == 0);
	return 0;
}
