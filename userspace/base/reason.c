/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known about each reason, generated from the one list. The word is the symbol in lower
 * case, folded at compile time, so that the tables are constant and no two places can spell a
 * reason differently.
 *
 * The target comes from the sandbox. In a sentence its controls and non-ASCII bytes become '?'; a
 * hint, which people paste into a shell, is given only for a target that a rule could name at all.
 */
#include "base/reason.h"

#include <stdio.h>
#include <string.h>

#define WORD_MAX 32

#define AT(s, i)      ((s)[(i) < sizeof(s) ? (i) : sizeof(s) - 1])
#define LOWER(s, i)   ((char)(AT(s, i) >= 'A' && AT(s, i) <= 'Z' ? AT(s, i) - 'A' + 'a' : AT(s, i)))
#define LOWER4(s, i)  LOWER(s, i), LOWER(s, (i) + 1), LOWER(s, (i) + 2), LOWER(s, (i) + 3)
#define LOWER16(s, i) LOWER4(s, i), LOWER4(s, (i) + 4), LOWER4(s, (i) + 8), LOWER4(s, (i) + 12)

struct info {
	char word[WORD_MAX];
	const char *category, *sentence;
	enum hint_kind hint;
	int status;
};

#define X(sym, code, cat, kind, text)                                       \
	[REASON_##sym] = { .word = { LOWER16(#sym, 0), LOWER16(#sym, 16) }, \
			   .category = (cat),                               \
			   .sentence = (text),                              \
			   .hint = (kind),                                  \
			   .status = (code) },
static const struct info infos[REASON_COUNT] = { [REASON_NONE] = { .status = 200, .sentence = "" },
						 REASON_LIST(X) };
#undef X

