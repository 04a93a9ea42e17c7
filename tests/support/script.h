/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel made of paper: the back end `loop_script` for tests of handlers and machines.
 *
 *  - Descriptors are numbers that no real call would accept. One left open is a failure.
 *  - Time is a number. When nothing else can happen, it jumps to the next deadline or delay:
 *    no test sleeps.
 *  - The other ends are lists of steps. A peer goes on to its next step when the one before is
 *    over: its bytes were read, what it expects has come, its delay has passed. Behind its last
 *    step it stays connected and silent, and takes all.
 *  - Any one operation can be made to fail: script_fail_nth(). Run once to learn how many there
 *    are, then once for each.
 *
 * A test looks like this:
 *
 *	static const struct script_step client[] = {
 *		SCRIPT_SEND("CONNECT a.test:443 HTTP/1.1\r\n\r\n"),
 *		SCRIPT_EXPECT(19),
 *		SCRIPT_EOF,
 *		SCRIPT_END,
 *	};
 *	struct script *s = script_new();
 *	int listener = script_listener(s, "10.0.0.1:3128");
 *	struct script_peer *c = script_client(s, listener, "10.0.0.2:40000", client);
 *	struct script_server *up = script_server(s, "192.0.2.1:443", SCRIPT_ACCEPTS, steps);
 *
 *	co_spawn(script_loop(s), ...);
 *	r = script_run(s);	    0 after loop_stop(), -EDEADLK when nothing can happen any more
 *	... script_sent(c) ...	    is what our side sent to that peer
 *	script_free(s);		    fails if a descriptor is open or an op in flight
 *
 * Assert only between runs, never from within a coroutine.
 */
#ifndef NONO_TESTS_SUPPORT_SCRIPT_H
#define NONO_TESTS_SUPPORT_SCRIPT_H

#include "io/loop.h"

struct script;
struct script_peer;
struct script_server;

enum script_step_kind {
	SCRIPT_STEP_END,
	SCRIPT_STEP_SEND,
	SCRIPT_STEP_FILL,
	SCRIPT_STEP_EXPECT,
	SCRIPT_STEP_EXPECT_EOF,
	SCRIPT_STEP_WINDOW,
	SCRIPT_STEP_DELAY,
	SCRIPT_STEP_EOF,
	SCRIPT_STEP_RESET,
};

struct script_step {
	enum script_step_kind kind;
	const char *data;
	size_t n;
	size_t segment; /* no read returns more at once; 0: no limit */
};

/* Sends a literal, or bytes; in segments of at most `seg` bytes (1: byte by byte). */
#define SCRIPT_SEND(lit)                                  \
	{                                                 \
		SCRIPT_STEP_SEND, lit, sizeof(lit) - 1, 0 \
	}
#define SCRIPT_SEND_IN(lit, seg)                            \
	{                                                   \
		SCRIPT_STEP_SEND, lit, sizeof(lit) - 1, seg \
	}
#define SCRIPT_SEND_BYTES(p, n, sg)                        \
	{                                                  \
		SCRIPT_STEP_SEND, (const char *)(p), n, sg \
	}
/* Sends n bytes of a pattern: script_pattern(i) at place i of this step. */
#define SCRIPT_FILL(n, seg)                    \
	{                                      \
		SCRIPT_STEP_FILL, NULL, n, seg \
	}
/* Until our side has sent n bytes in all, or has ended. */
#define SCRIPT_EXPECT(n)                       \
	{                                      \
		SCRIPT_STEP_EXPECT, NULL, n, 0 \
	}
/* Until our side has ended: by shutdown, by close, or by reset. */
#define SCRIPT_EXPECT_EOF                          \
	{                                          \
		SCRIPT_STEP_EXPECT_EOF, NULL, 0, 0 \
	}
/* From now on takes n bytes and no more (SIZE_MAX: all): a slow reader. */
#define SCRIPT_WINDOW(n)                       \
	{                                      \
		SCRIPT_STEP_WINDOW, NULL, n, 0 \
	}
#define SCRIPT_DELAY(msec)                       \
	{                                        \
		SCRIPT_STEP_DELAY, NULL, msec, 0 \
	}
