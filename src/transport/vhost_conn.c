/* vhost_conn.c - see vhost_conn.h.
 *
 * Theory. The stream is read in exact pieces, first a header, then as much payload as it announces, so descriptors that
 * arrive belong to the message that is being read. All that arrive are either kept in it or closed at once, and the
 * kernel's own loss (MSG_CTRUNC, when this process may not have more open) is kept as fds_lost. A payload that is longer
 * than any request of the protocol is read and thrown away up to SKIP_MAX; beyond that the header is taken for noise.
 *
 * Exactly once. The bytes, the numbers of the descriptors and the count of both lie in the state (state.h). A piece is read
 * by recvmmsg(), not for many messages but because it has the kernel write the count into our memory before it returns: a
 * process that is killed in the call has either read nothing, and msg_len is 0, or all is there. Then the piece is accounted for,
 * by one store to `progress`; a successor that finds a piece which is not does that first (piece_at tells).
 *
 *	death				what the successor finds, and does
 *	before recvmmsg() is done	the message as it was: reads on
 *	before the piece is accounted	msg_len, and piece_at where the message ends: accounts for it
 *	after				the message, one piece longer: reads on, or obeys it
 *	while it is obeyed		the message whole, its number not that of the last one obeyed: obeys it again; all may be
 *	after the device's commit	its number is that of the last one obeyed: only the reply is left, if it is not sent
 *	after sendmmsg()		its number in `sending`, and msg_len: nothing is left
 *	after vhost_conn_done()		another number, and no bytes
 *
 * The number of a connection is not known before accept4() returns. Since one thread runs then, it will be the lowest that is
 * free, and is written down before.
 */
#include "transport/vhost_conn.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/crashpoint.h"

#define SKIP_MAX (1u << 20)
#define KERNEL_FDS_MAX 253 /* SCM_MAX_FD */
#define SEND_WAIT_MS 10000

#define HDR_SIZE ((uint32_t)sizeof(struct vhost_hdr))

_Static_assert(KERNEL_FDS_MAX <= STATE_CONN_FDS, "room for all");
_Static_assert(SKIP_MAX + HDR_SIZE <= 0xffffff, "STATE_PROGRESS");

static void set_progress(struct state_conn *s, uint64_t progress)
{
	__atomic_store_n(&s->progress, progress, __ATOMIC_RELEASE);
}

static void reset_msg(struct vhost_msg *msg)
{
	uint32_t dirty = MIN(msg->hdr.size, VHOST_PAYLOAD_MAX);

	memset(msg->p.bytes, 0, dirty);
	memset(&msg->hdr, 0, sizeof(msg->hdr));
	msg->oversize = false;
	msg->fds_lost = false;
	msg->nfds = 0;
}

/**
 * vhost_conn_init() - Wrap a connected socket
 * @c:	Filled in
 * @fd:	The socket, taken over
 */
void vhost_conn_init(struct vhost_conn *c, int fd)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->state = &c->own;
	c->own.progress = STATE_PROGRESS(0, 0, 0, 1);
}

/**
 * vhost_conn_keep() - From now on what is received lies in the state
 * @c:		The connection, nothing received yet
 * @state:	See state.h
 * @generation:	Of this process
 */
void vhost_conn_keep(struct vhost_conn *c, struct state_conn *state, uint32_t generation)
{
	c->state = state;
	c->generation = generation;
	if (c->fd >= 0)
		state->held = state_held(generation, c->fd);
}

static int number_of(uint32_t held)
{
	return held ? (int)(held & IPC_HELD_NUMBER_MAX) : -1;
}

/**
 * vhost_conn_done() - Forget the message received last
 * @c:	The connection
 *
 * Closes every descriptor of it that nobody took.
 */
void vhost_conn_done(struct vhost_conn *c)
{
	struct state_conn *s = c->state;
	uint32_t n = STATE_NFDS(s->progress), held[VHOST_FDS_MAX];

	memcpy(held, s->fds, sizeof(held));
	set_progress(s, STATE_PROGRESS(0, 0, 0, (vhost_conn_number(c) + 1) & STATE_NUMBER_MAX));
	CRASHPOINT("message-done");
	for (uint32_t i = 0; i < n; i++) {
		int fd = c->whole ? c->msg.fds[i] : number_of(held[i]);

		close_fd(&fd);
	}
	reset_msg(&c->msg);
	c->whole = false;
}

/**
 * vhost_conn_close() - Hang up
 * @c:	The connection
 */
void vhost_conn_close(struct vhost_conn *c)
{
	vhost_conn_done(c);
	close_fd(&c->fd);
}

/**
 * vhost_msg_take_fd() - Take over a descriptor of a message
 * @msg:	The message
 * @i:		Which
 *
 * Return: the descriptor, or -1 when there is none
 */
