/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an explicit proxy without a sandbox: no privilege, no BPF. See serve.c.
 */
#ifndef NONO_SUPERVISOR_SERVE_H
#define NONO_SUPERVISOR_SERVE_H

#include "ipc/setup.h"
#include "wire/addr.h"

struct serve_options {
	struct proxy_setup proxy; /* policy, limits, token; descriptors are filled in here */
	const char *audit_log;	  /* path */
	struct endpoint listen;	  /* port 0: the kernel chooses */
	uint32_t drain_ms;	  /* how long connections may go on when we are asked to end */
	int owner_fd;		  /* we end when its other end is closed; -EBADF: none */
	bool json;		  /* one line for programs instead of several for people */
	bool quiet, verbose;
	const char *const *envp; /* the caller's environment */
};

/* Serves until asked to end. The exit status: 0, or 1 after a sentence on standard error. */
int supervisor_serve(const struct serve_options *opt);

#endif
