/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of files: each wrong one with its exact place and sentence; what right ones set, and from
 * which line.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/fields.h"

#define V "{\"version\": 1, "

struct bad {
	const char *text, *why, *reason;
};

/* From an allocation of just its size: a read behind the end is seen. */
static int parse(struct config *c, const char *text, size_t n, char *why, size_t why_n)
{
	char *copy = malloc(n ? n : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, text, n);
	config_init(c);
	r = config_parse(c, "f.json", (struct str){ copy, n }, why, why_n);
	free(copy);
	return r;
}

static void must_fail_with(const char *text, size_t n, const char *wanted, const char *reason)
{
	char why[1024] = "";
	struct config c;

	if (parse(&c, text, n, why, sizeof(why)) != -EINVAL)
		fail_msg("%s: not refused (%s)", reason, why);
	if (strcmp(why, wanted) != 0)
		fail_msg("%s:\n got    %s\n wanted %s", reason, why, wanted);
	config_done(&c);
}

static void check_bad(const struct bad *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		must_fail_with(rows[i].text, strlen(rows[i].text), rows[i].why, rows[i].reason);
}

static void test_syntax(void **state)
{
	static const struct bad rows[] = {
		{ "", "f.json:1:1: the text ends where more is expected", "empty" },
		{ "\n // only a comment\n", "f.json:3:1: the text ends where more is expected",
		  "nothing but a comment" },
		{ "{", "f.json:1:2: the text ends where more is expected", "cut" },
		{ "{\"version\": 1\n", "f.json:2:1: the text ends where more is expected",
		  "not closed" },
		{ "{\"version\": \"1", "f.json:1:15: the text ends where more is expected",
		  "cut within a string" },
		{ "[]", "f.json:1:1: a configuration is one object: '{' is expected here",
		  "a list" },
		{ "\n \"x\"", "f.json:2:2: a configuration is one object: '{' is expected here",
		  "a string" },
		{ "version: 1", "f.json:1:1: a configuration is one object: '{' is expected here",
		  "YAML" },
		{ "{version: 1}", "f.json:1:2: a key in double quotes, or '}', is expected here",
		  "a key without quotes" },
		{ "{'version': 1}", "f.json:1:2: a key in double quotes, or '}', is expected here",
		  "single quotes" },
		{ "{,}", "f.json:1:2: a key in double quotes, or '}', is expected here",
		  "only a comma" },
		{ "{\"version\": 1,,}",
		  "f.json:1:15: a key in double quotes, or '}', is expected here", "two commas" },
		{ "{\"version\" 1}", "f.json:1:12: ':' is expected here", "no colon" },
		{ "{\"version\": 1\n \"monitor\": true}", "f.json:2:2: ',' or '}' is expected here",
		  "no comma" },
		{ V "\"allowed_hosts\": [\"a\" \"b\"]}", "f.json:1:38: ',' or ']' is expected here",
		  "no comma in a list" },
		{ V "\"allowed_hosts\": [,]}", "f.json:1:34: a value is expected here",
		  "a list with only a comma" },
		{ V "\"monitor\": tru}",
		  "f.json:1:27: this is no JSON value; strings stand in double quotes",
		  "half a word" },
		{ V "\"monitor\": True}",
		  "f.json:1:27: this is no JSON value; strings stand in double quotes",
		  "a word of another language" },
		{ "{\"version\": 01}",
		  "f.json:1:13: this is no JSON value; strings stand in double quotes", "octal" },
		{ "{\"version\": 0x1}", "f.json:1:13: ',' or '}' is expected here", "hexadecimal" },
		{ "{\"version\": 1} x", "f.json:1:16: nothing may stand behind the closing '}'",
		  "something behind" },
		{ "{\"version\": 1}\n{}", "f.json:2:1: nothing may stand behind the closing '}'",
		  "two objects" },
		{ "{\"version\": 99999999999999999999}", "f.json:1:13: this number is too large",
		  "beyond 64 bits" },
		{ V "\"log_level\": \"a\nb\"}", "f.json:1:29: this string does not end on its line",
		  "a line end in a string" },
		{ V "\"log_level\": \"a\tb\"}",
		  "f.json:1:29: a control character in a string; write it as \\u00XX",
		  "a tab in a string" },
		{ V "\"log_level\": \"\\q\"}", "f.json:1:29: an escape that JSON does not have",
		  "wrong escape" },
		{ V "\"log_level\": \"\\ud800\"}", "f.json:1:29: half of a surrogate pair",
		  "half a pair" },
		{ V "\"log_level\": \"a\\u0000b\"}", "f.json:1:29: a string may not contain NUL",
		  "NUL, escaped" },
		{ V "\"a\\u0000b\": 1}", "f.json:1:16: a string may not contain NUL",
		  "NUL in a key" },
		{ V "\"log_level\": \"ab\xff\"}", "f.json:1:32: this is not UTF-8", "not UTF-8" },
		{ V "\"log_level\": \"\xc0\x80\"}", "f.json:1:30: this is not UTF-8",
		  "NUL in two bytes" },
		{ V "\xff\"log_level\": 1}", "f.json:1:16: this is not UTF-8",
		  "not UTF-8 outside of a string" },
	};

	(void)state;
	check_bad(rows, ARRAY_SIZE(rows));
}

