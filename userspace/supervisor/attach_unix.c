/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name that is allowed is one that COMMAND writes: who can change what it leads to chooses the socket. So each is said.
 */
#include "supervisor/attach_unix.h"

#include <string.h>

#include "io/log.h"
#include "supervisor/diag.h"
#include "supervisor/files.h"

/* "none" is a word for asking without allowing anything. */
static bool is_name(const char *text)
{
	return strcmp(text, "none") != 0;
}

static int allow_all(struct attachment *a)
{
	for (size_t i = 0; i < a->opt->unix_count; i++) {
		const char *name = a->opt->unix_names[i];
		int r = is_name(name) ? redirect_unix_allow(a->unix_programs, name) : 0;

		if (r == -E2BIG)
			return why_set(&a->why, r, "--allow-unix: too many names");
		if (r < 0)
			return why_set(&a->why, r, "--allow-unix %s: %s", name, strerror(-r));
		if (is_name(name))
			log_warn("--allow-unix %s: whatever listens there acts for %s with its own "
				 "rights",
				 name, a->target.path);
	}
	return 0;
}

int attach_unix_load(struct attachment *a)
{
	int r;

	if (a->opt->unix_count == 0)
		return 0;
	r = redirect_unix_load(a->redirect, &a->unix_programs, a->why.text, sizeof(a->why.text));
	if (r == -EOPNOTSUPP) {
		log_warn("--allow-unix: %s", a->why.text);
		return 0;
	}
	if (r < 0)
		return why_set(&a->why, r, "cannot load the programs for unix sockets: %s",
			       strerror(-r));
	return allow_all(a);
}

/* Is it connected to one that no member holds? */
static bool leads_out(const struct attachment *a, int lists[2], uint64_t inode)
{
	for (int i = 0; i < 2; i++) {
		struct diag_peer p;

		if (lists[i] >= 0 && diag_unix_peer(lists[i], inode, &p) == 0)
			return p.connected && (!p.inode || !held_has(&a->held, p.inode));
	}
	return false;
}

/*
 * The programs are asked when a connection is made. Those from before go on: what a service writes its log to is one of them,
 * and breaking that off would end it. So they are told.
 */
static void tell_connections(const struct attachment *a)
{
	int lists[2] = { diag_open_in(-EBADF), a->ns < 0 ? -EBADF : diag_open_in(a->ns) };
	const struct held_socket *first = NULL;
	unsigned int count = 0;

	for (size_t i = 0; i < a->held.n; i++) {
		const struct held_socket *s = &a->held.items[i];

		if (s->kind != HELD_OTHER || !leads_out(a, lists, s->inode))
			continue;
		first = first ? first : s;
		count++;
	}
	for (int i = 0; i < 2; i++)
		fd_close(&lists[i]);
	if (first)
		log_warn("connections to unix sockets outside from before go on: %u, the first is "
			 "descriptor %d of process %d",
			 count, first->fd, (int)first->pid);
}

void attach_unix_judge(struct attachment *a)
{
	if (!a->unix_programs)
		return;
	a->gaps.open &= ~(1U << GAP_UNIX_SOCKETS);
	tell_connections(a);
}

int attach_unix_try(struct attachment *a, int cgroup_fd)
{
	return a->unix_programs ? redirect_unix_try(a->unix_programs, cgroup_fd, a->why.text,
						    sizeof(a->why.text))
				: 0;
}

int attach_unix_close(struct attachment *a)
{
	return a->unix_programs ? redirect_unix_attach(a->unix_programs, a->target.fd, a->info.pins,
						       a->why.text, sizeof(a->why.text))
				: 0;
}

int attach_unix_verify(struct attachment *a, int dir)
{
	return a->unix_programs ? redirect_unix_verify(a->unix_programs, dir, a->why.text,
						       sizeof(a->why.text))
				: 0;
}

void attach_unix_drop(struct attachment *a)
{
	int r;

	if (a->opt->unix_count || !redirect_unix_is_pinned(a->info.pins))
		return;
	r = redirect_unix_unpin(a->info.pins);
	if (r < 0)
		log_warn("cannot remove the programs for unix sockets of an earlier attach from "
			 "%s: %s",
			 a->info.pins, strerror(-r));
	else
		log_warn("%s reaches unix sockets outside again: the programs of an earlier attach "
			 "are removed "
			 "(--allow-unix keeps them)",
			 a->target.path);
}
