/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a cgroup are those of every cgroup below it, too. A cgroup of the "threaded" kind lists threads only, whose
 * directories in /proc do as well.
 */
#include "supervisor/target.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "supervisor/files.h"

#define DEPTH_MAX 64
#define TEXT_MAX  ((size_t)4 << 20)

#ifndef CGROUP_SUPER_MAGIC
#define CGROUP_SUPER_MAGIC 0x27e0eb
#endif

/* ---- finding it ---- */

static int not_a_cgroup(const char *path, const struct statfs *fs, const char *mount,
			struct why *why)
{
	if (fs->f_type == CGROUP_SUPER_MAGIC)
		return why_set(
			why, -EINVAL,
			"%s is a cgroup of version 1, and BPF programs need version 2: name the "
			"cgroup below %s",
			path, mount);
	return why_set(why, -EINVAL, "%s is not a cgroup: the cgroups of this machine are below %s",
		       path, mount);
}

/* "/sys/fs/cgroup/x", or "/x" as /proc/PID/cgroup has it. */
static int open_directory(const char *path, const char *mount, struct why *why)
{
	char text[2 * CGROUP_PATH_MAX];
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && path[0] == '/' &&
	    snprintf(text, sizeof(text), "%s%s", mount, path) < (int)sizeof(text))
		fd = open(text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return why_set(why, -ENOENT, "there is no cgroup %s", path);
	if (errno == ENOTDIR)
		return why_set(why, -ENOTDIR, "%s is not a cgroup: it is not a directory", path);
	return why_set(why, -errno, "cannot open the cgroup %s: %s", path, strerror(errno));
}

/* The path that the kernel knows it by. */
static int true_path(struct target *t)
{
	char link[32];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", t->fd);
	n = readlink(link, t->path, sizeof(t->path) - 1);
	if (n < 0 || (size_t)n >= sizeof(t->path) - 1)
		return n < 0 ? -errno : -ENAMETOOLONG;
	t->path[n] = '\0';
	return 0;
}

static int open_target(const char *path, const char *mount, struct target *t, struct why *why)
{
	size_t n = strlen(mount);
	struct statfs fs;
	struct stat st;
	int r;

	t->fd = open_directory(path, mount, why);
	if (t->fd < 0)
		return t->fd;
	if (fstatfs(t->fd, &fs) < 0 || fstat(t->fd, &st) < 0)
		return why_set(why, -errno, "cannot look at the cgroup %s: %s", path,
			       strerror(errno));
	if ((unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC)
		return not_a_cgroup(path, &fs, mount, why);
	r = true_path(t);
	if (r < 0)
		return why_set(why, r, "the path of the cgroup %s is too long", path);
	t->id = st.st_ino;
	t->below = strncmp(t->path, mount, n) == 0 ? t->path + n : t->path;
	t->events = openat(t->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (t->events >= 0)
		return 0;
	if (errno == ENOENT)
		return why_set(why, -EINVAL,
			       "%s is the root of all cgroups: everything on this machine is in "
			       "it, and so are we",
			       t->path);
	return why_set(why, -errno, "cannot read %s/cgroup.events: %s", t->path, strerror(errno));
}

int target_of_path(const char *path, struct target *ret, struct why *why)
{
	char mount[MOUNT_PATH_MAX];
	int r = cgroup_find_mount(mount, why);

	if (r == 0)
		r = open_target(path, mount, ret, why);
	if (r < 0)
		target_done(ret);
	return r;
}

/* The line of version 2 in /proc/PID/cgroup, in place. */
static char *v2_line(char *text)
{
	for (char *line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, "0::", 3) == 0) {
			line[strcspn(line, "\n")] = '\0';
			return line + 3;
		}
	}
	return NULL;
}

/* Where the process is, below the mount. */
static int cgroup_of_pid(const char *pid, char ret[CGROUP_PATH_MAX], struct why *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT(16 * 4097);
	char name[64], *line;
	int r;

	(void)snprintf(name, sizeof(name), "/proc/%s/cgroup", pid);
	r = file_read(AT_FDCWD, name, &b);
	if (r < 0)
		return why_set(why, r == -ENOENT ? -ESRCH : r, "there is no process %s", pid);
	line = v2_line((char *)(uintptr_t)buf_data(&b));
	if (!line)
		return why_set(why, -ENOENT, "process %s is in no cgroup of version 2", pid);
	if (snprintf(ret, CGROUP_PATH_MAX, "%s", line) >= CGROUP_PATH_MAX)
		return why_set(why, -ENAMETOOLONG,
			       "the path of the cgroup of process %s is too long", pid);
	return 0;
}

