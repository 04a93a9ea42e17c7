/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files of the kernel and of our state directory: read whole, written whole. And waiting with
 * a time limit.
 */
#ifndef NONO_SUPERVISOR_FILES_H
#define NONO_SUPERVISOR_FILES_H

#include <unistd.h>

#include "base/buf.h"

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
#define _cleanup_close_ _cleanup_(cleanup_close)

/* Closes a descriptor that may be none, and forgets it. */
void fd_close(int *fd);

/*
 * Appends the whole file to `ret`, up to its maximum, and a NUL that does not count. `dir` as in
 * openat(). 0, -errno, -ENOSPC when the file is longer.
 */
_must_check_ int file_read(int dir, const char *path, struct buf *ret);

/* One write() of the text into a file that exists. */
_must_check_ int file_write(int dir, const char *path, const char *text);

/* A new file, mode 0600, with this text. */
_must_check_ int file_create(int dir, const char *path, const char *text);

/* Waits until `fd` has one of `events`. 1, 0 when the time is over, -errno. */
_must_check_ int fd_wait(int fd, short events, int timeout_ms);

/* A clock for time limits: milliseconds that only go up. */
int64_t now_ms(void);

/* What is left until `deadline`, as poll() wants it: never negative. */
int ms_left(int64_t deadline);

#endif
