/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each member is looked at by itself: its capabilities, its namespaces. Of those that share a mount namespace one is enough.
 *
 * A capability counts if the process has it, or can have it by executing something: root gets what the bounding set leaves. In
 * a user namespace of its own only those over its network count; and with a network that has no device but `lo`, not even
 * those: whatever can be done there leads nowhere.
 */
#include "supervisor/gaps.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/log.h"
#include "supervisor/files.h"
#include "supervisor/gapfiles.h"

#define VIEWS_MAX 64
#define USERS_MAX 64

#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif

static const char *const names[GAP_COUNT + 1] = {
	[GAP_UNIX_SOCKETS] = "unix-sockets",
	[GAP_SAME_USER] = "same-user-processes",
	[GAP_HOST_PID] = "host-pid",
	[GAP_CGROUPFS] = "cgroupfs",
	[GAP_BPFFS] = "bpffs",
	[GAP_NET_RAW] = "cap-net-raw",
	[GAP_NET_ADMIN] = "cap-net-admin",
	[GAP_SYS_ADMIN] = "cap-sys-admin",
	[GAP_SYS_PTRACE] = "cap-sys-ptrace",
	[GAP_BPF] = "cap-bpf",
	[GAP_VSOCK] = "vsock",
	[GAP_PACKET] = "packet",
	[GAP_KEYRING] = "keyring",
	[GAP_ALIEN] = "alien-sockets",
	[GAP_NESTED] = "nested-namespaces",
};

static const char *const remedies[GAP_COUNT] = {
	[GAP_UNIX_SOCKETS] = "do not mount sockets of daemons into it, or refuse them: --allow-unix none",
	[GAP_SAME_USER] = "give it a user, or a pid namespace, of its own",
	[GAP_HOST_PID] = "give it a pid namespace of its own (no --pid=host)",
	[GAP_CGROUPFS] = "mount /sys/fs/cgroup read-only, with a cgroup namespace of its own",
	[GAP_BPFFS] = "do not mount /sys/fs/bpf into it",
	[GAP_NET_RAW] = "start it with --cap-drop=NET_RAW, or with --network none",
	[GAP_NET_ADMIN] = "start it with --cap-drop=NET_ADMIN, or with --network none",
	[GAP_SYS_ADMIN] = "start it without CAP_SYS_ADMIN (not --privileged)",
	[GAP_SYS_PTRACE] = "start it without CAP_SYS_PTRACE",
	[GAP_BPF] = "start it without CAP_BPF",
	[GAP_VSOCK] = "refuse AF_VSOCK in its seccomp profile, and accept it by name then",
	[GAP_PACKET] = "restart it without CAP_NET_RAW",
	[GAP_KEYRING] = "refuse request_key in its seccomp profile, or remove /sbin/request-key",
	[GAP_ALIEN] = "restart it without inherited sockets",
	[GAP_NESTED] = "processes in other namespaces have no network: nothing to do, but know it",
};

const char *gap_name(enum gap g)
{
	return names[g];
}

const char *gap_remedy(enum gap g)
{
	return remedies[g];
}

const char *const *gap_names(void)
{
	return names;
}

enum gap gap_of_name(const char *name)
{
	enum gap g = 0;

	while (g < GAP_COUNT && strcmp(names[g], name) != 0)
		g++;
	return g;
}

void gaps_text(uint32_t open, char *out, size_t n)
{
	size_t at = 0;

	out[0] = '\0';
	for (enum gap g = 0; g < GAP_COUNT; g++)
		if (open & 1U << g && at + strlen(names[g]) + 2 < n)
			at += (size_t)snprintf(out + at, n - at, "%s%s", at ? "," : "", names[g]);
}

void gap_add(struct gaps *g, enum gap which, const char *fmt, ...)
{
	va_list ap;

	if (g->open & 1U << which)
		return;
	g->open |= 1U << which;
	va_start(ap, fmt);
	(void)vsnprintf(g->found[which], sizeof(g->found[which]), fmt, ap);
	va_end(ap);
}

/* ---- one process ---- */

struct process {
	pid_t pid;
	uint32_t uid;			/* as we see it */
	uint64_t permitted, bounding;	/* capabilities */
	uint64_t user, pidns, net, mnt; /* namespaces */
	bool kernel;			/* a thread of the kernel */
};

/* A process that has ended, and is not collected yet, has none any more: -ESRCH. */
static int namespace_of(pid_t pid, const char *kind, uint64_t *ret)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	if (stat(path, &st) < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	*ret = st.st_ino;
	return 0;
}

static bool field(const char *text, const char *key, int base, int index, uint64_t *ret)
{
	const char *p = strstr(text, key);
	char *end;

	if (!p)
		return false;
	p += strlen(key);
	for (int i = 0; i <= index; i++) {
		*ret = strtoull(p, &end, base);
		if (end == p)
			return false;
		p = end;
	}
	return true;
}

