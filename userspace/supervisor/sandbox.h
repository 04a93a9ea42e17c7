/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that one sandbox consists of, in the order in which it is made. What is not there yet
 * has its empty value, so that sandbox_undo() works at any moment.
 */
#ifndef NONO_SUPERVISOR_SANDBOX_H
#define NONO_SUPERVISOR_SANDBOX_H

#include "policy/refusals.h"
#include "redirect/redirect.h"
#include "supervisor/cgroup.h"
#include "supervisor/netns.h"
#include "supervisor/publish.h"
#include "supervisor/remains.h"
#include "supervisor/role.h"
#include "supervisor/run.h"
#include "supervisor/signals.h"
#include "supervisor/terminal.h"
#include "supervisor/user.h"

struct sandbox {
	const struct run_options *opt;
	struct why why;
	int ended_by; /* the signal that ended us before COMMAND ran, or 0 */

	struct arena arena;
	struct refusals refusals;
	struct signals signals;
	struct terminal terminal;
	struct user user;
	int audit;
	struct state state;
	struct state_info info;
	struct cgroup cgroup;
	struct redirect *redirect;
	struct netns netns;
	struct publish publish;
	bool pinned;
	struct role proxy, init;
};

/* 0 or -errno and a sentence. */
_must_check_ int sandbox_init(struct sandbox *sb, const struct run_options *opt);

/* Ends what runs in it, at once. */
void sandbox_kill(struct sandbox *sb);

/*
 * Takes everything back, the last first. The programs stay as long as anything runs in the cgroup:
 * if it cannot be emptied, they, the cgroup and the entry in the state directory are left for the
 * next run to clear.
 */
void sandbox_undo(struct sandbox *sb);

/* The memory, and signals as the caller had them: nothing of ours is left to be protected. */
void sandbox_done(struct sandbox *sb);

#endif
