/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a message, read by us and by llhttp in its strict mode. What must hold: whatever we
 * take, llhttp takes with the same method, target, status and fields, and with the body's end at
 * the same byte. The reverse need not hold: we are the stricter.
 *
 * Linked with Debian's node-llhttp (sources below /usr/share/llhttp), compiled with
 * LLHTTP_STRICT_MODE=1.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

#include <llhttp.h>

#include "wire/http_body.h"

/* What llhttp reports, gathered; a span may come in pieces, which lie one behind the other. */
struct seen {
	struct str target, phrase, names[HTTP_FIELDS_MAX], values[HTTP_FIELDS_MAX];
	size_t names_done, values_done;
	uint64_t payload;
	bool skip_body, head_done, done;
};

static void extend(struct str *s, const char *at, size_t n)
{
	assert(s->n == 0 || s->p + s->n == at);
	if (s->n == 0)
		s->p = at;
	s->n += n;
}

static int on_url(llhttp_t *l, const char *at, size_t n)
{
	extend(&((struct seen *)l->data)->target, at, n);
	return 0;
}

static int on_status(llhttp_t *l, const char *at, size_t n)
{
	extend(&((struct seen *)l->data)->phrase, at, n);
	return 0;
}

static int on_header_field(llhttp_t *l, const char *at, size_t n)
{
	struct seen *s = l->data;

	if (!s->head_done) { /* else a trailer */
		assert(s->names_done < HTTP_FIELDS_MAX);
		extend(&s->names[s->names_done], at, n);
	}
	return 0;
}

static int on_header_field_complete(llhttp_t *l)
{
	struct seen *s = l->data;

	s->names_done += !s->head_done;
	return 0;
}

static int on_header_value(llhttp_t *l, const char *at, size_t n)
{
	struct seen *s = l->data;

	if (!s->head_done) {
		assert(s->values_done < HTTP_FIELDS_MAX);
		extend(&s->values[s->values_done], at, n);
	}
	return 0;
}

static int on_header_value_complete(llhttp_t *l)
{
	struct seen *s = l->data;

	s->values_done += !s->head_done;
	return 0;
}

static int on_headers_complete(llhttp_t *l)
{
	struct seen *s = l->data;

	s->head_done = true;
	return s->skip_body;
}

static int on_body(llhttp_t *l, const char *at, size_t n)
{
	(void)at;
	((struct seen *)l->data)->payload += n;
	return 0;
}

static int on_message_complete(llhttp_t *l)
{
	((struct seen *)l->data)->done = true;
	return HPE_PAUSED;
}

static bool llhttp_knows(struct str method)
{
	static const char *const known[] = {
#define NAME(num, name, string) #string,
		HTTP_METHOD_MAP(NAME)
#undef NAME
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_eq(method, str_of(known[i])))
			return true;
	return false;
}

/* llhttp leaves the blanks at the end of a value. */
static struct str trimmed(struct str s)
{
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static void check_head(const struct http_head *h, const llhttp_t *l, const struct seen *s,
		       bool request)
{
	assert(s->head_done && l->http_major == 1 && l->http_minor == h->minor);
	if (request) {
		assert(str_eq(h->method, str_of(llhttp_method_name((llhttp_method_t)l->method))));
		assert(str_eq(h->target, s->target));
	} else {
		assert(l->status_code == h->status && str_eq(h->phrase, s->phrase));
	}
	assert(s->names_done == h->field_count && s->values_done == h->field_count);
	for (size_t i = 0; i < h->field_count; i++) {
		assert(str_eq(h->fields[i].name, s->names[i]));
		assert(str_eq(h->fields[i].value, trimmed(s->values[i])));
	}
}

/*
 * Of chunk extensions llhttp 8 refuses some that the grammar has: one behind an unquoted value, and
 * escapes and bytes above ASCII in quotes. It refuses, it does not read them in another way.
 */
static bool llhttp_lacks(const llhttp_t *l, llhttp_errno_t error)
{
	static const char extensions[] = "Invalid character in chunk extensions";

	if (error == HPE_STRICT)
		return strncmp(llhttp_get_error_reason(l), extensions, sizeof(extensions) - 1) == 0;
	return error == HPE_INVALID_CHUNK_SIZE && llhttp_get_error_pos(l)[-1] == ';';
}

/*
 * `size` bytes at `copy`, which begin with the head `h` of `len` bytes. A message that we find
 * malformed in its body is our own affair: bytes up to there went on, but the connection ends.
 */
static void check_message(const struct http_head *h, const uint8_t *copy, size_t size, size_t len,
			  bool request, struct str method)
{
	static struct seen s;
	llhttp_settings_t settings;
	struct http_body body;
	enum http_framing framing = request ? http_request_framing(h)
					    : http_answer_framing(h, method);
	ssize_t taken;
	llhttp_errno_t error;
	llhttp_t l;

	http_body_begin(&body, framing, h->content_length, 0);
	taken = http_body_scan(&body, copy + len, size - len);
	if (taken < 0)
		return;

	memset(&s, 0, sizeof(s));
	/* Which answers never have one, whatever their fields say, llhttp leaves to its caller. */
	s.skip_body = !request && framing == HTTP_NO_BODY;
	llhttp_settings_init(&settings);
	settings.on_url = on_url;
	settings.on_status = on_status;
	settings.on_header_field = on_header_field;
	settings.on_header_field_complete = on_header_field_complete;
	settings.on_header_value = on_header_value;
	settings.on_header_value_complete = on_header_value_complete;
	settings.on_headers_complete = on_headers_complete;
	settings.on_body = on_body;
	settings.on_message_complete = on_message_complete;
	llhttp_init(&l, request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	l.data = &s;
	error = llhttp_execute(&l, (const char *)copy, len + (size_t)taken);
	if (llhttp_lacks(&l, error))
		return;
	if (error != HPE_OK && error != HPE_PAUSED && error != HPE_PAUSED_UPGRADE) {
		fprintf(stderr, "llhttp: %s, %s at %td\n", llhttp_errno_name(error),
			llhttp_get_error_reason(&l), llhttp_get_error_pos(&l) - (const char *)copy);
		abort();
	}
	check_head(h, &l, &s, request);
	if (framing == HTTP_UNTIL_CLOSE) {
		assert(!s.done && llhttp_finish(&l) == HPE_PAUSED && s.done);
	} else {
		assert(s.done == body.done);
		/* No byte earlier: all that we counted was needed, the end is where we see it. */
		if (s.done)
			assert(llhttp_get_error_pos(&l) == (const char *)copy + len + taken);
	}
	assert(s.payload == body.total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head h;
	const char *why;
	uint8_t *copy = fuzz_copy(data, size);
	size_t len;

	if (http_request_parse(copy, size, &h, &len, &why) == HTTP_OK && llhttp_knows(h.method))
		check_message(&h, copy, size, len, true, h.method);
	if (http_answer_parse(copy, size, &h, &len, &why) == HTTP_OK) {
		check_message(&h, copy, size, len, false, STR_LIT("GET"));
		check_message(&h, copy, size, len, false, STR_LIT("HEAD"));
	}
	free(copy);
	return 0;
}