static void test_comments(void **state)
{
	static const struct bad rows[] = {
		{ "/* x */ /* y", "f.json:1:9: this comment does not end", "unterminated" },
		{ "{\"version\": 1} /*/", "f.json:1:16: this comment does not end",
		  "its star does not close it" },
		{ "/* a /* b */ */ {}",
		  "f.json:1:14: the end of a comment that was not begun; comments do not nest",
		  "nested" },
		{ "{\"ver/**/sion\": 1}",
		  "f.json:1:1: \"version\" is missing; write \"version\": 1",
		  "within a string it is none" },
		{ "{ /* \xc3\xbc\xe2\x82\xac */ version: 1}",
		  "f.json:1:12: a key in double quotes, or '}', is expected here",
		  "columns are characters, in comments too" },
		{ "// x\r\n// y\r\n{\"version\": 2}",
		  "f.json:3:13: version 2 is not known; this program reads version 1",
		  "lines that end with CR LF" },
		{ V "# x\n}", "f.json:1:16: a key in double quotes, or '}', is expected here",
		  "a comment of another language" },
		{ "\xef\xbb\xbf{}",
		  "f.json:1:1: a byte order mark; save the file as UTF-8 without one", "a BOM" },
	};

	(void)state;
	check_bad(rows, ARRAY_SIZE(rows));
}

static void test_keys(void **state)
{
	static const struct bad rows[] = {
		{ "{}", "f.json:1:1: \"version\" is missing; write \"version\": 1", "no version" },
		{ "\n\n  {\"monitor\": true}",
		  "f.json:3:3: \"version\" is missing; write \"version\": 1",
		  "no version, but others" },
		{ "{\"version\": 1, \"version\": 1}",
		  "f.json:1:16: this key is here for the second time", "twice" },
		{ V "\n\"allowed_hosts\": [\"a.b\"],\n \"allowed_hosts\": []}",
		  "f.json:3:2: this key is here for the second time", "twice at the top" },
		{ V "\"dns\": {\"servers\": [],\n\"servers\": []}}",
		  "f.json:2:1: this key is here for the second time", "twice in a section" },
		{ V "\"dns\": {}, \"dns\": {}}",
		  "f.json:1:27: this key is here for the second time", "a section twice" },
		{ V "\"monitor\": true, \"m\\u006fnitor\": false}",
		  "f.json:1:33: this key is here for the second time", "twice, escaped" },
		{ V "\"routes\": [{\"a\": 1, \"a\": 2}]}",
		  "f.json:1:36: this key is here for the second time",
		  "twice within what is not served" },
		{ V "\n  \"allowed_host\": []}",
		  "f.json:2:3: unknown key \"allowed_host\"; did you mean \"allowed_hosts\"?",
		  "misspelt" },
		{ V "\"limit\": {}}",
		  "f.json:1:16: unknown key \"limit\"; did you mean \"limits\"?",
		  "a misspelt section" },
		{ V "\"dns\": {\"timeout\": 1}}",
		  "f.json:1:24: unknown key \"timeout\"; did you mean \"timeout_ms\"?",
		  "misspelt in a section" },
		{ V "\"frobnicate\": 1}", "f.json:1:16: unknown key \"frobnicate\"",
		  "like nothing" },
		{ V "\"\": 1}", "f.json:1:16: unknown key \"\"", "an empty key" },
		{ V "\"Version\": 1}",
		  "f.json:1:16: unknown key \"Version\"; did you mean \"version\"?",
		  "capitals count" },
		{ V "\"timeout_ms\": 1}", "f.json:1:16: \"timeout_ms\" belongs into \"dns\"",
		  "of a section, at the top" },
		{ V "\"audit\": {\"timeout_ms\": 1}}",
		  "f.json:1:26: \"timeout_ms\" belongs into \"dns\"", "in another section" },
		{ V "\"dns\": {\"allowed_hosts\": []}}",
		  "f.json:1:24: \"allowed_hosts\" belongs to the top level",
		  "of the top, in a section" },
		{ V "\"dns\": {\"dns\": {}}}", "f.json:1:24: unknown key \"dns\"",
		  "a section in itself" },
		{ "{\"nonsense\": 1, \"version\": 2}",
		  "f.json:1:28: version 2 is not known; this program reads version 1",
		  "the version is looked at first" },
	};

	(void)state;
	check_bad(rows, ARRAY_SIZE(rows));
}

