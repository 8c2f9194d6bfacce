/* vhost_conn.h - the VMM's socket: messages in, replies out, descriptors along with both.
 *
 * Role: transport; the control thread's. Distrusted: the VMM, which may send any bytes in any pieces, any number of
 * descriptors with each, and may not read what it is sent. Reading never waits: a half-sent message stays half received
 * while other work goes on.
 */
#ifndef VFSD_VHOST_CONN_H
#define VFSD_VHOST_CONN_H

#include "transport/state.h"
#include "transport/vhost_msg.h"

struct vhost_conn {
	int fd;
	uint32_t generation;
	struct state_conn *state; /* what is being received: outlives the process, or is &own */
	struct vhost_msg msg; /* once it is whole */
	bool whole;
	struct state_conn own;
};

/* A reply. Its descriptor is borrowed. */
struct vhost_reply {
	struct vhost_hdr hdr;
	int fd; /* -1: none */
	union vhost_payload p;
};

/* vhost_conn_init() - @fd: a connected stream socket, taken over. */
void vhost_conn_init(struct vhost_conn *c, int fd);

/* vhost_conn_keep() - after vhost_conn_init(): from now on this is what is being received, with numbers of @generation in it. */
void vhost_conn_keep(struct vhost_conn *c, struct state_conn *state, uint32_t generation);

/* vhost_conn_inherit() - in a successor, before its predecessors' holders end: make what was received ours.
 * Return the connection, or -1 when there was none yet. */
int vhost_conn_inherit(struct state_conn *state, uint32_t generation, const struct state_fetch *f);

/* vhost_conn_accept() - from a listening socket, into the state. The connection or -errno. */
int vhost_conn_accept(struct state_conn *state, uint32_t generation, int listen_fd) NODISCARD;

/* vhost_conn_number() - of the message that is being received; the one before had another. */
static inline uint32_t vhost_conn_number(const struct vhost_conn *c)
{
	return STATE_NUMBER(c->state->progress);
}

void vhost_conn_close(struct vhost_conn *c);

/* vhost_conn_recv() - go on receiving. Return 1: conn->msg is whole, and is forgotten (with every descriptor nobody took)
 * by vhost_conn_done(); 0: the VMM hung up; -EAGAIN: not whole yet; -EPROTO: where the next message begins can no longer
 * be known, *why says so; another -errno of the socket. */
int vhost_conn_recv(struct vhost_conn *c, const char **why) NODISCARD;
void vhost_conn_done(struct vhost_conn *c);

/* vhost_conn_send() - send the reply to the message that is whole, unless it was sent already by a process before this one.
 * 0, -ETIMEDOUT when the VMM does not read, or -errno. */
int vhost_conn_send(struct vhost_conn *c, const struct vhost_reply *r) NODISCARD;

/* vhost_msg_take_fd() - take over the i-th descriptor of a message; -1 when there is none. */
int vhost_msg_take_fd(struct vhost_msg *msg, uint32_t i);

#endif
