/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/bpf_ring.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 4

/* In kernels from 6.7 on; not in the headers that this is built against. */
#define RING_OP_URING_CMD   46
#define RING_OP_SOCKET	    45
#define RING_CMD_SETSOCKOPT 3

static int submit(int fd, const struct io_uring_params *p, unsigned char *sq)
{
	volatile unsigned int *flags = (void *)(sq + p->sq_off.flags);
	unsigned int enter = IORING_ENTER_GETEVENTS;

	if (p->flags & IORING_SETUP_SQPOLL) {
		if (__atomic_load_n(flags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP)
			enter |= IORING_ENTER_SQ_WAKEUP;
	}
	return (int)syscall(SYS_io_uring_enter, fd, 1, 1, enter, NULL, 0);
}

/* The rings are left mapped: the process that tries ends at once. */
static int one(unsigned int setup, const struct io_uring_sqe *op)
{
	struct io_uring_params p = { .flags = setup, .sq_thread_idle = 2000 };
	int fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p), res;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	unsigned char *sq, *cq;
	unsigned int *head;

	if (fd < 0)
		return -errno;
	sq = mmap(NULL, p.sq_off.array + ENTRIES * sizeof(uint32_t), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + 2 * ENTRIES * sizeof(*cqes), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_CQ_RING);
	sqes = mmap(NULL, ENTRIES * sizeof(*sqes), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED)
		return -errno;
	sqes[0] = *op;
	*(unsigned int *)(void *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned int *)(void *)(sq + p.sq_off.tail), 1, __ATOMIC_SEQ_CST);
	if (submit(fd, &p, sq) < 0)
		return -errno;
	head = (void *)(cq + p.cq_off.head);
	cqes = (void *)(cq + p.cq_off.cqes);
	res = cqes[*head & (p.cq_entries - 1)].res;
	(void)close(fd);
	return res;
}

int bpf_ring_socket(unsigned int setup, unsigned int sqe_flags, int family, int type, int protocol)
{
	struct io_uring_sqe op = { .opcode = RING_OP_SOCKET,
				   .flags = (uint8_t)sqe_flags,
				   .fd = family,
				   .off = (uint64_t)type,
				   .len = (uint32_t)protocol };

	return one(setup, &op);
}

int bpf_ring_connect(unsigned int setup, unsigned int sqe_flags, int fd,
		     const struct sockaddr_storage *to, socklen_t n)
{
	struct io_uring_sqe op = { .opcode = IORING_OP_CONNECT,
				   .flags = (uint8_t)sqe_flags,
				   .fd = fd,
				   .addr = (uint64_t)(uintptr_t)to,
				   .off = n };

	return one(setup, &op);
}

int bpf_ring_send(unsigned int setup, unsigned int sqe_flags, int fd, const void *data,
		  size_t data_n, const struct sockaddr_storage *to, socklen_t n)
{
	struct iovec iov = { (void *)(uintptr_t)data, data_n };
	struct msghdr m = { .msg_name = (void *)(uintptr_t)to,
			    .msg_namelen = n,
			    .msg_iov = &iov,
			    .msg_iovlen = 1 };
	struct io_uring_sqe op = { .opcode = IORING_OP_SENDMSG,
				   .flags = (uint8_t)sqe_flags,
				   .fd = fd,
				   .addr = (uint64_t)(uintptr_t)&m,
				   .len = 1 };

	return one(setup, &op);
}

/* Fields of the command by position: level and optname at `addr`, optlen at `file_index`, optval at
 * `addr3`. */
int bpf_ring_setsockopt(int fd, int level, int name, const void *value, int n)
{
	struct io_uring_sqe op = { .opcode = RING_OP_URING_CMD,
				   .fd = fd,
				   .off = RING_CMD_SETSOCKOPT };
	uint64_t pointer = (uintptr_t)value;
	unsigned char *raw = (void *)&op;

	memcpy(raw + 16, &level, sizeof(level));
	memcpy(raw + 20, &name, sizeof(name));
	memcpy(raw + 44, &n, sizeof(n));
	memcpy(raw + 48, &pointer, sizeof(pointer));
	return one(0, &op);
}
