/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads, attaches and pins the BPF programs, marks the proxy's sockets.
 *
 * A pinned link lives until its pin is removed, whatever happens to this process: that is what
 * keeps the sandbox closed. So nothing here detaches a link once all of them are pinned; closing
 * our descriptors is all that redirect_free() does.
 */
#include "redirect/redirect.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/redirect.h"
#include "redirect/obstacle.h"

/* The skeleton's own helpers compare sizes of different signs. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#include "redirect.skel.h"
#pragma GCC diagnostic pop

#define PROGRAM_MAX 24

struct redirect {
	struct redirect_bpf *skel;
	struct bpf_link *links[PROGRAM_MAX];
	size_t link_count;
	struct bpf_link *trial[PROGRAM_MAX]; /* never pinned */
	size_t trial_count;
};

static void say(char *why, size_t n, const char *fmt, ...) _printf_(3, 4);

static void say(char *why, size_t n, const char *fmt, ...)
{
	va_list ap;

	if (!n)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(why, n, fmt, ap);
	va_end(ap);
}

static int pin_path(char *out, size_t n, const char *dir, const char *prefix, const char *name)
{
	int len = snprintf(out, n, "%s/%s%s", dir, prefix, name);

	return len < 0 || (size_t)len >= n ? -ENAMETOOLONG : 0;
}

/* When it loads, the library takes the pinned maps, if they are of the same kind. */
static int use_pinned_maps(struct redirect_bpf *skel, const char *dir)
{
	char path[PATH_MAX];
	struct bpf_map *map;
	int e = 0;

	bpf_object__for_each_map(map, skel->obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		e = pin_path(path, sizeof(path), dir, "map_", bpf_map__name(map));
		if (e >= 0)
			e = bpf_map__set_pin_path(map, path);
		if (e < 0)
			return e;
	}
	return 0;
}

/* `pins`: NULL, or where the maps are. */
static int open_and_load(uint32_t instance, bool with_comm, const char *pins,
			 struct redirect_bpf **ret)
{
	struct redirect_bpf *skel;
	int e;

	obstacle_listen();
	skel = redirect_bpf__open();
	if (!skel)
		return errno ? -errno : -EIO;
	skel->rodata->instance = instance;
	skel->rodata->with_comm = with_comm;
	e = pins ? use_pinned_maps(skel, pins) : 0;
	if (e >= 0)
		e = redirect_bpf__load(skel);
	if (e < 0) {
		redirect_bpf__destroy(skel);
		return e;
	}
	*ret = skel;
	return 0;
}

static int load(uint32_t instance, const char *pins, struct redirect **ret, char *why,
		size_t why_n)
{
	struct redirect *r = calloc(1, sizeof(*r));
	int e;

	if (!r) {
		say(why, why_n, "out of memory");
		return -ENOMEM;
	}
	/* The process's name is a nicety for the audit; not every kernel gives it to these
	 * programs. */
	e = open_and_load(instance, true, pins, &r->skel);
	if (e < 0)
		e = open_and_load(instance, false, pins, &r->skel);
	if (e < 0) {
		obstacle_to_load(e, why, why_n);
		free(r);
		return e;
	}
	*ret = r;
	return 0;
}

int redirect_load(uint32_t instance, struct redirect **ret, char *why, size_t why_n)
{
	return load(instance, NULL, ret, why, why_n);
}

int redirect_load_pinned(uint32_t instance, const char *pin_dir, struct redirect **ret, char *why,
			 size_t why_n)
{
	return load(instance, pin_dir, ret, why, why_n);
}

/* Closes the descriptors of the links. The kernel keeps each link as long as it is pinned. */
static void close_links(struct redirect *r)
{
	for (size_t i = 0; i < r->link_count; i++)
		(void)bpf_link__destroy(r->links[i]);
	r->link_count = 0;
}

void redirect_free(struct redirect *r)
{
	if (!r)
		return;
	redirect_try_end(r);
	close_links(r);
	redirect_bpf__destroy(r->skel);
	free(r);
}

static int attach_one(const struct bpf_program *prog, int cgroup_fd, struct bpf_link **ret,
		      char *why, size_t why_n)
{
	struct bpf_link *link = bpf_program__attach_cgroup(prog, cgroup_fd);
	int e;

	if (!link) {
		e = errno ? -errno : -EIO;
		obstacle_to_attach(e, cgroup_fd, bpf_program__expected_attach_type(prog),
				   bpf_program__name(prog), why, why_n);
		return e;
	}
	*ret = link;
	return 0;
}

static int attach_all(struct redirect *r, int cgroup_fd, struct bpf_link *links[PROGRAM_MAX],
		      size_t *count, char *why, size_t why_n)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, r->skel->obj)
	{
		int e;

		if (*count == PROGRAM_MAX)
			return -E2BIG;
		e = attach_one(prog, cgroup_fd, &links[*count], why, why_n);
		if (e < 0)
			return e;
		++*count;
	}
	return 0;
}