/* 0, -ESRCH when it has ended, -errno when it cannot be looked at. */
static int read_process(pid_t pid, struct process *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT(8 * 4097);
	struct process p = { .pid = pid };
	const char *text;
	uint64_t uid, kthread;
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	r = file_read(AT_FDCWD, path, &b);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	text = (const char *)buf_data(&b);
	/* The effective one is the second. */
	if (!field(text, "\nUid:", 10, 1, &uid) || !field(text, "\nCapPrm:", 16, 0, &p.permitted) ||
	    !field(text, "\nCapBnd:", 16, 0, &p.bounding))
		return -EBADMSG;
	p.uid = (uint32_t)uid;
	/* Since Linux 6.8 there is a line for it; a process has memory, a thread of the kernel has none. */
	p.kernel = field(text, "\nKthread:", 10, 0, &kthread) ? kthread == 1
							      : !strstr(text, "\nVmSize:");
	r = namespace_of(pid, "user", &p.user);
	if (r == 0)
		r = namespace_of(pid, "pid", &p.pidns);
	if (r == 0)
		r = namespace_of(pid, "net", &p.net);
	if (r == 0)
		r = namespace_of(pid, "mnt", &p.mnt);
	if (r == 0)
		*ret = p;
	return r;
}

/* Which uid of ours is 0 in there? */
static bool is_root_inside(const struct process *p)
{
	_cleanup_buf_ struct buf b = BUF_INIT(8 * 4097);
	unsigned int inside, outside;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)p->pid);
	return file_read(AT_FDCWD, path, &b) == 0 &&
	       sscanf((const char *)buf_data(&b), "%u %u", &inside, &outside) == 2 && inside == 0 &&
	       outside == p->uid;
}

/* ---- the parts ---- */

static const struct {
	int cap;
	enum gap gap;
	const char *name;
	bool of_network; /* what it gives is power over the network namespace */
} capabilities[] = {
	{ CAP_NET_RAW, GAP_NET_RAW, "CAP_NET_RAW", true },
	{ CAP_NET_ADMIN, GAP_NET_ADMIN, "CAP_NET_ADMIN", true },
	{ CAP_SYS_ADMIN, GAP_SYS_ADMIN, "CAP_SYS_ADMIN", false },
	{ CAP_SYS_PTRACE, GAP_SYS_PTRACE, "CAP_SYS_PTRACE", false },
	{ CAP_BPF, GAP_BPF, "CAP_BPF", false },
};

static void find_capabilities(const struct process *p, const struct process *us, bool uplink,
			      struct gaps *g)
{
	bool same = p->user == us->user;
	bool root = same ? p->uid == 0 : is_root_inside(p);
	uint64_t can = p->permitted | (root ? p->bounding : 0);

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
		bool has = can >> capabilities[i].cap & 1;

		if (has && (capabilities[i].of_network ? uplink : same))
			gap_add(g, capabilities[i].gap, "process %d has %s, or can get it",
				(int)p->pid, capabilities[i].name);
	}
}

static bool is_device(int fd, const char *name)
{
	struct ifreq r = { 0 };

	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFHWADDR, &r) < 0)
		return true;
	switch (r.ifr_hwaddr.sa_family) {
	case ARPHRD_LOOPBACK:
	case ARPHRD_TUNNEL: /* the kernel's own, of every namespace: they need another device */
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		return false;
	default:
		return true;
	}
}

/* Is there a device that leads anywhere? Called inside. */
static bool any_device(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct if_nameindex *all = if_nameindex();
	bool any = !all || fd < 0;

	for (struct if_nameindex *i = all; i && !any && i->if_index; i++)
		any = is_device(fd, i->if_name);
	if (all)
		if_freenameindex(all);
	return any;
}

static bool has_uplink(int ns)
{
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	bool any;

	if (ns < 0 || home < 0 || setns(ns, CLONE_NEWNET) < 0)
		return true;
	any = any_device();
	if (setns(home, CLONE_NEWNET) < 0) {
		log_error("cannot return from the other network namespace: %s", strerror(errno));
		abort();
	}
	return any;
}

static bool is_member(const struct target *t, pid_t pid)
{
	for (size_t i = 0; i < t->pid_count; i++)
		if (t->pids[i] == pid)
			return true;
	return false;
}

struct users {
	uint32_t uids[USERS_MAX];
	size_t n;
	bool more; /* than fit */
};

static bool has_user(const struct users *u, uint32_t uid)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->uids[i] == uid)
			return true;
	return u->more;
}

static void note_user(struct users *u, uint32_t uid)
{
	if (has_user(u, uid))
		return;
	if (u->n == USERS_MAX)
		u->more = true;
	else
		u->uids[u->n++] = uid;
}

