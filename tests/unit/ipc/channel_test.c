/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the roles: what is accepted, and that nothing stays open of what is not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/channel.h"

#define FDS_TOO_MANY (CHANNEL_FDS_MAX + 1)

struct pair {
	int fd[2];
	size_t open_before;
};

static size_t count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static int setup(void **state)
{
	static struct pair p;

	p.open_before = count_open();
	assert_int_equal(channel_pair(p.fd), 0);
	*state = &p;
	return 0;
}

/* Every test closes what it was given, or it fails here. */
static int teardown(void **state)
{
	struct pair *p = *state;

	for (int i = 0; i < 2; i++)
		if (p->fd[i] >= 0)
			(void)close(p->fd[i]);
	assert_int_equal(count_open(), p->open_before);
	return 0;
}

static void close_end(struct pair *p, int i)
{
	(void)close(p->fd[i]);
	p->fd[i] = -1;
}

/* Sends raw bytes with `n` copies of a descriptor. */
static void send_raw(int fd, const void *bytes, size_t len, size_t n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * FDS_TOO_MANY)] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[FDS_TOO_MANY];

	for (size_t i = 0; i < n; i++)
		fds[i] = STDERR_FILENO;
	if (n) {
		struct cmsghdr *c;

		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &h, 0), len);
}

static void test_garbage_is_refused_and_nothing_stays_open(void **state)
{
	static uint8_t overlong[4 + CHANNEL_MESSAGE_MAX + 1] = { 0, 0, 0, MSG_READY };
	static const struct {
		const char *why;
		const void *bytes;
		size_t len, fds;
	} rows[] = {
		{ "shorter than its head", "\0\0\0", 3, 1 },
		{ "one byte", "\3", 1, 2 },
		{ "type 0", "\0\0\0\0", 4, 1 },
		{ "type past the last", "\0\0\0\14", 4, 1 },
		{ "type with high bytes", "\1\0\0\3", 4, 1 },
		{ "one byte too long", overlong, sizeof(overlong), 3 },
		{ "one descriptor too many", "\0\0\0\3", 4, FDS_TOO_MANY },
	};
	struct pair *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct message m = MESSAGE_INIT;
		size_t before = count_open();

		send_raw(p->fd[0], rows[i].bytes, rows[i].len, rows[i].fds);
		if (channel_recv(p->fd[1], &m) != -EBADMSG)
			fail_msg("accepted: %s", rows[i].why);
		assert_int_equal(m.fd_count, 0);
		if (count_open() != before)
			fail_msg("left open: %s", rows[i].why);
		/* It was taken off the queue: the next message is whole. */
		assert_int_equal(channel_send(p->fd[0], MSG_GO, STR_LIT(""), NULL, 0), 0);
		assert_int_equal(channel_recv(p->fd[1], &m), 0);
		assert_int_equal(m.type, MSG_GO);
		message_done(&m);
	}
}

static void test_failure_leaves_the_callers_message(void **state)
{
	struct pair *p = *state;
	struct message m = MESSAGE_INIT;

	assert_int_equal(channel_send(p->fd[0], MSG_FAILED, STR_LIT("first"), p->fd, 1), 0);
	assert_int_equal(channel_recv(p->fd[1], &m), 0);
	send_raw(p->fd[0], "x", 1, 0);
	assert_int_equal(channel_recv(p->fd[1], &m), -EBADMSG);
	assert_int_equal(m.type, MSG_FAILED);
	assert_true(str_eq(message_sentence(&m), STR_LIT("first")));
	assert_int_equal(m.fd_count, 1);
	/* A new message releases the old one. */
	assert_int_equal(channel_send(p->fd[0], MSG_READY, STR_LIT(""), NULL, 0), 0);
	assert_int_equal(channel_recv(p->fd[1], &m), 0);
	assert_int_equal(m.fd_count, 0);
	assert_int_equal(buf_len(&m.body), 0);
	message_done(&m);
}

