/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What two parties could read in two ways, at every place where a request may stand, in front of an
 * upstream that counts what it gets: never a byte of what was refused, nor of what follows it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_expect.h"

#define X      "192.0.2.1"
#define OK5    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define SECOND "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"

/* In these texts '@' becomes what stands before the path in absolute-form, '~' the token; '^' marks
 * the first byte of a body that must not go out. */
#define GOOD	  "GET @/good HTTP/1.1\r\nHost: a.test\r\n~\r\n"
#define GOOD_SEEN "GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define EVIL	  "GET @/evil HTTP/1.1\r\nHost: a.test\r\n~\r\n"
#define POST(f)	  "POST @/u HTTP/1.1\r\nHost: a.test\r\n~" f "\r\n"
#define SEEN(f)	  "POST /u HTTP/1.1\r\nHost: a.test\r\n" f "\r\n"
#define CHUNKED	  "Transfer-Encoding: chunked\r\n"
#define LENGTH(n) "Content-Length: " n "\r\n"

#define WHOLE POST(CHUNKED) "5\r\nhello\r\n"

struct row {
	const char *why;
	struct str says;
};

static const struct row rows[] = {
	/* two framings */
	{ "CL and TE", STR_LIT(POST(LENGTH("5") CHUNKED) "0\r\n\r\n") },
	{ "TE and CL", STR_LIT(POST(CHUNKED LENGTH("5")) "0\r\n\r\n") },
	{ "TE and CL 0", STR_LIT(POST(CHUNKED LENGTH("0")) "0\r\n\r\n") },
	{ "CL and TE identity",
	  STR_LIT(POST(LENGTH("5") "Transfer-Encoding: identity\r\n") "hello") },
	{ "two CL", STR_LIT(POST(LENGTH("5") LENGTH("6")) "hello") },
	{ "two equal CL", STR_LIT(POST(LENGTH("5") LENGTH("5")) "hello") },
	{ "two CL, the second in capitals",
	  STR_LIT(POST(LENGTH("0") "CONTENT-LENGTH: 5\r\n") "hello") },
	{ "a list of CL", STR_LIT(POST(LENGTH("5, 5")) "hello") },
	{ "a list of different CL", STR_LIT(POST(LENGTH("0,5")) "hello") },
	/* lengths */
	{ "CL +5", STR_LIT(POST(LENGTH("+5")) "hello") },
	{ "CL -0", STR_LIT(POST(LENGTH("-0")) "hello") },
	{ "CL 0x5", STR_LIT(POST(LENGTH("0x5")) "hello") },
	{ "CL 5 with a blank in it", STR_LIT(POST(LENGTH("1 5")) "hello") },
	{ "CL with a tab", STR_LIT(POST("Content-Length:\t5\r\n") "hello") },
	{ "CL 5.0", STR_LIT(POST(LENGTH("5.0")) "hello") },
	{ "CL 5e0", STR_LIT(POST(LENGTH("5e0")) "hello") },
	{ "CL quoted", STR_LIT(POST(LENGTH("\"5\"")) "hello") },
	{ "CL with a NUL", STR_LIT(POST(LENGTH("5\0")) "hello") },
	{ "CL without a digit", STR_LIT(POST("Content-Length:\r\n") "hello") },
	{ "CL of 2^64", STR_LIT(POST(LENGTH("18446744073709551616"))) },
	{ "CL of 2^64 + 5", STR_LIT(POST(LENGTH("18446744073709551621")) "hello") },
	{ "a blank before the colon", STR_LIT(POST("Content-Length : 5\r\n") "hello") },
	{ "a tab before the colon", STR_LIT(POST("Content-Length\t: 5\r\n") "hello") },
	/* codings */
	{ "TE xchunked", STR_LIT(POST("Transfer-Encoding: xchunked\r\n") "0\r\n\r\n") },
	{ "TE chunked, identity",
	  STR_LIT(POST("Transfer-Encoding: chunked, identity\r\n") "0\r\n\r\n") },
	{ "TE gzip, chunked", STR_LIT(POST("Transfer-Encoding: gzip, chunked\r\n") "0\r\n\r\n") },
	{ "TE identity", STR_LIT(POST("Transfer-Encoding: identity\r\n")) },
	{ "TE chunked, chunked",
	  STR_LIT(POST("Transfer-Encoding: chunked, chunked\r\n") "0\r\n\r\n") },
	{ "TE twice", STR_LIT(POST(CHUNKED CHUNKED) "0\r\n\r\n") },
	{ "TE twice, the second none",
	  STR_LIT(POST(CHUNKED "Transfer-Encoding: x\r\n") "0\r\n\r\n") },
	{ "TE with a tab before", STR_LIT(POST("Transfer-Encoding:\tchunked\r\n") "0\r\n\r\n") },
	{ "TE with a tab behind", STR_LIT(POST("Transfer-Encoding: chunked\t\r\n") "0\r\n\r\n") },
	{ "TE with a vertical tab", STR_LIT(POST("Transfer-Encoding: \x0b"
						 "chunked\r\n") "0\r\n\r\n") },
	{ "TE quoted", STR_LIT(POST("Transfer-Encoding: \"chunked\"\r\n") "0\r\n\r\n") },
	{ "TE with a parameter", STR_LIT(POST("Transfer-Encoding: chunked;x=y\r\n") "0\r\n\r\n") },
	{ "TE with a NUL", STR_LIT(POST("Transfer-Encoding: chunked\0\r\n") "0\r\n\r\n") },
	{ "TE empty", STR_LIT(POST("Transfer-Encoding:\r\n") "0\r\n\r\n") },
	{ "TE with HTTP/1.0",
	  STR_LIT("POST @/u HTTP/1.0\r\nHost: a.test\r\n~" CHUNKED "\r\n0\r\n\r\n") },
	/* lines */
	{ "a bare LF behind the first line",
	  STR_LIT("POST @/u HTTP/1.1\nHost: a.test\r\n~" LENGTH("0") "\r\n") },
	{ "a bare LF behind a field", STR_LIT(POST("X: y\n" LENGTH("0"))) },
	{ "a bare LF at the end", STR_LIT("POST @/u HTTP/1.1\r\nHost: a.test\r\n~\n") },
	{ "a bare CR in a field", STR_LIT(POST("X: y\rContent-Length: 5\r\n")) },
	{ "CR CR LF", STR_LIT(POST("X: y\r\r\n")) },
	{ "obs-fold of a field", STR_LIT(POST("X: y\r\n Content-Length: 5\r\n")) },
	{ "obs-fold of TE", STR_LIT(POST("Transfer-Encoding:\r\n chunked\r\n") "0\r\n\r\n") },
	{ "a blank before the first field",
	  STR_LIT("POST @/u HTTP/1.1\r\n X: y\r\nHost: a.test\r\n~\r\n") },
	{ "a NUL in a name", STR_LIT(POST("Content-Length\0: 5\r\n") "hello") },
	{ "a NUL in a value", STR_LIT(POST("X: a\0b\r\n")) },
	{ "no colon", STR_LIT(POST("X\r\n")) },
	{ "an empty name", STR_LIT(POST(": y\r\n")) },
	{ "a name that is no token", STR_LIT(POST("Content(Length): 5\r\n") "hello") },
	{ "two Hosts", STR_LIT(POST("Host: a.test\r\n")) },
	{ "a Host that is folded", STR_LIT("GET @/u HTTP/1.1\r\nHost:\r\n a.test\r\n~\r\n") },
	{ "HTTP/0.9", STR_LIT("GET @/u\r\n") },
	{ "HTTP/1.2", STR_LIT("GET @/u HTTP/1.2\r\nHost: a.test\r\n~\r\n") },
	{ "HTTP/01.1", STR_LIT("GET @/u HTTP/01.1\r\nHost: a.test\r\n~\r\n") },
	{ "two blanks", STR_LIT("GET  @/u HTTP/1.1\r\nHost: a.test\r\n~\r\n") },
	{ "a blank in the target", STR_LIT("GET @/u v HTTP/1.1\r\nHost: a.test\r\n~\r\n") },
	{ "a second request in the target",
	  STR_LIT("GET @/u HTTP/1.1 GET @/evil HTTP/1.1\r\nHost: a.test\r\n~\r\n") },
	{ "three empty lines", STR_LIT("\r\n\r\n\r\n" POST(LENGTH("0"))) },
	{ "the preface of HTTP/2", STR_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
	/* chunks: the head may pass, and what stands before the '^' */
	{ "a size that is none", STR_LIT(WHOLE "^zz\r\n") },
	{ "a size with a sign", STR_LIT(WHOLE "^+5\r\nhello\r\n") },
	{ "a negative size", STR_LIT(WHOLE "^-1\r\n") },
	{ "a size with 0x", STR_LIT(WHOLE "0^x5\r\nhello\r\n") },
	{ "an empty size", STR_LIT(WHOLE "^\r\nhello\r\n") },
	{ "a blank before a size", STR_LIT(WHOLE "^ 5\r\nhello\r\n") },
	{ "a blank behind a size", STR_LIT(WHOLE "5^ \r\nhello\r\n") },
	{ "a tab behind a size", STR_LIT(WHOLE "5^\t\r\nhello\r\n") },
	{ "a size of 2^64", STR_LIT(WHOLE "1000000000000000^0\r\n") },
	{ "a size of 2^64 + 5", STR_LIT(WHOLE "1000000000000000^5\r\nhello\r\n") },
	{ "a size behind zeros", STR_LIT(WHOLE "0000000000000000^05\r\nhello\r\n") },
	{ "a bare LF behind a size", STR_LIT(WHOLE "5^\nhello\r\n") },
	{ "a bare CR behind a size", STR_LIT(WHOLE "5\r^hello\r\n") },
	{ "a bare LF behind the data", STR_LIT(WHOLE "5\r\nhello^\n") },
	{ "data that is too long", STR_LIT(WHOLE "5\r\nhello^+\r\n") },
	{ "data that is too short", STR_LIT(WHOLE "6\r\nhello\r^\n") },
	{ "an extension with a LF", STR_LIT(WHOLE "5;x^\n\r\nhello\r\n") },
	{ "an extension with a CR", STR_LIT(WHOLE "5;x=^\r5\r\nhello\r\n") },
	{ "an extension with a quoted line", STR_LIT(WHOLE "5;x=\"^\r\n\"\r\nhello\r\n") },
	{ "an extension with a NUL", STR_LIT(WHOLE "5;^\0\r\nhello\r\n") },
	{ "a last chunk with a LF", STR_LIT(WHOLE "0^\n\r\n") },
	{ "an end with a LF", STR_LIT(WHOLE "0\r\n^\n") },
	{ "a trailer that frames", STR_LIT(WHOLE "0\r\nContent-Length^: 3\r\n\r\n") },
	{ "a trailer that codes", STR_LIT(WHOLE "0\r\nTransfer-Encoding^: chunked\r\n\r\n") },
	{ "a trailer that names a host", STR_LIT(WHOLE "0\r\nHost^: evil.test\r\n\r\n") },
	{ "a trailer with a blank before it", STR_LIT(WHOLE "0\r\n^ X: y\r\n\r\n") },
	{ "a trailer without a colon", STR_LIT(WHOLE "0\r\nX^\r\n\r\n") },
};

enum place {
	SINGLE,
	PIPELINED,	  /* behind a good request */
	BEHIND_407,	  /* behind a request without the token */
	BEHIND_NO_TOKEN,  /* as early data of a CONNECT without it */
	BEHIND_403,	  /* … of a CONNECT to a name that is not allowed */
	BEHIND_CONNECT,	  /* … of one that is: the tunnel's, whatever it is */
	BEHIND_NO_TUNNEL, /* … of a CONNECT on a redirected connection */
	PLACES,
};

static const char *const place_names[PLACES] = {
	"single",
	"pipelined",
	"behind a 407",
	"behind a CONNECT without the token",
	"behind a 403",
	"behind a CONNECT",
	"redirected, behind a CONNECT",
};

static const char *const before[PLACES] = {
	[SINGLE] = "",
	[PIPELINED] = GOOD,
	[BEHIND_407] = "GET @/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
	[BEHIND_NO_TOKEN] = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n",
	[BEHIND_403] = "CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test\r\n~\r\n",
	[BEHIND_CONNECT] = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n~\r\n",
	[BEHIND_NO_TUNNEL] = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n",
};

/* The text as that kind of client writes it. */
static struct str written(struct rig *g, struct str text, bool redirected)
{
	_cleanup_buf_ struct buf out = BUF_INIT(65536);
	struct str s;
	int r = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '@')
			r |= buf_append_str(&out,
					    redirected ? STR_LIT("") : STR_LIT("http://a.test"));
		else if (text.p[i] == '~')
			r |= buf_append_str(&out, redirected ? STR_LIT("") : STR_LIT(BEARER));
		else if (text.p[i] != '^')
			r |= buf_append_u8(&out, (uint8_t)text.p[i]);
	}
	assert_int_equal(r, 0);
	s = buf_str(&out);
	return rig_joined(g, s, STR_LIT(""));
}