int target_of_pid(pid_t pid, struct target *ret, struct why *why)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	char mount[MOUNT_PATH_MAX], below[CGROUP_PATH_MAX], path[2 * CGROUP_PATH_MAX], name[16];
	int r;

	(void)snprintf(name, sizeof(name), "%d", (int)pid);
	if (pidfd < 0)
		return why_set(why, -errno, "there is no process %s", name);
	r = cgroup_find_mount(mount, why);
	if (r == 0)
		r = cgroup_of_pid(name, below, why);
	if (r < 0)
		return r;
	if (strncmp(below, "/..", 3) == 0)
		return why_set(why, -EINVAL,
			       "the cgroup of process %s lies outside of our own cgroup namespace",
			       name);
	(void)snprintf(path, sizeof(path), "%s%s", mount, below);
	r = open_target(path, mount, ret, why);
	/* As long as it lives its number has not come to mean another one. */
	if (r == 0 && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0)
		r = why_set(why, -ESRCH, "process %s ended just now", name);
	if (r < 0)
		target_done(ret);
	else
		ret->named = pid;
	return r;
}

void target_done(struct target *t)
{
	target_thaw(t);
	fd_close(&t->fd);
	fd_close(&t->events);
	free(take_ptr(t->pids));
	t->pid_count = 0;
}

/* ---- may we? ---- */

/* Is this the cgroup that we are in, or one above? Walks up from ours. */
static bool holds_us(const struct target *t, struct why *why)
{
	char mount[MOUNT_PATH_MAX], below[CGROUP_PATH_MAX], path[2 * CGROUP_PATH_MAX];
	bool held = false;
	int fd;

	if (cgroup_find_mount(mount, why) < 0 || cgroup_of_pid("self", below, why) < 0 ||
	    strncmp(below, "/..", 3) == 0)
		return false;
	(void)snprintf(path, sizeof(path), "%s%s", mount, below);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && !held && i < DEPTH_MAX; i++) {
		struct statfs fs;
		struct stat st;
		int up;

		if (fstatfs(fd, &fs) < 0 || (unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC ||
		    fstat(fd, &st) < 0)
			break;
		held = st.st_ino == t->id;
		up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(fd);
		fd = up;
	}
	fd_close(&fd);
	return held;
}

int target_check(const struct target *t, struct why *why)
{
	static const char parent[] = "/" CGROUP_PARENT;

	if (holds_us(t, why))
		return why_set(why, -EINVAL,
			       "%s is the cgroup that nono-proxy itself runs in, or one above it: "
			       "the proxy would "
			       "be cut off, too",
			       t->path);
	if (cgroup_text_is_ours(t->below) || strcmp(t->below, parent) == 0)
		return why_set(why, -EINVAL,
			       "%s belongs to nono-proxy run: it is a sandbox already", t->path);
	return 0;
}

/* ---- members ---- */

static int each_below(int dir, int depth, int (*fn)(void *arg, int dir), void *arg)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = fn(arg, dir);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		fd_close(&fd);
		return r ? r : -errno;
	}
	while (r == 0 && (e = readdir(d))) {
		_cleanup_close_ int below = -EBADF;

		if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0)
			continue;
		below = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (below < 0 && errno == ENOENT)
			continue;
		if (below < 0 || depth == DEPTH_MAX)
			r = below < 0 ? -errno : -ELOOP;
		else
			r = each_below(below, depth + 1, fn, arg);
	}
	(void)closedir(d);
	return r;
}

int target_each_cgroup(const struct target *t, int (*fn)(void *arg, int dir), void *arg)
{
	return each_below(t->fd, 0, fn, arg);
}

