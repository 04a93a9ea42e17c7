/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory, and clearing what a killed supervisor left.
 *
 * An entry whose lock can be taken has no supervisor. Its cgroup is emptied first, and only then
 * are the pins removed: as long as anything runs in the cgroup, the programs stay.
 */
#include "supervisor/remains.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "io/log.h"
#include "redirect/redirect.h"
#include "supervisor/files.h"

#define LOCK_LIMIT_MS  15000 /* longer than one sweep takes */
#define LOCK_PAUSE_NS  (20 * 1000 * 1000)
#define EMPTY_LIMIT_MS 5000

/* systemd's range for users that exist only while something runs. */
#define UID_FIRST 61184
#define UID_LAST  65519

static bool is_id(const char *name)
{
	return strlen(name) == STATE_ID_N && strspn(name, "0123456789abcdef") == STATE_ID_N;
}

/* ---- the text of an entry ---- */

int state_info_text(const struct state_info *info, struct buf *out)
{
	return buf_printf(out, "cgroup=%s\npins=%s\nuid=%u\n", info->cgroup, info->pins, info->uid);
}

static bool get_line(const char **text, const char *key, char *ret, size_t n)
{
	size_t k = strlen(key), len = strcspn(*text, "\n");

	if (len < k || strncmp(*text, key, k) != 0 || (*text)[len] != '\n' || len - k >= n)
		return false;
	memcpy(ret, *text + k, len - k);
	ret[len - k] = '\0';
	*text += len + 1;
	return true;
}

/* An absolute path that ends in "/nono-proxy/ID" and goes nowhere else. */
static bool is_place_of(const char *path, const char *id)
{
	char tail[64];
	size_t n = strlen(path);
	int t = snprintf(tail, sizeof(tail), "/nono-proxy/%s", id);

	return path[0] == '/' && t > 0 && n > (size_t)t &&
	       strcmp(path + n - (size_t)t, tail) == 0 && !strstr(path, "/../");
}

bool state_info_parse(const char *text, const char *id, struct state_info *ret)
{
	char uid[16], *end;
	unsigned long v;

	if (!get_line(&text, "cgroup=", ret->cgroup, sizeof(ret->cgroup)) ||
	    !get_line(&text, "pins=", ret->pins, sizeof(ret->pins)) ||
	    !get_line(&text, "uid=", uid, sizeof(uid)) || *text)
		return false;
	v = strtoul(uid, &end, 10);
	if (end == uid || *end || v > UINT32_MAX)
		return false;
	ret->uid = (uint32_t)v;
	return is_place_of(ret->cgroup, id) && is_place_of(ret->pins, id);
}

static bool read_info(int entry, const char *id, struct state_info *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4 * 4097);

	return file_read(entry, "info", &b) == 0 &&
	       state_info_parse((const char *)buf_data(&b), id, ret);
}

/* ---- locks ---- */

/* flock() that gives up: whoever holds it is another one of us, and none of us needs long. */
static int lock_within(int fd, int limit_ms)
{
	int64_t deadline = now_ms() + limit_ms;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (ms_left(deadline) == 0)
			return -ETIMEDOUT;
		(void)nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_NS }, NULL);
	}
	return 0;
}

static bool is_still(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* The last sandbox removes the directory: having locked it, look whether it is still the one of
 * that name. */
static int open_root(const char *path, int *ret, struct why *why)
{
	for (int i = 0; i < 10; i++) {
		_cleanup_close_ int fd = -EBADF;
		struct stat st;
		int r;

		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return why_set(why, -errno, "cannot make the state directory %s: %s", path,
				       strerror(errno));
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fstat(fd, &st) < 0)
			return why_set(why, -errno, "cannot open the state directory %s: %s", path,
				       strerror(errno));
		if (st.st_uid != geteuid() || (st.st_mode & 022))
			return why_set(
				why, -EPERM,
				"the state directory %s belongs to somebody else or is writable by "
				"others: remove it",
				path);
		r = lock_within(fd, LOCK_LIMIT_MS);
		if (r < 0)
			return why_set(why, r, "cannot lock the state directory %s: %s", path,
				       strerror(-r));
		if (is_still(fd, path)) {
			*ret = take_fd(&fd);
			return 0;
		}
	}
	return why_set(why, -EBUSY, "the state directory %s does not stay: try again", path);
}

/* ---- sweeping ---- */

/* 0 when nothing of it is left. */
static int clear_remains(const struct state_info *info)
{
	struct cgroup c = CGROUP_INIT;
	int r = cgroup_open(info->cgroup, &c);

	if (r < 0 && access(info->cgroup, F_OK) == 0)
		return r;
	if (r == 0)
		r = cgroup_kill(&c);
	else
		r = 0; /* it never was, or is gone already */
	if (r == 0 && c.fd >= 0)
		r = cgroup_wait_empty(&c, EMPTY_LIMIT_MS);
	cgroup_close(&c);
	if (r < 0)
		return r;
	redirect_unpin(info->pins);
	return cgroup_remove(info->cgroup);
}

static void remove_entry(int root, int entry, const char *id)
{
	(void)unlinkat(entry, "info", 0);
	(void)unlinkat(entry, "lock", 0);
	(void)unlinkat(root, id, AT_REMOVEDIR);
}

