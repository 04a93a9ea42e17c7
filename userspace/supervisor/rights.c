/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/rights.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "supervisor/cgroup.h"
#include "supervisor/files.h"

/* Descriptors 0 to 2 exist: else the next thing opened would be standard error. */
static int fill_stdio(struct why *why)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return why_set(why, -EBADF, "cannot open /dev/null");
	return 0;
}

static int check_not_inside(struct why *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT(16 * 4097);

	if (file_read(AT_FDCWD, "/proc/self/cgroup", &b) == 0 &&
	    cgroup_text_is_ours((const char *)buf_data(&b)))
		return why_set(
			why, -EPERM,
			"this is a sandbox already: nesting is not supported; start the command "
			"directly");
	return 0;
}

static int check_capabilities(const char *command, struct why *why)
{
	static const struct {
		int number;
		const char *name;
	} needed[] = {
		{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" }, { CAP_NET_ADMIN, "CAP_NET_ADMIN" },
		{ CAP_SETUID, "CAP_SETUID" },	    { CAP_SETGID, "CAP_SETGID" },
		{ CAP_SETPCAP, "CAP_SETPCAP" },	    { CAP_KILL, "CAP_KILL" },
	};
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &head, have) < 0)
		return why_set(why, -errno, "cannot read our capabilities: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!(have[CAP_TO_INDEX(needed[i].number)].effective &
		      CAP_TO_MASK(needed[i].number)))
			return why_set(why, -EPERM,
				       "%s needs root (%s is missing): start it with sudo", command,
				       needed[i].name);
	return 0;
}

int rights_check(const char *command, struct why *why)
{
	int r = fill_stdio(why);

	if (r == 0)
		r = check_not_inside(why);
	return r < 0 ? r : check_capabilities(command, why);
}
