/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ready.h"

#include <string.h>

#define ENV_MAX	  256
#define DEPTH_MAX 8
#define TOKEN_LEN 64

/* Every function below moves `at` behind what it read; after a failure `error` is set and nobody reads on. */
struct scan {
	const char *at, *end;
	int error;
};

/* What a line has said so far. */
struct line {
	char *event, *listen, *token, *error;
	char **env;
	size_t env_count;
	bool seen_token;
};

static bool wrong(struct scan *s)
{
	if (!s->error)
		s->error = -EPROTO;
	return false;
}

static void skip_blanks(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r'))
		s->at++;
}

static bool have(struct scan *s, char c)
{
	skip_blanks(s);
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static bool want(struct scan *s, char c)
{
	return have(s, c) || wrong(s);
}

static bool have_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	skip_blanks(s);
	if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
		return false;
	s->at += n;
	return true;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* Behind "\u": the character as UTF-8, at most three bytes. NUL would end a string, and half a character is none. */
static size_t unicode(struct scan *s, char *out)
{
	unsigned int ch = 0;

	for (int i = 0; i < 4; i++, s->at++) {
		int digit = s->at < s->end ? hex_digit(*s->at) : -1;

		if (digit < 0)
			return 0;
		ch = ch << 4 | (unsigned int)digit;
	}
	if (ch == 0 || (ch >= 0xd800 && ch < 0xe000))
		return 0;
	if (ch < 0x80) {
		out[0] = (char)ch;
		return 1;
	}
	if (ch < 0x800) {
		out[0] = (char)(0xc0 | ch >> 6);
		out[1] = (char)(0x80 | (ch & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | ch >> 12);
	out[1] = (char)(0x80 | (ch >> 6 & 0x3f));
	out[2] = (char)(0x80 | (ch & 0x3f));
	return 3;
}

/* Behind a backslash; how many bytes came of it, 0 if it is no escape. */
static size_t escape(struct scan *s, char *out)
{
	static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	const char *found;

	if (s->at == s->end || *s->at == '\0')
		return 0;
	if (*s->at == 'u') {
		s->at++;
		return unicode(s, out);
	}
	found = strchr(names, *s->at++);
	if (!found)
		return 0;
	out[0] = means[found - names];
	return 1;
}

/* A string, allocated; what is read is never shorter than what it means. NULL after a failure. */
static char *text(struct scan *s)
{
	_cleanup_free_ char *out = NULL;
	size_t n = 0, got;

	if (!want(s, '"'))
		return NULL;
	out = malloc((size_t)(s->end - s->at) + 1);
	if (!out) {
		s->error = -ENOMEM;
		return NULL;
	}
	while (s->at < s->end && *s->at != '"') {
		unsigned char c = (unsigned char)*s->at++;

		if (c < 0x20 || c == 0x7f) {
			wrong(s);
			return NULL;
		}
		if (c != '\\') {
			out[n++] = (char)c;
			continue;
		}
		got = escape(s, out + n);
		if (!got) {
			wrong(s);
			return NULL;
		}
		n += got;
	}
	if (!want(s, '"'))
		return NULL;
	out[n] = '\0';
	return take_ptr(out);
}

/* A member that is a string, and for the first time. */
static bool text_once(struct scan *s, char **field)
{
	if (*field)
		return wrong(s);
	*field = text(s);
	return *field != NULL;
}

/* A name that a shell would take, and no more than it can hold. */
static bool is_variable(const char *name)
{
	if (name[0] >= '0' && name[0] <= '9')
		return false;
	return name[0] && name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					    "0123456789_")] == '\0';
}

static bool setting(struct scan *s, struct line *l)
{
	_cleanup_free_ char *name = text(s), *value = NULL;
	size_t a, b;
	char *both;

	if (!name || !want(s, ':'))
		return false;
	value = text(s);
	if (!value)
		return false;
	if (!is_variable(name) || l->env_count == ENV_MAX)
		return wrong(s);
	a = strlen(name);
	b = strlen(value);
	both = malloc(a + b + 2);
	if (both) {
		memcpy(both, name, a);
		both[a] = '=';
		memcpy(both + a + 1, value, b + 1);
		l->env[l->env_count++] = both;
	} else {
		s->error = -ENOMEM;
	}
	explicit_bzero(value, b);
	return both;
}

static bool environment(struct scan *s, struct line *l)
{
	if (l->env || !want(s, '{'))
		return wrong(s);
	l->env = calloc(ENV_MAX + 1, sizeof(*l->env));
	if (!l->env) {
		s->error = -ENOMEM;
		return false;
	}
	if (have(s, '}'))
		return true;
	do
		if (!setting(s, l))
			return false;
	while (have(s, ','));
	return want(s, '}');
}

static bool token(struct scan *s, struct line *l)
{
	if (l->seen_token)
		return wrong(s);
	l->seen_token = true;
	return have_word(s, "null") || text_once(s, &l->token);
}

/* A value of no interest: brackets and strings are followed, the rest only has to look like JSON. */
static bool pass_over(struct scan *s)
{
	static const char scalar[] = "+-.0123456789abcdefghijklmnopqrstuvwxyzE";
	int depth = 0;
	bool any = false;

	for (;;) {
		skip_blanks(s);
		if (s->at == s->end || *s->at == '\0')
			return wrong(s);
		if (depth == 0 && any)
			return true;
		any = true;
		if (*s->at == '"') {
			_cleanup_free_ char *ignored = text(s);

			if (!ignored)
				return false;
		} else if (strchr("[{", *s->at)) {
			s->at++;
			if (++depth > DEPTH_MAX)
				return wrong(s);
		} else if (strchr("]}", *s->at) && depth > 0) {
			s->at++;
			depth--;
		} else if (strchr(scalar, *s->at)) {
			while (s->at < s->end && *s->at && strchr(scalar, *s->at))
				s->at++;
		} else if (strchr(",:", *s->at) && depth > 0) {
			s->at++;
		} else {
			return wrong(s);
		}
	}
}

static bool member(struct scan *s, struct line *l)
{
	_cleanup_free_ char *name = text(s);

	if (!name || !want(s, ':'))
		return false;
	if (strcmp(name, "event") == 0)
		return text_once(s, &l->event);
	if (strcmp(name, "listen") == 0)
		return text_once(s, &l->listen);
	if (strcmp(name, "error") == 0)
		return text_once(s, &l->error);
	if (strcmp(name, "token") == 0)
		return token(s, l);
	if (strcmp(name, "env") == 0)
		return environment(s, l);
	return pass_over(s);
}

static bool members(struct scan *s, struct line *l)
{
	if (!want(s, '{'))
		return false;
	do
		if (!member(s, l))
			return false;
	while (have(s, ','));
	if (!want(s, '}'))
		return false;
	skip_blanks(s);
	return s->at == s->end || wrong(s);
}

/* "ADDRESS:PORT": the port, or 0. */
static uint16_t port_of(const char *listen)
{
	const char *colon = strrchr(listen, ':');
	unsigned int port = 0;

	if (!colon || colon == listen || !colon[1])
		return 0;
	for (const char *p = colon + 1; *p; p++) {
		if (*p < '0' || *p > '9')
			return 0;
		port = port * 10 + (unsigned int)(*p - '0');
		if (port > UINT16_MAX)
			return 0;
	}
	return (uint16_t)port;
}

static bool is_token(const char *t)
{
	return strlen(t) == TOKEN_LEN && t[strspn(t, "0123456789abcdef")] == '\0';
}

static int understand(struct line *l, struct ready *ret)
{
	struct ready r = { 0 };

	if (!l->event)
		return -EPROTO;
	if (strcmp(l->event, "failed") == 0) {
		if (!l->error)
			return -EPROTO;
		r.failed = true;
		r.error = take_ptr(l->error);
		*ret = r;
		return 0;
	}
	if (strcmp(l->event, "ready") != 0 || !l->listen || !l->env || !l->seen_token)
		return -EPROTO;
	r.port = port_of(l->listen);
	if (r.port == 0 || (l->token && !is_token(l->token)))
		return -EPROTO;
	r.token = take_ptr(l->token);
	r.env = take_ptr(l->env);
	*ret = r;
	return 0;
}

static void wipe(char *p)
{
	if (p)
		explicit_bzero(p, strlen(p));
	free(p);
}

static void wipe_list(char **list)
{
	for (char **p = list; p && *p; p++)
		wipe(*p);
	free(list);
}

int ready_parse(const char *line, size_t n, struct ready *ret)
{
	struct scan s = { .at = line, .end = line + n };
	struct line l = { 0 };
	int r = members(&s, &l) ? understand(&l, ret) : s.error;

	free(l.event);
	free(l.listen);
	free(l.error);
	wipe(l.token);
	wipe_list(l.env);
	return r;
}

void ready_done(struct ready *r)
{
	wipe(r->token);
	wipe_list(r->env);
	free(r->error);
	*r = (struct ready){ 0 };
}
