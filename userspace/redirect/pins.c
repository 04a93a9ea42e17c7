/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For each program of ours: is its link pinned, on which cgroup is it, and is its program among those that the kernel says
 * are in effect there?
 */
#include "redirect/pins.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "redirect/obstacle.h"
#include "redirect/unix.h"

/* The skeleton's own helpers compare sizes of different signs. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#include "redirect.skel.h"
#pragma GCC diagnostic pop

/* The link at this path: the program in it and the cgroup that it is on. */
static bool read_link(const char *path, uint32_t *ret_program, uint64_t *ret_cgroup)
{
	struct bpf_link_info info = { 0 };
	uint32_t n = sizeof(info);
	int fd = bpf_obj_get(path), e;

	if (fd < 0)
		return false;
	e = bpf_obj_get_info_by_fd(fd, &info, &n);
	(void)close(fd);
	if (e < 0 || info.type != BPF_LINK_TYPE_CGROUP)
		return false;
	*ret_program = info.prog_id;
	*ret_cgroup = info.cgroup.cgroup_id;
	return true;
}

static bool in_effect(int cgroup_fd, enum bpf_attach_type type, uint32_t program)
{
	uint32_t ids[64], n = ARRAY_SIZE(ids), flags;

	if (cgroup_fd < 0 ||
	    bpf_prog_query(cgroup_fd, type, BPF_F_QUERY_EFFECTIVE, &flags, ids, &n) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == program)
			return true;
	return false;
}

static void look_at(const char *name, enum bpf_attach_type type, const char *dir, int cgroup_fd,
		    uint64_t wanted, struct pins *p)
{
	char path[PATH_MAX];
	uint32_t program;
	uint64_t cgroup;

	p->wanted++;
	if (snprintf(path, sizeof(path), "%s/link_%s", dir, name) >= (int)sizeof(path) ||
	    !read_link(path, &program, &cgroup))
		return;
	if (cgroup)
		p->cgroup = cgroup;
	if (cgroup == 0 || (wanted && cgroup != wanted))
		return;
	p->pinned++;
	if (in_effect(cgroup_fd, type, program))
		p->active++;
}

int pins_read_below(const char *pin_dir, int cgroup_fd, int below_fd, bool unix_sockets,
		    struct pins *ret)
{
	struct redirect_bpf *skel;
	struct bpf_program *prog;
	struct pins p = { .unix_sockets = unix_sockets || redirect_unix_is_pinned(pin_dir) };
	struct stat st = { 0 };

	if (access(pin_dir, F_OK) < 0)
		return -errno;
	if (cgroup_fd >= 0 && fstat(cgroup_fd, &st) < 0)
		return -errno;
	obstacle_listen();
	skel = redirect_bpf__open(); /* only for the names: nothing is loaded */
	if (!skel)
		return errno ? -errno : -EIO;
	bpf_object__for_each_program(prog, skel->obj)
		look_at(bpf_program__name(prog), bpf_program__expected_attach_type(prog), pin_dir,
			below_fd, st.st_ino, &p);
	redirect_bpf__destroy(skel);
	for (size_t i = 0; p.unix_sockets && i < REDIRECT_UNIX_HOOKS; i++)
		look_at(redirect_unix_hooks[i].name,
			(enum bpf_attach_type)redirect_unix_hooks[i].attach_type, pin_dir, below_fd,
			st.st_ino, &p);
	*ret = p;
	return 0;
}

int pins_read(const char *pin_dir, int cgroup_fd, bool unix_sockets, struct pins *ret)
{
	return pins_read_below(pin_dir, cgroup_fd, cgroup_fd, unix_sockets, ret);
}
