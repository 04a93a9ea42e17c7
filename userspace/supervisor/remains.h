/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory: one entry per sandbox that lives, or that a killed supervisor left behind.
 *
 *	/run/nono-proxy/         locked (flock) while an entry is made, swept or removed
 *	/run/nono-proxy/ID/lock  locked by the supervisor as long as it lives: the kernel lets go of
 *	                         it, however it ends
 *	/run/nono-proxy/ID/info  what must be cleared away when it does not
 *
 * Entries of cgroups that `attach` holds closed have other names (supervisor/attached.h): what is left of those is meant to
 * stay.
 */
#ifndef NONO_SUPERVISOR_REMAINS_H
#define NONO_SUPERVISOR_REMAINS_H

#include "base/buf.h"
#include "supervisor/bpffs.h"
#include "supervisor/cgroup.h"

#define STATE_ROOT "/run/nono-proxy"
#define STATE_ID_N 16

/* How the names of the other kind of entry begin. */
#define STATE_ATTACHED "cgroup-"

struct state {
	int root;	 /* the state directory */
	int entry, lock; /* ours in it */
	char root_path[MOUNT_PATH_MAX];
	char id[STATE_ID_N + 1]; /* names the sandbox everywhere; "" = no entry yet */
};

#define STATE_INIT                                              \
	{                                                       \
		.root = -EBADF, .entry = -EBADF, .lock = -EBADF \
	}

/* What a sandbox holds outside of its processes. */
struct state_info {
	char cgroup[CGROUP_PATH_MAX];
	char pins[PIN_PATH_MAX + STATE_ID_N + 1];
	uint32_t uid; /* of its proxy */
};

/* Writes and reads the text of `info`. state_info_parse() takes only what can be the remains of the
 * sandbox `id`. */
_must_check_ int state_info_text(const struct state_info *info, struct buf *out);
bool state_info_parse(const char *text, const char *id, struct state_info *ret);

/* Makes and locks the state directory: its descriptor, or -errno and a sentence. flock(LOCK_UN) lets others at it. */
_must_check_ int state_root_open(const char *root_path, struct why *why);

/* Locks it again, for a change. 0 or -errno. */
_must_check_ int state_root_lock(int root);

/* The same; the last entry is gone: then it goes, and what all sandboxes share. Closes the descriptor. */
void state_root_leave(int *root, const char *root_path);

/*
 * Makes and locks the state directory, clears what killed supervisors left, makes an entry of our
 * own. 0, or -errno and a sentence. The directory stays locked until state_settle().
 */
_must_check_ int state_begin(const char *root_path, struct state *ret, struct why *why);

/* Has another sandbox's proxy this user id, of either kind? */
bool state_uid_is_used(const struct state *s, uint32_t uid);

/* A user id that nobody has: no account, and no other entry. */
_must_check_ int state_choose_uid(const struct state *s, uint32_t *ret, struct why *why);

/* Notes what is about to be made: before it is made. */
_must_check_ int state_record(const struct state *s, const struct state_info *info,
			      struct why *why);

/* Lets other supervisors at the state directory. */
void state_settle(struct state *s);

/* The sandbox is cleared away: its entry goes, with everything shared if it was the last. */
void state_remove(struct state *s);

/* Only lets go: the entry stays, and whoever comes next sweeps it. */
void state_abandon(struct state *s);

#endif
