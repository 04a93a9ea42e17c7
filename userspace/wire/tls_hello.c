/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ClientHello, read where it lies.
 *
 * The message is not gathered into a buffer of its own (24 kB would not fit on a coroutine's
 * stack): a cursor walks the payloads of the records and hops over the record headers, wherever
 * they cut the message. Every length opens a block whose end no read may pass and which must be
 * used up when it is left, so a wrong length is seen as soon as it is read.
 *
 * Bytes are judged in order and each verdict rests only on bytes before it. That is why the result
 * does not depend on how the bytes arrived: on every beginning of an input it is "more", until the
 * one place where it becomes final.
 */
#include "wire/tls_hello.h"

#include <string.h>

enum {
	RECORD_HANDSHAKE = 22,
	RECORD_HEADER = 5,
	RECORD_MAX = 16384, /* RFC 8446 5.1: plaintext has no allowance for expansion */
	HANDSHAKE_HEADER = 4,
	HANDSHAKE_CLIENT_HELLO = 1,
	EXT_SERVER_NAME = 0,
	EXT_ALPN = 16,
	EXT_SUPPORTED_VERSIONS = 43,
	EXT_ENCRYPTED_CLIENT_HELLO = 0xfe0d,
	EXTENSIONS_MAX = 128, /* browsers send about 20; keeps the search for duplicates short */
};

const uint8_t tls_alert_access_denied[7] = { 21, 3, 3, 0, 2, 2 /* fatal */, 49 };

/* What the client has sent, and the place in it. The first failure stays: later reads yield zeros
 * and have nothing left. */
struct flight {
	const uint8_t *start, *p, *end;
	size_t record_left;	    /* unread payload of the record at hand */
	size_t message_left;	    /* at most so much of the message is to come */
	size_t left;		    /* of the innermost block */
	enum tls_hello_state state; /* OK as long as all is well */
	enum tls_hello_state dry;   /* what it means when the bytes run out */
};

static void fail(struct flight *f, enum tls_hello_state why)
{
	if (f->state == TLS_HELLO_OK)
		f->state = why;
	f->left = 0;
}

/* Steps over the header of the next record. Every byte of it is judged when it is there. */
static bool next_record(struct flight *f)
{
	const uint8_t *h = f->p;
	size_t n = (size_t)(f->end - h), len, room;

	if (n > 0 && h[0] != RECORD_HANDSHAKE) {
		fail(f, h == f->start ? TLS_HELLO_NOT_TLS : TLS_HELLO_MALFORMED);
		return false;
	}
	if ((n > 1 && h[1] != 3) || (n > 2 && h[2] > 4)) {
		fail(f, TLS_HELLO_MALFORMED);
		return false;
	}
	if (n < RECORD_HEADER) {
		fail(f, f->dry);
		return false;
	}
	len = (size_t)h[3] << 8 | h[4];
	room = TLS_HELLO_RAW_MAX - (size_t)(h + RECORD_HEADER - f->start);
	/* Nothing may stand behind the hello in its last record (RFC 8446 5.1: no other message is
	 * due yet). */
	if (len == 0 || len > RECORD_MAX || len > f->message_left || len > room) {
		fail(f, TLS_HELLO_MALFORMED);
		return false;
	}
	f->p += RECORD_HEADER;
	f->record_left = len;
	return true;
}

/* The next n bytes of the message, to `out` or (NULL) nowhere. */
static void take(struct flight *f, void *out, size_t n)
{
	uint8_t *to = out;

	if (n > f->left) {
		fail(f, TLS_HELLO_MALFORMED);
		return;
	}
	while (n > 0) {
		size_t k;

		if (f->record_left == 0 && !next_record(f))
			return;
		k = MIN(MIN(n, f->record_left), (size_t)(f->end - f->p));
		if (k == 0) {
			fail(f, f->dry);
			return;
		}
		if (to) {
			memcpy(to, f->p, k);
			to += k;
		}
		f->p += k;
		f->record_left -= k;
		f->message_left -= k;
		f->left -= k;
		n -= k;
	}
}

static uint8_t take_u8(struct flight *f)
{
	uint8_t b = 0;

	take(f, &b, 1);
	return b;
}

static uint16_t take_u16(struct flight *f)
{
	uint8_t b[2] = { 0 };

	take(f, b, 2);
	if (f->state != TLS_HELLO_OK)
		return 0; /* perhaps half of it was there */
	return (uint16_t)(b[0] << 8 | b[1]);
}

/* Opens a block of n bytes. What it returns is handed to leave() at the end of the block. */
static size_t enter(struct flight *f, size_t n)
{
	size_t outer;

	if (n > f->left) {
		fail(f, TLS_HELLO_MALFORMED);
		return 0;
	}
	outer = f->left - n;
	f->left = n;
	return outer;
}

static void leave(struct flight *f, size_t outer)
{
	if (f->state != TLS_HELLO_OK)
		return;
	if (f->left > 0)
		fail(f, TLS_HELLO_MALFORMED);
	else
		f->left = outer;
}

/* The header of the handshake message. Afterwards it is known how much is to come, and the record
 * at hand must not hold more. */
static void read_handshake_header(struct flight *f)
{
	uint8_t h[HANDSHAKE_HEADER] = { 0 };
	size_t n;

	f->left = HANDSHAKE_HEADER;
	take(f, h, 1);
	if (h[0] != HANDSHAKE_CLIENT_HELLO)
		fail(f, TLS_HELLO_MALFORMED);
	take(f, h + 1, 3);
	n = (size_t)h[1] << 16 | (size_t)h[2] << 8 | h[3];
	if (n > f->message_left || f->record_left > n)
		fail(f, TLS_HELLO_MALFORMED);
	if (f->state != TLS_HELLO_OK)
		return;
	f->message_left = n;
	f->left = n;
}

