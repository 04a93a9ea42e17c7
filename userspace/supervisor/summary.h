/* SPDX-License-Identifier: Apache-2.0 */
/* What the proxy refused, as people are told: at once (--verbose), and in one summary at the end. */
#ifndef NONO_SUPERVISOR_SUMMARY_H
#define NONO_SUPERVISOR_SUMMARY_H

#include "ipc/channel.h"
#include "policy/refusals.h"

/* Says what a MSG_REFUSAL tells. One that does not parse is dropped. */
void summary_say(const struct message *m);

/* Counts what a MSG_REFUSAL tells; `verbose`: says it, too. A message that does not parse is dropped. */
void summary_count(struct refusals *r, const struct message *m, bool verbose);

/* On standard error; nothing if nothing was refused. */
void summary_print(const struct refusals *r);

#endif
