/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why the kernel would not load or attach: one sentence for people, found by probing.
 */
#ifndef NONO_REDIRECT_OBSTACLE_H
#define NONO_REDIRECT_OBSTACLE_H

#include "base/defs.h"

/* From here on libbpf prints nothing; its last complaint is kept for the sentences below. */
void obstacle_listen(void);

/* That complaint, or "". */
const char *obstacle_complaint(void);

void obstacle_to_load(int error, char *why, size_t why_n);

/* Names the attached program that is in the way, if one is. `attach_type` is an enum
 * bpf_attach_type. */
void obstacle_to_attach(int error, int cgroup_fd, int attach_type, const char *program, char *why,
			size_t why_n);

#endif