/* What of a row may go out. */
static struct str most_of(struct rig *g, const struct row *row)
{
	size_t head = sizeof(POST(CHUNKED)) - 1;
	const char *mark = memchr(row->says.p, '^', row->says.n);

	if (!mark)
		return STR_LIT("");
	return rig_joined(g, STR_LIT(SEEN(CHUNKED)),
			  (struct str){ row->says.p + head, (size_t)(mark - row->says.p) - head });
}

static void bound(struct rig *g)
{
	rig_allow(g, "a.test");
	rig_resolves(g, "a.test", X, 0);
	rig_bind(g, "a.test", X);
}

/* The upstream: answers the good request if it is the first, and no other. */
static struct script_server *counting(struct rig *g, bool good)
{
	bound(g);
	return script_server(g->script, X ":80", SCRIPT_ACCEPTS,
			     good ? STEPS(g, SCRIPT_EXPECT(sizeof(GOOD_SEEN) - 1), SCRIPT_SEND(OK5),
					  SCRIPT_EXPECT_EOF, SCRIPT_EOF)
				  : STEPS(g, SCRIPT_EXPECT_EOF, SCRIPT_EOF));
}

static size_t times(struct str in, const char *what)
{
	size_t n = 0;

	for (size_t i = 0; i + strlen(what) <= in.n; i++)
		n += memcmp(in.p + i, what, strlen(what)) == 0;
	return n;
}

