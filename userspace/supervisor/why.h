/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one sentence that says why the sandbox could not be made, and what to do about it. Written
 * where the failure is understood, printed once, by run.c.
 */
#ifndef NONO_SUPERVISOR_WHY_H
#define NONO_SUPERVISOR_WHY_H

#include "base/defs.h"

struct why {
	char text[512];
};

/* Writes the sentence and returns `err`, so that a failure is `return why_set(why, -errno, "…")`.
 */
int why_set(struct why *why, int err, const char *fmt, ...) _printf_(3, 4);

#endif
