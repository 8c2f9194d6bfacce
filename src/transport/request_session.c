/* request_session.c - INIT, DESTROY, INTERRUPT, and what we do not have.
 *
 * Role: transport. An INIT ends the session before it, whatever state that was in: a guest that rebooted without a word
 * sends one. The fsworker forgets all nodeids, handles and locks before it answers; our granted descriptors go first.
 */
#include "transport/queue_int.h"

void request_init(struct request *r, const struct fuse_req *fr)
{
	struct fw_init_in in = { 0 };
	struct ipc_init_req *m;
	int error;

	/* 16 bytes from older guests, 64 from those that know INIT_EXT. */
	memcpy(&in, fr->arg, MIN(sizeof(in), FW_INIT_IN_SHORT + (size_t)fr->data_len));
	error = fuse_dev_negotiate(r->q->dev, &in, &r->init_out, &r->init_flags);
	if (error || r->init_out.major != in.major) {
		request_reply(r, error, &r->init_out, sizeof(r->init_out));
		return;
	}
	fuse_dev_no_session(r->q->dev);
	handles_clear(r->q->dev->handles);
	m = link_add(r, IPC_INIT, 0, NULL);
	if (m)
		m->flags = r->init_flags & FW_SUBMOUNTS ? IPC_INIT_SUBMOUNTS : 0;
}

void request_destroy(struct request *r, const struct fuse_req *fr)
{
	(void)fr;
	fuse_dev_no_session(r->q->dev);
	handles_clear(r->q->dev->handles);
	link_add(r, IPC_DESTROY, 0, NULL);
}

void request_interrupt(struct request *r, const struct fuse_req *fr)
{
	const struct fw_interrupt_in *in = fr->arg;

	/* The request that is meant may be at any ring. Only waiting locks heed it; all else ends soon by itself. */
	for (unsigned i = 0; i < QUEUES_MAX; i++) {
		struct queue *q = __atomic_load_n(&r->q->dev->queues[i], __ATOMIC_ACQUIRE);

		/* A ring that has not taken over yet does not know who waits. */
		if (q && (__atomic_load_n(&q->nwaiting, __ATOMIC_RELAXED) || __atomic_load_n(&q->inherited, __ATOMIC_RELAXED)))
			queue_post_interrupt(q, in->unique);
	}
	request_end(r, 0);
}

void request_ioctl(struct request *r, const struct fuse_req *fr)
{
	/* None is passed through. ENOTTY is what a program expects of a file that does not know an ioctl; ENOSYS
	 * would tell it that the whole system call is missing. POLL and BMAP have no row: ENOSYS makes the guest's kernel do
	 * without them. */
	(void)fr;
	request_reply_error(r, ENOTTY);
}
