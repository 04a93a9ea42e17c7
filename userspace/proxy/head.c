/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/head.h"

#include <string.h>

#include "wire/http_head.h"

#define READ_SIZE 16384

ssize_t head_receive(int fd, struct buf *b, nsec_t deadline)
{
	size_t had, line = 0; /* bytes of the line that has not ended */
	ssize_t n;

	for (;;) {
		had = buf_len(b);
		n = io_recv_buf(fd, b, READ_SIZE, deadline);
		if (n <= 0 || !had || memchr(buf_data(b) + had, '\n', (size_t)n))
			return n;
		line += (size_t)n;
		if (line >= HTTP_LINE_MAX)
			return n;
	}
}
