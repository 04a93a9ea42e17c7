/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a cgroup that `attach` has closed: one entry in the state directory, named after the kernel's number of the
 * cgroup. It outlives every process of ours, because the cgroup stays closed without them; `detach` ends it.
 *
 *	/run/nono-proxy/cgroup-ID/lock      locked by the supervisor as long as it lives
 *	/run/nono-proxy/cgroup-ID/info      what it is: struct attached_info
 *	/run/nono-proxy/cgroup-ID/bindings  what the proxy answered: the next one reads it
 *	/run/nono-proxy/cgroup-ID/frozen    there while we have stopped its processes
 */
#ifndef NONO_SUPERVISOR_ATTACHED_H
#define NONO_SUPERVISOR_ATTACHED_H

#include <sys/types.h>

#include "policy/token.h"
#include "supervisor/remains.h"

#define ATTACHED_NAME_MAX 32

struct attached {
	int root, entry, lock;
	char root_path[MOUNT_PATH_MAX];
	char name[ATTACHED_NAME_MAX];
};

#define ATTACHED_INIT                                           \
	{                                                       \
		.root = -EBADF, .entry = -EBADF, .lock = -EBADF \
	}

struct attached_info {
	char path[CGROUP_PATH_MAX]; /* of the cgroup, when it was attached */
	char pins[PIN_PATH_MAX + ATTACHED_NAME_MAX];
	char session[STATE_ID_N + 1];
	char gaps[256]; /* those that are open and were accepted: words with commas */
	bool unix_sockets; /* the programs for unix sockets are there, too */
	uint32_t uid;	/* of the proxy */
	uint32_t port;	/* of the explicit listener on the sandbox's 127.0.0.1 */
	char token[TOKEN_TEXT + 1];
	pid_t pid; /* of the supervisor */
	uint64_t
		start; /* when that process started: its number alone may have come to mean another one */
};

/* Reads and writes the text of `info`. */
_must_check_ int attached_info_text(const struct attached_info *info, struct buf *out);
bool attached_info_parse(const char *text, struct attached_info *ret);

/*
 * The entry of this cgroup, made if there is none, and locked. 0; -EBUSY and a sentence when somebody else holds it; -errno and
 * a sentence. The state directory stays locked until attached_settle().
 */
_must_check_ int attached_begin(const char *root_path, uint64_t id, struct attached *ret,
				struct why *why);
void attached_settle(struct attached *a);

_must_check_ int attached_record(const struct attached *a, const struct attached_info *info,
				 struct why *why);
_must_check_ int attached_read(const struct attached *a, struct attached_info *ret);

/* A note that survives us: the processes are stopped because of us. */
void attached_note_frozen(const struct attached *a, bool frozen);
bool attached_was_frozen(const struct attached *a);

/* The file of bindings, to read from the start and to append to. The descriptor, or -errno. */
_must_check_ int attached_open_bindings(const struct attached *a);

/* The entry goes, with everything shared if it was the last. */
void attached_remove(struct attached *a);

/* Only lets go. */
void attached_abandon(struct attached *a);

/*
 * Calls `fn` for each entry, with `alive`: its supervisor lives. The entry is open, and locked if that is not so. The state
 * directory is locked meanwhile. 0 (also when there is no state directory) or -errno and a sentence.
 */
_must_check_ int attached_each(const char *root_path,
			       void (*fn)(void *arg, struct attached *a, bool alive), void *arg,
			       struct why *why);

/* What is noted of the cgroup with this number. 0; -ENOENT and a sentence: nothing. */
_must_check_ int attached_find(const char *root_path, uint64_t id, struct attached_info *ret,
			       bool *ret_alive, struct why *why);

/* When this process started, in the kernel's own unit. 0: there is none. */
uint64_t process_start(pid_t pid);

#endif
