/* SPDX-License-Identifier: Apache-2.0 */
/* Which mounts are found in the text of /proc/self/mountinfo, and which cgroup tree is chosen. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "supervisor/cgroup.h"
#include "supervisor/mountinfo.h"

#define HYBRID                                                                                \
	"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"                 \
	"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n" \
	"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
#define PURE	  "25 20 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define CONTAINER "700 690 0:22 /docker/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
#define OUTSIDE	  "700 690 0:22 /../.. /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"

static void test_mountinfo_lines(void **state)
{
	static const struct {
		const char *why, *text, *point, *root;
	} rows[] = {
		{ "nothing", "", NULL, NULL },
		{ "a type that only looks like it", "1 2 0:1 / /a rw - cgroup cgroup2 rw\n", NULL,
		  NULL },
		{ "no separator", "1 2 0:1 / /a rw cgroup2 x rw\n", NULL, NULL },
		{ "cut before the type", "1 2 0:1 / /a rw -", NULL, NULL },
		{ "cut in the middle", "1 2 0:1", NULL, NULL },
		{ "an empty mount point", "1 2 0:1 /  rw - cgroup2 x rw\n", NULL, NULL },
		{ "a relative mount point", "1 2 0:1 / a rw - cgroup2 x rw\n", NULL, NULL },
		{ "outside of our view", OUTSIDE, NULL, NULL },
		{ "outside, exactly", "1 2 0:1 /.. /a rw - cgroup2 x rw\n", NULL, NULL },
		{ "only begins with dots", "1 2 0:1 /..x /a rw - cgroup2 x rw\n", "/a", "/..x" },
		{ "bad lines before", "\n \n1\n" PURE, "/sys/fs/cgroup", "/" },
		{ "no newline at the end", "1 2 0:1 / /a rw - cgroup2 x rw", "/a", "/" },
		{ "no optional fields", "1 2 0:1 / /a rw - cgroup2 x rw\n", "/a", "/" },
		{ "several optional fields", "1 2 0:1 / /a rw shared:1 master:2 - cgroup2 x rw\n",
		  "/a", "/" },
		{ "a blank and a backslash in the name",
		  "1 2 0:1 / /a\\040b\\134c rw - cgroup2 x rw\n", "/a b\\c", "/" },
		{ "an escape that is none", "1 2 0:1 / /a\\04 rw - cgroup2 x rw\n", "/a\\04", "/" },
		{ "hybrid", HYBRID, "/sys/fs/cgroup/unified", "/" },
		{ "in a container", CONTAINER, "/sys/fs/cgroup", "/docker/abc" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at = rows[i].text;
		struct mount_entry m;
		bool found = mountinfo_next(&at, "cgroup2", &m);

		if (found != (rows[i].point != NULL))
			fail_msg("%s: found=%d", rows[i].why, found);
		if (!found)
			continue;
		if (strcmp(m.point, rows[i].point) || strcmp(m.root, rows[i].root))
			fail_msg("%s: %s %s", rows[i].why, m.point, m.root);
	}
}

/* A path longer than we keep is passed over, not cut. */
static void test_mountinfo_long_path(void **state)
{
	char text[MOUNT_PATH_MAX * 2], point[MOUNT_PATH_MAX + 1];
	const char *at = text;
	struct mount_entry m;

	(void)state;
	memset(point, 'x', sizeof(point));
	point[0] = '/';
	point[MOUNT_PATH_MAX] = '\0';
	(void)snprintf(text, sizeof(text), "1 2 0:1 / %s rw - cgroup2 x rw\n" PURE, point);
	assert_true(mountinfo_next(&at, "cgroup2", &m));
	assert_string_equal(m.point, "/sys/fs/cgroup");
	point[MOUNT_PATH_MAX - 1] = '\0';
	(void)snprintf(text, sizeof(text), "1 2 0:1 / %s rw - cgroup2 x rw\n", point);
	at = text;
	assert_true(mountinfo_next(&at, "cgroup2", &m));
	assert_string_equal(m.point, point);
}

static bool every(const char *point)
{
	(void)point;
	return true;
}

static bool none(const char *point)
{
	(void)point;
	return false;
}

static bool not_hidden(const char *point)
{
	return strcmp(point, "/hidden") != 0;
}

static void test_cgroup_mount_chosen(void **state)
{
	static const struct {
		const char *why, *text;
		bool (*usable)(const char *point);
		const char *point;
	} rows[] = {
		{ "version 1 only", "1 2 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
		  every, NULL },
		{ "not usable", PURE, none, NULL },
		{ "hybrid", HYBRID, every, "/sys/fs/cgroup/unified" },
		{ "pure", PURE, every, "/sys/fs/cgroup" },
		{ "a part is better than nothing", CONTAINER, every, "/sys/fs/cgroup" },
		{ "all is better than a part", "1 2 0:1 /x /part rw - cgroup2 c rw\n" HYBRID, every,
		  "/sys/fs/cgroup/unified" },
		{ "… in either order", HYBRID "1 2 0:1 /x /part rw - cgroup2 c rw\n", every,
		  "/sys/fs/cgroup/unified" },
		{ "the first of two parts",
		  "1 2 0:1 /x /one rw - cgroup2 c rw\n1 2 0:1 /y /two rw - cgroup2 c rw\n", every,
		  "/one" },
		{ "one that is covered is passed over",
		  "1 2 0:1 / /hidden rw - cgroup2 c rw\n" PURE, not_hidden, "/sys/fs/cgroup" },
		{ "covered, and then only a part",
		  "1 2 0:1 / /hidden rw - cgroup2 c rw\n" CONTAINER, not_hidden, "/sys/fs/cgroup" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char point[MOUNT_PATH_MAX] = "untouched";
		bool found = cgroup_choose_mount(rows[i].text, rows[i].usable, point);

		if (found != (rows[i].point != NULL))
			fail_msg("%s: found=%d", rows[i].why, found);
		if (strcmp(point, found ? rows[i].point : "untouched"))
			fail_msg("%s: %s", rows[i].why, point);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mountinfo_lines),
		cmocka_unit_test(test_mountinfo_long_path),
		cmocka_unit_test(test_cgroup_mount_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
