/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/where.h"

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/attached.h"
#include "supervisor/target.h"

int supervisor_where(const char *cgroup, struct endpoint *ret, char ret_token[TOKEN_TEXT + 1],
		     struct why *why)
{
	static struct attached_info info; /* too much for a stack frame */
	struct target t = TARGET_INIT;
	bool alive;
	int r;

	if (geteuid() != 0)
		return why_set(why, -EPERM, "--cgroup needs root: the state directory is root's");
	r = target_of_path(cgroup, &t, why);
	if (r == 0)
		r = attached_find(STATE_ROOT, t.id, &info, &alive, why);
	target_done(&t);
	if (r < 0)
		return r;
	*ret = (struct endpoint){ addr_v4(INADDR_LOOPBACK), (uint16_t)info.port };
	memcpy(ret_token, info.token, sizeof(info.token));
	return 0;
}
