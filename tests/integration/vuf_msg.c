/*
 * vhost-user messages: sending, receiving, acknowledgement.
 *
 * Nothing here checks what it is asked to send: hostile tests use the same
 * calls as friendly ones. What comes back is checked strictly.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vuf_daemon.h"
#include "vuf_msg.h"

/**
 * vu_init() - Wrap a connected socket
 * @vu:	Filled in
 * @fd:	Socket, owned by @vu from now on
 */
void vu_init(struct vu *vu, int fd)
{
	memset(vu, 0, sizeof(*vu));
	vu->fd = fd;
}

/**
 * vu_close() - Hang up
 * @vu:	Connection
 */
void vu_close(struct vu *vu)
{
	if (vu->fd >= 0)
		close(vu->fd);
	vu->fd = -1;
}

static int wait_fd(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	do
		n = poll(&p, 1, vuf_timeout_ms());
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

/**
 * vu_send_raw() - Send any bytes with any descriptors
 * @vu:		Connection
 * @bytes:	What to send
 * @len:	How many bytes
 * @fds:	Descriptors that go with the first byte
 * @nfds:	Their number; may be more than the protocol allows
 *
 * Return: 0, -EPIPE if the back end has hung up, or another negative errno
 */
int vu_send_raw(struct vu *vu, const void *bytes, size_t len, const int *fds, unsigned int nfds)
{
	char control[CMSG_SPACE(253 * sizeof(int))];
	const char *p = bytes;

	if (nfds > 253)
		return -E2BIG;
	while (len) {
		/* sendmsg() only reads, but its struct has no const. */
		struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (nfds) {
			struct cmsghdr *c;

			memset(control, 0, sizeof(control));
			msg.msg_control = control;
			msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
			c = CMSG_FIRSTHDR(&msg);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
			memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
		}
		n = sendmsg(vu->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			int err = wait_fd(vu->fd, POLLOUT);

			if (err)
				return err;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		nfds = 0;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/**
 * vu_send() - Send one message
 * @vu:			Connection
 * @request:		Message number
 * @extra_flags:	VU_FLAG_NEED_REPLY or 0
 * @payload:		Payload
 * @size:		Its size
 * @fds:		Descriptors
 * @nfds:		Their number
 *
 * Return: as vu_send_raw()
 */
int vu_send(struct vu *vu, uint32_t request, uint32_t extra_flags, const void *payload,
	    uint32_t size, const int *fds, unsigned int nfds)
{
	char bytes[sizeof(struct vu_header) + VU_MAX_PAYLOAD];
	struct vu_header head = {
		.request = request,
		.flags = VU_VERSION | extra_flags,
		.size = size,
	};

	if (size > VU_MAX_PAYLOAD)
		return -E2BIG;
	memcpy(bytes, &head, sizeof(head));
	if (size)
		memcpy(bytes + sizeof(head), payload, size);
	return vu_send_raw(vu, bytes, sizeof(head) + size, fds, nfds);
}

static int recv_exact(struct vu *vu, void *buf, size_t len, struct vu_reply *reply)
{
	char control[CMSG_SPACE(VU_MAX_FDS * sizeof(int))];
	char *p = buf;

	while (len) {
		struct iovec iov = { .iov_base = p, .iov_len = len };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		int err = wait_fd(vu->fd, POLLIN);
		ssize_t n;

		if (err)
			return err;
		n = recvmsg(vu->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			unsigned int k = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

			if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
				continue;
			if (reply->nfds + k > VU_MAX_FDS)
				return -EPROTO;
			memcpy(reply->fds + reply->nfds, CMSG_DATA(c), k * sizeof(int));
			reply->nfds += k;
		}
		if (n == 0)
			return -ECONNRESET;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/**
 * vu_recv() - Receive one message
 * @vu:		Connection
 * @reply:	Filled in; the caller owns its descriptors
 *
 * Return: 0, -ECONNRESET if the back end hung up, -ETIMEDOUT, -EPROTO for a
 * reply no front end should have to accept, or another negative errno
 */
int vu_recv(struct vu *vu, struct vu_reply *reply)
{
	int err;

	reply->nfds = 0;
	err = recv_exact(vu, &reply->head, sizeof(reply->head), reply);
	if (err)
		return err;
	if (reply->head.size > VU_MAX_PAYLOAD || (reply->head.flags & 3) != VU_VERSION ||
	    !(reply->head.flags & VU_FLAG_REPLY))
		return -EPROTO;
	return recv_exact(vu, reply->payload, reply->head.size, reply);
}

/**
 * vu_wait_ack() - Receive the acknowledgement of a message sent with NEED_REPLY
 * @vu:		Connection
 * @request:	Number of the message
 *
 * Return: 0, VU_REFUSED, or a negative errno
 */
int vu_wait_ack(struct vu *vu, uint32_t request)
{
	struct vu_reply reply;
	int err = vu_recv(vu, &reply);

	if (err)
		return err;
	if (reply.head.request != request || reply.head.size != sizeof(uint64_t) || reply.nfds) {
		fprintf(stderr, "vufront: bad acknowledgement of message %u: %u, %u bytes\n",
			request, reply.head.request, reply.head.size);
		return -EPROTO;
	}
	memcpy(&vu->last_ack, reply.payload, sizeof(vu->last_ack));
	return vu->last_ack ? VU_REFUSED : 0;
}

/**
 * vu_command() - Send a message that has no answer of its own
 * @vu:		Connection
 * @request:	Message number
 * @payload:	Payload
 * @size:	Its size
 * @fds:	Descriptors
 * @nfds:	Their number
 *
 * Asks for an acknowledgement when @vu->want_ack is set and REPLY_ACK was
 * negotiated.
 *
 * Return: 0, VU_REFUSED, or a negative errno
 */
int vu_command(struct vu *vu, uint32_t request, const void *payload, uint32_t size,
	       const int *fds, unsigned int nfds)
{
	bool ack = vu->want_ack && (vu->proto & VU_BIT(VU_P_REPLY_ACK));
	int err = vu_send(vu, request, ack ? VU_FLAG_NEED_REPLY : 0, payload, size, fds, nfds);

	if (err || !ack)
		return err;
	return vu_wait_ack(vu, request);
}

/**
 * vu_query() - Send a message that has an answer of its own
 * @vu:		Connection
 * @request:	Message number
 * @payload:	Payload
 * @size:	Its size
 * @out:	Buffer for the answer
 * @out_size:	Its exact size
 *
 * With @vu->want_ack the message carries NEED_REPLY as well, which must not
 * make a second answer appear.
 *
 * Return: 0, -EPROTO for an answer of another size or number, or another
 * negative errno
 */
int vu_query(struct vu *vu, uint32_t request, const void *payload, uint32_t size, void *out,
	     uint32_t out_size)
{
	bool ack = vu->want_ack && (vu->proto & VU_BIT(VU_P_REPLY_ACK));
	struct vu_reply reply;
	int err;

	err = vu_send(vu, request, ack ? VU_FLAG_NEED_REPLY : 0, payload, size, NULL, 0);
	if (!err)
		err = vu_recv(vu, &reply);
	if (err)
		return err;
	if (reply.head.request != request || reply.head.size != out_size || reply.nfds) {
		fprintf(stderr, "vufront: bad answer to message %u: %u, %u bytes\n", request,
			reply.head.request, reply.head.size);
		return -EPROTO;
	}
	memcpy(out, reply.payload, out_size);
	return 0;
}

/**
 * vu_query_u64() - Ask for a single 64-bit number
 * @vu:		Connection
 * @request:	Message number
 * @value:	Answer
 *
 * Return: as vu_query()
 */
int vu_query_u64(struct vu *vu, uint32_t request, uint64_t *value)
{
	return vu_query(vu, request, NULL, 0, value, sizeof(*value));
}

/**
 * vu_set_u64() - Send a message whose payload is a single 64-bit number
 * @vu:		Connection
 * @request:	Message number
 * @value:	Payload
 *
 * Return: as vu_command()
 */
int vu_set_u64(struct vu *vu, uint32_t request, uint64_t value)
{
	return vu_command(vu, request, &value, sizeof(value), NULL, 0);
}

/**
 * vu_alive() - Whether the back end still answers on the socket
 * @vu:	Connection
 *
 * Return: 0 when it does
 */
int vu_alive(struct vu *vu)
{
	uint64_t features;

	return vu_query_u64(vu, VU_GET_FEATURES, &features);
}
