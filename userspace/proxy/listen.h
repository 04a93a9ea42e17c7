/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides are connected, and what the client says is not known yet: the server's bytes pass, the client's wait in c->first until
 * they are judged. So a server may speak first (SSH, SMTP, databases), and no byte goes out unjudged.
 */
#ifndef NONO_PROXY_LISTEN_H
#define NONO_PROXY_LISTEN_H

#include "proxy/conn.h"
#include "wire/tls_hello.h"

enum listen_step { LISTEN_MORE, LISTEN_PASS, LISTEN_HTTP, LISTEN_REFUSE };

/* What has been found out about the client's first bytes. */
struct judgement {
	enum listen_step step;
	enum reason reason; /* of LISTEN_REFUSE */
};

/* What more is to be expected of the client. */
enum flow { FLOW_ON, FLOW_SLOW, FLOW_ENDED };

/* Judges c->first, which is not empty. LISTEN_MORE is an answer only to FLOW_ON. */
typedef struct judgement judge_fn(struct conn *c, void *arg, enum flow flow);

/*
 * Moves the server's bytes and collects the client's, until those are judged (or the client has ended without a word: LISTEN_PASS).
 * The client may be silent as long as any connection; once it has begun, its beginning must come soon. 0 or -errno.
 */
_must_check_ int listen_to_client(struct conn *c, judge_fn *judge, void *arg,
				  struct judgement *ret) _suspends_;

static inline struct judgement judged_pass(void)
{
	return (struct judgement){ .step = LISTEN_PASS };
}

static inline struct judgement judged_refuse(enum reason reason)
{
	return (struct judgement){ .step = LISTEN_REFUSE, .reason = reason };
}

/* The hello in c->first: LISTEN_PASS, and *ret is it; LISTEN_MORE; or LISTEN_REFUSE, because it is none. */
struct judgement listen_hello(const struct conn *c, struct tls_hello *ret);

/* The SNI in its normal form, noted for the records. False: it is none (an address, or not a name). */
bool listen_sni(struct conn *c, const struct tls_hello *hello, struct host *ret);

#endif
