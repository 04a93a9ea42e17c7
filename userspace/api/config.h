/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's configuration: taken over whatever version of the structure it was compiled with, and
 * turned into the command line of `nono-proxy serve`.
 */
#ifndef NONO_API_CONFIG_H
#define NONO_API_CONFIG_H

#include "base/defs.h"
#include "include/nono_proxy.h"

/*
 * Copies what the caller's structure has and fills the rest with defaults. -EINVAL: it was never
 * initialised; -E2BIG: it sets something behind the end of ours.
 */
_must_check_ int config_take(const struct nono_proxy_config *given, struct nono_proxy_config *ret);

/* What to execute. */
const char *config_program(const struct nono_proxy_config *cfg);

/* A command line, NULL-terminated. */
struct words {
	char **items;
	size_t n, cap;
};

/*
 * The words for execution. Each value is in one word with its option, behind a "=", so that none can
 * become an option of its own. No secret is among them: everybody can read a command line. 0 or
 * -ENOMEM.
 */
_must_check_ int config_words(const struct nono_proxy_config *cfg, struct words *ret);

void words_done(struct words *w);
#define _cleanup_words_ _cleanup_(words_done)

#endif
