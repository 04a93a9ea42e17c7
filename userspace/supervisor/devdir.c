/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's /dev.
 *
 * In the private one each device is a bind mount of the host's node. Device nodes anywhere else
 * lose their meaning: every other mount becomes nodev, so that a node in some chroot does not open
 * the disk. The terminals are the host's, because the one that COMMAND works on is among them.
 */
#include "supervisor/devdir.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/mounts.h"

#define NODE_ATTRS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)

struct device {
	const char *path;
	int mount; /* detached */
	bool is_dir;
};

static int shared_memory(void)
{
	_cleanup_close_ int place = place_open("/dev/shm");
	_cleanup_close_ int mount = -EBADF;

	if (place == -ENOENT)
		return 0;
	if (place < 0)
		return place;
	mount = mount_tmpfs(01777, 0, 0, "50%", MOUNT_PLAIN);
	return mount < 0 ? mount : mount_attach(mount, place);
}

/* 0, also when the host does not have it. Only character devices and the directory of terminals are
 * taken over. */
static int take_device(struct device *d)
{
	_cleanup_close_ int place = open(d->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (place < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(place, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	d->is_dir = S_ISDIR(st.st_mode);
	d->mount = mount_clone(place, d->is_dir, NODE_ATTRS, MOUNT_ATTR_NODEV);
	return d->mount < 0 ? d->mount : 0;
}

static int put_device(const struct device *d)
{
	_cleanup_close_ int place = -EBADF;

	if (d->mount < 0)
		return 0;
	if (d->is_dir) {
		int r = make_dirs(d->path);

		if (r < 0)
			return r;
	} else if (mknod(d->path, S_IFREG | 0444, 0) < 0) {
		return -errno;
	}
	place = place_open(d->path);
	return place < 0 ? place : mount_attach(d->mount, place);
}

static int put_links(void)
{
	static const struct {
		const char *path, *to;
	} links[] = {
		{ "/dev/fd", "/proc/self/fd" },
		{ "/dev/stdin", "/proc/self/fd/0" },
		{ "/dev/stdout", "/proc/self/fd/1" },
		{ "/dev/stderr", "/proc/self/fd/2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i].to, links[i].path) < 0)
			return -errno;
	return 0;
}

/*
 * The kernel finds the terminals beside the node that is opened, and does not see through a bind
 * mount here. So this one is a node, or, where making nodes is not allowed, a link to pts/ptmx,
 * which on many machines only root can open.
 */
static int put_ptmx(void)
{
	if (mknod("/dev/ptmx", S_IFCHR | 0666, makedev(5, 2)) == 0)
		return chmod("/dev/ptmx", 0666) < 0 ? -errno : 0;
	if (errno != EPERM)
		return -errno;
	return symlink("pts/ptmx", "/dev/ptmx") < 0 ? -errno : 0;
}

static int forbid_devices_elsewhere(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV };

	return mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static int replace_dev(void)
{
	_cleanup_close_ int place = place_open("/dev");
	_cleanup_close_ int mount = mount_tmpfs(0755, 0, 0, "64k", NODE_ATTRS);

	if (place < 0 || mount < 0)
		return place < 0 ? place : mount;
	return mount_attach(mount, place);
}

static int build_private(void)
{
	struct device devices[] = {
		{ "/dev/null", -EBADF, false },	   { "/dev/zero", -EBADF, false },
		{ "/dev/full", -EBADF, false },	   { "/dev/random", -EBADF, false },
		{ "/dev/urandom", -EBADF, false }, { "/dev/tty", -EBADF, false },
		{ "/dev/pts", -EBADF, true },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(devices); i++)
		r = take_device(&devices[i]);
	if (r == 0)
		r = forbid_devices_elsewhere();
	if (r == 0)
		r = replace_dev();
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(devices); i++)
		r = put_device(&devices[i]);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		fd_close(&devices[i].mount);
	if (r == 0)
		r = put_links();
	if (r == 0)
		r = put_ptmx();
	return r < 0 ? r : make_dirs("/dev/shm");
}

int devdir_build(bool private, struct allowed *allowed, struct why *why)
{
	int r = private ? build_private() : 0;

	if (r == 0 && private)
		r = allowed_put_below(allowed, "/dev", "/dev/shm");
	if (r == 0)
		r = shared_memory();
	if (r == 0)
		r = allowed_put_below(allowed, "/dev/shm", NULL);
	return r < 0 ? why_set(why, r, "cannot give the sandbox a /dev of its own: %s",
			       strerror(-r))
		     : 0;
}
