/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program says to people, on standard error: one line each, "nono-proxy: text". Controls in the text become '?'.
 * Never a secret, a token or a query string. The audit is elsewhere.
 */
#ifndef NONO_IO_LOG_H
#define NONO_IO_LOG_H

#include "base/defs.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `name` goes before each line ("nono-proxy", "nono-proxy: proxy"). Default: warnings, text, standard error. */
void log_setup(const char *name, enum log_level max, bool json);
bool log_level_parse(const char *word, enum log_level *ret);

/* The text of the last error that was said, "" if there was none: for a parent that reads no standard error. */
const char *log_last_error(void);

void log_error(const char *fmt, ...) _printf_(1, 2);
void log_warn(const char *fmt, ...) _printf_(1, 2);
void log_info(const char *fmt, ...) _printf_(1, 2);
void log_debug(const char *fmt, ...) _printf_(1, 2);

#endif
