/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways out that no program on a cgroup can close, looked for around the processes of a target: each with its name, what was
 * found, and what would close it.
 */
#ifndef NONO_SUPERVISOR_GAPS_H
#define NONO_SUPERVISOR_GAPS_H

#include "supervisor/held.h"
#include "supervisor/target.h"

enum gap {
	GAP_UNIX_SOCKETS,
	GAP_SAME_USER,
	GAP_HOST_PID,
	GAP_CGROUPFS,
	GAP_BPFFS,
	GAP_NET_RAW,
	GAP_NET_ADMIN,
	GAP_SYS_ADMIN,
	GAP_SYS_PTRACE,
	GAP_BPF,
	GAP_VSOCK,
	GAP_PACKET,
	GAP_KEYRING,
	GAP_ALIEN,
	GAP_NESTED,
	GAP_COUNT
};

struct gaps {
	uint32_t open; /* a bit per enum gap */
	char found[GAP_COUNT][200];
};

const char *gap_name(enum gap g);
const char *gap_remedy(enum gap g);

/* GAP_COUNT: there is none of that name. */
enum gap gap_of_name(const char *name);

/* All names, NULL-terminated. */
const char *const *gap_names(void);

/*
 * Looks. `ns` is the target's network namespace, -EBADF if it is ours. What cannot be looked at counts as open. 0 or -errno and
 * a sentence.
 */
_must_check_ int gaps_find(const struct target *t, int ns, const struct held *h, struct gaps *ret,
			   struct why *why);

/* The names of `open`, with commas. */
void gaps_text(uint32_t open, char *out, size_t n);

/* For the parts of the search: the first finding of each gap is the one that is told. */
void gap_add(struct gaps *g, enum gap which, const char *fmt, ...) _printf_(3, 4);

#endif
