/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity, capabilities, descriptors, signals.
 *
 * The order matters to the kernel: dropping from the bounding set needs CAP_SETPCAP, changing
 * identity needs CAP_SETUID and CAP_SETGID, and all three are gone afterwards. So
 * confine_identity() goes before confine_capabilities(), and takes the bounding set with it. A process that may lack the right to
 * change that set has confine_no_new_privs() first. Seccomp is the last.
 */
#include "confine/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bits of a capability set. The kernel says which exist: from the first unknown one on, none does.
 */
#define CAP_BITS 64

static uint64_t cap_bit(int cap)
{
	return (uint64_t)1 << cap;
}

int confine_memory(void)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

int confine_process(void)
{
	struct rlimit core;

	if (confine_memory() < 0)
		return -errno;
	if (getrlimit(RLIMIT_CORE, &core) < 0)
		return -errno;
	core.rlim_cur = 0;
	if (setrlimit(RLIMIT_CORE, &core) < 0)
		return -errno;
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

/* The smallest of `keep` that is at least `from`, or INT_MAX. */
static int next_kept(const int *keep, size_t n, int from)
{
	int best = INT_MAX;

	for (size_t i = 0; i < n; i++)
		if (keep[i] >= from && keep[i] < best)
			best = keep[i];
	return best;
}

int confine_fds(int first, const int *keep, size_t n)
{
	for (int from = first;;) {
		int kept = next_kept(keep, n, from);

		if (kept == INT_MAX)
			return close_range((unsigned int)from, ~0U, 0) < 0 ? -errno : 0;
		if (kept > from && close_range((unsigned int)from, (unsigned int)kept - 1, 0) < 0)
			return -errno;
		from = kept + 1;
	}
}

/* Without privilege the bounding set cannot be changed. It is of no use to a process that can get no new privileges. */
static bool bounding_is_moot(int error)
{
	return error == EPERM && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static int drop_bounding(uint64_t keep)
{
	for (int cap = 0; cap < CAP_BITS; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0)
			return errno == EINVAL ? 0 : -errno;
		if (has && !(keep & cap_bit(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return bounding_is_moot(errno) ? 0 : -errno;
	}
	return 0;
}

/* The groups are dropped only where there are some to drop: without privilege that is refused, even
 * when it changes nothing. */
static int drop_groups(void)
{
	int n = getgroups(0, NULL);

	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	return setgroups(0, NULL) < 0 ? -errno : 0;
}

static int check_identity(uid_t uid, gid_t gid)
{
	uid_t u[3];
	gid_t g[3];

	if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
		return -errno;
	for (int i = 0; i < 3; i++)
		if (u[i] != uid || g[i] != gid)
			return -EPERM;
	if (getgroups(0, NULL) != 0)
		return -EPERM;
	/* The way back must be closed. */
	if (uid != 0 && setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
		return -EPERM;
	return 0;
}

int confine_identity(uid_t uid, gid_t gid)
{
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), death = 0, r;

	if (dumpable < 0 || prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) < 0)
		return -errno;
	if (uid == (uid_t)-1 || gid == (gid_t)-1)
		return -EINVAL;
	r = uid != 0 && geteuid() == 0 ? drop_bounding(0) : 0;
	if (r == 0)
		r = drop_groups();
	if (r < 0)
		return r;
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	r = check_identity(uid, gid);
	if (r < 0)
		return r;
	/* The kernel resets both when an identity changes. */
	if (dumpable == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_PDEATHSIG, death, 0, 0, 0) < 0 ? -errno : 0;
}

int confine_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	int r = drop_bounding(keep);

	if (r < 0)
		return r;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

uint64_t confine_root_capabilities(void)
{
	static const int caps[] = { CAP_CHOWN,	    CAP_DAC_OVERRIDE,	 CAP_FOWNER, CAP_FSETID,
				    CAP_KILL,	    CAP_SETGID,		 CAP_SETUID, CAP_SETPCAP,
				    CAP_SYS_CHROOT, CAP_NET_BIND_SERVICE };
	uint64_t bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		bits |= cap_bit(caps[i]);
	return bits;
}

int confine_no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

void confine_reset_signals(void)
{
	sigset_t none;

	/* Some cannot be changed: SIGKILL, SIGSTOP and those that the C library keeps to itself. */
	for (int sig = 1; sig < _NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}
