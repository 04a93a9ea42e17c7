/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handful of macros that every file may use: ownership by scope, take, and the usual array helpers.
 *
 * Ownership of a local is written at its declaration (`_cleanup_close_ int fd = -EBADF;`) and a hand-over is visible at
 * the place where it happens (`*ret_fd = take_fd(&fd);`).
 */
#ifndef NONO_BASE_DEFS_H
#define NONO_BASE_DEFS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))
#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Frees a malloc()ed pointer at the end of the scope. */
#define _cleanup_free_ _cleanup_(cleanup_free)

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

/* Defines cleanup_NAME() for a destructor that takes a pointer and accepts NULL. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline void cleanup_##fn(type *p)                                                   \
	{                                                                                          \
		fn(*p);                                                                            \
	}

/* Moves ownership out of a variable: the variable no longer owns, the expression does. */
#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *_pp = &(p);                                                         \
		__typeof__(p) _taken = *_pp;                                                       \
		*_pp = NULL;                                                                       \
		_taken;                                                                            \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -EBADF;
	return taken;
}

#endif
