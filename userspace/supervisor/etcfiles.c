/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are bound over files of /etc.
 *
 * They live on a tmpfs of their own that is attached nowhere: each file is a mount of its own, made
 * from it while it was attached for a moment, which keeps the tmpfs alive.
 */
#include "supervisor/etcfiles.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/files.h"
#include "supervisor/mounts.h"

#define FILE_MAX (256 * 1024)

static const char *const etc_paths[ETC_COUNT] = { "/etc/resolv.conf", "/etc/hosts",
						  "/etc/nsswitch.conf" };

/* "hosts:" with any blanks before it. */
static bool is_hosts_line(struct str line)
{
	size_t i = 0;

	while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
		i++;
	return line.n - i >= 6 && memcmp(line.p + i, "hosts:", 6) == 0;
}

int nsswitch_rewrite(struct str text, struct buf *ret)
{
	int r = 0;

	while (r == 0 && text.n) {
		const char *nl = memchr(text.p, '\n', text.n);
		struct str line = { text.p, nl ? (size_t)(nl - text.p) : text.n };
		size_t step = line.n + (nl ? 1 : 0);

		if (!is_hosts_line(line)) {
			r = buf_append_str(ret, line);
			if (r == 0)
				r = buf_append_u8(ret, '\n');
		}
		text.p += step;
		text.n -= step;
	}
	return r < 0 ? r : buf_append_str(ret, STR_LIT("hosts: files dns\n"));
}

/*
 * Where /etc/resolv.conf leads, if that is below /run: the target must be made anew there. A link
 * that dangles now may lead to a file that the outside makes only later, and counts too.
 */
static void find_resolv_target(char ret[ETC_TARGET_MAX])
{
	_cleanup_free_ char *full = realpath(etc_paths[ETC_RESOLV_CONF], NULL);
	char link[ETC_TARGET_MAX];
	const char *to = link;
	ssize_t n;

	ret[0] = '\0';
	if (full) {
		if (path_is_below(full, "/run") && strlen(full) < ETC_TARGET_MAX)
			memcpy(ret, full, strlen(full) + 1);
		return;
	}
	n = readlink(etc_paths[ETC_RESOLV_CONF], link, sizeof(link) - 1);
	if (n <= 0)
		return;
	link[n] = '\0';
	if (strncmp(link, "../run/", 7) == 0)
		to += 2;
	if (strncmp(to, "/run/", 5) == 0 && !strstr(to, "/.."))
		(void)snprintf(ret, ETC_TARGET_MAX, "%s", to);
}

static int read_optional(const char *path, struct buf *ret)
{
	int r = file_read(AT_FDCWD, path, ret);

	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP ? 0 : r;
}

/* The content of one file; empty: it stays as it is. */
static int content_of(int which, const struct init_setup *s, const struct etcfiles *f,
		      struct buf *ret)
{
	_cleanup_buf_ struct buf old = BUF_INIT(FILE_MAX);
	int r;

	if (which == ETC_HOSTS)
		return buf_append_str(ret, str_of(s->hosts));
	if (which == ETC_RESOLV_CONF) {
		if (*s->resolv_conf || !*f->resolv_target)
			return buf_append_str(ret, str_of(s->resolv_conf));
		return read_optional(f->resolv_target, ret);
	}
	r = read_optional(etc_paths[which], &old);
	return r < 0 || !buf_len(&old) ? r : nsswitch_rewrite(buf_str(&old), ret);
}

static int write_content(int fd, struct str s)
{
	while (s.n) {
		ssize_t w = write(fd, s.p, s.n);

		if (w < 0 && errno != EINTR)
			return -errno;
		if (w > 0) {
			s.p += w;
			s.n -= (size_t)w;
		}
	}
	return fchmod(fd, 0644) < 0 ? -errno : 0;
}

/* A file in the directory `dir`, as a detached mount. */
static int make_file(int dir, const char *name, struct str content)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	_cleanup_close_ int place = -EBADF;
	int r;

	if (fd < 0)
		return -errno;
	r = write_content(fd, content);
	if (r < 0)
		return r;
	place = openat(dir, name, O_PATH | O_CLOEXEC);
	if (place < 0)
		return -errno;
	return mount_clone(place, false, MOUNT_PLAIN | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY, 0);
}

static int make_files(int dir, const struct init_setup *s, struct etcfiles *f)
{
	static const char *const names[ETC_COUNT] = { "resolv.conf", "hosts", "nsswitch.conf" };

	for (int i = 0; i < ETC_COUNT; i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(FILE_MAX);
		int r = content_of(i, s, f, &b);

		if (r == 0 && !buf_len(&b) && !(i == ETC_RESOLV_CONF && *f->resolv_target))
			continue;
		if (r == 0)
			r = make_file(dir, names[i], buf_str(&b));
		if (r < 0)
			return r;
		f->mounts[i] = r;
	}
	return 0;
}

/* The tmpfs stands on /proc for a moment: a file of a mount that is attached nowhere cannot be
 * cloned (before 6.15). */
static int make_on_tmpfs(const struct init_setup *s, struct etcfiles *f)
{
	_cleanup_close_ int fs = mount_tmpfs(0755, 0, 0, "4m", MOUNT_PLAIN | MOUNT_ATTR_NOEXEC);
	_cleanup_close_ int place = place_open("/proc");
	int r = fs < 0 ? fs : place < 0 ? place : mount_attach(fs, place);

	if (r < 0)
		return r;
	r = make_files(fs, s, f);
	if (umount2("/proc", MNT_DETACH) < 0 && r == 0)
		r = -errno;
	return r;
}

int etcfiles_prepare(const struct init_setup *s, struct etcfiles *ret, struct why *why)
{
	_cleanup_etcfiles_ struct etcfiles f = { .mounts = { -EBADF, -EBADF, -EBADF } };
	int r;

	find_resolv_target(f.resolv_target);
	r = make_on_tmpfs(s, &f);
	if (r < 0)
		return why_set(why, r,
			       "cannot make the sandbox's own resolv.conf and hosts files: %s",
			       strerror(-r));
	*ret = f;
	for (int i = 0; i < ETC_COUNT; i++)
		f.mounts[i] = -EBADF;
	return 0;
}

/* The file that the link leads to, in the sandbox's own /run. */
static int make_resolv_target(const char *target)
{
	char dir[ETC_TARGET_MAX];
	const char *slash = strrchr(target, '/');
	int fd, r;

	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - target), target);
	r = make_dirs(dir);
	if (r < 0)
		return r;
	fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	r = fchmod(fd, 0644) < 0 ? -errno : 0;
	(void)close(fd);
	return r;
}

int etcfiles_place(const struct etcfiles *f, struct why *why)
{
	for (int i = 0; i < ETC_COUNT; i++) {
		_cleanup_close_ int place = -EBADF;
		int r = 0;

		if (f->mounts[i] < 0)
			continue;
		if (i == ETC_RESOLV_CONF && *f->resolv_target)
			r = make_resolv_target(f->resolv_target);
		if (r == 0) {
			place = place_open(etc_paths[i]);
			/* Nothing there, nothing to bind over: a program then does without. */
			if (place == -ENOENT)
				continue;
			r = place < 0 ? place : mount_attach(f->mounts[i], place);
		}
		if (r < 0)
			return why_set(why, r, "cannot put the sandbox's own file over %s: %s",
				       etc_paths[i], strerror(-r));
	}
	return 0;
}

void etcfiles_done(struct etcfiles *f)
{
	for (int i = 0; i < ETC_COUNT; i++)
		fd_close(&f->mounts[i]);
}
