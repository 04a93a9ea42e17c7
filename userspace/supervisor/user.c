/* SPDX-License-Identifier: Apache-2.0 */
/* Who COMMAND runs as. */
#include "supervisor/user.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/environment.h"

/* Decimal, no sign; not the value that means "leave as it is" to the kernel. */
static bool parse_id(const char *text, size_t n, uint32_t *ret)
{
	uint64_t v = 0;

	if (n == 0 || n > 10)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* UID or UID:GID. A missing group is the account's, else the number of the user. */
static bool parse_numbers(const char *text, uint32_t *uid, uint32_t *gid, bool *has_gid)
{
	size_t n = strcspn(text, ":");

	*has_gid = text[n] == ':';
	return parse_id(text, n, uid) &&
	       (!*has_gid || parse_id(text + n + 1, strlen(text + n + 1), gid));
}

static int wanted_ids(const char *wanted, uint32_t *uid, uint32_t *gid, struct why *why)
{
	struct passwd *pw;
	bool has_gid;

	if (parse_numbers(wanted, uid, gid, &has_gid)) {
		if (!has_gid) {
			pw = getpwuid(*uid);
			*gid = pw ? pw->pw_gid : *uid;
		}
		return 0;
	}
	pw = getpwnam(wanted);
	if (!pw)
		return why_set(why, -ENOENT,
			       "there is no user \"%s\": --user takes a name, UID or UID:GID",
			       wanted);
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

/* Only root's environment can be sudo's. */
/* 1: they are set; 0: there are none; -EINVAL: they are unusable, and root must not be the answer
 * to that. */
static int sudo_ids(const char *const *envp, uint32_t *uid, uint32_t *gid, struct why *why)
{
	const char *u = environment_get(envp, "SUDO_UID"), *g = environment_get(envp, "SUDO_GID");

	if (getuid() != 0 || (!u && !g))
		return 0;
	if (u && g && parse_id(u, strlen(u), uid) && parse_id(g, strlen(g), gid))
		return 1;
	return why_set(why, -EINVAL, "SUDO_UID and SUDO_GID do not name a user: say --user USER");
}

int user_choose(const char *wanted, const char *const *envp, struct user *ret, struct why *why)
{
	struct user u = USER_INIT;
	struct passwd *pw;

	int r = wanted ? wanted_ids(wanted, &u.uid, &u.gid, why)
		       : sudo_ids(envp, &u.uid, &u.gid, why);

	if (r < 0)
		return r;
	if (!wanted && r == 0) {
		u.uid = getuid();
		u.gid = getgid();
	}
	u.changed = u.uid != getuid();
	pw = getpwuid(u.uid);
	if (pw) {
		u.name = strdup(pw->pw_name);
		u.home = strdup(pw->pw_dir);
		u.shell = strdup(pw->pw_shell);
		if (!u.name || !u.home || !u.shell) {
			user_done(&u);
			return why_set(why, -ENOMEM, "out of memory");
		}
	}
	*ret = u;
	return 0;
}

void user_done(struct user *u)
{
	free(u->name);
	free(u->home);
	free(u->shell);
	*u = (struct user)USER_INIT;
}
