/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sandbox sees, looked at from within. Each test builds a view in a child that has pid,
 * mount and network namespaces of its own, so that nothing of it is left afterwards. A check that
 * does not hold says where, and ends the child with 1.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/allowed.h"
#include "supervisor/etcfiles.h"
#include "supervisor/rundir.h"
#include "supervisor/view.h"

#define SOME_UID 54321
#define SOME_GID 54322

#define must(condition)                                                                   \
	do {                                                                              \
		if (!(condition)) {                                                       \
			(void)fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, \
				      __LINE__, #condition, errno);                       \
			_exit(1);                                                         \
		}                                                                         \
	} while (0)

#define must_fail(call, err) must((call) == -1 && errno == (err))

static const char *const nothing[] = { NULL };

#define VIEW_SETUP                                                                         \
	{                                                                                  \
		.uid = SOME_UID, .gid = SOME_GID, .private_network = true, .cwd = "/",     \
		.resolv_conf = "nameserver 127.0.0.1\n", .hosts = "127.0.0.1 localhost\n", \
		.mask = nothing, .argv = nothing, .envp = nothing, .command_tty = ""       \
	}

struct trial {
	struct init_setup setup;
	void (*before)(void); /* in the new namespaces, before the view; may be NULL */
	void (*inside)(void);
};

static _Noreturn void first_process(const struct trial *t)
{
	struct why why = { "" };

	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	if (t->before)
		t->before();
	if (view_build(&t->setup, &why) < 0) {
		(void)fprintf(stderr, "view_build: %s\n", why.text);
		_exit(1);
	}
	t->inside();
	_exit(0);
}

static void try_view(const struct trial *t)
{
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("SKIPPED: only root can make namespaces and mounts\n");
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		must(unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) == 0);
		pid = fork();
		if (pid == 0)
			first_process(t);
		must(waitpid(pid, &status, 0) == pid);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The whole file as text. */
