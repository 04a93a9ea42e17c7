/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets: those of the world outside are refused, by path and by abstract name; the sandbox's
 * own abstract ones, pairs, and allowed names work. And what no hook can tell apart is shown as it
 * is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bpf/redirect.h"
#include "redirect/origin.h"
#include "redirect/pins.h"
#include "redirect/unix.h"
#include "tests/support/bpf_frame.h"
#include "tests/support/bpf_ring.h"

#define PINS  "/sys/fs/bpf/held"
#define FLOOD 3000

static struct redirect_unix *unix_programs;
static char dir[] = "/tmp/nono-unix-XXXXXX";

/* ---- names: '@' first is an abstract one; "%" at the end of the folder ---- */

static socklen_t name_of(const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (name[0] == '@') {
		memcpy(ret->sun_path + 1, name + 1, strlen(name) - 1);
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	}
	if (name[0] == '/')
		(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s%s", dir, name);
	else
		(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", name);
	return sizeof(*ret);
}

static int ask_addr(int type, const struct sockaddr_un *un, socklen_t n)
{
	struct pollfd p = { .events = POLLIN };
	char text[16] = "";
	int fd = socket(AF_UNIX, type, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)un, n) < 0)
		return errno;
	if (type == SOCK_DGRAM)
		return send(fd, "nono", 4, MSG_DONTWAIT) < 0 ? errno : ANS_SENT;
	p.fd = fd;
	if (poll(&p, 1, 1000) == 0)
		return ANS_QUIET;
	if (recv(fd, text, sizeof(text) - 1, 0) <= 0)
		return errno;
	return strncmp(text, "OWN", 3) == 0 ? ANS_OWN : ANS_OUT;
}

static int ask(int type, const char *name)
{
	struct sockaddr_un un;
	socklen_t n = name_of(name, &un);

	return ask_addr(type, &un, n);
}

static int send_to(const char *name)
{
	struct sockaddr_un un;
	socklen_t n = name_of(name, &un);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	return sendto(fd, "nono", 4, MSG_DONTWAIT, (struct sockaddr *)&un, n) < 0 ? errno
										  : ANS_SENT;
}

/* ---- servers ---- */

static int listen_at(int type, const char *name)
{
	struct sockaddr_un un;
	socklen_t n = name_of(name, &un);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (name[0] == '/')
		(void)unlink(un.sun_path);
	if (bind(fd, (struct sockaddr *)&un, n) < 0 || (type != SOCK_DGRAM && listen(fd, 64) < 0))
		_exit(1);
	if (name[0] == '/')
		(void)chmod(un.sun_path, 0666);
	return fd;
}

struct unix_served {
	const char *name;
	int type;
};

static void serve(const struct unix_served *all, size_t count, const char *greeting)
{
	struct pollfd p[8];
	char text[16];

	for (size_t i = 0; i < count; i++)
		p[i] = (struct pollfd){ listen_at(all[i].type, all[i].name), POLLIN, 0 };
	bpf_ready();
	for (;;) {
		(void)poll(p, count, -1);
		for (size_t i = 0; i < count; i++) {
			int c;

			if (!p[i].revents)
				continue;
			if (all[i].type == SOCK_DGRAM) {
				(void)recv(p[i].fd, text, sizeof(text), 0);
				continue;
			}
			c = accept(p[i].fd, NULL, NULL);
			(void)send(c, greeting, strlen(greeting), MSG_NOSIGNAL);
			(void)close(c);
		}
	}
}

static void serve_outside(void)
{
	static const struct unix_served all[] = {
		{ "/out", SOCK_STREAM },     { "@nono-out", SOCK_STREAM },
		{ "/outd", SOCK_DGRAM },     { "@nono-outd", SOCK_DGRAM },
		{ "/outq", SOCK_SEQPACKET }, { "@nono-outq", SOCK_SEQPACKET },
		{ "/allowed", SOCK_STREAM }, { "@nono-both", SOCK_STREAM },
	};

	serve(all, ARRAY_SIZE(all), "OUT\n");
}

