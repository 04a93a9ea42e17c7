/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for what must not leak. The mapping is
 *
 *	guard page | zeros, content up to the very end | guard page
 *
 * so that reading or writing past the content faults at once (after at most 15 bytes of alignment),
 * and so does running far below it. The content begins in the first page between the guards,
 * whatever its length: that finds the mapping again even when a caller has shortened `n`.
 */
#include "base/secret.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECRET_ALIGN ((size_t)16)

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

int secret_alloc(struct secret *s, size_t n)
{
	size_t page = page_size(), aligned, inner;
	uint8_t *base, *usable;
	bool locked;
	int r;

	if (n > SIZE_MAX / 2)
		return -ENOMEM;
	aligned = round_up(n ? n : 1, SECRET_ALIGN);
	inner = round_up(aligned, page);
	base = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	usable = base + page;
	/* The marks come before the content can: there is no moment at which it could be dumped or
	 * inherited. */
	if (mprotect(usable, inner, PROT_READ | PROT_WRITE) < 0 ||
	    madvise(usable, inner, MADV_DONTDUMP) < 0 ||
	    madvise(usable, inner, MADV_WIPEONFORK) < 0) {
		r = -errno;
		(void)munmap(base, inner + 2 * page);
		return r;
	}
	locked = mlock(usable, inner) == 0;
	*s = (struct secret){
		.p = usable + inner - aligned, .n = n, .map = inner + 2 * page, .locked = locked
	};
	return 0;
}

bool secret_locked(const struct secret *s)
{
	return s->locked;
}

void secret_done(struct secret *s)
{
	size_t page = page_size();
	uint8_t *usable;

	if (s->p) {
		usable = s->p - (uintptr_t)s->p % page;
		secret_wipe(usable, s->map - 2 * page);
		(void)munmap(usable - page, s->map);
	}
	*s = (struct secret){ 0 };
}

void secret_wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}

bool secret_equal(const void *a, size_t na, const void *b, size_t nb)
{
	const uint8_t *x = a, *y = b;
	uint32_t diff = 0;

	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++) {
		diff |= (uint32_t)(x[i] ^ y[i]);
		/* The compiler must not learn that all bits are set, and leave early. */
		__asm__ volatile("" : "+r"(diff));
	}
	return (bool)((diff - 1) >> 31);
}
