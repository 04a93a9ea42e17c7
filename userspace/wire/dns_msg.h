/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035, RFC 6891, RFC 8914): a strict reader of queries, a reader of answers' records, and a writer of
 * answers. Fixed buffers, no allocation; compression pointers may only point backwards, so that no message loops.
 */
#ifndef NONO_WIRE_DNS_MSG_H
#define NONO_WIRE_DNS_MSG_H

#include "base/buf.h"
#include "base/cursor.h"
#include "wire/addr.h"

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_OPT = 41,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_ANY = 255,
	DNS_CAA = 257,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16, /* RFC 6891; only to a query with EDNS */
};

/* Extended DNS Errors (RFC 8914) that we give. */
enum dns_ede {
	DNS_EDE_NONE = -1,
	DNS_EDE_OTHER = 0,
	DNS_EDE_BLOCKED = 15,
	DNS_EDE_NOT_SUPPORTED = 21,
	DNS_EDE_NO_REACHABLE_AUTHORITY = 22,
	DNS_EDE_NETWORK_ERROR = 23,
};

#define DNS_NAME_MAX    253  /* presentation form without the trailing dot */
#define DNS_UDP_MIN     512  /* what every client takes */
#define DNS_UDP_MAX     1232 /* what we send and announce (DNS flag day 2020) */
#define DNS_MESSAGE_MAX 65535

/*
 * A name in presentation form. Labels are joined by '.'; no trailing dot; the root is the empty string. A label byte that is
 * a dot, a control, a blank, a backslash, DEL or above 0x7f makes the name `odd`: it is kept out of `text` and such a name can
 * only be refused.
 */
struct dns_name {
	uint8_t len;
	bool odd;
	char text[DNS_NAME_MAX + 1];
};

struct dns_query {
	uint16_t id;
	uint8_t opcode;
	bool rd, cd;
	uint16_t qtype, qclass;
	struct dns_name name;
	const uint8_t *question; /* the question section as sent: name, type, class */
	size_t question_len;
	bool edns;         /* an OPT record is there */
	uint8_t edns_version;
	uint16_t udp_size; /* what the client takes, 512 without EDNS; at least 512 */
};

enum dns_query_state {
	DNS_QUERY_OK,
	DNS_QUERY_DROP,    /* too short for a header, or an answer: say nothing */
	DNS_QUERY_FORMERR, /* answer FORMERR; id, rd, cd and opcode are valid, there is no question and no EDNS */
	DNS_QUERY_NOTIMP,  /* an opcode that is not QUERY; the same are valid */
	DNS_QUERY_BADVERS, /* EDNS version above 0 */
};

enum dns_query_state dns_query_parse(const uint8_t *p, size_t n, struct dns_query *ret);

/* One record of an answer; its rdata is read with dns_rr_rdata() or, where it is a name, with dns_name_read(). */
struct dns_rr {
	struct dns_name owner;
	uint16_t type, class;
	uint32_t ttl;
	size_t rdata_at; /* offset in the message */
	uint16_t rdata_len;
};

struct dns_reader {
	const uint8_t *msg;
	size_t n, at;
	uint16_t left; /* records left in the answer section */
	uint8_t rcode;
	bool tc;
};

/* Opens an answer and skips its question section. False if malformed or not an answer. */
bool dns_reader_open(struct dns_reader *r, const uint8_t *p, size_t n);

/* The next record of the answer section. 1 = one was read, 0 = end, -EBADMSG = malformed. */
int dns_reader_next(struct dns_reader *r, struct dns_rr *ret);

/* Reads a (possibly compressed) name at `at`; `*ret_next` is the offset behind it. */
bool dns_name_read(const uint8_t *msg, size_t n, size_t at, struct dns_name *ret, size_t *ret_next);

/*
 * The writer. dns_answer_begin() writes header and question into a caller's array; records follow; dns_answer_end() adds OPT
 * (with the EDE, if the client speaks EDNS), patches counts and returns the length. A record that does not fit sets TC and
 * is left out whole. The space for OPT is kept free from the beginning.
 */
struct dns_answer {
	uint8_t *p;
	size_t n, cap, reserve;
	uint16_t ancount;
	bool tc, edns;
	uint8_t rcode_high; /* the part of the rcode that goes into OPT */
	enum dns_ede ede;
	char ede_text[160];
};

/* `cap` bytes at p: at least DNS_UDP_MIN. For UDP the caller passes MIN(query size, DNS_UDP_MAX). */
void dns_answer_begin(struct dns_answer *a, const struct dns_query *q, enum dns_rcode rcode, uint8_t *p, size_t cap);
void dns_answer_rcode(struct dns_answer *a, enum dns_rcode rcode);
void dns_answer_ede(struct dns_answer *a, enum dns_ede code, const char *text);

/*
 * Records whose owner is the question's name (so there must be one). rdata of dns_answer_name() is a name written without
 * compression; a text that cannot be one turns the answer into SERVFAIL.
 */
void dns_answer_addr(struct dns_answer *a, uint32_t ttl, const struct addr *addr);
void dns_answer_name(struct dns_answer *a, uint16_t type, uint32_t ttl, const char *name);
void dns_answer_raw(struct dns_answer *a, uint16_t type, uint32_t ttl, const uint8_t *rdata, size_t n);

size_t dns_answer_end(struct dns_answer *a);

/*
 * Copies the rdata of a record with every name inside it uncompressed (MX, SRV, CNAME, NS, PTR have one; TXT and CAA none).
 * The length, or -EBADMSG / -ENOSPC / -EOPNOTSUPP (a type we do not pass).
 */
int dns_rr_rdata(const struct dns_reader *r, const struct dns_rr *rr, uint8_t *out, size_t cap);

/* The address that a reverse name (in-addr.arpa, ip6.arpa) stands for. */
bool dns_reverse_addr(const struct dns_name *name, struct addr *ret);

#endif
