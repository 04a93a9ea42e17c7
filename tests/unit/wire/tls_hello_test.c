/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two real hellos, hellos with one thing wrong each, and all of them cut in every way.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "wire/tls_hello.h"

/* What OpenSSL 3.0 sends for api.example.com: TLS 1.2 only; TLS 1.3 only with ALPN h2 and http/1.1.
 */
static const uint8_t openssl_tls12[] = {
	0x16, 0x03, 0x01, 0x00, 0xb5, 0x01, 0x00, 0x00, 0xb1, 0x03, 0x03, 0x9a, 0xde, 0xe5, 0x36,
	0x7f, 0x51, 0xcd, 0x3a, 0x7b, 0xfa, 0x1f, 0x2b, 0x32, 0x6e, 0x4b, 0x15, 0x82, 0x99, 0x1d,
	0x30, 0x74, 0x7f, 0x5d, 0x98, 0x54, 0xbc, 0x13, 0x07, 0x12, 0xad, 0x6d, 0xa9, 0x00, 0x00,
	0x1e, 0xc0, 0x2c, 0xc0, 0x30, 0xc0, 0x2b, 0xc0, 0x2f, 0xcc, 0xa9, 0xcc, 0xa8, 0xc0, 0x24,
	0xc0, 0x28, 0xc0, 0x23, 0xc0, 0x27, 0x00, 0x9f, 0x00, 0x9e, 0x00, 0x6b, 0x00, 0x67, 0x00,
	0xff, 0x01, 0x00, 0x00, 0x6a, 0x00, 0x00, 0x00, 0x14, 0x00, 0x12, 0x00, 0x00, 0x0f, 0x61,
	0x70, 0x69, 0x2e, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x63, 0x6f, 0x6d, 0x00,
	0x0b, 0x00, 0x04, 0x03, 0x00, 0x01, 0x02, 0x00, 0x0a, 0x00, 0x0c, 0x00, 0x0a, 0x00, 0x1d,
	0x00, 0x17, 0x00, 0x1e, 0x00, 0x19, 0x00, 0x18, 0x00, 0x23, 0x00, 0x00, 0x00, 0x16, 0x00,
	0x00, 0x00, 0x17, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x2a, 0x00, 0x28, 0x04, 0x03, 0x05, 0x03,
	0x06, 0x03, 0x08, 0x07, 0x08, 0x08, 0x08, 0x09, 0x08, 0x0a, 0x08, 0x0b, 0x08, 0x04, 0x08,
	0x05, 0x08, 0x06, 0x04, 0x01, 0x05, 0x01, 0x06, 0x01, 0x03, 0x03, 0x03, 0x01, 0x03, 0x02,
	0x04, 0x02, 0x05, 0x02, 0x06, 0x02,
};

