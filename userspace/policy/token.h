/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session token: 32 random bytes as 64 lower-case hex digits. A client that speaks to the proxy on purpose presents it as
 *	Proxy-Authorization: Bearer TOKEN
 *	Proxy-Authorization: Basic base64(anything:TOKEN)
 * It is compared in constant time: what a wrong one costs tells nothing about the right one.
 */
#ifndef NONO_POLICY_TOKEN_H
#define NONO_POLICY_TOKEN_H

#include "base/reason.h"
#include "wire/http_head.h"

#define TOKEN_BYTES 32
#define TOKEN_TEXT  (2 * TOKEN_BYTES)

/* From random bytes to text with its NUL. */
void token_text(const uint8_t random[TOKEN_BYTES], char out[TOKEN_TEXT + 1]);

/* Is it 64 lower-case hex digits? */
bool token_is_valid(struct str s);

/*
 * REASON_NONE, TOKEN_MISSING (no such field, or a scheme that is neither), TOKEN_INVALID (everything else; also two such
 * fields, whatever is in them). `token` is the session's; one that is not TOKEN_TEXT long is matched by nothing.
 */
enum reason token_check(const struct http_head *h, struct str token);

/*
 * The same for a request to the proxy itself (origin-form), where it may also stand in X-Nono-Token (bare) or in Authorization
 * (which is what a client makes of http://nono:TOKEN@HOST/).
 */
enum reason token_check_direct(const struct http_head *h, struct str token);

#endif
