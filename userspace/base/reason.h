/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one closed list of reasons for which something is refused. The audit word, the HTTP status, the denial category, the
 * sentence a person reads and the hint that tells how to allow it all come from here, so that a refusal says the same
 * thing wherever it is met.
 *
 * A refusal is a value of this enum; an error of the machinery is -errno. They are never mixed.
 */
#ifndef NONO_BASE_REASON_H
#define NONO_BASE_REASON_H

#include "base/defs.h"
#include "base/str.h"

/* How the hint is built: which option would allow what was refused. */
enum hint_kind {
	HINT_NONE,   /* no option allows this */
	HINT_DOMAIN, /* --allow-domain HOST:PORT */
	HINT_CIDR,   /* --allow-cidr ADDR/LEN:PORT */
	HINT_DENY,   /* remove the --deny-domain that matched */
	HINT_LIMIT,  /* raise --max-connections */
	HINT_TOKEN,  /* how to present the session token */
};

/*
 * X(SYMBOL, status, category, hint, sentence)
 * The word is the symbol in lower case. In the sentence, %T stands for the target as the user wrote it.
 */
#define REASON_LIST(X)                                                                                                             \
	X(HOST_NOT_ALLOWED, 403, "host_denied", HINT_DOMAIN, "host %T is not in the allowlist")                                    \
	X(HOST_DENIED, 403, "host_denied", HINT_DENY, "host %T is in the deny list")                                               \
	X(METADATA_ADDRESS, 403, "host_denied", HINT_NONE, "%T is a cloud metadata service, which is always refused")              \
	X(LINK_LOCAL_ADDRESS, 403, "host_denied", HINT_NONE,                                                                       \
	  "%T is in the link-local range (cloud metadata protection), which is always refused")                                    \
	X(SPECIAL_ADDRESS, 403, "host_denied", HINT_NONE, "%T is a special address (unspecified, multicast, broadcast or reserved)") \
	X(CIDR_NOT_ALLOWED, 403, "host_denied", HINT_CIDR,                                                                         \
	  "address %T is neither an allowed address nor the address of an allowed name")                                           \
	X(NAME_INVALID, 400, "host_denied", HINT_NONE, "%T is not a valid host name")                                              \
	X(SNI_MISSING, 403, "host_denied", HINT_CIDR, "the TLS connection to %T names no host (no SNI), and no rule covers its address") \
	X(SNI_MISMATCH, 403, "host_denied", HINT_DOMAIN, "the TLS connection names %T, which is not a name of the address it goes to") \
	X(HOST_MISMATCH, 403, "host_denied", HINT_DOMAIN, "the request names %T, which is not a name of the address it goes to")   \
	X(TLS_MALFORMED, 400, "host_denied", HINT_NONE, "the TLS connection to %T begins with a malformed ClientHello")            \
	X(HTTP_MALFORMED, 400, NULL, HINT_NONE, "the request is malformed")                                                        \
	X(TOKEN_MISSING, 407, "authentication_failed", HINT_TOKEN, "the request carries no session token")                          \
	X(TOKEN_INVALID, 407, "authentication_failed", HINT_TOKEN, "the session token is wrong")                                    \
	X(ROUTE_UNKNOWN, 404, NULL, HINT_NONE, "no route has this prefix")                                                         \
	X(ENDPOINT_NOT_ALLOWED, 403, "endpoint_policy", HINT_NONE, "the route does not allow this method and path")                \
	X(METHOD_REFUSED, 405, NULL, HINT_NONE, "this method is refused")                                                          \
	X(CONNECT_BYPASSES_ROUTE, 403, "connect_bypasses_l7", HINT_NONE, "%T is served by a route; a tunnel would go round its rules") \
	X(CREDENTIAL_UNAVAILABLE, 503, "managed_credential_unavailable", HINT_NONE, "the credential of this route is not available") \
	X(RATE_LIMITED, 429, NULL, HINT_NONE, "%T: a limit is reached (of names under one rule, or of requests)")                  \
	X(BODY_TOO_LARGE, 413, NULL, HINT_NONE, "the request body is too large")                                                   \
	X(HEAD_TOO_LARGE, 431, NULL, HINT_NONE, "the request head is too large")                                                   \
	X(TOO_SLOW, 408, NULL, HINT_NONE, "the client of %T was too slow")                                                         \
	X(DNS_FAILED, 502, "upstream_connect_failed", HINT_NONE, "the name %T could not be resolved")                              \
	X(DNS_NO_ADDRESS, 502, "upstream_connect_failed", HINT_NONE, "the name %T has no address")                                 \
	X(UPSTREAM_REFUSED, 502, "upstream_connect_failed", HINT_NONE, "%T refused the connection")                                \
	X(UPSTREAM_UNREACHABLE, 502, "upstream_connect_failed", HINT_NONE, "%T cannot be reached")                                 \
	X(UPSTREAM_TIMEOUT, 504, "upstream_connect_failed", HINT_NONE, "%T did not answer in time")                                \
	X(UPSTREAM_TLS_FAILED, 502, "upstream_connect_failed", HINT_NONE, "the TLS connection to %T failed")                       \
	X(EXTERNAL_PROXY_REJECTED, 502, "external_proxy_rejected", HINT_NONE, "the external proxy refused %T")                     \
	X(TOO_MANY_CONNECTIONS, 503, NULL, HINT_LIMIT, "too many connections are open")                                            \
	X(PROTOCOL_UNKNOWN, 403, "host_denied", HINT_CIDR,                                                                         \
	  "the connection to %T uses a protocol that names no host, and no rule covers its address")                               \
	X(LOOP_REFUSED, 403, "host_denied", HINT_NONE, "%T is the proxy itself")                                                   \
	X(NO_REDIRECT_ENTRY, 403, "host_denied", HINT_NONE, "the connection did not come through the kernel's redirect")           \
	X(AUDIT_FAILED, 503, NULL, HINT_NONE, "the audit log cannot be written")                                                   \
	X(SHUTTING_DOWN, 503, NULL, HINT_NONE, "the proxy is shutting down")

enum reason {
	REASON_NONE, /* not refused */
#define X(sym, status, category, hint, sentence) REASON_##sym,
	REASON_LIST(X)
#undef X
	REASON_COUNT
};

/* "host_not_allowed"; "" for REASON_NONE. Never NULL. */
const char *reason_word(enum reason r);

/* The reason with this word, or REASON_NONE. */
enum reason reason_from_word(struct str word);

/* The HTTP status; 200 for REASON_NONE. */
int reason_status(enum reason r);

/* The reference's denial category, or NULL where it has none. */
const char *reason_category(enum reason r);

enum hint_kind reason_hint_kind(enum reason r);

/*
 * Writes the sentence, with the target in it, NUL-terminated and cut to n bytes. Control characters of the target become
 * '?', so that a sentence never splits a response or drives a terminal. Returns out.
 */
const char *reason_sentence(enum reason r, const char *target, char *out, size_t n);

/*
 * Writes "to allow it: --allow-domain evil.example:443" or a like text; an empty string where no option helps.
 * `target` is a host name or an address as text, `port` 0 means unknown. Returns out.
 */
const char *reason_hint(enum reason r, const char *target, uint16_t port, char *out, size_t n);

#endif
