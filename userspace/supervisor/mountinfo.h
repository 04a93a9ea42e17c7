/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a kind of file system is mounted, read from the text of /proc/self/mountinfo: the cgroup2
 * tree is not always /sys/fs/cgroup (hybrid machines have it below), and a container sees a part of
 * it.
 */
#ifndef NONO_SUPERVISOR_MOUNTINFO_H
#define NONO_SUPERVISOR_MOUNTINFO_H

#include "base/defs.h"

#define MOUNT_PATH_MAX 1024

struct mount_entry {
	char point[MOUNT_PATH_MAX]; /* unescaped */
	char root[MOUNT_PATH_MAX];  /* which part of the file system: "/" is all of it */
};

/*
 * The next mount of this type from `*at` on, which moves behind it. False at the end. Lines that do
 * not parse are skipped, and so are mounts of a part that lies outside of our own view ("/../..").
 */
bool mountinfo_next(const char **at, const char *type, struct mount_entry *ret);

/* The text itself. A malloc()ed string, or NULL. */
char *mountinfo_read(void);

#endif
