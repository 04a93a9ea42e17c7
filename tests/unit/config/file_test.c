/* SPDX-License-Identifier: Apache-2.0 */
/* Which file is read, which is not believed, and what is shown of it. */
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

#include "config/config.h"

static char directory[] = "/tmp/nono-config-XXXXXX";

static int setup(void **state)
{
	(void)state;
	memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
	return mkdtemp(directory) ? 0 : -1;
}

static const char *path(const char *name)
{
	static char text[16][256]; /* of one test at most so many live */
	static unsigned int i;

	i = (i + 1) % ARRAY_SIZE(text);
	(void)snprintf(text[i], sizeof(text[i]), "%s/%s", directory, name);
	return text[i];
}

static const char *const names[] = { "a", "b", "link", "fifo", "dir" };

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)remove(path(names[i]));
	return rmdir(directory);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path(name), mode), 0);
}

#define GOOD(host) "{\"version\": 1,\n\"allowed_hosts\": [\"" host "\"]}"

/* The pattern of the only rule, "" without a file, or the sentence. */
static const char *load_as(const struct config_places *places, uid_t caller, int *ret)
{
	static char text[2048];
	struct config c;

	text[0] = '\0';
	config_init(&c);
	*ret = config_load(&c, places, caller, text, sizeof(text));
	if (*ret == 0) {
		assert_int_equal(c.rule_count, c.file ? 1 : 0);
		(void)snprintf(text, sizeof(text), "%s", c.file ? c.rules[0].text : "");
	}
	config_done(&c);
	return text;
}

static void must_read(const struct config_places *places, const char *wanted)
{
	int r;
	const char *got = load_as(places, getuid(), &r);

	assert_int_equal(r, 0);
	assert_string_equal(got, wanted);
}

static void must_refuse(const char *file, uid_t caller, const char *part)
{
	const struct config_places places = { .option = file };
	int r;
	const char *got = load_as(&places, caller, &r);

	assert_int_equal(r, -EINVAL);
	assert_memory_equal(got, file, strlen(file));
	if (!strstr(got, part))
		fail_msg("'%s' lacks '%s'", got, part);
}

static void test_the_first_that_exists(void **state)
{
	(void)state;
	write_file("a", GOOD("a.example"), 0644);
	write_file("b", GOOD("b.example"), 0600);
	must_read(&(struct config_places){ 0 }, "");
	must_read(&(struct config_places){ .user = path("no"), .system = path("no/no") }, "");
	must_read(&(struct config_places){ .user = path("a/not-a-directory") }, "");
	must_read(&(struct config_places){ .system = path("b") }, "b.example");
	must_read(&(struct config_places){ .user = path("no"), .system = path("b") }, "b.example");
	must_read(&(struct config_places){ .user = path("a"), .system = path("b") }, "a.example");
	must_read(&(struct config_places){ .variable = path("b"), .user = path("a") }, "b.example");
	must_read(&(struct config_places){ .option = path("a"), .variable = path("no") },
		  "a.example");
}

static void test_what_was_named_must_exist(void **state)
{
	struct config_places places = { .variable = path("no"), .user = path("a") };
	int r;

	(void)state;
	write_file("a", GOOD("a.example"), 0644);
	must_refuse(path("no"), getuid(), "No such file");
	must_refuse(path("a/b"), getuid(), "Not a directory");
	must_refuse("", getuid(), "No such file");
	assert_non_null(strstr(load_as(&places, getuid(), &r), "No such file"));
	assert_int_equal(r, -EINVAL);
}

/* A wrong file is not passed over for the next one. */
static void test_a_wrong_file_is_not_passed_over(void **state)
{
	struct config_places places = { .user = path("a"), .system = path("b") };
	int r;

	(void)state;
	write_file("a", "{", 0644);
	write_file("b", GOOD("b.example"), 0644);
	assert_non_null(strstr(load_as(&places, getuid(), &r), "/a:1:2: "));
	assert_int_equal(r, -EINVAL);
	assert_int_equal(chmod(path("a"), 0666), 0);
	assert_non_null(strstr(load_as(&places, getuid(), &r), "not trusted"));
	assert_int_equal(r, -EINVAL);
}

static void test_what_others_can_write(void **state)
{
	static const mode_t modes[] = { 0664, 0646, 0666, 0620, 0602 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		write_file("a", GOOD("a.example"), modes[i]);
		must_refuse(path("a"), getuid(), "can be written by others");
	}
	assert_int_equal(symlink(path("a"), path("link")), 0);
	must_refuse(path("link"), getuid(), "can be written by others");
}

