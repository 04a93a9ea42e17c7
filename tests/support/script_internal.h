/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the script share: script.c is the kernel (what happens), script_set.c sets the
 * scene and tells what came of it (what a test calls).
 */
#ifndef NONO_TESTS_SUPPORT_SCRIPT_INTERNAL_H
#define NONO_TESTS_SUPPORT_SCRIPT_INTERNAL_H

#include "base/list.h"
#include "tests/support/script.h"

#define FD_BASE 100000 /* above what a process has */
#define FDS_MAX 4096

enum fake_kind { FAKE_FREE, FAKE_STREAM, FAKE_LISTENER, FAKE_UDP, FAKE_PIPE_OUT, FAKE_PIPE_IN };

/* Bytes that are appended and never taken away. */
struct record {
	uint8_t *p;
	size_t n, cap;
};

struct datagram {
	struct list link;
	struct endpoint from;
	size_t n;
	uint8_t p[];
};

struct fake_pipe {
	uint8_t *p;
	size_t n, size;
	int ends; /* open ones */
};

struct fake {
	enum fake_kind kind;
	struct op *in, *out;
	struct script_peer *peer;     /* STREAM, once connected */
	struct script_server *server; /* STREAM, while connecting */
	nsec_t answers_at;
	bool shut_in, shut_out, linger0;
	struct list waiting;   /* LISTENER: peers */
	struct list datagrams; /* UDP: struct datagram, arrived */
	struct endpoint bound; /* UDP */
	struct endpoint to;    /* UDP, connected; port 0: not */
	struct fake_pipe *pipe;
};

struct script_peer {
	struct list all, waiting, of_server;
	struct script *script;
	const struct script_step *steps;
	struct endpoint from;
	size_t offset;	  /* in the current step */
	nsec_t delay_end; /* 0: not begun */
	size_t window;
	int fd;
	bool eof, reset; /* by it */
	bool got_eof, got_reset;
	struct record got;
};

struct script_server {
	struct list all, peers;
	struct endpoint at;
	enum script_behaviour behaviour;
	const struct script_step *steps;
	nsec_t delay;
};

struct udp_server {
	struct list all;
	struct endpoint at;
	size_t (*fn)(void *arg, const uint8_t *query, size_t n, uint8_t *reply, size_t max);
	void *arg;
};

struct sent_datagram {
	struct list all;
	struct endpoint to;
	struct str bytes;
};

struct dialled {
	struct list all;
	char text[ENDPOINT_TEXT_MAX];
};

struct script {
	struct loop *loop;
	nsec_t now;
	unsigned int ops, fail_at, turns;
	int fail_errno;
	struct list peers, servers, udp_servers, sent, dialled;
	struct fake fakes[FDS_MAX];
};

/* Zeroed; fails the test when there is none. */
void *script_alloc(size_t n);

/* NULL for what is no open descriptor. */
struct fake *script_fake(struct script *s, int fd);

/* A new descriptor, or -EMFILE. */
int script_fake_new(struct script *s, enum fake_kind kind);

struct script_peer *script_peer_new(struct script *s, const struct script_step *steps);

/* Gives a peer our end of its connection; the descriptor, or -EMFILE. */
int script_peer_attach(struct script *s, struct script_peer *p);

void script_datagram_arrives(struct fake *f, const struct endpoint *from, const void *p, size_t n);

#endif
