/* worker_link.c - this ring's channel to the fsworker: questions out, answers in, contents through the bulk area.
 *
 * Role: transport. Distrusted: the fsworker; an answer must be of the type that was asked for and carry the tag of a request
 * that waits for it. Whatever is not is a breach of the protocol, and ends the channel.
 *
 * Questions are batched: they leave with link_flush() at the end of a round, what nobody waits for with the next question or soon. The link never blocks this thread: when
 * it is full the ring is not popped until it takes more, while answers are still read, so that the two sides cannot wait
 * for each other.
 *
 * Exactly once. This process may die between any two instructions, and the next one must neither forget a question nor ask it
 * twice, nor lose an answer. Both batches lie in memory that outlives it (state.h).
 *
 * A question: its bytes are written beyond what `commit` covers; then the row of its chain, which says where it ends and
 * what tag it has; then `commit` covers it (link_commit(), when the request's function has returned); then the batch is sent,
 * at the end of the round if somebody waits for an answer; then `commit` is one word for "the next batch, and nothing in it".
 *
 *	death				what the next process finds, and does
 *	before the row			no row of this ticket: decodes the chain anew
 *	after the row			a row whose message is not covered: the same
 *	after the commit		a row that is covered: the request waits for the answer; the batch is sent
 *	after sendmsg()			the same; the fsworker drops a datagram that has the number of the one before it
 *	after the new commit		a row of a batch before this one: the request waits for the answer
 *
 * Nobody answers a FORGET or a CLOSE. Its head is only given back after the commit, and made visible later still; a successor that
 * finds it in flight and its row covered gives it back, and nothing else.
 *
 * A datagram of answers: the kernel's one copy brings it into the state. It stays there until the heads of all of its requests
 * are given back and visible.
 *
 *	death				what the next process finds, and does
 *	before recvmsg() is done	nothing; the answers are in the socket
 *	until the used index moved	the datagram, and all its heads in flight: all are answered from it
 *	until the datagram's end	the datagram, and heads that are no longer in flight: their answers are dropped
 *	after it			nothing
 *
 * A descriptor that was granted with an answer: recvmsg() puts its number on the stack, ipc_recv() copies it to the state,
 * from where it goes to the handle's row. A death between two of these loses it: the file has no granted descriptor,
 * and its contents go through the fsworker.
 */
#include "transport/blame.h"
#include "transport/queue_int.h"

#include "common/crashpoint.h"
#include "ipc/roles.h"

#include <sys/socket.h>

#define TAG_INDEX_BITS 24
#define QUIET_MAX 4096u /* bytes of what nobody waits for that may lie in a batch: the next question is served after it */

static uint64_t tag_of(const struct request *r)
{
	return r->ticket << TAG_INDEX_BITS | r->index;
}

/* What a row says of a message that ends where the batch ends now. */
static uint64_t batch_end(const struct queue *q)
{
	return (q->state->commit & ~(uint64_t)STATE_COMMIT_USED) | q->out->used;
}

/* link_commit() - all messages of the batch are whole. */
void link_commit(struct queue *q)
{
	uint64_t end = batch_end(q);

	if (end == q->state->commit)
		return;
	CRASHPOINT("before-commit");
	__atomic_store_n(&q->state->commit, end, __ATOMIC_RELEASE);
	CRASHPOINT("after-commit");
}

static void link_broken(struct queue *q, const char *why)
{
	log_err("ring %u: the channel to the fsworker ended: %s", q->index, why);
	q->link_dead = true;
	q->link_reap = true;
	shutdown(q->link_fd, SHUT_RDWR); /* the fsworker sees it too, whoever else has this end open */
	queue_loop_watch_link(q->loop, false, false);
}

