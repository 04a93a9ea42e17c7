/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSONC text into JSON values, with the place of what is wrong.
 */
#ifndef NONO_CONFIG_SYNTAX_H
#define NONO_CONFIG_SYNTAX_H

#include <jansson.h>

#include "wire/jsonc.h"

/* The root object, or NULL with what is wrong where. The text is blanked in place. */
json_t *syntax_parse(char *text, size_t n, struct jsonc_error *ret);

#endif
