/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment variables that tell a program where the proxy is.
 *
 *	NONO_PROXY_URL    http://127.0.0.1:PORT
 *	NONO_PROXY_TOKEN  the session token
 *
 * and, for programs that must be told to use it, HTTP_PROXY HTTPS_PROXY http_proxy https_proxy (with the token in the URL), NO_PROXY
 * no_proxy (loopback) and NODE_USE_ENV_PROXY.
 */
#ifndef NONO_POLICY_PROXY_ENV_H
#define NONO_POLICY_PROXY_ENV_H

#include "base/arena.h"
#include "base/buf.h"
#include "wire/addr.h"
#include "wire/json.h"

struct proxy_env {
	const struct endpoint *listen; /* where the explicit listener is */
	const char *token;	       /* as token_is_valid() wants it; NULL: none is asked for */
	bool proxies;		       /* also the variables that make programs use it */
};

/* "NAME=value", NULL-terminated, in the arena and in this order; NULL when that is full or memory is out. */
const char *const *proxy_env(const struct proxy_env *e, struct arena *arena);

/*
 * One setting as a line for a POSIX shell, line feed included: export NAME='value'. Quoted so that no value is more than a value.
 * 0 or -errno (-EINVAL: no '=', or a name that is none in a shell), and then nothing is appended.
 */
_must_check_ int proxy_env_export(const char *setting, struct buf *out);

/* All of a list: lines as above, or members of a JSON object that the caller has begun. */
_must_check_ int proxy_env_lines(const char *const *settings, struct buf *out);
void proxy_env_members(const char *const *settings, struct json *j);

#endif
