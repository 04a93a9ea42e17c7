/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two filters of system calls.
 *
 * Arguments that the kernel takes as int are compared on their low 32 bits only: the upper half of
 * the register is the caller's to choose, and the kernel does not look at it. The library compares
 * whole registers and, for one argument, "equal under a mask" is its only test that can do this;
 * "none of these values" is therefore spelt out as a list of refused values for the low bits, and
 * one rule for each higher bit that must not be set.
 */
#include "confine/confine.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOW32 0xffffffffU

/* Families below this are listed one by one. */
#define FAMILY_BITS 6

DEFINE_CLEANUP(scmp_filter_ctx, seccomp_release)
#define _cleanup_seccomp_ _cleanup_(cleanup_seccomp_release)

static struct scmp_arg_cmp low32_is(unsigned int arg, uint32_t value)
{
	return SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, LOW32, value);
}

static struct scmp_arg_cmp bits_are(unsigned int arg, uint32_t mask, uint32_t value)
{
	return SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value);
}

/*
 * A filter for this machine's own system call table. Every other one (i386, x32, 32-bit ARM)
 * answers ENOSYS: the numbers mean other calls there. Not a signal, so that a 32-bit program ends
 * with an error that says something.
 */
static int filter_new(uint32_t otherwise, scmp_filter_ctx *ret)
{
	_cleanup_seccomp_ scmp_filter_ctx f = seccomp_init(otherwise);
	int r;

	if (!f)
		return -ENOMEM;
	r = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (r == 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0);
	/* The kernel's own errno, not the library's -ECANCELED. */
	if (r == 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (r < 0)
		return r;
	*ret = take_ptr(f);
	return 0;
}

/* The same action for calls whatever their arguments are. One that the machine does not have (-1
 * and below) is no error. */
static int add_all(scmp_filter_ctx f, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add(f, action, calls[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- COMMAND ---- */

#define SOCKET_TYPE_MASK 0xf /* of socket()'s second argument; the rest are flags */

static bool family_allowed(uint32_t family)
{
	return family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
}

/* socket(): EPERM for every family that is not allowed, and for netlink of another protocol than
 * routing. */
static int refuse_families(scmp_filter_ctx f)
{
	const uint32_t eperm = SCMP_ACT_ERRNO(EPERM), low = (1U << FAMILY_BITS) - 1;
	int r = 0;

	_Static_assert(NETLINK_ROUTE == 0, "routing is the protocol without any bit");
	for (uint32_t family = 0; r == 0 && family <= low; family++)
		if (!family_allowed(family))
			r = seccomp_rule_add(f, eperm, SCMP_SYS(socket), 1,
					     bits_are(0, low, family));
	for (int bit = FAMILY_BITS; r == 0 && bit < 32; bit++)
		r = seccomp_rule_add(f, eperm, SCMP_SYS(socket), 1,
				     bits_are(0, 1U << bit, 1U << bit));
	for (int bit = 0; r == 0 && bit < 32; bit++)
		r = seccomp_rule_add(f, eperm, SCMP_SYS(socket), 2, low32_is(0, AF_NETLINK),
				     bits_are(2, 1U << bit, 1U << bit));
	/* An Internet socket of this type becomes a packet socket. */
	if (r == 0)
		r = seccomp_rule_add(f, eperm, SCMP_SYS(socket), 1,
				     bits_are(1, SOCKET_TYPE_MASK, SOCK_PACKET));
	return r;
}

/* socketpair(): only AF_UNIX, which is the family with just the lowest bit. */
static int refuse_pairs(scmp_filter_ctx f)
{
	const uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
	int r = seccomp_rule_add(f, eperm, SCMP_SYS(socketpair), 1, bits_are(0, 1, 0));

	_Static_assert(AF_UNIX == 1, "see above");
	for (int bit = 1; r == 0 && bit < 32; bit++)
		r = seccomp_rule_add(f, eperm, SCMP_SYS(socketpair), 1,
				     bits_are(0, 1U << bit, 1U << bit));
	return r;
}

/* Typing into the terminal that the caller's shell will read from. */
static int refuse_injection(scmp_filter_ctx f)
{
	static const uint32_t requests[] = { TIOCSTI, TIOCLINUX };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(requests); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				     low32_is(1, requests[i]));
	return r;
}

int confine_seccomp_command(void)
{
	/* As if the kernel did not have it: programs fall back without a word. */
	static const int absent[] = { SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
				      SCMP_SYS(io_uring_register) };
	/* Key calls can make the kernel start a helper outside, which resolves names there. */
	static const int refused[] = { SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
				       SCMP_SYS(bpf) };
	_cleanup_seccomp_ scmp_filter_ctx f = NULL;
	int r = filter_new(SCMP_ACT_ALLOW, &f);

	if (r == 0)
		r = refuse_families(f);
	if (r == 0)
		r = refuse_pairs(f);
	if (r == 0)
		r = refuse_injection(f);
	if (r == 0)
		r = add_all(f, SCMP_ACT_ERRNO(ENOSYS), absent, ARRAY_SIZE(absent));
	if (r == 0)
		r = add_all(f, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_SIZE(refused));
	return r < 0 ? r : seccomp_load(f);
}

/* ---- the proxy ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif

#ifdef UNDER_SANITIZER

/* The run-time library of a sanitizer makes calls of its own: threads, forks, executable pages. */
int confine_seccomp_proxy(void)
{
	return 0;
}

#else

/* What a program that serves sockets and files calls, whatever the arguments. The kernel caches the
 * answer for these. */
static const int proxy_calls[] = {
	/* sockets */
	SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(listen),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(send), SCMP_SYS(recv),
	/* bytes */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
	SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(splice), SCMP_SYS(tee),
	SCMP_SYS(sendfile), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(close), SCMP_SYS(close_range),
	SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(fcntl), SCMP_SYS(fcntl64),
	/* waiting */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(_newselect), SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd), SCMP_SYS(eventfd2),
	SCMP_SYS(signalfd), SCMP_SYS(signalfd4), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(pause), SCMP_SYS(restart_syscall),
	/* files: the resolver's configuration, the audit log */
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(lseek),
	SCMP_SYS(_llseek), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(fsync),
	SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(flock), SCMP_SYS(fadvise64),
	/* memory; executable pages are refused below */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
	SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(mlockall), SCMP_SYS(munlockall),
	SCMP_SYS(mincore), SCMP_SYS(msync), SCMP_SYS(membarrier),
	/* time, chance, itself */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(uname),
	SCMP_SYS(sysinfo), SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid),
	SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getresuid),
	SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(getrusage), SCMP_SYS(getrlimit),
	SCMP_SYS(times), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu),
	SCMP_SYS(capget),
	/* threads' and signals' housekeeping */
	SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(set_tid_address), SCMP_SYS(arch_prctl), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack), SCMP_SYS(exit),
	SCMP_SYS(exit_group)
};

