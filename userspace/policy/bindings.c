/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two maps that point at each other. An addition is checked against every cap before anything
 * changes, then the missing entries are made, and only when all of them exist are the links drawn:
 * so a failure leaves no trace.
 */
#include "policy/bindings.h"

#include <assert.h>

void bindings_init(struct bindings *b, const uint8_t seed[16])
{
	map_init(&b->names, BINDINGS_MAX_NAMES, seed);
	map_init(&b->addrs, BINDINGS_MAX_ADDRS, seed);
}

static void name_free(void *value)
{
	struct bound_name *n = value;

	if (n)
		free(n->addrs);
	free(n);
}

static void addr_free(void *value)
{
	struct bound_addr *a = value;

	if (a)
		free(a->names);
	free(a);
}

void bindings_done(struct bindings *b)
{
	map_done(&b->names, name_free);
	map_done(&b->addrs, addr_free);
}

static struct str addr_key(const struct addr *a)
{
	return (struct str){ (const char *)a, sizeof(*a) };
}

const struct bound_addr *bindings_by_addr(const struct bindings *b, const struct addr *a)
{
	struct addr folded = addr_unmap(a);

	return map_get(&b->addrs, addr_key(&folded));
}

const struct bound_name *bindings_by_name(const struct bindings *b, const char *name)
{
	return map_get(&b->names, str_of(name));
}

/* One addition on its way. */
struct plan {
	struct bound_name *name;
	bool new_name;
	size_t count, made;
	struct addr addrs[BINDINGS_MAX_ADDRS_PER_ADD];	      /* that the name has not yet */
	struct bound_addr *bound[BINDINGS_MAX_ADDRS_PER_ADD]; /* the entry of each */
	struct bound_addr *fresh[BINDINGS_MAX_ADDRS_PER_ADD]; /* those made for this addition */
};

static bool name_has(const struct bound_name *n, const struct addr *a)
{
	for (size_t i = 0; n && i < n->count; i++)
		if (addr_eq(&n->addrs[i]->addr, a))
			return true;
	return false;
}

/* Collects what is new, each address once, and says whether the caps allow it. */
static int plan_make(const struct bindings *b, struct plan *p, const struct addr *addrs, size_t n)
{
	size_t has = p->name ? p->name->count : 0, fresh = 0;

	for (size_t i = 0; i < n; i++) {
		struct addr a = addr_unmap(&addrs[i]);
		const struct bound_addr *old;
		bool seen = name_has(p->name, &a);

		if (a.family != 4 && a.family != 6)
			return -EINVAL;
		for (size_t k = 0; k < p->count && !seen; k++)
			seen = addr_eq(&p->addrs[k], &a);
		if (seen)
			continue;
		if (p->count == BINDINGS_MAX_ADDRS_PER_ADD ||
		    has + p->count >= BINDINGS_MAX_ADDRS_PER_NAME)
			return -ENOSPC;
		old = map_get(&b->addrs, addr_key(&a));
		if (old && old->count >= BINDINGS_MAX_NAMES_PER_ADDR)
			return -ENOSPC;
		fresh += !old;
		p->addrs[p->count++] = a;
	}
	if (p->count == 0)
		return 0;
	if (map_count(&b->addrs) + fresh > BINDINGS_MAX_ADDRS ||
	    (!p->name && map_count(&b->names) >= BINDINGS_MAX_NAMES))
		return -ENOSPC;
	return 0;
}

static struct bound_addr *make_addr(struct bindings *b, const struct addr *a, int *ret_err)
{
	struct bound_addr *e = calloc(1, sizeof(*e));

	*ret_err = -ENOMEM;
	if (!e)
		return NULL;
	e->addr = *a;
	*ret_err = map_put(&b->addrs, addr_key(a), e);
	if (*ret_err < 0) {
		free(e);
		return NULL;
	}
	return e;
}

static struct bound_name *make_name(struct bindings *b, const char *name, int *ret_err)
{
	struct bound_name *e = calloc(1, sizeof(*e));

	*ret_err = -ENOMEM;
	if (!e)
		return NULL;
	memcpy(e->name, name, strlen(name) + 1);
	*ret_err = map_put(&b->names, str_of(name), e);
	if (*ret_err < 0) {
		free(e);
		return NULL;
	}
	return e;
}

/* Room for `more` pointers in a list of either kind; nothing that can be seen changes. */
static int reserve(void *list, uint16_t *room, size_t count, size_t more)
{
	void **items = *(void ***)list;
	size_t want = *room ? *room : 4;

	if (count + more <= *room)
		return 0;
	while (want < count + more)
		want *= 2;
	items = realloc(items, want * sizeof(*items)); /* want is small: see the caps */
	if (!items)
		return -ENOMEM;
	*(void ***)list = items;
	*room = (uint16_t)want;
	return 0;
}

/* Makes the entries that are missing. On failure those already made are for plan_undo(). */
static int plan_entries(struct bindings *b, struct plan *p, const char *name)
{
	int r = 0;

	if (!p->name) {
		p->name = make_name(b, name, &r);
		if (!p->name)
			return r;
		p->new_name = true;
	}
	r = reserve(&p->name->addrs, &p->name->room, p->name->count, p->count);
	for (size_t i = 0; i < p->count && r == 0; i++) {
		p->bound[i] = map_get(&b->addrs, addr_key(&p->addrs[i]));
		if (!p->bound[i]) {
			p->bound[i] = make_addr(b, &p->addrs[i], &r);
			if (!p->bound[i])
				return r;
			p->fresh[p->made++] = p->bound[i];
		}
		r = reserve(&p->bound[i]->names, &p->bound[i]->room, p->bound[i]->count, 1);
	}
	return r;
}

static void plan_undo(struct bindings *b, struct plan *p)
{
	for (size_t i = 0; i < p->made; i++)
		addr_free(map_del(&b->addrs, addr_key(&p->fresh[i]->addr)));
	if (p->new_name)
		name_free(map_del(&b->names, str_of(p->name->name)));
}

static void plan_link(struct plan *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct bound_addr *a = p->bound[i];

		assert(p->name->count < BINDINGS_MAX_ADDRS_PER_NAME);
		assert(a->count < BINDINGS_MAX_NAMES_PER_ADDR);
		p->name->addrs[p->name->count++] = a;
		a->names[a->count++] = p->name;
	}
}

int bindings_add(struct bindings *b, const char *name, const struct addr *addrs, size_t n)
{
	struct plan p = { 0 };
	size_t len = strlen(name);
	int r;

	if (len == 0 || len > HOST_NAME_MAX_LEN)
		return -EINVAL;
	p.name = map_get(&b->names, str_of(name));
	r = plan_make(b, &p, addrs, n);
	if (r < 0 || p.count == 0)
		return r;
	r = plan_entries(b, &p, name);
	if (r < 0) {
		plan_undo(b, &p);
		return r;
	}
	plan_link(&p);
	return 0;
}
