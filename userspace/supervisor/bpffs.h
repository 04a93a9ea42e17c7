/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system in which the programs are pinned, so that they outlive us. It is mounted when
 * nobody did, and taken down again by the last sandbox if it was us.
 */
#ifndef NONO_SUPERVISOR_BPFFS_H
#define NONO_SUPERVISOR_BPFFS_H

#include "supervisor/mountinfo.h"
#include "supervisor/why.h"

#define PIN_PARENT   "nono-proxy"
#define PIN_PATH_MAX (MOUNT_PATH_MAX + 64)

/* Is one mounted already? If not, bpffs_open() mounts it, in the mount namespace that we are in: there it lives only as long as
 * that does. */
bool bpffs_is_mounted(void);

/*
 * The place of all sandboxes' pins, BPFFS/nono-proxy, which is made. `root` is the state directory:
 * it notes there that the mount is ours. The caller holds the state directory's lock. 0 or -errno
 * and a sentence.
 */
_must_check_ int bpffs_open(int root, const char *root_path, char ret[PIN_PATH_MAX],
			    struct why *why);

/* The last sandbox is gone: the directory goes, and the mount if it was ours and nothing else is
 * pinned there. Same lock. */
void bpffs_leave(int root);

#endif