/* Closes its sending side; goes on receiving. */
#define SCRIPT_EOF                          \
	{                                   \
		SCRIPT_STEP_EOF, NULL, 0, 0 \
	}
#define SCRIPT_RESET                          \
	{                                     \
		SCRIPT_STEP_RESET, NULL, 0, 0 \
	}
#define SCRIPT_END                          \
	{                                   \
		SCRIPT_STEP_END, NULL, 0, 0 \
	}

uint8_t script_pattern(size_t i);

extern const struct loop_backend loop_script;

/* Makes a script and its loop. Fails the test when memory is short, so never NULL. */
struct script *script_new(void);

/* Fails the test if a descriptor is open or an op is in flight; frees the loop. */
void script_free(struct script *s);
struct loop *script_loop(struct script *s);

/*
 * Runs the loop. 0 after loop_stop(); -EDEADLK when all that is left waits for what will never come
 * (which is a normal end where something accepts for ever); -ELOOP when it does not come to rest.
 */
_must_check_ int script_run(struct script *s);

/* ---- streams. Steps are not copied; they end with SCRIPT_END. NULL: connected and silent. */

/* A listening descriptor of ours. */
int script_listener(struct script *s, const char *endpoint);

/* Somebody connects to a listener, from `from`. The connection waits there until it is accepted. */
struct script_peer *script_client(struct script *s, int listener, const char *from,
				  const struct script_step *steps);

/* A connection that exists; script_peer_fd() is our end of it. */
struct script_peer *script_pair(struct script *s, const struct script_step *steps);

enum script_behaviour {
	SCRIPT_ACCEPTS,
	SCRIPT_REFUSES,	    /* ECONNREFUSED */
	SCRIPT_UNREACHABLE, /* EHOSTUNREACH */
	SCRIPT_BLACK_HOLE,  /* never answers */
};

/* What is at an address; each connection to it walks through the steps. Anything else is
 * ENETUNREACH. */
struct script_server *script_server(struct script *s, const char *endpoint,
				    enum script_behaviour behaviour,
				    const struct script_step *steps);

/* It answers a connect only after that time. */
void script_server_delay(struct script_server *srv, unsigned int msec);

/* Connections that came about, and the i-th; NULL behind the last. */
size_t script_server_count(const struct script_server *srv);
struct script_peer *script_server_peer(const struct script_server *srv, size_t i);

/* Every address that our side tried to connect to, in order; NULL behind the last. */
const char *script_dialled(const struct script *s, size_t i);

/* Our descriptor of that connection, or -EBADF: not accepted yet, or closed. */
int script_peer_fd(const struct script_peer *p);

/* What our side sent to this peer, so far. */
struct str script_sent(const struct script_peer *p);
bool script_sent_eof(const struct script_peer *p); /* it closed or shut down its sending side … */
bool script_sent_reset(const struct script_peer *p); /* … or reset the connection */
bool script_steps_over(const struct script_peer *p); /* the peer is behind its last step */

/* ---- datagrams */

/* A bound datagram descriptor of ours. */
int script_udp(struct script *s, const char *endpoint);
void script_datagram(struct script *s, int fd, const char *from, const void *p, size_t n);

/* The i-th datagram that our side sent, from any descriptor; an empty view (p NULL) behind the
 * last. `ret_to` may be NULL. */
struct str script_datagram_sent(const struct script *s, size_t i, struct endpoint *ret_to);

/* Somebody answers what is sent to that address: `fn` writes its reply, and returns its length; 0:
 * silence. */
void script_udp_server(struct script *s, const char *endpoint,
		       size_t (*fn)(void *arg, const uint8_t *query, size_t n, uint8_t *reply,
				    size_t max),
		       void *arg);

/* ---- failures and accounts */

/*
 * The n-th operation (from 1) fails with this errno; 0: none does. Counted are ops that are
 * submitted (not timers and events) and direct calls other than closing.
 */
void script_fail_nth(struct script *s, unsigned int n, int err);
unsigned int script_ops_done(const struct script *s);
size_t script_open_fds(const struct script *s);

#endif
