/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a sandbox, and taking them back. */
#include "supervisor/sandbox.h"

#include <string.h>
#include <sys/random.h>

#include "io/log.h"
#include "supervisor/files.h"

#define ARENA_MAX      ((size_t)16 << 20)
#define EMPTY_LIMIT_MS 5000

int sandbox_init(struct sandbox *sb, const struct run_options *opt)
{
	uint8_t seed[16];

	*sb = (struct sandbox){
		.opt = opt,
		.arena = ARENA_INIT(ARENA_MAX),
		.signals = SIGNALS_INIT,
		.terminal = TERMINAL_INIT,
		.user = USER_INIT,
		.audit = -EBADF,
		.state = STATE_INIT,
		.cgroup = CGROUP_INIT,
		.netns = NETNS_INIT,
		.publish = PUBLISH_INIT,
		.proxy = ROLE_INIT,
		.init = ROLE_INIT,
	};
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return why_set(&sb->why, -EIO, "no random numbers");
	refusals_init(&sb->refusals, seed);
	return 0;
}

void sandbox_kill(struct sandbox *sb)
{
	int r = sb->cgroup.fd >= 0 ? cgroup_kill(&sb->cgroup) : 0;

	if (r < 0)
		log_error("cannot end the processes of %s: %s", sb->cgroup.path, strerror(-r));
}

/* True when nothing runs in it any more. */
static bool is_empty(const struct sandbox *sb)
{
	int r = sb->cgroup.fd >= 0 ? cgroup_wait_empty(&sb->cgroup, EMPTY_LIMIT_MS) : 0;

	if (r < 0)
		log_error("something in %s does not end (%s): it stays cut off; the next run "
			  "clears it away",
			  sb->cgroup.path, strerror(-r));
	return r == 0;
}

static void take_back(struct sandbox *sb)
{
	int r;

	if (sb->pinned)
		redirect_unpin(sb->info.pins);
	r = sb->cgroup.fd >= 0 ? cgroup_remove(sb->cgroup.path) : 0;
	if (r < 0)
		log_warn("cannot remove %s: %s", sb->cgroup.path, strerror(-r));
	if (sb->state.root >= 0)
		state_remove(&sb->state);
}

/* Descriptors go before anything that needs some. Our own ones of the links are not what holds the
 * programs: the pins are. */
void sandbox_undo(struct sandbox *sb)
{
	sandbox_kill(sb);
	role_kill(&sb->init);
	role_kill(&sb->proxy);
	fd_close(&sb->audit);
	publish_done(&sb->publish);
	netns_done(&sb->netns);
	redirect_free(take_ptr(sb->redirect));
	if (is_empty(sb))
		take_back(sb);
	else
		state_abandon(&sb->state);
	cgroup_close(&sb->cgroup);
	terminal_done(&sb->terminal);
}

void sandbox_done(struct sandbox *sb)
{
	user_done(&sb->user);
	refusals_done(&sb->refusals);
	arena_done(&sb->arena);
	signals_give_back(&sb->signals);
}
