/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three files that tell a C library how to find names: /etc/resolv.conf, /etc/hosts and
 * /etc/nsswitch.conf. The sandbox sees its own versions, read-only.
 */
#ifndef NONO_SUPERVISOR_ETCFILES_H
#define NONO_SUPERVISOR_ETCFILES_H

#include "ipc/setup.h"
#include "supervisor/why.h"

#define ETC_TARGET_MAX 512

enum { ETC_RESOLV_CONF, ETC_HOSTS, ETC_NSSWITCH, ETC_COUNT };

struct etcfiles {
	int mounts[ETC_COUNT]; /* detached, one file each; -EBADF: the file stays as it is */
	char resolv_target[ETC_TARGET_MAX]; /* where /etc/resolv.conf leads, if that is below /run;
					 else
					 "" */
};

/* Makes the files. To be called while /run and /proc are still the host's: links are followed
 * there. 0 or -errno, a sentence. */
_must_check_ int etcfiles_prepare(const struct init_setup *s, struct etcfiles *ret,
				  struct why *why);

/* Puts them where they belong; /run is the sandbox's own by now. */
_must_check_ int etcfiles_place(const struct etcfiles *f, struct why *why);

void etcfiles_done(struct etcfiles *f);
#define _cleanup_etcfiles_ _cleanup_(etcfiles_done)

/*
 * The text of an nsswitch.conf in which hosts are looked up in files and DNS only, as any other
 * source asks a daemon outside. 0, -ENOSPC, -ENOMEM.
 */
_must_check_ int nsswitch_rewrite(struct str text, struct buf *ret);

#endif
