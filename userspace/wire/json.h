/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A streaming JSON writer into a capped buffer. Commas and nesting are its business; invalid UTF-8 becomes U+FFFD and
 * controls are escaped, so one record is always one line. The error is sticky: check json_end() once.
 *
 * No name here may be one of jansson's: the program's would take its place inside that library.
 */
#ifndef NONO_WIRE_JSON_H
#define NONO_WIRE_JSON_H

#include "base/buf.h"

struct json {
	struct buf *out;
	int error;      /* 0 or -errno of the first failed append */
	uint32_t first; /* bit per depth: nothing written at this level yet */
	uint8_t depth;
	bool after_key;
};

void json_begin(struct json *j, struct buf *out);
void json_object_begin(struct json *j);     /* { */
void json_object_end(struct json *j); /* } */
void json_array_begin(struct json *j);
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);
void json_str(struct json *j, struct str s);
void json_int(struct json *j, int64_t v);
void json_bool(struct json *j, bool v);
void json_put_null(struct json *j);

/* Key and value in one; a NULL string writes neither. */
void json_kv_str(struct json *j, const char *key, const char *z);
void json_kv_int(struct json *j, const char *key, int64_t v);

/* 0 or -errno; -EINVAL also when something is left open or there is no value at all. */
_must_check_ int json_end(const struct json *j);

/*
 * How many bytes of s, in whole characters, can be written so that the text between the quotes takes at most `room` bytes;
 * `*ret_size` is how many it takes.
 */
size_t json_fit(struct str s, size_t room, size_t *ret_size);

#endif