static void test_types(void **state)
{
	static const struct bad rows[] = {
		{ "{\"version\": \"1\"}",
		  "f.json:1:13: \"version\" must be a whole number, not a string", "a string" },
		{ "{\"version\": 1.0}",
		  "f.json:1:13: \"version\" must be a whole number, not a number with a fraction",
		  "a fraction" },
		{ "{\"version\": null}",
		  "f.json:1:13: \"version\" must be a whole number, not null", "null" },
		{ V "\"allowed_hosts\": \"a.b\"}",
		  "f.json:1:33: \"allowed_hosts\" must be a list of strings, not a string",
		  "not a list" },
		{ V "\"allowed_hosts\": null}",
		  "f.json:1:33: \"allowed_hosts\" must be a list of strings, not null",
		  "null is no empty list" },
		{ V "\"denied_hosts\": {\"a\": 1}}",
		  "f.json:1:32: \"denied_hosts\" must be a list of strings, not an object",
		  "an object" },
		{ V "\"allowed_hosts\": [\"a.b\",\n  [\"c.d\"]]}",
		  "f.json:2:3: each item of \"allowed_hosts\" must be a string, not a list",
		  "a list in it" },
		{ V "\"dns\": {\"servers\": [53]}}",
		  "f.json:1:36: each item of \"servers\" must be a string, not a number",
		  "a number in it" },
		{ V "\"redirect\": {\"publish\": 3000}}",
		  "f.json:1:40: \"publish\" must be a list of numbers, not a number",
		  "a port alone" },
		{ V "\"redirect\": {\"publish\": [80, \"81\"]}}",
		  "f.json:1:45: each item of \"publish\" must be a number, not a string",
		  "a port in quotes" },
		{ V "\"redirect\": {\"publish\": [80.5]}}",
		  "f.json:1:41: each item of \"publish\" must be a number, not a number with a "
		  "fraction",
		  "half a port" },
		{ V "\"redirect\": {\"publish\": [\n0]}}",
		  "f.json:2:1: each item of \"publish\" must be from 1 to 65535, not 0",
		  "no port" },
		{ V "\"redirect\": {\"publish\": [1,65536]}}",
		  "f.json:1:43: each item of \"publish\" must be from 1 to 65535, not 65536",
		  "a port that there is not" },
		{ V
		  "\"redirect\": {\"publish\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,16,\n17]}}",
		  "f.json:2:1: too many ports to publish (at most 16)", "too many ports" },
		{ V "\"redirect\": [3000]}",
		  "f.json:1:28: \"redirect\" must be an object, not a list",
		  "ports without a key" },
		{ V "\"monitor\": 1}",
		  "f.json:1:27: \"monitor\" must be true or false, not a number", "a number" },
		{ V "\"monitor\": \"false\"}",
		  "f.json:1:27: \"monitor\" must be true or false, not a string", "a string" },
		{ V "\"limits\": {\"max_connections\": \"10\"}}",
		  "f.json:1:46: \"max_connections\" must be a whole number, not a string",
		  "a number in quotes" },
		{ V "\"limits\": []}", "f.json:1:26: \"limits\" must be an object, not a list",
		  "a section that is a list" },
		{ V "\"audit\": true}", "f.json:1:25: \"audit\" must be an object, not true",
		  "a section that is true" },
		{ V "\"audit\": {\"path\": false}}",
		  "f.json:1:34: \"path\" must be a string, not false", "a path" },
		{ V "\"log_level\": 1}",
		  "f.json:1:29: \"log_level\" must be a string, not a number", "a word" },
		{ V "\"bind_addr\": 127}",
		  "f.json:1:29: \"bind_addr\" must be a string, not a number", "an address" },
		{ V "\"bind_addr\": null}", "f.json:1:29: \"bind_addr\" must be a string, not null",
		  "no address" },
		{ V "\"bind_port\": \"8080\"}",
		  "f.json:1:29: \"bind_port\" must be a whole number, not a string",
		  "a port in quotes" },
		{ V "\"limits\": {\"header_timeout_secs\": 0.5}}",
		  "f.json:1:50: \"header_timeout_secs\" must be a whole number, not a number with "
		  "a fraction",
		  "half a second" },
		{ V "\"$schema\": 1}", "f.json:1:27: \"$schema\" must be a string, not a number",
		  "what is ignored has a type" },
	};

	(void)state;
	check_bad(rows, ARRAY_SIZE(rows));
}

