/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an answer. What must hold: the verdict does not depend on the portions; the framing
 * follows the one table for every method; and what is written anew for the client is taken by the
 * same strict reader with the same meaning.
 */
#include "tests/fuzz/http_check.h"

static void check_framing(const struct http_head *h)
{
	static const char *const methods[] = { "GET", "HEAD", "CONNECT", "POST", "get", "" };
	bool never = h->status / 100 == 1 || h->status == 204 || h->status == 304;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		enum http_framing framing = http_answer_framing(h, str_of(methods[i]));
		bool none = never || i == 1 || (i == 2 && h->status / 100 == 2);

		assert((framing == HTTP_NO_BODY) == none);
		assert((framing == HTTP_CHUNKED) == (!none && h->chunked));
		assert((framing == HTTP_LENGTH) == (!none && h->has_length));
	}
}

static void check_written(const struct http_head *h)
{
	struct buf out = BUF_INIT(2 * HTTP_HEAD_MAX);
	static struct http_head again;

	assert(http_write_status_line(&out, h->status, h->phrase) == 0);
	/* Host means nothing in an answer, but does not pass either. */
	check_rewritten(http_answer_parse, &out, h, 0, &again);
	if (again.field_count != SIZE_MAX)
		assert(again.status == h->status && str_eq(again.phrase, h->phrase));
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head h;
	uint8_t *copy = fuzz_copy(data, size);
	size_t len;

	if (check_beginnings(http_answer_parse, copy, size, &h, &len) == HTTP_OK) {
		assert(h.status >= 100 && h.status <= 599);
		assert(is_inside(h.phrase, copy, len) && is_clean(h.phrase));
		assert(h.method.n + h.target.n + h.path.n + h.authority.n + h.host.n == 0);
		assert(!h.expect_continue && h.host_count == 0);
		check_fields(&h, copy, len);
		check_framing(&h);
		check_written(&h);
	}
	free(copy);
	return 0;
}
