/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/kernel.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "io/log.h"

struct kernel_watch {
	struct server *server;
	struct kernel_events *events;
	struct co *co;
};

/* What was tried, as the summary names it. Targets with a colon-prefix ask for something that no
 * option allows. */
static void name_of(const struct kernel_refusal *k, char *out, size_t n)
{
	char text[ADDR_TEXT_MAX];

	switch (k->what) {
	case KEV_UDP:
		(void)snprintf(out, n, "udp:%s", addr_text(&k->to.addr, text));
		return;
	case KEV_SOCKET:
		(void)snprintf(out, n, "socket:type %u protocol %u", k->type, k->protocol);
		return;
	case KEV_BIND:
		(void)snprintf(out, n, "bind:a port of the proxy");
		return;
	case KEV_OPTION:
		(void)snprintf(out, n, "option:level %u name %u", k->type, k->protocol);
		return;
	case KEV_DEVICE:
		(void)snprintf(out, n, "device:a socket bound to a device");
		return;
	case KEV_EGRESS:
		(void)snprintf(out, n, "packet:%s", addr_text(&k->to.addr, text));
		return;
	case KEV_INGRESS:
		(void)snprintf(out, n, "packet:from outside");
		return;
	case KEV_UNIX:
		(void)snprintf(out, n, "unix:%s", k->name ? k->name : "a socket outside");
		return;
	case KEV_NETNS:
		(void)snprintf(out, n, "namespace:of its own, to %s", addr_text(&k->to.addr, text));
		return;
	default:
		(void)snprintf(out, n, "%s", addr_text(&k->to.addr, text));
		return;
	}
}

/* An address that is refused always is refused for that; everything else for what it speaks. */
static enum reason reason_of(const struct server *s, const struct kernel_refusal *k)
{
	enum reason r = REASON_NONE;

	if (k->to.addr.family)
		r = addr_class_reason(addr_classify(&k->to.addr, &s->filter->addr_opt, NULL));
	/* We live, so it came from a network namespace in which we have no listener. */
	if (k->what == KEV_NO_LISTENER)
		return s->draining ? REASON_SHUTTING_DOWN : REASON_NO_REDIRECT_ENTRY;
	return r ? r : REASON_PROTOCOL_UNKNOWN;
}

static void on_refusal(void *arg, const struct kernel_refusal *k)
{
	struct kernel_watch *w = arg;
	struct event e = EVENT_INIT;
	char target[NONO_UNIX_PATH + 8];

	name_of(k, target, sizeof(target));
	e.mode = MODE_TRANSPARENT;
	e.reason = reason_of(w->server, k);
	e.target = target;
	e.port = k->to.port;
	e.orig_dst = k->to;
	e.pid = (int32_t)k->pid;
	e.uid = k->uid;
	e.comm = k->comm;
	audit_refusal(w->server->audit, &e, loop_now(w->server->loop));
}

static void watch_run(void *arg)
{
	struct kernel_watch *w = arg;

	while (io_poll_in(kernel_events_fd(w->events), NSEC_NEVER) == 0)
		kernel_events_read(w->events);
}

int kernel_watch_start(struct server *s, int ring_map, struct kernel_watch **ret)
{
	struct kernel_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->server = s;
	r = kernel_events_open(ring_map, on_refusal, w, &w->events);
	if (r == 0)
		r = co_spawn(s->loop, watch_run, w, &w->co);
	if (r < 0) {
		kernel_watch_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void kernel_watch_stop(struct kernel_watch *w)
{
	if (!w)
		return;
	kernel_events_read(w->events);
	co_cancel(w->co);
}

void kernel_watch_free(struct kernel_watch *w)
{
	if (!w)
		return;
	kernel_events_free(w->events);
	free(w);
}