int redirect_try(struct redirect *r, int cgroup_fd, char *why, size_t why_n)
{
	int e = attach_all(r, cgroup_fd, r->trial, &r->trial_count, why, why_n);

	if (e < 0)
		redirect_try_end(r);
	return e;
}

void redirect_try_end(struct redirect *r)
{
	for (size_t i = 0; i < r->trial_count; i++)
		(void)bpf_link__destroy(r->trial[i]);
	r->trial_count = 0;
}

static int pin_all(struct redirect *r, const char *dir, char *why, size_t why_n)
{
	char path[4096];
	struct bpf_program *prog;
	struct bpf_map *map;
	size_t i = 0;
	int e;

	bpf_object__for_each_program(prog, r->skel->obj)
	{
		e = pin_path(path, sizeof(path), dir, "link_", bpf_program__name(prog));
		if (e >= 0)
			e = bpf_link__pin(r->links[i++], path);
		if (e < 0)
			goto fail;
	}
	bpf_object__for_each_map(map, r->skel->obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		e = pin_path(path, sizeof(path), dir, "map_", bpf_map__name(map));
		if (e >= 0)
			e = bpf_map__pin(map, path);
		if (e < 0)
			goto fail;
	}
	return 0;
fail:
	say(why, why_n, "cannot pin below %s: %s (is a BPF file system mounted there?)", dir,
	    strerror(-e));
	return e;
}

int redirect_attach(struct redirect *r, int cgroup_fd, const char *pin_dir, char *why, size_t why_n)
{
	int e;

	if (mkdir(pin_dir, 0700) < 0) {
		e = -errno;
		say(why, why_n, "cannot make %s: %s", pin_dir, strerror(-e));
		return e;
	}
	e = attach_all(r, cgroup_fd, r->links, &r->link_count, why, why_n);
	if (e >= 0)
		e = pin_all(r, pin_dir, why, why_n);
	if (e < 0) {
		redirect_unpin(pin_dir);
		close_links(r);
	}
	return e;
}

/* A link whose cgroup is gone is an empty shell, with 0 for the cgroup. */
static bool link_is_on(const struct bpf_link *link, uint64_t cgroup)
{
	struct bpf_link_info info = { 0 };
	uint32_t n = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &n) == 0 &&
	       info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == cgroup;
}

static int adopt_one(struct bpf_program *prog, uint64_t cgroup, const char *path,
		     struct bpf_link **ret, char *why, size_t why_n)
{
	struct bpf_link *link = bpf_link__open(path);
	int e;

	if (!link)
		return errno ? -errno : -EIO;
	e = link_is_on(link, cgroup) ? bpf_link__update_program(link, prog) : -ESTALE;
	if (e < 0) {
		say(why, why_n, "cannot replace the program pinned at %s: %s", path,
		    e == -ESTALE ? "it belongs to another cgroup" : strerror(-e));
		(void)bpf_link__destroy(link);
		return e;
	}
	*ret = link;
	return 0;
}

static int adopt_or_attach(struct bpf_program *prog, int cgroup_fd, uint64_t cgroup,
			   const char *dir, struct bpf_link **ret, char *why, size_t why_n)
{
	char path[PATH_MAX];
	int e = pin_path(path, sizeof(path), dir, "link_", bpf_program__name(prog));

	if (e < 0)
		return e;
	if (access(path, F_OK) == 0)
		return adopt_one(prog, cgroup, path, ret, why, why_n);
	e = attach_one(prog, cgroup_fd, ret, why, why_n);
	if (e < 0)
		return e;
	e = bpf_link__pin(*ret, path);
	if (e < 0) {
		say(why, why_n, "cannot pin at %s: %s", path, strerror(-e));
		(void)bpf_link__destroy(*ret);
	}
	return e;
}

int redirect_adopt(struct redirect *r, int cgroup_fd, const char *pin_dir, char *why, size_t why_n)
{
	struct bpf_program *prog;
	struct stat st;

	if (fstat(cgroup_fd, &st) < 0)
		return -errno;
	bpf_object__for_each_program(prog, r->skel->obj)
	{
		int e;

		if (r->link_count == PROGRAM_MAX)
			return -E2BIG;
		e = adopt_or_attach(prog, cgroup_fd, st.st_ino, pin_dir, &r->links[r->link_count],
				    why, why_n);
		if (e < 0)
			return e;
		r->link_count++;
	}
	return 0;
}

void redirect_unpin(const char *pin_dir)
{
	struct dirent *entry;
	DIR *dir = opendir(pin_dir);

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	(void)closedir(dir);
	(void)rmdir(pin_dir);
}

int redirect_mark(struct redirect *r, int socket_fd, enum redirect_mark mark)
{
	struct mark m = { .instance = r->skel->rodata->instance };

	switch (mark) {
	case REDIRECT_TCP:
		m.kind = MARK_TCP;
		break;
	case REDIRECT_DNS:
		m.kind = MARK_DNS;
		break;
	case REDIRECT_EXPLICIT:
		m.kind = MARK_EXPLICIT;
		break;
	case REDIRECT_FORWARD:
		m.kind = MARK_FORWARD;
		break;
	default:
		return -EINVAL;
	}
	return bpf_map_update_elem(bpf_map__fd(r->skel->maps.mark), &socket_fd, &m, BPF_ANY);
}

