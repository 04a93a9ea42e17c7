/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library of Debian 12 does not know the sections of these hooks, so their types are set by
 * number.
 */
#include "redirect/unix.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/redirect.h"
#include "redirect/obstacle.h"
#include "redirect/origin.h"

/* The skeleton's own helpers compare sizes of different signs. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#include "unix.skel.h"
#pragma GCC diagnostic pop

/* enum bpf_attach_type, since 6.7 */
#define ATTACH_UNIX_CONNECT ((enum bpf_attach_type)49)
#define ATTACH_UNIX_SENDMSG ((enum bpf_attach_type)50)

_Static_assert(REDIRECT_UNIX_NAME_MAX == NONO_UNIX_PATH, "the same limit on both sides");
_Static_assert(REDIRECT_UNIX_NAMES_MAX == NONO_UNIX_ALLOWED_MAX, "the same limit on both sides");

#define PROGRAMS REDIRECT_UNIX_HOOKS

const struct redirect_unix_hook redirect_unix_hooks[REDIRECT_UNIX_HOOKS] = {
	{ "connect_unix", ATTACH_UNIX_CONNECT },
	{ "sendmsg_unix", ATTACH_UNIX_SENDMSG },
};

static const char *const pin_names[] = { "link_connect_unix", "link_sendmsg_unix",
					 "map_unix_allowed", "map_unix_cgroup" };

struct redirect_unix {
	struct unix_bpf *skel;
	struct bpf_link *links[PROGRAMS];
	struct bpf_link *trial[PROGRAMS]; /* never pinned */
};

/* The two programs in the order of `links`. */
static struct bpf_program *program(const struct redirect_unix *u, size_t i)
{
	return i == 0 ? u->skel->progs.connect_unix : u->skel->progs.sendmsg_unix;
}

static int set_types(struct redirect_unix *u)
{
	for (size_t i = 0; i < PROGRAMS; i++) {
		int e = bpf_program__set_type(program(u, i), BPF_PROG_TYPE_CGROUP_SOCK_ADDR);

		if (e >= 0)
			e = bpf_program__set_expected_attach_type(
				program(u, i), redirect_unix_hooks[i].attach_type);
		if (e < 0)
			return e;
	}
	return 0;
}

/* Counters and events are the sandbox's, not the object's. */
static int share_maps(struct redirect_unix *u, const struct redirect *r)
{
	struct bpf_map *const maps[] = { u->skel->maps.stats, u->skel->maps.events,
					 u->skel->maps.event_windows };

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		int fd = redirect_map_fd(r, bpf_map__name(maps[i]));
		int e = fd < 0 ? fd : bpf_map__reuse_fd(maps[i], fd);

		if (e < 0)
			return e;
	}
	return 0;
}

static int open_and_load(struct redirect_unix *u, const struct redirect *r, bool with_comm)
{
	int e;

	u->skel = unix_bpf__open();
	if (!u->skel)
		return errno ? -errno : -EIO;
	u->skel->rodata->with_comm = with_comm;
	e = set_types(u);
	if (e >= 0)
		e = share_maps(u, r);
	if (e >= 0)
		e = unix_bpf__load(u->skel);
	if (e < 0) {
		unix_bpf__destroy(u->skel);
		u->skel = NULL;
	}
	return e;
}

int redirect_unix_load(const struct redirect *r, struct redirect_unix **ret, char *why,
		       size_t why_n)
{
	struct redirect_unix *u = calloc(1, sizeof(*u));
	int e;

	if (!u)
		return -ENOMEM;
	obstacle_listen();
	e = open_and_load(u, r, true);
	if (e < 0)
		e = open_and_load(u, r, false);
	if (e < 0) {
		(void)snprintf(why, why_n,
			       "unix sockets cannot be watched over: that needs Linux 6.7 with its "
			       "types (CONFIG_DEBUG_INFO_BTF), and root: %s%s%s",
			       strerror(-e), obstacle_complaint()[0] ? ": " : "",
			       obstacle_complaint());
		free(u);
		return e == -ENOMEM ? e : -EOPNOTSUPP;
	}
	*ret = u;
	return 0;
}

void redirect_unix_free(struct redirect_unix *u)
{
	if (!u)
		return;
	redirect_unix_try_end(u);
	for (size_t i = 0; i < PROGRAMS; i++)
		(void)bpf_link__destroy(u->links[i]);
	unix_bpf__destroy(u->skel);
	free(u);
}

int redirect_unix_allow(struct redirect_unix *u, const char *name)
{
	struct unix_name key = { .n = (uint32_t)strnlen(name, NONO_UNIX_PATH + 1) };
	uint32_t on = 1;

	if ((name[0] != '/' && name[0] != '@') || key.n < 2)
		return -EINVAL;
	if (key.n > NONO_UNIX_PATH)
		return -ENAMETOOLONG;
	memcpy(key.bytes, name, key.n);
	if (name[0] == '@')
		key.bytes[0] = 0;
	return bpf_map_update_elem(bpf_map__fd(u->skel->maps.unix_allowed), &key, &on, BPF_ANY);
}

static int pin_path(char path[static PATH_MAX], const char *dir, const char *prefix,
		    const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s", dir, prefix, name);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static bool link_is_on(const struct bpf_link *link, uint64_t cgroup)
{
	struct bpf_link_info info = { 0 };
	uint32_t n = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &n) == 0 &&
	       info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == cgroup;
}

