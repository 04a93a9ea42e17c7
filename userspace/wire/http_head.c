/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict reader of HTTP/1 heads.
 *
 * The head is read line by line from the front, and each verdict rests on the bytes up to the place
 * where it is made and on none behind it. So a longer beginning of the same bytes never has another
 * verdict: it makes no difference in what portions a head arrives.
 *
 * A line is looked at for controls as soon as its bytes are there, complete or not: what is no HTTP
 * at all is refused at once, and all that is parsed afterwards is known to be blanks, visible ASCII
 * and bytes above it.
 */
#include "wire/http_head.h"

#include "wire/http_chars.h"
#include "wire/http_target.h"

#define EMPTY_LINES_MAX	   2
#define LENGTH_DIGITS_MAX  18 /* below 2^63, whoever counts */
#define CONNECTION_OPTIONS 32 /* elements of all Connection fields, empty ones included */

struct reader {
	const uint8_t *p;
	size_t n, at;
	const char *why;
	/* what the Connection fields say */
	unsigned int options;
	bool close, keep_alive, upgrade;
	unsigned int upgrade_fields;
};

static enum http_state refuse(struct reader *r, enum http_state state, const char *why)
{
	r->why = why;
	return state;
}

static enum http_state bad(struct reader *r, const char *why)
{
	return refuse(r, HTTP_BAD, why);
}

/* ---- lines ------------------------------------------------------------------------------- */

/* Takes the next line; *ret_line is without its CRLF. */
static enum http_state next_line(struct reader *r, struct str *ret_line)
{
	size_t room = HTTP_HEAD_MAX - r->at;
	size_t most = MIN(room, (size_t)HTTP_LINE_MAX), n = MIN(r->n - r->at, most);
	const uint8_t *p = n ? r->p + r->at : (const uint8_t *)"";
	const uint8_t *lf = memchr(p, '\n', n);
	size_t len = lf ? (size_t)(lf - p) : n;

	/* CR only as the last byte: then LF is next, or has yet to come. */
	if (len && p[len - 1] == '\r')
		len--;
	else if (lf)
		return bad(r, "a line ends without CR");
	if (!http_is_value((struct str){ (const char *)p, len }))
		return bad(r, "a control character");
	if (!lf && n == most)
		return refuse(r, HTTP_TOO_LARGE,
			      room <= HTTP_LINE_MAX ? "the head is too long"
						    : "a line is too long");
	if (!lf)
		return HTTP_MORE;
	*ret_line = (struct str){ (const char *)p, len };
	r->at += len + 2;
	return HTTP_OK;
}

/* The part before the first `sep`, which is dropped, or all of it. False if there is none. */
static bool split(struct str *rest, char sep, struct str *ret)
{
	const char *at = rest->n ? memchr(rest->p, sep, rest->n) : NULL;

	*ret = (struct str){ rest->p, at ? (size_t)(at - rest->p) : rest->n };
	if (!at)
		return false;
	rest->n -= ret->n + 1;
	rest->p = at + 1;
	return true;
}

/* ---- first lines -------------------------------------------------------------------------- */

static enum http_state parse_version(struct reader *r, struct str s, uint8_t *ret_minor)
{
	if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || !http_is_digit(s.p[5]) || s.p[6] != '.' ||
	    !http_is_digit(s.p[7]))
		return bad(r, "the first line is not one of HTTP/1");
	if (s.p[5] != '1' || s.p[7] > '1')
		return refuse(r, HTTP_VERSION, "a version other than HTTP/1.0 and HTTP/1.1");
	*ret_minor = (uint8_t)(s.p[7] - '0');
	return HTTP_OK;
}

static enum http_state parse_request_line(struct reader *r, struct str line, struct http_head *h)
{
	enum http_state state;

	if (!split(&line, ' ', &h->method) || !split(&line, ' ', &h->target) ||
	    !http_is_token(h->method) || h->method.n > HTTP_METHOD_MAX ||
	    !http_is_target(h->target))
		return bad(r, "the request line is not METHOD TARGET HTTP/1.x");
	state = parse_version(r, line, &h->minor);
	if (state != HTTP_OK)
		return state;
	r->why = http_target_take(h);
	return r->why ? HTTP_BAD : HTTP_OK;
}

/* Servers that have no phrase often leave out the blank before it, too. */
static enum http_state parse_status_line(struct reader *r, struct str line, struct http_head *h)
{
	struct str version, digits;
	enum http_state state;

