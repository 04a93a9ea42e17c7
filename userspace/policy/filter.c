/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision. One list of rules in the order of addition; deny rules are asked before allow
 * rules, so the order matters only for which rule is named in the verdict.
 *
 * Addresses: an allow rule for addresses matches what is written, after v4-mapped ones are folded.
 * A deny rule matches that and every address that hides in it. `*` allows a literal address too,
 * but never a loopback one: that needs a rule whose own network is loopback, or, for a name, the
 * rule that names it "localhost".
 */
#include "policy/filter.h"

#include "policy/pattern.h"

/* Room for some fifty thousand rules; a configuration that wants more is a mistake. */
#define FILTER_ARENA_MAX ((size_t)16 << 20)

void filter_init(struct filter *f)
{
	*f = (struct filter){ 0 };
	arena_init(&f->arena, FILTER_ARENA_MAX);
	f->tail = &f->rules;
}

void filter_done(struct filter *f)
{
	arena_done(&f->arena);
	f->rules = NULL;
	f->tail = &f->rules;
	f->count = 0;
}

static int add_rule(struct filter *f, const struct pattern *p, bool deny, const char *text,
		    const char *origin)
{
	struct rule *r = arena_alloc(&f->arena, sizeof(*r));
	char *name = NULL, *own_text, *own_origin;

	if (p->host.len && !p->host.is_addr) {
		name = arena_strndup(&f->arena, p->host.name, p->host.len);
		if (!name)
			return -ENOMEM;
	}
	own_text = arena_strdup(&f->arena, text);
	own_origin = arena_strdup(&f->arena, origin ? origin : "");
	if (!r || !own_text || !own_origin)
		return -ENOMEM;
	*r = (struct rule){
		.kind = p->kind,
		.deny = deny,
		.port = p->port,
		.name_len = name ? p->host.len : 0,
		.name = name,
		.net = p->net,
		.text = own_text,
		.origin = own_origin,
		.id = f->count,
	};
	*f->tail = r;
	f->tail = &r->next;
	f->count++;
	return 0;
}

int filter_add_domain(struct filter *f, bool deny, const char *pattern, const char *origin,
		      char *why, size_t why_n)
{
	struct pattern p;
	int r = pattern_parse_domain(pattern, deny, &f->addr_opt, &p, why, why_n);

	return r < 0 ? r : add_rule(f, &p, deny, pattern, origin);
}

int filter_add_cidr(struct filter *f, const char *text, const char *origin, char *why, size_t why_n)
{
	struct pattern p;
	int r = pattern_parse_cidr(text, &p, why, why_n);

	return r < 0 ? r : add_rule(f, &p, false, text, origin);
}

static bool port_covers(const struct rule *r, uint16_t port)
{
	/* Port 0 is "not known yet": an allow rule could admit some port, a deny rule would have to
	 * refuse all. */
	if (r->port == 0 || r->port == port)
		return true;
	return port == 0 && !r->deny;
}

static bool text_matches(const struct rule *r, const struct host *h)
{
	size_t n = r->name_len;

	if (r->kind == RULE_EXACT)
		return h->len == n && memcmp(h->name, r->name, n) == 0;
	/* SUFFIX: as name_is_below(), with the lengths that are known. */
	return h->len > n + 1 && h->name[h->len - n - 1] == '.' &&
	       memcmp(h->name + h->len - n, r->name, n) == 0;
}

bool rule_matches_name(const struct rule *r, const struct host *h, uint16_t port)
{
	if (!port_covers(r, port))
		return false;
	switch (r->kind) {
	case RULE_ANY:
		return true;
	case RULE_EXACT:
	case RULE_SUFFIX:
		return !h->is_addr && text_matches(r, h);
	case RULE_ADDR:
	case RULE_CIDR:
		return h->is_addr && cidr_contains(&r->net, &h->addr);
	}
	return false;
}

static void refuse(const struct filter *f, enum reason reason, const struct rule *rule,
		   struct verdict *ret)
{
	bool policy = reason == REASON_HOST_NOT_ALLOWED || reason == REASON_HOST_DENIED ||
		      reason == REASON_CIDR_NOT_ALLOWED;

	ret->reason = reason;
	ret->rule = rule;
	ret->monitored = f->monitor && policy;
	ret->allowed = ret->monitored;
}

static void allow(const struct rule *rule, struct verdict *ret)
{
	ret->allowed = true;
	ret->reason = REASON_NONE;
	ret->rule = rule;
}

static bool is_addr_rule(const struct rule *r)
{
	return r->kind == RULE_ADDR || r->kind == RULE_CIDR;
}

/* The deny rule that covers the address or one that it hides, or NULL. */
static const struct rule *find_deny_addr(const struct filter *f, const struct addr *a,
					 uint16_t port)
{
	struct addr seen[1 + ADDR_HIDDEN_MAX] = { *a };
	size_t n = 1 + addr_hidden(a, &f->addr_opt, seen + 1);

	for (const struct rule *r = f->rules; r; r = r->next) {
		if (!r->deny || !port_covers(r, port))
			continue;
		if (r->kind == RULE_ANY)
			return r;
		for (size_t i = 0; is_addr_rule(r) && i < n; i++)
			if (cidr_contains(&r->net, &seen[i]))
				return r;
	}
	return NULL;
}

/* The allow rule for addresses that covers it. A wide network that merely includes loopback does
 * not open it. */
