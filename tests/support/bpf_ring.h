/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation on a fresh io_uring, by plain system calls: another way into the same hooks.
 */
#ifndef NONO_TESTS_BPF_RING_H
#define NONO_TESTS_BPF_RING_H

#include <linux/io_uring.h>
#include <stddef.h>
#include <sys/socket.h>

/* Each returns what the operation did: a result, or -errno. */
int bpf_ring_socket(unsigned int setup, unsigned int sqe_flags, int family, int type, int protocol);
int bpf_ring_connect(unsigned int setup, unsigned int sqe_flags, int fd,
		     const struct sockaddr_storage *to, socklen_t n);
int bpf_ring_send(unsigned int setup, unsigned int sqe_flags, int fd, const void *data,
		  size_t data_n, const struct sockaddr_storage *to, socklen_t n);
int bpf_ring_setsockopt(int fd, int level, int name, const void *value, int n);

#endif
