/* answer.c - what children say to the monitor.
 *
 * Role: monitor. The child may have been taken over: for a message that its role has no right to, or not now, it is
 * killed, and another takes its place. Messages hold no text, and numbers that are only told in the log; a descriptor that
 * comes along is stored, never used.
 */
#include "monitor/monitor.h"

#include <sys/socket.h>

static const char *answer_ready(struct monitor *m, struct child *c, struct ipc_dgram *d, const struct ipc_msg *msg)
{
	bool fsworker = c->role == &roles[ROLE_FSWORKER];

	if (c->role->holds && !c->taking)
		return "READY before TAKE";
	if (c->state != CHILD_STARTING || c->ready)
		return "READY twice";
	if (msg->nfds != (fsworker ? 1u : 0u))
		return "READY with a wrong number of descriptors";
	if (fsworker && m->mntns_fd < 0)
		m->mntns_fd = ipc_take_fd(d, msg, 0);
	memcpy(&c->said, msg->body, sizeof(c->said));
	c->ready = true;
	return NULL;
}

static const char *answer_gone(struct monitor *m, struct child *c, struct ipc_dgram *d, const struct ipc_msg *msg)
{
	(void)d;
	(void)msg;
	if (c->state == CHILD_STARTING)
		return "GONE before READY";
	log_info("the VMM has closed the connection: the daemon ends");
	m->stop = true;
	return NULL;
}

static const struct {
	uint16_t type;
	bool allowed[ROLE_COUNT];
	const char *(*answer)(struct monitor *m, struct child *c, struct ipc_dgram *d, const struct ipc_msg *msg);
} answers[] = {
	{ IPC_READY, { [ROLE_TRANSPORT] = true, [ROLE_FSWORKER] = true, [ROLE_KEEPER] = true }, answer_ready },
	{ IPC_GONE, { [ROLE_TRANSPORT] = true }, answer_gone },
};

static const char *answer_one(struct monitor *m, struct child *c, struct ipc_dgram *d, const struct ipc_msg *msg)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		if (answers[i].type == msg->hdr->type)
			return answers[i].allowed[c->role - roles] ? answers[i].answer(m, c, d, msg) :
								     "a message of another role";
	return "a message that the monitor does not take";
}

/**
 * answer_child() - take what waits on a child's channel; one datagram.
 */
void answer_child(struct monitor *m, struct child *c)
{
	static struct ipc_dgram d;
	const char *why = "it broke the framing";
	struct ipc_msg msg;
	int r = ipc_recv(c->channel, &d, MSG_DONTWAIT);

	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r == 0) {
		close_fd(&c->channel); /* it ends: waitid() will say how */
		return;
	}
	if (r > 0) {
		while ((r = ipc_next(&d, IPC_DIR_R2M, &msg, &why)) > 0) {
			why = answer_one(m, c, &d, &msg);
			if (why) {
				r = -EPROTO;
				break;
			}
		}
		ipc_dgram_end(&d);
	}
	if (r < 0) {
		log_err("the %s (pid %d) broke the protocol with the monitor: %s: it is killed", c->role->name, (int)c->pid, why);
		close_fd(&c->channel);
		spawn_signal(c, SIGKILL);
	}
}
