/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of attached cgroups: what is believed of their text, who holds them, and that they stay. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/attached.h"
#include "supervisor/files.h"

#define PINS  "pins=/b/nono-proxy/cgroup-7\n"
#define HEX8  "01234567"
#define TOKEN HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8 HEX8
#define REST                                                                            \
	"session=0123456789abcdef\ngaps=vsock,keyring\nunix=1\nport=4711\ntoken=" TOKEN \
	"\npid=12\nstart=99\n"

static char place[] = "/tmp/attached-test-XXXXXX";
static char root[64];

static void test_parse(void **state)
{
	static const struct {
		const char *why, *text;
		bool good;
	} rows[] = {
		{ "all there", "path=/c/x\n" PINS "uid=7\n" REST, true },
		{ "no gaps",
		  "path=/c/x\n" PINS "uid=7\nsession=\ngaps=\nunix=0\nport=0\ntoken=" TOKEN
		  "\npid=0\nstart=0\n",
		  true },
		{ "of an earlier version",
		  "path=/c/x\n" PINS "uid=7\nsession=\ngaps=\nport=0\ntoken=" TOKEN
		  "\npid=0\nstart=0\n",
		  true },
		{ "empty", "", false },
		{ "cut in the middle", "path=/c/x\n" PINS "uid=7\nsession=0123", false },
		{ "cut before the last line",
		  "path=/c/x\n" PINS "uid=7\nsession=\ngaps=\nunix=0\nport=0\ntoken=" TOKEN
		  "\npid=0\n",
		  false },
		{ "something behind", "path=/c/x\n" PINS "uid=7\n" REST "more=1\n", false },
		{ "another order", PINS "path=/c/x\nuid=7\n" REST, false },
		{ "pins elsewhere", "path=/c/x\npins=/etc\nuid=7\n" REST, false },
		{ "pins of all", "path=/c/x\npins=/b/nono-proxy/\nuid=7\n" REST, false },
		{ "pins of a sandbox of run",
		  "path=/c/x\npins=/b/nono-proxy/0123456789abcdef\nuid=7\n" REST, false },
		{ "pins without a number", "path=/c/x\npins=/b/nono-proxy/cgroup-\nuid=7\n" REST,
		  false },
		{ "pins further down", "path=/c/x\npins=/b/nono-proxy/cgroup-7/x\nuid=7\n" REST,
		  false },
		{ "a way around", "path=/c/x\npins=/b/../nono-proxy/cgroup-7\nuid=7\n" REST,
		  false },
		{ "relative pins", "path=/c/x\npins=b/nono-proxy/cgroup-7\nuid=7\n" REST, false },
		{ "not a number", "path=/c/x\n" PINS "uid=7x\n" REST, false },
		{ "a negative number", "path=/c/x\n" PINS "uid=-1\n" REST, false },
		{ "a number too large", "path=/c/x\n" PINS "uid=4294967296\n" REST, false },
		{ "a port too large",
		  "path=/c/x\n" PINS "uid=7\nsession=\ngaps=\nunix=0\nport=65536\ntoken=" TOKEN
		  "\npid=0\nstart=0\n",
		  false },
		{ "a token too short",
		  "path=/c/x\n" PINS "uid=7\nsession=\ngaps=\nunix=0\nport=1\ntoken=" HEX8
		  "\npid=0\nstart=0\n",
		  false },
		{ "neither with nor without unix sockets",
		  "path=/c/x\n" PINS "uid=7\nsession=\ngaps=\nunix=2\nport=1\ntoken=" TOKEN
		  "\npid=0\nstart=0\n",
		  false },
		{ "a session too long",
		  "path=/c/x\n" PINS
		  "uid=7\nsession=0123456789abcdef0\ngaps=\nunix=0\nport=1\ntoken=" TOKEN
		  "\npid=0\nstart=0\n",
		  false },
	};
	struct attached_info i;

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
		if (attached_info_parse(rows[k].text, &i) != rows[k].good)
			fail_msg("%s", rows[k].why);
	assert_true(attached_info_parse(rows[0].text, &i));
	assert_string_equal(i.path, "/c/x");
	assert_string_equal(i.gaps, "vsock,keyring");
	assert_int_equal(i.uid, 7);
	assert_int_equal(i.port, 4711);
	assert_true(i.unix_sockets);
	assert_string_equal(i.token, TOKEN);
	assert_int_equal(i.pid, 12);
	assert_int_equal(i.start, 99);
}

