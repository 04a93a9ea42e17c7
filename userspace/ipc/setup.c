/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The setup messages, written and read field by field.
 *
 * Rules, arguments and an environment can be longer than a message may be, so the fields travel in
 * a sealed memory file, the first descriptor of the message; the payload is its length. Sealed, so
 * that it cannot change or shrink while it is read.
 */
#include "ipc/setup.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel's own limit for arguments and environment together is 6 MiB. */
#define SETUP_MAX (8 * 1024 * 1024)
#define SEALS	  (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static void cleanup_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
#define _cleanup_close_ _cleanup_(cleanup_close)

/* ---- the memory file ---- */

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int read_all(int fd, uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = pread(fd, p + at, n - at, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EBADMSG;
		at += (size_t)got;
	}
	return 0;
}

static int make_file(const struct buf *b)
{
	_cleanup_close_ int fd = memfd_create("setup",
					      MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	int r;

	if (fd < 0 && errno == EINVAL) /* before 6.3 */
		fd = memfd_create("setup", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = write_all(fd, buf_data(b), buf_len(b));
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Sends the fields and the descriptors behind them. */
static int send_fields(int channel, enum message_type type, const struct buf *b, const int *fds,
		       size_t n)
{
	_cleanup_buf_ struct buf body = BUF_INIT(4);
	_cleanup_close_ int file = make_file(b);
	int all[CHANNEL_FDS_MAX], r;

	if (file < 0)
		return file;
	all[0] = file;
	for (size_t i = 0; i < n; i++)
		all[i + 1] = fds[i];
	r = buf_append_u32(&body, (uint32_t)buf_len(b));
	return r < 0 ? r : channel_send(channel, type, buf_str(&body), all, n + 1);
}

/* Reads the fields of a received message into `ret`. */
static int read_fields(const struct message *m, enum message_type type, struct buf *ret)
{
	struct stat st;
	uint32_t n;
	uint8_t *p;
	int r = message_u32(m, &n), seals;

	if (r < 0 || m->type != type || m->fd_count < 1 || n == 0 || n > SETUP_MAX)
		return -EBADMSG;
	seals = fcntl(m->fds[0], F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EBADMSG;
	if (fstat(m->fds[0], &st) < 0 || st.st_size != (off_t)n)
		return -EBADMSG;
	p = buf_reserve(ret, n);
	if (!p)
		return -ENOMEM;
	r = read_all(m->fds[0], p, n);
	if (r == 0)
		buf_commit(ret, n);
	return r;
}

/* ---- fields ---- */

static int put_bool(struct buf *b, bool v)
{
	return buf_append_u8(b, v);
}

static int put_z(struct buf *b, const char *z)
{
	return put_str(b, str_of(z));
}

static int put_list(struct buf *b, const char *const *list)
{
	size_t n = 0;
	int r;

	while (list && list[n])
		n++;
	r = put_u64(b, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_z(b, list[i]);
	return r;
}

/* A reader whose memory may run out: `error` is sticky like the cursor's `bad`. */
struct reader {
	struct cursor c;
	struct arena *arena;
	int error;
};

static struct reader reader_over(const struct buf *b, struct arena *arena)
{
	return (struct reader){ .c = cursor_over(buf_data(b), buf_len(b)), .arena = arena };
}

/* 0 if all was there, and nothing else. */
static int reader_result(const struct reader *r)
{
	/* Without memory reading stopped early: what is left says nothing. */
	if (r->error)
		return r->error;
	return r->c.bad || cursor_left(&r->c) ? -EBADMSG : 0;
}

static bool read_bool(struct reader *r)
{
	uint8_t v = cursor_u8(&r->c);

	if (v > 1)
		r->c.bad = true;
	return v == 1;
}

/* Never NULL. A NUL inside would hide the rest of the text from whoever uses it. */
static const char *read_z(struct reader *r)
{
	struct str s = get_str(&r->c);
	const char *z;

	if (s.n && memchr(s.p, '\0', s.n))
		r->c.bad = true;
	if (r->c.bad || r->error || s.n == 0)
		return "";
	z = arena_strndup(r->arena, s.p, s.n);
	if (!z)
		r->error = -ENOMEM;
	return z ? z : "";
}

/* A count of things that take at least `least` bytes each: memory is asked for only when they can
 * be there. */
static size_t read_count(struct reader *r, size_t least)
{
	uint64_t n = get_u64(&r->c);

	if (n > cursor_left(&r->c) / least)
		r->c.bad = true;
	return r->c.bad ? 0 : (size_t)n;
}

static void *read_alloc(struct reader *r, size_t n, size_t size)
{
	void *p = r->c.bad || r->error ? NULL : arena_alloc(r->arena, n * size);

	if (!p && !r->c.bad)
		r->error = -ENOMEM;
	return p;
}

/* NULL only when the reader has failed. */
static const char *const *read_list(struct reader *r)
{
	size_t n = read_count(r, 4);
	const char **list = read_alloc(r, n + 1, sizeof(*list));

	for (size_t i = 0; list && i < n; i++)
		list[i] = read_z(r);
	return list;
}

/* ---- the proxy's ---- */

/* The numbers, in the order in which they are sent. */
#define PROXY_NUMBERS(X)          \
	X(uid)                    \
	X(gid)                    \
	X(max_connections)        \
	X(max_names_per_wildcard) \
	X(dns_timeout_ms)         \
	X(connect_timeout_ms)     \
	X(first_bytes_timeout_ms) \
	X(idle_timeout_ms)        \
	X(header_timeout_ms)      \
	X(log_level)

static int put_rule(struct buf *b, const struct setup_rule *rule)
{
	int r = put_bool(b, rule->cidr);

	if (r == 0)
		r = put_bool(b, rule->deny);
	if (r == 0)
		r = put_z(b, rule->text);
	if (r == 0)
		r = put_z(b, rule->origin);
	return r;
}

static int put_proxy(struct buf *b, const struct proxy_setup *s, uint32_t present)
{
	const uint32_t numbers[] = {
#define X(field) s->field,
		PROXY_NUMBERS(X)
#undef X
	};
	int r = put_z(b, s->session);

	if (r == 0)
		r = put_z(b, s->cgroup);
	if (r == 0)
		r = put_z(b, s->resolvers);
	if (r == 0)
		r = put_z(b, s->token);
	if (r == 0)
		r = put_u64(b, s->netns_cookie);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(numbers); i++)
		r = buf_append_u32(b, numbers[i]);
	if (r == 0)
		r = put_bool(b, s->monitor);
	if (r == 0)
		r = put_bool(b, s->log_json);
	if (r == 0)
		r = put_bool(b, s->verbose);
	if (r == 0)
		r = put_bool(b, s->no_auth);
	if (r == 0)
		r = buf_append_u32(b, present);
	if (r == 0)
		r = put_u64(b, s->rule_count);
	for (size_t i = 0; r == 0 && i < s->rule_count; i++)
		r = put_rule(b, &s->rules[i]);
	if (r == 0)
		r = put_u64(b, s->publish_count);
	for (size_t i = 0; r == 0 && i < s->publish_count; i++)
		r = buf_append_u16(b, s->publish[i]);
	return r;
}

int proxy_setup_send(int channel, const struct proxy_setup *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT(SETUP_MAX);
	int fds[PROXY_FD_COUNT + PUBLISH_MAX], r;
	uint32_t present = 0;
	size_t n = 0;

	_Static_assert(PROXY_FD_COUNT + PUBLISH_MAX < CHANNEL_FDS_MAX,
		       "the first descriptor is the memory file");
	if (s->publish_count > PUBLISH_MAX)
		return -E2BIG;
	for (unsigned int i = 0; i < PROXY_FD_COUNT; i++) {
		if (s->fds[i] < 0)
			continue;
		present |= 1U << i;
		fds[n++] = s->fds[i];
	}
	for (size_t i = 0; i < s->publish_count; i++)
		fds[n++] = s->publish_fds[i];
	r = put_proxy(&b, s, present);
	return r < 0 ? r : send_fields(channel, MSG_PROXY_SETUP, &b, fds, n);
}

static void read_rules(struct reader *r, struct proxy_setup *s)
{
	size_t n = read_count(r, 10);
	struct setup_rule *rules = read_alloc(r, n, sizeof(*rules));

	for (size_t i = 0; rules && i < n; i++) {
		rules[i].cidr = read_bool(r);
		rules[i].deny = read_bool(r);
		rules[i].text = read_z(r);
		rules[i].origin = read_z(r);
	}
	s->rules = rules;
	s->rule_count = n;
}

static void read_publish(struct reader *r, struct proxy_setup *s)
{
	size_t n = read_count(r, 2);

	if (n > PUBLISH_MAX)
		r->c.bad = true;
	for (size_t i = 0; !r->c.bad && i < n; i++) {
		s->publish[i] = cursor_u16(&r->c);
		if (!s->publish[i])
			r->c.bad = true;
	}
	s->publish_count = r->c.bad ? 0 : n;
}

int proxy_setup_get(struct message *m, struct arena *arena, struct proxy_setup *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT(SETUP_MAX);
	struct proxy_setup s = PROXY_SETUP_INIT;
	struct reader rd;
	uint32_t present;
	size_t n = 1;
	int r = read_fields(m, MSG_PROXY_SETUP, &b);

	if (r < 0)
		return r;
	rd = reader_over(&b, arena);
	s.session = read_z(&rd);
	s.cgroup = read_z(&rd);
	s.resolvers = read_z(&rd);
	s.token = read_z(&rd);
	s.netns_cookie = get_u64(&rd.c);
#define X(field) s.field = cursor_u32(&rd.c);
	PROXY_NUMBERS(X)
#undef X
	s.monitor = read_bool(&rd);
	s.log_json = read_bool(&rd);
	s.verbose = read_bool(&rd);
	s.no_auth = read_bool(&rd);
	present = cursor_u32(&rd.c);
	read_rules(&rd, &s);
	read_publish(&rd, &s);
	r = reader_result(&rd);
	if (r < 0)
		return r;
	if (present >> PROXY_FD_COUNT ||
	    (size_t)__builtin_popcount(present) + s.publish_count + 1 != m->fd_count)
		return -EBADMSG;
	for (unsigned int i = 0; i < PROXY_FD_COUNT; i++)
		if (present & 1U << i)
			s.fds[i] = message_take_fd(m, n++);
	for (size_t i = 0; i < s.publish_count; i++)
		s.publish_fds[i] = message_take_fd(m, n++);
	*ret = s;
	return 0;
}

/* ---- init's ---- */

static int put_init(struct buf *b, const struct init_setup *s)
{
	int r = buf_append_u32(b, s->uid);

	if (r == 0)
		r = buf_append_u32(b, s->gid);
	if (r == 0)
		r = put_bool(b, s->root_caps);
	if (r == 0)
		r = put_bool(b, s->private_network);
	if (r == 0)
		r = put_bool(b, s->private_dev);
	if (r == 0)
		r = put_z(b, s->cwd);
	if (r == 0)
		r = put_z(b, s->resolv_conf);
	if (r == 0)
		r = put_z(b, s->hosts);
	if (r == 0)
		r = put_z(b, s->command_tty);
	if (r == 0)
		r = put_list(b, s->mask);
	if (r == 0)
		r = put_list(b, s->allow);
	if (r == 0)
		r = put_list(b, s->argv);
	if (r == 0)
		r = put_list(b, s->envp);
	return r;
}

int init_setup_send(int channel, const struct init_setup *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT(SETUP_MAX);
	int r = put_init(&b, s);

	if (r == -ENOSPC)
		return -E2BIG;
	return r < 0 ? r : send_fields(channel, MSG_INIT_SETUP, &b, NULL, 0);
}

int init_setup_get(struct message *m, struct arena *arena, struct init_setup *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT(SETUP_MAX);
	struct init_setup s = { 0 };
	struct reader rd;
	int r = read_fields(m, MSG_INIT_SETUP, &b);

	if (r < 0)
		return r;
	rd = reader_over(&b, arena);
	s.uid = cursor_u32(&rd.c);
	s.gid = cursor_u32(&rd.c);
	s.root_caps = read_bool(&rd);
	s.private_network = read_bool(&rd);
	s.private_dev = read_bool(&rd);
	s.cwd = read_z(&rd);
	s.resolv_conf = read_z(&rd);
	s.hosts = read_z(&rd);
	s.command_tty = read_z(&rd);
	s.mask = read_list(&rd);
	s.allow = read_list(&rd);
	s.argv = read_list(&rd);
	s.envp = read_list(&rd);
	r = reader_result(&rd);
	if (r < 0)
		return r;
	if (m->fd_count != 1 || !s.argv[0] || !*s.argv[0])
		return -EBADMSG;
	*ret = s;
	return 0;
}