static void serve_inside(void)
{
	static const struct unix_served all[] = {
		{ "/own", SOCK_STREAM },
		{ "@nono-own", SOCK_STREAM },
		{ "@nono-ownd", SOCK_DGRAM },
		{ "@nono-ownq", SOCK_SEQPACKET },
		{ "@nono-both", SOCK_DGRAM },
		{ "@o", SOCK_STREAM },
		{ "@nono-out-", SOCK_STREAM },
		{ "@123456789012345678901234567890123456789012345678901234567890123456789012345678"
		  "90123456789012345678901234567",
		  SOCK_STREAM },
	};

	serve(all, ARRAY_SIZE(all), "OWN\n");
}

/* ---- tries ---- */

#define TRY(fn_name, expression)   \
	static int fn_name(void)   \
	{                          \
		return expression; \
	}

TRY(out_path, ask(SOCK_STREAM, "/out"))
TRY(out_abstract, ask(SOCK_STREAM, "@nono-out"))
TRY(out_path_seq, ask(SOCK_SEQPACKET, "/outq"))
TRY(out_abstract_seq, ask(SOCK_SEQPACKET, "@nono-outq"))
TRY(out_path_dgram, ask(SOCK_DGRAM, "/outd"))
TRY(out_abstract_dgram, ask(SOCK_DGRAM, "@nono-outd"))
TRY(out_path_sendto, send_to("/outd"))
TRY(out_abstract_sendto, send_to("@nono-outd"))
TRY(out_both, ask(SOCK_STREAM, "@nono-both"))
TRY(out_relative, chdir(dir) < 0 ? ANS_BROKEN : ask(SOCK_STREAM, "out"))
TRY(out_dots, chdir(dir) < 0 ? ANS_BROKEN : ask(SOCK_STREAM, "/../allowed/../out"))
TRY(allowed_relative, chdir(dir) < 0 ? ANS_BROKEN : ask(SOCK_STREAM, "allowed"))
TRY(allowed_with_slash, ask(SOCK_STREAM, "//allowed"))
TRY(allowed, ask(SOCK_STREAM, "/allowed"))
TRY(allowed_abstract, ask(SOCK_STREAM, "@nono-outq"))
TRY(link_to_out, ask(SOCK_STREAM, "/link"))
TRY(allowed_link_to_out, ask(SOCK_STREAM, "/allowed-link"))
TRY(own_path, ask(SOCK_STREAM, "/own"))
TRY(own_abstract, ask(SOCK_STREAM, "@nono-own"))
TRY(own_abstract_seq, ask(SOCK_SEQPACKET, "@nono-ownq"))
TRY(own_abstract_dgram, ask(SOCK_DGRAM, "@nono-ownd"))
TRY(own_abstract_sendto, send_to("@nono-ownd"))
TRY(own_both, ask(SOCK_DGRAM, "@nono-both"))
TRY(own_short, ask(SOCK_STREAM, "@o"))
TRY(own_prefix, ask(SOCK_STREAM, "@nono-out-"))
TRY(own_long, ask(SOCK_STREAM,
		  "@123456789012345678901234567890123456789012345678901234567890123456789012345678"
		  "90123456789012345678901234567"))
TRY(nobody_abstract, ask(SOCK_STREAM, "@nono-nobody"))
TRY(nobody_path, ask(SOCK_STREAM, "/nobody"))

/* A path may end before its zero byte, and go on behind it. */
static int out_path_short(void)
{
	struct sockaddr_un un;

	(void)name_of("/out", &un);
	return ask_addr(SOCK_STREAM, &un,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(un.sun_path)));
}

static int allowed_with_tail(void)
{
	struct sockaddr_un un;

	(void)name_of("/allowed", &un);
	un.sun_path[100] = 'x';
	return ask_addr(SOCK_STREAM, &un, sizeof(un));
}

static int out_with_allowed_behind(void)
{
	struct sockaddr_un un;
	size_t n;

	(void)name_of("/out", &un);
	n = strlen(un.sun_path);
	memcpy(un.sun_path + n + 1, "allowed", 7);
	return ask_addr(SOCK_STREAM, &un, sizeof(un));
}

