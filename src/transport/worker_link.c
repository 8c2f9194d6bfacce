/* worker_link.c - this ring's channel to the fsworker: questions out, answers in, contents through the bulk area.
 *
 * Role: transport. Distrusted: the fsworker; an answer must be of the type that was asked for and carry the tag of a request
 * that waits for it. Whatever is not is a breach of the protocol, and ends the channel.
 *
 * Questions are batched: they leave with link_flush() at the end of a round. The link never blocks this thread: when
 * it is full the ring is not popped until it takes more, while answers are still read, so that the two sides cannot wait
 * for each other.
 */
#include "transport/queue_int.h"

#include <sys/socket.h>

static uint64_t tag_of(const struct request *r)
{
	return (uint64_t)r->gen << 32 | r->index;
}

static void link_broken(struct queue *q, const char *why)
{
	log_err("ring %u: the channel to the fsworker ended: %s", q->index, why);
	q->link_dead = true;
	q->link_reap = true;
	shutdown(q->link_fd, SHUT_RDWR); /* the fsworker sees it too */
	queue_loop_watch_link(q->loop, false, false);
}

/* link_flush() - send what waits. */
void link_flush(struct queue *q)
{
	int r;

	if (q->link_dead || q->out->used == 0)
		return;
	r = ipc_batch_send(q->link_fd, q->out);
	if (r == 0) {
		/* The link stays watched for room: what it finds it tells the loop, which goes on with the ring. Here nobody would,
		 * if this is the end of a round that began when there was none. */
		q->out_full = false;
		return;
	}
	if (r == -EAGAIN) {
		if (!q->out_full)
			queue_loop_watch_link(q->loop, true, true);
		q->out_full = true;
		return;
	}
	link_broken(q, r == -EPIPE || r == -ECONNRESET ? "the fsworker is gone" : "it cannot be written to");
}

static void *add(struct queue *q, uint16_t type, uint64_t tag, uint32_t tail_len, char **tail)
{
	void *m = ipc_batch_add(q->out, type, tag, 0, tail_len, tail);

	if (!m) {
		link_flush(q);
		m = ipc_batch_add(q->out, type, tag, 0, tail_len, tail);
	}
	return m;
}

/* link_add() - ask the fsworker for r. Return the body to fill in; or NULL: r was answered with an error. */
void *link_add(struct request *r, uint16_t type, uint32_t tail_len, char **tail)
{
	struct queue *q = r->q;
	void *m = NULL;

	if (request_keep(r) && !q->link_dead)
		m = add(q, type, tag_of(r), tail_len, tail);
	if (m)
		r->ipc_type = type;
	else
		request_reply_error(r, q->link_dead ? EIO : ENOMEM);
	return m;
}

/* link_add_no_reply() - a message that nobody answers. NULL: it is lost (the channel is). */
void *link_add_no_reply(struct queue *q, uint16_t type, uint32_t tail_len, char **tail)
{
	return q->link_dead ? NULL : add(q, type, 0, tail_len, tail);
}

/* link_cancel() - r need not wait any longer. */
void link_cancel(struct request *r)
{
	struct ipc_cancel_req *m = link_add_no_reply(r->q, IPC_CANCEL, 0, NULL);

	if (m)
		m->tag = tag_of(r);
	if (r->cancel != !m) {
		r->cancel = !m;
		r->q->ncancels += m ? -1u : 1u;
	}
}

/* The fsworker will answer none of what it was asked: each gets EIO. */
static void reap(struct queue *q)
{
	ipc_batch_reset(q->out);
	q->out_full = false;
	q->bulk_wait = NULL;
	q->bulk_wait_tail = &q->bulk_wait;
	for (uint32_t i = 0; i < q->nslots; i++) {
		struct request *r = q->slots[i];

		if (r->state == REQUEST_ORPHAN) {
			request_free(r);
		} else if (r->state == REQUEST_WAITING && !virtq_started(q->vq)) {
			r->parked_error = EIO;
		} else if (r->state == REQUEST_SENT || r->state == REQUEST_BULK || r->state == REQUEST_WAITING) {
			request_set_waiting(r, false);
			request_reply_error(r, EIO);
		}
	}
}

/* Contents ------------------------------------------------------------------------------------------ */

static char *bulk_at(struct request *r)
{
	return r->q->bulk + (size_t)r->bulk_slot * IPC_BULK_SLOT;
}

/* Copy what the guest writes into r's slot: WRITE's data follows its two headers. */
static bool bulk_fill(struct request *r)
{
	uint64_t skip = sizeof(struct fw_in_header) + sizeof(struct fw_write_in) + r->direct.done;
	uint64_t left = r->write.size;
	char *to = bulk_at(r);

	for (unsigned i = 0; i < r->nout && left; i++) {
		const struct virtq_seg *s = &r->out_seg[i];

		if (skip >= s->len) {
			skip -= s->len;
			continue;
		}
		uint64_t n = MIN(s->len - skip, left);
		const char *from = gmem_at(r->q->mem, s->addr, s->len);

		if (!from)
			return false;
		memcpy(to, from + skip, n);
		to += n;
		left -= n;
		skip = 0;
	}
	/* Zeroes from memory that the VMM took away are not what the guest wrote. */
	return left == 0 && !gmem_fault_seen();
}