static void test_unexpected_control_data_is_refused(void **state)
{
	struct pair *p = *state;
	struct message m = MESSAGE_INIT;
	const int on = 1;

	assert_int_equal(setsockopt(p->fd[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	assert_int_equal(channel_send(p->fd[0], MSG_READY, STR_LIT(""), p->fd, 2), 0);
	assert_int_equal(channel_recv(p->fd[1], &m), -EBADMSG);
}

static void test_end_of_file(void **state)
{
	struct pair *p = *state;
	struct message m = MESSAGE_INIT;

	close_end(p, 0);
	assert_int_equal(channel_recv(p->fd[1], &m), -EPIPE);
	assert_int_equal(channel_send(p->fd[1], MSG_READY, STR_LIT(""), NULL, 0), -EPIPE);
}

/* The peer ended without having read everything: what it said last must still arrive. */
static void test_last_words_survive_a_reset(void **state)
{
	struct pair *p = *state;
	struct message m = MESSAGE_INIT;

	assert_int_equal(channel_send(p->fd[0], MSG_SIGNAL, STR_LIT("\0\0\0\17"), NULL, 0), 0);
	assert_int_equal(channel_send(p->fd[1], MSG_READY, STR_LIT("bye"), NULL, 0), 0);
	close_end(p, 1);
	assert_int_equal(channel_recv(p->fd[0], &m), 0);
	assert_int_equal(m.type, MSG_READY);
	assert_int_equal(channel_recv(p->fd[0], &m), -EPIPE);
	message_done(&m);
}

static void test_nothing_there_on_a_nonblocking_channel(void **state)
{
	struct pair *p = *state;
	struct message m = MESSAGE_INIT;

	assert_int_equal(fcntl(p->fd[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(channel_recv(p->fd[1], &m), -EAGAIN);
}

static void test_too_much_to_send(void **state)
{
	static char big[CHANNEL_MESSAGE_MAX + 1];
	struct pair *p = *state;
	int fds[FDS_TOO_MANY] = { 0 };
	struct message m = MESSAGE_INIT;

	assert_int_equal(
		channel_send(p->fd[0], MSG_READY, (struct str){ big, sizeof(big) }, NULL, 0),
		-EMSGSIZE);
	assert_int_equal(channel_send(p->fd[0], MSG_READY, STR_LIT(""), fds, FDS_TOO_MANY), -E2BIG);
	/* And exactly as much as fits. */
	memset(big, 'a', sizeof(big));
	assert_int_equal(channel_send(p->fd[0], MSG_READY, (struct str){ big, CHANNEL_MESSAGE_MAX },
				      fds, CHANNEL_FDS_MAX),
			 0);
	assert_int_equal(channel_recv(p->fd[1], &m), 0);
	assert_int_equal(buf_len(&m.body), CHANNEL_MESSAGE_MAX);
	assert_memory_equal(buf_data(&m.body), big, CHANNEL_MESSAGE_MAX);
	assert_int_equal(m.fd_count, CHANNEL_FDS_MAX);
	message_done(&m);
}

static void test_descriptors_arrive_and_are_close_on_exec(void **state)
{
	struct pair *p = *state;
	struct message m = MESSAGE_INIT;
	int pipe_fds[2], got;
	char c = 0;

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(channel_send(p->fd[0], MSG_READY, STR_LIT(""), pipe_fds, 2), 0);
	(void)close(pipe_fds[1]);
	assert_int_equal(channel_recv(p->fd[1], &m), 0);
	got = message_take_fd(&m, 1);
	assert_true(got >= 0);
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(message_take_fd(&m, 1), -EBADF);
	assert_int_equal(message_take_fd(&m, 2), -EBADF);
	message_done(&m);
	message_done(&m);
	assert_int_equal(write(got, "x", 1), 1);
	(void)close(got);
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	(void)close(pipe_fds[0]);
}

static void message_with(struct message *m, enum message_type type, const void *p, size_t n)
{
	message_done(m);
	m->type = type;
	assert_int_equal(buf_append(&m->body, p, n), 0);
}

static void test_number_payload(void **state)
{
	struct message m = MESSAGE_INIT;
	uint32_t v = 7;

	(void)state;
	message_with(&m, MSG_SIGNAL, "\1\2\3\4", 4);
	assert_int_equal(message_u32(&m, &v), 0);
	assert_int_equal(v, 0x01020304);
	message_with(&m, MSG_SIGNAL, "\1\2\3", 3);
	assert_int_equal(message_u32(&m, &v), -EBADMSG);
	message_with(&m, MSG_SIGNAL, "\1\2\3\4\5", 5);
	assert_int_equal(message_u32(&m, &v), -EBADMSG);
	assert_int_equal(v, 0x01020304);
	message_done(&m);
}

static void test_refusal_note_round_trip(void **state)
{
	const struct refusal_note n = { STR_LIT("evil.example"), 443, REASON_HOST_NOT_ALLOWED, 3 };
	struct refusal_note got = { 0 };
	struct message m = { .type = MSG_REFUSAL, .body = BUF_INIT(CHANNEL_MESSAGE_MAX) };

	(void)state;
	assert_int_equal(refusal_note_put(&m.body, &n), 0);
	assert_int_equal(refusal_note_get(&m, &got), 0);
	assert_true(str_eq(got.target, n.target));
	assert_int_equal(got.port, 443);
	assert_int_equal(got.reason, REASON_HOST_NOT_ALLOWED);
	assert_int_equal(got.count, 3);
	message_done(&m);
}

static void test_refusal_note_refused(void **state)
{
	const struct refusal_note good = { STR_LIT("a"), 1, REASON_HOST_DENIED, 1 };
	static char name[1025];
	const struct {
		const char *why;
		struct refusal_note n;
	} rows[] = {
		{ "no reason", { STR_LIT("a"), 1, REASON_NONE, 1 } },
		{ "a reason past the last", { STR_LIT("a"), 1, REASON_COUNT, 1 } },
		{ "a target that is no name any more",
		  { { name, sizeof(name) }, 1, REASON_HOST_DENIED, 1 } },
	};
	struct message m = { .type = MSG_REFUSAL, .body = BUF_INIT(CHANNEL_MESSAGE_MAX) };
	struct refusal_note got;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_done(&m.body);
		assert_int_equal(refusal_note_put(&m.body, &rows[i].n), 0);
		if (refusal_note_get(&m, &got) != -EBADMSG)
			fail_msg("accepted: %s", rows[i].why);
	}
	/* Every cut of a good one, and one byte more. */
	buf_done(&m.body);
	assert_int_equal(refusal_note_put(&m.body, &good), 0);
	m.type = MSG_STATUS;
	assert_int_equal(refusal_note_get(&m, &got), -EBADMSG);
	m.type = MSG_REFUSAL;
	for (size_t whole = m.body.end; m.body.end > 0;) {
		m.body.end--;
		assert_int_equal(refusal_note_get(&m, &got), -EBADMSG);
		if (m.body.end == 0) {
			m.body.end = whole;
			break;
		}
	}
	assert_int_equal(refusal_note_get(&m, &got), 0);
	assert_int_equal(buf_append_u8(&m.body, 0), 0);
	assert_int_equal(refusal_note_get(&m, &got), -EBADMSG);
	message_done(&m);
}

static void test_status_note(void **state)
{
	static const struct {
		const char *why, *bytes;
		size_t n;
		int r;
	} rows[] = {
		{ "exit status 3", "\0\0\0\1\0\0\0\3", 8, 0 },
		{ "a pid", "\0\0\0\6\0\0\0\2", 8, 0 },
		{ "state 0", "\0\0\0\0\0\0\0\3", 8, -EBADMSG },
		{ "a state past the last", "\0\0\0\7\0\0\0\3", 8, -EBADMSG },
		{ "a negative value", "\0\0\0\1\377\377\377\377", 8, -EBADMSG },
		{ "cut", "\0\0\0\1\0\0\0", 7, -EBADMSG },
		{ "too long", "\0\0\0\1\0\0\0\3\0", 9, -EBADMSG },
	};
	const struct status_note n = { COMMAND_KILLED, 9 };
	struct message m = { .type = MSG_STATUS, .body = BUF_INIT(CHANNEL_MESSAGE_MAX) };
	struct status_note got = { 0 };

	(void)state;
	assert_int_equal(status_note_put(&m.body, &n), 0);
	assert_int_equal(status_note_get(&m, &got), 0);
	assert_int_equal(got.state, COMMAND_KILLED);
	assert_int_equal(got.value, 9);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		message_with(&m, MSG_STATUS, rows[i].bytes, rows[i].n);
		if (status_note_get(&m, &got) != rows[i].r)
			fail_msg("wrong: %s", rows[i].why);
	}
	message_with(&m, MSG_REFUSAL, "\0\0\0\1\0\0\0\3", 8);
	assert_int_equal(status_note_get(&m, &got), -EBADMSG);
	message_done(&m);
}

static void test_socket_wanted(void **state)
{
	static const struct {
		const char *why, *bytes;
		size_t n;
		int r;
	} rows[] = {
		{ "IPv4", "\0\0\0\7\4", 5, 0 },
		{ "IPv6", "\377\377\377\377\6", 5, 0 },
		{ "no family", "\0\0\0\7\0", 5, -EBADMSG },
		{ "another family", "\0\0\0\7\5", 5, -EBADMSG },
		{ "cut", "\0\0\0\7", 4, -EBADMSG },
		{ "too long", "\0\0\0\7\4\0", 6, -EBADMSG },
		{ "empty", "", 0, -EBADMSG },
	};
	const struct socket_wanted n = { 4711, 6 };
	struct message m = { .type = MSG_SOCKET_WANTED, .body = BUF_INIT(CHANNEL_MESSAGE_MAX) };
	struct socket_wanted got = { 0 };

	(void)state;
	assert_int_equal(socket_wanted_put(&m.body, &n), 0);
	assert_int_equal(socket_wanted_get(&m, &got), 0);
	assert_int_equal(got.number, 4711);
	assert_int_equal(got.family, 6);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		message_with(&m, MSG_SOCKET_WANTED, rows[i].bytes, rows[i].n);
		if (socket_wanted_get(&m, &got) != rows[i].r)
			fail_msg("wrong: %s", rows[i].why);
	}
	message_with(&m, MSG_SOCKET, "\0\0\0\7\4", 5);
	assert_int_equal(socket_wanted_get(&m, &got), -EBADMSG);
	message_with(&m, MSG_SOCKET_WANTED, "\0\0\0\7\4", 5);
	m.fds[m.fd_count++] = dup(STDERR_FILENO);
	assert_int_equal(socket_wanted_get(&m, &got), -EBADMSG);
	message_done(&m);
}

/* A descriptor or an error, never both and never none. */
static void test_socket_note(void **state)
{
	static const struct {
		const char *why, *bytes;
		size_t n, fds;
		int r;
	} rows[] = {
		{ "a socket", "\0\0\0\7\0\0\0\0", 8, 1, 0 },
		{ "an error", "\0\0\0\7\0\0\0\30", 8, 0, 0 },
		{ "neither", "\0\0\0\7\0\0\0\0", 8, 0, -EBADMSG },
		{ "both", "\0\0\0\7\0\0\0\30", 8, 1, -EBADMSG },
		{ "two", "\0\0\0\7\0\0\0\0", 8, 2, -EBADMSG },
		{ "a negative error", "\0\0\0\7\377\377\377\377", 8, 0, -EBADMSG },
		{ "cut", "\0\0\0\7\0\0\0", 7, 0, -EBADMSG },
		{ "too long", "\0\0\0\7\0\0\0\30\0", 9, 0, -EBADMSG },
	};
	struct message m = { .body = BUF_INIT(CHANNEL_MESSAGE_MAX) };
	struct socket_note got = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		message_with(&m, MSG_SOCKET, rows[i].bytes, rows[i].n);
		while (m.fd_count < rows[i].fds)
			m.fds[m.fd_count++] = dup(STDERR_FILENO);
		if (socket_note_get(&m, &got) != rows[i].r)
			fail_msg("wrong: %s", rows[i].why);
		if (rows[i].r == 0)
			assert_int_equal(got.number, 7);
	}
	message_done(&m);
	assert_int_equal(socket_note_put(&m.body, &(struct socket_note){ 8, EMFILE }), 0);
	m.type = MSG_SOCKET;
	assert_int_equal(socket_note_get(&m, &got), 0);
	assert_int_equal(got.number, 8);
	assert_int_equal(got.error, EMFILE);
	message_done(&m);
}

static void test_put_str_past_the_maximum(void **state)
{
	struct buf b = BUF_INIT(8);

	(void)state;
	assert_int_equal(put_str(&b, STR_LIT("12345")), -ENOSPC);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(put_str(&b, (struct str){ "", SIZE_MAX }), -ENOSPC);
	assert_int_equal(put_str(&b, STR_LIT("1234")), 0);
	assert_int_equal(put_u64(&b, 1), -ENOSPC);
	assert_int_equal(buf_len(&b), 8);
	buf_done(&b);
}

static void test_get_str_reads_no_further_than_the_end(void **state)
{
	struct cursor c = cursor_over("\0\0\0\4abc", 7);

	(void)state;
	assert_int_equal(get_str(&c).n, 0);
	assert_true(c.bad);
	assert_int_equal(get_u64(&c), 0);
	c = cursor_over("\377\377\377\377", 4);
	assert_int_equal(get_str(&c).n, 0);
	assert_true(c.bad);
}

/* Whatever the bytes are: accepted or -EBADMSG, and an accepted note says the same when it is
 * written again. */
static void test_random_bytes(void **state)
{
	uint64_t x = 88172645463325252ULL;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct message m = { .body = BUF_INIT(CHANNEL_MESSAGE_MAX) };
		struct buf again = BUF_INIT(CHANNEL_MESSAGE_MAX);
		struct refusal_note rn;
		struct status_note sn;
		uint8_t bytes[24];
		size_t n;

		for (size_t k = 0; k < sizeof(bytes); k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			/* Mostly small numbers, or every length would be absurd. */
			bytes[k] = x & 0x300 ? (x & 3) : (uint8_t)x;
			if (k % 4 != 3 && x & 0x3000)
				bytes[k] = 0;
		}
		n = (x >> 32) % (sizeof(bytes) + 1);
		message_with(&m, MSG_REFUSAL, bytes, n);
		if (refusal_note_get(&m, &rn) == 0) {
			assert_int_equal(refusal_note_put(&again, &rn), 0);
			assert_true(str_eq(buf_str(&again), buf_str(&m.body)));
		}
		buf_done(&again);
		message_with(&m, MSG_STATUS, bytes, n);
		if (status_note_get(&m, &sn) == 0) {
			assert_int_equal(status_note_put(&again, &sn), 0);
			assert_true(str_eq(buf_str(&again), buf_str(&m.body)));
		}
		buf_done(&again);
		message_done(&m);
	}
}

#define on_a_pair(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_a_pair(test_garbage_is_refused_and_nothing_stays_open),
		on_a_pair(test_failure_leaves_the_callers_message),
		on_a_pair(test_unexpected_control_data_is_refused),
		on_a_pair(test_end_of_file),
		on_a_pair(test_last_words_survive_a_reset),
		on_a_pair(test_nothing_there_on_a_nonblocking_channel),
		on_a_pair(test_too_much_to_send),
		on_a_pair(test_descriptors_arrive_and_are_close_on_exec),
		cmocka_unit_test(test_number_payload),
		cmocka_unit_test(test_refusal_note_round_trip),
		cmocka_unit_test(test_refusal_note_refused),
		cmocka_unit_test(test_status_note),
		cmocka_unit_test(test_socket_wanted),
		cmocka_unit_test(test_socket_note),
		cmocka_unit_test(test_put_str_past_the_maximum),
		cmocka_unit_test(test_get_str_reads_no_further_than_the_end),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
