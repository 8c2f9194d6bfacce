/* vhost_conn.c - see vhost_conn.h.
 *
 * Theory. The stream is read in exact pieces, first a header, then as much payload as it announces, so descriptors that
 * arrive belong to the message that is being read. All that arrive are either kept in it or closed at once, and the
 * kernel's own loss (MSG_CTRUNC, when this process may not have more open) is kept as fds_lost. A payload that is longer
 * than any request of the protocol is read and thrown away up to SKIP_MAX; beyond that the header is taken for noise.
 */
#include "transport/vhost_conn.h"

#include <poll.h>
#include <sys/socket.h>

#define SKIP_MAX (1u << 20)
#define KERNEL_FDS_MAX 253 /* SCM_MAX_FD */
#define SEND_WAIT_MS 10000

#define HDR_SIZE ((uint32_t)sizeof(struct vhost_hdr))

static void reset(struct vhost_conn *c)
{
	struct vhost_msg *msg = &c->msg;
	uint32_t dirty = MIN(msg->hdr.size, VHOST_PAYLOAD_MAX);

	c->got = 0;
	if (msg->oversize)
		dirty = VHOST_PAYLOAD_MAX;
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
}

/**
 * vhost_conn_done() - Forget the message received last
 * @c:	The connection
 *
 * Closes every descriptor of it that nobody took.
 */
void vhost_conn_done(struct vhost_conn *c)
{
	for (uint32_t i = 0; i < c->msg.nfds; i++)
		close_fd(&c->msg.fds[i]);
	reset(c);
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

static void keep_fds(struct vhost_msg *msg, struct msghdr *mh)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		size_t n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
			if (msg->nfds < VHOST_FDS_MAX) {
				msg->fds[msg->nfds++] = fd;
			} else {
				msg->fds_lost = true;
				close(fd);
			}
		}
	}
	if (mh->msg_flags & MSG_CTRUNC)
		msg->fds_lost = true;
}

/* One read of at most `len` bytes. */
static ssize_t read_some(struct vhost_conn *c, void *buf, size_t len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(KERNEL_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control) };
	ssize_t n;

	do
		n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	keep_fds(&c->msg, &mh);
	return n;
}

/* Where the next bytes go, and how many belong there. 0: the message is whole. */
static size_t next_piece(struct vhost_conn *c, void **buf)
{
	struct vhost_msg *msg = &c->msg;
	uint32_t done;

	if (c->got < HDR_SIZE) {
		*buf = (char *)&msg->hdr + c->got;
		return HDR_SIZE - c->got;
	}
	done = c->got - HDR_SIZE;
	if (msg->oversize) {
		*buf = msg->p.bytes;
		return MIN(msg->hdr.size - done, VHOST_PAYLOAD_MAX);
	}
	*buf = msg->p.bytes + done;
	return msg->hdr.size - done;
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
	for (;;) {
		void *buf;
		size_t len = next_piece(c, &buf);
		ssize_t n;

		if (len == 0)
			return 1;
		n = read_some(c, buf, len);
		if (n < 0)
			return (int)n;
		if (n == 0) {
			*why = "the connection ended in the middle of a message";
			return c->got ? -EPROTO : 0;
		}
		c->got += (uint32_t)n;
		if (c->got != HDR_SIZE)
			continue;
		c->msg.oversize = c->msg.hdr.size > VHOST_PAYLOAD_MAX;
		if (c->msg.hdr.size > SKIP_MAX) {
			*why = "a message announces a payload beyond all measure";
			return -EPROTO;
		}
	}
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
 * vhost_conn_send() - Send a reply whole
 * @c:	The connection
 * @r:	The reply; its descriptor is borrowed
 *
 * Return: 0; -ETIMEDOUT when the VMM does not read; or -errno
 */
int vhost_conn_send(struct vhost_conn *c, const struct vhost_reply *r)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char buf[sizeof(r->hdr) + sizeof(r->p)];
	size_t done = 0, len = sizeof(r->hdr) + r->hdr.size;

	memcpy(buf, &r->hdr, sizeof(r->hdr));
	memcpy(buf + sizeof(r->hdr), &r->p, r->hdr.size);
	while (done < len) {
		struct iovec iov = { .iov_base = buf + done, .iov_len = len - done };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;
		int err;

		if (r->fd >= 0 && done == 0)
			attach_fd(&mh, &control, sizeof(control), r->fd);
		n = sendmsg(c->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			done += (size_t)n;
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
	return 0;
}