/* A pinned link of this cgroup gets the program; without one, a new link is made and pinned. */
static int attach_one(struct redirect_unix *u, size_t i, int cgroup_fd, uint64_t cgroup,
		      const char *dir)
{
	struct bpf_program *prog = program(u, i);
	char path[PATH_MAX];
	int e = pin_path(path, dir, "link_", bpf_program__name(prog));

	if (e < 0)
		return e;
	/* Of a try that failed. */
	(void)bpf_link__destroy(take_ptr(u->links[i]));
	if (access(path, F_OK) == 0) {
		u->links[i] = bpf_link__open(path);
		if (!u->links[i])
			return errno ? -errno : -EIO;
		return link_is_on(u->links[i], cgroup) ? bpf_link__update_program(u->links[i], prog)
						       : -ESTALE;
	}
	u->links[i] = bpf_program__attach_cgroup(prog, cgroup_fd);
	if (!u->links[i])
		return errno ? -errno : -EIO;
	return bpf_link__pin(u->links[i], path);
}

/* From here on "its own" is what is in this cgroup. */
static int tell_cgroup(struct redirect_unix *u, int cgroup_fd, uint64_t *ret)
{
	uint32_t zero = 0;
	struct stat st;
	uint64_t cgroup;
	int e;

	if (fstat(cgroup_fd, &st) < 0)
		return -errno;
	cgroup = st.st_ino;
	e = bpf_map_update_elem(bpf_map__fd(u->skel->maps.unix_cgroup), &zero, &cgroup, BPF_ANY);
	*ret = cgroup;
	return e;
}

static void say_attach(int error, char *why, size_t why_n)
{
	(void)snprintf(why, why_n, "cannot attach the programs for unix sockets: %s",
		       strerror(-error));
}

int redirect_unix_try(struct redirect_unix *u, int cgroup_fd, char *why, size_t why_n)
{
	uint64_t cgroup;
	int e = tell_cgroup(u, cgroup_fd, &cgroup);

	for (size_t i = 0; e >= 0 && i < PROGRAMS; i++) {
		u->trial[i] = bpf_program__attach_cgroup(program(u, i), cgroup_fd);
		if (!u->trial[i])
			e = errno ? -errno : -EIO;
	}
	if (e < 0) {
		say_attach(e, why, why_n);
		redirect_unix_try_end(u);
	}
	return e;
}

void redirect_unix_try_end(struct redirect_unix *u)
{
	for (size_t i = 0; i < PROGRAMS; i++)
		(void)bpf_link__destroy(take_ptr(u->trial[i]));
}

/* The map of an earlier object may be pinned there: it goes when its programs do. */
static int pin_map(struct bpf_map *map, const char *dir)
{
	char path[PATH_MAX];
	int e = pin_path(path, dir, "map_", bpf_map__name(map));

	if (e < 0)
		return e;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	return bpf_map__pin(map, path);
}

int redirect_unix_attach(struct redirect_unix *u, int cgroup_fd, const char *pin_dir, char *why,
			 size_t why_n)
{
	uint64_t cgroup;
	int e = tell_cgroup(u, cgroup_fd, &cgroup);

	for (size_t i = 0; e >= 0 && i < PROGRAMS; i++)
		e = attach_one(u, i, cgroup_fd, cgroup, pin_dir);
	if (e >= 0)
		e = pin_map(u->skel->maps.unix_allowed, pin_dir);
	if (e >= 0)
		e = pin_map(u->skel->maps.unix_cgroup, pin_dir);
	if (e < 0)
		say_attach(e, why, why_n);
	return e;
}

static int in_effect(const struct bpf_program *prog, int cgroup_fd)
{
	struct bpf_prog_info info = { 0 };
	uint32_t n = sizeof(info), ids[64], count = ARRAY_SIZE(ids), flags;
	int e = bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &n);

	if (e >= 0)
		e = bpf_prog_query(cgroup_fd, bpf_program__expected_attach_type(prog),
				   BPF_F_QUERY_EFFECTIVE, &flags, ids, &count);
	if (e < 0)
		return e;
	for (uint32_t i = 0; i < count; i++)
		if (ids[i] == info.id)
			return 0;
	return -ESTALE;
}

int redirect_unix_verify(const struct redirect_unix *u, int cgroup_fd, char *why, size_t why_n)
{
	for (size_t i = 0; i < PROGRAMS; i++) {
		int e = in_effect(program(u, i), cgroup_fd);

		if (e == 0)
			continue;
		(void)snprintf(why, why_n,
			       "the BPF program %s is loaded but not in effect on the cgroup: %s",
			       bpf_program__name(program(u, i)), strerror(-e));
		return e;
	}
	return 0;
}

/* ---- by the pins alone ---- */

bool redirect_unix_is_pinned(const char *pin_dir)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(pin_names); i++)
		if (pin_path(path, pin_dir, "", pin_names[i]) == 0 && access(path, F_OK) == 0)
			return true;
	return false;
}

int redirect_unix_unpin(const char *pin_dir)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(pin_names); i++) {
		int e = pin_path(path, pin_dir, "", pin_names[i]);

		if (e < 0)
			return e;
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

void redirect_unix_names(const char *pin_dir, void (*fn)(void *arg, const char *name), void *arg)
{
	struct unix_name key, next, *last = NULL;
	char text[NONO_UNIX_PATH + 1], path[PATH_MAX];
	int fd;

	if (pin_path(path, pin_dir, "map_", "unix_allowed") < 0)
		return;
	fd = bpf_obj_get(path);
	/* Nothing is ever taken out of it, so that each key has a next one. */
	while (fd >= 0 && bpf_map_get_next_key(fd, last, &next) == 0) {
		key = next;
		last = &key;
		unix_name_text(&key, text);
		fn(arg, text);
	}
	if (fd >= 0)
		(void)close(fd);
}
