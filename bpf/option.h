/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket options that lead a packet around the redirection, or make the kernel itself send one
 * (group membership: nothing but this list stops IGMP and MLD). Plain C, compiled for BPF and for
 * the host.
 *
 * The kernel's numbers are written out: they are ABI, and the libc's names for them differ. An
 * AF_INET6 socket takes both levels, so the level decides, never the socket's family.
 */
#ifndef NONO_BPF_OPTION_H
#define NONO_BPF_OPTION_H

#include "bpf/address.h"

#define OPT_LEVEL_SOCKET 1
#define OPT_LEVEL_IP	 0
#define OPT_LEVEL_IPV6	 41

static __always_inline int option_leads_around_socket(int name)
{
	return name == 25 || /* SO_BINDTODEVICE; "lo" as well: nobody needs it */
	       name == 62;   /* SO_BINDTOIFINDEX */
}

static __always_inline int option_leads_around_ip(int name)
{
	switch (name) {
	case 3:	 /* IP_HDRINCL */
	case 4:	 /* IP_OPTIONS: source routes */
	case 5:	 /* IP_ROUTER_ALERT */
	case 15: /* IP_FREEBIND */
	case 16: /* IP_IPSEC_POLICY */
	case 17: /* IP_XFRM_POLICY */
	case 19: /* IP_TRANSPARENT */
	case 32: /* IP_MULTICAST_IF */
	case 50: /* IP_UNICAST_IF */
		return 1;
	default:
		/* IP_ADD_MEMBERSHIP (35) … IP_MSFILTER (41), MCAST_JOIN_GROUP (42) … MCAST_MSFILTER
		 * (48) */
		if (name >= 35 && name <= 48)
			return 1;
		/* MRT_INIT (200) and what follows: multicast routing */
		return name >= 200 && name < 220;
	}
}

static __always_inline int option_leads_around_ipv6(int name)
{
	switch (name) {
	case 3:	 /* IPV6_2292HOPOPTS */
	case 4:	 /* IPV6_2292DSTOPTS */
	case 5:	 /* IPV6_2292RTHDR */
	case 6:	 /* IPV6_2292PKTOPTIONS: any of them, and a device */
	case 9:	 /* IPV6_NEXTHOP */
	case 17: /* IPV6_MULTICAST_IF */
	case 20: /* IPV6_ADD_MEMBERSHIP */
	case 21: /* IPV6_DROP_MEMBERSHIP */
	case 22: /* IPV6_ROUTER_ALERT */
	case 27: /* IPV6_JOIN_ANYCAST */
	case 28: /* IPV6_LEAVE_ANYCAST */
	case 34: /* IPV6_IPSEC_POLICY */
	case 35: /* IPV6_XFRM_POLICY */
	case 36: /* IPV6_HDRINCL */
	case 50: /* IPV6_PKTINFO: a device that sticks */
	case 54: /* IPV6_HOPOPTS */
	case 55: /* IPV6_RTHDRDSTOPTS */
	case 57: /* IPV6_RTHDR */
	case 59: /* IPV6_DSTOPTS */
	case 75: /* IPV6_TRANSPARENT */
	case 76: /* IPV6_UNICAST_IF */
	case 78: /* IPV6_FREEBIND */
		return 1;
	default:
		/* MCAST_JOIN_GROUP (42) … MCAST_MSFILTER (48) */
		if (name >= 42 && name <= 48)
			return 1;
		/* MRT6_INIT (200) and what follows */
		return name >= 200 && name < 220;
	}
}

static __always_inline int option_leads_around(int level, int name)
{
	switch (level) {
	case OPT_LEVEL_SOCKET:
		return option_leads_around_socket(name);
	case OPT_LEVEL_IP:
		return option_leads_around_ip(name);
	case OPT_LEVEL_IPV6:
		return option_leads_around_ipv6(name);
	default:
		return 0;
	}
}

#endif
