/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's view: the host's file system, with the user's rights, except
 *
 *	/proc   its own processes; what changes the machine is read-only, what tells too much is
 *	        empty, as in a container
 *	/sys    its own network, read-only
 *	/run    empty: the sockets of daemons are outside
 *	/dev    a minimal one for root; shared memory of its own for all
 *	/etc    its own resolv.conf, hosts and nsswitch.conf
 *	cgroupfs, bpffs and other file systems that steer the kernel: hidden wherever mounted
 *	sockets of outside daemons anywhere else: hidden
 *	those of them that COMMAND may use: where they always are
 *
 * Why read-only although COMMAND has no capabilities: for uid 0 the files in /proc/sys and /sys
 * need none, it owns them. What is mounted here cannot be taken away inside: unmounting needs a
 * capability, and in a user namespace that COMMAND makes itself, mounts that came from here are
 * locked.
 */
#include "supervisor/view.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "supervisor/devdir.h"
#include "supervisor/etcfiles.h"
#include "supervisor/files.h"
#include "supervisor/hide.h"
#include "supervisor/mounts.h"
#include "supervisor/rundir.h"

static const char *const readonly[] = {
	"/proc/sys", "/proc/sysrq-trigger", "/proc/irq",  "/proc/bus",
	"/proc/fs",  "/proc/dynamic_debug", "/proc/mtrr",
};

static const char *const hidden[] = {
	"/proc/acpi",	       "/proc/asound",	    "/proc/interrupts",
	"/proc/kcore",	       "/proc/keys",	    "/proc/key-users",
	"/proc/kpagecgroup",   "/proc/kpagecount",  "/proc/kpageflags",
	"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
	"/proc/timer_list",    "/proc/timer_stats", "/sys/devices/virtual/powercap",
	"/sys/firmware",
};

/* A new file system of this type over the directory. */
static int mount_over(const char *type, const char *path, uint64_t attrs)
{
	_cleanup_close_ int place = place_open(path);
	_cleanup_close_ int mount = -EBADF;

	if (place < 0)
		return place;
	mount = mount_new(type, NULL, attrs);
	return mount < 0 ? mount : mount_attach(mount, place);
}

static int make_private(struct why *why)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return 0;
	if (errno == EINVAL)
		return why_set(why, -errno,
			       "the root directory is not a mount point, as in a chroot: bind it to itself and "
			       "enter it with pivot_root");
	return why_set(why, -errno,
		       "cannot separate the sandbox's mounts from the host's: %s (this needs root with "
		       "CAP_SYS_ADMIN, and a security profile that lets it mount)",
		       strerror(errno));
}

static int build_proc(struct why *why)
{
	int r = mount_over("proc", "/proc", MOUNT_PLAIN | MOUNT_ATTR_NOEXEC);

	return r < 0 ? why_set(why, r, "cannot mount a /proc of the sandbox's own processes: %s",
			       strerror(-r))
		     : 0;
}

/* Where /sys is no mount there is nothing of the kernel's to protect. */
static int make_sys_readonly(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (mount_setattr(AT_FDCWD, "/sys", AT_RECURSIVE, &attr, sizeof(attr)) == 0)
		return 0;
	return errno == EINVAL || errno == ENOENT ? 0 : -errno;
}

static int build_sys(bool private, struct why *why)
{
	int r = private ? mount_over("sysfs", "/sys",
				     MOUNT_PLAIN | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY)
			: make_sys_readonly();

	if (r == -ENOENT)
		return 0;
	return r < 0 ? why_set(why, r, "cannot give the sandbox a read-only /sys: %s", strerror(-r))
		     : 0;
}

/* Applies `change` to each path that this machine has. */
static int restrict_paths(const char *const *paths, size_t n, int (*change)(int place),
			  struct why *why)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int place = place_open(paths[i]);
		int r;

		if (place == -ENOENT)
			continue;
		r = place < 0 ? place : change(place);
		if (r < 0)
			return why_set(why, r, "cannot protect %s from the sandbox: %s", paths[i],
				       strerror(-r));
	}
	return 0;
}

int view_build(const struct init_setup *s, struct why *why)
{
	_cleanup_etcfiles_ struct etcfiles etc = { .mounts = { -EBADF, -EBADF, -EBADF } };
	_cleanup_allowed_ struct allowed allowed = ALLOWED_INIT;
	int r = make_private(why);

	/* Before what links lead through is replaced. */
	if (r == 0)
		r = etcfiles_prepare(s, &etc, why);
	if (r == 0)
		r = allowed_open(s->allow, &allowed, why);
	if (r == 0)
		r = build_proc(why);
	if (r == 0)
		r = build_sys(s->private_network, why);
	if (r == 0)
		r = rundir_build(s, &allowed, why);
	if (r == 0)
		r = devdir_build(s->private_dev, &allowed, why);
	if (r == 0)
		r = hide_kernel_mounts(why);
	if (r == 0)
		r = restrict_paths(readonly, ARRAY_SIZE(readonly), mount_readonly, why);
	if (r == 0)
		r = restrict_paths(hidden, ARRAY_SIZE(hidden), mount_hide, why);
	if (r == 0)
		r = etcfiles_place(&etc, why);
	if (r == 0)
		r = hide_sockets(s->mask, &allowed, s->cwd, why);
	return r < 0 ? r : allowed_check(&allowed, why);
}
