/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries for cgroups that stay closed. A new `info` replaces the old one at once, so that whoever reads it after a crash reads
 * one or the other.
 */
#include "supervisor/attached.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "supervisor/files.h"

/* ---- the text ---- */

int attached_info_text(const struct attached_info *i, struct buf *out)
{
	return buf_printf(
		out,
		"path=%s\npins=%s\nuid=%u\nsession=%s\ngaps=%s\nunix=%d\nport=%u\ntoken=%s\npid=%d\n"
		"start=%" PRIu64 "\n",
		i->path, i->pins, i->uid, i->session, i->gaps, i->unix_sockets, i->port, i->token, (int)i->pid,
		i->start);
}

static bool get_text(const char **text, const char *key, char *ret, size_t n)
{
	size_t k = strlen(key), len = strcspn(*text, "\n");

	if (len < k || strncmp(*text, key, k) != 0 || (*text)[len] != '\n' || len - k >= n)
		return false;
	memcpy(ret, *text + k, len - k);
	ret[len - k] = '\0';
	*text += len + 1;
	return true;
}

static bool get_number(const char **text, const char *key, uint64_t max, uint64_t *ret)
{
	char word[24], *end;

	if (!get_text(text, key, word, sizeof(word)) || word[0] < '0' || word[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(word, &end, 10);
	return !*end && !errno && *ret <= max;
}

/* One of an earlier version does not say. */
static bool get_unix(const char **text, uint64_t *ret)
{
	*ret = 0;
	return strncmp(*text, "unix=", 5) != 0 || get_number(text, "unix=", 1, ret);
}

/* Everything in this directory is going to be removed one day: ".../nono-proxy/cgroup-N", and nothing else. */
static bool is_place_of_pins(const char *path)
{
	static const char tail[] = "/" PIN_PARENT "/" STATE_ATTACHED;
	const char *at = strstr(path, tail), *number = at ? at + sizeof(tail) - 1 : NULL;

	return path[0] == '/' && number && *number && !number[strspn(number, "0123456789")] &&
	       !strstr(path, "/../");
}

bool attached_info_parse(const char *text, struct attached_info *ret)
{
	struct attached_info i = { 0 };
	uint64_t uid, unix_sockets, port, pid;

	if (!get_text(&text, "path=", i.path, sizeof(i.path)) ||
	    !get_text(&text, "pins=", i.pins, sizeof(i.pins)) ||
	    !get_number(&text, "uid=", UINT32_MAX, &uid) ||
	    !get_text(&text, "session=", i.session, sizeof(i.session)) ||
	    !get_text(&text, "gaps=", i.gaps, sizeof(i.gaps)) ||
	    !get_unix(&text, &unix_sockets) || !get_number(&text, "port=", UINT16_MAX, &port) ||
	    !get_text(&text, "token=", i.token, sizeof(i.token)) ||
	    !get_number(&text, "pid=", INT32_MAX, &pid) ||
	    !get_number(&text, "start=", UINT64_MAX, &i.start) || *text)
		return false;
	if (!is_place_of_pins(i.pins))
		return false;
	if (!token_is_valid(str_of(i.token)))
		return false;
	i.uid = (uint32_t)uid;
	i.unix_sockets = unix_sockets == 1;
	i.port = (uint32_t)port;
	i.pid = (pid_t)pid;
	*ret = i;
	return true;
}

int attached_read(const struct attached *a, struct attached_info *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT(8 * 4097);
	int r = file_read(a->entry, "info", &b);

	if (r < 0)
		return r;
	return attached_info_parse((const char *)buf_data(&b), ret) ? 0 : -EBADMSG;
}

int attached_record(const struct attached *a, const struct attached_info *info, struct why *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT(8 * 4096);
	int r = attached_info_text(info, &b);

	(void)unlinkat(a->entry, "info.new", 0);
	if (r == 0)
		r = buf_append_u8(&b, 0);
	if (r == 0)
		r = file_create(a->entry, "info.new", (const char *)buf_data(&b));
	if (r == 0 && renameat(a->entry, "info.new", a->entry, "info") < 0)
		r = -errno;
	return r < 0 ? why_set(why, r, "cannot write %s/%s/info: %s", a->root_path, a->name,
			       strerror(-r))
		     : 0;
}

/* ---- processes ---- */

uint64_t process_start(pid_t pid)
{
	_cleanup_buf_ struct buf b = BUF_INIT(2 * 4097);
	char path[32];
	const char *p;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(AT_FDCWD, path, &b) < 0)
		return 0;
	/* Field 22; the second one, the name, is in parentheses and may hold anything. */
	p = strrchr((const char *)buf_data(&b), ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p ? strtoull(p, NULL, 10) : 0;
}

/* ---- entries ---- */

static int open_entry(struct attached *a)
{
	if (mkdirat(a->root, a->name, 0700) < 0 && errno != EEXIST)
		return -errno;
	a->entry = openat(a->root, a->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (a->entry < 0)
		return -errno;
	a->lock = openat(a->entry, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return a->lock < 0 ? -errno : 0;
}

static int held_by_another(const struct attached *a, struct why *why)
{
	struct attached_info info;

	if (attached_read(a, &info) == 0)
		return why_set(why, -EBUSY,
			       "another nono-proxy (process %d) is attached to this cgroup already",
			       (int)info.pid);
	return why_set(why, -EBUSY, "another nono-proxy is just attaching to this cgroup");
}

int attached_begin(const char *root_path, uint64_t id, struct attached *ret, struct why *why)
{
	struct attached a = ATTACHED_INIT;
	int r;

	(void)snprintf(a.root_path, sizeof(a.root_path), "%s", root_path);
	(void)snprintf(a.name, sizeof(a.name), STATE_ATTACHED "%" PRIu64, id);
	a.root = state_root_open(root_path, why);
	if (a.root < 0)
		return a.root;
	r = open_entry(&a);
	if (r < 0)
		(void)why_set(why, r, "cannot use the state directory %s/%s: %s", root_path, a.name,
			      strerror(-r));
	else if (flock(a.lock, LOCK_EX | LOCK_NB) < 0)
		r = held_by_another(&a, why);
	if (r < 0) {
		attached_abandon(&a);
		return r;
	}
	*ret = a;
	return 0;
}

void attached_settle(struct attached *a)
{
	if (a->root >= 0)
		(void)flock(a->root, LOCK_UN);
}

void attached_note_frozen(const struct attached *a, bool frozen)
{
	if (frozen)
		(void)!file_create(a->entry, "frozen", "");
	else
		(void)unlinkat(a->entry, "frozen", 0);
}

bool attached_was_frozen(const struct attached *a)
{
	return faccessat(a->entry, "frozen", F_OK, 0) == 0;
}

int attached_open_bindings(const struct attached *a)
{
	int fd = openat(a->entry, "bindings", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
			0600);

	return fd < 0 ? -errno : fd;
}

void attached_remove(struct attached *a)
{
	static const char *const files[] = { "bindings", "frozen", "info.new", "info", "lock" };

	if (a->root < 0 || a->entry < 0)
		return;
	/* Nobody may find half of it, take it for his own and fill it. */
	if (state_root_lock(a->root) < 0) {
		attached_abandon(a);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)unlinkat(a->entry, files[i], 0);
	(void)unlinkat(a->root, a->name, AT_REMOVEDIR);
	fd_close(&a->entry);
	fd_close(&a->lock);
	state_root_leave(&a->root, a->root_path);
}

void attached_abandon(struct attached *a)
{
	fd_close(&a->entry);
	fd_close(&a->lock);
	fd_close(&a->root);
}

static void visit(const char *root_path, int root, const char *name,
		  void (*fn)(void *arg, struct attached *a, bool alive), void *arg)
{
	struct attached a = ATTACHED_INIT;
	bool alive;

	(void)snprintf(a.root_path, sizeof(a.root_path), "%s", root_path);
	(void)snprintf(a.name, sizeof(a.name), "%s", name);
	a.root = dup(root);
	if (a.root < 0 || open_entry(&a) < 0) {
		attached_abandon(&a);
		return;
	}
	alive = flock(a.lock, LOCK_EX | LOCK_NB) < 0;
	fn(arg, &a, alive);
	attached_abandon(&a);
}

int attached_each(const char *root_path, void (*fn)(void *arg, struct attached *a, bool alive),
		  void *arg, struct why *why)
{
	_cleanup_close_ int root = -EBADF;
	struct dirent *e;
	DIR *dir;

	if (access(root_path, F_OK) < 0 && errno == ENOENT)
		return 0;
	root = state_root_open(root_path, why);
	if (root < 0)
		return root;
	dir = opendir(root_path);
	if (!dir)
		return why_set(why, -errno, "cannot read the state directory %s: %s", root_path,
			       strerror(errno));
	while ((e = readdir(dir)))
		if (strncmp(e->d_name, STATE_ATTACHED, strlen(STATE_ATTACHED)) == 0 &&
		    strlen(e->d_name) < ATTACHED_NAME_MAX)
			visit(root_path, root, e->d_name, fn, arg);
	(void)closedir(dir);
	return 0;
}

/* One entry that is looked for. */
struct search {
	uint64_t id;
	struct attached_info *info;
	bool found, alive;
};

static void look(void *arg, struct attached *a, bool alive)
{
	struct search *s = arg;

	if (s->found || strtoull(a->name + strlen(STATE_ATTACHED), NULL, 10) != s->id)
		return;
	s->found = attached_read(a, s->info) == 0;
	s->alive = alive;
}

int attached_find(const char *root_path, uint64_t id, struct attached_info *ret, bool *ret_alive,
		  struct why *why)
{
	struct search s = { .id = id, .info = ret };
	int r = attached_each(root_path, look, &s, why);

	if (r == 0 && !s.found)
		r = why_set(why, -ENOENT, "this cgroup is not attached");
	if (r == 0)
		*ret_alive = s.alive;
	return r;
}