/* Processes outside that a member sees and may take over by ptrace. */
static void find_same_user(const struct target *t, const struct users *users, struct gaps *g)
{
	DIR *proc = opendir("/proc");
	struct process p;
	struct dirent *e;

	if (!proc) {
		gap_add(g, GAP_SAME_USER, "cannot be looked for: /proc cannot be read");
		return;
	}
	while (!(g->open & 1U << GAP_SAME_USER) && (e = readdir(proc))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		/* What we may not look at, nobody in there may trace. */
		if (pid > 0 && !is_member(t, pid) && read_process(pid, &p) == 0 && !p.kernel &&
		    has_user(users, p.uid))
			gap_add(g, GAP_SAME_USER,
				"process %d outside has the same user (%u), and can be seen",
				(int)pid, p.uid);
	}
	(void)closedir(proc);
}

static void find_vsock(struct gaps *g)
{
	_cleanup_close_ int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
	unsigned int cid = VMADDR_CID_ANY;

	if (fd < 0 && errno == ENOENT) {
		fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0)
			gap_add(g, GAP_VSOCK, "the kernel has AF_VSOCK");
		return;
	}
	if (fd >= 0 && ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) == 0 &&
	    cid == VMADDR_CID_ANY)
		return;
	gap_add(g, GAP_VSOCK, "this machine can speak to its host, or its guests, over AF_VSOCK");
}

static void find_keyring(struct gaps *g)
{
	static const char helper[] = "/sbin/request-key";

	if (access(helper, X_OK) == 0)
		gap_add(g, GAP_KEYRING, "request_key makes the kernel start %s outside", helper);
}

static void find_sockets(const struct held *h, struct gaps *g)
{
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < h->n; i++) {
		const struct held_socket *s = &h->items[i];

		if (s->kind == HELD_PACKET)
			gap_add(g, GAP_PACKET, "process %d holds a packet socket (descriptor %d)",
				(int)s->pid, s->fd);
		else if (s->kind == HELD_UNKNOWN)
			gap_add(g, GAP_ALIEN, "descriptor %d of process %d cannot be looked at",
				s->fd, (int)s->pid);
		else if (s->kind == HELD_ALIEN)
			gap_add(g, GAP_ALIEN,
				"process %d holds a socket that was made outside (descriptor %d, "
				"%s)",
				(int)s->pid, s->fd,
				s->diag.family ? endpoint_text(&s->diag.local, text)
					       : "of another network");
	}
}

/* ---- all of it ---- */

struct views {
	uint64_t seen[VIEWS_MAX];
	size_t n;
};

static bool is_new_view(struct views *v, uint64_t mnt)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->seen[i] == mnt)
			return false;
	if (v->n < VIEWS_MAX)
		v->seen[v->n++] = mnt;
	return true;
}

static uint64_t served_net(const struct target *t, int ns, const struct process *us)
{
	struct stat st;

	(void)t;
	if (ns < 0)
		return us->net;
	return fstat(ns, &st) < 0 ? 0 : st.st_ino;
}

int gaps_find(const struct target *t, int ns, const struct held *h, struct gaps *ret,
	      struct why *why)
{
	bool uplink = has_uplink(ns);
	struct users users = { 0 };
	struct views views = { 0 };
	struct process us, p;
	uint64_t net;
	int r = 0;

	*ret = (struct gaps){ 0 };
	if (read_process(getpid(), &us) < 0)
		return why_set(why, -EIO, "cannot read /proc/self/status");
	net = served_net(t, ns, &us);
	for (size_t i = 0; r == 0 && i < t->pid_count; i++) {
		r = read_process(t->pids[i], &p);
		if (r == -ESRCH) {
			r = 0;
			continue;
		}
		if (r < 0)
			return why_set(why, r, "cannot look at process %d of %s: %s",
				       (int)t->pids[i], t->path, strerror(-r));
		find_capabilities(&p, &us, uplink, ret);
		if (p.net != net)
			gap_add(ret, GAP_NESTED,
				"process %d is in another network namespace: it has no network",
				(int)p.pid);
		if (p.pidns == us.pidns) {
			gap_add(ret, GAP_HOST_PID, "process %d sees the host's processes",
				(int)p.pid);
			note_user(&users, p.uid);
		}
		if (is_new_view(&views, p.mnt))
			r = gapfiles_find(p.pid, p.user == us.user && p.uid == 0, t, h, ret);
	}
	if (r < 0)
		return why_set(why, r, "cannot look for ways out around %s: %s", t->path,
			       strerror(-r));
	if (users.n)
		find_same_user(t, &users, ret);
	find_vsock(ret);
	find_keyring(ret);
	find_sockets(h, ret);
	return 0;
}
