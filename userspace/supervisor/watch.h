/* SPDX-License-Identifier: Apache-2.0 */
/* While COMMAND runs: signals, the terminal, what the proxy refuses, how COMMAND fares. */
#ifndef NONO_SUPERVISOR_WATCH_H
#define NONO_SUPERVISOR_WATCH_H

#include "supervisor/sandbox.h"

/* Until COMMAND has ended. The exit status that stands for how it did. */
int watch_command(struct sandbox *sb);

/* The proxy ends: told first, killed if it does not. Its last refusals are still counted. */
void watch_end_proxy(struct sandbox *sb);

#endif
