/* vhost_conn.h - the VMM's socket: messages in, replies out, descriptors along with both.
 *
 * Role: transport; the control thread's. Distrusted: the VMM, which may send any bytes in any pieces, any number of
 * descriptors with each, and may not read what it is sent. Reading never waits: a half-sent message stays half received
 * while other work goes on.
 */
#ifndef VFSD_VHOST_CONN_H
#define VFSD_VHOST_CONN_H

#include "transport/vhost_msg.h"

struct vhost_conn {
	int fd;
	uint32_t got; /* bytes of the current message, header included */
	struct vhost_msg msg;
};

/* A reply. Its descriptor is borrowed. */
struct vhost_reply {
	struct vhost_hdr hdr;
	int fd; /* -1: none */
	union vhost_payload p;
};

/* vhost_conn_init() - @fd: a connected stream socket, taken over. */
void vhost_conn_init(struct vhost_conn *c, int fd);
void vhost_conn_close(struct vhost_conn *c);

/* vhost_conn_recv() - go on receiving. Return 1: conn->msg is whole, and is forgotten (with every descriptor nobody took)
 * by vhost_conn_done(); 0: the VMM hung up; -EAGAIN: not whole yet; -EPROTO: where the next message begins can no longer
 * be known, *why says so; another -errno of the socket. */
int vhost_conn_recv(struct vhost_conn *c, const char **why) NODISCARD;
void vhost_conn_done(struct vhost_conn *c);

/* vhost_conn_send() - send a reply whole. 0, -ETIMEDOUT when the VMM does not read, or -errno. */
int vhost_conn_send(struct vhost_conn *c, const struct vhost_reply *r) NODISCARD;

/* vhost_msg_take_fd() - take over the i-th descriptor of a message; -1 when there is none. */
int vhost_msg_take_fd(struct vhost_msg *msg, uint32_t i);

#endif