/* All that all connections to the upstream got is a beginning of `most`, and at least `least`. */
static void expect_got(struct rig *g, const struct script_server *srv, struct str least,
		       struct str most, const char *why, const char *where)
{
	struct str got = STR_LIT("");

	for (size_t i = 0; i < script_server_count(srv); i++)
		got = rig_joined(g, got, script_sent(script_server_peer(srv, i)));
	if (got.n < least.n || got.n > most.n || memcmp(got.p, most.p, got.n) != 0)
		fail_msg("%s, %s: the upstream got %zu bytes: %.*s\n%s", why, where, got.n,
			 STR_FMT(got), rig_audit(g));
}

static void play(void **state, const struct row *row, enum place place, bool redirected, size_t seg)
{
	struct rig *g = rig_renew(state);
	struct script_server *srv = counting(g, place == PIPELINED);
	const char *where = place_names[place];
	struct str first = written(g, str_of(before[place]), redirected);
	struct str bad = rig_joined(g, written(g, row->says, redirected),
				    written(g, STR_LIT(EVIL), redirected));
	struct str good = place == PIPELINED ? STR_LIT(GOOD_SEEN) : STR_LIT("");
	const struct script_step *steps = STEPS(g, SCRIPT_SEND_STR(rig_joined(g, first, bad), seg),
						SCRIPT_DELAY(100), SCRIPT_EOF, SCRIPT_EXPECT_EOF);
	struct script_peer *c = redirected ? rig_client(g, X ":80", steps) : rig_explicit(g, steps);
	struct str most;
	size_t at = 0;

	rig_run(g);
	if (place == BEHIND_CONNECT) {
		expect_got(g, srv, bad, bad, row->why, where);
		assert_int_equal(script_server_count(srv), 1);
		return;
	}
	if (place == BEHIND_403 || place == BEHIND_NO_TUNNEL) {
		expect_got(g, srv, STR_LIT(""), STR_LIT(""), row->why, where);
		rig_expect_refusal(g, c, STR_LIT(""), redirected ? 405 : 403,
				   redirected ? "method_refused" : "host_not_allowed", row->why);
		return;
	}
	if (place == BEHIND_NO_TOKEN && seg != 1) {
		expect_got(g, srv, STR_LIT(""), STR_LIT(""), row->why, where);
		rig_expect_refusal(g, c, STR_LIT(""), 407, "token_missing", row->why);
		return;
	}
	/* Byte by byte, everything up to the one that is refused is passed on. */
	most = rig_joined(g, good, most_of(g, row));
	expect_got(g, srv, seg == 1 ? most : good, most, row->why, where);
	if (place == PIPELINED) {
		assert_memory_equal(script_sent(c).p, OK5, sizeof(OK5) - 1);
		at = sizeof(OK5) - 1;
	} else if (place == BEHIND_407 || place == BEHIND_NO_TOKEN) {
		rig_expect_denial(g, c, &at, 407, "token_missing", true, row->why);
	}
	rig_expect_refusal(g, c, (struct str){ script_sent(c).p, at }, 400, "http_malformed",
			   row->why);
	if (times(script_sent(c), " 200 OK") != (place == PIPELINED))
		fail_msg("%s, %s: too many answers", row->why, where);
}