int vhost_msg_take_fd(struct vhost_msg *msg, uint32_t i)
{
	return i < msg->nfds ? take_fd(&msg->fds[i]) : -1;
}

/* Where the piece's i-th descriptor is, or NULL. What the kernel wrote may have been overwritten since by a process that was taken
 * over: lengths are bounded again. */
static const char *piece_fd(const struct state_conn *s, size_t i)
{
	const struct cmsghdr *cm = (const struct cmsghdr *)(const void *)s->control;
	size_t room = MIN(s->piece.msg_hdr.msg_controllen, sizeof(s->control)), len = MIN(cm->cmsg_len, room);

	/* Nothing else is asked for, so that there is one entry at most. */
	if (room < sizeof(*cm) || cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS ||
	    len < CMSG_LEN((i + 1) * sizeof(int)))
		return NULL;
	return (const char *)CMSG_DATA(cm) + i * sizeof(int);
}

/* A piece has come: count it. @own: its descriptors are numbers of this process, and those too many can be closed. */
static void account(struct state_conn *s, bool own)
{
	uint64_t before = s->progress;
	uint32_t got = STATE_GOT(before), n = STATE_NFDS(before), lost = STATE_FDS_LOST(before);
	const char *at;

	for (size_t i = 0; (at = piece_fd(s, i)); i++) {
		int fd;

		memcpy(&fd, at, sizeof(fd));
		if (n < VHOST_FDS_MAX) {
			s->fds[n++] = state_held(s->generation, fd);
		} else {
			lost = 1;
			if (own)
				close(fd);
		}
	}
	if (s->piece.msg_hdr.msg_flags & MSG_CTRUNC)
		lost = 1;
	CRASHPOINT("piece-read");
	set_progress(s, STATE_PROGRESS(got + s->piece.msg_len, n, lost, STATE_NUMBER(before)));
	CRASHPOINT("piece-accounted");
	s->piece.msg_len = 0;
	state_order();
}

