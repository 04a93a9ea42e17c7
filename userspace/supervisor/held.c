/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which descriptors are sockets, /proc/PID/fd tells; which cgroup an Internet socket was made in, the kernel's list of sockets.
 * That list is one network namespace's, so ours and the target's are read. It lacks sockets that are neither bound nor
 * connected. What is in neither is fetched (pidfd_getfd) and asked for its family; an Internet socket that our programs do not
 * know yet is then asked to do something that they refuse, and the kernel alone would as well, but for another reason: which
 * reason it gives says whether they are in effect for this very socket.
 *
 * A descriptor can be where no table shows it: on its way through a unix socket, until it is received, and registered with an
 * io_uring. How many there are fdinfo tells, and not what they are. A request that an io_uring has begun is not counted there,
 * and a ring that was registered with itself and closed is not found at all.
 *
 * Between the look at a table and the copy of a descriptor a process may end, and its number be given to one outside. So a
 * copy is compared with what the table had.
 *
 * A thread may have a table of descriptors of its own: kcmp(2) tells, and where it cannot each thread's is read.
 */
#include "supervisor/held.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/log.h"
#include "supervisor/files.h"

#define CGROUPS_MAX	8192
#define DESCRIPTORS_MAX (1U << 22) /* of all members: some seconds */
#define FDINFO_MAX	((size_t)1 << 20)
#define SLOT_BITS	17 /* twice HELD_MAX */
#define SLOTS		((size_t)1 << SLOT_BITS)

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* since Linux 6.9 */
#endif

/* ---- descriptors ---- */

struct place {
	pid_t pid; /* or a thread's */
	int fd;
	uint64_t inode; /* 0: an io_uring */
};

/* Stops at the first that is not 0. */
struct scan {
	int (*fn)(void *arg, const struct place *p);
	void *arg;
	size_t seen;
};

/* "socket:[123]". 1: one of those that matter. 0, -errno. */
static int read_place(int dir, const char *name, struct place *ret)
{
	char link[64];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);

	if (n < 0)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	link[n] = '\0';
	ret->fd = (int)strtol(name, NULL, 10);
	ret->inode = 0;
	if (strcmp(link, "anon_inode:[io_uring]") == 0)
		return 1;
	if (strncmp(link, "socket:[", 8) != 0)
		return 0;
	ret->inode = strtoull(link + 8, NULL, 10);
	return 1;
}

/* Of one thread. A process that has ended has none. */
static int scan_table(struct scan *s, pid_t pid, pid_t tid)
{
	struct place p = { .pid = tid };
	char path[64];
	struct dirent *e;
	DIR *dir;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/fd", (int)pid, (int)tid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (r == 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		r = ++s->seen > DESCRIPTORS_MAX ? -E2BIG : read_place(dirfd(dir), e->d_name, &p);
		if (r > 0)
			r = s->fn(s->arg, &p);
	}
	(void)closedir(dir);
	return r;
}

static int scan_process(struct scan *s, pid_t pid)
{
	char path[64];
	struct dirent *e;
	DIR *dir;
	int r = scan_table(s, pid, pid);

	if (r != 0)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	while (r == 0 && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid > 0 && tid != pid && syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) != 0)
			r = scan_table(s, pid, tid);
	}
	(void)closedir(dir);
	return r;
}

/* False only if fdinfo says that none are in there. */
static bool has_inside(const struct place *p, const char *key)
{
	_cleanup_buf_ struct buf b = BUF_INIT(FDINFO_MAX);
	const char *line;
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)p->pid, p->fd);
	r = file_read(AT_FDCWD, path, &b);
	if (r == -ENOENT || r == -ESRCH)
		return false;
	line = r == 0 ? strstr((const char *)buf_data(&b), key) : NULL;
	return !line || strtoul(line + strlen(key), NULL, 10) != 0;
}

static bool ring_has_files(const struct place *p)
{
	return has_inside(p, "\nUserFiles:");
}

/* ---- which sockets ---- */

