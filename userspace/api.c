/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's face: a handle around one child process. The caller's configuration becomes a command
 * line; the child's first line becomes the handle; the socket between the two is what keeps the child
 * alive, so that it ends with the handle, and with the host process however that ends.
 */
#include "include/nono_proxy.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "api/child.h"
#include "api/config.h"
#include "api/failure.h"
#include "api/ready.h"

#define PUBLIC __attribute__((visibility("default")))

#define START_MS    10000
#define DRAIN_MS    5000
#define TIME_MAX_MS 3600000
/* Between what a failing program says and its end. */
#define LAST_WORDS_MS 1000

#define EXIT_USAGE 2 /* of nono-proxy: the options or the configuration are wrong */

struct nono_proxy {
	pid_t owner; /* who started it: a fork of that process may free the handle only */
	int drain_ms;
	struct child child;
	struct ready ready;
};

static int limit_ms(uint32_t asked, int otherwise)
{
	return asked == 0 ? otherwise : (int)MIN(asked, (uint32_t)TIME_MAX_MS);
}

/* It ended without a word. */
static int ended(struct child *c, const char *program)
{
	int status;

	switch (child_await(c, LAST_WORDS_MS, &status)) {
	case CHILD_EXITED:
		return failure_set(status == EXIT_USAGE ? -EINVAL : -EIO,
				   "%s ended with exit status %d before it was ready", program,
				   status);
	case CHILD_SIGNALLED:
		return failure_set(-EIO, "%s was ended by signal %d before it was ready", program,
				   status);
	case CHILD_GONE:
		return failure_set(-EIO, "%s ended before it was ready", program);
	case CHILD_RUNS:
		break;
	}
	return failure_set(-EPROTO, "%s closed its standard output before it was ready", program);
}

/* It said why; its exit status tells whose fault it is. */
static int failed(struct child *c, const char *sentence)
{
	int status;
	bool usage = child_await(c, LAST_WORDS_MS, &status) == CHILD_EXITED && status == EXIT_USAGE;

	return failure_set(usage ? -EINVAL : -EIO, "%s", sentence);
}

/* Waits for the line and understands it. */
static int hear(struct child *c, const char *program, int timeout_ms, struct ready *ret)
{
	int64_t deadline = child_now_ms() + timeout_ms;
	char *line = malloc(READY_LINE_MAX);
	struct ready ready;
	ssize_t n;
	int r;

	if (!line)
		return failure_set(-ENOMEM, "no memory for what %s says", program);
	n = child_line(c, line, READY_LINE_MAX, deadline);
	r = n < 0 ? (int)n : ready_parse(line, (size_t)n, &ready);
	explicit_bzero(line, READY_LINE_MAX);
	free(line);

	if (r == -EPIPE)
		return ended(c, program);
	if (r == -ETIMEDOUT)
		return failure_set(r, "%s was not ready within %d ms", program, timeout_ms);
	if (r == -EPROTO || r == -EMSGSIZE)
		return failure_set(-EPROTO, "what %s said is not what nono-proxy says", program);
	if (r < 0)
		return failure_set(r, "cannot hear %s: %s", program, failure_words(r));
	if (ready.failed) {
		r = failed(c, ready.error);
		ready_done(&ready);
		return r;
	}
	if (c->pidfd < 0) {
		ready_done(&ready);
		return ended(c, program);
	}
	*ret = ready;
	return 0;
}

static int start(const struct nono_proxy_config *cfg, struct nono_proxy *p)
{
	const char *program = config_program(cfg);
	_cleanup_words_ struct words words = { 0 };
	int r = config_words(cfg, &words);

	if (r == 0)
		r = child_start(program, words.items, cfg->log_fd, &p->child);
	if (r < 0)
		return r;
	r = hear(&p->child, program, limit_ms(cfg->start_timeout_ms, START_MS), &p->ready);
	if (r < 0)
		child_kill(&p->child);
	return r;
}

PUBLIC int nono_proxy_start(const struct nono_proxy_config *cfg, struct nono_proxy **ret)
{
	struct nono_proxy_config taken;
	struct nono_proxy *p;
	int r;

	failure_clear();
	if (!ret)
		return failure_set(-EINVAL, "no place for the handle was given");
	*ret = NULL;
	r = config_take(cfg, &taken);
	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return failure_set(-ENOMEM, "no memory for the handle");
	p->owner = getpid();
	p->drain_ms = limit_ms(taken.drain_timeout_ms, DRAIN_MS);
	p->child = (struct child)CHILD_INIT;
	r = start(&taken, p);
	if (r < 0) {
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}

PUBLIC void nono_proxy_shutdown(struct nono_proxy *p)
{
	int kept = errno;

	if (!p)
		return;
	if (getpid() == p->owner)
		child_finish(&p->child, p->drain_ms);
	else
		child_forget(&p->child);
	ready_done(&p->ready);
	free(p);
	errno = kept;
}

PUBLIC const char *nono_proxy_last_error(void)
{
	return failure_text();
}

PUBLIC uint16_t nono_proxy_port(const struct nono_proxy *p)
{
	return p ? p->ready.port : 0;
}

PUBLIC const char *nono_proxy_token(const struct nono_proxy *p)
{
	return p ? p->ready.token : NULL;
}

PUBLIC const char *const *nono_proxy_env_vars(const struct nono_proxy *p)
{
	return p ? (const char *const *)p->ready.env : NULL;
}

PUBLIC int nono_proxy_pid(const struct nono_proxy *p)
{
	return p ? p->child.pid : -1;
}

PUBLIC bool nono_proxy_is_running(const struct nono_proxy *p)
{
	return p && child_runs(&p->child);
}

PUBLIC int nono_proxy_poll_fd(const struct nono_proxy *p)
{
	return p ? p->child.pidfd : -1;
}
