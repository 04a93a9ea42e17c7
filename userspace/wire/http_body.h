/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Body framing as an incremental scanner: told the next bytes, it says how many of them belong to
 * the body (framing included), and when the body has ended. It changes nothing: a relay of a body
 * forwards exactly the scanned bytes.
 *
 * Chunked (RFC 9112 7.1), strictly: 1–16 hex digits (at most 2^60), no blanks, CRLF only,
 * extensions and trailers bounded and only of the characters that the grammar allows; trailer
 * fields are scanned, and may not be Content-Length, Transfer-Encoding or Host.
 */
#ifndef NONO_WIRE_HTTP_BODY_H
#define NONO_WIRE_HTTP_BODY_H

#include "wire/http_head.h"

#define HTTP_CHUNK_LINE_MAX 256
#define HTTP_TRAILERS_MAX   8192

struct http_body {
	enum http_framing framing;
	uint64_t left;	/* LENGTH: bytes to come; CHUNKED: bytes of this chunk to come */
	uint64_t total; /* payload bytes seen */
	uint64_t max;	/* payload limit; 0 = none */
	uint8_t state;
	bool done;
	uint32_t line; /* bytes of the line or of the trailers so far */
};

void http_body_begin(struct http_body *b, enum http_framing framing, uint64_t length, uint64_t max);

/*
 * Scans the next bytes. Returns how many of them belong to this body (all of them unless it ends
 * before), -EBADMSG (malformed), or -EMSGSIZE (over max). `b->done` tells that the body is
 * complete.
 */
ssize_t http_body_scan(struct http_body *b, const uint8_t *p, size_t n);

/* EOF of the sender: is that the proper end? */
bool http_body_eof(struct http_body *b);

#endif