static void test_what_another_user_owns(void **state)
{
	struct config_places places = { .option = path("a") };
	int r;

	(void)state;
	if (getuid() != 0)
		skip(); /* only root can give a file away */
	write_file("a", GOOD("a.example"), 0644);
	assert_string_equal(load_as(&places, 1000, &r), "a.example"); /* root's own */
	assert_int_equal(chown(path("a"), 1000, 1000), 0);
	assert_string_equal(load_as(&places, 1000, &r), "a.example"); /* the caller's */
	must_refuse(path("a"), 0, "owned by user 1000");
	must_refuse(path("a"), 1001, "owned by user 1000");
	assert_int_equal(symlink(path("a"), path("link")), 0); /* root's link */
	must_refuse(path("link"), 1001, "owned by user 1000");
}

static void test_what_is_no_file(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path("fifo"), 0600), 0);
	assert_int_equal(mkdir(path("dir"), 0700), 0);
	must_refuse(path("fifo"), getuid(), "not a file");
	must_refuse(path("dir"), getuid(), "not a file");
	must_refuse("/dev/zero", getuid(), "not a file");
}

static void test_size(void **state)
{
	struct config_places places = { .option = path("a") };
	int r;

	(void)state;
	write_file("a", GOOD("a.example"), 0600);
	assert_int_equal(truncate(path("a"), CONFIG_FILE_MAX + 1), 0);
	must_refuse(path("a"), getuid(), "larger than 1048576 bytes");
	assert_int_equal(truncate(path("a"), CONFIG_FILE_MAX), 0);
	must_refuse(path("a"), getuid(), "NUL byte"); /* it was read */
	/* Blanks up to the last byte that is allowed. */
	write_file("a", GOOD("a.example"), 0600);
	{
		FILE *f = fopen(path("a"), "a");

		assert_non_null(f);
		for (size_t i = strlen(GOOD("a.example")); i < CONFIG_FILE_MAX; i++)
			assert_int_equal(putc(' ', f), ' ');
		assert_int_equal(fclose(f), 0);
	}
	assert_string_equal(load_as(&places, getuid(), &r), "a.example");
}

/* Root may be asked to read what the caller may not: its text is not read out. */
static void test_wrong_text_is_not_quoted(void **state)
{
	struct config_places places = { .option = path("a") };
	int r;

	(void)state;
	write_file("a", "root:$6$salt$hash:1:2", 0600);
	assert_null(strstr(load_as(&places, getuid(), &r), "salt"));
	assert_null(strstr(load_as(&places, getuid(), &r), "root:"));
	assert_int_equal(r, -EINVAL);
}

/* What is shown is a file that says the same. */
static void test_show_is_a_file(void **state)
{
	static const char text[] =
		"{\"version\": 1, \"allowed_hosts\": [\"a.example\", \"*:22\"], "
		"\"denied_hosts\": [\"b.example\"], \"monitor\": true, "
		"\"allowed_cidrs\": [\"10.0.0.0/8:1\"], "
		"\"dns\": {\"servers\": [\"192.0.2.1\"]}, "
		"\"bind_addr\": \"::1\", \"bind_port\": 8080, "
		"\"limits\": {\"max_connections\": 7, \"header_timeout_secs\": 3}}";
	_cleanup_buf_ struct buf first = BUF_INIT(65536), second = BUF_INIT(65536);
	char why[512] = "", *inner;
	struct config c;
	size_t n;

	(void)state;
	config_init(&c);
	assert_int_equal(config_parse(&c, "x", str_of(text), why, sizeof(why)), 0);
	assert_int_equal(config_show(&c, &first), 0);
	config_done(&c);
	inner = memmem(buf_data(&first), buf_len(&first), "\"configuration\":", 16);
	assert_non_null(inner);
	inner += 16;
	n = (size_t)((const char *)buf_data(&first) + buf_len(&first) - inner);
	while (n && inner[n - 1] != '}')
		n--; /* of the whole */
	config_init(&c);
	if (config_parse(&c, "x", (struct str){ inner, n - 1 }, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	assert_int_equal(config_show(&c, &second), 0);
	assert_int_equal(buf_len(&second), buf_len(&first));
	assert_memory_equal(buf_data(&second), buf_data(&first), buf_len(&first));
	assert_non_null(memmem(buf_data(&first), buf_len(&first), "\"file\": null", 12));
	assert_non_null(memmem(buf_data(&first), buf_len(&first), "\"max_connections\": 7", 20));
	assert_non_null(memmem(buf_data(&first), buf_len(&first), "\"bind_addr\": \"::1\"", 18));
	assert_non_null(memmem(buf_data(&first), buf_len(&first), "\"bind_port\": 8080", 17));
	config_done(&c);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_first_that_exists),
		TEST(test_what_was_named_must_exist),
		TEST(test_a_wrong_file_is_not_passed_over),
		TEST(test_what_others_can_write),
		TEST(test_what_another_user_owns),
		TEST(test_what_is_no_file),
		TEST(test_size),
		TEST(test_wrong_text_is_not_quoted),
		cmocka_unit_test(test_show_is_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
