/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy on scripted I/O: a server over a script's loop, with a filter made of patterns, origins
 * and a resolver that the test fills in, and an audit that the test reads back.
 *
 *	static void test_x(void **state)
 *	{
 *		struct rig *g = *state;
 *
 *		rig_allow(g, "a.test:443");
 *		rig_bind(g, "a.test", "192.0.2.1");
 *		c = rig_client(g, "192.0.2.1:443", STEPS(g, SCRIPT_SEND("..."), SCRIPT_EOF));
 *		rig_run(g);
 *		assert_non_null(rig_record(g, "\"event\":\"open\"", "\"decision\":\"allow\""));
 *	}
 *	...
 *	cmocka_unit_test_setup_teardown(test_x, rig_setup, rig_teardown)
 *
 * A client of the explicit listener is rig_explicit(g, steps); it has to show RIG_TOKEN. One from outside, for a published port,
 * is rig_outsider(g, steps).
 *
 * The teardown ends the server and fails the test if a descriptor, an operation, a coroutine or a
 * redirect entry is left.
 */
#ifndef NONO_TESTS_SUPPORT_PROXY_SCRIPT_H
#define NONO_TESTS_SUPPORT_PROXY_SCRIPT_H

#include "proxy/server.h"
#include "tests/support/script.h"

#define RIG_ORIGINS_MAX 2048
#define RIG_NAMES_MAX	512

/* The session's token. */
#define RIG_TOKEN "0123456789abcdef00112233445566778899aabbccddeeff0f1e2d3c4b5a6978"

/* Our own listeners, as a client would address them. */
#define RIG_LISTENER "127.0.0.1:40001"
#define RIG_EXPLICIT "127.0.0.1:40002"
#define RIG_DNS	     "127.0.0.1:53"

/* The port that is published, once there is an outsider. */
#define RIG_PUBLISHED	   3000
#define RIG_PUBLISHED_TEXT "127.0.0.1:3000"

struct rig_origin {
	struct endpoint peer;
	struct origin origin;
	bool held; /* handed out and not forgotten yet */
};

/* What the resolver says of a name. */
struct rig_name {
	const char *name;
	uint16_t type; /* raw answers; 0: addresses */
	int result;    /* 0 or -errno */
	nsec_t delay;  /* NSEC_NEVER: silent until the deadline */
	struct answer answer;
	struct buf raw;
};

struct rig {
	struct script *script;
	struct loop *loop;
	struct filter filter;
	struct audit audit;
	struct server server;
	struct server_limits limits; /* may be changed before the server starts */
	bool started;
	bool no_auth;
	int listener, explicit_listener, udp;
	int audit_fd; /* a memfd; the audit's own descriptor may be another one for a while */
	char *audit_text;

	struct rig_origin origins[RIG_ORIGINS_MAX];
	size_t origin_count, forgotten;
	size_t explicit_count; /* clients of the explicit listener */
	size_t outsider_count;
	int published_listener;
	int inside_error;    /* why there is no socket of the sandbox's network: -errno */
	nsec_t inside_delay; /* or how long it takes to get one; NSEC_NEVER */
	unsigned int inside_sockets;
	struct rig_name *names;
	size_t name_count;
	unsigned int resolves, raw_resolves; /* calls */

	struct rig_block *blocks; /* memory that lives as long as the rig */
};

int rig_setup(void **state);
int rig_teardown(void **state);

/* The same between two rounds of one test. */
struct rig *rig_renew(void **state);

/* Ends the server, as a drain without grace does. For tests that look at what is left; the teardown
 * does it otherwise. */
void rig_drain(struct rig *g, nsec_t grace);

/* ---- policy; before the server starts, which the first client, datagram or call does */

void rig_allow(struct rig *g, const char *pattern);
void rig_deny(struct rig *g, const char *pattern);
void rig_cidr(struct rig *g, const char *text);

/* The explicit listener asks for no token. */
void rig_no_auth(struct rig *g);
void rig_start(struct rig *g);

