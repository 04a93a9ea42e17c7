/* SPDX-License-Identifier: Apache-2.0 */
#include "api/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[1024];

int failure_set(int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	return error;
}

void failure_clear(void)
{
	sentence[0] = '\0';
}

const char *failure_text(void)
{
	return sentence;
}

const char *failure_words(int error)
{
	const char *words = strerrordesc_np(error < 0 ? -error : error);

	return words ? words : "unknown error";
}