static const struct attached_info example = {
	.path = "/c/x",
	.pins = "/b/nono-proxy/cgroup-7",
	.session = "0123456789abcdef",
	.uid = 61184,
	.port = 1,
	.token = TOKEN,
	.unix_sockets = true,
	.pid = 1,
	.start = 2,
};

static void test_round_trip(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(16384);
	struct attached_info i;

	(void)state;
	assert_int_equal(attached_info_text(&example, &b), 0);
	assert_int_equal(buf_append_u8(&b, 0), 0);
	assert_true(attached_info_parse((const char *)buf_data(&b), &i));
	assert_memory_equal(&i, &example, sizeof(i));
}

static void test_begin_is_exclusive(void **state)
{
	struct attached a = ATTACHED_INIT, b = ATTACHED_INIT;
	struct why why = { "" };

	(void)state;
	assert_int_equal(attached_begin(root, 7, &a, &why), 0);
	assert_int_equal(attached_record(&a, &example, &why), 0);
	attached_settle(&a);
	assert_int_equal(attached_begin(root, 7, &b, &why), -EBUSY);
	assert_non_null(strstr(why.text, "process 1)"));
	assert_int_equal(attached_begin(root, 8, &b, &why), 0);
	attached_settle(&b);
	attached_remove(&b);
	attached_remove(&a);
	assert_int_equal(access(root, F_OK), -1);
}

static void test_an_abandoned_entry_stays(void **state)
{
	struct attached a = ATTACHED_INIT;
	struct state s = STATE_INIT;
	struct attached_info i;
	struct why why = { "" };
	int fd;

	(void)state;
	assert_int_equal(attached_begin(root, 7, &a, &why), 0);
	assert_int_equal(attached_record(&a, &example, &why), 0);
	attached_note_frozen(&a, true);
	fd = attached_open_bindings(&a);
	assert_true(fd >= 0 && write(fd, "x", 1) == 1);
	(void)close(fd);
	attached_abandon(&a);

	/* A sandbox of the other kind comes and goes: it neither sweeps it nor takes its user id. */
	assert_int_equal(state_begin(root, &s, &why), 0);
	assert_true(state_uid_is_used(&s, example.uid));
	assert_false(state_uid_is_used(&s, example.uid + 1));
	state_settle(&s);
	state_remove(&s);

	assert_int_equal(attached_begin(root, 7, &a, &why), 0);
	assert_int_equal(attached_read(&a, &i), 0);
	assert_int_equal(i.uid, example.uid);
	assert_true(attached_was_frozen(&a));
	fd = attached_open_bindings(&a);
	assert_int_equal(lseek(fd, 0, SEEK_END), 1);
	(void)close(fd);
	attached_settle(&a);
	attached_remove(&a);
	assert_int_equal(access(root, F_OK), -1);
}

struct seen {
	size_t n, alive;
};

static void see(void *arg, struct attached *a, bool alive)
{
	struct seen *s = arg;

	(void)a;
	s->n++;
	s->alive += alive;
}

static void test_each(void **state)
{
	struct attached a = ATTACHED_INIT, b = ATTACHED_INIT;
	struct seen seen = { 0 };
	struct why why = { "" };

	(void)state;
	assert_int_equal(attached_each(root, see, &seen, &why), 0);
	assert_int_equal(seen.n, 0);
	assert_int_equal(access(root, F_OK), -1);
	assert_int_equal(attached_begin(root, 7, &a, &why), 0);
	attached_settle(&a);
	assert_int_equal(attached_begin(root, 8, &b, &why), 0);
	attached_abandon(&b);
	assert_int_equal(attached_each(root, see, &seen, &why), 0);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.alive, 1);
	assert_int_equal(attached_begin(root, 8, &b, &why), 0);
	attached_settle(&b);
	attached_remove(&b);
	attached_remove(&a);
}

static void test_process_start(void **state)
{
	(void)state;
	assert_true(process_start(getpid()) > 0);
	assert_int_equal(process_start(getpid()), process_start(getpid()));
	assert_int_equal(process_start(0x7fffffff), 0);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(place))
		return -1;
	(void)snprintf(root, sizeof(root), "%s/state", place);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_begin_is_exclusive),
		cmocka_unit_test(test_an_abandoned_entry_stays),
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_process_start),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
