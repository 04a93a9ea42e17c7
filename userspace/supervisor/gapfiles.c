/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket in a file system is the same socket wherever that file system, or a part of it, is mounted. So each socket of the
 * host is turned into its place within its file system, and then every mount of that file system in the other namespace is
 * asked whether it shows this place. The look itself goes through /proc/PID/root, and counts only if it finds that very file.
 */
#include "supervisor/gapfiles.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "supervisor/files.h"

#define TEXT_MAX     ((size_t)8 << 20)
#define ACCEPTS	     0x10000 /* __SO_ACCEPTCON: a listening stream socket */
#define TYPE_DGRAM   2
#define NETWORKS_MAX 256

/* ---- mounts ---- */

struct mount_row {
	unsigned long id;
	unsigned int major, minor;
	bool writable;
	char root[PATH_MAX], point[PATH_MAX], type[32];
};

static bool is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' &&
	       p[2] <= '7';
}

/* In place: blanks and the like are written as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && is_octal(s + 1)) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static bool parse_row(const char *line, struct mount_row *ret)
{
	const char *dash = strstr(line, " - ");
	char options[256];

	if (!dash || sscanf(dash + 3, "%31s", ret->type) != 1 ||
	    sscanf(line, "%lu %*u %u:%u %4095s %4095s %255s", &ret->id, &ret->major, &ret->minor,
		   ret->root, ret->point, options) != 6)
		return false;
	ret->writable = strncmp(options, "rw", 2) == 0;
	unescape(ret->root);
	unescape(ret->point);
	return true;
}

/* Calls `fn` for each mount of the text; stops when it returns true, and returns that. */
static bool each_mount(const char *text, bool (*fn)(void *arg, const struct mount_row *m),
		       void *arg)
{
	_cleanup_free_ struct mount_row *m = malloc(sizeof(*m));
	bool stop = false;

	while (m && !stop && *text) {
		size_t n = strcspn(text, "\n");
		_cleanup_free_ char *line = strndup(text, n);

		if (line && parse_row(line, m))
			stop = fn(arg, m);
		text += n + (text[n] == '\n' ? 1 : 0);
	}
	return stop;
}

static int read_mounts(const char *pid, struct buf *ret)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%s/mountinfo", pid);
	return file_read(AT_FDCWD, path, ret);
}

/* What is left of `path` below `root`: "/a/b" below "/a" is "/b"; NULL if it is elsewhere. */
static const char *below(const char *path, const char *root)
{
	size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	return path + n;
}

/* ---- sockets ---- */

/* One socket of the host, and where it is to be found. */
struct place {
	pid_t pid;
	struct stat st;		 /* of the socket */
	char within[PATH_MAX];	 /* in its file system */
	char seen[2 * PATH_MAX]; /* in the other namespace */
	char through[3 * PATH_MAX];
	unsigned long mount; /* on which it is, here */
	const char *path;    /* here */
	bool found;
};

static bool is_same_file(struct place *p, const char *path)
{
	struct stat st;

	if (snprintf(p->through, sizeof(p->through), "/proc/%d/root%s", (int)p->pid, path) >=
	    (int)sizeof(p->through))
		return false;
	return lstat(p->through, &st) == 0 && st.st_dev == p->st.st_dev &&
	       st.st_ino == p->st.st_ino;
}

static bool shows(void *arg, const struct mount_row *m)
{
	struct place *p = arg;
	const char *rest;

	if (makedev(m->major, m->minor) != p->st.st_dev)
		return false;
	rest = below(p->within, m->root);
	if (!rest ||
	    snprintf(p->seen, sizeof(p->seen), "%s%s", strcmp(m->point, "/") == 0 ? "" : m->point,
		     rest) >= (int)sizeof(p->seen))
		return false;
	return is_same_file(p, p->seen);
}

static bool is_its_mount(void *arg, const struct mount_row *m)
{
	struct place *p = arg;
	const char *rest;

	if (m->id != p->mount)
		return false;
	rest = below(p->path, m->point);
	p->found = rest && snprintf(p->within, sizeof(p->within), "%s%s",
				    strcmp(m->root, "/") == 0 ? "" : m->root,
				    rest) < (int)sizeof(p->within);
	return true;
}

