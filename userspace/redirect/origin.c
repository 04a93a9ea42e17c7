/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the maps that the BPF programs fill. Everything works by map descriptor alone, without the
 * object and without any capability, because the proxy has neither.
 */
#include "redirect/origin.h"

#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static struct ip ip_from_addr(const struct addr *a)
{
	struct ip ip = { { 0, 0, htonl(0xffff), 0 } };

	if (a->family == 4)
		memcpy(&ip.w_be[3], a->b, 4);
	else
		memcpy(ip.w_be, a->b, sizeof(ip.w_be));
	return ip;
}

static struct endpoint endpoint_from_ip(const struct ip *ip, uint16_t port_be)
{
	struct endpoint e = { .addr.family = 6, .port = ntohs(port_be) };

	memcpy(e.addr.b, ip->w_be, sizeof(e.addr.b));
	e.addr = addr_unmap(&e.addr);
	return e;
}

static void copy_comm(char out[static 16], const char in[static 16])
{
	memcpy(out, in, 16);
	out[15] = '\0';
}

static struct tuple_key key_of(uint64_t netns_cookie, const struct endpoint *peer)
{
	struct tuple_key key = {
		.netns = netns_cookie,
		.src = ip_from_addr(&peer->addr),
		.port = peer->port,
	};

	return key;
}

int origin_lookup(int tuple_map, uint64_t netns_cookie, const struct endpoint *peer,
		  struct origin *ret)
{
	struct tuple_key key = key_of(netns_cookie, peer);
	struct tuple_value value;
	int r;

	r = bpf_map_lookup_elem(tuple_map, &key, &value);
	if (r < 0)
		return r;
	*ret = (struct origin){
		.to = endpoint_from_ip(&value.origin.dst, value.origin.port_be),
		.client = value.client,
		.pid = value.origin.pid,
		.uid = value.origin.uid,
	};
	copy_comm(ret->comm, value.origin.comm);
	return 0;
}

/*
 * Between the two calls a new connection may take the tuple over; then its entry goes and it is
 * closed, which is the safe side. The socket of the old one is gone by then, so the client asked
 * for it by a reset.
 */
void origin_forget(int tuple_map, uint64_t netns_cookie, const struct endpoint *peer,
		   uint64_t client)
{
	struct tuple_key key = key_of(netns_cookie, peer);
	struct tuple_value value;

	if (bpf_map_lookup_elem(tuple_map, &key, &value) < 0 || value.client != client)
		return;
	(void)bpf_map_delete_elem(tuple_map, &key);
}

struct kernel_events {
	struct ring_buffer *ring;
	void (*fn)(void *arg, const struct kernel_refusal *k);
	void *arg;
};

void unix_name_text(const struct unix_name *name, char ret[static NONO_UNIX_PATH + 1])
{
	uint32_t n = MIN(name->n, (uint32_t)NONO_UNIX_PATH);

	for (uint32_t i = 0; i < n; i++) {
		uint8_t c = name->bytes[i];

		ret[i] = c > 0x20 && c < 0x7f ? (char)c : '?';
	}
	if (n && !name->bytes[0])
		ret[0] = '@';
	ret[n] = '\0';
}

static int on_record(void *arg, void *data, size_t n)
{
	struct kernel_events *k = arg;
	struct kernel_event e;
	struct kernel_refusal out;
	struct kernel_event_unix u;
	char name[NONO_UNIX_PATH + 1];

	if (n < sizeof(e))
		return 0;
	memcpy(&e, data, sizeof(e));
	out = (struct kernel_refusal){
		.to = endpoint_from_ip(&e.dst, e.port_be),
		.what = e.kind,
		.pid = e.pid,
		.uid = e.uid,
		.type = e.type,
		.protocol = (uint8_t)e.protocol,
	};
	copy_comm(out.comm, e.comm);
	if (e.kind == KEV_UNIX && n >= sizeof(u)) {
		memcpy(&u, data, sizeof(u));
		unix_name_text(&u.name, name);
		out.name = name;
	}
	k->fn(k->arg, &out);
	return 0;
}

int kernel_events_open(int ring_map, void (*fn)(void *arg, const struct kernel_refusal *k),
		       void *arg, struct kernel_events **ret)
{
	struct kernel_events *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->fn = fn;
	k->arg = arg;
	k->ring = ring_buffer__new(ring_map, on_record, k, NULL);
	if (!k->ring) {
		int r = errno ? -errno : -EIO;

		free(k);
		return r;
	}
	*ret = k;
	return 0;
}

int kernel_events_fd(const struct kernel_events *k)
{
	return ring_buffer__epoll_fd(k->ring);
}

void kernel_events_read(struct kernel_events *k)
{
	(void)ring_buffer__consume(k->ring);
}

void kernel_events_free(struct kernel_events *k)
{
	if (!k)
		return;
	ring_buffer__free(k->ring);
	free(k);
}
