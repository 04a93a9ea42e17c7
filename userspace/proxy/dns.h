/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's only DNS server, whatever server it names: answers for allowed names with their
 * real, checked addresses, and binds those; refuses everything else with NXDOMAIN and an Extended
 * DNS Error that says why. No query for a name that is not allowed leaves.
 */
#ifndef NONO_PROXY_DNS_H
#define NONO_PROXY_DNS_H

#include "proxy/server.h"
#include "wire/dns_msg.h"

/*
 * Answers one query. `who` (may be NULL) is who asked, as far as it is known. `out` holds `cap`
 * bytes (DNS_UDP_MIN at least). Returns the length of the answer; 0: say nothing.
 */
size_t dns_respond(struct server *s, const struct origin *who, const uint8_t *query, size_t n,
		   uint8_t *out, size_t cap) _suspends_;

/* Serves one TCP connection: any number of queries (RFC 7766), answered in order. The descriptor
 * stays the caller's. */
void dns_serve_stream(struct server *s, int fd, const struct origin *who) _suspends_;

/* Serves a UDP socket until the task is cancelled. */
void dns_serve_datagrams(struct task *t) _suspends_;

#endif
