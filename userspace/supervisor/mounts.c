/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting by descriptor. */
#include "supervisor/mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/files.h"

int mount_new(const char *type, const struct mount_option *options, uint64_t attrs)
{
	_cleanup_close_ int fs = fsopen(type, FSOPEN_CLOEXEC);
	int mount;

	if (fs < 0)
		return -errno;
	for (; options && options->key; options++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options->key, options->value, 0) < 0)
			return -errno;
	/* Only a name, for those who read the list of mounts. */
	(void)fsconfig(fs, FSCONFIG_SET_STRING, "source", type, 0);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	mount = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned int)attrs);
	return mount < 0 ? -errno : mount;
}

int mount_tmpfs(mode_t mode, uid_t uid, gid_t gid, const char *size, uint64_t attrs)
{
	char m[16], u[16], g[16];
	const struct mount_option options[] = {
		{ "mode", m }, { "uid", u }, { "gid", g }, { "size", size }, { NULL, NULL },
	};

	(void)snprintf(m, sizeof(m), "%04o", (unsigned int)(mode & 07777));
	(void)snprintf(u, sizeof(u), "%u", (unsigned int)uid);
	(void)snprintf(g, sizeof(g), "%u", (unsigned int)gid);
	return mount_new("tmpfs", options, attrs);
}

int mount_clone(int place, bool recursive, uint64_t set, uint64_t clear)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };
	unsigned int deep = recursive ? AT_RECURSIVE : 0;
	_cleanup_close_ int mount =
		open_tree(place, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | deep);

	if (mount < 0)
		return -errno;
	if (mount_setattr(mount, "", AT_EMPTY_PATH | deep, &attr, sizeof(attr)) < 0)
		return -errno;
	return take_fd(&mount);
}

int mount_attach(int mount, int place)
{
	if (move_mount(mount, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int place_open(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int null_device(void)
{
	_cleanup_close_ int place = place_open("/dev/null");

	if (place < 0)
		return place;
	return mount_clone(place, false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
			   MOUNT_ATTR_NODEV);
}

int mount_hide(int place)
{
	_cleanup_close_ int mount = -EBADF;
	struct stat st;

	if (fstat(place, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		mount = mount_tmpfs(0555, 0, 0, "4k",
				    MOUNT_PLAIN | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY);
	else
		mount = null_device();
	return mount < 0 ? mount : mount_attach(mount, place);
}

int mount_readonly(int place)
{
	_cleanup_close_ int mount =
		mount_clone(place, true, MOUNT_PLAIN | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY, 0);

	return mount < 0 ? mount : mount_attach(mount, place);
}

int make_dirs(const char *path)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (path[0] != '/' || n >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) == 0) {
			if (chmod(part, 0755) < 0) /* whatever the caller's umask is */
				return -errno;
		} else if (errno != EEXIST) {
			return -errno;
		}
	}
	return 0;
}

bool path_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}
