/* SPDX-License-Identifier: Apache-2.0 */
/* What is attached, and whether it holds: from pins and state alone, read back from the kernel. */
#ifndef NONO_SUPERVISOR_STATUS_H
#define NONO_SUPERVISOR_STATUS_H

#include "base/buf.h"
#include "supervisor/why.h"

/* Appends one line for each, or one JSON document. 0 or -errno and a sentence. */
_must_check_ int supervisor_status(bool json, struct buf *out, struct why *why);

#endif