/* link_flush() - send what waits. */
void link_flush(struct queue *q)
{
	uint64_t number = q->state->commit >> STATE_COMMIT_SHIFT;
	int r;

	if (q->link_dead || q->out->used == 0)
		return;
	link_commit(q);
	q->out->seq = 1 + (uint32_t)(number % IPC_SEQ_MAX);
	r = ipc_batch_send(q->link_fd, q->out);
	if (r == 0) {
		CRASHPOINT("batch-sent");
		__atomic_store_n(&q->state->commit, (number + 1) << STATE_COMMIT_SHIFT, __ATOMIC_RELEASE);
		CRASHPOINT("batch-counted");
		q->out_found = false;
		q->out_urgent = false;
		/* The link stays watched for room: what it finds it tells the loop, which goes on with the ring. Here nobody would,
		 * if this is the end of a round that began when there was none. */
		q->out_full = false;
		return;
	}
	if (r == -EAGAIN) {
		if (!q->out_full || q->out_found)
			queue_loop_watch_link(q->loop, !q->inherited, true);
		q->out_full = true;
		return;
	}
	link_broken(q, r == -EPIPE || r == -ECONNRESET ? "the fsworker is gone" : "it cannot be written to");
}

static void *add(struct queue *q, uint16_t type, uint64_t tag, uint32_t tail_len, char **tail)
{
	void *m;

	if (q->out_found)
		return NULL;
	m = ipc_batch_add(q->out, type, tag, 0, tail_len, tail);
	if (!m) {
		link_flush(q);
		m = ipc_batch_add(q->out, type, tag, 0, tail_len, tail);
	}
	/* What has no tag is not answered, so that nobody can wait for it. */
	if (tag || type == IPC_CANCEL)
		q->out_urgent = true;
	return m;
}

/* Room to write a message that was asked before, and goes nowhere. */
static void *scratch(struct queue *q, uint32_t tail_len, char **tail)
{
	enum { BODY_MAX = 512 };

	if (tail_len > QUEUE_REPLY_MAX - BODY_MAX)
		return NULL;
	memset(q->reply, 0, BODY_MAX);
	if (tail)
		*tail = q->reply + BODY_MAX;
	return q->reply;
}

/* Before the commit: where r's message ends, and what its answer will carry. */
static void note_asked(struct request *r, uint16_t type, uint32_t index)
{
	struct state_row *row = request_row(r);

	row->index = index;
	row->type = type;
	row->slot = (int8_t)r->bulk_slot;
	row->done = (uint32_t)r->direct.done;
	state_order();
	CRASHPOINT("row-filled");
	__atomic_store_n(&row->asked, batch_end(r->q), __ATOMIC_RELEASE);
	CRASHPOINT("row-asked");
}

/* The process before this one has asked for r, if the guest has not made another request of it since. */
static void *add_asked(struct request *r, uint16_t type, uint32_t tail_len, char **tail)
{
	const struct state_row *row = r->q->asked;
	void *m = NULL;

	if (row->type == type && row->index == r->index && row->ticket == r->ticket && request_keep(r))
		m = scratch(r->q, tail_len, tail);
	if (m)
		r->ipc_type = type;
	else
		request_reply_error(r, EIO);
	return m;
}

/* link_add() - ask the fsworker for r. Return the body to fill in; or NULL: r was answered with an error. */
void *link_add(struct request *r, uint16_t type, uint32_t tail_len, char **tail)
{
	struct queue *q = r->q;
	void *m = NULL;

	if (unlikely(q->asked))
		return add_asked(r, type, tail_len, tail);
	if (request_keep(r) && !q->link_dead)
		m = add(q, type, tag_of(r), tail_len, tail);
	if (m) {
		r->ipc_type = type;
		note_asked(r, type, r->index);
	} else {
		request_reply_error(r, q->link_dead ? EIO : ENOMEM);
	}
	return m;
}

/* link_add_no_reply() - a message of r's that nobody answers. All of them count at once, or none: nothing is sent between
 * two (LINK_ROOM). NULL: it is lost (the channel is). */
void *link_add_no_reply(struct request *r, uint16_t type, uint32_t tail_len, char **tail)
{
	struct queue *q = r->q;
	void *m;

	if (unlikely(q->asked))
		return scratch(q, tail_len, tail);
	m = q->link_dead ? NULL : add(q, type, 0, tail_len, tail);
	if (m)
		note_asked(r, type, ROW_NO_INDEX);
	return m;
}