/* Is this socket of the host to be seen by that process? Then `p->seen` is where. */
static bool is_visible(const char *path, const char *ours, const char *theirs, struct place *p)
{
	char real[PATH_MAX];
	struct statx sx;

	if (!realpath(path, real) || lstat(real, &p->st) < 0 || !S_ISSOCK(p->st.st_mode))
		return false;
	if (statx(AT_FDCWD, real, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &sx) < 0 ||
	    !(sx.stx_mask & STATX_MNT_ID))
		return false;
	p->mount = sx.stx_mnt_id;
	p->path = real;
	p->found = false;
	(void)each_mount(ours, is_its_mount, p);
	if (p->found && each_mount(theirs, shows, p))
		return true;
	(void)snprintf(p->seen, sizeof(p->seen), "%s", real);
	return is_same_file(p, real);
}

struct unix_line {
	unsigned int flags, type;
	unsigned long inode;
	const char *path;
};

/* "Num: RefCount Protocol Flags Type St Inode Path" */
static bool parse_unix(const char *line, struct unix_line *ret)
{
	int at = 0;

	if (sscanf(line, "%*[^:]: %*x %*x %x %x %*x %lu %n", &ret->flags, &ret->type, &ret->inode,
		   &at) != 3 ||
	    at == 0 || !line[at])
		return false;
	ret->path = line + at;
	return ret->flags & ACCEPTS || ret->type == TYPE_DGRAM;
}

static void find_sockets(pid_t pid, bool same_network, const char *list, const char *ours,
			 const char *theirs, const struct held *h, struct gaps *g)
{
	_cleanup_free_ struct place *p = calloc(1, sizeof(*p));
	_cleanup_free_ char *copy = strdup(list);
	char *save = NULL;

	if (!p || !copy) {
		gap_add(g, GAP_UNIX_SOCKETS, "they cannot be looked for: out of memory");
		return;
	}
	p->pid = pid;
	for (char *line = strtok_r(copy, "\n", &save); line && !(g->open & 1U << GAP_UNIX_SOCKETS);
	     line = strtok_r(NULL, "\n", &save)) {
		struct unix_line u;

		if (!parse_unix(line, &u) || held_has(h, u.inode))
			continue;
		if (u.path[0] == '@' ? same_network : is_visible(u.path, ours, theirs, p))
			gap_add(g, GAP_UNIX_SOCKETS, "process %d reaches %.120s", (int)pid,
				u.path[0] == '@' ? u.path : p->seen);
	}
}

/* ---- kernel file systems ---- */

struct kernel_mounts {
	pid_t pid;
	bool root;
	dev_t proc; /* the file system that we see at /proc */
	const struct target *target;
	struct gaps *gaps;
};

/* Only what lies outside of the target itself is a way out of it. */
static bool leads_out(const struct kernel_mounts *k, const struct mount_row *m)
{
	const char *rest = below(m->root, k->target->below);

	return !rest;
}

static bool may_write(const struct kernel_mounts *k, const struct mount_row *m)
{
	char path[PATH_MAX + 64];
	struct stat st;

	if (k->root)
		return true;
	if (snprintf(path, sizeof(path), "/proc/%d/root%s/cgroup.procs", (int)k->pid, m->point) >=
	    (int)sizeof(path))
		return true;
	return stat(path, &st) == 0 && (st.st_uid != 0 || st.st_mode & 022);
}

/* Does a path lead there? Something else may lie on top. */
static bool is_on_top(const struct kernel_mounts *k, const struct mount_row *m)
{
	char path[PATH_MAX + 64];
	struct stat st;

	if (snprintf(path, sizeof(path), "/proc/%d/root%s", (int)k->pid, m->point) >=
		    (int)sizeof(path) ||
	    stat(path, &st) < 0)
		return errno != ENOENT;
	return st.st_dev == makedev(m->major, m->minor);
}

