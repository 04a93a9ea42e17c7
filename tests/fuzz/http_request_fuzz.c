/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a request. What must hold: the verdict does not depend on the portions; a target has
 * exactly one form; and what is written anew for the server is taken by the same strict reader with
 * the same meaning.
 */
#include "tests/fuzz/http_check.h"

static void check_target(const struct http_head *h, const uint8_t *p, size_t n)
{
	assert(h->method.n > 0 && h->method.n <= 32 && is_inside(h->method, p, n));
	assert(h->target.n > 0 && is_inside(h->target, p, n));
	for (size_t i = 0; i < h->target.n; i++)
		assert(h->target.p[i] > ' ' && h->target.p[i] < 0x7f && h->target.p[i] != '#');
	assert((h->form == HTTP_AUTHORITY_FORM) == str_eq(h->method, STR_LIT("CONNECT")));
	assert((h->scheme.n > 0) == (h->form == HTTP_ABSOLUTE_FORM));
	switch (h->form) {
	case HTTP_ORIGIN_FORM:
		assert(h->path.p[0] == '/' && str_eq(h->path, h->target) && h->authority.n == 0);
		break;
	case HTTP_ASTERISK_FORM:
		assert(str_eq(h->path, STR_LIT("*")) && str_eq(h->method, STR_LIT("OPTIONS")));
		break;
	case HTTP_AUTHORITY_FORM:
		assert(h->path.n == 0 && str_eq(h->authority, h->target));
		break;
	case HTTP_ABSOLUTE_FORM:
		assert(h->path.p[0] == '/' && is_inside(h->authority, p, n));
		assert(h->scheme.n + 3 + h->authority.n + h->path.n ==
		       h->target.n + !is_inside(h->path, p, n));
		break;
	}
	for (size_t i = 0; i < h->authority.n; i++)
		assert(!memchr("@/?,\\", h->authority.p[i], 5));
	for (size_t i = 0; i < h->host.n; i++)
		assert(!memchr("@/?,\\ \t", h->host.p[i], 7));
	assert(count_name(h, "Host") == h->host_count && (h->host.n > 0) == h->host_count);
	assert(h->host_count || h->minor == 0);
}

static void check_written(const struct http_head *h)
{
	struct str target = h->form == HTTP_AUTHORITY_FORM ? h->target : h->path;
	struct buf out = BUF_INIT(2 * HTTP_HEAD_MAX);
	static struct http_head again;

	assert(http_write_request_line(&out, h->method, target, 1) == 0);
	assert(http_write_field(&out, "Host", h->host_count ? h->host : STR_LIT("x")) == 0);
	check_rewritten(http_request_parse, &out, h, 1, &again);
	if (again.field_count != SIZE_MAX) {
		assert(str_eq(again.method, h->method) && str_eq(again.target, target));
		assert(str_eq(again.host, h->host_count ? h->host : STR_LIT("x")));
		assert(again.form == (h->form == HTTP_ABSOLUTE_FORM ? HTTP_ORIGIN_FORM : h->form));
	}
	buf_done(&out);
}

static void check_framing(const struct http_head *h)
{
	enum http_framing framing = http_request_framing(h);

	assert(framing != HTTP_UNTIL_CLOSE);
	if (h->form == HTTP_AUTHORITY_FORM) {
		assert(framing == HTTP_NO_BODY && !h->chunked && h->content_length == 0);
		return;
	}
	assert((framing == HTTP_CHUNKED) == h->chunked &&
	       (framing == HTTP_LENGTH) == h->has_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head h;
	uint8_t *copy = fuzz_copy(data, size);
	size_t len;

	if (check_beginnings(http_request_parse, copy, size, &h, &len) == HTTP_OK) {
		check_fields(&h, copy, len);
		check_target(&h, copy, len);
		check_framing(&h);
		check_written(&h);
		assert(h.status == 0 && h.phrase.n == 0);
	}
	free(copy);
	return 0;
}
