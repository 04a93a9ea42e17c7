/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "base/defs.h"
#include "bpf/packet.h"

static struct head4 head4(void)
{
	static const uint8_t bytes[20] = { 0x45, 0, 0,	 40, 0x12, 0x34, 0x40, 0,  64,	6,
					   0,	 0, 192, 0,  2,	   1,	 198,  51, 100, 7 };
	struct head4 h;

	memcpy(&h, bytes, sizeof(h));
	return h;
}

static struct head6 head6(void)
{
	static const uint8_t bytes[40] = { 0x60, 0,    0, 0, 0,	   20, 17,   64,   0x20, 1,
					   0x0d, 0xb8, 0, 0, 0,	   0,  0,    0,	   0,	 0,
					   0,	 0,    0, 1, 0x20, 1,  0x0d, 0xb8, 0,	 0,
					   0,	 0,    0, 0, 0,	   0,  0,    0,	   0,	 2 };
	struct head6 h;

	memcpy(&h, bytes, sizeof(h));
	return h;
}

static void test_ends_of_an_ipv4_packet(void **state)
{
	struct head4 h = head4();
	struct flow f = { 0 }, back;

	(void)state;
	assert_true(packet_read4(&h, &f));
	assert_int_equal(f.proto, IPPROTO_TCP);
	assert_true(ip_is_mapped(&f.src) && ip_is_mapped(&f.dst));
	assert_int_equal(f.src.w_be[3], htonl(0xc0000201));
	assert_int_equal(f.dst.w_be[3], htonl(0xc6336407));
	packet_ports(htonl(0x9c4001bb), &f);
	assert_int_equal(ntohs(f.sport_be), 40000);
	assert_int_equal(ntohs(f.dport_be), 443);
	back = flow_reversed(&f);
	assert_true(ip_eq(&back.src, &f.dst) && ip_eq(&back.dst, &f.src));
	assert_int_equal(back.sport_be, f.dport_be);
	assert_int_equal(back.dport_be, f.sport_be);
	assert_int_equal(back.proto, f.proto);
}

static void test_ends_of_an_ipv6_packet(void **state)
{
	struct head6 h = head6();
	struct flow f = { 0 };

	(void)state;
	assert_true(packet_read6(&h, &f));
	assert_int_equal(f.proto, IPPROTO_UDP);
	assert_int_equal(f.src.w_be[3], htonl(1));
	assert_int_equal(f.dst.w_be[3], htonl(2));
	assert_int_equal(f.dst.w_be[0], htonl(0x20010db8));
}

/* Every value of each byte that decides. */
static void test_ipv4_bytes_that_decide(void **state)
{
	struct flow f;

	(void)state;
	for (int v = 0; v < 256; v++) {
		struct head4 h = head4();
		uint8_t *p = (uint8_t *)&h;

		p[0] = (uint8_t)v;
		assert_int_equal(packet_read4(&h, &f), v == 0x45);
		h = head4();
		p[6] = (uint8_t)v;
		assert_int_equal(packet_read4(&h, &f), (v & 0x3f) == 0);
		h = head4();
		p[7] = (uint8_t)v;
		assert_int_equal(packet_read4(&h, &f), v == 0);
		h = head4();
		p[9] = (uint8_t)v;
		assert_int_equal(packet_read4(&h, &f), v == IPPROTO_TCP || v == IPPROTO_UDP);
	}
}

static void test_ipv6_bytes_that_decide(void **state)
{
	struct head6 h;
	struct flow f;
	uint8_t *p = (uint8_t *)&h;

	(void)state;
	for (int v = 0; v < 256; v++) {
		h = head6();
		p[0] = (uint8_t)v;
		assert_int_equal(packet_read6(&h, &f), v >> 4 == 6);
		h = head6();
		p[6] = (uint8_t)v;
		assert_int_equal(packet_read6(&h, &f), v == IPPROTO_TCP || v == IPPROTO_UDP);
	}
	h = head6();
	memset(p + 24, 0, 10);
	p[34] = p[35] = 0xff; /* to ::ffff:a.b.c.d */
	assert_false(packet_read6(&h, &f));
}

/* Of the twelfth byte on: offset, flags, window. Only a SYN without ACK opens a connection. */
static void test_packet_that_opens_a_connection(void **state)
{
	static const struct {
		uint8_t flags;
		bool opens;
		const char *reason;
	} rows[] = {
		{ 0x02, true, "SYN" },
		{ 0xc2, true, "SYN with ECN" },
		{ 0x0a, true, "SYN with PSH: Fast Open" },
		{ 0x03, true, "SYN and FIN: no kernel sends it" },
		{ 0x12, false, "SYN and ACK" },
		{ 0x10, false, "ACK" },
		{ 0x18, false, "data" },
		{ 0x11, false, "FIN" },
		{ 0x04, false, "RST" },
		{ 0x14, false, "RST and ACK" },
		{ 0x00, false, "none" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* The window has all the bits that the flags may not have. */
		const uint8_t bytes[4] = { 0x50, rows[i].flags, 0xff, 0xff };
		struct flow f = { .opens = !rows[i].opens }, back;
		uint32_t word_be;

		memcpy(&word_be, bytes, sizeof(word_be));
		packet_flags(word_be, &f);
		if (!!f.opens != rows[i].opens)
			fail_msg("%s", rows[i].reason);
		back = flow_reversed(&f);
		assert_false(back.opens);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packet_that_opens_a_connection),
		cmocka_unit_test(test_ends_of_an_ipv4_packet),
		cmocka_unit_test(test_ends_of_an_ipv6_packet),
		cmocka_unit_test(test_ipv4_bytes_that_decide),
		cmocka_unit_test(test_ipv6_bytes_that_decide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
