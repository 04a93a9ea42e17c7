/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter: rules, and the order in which they decide. `why` and the data plane run this same code.
 *
 * Phase A, on the name, before anything is resolved (the query itself would leak it):
 *   1 metadata names and addresses, link-local, special: refused, nothing overrides
 *   2 deny rules, with and without port
 *   3 allow rules; an empty list allows nothing
 * Phase B, on every address that the name has: the always-refused classes; loopback needs a rule of its own; deny rules that
 * name the address. One bad address refuses the name.
 */
#ifndef NONO_POLICY_FILTER_H
#define NONO_POLICY_FILTER_H

#include "base/arena.h"
#include "base/reason.h"
#include "policy/address.h"
#include "policy/name.h"

enum rule_kind {
	RULE_EXACT,  /* example.com */
	RULE_SUFFIX, /* *.example.com: any depth below, not itself */
	RULE_ANY,    /* * */
	RULE_ADDR,   /* an IP literal, exactly */
	RULE_CIDR,   /* --allow-cidr NET:PORT */
};

struct rule {
	enum rule_kind kind;
	bool deny;
	uint16_t port;      /* 0 = every port */
	uint8_t name_len;
	const char *name;   /* EXACT, SUFFIX: the normal name without "*." */
	struct cidr net;    /* ADDR, CIDR */
	const char *text;   /* as the user wrote it */
	const char *origin; /* "--allow-domain", or file:line */
	uint32_t id;        /* index in the order of addition: names the rule across processes */
	struct rule *next;
};

struct filter {
	struct arena arena;
	struct rule *rules, **tail;
	uint32_t count;
	struct addr_options addr_opt;
	bool monitor; /* decide and tell, but let pass; the always-refused list still refuses */
};

/* What was decided and by which rule. */
struct verdict {
	bool allowed;
	enum reason reason;      /* REASON_NONE if allowed, but with `monitored` the reason it would have been refused for */
	const struct rule *rule; /* the rule that allowed or denied; NULL: none matched, or a built-in list */
	struct addr addr;        /* phase B: the address that decided; family 0 otherwise */
	bool monitored;          /* would have been refused; allowed because of --monitor */
};

void filter_init(struct filter *f);
void filter_done(struct filter *f);

/*
 * Adds a pattern (INTERFACE: `example.com`, `*.example.com`, `*`, each with optional `:PORT`; an IP literal). 0, -ENOMEM, or
 * -EINVAL with a sentence in `why` (at most why_n bytes) that quotes the pattern and says what is wrong with it.
 */
_must_check_ int filter_add_domain(struct filter *f, bool deny, const char *pattern, const char *origin, char *why,
				   size_t why_n);

/* Adds "CIDR:PORT" ("[V6/LEN]:PORT" or "V6/LEN:PORT"). The port is required. Errors as above. */
_must_check_ int filter_add_cidr(struct filter *f, const char *text, const char *origin, char *why, size_t why_n);

/*
 * Phase A. A host that is an address is decided as a destination: deny rules, address rules, then `*`, which covers public and
 * private addresses but never a loopback one.
 */
void filter_check_host(const struct filter *f, const struct host *h, uint16_t port, struct verdict *ret);

/* Phase A without a port: could any port of this name be allowed? For DNS. A deny rule with a port does not deny the name. */
void filter_check_name(const struct filter *f, const struct host *h, struct verdict *ret);

/*
 * Phase B: an address that an allowed name has. `by` is the rule that allowed the name, NULL if none did (monitor). Port 0:
 * unknown (DNS). Loopback is SPECIAL_ADDRESS unless an address rule within loopback covers it or `by` is the exact rule for
 * "localhost" or a name below it. An allowed answer's verdict names `by`, or that address rule.
 */
void filter_check_answer(const struct filter *f, const struct addr *a, uint16_t port, const struct rule *by,
			 struct verdict *ret);

/*
 * A bare destination. Refused with CIDR_NOT_ALLOWED when no rule covers it and no built-in list decides (a binding may still
 * allow it). `ret->rule` may be a RULE_ANY: then nothing names this address, and a name that the client shows still has to pass
 * the deny rules.
 */
void filter_check_dest(const struct filter *f, const struct endpoint *to, struct verdict *ret);

/*
 * Does this one rule match? Exposed for the wildcard limits of DNS and for tests. Port 0 is an unknown port: an allow rule then
 * matches whatever its port, a deny rule only if it has none.
 */
bool rule_matches_name(const struct rule *r, const struct host *h, uint16_t port);

/* Allow rules that cover "every loopback address needs its own" etc. are found by walking f->rules. */

#endif
