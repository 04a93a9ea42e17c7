/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/listen.h"

#include <errno.h>
#include <stdio.h>

#include "io/race.h"

#define READ_SIZE 16384

struct judgement listen_hello(const struct conn *c, struct tls_hello *ret)
{
	switch (tls_hello_parse(buf_data(&c->first), buf_len(&c->first), ret)) {
	case TLS_HELLO_MORE:
		return (struct judgement){ .step = LISTEN_MORE };
	case TLS_HELLO_OK:
		return judged_pass();
	case TLS_HELLO_NOT_TLS:
	case TLS_HELLO_MALFORMED:
		break;
	}
	return judged_refuse(REASON_TLS_MALFORMED);
}

bool listen_sni(struct conn *c, const struct tls_hello *hello, struct host *ret)
{
	(void)snprintf(c->sni, sizeof(c->sni), "%s", hello->sni);
	return host_parse_ascii((struct str){ hello->sni, hello->sni_len }, ret) && !ret->is_addr;
}

/* Passes on what the server says before the client was judged. 1: more may come; 0: it has ended;
 * -errno. */
static int greet(struct conn *c, struct judgement *j)
{
	nsec_t deadline = loop_now(c->server->loop) + c->server->limits.idle;
	uint8_t bytes[4096];
	ssize_t n = io_recv(c->up, bytes, sizeof(bytes), deadline);
	int r;

	if (n < 0)
		return (int)n;
	if (n == 0)
		return loop_shutdown(c->server->loop, c->fd, SHUT_WR) < 0 ? -EPIPE : 0;
	if (!c->opened && !conn_open_record(c)) {
		*j = judged_refuse(REASON_AUDIT_FAILED);
		return 1;
	}
	r = io_send_all(c->fd, bytes, (size_t)n, deadline);
	if (r < 0)
		return r;
	c->early_down += (uint64_t)n;
	return 1;
}

/* Receives what the client says next, and judges. 0 or -errno. */
static int hear(struct conn *c, judge_fn *judge, void *arg, nsec_t deadline, struct judgement *ret)
{
	ssize_t n = io_recv_buf(c->fd, &c->first, READ_SIZE, deadline);

	if (n < 0)
		return (int)n;
	*ret = !buf_len(&c->first) ? judged_pass() : judge(c, arg, n == 0 ? FLOW_ENDED : FLOW_ON);
	return 0;
}

int listen_to_client(struct conn *c, judge_fn *judge, void *arg, struct judgement *ret)
{
	const struct server_limits *l = &c->server->limits;
	bool server_ended = false, spoke = buf_len(&c->first) > 0;
	nsec_t deadline = loop_now(c->server->loop) + (spoke ? l->first_bytes : l->idle);

	*ret = spoke ? judge(c, arg, FLOW_ON) : (struct judgement){ .step = LISTEN_MORE };
	while (ret->step == LISTEN_MORE) {
		int ready = io_poll_either(c->fd, server_ended ? -EBADF : c->up, deadline);

		if (ready == -ETIME && spoke) {
			*ret = judge(c, arg, FLOW_SLOW);
			continue;
		}
		if (ready < 0)
			return ready;
		if (ready & 2) {
			int g = greet(c, ret);

			if (g < 0)
				return g;
			server_ended = g == 0;
			if (!spoke)
				deadline = loop_now(c->server->loop) + l->idle;
		}
		if (ready & 1 && ret->step == LISTEN_MORE) {
			int e = hear(c, judge, arg, deadline, ret);

			if (e < 0)
				return e;
			if (!spoke)
				deadline = loop_now(c->server->loop) + l->first_bytes;
			spoke = true;
		}
	}
	return 0;
}
