/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log's file: opened by us, written by the proxy, which could not open it. */
#ifndef NONO_SUPERVISOR_AUDIT_FILE_H
#define NONO_SUPERVISOR_AUDIT_FILE_H

#include "supervisor/why.h"

/* Opens it for appending; makes it, and its directory if only that is missing. The descriptor, or
 * -errno and a sentence. */
_must_check_ int audit_file_open(const char *path, struct why *why);

#endif