static const char *content(const char *path)
{
	static char text[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	must(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	must(n >= 0);
	text[n] = '\0';
	(void)close(fd);
	return text;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	must(fd >= 0);
	must(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static size_t count_entries(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	must(d != NULL);
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	(void)closedir(d);
	return n;
}

static void must_be_readonly(const char *path)
{
	struct statvfs fs;

	must(statvfs(path, &fs) == 0);
	must(fs.f_flag & ST_RDONLY);
}

/* From here on as an ordinary user. */
static void become_user(void)
{
	must(setgroups(0, NULL) == 0);
	must(setgid(SOME_GID) == 0 && setuid(SOME_UID) == 0);
}

/* ---- /proc and /sys ---- */

static void inside_proc(void)
{
	must(getpid() == 1);
	must(strcmp(content("/proc/self/comm"), content("/proc/1/comm")) == 0);
	must(!exists("/proc/2"));
	must_fail(open("/proc/sys/kernel/core_pattern", O_WRONLY), EROFS);
	must_fail(open("/proc/sys/vm/drop_caches", O_WRONLY), EROFS);
	must(!exists("/proc/sysrq-trigger") ||
	     (open("/proc/sysrq-trigger", O_WRONLY) < 0 && errno == EROFS));
	must_fail(open("/proc/irq/default_smp_affinity", O_WRONLY), EROFS);
	must(!exists("/proc/kcore") || *content("/proc/kcore") == '\0');
	must(!exists("/proc/interrupts") || *content("/proc/interrupts") == '\0');
	must(!exists("/proc/keys") || *content("/proc/keys") == '\0');
	must(!exists("/proc/timer_list") || *content("/proc/timer_list") == '\0');
	must(!exists("/proc/acpi") || count_entries("/proc/acpi") == 0);
	/* Its own files stay writable. */
	write_file("/proc/self/oom_score_adj", "10");
}

static void test_proc_is_its_own_and_protected(void **state)
{
	const struct trial t = { .setup = VIEW_SETUP, .inside = inside_proc };

	(void)state;
	try_view(&t);
}

static void inside_sys(void)
{
	/* Of its own network: nothing but lo. */
	must(exists("/sys/class/net/lo"));
	must(count_entries("/sys/class/net") == 1);
	must_be_readonly("/sys");
	must(!exists("/sys/fs/cgroup") || count_entries("/sys/fs/cgroup") == 0);
	must(!exists("/sys/fs/bpf") || count_entries("/sys/fs/bpf") == 0);
	must(!exists("/sys/kernel/debug") || count_entries("/sys/kernel/debug") == 0);
	must_fail(open("/sys/class/net/lo/mtu", O_WRONLY), EROFS);
}

static void test_sys_shows_its_own_network_readonly(void **state)
{
	const struct trial t = { .setup = VIEW_SETUP, .inside = inside_sys };

	(void)state;
	try_view(&t);
}

static void inside_host_sys(void)
{
	must_be_readonly("/sys");
	must(!exists("/sys/fs/cgroup") || count_entries("/sys/fs/cgroup") == 0 ||
	     !exists("/sys/fs/cgroup/cgroup.procs"));
	must(!exists("/sys/fs/cgroup/unified") || count_entries("/sys/fs/cgroup/unified") == 0);
	must(!exists("/sys/fs/bpf") || count_entries("/sys/fs/bpf") == 0);
	must(!exists("/sys/kernel/security") || count_entries("/sys/kernel/security") == 0);
	must_fail(mkdir("/sys/fs/cgroup/x", 0700), EROFS);
}

static void mount_on_sys(void)
{
	(void)mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL);
	must(mkdir("/sys/fs/bpf/pinned", 0700) == 0);
	(void)mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
}

static void test_host_sys_without_what_steers(void **state)
{
	struct trial t = { .setup = VIEW_SETUP, .before = mount_on_sys, .inside = inside_host_sys };

	(void)state;
	t.setup.private_network = false;
	try_view(&t);
}

/* ---- other places of kernel file systems ---- */

#define ODD_PLACE "/tmp/a place\twith \\ all"

/* On a tmpfs of its own, so that the host's /tmp sees nothing of it. */
static void mount_odd_places(void)
{
	must(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777") == 0);
	must(mkdir(ODD_PLACE, 0755) == 0 && mkdir("/tmp/proc", 0755) == 0 &&
	     mkdir("/tmp/sys", 0755) == 0 && mkdir("/tmp/bpf", 0755) == 0 &&
	     mkdir("/tmp/under", 0755) == 0);
	must(mount("cgroup2", ODD_PLACE, "cgroup2", 0, NULL) == 0);
	must(count_entries(ODD_PLACE) > 0);
	/* Another proc: of these namespaces, but not the one that the view makes. */
	must(mount("proc", "/tmp/proc", "proc", 0, NULL) == 0);
	must(mount("sysfs", "/tmp/sys", "sysfs", 0, NULL) == 0);
	must(mount("bpf", "/tmp/bpf", "bpf", 0, NULL) == 0);
	must(mkdir("/tmp/bpf/pinned", 0700) == 0);
	write_file("/tmp/file", "");
	must(mount("/tmp/proc/version", "/tmp/file", NULL, MS_BIND, NULL) == 0);
	/* This one is covered already. */
	must(mount("cgroup2", "/tmp/under", "cgroup2", 0, NULL) == 0);
	must(mount("tmpfs", "/tmp/under", "tmpfs", 0, NULL) == 0);
	write_file("/tmp/under/kept", "k");
}

static void inside_odd_places(void)
{
	must(count_entries(ODD_PLACE) == 0);
	must_be_readonly(ODD_PLACE);
	must(count_entries("/tmp/proc") == 0);
	must(count_entries("/tmp/sys") == 0);
	must(count_entries("/tmp/bpf") == 0);
	must(*content("/tmp/file") == '\0');
	must(strcmp(content("/tmp/under/kept"), "k") == 0);
	/* And its own are there. */
	must(exists("/proc/version") && exists("/sys/class"));
}

static void test_kernel_mounts_elsewhere_are_hidden(void **state)
{
	const struct trial t = { .setup = VIEW_SETUP,
				 .before = mount_odd_places,
				 .inside = inside_odd_places };

	(void)state;
	try_view(&t);
}

/* The same list again from the kernel: nothing dangerous is on top anywhere. */
static void inside_no_cgroup_writable(void)
{
	static const char *const places[] = { "/sys/fs/cgroup/unified/cgroup.procs",
					      "/sys/fs/cgroup/cgroup.procs",
					      "/sys/fs/cgroup/systemd/cgroup.procs" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		must(open(places[i], O_WRONLY) < 0 && open(places[i], O_RDONLY) < 0);
}

static void test_cgroups_cannot_be_left_by_files(void **state)
{
	struct trial t = { .setup = VIEW_SETUP, .inside = inside_no_cgroup_writable };

	(void)state;
	try_view(&t);
	t.setup.private_network = false;
	try_view(&t);
}

/* ---- /run ---- */

static void fake_run(void)
{
	must(mount("tmpfs", "/run", "tmpfs", 0, "mode=755") == 0);
	must(mkdir("/run/work", 0755) == 0 && mkdir("/run/work/deep", 0755) == 0);
	must(mkdir("/run/dbus", 0755) == 0);
	write_file("/run/work/deep/file", "mine");
	write_file("/run/secret.sock", "x");
	write_file("/run/dbus/bus", "x");
}

static void inside_run(void)
{
	struct stat st;

	must(!exists("/run/secret.sock") && !exists("/run/dbus") && !exists("/run/work"));
	must(!exists("/var/run/secret.sock"));
	must(stat("/run", &st) == 0 && (st.st_mode & 07777) == 0755 && st.st_uid == 0);
	must(stat("/run/lock", &st) == 0 && (st.st_mode & 07777) == 01777);
	must(stat("/run/user/54321", &st) == 0);
	must((st.st_mode & 07777) == 0700 && st.st_uid == SOME_UID && st.st_gid == SOME_GID);
	become_user();
	write_file("/run/user/54321/x", "x");
	must_fail(open("/run/x", O_WRONLY | O_CREAT, 0600), EACCES);
}

static void test_run_is_empty_and_the_users_place_is_there(void **state)
{
	const struct trial t = { .setup = VIEW_SETUP, .before = fake_run, .inside = inside_run };

	(void)state;
	try_view(&t);
}

static void inside_kept(void)
{
	must(strcmp(content("/run/work/deep/file"), "mine") == 0);
	must(count_entries("/run/work") == 1);
	must(!exists("/run/secret.sock") && !exists("/run/dbus"));
	write_file("/run/work/deep/new", "n");
}

static void test_working_directory_below_run_is_kept(void **state)
{
	struct trial t = { .setup = VIEW_SETUP, .before = fake_run, .inside = inside_kept };

	(void)state;
	t.setup.cwd = "/run/work/deep";
	try_view(&t);
}

static void inside_dbus(void)
{
	must(!exists("/run/dbus/bus"));
}

static void test_daemons_directory_is_not_kept(void **state)
{
	struct trial t = { .setup = VIEW_SETUP, .before = fake_run, .inside = inside_dbus };

	(void)state;
	t.setup.cwd = "/run/dbus";
	try_view(&t);
}

static void link_into_run(void)
{
	fake_run();
	must(symlink("/run/secret.sock", "/run/work/deep/link") == 0);
	must(symlink("work", "/run/linked") == 0);
}

static void inside_not_followed(void)
{
	must(!exists("/run/linked") && !exists("/run/work"));
}

static void test_link_instead_of_a_working_directory_is_not_followed(void **state)
{
	struct trial t = { .setup = VIEW_SETUP,
			   .before = link_into_run,
			   .inside = inside_not_followed };

	(void)state;
	t.setup.cwd = "/run/linked/deep";
	try_view(&t);
}

static void test_which_directories_below_run_may_be_kept(void **state)
{
	static const struct {
		const char *cwd;
		bool may;
	} rows[] = {
		{ "/run", false },
		{ "/run/", false },
		{ "/home/x", false },
		{ "/running/x", false },
		{ "/run/user", false },
		{ "/run/user/1000", false },
		{ "/run/user/1000/", false },
		{ "/run/user/1000/gnupg", false },
		{ "/run/user/1000/systemd/x", false },
		{ "/run/systemd", false },
		{ "/run/docker/plugins", false },
		{ "/run/x/../dbus", false },
		{ "/run//dbus", false },
		{ "/run/./dbus", false },
		{ "/run/x/docker", false },
		{ "/run/build", true },
		{ "/run/build/sub", true },
		{ "/run/user/1000/project", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rundir_may_keep(rows[i].cwd) != rows[i].may)
			fail_msg("wrong about %s", rows[i].cwd);
}

/* ---- /dev ---- */

static void inside_private_dev(void)
{
	static const struct {
		const char *path;
		unsigned int minor;
	} nodes[] = { { "/dev/null", 3 },
		      { "/dev/zero", 5 },
		      { "/dev/full", 7 },
		      { "/dev/random", 8 },
		      { "/dev/urandom", 9 } };
	struct stat st;
	char c = 1;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		must(stat(nodes[i].path, &st) == 0 && S_ISCHR(st.st_mode));
		must(st.st_rdev == makedev(1, nodes[i].minor));
	}
	fd = open("/dev/zero", O_RDONLY);
	must(fd >= 0 && read(fd, &c, 1) == 1 && c == 0);
	must(open("/dev/null", O_RDWR) >= 0);
	must(stat("/dev/tty", &st) == 0 && st.st_rdev == makedev(5, 0));
	must(stat("/dev/shm", &st) == 0 && (st.st_mode & 07777) == 01777);
	must(exists("/dev/fd") && exists("/dev/stdin") && exists("/dev/ptmx"));
	/* null zero full random urandom tty ptmx pts shm fd stdin stdout stderr */
	must(count_entries("/dev") <= 13);
	/* A node of our own opens nothing, wherever it is. */
	must(mknod("/run/disk", S_IFBLK | 0600, makedev(254, 0)) == 0);
	must_fail(open("/run/disk", O_RDONLY), EACCES);
}

static void inside_terminals(void)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);

	must(master >= 0);
	must(unlockpt(master) == 0 && ptsname(master) != NULL);
	must(open(ptsname(master), O_RDWR | O_NOCTTY) >= 0);
	become_user();
	must(open("/dev/ptmx", O_RDWR | O_NOCTTY) >= 0);
}

static void inside_root_dev(void)
{
	inside_private_dev();
	inside_terminals();
}

static void node_elsewhere(void)
{
	must(mount("tmpfs", "/opt", "tmpfs", 0, NULL) == 0);
	must(mknod("/opt/zero", S_IFCHR | 0666, makedev(1, 5)) == 0);
	must(open("/opt/zero", O_RDONLY) >= 0);
}

static void inside_node_elsewhere(void)
{
	must_fail(open("/opt/zero", O_RDONLY), EACCES);
	inside_root_dev();
}

static void test_private_dev(void **state)
{
	struct trial t = { .setup = VIEW_SETUP,
			   .before = node_elsewhere,
			   .inside = inside_node_elsewhere };

	(void)state;
	t.setup.private_dev = true;
	try_view(&t);
}

static void put_in_shm(void)
{
	must(mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL) == 0);
	write_file("/dev/shm/outside", "x");
}

static void inside_shared_dev(void)
{
	struct stat st;

	must(count_entries("/dev/shm") == 0);
	must(stat("/dev/shm", &st) == 0 && (st.st_mode & 07777) == 01777);
	must(open("/dev/null", O_RDWR) >= 0);
	become_user();
	write_file("/dev/shm/own", "x");
}

static void test_shared_memory_is_its_own(void **state)
{
	const struct trial t = { .setup = VIEW_SETUP,
				 .before = put_in_shm,
				 .inside = inside_shared_dev };

	(void)state;
	try_view(&t);
}

/* ---- /etc ---- */

/* An /etc of the test's own. */
static void fake_etc(const char *resolv_link)
{
	must(mount("tmpfs", "/etc", "tmpfs", 0, "mode=755") == 0);
	write_file("/etc/hosts", "10.0.0.1 outside\n");
	write_file("/etc/nsswitch.conf",
		   "passwd: files\nhosts: files resolve [!UNAVAIL=return] dns\n");
	if (resolv_link)
		must(symlink(resolv_link, "/etc/resolv.conf") == 0);
	else
		write_file("/etc/resolv.conf", "nameserver 10.0.0.1\n");
}

static void plain_etc(void)
{
	fake_etc(NULL);
}

static void linked_etc(void)
{
	fake_run();
	must(mkdir("/run/systemd", 0755) == 0 && mkdir("/run/systemd/resolve", 0755) == 0);
	write_file("/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n");
	fake_etc("../run/systemd/resolve/stub-resolv.conf");
}

static void dangling_etc(void)
{
	fake_run();
	fake_etc("/run/resolvconf/resolv.conf");
}

static void inside_etc(void)
{
	must(strcmp(content("/etc/resolv.conf"), "nameserver 127.0.0.1\n") == 0);
	must(strcmp(content("/etc/hosts"), "127.0.0.1 localhost\n") == 0);
	must(strcmp(content("/etc/nsswitch.conf"), "passwd: files\nhosts: files dns\n") == 0);
	must_fail(open("/etc/resolv.conf", O_WRONLY), EROFS);
	must_fail(open("/etc/hosts", O_WRONLY), EROFS);
	must_fail(open("/etc/nsswitch.conf", O_WRONLY), EROFS);
	become_user();
	must(strcmp(content("/etc/resolv.conf"), "nameserver 127.0.0.1\n") == 0);
}

static void test_name_files_are_its_own(void **state)
{
	static void (*const before[])(void) = { plain_etc, linked_etc, dangling_etc };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		const struct trial t = { .setup = VIEW_SETUP,
					 .before = before[i],
					 .inside = inside_etc };

		try_view(&t);
	}
}

/* A umask that lets nobody read must not reach the files that COMMAND needs. */
static void strict_umask(void)
{
	linked_etc();
	(void)umask(077);
}

static void test_the_callers_umask_does_not_matter(void **state)
{
	const struct trial t = { .setup = VIEW_SETUP,
				 .before = strict_umask,
				 .inside = inside_etc };

	(void)state;
	try_view(&t);
}

static void inside_left_alone(void)
{
	must(strcmp(content("/etc/resolv.conf"), "nameserver 127.0.0.53\n") == 0);
	must(strcmp(content("/etc/hosts"), "10.0.0.1 outside\n") == 0);
	must(count_entries("/run/systemd") == 1);
}

static void test_name_files_that_stay(void **state)
{
	struct trial t = { .setup = VIEW_SETUP, .before = linked_etc, .inside = inside_left_alone };

	(void)state;
	t.setup.resolv_conf = t.setup.hosts = "";
	try_view(&t);
}

static void empty_etc(void)
{
	must(mount("tmpfs", "/etc", "tmpfs", 0, "mode=755") == 0);
}

static void inside_empty_etc(void)
{
	must(count_entries("/etc") == 0);
}

static void test_name_files_that_do_not_exist(void **state)
{
	const struct trial t = { .setup = VIEW_SETUP,
				 .before = empty_etc,
				 .inside = inside_empty_etc };

	(void)state;
	try_view(&t);
}

static void test_nsswitch_rewrite(void **state)
{
	static const struct {
		const char *why, *in, *out;
	} rows[] = {
		{ "empty", "", "hosts: files dns\n" },
		{ "no hosts line", "passwd: files\n", "passwd: files\nhosts: files dns\n" },
		{ "without a last newline", "passwd: files", "passwd: files\nhosts: files dns\n" },
		{ "replaced", "hosts: mymachines resolve\na: b\n", "a: b\nhosts: files dns\n" },
		{ "indented, and twice", " \thosts:\tresolve\nhosts: x", "hosts: files dns\n" },
		{ "a comment stays", "#hosts: x\n", "#hosts: x\nhosts: files dns\n" },
		{ "not the same word", "hostsx: y\n", "hostsx: y\nhosts: files dns\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct buf b = BUF_INIT(256);

		assert_int_equal(nsswitch_rewrite(str_of(rows[i].in), &b), 0);
		if (!str_eq(buf_str(&b), str_of(rows[i].out)))
			fail_msg("wrong: %s: %.*s", rows[i].why, STR_FMT(buf_str(&b)));
		buf_done(&b);
	}
}

/* ---- sockets of programs outside ---- */

static void listen_at(const char *path, mode_t mode)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 1) == 0);
	must(chmod(path, mode) == 0);
}

