/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of fields: decoding, showing and the schema all read it.
 */
#ifndef NONO_CONFIG_FIELDS_H
#define NONO_CONFIG_FIELDS_H

#include "config/config.h"

enum config_kind {
	CONFIG_IGNORED, /* a string, for editors */
	CONFIG_VERSION,
	CONFIG_FLAG,   /* struct config_flag */
	CONFIG_NUMBER, /* struct config_number, min … max */
	CONFIG_WORD,   /* struct config_text, one of `words` */
	CONFIG_PATH,   /* struct config_text, absolute */
	CONFIG_BIND,   /* struct config_text, an address to listen on */
	CONFIG_ALLOW,  /* lists of rules */
	CONFIG_DENY,
	CONFIG_CIDR,
	CONFIG_SERVERS,
	CONFIG_PORTS,	 /* numbers, min … max */
	CONFIG_UNSERVED, /* known, and refused: never silently ignored */
};

struct config_field {
	const char *section; /* NULL: top level; fields of one section stand together */
	const char *name;
	enum config_kind kind;
	size_t offset;
	uint32_t min, max;
	uint32_t fallback;	   /* of a number; of a word its place in `words` */
	const char *const *words;  /* NULL-terminated */
	const char *fallback_text; /* of a path or an address */
	const char *help;
};

extern const struct config_field config_fields[];
extern const size_t config_field_count;

#define CONFIG_VERSION_KNOWN 1

/* NULL: there is none. */
const struct config_field *config_field_find(const char *section, const char *name);

bool config_is_section(const char *name);

static inline bool config_same_section(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

#endif