static void test_nothing_is_smuggled_in_absolute_form(void **state)
{
	static const size_t segments[] = { 0, 1, 9 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (int p = 0; p < BEHIND_NO_TUNNEL; p++)
			for (size_t s = 0; s < ARRAY_SIZE(segments); s++)
				play(state, &rows[i], (enum place)p, false, segments[s]);
}

static void test_nothing_is_smuggled_when_redirected(void **state)
{
	static const enum place places[] = { SINGLE, PIPELINED, BEHIND_NO_TUNNEL };
	static const size_t segments[] = { 0, 1, 9 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t p = 0; p < ARRAY_SIZE(places); p++)
			for (size_t s = 0; s < ARRAY_SIZE(segments); s++)
				play(state, &rows[i], places[p], true, segments[s]);
}

/* A request that stands in the body of another one is its body. */
static void test_a_request_in_a_body_is_a_body(void **state)
{
#define INNER "GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n"
	static const struct {
		const char *why, *says, *sees;
	} bodies[] = {
		{ "a length", POST(LENGTH("36")) INNER, SEEN(LENGTH("36")) INNER },
		{ "chunked", POST(CHUNKED) "24\r\n" INNER "\r\n0\r\n\r\n",
		  SEEN(CHUNKED) "24\r\n" INNER "\r\n0\r\n\r\n" },
		{ "chunked, in capitals",
		  POST("TRANSFER-ENCODING: Chunked\r\n") "24\r\n" INNER "\r\n0\r\n\r\n",
		  SEEN(CHUNKED) "24\r\n" INNER "\r\n0\r\n\r\n" },
		{ "a trailer", POST(CHUNKED) "0\r\nX: GET /evil HTTP/1.1\r\n\r\n",
		  SEEN(CHUNKED) "0\r\nX: GET /evil HTTP/1.1\r\n\r\n" },
		{ "an extension", POST(CHUNKED) "5;x=\"0;\"\r\nhello\r\n0\r\n\r\n",
		  SEEN(CHUNKED) "5;x=\"0;\"\r\nhello\r\n0\r\n\r\n" },
		{ "a GET with a body",
		  "GET @/u HTTP/1.1\r\nHost: a.test\r\n~" LENGTH("36") "\r\n" INNER,
		  "GET /u HTTP/1.1\r\nHost: a.test\r\n" LENGTH("36") "\r\n" INNER },
	};
	static const size_t segments[] = { 0, 1, 9 };

	_Static_assert(sizeof(INNER) - 1 == 36, "the lengths above");
	for (size_t i = 0; i < ARRAY_SIZE(bodies) * ARRAY_SIZE(segments) * 2; i++) {
		size_t row = i / (ARRAY_SIZE(segments) * 2), seg = segments[i / 2 % 3];
		struct rig *g = rig_renew(state);
		struct script_server *srv;
		const struct script_step *steps;
		struct script_peer *c;
		struct str says, sees = str_of(bodies[row].sees);
		bool redirected = i & 1;

		bound(g);
		srv = script_server(g->script, X ":80", SCRIPT_ACCEPTS,
				    STEPS(g, SCRIPT_EXPECT(sees.n), SCRIPT_SEND(OK5),
					  SCRIPT_EXPECT(sees.n + sizeof(GOOD_SEEN) - 1),
					  SCRIPT_SEND(SECOND), SCRIPT_EXPECT_EOF, SCRIPT_EOF));
		says = rig_joined(g, written(g, str_of(bodies[row].says), redirected),
				  written(g, STR_LIT(GOOD), redirected));
		steps = STEPS(g, SCRIPT_SEND_STR(says, seg), SCRIPT_EXPECT(sizeof(OK5 SECOND) - 1),
			      SCRIPT_EOF);
		c = redirected ? rig_client(g, X ":80", steps) : rig_explicit(g, steps);
		rig_run(g);
		rig_expect_seen(g, srv, 0, rig_joined(g, sees, STR_LIT(GOOD_SEEN)),
				bodies[row].why);
		assert_int_equal(script_server_count(srv), 1);
		rig_expect_heard(g, c, STR_LIT(OK5 SECOND), bodies[row].why);
		assert_int_equal(rig_count(g, OPEN, ALLOW), 2);
	}
#undef INNER
}

/* ---- the other way: no answer to one request is taken for the answer to the next */

static void test_no_answer_is_smuggled(void **state)
{
#define EVIL_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	static const struct {
		const char *why, *answers, *hears;
		bool ends; /* with a refusal */
	} answers[] = {
		{ "two at once", OK5 EVIL_ANSWER, OK5, false },
		{ "behind a 204", "HTTP/1.1 204 No\r\n\r\n" EVIL_ANSWER, "HTTP/1.1 204 No\r\n\r\n",
		  false },
		{ "a 204 with a length",
		  "HTTP/1.1 204 No\r\nContent-Length: 44\r\n\r\n" EVIL_ANSWER,
		  "HTTP/1.1 204 No\r\n\r\n", false },
		{ "a 204 that is chunked",
		  "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL_ANSWER,
		  "HTTP/1.1 204 No\r\n\r\n", false },
		{ "a 304 with a body", "HTTP/1.1 304 No\r\nContent-Length: 44\r\n\r\n" EVIL_ANSWER,
		  "HTTP/1.1 304 No\r\nContent-Length: 44\r\n\r\n", false },
		{ "an interim answer with a body",
		  "HTTP/1.1 103 Hints\r\nContent-Length: 4\r\n\r\nevil" OK5,
		  "HTTP/1.1 103 Hints\r\n\r\n", true },
		{ "a length and chunked",
		  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "0\r\n\r\n" EVIL_ANSWER,
		  "", true },
		{ "two lengths",
		  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" EVIL_ANSWER,
		  "", true },
		{ "a coding that is none",
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" EVIL_ANSWER, "",
		  true },
		{ "a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n" EVIL_ANSWER, "", true },
		{ "obs-fold", "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 0\r\n\r\n" EVIL_ANSWER,
		  "", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers) * 2; i++) {
		struct rig *g = rig_renew(state);
		const char *why = answers[i / 2].why;
		bool redirected = i & 1;
		struct script_server *srv;
		const struct script_step *steps;
		struct script_peer *c;
		struct str two = rig_joined(g, written(g, STR_LIT(GOOD), redirected),
					    written(g, STR_LIT(GOOD), redirected));

		bound(g);
		/* Each connection answers in the same way. */
		srv = script_server(g->script, X ":80", SCRIPT_ACCEPTS,
				    STEPS(g, SCRIPT_EXPECT(sizeof(GOOD_SEEN) - 1),
					  SCRIPT_SEND_STR(str_of(answers[i / 2].answers), 0),
					  SCRIPT_EXPECT_EOF));
		steps = STEPS(g, SCRIPT_SEND_STR(two, 0), SCRIPT_EXPECT_EOF, SCRIPT_EOF);
		c = redirected ? rig_client(g, X ":80", steps) : rig_explicit(g, steps);
		rig_run_for(g, 10 * NSEC_PER_MSEC);
		if (answers[i / 2].ends) {
			rig_expect_refusal(g, c, str_of(answers[i / 2].hears), 502,
					   "upstream_unreachable", why);
			assert_int_equal(script_server_count(srv), 1);
			continue;
		}
		/* Each request had a connection of its own, and one answer. */
		assert_int_equal(script_server_count(srv), 2);
		rig_expect_seen(g, srv, 0, STR_LIT(GOOD_SEEN), why);
		rig_expect_seen(g, srv, 1, STR_LIT(GOOD_SEEN), why);
		rig_expect_heard(
			g, c,
			rig_joined(g, str_of(answers[i / 2].hears), str_of(answers[i / 2].hears)),
			why);
	}
#undef EVIL_ANSWER
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_nothing_is_smuggled_in_absolute_form),
		TEST(test_nothing_is_smuggled_when_redirected),
		TEST(test_a_request_in_a_body_is_a_body),
		TEST(test_no_answer_is_smuggled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