static int out_ring(void)
{
	struct sockaddr_un un;
	struct sockaddr_storage ss = { 0 };
	socklen_t n = name_of("@nono-out", &un);
	int r;

	memcpy(&ss, &un, sizeof(un));
	r = bpf_ring_connect(0, 0, socket(AF_UNIX, SOCK_STREAM, 0), &ss, n);
	return r < 0 ? -r : ANS_OK;
}

/* Connected to one of its own, then turned to another. */
static int out_after_own(void)
{
	struct sockaddr_un un;
	socklen_t n = name_of("@nono-ownd", &un);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (connect(fd, (struct sockaddr *)&un, n) < 0)
		return ANS_BROKEN;
	n = name_of("@nono-outd", &un);
	if (sendto(fd, "nono", 4, MSG_DONTWAIT, (struct sockaddr *)&un, n) >= 0 || errno != EPERM)
		return ANS_WRONG;
	return bpf_result(connect(fd, (struct sockaddr *)&un, n));
}

static int pair(void)
{
	int fd[2];
	char c = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		return errno;
	return send(fd[0], "x", 1, 0) == 1 && recv(fd[1], &c, 1, 0) == 1 && c == 'x' ? ANS_OK
										     : ANS_WRONG;
}

static const struct {
	const char *name;
	int (*fn)(void);
	int without, with;
} rows[] = {
	{ "stream, path", out_path, ANS_OUT, EPERM },
	{ "stream, path without its zero byte", out_path_short, ANS_OUT, EPERM },
	{ "stream, abstract", out_abstract, ANS_OUT, EPERM },
	{ "stream, abstract, io_uring", out_ring, ANS_OK, EPERM },
	{ "seqpacket, path", out_path_seq, ANS_OUT, EPERM },
	{ "seqpacket, abstract (allowed)", out_abstract_seq, ANS_OUT, ANS_OUT },
	{ "datagram, path", out_path_dgram, ANS_SENT, EPERM },
	{ "datagram, abstract", out_abstract_dgram, ANS_SENT, EPERM },
	{ "datagram, sendto path", out_path_sendto, ANS_SENT, EPERM },
	{ "datagram, sendto abstract", out_abstract_sendto, ANS_SENT, EPERM },
	{ "datagram, first to its own", out_after_own, ANS_WRONG, EPERM },
	{ "the same abstract name, another type of its own", out_both, ANS_OUT, EPERM },
	{ "relative path", out_relative, ANS_OUT, EPERM },
	{ "path with dots", out_dots, ANS_ANY, EPERM },
	{ "symbolic link", link_to_out, ANS_OUT, EPERM },
	{ "allowed path behind another", out_with_allowed_behind, ANS_OUT, EPERM },
	{ "allowed path", allowed, ANS_OUT, ANS_OUT },
	{ "allowed path with something behind", allowed_with_tail, ANS_OUT, ANS_OUT },
	{ "allowed path, relative", allowed_relative, ANS_OUT, EPERM },
	{ "allowed path, another spelling", allowed_with_slash, ANS_OUT, EPERM },
	{ "allowed abstract name, of no such type", allowed_abstract, ECONNREFUSED, ECONNREFUSED },
	/* What it leads to is not seen: as documented. */
	{ "allowed path that is a link", allowed_link_to_out, ANS_OUT, ANS_OUT },
	/* Whose path it is, is not seen either. */
	{ "own, path", own_path, ANS_OWN, EPERM },
	{ "own, abstract", own_abstract, ANS_OWN, ANS_OWN },
	{ "own, abstract, seqpacket", own_abstract_seq, ANS_OWN, ANS_OWN },
	{ "own, abstract, datagram", own_abstract_dgram, ANS_SENT, ANS_SENT },
	{ "own, abstract, sendto", own_abstract_sendto, ANS_SENT, ANS_SENT },
	{ "own datagram, name of another's stream", own_both, ANS_SENT, ANS_SENT },
	{ "own, shortest name", own_short, ANS_OWN, ANS_OWN },
	{ "own, another's name and more", own_prefix, ANS_OWN, ANS_OWN },
	{ "own, longest name", own_long, ANS_OWN, ANS_OWN },
	{ "abstract name of nobody", nobody_abstract, ECONNREFUSED, EPERM },
	{ "path of nobody", nobody_path, ENOENT, EPERM },
	{ "a pair", pair, ANS_OK, ANS_OK },
};