/* A socket has thousands of descriptors if somebody wants it to: each counts once. */
struct collecting {
	struct held *held;
	uint32_t *slots; /* a hash of inodes: which item, plus 1 */
};

static int append(struct held *h, const struct place *p)
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
	h->items[h->n++] = (struct held_socket){
		.inode = p->inode, .pid = p->pid, .fd = p->fd, .kind = HELD_UNKNOWN
	};
	return 0;
}

static int collect(void *arg, const struct place *p)
{
	struct collecting *c = arg;
	struct held *h = c->held;
	size_t at = (size_t)(p->inode * 0x9e3779b97f4a7c15ULL >> (64 - SLOT_BITS));
	int r;

	if (p->inode == 0) {
		if (h->ring.pid == 0 && ring_has_files(p))
			h->ring = (struct held_socket){ .pid = p->pid, .fd = p->fd, .hides = true };
		return 0;
	}
	for (; c->slots[at]; at = (at + 1) % SLOTS)
		if (h->items[c->slots[at] - 1].inode == p->inode)
			return 0;
	r = append(h, p);
	if (r == 0)
		c->slots[at] = (uint32_t)h->n;
	return r;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = ((const struct held_socket *)a)->inode,
		 y = ((const struct held_socket *)b)->inode;

	return (x > y) - (x < y);
}

static int collect_all(const struct target *t, struct held *h)
{
	_cleanup_free_ uint32_t *slots = calloc(SLOTS, sizeof(*slots));
	struct collecting c = { h, slots };
	struct scan s = { .fn = collect, .arg = &c };
	int r = slots ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < t->pid_count; i++)
		r = scan_process(&s, t->pids[i]);
	if (h->n)
		qsort(h->items, h->n, sizeof(*h->items), compare);
	return r;
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

/* Inodes of sockets are used again after some billions, cookies never. */
static bool is_same(int fd, const struct held_socket *s)
{
	uint64_t noted = (uint64_t)s->diag.cookie[1] << 32 | s->diag.cookie[0], cookie;
	socklen_t n = sizeof(cookie);
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_ino != s->inode)
		return false;
	return !s->diag.family ||
	       (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) == 0 && cookie == noted);
}

static int open_pid(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		fd = (int)syscall(SYS_pidfd_open, pid, PIDFD_THREAD);
	return fd < 0 ? -errno : fd;
}

/* A copy of a descriptor of that process, or -errno; -EBADF when it is not that socket any more. */
static int copy(const struct held_socket *s)
{
	_cleanup_close_ int pidfd = open_pid(s->pid), fd = -EBADF;

	if (pidfd < 0)
		return pidfd;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, s->fd, 0);
	if (fd < 0)
		return -errno;
	return is_same(fd, s) ? take_fd(&fd) : -EBADF;
}

/*
 * A join without an address: EINVAL from the kernel, EPERM from our programs, which count it. Programs of others may say EPERM
 * where the socket comes from, too.
 */
static bool is_governed(int fd, int family, const struct redirect *programs)
{
	uint64_t before = redirect_refused_options(programs);
	int r = family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, NULL, 0)
				  : setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, NULL, 0);

	return r < 0 && errno == EPERM && redirect_refused_options(programs) != before;
}

static enum held_kind kind_of(int fd, int family, const struct redirect *r)
{
	switch (family) {
	case AF_INET:
	case AF_INET6:
		return redirect_is_own(r, fd) || is_governed(fd, family, r) ? HELD_OWN : HELD_ALIEN;
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
	const struct place p = { .pid = getpid(), .fd = fd };
	int family;
	socklen_t n = sizeof(family);

	if (fd == -ESRCH || fd == -EBADF) { /* ended, or closed meanwhile */
		s->kind = HELD_GONE;
	} else if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) == 0) {
		s->family = family;
		s->kind = kind_of(fd, family, r);
		s->hides = family == AF_UNIX && has_inside(&p, "\nscm_fds:");
	}
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
	int r = collect_all(t, &h);

	if (r == 0)
		r = classify(t, ns, programs, &h);
	if (r < 0) {
		held_done(&h);
		return why_set(why, r, "cannot find out which sockets the processes of %s hold: %s",
			       t->path,
			       r == -E2BIG ? "they hold more than can be looked at" : strerror(-r));
	}
	*ret = h;
	return 0;
}

