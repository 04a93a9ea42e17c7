/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64, both ways. Decoding looks at everything before it writes anything: what is refused has
 * left no trace in the caller's memory. Bits behind the last byte must be zero, so that each
 * sequence of bytes has exactly one text.
 */
#include "wire/base64.h"

#include <sys/types.h>

#define NO_DIGIT 0xff

static const char alphabet[64] = { 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M',
				   'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z',
				   'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
				   'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
				   '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '/' };

static uint8_t digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint8_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint8_t)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (uint8_t)(c - '0' + 52);
	return c == '+' ? 62 : c == '/' ? 63 : NO_DIGIT;
}

ssize_t base64_decode(struct str s, uint8_t *out, size_t cap)
{
	size_t digits = s.n, len, at = 0;
	uint32_t bits = 0;

	if (s.n % 4)
		return -EBADMSG;
	while (s.n - digits < 2 && digits && s.p[digits - 1] == '=')
		digits--;
	for (size_t i = 0; i < digits; i++)
		if (digit(s.p[i]) == NO_DIGIT)
			return -EBADMSG;
	if (digits % 4 == 2 && digit(s.p[digits - 1]) & 0xf)
		return -EBADMSG;
	if (digits % 4 == 3 && digit(s.p[digits - 1]) & 3)
		return -EBADMSG;
	len = s.n / 4 * 3 - (s.n - digits);
	if (len > cap)
		return -ENOSPC;

	for (size_t i = 0; i < digits; i++) {
		bits = bits << 6 | digit(s.p[i]);
		if (i % 4)
			out[at++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return (ssize_t)len;
}

int base64_encode(struct buf *out, const void *p, size_t n)
{
	const uint8_t *b = p;
	size_t len = n / 3 * 4 + (n % 3 ? 4 : 0);
	uint8_t *to;

	if (n / 3 >= SIZE_MAX / 4 || len > out->max - buf_len(out))
		return -ENOSPC;
	if (n == 0)
		return 0;
	to = buf_reserve(out, len);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)b[i] << 16;

		if (i + 1 < n)
			bits |= (uint32_t)b[i + 1] << 8;
		if (i + 2 < n)
			bits |= b[i + 2];
		*to++ = (uint8_t)alphabet[bits >> 18];
		*to++ = (uint8_t)alphabet[bits >> 12 & 63];
		*to++ = i + 1 < n ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
		*to++ = i + 2 < n ? (uint8_t)alphabet[bits & 63] : '=';
	}
	buf_commit(out, len);
	return 0;
}
