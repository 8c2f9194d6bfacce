/* link.c - one link to the transport, served by one thread.
 *
 * A datagram brings one or more requests. They are served in their order, and the answers leave as one datagram
 * when the last is done, earlier when the first answer has waited too long or the batch is full. A datagram
 * that breaks the rules of messages.def ends the link, and its ring: its sender is broken or taken over.
 *
 * A link whose thread was killed is resumed by another process: the answers that were ready are sent (again), the datagram is
 * gone through from where it was. What the request in the middle had done to the tables was undone by link_undo() before.
 */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/lock_wait.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "common/spin.h"
#include "ipc/roles.h"

#include <sys/socket.h>
#include <time.h>

#define LINK_STACK (256u * 1024)
#define REPLY_AGE_NS 50000 /* how long the first answer may wait for the others of its datagram */

/* Threads of links that have not ended. A link may end long before the process, so nobody waits for a single one. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t gone;
	uint32_t count;
} threads = { .lock = PTHREAD_MUTEX_INITIALIZER, .gone = PTHREAD_COND_INITIALIZER };

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* link_get() - One more answer will come for this link */
void link_get(struct link *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
}

/* link_put() - One fewer; the last one closes it */
void link_put(struct link *l)
{
	if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	close_fd(&l->fd);
	free_ptr(&l->late);
}

/* link_prepare_late() - Make sure that link_answer_late() will have memory. False when there is none. */
bool link_prepare_late(struct link *l)
{
	bool ready;

	pthread_mutex_lock(&l->late_lock);
	if (!l->late) {
		l->late = malloc(sizeof(*l->late));
		if (l->late)
			out_init(l->late, l, NULL);
	}
	ready = l->late != NULL;
	pthread_mutex_unlock(&l->late_lock);
	return ready;
}

/* link_answer_late() - Answer a request from a thread that is neither the link's nor the pool's. @error: 0 or errno.
 * @again: it may have been answered so already */
void link_answer_late(struct link *l, uint16_t type, uint64_t tag, int error, bool again)
{
	pthread_mutex_lock(&l->late_lock);
	struct req r = { .w = l->w, .link = l, .out = l->late, .type = type, .tag = tag };

	if (error)
		reply_error(&r, error);
	else
		reply_empty(&r);
	l->late->batch->resent = again;
	out_flush(l->late);
	pthread_mutex_unlock(&l->late_lock);
}

/* Has somebody else taken on a request that the process before this one was handing over? */
static bool handed_over(const struct link *l, uint64_t tag)
{
	return pool_knows(l->w, l->index, tag) || locks_know(l->w, l->index, tag);
}

/* The request is done as far as this link is concerned; @pos: where it ends. Who has taken it on may begin. */
static void commit(struct link *l, struct req *q, uint32_t pos)
{
	CRASHPOINT("answered");
	journal_commit(l->journal, pos);
	CRASHPOINT("committed");
	if (q->job)
		pool_begin(l->w->pool, q->job);
	if (q->wait)
		lock_wait_begin(q->wait);
}

/*
 * link_serve() - Serve all requests of a datagram
 * @l:		Link
 * @o:		Where the answers go; all are sent on return
 * @d:		Datagram, from its position; what is left of it is dropped
 * @again:	Where the request begins that a process before this one has begun, JOURNAL_NOWHERE: there is none
 * @why:	Out: which rule was broken
 *
 * Return: 0, -EPROTO
 */
int link_serve(struct link *l, struct out *o, struct ipc_dgram *d, uint32_t again, const char **why)
{
	struct journal *j = o->journal;
	int64_t first_answer = 0;
	uint32_t at = d->pos;
	struct ipc_msg m;
	int r;

	for (; (r = ipc_next(d, IPC_DIR_T2W, &m, why)) == 1; at = d->pos) {
		struct req q = {
			.w = l->w,
			.link = l,
			.out = o,
			.body = m.body,
			.tail = m.tail,
			.tail_len = m.tail_len,
			.tag = m.hdr->tag,
			.type = m.hdr->type,
			.may_block = !l->w->pool,
		};

		q.redo = at == again;
		if (likely(!q.redo))
			journal_begin(j, at);
		CRASHPOINT("begun");
		answer_request(&q);
		commit(l, &q, d->pos);
		if (d->pos == d->len || o->batch->count == 0) {
			first_answer = 0;
		} else if (first_answer == 0) {
			first_answer = now_ns();
		} else if (now_ns() - first_answer > REPLY_AGE_NS) {
			out_flush(o);
			first_answer = 0;
		}
	}
	out_flush(o);
	ipc_dgram_end(d);
	CRASHPOINT("ended");
	journal_end(j);
	return r;
}

/* Is the datagram the one before it, sent again by a transport that could not know? */
static bool is_repeated(struct journal *j, const struct ipc_dgram *d)
{
	if (d->seq && d->seq == j->last_seq)
		return true;
	j->last_seq = d->seq;
	CRASHPOINT("numbered");
	journal_order();
	return false;
}

/* Where the datagram that was found goes on. */
static void find_place(struct journal *j, struct ipc_dgram *d)
{
	uint32_t pos = (uint32_t)j->done;

	d->pos = pos <= d->len && pos % 8 == 0 ? pos : d->len;
}

/* link_settle() - Before any table is taken over, and before link_undo() of any link: see inode_settle() */
void link_settle(struct link *l)
{
	struct journal *j = l->journal;

	if (!ipc_dgram_found(&j->in))
		return;
	find_place(j, &j->in);
	if (j->at == j->in.pos)
		inode_settle(&l->w->inodes, j);
}