static int reach(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static void daemons(void)
{
	must(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777") == 0);
	must(mkdir("/tmp/mixed", 0755) == 0 && mkdir("/tmp/only", 0711) == 0 &&
	     mkdir("/tmp/real", 0755) == 0 && mkdir("/tmp/cwd", 0755) == 0);
	must(chown("/tmp/only", SOME_UID, SOME_GID) == 0);
	listen_at("/tmp/mixed/sock", 0777);
	write_file("/tmp/mixed/file", "file");
	listen_at("/tmp/only/a", 0777);
	listen_at("/tmp/only/b", 0777);
	listen_at("/tmp/real/sock", 0777);
	write_file("/tmp/real/x", "x");
	must(symlink("real", "/tmp/link") == 0);
	write_file("/tmp/not_a_socket", "data");
	listen_at("/tmp/cwd/sock", 0777);
	must(symlink("/tmp/not_a_socket", "/tmp/swapped") == 0);
	must(reach("/tmp/only/a") == 0);
}

static const char *const daemon_paths[] = {
	"/tmp/mixed/sock",     "/tmp/only/a",	    "/tmp/only/b",
	"/tmp/link/sock",      "/tmp/gone",	    "/tmp/gone/gone",
	"/tmp/not_a_socket/x", "/tmp/not_a_socket", "/tmp/swapped",
	"/tmp/cwd/sock",       "relative",	    NULL,
};

static void inside_daemons(void)
{
	struct stat st;

	must_fail(reach("/tmp/mixed/sock"), ECONNREFUSED);
	must_fail(reach("/tmp/real/sock"), ECONNREFUSED);
	must_fail(reach("/tmp/link/sock"), ECONNREFUSED);
	must_fail(reach("/tmp/cwd/sock"), ECONNREFUSED);
	must(strcmp(content("/tmp/mixed/file"), "file") == 0);
	must(strcmp(content("/tmp/not_a_socket"), "data") == 0);
	must(strcmp(content("/tmp/swapped"), "data") == 0);
	/* The directory of sockets is empty, its owner's, and of use. */
	must_fail(reach("/tmp/only/a"), ENOENT);
	must_fail(reach("/tmp/only/b"), ENOENT);
	must(stat("/tmp/only", &st) == 0 && (st.st_mode & 07777) == 0711);
	must(st.st_uid == SOME_UID && st.st_gid == SOME_GID);
	become_user();
	listen_at("/tmp/only/own", 0700);
	must(reach("/tmp/only/own") == 0);
	/* What hides cannot be moved out of the way. */
	must(unlink("/tmp/mixed/sock") < 0);
	must(umount2("/tmp/mixed/sock", MNT_DETACH) < 0);
}

static void test_sockets_of_daemons_are_hidden(void **state)
{
	struct trial t = { .setup = VIEW_SETUP, .before = daemons, .inside = inside_daemons };

	(void)state;
	t.setup.mask = daemon_paths;
	t.setup.cwd = "/tmp/cwd";
	try_view(&t);
}

static const char *const allowed_paths[] = {
	"/tmp/only/a",	  "/var/run/d/sock", "/run/link", "/tmp/mixed/sock",
	"/run/work/sock", "/dev/shm/sock",   NULL,
};

static const char *const masked_paths[] = {
	"/tmp/mixed/sock", "/tmp/only/b", "/tmp/only/a",  "/tmp/real/sock",
	"/run/work/other", "/run/d/sock", "/run/d/other", NULL,
};

static void daemons_everywhere(void)
{
	daemons();
	fake_run();
	must(mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") == 0);
	must(mkdir("/run/d", 0700) == 0 && symlink("d/linked", "/run/link") == 0);
	listen_at("/run/d/sock", 0777);
	listen_at("/run/d/other", 0777);
	listen_at("/run/d/linked", 0777);
	listen_at("/run/work/sock", 0777);
	listen_at("/run/work/other", 0777);
	listen_at("/dev/shm/sock", 0777);
	listen_at("/dev/shm/other", 0777);
}

static void inside_allowed(void)
{
	struct stat st;

	become_user();
	for (size_t i = 0; allowed_paths[i]; i++)
		if (reach(allowed_paths[i]) < 0) {
			(void)fprintf(stderr, "%s: %s\n", allowed_paths[i], strerror(errno));
			_exit(1);
		}
	must(reach("/run/d/linked") == 0);
	/* And nothing besides: not its neighbours, nor what is in the same directory. */
	must_fail(reach("/tmp/only/b"), ENOENT);
	must_fail(reach("/tmp/real/sock"), ECONNREFUSED);
	must_fail(reach("/run/work/other"), ECONNREFUSED);
	must_fail(reach("/run/d/other"), ENOENT);
	must_fail(reach("/dev/shm/other"), ENOENT);
	must(!exists("/run/secret.sock") && !exists("/run/dbus"));
	must(strcmp(content("/run/work/deep/file"), "mine") == 0);
	must(stat("/tmp/only", &st) == 0 && (st.st_mode & 07777) == 0711);
}

static void test_allowed_sockets_are_in_their_places(void **state)
{
	struct trial t = { .setup = VIEW_SETUP,
			   .before = daemons_everywhere,
			   .inside = inside_allowed };

	(void)state;
	t.setup.mask = masked_paths;
	t.setup.allow = allowed_paths;
	t.setup.cwd = "/run/work";
	try_view(&t);
	t.setup.private_dev = true;
	try_view(&t);
}

static void test_what_cannot_be_allowed(void **state)
{
	static const struct {
		const char *path;
		int error;
	} rows[] = {
		{ "/no/such/socket", -ENOENT },
		{ "/etc/passwd", -ENOTSOCK },
		{ "/", -ENOTSOCK },
		{ "relative", -EINVAL },
		{ "", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *const paths[] = { rows[i].path, NULL };
		struct why why = { "" };
		struct allowed a;

		assert_int_equal(allowed_open(paths, &a, &why), rows[i].error);
		assert_true(why.text[0] != '\0');
		allowed_close(&a);
	}
}

/* ---- in a user namespace of COMMAND's own ---- */

static void inside_user_namespace(void)
{
	become_user();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return; /* the machine does not allow them: nothing to check */
	must(umount2("/proc/sys", MNT_DETACH) < 0);
	must(umount2("/run", MNT_DETACH) < 0);
	must(umount2("/sys", MNT_DETACH) < 0);
	must(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL) < 0);
	must(mount("proc", "/proc", "proc", 0, NULL) < 0);
	must(mount("sysfs", "/mnt", "sysfs", 0, NULL) < 0);
}

static void test_a_user_namespace_uncovers_nothing(void **state)
{
	const struct trial t = { .setup = VIEW_SETUP,
				 .before = fake_run,
				 .inside = inside_user_namespace };

	(void)state;
	try_view(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proc_is_its_own_and_protected),
		cmocka_unit_test(test_sys_shows_its_own_network_readonly),
		cmocka_unit_test(test_host_sys_without_what_steers),
		cmocka_unit_test(test_kernel_mounts_elsewhere_are_hidden),
		cmocka_unit_test(test_cgroups_cannot_be_left_by_files),
		cmocka_unit_test(test_run_is_empty_and_the_users_place_is_there),
		cmocka_unit_test(test_working_directory_below_run_is_kept),
		cmocka_unit_test(test_daemons_directory_is_not_kept),
		cmocka_unit_test(test_link_instead_of_a_working_directory_is_not_followed),
		cmocka_unit_test(test_which_directories_below_run_may_be_kept),
		cmocka_unit_test(test_private_dev),
		cmocka_unit_test(test_shared_memory_is_its_own),
		cmocka_unit_test(test_name_files_are_its_own),
		cmocka_unit_test(test_the_callers_umask_does_not_matter),
		cmocka_unit_test(test_name_files_that_stay),
		cmocka_unit_test(test_name_files_that_do_not_exist),
		cmocka_unit_test(test_nsswitch_rewrite),
		cmocka_unit_test(test_sockets_of_daemons_are_hidden),
		cmocka_unit_test(test_allowed_sockets_are_in_their_places),
		cmocka_unit_test(test_what_cannot_be_allowed),
		cmocka_unit_test(test_a_user_namespace_uncovers_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
