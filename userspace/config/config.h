/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: what a file says, or the defaults. Every value knows where it came from, so
 * that a decision can name the line.
 */
#ifndef NONO_CONFIG_CONFIG_H
#define NONO_CONFIG_CONFIG_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "ipc/setup.h"

#define CONFIG_FILE_MAX	   (1024 * 1024)
#define CONFIG_RULES_MAX   8192
#define CONFIG_SERVERS_MAX 64
#define CONFIG_SYSTEM_FILE "/etc/nono-proxy/config.json"

/* `origin` is "FILE:LINE" or an option; NULL: the default stands. */
struct config_number {
	const char *origin;
	uint32_t v;
};

struct config_flag {
	const char *origin;
	bool v;
};

struct config_text {
	const char *origin;
	const char *v;
};

struct config {
	struct arena arena;
	const char *file; /* as it was named; NULL: none was read */
	struct setup_rule *rules;
	size_t rule_count;
	const char **servers; /* of DNS; none: the system's */
	size_t server_count;
	uint16_t publish[PUBLISH_MAX]; /* each once */
	size_t publish_count;
	struct config_flag monitor;
	struct config_text bind_addr;
	struct config_number bind_port;
	struct config_number dns_timeout_ms, max_labels_per_wildcard;
	struct config_number max_connections;
	struct config_number idle_timeout_secs, connect_timeout_secs, header_timeout_secs;
	struct config_text audit_path, audit_on_full, log_level, log_format;
};

/* The defaults, no rule, no file. */
void config_init(struct config *c);
void config_done(struct config *c);

/* Append; the texts must live as long as the configuration. 0, -ENOMEM, or -E2BIG past the cap. */
_must_check_ int config_add_rule(struct config *c, const struct setup_rule *rule);
_must_check_ int config_add_server(struct config *c, const char *text);

/* A port that is there already is fine. 0 or -E2BIG. */
_must_check_ int config_add_publish(struct config *c, uint16_t port);

/* Is this "ADDR" or "ADDR:PORT"? */
_must_check_ bool config_server_valid(const char *text);

/*
 * An address to listen on: one that a single machine can have. 0, or -EINVAL and what is wrong with it, to be read behind
 * the text.
 */
_must_check_ int config_bind_parse(const char *text, struct addr *ret, const char **ret_fault);

/*
 * Adds what the text of a file says; `name` is the file's, for people. 0, or -EINVAL or -ENOMEM with "NAME:LINE:COLUMN:
 * sentence" in `why`; the configuration is of no use then.
 */
_must_check_ int config_parse(struct config *c, const char *name, struct str text, char *why,
			      size_t why_n);

/* Where a file may be, in this order; NULL: not there. The first two are meant and must exist. */
struct config_places {
	const char *option, *variable, *user, *system;
};

/*
 * Adds what the first file that exists says; none is fine. A file is read only if it is a regular one that root or the
 * caller owns and nobody else can write. Errors as above, without a place where there is none.
 */
_must_check_ int config_load(struct config *c, const struct config_places *places, uid_t caller,
			     char *why, size_t why_n);

/* JSON for people: {"file": …, "configuration": …}, of which the latter is a file that says it all. */
_must_check_ int config_show(const struct config *c, struct buf *out);

/* The JSON Schema (draft 2020-12) of the file, indented. */
_must_check_ int config_schema(struct buf *out);

#endif
