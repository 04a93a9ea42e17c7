/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64: what is not canonical is refused and leaves no trace; the vectors of RFC 4648 10.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "wire/base64.h"

static void test_decode_refused(void **state)
{
	static const struct {
		const char *reason;
		struct str text;
	} rows[] = {
		{ "one digit", STR_LIT("Z") },
		{ "two digits without padding", STR_LIT("Zg") },
		{ "three digits without padding", STR_LIT("Zm8") },
		{ "half the padding", STR_LIT("Zg=") },
		{ "padding alone", STR_LIT("====") },
		{ "three of padding", STR_LIT("Z===") },
		{ "padding inside", STR_LIT("Zg==Zg==") },
		{ "padding before a digit", STR_LIT("Zg=v") },
		{ "four bits left over", STR_LIT("Zh==") },
		{ "two bits left over", STR_LIT("Zm9=") },
		{ "highest bits left over", STR_LIT("Zo==") },
		{ "blank inside", STR_LIT("Zm9 ") },
		{ "line feed at the end", STR_LIT("Zg==\n") },
		{ "line feed inside", STR_LIT("Zm9v\nZm9") },
		{ "NUL", STR_LIT("Zm9\0") },
		{ "letters for URLs", STR_LIT("Zm-_") },
		{ "byte above ASCII", STR_LIT("Zm9\xff") },
		{ "beside the digits", STR_LIT("Zm9@") },
		{ "beside the digits, below", STR_LIT("Zm9[") },
		{ "beside the digits, colon", STR_LIT("Zm9:") },
	};
	uint8_t out[32], untouched[32];

	(void)state;
	memset(untouched, 0x5a, sizeof(untouched));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(out, 0x5a, sizeof(out));
		if (base64_decode(rows[i].text, out, sizeof(out)) != -EBADMSG)
			fail_msg("taken: %s", rows[i].reason);
		if (memcmp(out, untouched, sizeof(out)) != 0)
			fail_msg("written to: %s", rows[i].reason);
	}
}

static void test_vectors(void **state)
{
	static const struct {
		struct str bytes, text;
	} rows[] = {
		{ STR_LIT(""), STR_LIT("") },
		{ STR_LIT("f"), STR_LIT("Zg==") },
		{ STR_LIT("fo"), STR_LIT("Zm8=") },
		{ STR_LIT("foo"), STR_LIT("Zm9v") },
		{ STR_LIT("foob"), STR_LIT("Zm9vYg==") },
		{ STR_LIT("fooba"), STR_LIT("Zm9vYmE=") },
		{ STR_LIT("foobar"), STR_LIT("Zm9vYmFy") },
		{ STR_LIT("\0\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97"
			  "\x61\x96\x9b\x71\xd7\x9f\x82\x18\xa3\x92\x59\xa7\xa2\x9a\xab\xb2\xdb\xaf"
			  "\xc3\x1c\xb3\xd3\x5d\xb7\xe3\x9e\xbb\xf3\xdf\xbf"),
		  STR_LIT("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") },
	};
	uint8_t out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(100);

		assert_int_equal(base64_decode(rows[i].text, out, rows[i].bytes.n),
				 rows[i].bytes.n);
		assert_memory_equal(out, rows[i].bytes.p, rows[i].bytes.n);
		assert_int_equal(base64_encode(&b, rows[i].bytes.p, rows[i].bytes.n), 0);
		assert_true(str_eq(buf_str(&b), rows[i].text));
	}
}

static void test_decode_room(void **state)
{
	uint8_t out[3] = { 1, 2, 3 };

	(void)state;
	assert_int_equal(base64_decode(STR_LIT("Zm9v"), out, 2), -ENOSPC);
	assert_int_equal(base64_decode(STR_LIT("Zg=="), out, 0), -ENOSPC);
	assert_memory_equal(out, "\1\2\3", 3);
	assert_int_equal(base64_decode(STR_LIT("Zg=="), out, 1), 1);
	assert_memory_equal(out, "f\2\3", 3);
	assert_int_equal(base64_decode(STR_LIT(""), NULL, 0), 0);
}

static void test_encode_room(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(9);

	(void)state;
	assert_int_equal(buf_append(&b, "ab", 2), 0);
	assert_int_equal(base64_encode(&b, "foob", 4), -ENOSPC);
	assert_int_equal(base64_encode(&b, "", SIZE_MAX), -ENOSPC);
	assert_int_equal(base64_encode(&b, "foo", 3), 0);
	assert_true(str_eq(buf_str(&b), STR_LIT("abZm9v")));
	assert_int_equal(base64_encode(&b, "f", 1), -ENOSPC);
	assert_int_equal(base64_encode(&b, NULL, 0), 0);
	assert_true(str_eq(buf_str(&b), STR_LIT("abZm9v")));
}

/* Of all texts of four letters out of a few, exactly the own encodings are taken. */
static void test_each_value_has_one_text(void **state)
{
	static const char letters[] = "AQgwBZ/=+\n";
	const size_t k = sizeof(letters) - 1;
	unsigned int taken = 0;

	(void)state;
	for (size_t i = 0; i < k * k * k * k; i++) {
		const char text[4] = { letters[i / k / k / k], letters[i / k / k % k],
				       letters[i / k % k], letters[i % k] };
		_cleanup_buf_ struct buf b = BUF_INIT(4);
		uint8_t out[3];
		ssize_t n = base64_decode((struct str){ text, 4 }, out, 3);

		if (n < 0)
			continue;
		taken++;
		assert_int_equal(base64_encode(&b, out, (size_t)n), 0);
		assert_memory_equal(buf_data(&b), text, 4);
	}
	/* 8 digits, of which A, Q, g and w have no low four bits set, and those alone no low two.
	 */
	assert_int_equal(taken, 8 * 8 * 8 * 8 + 8 * 8 * 4 + 8 * 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_refused),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_decode_room),
		cmocka_unit_test(test_encode_room),
		cmocka_unit_test(test_each_value_has_one_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
