/* channel.c - see channel.h.
 *
 * Both directions are written against a hostile peer: a datagram is taken apart only through ipc_next(), which
 * believes nothing that the table does not say, and every descriptor that arrives is owned by the datagram until
 * somebody takes it, so that no path leaks one.
 */
#include "ipc/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#define PATIENCE_PAUSE_MS 20
#define PATIENCE_TRIES 150u
#define IPC_SKB_SLACK 1024 /* of a sender's buffer, for the kernel's own use */

/* One row of the table, for one type and its reply. */
struct ipc_row {
	const char *name;
	uint32_t body;     /* size of the fixed struct */
	uint32_t tail_max;
	uint16_t fds_min, fds_max;
	enum ipc_dir dir;
	bool exists;
};

static const struct ipc_row request_rows[] = {
#define OP(N, n, qt, qf, r, rt, rf) \
	[IPC_##N] = { #N, sizeof(struct ipc_##n##_req), (qt), (qf), (qf), IPC_DIR_T2W, true },
#define CTL(N, n, d, t, f0, f1)
#include "ipc/messages.def"
#undef OP
#undef CTL
};

static const struct ipc_row reply_rows[] = {
#define OP(N, n, qt, qf, r, rt, rf) \
	[IPC_##N] = { #N, sizeof(struct ipc_##n##_rep), (rt), 0, (rf), IPC_DIR_W2T, (r) },
#define CTL(N, n, d, t, f0, f1)
#include "ipc/messages.def"
#undef OP
#undef CTL
};

static const struct ipc_row ctl_rows[] = {
#define OP(N, n, qt, qf, r, rt, rf)
#define CTL(N, n, d, t, f0, f1) \
	[IPC_##N - IPC_CTL_BASE] = { #N, sizeof(struct ipc_##n), (t), (f0), (f1), (d), true },
#include "ipc/messages.def"
#undef OP
#undef CTL
};

/* Every body is a multiple of 8, so that what follows it is aligned, and every message fits a datagram. */
#define OP(N, n, qt, qf, r, rt, rf)                                              \
	_Static_assert(sizeof(struct ipc_##n##_req) % 8 == 0, #N);                    \
	_Static_assert(sizeof(struct ipc_##n##_rep) % 8 == 0, #N);                    \
	_Static_assert(sizeof(struct ipc_hdr) + sizeof(struct ipc_##n##_req) + (qt) <= IPC_DGRAM_MAX, #N); \
	_Static_assert(sizeof(struct ipc_hdr) + sizeof(struct ipc_##n##_rep) + (rt) <= IPC_DGRAM_MAX, #N); \
	_Static_assert((qf) <= IPC_FDS_MAX && (rf) <= IPC_FDS_MAX, #N);
#define CTL(N, n, d, t, f0, f1)                                                  \
	_Static_assert(sizeof(struct ipc_##n) % 8 == 0, #N);                          \
	_Static_assert((f1) <= IPC_FDS_MAX, #N);
#include "ipc/messages.def"
#undef OP
#undef CTL
_Static_assert(sizeof(struct ipc_hdr) == 24, "header");
_Static_assert(IPC_OP_END < (int)IPC_CTL_BASE, "operations and control messages do not meet");

static const struct ipc_row *row_of(uint16_t type)
{
	uint16_t op = type & (uint16_t)~IPC_REPLY;
	const struct ipc_row *row = NULL;

	if (type & IPC_REPLY) {
		if (op < ARRAY_SIZE(reply_rows))
			row = &reply_rows[op];
	} else if (op >= IPC_CTL_BASE) {
		if (op - IPC_CTL_BASE < (int)ARRAY_SIZE(ctl_rows))
			row = &ctl_rows[op - IPC_CTL_BASE];
	} else if (op < ARRAY_SIZE(request_rows)) {
		row = &request_rows[op];
	}
	return row && row->exists ? row : NULL;
}

/* ipc_type_name() - a message's name for the log; "?" for what is no message. */
const char *ipc_type_name(uint16_t type)
{
	const struct ipc_row *row = row_of(type);

	return row ? row->name : "?";
}

/* A datagram is refused for good (EMSGSIZE) when it is larger than the sender's buffer, whose default is the host's
 * (net.core.wmem_default). The kernel doubles what is asked for, and bounds it by net.core.wmem_max. */
static int make_room(int fd)
{
	int bytes = IPC_DGRAM_MAX;
	socklen_t len = sizeof(bytes);

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &len) < 0)
		return -errno;
	return bytes < (int)IPC_DGRAM_MAX + IPC_SKB_SLACK ? -ENOBUFS : 0;
}

/* ipc_pair() - see channel.h. */
int ipc_pair(int sv[2])
{
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	r = make_room(sv[0]);
	if (r == 0)
		r = make_room(sv[1]);
	if (r < 0) {
		close_fd(&sv[0]);
		close_fd(&sv[1]);
	}
	return r;
}

/* ipc_batch_reset() - drop whatever waits. */
void ipc_batch_reset(struct ipc_batch *b)
{
	for (uint32_t i = 0; i < b->nfds; i++)
		if (b->fd_close[i])
			close_fd(&b->fds[i]);
	b->used = 0;
	b->count = 0;
	b->nfds = 0;
	b->resent = false;
}

static struct ipc_hdr *batch_last(struct ipc_batch *b)
{
	struct ipc_hdr *h = NULL;
	uint32_t pos = 0;

	/* Few messages wait at a time, and only those with descriptors or a trimmed tail come here. */
	while (pos < b->used) {
		h = (struct ipc_hdr *)((char *)b->buf + pos);
		pos += ALIGN_UP(h->size, 8u);
	}
	return h;
}

/* ipc_batch_add() - see channel.h. */
void *ipc_batch_add(struct ipc_batch *b, uint16_t type, uint64_t tag, int error, uint32_t tail_len,
		    char **tail)
{
	const struct ipc_row *row = row_of(type);
	uint32_t body = row && !error ? row->body : 0;
	uint32_t size = (uint32_t)sizeof(struct ipc_hdr) + body + tail_len;
	struct ipc_hdr *h;

	if (!row || (error && tail_len) || tail_len > row->tail_max ||
	    ALIGN_UP(size, 8u) > IPC_DGRAM_MAX - b->used)
		return NULL;
	h = (struct ipc_hdr *)((char *)b->buf + b->used);
	*h = (struct ipc_hdr){ .size = size, .type = type, .tag = tag, .error = error };
	memset(h + 1, 0, body);
	/* No byte of an earlier datagram may leave with this one. */
	memset((char *)h + size, 0, ALIGN_UP(size, 8u) - size);
	if (tail)
		*tail = (char *)(h + 1) + body;
	b->used += ALIGN_UP(size, 8u);
	b->count++;
	return h + 1;
}

/* ipc_batch_trim() - see channel.h. */
void ipc_batch_trim(struct ipc_batch *b, uint32_t tail_len)
{
	struct ipc_hdr *h = batch_last(b);
	const struct ipc_row *row = h ? row_of(h->type) : NULL;

	if (!row)
		return;
	uint32_t size = (uint32_t)sizeof(*h) + row->body + tail_len;

	if (size > h->size)
		return;
	b->used -= ALIGN_UP(h->size, 8u) - ALIGN_UP(size, 8u);
	h->size = size;
	memset((char *)h + size, 0, ALIGN_UP(size, 8u) - size);
}

/* ipc_batch_room() - see channel.h. */
uint32_t ipc_batch_room(const struct ipc_batch *b, uint16_t type)
{
	const struct ipc_row *row = row_of(type);
	uint32_t fixed;

	if (!row)
		return 0;
	fixed = (uint32_t)sizeof(struct ipc_hdr) + row->body;
	if (b->used + fixed >= IPC_DGRAM_MAX)
		return 0;
	return MIN(row->tail_max, IPC_DGRAM_MAX - b->used - fixed);
}

/* ipc_batch_fd() - see channel.h. */
bool ipc_batch_fd(struct ipc_batch *b, int fd, bool close_after)
{
	struct ipc_hdr *h = batch_last(b);

	if (!h || b->nfds == IPC_FDS_MAX)
		return false;
	b->fds[b->nfds] = fd;
	b->fd_close[b->nfds] = close_after;
	b->nfds++;
	h->nfds++;
	return true;
}

/* ipc_batch_found() - see channel.h. */
void ipc_batch_found(struct ipc_batch *b, uint32_t used, enum ipc_dir dir,
		     int (*fd_of)(void *arg, const struct ipc_hdr *h, const void *body), void *arg)
{
	b->used = b->count = b->nfds = 0;
	b->resent = false;
	used = MIN(used, (uint32_t)sizeof(b->buf));
	while (used - b->used >= sizeof(struct ipc_hdr)) {
		struct ipc_hdr *h = (struct ipc_hdr *)((char *)b->buf + b->used);
		const struct ipc_row *row = row_of(h->type);
		uint32_t fixed = (uint32_t)sizeof(*h) + (row && !h->error ? row->body : 0);
		int fd;

		if (!row || row->dir != dir || h->size < fixed || h->size - fixed > (h->error ? 0 : row->tail_max) ||
		    ALIGN_UP(h->size, 8u) > used - b->used)
			return;
		h->dgram = 0;
		h->nfds = 0;
		b->used += ALIGN_UP(h->size, 8u);
		b->count++;
		fd = h->error || row->fds_max == 0 || b->nfds == IPC_FDS_MAX ? -1 : fd_of(arg, h, h + 1);
		if (fd >= 0) {
			b->fds[b->nfds] = fd;
			b->fd_close[b->nfds++] = false;
			h->nfds = 1;
		}
	}
}

/* ipc_batch_drop_fds() - see channel.h. */
void ipc_batch_drop_fds(struct ipc_batch *b)
{
	for (uint32_t pos = 0; pos < b->used;) {
		struct ipc_hdr *h = (struct ipc_hdr *)((char *)b->buf + pos);

		h->nfds = 0;
		pos += ALIGN_UP(h->size, 8u);
	}
	for (uint32_t i = 0; i < b->nfds; i++)
		if (b->fd_close[i])
			close_fd(&b->fds[i]);
	b->nfds = 0;
}

/* ipc_batch_send() - see channel.h. */
int ipc_batch_send(int fd, struct ipc_batch *b)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = b->buf, .iov_len = b->used };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (b->used == 0)
		return 0;
	((struct ipc_hdr *)b->buf)->dgram = b->used | b->seq << IPC_SEQ_SHIFT | (b->resent ? IPC_RESENT : 0);
	if (b->nfds) {
		size_t bytes = sizeof(int) * b->nfds;

		memset(&control, 0, CMSG_SPACE(bytes));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(c), b->fds, bytes);
	}
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
		return -EAGAIN;
	if (n < 0 && errno == ETOOMANYREFS)
		return -ETOOMANYREFS;
	int r = n < 0 ? -errno : 0;

	ipc_batch_reset(b);
	return r;
}

/* ipc_batch_send_patiently() - see channel.h. */
int ipc_batch_send_patiently(int fd, struct ipc_batch *b)
{
	const struct timespec pause = { .tv_nsec = PATIENCE_PAUSE_MS * 1000000 };
	int r = ipc_batch_send(fd, b);

	for (uint32_t i = 0; i < PATIENCE_TRIES && (r == -EAGAIN || r == -ETOOMANYREFS); i++) {
		ppoll(NULL, 0, &pause, NULL);
		r = ipc_batch_send(fd, b);
	}
	return r;
}

static void take_descriptors(struct ipc_dgram *d, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (d->nfds < IPC_FDS_MAX)
				d->fds[d->nfds++] = fd;
			else
				close(fd);
		}
	}
}

/* What the first header says of the datagram. */
static void read_mark(struct ipc_dgram *d)
{
	uint32_t mark = d->len >= sizeof(struct ipc_hdr) ? ((const struct ipc_hdr *)d->buf)->dgram : 0;

	d->seq = mark >> IPC_SEQ_SHIFT & IPC_SEQ_MAX;
	d->resent = mark & IPC_RESENT;
}

/* ipc_recv() - see channel.h. */
int ipc_recv(int fd, struct ipc_dgram *d, int flags)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = d->buf, .iov_len = sizeof(d->buf) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct ipc_hdr *first = (struct ipc_hdr *)d->buf;
	ssize_t n;

	/* First of all nothing is here, then, in the kernel's one step, all of it is: what ipc_dgram_found() relies on. */
	d->len = d->pos = d->nfds = d->fd_pos = 0;
	__atomic_store_n(&first->dgram, 0, __ATOMIC_RELEASE);
	n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (msg.msg_controllen)
		take_descriptors(d, &msg);
	if (n == 0 && d->nfds == 0)
		return 0;
	if (n == 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		ipc_dgram_end(d);
		return -EPROTO;
	}
	d->len = (uint32_t)n;
	read_mark(d);
	return 1;
}

/* ipc_dgram_found() - see channel.h. */
bool ipc_dgram_found(struct ipc_dgram *d)
{
	uint32_t len = ((const struct ipc_hdr *)d->buf)->dgram & IPC_DGRAM_LEN;

	d->pos = d->nfds = d->fd_pos = 0;
	d->len = len >= sizeof(struct ipc_hdr) && len <= sizeof(d->buf) ? len : 0;
	read_mark(d);
	return d->len != 0;
}

/* ipc_dgram_claims() - see channel.h. */
uint32_t ipc_dgram_claims(const struct ipc_dgram *d)
{
	uint32_t n = 0;

	for (uint32_t pos = 0; pos < d->len && d->len - pos >= sizeof(struct ipc_hdr);) {
		const struct ipc_hdr *h = (const struct ipc_hdr *)((const char *)d->buf + pos);

		if (h->size < sizeof(*h) || h->size > d->len - pos)
			break; /* ipc_next() will say so */
		n += h->nfds;
		pos += ALIGN_UP(h->size, 8u);
	}
	return MIN(n, (uint32_t)IPC_FDS_MAX);
}

/* ipc_next() - see channel.h. */
int ipc_next(struct ipc_dgram *d, enum ipc_dir dir, struct ipc_msg *m, const char **why)
{
	const struct ipc_hdr *h = (const struct ipc_hdr *)((const char *)d->buf + d->pos);
	uint32_t left = d->len - d->pos;
	const struct ipc_row *row;
	uint32_t fixed;

	if (left == 0) {
		*why = "descriptors that belong to no message";
		return d->fd_pos == d->nfds ? 0 : -EPROTO;
	}
	*why = "a message that is shorter than its header";
	if (left < sizeof(*h))
		return -EPROTO;
	*why = "a message that reaches beyond its datagram";
	if (h->size < sizeof(*h) || h->size > left || ALIGN_UP(h->size, 8u) > left)
		return -EPROTO;
	row = row_of(h->type);
	*why = "an unknown message type";
	if (!row)
		return -EPROTO;
	*why = "a message that this side never gets";
	if (row->dir != dir)
		return -EPROTO;
	*why = "a datagram of another length than it says";
	if ((h->dgram & IPC_DGRAM_LEN) != (d->pos ? 0 : d->len) || (h->dgram & IPC_RESENT && (d->pos || dir != IPC_DIR_W2T)) ||
	    (h->dgram >> IPC_SEQ_SHIFT & IPC_SEQ_MAX && (d->pos || dir != IPC_DIR_T2W)))
		return -EPROTO;
	*why = "an error where none can be";
	if (h->error < 0 || h->error > 4095 || (h->error && !(h->type & IPC_REPLY)))
		return -EPROTO;
	fixed = (uint32_t)sizeof(*h) + (h->error ? 0 : row->body);
	*why = "a wrong size for its type";
	if (h->size < fixed || h->size - fixed > (h->error ? 0 : row->tail_max))
		return -EPROTO;
	*why = "a wrong number of descriptors";
	if (h->nfds > d->nfds - d->fd_pos || (h->error ? h->nfds != 0
						       : h->nfds < row->fds_min || h->nfds > row->fds_max))
		return -EPROTO;
	*m = (struct ipc_msg){
		.hdr = h,
		.body = h->error ? NULL : h + 1,
		.tail = (const char *)h + fixed,
		.tail_len = h->size - fixed,
		.fds = d->fds + d->fd_pos,
		.nfds = h->nfds,
	};
	d->pos += ALIGN_UP(h->size, 8u);
	d->fd_pos += h->nfds;
	return 1;
}

/* ipc_take_fd() - see channel.h. */
int ipc_take_fd(struct ipc_dgram *d, const struct ipc_msg *m, uint32_t i)
{
	return take_fd(&d->fds[(size_t)(m->fds - d->fds) + i]);
}

/* ipc_dgram_end() - see channel.h. */
void ipc_dgram_end(struct ipc_dgram *d)
{
	for (uint32_t i = 0; i < d->nfds; i++)
		close_fd(&d->fds[i]);
	d->len = d->pos = d->nfds = d->fd_pos = 0;
	__atomic_store_n(&((struct ipc_hdr *)d->buf)->dgram, 0, __ATOMIC_RELEASE);
}
