/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The servers of the BPF tests' frame, and its sniffer. Each server greets a connection with its
 * name and answers a datagram with it; the proxy adds the destination that it found for the
 * connection.
 */
#ifndef NONO_TESTS_BPF_SERVERS_H
#define NONO_TESTS_BPF_SERVERS_H

#include <stdbool.h>
#include <stdint.h>

#define SNIFFER_CPUS 64

/* Shared between the process that sniffs and the one that judges. */
struct bpf_sniffer {
	volatile unsigned long frames;
	volatile uint32_t marker[SNIFFER_CPUS]; /* the last one seen of each processor */
	char last[160];
	int fd;
};

/* Opens the packet socket in the present namespace. Frames are counted by bpf_serve_ext(). */
struct bpf_sniffer *bpf_sniffer_make(const char *device);
bool bpf_sniffer_catch_up(struct bpf_sniffer *s, const char *device);

int bpf_listen(int type, const char *ip, int port);

void bpf_serve_ext(void);
void bpf_serve_out(void);
void bpf_serve_proxy(void);
void bpf_serve_own(void); /* in the sandbox's cgroup */

#endif