	if (!split(&line, ' ', &version))
		return bad(r, "the first line is not one of HTTP/1");
	state = parse_version(r, version, &h->minor);
	if (state != HTTP_OK)
		return state;
	h->phrase = split(&line, ' ', &digits) ? line : STR_LIT("");
	if (digits.n != 3 || !http_is_digit(digits.p[0]) || !http_is_digit(digits.p[1]) ||
	    !http_is_digit(digits.p[2]) || digits.p[0] < '1' || digits.p[0] > '5')
		return bad(r, "the status is not 100 to 599");
	h->status = (digits.p[0] - '0') * 100 + (digits.p[1] - '0') * 10 + (digits.p[2] - '0');
	return HTTP_OK;
}

/* ---- fields ------------------------------------------------------------------------------ */

static enum http_state take_host(struct reader *r, struct http_head *h, struct str value)
{
	if (h->host_count)
		return bad(r, "two Host fields");
	if (value.n == 0)
		return bad(r, "the Host field is empty");
	for (size_t i = 0; i < value.n; i++)
		if (memchr(" \t,@/\\#?", value.p[i], 8))
			return bad(r, "the Host field is not HOST or HOST:PORT");
	h->host = value;
	h->host_count = 1;
	return HTTP_OK;
}

static enum http_state take_length(struct reader *r, struct http_head *h, struct str value)
{
	if (h->has_length)
		return bad(r, "two Content-Length fields");
	if (value.n == 0 || value.n > LENGTH_DIGITS_MAX)
		return bad(r, "the Content-Length is not 1 to 18 digits");
	for (size_t i = 0; i < value.n; i++) {
		if (!http_is_digit(value.p[i]))
			return bad(r, "the Content-Length is not 1 to 18 digits");
		h->content_length = h->content_length * 10 + (uint64_t)(value.p[i] - '0');
	}
	h->has_length = true;
	return HTTP_OK;
}

static enum http_state take_coding(struct reader *r, struct http_head *h, struct str value)
{
	if (h->chunked)
		return bad(r, "two Transfer-Encoding fields");
	if (!str_eq_nocase(value, STR_LIT("chunked")))
		return bad(r, "a Transfer-Encoding other than chunked");
	h->chunked = true;
	return HTTP_OK;
}

static enum http_state take_connection(struct reader *r, struct str value)
{
	struct str option;

	while (http_list_next(&value, &option)) {
		if (++r->options > CONNECTION_OPTIONS)
			return bad(r, "too many Connection options");
		if (option.n && !http_is_token(option))
			return bad(r, "the Connection field is malformed");
		if (str_eq_nocase(option, STR_LIT("close")))
			r->close = true;
		else if (str_eq_nocase(option, STR_LIT("keep-alive")))
			r->keep_alive = true;
		else if (str_eq_nocase(option, STR_LIT("upgrade")))
			r->upgrade = true;
	}
	return HTTP_OK;
}

/*
 * The fields that frame the body. A tab is a blank by the grammar, but behind "chunked" widely used
 * parsers read it as part of the coding and the body as one without an end.
 */
static enum http_state take_framing(struct reader *r, struct http_head *h,
				    const struct http_field *f, struct str raw)
{
	if (memchr(raw.p, '\t', raw.n))
		return bad(r, "a tab in Content-Length or Transfer-Encoding");
	return f->name.n == 14 ? take_length(r, h, f->value) : take_coding(r, h, f->value);
}

/* What a field means for the message itself. The names differ in length. */
static enum http_state take_meaning(struct reader *r, struct http_head *h,
				    const struct http_field *f, struct str raw, bool request)
{
	switch (f->name.n) {
	case 4:
		if (request && str_eq_nocase(f->name, STR_LIT("Host")))
			return take_host(r, h, f->value);
		break;
	case 6:
		if (request && str_eq_nocase(f->name, STR_LIT("Expect")) &&
		    str_eq_nocase(f->value, STR_LIT("100-continue")))
			h->expect_continue = true;
		break;
	case 7:
		if (str_eq_nocase(f->name, STR_LIT("Upgrade"))) {
			h->upgrade_to = f->value;
			r->upgrade_fields++;
		}
		break;
	case 10:
		if (str_eq_nocase(f->name, STR_LIT("Connection")))
			return take_connection(r, f->value);
		break;
	case 14:
		if (str_eq_nocase(f->name, STR_LIT("Content-Length")))
			return take_framing(r, h, f, raw);
		break;
	case 17:
		if (str_eq_nocase(f->name, STR_LIT("Transfer-Encoding")))
			return take_framing(r, h, f, raw);
		break;
	default:
		break;
	}
	return HTTP_OK;
}

static enum http_state parse_field(struct reader *r, struct str line, struct http_head *h,
				   bool request)
{
	struct http_field f;

	if (http_is_blank((uint8_t)line.p[0]))
		return bad(r, "a field line begins with a blank");
	if (!split(&line, ':', &f.name))
		return bad(r, "a field line has no colon");
	if (!http_is_token(f.name))
		return bad(r, "a field name is not a token");
	f.value = http_trim(line);
	if (h->field_count == HTTP_FIELDS_MAX)
		return refuse(r, HTTP_TOO_LARGE, "too many fields");
	h->fields[h->field_count++] = f;
	return take_meaning(r, h, &f, line, request);
}