/* One read of at most `len` bytes: how many came, or -errno. */
static int64_t read_some(struct vhost_conn *c, void *buf, size_t len)
{
	struct state_conn *s = c->state;
	uint32_t n;
	int r;

	s->iov = (struct iovec){ .iov_base = buf, .iov_len = len };
	s->piece = (struct mmsghdr){ .msg_hdr = { .msg_iov = &s->iov,
						  .msg_iovlen = 1,
						  .msg_control = s->control,
						  .msg_controllen = sizeof(s->control) } };
	s->piece_at = STATE_GOT(s->progress);
	state_order();
	do
		r = recvmmsg(c->fd, &s->piece, 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	while (r < 0 && errno == EINTR);
	CRASHPOINT("piece-received");
	if (r < 0)
		return -errno;
	n = s->piece.msg_len;
	account(s, true);
	return n;
}

static bool is_oversize(const struct state_conn *s)
{
	return s->hdr.size > VHOST_PAYLOAD_MAX;
}

/* Where the next bytes go, and how many belong there. 0: the message is whole. */
static size_t next_piece(struct state_conn *s, void **buf)
{
	uint32_t got = STATE_GOT(s->progress), done;

	if (got < HDR_SIZE) {
		*buf = (char *)&s->hdr + got;
		return HDR_SIZE - got;
	}
	done = got - HDR_SIZE;
	if (done >= s->hdr.size)
		return 0;
	if (is_oversize(s)) {
		*buf = s->p.bytes;
		return MIN(s->hdr.size - done, VHOST_PAYLOAD_MAX);
	}
	*buf = s->p.bytes + done;
	return s->hdr.size - done;
}

/* The message is whole: a copy, which nothing changes, for those who look at it. */
static void take_message(struct vhost_conn *c)
{
	const struct state_conn *s = c->state;
	struct vhost_msg *msg = &c->msg;

	msg->hdr = s->hdr;
	msg->oversize = is_oversize(s);
	msg->fds_lost = STATE_FDS_LOST(s->progress);
	msg->nfds = MIN(STATE_NFDS(s->progress), VHOST_FDS_MAX);
	for (uint32_t i = 0; i < msg->nfds; i++)
		msg->fds[i] = number_of(s->fds[i]);
	if (!msg->oversize)
		memcpy(msg->p.bytes, s->p.bytes, msg->hdr.size);
	c->whole = true;
}

/**
 * vhost_conn_recv() - Go on receiving
 * @c:		The connection
 * @why:	Set to a constant sentence when the result is -EPROTO
 *
 * Return: 1 when c->msg is whole: see vhost_conn_done(); 0 when the VMM hung up; -EAGAIN; -EPROTO; or another -errno
 */
int vhost_conn_recv(struct vhost_conn *c, const char **why)
{
	struct state_conn *s = c->state;

	for (;;) {
		void *buf;
		size_t len;
		int64_t n;

		if (STATE_GOT(s->progress) >= HDR_SIZE && s->hdr.size > SKIP_MAX) {
			*why = "a message announces a payload beyond all measure";
			return -EPROTO;
		}
		len = next_piece(s, &buf);
		if (len == 0) {
			take_message(c);
			return 1;
		}
		n = read_some(c, buf, len);
		if (n < 0)
			return (int)n;
		if (n == 0) {
			*why = "the connection ended in the middle of a message";
			return STATE_GOT(s->progress) ? -EPROTO : 0;
		}
	}
}

/**
 * vhost_conn_accept() - Accept the VMM's connection
 * @s:			What is known of it
 * @generation:		Of this process
 * @listen_fd:		Where it comes from
 *
 * Return: the connection, or -errno
 */
int vhost_conn_accept(struct state_conn *s, uint32_t generation, int listen_fd)
{
	int next = fcntl(listen_fd, F_DUPFD_CLOEXEC, 0), fd, err;

	if (next < 0)
		return -errno;
	close(next);
	s->accepting = state_held(generation, next);
	state_order();
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	err = -errno;
	CRASHPOINT("accepted");
	if (fd >= 0)
		s->held = state_held(generation, fd);
	state_order();
	s->accepting = 0;
	return fd < 0 ? err : fd;
}

/* Is it a connection of the kind that the monitor's socket gives? */
static bool is_connection(int fd)
{
	int type = 0, listens = 1, domain = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && !listens &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/**
 * vhost_conn_inherit() - Make what a process before this one received ours
 * @s:			What it left behind; not believed
 * @generation:		Of this process
 * @f:			Where descriptors are
 *
 * Return: the connection, or -1 when there is none
 */
int vhost_conn_inherit(struct state_conn *s, uint32_t generation, const struct state_fetch *f)
{
	uint32_t n;
	int fd = state_fetch_one(f, s->held ? s->held : s->accepting), fds[VHOST_FDS_MAX];

	if (fd >= 0 && !is_connection(fd))
		close_fd(&fd);
	s->held = state_held(generation, fd);
	state_order();
	s->accepting = 0;
	if (s->piece.msg_len && s->piece_at == STATE_GOT(s->progress))
		account(s, false);
	s->piece.msg_len = 0;
	n = STATE_NFDS(s->progress);
	if (n > VHOST_FDS_MAX) {
		n = VHOST_FDS_MAX;
		set_progress(s, STATE_PROGRESS(STATE_GOT(s->progress), n, 1, STATE_NUMBER(s->progress)));
	}
	state_fetch_all(f, s->fds, fds, n);
	for (uint32_t i = 0; i < n; i++) {
		__atomic_store_n(&s->fds[i], state_held(generation, fds[i]), __ATOMIC_RELEASE);
		CRASHPOINT("message-fd-moved");
		if (fds[i] < 0)
			set_progress(s, s->progress | STATE_PROGRESS(0, 0, 1, 0));
	}
	s->generation = generation;
	return fd;
}

static int wait_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int n;

	do
		n = poll(&p, 1, SEND_WAIT_MS);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

static void attach_fd(struct msghdr *mh, void *control, size_t size, int fd)
{
	struct cmsghdr *cm;

	memset(control, 0, size);
	mh->msg_control = control;
	mh->msg_controllen = size;
	cm = CMSG_FIRSTHDR(mh);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
}

/**
 * vhost_conn_send() - Send the reply to the message that is whole
 * @c:	The connection
 * @r:	The reply; its descriptor is borrowed
 *
 * sendmmsg() writes how much it sent into the state before it returns. A reply is shorter than what the kernel takes at once.
 *
 * Return: 0, also when it was sent already; -ETIMEDOUT when the VMM does not read; or -errno
 */
int vhost_conn_send(struct vhost_conn *c, const struct vhost_reply *r)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct state_conn *s = c->state;
	char buf[sizeof(r->hdr) + sizeof(r->p)];
	size_t done = 0, len = sizeof(r->hdr) + r->hdr.size;

	if (s->sending == vhost_conn_number(c) && s->send.msg_len)
		return 0;
	memcpy(buf, &r->hdr, sizeof(r->hdr));
	memcpy(buf + sizeof(r->hdr), &r->p, r->hdr.size);
	while (done < len) {
		struct iovec iov = { .iov_base = buf + done, .iov_len = len - done };
		int err;

		s->send = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
		if (r->fd >= 0 && done == 0)
			attach_fd(&s->send.msg_hdr, &control, sizeof(control), r->fd);
		state_order();
		s->sending = vhost_conn_number(c);
		state_order();
		if (sendmmsg(c->fd, &s->send, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
			done += s->send.msg_len;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		err = wait_writable(c->fd);
		if (err)
			return err;
	}
	CRASHPOINT("reply-sent");
	return 0;
}
