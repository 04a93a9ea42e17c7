/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hiding by mounting something empty over it. Each place is opened once, looked at through the
 * descriptor, and covered through the same descriptor: whoever exchanges a directory meanwhile
 * changes nothing.
 */
#include "supervisor/hide.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/mountinfo.h"
#include "supervisor/mounts.h"

/* ---- sockets ---- */

static int open_beneath(int dir, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | flags,
				.resolve = RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* Nothing but sockets in it? Counts as "no" when it cannot be read. */
static bool holds_only_sockets(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool only = true;

	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	for (struct dirent *e; only && (e = readdir(d));)
		only = e->d_type == DT_SOCK || strcmp(e->d_name, ".") == 0 ||
		       strcmp(e->d_name, "..") == 0;
	(void)closedir(d);
	return only;
}

static bool is_same(int a, const struct stat *b)
{
	struct stat st;

	return fstat(a, &st) == 0 && st.st_dev == b->st_dev && st.st_ino == b->st_ino;
}

/* A directory like this one over it, with nothing but what is allowed; writable for whoever may write there. */
static int replace_directory(int dir, const struct stat *st, struct allowed *allowed)
{
	_cleanup_close_ int mount = mount_tmpfs(st->st_mode, st->st_uid, st->st_gid, "10%",
						MOUNT_PLAIN);
	int r = mount < 0 ? mount : mount_attach(mount, dir);

	return r < 0 ? r : allowed_put_into(allowed, st, mount);
}

static int hide_socket(const char *path, struct allowed *allowed, const char *cwd)
{
	_cleanup_close_ int dir = -EBADF, place = -EBADF, here = -EBADF;
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	struct stat st;

	if (path[0] != '/' || (size_t)(slash - path) >= sizeof(parent))
		return 0;
	(void)snprintf(parent, sizeof(parent), "%.*s/", (int)(slash - path), path);
	/* Links on the way are followed (/var/run is one); the socket itself is none. */
	dir = open_beneath(AT_FDCWD, parent, O_DIRECTORY);
	if (dir < 0)
		return dir;
	place = open_beneath(dir, slash + 1, 0);
	if (place < 0)
		return place;
	if (fstat(place, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode) || allowed_has(allowed, &st))
		return 0;
	if (fstat(dir, &st) < 0)
		return -errno;
	here = place_open(cwd);
	if (!is_same(here, &st) && holds_only_sockets(dir))
		return replace_directory(dir, &st, allowed);
	return mount_hide(place);
}

int hide_sockets(const char *const *paths, struct allowed *allowed, const char *cwd,
		 struct why *why)
{
	for (; *paths; paths++) {
		int r = hide_socket(*paths, allowed, cwd);

		if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ELOOP)
			return why_set(why, r, "cannot hide the socket %s of a program outside: %s",
				       *paths, strerror(-r));
	}
	return 0;
}

/* ---- kernel file systems ---- */

struct mount_line {
	unsigned long id;
	unsigned int major, minor;
	char point[PATH_MAX];
	char type[32];
};

static bool is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' &&
	       p[2] <= '7';
}

/* In place: blanks, tabs, newlines and backslashes are written as \ooo. */
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

/* One line of mountinfo, NUL-terminated; see proc(5). */
static bool parse_mount(const char *line, struct mount_line *ret)
{
	const char *dash = strstr(line, " - ");

	if (!dash || sscanf(dash + 3, "%31s", ret->type) != 1)
		return false;
	if (sscanf(line, "%lu %*u %u:%u %*s %4095s", &ret->id, &ret->major, &ret->minor,
		   ret->point) != 4)
		return false;
	unescape(ret->point);
	return true;
}

static bool is_hidden_type(const struct mount_line *m, dev_t own_proc)
{
	static const char *const types[] = {
		"cgroup",   "cgroup2",	  "bpf",       "debugfs", "tracefs",	 "securityfs",
		"configfs", "pstore",	  "efivarfs",  "fusectl", "binfmt_misc", "nfsd",
		"resctrl",  "rpc_pipefs", "selinuxfs", "smackfs",
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(m->type, types[i]) == 0)
			return true;
	/* Another instance of /proc, in some chroot: it shows the host's processes, and through
	 * them the host's files. */
	if (strcmp(m->type, "proc") == 0)
		return makedev(m->major, m->minor) != own_proc;
	return strcmp(m->type, "sysfs") == 0 && !path_is_below(m->point, "/sys");
}

/* Covers the mount if a path leads to it; another one may lie on top. */
static int hide_if_reachable(const struct mount_line *m)
{
	_cleanup_close_ int place = place_open(m->point);
	struct statx sx;

	if (place == -ENOENT || place == -ENOTDIR)
		return 0;
	if (place < 0)
		return place;
	if (statx(place, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return -errno;
	if (!(sx.stx_mask & STATX_MNT_ID))
		return -EOPNOTSUPP;
	return sx.stx_mnt_id == m->id ? mount_hide(place) : 0;
}

int hide_kernel_mounts(struct why *why)
{
	_cleanup_free_ char *text = mountinfo_read();
	struct mount_line m;
	struct stat proc;
	char *save = NULL;

	if (!text || stat("/proc/self/mountinfo", &proc) < 0)
		return why_set(why, -EIO, "cannot read the list of mounts of the sandbox");
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		int r = parse_mount(line, &m) ? 0 : -EBADMSG;

		if (r < 0)
			return why_set(why, r, "cannot understand the list of mounts: \"%s\"",
				       line);
		if (!is_hidden_type(&m, proc.st_dev))
			continue;
		r = hide_if_reachable(&m);
		if (r < 0)
			return why_set(why, r, "cannot hide %s (%s) from the sandbox: %s", m.point,
				       m.type, strerror(-r));
	}
	return 0;
}