/* If somebody has taken on the request that was under way, only the note of it is missing. */
static void skip_handed_over(struct link *l, struct ipc_dgram *d)
{
	struct journal *j = l->journal;
	uint32_t pos = d->pos;
	struct ipc_msg m;
	const char *why;

	if (j->at == pos && ipc_next(d, IPC_DIR_T2W, &m, &why) == 1 && handed_over(l, m.hdr->tag))
		j->done = JOURNAL_DONE(d->pos, j->done >> 32);
	else
		d->pos = pos;
}

/*
 * link_undo() - Before any table is taken over: what the request in the middle did to them did not happen
 * @l:		Link; all are settled
 * @said:	Counted up
 */
void link_undo(struct link *l, struct ipc_ready *said)
{
	struct journal *j = l->journal;
	struct ipc_dgram *d = &j->in;
	const char *why;
	struct ipc_msg m;

	if (j->done >> 32) {
		l->resume = true;
		said->answers++;
	}
	if (!ipc_dgram_found(d))
		return;
	l->resume = true;
	find_place(j, d);
	skip_handed_over(l, d);
	if (j->at == d->pos) {
		inode_undo(&l->w->inodes, j);
		handle_undo(&l->w->handles, &j->step.handle);
	}
	while (ipc_next(d, IPC_DIR_T2W, &m, &why) == 1) {
		if (said->op == 0)
			said->op = m.hdr->type;
		said->again++;
	}
}

/* Go on with what a process before this one was in the middle of. As link_serve(). */
static int resume(struct link *l, struct out *o, const char **why)
{
	struct journal *j = o->journal;
	struct ipc_dgram *d = &j->in;
	uint32_t answers = (uint32_t)(j->done >> 32);

	l->resume = false;
	if (answers) {
		out_found(o, answers);
		out_flush(o);
	}
	if (!ipc_dgram_found(d)) {
		journal_end(j);
		return 0;
	}
	find_place(j, d);
	if (d->seq)
		j->last_seq = d->seq;
	return link_serve(l, o, d, j->at == d->pos ? j->at : JOURNAL_NOWHERE, why);
}

/* The kernel copies a datagram into memory that is there, or the copy could fail half-way as the process is killed. */
static void touch(struct ipc_dgram *d)
{
	for (size_t i = 0; i < sizeof(*d); i += 4096)
		(void)__atomic_fetch_or((char *)d + i, 0, __ATOMIC_RELAXED);
}

/* The next datagram. While they come fast it is looked for before the thread sleeps. */
static int next_dgram(struct link *l, struct ipc_dgram *d, struct spin *s)
{
	int r;

	if (spin_begin(s)) {
		do {
			r = ipc_recv(l->fd, d, MSG_DONTWAIT);
			if (r != -EAGAIN && r != -EINTR) {
				spin_found(s);
				return r;
			}
		} while (spin_again(s));
	}
	spin_sleeps(s);
	r = ipc_recv(l->fd, d, 0);
	spin_woke(s);
	return r;
}

static void *link_thread(void *arg)
{
	struct link *l = arg;
	struct out *o = malloc(sizeof(*o));
	struct ipc_dgram *d = &l->journal->in;
	const char *why = "a datagram that is empty or was cut";
	struct spin spin;
	int r = creds_thread_init(l->w->proc_fd);

	if (!o || r < 0) {
		log_err("link %u: its thread cannot start: %d", l->index, r < 0 ? -r : ENOMEM);
		_exit(ROLE_EXIT_FAIL);
	}
	spin_init(&spin, l->w->poll_us);
	journal_own = l->journal;
	journal_now = &l->journal->step;
	out_init(o, l, l->journal);
	touch(d);
	r = -EINTR;
	if (l->resume)
		r = resume(l, o, &why) < 0 ? -EPROTO : -EINTR;
	else
		journal_end(l->journal);
	while (r == -EINTR) {
		r = next_dgram(l, d, &spin);
		CRASHPOINT("received");
		if (r == 1 && unlikely(is_repeated(l->journal, d))) {
			ipc_dgram_end(d);
			r = -EINTR;
		} else if (r == 1) {
			r = link_serve(l, o, d, JOURNAL_NOWHERE, &why) < 0 ? -EPROTO : -EINTR;
		}
	}
	if (r == -EPROTO)
		log_err("link %u: the transport broke the protocol: %s: the link ends", l->index, why);
	else if (r < 0)
		log_err("link %u: cannot receive: %d", l->index, -r);
	/* The monitor has both ends as well, so that closing this one would tell nobody. */
	shutdown(l->fd, SHUT_RDWR);
	lock_wait_cancel_link(l);
	link_put(l);
	free(o);
	pthread_mutex_lock(&threads.lock);
	threads.count--;
	pthread_cond_broadcast(&threads.gone);
	pthread_mutex_unlock(&threads.lock);
	return NULL;
}

/* link_wait_threads() - Until all links have ended, because their peers have closed them */
void link_wait_threads(void)
{
	pthread_mutex_lock(&threads.lock);
	while (threads.count)
		pthread_cond_wait(&threads.gone, &threads.lock);
	pthread_mutex_unlock(&threads.lock);
}

/* link_start() - Make the thread of a link. 0 or -errno. */
int link_start(struct link *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, LINK_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&threads.lock);
	r = pthread_create(&thread, &attr, link_thread, l);
	if (r == 0) {
		l->started = true;
		threads.count++;
	}
	pthread_mutex_unlock(&threads.lock);
	pthread_attr_destroy(&attr);
	return -r;
}
