/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/self/mountinfo, one mount a line:
 *
 *	36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw
 *	            (4)   (5)         (6)        (7)*      - (9)
 *
 * Blanks and backslashes in paths are written as octal escapes.
 */
#include "supervisor/mountinfo.h"

#include <fcntl.h>
#include <string.h>

#include "supervisor/files.h"

#define MOUNTINFO_MAX ((size_t)4 << 20)

static struct str next_field(struct str *line)
{
	const char *blank = memchr(line->p, ' ', line->n);
	struct str f = { line->p, blank ? (size_t)(blank - line->p) : line->n };
	size_t skip = f.n + (blank ? 1 : 0);

	line->p += skip;
	line->n -= skip;
	return f;
}

static bool is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' &&
	       p[2] <= '7';
}

/* "/.." and "/../x": a cgroup outside of our cgroup namespace. */
static bool is_outside(const char *root)
{
	return strncmp(root, "/..", 3) == 0 && (root[3] == '\0' || root[3] == '/');
}

/* False for an empty path and for one that does not fit. */
static bool unescape(struct str s, char out[MOUNT_PATH_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '\\' && s.n - i > 3 && is_octal(s.p + i + 1)) {
			c = (char)((s.p[i + 1] - '0') << 6 | (s.p[i + 2] - '0') << 3 |
				   (s.p[i + 3] - '0'));
			i += 3;
		}
		if (n + 1 >= MOUNT_PATH_MAX)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return n > 0;
}

static bool parse_line(struct str line, const char *type, struct mount_entry *ret)
{
	struct str root, point, f;

	for (int i = 0; i < 3; i++)
		(void)next_field(&line);
	root = next_field(&line);
	point = next_field(&line);
	do
		f = next_field(&line);
	while (f.n && !str_eq(f, STR_LIT("-")));
	if (!f.n || !str_eq(next_field(&line), str_of(type)))
		return false;
	if (!unescape(root, ret->root) || !unescape(point, ret->point))
		return false;
	return ret->root[0] == '/' && ret->point[0] == '/' && !is_outside(ret->root);
}

bool mountinfo_next(const char **at, const char *type, struct mount_entry *ret)
{
	while (**at) {
		size_t n = strcspn(*at, "\n");
		struct str line = { *at, n };

		*at += n + ((*at)[n] == '\n' ? 1 : 0);
		if (parse_line(line, type, ret))
			return true;
	}
	return false;
}

char *mountinfo_read(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT(MOUNTINFO_MAX);

	if (file_read(AT_FDCWD, "/proc/self/mountinfo", &b) < 0)
		return NULL;
	return strndup((const char *)buf_data(&b), buf_len(&b));
}
