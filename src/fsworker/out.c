/* out.c - answers: gathered in a batch, sent as one datagram, and what may only happen after that. */
#include "fsworker/fsworker.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "ipc/roles.h"

#include <time.h>

#define SEND_RETRY_NS 1000000
#define SEND_RETRIES 5000u /* five seconds: a kernel that has no memory for so long will not have it soon */

/* out_init() - Answers to one link. @journal: of the link, for its own thread; else NULL */
void out_init(struct out *o, const struct link *l, struct journal *journal)
{
	o->journal = journal;
	o->batch = journal ? &journal->out : &o->own;
	o->fd = l->fd;
	o->w = l->w;
	o->broken = false;
	o->nheld = 0;
	o->handles = &l->w->handles;
	o->batch->used = o->batch->count = o->batch->nfds = o->batch->seq = 0;
	o->batch->resent = false;
}

/* The descriptor of the open file that an answer is about; -1: none is to be sent along. */
static int grant_of(void *arg, const struct ipc_hdr *h, const void *body)
{
	struct out *o = arg;
	struct handle_use u = { 0 };
	uint64_t fh = 0;

	if (h->type == (IPC_OPEN | IPC_REPLY))
		fh = ((const struct ipc_open_rep *)body)->fh;
	else if (h->type == (IPC_CREATE | IPC_REPLY) || h->type == (IPC_TMPFILE | IPC_REPLY))
		fh = ((const struct ipc_create_rep *)body)->fh;
	if (cfg_has(o->w, CFG_FORWARDED) || fh == 0 || o->nheld == ARRAY_SIZE(o->held) || handle_get(o->handles, fh, HANDLE_FILE, &u) < 0)
		return -1;
	o->held[o->nheld++] = u.index;
	return u.h->fd;
}

/* out_found() - Answers of a process before this one are in the batch's memory; some or all may have been sent */
void out_found(struct out *o, uint32_t used)
{
	ipc_batch_found(o->batch, used, IPC_DIR_W2T, grant_of, o);
	o->batch->resent = true;
}

/*
 * Descriptors on their way are counted for the real user, who is root in the fsworker of every guest: one transport
 * that never reads uses up what all have. An answer may come without its descriptor (messages.def), and the
 * transport then sends what it reads and writes here, so nobody waits for a stranger.
 */
static int send_batch(struct out *o)
{
	uint32_t retries = 0;
	int r;

	for (;;) {
		r = ipc_batch_send(o->fd, o->batch);
		if (r == -ETOOMANYREFS && o->batch->nfds) {
			log_limited(LOG_LVL_WARN, "too many descriptors of this user are on their way: contents are forwarded");
			ipc_batch_drop_fds(o->batch);
		} else if (r == -EAGAIN && retries++ < SEND_RETRIES) {
			nanosleep(&(struct timespec){ .tv_nsec = SEND_RETRY_NS }, NULL);
		} else {
			return r;
		}
	}
}

/* out_flush() - Send what waits, then close what was only kept open for that */
void out_flush(struct out *o)
{
	int r = 0;

	if (o->batch->used)
		CRASHPOINT("sending");
	if (o->broken)
		ipc_batch_reset(o->batch);
	else if (o->batch->used)
		r = send_batch(o);
	if (r == -EPIPE || r == -ECONNRESET) {
		o->broken = true;
	} else if (r < 0) {
		/* A guest would wait for ever for an answer that was lost. */
		log_err("cannot send answers to the transport: %d", -r);
		_exit(ROLE_EXIT_FAIL);
	}
	CRASHPOINT("sent");
	if (o->journal)
		journal_sent(o->journal);
	CRASHPOINT("sent-noted");
	for (uint32_t i = 0; i < o->nheld; i++)
		handle_put_index(o->handles, o->held[i]);
	o->nheld = 0;
}

static void *add(struct req *r, int error, uint32_t tail_len, char **tail)
{
	struct out *o = r->out;
	void *body = NULL;

	/* Room for one descriptor and one handle to hold: no message wants more. */
	if (likely(o->batch->nfds < IPC_FDS_MAX && o->nheld < ARRAY_SIZE(o->held)))
		body = ipc_batch_add(o->batch, r->type | IPC_REPLY, r->tag, error, tail_len, tail);
	if (unlikely(!body)) {
		out_flush(o);
		body = ipc_batch_add(o->batch, r->type | IPC_REPLY, r->tag, error, tail_len, tail);
	}
	return body;
}

/*
 * reply_add() - Begin the answer to a request
 * @r:		Request
 * @tail_len:	Bytes of tail, within the limit of the table
 * @tail:	Out: where they go, or NULL
 *
 * What waited before may be sent now. Nothing may fail after this.
 *
 * Return: the zeroed body to fill in
 */
void *reply_add(struct req *r, uint32_t tail_len, char **tail)
{
	return add(r, 0, tail_len, tail);
}

/* reply_room() - Before reply_add(): make room for a tail of `want` bytes. Return: how many there can be. */
uint32_t reply_room(struct req *r, uint32_t want)
{
	struct out *o = r->out;
	uint16_t type = r->type | IPC_REPLY;
	uint32_t room = ipc_batch_room(o->batch, type);

	if (room < want && o->batch->count) {
		out_flush(o);
		room = ipc_batch_room(o->batch, type);
	}
	return MIN(room, want);
}

/* reply_empty() - Answer "done" where there is nothing to tell. Return: 0, as handlers do */
int reply_empty(struct req *r)
{
	return reply_add(r, 0, NULL) ? 0 : -EIO;
}

/* reply_error() - Answer with a positive errno */
void reply_error(struct req *r, int error)
{
	add(r, error > 0 && error < 4096 ? error : EIO, 0, NULL);
}

/* out_hold() - Drop a reference to a handle only after the answer was sent */
void out_hold(struct out *o, uint32_t handle_index)
{
	if (o->nheld < ARRAY_SIZE(o->held))
		o->held[o->nheld++] = handle_index;
	else
		handle_put_index(o->handles, handle_index);
}

/*
 * reply_grant() - Send a handle's descriptor along with the answer that was added last
 * @r:			Request
 * @handle_index:	Handle; one reference to it is taken over, so that no request in the same datagram can close
 *			the descriptor, and let its number come to mean another file, before it was sent
 * @fd:			Its descriptor
 */
void reply_grant(struct req *r, uint32_t handle_index, int fd)
{
	ipc_batch_fd(r->out->batch, fd, false);
	out_hold(r->out, handle_index);
}
