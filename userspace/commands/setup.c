/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what is in force to what a proxy is told.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "commands/options.h"
#include "io/log.h"

static void cleanup_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
#define _cleanup_close_ _cleanup_(cleanup_close)

/* ---- the setup ---- */

/* The resolvers as c-ares wants them: a comma-separated list. Each was checked when it was loaded. */
static int join_resolvers(struct options *o, const char **ret)
{
	_cleanup_buf_ struct buf list = BUF_INIT(4096);

	for (size_t i = 0; i < o->config.server_count; i++) {
		struct host h;
		uint16_t port;

		if (!host_port_parse(str_of(o->config.servers[i]), &h, &port))
			return -EINVAL;
		if (buf_printf(&list, h.addr.family == 6 ? "%s[%s]:%u" : "%s%s:%u", i ? "," : "",
			       h.name, port ? port : 53u) < 0)
			return -ENOMEM;
	}
	*ret = arena_strndup(&o->arena, (const char *)buf_data(&list), buf_len(&list));
	return *ret ? 0 : -ENOMEM;
}

static void set_limits(const struct config *c, struct proxy_setup *s)
{
	s->max_connections = c->max_connections.v;
	s->max_names_per_wildcard = c->max_labels_per_wildcard.v;
	s->dns_timeout_ms = c->dns_timeout_ms.v;
	s->connect_timeout_ms = c->connect_timeout_secs.v * 1000;
	s->idle_timeout_ms = c->idle_timeout_secs.v * 1000;
	s->header_timeout_ms = c->header_timeout_secs.v * 1000;
}

/* A pattern that is wrong says so itself. */
static int check_rules(const struct options *o)
{
	struct filter filter;
	int r;

	filter_init(&filter);
	r = options_filter(o, &filter);
	filter_done(&filter);
	if (r < 0 && r != -EINVAL)
		log_error("the rules cannot be held: %s", strerror(-r));
	return r;
}

int options_proxy_setup(struct options *o, struct proxy_setup *ret)
{
	const struct config *c = &o->config;
	enum log_level level = LOG_LEVEL_WARN;
	bool log_json = strcmp(c->log_format.v, "json") == 0;
	const char *resolvers;

	(void)log_level_parse(c->log_level.v, &level); /* checked when it was loaded */
	log_setup("nono-proxy", level, log_json);
	if (check_rules(o) < 0)
		return -EINVAL;
	if (join_resolvers(o, &resolvers) < 0) {
		log_error("the list of DNS servers is too long");
		return -EINVAL;
	}
	set_limits(c, ret);
	ret->resolvers = resolvers;
	ret->rules = c->rules;
	ret->rule_count = c->rule_count;
	ret->monitor = c->monitor.v;
	ret->verbose = o->verbose;
	ret->log_level = level;
	ret->log_json = log_json;
	return 0;
}

int options_publish(const struct options *o, struct proxy_setup *ret)
{
	const struct config *c = &o->config;

	for (size_t i = 0; i < c->publish_count; i++) {
		if (c->publish[i] == c->bind_port.v) {
			log_error("port %u cannot be published: it is to be the proxy's own inside "
				  "(%s)",
				  c->publish[i], c->bind_port.origin);
			return -EINVAL;
		}
		ret->publish[i] = c->publish[i];
	}
	ret->publish_count = c->publish_count;
	return 0;
}

struct endpoint options_listen(const struct options *o)
{
	struct endpoint e = { .port = (uint16_t)o->config.bind_port.v };
	const char *fault;
	int r = config_bind_parse(o->config.bind_addr.v, &e.addr, &fault);

	assert(r == 0); /* checked when it was loaded */
	(void)r;
	return e;
}

/* ---- the token ---- */

/* Whoever can read the token can use the proxy, so others must not; whoever owns it may change it. */
static int check_token_file(int fd, const char *path, uid_t caller)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		log_error("--token-file %s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		log_error("--token-file %s: not a file", path);
	else if (st.st_uid != 0 && st.st_uid != caller)
		log_error("--token-file %s: owned by user %u, who is neither root nor the caller "
			  "(user %u)",
			  path, (unsigned int)st.st_uid, (unsigned int)caller);
	else if (st.st_mode & (S_IRWXG | S_IRWXO))
		log_error("--token-file %s: open to others than its owner (chmod go=)", path);
	else
		return 0;
	return -EINVAL;
}

/* How much there is, at most n; a longer file fills the buffer. */
static ssize_t read_token(int fd, char *text, size_t n)
{
	size_t at = 0;

	while (at < n) {
		ssize_t got = read(fd, text + at, n - at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		at += (size_t)got;
	}
	return (ssize_t)at;
}

static int token_from_file(const char *path, char ret[TOKEN_TEXT + 1])
{
	/* O_NONBLOCK: a FIFO must be refused, not waited for. */
	_cleanup_close_ int fd = open(path,
				      O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	char text[TOKEN_TEXT + 2]; /* a newline, and one more that is too many */
	int r = -EINVAL;
	ssize_t n;

	if (fd < 0) {
		log_error("--token-file %s: %s", path,
			  errno == ELOOP ? "a symbolic link; name the file itself"
					 : strerror(errno));
		return -EINVAL;
	}
	if (check_token_file(fd, path, options_caller()) < 0)
		return -EINVAL;
	n = read_token(fd, text, sizeof(text));
	if (n == TOKEN_TEXT + 1 && text[TOKEN_TEXT] == '\n')
		n--;
	if (n < 0) {
		log_error("--token-file %s: %s", path, strerror((int)-n));
	} else if (!token_is_valid((struct str){ text, (size_t)n })) {
		log_error(
			"--token-file %s: its content must be %d lower-case hex digits on one line "
			"(openssl rand -hex %d)",
			path, TOKEN_TEXT, TOKEN_BYTES);
	} else {
		memcpy(ret, text, TOKEN_TEXT);
		ret[TOKEN_TEXT] = '\0';
		r = 0;
	}
	secret_wipe(text, sizeof(text));
	return r;
}

static int fresh_token(char ret[TOKEN_TEXT + 1])
{
	uint8_t random[TOKEN_BYTES];

	/* So few bytes come at once or, before the kernel is ready, not until it is. */
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
		log_error("the kernel gives no random bytes for a token: %s", strerror(errno));
		return -EINVAL;
	}
	token_text(random, ret);
	secret_wipe(random, sizeof(random));
	return 0;
}

int options_token(const struct options *o, char ret[TOKEN_TEXT + 1])
{
	return o->token_file ? token_from_file(o->token_file, ret) : fresh_token(ret);
}
