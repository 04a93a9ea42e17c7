/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stackful coroutines.
 *
 * Why. Serving a connection up to its relay is a sequence: dozens of waits, nested protocols,
 * many exits. As callbacks, its phases become invisible and its clean-up multiplies; on a stack
 * of its own it is plain C with locals, loops, helpers and cleanup attributes. A steady state
 * (the relay) needs no stack and has none.
 *
 * Who runs when. Coroutines never switch to each other. There is the loop's stack, and from the
 * dispatch of the loop exactly one coroutine is entered at a time; it goes on until it waits or
 * returns, and that gives the loop's stack back:
 *
 *	loop stack      dispatch ── done() ─┐                   ┌─ next completion …
 *	                                    │ resume            │
 *	coroutine                           └─ … verb … co_await┘     (parked until its op is done)
 *
 * Two things resume a coroutine: the completion of its `start` record (once, after co_spawn()),
 * and the completion of the op it waits for. There is no queue of ready coroutines: the loop's
 * queue of completions is it.
 *
 * How a stack is entered. makecontext() knows how to lay out a first frame, so that no assembly
 * is needed, and setcontext() enters it: once per coroutine. Both save and restore the signal
 * mask, a system call each. So all other switches are sigsetjmp(…, 0) and siglongjmp(), which are
 * a few stores and a jump: the jump leads to a frame that is still alive, only on another stack.
 * The standard does not promise that; every libc that we can meet does it (QEMU and OpenSSL build
 * on it).
 *
 * What stands in the way of that, and what is done about it:
 *
 *  - _FORTIFY_SOURCE exchanges longjmp() for a version that takes a jump "upwards" for an attack
 *    and aborts. It is undefined in this one file, before the first header.
 *  - Thread sanitizer and shadow stacks keep a second record of who returns where, and take the
 *    jump for an error. Then (or with -DNONO_CO_UCONTEXT=1) all switches are swapcontext(), which
 *    they know. It is three times slower and otherwise equal.
 *  - Address sanitizer must be told which stack is the current one, before and after each switch.
 *    A coroutine that ends hands in its fake stack by passing no place to keep it.
 *  - The compiler may keep the address of a thread-local variable in a register across the
 *    switch, or merge the frames of two switches, if it can see through the function: it is not
 *    inlined. We have one thread per loop; a coroutine never changes its thread.
 *
 * How it ends. Only by returning. Nothing may be freed that is suspended, because siglongjmp()
 * unwinds nothing: the descriptors and memory that the frames own would be lost. So to cancel is
 * to mark: the op in flight is cancelled, the verb returns -ECANCELED, so does each verb after
 * it, and the functions return one after the other. An op lives in the frame of the verb that
 * waits for it, and the verb returns only after done() was called: no op outlives its frame.
 *
 * Memory. One mapping per coroutine, kept for the next one:
 *
 *	low                                                                        high
 *	| guard: no access      | stack, grows downwards  <────────────── | struct co |
 *
 * A frame that is larger than the guard could step over it. The guard has four pages; the build
 * warns of frames that are larger than two, and variable arrays are forbidden. Pages are only there
 * once they were touched; a parked coroutine costs 8 to 12 KiB.
 */
#undef _FORTIFY_SOURCE

#include "io/co.h"

#include <assert.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/list.h"
#include "io/loop_internal.h"

#if defined(__SANITIZE_THREAD__)
#define NONO_CO_UCONTEXT 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NONO_CO_UCONTEXT 1
#endif
#endif
#ifndef NONO_CO_UCONTEXT
#define NONO_CO_UCONTEXT 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif

#ifdef ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_SIZE ((size_t)256 * 1024) /* frames are larger there */
#else
#define STACK_SIZE ((size_t)64 * 1024)
#endif

#define POOL_MAX 64

/* The side of a switch: where it was left, and (for the sanitizer) which stack that is. */
struct side {
#if NONO_CO_UCONTEXT
	ucontext_t place;
#else
	sigjmp_buf place;
#endif
	const void *stack;
	size_t size;
	void *fake;
};

struct co {
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
	struct op start;
	struct op *waiting; /* the op that it is parked on */
	bool entered, cancelled, ended;
	struct side side;
	struct list free; /* in the pool */
	void *map;
};

/* Per loop. */
struct co_room {
	struct side side; /* of the loop's stack, while a coroutine runs */
	size_t count;
	size_t pooled;
	struct list pool;
};

