/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which descriptors are sockets, /proc/PID/fd tells; which cgroup an Internet socket was made in, the kernel's list of sockets.
 * That list is one network namespace's, so ours and the target's are read. It lacks sockets that are neither bound nor
 * connected. What is in neither is fetched (pidfd_getfd) and asked for its family; an Internet socket that our programs do not
 * know yet is then asked to do something that they refuse, and the kernel alone would as well, but for another reason: which
 * reason it gives says whether they are in effect for this very socket.
 *
 * What no table of descriptors shows is not found: a socket on its way through a unix socket, until it is received, and one that
 * is registered with an io_uring and nowhere else.
 *
 * A thread may have a table of descriptors of its own: kcmp(2) tells, and where it cannot each thread's is read.
 */
#include "supervisor/held.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/log.h"
#include "supervisor/files.h"

#define CGROUPS_MAX 8192

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* since Linux 6.9 */
#endif

/* ---- which sockets ---- */

static int add(struct held *h, uint64_t inode, pid_t pid, int fd)
{
	if (h->n == HELD_MAX)
		return -E2BIG;
	/* Grown by doubling. */
	if ((h->n & (h->n - 1)) == 0) {
		size_t room = MAX(2 * h->n, (size_t)64);
		struct held_socket *more = realloc(h->items, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		h->items = more;
	}
	h->items[h->n++] =
		(struct held_socket){ .inode = inode, .pid = pid, .fd = fd, .kind = HELD_UNKNOWN };
	return 0;
}

/* "socket:[123]" */
static bool socket_inode(int dir, const char *name, uint64_t *ret)
{
	char link[64];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);

	if (n < 0)
		return false;
	link[n] = '\0';
	if (strncmp(link, "socket:[", 8) != 0)
		return false;
	*ret = strtoull(link + 8, NULL, 10);
	return true;
}

/* Of one thread. A process that has ended has none. */
static int scan_table(struct held *h, pid_t pid, pid_t tid)
{
	char path[64];
	struct dirent *e;
	uint64_t inode;
	DIR *dir;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/fd", (int)pid, (int)tid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (r == 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.' && socket_inode(dirfd(dir), e->d_name, &inode))
			r = add(h, inode, tid, (int)strtol(e->d_name, NULL, 10));
	(void)closedir(dir);
	return r;
}

static int scan_process(struct held *h, pid_t pid)
{
	char path[64];
	struct dirent *e;
	DIR *dir;
	int r = scan_table(h, pid, pid);

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (r == 0 && dir && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid > 0 && tid != pid && syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) != 0)
			r = scan_table(h, pid, tid);
	}
	if (dir)
		(void)closedir(dir);
	return r;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = ((const struct held_socket *)a)->inode,
		 y = ((const struct held_socket *)b)->inode;

	return (x > y) - (x < y);
}

static void sort_once(struct held *h)
{
	size_t out = 0;

	if (h->n)
		qsort(h->items, h->n, sizeof(*h->items), compare);
	for (size_t i = 0; i < h->n; i++)
		if (out == 0 || h->items[out - 1].inode != h->items[i].inode)
			h->items[out++] = h->items[i];
	h->n = out;
}

static struct held_socket *find(const struct held *h, uint64_t inode)
{
	const struct held_socket key = { .inode = inode };

	return h->n ? bsearch(&key, h->items, h->n, sizeof(*h->items), compare) : NULL;
}

bool held_has(const struct held *h, uint64_t inode)
{
	return find(h, inode) != NULL;
}

/* ---- what they are ---- */

struct cgroups {
	uint64_t *ids;
	size_t n;
};

static int note_cgroup(void *arg, int dir)
{
	struct cgroups *c = arg;
	struct stat st;

	if (fstat(dir, &st) < 0)
		return -errno;
	if (c->n == CGROUPS_MAX)
		return -E2BIG;
	c->ids[c->n++] = st.st_ino;
	return 0;
}

struct matching {
	struct held *held;
	const struct cgroups *cgroups;
};

static int match(void *arg, const struct diag_socket *s)
{
	struct matching *m = arg;
	struct held_socket *h = s->inode ? find(m->held, s->inode) : NULL;

	if (!h)
		return 0;
	h->diag = *s;
	h->kind = HELD_ALIEN;
	for (size_t i = 0; i < m->cgroups->n; i++)
		if (m->cgroups->ids[i] == s->cgroup)
			h->kind = HELD_OWN;
	return 0;
}

/* A copy of a descriptor of that process, or -errno. */
static int copy(const struct held_socket *s)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	int fd;

	if (pidfd < 0)
		pidfd = (int)syscall(SYS_pidfd_open, s->pid, PIDFD_THREAD);
	if (pidfd < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, s->fd, 0);
	return fd < 0 ? -errno : fd;
}

