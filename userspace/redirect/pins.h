/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is attached, read back from the pins and from the kernel: nothing is believed of what somebody wrote down.
 */
#ifndef NONO_REDIRECT_PINS_H
#define NONO_REDIRECT_PINS_H

#include "base/defs.h"

struct pins {
	uint64_t cgroup;     /* that the links are on; 0: it is gone, or there is none */
	unsigned int wanted; /* programs of ours */
	unsigned int pinned; /* of them whose link is pinned and on that cgroup */
	unsigned int active; /* of them that are in effect on the cgroup now; 0 without a cgroup */
	bool unix_sockets;   /* those for unix sockets are among them */
};

/*
 * `cgroup_fd`: the cgroup to compare with, or -EBADF. `unix_sockets`: the programs for unix sockets must be there; else they count
 * if anything of them is. 0; -ENOENT: there is no such directory; -errno.
 */
_must_check_ int pins_read(const char *pin_dir, int cgroup_fd, bool unix_sockets, struct pins *ret);

/* The same, with the programs that are in effect on a cgroup below it. */
_must_check_ int pins_read_below(const char *pin_dir, int cgroup_fd, int below_fd, bool unix_sockets,
				 struct pins *ret);

#endif
