/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log's file. */
#include "supervisor/audit_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "supervisor/files.h"

/* O_NONBLOCK: opening a FIFO without a reader must fail, not wait. */
#define OPEN_FLAGS (O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK)

static int fail(const char *path, int err, const char *reason, struct why *why)
{
	return why_set(why, err,
		       "cannot write the audit log %s: %s; choose another with --audit-log FILE",
		       path, reason);
}

/* Made for root and the administrators' group; an existing one is left as it is. */
static void make_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	if (slash && slash != path &&
	    snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path) < (int)sizeof(dir))
		(void)mkdir(dir, 0750);
}

int audit_file_open(const char *path, struct why *why)
{
	_cleanup_close_ int fd = open(path, OPEN_FLAGS, 0600);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		make_directory(path);
		fd = open(path, OPEN_FLAGS, 0600);
	}
	if (fd < 0)
		return fail(path, -errno,
			    errno == ELOOP ? "it is a symbolic link" : strerror(errno), why);
	if (fstat(fd, &st) < 0)
		return fail(path, -errno, strerror(errno), why);
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return fail(path, -EINVAL, "it is not a file", why);
	if (fcntl(fd, F_SETFL, O_APPEND) < 0)
		return fail(path, -errno, strerror(errno), why);
	return take_fd(&fd);
}
