/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one sentence per thread that says why a start failed. Nothing else of the library outlives a
 * call or is shared between handles.
 */
#ifndef NONO_API_FAILURE_H
#define NONO_API_FAILURE_H

#include "base/defs.h"

/* Keeps the sentence (cut at a few hundred bytes) and returns `error`, a negative errno. */
int failure_set(int error, const char *fmt, ...) _printf_(2, 3);
void failure_clear(void);
const char *failure_text(void);

/* What an errno means, in words; safe in threads. */
const char *failure_words(int error);

#endif