static unsigned int try_all(const char *cgroup, bool with)
{
	pid_t outside = bpf_start(serve_outside, NULL), inside = bpf_start(serve_inside, cgroup);
	unsigned int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int want = with ? rows[i].with : rows[i].without;

		for (uid_t uid = 0; uid < 65535; uid += 65534) {
			int got = bpf_run(rows[i].fn, cgroup, uid);

			if (got == want || want == ANS_ANY)
				continue;
			print_error("%s, as %u, %s programs: %d, expected %d\n", rows[i].name, uid,
				    with ? "with" : "without", got, want);
			bad++;
		}
	}
	bpf_stop(outside);
	bpf_stop(inside);
	return bad;
}

static void allow(const char *name, int expected)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s%s", name[0] == '/' ? dir : "", name);
	assert_int_equal(redirect_unix_allow(unix_programs, path), expected);
}

static void test_names(void **state)
{
	char link[100], why[300] = "";
	int held = open(bpf_frame.held, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	(void)snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink("out", link), 0);
	(void)snprintf(link, sizeof(link), "%s/allowed-link", dir);
	assert_int_equal(symlink("out", link), 0);
	allow("/allowed", 0);
	allow("/allowed-link", 0);
	allow("@nono-outq", 0);
	assert_int_equal(try_all(bpf_frame.plain, false), 0);
	assert_int_equal(redirect_unix_verify(unix_programs, held, why, sizeof(why)), -ESTALE);
	assert_int_equal(redirect_unix_attach(unix_programs, held, PINS, why, sizeof(why)), 0);
	assert_int_equal(redirect_unix_verify(unix_programs, held, why, sizeof(why)), 0);
	assert_int_equal(try_all(bpf_frame.held, true), 0);
	(void)close(held);
}

static void test_names_that_cannot_be_allowed(void **state)
{
	char longest[NONO_UNIX_PATH + 2];

	(void)state;
	assert_int_equal(redirect_unix_allow(unix_programs, ""), -EINVAL);
	assert_int_equal(redirect_unix_allow(unix_programs, "/"), -EINVAL);
	assert_int_equal(redirect_unix_allow(unix_programs, "@"), -EINVAL);
	assert_int_equal(redirect_unix_allow(unix_programs, "run/x"), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[NONO_UNIX_PATH] = '\0';
	assert_int_equal(redirect_unix_allow(unix_programs, longest), 0);
	longest[NONO_UNIX_PATH] = 'a';
	longest[NONO_UNIX_PATH + 1] = '\0';
	assert_int_equal(redirect_unix_allow(unix_programs, longest), -ENAMETOOLONG);
}

/* ---- a cgroup below is the sandbox's own too ---- */

static char below[300];

static void test_own_in_a_cgroup_below(void **state)
{
	pid_t inside;

	(void)state;
	(void)snprintf(below, sizeof(below), "%s/below", bpf_frame.held);
	assert_int_equal(mkdir(below, 0755), 0);
	inside = bpf_start(serve_inside, below);
	assert_int_equal(bpf_run(own_abstract, bpf_frame.held, 0), ANS_OWN);
	assert_int_equal(bpf_run(own_abstract, below, 65534), ANS_OWN);
	bpf_stop(inside);
	inside = bpf_start(serve_inside, bpf_frame.held);
	assert_int_equal(bpf_run(own_abstract, below, 0), ANS_OWN);
	bpf_stop(inside);
}

/* ---- many sockets: the search may give up, and that is a refusal ---- */

static void flood_names(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	for (int i = 0; i < FLOOD; i++)
		if (bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&un,
			 sizeof(sa_family_t)) < 0)
			_exit(1);
	bpf_ready();
	(void)pause();
}

