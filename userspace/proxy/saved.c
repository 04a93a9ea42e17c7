/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is short: there are caps on names and addresses, and one of its own. Past that, and when a write fails, nothing
 * more is saved; a successor then decides by the first bytes, as for any address that it does not know.
 */
#include "proxy/saved.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/log.h"

#define SAVED_MAX ((size_t)8 << 20)
#define LINE_SIZE (HOST_NAME_MAX_LEN + 1 + ADDR_TEXT_MAX + 1)

static void restore_line(struct str line, struct bindings *b)
{
	const char *blank = memchr(line.p, ' ', line.n);
	struct str name, address;
	struct addr a;
	struct host h;

	if (!blank)
		return;
	name = (struct str){ line.p, (size_t)(blank - line.p) };
	address = (struct str){ blank + 1, line.n - name.n - 1 };
	if (!host_parse_ascii(name, &h) || h.is_addr || !addr_parse(address, &a))
		return;
	if (bindings_add(b, h.name, &a, 1) < 0)
		log_debug("a saved binding finds no room");
}

static int read_whole(int fd, struct buf *ret)
{
	for (off_t at = 0;;) {
		uint8_t *p = buf_reserve(ret, 65536);
		ssize_t n;

		if (!p)
			return -ENOSPC;
		n = pread(fd, p, 65536, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_commit(ret, (size_t)n);
		at += n;
	}
}

void saved_restore(int fd, struct bindings *b)
{
	_cleanup_buf_ struct buf text = BUF_INIT(SAVED_MAX + 65536);
	const char *p, *end;
	int r;

	if (fd < 0)
		return;
	r = read_whole(fd, &text);
	if (r < 0)
		log_warn("the bindings of the proxy before cannot be read: %s", strerror(-r));
	p = (const char *)buf_data(&text);
	end = p ? p + buf_len(&text) : NULL;
	while (p && p < end) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));

		if (!line_end)
			break;
		restore_line((struct str){ p, (size_t)(line_end - p) }, b);
		p = line_end + 1;
	}
	/* A line that was cut short must not swallow the next one. */
	if (p && p < end && write(fd, "\n", 1) != 1)
		log_debug("the file of bindings cannot be written");
}

static bool is_bound(const struct bound_name *n, const struct addr *a)
{
	struct addr folded = addr_unmap(a);

	for (size_t i = 0; n && i < n->count; i++)
		if (addr_eq(&n->addrs[i]->addr, &folded))
			return true;
	return false;
}

static bool has_room(int fd, size_t n)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (uint64_t)st.st_size + n <= SAVED_MAX;
}

void saved_append(int fd, const struct bindings *b, const char *name, const struct addr *addrs,
		  size_t n)
{
	static bool complained;
	const struct bound_name *bound = bindings_by_name(b, name);
	_cleanup_buf_ struct buf out = BUF_INIT(LINE_SIZE * BINDINGS_MAX_ADDRS_PER_ADD);
	char text[ADDR_TEXT_MAX];

	if (fd < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (!is_bound(bound, &addrs[i]) &&
		    buf_printf(&out, "%s %s\n", name, addr_text(&addrs[i], text)) < 0)
			return;
	/* One write: it is there whole, or cut at the end of the file. */
	if (buf_len(&out) &&
	    (!has_room(fd, buf_len(&out)) ||
	     write(fd, buf_data(&out), buf_len(&out)) != (ssize_t)buf_len(&out)) &&
	    !complained) {
		complained = true;
		log_warn("bindings cannot be saved any more: a proxy that takes over will not know "
			 "them");
	}
}
