/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for the first of several things: a readable descriptor of two, a connection of several
 * addresses.
 */
#ifndef NONO_IO_RACE_H
#define NONO_IO_RACE_H

#include "io/verbs.h"

/*
 * Until one of two descriptors is readable (or at EOF). Bit 0 of the result: a is; bit 1: b is. `b`
 * may be -EBADF: then only a counts. -ETIME, -ECANCELED.
 */
int io_poll_either(int a, int b, nsec_t deadline) _suspends_;

#define RACE_MAX 16

/* RFC 8305 5: the time that one attempt has before the next one is started beside it. */
#define RACE_STAGGER (250 * NSEC_PER_MSEC)

/*
 * Connects to whichever of up to RACE_MAX endpoints answers first (Happy Eyeballs, RFC 8305):
 * attempts start in order, RACE_STAGGER apart, or at once when all before them have failed. The
 * losers are closed. Returns the connected descriptor and the winner's index, or the errno of the
 * first endpoint's failure (-ETIME if it was still trying).
 */
int io_connect_race(const struct endpoint *to, size_t n, size_t *ret_winner,
		    nsec_t deadline) _suspends_;

#endif
