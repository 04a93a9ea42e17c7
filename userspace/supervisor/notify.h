/* SPDX-License-Identifier: Apache-2.0 */
/* Telling a service manager that we are ready (sd_notify(3), the protocol without the library). */
#ifndef NONO_SUPERVISOR_NOTIFY_H
#define NONO_SUPERVISOR_NOTIFY_H

/* `address` is the value of NOTIFY_SOCKET, or NULL: then nothing happens. 0 or -errno. */
int notify_ready(const char *address);

#endif
