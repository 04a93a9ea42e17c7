/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thing we read of TLS: the server name in a ClientHello (RFC 8446 4.1.2, RFC 6066 3).
 *
 * The hello may come in any number of TCP segments and TLS records (RFC 8446 5.1), may be 17 kB long (post-quantum key
 * shares), and may be full of GREASE (RFC 8701). The parser is handed all bytes received so far, from the first one, each
 * time; any segmentation gives the same result. It is strict: what does not parse to the end is malformed, never guessed at.
 */
#ifndef NONO_WIRE_TLS_HELLO_H
#define NONO_WIRE_TLS_HELLO_H

#include "base/defs.h"
#include "base/str.h"

/* Longest handshake message that is taken, and the raw bytes it can come in (records add five bytes each). */
#define TLS_HELLO_MAX     (24 * 1024)
#define TLS_HELLO_RAW_MAX (32 * 1024)

enum tls_hello_state {
	TLS_HELLO_OK,
	TLS_HELLO_MORE,      /* a good beginning; more bytes are needed */
	TLS_HELLO_NOT_TLS,   /* the first byte is not that of a handshake record */
	TLS_HELLO_MALFORMED, /* looks like TLS and is not a valid ClientHello, or is too long */
};

struct tls_hello {
	bool has_sni;
	uint8_t sni_len;
	char sni[256];    /* as sent (not normalised), NUL-terminated; never holds a NUL, control or non-ASCII byte */
	bool has_ech;     /* an encrypted_client_hello extension is present: the SNI is the outer one */
	uint16_t version; /* the highest offered: supported_versions, else legacy_version */
	bool alpn_h2, alpn_http1;
};

enum tls_hello_state tls_hello_parse(const uint8_t *p, size_t n, struct tls_hello *ret);

/* A fatal access_denied alert (RFC 8446 6) in a record of its own. */
extern const uint8_t tls_alert_access_denied[7];

#endif
