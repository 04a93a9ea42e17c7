/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked ring. An entry that is in no list points to itself, so list_del() is idempotent.
 */
#ifndef NONO_BASE_LIST_H
#define NONO_BASE_LIST_H

#include "base/defs.h"

struct list {
	struct list *prev, *next;
};

#define LIST_INIT(name) { &(name), &(name) }

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *entry)
{
	entry->prev = head->prev;
	entry->next = head;
	head->prev->next = entry;
	head->prev = entry;
}

static inline void list_add_head(struct list *head, struct list *entry)
{
	list_add_tail(head->next, entry);
}

static inline void list_del(struct list *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
	list_init(entry);
}

#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_for_each_safe(it, head)                                                               \
	for (struct list *it = (head)->next, *_next = it->next; it != (head);                      \
	     it = _next, _next = it->next)

#endif
