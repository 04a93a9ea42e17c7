/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time as a value. Nothing here reads a clock: io/loop.h does, everything else is handed a time.
 */
#ifndef NONO_BASE_CLOCK_H
#define NONO_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC, or a span of them. */
typedef int64_t nsec_t;

#define NSEC_PER_MSEC ((nsec_t)1000000)
#define NSEC_PER_SEC  ((nsec_t)1000000000)

/* A deadline that never comes. */
#define NSEC_NEVER INT64_MAX

#endif