static void test_values(void **state)
{
	static const struct bad rows[] = {
		{ "{\"version\": 0}",
		  "f.json:1:13: version 0 is not known; this program reads version 1", "0" },
		{ "{\"version\": 4294967297}",
		  "f.json:1:13: version 4294967297 is not known; this program reads version 1",
		  "1 in 32 bits" },
		{ V "\"limits\": {\"max_connections\": 0}}",
		  "f.json:1:46: \"max_connections\" must be from 1 to 1000000, not 0", "0" },
		{ V "\"limits\": {\"max_connections\": 1000001}}",
		  "f.json:1:46: \"max_connections\" must be from 1 to 1000000, not 1000001",
		  "one too many" },
		{ V "\"limits\": {\"max_connections\": -1}}",
		  "f.json:1:46: \"max_connections\" must be from 1 to 1000000, not -1",
		  "negative" },
		{ V "\"limits\": {\"idle_timeout_secs\": 4294967297}}",
		  "f.json:1:48: \"idle_timeout_secs\" must be from 1 to 604800, not 4294967297",
		  "1 in 32 bits" },
		{ V "\"limits\": {\"connect_timeout_secs\": 601}}",
		  "f.json:1:51: \"connect_timeout_secs\" must be from 1 to 600, not 601", "long" },
		{ V "\"limits\": {\"header_timeout_secs\": 0}}",
		  "f.json:1:50: \"header_timeout_secs\" must be from 1 to 600, not 0", "no time" },
		{ V "\"limits\": {\"header_timeout_secs\": 601}}",
		  "f.json:1:50: \"header_timeout_secs\" must be from 1 to 600, not 601", "long" },
		{ V "\"bind_port\": -1}",
		  "f.json:1:29: \"bind_port\" must be from 0 to 65535, not -1", "negative" },
		{ V "\"bind_port\": 65536}",
		  "f.json:1:29: \"bind_port\" must be from 0 to 65535, not 65536", "0 in 16 bits" },
		{ V "\"dns\": {\"timeout_ms\": 99}}",
		  "f.json:1:38: \"timeout_ms\" must be from 100 to 60000, not 99", "short" },
		{ V "\"dns\": {\"max_labels_per_wildcard\": 65537}}",
		  "f.json:1:51: \"max_labels_per_wildcard\" must be from 1 to 65536, not 65537",
		  "more than there is room for" },
		{ V "\"dns\": {\"servers\": [\"dns.example.com\"]}}",
		  "f.json:1:36: \"dns.example.com\" is no address; say ADDR or ADDR:PORT, "
		  "[IPv6]:PORT",
		  "a name" },
		{ V "\"dns\": {\"servers\": [\"\"]}}",
		  "f.json:1:36: \"\" is no address; say ADDR or ADDR:PORT, [IPv6]:PORT",
		  "nothing" },
		{ V "\"audit\": {\"path\": \"audit.jsonl\"}}",
		  "f.json:1:34: \"path\" must be an absolute path, not \"audit.jsonl\"",
		  "relative" },
		{ V "\"audit\": {\"path\": \"\"}}",
		  "f.json:1:34: \"path\" must be an absolute path, not \"\"", "no path" },
		{ V "\"audit\": {\"on_full\": \"allow\"}}",
		  "f.json:1:37: \"on_full\" must be \"deny\", not \"allow\"", "open" },
		{ V "\"log_level\": \"loud\"}",
		  "f.json:1:29: \"log_level\" must be \"error\", \"warn\", \"info\" or \"debug\", "
		  "not \"loud\"",
		  "no level" },
		{ V "\"log_format\": \"xml\"}",
		  "f.json:1:30: \"log_format\" must be \"text\" or \"json\", not \"xml\"",
		  "no format" },
	};

	(void)state;
	check_bad(rows, ARRAY_SIZE(rows));
}

