/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's own /run.
 *
 * Somebody may work in a directory below /run (scratch space of a session, for example). It is
 * bound back, because COMMAND cannot do its work without the files that it was started on; but
 * never /run or a user's directory themselves, and nothing that is known to hold sockets of
 * daemons. Sockets that are in it all the same are hidden one by one later.
 */
#include "supervisor/rundir.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/mounts.h"

static bool is_daemons_directory(struct str name)
{
	static const char *const names[] = {
		"systemd", "dbus",    "dbus-1", "docker",  "containerd", "podman",   "libpod",
		"crio",	   "libvirt", "gnupg",	"keyring", "pulse",	 "pipewire", "lock",
		"udev",	   "netns",   "snapd",	"lxd",	   "incus",	 "udisks2",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(name, str_of(names[i])))
			return true;
	return false;
}

bool rundir_may_keep(const char *cwd)
{
	struct str part[3] = { 0 };
	size_t count = 0;

	if (strncmp(cwd, "/run/", 5) != 0)
		return false;
	for (const char *p = cwd + 5; *p; count++) {
		struct str name = { p, strcspn(p, "/") };

		/* The kernel hands out canonical paths; anything else is not worth a guess. */
		if (name.n == 0 || name.p[0] == '.' || is_daemons_directory(name))
			return false;
		if (count < ARRAY_SIZE(part))
			part[count] = name;
		p += name.n + (p[name.n] == '/' ? 1 : 0);
	}
	if (count == 0)
		return false;
	/* /run/user/UID is XDG_RUNTIME_DIR: mostly sockets. Below it one may work. */
	return !str_eq(part[0], STR_LIT("user")) || count > 2;
}

/* The directory as a detached mount, or -EBADF if it is not kept. */
static int clone_cwd(const char *cwd)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS };
	_cleanup_close_ int place = -EBADF;

	if (!rundir_may_keep(cwd))
		return -EBADF;
	place = (int)syscall(SYS_openat2, AT_FDCWD, cwd, &how, sizeof(how));
	return place < 0 ? -EBADF : mount_clone(place, true, 0, 0);
}

static int make_owned(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	int r = make_dirs(path);

	if (r < 0)
		return r;
	return chown(path, uid, gid) < 0 || chmod(path, mode) < 0 ? -errno : 0;
}

static int cover(const char *path)
{
	_cleanup_close_ int place = place_open(path);
	_cleanup_close_ int mount = -EBADF;

	if (place < 0)
		return place;
	mount = mount_tmpfs(0755, 0, 0, "20%", MOUNT_PLAIN);
	return mount < 0 ? mount : mount_attach(mount, place);
}

/* Usually a link to /run. Where it is not, it holds the same kind of thing. */
static int cover_var_run(struct allowed *allowed)
{
	struct stat run, var;
	int r;

	if (stat("/var/run", &var) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (stat("/run", &run) == 0 && run.st_dev == var.st_dev && run.st_ino == var.st_ino)
		return 0;
	r = cover("/var/run");
	return r < 0 ? r : allowed_put_below(allowed, "/var/run", NULL);
}

static int fill(const struct init_setup *s, struct allowed *allowed, int kept)
{
	_cleanup_close_ int place = -EBADF;
	char user[64];
	int r;

	(void)snprintf(user, sizeof(user), "/run/user/%u", (unsigned int)s->uid);
	r = make_owned("/run/lock", 01777, 0, 0);
	if (r == 0)
		r = make_owned(user, 0700, s->uid, s->gid);
	/* What is in the working directory comes with it. */
	if (r == 0)
		r = allowed_put_below(allowed, "/run", kept < 0 ? NULL : s->cwd);
	if (r < 0 || kept < 0)
		return r;
	r = make_dirs(s->cwd);
	if (r < 0)
		return r;
	/* On the way down make_dirs() opened up what it passed. */
	if (chmod(user, 0700) < 0)
		return -errno;
	place = place_open(s->cwd);
	return place < 0 ? place : mount_attach(kept, place);
}

int rundir_build(const struct init_setup *s, struct allowed *allowed, struct why *why)
{
	_cleanup_close_ int kept = clone_cwd(s->cwd);
	int r = kept < 0 && kept != -EBADF ? kept : cover("/run");

	if (r == -ENOENT)
		r = cover_var_run(allowed);
	else if (r == 0) {
		r = fill(s, allowed, kept);
		if (r == 0)
			r = cover_var_run(allowed);
	}
	return r < 0 ? why_set(why, r, "cannot give the sandbox a /run of its own: %s",
			       strerror(-r))
		     : 0;
}
