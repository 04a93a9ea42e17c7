/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/net/unix, one socket a line:
 *
 *	Num       RefCount Protocol Flags    Type St Inode Path
 *	0000…: 00000002 00000000 00010000 0001 01 12345 /run/dbus/system_bus_socket
 *
 * The path is the rest of the line and may hold blanks. "@…" is an abstract name: those belong to
 * the network namespace, of which the sandbox has its own. Connected sockets of a server repeat its
 * path.
 */
#include "supervisor/sockets_outside.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "supervisor/files.h"

#define TEXT_MAX ((size_t)8 << 20)
#define FIELDS	 7 /* before the path */

/* The path of a line of n characters, or an empty view. */
static struct str path_of(const char *line, size_t n)
{
	struct str s = { line, n };

	for (int i = 0; i < FIELDS; i++) {
		while (s.n && *s.p != ' ')
			s.p++, s.n--;
		while (s.n && *s.p == ' ')
			s.p++, s.n--;
	}
	return s;
}

static bool is_listed(const char *const *list, size_t n, struct str path)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(str_of(list[i]), path))
			return true;
	return false;
}

int sockets_outside_parse(const char *text, bool (*exists)(const char *path), struct arena *arena,
			  const char *const **ret)
{
	const char **list = arena_alloc(arena, (SOCKETS_OUTSIDE_MAX + 1) * sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	while (*text) {
		size_t len = strcspn(text, "\n");
		struct str path = path_of(text, len);
		char *copy;

		text += len + (text[len] == '\n' ? 1 : 0);
		if (path.n == 0 || path.p[0] != '/' || is_listed(list, n, path))
			continue;
		copy = arena_strndup(arena, path.p, path.n);
		if (!copy)
			return -ENOMEM;
		if (!exists(copy))
			continue;
		if (n == SOCKETS_OUTSIDE_MAX)
			return -E2BIG;
		list[n++] = copy;
	}
	*ret = list;
	return 0;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

int sockets_outside(struct arena *arena, const char *const **ret, struct why *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT(TEXT_MAX);
	int r = file_read(AT_FDCWD, "/proc/net/unix", &b);

	if (r == 0)
		r = sockets_outside_parse((const char *)buf_data(&b), is_socket, arena, ret);
	if (r == -E2BIG)
		return why_set(
			why, r,
			"more than %d unix sockets of other programs would have to be hidden from "
			"COMMAND: end what is not needed",
			SOCKETS_OUTSIDE_MAX);
	if (r < 0)
		return why_set(why, r, "cannot find the unix sockets to hide (/proc/net/unix): %s",
			       strerror(-r));
	return 0;
}