/* Asked twice, it is still one. */
static bool ask_cancel(struct queue *q, uint64_t tag)
{
	struct ipc_cancel_req *m = q->link_dead ? NULL : add(q, IPC_CANCEL, 0, 0, NULL);

	if (!m)
		return false;
	m->tag = tag;
	link_commit(q);
	return true;
}

/* link_cancel() - r need not wait any longer. */
void link_cancel(struct request *r)
{
	bool sent = ask_cancel(r->q, tag_of(r));
	struct state_row *row = &r->q->state->row[r->head];

	if (row->ticket == r->ticket) /* an orphan's head may be another's by now */
		row->flags = sent ? row->flags & (uint8_t)~ROW_CANCEL : row->flags | ROW_CANCEL;
	if (r->cancel == sent) {
		r->cancel = !sent;
		r->q->ncancels += sent ? -1u : 1u;
	}
}

/* link_cancel_inherited() - the ring is another than that in which locks of a process before this one wait. */
void link_cancel_inherited(struct queue *q)
{
	uint16_t head = 0;
	uint64_t ticket;

	link_flush(q);
	for (; virtq_own_next(q->state->own, &head, &ticket); head++)
		if (request_was_asked(q, head, ticket) && q->state->row[head].index != ROW_NO_INDEX &&
		    !ask_cancel(q, ticket << TAG_INDEX_BITS | q->state->row[head].index))
			log_limited(LOG_LVL_WARN, "ring %u: a lock goes on waiting for a guest that is gone", q->index);
}

/* The fsworker will answer none of what it was asked: each gets EIO. */
static void reap(struct queue *q)
{
	q->reaped = true;
	ipc_batch_reset(q->out);
	__atomic_store_n(&q->state->commit, q->state->commit & ~(uint64_t)STATE_COMMIT_USED, __ATOMIC_RELEASE);
	q->out_full = false;
	q->out_found = false;
	q->out_urgent = false;
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
		link_commit(r->q);
		return;
	}
	struct ipc_read_req *m = link_add(r, IPC_READ, 0, NULL);

	if (m) {
		m->fh = r->fh;
		m->offset = r->write.offset;
		m->size = r->size;
		m->bulk_off = at;
	}
	link_commit(r->q);
}

/* It was asked: its contents are in the slot, or will be. */
static void bulk_asked(struct request *r)
{
	const struct state_row *row = r->q->asked;

	if (row->slot < 0 || row->slot >= (int)IPC_BULK_SLOTS || row->done > r->write.size) {
		request_reply_error(r, EIO);
		return;
	}
	r->bulk_slot = row->slot;
	r->direct.done = row->done;
	r->write.offset += row->done;
	r->write.size -= row->done;
	add_asked(r, r->opcode == FW_WRITE ? IPC_WRITE : IPC_READ, 0, NULL);
}

static void bulk_begin(struct request *r)
{
	struct queue *q = r->q;

	if (unlikely(q->asked)) {
		bulk_asked(r);
		return;
	}
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
	if (unlikely(q->out_found))
		link_flush(q);
	bulk_continue(q);
	for (uint32_t i = 0; unlikely(q->ncancels) && i < q->nslots && !q->out_full; i++)
		if (q->slots[i]->cancel)
			link_cancel(q->slots[i]);
	/* FORGETs and closed handles ride along with the next question. They lie in the state: a death delays them, no more. On the hiprio
	 * ring no question follows, and what another ring asks may count on what was forgotten. */
	if (q->out_urgent || q->stopping || q->index == 0 || q->out->used > QUIET_MAX)
		link_flush(q);
	else if (q->out->used)
		queue_loop_flush_soon(q->loop);
	if (unlikely(q->link_reap)) {
		q->link_reap = false;
		reap(q);
	}
}

/* Answers ------------------------------------------------------------------------------------------- */

static struct request *request_of(struct queue *q, const struct ipc_msg *m)
{
	uint32_t i = (uint32_t)m->hdr->tag & ((1u << TAG_INDEX_BITS) - 1);
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

