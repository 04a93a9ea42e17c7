/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel answers EPERM or EINVAL for most of what can be missing. Which one it is, is asked
 * afterwards: capabilities of this thread, program types and helpers of this kernel, programs
 * attached to the cgroup and above it.
 */
#include "redirect/obstacle.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define ANCESTORS_MAX 64

static char complaint[256];

/*
 * libbpf warns in several lines; the first that is not just a frame of the verifier's log says
 * most. Debug and info lines are never looked at.
 */
static int keep(enum libbpf_print_level level, const char *fmt, va_list ap) _printf_(2, 0);

static int keep(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN && !complaint[0]) {
		(void)vsnprintf(complaint, sizeof(complaint), fmt, ap);
		complaint[strcspn(complaint, "\n")] = '\0';
	}
	return 0;
}

void obstacle_listen(void)
{
	complaint[0] = '\0';
	(void)libbpf_set_print(keep);
}

const char *obstacle_complaint(void)
{
	return complaint;
}

static bool have_capability(unsigned int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[cap / 32].effective >> cap % 32 & 1;
}

static bool capable(void)
{
	return have_capability(CAP_SYS_ADMIN) ||
	       (have_capability(CAP_BPF) && have_capability(CAP_NET_ADMIN));
}

static const struct {
	enum bpf_prog_type type;
	const char *name;
} program_types[] = {
	{ BPF_PROG_TYPE_CGROUP_SKB, "cgroup_skb" },
	{ BPF_PROG_TYPE_CGROUP_SOCK, "cgroup_sock" },
	{ BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "cgroup_sock_addr" },
	{ BPF_PROG_TYPE_CGROUP_SOCKOPT, "cgroup_sockopt" },
	{ BPF_PROG_TYPE_SOCK_OPS, "sock_ops" },
};

void obstacle_to_load(int error, char *why, size_t why_n)
{
	if (!capable()) {
		(void)snprintf(why, why_n,
			       "loading the BPF programs needs root or CAP_BPF and CAP_NET_ADMIN");
		return;
	}
	if (error == -ENOSYS) {
		(void)snprintf(why, why_n, "this kernel has no bpf() call (CONFIG_BPF_SYSCALL)");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(program_types); i++) {
		if (libbpf_probe_bpf_prog_type(program_types[i].type, NULL) != 0)
			continue;
		(void)snprintf(why, why_n,
			       "this kernel has no BPF programs of type %s (CONFIG_CGROUP_BPF)",
			       program_types[i].name);
		return;
	}
	if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_current_pid_tgid,
				    NULL) == 0) {
		(void)snprintf(why, why_n,
			       "this kernel's BPF is too old; Linux 6.1 or newer is needed");
		return;
	}
	(void)snprintf(why, why_n, "the kernel does not take the BPF programs: %s%s%s",
		       strerror(-error), complaint[0] ? ": " : "", complaint);
}

/*
 * Is a program attached to this one cgroup in a way that lets no other join? Attached without
 * flags, or for being overridden, it excludes a link on the same cgroup; without flags also on
 * every cgroup below.
 */
static bool excludes(int cgroup_fd, int attach_type, bool same, uint32_t *ret_id)
{
	uint32_t ids[64], n = ARRAY_SIZE(ids), flags = 0;

	if (bpf_prog_query(cgroup_fd, (enum bpf_attach_type)attach_type, 0, &flags, ids, &n) < 0 ||
	    n == 0)
		return false;
	if (flags & BPF_F_ALLOW_MULTI)
		return false;
	if (!same && (flags & BPF_F_ALLOW_OVERRIDE))
		return false;
	*ret_id = ids[0];
	return true;
}

/* Looks at the cgroup and at those above it. */
static bool find_excluding(int cgroup_fd, int attach_type, uint32_t *ret_id, bool *ret_same)
{
	int fd = openat(cgroup_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool found = false;

	for (int i = 0; fd >= 0 && i < ANCESTORS_MAX; i++) {
		struct statfs fs;
		int up;

		if (fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
			break;
		found = excludes(fd, attach_type, i == 0, ret_id);
		*ret_same = i == 0;
		if (found)
			break;
		up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		(void)close(fd);
		fd = up;
	}
	if (fd >= 0)
		(void)close(fd);
	return found;
}

void obstacle_to_attach(int error, int cgroup_fd, int attach_type, const char *program, char *why,
			size_t why_n)
{
	struct statfs fs;
	uint32_t id = 0;
	bool same = false;

	if (fstatfs(cgroup_fd, &fs) == 0 && fs.f_type != CGROUP2_SUPER_MAGIC) {
		(void)snprintf(why, why_n, "BPF programs need a cgroup of version 2");
		return;
	}
	if (find_excluding(cgroup_fd, attach_type, &id, &same)) {
		(void)snprintf(why, why_n,
			       "cannot attach %s: the BPF program with id %u is attached to %s and "
			       "lets no other join (not attached with the MULTI flag)",
			       program, id, same ? "the same cgroup" : "a cgroup above");
		return;
	}
	if ((error == -EPERM || error == -EACCES) && !capable()) {
		(void)snprintf(
			why, why_n,
			"attaching the BPF programs needs root or CAP_BPF and CAP_NET_ADMIN");
		return;
	}
	(void)snprintf(why, why_n, "cannot attach the BPF program %s: %s", program,
		       strerror(-error));
}
