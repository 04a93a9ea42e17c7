/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting by descriptor: a mount is made detached, given its attributes, and attached to a place
 * that was opened before. No path is looked up twice, so nobody can change what it means in
 * between, and a mount is never seen with too many rights.
 */
#ifndef NONO_SUPERVISOR_MOUNTS_H
#define NONO_SUPERVISOR_MOUNTS_H

#include <sys/mount.h>
#include <sys/types.h>

#include "base/defs.h"

/* What nearly every mount of ours has. */
#define MOUNT_PLAIN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

struct mount_option {
	const char *key, *value;
};

/* A new file system of this type; the options end with a NULL key, or are NULL. The detached mount,
 * or -errno. */
_must_check_ int mount_new(const char *type, const struct mount_option *options, uint64_t attrs);

/* A new tmpfs whose root has this mode and owner. The detached mount, or -errno. */
_must_check_ int mount_tmpfs(mode_t mode, uid_t uid, gid_t gid, const char *size, uint64_t attrs);

/*
 * A second, detached mount of what is at `place` (an O_PATH descriptor), with what is mounted below
 * if `recursive`. Its attributes: those of the original, with `set` and without `clear`. -errno on
 * failure.
 */
_must_check_ int mount_clone(int place, bool recursive, uint64_t set, uint64_t clear);

/* Attaches a detached mount over what `place` is. 0 or -errno. */
_must_check_ int mount_attach(int mount, int place);

/* A place to mount on or to clone: O_PATH, links are followed. -errno on failure. */
_must_check_ int place_open(const char *path);

/* Hides what is at `place`: an empty read-only directory over a directory, the null device over
 * anything else. */
_must_check_ int mount_hide(int place);

/* The same place again, read-only from now on. */
_must_check_ int mount_readonly(int place);

/* The directory `path` in a tree that only we can change, with all that lead to it (mode 0755). 0
 * or -errno. */
_must_check_ int make_dirs(const char *path);

/* Is `path` this directory or something in it? */
bool path_is_below(const char *path, const char *dir);

#endif