static const struct rule *find_allow_addr(const struct filter *f, const struct addr *a,
					  uint16_t port, enum addr_class cls)
{
	for (const struct rule *r = f->rules; r; r = r->next) {
		if (r->deny || !is_addr_rule(r) || !port_covers(r, port) ||
		    !cidr_contains(&r->net, a))
			continue;
		if (cls != ADDR_LOOPBACK || addr_class_of_net(&r->net) == ADDR_LOOPBACK)
			return r;
	}
	return NULL;
}

static const struct rule *find_name(const struct filter *f, bool deny, const struct host *h,
				    uint16_t port)
{
	for (const struct rule *r = f->rules; r; r = r->next)
		if (r->deny == deny && rule_matches_name(r, h, port))
			return r;
	return NULL;
}

static const struct rule *find_any(const struct filter *f, uint16_t port)
{
	for (const struct rule *r = f->rules; r; r = r->next)
		if (!r->deny && r->kind == RULE_ANY && port_covers(r, port))
			return r;
	return NULL;
}

/* A literal address, from a request or as a bare destination. */
static void check_addr(const struct filter *f, const struct addr *literal, uint16_t port,
		       struct verdict *ret)
{
	struct addr a = addr_unmap(literal);
	enum addr_class cls = addr_classify(&a, &f->addr_opt, NULL);
	enum reason reason = addr_class_reason(cls);
	const struct rule *r;

	if (reason != REASON_NONE) {
		refuse(f, reason, NULL, ret);
		return;
	}
	r = find_deny_addr(f, &a, port);
	if (r) {
		refuse(f, REASON_HOST_DENIED, r, ret);
		return;
	}
	r = find_allow_addr(f, &a, port, cls);
	if (!r && cls != ADDR_LOOPBACK)
		r = find_any(f, port);
	if (r)
		allow(r, ret);
	else
		refuse(f, REASON_CIDR_NOT_ALLOWED, NULL, ret);
}

void filter_check_host(const struct filter *f, const struct host *h, uint16_t port,
		       struct verdict *ret)
{
	struct verdict v = { 0 };
	const struct rule *r;

	if (h->is_addr) {
		check_addr(f, &h->addr, port, &v);
	} else if (name_is_metadata(h->name)) {
		refuse(f, REASON_METADATA_ADDRESS, NULL, &v);
	} else if ((r = find_name(f, true, h, port))) {
		refuse(f, REASON_HOST_DENIED, r, &v);
	} else if ((r = find_name(f, false, h, port))) {
		allow(r, &v);
	} else {
		refuse(f, REASON_HOST_NOT_ALLOWED, NULL, &v);
	}
	*ret = v;
}

/*
 * Is there a port that an allow rule admits and no deny rule refuses? A rule without port admits
 * far more ports than rules can deny one by one, so against it only a deny rule without port
 * counts.
 */
static void check_any_port(const struct filter *f, const struct host *h, struct verdict *ret)
{
	const struct rule *denied = find_name(f, true, h, 0);

	for (const struct rule *r = f->rules; r && !denied; r = r->next) {
		const struct rule *d;

		if (r->deny || !rule_matches_name(r, h, 0))
			continue;
		d = r->port ? find_name(f, true, h, r->port) : NULL;
		if (!d) {
			allow(r, ret);
			return;
		}
		/* Remember the first, but go on looking. */
		ret->rule = ret->rule ? ret->rule : d;
	}
	denied = denied ? denied : ret->rule;
	refuse(f, denied ? REASON_HOST_DENIED : REASON_HOST_NOT_ALLOWED, denied, ret);
}

void filter_check_name(const struct filter *f, const struct host *h, struct verdict *ret)
{
	struct verdict v = { 0 };

	if (h->is_addr)
		check_addr(f, &h->addr, 0, &v);
	else if (name_is_metadata(h->name))
		refuse(f, REASON_METADATA_ADDRESS, NULL, &v);
	else
		check_any_port(f, h, &v);
	*ret = v;
}

/* RFC 6761 6.3: these names mean this machine, so a rule for one of them means it too. */
static bool names_localhost(const struct rule *by)
{
	return by && by->kind == RULE_EXACT &&
	       (strcmp(by->name, "localhost") == 0 || name_is_below(by->name, "localhost"));
}

void filter_check_answer(const struct filter *f, const struct addr *a, uint16_t port,
			 const struct rule *by, struct verdict *ret)
{
	struct verdict v = { .addr = addr_unmap(a) };
	enum addr_class cls = addr_classify(&v.addr, &f->addr_opt, NULL);
	enum reason reason = addr_class_reason(cls);
	const struct rule *r;

	if (reason != REASON_NONE)
		refuse(f, reason, NULL, &v);
	else if ((r = find_deny_addr(f, &v.addr, port)))
		refuse(f, REASON_HOST_DENIED, r, &v);
	else if (cls != ADDR_LOOPBACK || names_localhost(by))
		allow(by, &v);
	else if ((r = find_allow_addr(f, &v.addr, port, cls)))
		allow(r, &v);
	else
		refuse(f, REASON_SPECIAL_ADDRESS, NULL, &v);
	*ret = v;
}

void filter_check_dest(const struct filter *f, const struct endpoint *to, struct verdict *ret)
{
	struct verdict v = { 0 };

	check_addr(f, &to->addr, to->port, &v);
	*ret = v;
}