/* RFC 6066 3. The list could hold other kinds of names; none was ever defined, and two names are
 * one too many to judge. */
static void read_server_name(struct flight *f, struct tls_hello *h)
{
	size_t outer = enter(f, take_u16(f));
	uint8_t type = take_u8(f);
	size_t n = take_u16(f);

	if (type != 0 || n == 0 || n >= sizeof(h->sni)) {
		fail(f, TLS_HELLO_MALFORMED);
		return;
	}
	take(f, h->sni, n);
	leave(f, outer);
	if (f->state != TLS_HELLO_OK)
		return;
	for (size_t i = 0; i < n; i++)
		if (h->sni[i] <= 0x20 || h->sni[i] >= 0x7f)
			fail(f, TLS_HELLO_MALFORMED);
	h->sni[n] = '\0';
	h->sni_len = (uint8_t)n;
	h->has_sni = true;
}

/* RFC 8446 4.2.1: replaces legacy_version altogether. Values that are no version of TLS (RFC 8701,
 * drafts) do not count. */
static void read_supported_versions(struct flight *f, struct tls_hello *h)
{
	size_t outer = enter(f, take_u8(f));

	if (f->left < 2)
		fail(f, TLS_HELLO_MALFORMED);
	h->version = 0;
	while (f->left > 0) {
		uint16_t v = take_u16(f);

		if (v >> 8 == 3 && v > h->version)
			h->version = v;
	}
	leave(f, outer);
}

/* RFC 7301 3.1 */
static void read_alpn(struct flight *f, struct tls_hello *h)
{
	size_t outer = enter(f, take_u16(f));

	if (f->left == 0)
		fail(f, TLS_HELLO_MALFORMED);
	while (f->left > 0) {
		char name[8] = { 0 };
		size_t n = take_u8(f);

		if (n == 0)
			fail(f, TLS_HELLO_MALFORMED);
		take(f, n <= sizeof(name) ? name : NULL, n);
		if (n == 2 && memcmp(name, "h2", 2) == 0)
			h->alpn_h2 = true;
		if (n == 8 &&
		    (memcmp(name, "http/1.1", 8) == 0 || memcmp(name, "http/1.0", 8) == 0))
			h->alpn_http1 = true;
	}
	leave(f, outer);
}

static void read_extension(struct flight *f, uint16_t type, struct tls_hello *h)
{
	size_t outer = enter(f, take_u16(f));

	switch (type) {
	case EXT_SERVER_NAME:
		read_server_name(f, h);
		break;
	case EXT_ALPN:
		read_alpn(f, h);
		break;
	case EXT_SUPPORTED_VERSIONS:
		read_supported_versions(f, h);
		break;
	case EXT_ENCRYPTED_CLIENT_HELLO:
		h->has_ech = true;
		take(f, NULL, f->left);
		break;
	default:
		take(f, NULL, f->left);
	}
	leave(f, outer);
}

/* RFC 8446 4.2: each type at most once. Servers differ in which of two they believe. */
static void read_extensions(struct flight *f, struct tls_hello *h)
{
	uint16_t seen[EXTENSIONS_MAX];
	size_t n_seen = 0, outer;

	outer = enter(f, take_u16(f));
	while (f->left > 0) {
		uint16_t type = take_u16(f);

		for (size_t i = 0; i < n_seen; i++)
			if (seen[i] == type)
				fail(f, TLS_HELLO_MALFORMED);
		if (n_seen == EXTENSIONS_MAX) {
			fail(f, TLS_HELLO_MALFORMED);
			return;
		}
		seen[n_seen++] = type;
		read_extension(f, type, h);
	}
	leave(f, outer);
}

/* RFC 8446 4.1.2, RFC 5246 7.4.1.2 */
static void read_client_hello(struct flight *f, struct tls_hello *h)
{
	size_t n, outer;
	bool null_compression = false;

	h->version = take_u16(f);
	if (h->version >> 8 != 3)
		fail(f, TLS_HELLO_MALFORMED);
	take(f, NULL, 32); /* random */

	n = take_u8(f); /* session id */
	if (n > 32)
		fail(f, TLS_HELLO_MALFORMED);
	take(f, NULL, n);

	n = take_u16(f); /* cipher suites */
	if (n < 2 || n % 2 != 0)
		fail(f, TLS_HELLO_MALFORMED);
	take(f, NULL, n);

	outer = enter(f, take_u8(f)); /* compression methods */
	while (f->left > 0)
		if (take_u8(f) == 0)
			null_compression = true;
	if (!null_compression)
		fail(f, TLS_HELLO_MALFORMED);
	leave(f, outer);

	if (f->left > 0)
		read_extensions(f, h);
	if (f->left > 0)
		fail(f, TLS_HELLO_MALFORMED);
}

enum tls_hello_state tls_hello_parse(const uint8_t *p, size_t n, struct tls_hello *ret)
{
	size_t seen = MIN(n, (size_t)TLS_HELLO_RAW_MAX);
	struct flight f = {
		.message_left = TLS_HELLO_MAX,
		.dry = seen < TLS_HELLO_RAW_MAX ? TLS_HELLO_MORE : TLS_HELLO_MALFORMED,
	};
	struct tls_hello h = { 0 };

	if (n == 0)
		return TLS_HELLO_MORE;
	f.start = f.p = p;
	f.end = p + seen;
	read_handshake_header(&f);
	read_client_hello(&f, &h);
	if (f.state == TLS_HELLO_OK)
		*ret = h;
	return f.state;
}
