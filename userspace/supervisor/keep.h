/* SPDX-License-Identifier: Apache-2.0 */
/* While a cgroup is closed and served. */
#ifndef NONO_SUPERVISOR_KEEP_H
#define NONO_SUPERVISOR_KEEP_H

#include "supervisor/attachment.h"

enum keep_end {
	KEEP_ASKED, /* a signal asked us to end; the proxy has drained and is gone */
	KEEP_PROXY, /* the proxy ended by itself */
	KEEP_GONE,  /* the cgroup was removed */
	KEEP_FAILED,
};

/*
 * Looks for sockets from outside all the while. A member that holds one is ended; when a look fails, all of them are stopped
 * until one succeeds (a->target.frozen).
 */
enum keep_end keep_attached(struct attachment *a);

#endif