void held_done(struct held *h)
{
	free(h->items);
	*h = (struct held){ 0 };
}

/* ---- what is wrong with them ---- */

static bool is_alien(const struct held_socket *s)
{
	return s->kind == HELD_ALIEN || s->kind == HELD_UNKNOWN;
}

const struct held_socket *held_alien(const struct held *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (is_alien(&h->items[i]))
			return &h->items[i];
	return NULL;
}

const struct held_socket *held_hiding(const struct held *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->items[i].hides)
			return &h->items[i];
	return h->ring.pid ? &h->ring : NULL;
}

/* In the network namespace of who holds it, where that is a third one. */
static int peer_there(const struct held_socket *s, struct diag_peer *ret)
{
	_cleanup_close_ int ns = -EBADF, list = -EBADF;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)s->pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return -errno;
	list = diag_open_in(ns);
	return list < 0 ? list : diag_unix_peer(list, s->inode, ret);
}

static bool leads_outside(const struct held *h, const int lists[2], const struct held_socket *s)
{
	struct diag_peer p = { 0 };
	int r = -ENOENT;

	for (int i = 0; i < 2 && r < 0; i++)
		if (lists[i] >= 0)
			r = diag_unix_peer(lists[i], s->inode, &p);
	if (r < 0)
		r = peer_there(s, &p);
	return r < 0 || (p.connected && (!p.inode || !held_has(h, p.inode)));
}

const struct held_socket *held_leading_out(const struct held *h, int ns)
{
	int lists[2] = { diag_open_in(-EBADF), ns < 0 ? -EBADF : diag_open_in(ns) };
	const struct held_socket *found = NULL;

	for (size_t i = 0; i < h->n && !found; i++)
		if (h->items[i].family == AF_UNIX && leads_outside(h, lists, &h->items[i]))
			found = &h->items[i];
	for (int i = 0; i < 2; i++)
		fd_close(&lists[i]);
	return found;
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

/* ---- who holds them ---- */

struct searching {
	const struct held *held;
	bool hiding;
	struct held_socket found;
};

/* 1: this one. */
static int search(void *arg, const struct place *p)
{
	struct searching *s = arg;
	const struct held_socket *h = p->inode ? find(s->held, p->inode) : NULL;
	bool wrong = h ? is_alien(h) || (s->hiding && h->hides)
		       : s->hiding && p->inode == 0 && ring_has_files(p);

	if (!wrong)
		return 0;
	s->found = h ? *h : (struct held_socket){ .hides = true };
	s->found.pid = p->pid;
	s->found.fd = p->fd;
	return 1;
}

static bool is_member(const struct target *t, pid_t pid)
{
	struct target now = *t;
	struct why why;
	bool found = false;

	now.pids = NULL;
	now.pid_count = 0;
	if (target_list(&now, &why) == 0)
		for (size_t i = 0; i < now.pid_count && !found; i++)
			found = now.pids[i] == pid;
	free(now.pids);
	return found;
}

/* Its number is its own as long as it is there: a member of that number is this one, if it still is afterwards. */
static int end_member(const struct target *t, pid_t pid)
{
	_cleanup_close_ int pidfd = open_pid(pid);

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	if (!is_member(t, pid))
		return 0;
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return errno == ESRCH ? 0 : -errno;
	return 1;
}

int held_end(const struct target *t, const struct held *h, bool hiding,
	     void (*tell)(void *arg, const struct held_socket *s), void *arg)
{
	struct searching w = { .held = h, .hiding = hiding };
	struct scan s = { .fn = search, .arg = &w };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < t->pid_count; i++) {
		r = scan_process(&s, t->pids[i]);
		if (r != 1)
			continue;
		r = end_member(t, t->pids[i]);
		w.found.pid = t->pids[i];
		if (r == 1)
			tell(arg, &w.found);
	}
	return MIN(r, 0);
}
