/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the beginning of a connection. What must hold: on every shorter beginning the
 * verdict is "more" or already the final one, with the same findings; and a hello that is taken is
 * taken alike when it is cut into records anew.
 */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>

#include "wire/tls_hello.h"

enum {
	EVERY_PREFIX = 700, /* inputs up to here are tried at every length */
	STEP = 97,	    /* longer ones at some */
	RECORD_HEADER = 5,
};

static void check_same(const struct tls_hello *a, const struct tls_hello *b)
{
	assert(a->has_sni == b->has_sni && a->sni_len == b->sni_len);
	assert(strcmp(a->sni, b->sni) == 0);
	assert(a->has_ech == b->has_ech && a->version == b->version);
	assert(a->alpn_h2 == b->alpn_h2 && a->alpn_http1 == b->alpn_http1);
}

static void check_found(const struct tls_hello *h)
{
	assert(strlen(h->sni) == h->sni_len);
	assert(h->has_sni == (h->sni_len > 0));
	for (size_t i = 0; i < h->sni_len; i++)
		assert(h->sni[i] > 0x20 && h->sni[i] < 0x7f);
	assert(h->version == 0 || h->version >> 8 == 3);
}

/* A failed parse must not have touched what it was given. */
static enum tls_hello_state parse_copy(const uint8_t *data, size_t n, struct tls_hello *ret)
{
	struct tls_hello untouched;
	uint8_t *copy = fuzz_copy(data, n);
	enum tls_hello_state state;

	memset(ret, 0x5a, sizeof(*ret));
	memset(&untouched, 0x5a, sizeof(untouched));
	state = tls_hello_parse(copy, n, ret);
	if (state != TLS_HELLO_OK)
		assert(memcmp(ret, &untouched, sizeof(untouched)) == 0);
	free(copy);
	return state;
}

/* The handshake message of a complete hello, gathered the simple way. The length. */
static size_t gather(const uint8_t *data, size_t size, uint8_t *out)
{
	size_t n = 0, total = SIZE_MAX;

	for (size_t at = 0; n < total;) {
		size_t len;

		assert(size - at > RECORD_HEADER);
		len = (size_t)data[at + 3] << 8 | data[at + 4];
		assert(len <= size - at - RECORD_HEADER && n + len <= TLS_HELLO_MAX);
		memcpy(out + n, data + at + RECORD_HEADER, len);
		n += len;
		at += RECORD_HEADER + len;
		if (n >= 4)
			total = 4 + ((size_t)out[1] << 16 | (size_t)out[2] << 8 | out[3]);
	}
	assert(n == total);
	return n;
}

static void check_in_records_of(const uint8_t *message, size_t n, size_t k,
				const struct tls_hello *want)
{
	static uint8_t raw[TLS_HELLO_MAX * (RECORD_HEADER + 1)];
	struct tls_hello h;
	enum tls_hello_state state;
	size_t to = 0;

	for (size_t at = 0; at < n; at += k) {
		size_t len = n - at < k ? n - at : k;
		const uint8_t header[RECORD_HEADER] = { 22, 3, 3, (uint8_t)(len >> 8),
							(uint8_t)len };

		memcpy(raw + to, header, RECORD_HEADER);
		memcpy(raw + to + RECORD_HEADER, message + at, len);
		to += RECORD_HEADER + len;
	}
	state = parse_copy(raw, to, &h);
	if (to > TLS_HELLO_RAW_MAX) {
		assert(state == TLS_HELLO_MALFORMED);
		return;
	}
	assert(state == TLS_HELLO_OK);
	check_same(&h, want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t message[TLS_HELLO_MAX];
	struct tls_hello whole, part;
	enum tls_hello_state last = parse_copy(data, size, &whole);

	assert(size > 0 || last == TLS_HELLO_MORE);
	assert(size < TLS_HELLO_RAW_MAX || last != TLS_HELLO_MORE);
	if (size > 0)
		assert((last == TLS_HELLO_NOT_TLS) == (data[0] != 22));
	for (size_t n = 0; n < size; n += size <= EVERY_PREFIX ? 1 : STEP) {
		enum tls_hello_state state = parse_copy(data, n, &part);

		assert(state == TLS_HELLO_MORE || state == last);
		if (state == TLS_HELLO_OK)
			check_same(&part, &whole);
		/* Once final, final: the longer beginnings were compared with `last` as well. */
		if (state != TLS_HELLO_MORE)
			assert(parse_copy(data, n + 1, &part) == last);
	}
	if (last == TLS_HELLO_OK) {
		size_t n = gather(data, size, message);

		check_found(&whole);
		check_in_records_of(message, n, 16384, &whole);
		check_in_records_of(message, n, 1 + data[size - 1], &whole);
	}
	return 0;
}
