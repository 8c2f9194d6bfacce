/* channel.h - sending and receiving messages, and descriptors along with them.
 *
 * Role: all. channel.c is the one place that touches SCM_RIGHTS between processes of the daemon. See
 * messages.h for the shape of a datagram and messages.def for the table that receivers enforce.
 */
#ifndef VFSD_CHANNEL_H
#define VFSD_CHANNEL_H

#include "ipc/messages.h"

/* Messages that are waiting to travel in one datagram. Owned by one thread. */
struct ipc_batch {
	uint32_t used; /* bytes */
	uint32_t count;
	uint32_t nfds;
	uint32_t seq; /* see IPC_SEQ_SHIFT; kept by who fills it, 0: none */
	bool resent; /* see IPC_RESENT */
	int fds[IPC_FDS_MAX];
	bool fd_close[IPC_FDS_MAX]; /* close this one once it was sent (or dropped) */
	uint64_t buf[IPC_DGRAM_MAX / 8];
};

/* One received message; pointers into the datagram's buffer. */
struct ipc_msg {
	const struct ipc_hdr *hdr;
	const void *body; /* NULL in an error reply */
	const char *tail;
	uint32_t tail_len;
	const int *fds; /* nfds of them; take one by ipc_take_fd() or it is closed by ipc_dgram_end() */
	uint32_t nfds;
};

/* A received datagram. Where it lies in memory that outlives the process, ipc_dgram_found() tells the next one what was
 * being served. */
struct ipc_dgram {
	uint32_t len, pos;
	uint32_t nfds, fd_pos;
	uint32_t seq; /* its number, 0: none */
	bool resent; /* see IPC_RESENT */
	int fds[IPC_FDS_MAX];
	uint64_t buf[IPC_DGRAM_MAX / 8];
};

const char *ipc_type_name(uint16_t type);

/* ipc_pair() - a socketpair for a channel; both ends close-on-exec and blocking.
 * Returns 0, -ENOBUFS when net.core.wmem_max of this host is too small for a datagram, or another -errno. */
int ipc_pair(int sv[2]) NODISCARD;

void ipc_batch_reset(struct ipc_batch *b);

/* ipc_batch_add() - append a message with room for its body and a tail of tail_len bytes.
 * @type: enum ipc_type, with IPC_REPLY for a reply.
 * @error: for replies; a message with an error has no body and no tail (tail_len must be 0).
 * @tail: out, where to write the tail (may be NULL when tail_len is 0).
 * Return: the zeroed body to fill in (for an error reply: something not NULL), or NULL when the batch is full:
 * flush and try again. A single message always fits an empty batch. */
void *ipc_batch_add(struct ipc_batch *b, uint16_t type, uint64_t tag, int error, uint32_t tail_len,
		    char **tail);

/* ipc_batch_trim() - the message added last has a shorter tail than was reserved. */
void ipc_batch_trim(struct ipc_batch *b, uint32_t tail_len);

/* ipc_batch_room() - bytes of tail that a message of this type could still have (0 if it does not fit at all). */
uint32_t ipc_batch_room(const struct ipc_batch *b, uint16_t type);

/* ipc_batch_fd() - attach a descriptor to the message added last. The batch borrows it until it is sent or, with
 * close_after, owns it. Return false when the datagram has no room for one more (nothing is attached). */
bool ipc_batch_fd(struct ipc_batch *b, int fd, bool close_after);

/* ipc_batch_send() - send what is waiting as one datagram and reset the batch.
 * Return: 0; -EAGAIN when the socket is full and non-blocking, or the kernel has no memory (the batch is kept: try
 * again when it is writable); -ETOOMANYREFS when too many descriptors are on their way in sockets (the batch is
 * kept; the kernel counts them by the sender's real user id, so who does not take them may be anybody); another
 * -errno when the channel is gone (the batch is reset). */
int ipc_batch_send(int fd, struct ipc_batch *b) NODISCARD;

/* ipc_batch_send_patiently() - the same, tried again for some three seconds while the kernel has no room for it: who takes over must
 * not fail because others of its user have many descriptors under way at the moment. For who may call ppoll(). */
int ipc_batch_send_patiently(int fd, struct ipc_batch *b) NODISCARD;

/* ipc_batch_found() - make a batch of what a process before this one left behind in its memory: `used` bytes of messages
 * that may go in direction `dir`. What is no such message, and all behind it, is dropped. Descriptors are attached anew.
 * @fd_of: the descriptor to lend for a message, or -1. */
void ipc_batch_found(struct ipc_batch *b, uint32_t used, enum ipc_dir dir,
		     int (*fd_of)(void *arg, const struct ipc_hdr *h, const void *body), void *arg);

/* ipc_batch_drop_fds() - the messages that wait travel without their descriptors. Only for messages that the table
 * allows to have none. */
void ipc_batch_drop_fds(struct ipc_batch *b);

/* ipc_recv() - receive one datagram. Descriptors are close-on-exec.
 * @flags: 0 or MSG_DONTWAIT.
 * Return: 1, 0 at the end (the peer has closed), -EAGAIN, -EINTR, -EPROTO when the datagram broke a rule
 * (empty, truncated, descriptors lost), or another -errno. */
int ipc_recv(int fd, struct ipc_dgram *d, int flags) NODISCARD;

/* ipc_next() - the next message of the datagram, checked against the table: known type, direction, exact size,
 * tail within its limit, descriptor count, no error outside replies, the datagram's length in the first header.
 * Return: 1 with *m filled, 0 when there is no more, -EPROTO when a rule was broken: *why says which (a
 * constant string). The channel must then be given up. */
int ipc_next(struct ipc_dgram *d, enum ipc_dir dir, struct ipc_msg *m, const char **why) NODISCARD;

/* ipc_take_fd() - take ownership of the i-th descriptor of a message. */
int ipc_take_fd(struct ipc_dgram *d, const struct ipc_msg *m, uint32_t i);

/* ipc_dgram_found() - look at what a process before this one left behind in a datagram's memory, and make it a datagram
 * without descriptors, at its start. True: there is one, received at whatever moment; ipc_next() checks it as any other. */
bool ipc_dgram_found(struct ipc_dgram *d) NODISCARD;

/* ipc_dgram_claims() - how many descriptors the messages of such a datagram want, up to IPC_FDS_MAX; who has them puts
 * them into fds, with nfds that many: -1 for one that is lost. */
uint32_t ipc_dgram_claims(const struct ipc_dgram *d);

/* ipc_dgram_end() - close every descriptor that nobody took. Call it for each datagram received. */
void ipc_dgram_end(struct ipc_dgram *d);

#endif
