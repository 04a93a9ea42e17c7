/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages with descriptors between the roles, over a SOCK_SEQPACKET socketpair: one send, one
 * message, at most CHANNEL_MESSAGE_MAX bytes and CHANNEL_FDS_MAX descriptors.
 *
 * A message is a type and a payload that the typed encoders below write and read. The reader trusts
 * nothing: a message that does not parse to its last byte is -EBADMSG and the other side is given
 * up. Plain payloads have no wrapping: a sentence is the whole payload, a u32 is its four bytes,
 * big-endian.
 */
#ifndef NONO_IPC_CHANNEL_H
#define NONO_IPC_CHANNEL_H

#include "base/buf.h"
#include "base/cursor.h"
#include "base/reason.h"

#define CHANNEL_MESSAGE_MAX (128 * 1024) /* of the payload */
#define CHANNEL_FDS_MAX	    32

enum message_type {
	MSG_PROXY_SETUP = 1, /* supervisor to proxy, first: ipc/setup.h */
	MSG_INIT_SETUP,	     /* supervisor to init, first */
	MSG_READY,	     /* a role to the supervisor: it serves; no payload */
	MSG_FAILED,	     /* a role to the supervisor: it cannot; a sentence */
	MSG_REFUSAL,	     /* proxy to supervisor: something was refused: struct refusal_note */
	MSG_GO,		     /* supervisor to init: start COMMAND */
	MSG_STATUS,	     /* init to supervisor: COMMAND's state: struct status_note */
	MSG_SIGNAL,	     /* supervisor to init: pass this signal on; u32 */
	MSG_STOP,	   /* supervisor to proxy: drain for at most this many ms, then end; u32 */
	MSG_SOCKET_WANTED, /* proxy to supervisor: one of the sandbox's network: struct socket_wanted */
	MSG_SOCKET,	   /* supervisor to proxy: here it is, or why not: struct socket_note */
	MSG_TYPE_END
};

struct message {
	enum message_type type;
	struct buf body; /* owned */
	int fds[CHANNEL_FDS_MAX];
	size_t fd_count; /* owned while they stand here; take them with message_take_fd() */
};

#define MESSAGE_INIT                                  \
	{                                             \
		.body = BUF_INIT(CHANNEL_MESSAGE_MAX) \
	}
void message_done(struct message *m);
#define _cleanup_message_ _cleanup_(message_done)

/* The caller owns it from now on; -EBADF if there is none at this place (any more). */
int message_take_fd(struct message *m, size_t i);

/* A payload that is a sentence, with control characters in it or not: a view of all of it. */
static inline struct str message_sentence(const struct message *m)
{
	return buf_str(&m->body);
}

/* A payload that is one number. 0 or -EBADMSG. */
_must_check_ int message_u32(const struct message *m, uint32_t *ret);

/* A close-on-exec pair. */
_must_check_ int channel_pair(int ret[2]);

/* Blocking send. `fds` stay the caller's. 0 or -errno (-EPIPE: the other side is gone). */
_must_check_ int channel_send(int fd, enum message_type type, struct str body, const int *fds,
			      size_t fd_count);

/* The same without waiting: -EAGAIN when the other side does not read. */
_must_check_ int channel_try_send(int fd, enum message_type type, struct str body, const int *fds,
				  size_t fd_count);

/*
 * One message. 0, -EPIPE at EOF, -EAGAIN on a non-blocking channel, -EBADMSG. `ret` was set up with
 * MESSAGE_INIT; what it held is released, and on failure it stays as it was.
 */
_must_check_ int channel_recv(int fd, struct message *ret);

/* Payload pieces: counted strings (u32 length) and numbers. Reading a string yields a view into the
 * message. */
_must_check_ int put_str(struct buf *b, struct str s);
_must_check_ int put_u64(struct buf *b, uint64_t v);
struct str get_str(struct cursor *c);
uint64_t get_u64(struct cursor *c);

struct refusal_note {
	struct str target;
	uint16_t port;
	enum reason reason;
	uint32_t count;
};

_must_check_ int refusal_note_put(struct buf *b, const struct refusal_note *n);
_must_check_ int refusal_note_get(const struct message *m, struct refusal_note *ret);

enum command_state {
	COMMAND_EXITED = 1, /* value: exit status */
	COMMAND_KILLED,	    /* value: signal */
	COMMAND_STOPPED,    /* value: signal */
	COMMAND_CONTINUED,
	COMMAND_NOT_RUN, /* value: errno of execve() */
	COMMAND_PID,	 /* value: its pid in the sandbox's namespace: it is running */
};

struct status_note {
	enum command_state state;
	int value;
};

_must_check_ int status_note_put(struct buf *b, const struct status_note *n);
_must_check_ int status_note_get(const struct message *m, struct status_note *ret);

/* `number` is the asker's: the answer has it, too. */
struct socket_wanted {
	uint32_t number;
	uint8_t family; /* 4 or 6 */
};

_must_check_ int socket_wanted_put(struct buf *b, const struct socket_wanted *n);
_must_check_ int socket_wanted_get(const struct message *m, struct socket_wanted *ret);

/* With one descriptor, or with an error (positive) and none. */
struct socket_note {
	uint32_t number;
	int error;
};

_must_check_ int socket_note_put(struct buf *b, const struct socket_note *n);
_must_check_ int socket_note_get(const struct message *m, struct socket_note *ret);

#endif