/* A join without an address: EINVAL from the kernel, EPERM from our programs. */
static bool is_governed(int fd, int family)
{
	int r = family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, NULL, 0)
				  : setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, NULL, 0);

	return r < 0 && errno == EPERM;
}

static enum held_kind kind_of(int fd, int family, const struct redirect *r)
{
	switch (family) {
	case AF_INET:
	case AF_INET6:
		return redirect_is_own(r, fd) || is_governed(fd, family) ? HELD_OWN : HELD_ALIEN;
	case AF_UNIX:
	case AF_NETLINK:
	case AF_ALG:
		return HELD_OTHER;
	case AF_PACKET:
		return HELD_PACKET;
	default:
		return HELD_ALIEN;
	}
}

/* Of a third network namespace, or of another family. */
static void ask_socket(struct held_socket *s, const struct redirect *r)
{
	_cleanup_close_ int fd = copy(s);
	int family;
	socklen_t n = sizeof(family);

	if (fd == -ESRCH || fd == -EBADF) /* ended, or closed meanwhile */
		s->kind = HELD_OTHER;
	else if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) == 0)
		s->kind = kind_of(fd, family, r);
}

static int match_in(int ns, struct matching *m)
{
	_cleanup_close_ int fd = diag_open_in(ns);

	return fd < 0 ? fd : diag_each(fd, match, m);
}

static int classify(const struct target *t, int ns, const struct redirect *programs, struct held *h)
{
	_cleanup_free_ uint64_t *ids = malloc(CGROUPS_MAX * sizeof(*ids));
	struct cgroups cgroups = { .ids = ids };
	struct matching m = { h, &cgroups };
	int r = ids ? target_each_cgroup(t, note_cgroup, &cgroups) : -ENOMEM;

	if (r == 0)
		r = match_in(-EBADF, &m);
	if (r == 0 && ns >= 0)
		r = match_in(ns, &m);
	for (size_t i = 0; r == 0 && i < h->n; i++)
		if (h->items[i].kind == HELD_UNKNOWN)
			ask_socket(&h->items[i], programs);
	return r;
}

int held_find(const struct target *t, int ns, const struct redirect *programs, struct held *ret,
	      struct why *why)
{
	struct held h = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->pid_count; i++)
		r = scan_process(&h, t->pids[i]);
	sort_once(&h);
	if (r == 0)
		r = classify(t, ns, programs, &h);
	if (r < 0) {
		held_done(&h);
		return why_set(why, r, "cannot find out which sockets the processes of %s hold: %s",
			       t->path, strerror(-r));
	}
	*ret = h;
	return 0;
}

void held_done(struct held *h)
{
	free(h->items);
	*h = (struct held){ 0 };
}

/* ---- what becomes of them ---- */

static bool is_local(const struct redirect_netns *local, const struct endpoint *e)
{
	static const uint8_t loopback6[16] = { [15] = 1 };
	struct addr a = addr_unmap(&e->addr);

	if (a.family == 4 ? a.b[0] == 127 : memcmp(a.b, loopback6, sizeof(loopback6)) == 0)
		return true;
	for (size_t i = 0; i < local->local_count; i++)
		if (addr_eq(&local->local[i], &a))
			return true;
	return false;
}

static bool leads_out(const struct held_socket *s, const struct redirect_netns *local)
{
	return s->diag.remote.port != 0 && !is_local(local, &s->diag.remote);
}

static int mark(const struct held_socket *s, struct redirect *r)
{
	_cleanup_close_ int fd = copy(s);

	return fd < 0 ? fd : redirect_mark_own(r, fd);
}

unsigned int held_settle(const struct held *h, int ns, struct redirect *r,
			 const struct redirect_netns *local, bool datagrams)
{
	_cleanup_close_ int diag = diag_open_in(ns);
	unsigned int left = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct held_socket *s = &h->items[i];
		int e = 0;

		if (s->kind != HELD_OWN)
			continue;
		if (!leads_out(s, local))
			e = mark(s, r);
		else if (datagrams || s->diag.protocol == IPPROTO_TCP)
			e = diag < 0 ? diag : diag_destroy(diag, &s->diag);
		if (e < 0) {
			log_debug("a socket of process %d: %s", (int)s->pid, strerror(-e));
			left++;
		}
	}
	return left;
}

void held_break(const struct held *h, int ns)
{
	_cleanup_close_ int there = diag_open_in(ns), here = diag_open_in(-EBADF);

	for (size_t i = 0; i < h->n; i++) {
		const struct held_socket *s = &h->items[i];
		int r;

		if (s->kind != HELD_ALIEN || !s->diag.family)
			continue;
		r = there < 0 ? there : diag_destroy(there, &s->diag);
		if (r < 0 && here >= 0)
			r = diag_destroy(here, &s->diag);
		if (r < 0)
			log_debug("an alien socket cannot be broken off: %s", strerror(-r));
	}
}
