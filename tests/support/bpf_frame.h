/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of the tests in tests/bpf: two network namespaces joined by a veth pair, servers in
 * both, a proxy, cgroups, and a sniffer on the far end of the pair as the judge.
 *
 *	ctr  192.0.2.2, 2001:db8:1::2  the sandbox's namespace: the proxy, a service that is not
 *	                               the sandbox's
 *	ext  192.0.2.1, 2001:db8:1::1  "the internet": servers that answer EXT, the sniffer
 *
 * A try is a function that runs in a process of its own, in a cgroup, as root or as nobody. It
 * returns an errno or one of the answers below. Each is run first in a cgroup without programs and
 * must show there what it shows (it reaches the server, or a frame appears): a broken try would look
 * like a closed way.
 *
 * Everything lives in namespaces that end with the worker; a parent outside removes the cgroups,
 * also after a crash.
 */
#ifndef NONO_TESTS_BPF_FRAME_H
#define NONO_TESTS_BPF_FRAME_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "redirect/redirect.h"

#define EXT4	  "192.0.2.1"
#define EXT6	  "2001:db8:1::1"
#define EXT4IN6	  "::ffff:192.0.2.1"
#define EXT_LINK6 "fe80::1"
#define CTR4	  "192.0.2.2"
#define CTR6	  "2001:db8:1::2"
#define CTR_DEV	  "nonoctr"

#define OWN_PORT 7070 /* of the sandbox's own server, where a test starts one; TCP and UDP */
#define OUT_PORT 8080 /* the service in ctr that is not the sandbox's; TCP and UDP */

/* What a try found, beyond errno values. */
enum bpf_answer {
	ANS_OK = 0,
	ANS_EXT = 201,	 /* the server in ext answered */
	ANS_PROXY,	 /* the proxy did, and knew the destination */
	ANS_DNS,	 /* the proxy's DNS listener did */
	ANS_EXPLICIT,	 /* the proxy's explicit listener did */
	ANS_OUT,	 /* the stranger in ctr did */
	ANS_OWN,	 /* a server of the sandbox's own did */
	ANS_SENT,	 /* the datagram was taken */
	ANS_QUIET,	 /* nothing came within the time given */
	ANS_ANY,	 /* in a table: whatever */
	ANS_WRONG = 240, /* a value that should not be */
	ANS_BROKEN,	 /* the try itself failed */
	ANS_HANG,	 /* it did not end */
};

enum bpf_try_flags {
	TRY_ROOT = 1,	/* needs root to show anything */
	TRY_FRAME = 2,	/* without programs a frame must appear */
	TRY_ABSENT = 4, /* this kernel may lack it: then it says so */
};

struct bpf_try {
	const char *name;
	int (*fn)(void);
	int without, with; /* expected: an errno or an answer */
	unsigned int flags;
};

struct bpf_frame {
	char plain[256], held[256]; /* cgroups: without programs, with all of them */
	struct redirect *redirect;  /* of `held` */
	struct redirect_netns netns;
	int tcp4, tcp6, dns4, dns6, explicit4; /* the proxy's listeners */
	pid_t proxy;
	int ctr_ns, ext_ns; /* the namespaces, as descriptors */
};

extern struct bpf_frame bpf_frame;

/* Parent and worker; `run` (in the worker) runs cmocka. Returns the exit status of the program. */
int bpf_frame_main(int (*run)(void));

/* Attaches another set of programs to a new cgroup, without the programs named; marks the proxy's
 * listeners in it too. */
int bpf_frame_attach(const char *name, const char *const without[], char *ret_cgroup, size_t n);
/* The same to a cgroup that exists. Pins: /sys/fs/bpf/NAME. */
int bpf_frame_attach_to(const char *name, const char *const without[], const char *cgroup);
/* The instance of the set attached last, as it is in its marks. */
uint32_t bpf_frame_instance(void);

/* Stops or lets go all processes of the cgroup; waits until they stand. */
bool bpf_frame_freeze(const char *cgroup, bool stop);

/* One element of a pinned map. 0 or -errno. */
int bpf_frame_map_set(const char *pin, const void *key, const void *value);
void bpf_frame_make_cgroup(const char *name, char *ret, size_t n);

/* Marks the proxy's listeners (tcp4, tcp6, dns4, dns6, explicit4; -1: none), puts their ports into
 * `ns` and serves that namespace. */
int bpf_frame_serve(struct redirect *r, struct redirect_netns *ns, const int listeners[5]);

/* Links whose pins are gone end after a grace period of the kernel's: waits until the cgroup has no
 * program of ours. */
bool bpf_frame_wait_open(const char *cgroup);

/* Runs fn in the cgroup; returns what it returned. */
int bpf_run(int (*fn)(void), const char *cgroup, uid_t uid);
int bpf_join(const char *cgroup);

/*
 * Starts fn in a process of its own (cgroup NULL: none) and waits until it has called bpf_ready().
 * It ends with the worker at the latest.
 */
pid_t bpf_start(void (*fn)(void), const char *cgroup);
void bpf_ready(void);
void bpf_stop(pid_t pid);

/* Frames that the sniffer has seen, all that were sent before the call included. */
unsigned long bpf_frames(void);
/* The last of them, as text. */
const char *bpf_last_frame(void);

/* Both passes over a table, as root and as nobody. Fails the test with a list of what differed. */
void bpf_tries(const struct bpf_try *tries, size_t n, const char *cgroup);

/* ---- for the tries ---- */

struct sockaddr_storage bpf_addr(const char *ip, int port, socklen_t *ret_len);

/* connect(), then the greeting; the peer's name must be what was asked for. Closes fd. */
int bpf_ask_tcp(int fd, const char *ip, int port);
/* The greeting of a connected stream: who is it? `expect`: the endpoint that the proxy must name.
 */
int bpf_greeting(int fd, const char *expect);
/* A datagram by sendto(), then the answer, which must seem to come from there. Closes fd. */
int bpf_ask_udp(int fd, const char *ip, int port);
/* connect() that is given up after 400 ms (ANS_QUIET), then the greeting. */
int bpf_ask_tcp_soon(int fd, const char *ip, int port);
/* The answer to a datagram. `from` NULL: not looked at. */
int bpf_answer(int fd, const struct sockaddr_storage *from);

/* -1 becomes errno, else 0. */
int bpf_result(long r);

#endif