int redirect_mark_own(struct redirect *r, int socket_fd)
{
	struct mark m = { .kind = MARK_OWN, .instance = r->skel->rodata->instance };

	return bpf_map_update_elem(bpf_map__fd(r->skel->maps.mark), &socket_fd, &m, BPF_ANY);
}

bool redirect_is_own(const struct redirect *r, int socket_fd)
{
	struct mark m;

	return bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.mark), &socket_fd, &m) == 0 &&
	       m.kind == MARK_OWN && m.instance == r->skel->rodata->instance;
}

uint64_t redirect_refused_options(const struct redirect *r)
{
	const uint32_t kind = KEV_OPTION;
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t *counts = cpus < 0 ? NULL : calloc((size_t)cpus, sizeof(*counts));
	uint64_t sum = 0;

	if (!counts || bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.stats), &kind, counts) < 0)
		return 0;
	for (int i = 0; i < cpus; i++)
		sum += counts[i];
	return sum;
}

int redirect_serve_netns(struct redirect *r, const struct redirect_netns *ns)
{
	struct netns_conf conf = {
		.tcp4_be = htons(ns->tcp4),
		.tcp6_be = htons(ns->tcp6),
		.dns4_be = htons(ns->dns4),
		.dns6_be = htons(ns->dns6),
		.explicit4_be = htons(ns->explicit4),
		.explicit6_be = htons(ns->explicit6),
		.no_ipv6 = ns->no_ipv6,
	};
	uint64_t cookie = ns->cookie;

	if (ns->local_count > NONO_LOCAL_MAX)
		return -E2BIG;
	for (size_t i = 0; i < ns->local_count; i++) {
		struct ip *out = &conf.local[conf.local_count++];

		if (ns->local[i].family == 4) {
			out->w_be[2] = htonl(0xffff);
			memcpy(&out->w_be[3], ns->local[i].b, 4);
		} else {
			memcpy(out->w_be, ns->local[i].b, sizeof(out->w_be));
		}
	}
	return bpf_map_update_elem(bpf_map__fd(r->skel->maps.netns_listen), &cookie, &conf,
				   BPF_ANY);
}

int redirect_publish(struct redirect *r, uint16_t port)
{
	uint32_t port_be = htons(port), on = 1;

	if (!port)
		return -EINVAL;
	return bpf_map_update_elem(bpf_map__fd(r->skel->maps.published), &port_be, &on, BPF_ANY);
}

int redirect_publish_none(struct redirect *r)
{
	int fd = bpf_map__fd(r->skel->maps.published), e;
	uint32_t port_be;

	while ((e = bpf_map_get_next_key(fd, NULL, &port_be)) == 0) {
		e = bpf_map_delete_elem(fd, &port_be);
		if (e < 0)
			break;
	}
	return e == -ENOENT ? 0 : e;
}

int redirect_tuple_fd(const struct redirect *r)
{
	return bpf_map__fd(r->skel->maps.tuples);
}

int redirect_events_fd(const struct redirect *r)
{
	return bpf_map__fd(r->skel->maps.events);
}

int redirect_map_fd(const struct redirect *r, const char *name)
{
	return bpf_object__find_map_fd_by_name(r->skel->obj, name);
}

static int program_id(const struct bpf_program *prog, uint32_t *ret)
{
	struct bpf_prog_info info = { 0 };
	uint32_t n = sizeof(info);
	int e = bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &n);

	if (e < 0)
		return e;
	*ret = info.id;
	return 0;
}

/* Others may be effective as well (they can only refuse more); ours must be, for each attach type.
 */
int redirect_verify(const struct redirect *r, int cgroup_fd, char *why, size_t why_n)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, r->skel->obj)
	{
		uint32_t id, ids[64], n = ARRAY_SIZE(ids), flags;
		bool found = false;
		int e;

		e = program_id(prog, &id);
		if (e < 0)
			return e;
		e = bpf_prog_query(cgroup_fd, bpf_program__expected_attach_type(prog),
				   BPF_F_QUERY_EFFECTIVE, &flags, ids, &n);
		if (e < 0) {
			say(why, why_n, "the programs in effect cannot be read: %s", strerror(-e));
			return e;
		}
		for (uint32_t i = 0; i < n && !found; i++)
			found = ids[i] == id;
		if (!found) {
			say(why, why_n,
			    "the BPF program %s (id %u) is loaded but not in effect on the cgroup",
			    bpf_program__name(prog), id);
			return -ESTALE;
		}
	}
	return 0;
}

int redirect_netns_cookie(int socket_fd, uint64_t *ret)
{
	uint64_t cookie;
	socklen_t n = sizeof(cookie);

	if (getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) < 0)
		return -errno;
	*ret = cookie;
	return 0;
}
