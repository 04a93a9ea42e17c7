/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy role: parses all hostile bytes, decides, dials, relays, writes the audit. Unprivileged,
 * and never sees a key.
 */
#ifndef NONO_PROXY_PROXY_H
#define NONO_PROXY_PROXY_H

/* Runs the role over its channel to the supervisor; the exit status. */
int proxy_main(int channel);

#endif
