/* SPDX-License-Identifier: Apache-2.0 */
/* While COMMAND runs: signals, the terminal, what the proxy refuses, how COMMAND fares. */
#ifndef NONO_SUPERVISOR_WATCH_H
#define NONO_SUPERVISOR_WATCH_H

#include "supervisor/sandbox.h"

/* Until COMMAND has ended. The exit status that stands for how it did. */
int watch_command(struct sandbox *sb);

/* The proxy ends: told first, killed if it does not. Its last refusals are still counted. */
void watch_end_proxy(struct sandbox *sb);

/* What the proxy says it refused: false if the message is something else. The target can be printed. */
bool watch_read_refusal(const struct message *m, struct refusal_note *ret,
			char ret_target[REFUSAL_TARGET_MAX + 1]);
void watch_say_refusal(const char *target, const struct refusal_note *n);

#endif