/* r has its slot: ask. */
static void bulk_ask(struct request *r)
{
	uint64_t at = (uint64_t)r->bulk_slot * IPC_BULK_SLOT;

	r->state = REQUEST_SENT;
	if (r->opcode == FW_WRITE) {
		if (!bulk_fill(r)) {
			request_reply_error(r, EFAULT);
			return;
		}
		struct ipc_write_req *m = link_add(r, IPC_WRITE, 0, NULL);

		if (m) {
			*m = r->write;
			m->bulk_off = at;
		}
		return;
	}
	struct ipc_read_req *m = link_add(r, IPC_READ, 0, NULL);

	if (m) {
		m->fh = r->fh;
		m->offset = r->write.offset;
		m->size = r->size;
		m->bulk_off = at;
	}
}

static void bulk_begin(struct request *r)
{
	struct queue *q = r->q;

	if (!request_keep(r)) {
		request_reply_error(r, ENOMEM);
		return;
	}
	if (q->bulk_free == 0 || q->bulk_wait) {
		r->state = REQUEST_BULK;
		r->next = NULL;
		*q->bulk_wait_tail = r;
		q->bulk_wait_tail = &r->next;
		return;
	}
	r->bulk_slot = (int16_t)__builtin_ctz(q->bulk_free);
	q->bulk_free &= q->bulk_free - 1;
	bulk_ask(r);
}

/* link_bulk_write() - have r->write done by the fsworker, beginning r->direct.done bytes into the guest's data. */
void link_bulk_write(struct request *r)
{
	bulk_begin(r);
}

/* link_bulk_read() - have r->size bytes of r->fh at r->write.offset read by the fsworker. */
void link_bulk_read(struct request *r)
{
	bulk_begin(r);
}

/* link_bulk_free() - r needs its slot no more; who waits for one gets it at the end of the round. */
void link_bulk_free(struct request *r)
{
	if (r->bulk_slot >= 0)
		r->q->bulk_free |= 1u << r->bulk_slot;
	r->bulk_slot = -1;
}

/* Slots may have become free. */
static void bulk_continue(struct queue *q)
{
	while (q->bulk_free && q->bulk_wait) {
		struct request *r = q->bulk_wait;

		if (IPC_DGRAM_MAX - q->out->used < LINK_ROOM)
			link_flush(q);
		if (q->out_full)
			return;
		q->bulk_wait = r->next;
		if (!q->bulk_wait)
			q->bulk_wait_tail = &q->bulk_wait;
		r->bulk_slot = (int16_t)__builtin_ctz(q->bulk_free);
		q->bulk_free &= q->bulk_free - 1;
		bulk_ask(r);
	}
}

/* link_end_round() - what had to wait until nobody is in the middle of a request. */
void link_end_round(struct queue *q)
{
	if (unlikely(q->link_reap)) {
		q->link_reap = false;
		reap(q);
	}
	bulk_continue(q);
	for (uint32_t i = 0; unlikely(q->ncancels) && i < q->nslots && !q->out_full; i++)
		if (q->slots[i]->cancel)
			link_cancel(q->slots[i]);
	link_flush(q);
}

/* Answers ------------------------------------------------------------------------------------------- */

static struct request *request_of(struct queue *q, const struct ipc_msg *m)
{
	uint32_t i = (uint32_t)m->hdr->tag;
	struct request *r = i < q->nslots ? q->slots[i] : NULL;

	if (!r || tag_of(r) != m->hdr->tag || m->hdr->type != (r->ipc_type | IPC_REPLY))
		return NULL;
	if (r->state != REQUEST_SENT && r->state != REQUEST_WAITING && r->state != REQUEST_ORPHAN)
		return NULL;
	return r;
}

/* One message; false when the peer broke the protocol. */
static bool take_answer(struct queue *q, const struct ipc_msg *m)
{
	struct request *r = request_of(q, m);

	if (!r)
		return q->in->resent; /* the fsworker does not know whether the one before it had told us */
	if (r->state == REQUEST_ORPHAN) {
		request_free(r);
	} else if (!virtq_started(q->vq)) {
		if (r->parked_error >= 0)
			return false; /* a second answer */
		/* A lock that was waited for, while the VMM has the ring stopped: told when it starts again. */
		r->parked_error = m->hdr->error;
	} else {
		request_set_waiting(r, false);
		request_answer(r, m);
	}
	return true;
}

/* link_read() - take all answers that are there. */
void link_read(struct queue *q)
{
	while (!q->link_dead) {
		const char *why = "an answer to nothing that was asked";
		struct ipc_msg m;
		int r = ipc_recv(q->link_fd, q->in, MSG_DONTWAIT);

		if (r == -EAGAIN || r == -EINTR)
			return;
		if (r <= 0) {
			link_broken(q, r == 0	       ? "the fsworker is gone"
				       : r == -EPROTO ? "a malformed datagram"
						      : "it cannot be read");
			return;
		}
		while ((r = ipc_next(q->in, IPC_DIR_W2T, &m, &why)) == 1) {
			if (!take_answer(q, &m)) {
				r = -EPROTO;
				why = "an answer to nothing that was asked";
				break;
			}
		}
		ipc_dgram_end(q->in);
		if (r < 0)
			link_broken(q, why);
		/* Level-triggered: an answer to a lock that still waits would wake us. */
		if (q->active == 0)
			return;
	}
}
