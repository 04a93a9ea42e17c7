/* SPDX-License-Identifier: Apache-2.0 */
/* Small files and waiting. */
#include "supervisor/files.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <time.h>

void fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -EBADF;
}

int file_read(int dir, const char *path, struct buf *ret)
{
	_cleanup_close_ int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (;;) {
		/* Also room for the NUL, so that the content can be used as a string. */
		uint8_t *p = buf_reserve(ret, 4097);
		ssize_t n;

		if (!p)
			return -ENOSPC;
		n = read(fd, p, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p[n] = '\0';
		if (n == 0)
			return 0;
		buf_commit(ret, (size_t)n);
	}
}

static int write_once(int fd, const char *text)
{
	size_t n = strlen(text);
	ssize_t w;

	do
		w = write(fd, text, n);
	while (w < 0 && errno == EINTR);
	if (w < 0)
		return -errno;
	return (size_t)w == n ? 0 : -EIO;
}

int file_write(int dir, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : write_once(fd, text);
}

int file_create(int dir, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(dir, path,
					O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : write_once(fd, text);
}

int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int ms_left(int64_t deadline)
{
	int64_t left = deadline - now_ms();

	return left < 0 ? 0 : (int)MIN(left, (int64_t)INT_MAX);
}

int fd_wait(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		int r = poll(&p, 1, ms_left(deadline));

		if (r >= 0)
			return r;
		if (errno != EINTR)
			return -errno;
	}
}
