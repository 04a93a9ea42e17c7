/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one sandbox, from nothing to nothing. See run.c.
 */
#ifndef NONO_SUPERVISOR_RUN_H
#define NONO_SUPERVISOR_RUN_H

#include "ipc/setup.h"

struct run_options {
	struct proxy_setup proxy; /* policy and limits; descriptors are filled in here */
	const char *audit_log;	  /* path */
	const char *user;	  /* --user, or NULL: SUDO_UID, else the caller */
	bool host_network;	  /* --net host */
	bool proxy_env; /* also the variables that make programs use the explicit listener */
	uint16_t port;	/* of the explicit listener; 0: the kernel chooses */
	const char *const *allow_unix; /* outside sockets that COMMAND may use: paths, or NULL */
	bool quiet, verbose;
	const char *const *argv; /* COMMAND */
	const char *const *envp; /* the caller's environment */
};

/* Runs COMMAND in a sandbox; the exit status as INTERFACE 1 has it. Says what failed on standard
 * error. */
int supervisor_run(const struct run_options *opt);

/* The init role: first process inside. Never returns to the caller's world; the exit status. */
int supervisor_init_main(int channel);

#endif
