/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Did you mean": which known word a misspelt one probably was.
 */
#ifndef NONO_BASE_MEANT_H
#define NONO_BASE_MEANT_H

/* The item of a NULL-terminated list that was probably meant, or NULL. */
const char *did_you_mean(const char *word, const char *const *known);

#endif