/* What a DNS answer would have bound. Addresses, separated by blanks. */
void rig_bind(struct rig *g, const char *name, const char *addrs);

/* ---- the outside */

/* The resolver knows a name: addresses separated by blanks, or (NULL) fails with `result`. */
struct rig_name *rig_resolves(struct rig *g, const char *name, const char *addrs, int result);

/* The resolver's raw answer: one record of that type, owner compressed; or (p NULL) `result`. */
struct rig_name *rig_resolves_raw(struct rig *g, const char *name, uint16_t type, const void *p,
				  size_t n, int result);

/* ---- clients. Each comes from a port of its own. */

/* A redirected connection; `to` NULL: without an entry. */
struct script_peer *rig_client(struct rig *g, const char *to, const struct script_step *steps);

/* A client of the explicit listener. */
struct script_peer *rig_explicit(struct rig *g, const struct script_step *steps);

/* Somebody outside, who connects to the published port. */
struct script_peer *rig_outsider(struct rig *g, const struct script_step *steps);

/* Runs until nothing can happen any more; fails the test if it does not come to rest. */
void rig_run(struct rig *g);

/* Runs for that long. */
void rig_run_for(struct rig *g, nsec_t time);

/* Runs a function in a coroutine, until it has returned. */
void rig_call(struct rig *g, void (*fn)(void *arg), void *arg);

/* Steps that live as long as the rig. */
const struct script_step *rig_steps(struct rig *g, const struct script_step *steps, size_t n);

/* One view behind the other, as long as the rig lives. */
struct str rig_joined(struct rig *g, struct str a, struct str b);

#define STEPS(g, ...)                                                               \
	rig_steps(g, (const struct script_step[]){ __VA_ARGS__, SCRIPT_END },       \
		  sizeof((const struct script_step[]){ __VA_ARGS__, SCRIPT_END }) / \
			  sizeof(struct script_step))

/* A view as a step, in segments of `seg` (0: at once). */
#define SCRIPT_SEND_STR(s, seg)                     \
	{                                           \
		SCRIPT_STEP_SEND, (s).p, (s).n, seg \
	}

/* ---- ClientHellos */

struct rig_hello {
	const char *sni; /* NULL: none */
	size_t pad;	 /* bytes of padding, to make it long */
	size_t record;	 /* longest payload of a record; 0: one record */
};

/* Bytes that live as long as the rig. */
struct str rig_hello(struct rig *g, const struct rig_hello *h);
struct str rig_hello_for(struct rig *g, const char *sni);

/* ---- the audit */

/* Everything that was written; the text lives until the next call. */
const char *rig_audit(struct rig *g);

/* The records that contain all of these texts. */
#define rig_count(g, ...)  rig_count_all(g, (const char *const[]){ __VA_ARGS__, NULL })
#define rig_record(g, ...) rig_record_all(g, (const char *const[]){ __VA_ARGS__, NULL })

size_t rig_count_all(struct rig *g, const char *const *texts);

/* The first of them, without its newline; NULL if there is none. Lives as long as the rig. */
const char *rig_record_all(struct rig *g, const char *const *texts);
bool rig_audit_has(struct rig *g, const char *text);

/* Writes go to a device that is full (on), or to the memfd again. */
void rig_audit_full(struct rig *g, bool on);

/* ---- counting */

/* Addresses that were dialled, each followed by a blank: "192.0.2.1:443 [2001:db8::1]:443 ". */
const char *rig_dialled(struct rig *g);

/* Did our side send exactly this? */
void rig_expect_sent(const struct script_peer *p, struct str want);

/* ---- the sweep */

/*
 * One scenario, run once as it is and then once for each of its operations, which fails. `play`
 * sets up, runs to rest, and may check what holds whatever failed. After each round: nothing is
 * left open, and the records of the one redirected connection are one refusal, or one open and one
 * close; of a client of the explicit listener (which may send several requests, or be gone before
 * its first), as many opens as closes.
 */
void rig_sweep(void **state, void (*play)(struct rig *g));

#endif
