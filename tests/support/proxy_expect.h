/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test of a proxy expects of the outside: what a server saw, what a client heard, answer by
 * answer. Whatever is not so ends the test and tells what was there instead, with the audit; `why`
 * names the case.
 */
#ifndef NONO_TESTS_SUPPORT_PROXY_EXPECT_H
#define NONO_TESTS_SUPPORT_PROXY_EXPECT_H

#include "tests/support/proxy_script.h"
#include "wire/http_head.h"

/* Parts of records. */
#define OPEN  "\"event\":\"open\""
#define ALLOW "\"decision\":\"allow\""
#define DENY  "\"decision\":\"deny\""
#define CLOSE "\"event\":\"close\""

#define CONNECT_MODE "\"mode\":\"connect\""
#define FORWARD_MODE "\"mode\":\"forward\""

/* What clients of the explicit listener say and hear. */
#define BEARER	    "Proxy-Authorization: Bearer " RIG_TOKEN "\r\n"
#define ESTABLISHED "HTTP/1.1 200 Connection Established\r\n\r\n"

/* The i-th connection of a server got exactly this. */
void rig_expect_seen(struct rig *g, const struct script_server *srv, size_t i, struct str want,
		     const char *why);

/* What all connections of a server got is a beginning of this. */
void rig_expect_beginning(const struct script_server *srv, struct str all);

void rig_expect_heard(struct rig *g, const struct script_peer *c, struct str want, const char *why);

/* One answer in what a client heard. */
struct rig_answer {
	struct http_head head;
	struct str all, body; /* framed by its length; or up to the end of what was heard */
};

/* The answer that begins at `*at`, which moves behind it. */
void rig_answer(struct rig *g, const struct script_peer *c, size_t *at, struct rig_answer *ret,
		const char *why);

/* A field of it as text that lives until the next call; "" if it has none, or several. */
const char *rig_answer_field(const struct rig_answer *a, const char *name);

/*
 * The answer that begins at `*at` is a refusal in the form of the contract, whose JSON says the
 * same as its head; `kept`: the connection may go on. There is a record of it.
 */
void rig_expect_denial(struct rig *g, const struct script_peer *c, size_t *at, int status,
		       const char *reason, bool kept, const char *why);

/* `before`, such a refusal, and a clean end is all that the client heard. */
void rig_expect_refusal(struct rig *g, const struct script_peer *c, struct str before, int status,
			const char *reason, const char *why);

#endif
