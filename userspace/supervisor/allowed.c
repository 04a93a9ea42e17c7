/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket is held by a detached mount of it. Its place is the path without links on the way, for
 * that is what stands in the new directories; a link in a directory that is replaced has a place of
 * its own.
 */
#include "supervisor/allowed.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/mounts.h"

struct allowed_socket {
	char place[PATH_MAX];
	struct stat st, dir; /* of the socket, and of the directory of the place */
	int mount;	     /* detached; -EBADF once it has been put somewhere */
};

/* The last component of an absolute path, which is in the text. */
static const char *last_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* The directory of an absolute path. False if it does not fit. */
static bool parent_of(const char *path, char ret[PATH_MAX])
{
	size_t n = (size_t)(last_of(path) - path);

	if (n >= PATH_MAX)
		return false;
	memcpy(ret, path, n);
	ret[n] = '\0';
	return true;
}

static int add(struct allowed *a, const char *place, int socket, const struct stat *st)
{
	struct allowed_socket *s = &a->items[a->n];
	char parent[PATH_MAX];

	if (strlen(place) >= sizeof(s->place) || !parent_of(place, parent))
		return -ENAMETOOLONG;
	if (stat(parent, &s->dir) < 0)
		return -errno;
	s->mount = mount_clone(socket, false, 0, 0);
	if (s->mount < 0)
		return s->mount;
	memcpy(s->place, place, strlen(place) + 1);
	s->st = *st;
	a->n++;
	return 0;
}

/* Where the path is if only its last component is taken as it stands. */
static int place_as_asked(const char *path, char **ret)
{
	_cleanup_free_ char *real = NULL;
	const char *name = last_of(path);
	char parent[PATH_MAX];

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	if (!parent_of(path, parent))
		return -ENAMETOOLONG;
	real = realpath(parent, NULL);
	if (!real)
		return -errno;
	return asprintf(ret, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0 ? -ENOMEM : 0;
}

static int open_one(struct allowed *a, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS };
	_cleanup_free_ char *real = NULL, *asked = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r;

	if (path[0] != '/')
		return -EINVAL;
	real = realpath(path, NULL);
	if (!real)
		return -errno;
	fd = (int)syscall(SYS_openat2, AT_FDCWD, real, &how, sizeof(how));
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	r = place_as_asked(path, &asked);
	if (r == 0)
		r = add(a, real, fd, &st);
	if (r == 0 && strcmp(asked, real) != 0)
		r = add(a, asked, fd, &st);
	return r;
}

int allowed_open(const char *const *paths, struct allowed *ret, struct why *why)
{
	size_t n = 0;

	*ret = (struct allowed)ALLOWED_INIT;
	while (paths && paths[n])
		n++;
	if (n == 0)
		return 0;
	if (n > ALLOWED_MAX)
		return why_set(why, -E2BIG, "more than %d outside sockets are allowed",
			       ALLOWED_MAX);
	ret->items = calloc(2 * n, sizeof(*ret->items));
	if (!ret->items)
		return why_set(why, -ENOMEM, "out of memory");
	for (; *paths; paths++) {
		int r = open_one(ret, *paths);

		if (r < 0)
			return why_set(why, r, "cannot let COMMAND use the socket %s: %s", *paths,
				       strerror(-r));
	}
	return 0;
}

void allowed_close(struct allowed *a)
{
	for (size_t i = 0; i < a->n; i++)
		fd_close(&a->items[i].mount);
	free(take_ptr(a->items));
	a->n = 0;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool allowed_has(const struct allowed *a, const struct stat *st)
{
	for (size_t i = 0; i < a->n; i++)
		if (is_same(&a->items[i].st, st))
			return true;
	return false;
}

/* Makes something to mount on, and mounts. The name is one in `dir`, or a path. */
static int put(struct allowed_socket *s, int dir, const char *name)
{
	_cleanup_close_ int place = -EBADF;
	int r;

	if (mknodat(dir, name, S_IFREG | 0444, 0) < 0 && errno != EEXIST)
		return -errno;
	place = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (place < 0)
		return -errno;
	r = mount_attach(s->mount, place);
	fd_close(&s->mount);
	return r;
}

int allowed_put_below(struct allowed *a, const char *dir, const char *but)
{
	for (size_t i = 0; i < a->n; i++) {
		struct allowed_socket *s = &a->items[i];
		char parent[PATH_MAX];
		int r;

		if (s->mount < 0 || !path_is_below(s->place, dir) ||
		    (but && path_is_below(s->place, but)))
			continue;
		if (!parent_of(s->place, parent))
			return -ENAMETOOLONG;
		r = make_dirs(parent);
		if (r == 0)
			r = put(s, AT_FDCWD, s->place);
		if (r < 0)
			return r;
	}
	return 0;
}

int allowed_put_into(struct allowed *a, const struct stat *old, int mount)
{
	for (size_t i = 0; i < a->n; i++) {
		struct allowed_socket *s = &a->items[i];
		int r;

		if (s->mount < 0 || !is_same(&s->dir, old))
			continue;
		r = put(s, mount, last_of(s->place));
		if (r < 0)
			return r;
	}
	return 0;
}

int allowed_check(const struct allowed *a, struct why *why)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct allowed_socket *s = &a->items[i];
		struct stat st;

		if (stat(s->place, &st) == 0 && is_same(&st, &s->st))
			continue;
		return why_set(why, -ENOENT,
			       "cannot let COMMAND use the socket %s: the sandbox has something "
			       "else in that place",
			       s->place);
	}
	return 0;
}