static void test_flood_of_names(void **state)
{
	pid_t outside = bpf_start(serve_outside, NULL);
	pid_t inside = bpf_start(serve_inside, bpf_frame.held);
	pid_t flood = bpf_start(flood_names, bpf_frame.held);

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(bpf_run(out_abstract, bpf_frame.held, 0), EPERM);
		assert_int_equal(bpf_run(own_abstract, bpf_frame.held, 0), ANS_OWN);
	}
	bpf_stop(flood);
	bpf_stop(inside);
	bpf_stop(outside);
}

/* ---- the record ---- */

struct seen {
	unsigned int abstract, path, other;
};

static void on_event(void *arg, const struct kernel_refusal *k)
{
	struct seen *s = arg;
	char path[100];

	(void)snprintf(path, sizeof(path), "%s/out", dir);
	if (k->what != KEV_UNIX || !k->name || !k->pid || k->uid != 65534)
		s->other++;
	else if (strcmp(k->name, "@nono-out") == 0)
		s->abstract++;
	else if (strcmp(k->name, path) == 0)
		s->path++;
	else
		s->other++;
}

static void test_refusals_are_said_by_name(void **state)
{
	struct kernel_events *k = NULL;
	struct seen seen = { 0 };

	(void)state;
	assert_int_equal(
		kernel_events_open(redirect_events_fd(bpf_frame.redirect), on_event, &seen, &k), 0);
	kernel_events_read(k);
	(void)poll(NULL, 0, 1100); /* a new window */
	seen = (struct seen){ 0 };
	assert_int_equal(bpf_run(out_abstract, bpf_frame.held, 65534), EPERM);
	assert_int_equal(bpf_run(out_path, bpf_frame.held, 65534), EPERM);
	kernel_events_read(k);
	kernel_events_free(k);
	assert_int_equal(seen.abstract, 1);
	assert_int_equal(seen.path, 1);
	assert_int_equal(seen.other, 0);
}

/* ---- a second object takes over the first one's links; the pins keep both ---- */

