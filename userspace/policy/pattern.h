/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of rules, read: what a user writes behind --allow-domain, --deny-domain and --allow-cidr. A text that could
 * never match, or would mean something else than it looks like, is an error with a sentence.
 */
#ifndef NONO_POLICY_PATTERN_H
#define NONO_POLICY_PATTERN_H

#include "policy/filter.h"

struct pattern {
	enum rule_kind kind;
	uint16_t port;    /* 0 = every port */
	struct host host; /* EXACT, SUFFIX: the name (without "*.") */
	struct cidr net;  /* ADDR, CIDR */
};

/*
 * A host pattern. `deny` permits what an allow rule may not name because it is always refused. 0, or -EINVAL with a sentence in
 * `why` (at most why_n bytes, terminated) that begins with the quoted text.
 */
_must_check_ int pattern_parse_domain(const char *text, bool deny, const struct addr_options *opt, struct pattern *ret,
				      char *why, size_t why_n);

/* "CIDR:PORT". Errors as above. */
_must_check_ int pattern_parse_cidr(const char *text, struct pattern *ret, char *why, size_t why_n);

#endif
