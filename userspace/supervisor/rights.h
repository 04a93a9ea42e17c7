/* SPDX-License-Identifier: Apache-2.0 */
/* May we do what a supervisor does? Asked first, so that the answer is one sentence. */
#ifndef NONO_SUPERVISOR_RIGHTS_H
#define NONO_SUPERVISOR_RIGHTS_H

#include "supervisor/why.h"

/* We are not in a sandbox ourselves, and have the capabilities; descriptors 0 to 2 exist afterwards. `command` is for the
 * sentence. 0 or -errno. */
_must_check_ int rights_check(const char *command, struct why *why);

#endif
