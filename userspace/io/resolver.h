/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses, by c-ares, with a small cache and single flight: equal names that are asked at the same time make one
 * query. This is mechanism only: who may be asked, and which answer is good, is decided by the caller.
 */
#ifndef NONO_IO_RESOLVER_H
#define NONO_IO_RESOLVER_H

#include "io/verbs.h"

#define RESOLVE_MAX_ADDRS 64

struct resolver;

struct resolver_config {
	const char *servers;  /* "ADDR[:PORT]", comma-separated; NULL: the system's */
	nsec_t timeout;       /* for one look-up in all */
	bool hosts_file;      /* ask /etc/hosts first */
	size_t cache_entries; /* 0: no cache */
	const uint8_t *seed;  /* 16 random bytes */
};

struct answer {
	uint16_t count;
	uint32_t ttl; /* the smallest, clamped to 1 … 300 s */
	bool truncated; /* the name has more addresses than fit: the caller refuses it */
	struct addr addrs[RESOLVE_MAX_ADDRS]; /* both families, in the order received */
};

_must_check_ int resolver_new(struct loop *l, const struct resolver_config *cfg, struct resolver **ret);

/* No look-up may be waiting. NULL is fine. */
void resolver_free(struct resolver *r);

/*
 * Both families of a name. 0; -ENOENT (no such name), -ENODATA (a name without addresses), -ETIMEDOUT, -EIO (servers failed),
 * -ETIME, -ECANCELED.
 */
int resolve(struct resolver *r, const char *name, struct answer *ret, nsec_t deadline) _suspends_;

/* The raw answer to any other question: the message in `ret` (emptied first). Errors as above; an NXDOMAIN message is -ENOENT. */
int resolve_raw(struct resolver *r, const char *name, uint16_t type, struct buf *ret, nsec_t deadline) _suspends_;

#endif