static int add_pid(struct target *t, pid_t pid)
{
	if (t->pid_count == TARGET_PIDS_MAX)
		return -E2BIG;
	/* Grown by doubling. */
	if ((t->pid_count & (t->pid_count - 1)) == 0) {
		size_t room = MAX(2 * t->pid_count, (size_t)16);
		pid_t *more = realloc(t->pids, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		t->pids = more;
	}
	t->pids[t->pid_count++] = pid;
	return 0;
}

static int list_one(void *arg, int dir)
{
	_cleanup_buf_ struct buf b = BUF_INIT(TEXT_MAX);
	int r = file_read(dir, "cgroup.procs", &b);

	if (r == -EOPNOTSUPP)
		r = file_read(dir, "cgroup.threads", &b);
	if (r == -ENODEV || r == -ENOENT) /* removed meanwhile */
		return 0;
	for (const char *p = (const char *)buf_data(&b); r == 0 && p && *p;) {
		char *end;
		long pid = strtol(p, &end, 10);

		if (end == p)
			break;
		/* 0: a process that our pid namespace does not show. */
		if (pid > 0)
			r = add_pid(arg, (pid_t)pid);
		p = end + strspn(end, "\n");
	}
	return r;
}

int target_list(struct target *t, struct why *why)
{
	int r;

	free(take_ptr(t->pids));
	t->pid_count = 0;
	r = target_each_cgroup(t, list_one, t);
	return r < 0 ? why_set(why, r, "cannot list the processes of %s: %s", t->path, strerror(-r))
		     : 0;
}

/* ---- stopping ---- */

/* The value of a key in cgroup.events; -errno. */
static int event_value(const struct target *t, const char *key)
{
	char text[256], *at;
	ssize_t n = pread(t->events, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	at = strstr(text, key);
	return at && at[strlen(key)] == ' ' ? at[strlen(key) + 1] == '1' : -EINVAL;
}

int target_populated(const struct target *t)
{
	return event_value(t, "populated");
}

bool target_is_gone(const struct target *t)
{
	struct stat st;

	return fstat(t->fd, &st) < 0 || st.st_nlink == 0 ||
	       faccessat(t->fd, "cgroup.procs", F_OK, 0) < 0;
}

static bool is_frozen_by_request(const struct target *t)
{
	_cleanup_buf_ struct buf b = BUF_INIT(2 * 4097);

	return file_read(t->fd, "cgroup.freeze", &b) == 0 && buf_len(&b) && buf_data(&b)[0] == '1';
}

int target_freeze(struct target *t, int timeout_ms, struct why *why)
{
	int64_t deadline = now_ms() + timeout_ms;
	int r = 0;

	if (!is_frozen_by_request(t)) {
		r = file_write(t->fd, "cgroup.freeze", "1");
		t->frozen = r == 0;
	}
	while (r == 0) {
		struct pollfd p = { .fd = t->events, .events = POLLPRI };
		int frozen = event_value(t, "frozen");

		if (frozen == 1)
			return 0;
		if (frozen < 0)
			r = frozen;
		else if (ms_left(deadline) == 0)
			r = -ETIMEDOUT;
		else if (poll(&p, 1, ms_left(deadline)) < 0 && errno != EINTR)
			r = -errno;
	}
	target_thaw(t);
	if (r == -ETIMEDOUT)
		return why_set(why, r,
			       "the processes of %s cannot be stopped for a moment: one of them "
			       "hangs in the kernel",
			       t->path);
	if (target_is_gone(t))
		return why_set(why, -ENOENT, "the cgroup %s vanished meanwhile", t->path);
	return why_set(why, r, "cannot stop the processes of %s: %s", t->path, strerror(-r));
}

void target_thaw(struct target *t)
{
	if (t->frozen)
		(void)!file_write(t->fd, "cgroup.freeze", "0");
	t->frozen = false;
}

/* ---- its network ---- */

/* False for a process that has ended: it has no namespace any more. */
static bool netns_of(const char *pid, struct stat *ret)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	return stat(path, ret) == 0;
}

static bool netns_of_pid(pid_t pid, struct stat *ret)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "%d", (int)pid);
	return netns_of(name, ret);
}

int target_netns(const struct target *t, int *ret_fd, struct why *why)
{
	struct stat ours, first, other;
	pid_t main = t->named;
	char path[64];

	if (!netns_of("self", &ours))
		return why_set(why, -EIO,
			       "cannot look at our own network namespace: is /proc mounted?");
	for (size_t i = 0; i < t->pid_count && main == 0; i++)
		if (netns_of_pid(t->pids[i], &first))
			main = t->pids[i];
	if (main == 0 || !netns_of_pid(main, &first))
		return why_set(why, -ESRCH,
			       "no process is in %s: which network it will have cannot be known "
			       "yet; start it "
			       "first",
			       t->path);
	for (size_t i = 0; i < t->pid_count && t->named == 0; i++)
		if (netns_of_pid(t->pids[i], &other) && other.st_ino != first.st_ino)
			return why_set(why, -EINVAL,
				       "the processes of %s are in several network namespaces "
				       "(processes %d and "
				       "%d): attach with --pid names the one that is to be served",
				       t->path, (int)main, (int)t->pids[i]);
	if (first.st_ino == ours.st_ino && first.st_dev == ours.st_dev) {
		*ret_fd = -EBADF;
		return 0;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)main);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return why_set(why, -errno, "cannot open the network namespace of process %d: %s",
			       (int)main, strerror(errno));
	return 0;
}