#define EVERY	   " means every address; name one address of this machine"
#define NO_MACHINE " is no machine's address; name one address of this machine"
#define NO_ADDRESS " is no address; say an IP address, such as 127.0.0.1 or ::1"

static void test_addresses_to_listen_on(void **state)
{
	static const struct {
		const char *text, *fault, *reason;
	} rows[] = {
		{ "0.0.0.0", EVERY, "every one" },
		{ "::", EVERY, "every one, IPv6" },
		{ "0:0:0:0:0:0:0:0", EVERY, "written out" },
		{ "::0.0.0.0", EVERY, "with IPv4 at the end" },
		{ "::ffff:0.0.0.0", EVERY, "every one of IPv4, in disguise" },
		{ "::ffff:0:0", EVERY, "the same in hexadecimal" },
		{ "224.0.0.1", NO_MACHINE, "multicast" },
		{ "ff02::1", NO_MACHINE, "multicast, IPv6" },
		{ "255.255.255.255", NO_MACHINE, "broadcast" },
		{ "::ffff:224.0.0.1", NO_MACHINE, "multicast, in disguise" },
		{ "", NO_ADDRESS, "nothing" },
		{ "localhost", NO_ADDRESS, "a name" },
		{ "*", NO_ADDRESS, "a star" },
		{ "0", NO_ADDRESS, "every one, as inet_aton reads it" },
		{ "127.1", NO_ADDRESS, "short" },
		{ "127.0.0.01", NO_ADDRESS, "a leading zero" },
		{ "127.0.0.1:8080", NO_ADDRESS, "with a port" },
		{ "[::1]", NO_ADDRESS, "brackets" },
		{ "fe80::1%eth0", NO_ADDRESS, "a zone" },
		{ "127.0.0.1/8", NO_ADDRESS, "a network" },
		{ " 127.0.0.1", NO_ADDRESS, "a blank" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[128], wanted[256];

		(void)snprintf(text, sizeof(text), V "\n\t\"bind_addr\": \"%s\"}", rows[i].text);
		(void)snprintf(wanted, sizeof(wanted), "f.json:2:15: \"%s\"%s", rows[i].text,
			       rows[i].fault);
		must_fail_with(text, strlen(text), wanted, rows[i].reason);
	}
}

static void test_an_address_to_listen_on_is_unmapped(void **state)
{
	static const struct {
		const char *text, *wanted;
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1" },	     { "::1", "::1" },
		{ "::ffff:127.0.0.2", "127.0.0.2" }, { "192.0.2.7", "192.0.2.7" },
		{ "2001:DB8:0::1", "2001:db8::1" },  { "10.0.0.1", "10.0.0.1" },
		{ "169.254.7.8", "169.254.7.8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[ADDR_TEXT_MAX];
		const char *fault;
		struct addr a;

		assert_int_equal(config_bind_parse(rows[i].text, &a, &fault), 0);
		assert_string_equal(addr_text(&a, text), rows[i].wanted);
	}
}

/* The sentences are those of the patterns; here it matters that they come, and with the place of the item. */
static void test_patterns(void **state)
{
	static const struct {
		const char *text, *begin, *part, *reason;
	} rows[] = {
		{ V "\"allowed_hosts\": [\"a.b\",\n\t\"foo..example.com\"]}",
		  "f.json:2:2: ", "foo..example.com", "an empty label" },
		{ V "\"allowed_hosts\": [\"\"]}", "f.json:1:34: ", "\"\"", "nothing" },
		{ V "\"denied_hosts\": [\"*.*.a.b\"]}", "f.json:1:33: ", "*.*.a.b", "two stars" },
		{ V "\"allowed_hosts\": [\"169.254.169.254\"]}", "f.json:1:34: ", "169.254.169.254",
		  "what no rule can allow" },
		{ V "\"allowed_cidrs\": [\"10.0.0.0/8\"]}", "f.json:1:34: ", "10.0.0.0/8",
		  "no port" },
		{ V "\"allowed_cidrs\": [\"10.0.0.0/33:1\"]}", "f.json:1:34: ", "10.0.0.0/33:1",
		  "a length too long" },
		{ V "\"allowed_hosts\": [\"a b\"]}", "f.json:1:34: ", "a b", "a blank" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char why[1024] = "";
		struct config c;

		if (parse(&c, rows[i].text, strlen(rows[i].text), why, sizeof(why)) != -EINVAL ||
		    strncmp(why, rows[i].begin, strlen(rows[i].begin)) != 0 ||
		    !strstr(why, rows[i].part))
			fail_msg("%s: %s", rows[i].reason, why);
		config_done(&c);
	}
}

static void test_nul(void **state)
{
	static const char text[] = "{\"version\": 1,\n\0}", comment[] = "// \0\n{\"version\": 1}";

	(void)state;
	must_fail_with(text, sizeof(text) - 1, "f.json:2:1: a NUL byte; this is not text", "NUL");
	must_fail_with(comment, sizeof(comment) - 1, "f.json:1:4: a NUL byte; this is not text",
		       "NUL in a comment");
}

static void test_nested_deep(void **state)
{
	static const char head[] = V "\"x\": ";
	char text[sizeof(head) - 1 + 4000 + 1];

	(void)state;
	memcpy(text, head, sizeof(head) - 1);
	memset(text + sizeof(head) - 1, '[', 2000);
	memset(text + sizeof(head) - 1 + 2000, ']', 2000);
	text[sizeof(text) - 1] = '}';
	must_fail_with(text, sizeof(text), "f.json:1:52: the brackets are nested too deep here",
		       "2000 lists");
}

static void test_unserved_fields_are_refused_by_name(void **state)
{
	size_t seen = 0;

	(void)state;
	for (size_t i = 0; i < config_field_count; i++) {
		const struct config_field *f = &config_fields[i];
		char text[256], wanted[256];

		if (f->kind != CONFIG_UNSERVED)
			continue;
		seen++;
		(void)snprintf(text, sizeof(text), V "\n %s%s%s\"%s\": null%s}",
			       f->section ? "\"" : "", f->section ? f->section : "",
			       f->section ? "\": {" : "", f->name, f->section ? "}" : "");
		(void)snprintf(wanted, sizeof(wanted),
			       "f.json:2:%zu: \"%s\" is not served yet by this version",
			       2 + (f->section ? strlen(f->section) + 5 : 0), f->name);
		must_fail_with(text, strlen(text), wanted, f->name);
	}
	assert_true(seen > 0);
}

static void test_too_many_rules(void **state)
{
	size_t room = 64 + 8 * (CONFIG_RULES_MAX + 1), n;
	char *text = malloc(room), wanted[128];

	(void)state;
	assert_non_null(text);
	n = (size_t)snprintf(text, room, V "\"allowed_hosts\": [");
	for (size_t i = 0; i <= CONFIG_RULES_MAX; i++)
		n += (size_t)snprintf(text + n, room - n, "\n\"a.b\",");
	n += (size_t)snprintf(text + n, room - n, "]}");
	(void)snprintf(wanted, sizeof(wanted), "f.json:%d:1: too many rules (at most %d)",
		       CONFIG_RULES_MAX + 2, CONFIG_RULES_MAX);
	must_fail_with(text, n, wanted, "one rule too many");
	free(text);
}

/* ---- what is right ---- */

static const char all[] =
	"// everything\n"
	"{\n"
	"  \"$schema\": \"https://example.com/schema.json\",\n"
	"  \"version\": 1,\n"
	"  \"allowed_hosts\": [\n"
	"    \"api.example.com\", /* , ] */ \"*.example.org:443\",\n"
	"    \"b\\u00fccher.example\", // an escape\n"
	"  ],\n"
	"  \"denied_hosts\": [\"bad.example.org\"],\n"
	"  \"allowed_cidrs\": [\"10.0.0.0/8:5432\"],\n"
	"  \"bind_addr\": \"2001:db8::7\", \"bind_port\": 65535,\n"
	"  \"monitor\": true, \"log_level\": \"debug\", \"log_format\": \"json\",\n"
	"  \"dns\": { \"servers\": [\"192.0.2.53\", \"[2001:db8::53]:5353\"],\n"
	"    \"timeout_ms\": 100, \"max_labels_per_wildcard\": 65536 },\n"
	"  \"l\\u0069mits\": { \"max_connections\": 1000000,\n"
	"    \"idle_timeout_secs\": 604800, \"connect_timeout_secs\": 1,\n"
	"    \"header_timeout_secs\": 600 },\n"
	"  \"audit\": { \"path\": \"/var/log/a.jsonl\", \"on_full\": \"deny\", },\n"
	"  \"redirect\": { \"publish\": [3000, /* once */ 3000, 65535] },\n"
	"}\n";

static void must_be_rule(const struct config *c, size_t i, const char *text, const char *origin,
			 bool deny, bool cidr)
{
	const struct setup_rule *r = &c->rules[i];

	assert_string_equal(r->text, text);
	assert_string_equal(r->origin, origin);
	assert_int_equal(r->deny, deny);
	assert_int_equal(r->cidr, cidr);
}

static void must_be_number(const struct config_number *n, uint32_t v, const char *origin)
{
	assert_int_equal(n->v, v);
	assert_string_equal(n->origin, origin);
}

static void test_everything(void **state)
{
	char why[1024] = "";
	struct config c;

	(void)state;
	if (parse(&c, all, sizeof(all) - 1, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	assert_int_equal(c.rule_count, 5);
	must_be_rule(&c, 0, "api.example.com", "f.json:6", false, false);
	must_be_rule(&c, 1, "*.example.org:443", "f.json:6", false, false);
	must_be_rule(&c, 2,
		     "b\xc3\xbc"
		     "cher.example",
		     "f.json:7", false, false);
	must_be_rule(&c, 3, "bad.example.org", "f.json:9", true, false);
	must_be_rule(&c, 4, "10.0.0.0/8:5432", "f.json:10", false, true);
	assert_int_equal(c.server_count, 2);
	assert_string_equal(c.servers[0], "192.0.2.53");
	assert_string_equal(c.servers[1], "[2001:db8::53]:5353");
	assert_true(c.monitor.v);
	assert_string_equal(c.bind_addr.v, "2001:db8::7");
	assert_string_equal(c.bind_addr.origin, "f.json:11");
	must_be_number(&c.bind_port, 65535, "f.json:11");
	assert_string_equal(c.monitor.origin, "f.json:12");
	assert_string_equal(c.log_level.v, "debug");
	assert_string_equal(c.log_level.origin, "f.json:12");
	assert_string_equal(c.log_format.v, "json");
	must_be_number(&c.dns_timeout_ms, 100, "f.json:14");
	must_be_number(&c.max_labels_per_wildcard, 65536, "f.json:14");
	must_be_number(&c.max_connections, 1000000, "f.json:15");
	must_be_number(&c.idle_timeout_secs, 604800, "f.json:16");
	must_be_number(&c.connect_timeout_secs, 1, "f.json:16");
	must_be_number(&c.header_timeout_secs, 600, "f.json:17");
	assert_string_equal(c.audit_path.v, "/var/log/a.jsonl");
	assert_string_equal(c.audit_path.origin, "f.json:18");
	assert_string_equal(c.audit_on_full.v, "deny");
	assert_int_equal(c.publish_count, 2);
	assert_int_equal(c.publish[0], 3000);
	assert_int_equal(c.publish[1], 65535);
	config_done(&c);
}

static void test_the_least_file_changes_nothing(void **state)
{
	static const char text[] = "{\"version\":1}";
	struct proxy_setup s = PROXY_SETUP_INIT;
	char why[1024] = "";
	struct config c;

	(void)state;
	assert_int_equal(parse(&c, text, sizeof(text) - 1, why, sizeof(why)), 0);
	assert_int_equal(c.rule_count, 0);
	assert_int_equal(c.server_count, 0);
	assert_int_equal(c.publish_count, 0);
	/* The defaults of the table are those of the proxy. */
	assert_int_equal(c.max_connections.v, s.max_connections);
	assert_int_equal(c.max_labels_per_wildcard.v, s.max_names_per_wildcard);
	assert_int_equal(c.dns_timeout_ms.v, s.dns_timeout_ms);
	assert_int_equal(c.connect_timeout_secs.v * 1000, s.connect_timeout_ms);
	assert_int_equal(c.idle_timeout_secs.v * 1000, s.idle_timeout_ms);
	assert_int_equal(c.header_timeout_secs.v * 1000, s.header_timeout_ms);
	assert_string_equal(c.bind_addr.v, "127.0.0.1");
	assert_null(c.bind_addr.origin);
	assert_int_equal(c.bind_port.v, 0);
	assert_null(c.bind_port.origin);
	assert_null(c.max_connections.origin);
	assert_string_equal(c.log_level.v, "warn");
	assert_null(c.log_level.origin);
	assert_string_equal(c.log_format.v, "text");
	assert_string_equal(c.audit_path.v, "/var/log/nono-proxy/audit.jsonl");
	assert_string_equal(c.audit_on_full.v, "deny");
	assert_false(c.monitor.v);
	assert_null(c.monitor.origin);
	config_done(&c);
}

/* Every beginning of a right file is refused, in one way or another. */
static void test_every_cut_is_refused(void **state)
{
	size_t end = sizeof(all) - 3; /* the closing brace */

	(void)state;
	assert_int_equal(all[end], '}');
	for (size_t n = 0; n <= end; n++) {
		char why[1024] = "";
		struct config c;

		assert_int_equal(parse(&c, all, n, why, sizeof(why)), -EINVAL);
		assert_memory_equal(why, "f.json:", 7);
		config_done(&c);
	}
}

/* Whatever byte is changed: refused with a place, or accepted; the two walks stay in step. */
static void test_every_changed_byte_is_survived(void **state)
{
	static const char with[] = "\"{}[],:/*\\\n 0\xff";

	(void)state;
	for (size_t i = 0; i < sizeof(all) - 1; i++) {
		for (size_t k = 0; k < sizeof(with) - 1; k++) {
			char text[sizeof(all) - 1], why[1024] = "";
			struct config c;

			memcpy(text, all, sizeof(text));
			text[i] = with[k];
			if (parse(&c, text, sizeof(text), why, sizeof(why)) < 0)
				assert_memory_equal(why, "f.json:", 7);
			config_done(&c);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_addresses_to_listen_on),
		cmocka_unit_test(test_an_address_to_listen_on_is_unmapped),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_nested_deep),
		cmocka_unit_test(test_unserved_fields_are_refused_by_name),
		cmocka_unit_test(test_too_many_rules),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_the_least_file_changes_nothing),
		cmocka_unit_test(test_every_cut_is_refused),
		cmocka_unit_test(test_every_changed_byte_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
