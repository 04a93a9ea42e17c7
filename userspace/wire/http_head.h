/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 heads, read strictly (RFC 9112). A proxy that is lenient is a smuggling tool: whatever two
 * parties could read in two ways is refused here, and heads are written anew, never passed through.
 *
 * Refused: bare LF or CR, obs-fold, blanks before the colon, an empty or non-token field name, NUL
 * and controls, a request line that is not exactly "method SP target SP HTTP/1.x", Content-Length
 * that is not digits only or stands twice (also equal), both Content-Length and Transfer-Encoding,
 * a Transfer-Encoding other than exactly "chunked" (or with HTTP/1.0), a tab in either, no Host
 * field in HTTP/1.1, an empty one, two of them, userinfo, fragments, CONNECT with a body.
 *
 * The parser works in place on bytes that the caller keeps: all strings are views into them.
 */
#ifndef NONO_WIRE_HTTP_HEAD_H
#define NONO_WIRE_HTTP_HEAD_H

#include "base/buf.h"
#include "base/reason.h"
#include "base/str.h"

#define HTTP_LINE_MAX	8192	    /* one line, its CRLF included */
#define HTTP_HEAD_MAX	(64 * 1024) /* all of it */
#define HTTP_FIELDS_MAX 100

struct http_field {
	struct str name, value; /* value without surrounding blanks */
};

enum http_target_form {
	HTTP_ORIGIN_FORM,
	HTTP_ABSOLUTE_FORM,
	HTTP_AUTHORITY_FORM,
	HTTP_ASTERISK_FORM
};

enum http_framing {
	HTTP_NO_BODY,
	HTTP_LENGTH, /* content_length bytes */
	HTTP_CHUNKED,
	HTTP_UNTIL_CLOSE, /* answers only */
};

struct http_head {
	/* request */
	struct str method, target;
	enum http_target_form form;
	struct str scheme, authority; /* of absolute-form; authority also of authority-form */
	struct str path;	      /* origin-form part: path and query, begins with '/'; "" for
					 authority-form, "*" for asterisk */
	/* answer */
	int status;
	struct str phrase;
	/* both */
	uint8_t minor;	 /* HTTP/1.minor: 0 or 1 */
	struct str host; /* the Host field; n 0 and host_count 0 if there is none */
	uint8_t host_count;
	bool has_length, chunked, keep_alive, upgrade, expect_continue;
	uint64_t content_length;
	struct str upgrade_to; /* value of Upgrade if Connection names it */
	size_t field_count;
	struct http_field fields[HTTP_FIELDS_MAX];
};

enum http_state {
	HTTP_OK,
	HTTP_MORE,
	HTTP_BAD,	/* 400 */
	HTTP_TOO_LARGE, /* 431: a line, the head or the number of fields */
	HTTP_VERSION,	/* 505: HTTP/2.0 preface, HTTP/1.2 and the like */
};

/*
 * All bytes received so far. HTTP_OK: *ret_len is the length of the head with its empty line.
 * Limits hold while reading: an endless line is TOO_LARGE before its end comes. `*ret_why` gets a
 * short static text for what is refused; nothing else is written unless the result is HTTP_OK, and
 * of `fields` only those that are counted. Empty lines before a request line (at most 2 CRLF) are
 * skipped.
 */
enum http_state http_request_parse(const uint8_t *p, size_t n, struct http_head *ret,
				   size_t *ret_len, const char **ret_why);
enum http_state http_answer_parse(const uint8_t *p, size_t n, struct http_head *ret,
				  size_t *ret_len, const char **ret_why);

/* How the body of this request, or of this answer to a request with `method`, is framed (RFC
 * 9112 6.3). */
enum http_framing http_request_framing(const struct http_head *h);
enum http_framing http_answer_framing(const struct http_head *h, struct str method);

/* The only field of that name; NULL if there is none or more than one. Names compare without case.
 */
const struct http_field *http_field_find(const struct http_head *h, const char *name);

/*
 * Hop-by-hop (RFC 9110 7.6.1): Connection, Keep-Alive, Proxy-Connection, Proxy-Authorization,
 * Proxy-Authenticate, TE, Trailer, Transfer-Encoding, Upgrade, and whatever Connection names; and
 * X-Nono-Token, which is for us. These never pass; the writer adds its own.
 */
bool http_field_is_hop(const struct http_head *h, const struct http_field *f);

/*
 * The writer: a head piece by piece into a capped buffer; the empty line is the caller's. All
 * return 0 or -errno and append all or nothing. What the parser would refuse (CR, LF, NUL or
 * another control in a value, a name that is no token) is -EINVAL.
 */
_must_check_ int http_write_request_line(struct buf *out, struct str method, struct str target,
					 uint8_t minor); /* of HTTP/1: 0 or 1 */
_must_check_ int http_write_status_line(struct buf *out, int status, struct str phrase);
_must_check_ int http_write_field(struct buf *out, const char *name, struct str value);
/* All end-to-end fields of a head, except Host and Content-Length. */
_must_check_ int http_write_end_fields(struct buf *out, const struct http_head *from);

#endif
