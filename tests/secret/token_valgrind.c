/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run by Valgrind, which follows undefined bytes: the stored token is marked as undefined, so every
 * branch, and every address, that depends on one of its bits is an error that Valgrind reports.
 *
 * The answer of the comparison depends on all of them, and is public: the client is told. It is
 * made defined where it leaves secret_equal(), and nowhere else. The linker does that
 * (-Wl,--wrap=secret_equal: calls from other objects come to __wrap_secret_equal(), and
 * __real_secret_equal() is the function itself), so the objects judged are those of the program,
 * byte by byte, without a hook of their own.
 *
 *	token_valgrind		 the comparison as it is: no error
 *	token_valgrind --memcmp	 memcmp() in its place: errors, or this check sees nothing
 *
 * Outside of Valgrind it checks the verdicts only.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "base/secret.h"
#include "policy/token.h"
#include "wire/base64.h"

#define TOKEN "0123456789abcdef00112233445566778899aabbccddeeff0f1e2d3c4b5a6978"

bool __real_secret_equal(const void *a, size_t na, const void *b, size_t nb);
bool __wrap_secret_equal(const void *a, size_t na, const void *b, size_t nb);

static bool use_memcmp;
static unsigned int compared, failed;

bool __wrap_secret_equal(const void *a, size_t na, const void *b, size_t nb)
{
	/* Not a bool until it is defined: making one of it may be a branch. */
	int answer;

	compared++;
	if (use_memcmp)
		answer = na == nb && memcmp(a, b, na) == 0;
	else
		answer = __real_secret_equal(a, na, b, nb);
	(void)VALGRIND_MAKE_MEM_DEFINED(&answer, sizeof(answer));
	return answer != 0;
}

/* One request with this credential. `reaches`: is it one that comes to be compared? */
static void check(const char *what, const char *scheme, struct str credential, bool reaches,
		  enum reason wanted)
{
	static struct http_head h;
	char head[1024], stored[TOKEN_TEXT];
	unsigned int errors = VALGRIND_COUNT_ERRORS, before = compared;
	const char *why;
	size_t len;
	enum reason r;
	int n = snprintf(head, sizeof(head),
			 "CONNECT a:443 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: %s%.*s\r\n\r\n",
			 scheme, STR_FMT(credential));

	assert(n > 0 && (size_t)n < sizeof(head));
	assert(http_request_parse((const uint8_t *)head, (size_t)n, &h, &len, &why) == HTTP_OK);
	memcpy(stored, TOKEN, TOKEN_TEXT);
	(void)VALGRIND_MAKE_MEM_UNDEFINED(stored, sizeof(stored));
	r = token_check(&h, (struct str){ stored, TOKEN_TEXT });
	(void)VALGRIND_MAKE_MEM_DEFINED(&r, sizeof(r));
	if (r != wanted) {
		fprintf(stderr, "%s%s: '%s', not '%s'\n", scheme, what, reason_word(r),
			reason_word(wanted));
		failed++;
	}
	if ((compared - before == 1) != reaches) {
		fprintf(stderr, "%s%s: compared %u times\n", scheme, what, compared - before);
		failed++;
	}
	if (VALGRIND_COUNT_ERRORS != errors)
		fprintf(stderr, "%s%s: depends on the secret\n", scheme, what);
}

static void check_bearer(const char *what, const char *text, size_t n, enum reason wanted)
{
	check(what, "Bearer ", (struct str){ text, n }, true, wanted);
}

static void check_basic(const char *what, const char *user, const char *text, size_t n,
			enum reason wanted)
{
	_cleanup_buf_ struct buf plain = BUF_INIT(512), encoded = BUF_INIT(512);

	assert(buf_append_str(&plain, str_of(user)) == 0 && buf_append(&plain, text, n) == 0);
	assert(base64_encode(&encoded, buf_data(&plain), buf_len(&plain)) == 0);
	check(what, "Basic ", buf_str(&encoded), true, wanted);
}

static void check_both(const char *what, const char *text, size_t n, enum reason wanted)
{
	check_bearer(what, text, n, wanted);
	/* Each position of the token in a group of three bytes. */
	check_basic(what, ":", text, n, wanted);
	check_basic(what, "u:", text, n, wanted);
	check_basic(what, "nono:", text, n, wanted);
}

int main(int argc, char **argv)
{
	char text[TOKEN_TEXT + 1] = TOKEN, what[64];

	use_memcmp = argc == 2 && strcmp(argv[1], "--memcmp") == 0;
	if (argc != 1 && !use_memcmp) {
		fprintf(stderr, "usage: %s [--memcmp]\n", argv[0]);
		return 2;
	}
	check_both("right", text, TOKEN_TEXT, REASON_NONE);
	for (size_t i = 0; i < TOKEN_TEXT; i++) {
		(void)snprintf(what, sizeof(what), "wrong at %zu", i);
		text[i] = (char)(TOKEN[i] == 'e' ? 'f' : 'e');
		check_both(what, text, TOKEN_TEXT, REASON_TOKEN_INVALID);
		text[i] = TOKEN[i];
	}
	memset(text, 'f', TOKEN_TEXT);
	check_both("wrong everywhere", text, TOKEN_TEXT, REASON_TOKEN_INVALID);
	check_both("a beginning", TOKEN, TOKEN_TEXT - 1, REASON_TOKEN_INVALID);
	check_both("one more", TOKEN "0", TOKEN_TEXT + 1, REASON_TOKEN_INVALID);
	check("no value", "Bearer", STR_LIT(""), true, REASON_TOKEN_INVALID);
	check("no colon", "Basic ", STR_LIT(TOKEN), false, REASON_TOKEN_INVALID);
	check("another scheme", "Digest ", STR_LIT(TOKEN), false, REASON_TOKEN_MISSING);
	printf("%u comparisons, %u failed\n", compared, failed);
	return failed ? 1 : 0;
}