static void test_taking_over_and_going(void **state)
{
	struct redirect_unix *second = NULL;
	char why[300] = "";
	int held = open(bpf_frame.held, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int plain = open(bpf_frame.plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t outside = bpf_start(serve_outside, NULL);

	(void)state;
	assert_int_equal(bpf_run(allowed, bpf_frame.held, 0), ANS_OUT);
	assert_int_equal(redirect_unix_load(bpf_frame.redirect, &second, why, sizeof(why)), 0);
	assert_int_equal(redirect_unix_attach(second, plain, PINS, why, sizeof(why)), -ESTALE);
	assert_int_equal(redirect_unix_attach(second, held, PINS, why, sizeof(why)), 0);
	assert_int_equal(redirect_unix_verify(second, held, why, sizeof(why)), 0);
	assert_int_equal(redirect_unix_verify(unix_programs, held, why, sizeof(why)), -ESTALE);
	redirect_unix_free(unix_programs);
	unix_programs = second;
	/* Nothing is allowed by the second. */
	assert_int_equal(bpf_run(allowed, bpf_frame.held, 0), EPERM);
	assert_int_equal(bpf_run(out_abstract, bpf_frame.held, 0), EPERM);
	redirect_unix_free(unix_programs);
	unix_programs = NULL;
	assert_int_equal(bpf_run(out_abstract, bpf_frame.held, 0), EPERM);
	bpf_stop(outside);
	(void)close(held);
	(void)close(plain);
}

/* ---- trying out, and what is read from the pins ---- */

static void test_trying_out(void **state)
{
	char why[300] = "";
	int plain = open(bpf_frame.plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t outside = bpf_start(serve_outside, NULL);

	(void)state;
	assert_int_equal(redirect_unix_load(bpf_frame.redirect, &unix_programs, why, sizeof(why)),
			 0);
	assert_int_equal(bpf_run(out_path, bpf_frame.plain, 0), ANS_OUT);
	assert_int_equal(redirect_unix_try(unix_programs, plain, why, sizeof(why)), 0);
	assert_int_equal(bpf_run(out_path, bpf_frame.plain, 0), EPERM);
	assert_int_equal(bpf_run(out_path_sendto, bpf_frame.plain, 0), EPERM);
	redirect_unix_try_end(unix_programs);
	redirect_unix_try_end(unix_programs);
	assert_int_equal(bpf_run(out_path, bpf_frame.plain, 0), ANS_OUT);
	bpf_stop(outside);
	(void)close(plain);
}

struct names {
	unsigned int abstract, path, other;
};

static void count_name(void *arg, const char *name)
{
	struct names *n = arg;

	if (strcmp(name, "@one") == 0)
		n->abstract++;
	else if (strcmp(name, "/two?three") == 0)
		n->path++;
	else
		n->other++;
}

static struct pins read_pins(int cgroup, bool unix_sockets)
{
	struct pins p = { 0 };

	assert_int_equal(pins_read(PINS, cgroup, unix_sockets, &p), 0);
	return p;
}

static void test_pins(void **state)
{
	int held = open(bpf_frame.held, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t outside = bpf_start(serve_outside, NULL);
	struct names names = { 0 };
	char why[300] = "";
	struct pins p;

	(void)state;
	assert_int_equal(redirect_unix_allow(unix_programs, "@one"), 0);
	assert_int_equal(redirect_unix_allow(unix_programs, "/two three"), 0);
	assert_int_equal(redirect_unix_attach(unix_programs, held, PINS, why, sizeof(why)), 0);
	assert_true(redirect_unix_is_pinned(PINS));
	redirect_unix_names(PINS, count_name, &names);
	assert_int_equal(names.abstract, 1);
	assert_int_equal(names.path, 1);
	assert_int_equal(names.other, 0);
	p = read_pins(held, false);
	assert_true(p.unix_sockets);
	assert_int_equal(p.active, p.wanted);
	redirect_unix_free(unix_programs);
	unix_programs = NULL;
	assert_int_equal(bpf_run(out_path, bpf_frame.held, 0), EPERM);
	assert_int_equal(redirect_unix_unpin(PINS), 0);
	assert_int_equal(redirect_unix_unpin(PINS), 0);
	assert_false(redirect_unix_is_pinned(PINS));
	for (int i = 0; i < 500 && bpf_run(out_path, bpf_frame.held, 0) != ANS_OUT; i++)
		(void)poll(NULL, 0, 10); /* a grace period of the kernel's */
	assert_int_equal(bpf_run(out_path, bpf_frame.held, 0), ANS_OUT);
	/* The first object's are what they were. */
	p = read_pins(held, false);
	assert_false(p.unix_sockets);
	assert_int_equal(p.active, p.wanted);
	p = read_pins(held, true);
	assert_int_equal(p.active, p.wanted - REDIRECT_UNIX_HOOKS);
	bpf_stop(outside);
	(void)close(held);
}

/* ---- what it needs ---- */

static bool should_be_there(void)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;

	(void)uname(&u);
	(void)sscanf(u.release, "%u.%u", &major, &minor);
	return (major > 6 || (major == 6 && minor >= 7)) &&
	       access("/sys/kernel/btf/vmlinux", R_OK) == 0;
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_that_cannot_be_allowed),
		cmocka_unit_test(test_own_in_a_cgroup_below),
		cmocka_unit_test(test_flood_of_names),
		cmocka_unit_test(test_refusals_are_said_by_name),
		cmocka_unit_test(test_taking_over_and_going),
		cmocka_unit_test(test_trying_out),
		cmocka_unit_test(test_pins),
	};
	char why[300] = "", command[100];
	int r = redirect_unix_load(bpf_frame.redirect, &unix_programs, why, sizeof(why));

	if (r == -EOPNOTSUPP && !should_be_there()) {
		printf("1..0 # SKIP %s\n", why);
		(void)fflush(stdout);
		return 0;
	}
	if (r < 0 || !mkdtemp(dir) || chmod(dir, 0755) < 0) {
		printf("Bail out! %s\n", why);
		(void)fflush(stdout);
		return 1;
	}
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	(void)!system(command);
	return r;
}

int main(void)
{
	return bpf_frame_main(run);
}