static void sweep_entry(int root, const char *id)
{
	_cleanup_close_ int entry = openat(root, id,
					   O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_close_ int lock = openat(entry, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct state_info info;
	int r;

	if (entry < 0 || (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0))
		return;
	/* Without a readable note nothing had been made yet: it is written first. */
	r = read_info(entry, id, &info) ? clear_remains(&info) : 0;
	if (r < 0)
		log_warn("cannot clear what an earlier sandbox left in %s: %s", info.cgroup,
			 strerror(-r));
	else
		remove_entry(root, entry, id);
}

static bool is_any_entry(const char *name)
{
	return is_id(name) || strncmp(name, STATE_ATTACHED, strlen(STATE_ATTACHED)) == 0;
}

/* Calls `fn` for each entry whose name is one of those; stops when it returns false. */
static void each_entry(int root, bool (*is_entry)(const char *name),
		       bool (*fn)(void *arg, int root, const char *name), void *arg)
{
	int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir) {
		fd_close(&fd);
		return;
	}
	while ((e = readdir(dir)))
		if (is_entry(e->d_name) && !fn(arg, root, e->d_name))
			break;
	(void)closedir(dir);
}

static bool sweep_each(_unused_ void *arg, int root, const char *id)
{
	sweep_entry(root, id);
	return true;
}

/* ---- an entry of our own ---- */

static int make_entry(struct state *s, struct why *why)
{
	uint8_t random[STATE_ID_N / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return why_set(why, -EIO, "no random numbers");
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(s->id + 2 * i, 3, "%02x", random[i]);
	if (mkdirat(s->root, s->id, 0700) < 0) {
		s->id[0] = '\0'; /* not ours, then */
		goto fail;
	}
	s->entry = openat(s->root, s->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->entry < 0)
		goto fail;
	s->lock = openat(s->entry, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB) < 0)
		goto fail;
	return 0;
fail:
	return why_set(why, -errno, "cannot use the state directory %s: %s", s->root_path,
		       strerror(errno));
}

int state_begin(const char *root_path, struct state *ret, struct why *why)
{
	struct state s = STATE_INIT;
	int r;

	(void)snprintf(s.root_path, sizeof(s.root_path), "%s", root_path);
	r = open_root(root_path, &s.root, why);
	if (r < 0)
		return r;
	each_entry(s.root, is_id, sweep_each, NULL);
	r = make_entry(&s, why);
	if (r < 0) {
		state_remove(&s);
		return r;
	}
	*ret = s;
	return 0;
}

struct uid_search {
	uint32_t uid;
	bool used;
};

/* The line "uid=N", which entries of both kinds have. */
static bool uid_each(void *arg, int root, const char *name)
{
	struct uid_search *search = arg;
	_cleanup_close_ int entry = openat(root, name,
					   O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_buf_ struct buf b = BUF_INIT(8 * 4097);
	const char *at;

	if (entry < 0 || file_read(entry, "info", &b) < 0)
		return true;
	at = strstr((const char *)buf_data(&b), "\nuid=");
	search->used = at && strtoul(at + 5, NULL, 10) == search->uid;
	return !search->used;
}

bool state_uid_is_used(const struct state *s, uint32_t uid)
{
	struct uid_search search = { .uid = uid };

	each_entry(s->root, is_any_entry, uid_each, &search);
	return search.used;
}

int state_choose_uid(const struct state *s, uint32_t *ret, struct why *why)
{
	uint32_t span = UID_LAST - UID_FIRST + 1, start;

	if (getrandom(&start, sizeof(start), 0) != (ssize_t)sizeof(start))
		return why_set(why, -EIO, "no random numbers");
	for (uint32_t i = 0; i < span; i++) {
		uint32_t uid = UID_FIRST + (start % span + i) % span;

		if (state_uid_is_used(s, uid) || getpwuid(uid) || getgrgid(uid))
			continue;
		*ret = uid;
		return 0;
	}
	return why_set(why, -EBUSY, "no user id between %d and %d is free for the proxy", UID_FIRST,
		       UID_LAST);
}

int state_record(const struct state *s, const struct state_info *info, struct why *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4 * 4096);
	int r = state_info_text(info, &b);

	if (r == 0)
		r = buf_append_u8(&b, 0);
	if (r == 0)
		r = file_create(s->entry, "info", (const char *)buf_data(&b));
	if (r < 0)
		return why_set(why, r, "cannot write %s/%s/info: %s", s->root_path, s->id,
			       strerror(-r));
	return 0;
}

void state_settle(struct state *s)
{
	if (s->root >= 0)
		(void)flock(s->root, LOCK_UN);
}

static bool any_each(void *arg, _unused_ int root, _unused_ const char *id)
{
	*(bool *)arg = true;
	return false;
}

/* Locked: are there others? If not, everything shared goes. */
static void leave_if_last(int root, const char *root_path)
{
	bool others = false;

	each_entry(root, is_any_entry, any_each, &others);
	if (others)
		return;
	bpffs_leave(root);
	(void)rmdir(root_path);
}

void state_remove(struct state *s)
{
	/* Not to be had in time: the entry stays and is swept by the next one. */
	if (s->root >= 0 && lock_within(s->root, LOCK_LIMIT_MS) == 0) {
		if (s->id[0])
			remove_entry(s->root, s->entry, s->id);
		leave_if_last(s->root, s->root_path);
	}
	state_abandon(s);
}

int state_root_open(const char *root_path, struct why *why)
{
	int fd, r = open_root(root_path, &fd, why);

	return r < 0 ? r : fd;
}

int state_root_lock(int root)
{
	return lock_within(root, LOCK_LIMIT_MS);
}

void state_root_leave(int *root, const char *root_path)
{
	if (*root >= 0 && lock_within(*root, LOCK_LIMIT_MS) == 0)
		leave_if_last(*root, root_path);
	fd_close(root);
}

void state_abandon(struct state *s)
{
	fd_close(&s->entry);
	fd_close(&s->lock);
	fd_close(&s->root);
	s->id[0] = '\0';
}
