/* request.c - one FUSE request from its chain to its reply.
 *
 * Role: transport. Distrusted: the guest. A request's bytes are copied out of guest memory once, into q->args, and only
 * the copy is looked at. Whatever is wrong with it costs the guest an error reply; when there is not even room for one,
 * the chain goes back with nothing written.
 *
 * A chain of which the process before this one had asked the fsworker (queue.asked) is decoded once more, by the same functions:
 * what they would ask goes nowhere, the request gets the slot and so the tag that its question has, and waits for the answer. It
 * is not served from a granted descriptor then, whatever there is of them: the fsworker is at it.
 */
#include "transport/blame.h"
#include "transport/queue_int.h"

#include "common/crashpoint.h"

#include <limits.h>

static request_fn *const handlers[FW_OPCODE_END] = {
#define FUSE_OP(OP, handler, size, names, flags) [FW_##OP] = request_##handler,
#include "transport/fuse_ops.def"
#undef FUSE_OP
};

/* One slot more, which is in no list. */
static struct request *add_slot(struct queue *q)
{
	struct request *r;

	if (q->nslots == q->slots_max)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->q = q;
	r->index = q->nslots;
	q->slots[q->nslots++] = r;
	return r;
}

/* A slot begins to be a request's. */
static void begin(struct request *r, uint64_t ticket)
{
	struct queue *q = r->q;

	r->ticket = ticket;
	r->state = REQUEST_NEW;
	r->bulk_slot = -1;
	r->parked_error = -1;
	r->reserved = false;
	r->seg = NULL;
	r->out_seg = NULL;
	r->nseg = r->nout = 0;
	r->direct.done = 0;
	q->active++;
}

/* request_alloc() - a free slot; NULL when memory is short. */
struct request *request_alloc(struct queue *q, uint64_t ticket)
{
	struct request *r = q->free;

	if (r)
		q->free = r->next;
	else
		r = add_slot(q);
	if (r)
		begin(r, ticket);
	return r;
}

/* The row of a chain in flight, if it says that the fsworker was asked. A message counts when the batch's length covers it, or
 * when its batch has been sent. */
static const struct state_row *asked_row(struct queue *q, uint16_t head, uint64_t ticket)
{
	const struct state_row *row = &q->state->row[head];

	return row->ticket == ticket && row->asked && row->asked <= q->state->commit ? row : NULL;
}

/* request_was_asked() - for virtq_again_first(). */
bool request_was_asked(void *q, uint16_t head, uint64_t ticket)
{
	return asked_row(q, head, ticket);
}

/* request_drop_uncounted() - before the batch of the process before is sent, which makes all that it is said to hold count. */
void request_drop_uncounted(struct queue *q)
{
	uint16_t head = 0;
	uint64_t ticket;

	for (; virtq_own_next(q->state->own, &head, &ticket); head++)
		if (!asked_row(q, head, ticket))
			q->state->row[head].asked = 0;
}

