/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a resolver's answer. What must hold: the reader ends, no record lies outside the
 * message, and rdata that was copied out is uncompressed: put into an answer of our own and read
 * again, it is the same.
 */
#include "tests/fuzz/fuzz.h"

#include "wire/dns_msg.h"

static const uint8_t question[] = { 1, 'x', 0, 0, 1, 0, 1 };

static void check_again(uint16_t type, uint32_t ttl, const uint8_t *rdata, size_t n)
{
	static uint8_t out[DNS_MESSAGE_MAX];
	const struct dns_query q = {
		.udp_size = DNS_UDP_MIN,
		.question = question,
		.question_len = sizeof(question),
	};
	struct dns_answer a;
	struct dns_reader r;
	struct dns_rr rr;
	uint8_t *again;
	size_t len;

	dns_answer_begin(&a, &q, DNS_NOERROR, out, sizeof(out));
	dns_answer_raw(&a, type, ttl, rdata, n);
	len = dns_answer_end(&a);
	assert(len <= sizeof(out) && dns_reader_open(&r, out, len));
	if (r.tc)
		return;
	assert(dns_reader_next(&r, &rr) == 1 && rr.type == type && rr.ttl == ttl &&
	       rr.rdata_len == n);
	again = malloc(n);
	assert(again);
	assert(dns_rr_rdata(&r, &rr, again, n) == (int)n);
	assert(memcmp(again, rdata, n) == 0);
	if (n > 0)
		assert(dns_rr_rdata(&r, &rr, again, n - 1) == -ENOSPC);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t rdata[DNS_MESSAGE_MAX];
	uint8_t *in = fuzz_copy(data, size);
	struct dns_reader r;
	struct dns_name name;
	size_t next, count = 0;

	for (size_t at = 0; at <= MIN(size, 64U); at++)
		if (dns_name_read(in, size, at, &name, &next)) {
			assert(next > at && next <= size);
			assert(strlen(name.text) == name.len && name.len <= DNS_NAME_MAX);
		}
	if (dns_reader_open(&r, in, size)) {
		struct dns_rr rr;
		int more;

		while ((more = dns_reader_next(&r, &rr)) > 0) {
			int n = dns_rr_rdata(&r, &rr, rdata, sizeof(rdata));

			assert(rr.rdata_at + rr.rdata_len <= size);
			assert(++count <= size / 11);
			assert(n >= 0 || n == -EBADMSG || n == -EOPNOTSUPP);
			if (n >= 0)
				check_again(rr.type, rr.ttl, rdata, (size_t)n);
		}
		assert(more == 0 || more == -EBADMSG);
		/* It stays where it ended. */
		assert(dns_reader_next(&r, &rr) == more);
	}
	free(in);
	return 0;
}
