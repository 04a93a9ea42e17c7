/* SPDX-License-Identifier: Apache-2.0 */
#include "config/fields.h"

#define AT(field) offsetof(struct config, field)
#define WEEK_SECS (7 * 24 * 3600)

static const char *const on_full_words[] = { "deny", NULL };
static const char *const level_words[] = { "error", "warn", "info", "debug", NULL };
static const char *const format_words[] = { "text", "json", NULL };

#define UNSERVED(section, name)                        \
	{                                              \
		section, name, .kind = CONFIG_UNSERVED \
	}

const struct config_field config_fields[] = {
	{ NULL, "$schema", CONFIG_IGNORED, .help = "where editors find this schema; ignored" },
	{ NULL, "version", CONFIG_VERSION, .help = "of the format: 1" },
	{ NULL, "bind_addr", CONFIG_BIND, AT(bind_addr), .fallback_text = "127.0.0.1",
	  .help = "the address that serve listens on" },
	{ NULL, "bind_port", CONFIG_NUMBER, AT(bind_port), 0, UINT16_MAX, 0,
	  .help = "the port for clients that know of the proxy; 0: the kernel chooses" },
	{ NULL, "allowed_hosts", CONFIG_ALLOW,
	  .help = "hosts to let through: example.com, *.example.com, *, each with optional :PORT" },
	{ NULL, "denied_hosts", CONFIG_DENY, .help = "hosts to refuse whatever else allows them" },
	{ NULL, "allowed_cidrs", CONFIG_CIDR,
	  .help = "addresses to let through by address alone: CIDR:PORT" },
	{ NULL, "monitor", CONFIG_FLAG, AT(monitor),
	  .help = "decide and record, but let pass; what is always refused is refused all the "
		  "same" },
	{ NULL, "log_level", CONFIG_WORD, AT(log_level), .words = level_words, .fallback = 1,
	  .help = "the least important lines to write" },
	{ NULL, "log_format", CONFIG_WORD, AT(log_format), .words = format_words,
	  .help = "how log lines are written" },
	UNSERVED(NULL, "presets"),
	UNSERVED(NULL, "credentials"),
	UNSERVED(NULL, "routes"),
	UNSERVED(NULL, "external_proxy"),
	{ "dns", "servers", CONFIG_SERVERS,
	  .help = "DNS servers to ask instead of the system's: ADDR or ADDR:PORT" },
	{ "dns", "timeout_ms", CONFIG_NUMBER, AT(dns_timeout_ms), 100, 60000, 5000,
	  .help = "for one name in all" },
	{ "dns", "max_labels_per_wildcard", CONFIG_NUMBER, AT(max_labels_per_wildcard), 1, 65536,
	  256, .help = "so many different names a wildcard answers for" },
	UNSERVED("redirect", "loopback"),
	UNSERVED("redirect", "existing_connections"),
	{ "redirect", "publish", CONFIG_PORTS, .min = 1, .max = UINT16_MAX,
	  .help = "ports inside that programs outside may connect to, at 127.0.0.1" },
	{ "limits", "max_connections", CONFIG_NUMBER, AT(max_connections), 1, 1000000, 1024,
	  .help = "at most so many at a time" },
	{ "limits", "idle_timeout_secs", CONFIG_NUMBER, AT(idle_timeout_secs), 1, WEEK_SECS, 3600,
	  .help = "a connection without a byte for so long is closed" },
	{ "limits", "connect_timeout_secs", CONFIG_NUMBER, AT(connect_timeout_secs), 1, 600, 10,
	  .help = "for connecting to a server, all of its addresses together" },
	{ "limits", "header_timeout_secs", CONFIG_NUMBER, AT(header_timeout_secs), 1, 600, 10,
	  .help = "a request's head must be complete within so long" },
	UNSERVED("limits", "max_request_body"),
	{ "audit", "path", CONFIG_PATH, AT(audit_path),
	  .fallback_text = "/var/log/nono-proxy/audit.jsonl",
	  .help = "the record of every decision is appended here" },
	{ "audit", "on_full", CONFIG_WORD, AT(audit_on_full), .words = on_full_words,
	  .help = "what happens to a connection that cannot be recorded" },
};

const size_t config_field_count = ARRAY_SIZE(config_fields);

const struct config_field *config_field_find(const char *section, const char *name)
{
	for (size_t i = 0; i < config_field_count; i++)
		if (config_same_section(config_fields[i].section, section) &&
		    strcmp(config_fields[i].name, name) == 0)
			return &config_fields[i];
	return NULL;
}

bool config_is_section(const char *name)
{
	for (size_t i = 0; i < config_field_count; i++)
		if (config_fields[i].section && strcmp(config_fields[i].section, name) == 0)
			return true;
	return false;
}