	/* The fsworker does not know whether the one before it had told us; or one before us had asked. */
	if (!r)
		return q->in->resent || q->resumed;
	if (r->state == REQUEST_ORPHAN) {
		request_free(r);
	} else if (!virtq_started(q->vq)) {
		if (r->parked_error >= 0)
			return q->in->resent || q->resumed; /* a second answer, as above */
		/* A lock that was waited for, while the VMM has the ring stopped: told when it starts again. */
		r->parked_error = m->hdr->error;
		request_row(r)->parked = (uint16_t)(1 + m->hdr->error);
	} else {
		request_set_waiting(r, false);
		blame_begin(q->state, r->ticket);
		if (unlikely(blame_enough(q->state, r->ticket)))
			request_reply_error(r, EIO); /* what was answered has ended this process twice */
		else
			request_answer(r, m);
		blame_end();
	}
	return true;
}

/* All of a datagram. What it answers is visible to the guest when it returns. Return false when the peer broke the protocol. */
static bool take_answers(struct queue *q, const char **why)
{
	struct ipc_msg m;
	int r;

	while ((r = ipc_next(q->in, IPC_DIR_W2T, &m, why)) == 1) {
		if (!take_answer(q, &m)) {
			r = -EPROTO;
			*why = "an answer to nothing that was asked";
			break;
		}
		CRASHPOINT("answer-taken");
	}
	queue_publish(q);
	return r == 0;
}

/* link_open() - from now on answers are read. */
void link_open(struct queue *q)
{
	if (!q->link_dead)
		queue_loop_watch_link(q->loop, true, q->out_full);
}

/* link_found() - the datagram that the process before this one was working through, if there is one: see the top of this
 * file. Its descriptors are ours by now (state_ring_inherit()). @wanted: false: drop it, nobody waits for its answers. */
void link_found(struct queue *q, bool wanted)
{
	struct state_ring *s = q->state;
	uint32_t generation = q->dev->cfg.heir.generation;
	const char *why = "";
	struct ipc_dgram *d = NULL;

	if (((const struct ipc_hdr *)s->in.buf)->dgram) {
		d = malloc(sizeof(*d));
		if (!d) {
			log_err("ring %u: no memory to go on", q->index);
			_exit(ROLE_EXIT_FAIL); /* the next process may have some; here the guest would wait for ever */
		}
	}
	if (d) {
		/* A copy: numbers of ours must not stand where its are those of the process before. */
		memcpy(d, &s->in, sizeof(*d));
		if (!ipc_dgram_found(d))
			wanted = false;
		d->nfds = ipc_dgram_claims(d);
		for (uint32_t i = 0; i < d->nfds; i++)
			d->fds[i] = i < s->ngrants && s->grant[i] >> 24 == generation ? (int)(s->grant[i] & IPC_HELD_NUMBER_MAX) : -1;
		q->in = d;
		if (wanted && !q->link_dead && !take_answers(q, &why))
			link_broken(q, why);
		q->in = &s->in;
		CRASHPOINT("found-taken");
	}
	s->in.nfds = 0;
	state_order();
	ipc_dgram_end(&s->in);
	CRASHPOINT("found-ended");
	s->ngrants = 0;
	state_order();
	s->generation = generation;
	if (d)
		ipc_dgram_end(d);
	free(d);
}

/* link_read() - take all answers that are there. Return whether there were some. */
bool link_read(struct queue *q)
{
	bool some = false;

	while (!q->link_dead && !q->inherited) {
		const char *why = "";
		int r = ipc_recv(q->link_fd, q->in, MSG_DONTWAIT);

		CRASHPOINT("after-recv");

		if (r == -EAGAIN || r == -EINTR)
			return some;
		some = true;
		if (r <= 0) {
			link_broken(q, r == 0	       ? "the fsworker is gone"
				       : r == -EPROTO ? "a malformed datagram"
						      : "it cannot be read");
			return true;
		}
		if (!take_answers(q, &why))
			link_broken(q, why);
		CRASHPOINT("before-dgram-end");
		ipc_dgram_end(q->in);
		CRASHPOINT("after-dgram-end");
		/* Level-triggered: an answer to a lock that still waits would wake us. */
		if (q->active == 0)
			return true;
	}
	return some;
}
