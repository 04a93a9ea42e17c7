/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that one attached cgroup consists of, in the order in which it is made. What is not there yet has its empty value.
 */
#ifndef NONO_SUPERVISOR_ATTACHMENT_H
#define NONO_SUPERVISOR_ATTACHMENT_H

#include "redirect/redirect.h"
#include "redirect/unix.h"
#include "supervisor/attach.h"
#include "supervisor/attached.h"
#include "supervisor/gaps.h"
#include "supervisor/held.h"
#include "supervisor/netns.h"
#include "supervisor/publish.h"
#include "supervisor/role.h"
#include "supervisor/signals.h"
#include "supervisor/target.h"

struct attachment {
	const struct attach_options *opt;
	struct why why;
	int ended_by; /* the signal that ended us before it stood, or 0 */

	struct signals signals;
	int audit, bindings;
	struct target target;
	struct attached entry;
	struct attached_info info;
	bool adopted; /* it was closed already, by an earlier one of us */
	bool pinned;  /* it is closed */
	bool partly;  /* somebody was killed before it was: some of the programs are pinned */
	struct held held;
	struct gaps gaps;
	int ns; /* its network namespace; -EBADF: our own */
	struct redirect *redirect;
	struct redirect_unix *unix_programs; /* NULL: unix sockets are not watched over */
	struct netns netns;
	struct publish publish;
	struct role proxy;

	int served_ns;	     /* the namespace that the listeners are in; -EBADF: our own */
	unsigned int hiding; /* looks in a row that found descriptors on their way */
	int64_t told;	     /* when it was told last that a look failed, or 0 */
};

#endif
