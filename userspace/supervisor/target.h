/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup that somebody else made, and the processes in it: found, checked, stopped for a moment. It is held by descriptor
 * and named by the kernel's number for it, which is never used twice; its path may come to mean another one.
 */
#ifndef NONO_SUPERVISOR_TARGET_H
#define NONO_SUPERVISOR_TARGET_H

#include <sys/types.h>

#include "supervisor/cgroup.h"
#include "supervisor/why.h"

#define TARGET_PIDS_MAX 32768

struct target {
	int fd;	    /* the directory */
	int events; /* cgroup.events */
	uint64_t id;
	char path[CGROUP_PATH_MAX];
	const char *below; /* the same below the mount: what everybody sees */
	pid_t named;	   /* the process that was named, or 0 */
	pid_t *pids;	   /* members, here and below */
	size_t pid_count;
	bool frozen; /* by us */
};

#define TARGET_INIT                             \
	{                                       \
		.fd = -EBADF, .events = -EBADF, \
	}

/* By its directory, or by its path below the mount. 0 or -errno and a sentence, like all here. */
_must_check_ int target_of_path(const char *path, struct target *ret, struct why *why);

/* The cgroup of this process. */
_must_check_ int target_of_pid(pid_t pid, struct target *ret, struct why *why);

void target_done(struct target *t);

/* May the programs be put there? Not onto ourselves, what we are in, or another sandbox. */
_must_check_ int target_check(const struct target *t, struct why *why);

/* Reads the list of members anew. */
_must_check_ int target_list(struct target *t, struct why *why);

/* Stops every process in it, and returns when all stand still. One that was frozen by somebody else stays his. */
_must_check_ int target_freeze(struct target *t, int timeout_ms, struct why *why);
void target_thaw(struct target *t);

/*
 * The network namespace of the named process, else of all of them: if they are in several, that is refused with a sentence.
 * `ret_fd` is -EBADF when it is our own.
 */
_must_check_ int target_netns(const struct target *t, int *ret_fd, struct why *why);

/* Is nothing left of it? True when the directory has been removed. */
bool target_is_gone(const struct target *t);

/* 1 when a process is in it, here or below, 0 when none is, -errno. */
int target_populated(const struct target *t);

/* Calls `fn` for this cgroup and every one below it, with its directory. Stops at the first that is not 0 and returns that. */
_must_check_ int target_each_cgroup(const struct target *t, int (*fn)(void *arg, int dir),
				    void *arg);

#endif
