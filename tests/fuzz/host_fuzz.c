/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a host, as a host with a port, and as a pattern. What must hold: a name has only its
 * own letters and is its own normal form; nothing that a resolver reads as an address stays a name;
 * the parts of "HOST:PORT" are those that would be read alone; a deny rule made of a text refuses
 * the host of the same text, whatever is allowed.
 */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>

#include "policy/filter.h"

static void check_normal(const struct host *h)
{
	char brackets[HOST_NAME_MAX_LEN + 3];
	struct host again;
	struct in_addr in;

	assert(strlen(h->name) == h->len && h->len > 0 && h->len <= HOST_NAME_MAX_LEN);
	assert(host_parse(str_of(h->name), &again) && memcmp(h, &again, sizeof(again)) == 0);
	assert(host_parse_ascii(str_of(h->name), &again) && memcmp(h, &again, sizeof(again)) == 0);
	if (!h->is_addr) {
		assert(strspn(h->name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == h->len);
		assert(h->name[0] != '.' && h->name[h->len - 1] != '.' && !strstr(h->name, ".."));
		assert(inet_aton(h->name, &in) == 0);
	} else if (h->addr.family == 4) {
		assert(inet_pton(AF_INET, h->name, &in) == 1 && memcmp(&in, h->addr.b, 4) == 0);
	} else {
		brackets[0] = '[';
		memcpy(brackets + 1, h->name, h->len);
		brackets[h->len + 1] = ']';
		assert(host_parse((struct str){ brackets, h->len + 2U }, &again));
		assert(memcmp(h, &again, sizeof(again)) == 0);
	}
}

static void check_host_port(struct str s)
{
	struct host h, alone;
	uint16_t port, again;

	if (!host_port_parse(s, &h, &port))
		return;
	check_normal(&h);
	if (port == 0) {
		assert(host_parse(s, &alone));
	} else {
		const char *colon = memrchr(s.p, ':', s.n);
		size_t n = (size_t)(colon - s.p);

		assert(port_parse((struct str){ colon + 1, s.n - n - 1 }, &again) && again == port);
		assert(host_parse((struct str){ s.p, n }, &alone));
	}
	assert(memcmp(&h, &alone, sizeof(h)) == 0);
}

static void check_pattern(const char *text)
{
	char why[200];
	struct filter f;
	struct verdict v;
	struct host h;
	uint16_t port;

	filter_init(&f);
	assert(filter_add_domain(&f, false, "*", "fuzz", why, sizeof(why)) == 0);
	assert(filter_add_cidr(&f, "127.0.0.0/8:443", "fuzz", why, sizeof(why)) == 0);
	memset(why, 0, sizeof(why));
	if (filter_add_domain(&f, true, text, "fuzz", why, sizeof(why)) < 0) {
		assert(f.count == 2 && why[0] == '"' && memchr(why, '\0', sizeof(why)));
		for (const char *p = why; *p; p++)
			assert((unsigned char)*p >= ' ' && *p != 0x7f);
	} else if (text[0] != '*') {
		assert(host_port_parse(str_of(text), &h, &port));
		filter_check_host(&f, &h, port ? port : 443, &v);
		assert(!v.allowed);
	}
	if (filter_add_cidr(&f, text, "fuzz", why, sizeof(why)) == 0)
		assert(f.rules->next->next && strchr(text, ':'));
	filter_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = fuzz_copy(data, size);
	struct str s = { (const char *)copy, size };
	struct host wide, ascii;
	bool ok = host_parse(s, &wide);
	char *z;

	if (ok)
		check_normal(&wide);
	/* Without IDNA less is accepted, never something else. */
	if (host_parse_ascii(s, &ascii))
		assert(ok && memcmp(&wide, &ascii, sizeof(wide)) == 0);
	check_host_port(s);
	if (size < 2000) {
		z = malloc(size + 1);
		assert(z);
		if (size)
			memcpy(z, data, size);
		z[size] = '\0';
		check_pattern(z);
		free(z);
	}
	free(copy);
	return 0;
}
