/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line, one write(2): lines of several processes on the same standard error do not mix. What
 * strangers wrote may be in the arguments, so nothing that drives a terminal or ends a line gets
 * through.
 */
#include "io/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "wire/json.h"

#define TEXT_MAX 2048

static const char *log_name = "nono-proxy";
static enum log_level log_max = LOG_LEVEL_WARN;
static bool log_json;
static char last_error[TEXT_MAX];

static const char *const words[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

void log_setup(const char *name, enum log_level max, bool json)
{
	log_name = name;
	log_max = max;
	log_json = json;
}

bool log_level_parse(const char *word, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *log_last_error(void)
{
	return last_error;
}

/* Controls, DEL and the two-byte forms of U+0080 to U+009F, which some terminals obey too. */
static void clean(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?';
	}
}

static bool write_json(struct buf *out, enum log_level level, const char *text)
{
	struct json j;

	json_begin(&j, out);
	json_object_begin(&j);
	json_kv_str(&j, "level", words[level]);
	json_kv_str(&j, "name", log_name);
	json_kv_str(&j, "message", text);
	json_object_end(&j);
	return json_end(&j) == 0;
}

__attribute__((format(printf, 2, 0))) static void say(enum log_level level, const char *fmt,
						      va_list ap)
{
	_cleanup_buf_ struct buf line = BUF_INIT(4 * TEXT_MAX);
	char text[TEXT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	clean(text);
	if (level == LOG_LEVEL_ERROR)
		memcpy(last_error, text, sizeof(text));
	if (log_json ? !write_json(&line, level, text)
		     : buf_printf(&line, "%s: %s", log_name, text) < 0)
		return;
	if (buf_append_u8(&line, '\n') == 0)
		(void)!write(STDERR_FILENO, buf_data(&line), buf_len(&line));
}

#define DEFINE_LOG(fn, level)          \
	void fn(const char *fmt, ...)  \
	{                              \
		int saved = errno;     \
		va_list ap;            \
                                       \
		if (log_max < (level)) \
			return;        \
		va_start(ap, fmt);     \
		say(level, fmt, ap);   \
		va_end(ap);            \
		errno = saved;         \
	}

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warn, LOG_LEVEL_WARN)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)