/* request_keep_slots() - for the answers to what the process before this one asked: each must find its slot. 0 or -ENOMEM. */
int request_keep_slots(struct queue *q, uint32_t size)
{
	uint16_t head = 0;
	uint32_t need = 0, first = q->nslots;
	uint64_t ticket;
	struct request **slots;

	for (; virtq_own_next(q->state->own, &head, &ticket); head++) {
		const struct state_row *row = asked_row(q, head, ticket);

		if (row && row->index < 2 * VIRTQ_SIZE_MAX)
			need = MAX(need, row->index + 1);
	}
	if (need <= first)
		return 0;
	slots = realloc(q->slots, (need + size) * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	q->slots = slots;
	q->slots_max = need + size;
	while (q->nslots < need) {
		struct request *r = add_slot(q);

		if (!r)
			return -ENOMEM;
		r->bulk_slot = -1;
	}
	for (head = 0; virtq_own_next(q->state->own, &head, &ticket); head++) {
		const struct state_row *row = asked_row(q, head, ticket);

		if (!row || row->index >= q->nslots || row->index < first)
			continue;
		q->slots[row->index]->state = REQUEST_KEPT;
		q->slots[row->index]->ticket = ticket;
		if (row->slot >= 0 && row->slot < (int)IPC_BULK_SLOTS)
			q->bulk_free &= ~(1u << row->slot);
	}
	for (uint32_t i = q->nslots; i-- > first;)
		if (q->slots[i]->state == REQUEST_FREE) {
			q->slots[i]->next = q->free;
			q->free = q->slots[i];
		}
	return 0;
}

/* The slot that was kept for a chain which was asked. NULL: nobody answers it, or two claim the slot. */
static struct request *kept(struct queue *q, const struct state_row *row)
{
	struct request *r = row->index < q->nslots ? q->slots[row->index] : NULL;

	if (!r || r->state != REQUEST_KEPT || r->ticket != row->ticket)
		return NULL;
	begin(r, row->ticket);
	/* Whoever ends the request gives it back. */
	if (row->slot >= 0 && row->slot < (int)IPC_BULK_SLOTS)
		r->bulk_slot = row->slot;
	return r;
}

/* request_row() - what is remembered of r's chain, emptied if it was another's. */
struct state_row *request_row(struct request *r)
{
	struct state_row *row = &r->q->state->row[r->head];

	if (row->ticket == r->ticket)
		return row;
	row->asked = 0;
	row->flags = 0;
	row->parked = 0;
	row->done = 0;
	row->slot = -1;
	row->index = ROW_NO_INDEX;
	state_order();
	row->ticket = r->ticket;
	state_order();
	return row;
}

/* request_handle() - as handles_get(), but none for what the fsworker was asked already. */
struct handle *request_handle(struct request *r, uint64_t fh)
{
	return r->q->asked ? NULL : handles_get(r->q->dev->handles, fh);
}

/* request_set_waiting() - a lock that may wait (from SENT), or one that does so no longer (to SENT). */
void request_set_waiting(struct request *r, bool on)
{
	struct queue *q = r->q;

	if ((r->state == REQUEST_WAITING) == on)
		return;
	r->state = on ? REQUEST_WAITING : REQUEST_SENT;
	q->active += on ? -1u : 1u;
	__atomic_add_fetch(&q->nwaiting, on ? 1u : -1u, __ATOMIC_RELAXED);
}

/* request_free() - the slot is free again; nothing is told to the guest. */
void request_free(struct request *r)
{
	struct queue *q = r->q;

	if (r->state != REQUEST_WAITING && r->state != REQUEST_ORPHAN)
		q->active--;
	if (r->state == REQUEST_WAITING)
		__atomic_sub_fetch(&q->nwaiting, 1, __ATOMIC_RELAXED);
	if (unlikely(r->cancel)) {
		r->cancel = false;
		q->ncancels--;
	}
	if (unlikely(r->reserved))
		handles_unreserve(q->dev->handles);
	link_bulk_free(r);
	if (r->state != REQUEST_NEW) {
		if (r->seg != r->inline_seg)
			free(r->seg);
		free(r->out_seg);
	}
	r->seg = NULL;
	r->out_seg = NULL;
	r->state = REQUEST_FREE;
	r->next = q->free;
	q->free = r;
}

/* request_keep() - the request outlives this round: its segments move out of the virtqueue's scratch.
 * Return false when memory is short (nothing changed). The state becomes SENT. */
bool request_keep(struct request *r)
{
	struct virtq_seg *seg = r->inline_seg, *out = NULL;

	if (r->state != REQUEST_NEW)
		return true;
	if (r->nseg > REQUEST_SEGS) {
		seg = malloc(r->nseg * sizeof(*seg));
		if (!seg)
			return false;
	}
	if (r->nout) {
		out = malloc(r->nout * sizeof(*out));
		if (!out) {
			if (seg != r->inline_seg)
				free(seg);
			return false;
		}
		memcpy(out, r->out_seg, r->nout * sizeof(*out));
	}
	if (r->nseg)
		memcpy(seg, r->seg, r->nseg * sizeof(*seg));
	r->seg = seg;
	r->out_seg = out;
	r->state = REQUEST_SENT;
	return true;
}

/* request_end() - give the head back with used_len bytes written. */
void request_end(struct request *r, uint32_t used_len)
{
	struct queue *q = r->q;

	if (r->state != REQUEST_ORPHAN && virtq_started(q->vq)) {
		virtq_push(q->vq, r->head, used_len);
		q->pushed = true;
	}
	request_free(r);
}

/* request_copy_in() - write into the guest's buffers, `skip` bytes from their start.
 * Return false when they have no room or lie outside of guest memory. */
bool request_copy_in(struct request *r, uint64_t skip, const void *data, size_t len)
{
	const char *from = data;

	if (!r->q->mem)
		return false; /* stopped while a pool thread was at it */
	for (unsigned i = 0; i < r->nseg && len; i++) {
		struct virtq_seg s = r->seg[i];

		if (skip >= s.len) {
			skip -= s.len;
			continue;
		}
		size_t n = MIN((size_t)(s.len - skip), len);
		char *to = gmem_at(r->q->mem, s.addr, s.len);

		if (!to)
			return false;
		memcpy(to + skip, from, n);
		from += n;
		len -= n;
		skip = 0;
	}
	return len == 0;
}

static void no_room(struct request *r)
{
	log_limited(LOG_LVL_WARN, "ring %u: a %s request has no memory for its reply", r->q->index,
		    fuse_op_name(r->opcode));
	request_end(r, 0);
}

/* request_reply2() - success, with a body in two parts (the second may be empty). */
void request_reply2(struct request *r, const void *body, size_t len, const void *tail, size_t tail_len)
{
	struct fw_out_header h = {
		.len = (uint32_t)(sizeof(h) + len + tail_len),
		.unique = r->unique,
	};

	if (h.len > r->reply_room) {
		request_reply_error(r, r->reply_room < sizeof(h) ? 0 : EIO);
		return;
	}
	if (!request_copy_in(r, sizeof(h), body, len) || !request_copy_in(r, sizeof(h) + len, tail, tail_len)) {
		request_reply_error(r, EFAULT);
		return;
	}
	if (request_copy_in(r, 0, &h, sizeof(h)))
		request_end(r, h.len);
	else
		no_room(r);
}

/* request_reply() - the result: an error (positive errno), or a body. */
void request_reply(struct request *r, int error, const void *body, size_t len)
{
	if (error)
		request_reply_error(r, error);
	else
		request_reply2(r, body, len, NULL, 0);
}

/* request_reply_error() - an error, or with 0 a success without a body. */
void request_reply_error(struct request *r, int error)
{
	struct fw_out_header h = { .len = sizeof(h), .error = -error, .unique = r->unique };

	if (request_copy_in(r, 0, &h, sizeof(h)))
		request_end(r, h.len);
	else
		no_room(r);
}

/* request_reply_written() - success; body_len bytes of body already are where they belong. */
void request_reply_written(struct request *r, uint64_t body_len)
{
	struct fw_out_header h = { .len = (uint32_t)(sizeof(h) + body_len), .unique = r->unique };

	if (request_copy_in(r, 0, &h, sizeof(h)))
		request_end(r, h.len);
	else
		no_room(r);
}

/* Copy bytes [from, to) of what the guest sent to where they belong in q->args. */
static bool copy_out(struct queue *q, const struct virtq_elem *e, uint64_t from, uint64_t to)
{
	uint64_t pos = 0;

	for (unsigned i = 0; i < e->nout && pos < to; i++) {
		const struct virtq_seg *s = &e->seg[i];
		uint64_t a = MAX(from, pos), b = MIN(to, pos + s->len);

		if (a < b) {
			const char *p = gmem_at(q->mem, s->addr, s->len);

			if (!p)
				return false;
			memcpy(q->args + a, p + (a - pos), b - a);
		}
		pos += s->len;
	}
	return pos >= to;
}

/* A request that cannot be decoded. */
static void refuse(struct request *r, int error, const char *what)
{
	/* Any user of the guest can ask for a name that is too long. */
	if (error != ENAMETOOLONG)
		log_limited(LOG_LVL_WARN, "ring %u: %s request %s: answered with errno %d", r->q->index,
			    fuse_op_name(r->opcode), what, error);
	if (fuse_op_flags(r->opcode) & FD_NO_REPLY)
		request_end(r, 0);
	else
		request_reply_error(r, error);
}

static void serve(struct request *r, const struct virtq_elem *e)
{
	struct queue *q = r->q;
	struct fw_in_header *h = (struct fw_in_header *)q->args;
	struct fuse_req fr;
	uint32_t want = 0;
	int error;

	memset(h, 0, sizeof(*h));
	if (!copy_out(q, e, 0, MIN(e->out_len, sizeof(*h)))) {
		r->unique = 0;
		r->opcode = 0;
		refuse(r, EFAULT, "lies outside of guest memory");
		return;
	}
	r->unique = h->unique;
	r->opcode = h->opcode;
	if (unlikely(e->again) && blame_enough(q->state, e->ticket)) {
		refuse(r, EIO, "has ended this process twice");
		return;
	}
	if (e->out_len < sizeof(*h)) {
		refuse(r, EINVAL, "is shorter than its header");
		return;
	}
	error = fuse_decode_head(h, e->out_len, &want);
	if (error == ENOSYS) {
		log_debug("ring %u: operation %u is not supported", q->index, r->opcode);
		request_reply_error(r, ENOSYS);
		return;
	}
	if (error) {
		refuse(r, error, "has a wrong length");
		return;
	}
	if (!copy_out(q, e, sizeof(*h), want)) {
		refuse(r, EFAULT, "lies outside of guest memory");
		return;
	}
	if (unlikely(gmem_fault_seen())) {
		refuse(r, EFAULT, "is in memory that the VMM took away");
		return;
	}
	error = fuse_decode(q->args, want, fuse_dev_has(q->dev, FW_SETXATTR_EXT), &fr);
	if (error) {
		refuse(r, error, "is malformed");
		return;
	}
	log_debug("ring %u: %s unique %llu nodeid %llx", q->index, fuse_op_name(r->opcode),
		  (unsigned long long)r->unique, (unsigned long long)fr.h.nodeid);
	if (!(fr.flags & FD_BEFORE_INIT) && !__atomic_load_n(&q->dev->session_up, __ATOMIC_ACQUIRE)) {
		refuse(r, EIO, "came without a session (no INIT yet)");
		return;
	}
	r->nodeid = fr.h.nodeid;
	if (fr.flags & FD_DATA_STAYS) {
		r->out_seg = e->seg;
		r->nout = e->nout;
	}
	handlers[r->opcode](r, &fr);
}

/* request_begin() - take one chain off the ring and have it served. */
void request_begin(struct queue *q, const struct virtq_elem *e)
{
	const struct state_row *row = unlikely(e->again) ? asked_row(q, e->head, e->ticket) : NULL;
	struct request *r = row ? kept(q, row) : NULL;

	if (!r)
		r = request_alloc(q, e->ticket);
	if (!r) {
		log_limited(LOG_LVL_ERR, "ring %u: no memory for one more request", q->index);
		virtq_push(q->vq, e->head, 0);
		q->pushed = true;
		return;
	}
	r->head = e->head;
	r->seg = e->seg + e->nout;
	r->nseg = e->nin;
	r->reply_room = e->in_len;
	q->asked = row;
	blame_begin(q->state, e->ticket);
	serve(r, e);
	blame_end();
	q->asked = NULL;
	link_commit(q);
	if (unlikely(row) && r->state == REQUEST_WAITING && r->ticket == e->ticket) {
		if (row->parked) {
			request_set_waiting(r, false);
			request_reply_error(r, row->parked - 1);
		} else if (row->flags & ROW_CANCEL) {
			r->cancel = true;
			q->ncancels++;
		}
	}
}