static _Thread_local struct co *current;
static _Thread_local size_t high_water;

static size_t guard_size(void)
{
	return 4 * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- painted stacks ---- */

#ifdef NONO_DEBUG
#define PAINT 0x5bU

/* To valgrind, what is below a stack pointer is gone. */
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(p, n) (void)0
#endif

static void paint(struct co *co)
{
	memset((void *)(uintptr_t)co->side.stack, PAINT, co->side.size);
}

__attribute__((no_sanitize("address"))) static void look_at_paint(const struct co *co)
{
	const volatile uint8_t *p = co->side.stack;
	size_t clean = 0;

	(void)VALGRIND_MAKE_MEM_DEFINED(co->side.stack, co->side.size);
	while (clean < co->side.size && p[clean] == PAINT)
		clean++;
	if (co->side.size - clean > high_water)
		high_water = co->side.size - clean;
}
#else
static void paint(_unused_ struct co *co)
{
}

static void look_at_paint(_unused_ const struct co *co)
{
}
#endif

size_t co_stack_high_water(void)
{
	return high_water;
}

/* ---- stacks ---- */

static int stack_map(struct co **ret)
{
	size_t guard = guard_size(), all = guard + STACK_SIZE;
	char *map = mmap(NULL, all, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	struct co *co;
	uintptr_t top;

	if (map == MAP_FAILED)
		return -errno;
	if (mprotect(map, guard, PROT_NONE) < 0) {
		int r = -errno;

		(void)munmap(map, all);
		return r;
	}
	top = ((uintptr_t)map + all - sizeof(*co)) & ~(uintptr_t)63;
	co = (struct co *)top;
	*co = (struct co){ .map = map };
	co->side.stack = map + guard;
	co->side.size = top - (uintptr_t)(map + guard);
	paint(co);
	*ret = co;
	return 0;
}

static void stack_unmap(struct co *co)
{
#ifdef ASAN
	__asan_unpoison_memory_region(co->map, guard_size() + STACK_SIZE);
#endif
	(void)munmap(co->map, guard_size() + STACK_SIZE);
}

static void room_free(_unused_ struct loop *l, void *p)
{
	struct co_room *room = p;

	assert(room->count == 0);
	list_for_each_safe (it, &room->pool)
		stack_unmap(container_of(it, struct co, free));
	free(room);
}

static struct co_room *room_of(struct loop *l)
{
	struct co_room *room = l->room[LOOP_ROOM_CO].p;

	if (room)
		return room;
	room = calloc(1, sizeof(*room));
	if (!room)
		return NULL;
	list_init(&room->pool);
	l->room[LOOP_ROOM_CO].p = room;
	l->room[LOOP_ROOM_CO].free = room_free;
	return room;
}

/* A stack from the pool, the one that was used last first, or a new one. */
static int stack_take(struct co_room *room, struct co **ret)
{
	if (list_empty(&room->pool))
		return stack_map(ret);
	*ret = container_of(room->pool.next, struct co, free);
	list_del(&(*ret)->free);
	room->pooled--;
	return 0;
}

static void stack_give(struct co_room *room, struct co *co)
{
	look_at_paint(co);
	if (room->pooled >= POOL_MAX) {
		stack_unmap(co);
		return;
	}
#ifdef ASAN
	__asan_unpoison_memory_region(co->side.stack, co->side.size);
#endif
	list_add_head(&room->pool, &co->free);
	room->pooled++;
}

/* ---- switching ---- */

#ifdef ASAN
static void tell_leaving(struct side *from, const struct side *to, bool for_good)
{
	__sanitizer_start_switch_fiber(for_good ? NULL : &from->fake, to->stack, to->size);
}

static void tell_arrived(const struct side *at, struct side *came_from)
{
	__sanitizer_finish_switch_fiber(at->fake, came_from ? &came_from->stack : NULL,
					came_from ? &came_from->size : NULL);
}
#else
static void tell_leaving(_unused_ struct side *from, _unused_ const struct side *to,
			 _unused_ bool for_good)
{
}

static void tell_arrived(_unused_ const struct side *at, _unused_ struct side *came_from)
{
}
#endif

/* Leaves `from` where it is and goes on where `to` was left. */
static __attribute__((noinline)) void switch_to(struct side *from, struct side *to, bool for_good)
{
	tell_leaving(from, to, for_good);
#if NONO_CO_UCONTEXT
	(void)swapcontext(&from->place, &to->place);
#else
	if (sigsetjmp(from->place, 0) == 0)
		siglongjmp(to->place, 1);
#endif
	tell_arrived(from, NULL);
}

/* The first frame of each coroutine. makecontext() passes ints only. */
static void first_frame(unsigned int high, unsigned int low)
{
	struct co *co = (struct co *)((uintptr_t)high << 32 | low);
	struct co_room *room = co->loop->room[LOOP_ROOM_CO].p;

	tell_arrived(&co->side, &room->side);
	co->fn(co->arg);
	co->ended = true;
	switch_to(&co->side, &room->side, true);
	abort(); /* nobody comes back here */
}

/* Leaves the loop's stack for one that was never entered. */
static __attribute__((noinline)) void enter(struct side *from, struct co *co)
{
	const uint64_t address = (uintptr_t)co;
	ucontext_t fresh;

	if (getcontext(&fresh) < 0)
		abort(); /* it has no way to fail on Linux */
	fresh.uc_stack.ss_sp = (void *)(uintptr_t)co->side.stack;
	fresh.uc_stack.ss_size = co->side.size;
	fresh.uc_link = NULL;
	makecontext(&fresh, (void (*)(void))first_frame, 2, (unsigned int)(address >> 32),
		    (unsigned int)address);
	tell_leaving(from, &co->side, false);
#if NONO_CO_UCONTEXT
	(void)swapcontext(&from->place, &fresh);
#else
	if (sigsetjmp(from->place, 0) == 0)
		(void)setcontext(&fresh);
#endif
	tell_arrived(from, NULL);
}

/* Runs the coroutine until it waits or ends. Only from the loop's stack. */
static void resume(struct co *co)
{
	struct co_room *room = co->loop->room[LOOP_ROOM_CO].p;

	assert(!current);
	current = co;
	if (co->entered) {
		switch_to(&room->side, &co->side, false);
	} else {
		co->entered = true;
		enter(&room->side, co);
	}
	current = NULL;
	if (co->ended) {
		room->count--;
		stack_give(room, co);
	}
}

static void start_done(struct op *op)
{
	resume(op->owner);
}

static void await_done(struct op *op)
{
	struct co *co = op->owner;

	co->waiting = NULL;
	resume(co);
}

/* ---- the interface ---- */

int co_spawn(struct loop *l, void (*fn)(void *arg), void *arg, struct co **ret)
{
	struct co_room *room = room_of(l);
	struct co *co = NULL;
	int r;

	if (!room)
		return -ENOMEM;
	r = stack_take(room, &co);
	if (r < 0)
		return r;
	co->loop = l;
	co->fn = fn;
	co->arg = arg;
	co->waiting = NULL;
	co->entered = co->cancelled = co->ended = false;
	co->side.fake = NULL;
	co->start = (struct op){
		.done = start_done, .owner = co, .kind = OP_EVENT, .deadline = NSEC_NEVER
	};
	list_init(&co->free);
	room->count++;
	loop_submit(l, &co->start);
	loop_complete(l, &co->start, 0);
	if (ret)
		*ret = co;
	return 0;
}

struct co *co_self(void)
{
	return current;
}

struct loop *co_loop(void)
{
	assert(current);
	return current->loop;
}

void co_cancel(struct co *co)
{
	co->cancelled = true;
	if (co->waiting)
		loop_cancel(co->loop, co->waiting);
}

bool co_cancelled(void)
{
	return current && current->cancelled;
}

size_t co_count(const struct loop *l)
{
	const struct co_room *room = l->room[LOOP_ROOM_CO].p;

	return room ? room->count : 0;
}

static int park(struct co *co, struct op *op)
{
	struct co_room *room = co->loop->room[LOOP_ROOM_CO].p;

	op->done = await_done;
	op->owner = co;
	loop_submit(co->loop, op);
	switch_to(&co->side, &room->side, false);
	return op->res;
}

int co_await (struct op *op)
{
	struct co *co = current;

	assert(co);
	if (co->cancelled)
		return -ECANCELED;
	co->waiting = op;
	return park(co, op);
}

int co_await_uncancelled(struct op *op)
{
	assert(current);
	return park(current, op);
}
