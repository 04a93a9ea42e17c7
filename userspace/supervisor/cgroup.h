/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroup of one sandbox: where the tree is mounted, making it, ending everything in it,
 * removing it.
 */
#ifndef NONO_SUPERVISOR_CGROUP_H
#define NONO_SUPERVISOR_CGROUP_H

#include "supervisor/mountinfo.h"
#include "supervisor/why.h"

/* All sandboxes are children of this one, below the mount. */
#define CGROUP_PARENT "nono-proxy"

#define CGROUP_PATH_MAX (MOUNT_PATH_MAX + 64)

/* What ending it needs is opened at the start: the end must not fail for want of a descriptor. */
struct cgroup {
	int fd;	    /* the directory */
	int kill;   /* cgroup.kill */
	int events; /* cgroup.events */
	char path[CGROUP_PATH_MAX];
};

#define CGROUP_INIT                                            \
	{                                                      \
		.fd = -EBADF, .kill = -EBADF, .events = -EBADF \
	}

/*
 * Where cgroup2 is mounted: a mount of the whole tree if there is one. `text` is mountinfo; a mount
 * that `usable` does not accept (another one covers it) is passed over. False if there is none.
 */
bool cgroup_choose_mount(const char *text, bool (*usable)(const char *point),
			 char ret[MOUNT_PATH_MAX]);

/* The same for this machine, checked. 0 or -errno and a sentence. */
_must_check_ int cgroup_find_mount(char ret[MOUNT_PATH_MAX], struct why *why);

/* Does this /proc/PID/cgroup text lie in a sandbox of ours? */
bool cgroup_text_is_ours(const char *text);

/* MOUNT/nono-proxy/ID. False if it does not fit. */
bool cgroup_path(const char *mount, const char *id, char ret[CGROUP_PATH_MAX]);

/* Makes the cgroup of this path and opens it. 0 or -errno and a sentence; then nothing is left. */
_must_check_ int cgroup_make(const char *path, struct cgroup *ret, struct why *why);

/* The same below one that is open; `dir_path` is its path, for people. */
_must_check_ int cgroup_make_at(int dir, const char *dir_path, const char *name, struct cgroup *ret,
				struct why *why);

/* Opens one that exists. 0 or -errno. */
_must_check_ int cgroup_open(const char *path, struct cgroup *ret);

void cgroup_close(struct cgroup *c);

/* Kills every process in it and below, at once. */
_must_check_ int cgroup_kill(const struct cgroup *c);

/* Waits until nothing runs in it. 0, -ETIMEDOUT, -errno. */
_must_check_ int cgroup_wait_empty(const struct cgroup *c, int timeout_ms);

/* Removes it with what is below, and the common parent if it was the last. 0 (also when it is not
 * there) or -errno. */
_must_check_ int cgroup_remove(const char *path);

/* The same without the common parent. */
_must_check_ int cgroup_remove_one(const char *path);

#endif
