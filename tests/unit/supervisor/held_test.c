/* SPDX-License-Identifier: Apache-2.0 */
/* What this process holds itself: unix sockets need no programs to be told apart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/held.h"

#define COPIES 200

struct here {
	pid_t pid;
	char directory[32];
	struct target target; /* a directory, and this process */
	struct held held;
	int pair[2];
};

static int set_up(void **state)
{
	struct here *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->pid = getpid();
	(void)snprintf(h->directory, sizeof(h->directory), "/tmp/nono-held-XXXXXX");
	assert_non_null(mkdtemp(h->directory));
	h->target = (struct target)TARGET_INIT;
	h->target.fd = open(h->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	h->target.pids = &h->pid;
	h->target.pid_count = 1;
	assert_true(h->target.fd >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, h->pair), 0);
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct here *h = *state;

	held_done(&h->held);
	for (int i = 0; i < 2; i++)
		if (h->pair[i] >= 0)
			(void)close(h->pair[i]);
	(void)close(h->target.fd);
	(void)rmdir(h->directory);
	free(h);
	return 0;
}

static void look(struct here *h)
{
	struct why why;

	held_done(&h->held);
	assert_int_equal(held_find(&h->target, -EBADF, NULL, &h->held, &why), 0);
}

static uint64_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void pass(int way, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS } };
	struct iovec data = { (char[]){ 'x' }, 1 };
	struct msghdr m = { .msg_iov = &data,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	assert_int_equal(sendmsg(way, &m, 0), 1);
}

/* Else some thousands of copies would make the look fail. */
static void test_copies_count_once(void **state)
{
	struct here *h = *state;
	int copies[COPIES];
	size_t before;

	look(h);
	before = h->held.n;
	for (int i = 0; i < COPIES; i++)
		copies[i] = dup(h->pair[0]);
	look(h);
	assert_int_equal(h->held.n, before);
	assert_true(held_has(&h->held, inode(h->pair[0])));
	assert_true(held_has(&h->held, inode(h->pair[1])));
	for (int i = 0; i < COPIES; i++)
		(void)close(copies[i]);
}

static void test_on_the_way_is_hiding(void **state)
{
	struct here *h = *state;
	const struct held_socket *s;

	look(h);
	assert_null(held_hiding(&h->held));
	pass(h->pair[0], 0);
	look(h);
	s = held_hiding(&h->held);
	assert_non_null(s);
	assert_int_equal(s->fd, h->pair[1]); /* where it waits */
}

static void test_pair_of_its_own_leads_nowhere(void **state)
{
	struct here *h = *state;

	look(h);
	/* Another one may be inherited by the test itself. */
	for (size_t i = 0; i < h->held.n; i++)
		if (h->held.items[i].inode != inode(h->pair[0]) &&
		    h->held.items[i].inode != inode(h->pair[1]))
			h->held.items[i].family = 0;
	assert_null(held_leading_out(&h->held, -EBADF));
}

/* The other end is a child's, which is no member. */
static void test_other_end_outside_leads_out(void **state)
{
	struct here *h = *state;
	const struct held_socket *s;
	int hold[2], status;
	pid_t child;

	assert_int_equal(pipe(hold), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)close(hold[1]);
		(void)!read(hold[0], hold, 1);
		_exit(0);
	}
	(void)close(h->pair[1]);
	h->pair[1] = -1;
	look(h);
	for (size_t i = 0; i < h->held.n; i++)
		if (h->held.items[i].inode != inode(h->pair[0]))
			h->held.items[i].family = 0;
	s = held_leading_out(&h->held, -EBADF);
	(void)close(hold[0]);
	(void)close(hold[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_non_null(s);
	assert_int_equal(s->fd, h->pair[0]);
}

static void must_not_tell(void *arg, const struct held_socket *s)
{
	(void)arg;
	(void)s;
	fail();
}

/* What is no member is not ended, whatever the list said. */
static void test_end_spares_who_is_no_member(void **state)
{
	struct here *h = *state;

	look(h);
	for (size_t i = 0; i < h->held.n; i++)
		h->held.items[i].kind = HELD_ALIEN;
	assert_non_null(held_alien(&h->held));
	assert_int_equal(held_end(&h->target, &h->held, true, must_not_tell, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_copies_count_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_on_the_way_is_hiding, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pair_of_its_own_leads_nowhere, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_other_end_outside_leads_out, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_end_spares_who_is_no_member, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
