/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passes over a table of tries, and what the tries themselves have in common.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/bpf_frame.h"
#include "wire/addr.h"

#define NOBODY	    65534
#define ANSWER_MS   1000
#define SETTLE_MS   1300 /* longer than the first retransmission of a SYN */
#define FRAME_TRIES 40	 /* a join is reported by a timer of the kernel's */

static const char *answer_name(int a, char *buf, size_t n)
{
	static const char *const names[] = { "EXT", "PROXY", "DNS",   "EXPLICIT", "OUT",
					     "OWN", "SENT",  "QUIET", "ANY" };

	if (a == 0)
		return "success";
	if (a >= ANS_EXT && a <= ANS_ANY)
		return names[a - ANS_EXT];
	if (a == ANS_WRONG)
		return "WRONG VALUE";
	if (a == ANS_BROKEN)
		return "BROKEN";
	if (a == ANS_HANG)
		return "HANG";
	(void)snprintf(buf, n, "%s", strerrorname_np(a) ? strerrorname_np(a) : "?");
	return buf;
}

static bool lacks(int a)
{
	return a == EPROTONOSUPPORT || a == ESOCKTNOSUPPORT || a == EAFNOSUPPORT ||
	       a == ENOPROTOOPT || a == EOPNOTSUPP;
}

static unsigned int complain(const struct bpf_try *t, uid_t uid, const char *pass, int got,
			     int expected)
{
	char a[32], b[32];

	print_error("%s, as %s, %s: %s, expected %s\n", t->name, uid ? "nobody" : "root", pass,
		    answer_name(got, a, sizeof(a)), answer_name(expected, b, sizeof(b)));
	return 1;
}

/* Without programs: the try must show what it claims. */
static unsigned int control(const struct bpf_try *t, uid_t uid, bool *ret_absent)
{
	unsigned long before = bpf_frames();
	int got = bpf_run(t->fn, bpf_frame.plain, uid);

	*ret_absent = t->flags & TRY_ABSENT && lacks(got);
	if (*ret_absent) {
		print_message("# %s: not in this kernel\n", t->name);
		return 0;
	}
	if (t->without != ANS_ANY && got != t->without)
		return complain(t, uid, "without programs", got, t->without);
	for (int i = 0; t->flags & TRY_FRAME && bpf_frames() == before; i++) {
		if (i == FRAME_TRIES) {
			print_error("%s, without programs: no frame appeared\n", t->name);
			return 1;
		}
		(void)poll(NULL, 0, 50);
	}
	return 0;
}

/* With programs. Without the right to try it at all, only the wire is looked at. */
static unsigned int held(const struct bpf_try *t, uid_t uid, const char *cgroup, bool absent)
{
	unsigned long before = bpf_frames(), after;
	int got = bpf_run(t->fn, cgroup, uid);
	bool judged = t->with != ANS_ANY && !(uid && t->flags & TRY_ROOT);
	unsigned int bad = 0;

	if (judged && got != t->with && !(absent && lacks(got)))
		bad += complain(t, uid, "with programs", got, t->with);
	after = bpf_frames();
	if (after != before) {
		print_error("%s, with programs: a frame on the wire: %s\n", t->name,
			    bpf_last_frame());
		bad++;
	}
	return bad;
}

/* What timers of the first pass still send must not fall into the second. */
static void settle(void)
{
	unsigned long before;

	do {
		before = bpf_frames();
		(void)poll(NULL, 0, SETTLE_MS);
	} while (bpf_frames() != before);
}

void bpf_tries(const struct bpf_try *tries, size_t n, const char *cgroup)
{
	unsigned int bad = 0;
	unsigned long before;
	bool absent[128] = { false };

	assert_true(n <= sizeof(absent) / sizeof(absent[0]));
	for (size_t i = 0; i < n; i++) {
		bad += control(&tries[i], 0, &absent[i]);
		if (!(tries[i].flags & TRY_ROOT))
			bad += control(&tries[i], NOBODY, &absent[i]);
	}
	settle();
	before = bpf_frames();
	for (size_t i = 0; i < n; i++) {
		bad += held(&tries[i], 0, cgroup, absent[i]);
		bad += held(&tries[i], NOBODY, cgroup, absent[i]);
	}
	/* Late ones. */
	(void)poll(NULL, 0, SETTLE_MS);
	if (bpf_frames() != before) {
		print_error("a late frame on the wire: %s\n", bpf_last_frame());
		bad++;
	}
	assert_int_equal(bad, 0);
}

