/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's list of Internet sockets of one network namespace (sock_diag(7)), with the cgroup of each.
 */
#ifndef NONO_SUPERVISOR_DIAG_H
#define NONO_SUPERVISOR_DIAG_H

#include "wire/addr.h"

struct diag_socket {
	uint64_t inode, cgroup;
	uint8_t protocol; /* IPPROTO_… */
	uint8_t family;	  /* AF_INET, AF_INET6 */
	uint8_t state;	  /* TCP_… */
	uint32_t cookie[2];
	uint32_t device;
	struct endpoint local, remote; /* v4-mapped is kept; the remote port is 0 when it is not connected */
};

/* A socket to ask with, opened in the namespace that the caller is in. The descriptor, or -errno. */
int diag_open(void);

/* Calls `fn` for every socket of TCP, UDP, UDP-Lite and raw IP; what the kernel does not have is passed over. 0 or -errno. */
_must_check_ int diag_each(int fd, int (*fn)(void *arg, const struct diag_socket *s), void *arg);

/* Breaks it off: its owner gets ECONNABORTED. 0 or -errno (-EOPNOTSUPP: the kernel cannot). */
_must_check_ int diag_destroy(int fd, const struct diag_socket *s);

#endif
