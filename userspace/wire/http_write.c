/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of HTTP/1 heads. Each line is appended whole or not at all, and only if the strict
 * reader would take it: what cannot be read cannot be written, so no value ends a line early.
 */
#include "wire/http_head.h"

#include "wire/http_chars.h"

/* What never passes a proxy (RFC 9110 7.6.1), and the one field that is meant for us alone. */
static const struct str hop_by_hop[] = {
	STR_LIT("Connection"),
	STR_LIT("Keep-Alive"),
	STR_LIT("Proxy-Connection"),
	STR_LIT("Proxy-Authorization"),
	STR_LIT("Proxy-Authenticate"),
	STR_LIT("TE"),
	STR_LIT("Trailer"),
	STR_LIT("Transfer-Encoding"),
	STR_LIT("Upgrade"),
	STR_LIT("X-Nono-Token"),
};

static bool connection_names(const struct http_head *h, struct str name)
{
	for (size_t i = 0; i < h->field_count; i++) {
		struct str rest = h->fields[i].value, option;

		if (!str_eq_nocase(h->fields[i].name, STR_LIT("Connection")))
			continue;
		while (http_list_next(&rest, &option))
			if (str_eq_nocase(option, name))
				return true;
	}
	return false;
}

bool http_field_is_hop(const struct http_head *h, const struct http_field *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(hop_by_hop); i++)
		if (str_eq_nocase(f->name, hop_by_hop[i]))
			return true;
	return connection_names(h, f->name);
}

/* Appends the pieces, or nothing. */
static int append_pieces(struct buf *out, const struct str *pieces, size_t count)
{
	size_t total = 0;
	uint8_t *to;

	for (size_t i = 0; i < count; i++)
		if (pieces[i].n > out->max - total)
			return -ENOSPC;
		else
			total += pieces[i].n;
	if (total > out->max - buf_len(out))
		return -ENOSPC;
	to = buf_reserve(out, total);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].n)
			memcpy(to, pieces[i].p, pieces[i].n);
		to += pieces[i].n;
	}
	buf_commit(out, total);
	return 0;
}

int http_write_request_line(struct buf *out, struct str method, struct str target, uint8_t minor)
{
	const struct str pieces[] = { method, STR_LIT(" "), target,
				      minor ? STR_LIT(" HTTP/1.1\r\n") : STR_LIT(" HTTP/1.0\r\n") };

	if (!http_is_token(method) || method.n > HTTP_METHOD_MAX || !http_is_target(target))
		return -EINVAL;
	return append_pieces(out, pieces, ARRAY_SIZE(pieces));
}

int http_write_status_line(struct buf *out, int status, struct str phrase)
{
	const char digits[] = { (char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
				(char)('0' + status % 10), ' ' };
	const struct str pieces[] = {
		STR_LIT("HTTP/1.1 "), { digits, sizeof(digits) }, phrase, STR_LIT("\r\n")
	};

	if (status < 100 || status > 599 || !http_is_value(phrase))
		return -EINVAL;
	return append_pieces(out, pieces, ARRAY_SIZE(pieces));
}

static int write_field(struct buf *out, struct str name, struct str value)
{
	const struct str pieces[] = { name, STR_LIT(": "), value, STR_LIT("\r\n") };

	if (!http_is_token(name) || !http_is_value(value))
		return -EINVAL;
	return append_pieces(out, pieces, ARRAY_SIZE(pieces));
}

int http_write_field(struct buf *out, const char *name, struct str value)
{
	return write_field(out, str_of(name), value);
}

int http_write_end_fields(struct buf *out, const struct http_head *from)
{
	size_t before = buf_len(out);

	for (size_t i = 0; i < from->field_count; i++) {
		const struct http_field *f = &from->fields[i];
		int r;

		if (str_eq_nocase(f->name, STR_LIT("Host")) ||
		    str_eq_nocase(f->name, STR_LIT("Content-Length")) || http_field_is_hop(from, f))
			continue;
		r = write_field(out, f->name, f->value);
		if (r < 0) {
			buf_truncate(out, before);
			return r;
		}
	}
	return 0;
}
