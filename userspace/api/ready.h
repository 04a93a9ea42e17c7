/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first line of `nono-proxy serve --json`:
 *
 *	{"event":"ready","listen":"127.0.0.1:PORT","token":"64 hex"|null,"env":{"NAME":"value",…},…}
 *	{"event":"failed","error":"sentence",…}
 *
 * Members of other names are passed over, so that the program may be newer than the library.
 * Everything else is refused: a member twice, a wrong type, a value that means nothing.
 */
#ifndef NONO_API_READY_H
#define NONO_API_READY_H

#include "base/defs.h"

#define READY_LINE_MAX (64 * 1024)

struct ready {
	bool failed;
	/* ready */
	uint16_t port;
	char *token; /* NULL: none is asked for */
	char **env;  /* "NAME=value", NULL-terminated */
	/* failed */
	char *error;
};

/* 0; -EPROTO: it is no such line; -ENOMEM. Nothing is returned on failure. */
_must_check_ int ready_parse(const char *line, size_t n, struct ready *ret);

/* Wipes and frees. */
void ready_done(struct ready *r);

#endif