static bool look_at_mount(void *arg, const struct mount_row *m)
{
	struct kernel_mounts *k = arg;

	if (strcmp(m->type, "cgroup2") != 0 && strcmp(m->type, "bpf") != 0 &&
	    strcmp(m->type, "proc") != 0)
		return false;
	if (!is_on_top(k, m))
		return false;
	/* A pid namespace of its own is of no use where the host's /proc is to be seen: memory, files and descriptors of its
	 * processes are in there. */
	if (strcmp(m->type, "proc") == 0 && makedev(m->major, m->minor) == k->proc)
		gap_add(k->gaps, GAP_HOST_PID, "process %d sees the host's processes at %.100s",
			(int)k->pid, m->point);
	if (strcmp(m->type, "cgroup2") == 0 && m->writable && leads_out(k, m) && may_write(k, m))
		gap_add(k->gaps, GAP_CGROUPFS,
			"process %d can write %.100s, and so leave its cgroup", (int)k->pid,
			m->point);
	if (strcmp(m->type, "bpf") == 0 && k->root)
		gap_add(k->gaps, GAP_BPFFS, "process %d sees pinned programs at %.100s",
			(int)k->pid, m->point);
	return false;
}

/* ---- every network namespace's list of unix sockets ---- */

struct search {
	pid_t pid;
	uint64_t network; /* its namespace */
	const char *ours, *theirs;
	const struct held *held;
	struct gaps *gaps;
	uint64_t seen[NETWORKS_MAX];
	size_t seen_n;
};

static uint64_t network_of(const char *pid)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	return stat(path, &st) < 0 ? 0 : st.st_ino;
}

static bool is_new_network(struct search *s, uint64_t network)
{
	for (size_t i = 0; i < s->seen_n; i++)
		if (s->seen[i] == network)
			return false;
	if (s->seen_n == NETWORKS_MAX) {
		gap_add(s->gaps, GAP_UNIX_SOCKETS,
			"not all can be looked for: there are more than %d networks", NETWORKS_MAX);
		return false;
	}
	s->seen[s->seen_n++] = network;
	return true;
}

static void look_in_network_of(struct search *s, const char *pid)
{
	_cleanup_buf_ struct buf list = BUF_INIT(TEXT_MAX);
	uint64_t network = network_of(pid);
	char path[64];
	int r;

	if (network == 0 || !is_new_network(s, network))
		return;
	(void)snprintf(path, sizeof(path), "/proc/%s/net/unix", pid);
	r = file_read(AT_FDCWD, path, &list);
	if (r == 0)
		find_sockets(s->pid, network == s->network, (const char *)buf_data(&list), s->ours,
			     s->theirs, s->held, s->gaps);
	else if (r != -ENOENT && r != -EINVAL)
		gap_add(s->gaps, GAP_UNIX_SOCKETS, "%s cannot be read: %s", path, strerror(-r));
}

static void look_everywhere(struct search *s)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;

	look_in_network_of(s, "self");
	while (proc && (e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && strlen(e->d_name) < 16)
			look_in_network_of(s, e->d_name);
	if (proc)
		(void)closedir(proc);
}

int gapfiles_find(pid_t pid, bool root, const struct target *t, const struct held *h,
		  struct gaps *g)
{
	_cleanup_buf_ struct buf ours = BUF_INIT(TEXT_MAX), theirs = BUF_INIT(TEXT_MAX);
	struct kernel_mounts k = { .pid = pid, .root = root, .target = t, .gaps = g };
	struct stat proc;
	struct search s = { .pid = pid, .held = h, .gaps = g };
	char name[16];
	int r = read_mounts("self", &ours);

	(void)snprintf(name, sizeof(name), "%d", (int)pid);
	if (r < 0)
		return r;
	r = read_mounts(name, &theirs);
	if (r == -ENOENT || r == -ESRCH || r == -EINVAL)
		return 0; /* it has ended */
	if (r < 0)
		return r;
	s.network = network_of(name);
	s.ours = (const char *)buf_data(&ours);
	s.theirs = (const char *)buf_data(&theirs);
	look_everywhere(&s);
	if (stat("/proc", &proc) < 0)
		return -errno;
	k.proc = proc.st_dev;
	(void)each_mount(s.theirs, look_at_mount, &k);
	return 0;
}
