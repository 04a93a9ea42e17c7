/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another network namespace for the tests in tests/bpf, as a container has one: nothing but `lo`.
 * It is served only if it is asked to be: then there are listeners of the proxy in it, made by a
 * process that is not of the sandbox.
 */
#ifndef NONO_TESTS_BPF_PLACE_H
#define NONO_TESTS_BPF_PLACE_H

#include "tests/support/bpf_frame.h"

struct bpf_place {
	int ns;
	struct redirect_netns netns;
	int tcp4, tcp6, dns4, dns6, explicit4;
	pid_t proxy; /* 0: nobody serves it */
};

void bpf_place_make(struct bpf_place *p, bool no_ipv6);

/* Listeners, marks, the map, the proxy. */
void bpf_place_serve(struct bpf_place *p);

/* The calling process, and what it starts, goes in there; and back into ctr. */
void bpf_place_enter(const struct bpf_place *p);
void bpf_place_leave(void);

/* bpf_run() in there. */
int bpf_place_run(const struct bpf_place *p, int (*fn)(void), const char *cgroup, uid_t uid);

void bpf_place_end(struct bpf_place *p);

#endif
