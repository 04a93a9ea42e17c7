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

/* The same in the namespace `ns`; -EBADF is the one that the caller is in. */
int diag_open_in(int ns);

/* Calls `fn` for every socket of TCP, UDP, UDP-Lite and raw IP; what the kernel does not have is passed over. 0 or -errno. */
_must_check_ int diag_each(int fd, int (*fn)(void *arg, const struct diag_socket *s), void *arg);

/* Breaks it off: its owner gets ECONNABORTED. 0 or -errno (-EOPNOTSUPP: the kernel cannot). */
_must_check_ int diag_destroy(int fd, const struct diag_socket *s);

struct diag_peer {
	bool connected;
	uint64_t inode; /* of the other end; 0: nobody has accepted it yet */
};

/* What this unix socket is connected to. 0, -ENOENT (no unix socket of this namespace has this inode), -errno. */
_must_check_ int diag_unix_peer(int fd, uint64_t inode, struct diag_peer *ret);

#endif