/* What only an intruder would try: it ends there. */
static const int proxy_deaths[] = { SCMP_SYS(execve),
				    SCMP_SYS(execveat),
				    SCMP_SYS(ptrace),
				    SCMP_SYS(process_vm_readv),
				    SCMP_SYS(process_vm_writev),
				    SCMP_SYS(pidfd_getfd),
				    SCMP_SYS(kexec_load),
				    SCMP_SYS(kexec_file_load),
				    SCMP_SYS(init_module),
				    SCMP_SYS(finit_module),
				    SCMP_SYS(mount),
				    SCMP_SYS(umount2),
				    SCMP_SYS(move_mount),
				    SCMP_SYS(fsopen),
				    SCMP_SYS(open_tree),
				    SCMP_SYS(setns),
				    SCMP_SYS(unshare),
				    SCMP_SYS(pivot_root),
				    SCMP_SYS(chroot),
				    SCMP_SYS(add_key),
				    SCMP_SYS(request_key),
				    SCMP_SYS(keyctl),
				    SCMP_SYS(perf_event_open),
				    SCMP_SYS(userfaultfd),
				    SCMP_SYS(io_uring_setup),
				    SCMP_SYS(io_uring_enter),
				    SCMP_SYS(io_uring_register) };

static int allow_sockets(scmp_filter_ctx f)
{
	static const uint32_t families[] = { AF_UNIX, AF_INET, AF_INET6 };
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, low32_is(0, AF_UNIX));

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     low32_is(0, families[i]));
	return r;
}

/* The whole register, against one value. */
static struct scmp_arg_cmp arg_is(unsigned int arg, enum scmp_compare how, uint32_t value)
{
	return (struct scmp_arg_cmp){ .arg = arg, .op = how, .datum_a = value };
}

/* Entries of maps whose descriptors it was given, and what such a descriptor is. Anything else ends
 * it. */
static int allow_bpf(scmp_filter_ctx f)
{
	static const uint32_t commands[] = { BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM,
					     BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY,
					     BPF_OBJ_GET_INFO_BY_FD };
	uint32_t next = 0;
	int r = 0;

	/* The commands ascend: what lies between two of them is listed. */
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(commands); i++) {
		for (; r == 0 && next < commands[i]; next++)
			r = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(bpf), 1,
					     arg_is(0, SCMP_CMP_EQ, next));
		if (r == 0)
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1,
					     arg_is(0, SCMP_CMP_EQ, next));
		next++;
	}
	return r < 0 ? r
		     : seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(bpf), 1,
					arg_is(0, SCMP_CMP_GE, next));
}

/* Calls of which a part is needed. */
static int allow_parts(scmp_filter_ctx f)
{
	static const uint32_t ioctls[] = { FIONREAD, FIONBIO, TIOCOUTQ, TCGETS, TIOCGWINSZ };
	static const int mapping[] = { SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect) };
	static const uint32_t prctls[] = { PR_SET_NAME, PR_GET_NAME, 0x53564d41 /* PR_SET_VMA */ };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ioctls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, low32_is(1, ioctls[i]));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(mapping); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, mapping[i], 1, bits_are(2, PROT_EXEC, 0));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(prctls); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, low32_is(0, prctls[i]));
	/* abort() and assert(): a signal to itself. */
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     low32_is(0, (uint32_t)getpid()));
	/* Its own limits only. */
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, low32_is(0, 0));
	/* clone3() hides its flags in memory; the C library then takes clone(), which is refused
	 * like everything else. */
	return r < 0 ? r : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

int confine_seccomp_proxy(void)
{
	_cleanup_seccomp_ scmp_filter_ctx f = NULL;
	int r = filter_new(SCMP_ACT_ERRNO(EPERM), &f);

	if (r == 0)
		r = add_all(f, SCMP_ACT_ALLOW, proxy_calls, ARRAY_SIZE(proxy_calls));
	if (r == 0)
		r = add_all(f, SCMP_ACT_KILL_PROCESS, proxy_deaths, ARRAY_SIZE(proxy_deaths));
	if (r == 0)
		r = allow_sockets(f);
	if (r == 0)
		r = allow_bpf(f);
	if (r == 0)
		r = allow_parts(f);
	return r < 0 ? r : seccomp_load(f);
}

#endif