static const uint8_t openssl_tls13[] = {
	0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x6a, 0x39, 0xb3, 0x49,
	0xbc, 0x9c, 0x72, 0x60, 0xd6, 0x20, 0x89, 0xa9, 0x04, 0x82, 0xe4, 0xd4, 0xe6, 0xa4, 0xe9,
	0x79, 0x86, 0x10, 0xee, 0x55, 0xe5, 0xdd, 0xeb, 0xdb, 0x68, 0xf0, 0xd3, 0x57, 0x20, 0x8d,
	0x8c, 0xaf, 0x28, 0xaf, 0x55, 0x0b, 0xc4, 0xa8, 0x03, 0x2a, 0x0f, 0x71, 0x3d, 0x27, 0x73,
	0x5a, 0x88, 0x01, 0x5b, 0x36, 0x11, 0x7f, 0x78, 0xb8, 0x52, 0xb3, 0x8f, 0x37, 0x62, 0x8b,
	0xe1, 0x00, 0x08, 0x13, 0x02, 0x13, 0x03, 0x13, 0x01, 0x00, 0xff, 0x01, 0x00, 0x01, 0xab,
	0x00, 0x00, 0x00, 0x14, 0x00, 0x12, 0x00, 0x00, 0x0f, 0x61, 0x70, 0x69, 0x2e, 0x65, 0x78,
	0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x63, 0x6f, 0x6d, 0x00, 0x0b, 0x00, 0x04, 0x03, 0x00,
	0x01, 0x02, 0x00, 0x0a, 0x00, 0x16, 0x00, 0x14, 0x00, 0x1d, 0x00, 0x17, 0x00, 0x1e, 0x00,
	0x19, 0x00, 0x18, 0x01, 0x00, 0x01, 0x01, 0x01, 0x02, 0x01, 0x03, 0x01, 0x04, 0x00, 0x23,
	0x00, 0x00, 0x00, 0x10, 0x00, 0x0e, 0x00, 0x0c, 0x02, 0x68, 0x32, 0x08, 0x68, 0x74, 0x74,
	0x70, 0x2f, 0x31, 0x2e, 0x31, 0x00, 0x16, 0x00, 0x00, 0x00, 0x17, 0x00, 0x00, 0x00, 0x0d,
	0x00, 0x1e, 0x00, 0x1c, 0x04, 0x03, 0x05, 0x03, 0x06, 0x03, 0x08, 0x07, 0x08, 0x08, 0x08,
	0x09, 0x08, 0x0a, 0x08, 0x0b, 0x08, 0x04, 0x08, 0x05, 0x08, 0x06, 0x04, 0x01, 0x05, 0x01,
	0x06, 0x01, 0x00, 0x2b, 0x00, 0x03, 0x02, 0x03, 0x04, 0x00, 0x2d, 0x00, 0x02, 0x01, 0x01,
	0x00, 0x33, 0x00, 0x26, 0x00, 0x24, 0x00, 0x1d, 0x00, 0x20, 0xd0, 0x33, 0xbf, 0x28, 0xcf,
	0x0c, 0x7f, 0x22, 0x9f, 0x94, 0xa9, 0x6b, 0x51, 0xb0, 0x98, 0xf4, 0x1a, 0x0e, 0xf3, 0xb0,
	0xa1, 0x60, 0x0a, 0x9f, 0x6a, 0x08, 0x81, 0xfc, 0xdc, 0x6a, 0x17, 0x20, 0x00, 0x15, 0x00,
	0xf6, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

struct bytes {
	size_t n;
	uint8_t b[64 * 1024];
};

static void add(struct bytes *to, const void *p, size_t n)
{
	assert_true(n <= sizeof(to->b) - to->n);
	if (n > 0)
		memcpy(to->b + to->n, p, n);
	to->n += n;
}

static void add_u8(struct bytes *to, unsigned int v)
{
	add(to, &(uint8_t){ (uint8_t)v }, 1);
}

static void add_u16(struct bytes *to, size_t v)
{
	add_u8(to, (unsigned int)(v >> 8 & 0xff));
	add_u8(to, (unsigned int)(v & 0xff));
}

/* Offsets in the message that make_hello() writes. */
enum {
	AT_TYPE = 0,
	AT_LENGTH = 1,
	AT_VERSION = 4,
	AT_SESSION_ID = 38,
	AT_CIPHERS = 39,
	AT_COMPRESSION = 43,
	AT_EXTENSIONS = 45,
};

/* A handshake message: no session id, one cipher suite, null compression, the given extensions. */
static void make_hello(struct bytes *m, const void *extensions, size_t n)
{
	m->n = 0;
	add_u8(m, 1);
	add_u8(m, 0);
	add_u16(m, 2 + 32 + 1 + 4 + 2 + 2 + n);
	add_u16(m, 0x0303);
	for (unsigned int i = 0; i < 32; i++)
		add_u8(m, i);
	add(m, "\0\0\2\x13\1\1\0", 7);
	add_u16(m, n);
	add(m, extensions, n);
}

/* The message in records of at most k bytes. */
static void make_records(struct bytes *raw, const struct bytes *m, size_t k)
{
	raw->n = 0;
	for (size_t at = 0; at < m->n; at += k) {
		size_t len = MIN(k, m->n - at);

		add(raw, "\x16\3\1", 3);
		add_u16(raw, len);
		add(raw, m->b + at, len);
	}
}

static void add_sni_extension(struct bytes *e, const char *name)
{
	size_t n = strlen(name);

	add_u16(e, 0);
	add_u16(e, n + 5);
	add_u16(e, n + 3);
	add_u8(e, 0);
	add_u16(e, n);
	add(e, name, n);
}

static struct bytes message, raw, extensions;

static enum tls_hello_state parse_message(size_t record, struct tls_hello *ret)
{
	make_records(&raw, &message, record);
	return tls_hello_parse(raw.b, raw.n, ret);
}

/* On every beginning the verdict is MORE, from one place on the final one. */
static void assert_one_verdict(const uint8_t *p, size_t n, enum tls_hello_state want)
{
	bool final = false;

	for (size_t i = 0; i <= n; i++) {
		struct tls_hello h;
		enum tls_hello_state state = tls_hello_parse(p, i, &h);

		if (!final && state == TLS_HELLO_MORE)
			continue;
		assert_int_equal(state, want);
		final = true;
	}
	assert_true(final || want == TLS_HELLO_MORE);
}

struct bad_extensions {
	const char *reason;
	const char *bytes;
	size_t n;
};

#define ROW(reason, bytes)                       \
	{                                        \
		reason, bytes, sizeof(bytes) - 1 \
	}

static void test_extensions_malformed(void **state)
{
	static const struct bad_extensions rows[] = {
		ROW("the same name twice", "\0\0\0\6\0\4\0\0\1a"
					   "\0\0\0\6\0\4\0\0\1a"),
		ROW("two different names in two extensions", "\0\0\0\6\0\4\0\0\1a"
							     "\0\0\0\6\0\4\0\0\1b"),
		ROW("two names in one list", "\0\0\0\x0a\0\x08\0\0\1a\0\0\1b"),
		ROW("a name of another type", "\0\0\0\6\0\4\1\0\1a"),
		ROW("a name of another type behind the first", "\0\0\0\x0a\0\x08\0\0\1a\1\0\1b"),
		ROW("no bytes at all in server_name", "\0\0\0\0"),
		ROW("an empty list of names", "\0\0\0\2\0\0"),
		ROW("an empty name", "\0\0\0\5\0\3\0\0\0"),
		ROW("NUL in the name", "\0\0\0\x0a\0\x08\0\0\5a\0b.c"),
		ROW("NUL behind the name", "\0\0\0\7\0\5\0\0\2a\0"),
		ROW("a blank in the name", "\0\0\0\7\0\5\0\0\2a "),
		ROW("a tab in the name", "\0\0\0\7\0\5\0\0\2\ta"),
		ROW("DEL in the name", "\0\0\0\7\0\5\0\0\2a\x7f"),
		ROW("a byte above ASCII", "\0\0\0\7\0\5\0\0\2\xc3\xa4"),
		ROW("name longer than its list", "\0\0\0\6\0\4\0\0\2a"),
		ROW("list longer than its extension", "\0\0\0\6\0\5\0\0\1a"),
		ROW("list shorter than its extension", "\0\0\0\7\0\4\0\0\1ab"),
		ROW("extension longer than the block", "\0\0\0\7\0\4\0\0\1a"),
		ROW("half an extension header", "\0\0\0\6\0\4\0\0\1a\0\x0b"),
		ROW("GREASE twice", "\x2a\x2a\0\0\x2a\x2a\0\0"),
		ROW("supported_versions empty", "\0\x2b\0\1\0"),
		ROW("supported_versions with half a version", "\0\x2b\0\4\3\3\4\3"),
		ROW("supported_versions with a byte behind", "\0\x2b\0\4\2\3\4\0"),
		ROW("ALPN with an empty list", "\0\x10\0\2\0\0"),
		ROW("ALPN with an empty protocol", "\0\x10\0\6\0\4\0\2h2"),
		ROW("ALPN protocol longer than the list", "\0\x10\0\5\0\3\3h2"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tls_hello h;

		make_hello(&message, rows[i].bytes, rows[i].n);
		if (parse_message(16384, &h) != TLS_HELLO_MALFORMED)
			fail_msg("taken: %s", rows[i].reason);
		assert_one_verdict(raw.b, raw.n, TLS_HELLO_MALFORMED);
		assert_int_equal(parse_message(3, &h), TLS_HELLO_MALFORMED);
	}
}

static void test_body_malformed(void **state)
{
	static const struct {
		const char *reason;
		size_t at;
		uint8_t value;
	} rows[] = {
		{ "another handshake message", AT_TYPE, 2 },
		{ "hello request", AT_TYPE, 0 },
		{ "length far too big", AT_LENGTH, 1 },
		{ "length one too small: a byte behind the hello", AT_LENGTH + 2, 0x2f },
		{ "version of DTLS", AT_VERSION, 0xfe },
		{ "version 2", AT_VERSION, 2 },
		{ "session id of 33 bytes", AT_SESSION_ID, 33 },
		{ "session id past the end", AT_SESSION_ID, 32 },
		{ "no cipher suites", AT_CIPHERS + 1, 0 },
		{ "half a cipher suite", AT_CIPHERS + 1, 3 },
		{ "cipher suites past the end", AT_CIPHERS, 1 },
		{ "no compression method", AT_COMPRESSION, 0 },
		{ "no null compression", AT_COMPRESSION + 1, 1 },
		{ "compression methods past the end", AT_COMPRESSION, 200 },
		{ "extensions longer than the message", AT_EXTENSIONS + 1, 6 },
		{ "extensions shorter than the message", AT_EXTENSIONS + 1, 4 },
	};
	struct tls_hello h;

	(void)state;
	make_hello(&message, "\0\x17\0\1\0", 5);
	assert_int_equal(message.b[AT_LENGTH + 2], 0x30);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		make_hello(&message, "\0\x17\0\1\0", 5);
		message.b[rows[i].at] = rows[i].value;
		if (parse_message(16384, &h) != TLS_HELLO_MALFORMED)
			fail_msg("taken: %s", rows[i].reason);
		assert_one_verdict(raw.b, raw.n, TLS_HELLO_MALFORMED);
	}
}

/* All lengths fit, and one of them is not allowed. */
static void test_body_out_of_range(void **state)
{
	static const char zeros[64];
	static const struct {
		const char *reason;
		size_t session_id, ciphers;
		enum tls_hello_state want;
	} rows[] = {
		{ "as usual", 0, 2, TLS_HELLO_OK },
		{ "longest session id", 32, 2, TLS_HELLO_OK },
		{ "session id too long", 33, 2, TLS_HELLO_MALFORMED },
		{ "no cipher suite", 0, 0, TLS_HELLO_MALFORMED },
		{ "half a cipher suite", 0, 3, TLS_HELLO_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tls_hello h;

		message.n = 0;
		add(&message, "\1\0", 2);
		add_u16(&message, 2 + 32 + 1 + rows[i].session_id + 2 + rows[i].ciphers + 2);
		add_u16(&message, 0x0303);
		add(&message, zeros, 32);
		add_u8(&message, (unsigned int)rows[i].session_id);
		add(&message, zeros, rows[i].session_id);
		add_u16(&message, rows[i].ciphers);
		add(&message, zeros, rows[i].ciphers);
		add(&message, "\1\0", 2);
		if (parse_message(16384, &h) != rows[i].want)
			fail_msg("wrong: %s", rows[i].reason);
	}
}

/* What stands between and behind the records; a good hello is cut after 20 bytes. */
static void test_records_malformed(void **state)
{
	static const struct bad_extensions rows[] = {
		ROW("an alert", "\x15\3\1\0\2\2\x28"),
		ROW("change cipher spec", "\x14\3\1\0\1\1"),
		ROW("application data", "\x17\3\1\0\1\1"),
		ROW("an empty handshake record", "\x16\3\1\0\0"),
		ROW("a record too long", "\x16\3\1\x40\1"),
		ROW("a record longer than the hello", "\x16\3\1\0\xff"),
		ROW("major version 2", "\x16\2\1\0\1\1"),
		ROW("minor version 5", "\x16\3\5\0\1\1"),
		ROW("not TLS at all", "GET /"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		make_hello(&message, "\0\x17\0\0", 4);
		make_records(&raw, &message, 20);
		raw.n = 25;
		add(&raw, rows[i].bytes, rows[i].n);
		if (tls_hello_parse(raw.b, raw.n, &(struct tls_hello){ 0 }) != TLS_HELLO_MALFORMED)
			fail_msg("taken: %s", rows[i].reason);
		assert_one_verdict(raw.b, raw.n, TLS_HELLO_MALFORMED);
	}
}

static void test_first_record_malformed(void **state)
{
	static const struct {
		const char *reason;
		const char *bytes;
		size_t n;
		enum tls_hello_state want;
	} rows[] = {
		{ "nothing yet", "", 0, TLS_HELLO_MORE },
		{ "one byte", "\x16", 1, TLS_HELLO_MORE },
		{ "SSL 2 hello", "\x80\x2e\1\3\1", 5, TLS_HELLO_NOT_TLS },
		{ "HTTP", "GET /", 5, TLS_HELLO_NOT_TLS },
		{ "an alert first", "\x15\3\1", 3, TLS_HELLO_NOT_TLS },
		{ "second byte", "\x16\2", 2, TLS_HELLO_MALFORMED },
		{ "third byte", "\x16\3\5", 3, TLS_HELLO_MALFORMED },
		{ "empty record", "\x16\3\1\0\0", 5, TLS_HELLO_MALFORMED },
		{ "record of 16384", "\x16\3\1\x40\0", 5, TLS_HELLO_MORE },
		{ "record of 16385", "\x16\3\1\x40\1", 5, TLS_HELLO_MALFORMED },
		{ "not a hello, told by its first byte", "\x16\3\1\1\0\2", 6, TLS_HELLO_MALFORMED },
		{ "hello of 65536 bytes", "\x16\3\1\1\0\1\1\0\0", 9, TLS_HELLO_MALFORMED },
		{ "hello one byte too long", "\x16\3\1\1\0\1\0\x5f\xfd", 9, TLS_HELLO_MALFORMED },
		{ "longest hello", "\x16\3\1\1\0\1\0\x5f\xfc", 9, TLS_HELLO_MORE },
		{ "hello shorter than its record", "\x16\3\1\0\x33\1\0\0\x2e", 9,
		  TLS_HELLO_MALFORMED },
		{ "hello as long as its record", "\x16\3\1\0\x32\1\0\0\x2e", 9, TLS_HELLO_MORE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tls_hello h;

		if (tls_hello_parse((const uint8_t *)rows[i].bytes, rows[i].n, &h) != rows[i].want)
			fail_msg("wrong: %s", rows[i].reason);
	}
}

static void test_real_hellos(void **state)
{
	struct tls_hello h;

	(void)state;
	assert_int_equal(tls_hello_parse(openssl_tls12, sizeof(openssl_tls12), &h), TLS_HELLO_OK);
	assert_true(h.has_sni);
	assert_string_equal(h.sni, "api.example.com");
	assert_int_equal(h.sni_len, 15);
	assert_int_equal(h.version, 0x0303);
	assert_false(h.alpn_h2 || h.alpn_http1 || h.has_ech);

	assert_int_equal(tls_hello_parse(openssl_tls13, sizeof(openssl_tls13), &h), TLS_HELLO_OK);
	assert_string_equal(h.sni, "api.example.com");
	assert_int_equal(h.version, 0x0304);
	assert_true(h.alpn_h2 && h.alpn_http1);
	assert_one_verdict(openssl_tls12, sizeof(openssl_tls12), TLS_HELLO_OK);
	assert_one_verdict(openssl_tls13, sizeof(openssl_tls13), TLS_HELLO_OK);
}

static void test_real_hello_in_records_of_every_size(void **state)
{
	struct tls_hello h;

	(void)state;
	message.n = 0;
	add(&message, openssl_tls13 + 5, sizeof(openssl_tls13) - 5);
	for (size_t k = 1; k <= message.n; k++) {
		assert_int_equal(parse_message(k, &h), TLS_HELLO_OK);
		assert_string_equal(h.sni, "api.example.com");
		assert_int_equal(tls_hello_parse(raw.b, raw.n - 1, &h), TLS_HELLO_MORE);
	}
	parse_message(7, &h);
	assert_one_verdict(raw.b, raw.n, TLS_HELLO_OK);
}

/* RFC 8446 4.2.10 and appendix D.4: 0-RTT data and a change cipher spec may be right behind, in
 * records of their own. */
static void test_records_behind_the_hello(void **state)
{
	struct tls_hello h;

	(void)state;
	raw.n = 0;
	add(&raw, openssl_tls13, sizeof(openssl_tls13));
	add(&raw, "\x14\3\3\0\1\1\x17\3\3\0\4abcd", 15);
	assert_int_equal(tls_hello_parse(raw.b, raw.n, &h), TLS_HELLO_OK);
	assert_one_verdict(raw.b, raw.n, TLS_HELLO_OK);
}

static void test_findings(void **state)
{
	struct tls_hello h;

	(void)state;
	make_hello(&message, "", 0);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
	assert_false(h.has_sni || h.has_ech || h.alpn_h2 || h.alpn_http1);
	assert_int_equal(h.sni_len, 0);
	assert_int_equal(h.version, 0x0303);

	/* TLS 1.0 had no extensions: not even their length is there. */
	make_hello(&message, "", 0);
	message.n -= 2;
	message.b[AT_LENGTH + 2] -= 2;
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);

	make_hello(&message, "\xfe\x0d\0\1\0", 5);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
	assert_true(h.has_ech);

	make_hello(&message, "\0\x10\0\x0b\0\x09\x08http/1.1", 15);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
	assert_true(h.alpn_http1 && !h.alpn_h2);

	/* GREASE among the versions is not the highest version. */
	make_hello(&message, "\0\x2b\0\7\6\x7a\x7a\3\3\3\4", 11);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
	assert_int_equal(h.version, 0x0304);

	/* GREASE that is mistaken for a name by a careless eye: an unknown extension with a
	 * server_name inside. */
	make_hello(&message, "\x0a\x0a\0\x0a\0\0\0\6\0\4\0\0\1a", 14);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
	assert_false(h.has_sni);
}

static void test_name_lengths(void **state)
{
	char name[257] = "";
	struct tls_hello h;

	(void)state;
	for (size_t n = 1; n <= 256; n++) {
		name[n - 1] = (char)('a' + n % 26);
		extensions.n = 0;
		add_sni_extension(&extensions, name);
		make_hello(&message, extensions.b, extensions.n);
		if (n == 256) {
			assert_int_equal(parse_message(16384, &h), TLS_HELLO_MALFORMED);
			break;
		}
		assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
		assert_string_equal(h.sni, name);
		assert_int_equal(h.sni_len, n);
	}
}

static void test_number_of_extensions(void **state)
{
	struct tls_hello h;

	(void)state;
	for (size_t n = 127; n <= 129; n++) {
		extensions.n = 0;
		for (size_t i = 0; i < n; i++) {
			add_u16(&extensions, 0x1000 + i);
			add_u16(&extensions, 0);
		}
		make_hello(&message, extensions.b, extensions.n);
		assert_int_equal(parse_message(16384, &h),
				 n <= 128 ? TLS_HELLO_OK : TLS_HELLO_MALFORMED);
	}
}

static void make_long_hello(size_t total)
{
	static uint8_t zeros[TLS_HELLO_MAX];
	size_t pad = total - 4 - 43 - 4;

	extensions.n = 0;
	add_sni_extension(&extensions, "a.example");
	pad -= extensions.n;
	add_u16(&extensions, 21);
	add_u16(&extensions, pad);
	add(&extensions, zeros, pad);
	make_hello(&message, extensions.b, extensions.n);
	assert_int_equal(message.n, total);
}

static void test_long_hello(void **state)
{
	struct tls_hello h;

	(void)state;
	make_long_hello(17 * 1024);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
	assert_string_equal(h.sni, "a.example");
	assert_int_equal(tls_hello_parse(raw.b, raw.n - 1, &h), TLS_HELLO_MORE);

	make_long_hello(TLS_HELLO_MAX);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_OK);
	make_long_hello(TLS_HELLO_MAX + 1);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_MALFORMED);
}

/* Small records blow a long hello up past what is taken: told at the first byte that would be too
 * many. */
static void test_raw_bytes_have_a_limit(void **state)
{
	struct tls_hello h;

	(void)state;
	make_long_hello(TLS_HELLO_MAX);
	make_records(&raw, &message, 8);
	assert_true(raw.n > TLS_HELLO_RAW_MAX);
	assert_int_equal(tls_hello_parse(raw.b, TLS_HELLO_RAW_MAX - 20, &h), TLS_HELLO_MORE);
	/* The record of 13 bytes that begins at 32760 would end behind the limit: told by its
	 * header. */
	assert_int_equal(tls_hello_parse(raw.b, 32764, &h), TLS_HELLO_MORE);
	assert_int_equal(tls_hello_parse(raw.b, 32765, &h), TLS_HELLO_MALFORMED);
	assert_int_equal(tls_hello_parse(raw.b, raw.n, &h), TLS_HELLO_MALFORMED);

	/* Records of 16 bytes end just at the limit, and more are needed. */
	make_records(&raw, &message, 11);
	assert_int_equal(tls_hello_parse(raw.b, TLS_HELLO_RAW_MAX - 1, &h), TLS_HELLO_MORE);
	assert_int_equal(tls_hello_parse(raw.b, TLS_HELLO_RAW_MAX, &h), TLS_HELLO_MALFORMED);

	/* Lengths that make the raw bytes end at the limit, and one record header behind it. */
	make_long_hello(24573);
	assert_int_equal(parse_message(15, &h), TLS_HELLO_OK);
	assert_int_equal(raw.n, TLS_HELLO_RAW_MAX);
	assert_int_equal(tls_hello_parse(raw.b, raw.n - 1, &h), TLS_HELLO_MORE);
	make_long_hello(24574);
	assert_int_equal(parse_message(15, &h), TLS_HELLO_MALFORMED);
	assert_int_equal(raw.n, TLS_HELLO_RAW_MAX + 1);
}

static void test_failure_leaves_the_result_alone(void **state)
{
	struct tls_hello h = { .sni = "before", .sni_len = 6 };

	(void)state;
	assert_int_equal(tls_hello_parse(openssl_tls12, sizeof(openssl_tls12) - 1, &h),
			 TLS_HELLO_MORE);
	assert_string_equal(h.sni, "before");
	make_hello(&message, "\0\0\0\7\0\5\0\0\2a\0", 11);
	assert_int_equal(parse_message(16384, &h), TLS_HELLO_MALFORMED);
	assert_string_equal(h.sni, "before");
	assert_int_equal(h.sni_len, 6);
}

static void test_alert_is_a_record(void **state)
{
	(void)state;
	assert_memory_equal(tls_alert_access_denied, "\x15\3\3\0\2\2\x31", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extensions_malformed),
		cmocka_unit_test(test_body_malformed),
		cmocka_unit_test(test_body_out_of_range),
		cmocka_unit_test(test_records_malformed),
		cmocka_unit_test(test_first_record_malformed),
		cmocka_unit_test(test_real_hellos),
		cmocka_unit_test(test_real_hello_in_records_of_every_size),
		cmocka_unit_test(test_records_behind_the_hello),
		cmocka_unit_test(test_findings),
		cmocka_unit_test(test_name_lengths),
		cmocka_unit_test(test_number_of_extensions),
		cmocka_unit_test(test_long_hello),
		cmocka_unit_test(test_raw_bytes_have_a_limit),
		cmocka_unit_test(test_failure_leaves_the_result_alone),
		cmocka_unit_test(test_alert_is_a_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
