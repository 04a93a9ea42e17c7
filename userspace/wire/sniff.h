/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does this connection speak? Told from the first bytes that the client sends.
 *
 *	0x16                  TLS: what follows must be a ClientHello
 *	method SP             HTTP/1 (also "PRI * HTTP/2.0", the preface of HTTP/2 with prior knowledge)
 *	token SP … HTTP/d     HTTP/1 with a method of its own, known once the line is complete
 *	anything else         opaque
 *
 * Empty lines before a request line are skipped as servers do (RFC 9112 2.2), so that they hide nothing.
 */
#ifndef NONO_WIRE_SNIFF_H
#define NONO_WIRE_SNIFF_H

#include "base/defs.h"

enum sniff {
	SNIFF_MORE, /* cannot be told yet */
	SNIFF_TLS,
	SNIFF_HTTP,
	SNIFF_OPAQUE,
};

/* All bytes received so far. A result other than SNIFF_MORE never changes when more bytes come. */
enum sniff sniff(const uint8_t *p, size_t n);

/*
 * What to take it for when the client pauses: the beginning of a request line is HTTP, that of a hello is TLS. Nothing at all is
 * opaque.
 */
enum sniff sniff_at_rest(const uint8_t *p, size_t n);

#endif
