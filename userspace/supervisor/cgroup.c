/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroup of one sandbox, MOUNT/nono-proxy/ID. No controller is switched on: the cgroup is what
 * the programs are attached to and what is killed as a whole, not a limit on anything.
 */
#include "supervisor/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "supervisor/files.h"

#define REMOVE_TRIES	50 /* of 20 ms: a dead cgroup is busy for a moment */
#define REMOVE_PAUSE_NS (20 * 1000 * 1000)
#define REMOVE_DEPTH	8

bool cgroup_choose_mount(const char *text, bool (*usable)(const char *point),
			 char ret[MOUNT_PATH_MAX])
{
	struct mount_entry m;
	bool found = false;

	while (mountinfo_next(&text, "cgroup2", &m)) {
		bool whole = strcmp(m.root, "/") == 0;

		if ((found && !whole) || !usable(m.point))
			continue;
		(void)snprintf(ret, MOUNT_PATH_MAX, "%s", m.point);
		found = true;
		if (whole)
			break;
	}
	return found;
}

static bool is_cgroup2(const char *point)
{
	struct statfs s;

	return statfs(point, &s) == 0 && (unsigned long)s.f_type == CGROUP2_SUPER_MAGIC;
}

int cgroup_find_mount(char ret[MOUNT_PATH_MAX], struct why *why)
{
	_cleanup_free_ char *text = mountinfo_read();

	if (!text)
		return why_set(why, -EIO, "cannot read /proc/self/mountinfo: is /proc mounted?");
	if (!cgroup_choose_mount(text, is_cgroup2, ret))
		return why_set(
			why, -ENOENT,
			"no cgroup2 file system is mounted: mount it with "
			"\"mount -t cgroup2 none /sys/fs/cgroup\", or on a machine with version 1 "
			"cgroups at /sys/fs/cgroup/unified");
	return 0;
}

static bool is_id(const char *p, size_t n)
{
	return n == 16 && strspn(p, "0123456789abcdef") >= n;
}

bool cgroup_text_is_ours(const char *text)
{
	static const char parent[] = "/" CGROUP_PARENT "/";

	while ((text = strstr(text, parent))) {
		const char *id = text + sizeof(parent) - 1;

		if (is_id(id, strcspn(id, "/\n")))
			return true;
		text++;
	}
	return false;
}

bool cgroup_path(const char *mount, const char *id, char ret[CGROUP_PATH_MAX])
{
	int n = snprintf(ret, CGROUP_PATH_MAX, "%s/" CGROUP_PARENT "/%s", mount, id);

	return n > 0 && n < CGROUP_PATH_MAX;
}

/* Everything before the last slash. */
static void parent_of(const char *path, char ret[CGROUP_PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	(void)snprintf(ret, CGROUP_PATH_MAX, "%.*s", slash ? (int)(slash - path) : 0, path);
}

int cgroup_make(const char *path, struct cgroup *ret, struct why *why)
{
	char parent[CGROUP_PATH_MAX];
	int r, err;

	parent_of(path, parent);
	if (mkdir(parent, 0755) < 0 && errno != EEXIST) {
		err = errno;
		return why_set(why, -err, "cannot make the cgroup %s: %s%s", parent, strerror(err),
			       err == EROFS ? " (inside a container it must be writable: "
					      "start the container with a private, writable cgroup "
					      "namespace)"
					    : "");
	}
	if (mkdir(path, 0755) < 0) {
		err = errno;
		(void)rmdir(parent);
		return why_set(why, -err, "cannot make the cgroup %s: %s", path, strerror(err));
	}
	r = cgroup_open(path, ret);
	if (r < 0) {
		(void)!cgroup_remove(path);
		return why_set(why, r, "cannot use the cgroup %s: %s%s", path, strerror(-r),
			       r == -ENOENT ? " (no cgroup.kill: Linux 6.1 or later is needed)"
					    : "");
	}
	return 0;
}

/* Takes the descriptor, whatever comes of it. */
static int open_files(int fd, const char *path, struct cgroup *ret)
{
	struct cgroup c = CGROUP_INIT;
	int err = 0;

	(void)snprintf(c.path, sizeof(c.path), "%s", path);
	c.fd = fd;
	if (c.fd >= 0)
		c.kill = openat(c.fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (c.kill >= 0)
		c.events = openat(c.fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (c.events < 0) {
		err = -errno;
		cgroup_close(&c);
		return err;
	}
	*ret = c;
	return 0;
}

int cgroup_open(const char *path, struct cgroup *ret)
{
	return open_files(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path, ret);
}

int cgroup_make_at(int dir, const char *dir_path, const char *name, struct cgroup *ret,
		   struct why *why)
{
	char path[CGROUP_PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", dir_path, name) >= (int)sizeof(path))
		return why_set(why, -ENAMETOOLONG, "the path of the cgroup is too long");
	if (mkdirat(dir, name, 0755) < 0)
		return why_set(why, -errno, "cannot make the cgroup %s: %s", path, strerror(errno));
	r = open_files(openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), path,
		       ret);
	if (r < 0) {
		(void)unlinkat(dir, name, AT_REMOVEDIR);
		return why_set(why, r, "cannot use the cgroup %s: %s", path, strerror(-r));
	}
	return 0;
}

void cgroup_close(struct cgroup *c)
{
	fd_close(&c->fd);
	fd_close(&c->kill);
	fd_close(&c->events);
}

int cgroup_kill(const struct cgroup *c)
{
	return write(c->kill, "1", 1) == 1 ? 0 : -errno;
}

/* 1 populated, 0 empty, -errno. */
static int read_populated(int events_fd)
{
	char text[256];
	ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return strstr(text, "populated 0") ? 0 : 1;
}

int cgroup_wait_empty(const struct cgroup *c, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		int r = read_populated(c->events);

		if (r <= 0)
			return r;
		r = fd_wait(c->events, POLLPRI, ms_left(deadline));
		if (r < 0)
			return r;
		if (r == 0)
			return -ETIMEDOUT;
	}
}

static int remove_one(const char *path)
{
	for (int i = 0; i < REMOVE_TRIES; i++) {
		if (rmdir(path) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			return -errno;
		(void)nanosleep(&(struct timespec){ .tv_nsec = REMOVE_PAUSE_NS }, NULL);
	}
	return -EBUSY;
}

/* Children first. The files of a cgroup go with it. */
static int remove_tree(const char *path, int depth)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (e = readdir(dir))) {
		char child[CGROUP_PATH_MAX];

		if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0)
			continue;
		if (depth >= REMOVE_DEPTH ||
		    snprintf(child, sizeof(child), "%s/%s", path, e->d_name) >= (int)sizeof(child))
			r = -ENAMETOOLONG;
		else
			r = remove_tree(child, depth + 1);
	}
	(void)closedir(dir);
	return r == 0 ? remove_one(path) : r;
}

int cgroup_remove_one(const char *path)
{
	return remove_tree(path, 0);
}

int cgroup_remove(const char *path)
{
	char parent[CGROUP_PATH_MAX];
	int r = remove_tree(path, 0);

	parent_of(path, parent);
	if (r == 0)
		(void)rmdir(parent); /* busy as long as another sandbox lives there */
	return r;
}
