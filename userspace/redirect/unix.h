/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs that keep the sandbox from the unix sockets of the world outside. A second object beside the first: it needs
 * Linux 6.7 and the kernel's types (BTF). Without it everything else stands, and unix sockets are a gap to be named.
 *
 * Refused are all names but the sandbox's own abstract ones and those that were allowed. A path of the sandbox's own making is
 * a path like any other: bpf/unix.bpf.c says why no hook can tell.
 */
#ifndef NONO_REDIRECT_UNIX_H
#define NONO_REDIRECT_UNIX_H

#include "base/defs.h"
#include "redirect/redirect.h"

#define REDIRECT_UNIX_NAME_MAX	108 /* bytes */
#define REDIRECT_UNIX_NAMES_MAX 256

struct redirect_unix;

/*
 * Loads it; counters and events go where those of `r` go, and must not outlive it. On failure `why` gets one sentence. 0 or
 * -errno; -EOPNOTSUPP: this kernel cannot, which is no reason to give up.
 */
_must_check_ int redirect_unix_load(const struct redirect *r, struct redirect_unix **ret, char *why, size_t why_n);

/*
 * COMMAND may use this socket: an absolute path, or "@NAME" for an abstract one, letter by letter as it will ask. Whoever can
 * change what the path leads to chooses the socket. 0, -EINVAL, -ENAMETOOLONG, -E2BIG, -errno.
 */
_must_check_ int redirect_unix_allow(struct redirect_unix *u, const char *name);

/*
 * Attaches both programs to the cgroup and pins links and maps in the existing `pin_dir`, beside those of the first object; a
 * link that is pinned there already gets the new program at once, without a moment between.
 */
_must_check_ int redirect_unix_attach(struct redirect_unix *u, int cgroup_fd, const char *pin_dir, char *why, size_t why_n);

/* Attaches both for as long as redirect_unix_try_end() is not called. As redirect_try(). */
_must_check_ int redirect_unix_try(struct redirect_unix *u, int cgroup_fd, char *why, size_t why_n);
void redirect_unix_try_end(struct redirect_unix *u);

/* Are both in effect? As redirect_verify(). */
_must_check_ int redirect_unix_verify(const struct redirect_unix *u, int cgroup_fd, char *why, size_t why_n);

/* Detaches nothing: pinned links stay. NULL is fine. */
void redirect_unix_free(struct redirect_unix *u);

/* ---- by the pins alone ---- */

#define REDIRECT_UNIX_HOOKS 2

struct redirect_unix_hook {
	const char *name; /* of the program */
	int attach_type;
};

extern const struct redirect_unix_hook redirect_unix_hooks[REDIRECT_UNIX_HOOKS];

/* Is anything of the second object pinned there? */
bool redirect_unix_is_pinned(const char *pin_dir);

/* Removes what is pinned of it, and leaves the first one's. 0, also when there was nothing, or -errno. */
_must_check_ int redirect_unix_unpin(const char *pin_dir);

/* Calls `fn` with each name that is allowed, as unix_name_text() writes it. */
void redirect_unix_names(const char *pin_dir, void (*fn)(void *arg, const char *name), void *arg);

#endif
