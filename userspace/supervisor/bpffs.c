/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BPF file system. The file "bpffs" of the state directory names where the pins are and whether
 * the mount is ours.
 */
#include "supervisor/bpffs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "supervisor/files.h"

#define USUAL_PLACE "/sys/fs/bpf"
#define NOTE	    "bpffs"
#define OURS	    "ours"

static bool is_bpffs(const char *point)
{
	struct statfs s;

	return statfs(point, &s) == 0 && (unsigned long)s.f_type == BPF_FS_MAGIC;
}

/* The usual place if it is mounted there, else wherever. */
static bool find_mounted(char ret[MOUNT_PATH_MAX])
{
	_cleanup_free_ char *text = mountinfo_read();
	const char *at = text;
	struct mount_entry m;
	bool found = false;

	if (is_bpffs(USUAL_PLACE)) {
		(void)snprintf(ret, MOUNT_PATH_MAX, USUAL_PLACE);
		return true;
	}
	while (at && !found && mountinfo_next(&at, "bpf", &m)) {
		found = is_bpffs(m.point);
		if (found)
			(void)snprintf(ret, MOUNT_PATH_MAX, "%s", m.point);
	}
	return found;
}

bool bpffs_is_mounted(void)
{
	char point[MOUNT_PATH_MAX];

	return find_mounted(point);
}

static int mount_at(const char *point)
{
	if (mount("bpf", point, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") < 0)
		return -errno;
	return 0;
}

static int mount_new(const char *root_path, char ret[MOUNT_PATH_MAX], struct why *why)
{
	int r = mount_at(USUAL_PLACE);

	if (r == 0) {
		(void)snprintf(ret, MOUNT_PATH_MAX, USUAL_PLACE);
		return 0;
	}
	(void)snprintf(ret, MOUNT_PATH_MAX, "%s/bpf", root_path);
	if (mkdir(ret, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "cannot make %s: %s", ret, strerror(errno));
	r = mount_at(ret);
	if (r < 0) {
		(void)rmdir(ret);
		return why_set(why, r,
			       "cannot mount the BPF file system (%s): mount it with "
			       "\"mount -t bpf bpf " USUAL_PLACE "\", or use a kernel with BPF",
			       strerror(-r));
	}
	return 0;
}

/* An existing note is older and right, unless we have mounted since. */
static int note(int root, const char *point, bool ours)
{
	char text[MOUNT_PATH_MAX + 16];
	int r;

	(void)snprintf(text, sizeof(text), "%s\n%s\n", point, ours ? OURS : "");
	if (ours)
		(void)unlinkat(root, NOTE, 0);
	r = file_create(root, NOTE, text);
	return r == -EEXIST ? 0 : r;
}

int bpffs_open(int root, const char *root_path, char ret[PIN_PATH_MAX], struct why *why)
{
	char point[MOUNT_PATH_MAX], pins[PIN_PATH_MAX];
	bool ours = !find_mounted(point);
	int r = ours ? mount_new(root_path, point, why) : 0;

	if (r < 0)
		return r;
	r = note(root, point, ours);
	if (r < 0)
		return why_set(why, r, "cannot write %s/" NOTE ": %s", root_path, strerror(-r));
	(void)snprintf(pins, sizeof(pins), "%s/" PIN_PARENT, point);
	if (mkdir(pins, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "cannot make %s: %s", pins, strerror(errno));
	(void)snprintf(ret, PIN_PATH_MAX, "%s", pins);
	return 0;
}

/* The kernel puts two iterators of its own into every instance. */
static bool is_preloaded(const char *name)
{
	return strcmp(name, "maps.debug") == 0 || strcmp(name, "progs.debug") == 0;
}

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool empty = dir != NULL;

	while (empty && (e = readdir(dir)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			is_preloaded(e->d_name);
	if (dir)
		(void)closedir(dir);
	return empty;
}

/* The first line of the note, and whether the second says that the mount is ours. */
static bool read_note(int root, char ret_point[MOUNT_PATH_MAX], bool *ret_ours)
{
	_cleanup_buf_ struct buf b = BUF_INIT(2 * 4097);
	const char *text, *end;

	if (file_read(root, NOTE, &b) < 0)
		return false;
	text = (const char *)buf_data(&b);
	end = strchr(text, '\n');
	if (!end || end - text >= MOUNT_PATH_MAX)
		return false;
	(void)snprintf(ret_point, MOUNT_PATH_MAX, "%.*s", (int)(end - text), text);
	*ret_ours = strcmp(end + 1, OURS "\n") == 0;
	return true;
}

void bpffs_leave(int root)
{
	char pins[PIN_PATH_MAX], point[MOUNT_PATH_MAX];
	bool ours;

	if (!read_note(root, point, &ours))
		return;
	(void)unlinkat(root, NOTE, 0);
	if (!is_bpffs(point))
		return;
	(void)snprintf(pins, sizeof(pins), "%s/" PIN_PARENT, point);
	(void)rmdir(pins);
	if (ours && is_empty(point) && umount2(point, UMOUNT_NOFOLLOW) == 0 &&
	    strcmp(point, USUAL_PLACE) != 0)
		(void)rmdir(point);
}