#define X(sym, code, cat, kind, text) \
	_Static_assert(sizeof(#sym) <= WORD_MAX, "the word of " #sym " is too long");
REASON_LIST(X)
#undef X

/* A value that is no reason (a damaged message) says nothing, but stays a refusal. */
static const struct info not_a_reason = { .status = 403, .sentence = "" };

static const struct info *info_of(enum reason r)
{
	return (unsigned int)r < REASON_COUNT ? &infos[r] : &not_a_reason;
}

const char *reason_word(enum reason r)
{
	return info_of(r)->word;
}

enum reason reason_from_word(struct str word)
{
	for (unsigned int r = REASON_NONE + 1; r < REASON_COUNT; r++)
		if (str_eq(str_of(infos[r].word), word))
			return (enum reason)r;
	return REASON_NONE;
}

int reason_status(enum reason r)
{
	return info_of(r)->status;
}

const char *reason_category(enum reason r)
{
	return info_of(r)->category;
}

enum hint_kind reason_hint_kind(enum reason r)
{
	return info_of(r)->hint;
}

/* What the target is, as far as a hint needs to know. */
enum target_kind { TARGET_NONE, TARGET_NAME, TARGET_V4, TARGET_V6 };

static enum target_kind target_kind(struct str t)
{
	bool colon = false, numeric = true, hex = true;

	for (size_t i = 0; i < t.n; i++) {
		char c = t.p[i], low = ascii_lower(c);
		bool digit = c >= '0' && c <= '9';

		if (c == ':')
			colon = true;
		else if (!digit && !(low >= 'a' && low <= 'z') && !strchr("-_.", c))
			return TARGET_NONE;
		numeric = numeric && (digit || c == '.');
		hex = hex && (digit || c == '.' || c == ':' || (low >= 'a' && low <= 'f'));
	}
	if (t.n == 0 || (colon && !hex)) /* "udp:192.0.2.1": something that no rule is about */
		return TARGET_NONE;
	return colon ? TARGET_V6 : numeric ? TARGET_V4 : TARGET_NAME;
}

/* "unix:/run/x": the name of the socket, or NULL. */
static const char *unix_name(enum reason r, const char *target)
{
	static const char prefix[] = "unix:";
	size_t n = sizeof(prefix) - 1;

	if (r != REASON_PROTOCOL_UNKNOWN || !target || strncmp(target, prefix, n) != 0)
		return NULL;
	return target[n] == '/' || target[n] == '@' ? target + n : NULL;
}

/* What the kernel refused has a target of its own kind ("udp:192.0.2.1", "socket:type 3 protocol 1"). */
static const char *sentence_of(enum reason r, const char *target)
{
	if (unix_name(r, target))
		return "%T: unix sockets are refused, but for the sandbox's own abstract ones";
	if (r == REASON_PROTOCOL_UNKNOWN && target_kind(str_of(target)) == TARGET_NONE)
		return "%T: only TCP, and UDP to port 53, are served in the sandbox";
	return info_of(r)->sentence;
}

const char *reason_sentence(enum reason r, const char *target, char *out, size_t n)
{
	const char *name = target && *target ? target : "(unknown)";
	size_t at = 0;

	if (n == 0)
		return out;
	for (const char *s = sentence_of(r, name); *s && at + 1 < n; s++) {
		if (s[0] != '%' || s[1] != 'T') {
			out[at++] = *s;
			continue;
		}
		for (const char *t = name; *t && at + 1 < n; t++)
			out[at++] = *t >= ' ' && *t <= '~' ? *t : '?';
		s++;
	}
	out[at] = '\0';
	return out;
}

static void hint_rule(enum reason r, const char *target, uint16_t port, char *out, size_t n)
{
	struct str t = str_of(target);
	char number[sizeof("65535")] = "PORT"; /* an address rule always names one */
	enum target_kind kind;

	if (t.n >= 2 && t.p[0] == '[' && t.p[t.n - 1] == ']')
		t = (struct str){ t.p + 1, t.n - 2 };
	kind = target_kind(t);
	if (kind == TARGET_NAME && r == REASON_PROTOCOL_UNKNOWN)
		return; /* no rule changes what protocols are served */
	if (port)
		(void)snprintf(number, sizeof(number), "%u", port);

	if (kind == TARGET_V6)
		(void)snprintf(out, n, "to allow it: --allow-cidr [%.*s/128]:%s", STR_FMT(t),
			       number);
	else if (kind == TARGET_V4)
		(void)snprintf(out, n, "to allow it: --allow-cidr %.*s/32:%s", STR_FMT(t), number);
	else if (kind == TARGET_NAME && port)
		(void)snprintf(out, n, "to allow it: --allow-domain %.*s:%s", STR_FMT(t), number);
	else if (kind == TARGET_NAME)
		(void)snprintf(out, n, "to allow it: --allow-domain %.*s", STR_FMT(t));
}

/* Only what needs no quotes. */
static void hint_unix(const char *name, char *out, size_t n)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/@._+:,=-";

	if (name[1] && name[strspn(name, plain)] == '\0')
		(void)snprintf(out, n, "to allow it: --allow-unix %s", name);
}

const char *reason_hint(enum reason r, const char *target, uint16_t port, char *out, size_t n)
{
	if (n == 0)
		return out;
	out[0] = '\0';
	if (unix_name(r, target)) {
		hint_unix(unix_name(r, target), out, n);
		return out;
	}
	switch (reason_hint_kind(r)) {
	case HINT_NONE:
		break;
	case HINT_DOMAIN:
	case HINT_CIDR:
		hint_rule(r, target, port, out, n);
		break;
	case HINT_DENY:
		(void)snprintf(out, n,
			       "it is refused by --deny-domain; remove that rule to allow it");
		break;
	case HINT_LIMIT:
		(void)snprintf(out, n, "to allow more: --max-connections N");
		break;
	case HINT_TOKEN:
		(void)snprintf(
			out, n,
			"present $NONO_PROXY_TOKEN as Proxy-Authorization: Bearer, or in the "
			"proxy's URL: http://nono:TOKEN@HOST:PORT");
		break;
	}
	return out;
}