/* ---- the whole --------------------------------------------------------------------------- */

/* What is known only when all fields are. */
static enum http_state conclude(struct reader *r, struct http_head *h, bool request)
{
	if (h->chunked && h->has_length)
		return bad(r, "both Content-Length and Transfer-Encoding");
	if (h->chunked && h->minor == 0)
		return bad(r, "Transfer-Encoding with HTTP/1.0");
	if (request && h->minor == 1 && h->host_count == 0)
		return bad(r, "no Host field");
	/* What follows the head of a CONNECT is the tunnel's (RFC 9110 9.3.6). */
	if (request && h->form == HTTP_AUTHORITY_FORM && (h->chunked || h->content_length))
		return bad(r, "CONNECT with a body");
	h->keep_alive = !r->close && (h->minor == 1 || r->keep_alive);
	/* Not with HTTP/1.0 (RFC 9110 7.8); of two there is none to choose. */
	h->upgrade = r->upgrade && r->upgrade_fields == 1 && h->minor == 1;
	if (!h->upgrade)
		h->upgrade_to = STR_LIT("");
	if (h->minor == 0)
		h->expect_continue = false;
	return HTTP_OK;
}

static enum http_state parse_first_line(struct reader *r, struct http_head *h, bool request)
{
	struct str line;
	enum http_state state;

	for (unsigned int empty = 0;; empty++) {
		state = next_line(r, &line);
		if (state != HTTP_OK)
			return state;
		if (line.n || !request)
			break;
		if (empty == EMPTY_LINES_MAX)
			return bad(r, "too many empty lines");
	}
	return request ? parse_request_line(r, line, h) : parse_status_line(r, line, h);
}

static enum http_state parse_head(struct reader *r, struct http_head *h, bool request)
{
	enum http_state state = parse_first_line(r, h, request);
	struct str line;

	while (state == HTTP_OK) {
		state = next_line(r, &line);
		if (state != HTTP_OK)
			return state;
		if (line.n == 0)
			return conclude(r, h, request);
		state = parse_field(r, line, h, request);
	}
	return state;
}

static enum http_state parse(const uint8_t *p, size_t n, bool request, struct http_head *ret,
			     size_t *ret_len, const char **ret_why)
{
	struct reader r = { .p = p, .n = n };
	struct http_head h; /* the array behind the rest is filled as far as it is counted */
	enum http_state state;

	memset(&h, 0, offsetof(struct http_head, fields));
	state = parse_head(&r, &h, request);
	if (state == HTTP_OK) {
		memcpy(ret, &h,
		       offsetof(struct http_head, fields) + h.field_count * sizeof(h.fields[0]));
		*ret_len = r.at;
	} else if (state != HTTP_MORE) {
		*ret_why = r.why;
	}
	return state;
}

enum http_state http_request_parse(const uint8_t *p, size_t n, struct http_head *ret,
				   size_t *ret_len, const char **ret_why)
{
	return parse(p, n, true, ret, ret_len, ret_why);
}

enum http_state http_answer_parse(const uint8_t *p, size_t n, struct http_head *ret,
				  size_t *ret_len, const char **ret_why)
{
	return parse(p, n, false, ret, ret_len, ret_why);
}

enum http_framing http_request_framing(const struct http_head *h)
{
	if (h->form == HTTP_AUTHORITY_FORM)
		return HTTP_NO_BODY;
	return h->chunked ? HTTP_CHUNKED : h->has_length ? HTTP_LENGTH : HTTP_NO_BODY;
}

enum http_framing http_answer_framing(const struct http_head *h, struct str method)
{
	if (h->status < 200 || h->status == 204 || h->status == 304)
		return HTTP_NO_BODY;
	if (str_eq(method, STR_LIT("HEAD")))
		return HTTP_NO_BODY;
	if (str_eq(method, STR_LIT("CONNECT")) && h->status < 300)
		return HTTP_NO_BODY;
	return h->chunked ? HTTP_CHUNKED : h->has_length ? HTTP_LENGTH : HTTP_UNTIL_CLOSE;
}

const struct http_field *http_field_find(const struct http_head *h, const char *name)
{
	const struct http_field *found = NULL;

	for (size_t i = 0; i < h->field_count; i++) {
		if (!str_eq_nocase(h->fields[i].name, str_of(name)))
			continue;
		if (found)
			return NULL;
		found = &h->fields[i];
	}
	return found;
}