/* ---- for the tries ---- */

struct sockaddr_storage bpf_addr(const char *ip, int port, socklen_t *ret_len)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		*ret_len = sizeof(*in);
	} else {
		(void)inet_pton(AF_INET6, ip, &in6->sin6_addr);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			in6->sin6_scope_id = if_nametoindex(CTR_DEV);
		*ret_len = sizeof(*in6);
	}
	return ss;
}

int bpf_result(long r)
{
	return r < 0 ? errno : 0;
}

static bool same_place(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	struct endpoint x, y;

	if (!endpoint_from_sockaddr((const struct sockaddr *)a, &x) ||
	    !endpoint_from_sockaddr((const struct sockaddr *)b, &y))
		return false;
	return x.port == y.port && addr_eq(&x.addr, &y.addr);
}

static int who(const char *text, const char *expect)
{
	static const struct {
		const char *name;
		int answer;
	} all[] = { { "EXT", ANS_EXT },
		    { "DNS", ANS_DNS },
		    { "EXPLICIT", ANS_EXPLICIT },
		    { "OUT", ANS_OUT },
		    { "OWN", ANS_OWN } };
	size_t n = expect ? strlen(expect) : 0;

	if (!strncmp(text, "PROXY ", 6)) {
		if (!expect || (!strncmp(text + 6, expect, n) && text[6 + n] == '\n'))
			return ANS_PROXY;
		print_error("the proxy says %s, not %s\n", text, expect);
		return ANS_WRONG;
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strncmp(text, all[i].name, strlen(all[i].name)))
			return all[i].answer;
	return ANS_WRONG;
}

int bpf_greeting(int fd, const char *expect)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char text[128] = "";
	size_t have = 0;

	while (have < sizeof(text) - 1 && !strchr(text, '\n')) {
		ssize_t n;

		if (poll(&p, 1, ANSWER_MS) == 0)
			return ANS_QUIET;
		n = recv(fd, text + have, sizeof(text) - 1 - have, 0);
		if (n < 0)
			return errno;
		if (n == 0)
			break;
		have += (size_t)n;
		text[have] = '\0';
	}
	return who(text, expect);
}

int bpf_ask_tcp(int fd, const char *ip, int port)
{
	socklen_t n, seen_n = sizeof(struct sockaddr_storage);
	struct sockaddr_storage ss = bpf_addr(ip, port, &n), seen;
	struct endpoint e;
	char text[ENDPOINT_TEXT_MAX];
	int r;

	if (fd < 0)
		return errno;
	if (connect(fd, (struct sockaddr *)&ss, n) < 0)
		return errno;
	(void)endpoint_from_sockaddr((struct sockaddr *)&ss, &e);
	e.addr = addr_unmap(&e.addr);
	r = bpf_greeting(fd, endpoint_text(&e, text));
	if (r == ANS_PROXY &&
	    (getpeername(fd, (struct sockaddr *)&seen, &seen_n) < 0 || !same_place(&seen, &ss)))
		return ANS_WRONG;
	(void)close(fd);
	return r;
}

int bpf_ask_tcp_soon(int fd, const char *ip, int port)
{
	socklen_t n, en = sizeof(int);
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int e = 0;

	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return errno;
	if (connect(fd, (struct sockaddr *)&ss, n) < 0 && errno != EINPROGRESS)
		return errno;
	if (poll(&p, 1, 400) == 0)
		return ANS_QUIET;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &en) < 0 || e)
		return e;
	return bpf_greeting(fd, NULL);
}

int bpf_answer(int fd, const struct sockaddr_storage *from)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct sockaddr_storage seen = { 0 };
	socklen_t n = sizeof(seen);
	char text[128];
	ssize_t got;

	if (poll(&p, 1, ANSWER_MS) == 0)
		return ANS_QUIET;
	got = recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&seen, &n);
	if (got < 0)
		return errno;
	text[got] = '\0';
	if (from && !same_place(&seen, from))
		return ANS_WRONG;
	return who(text, NULL);
}

int bpf_ask_udp(int fd, const char *ip, int port)
{
	socklen_t n;
	struct sockaddr_storage ss = bpf_addr(ip, port, &n);
	int r;

	if (fd < 0)
		return errno;
	if (sendto(fd, "nono", 4, 0, (struct sockaddr *)&ss, n) < 0)
		return errno;
	r = bpf_answer(fd, &ss);
	(void)close(fd);
	return r;
}
