/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation failure on demand, for the test of one module: include this, then the module's .c
 * instead of linking it. Its malloc(), calloc(), realloc() and free() are then counted, and the one
 * chosen with alloc_fail_at() fails.
 */
#ifndef TESTS_UNIT_ALLOC_FAIL_H
#define TESTS_UNIT_ALLOC_FAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* base/defs.h frees by scope: it must see the counted free() too. */
#ifdef NONO_BASE_DEFS_H
#error "include this first"
#endif

static long alloc_calls, alloc_failing = -1, alloc_live;

/* From now on the n-th allocation fails, counted from 0; -1: none does. */
static inline void alloc_fail_at(long n)
{
	alloc_calls = 0;
	alloc_failing = n;
}

/* Has the chosen one come? */
static inline bool alloc_failed(void)
{
	return alloc_failing >= 0 && alloc_calls > alloc_failing;
}

static inline bool alloc_refused(void)
{
	return alloc_calls++ == alloc_failing;
}

static inline void *counted(void *p)
{
	alloc_live += p != NULL;
	return p;
}

static inline void *faulty_malloc(size_t n)
{
	return alloc_refused() ? NULL : counted(malloc(n));
}

static inline void *faulty_calloc(size_t n, size_t size)
{
	return alloc_refused() ? NULL : counted(calloc(n, size));
}

static inline void *faulty_realloc(void *p, size_t n)
{
	if (alloc_refused())
		return NULL;
	return p ? realloc(p, n) : counted(malloc(n));
}

static inline void faulty_free(void *p)
{
	alloc_live -= p != NULL;
	free(p);
}

#define malloc(n)	faulty_malloc(n)
#define calloc(n, size) faulty_calloc(n, size)
#define realloc(p, n)	faulty_realloc(p, n)
#define free		faulty_free

#endif
