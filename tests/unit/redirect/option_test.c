/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/defs.h"
#include "bpf/option.h"

/* The C library's names, where it has them: the table in the header is numbers. */
static void test_options_by_name(void **state)
{
	static const int refused[][2] = {
		{ SOL_SOCKET, SO_BINDTODEVICE },
		{ SOL_SOCKET, SO_BINDTOIFINDEX },
		{ IPPROTO_IP, IP_OPTIONS },
		{ IPPROTO_IP, IP_HDRINCL },
		{ IPPROTO_IP, IP_ROUTER_ALERT },
		{ IPPROTO_IP, IP_FREEBIND },
		{ IPPROTO_IP, IP_TRANSPARENT },
		{ IPPROTO_IP, IP_IPSEC_POLICY },
		{ IPPROTO_IP, IP_XFRM_POLICY },
		{ IPPROTO_IP, IP_UNICAST_IF },
		{ IPPROTO_IP, IP_MULTICAST_IF },
		{ IPPROTO_IP, IP_ADD_MEMBERSHIP },
		{ IPPROTO_IP, IP_DROP_MEMBERSHIP },
		{ IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP },
		{ IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP },
		{ IPPROTO_IP, IP_BLOCK_SOURCE },
		{ IPPROTO_IP, IP_UNBLOCK_SOURCE },
		{ IPPROTO_IP, IP_MSFILTER },
		{ IPPROTO_IP, MCAST_JOIN_GROUP },
		{ IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP },
		{ IPPROTO_IP, MCAST_MSFILTER },
		{ IPPROTO_IP, 200 /* MRT_INIT */ },
		{ IPPROTO_IPV6, IPV6_JOIN_GROUP },
		{ IPPROTO_IPV6, IPV6_LEAVE_GROUP },
		{ IPPROTO_IPV6, IPV6_MULTICAST_IF },
		{ IPPROTO_IPV6, IPV6_UNICAST_IF },
		{ IPPROTO_IPV6, IPV6_JOIN_ANYCAST },
		{ IPPROTO_IPV6, IPV6_RTHDR },
		{ IPPROTO_IPV6, IPV6_HOPOPTS },
		{ IPPROTO_IPV6, IPV6_DSTOPTS },
		{ IPPROTO_IPV6, IPV6_RTHDRDSTOPTS },
		{ IPPROTO_IPV6, IPV6_PKTINFO },
		{ IPPROTO_IPV6, IPV6_NEXTHOP },
		{ IPPROTO_IPV6, IPV6_2292RTHDR },
		{ IPPROTO_IPV6, IPV6_2292HOPOPTS },
		{ IPPROTO_IPV6, IPV6_2292DSTOPTS },
		{ IPPROTO_IPV6, IPV6_2292PKTOPTIONS },
		{ IPPROTO_IPV6, IPV6_TRANSPARENT },
		{ IPPROTO_IPV6, IPV6_FREEBIND },
		{ IPPROTO_IPV6, IPV6_HDRINCL },
		{ IPPROTO_IPV6, MCAST_JOIN_GROUP },
		{ IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP },
		{ IPPROTO_IPV6, 200 /* MRT6_INIT */ },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (!option_leads_around(refused[i][0], refused[i][1]))
			print_error("%d %d\n", refused[i][0], refused[i][1]);
		assert_true(option_leads_around(refused[i][0], refused[i][1]));
	}
}

static void test_options_that_programs_need(void **state)
{
	static const int allowed[][2] = {
		{ SOL_SOCKET, SO_REUSEADDR },
		{ SOL_SOCKET, SO_REUSEPORT },
		{ SOL_SOCKET, SO_KEEPALIVE },
		{ SOL_SOCKET, SO_LINGER },
		{ SOL_SOCKET, SO_MARK },
		{ SOL_SOCKET, SO_RCVTIMEO },
		{ IPPROTO_IP, IP_TOS },
		{ IPPROTO_IP, IP_TTL },
		{ IPPROTO_IP, IP_RECVERR },
		{ IPPROTO_IP, IP_PKTINFO },
		{ IPPROTO_IP, IP_MTU_DISCOVER },
		{ IPPROTO_IP, IP_MULTICAST_TTL },
		{ IPPROTO_IP, IP_MULTICAST_LOOP },
		{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
		{ IPPROTO_IPV6, IPV6_V6ONLY },
		{ IPPROTO_IPV6, IPV6_RECVPKTINFO },
		{ IPPROTO_IPV6, IPV6_RECVERR },
		{ IPPROTO_IPV6, IPV6_TCLASS },
		{ IPPROTO_IPV6, IPV6_UNICAST_HOPS },
		{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS },
		{ IPPROTO_IPV6, IPV6_ADDRFORM },
		{ IPPROTO_TCP, 1 /* TCP_NODELAY */ },
		{ IPPROTO_TCP, 25 },
		{ IPPROTO_UDP, 103 /* UDP_SEGMENT */ },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		assert_false(option_leads_around(allowed[i][0], allowed[i][1]));
	assert_false(option_leads_around(SOL_SOCKET, -1));
	assert_false(option_leads_around(-1, 25));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_by_name),
		cmocka_unit_test(test_options_that_programs_need),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
