/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First whoever is attached ends, then the pins go, then the entry: as long as there are pins there is an entry that names
 * them.
 *
 * A cgroup that is gone can still be detached, by the path that it had; and one for which there are pins but no entry (somebody
 * emptied the state directory) by its number.
 */
#include "supervisor/detach.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/log.h"
#include "redirect/redirect.h"
#include "supervisor/attached.h"
#include "supervisor/files.h"
#include "supervisor/rights.h"
#include "supervisor/target.h"

#define END_LIMIT_MS  15000 /* longer than anybody drains */
#define KILL_LIMIT_MS 5000
#define LIST_MAX      1024

struct found {
	uint64_t id;
	pid_t pid; /* of who holds it; 0: nobody */
	uint64_t start;
};

struct list {
	const char *path; /* of the one that is looked for, or NULL */
	struct found items[LIST_MAX];
	size_t n;
};

static void note(void *arg, struct attached *a, bool alive)
{
	struct attached_info info = { 0 };
	struct list *l = arg;
	bool known = attached_read(a, &info) == 0;

	if (l->n == LIST_MAX || (l->path && (!known || strcmp(info.path, l->path) != 0)))
		return;
	l->items[l->n++] = (struct found){
		.id = strtoull(a->name + strlen(STATE_ATTACHED), NULL, 10),
		.pid = alive && known ? info.pid : 0,
		.start = info.start,
	};
}

/* The number of a process may have come to mean another one: the descriptor first, then the look at when it started. */
static void end_holder(const struct found *f)
{
	_cleanup_close_ int pidfd = -EBADF;

	if (f->pid <= 0)
		return;
	pidfd = (int)syscall(SYS_pidfd_open, f->pid, 0);
	if (pidfd < 0 || process_start(f->pid) != f->start)
		return;
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
	if (fd_wait(pidfd, POLLIN, END_LIMIT_MS) > 0)
		return;
	log_warn("process %d does not end: it is killed", (int)f->pid);
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	(void)!fd_wait(pidfd, POLLIN, KILL_LIMIT_MS);
}

/* Its processes stand still because one of us was killed while it attached. */
static void thaw_if_ours(const struct attached *a, const struct attached_info *info)
{
	struct target t = TARGET_INIT;
	struct why why;

	if (!attached_was_frozen(a) || target_of_path(info->path, &t, &why) < 0)
		return;
	t.frozen = t.id == strtoull(a->name + strlen(STATE_ATTACHED), NULL, 10);
	target_done(&t);
}

static int open_again(const struct found *f, struct why *why)
{
	static struct attached_info info; /* too much for a stack frame */
	struct attached a = ATTACHED_INIT;
	char pins[PIN_PATH_MAX] = "";
	bool known = true;
	int r;

	info = (struct attached_info){ .pid = 0 };
	end_holder(f);
	r = attached_begin(STATE_ROOT, f->id, &a, why);
	if (r < 0)
		return r;
	if (attached_read(&a, &info) < 0) {
		known = false;
		r = bpffs_open(a.root, a.root_path, pins, why);
		(void)snprintf(info.pins, sizeof(info.pins), "%s/%s", pins, a.name);
	}
	if (r == 0 && !known && access(info.pins, F_OK) < 0)
		r = why_set(why, -ENOENT, "this cgroup is not attached");
	if (r == 0) {
		redirect_unpin(info.pins);
		thaw_if_ours(&a, &info);
		if (access(info.pins, F_OK) == 0)
			r = why_set(why, -EBUSY, "cannot remove the pins at %s", info.pins);
	}
	attached_settle(&a);
	if (r == 0 || !known)
		attached_remove(&a);
	attached_abandon(&a);
	return r;
}

/* By number if the path still means a cgroup, else by the path that was noted. */
static int find(const char *path, struct list *l, struct why *why)
{
	static struct list all; /* too much for a stack frame */
	struct target t = TARGET_INIT;
	int r = path ? target_of_path(path, &t, why) : -ENOENT;
	uint64_t id = t.id;

	if (r == 0) {
		target_done(&t);
		r = attached_each(STATE_ROOT, note, &all, why);
		for (size_t i = 0; r == 0 && i < all.n; i++)
			if (all.items[i].id == id)
				l->items[l->n++] = all.items[i];
		if (r == 0 && l->n == 0)
			l->items[l->n++] = (struct found){ .id = id };
		return r;
	}
	if (path && r != -ENOENT)
		return r;
	l->path = path;
	return attached_each(STATE_ROOT, note, l, why);
}

int supervisor_detach(const char *path)
{
	static struct list l;
	struct why why = { "" };
	int r = rights_check("detach", &why), failed = 0;

	if (r == 0)
		r = find(path, &l, &why);
	if (r == 0 && l.n == 0 && path)
		r = why_set(&why, -ENOENT, "%s is not attached", path);
	if (r < 0) {
		log_error("%s", why.text);
		return 1;
	}
	for (size_t i = 0; i < l.n; i++)
		if (open_again(&l.items[i], &why) < 0) {
			log_error("%s", why.text);
			failed = 1;
		}
	return failed;
}
