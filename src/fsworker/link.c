/* link.c - one link to the transport, served by one thread.
 *
 * A datagram brings one or more requests. They are served in their order, and the answers leave as one datagram
 * when the last is done, earlier when the first answer has waited too long or the batch is full. A datagram
 * that breaks the rules of messages.def ends the link, and with it its ring: its sender is broken or taken over, and
 * costs its own guest no more than that.
 */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/lock_wait.h"

#include "common/log.h"
#include "ipc/roles.h"

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
			out_init(l->late, l->fd, &l->w->handles, NULL);
	}
	ready = l->late != NULL;
	pthread_mutex_unlock(&l->late_lock);
	return ready;
}

/* link_answer_late() - Answer a request from a thread that is neither the link's nor the pool's. @error: 0 or errno. */
void link_answer_late(struct link *l, uint16_t type, uint64_t tag, int error)
{
	pthread_mutex_lock(&l->late_lock);
	struct req r = { .w = l->w, .link = l, .out = l->late, .type = type, .tag = tag };

	if (error)
		reply_error(&r, error);
	else
		reply_empty(&r);
	out_flush(l->late);
	pthread_mutex_unlock(&l->late_lock);
}

/*
 * link_serve() - Serve all requests of a datagram
 * @l:		Link
 * @o:		Where the answers go; all are sent on return
 * @d:		Datagram; what is left of it is dropped
 * @why:	Out: which rule was broken
 *
 * Return: 0, -EPROTO
 */
int link_serve(struct link *l, struct out *o, struct ipc_dgram *d, const char **why)
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

		journal_begin(j, at);
		answer_request(&q);
		journal_commit(j, d->pos);
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
	j->done = 0;
	return r;
}

static void *link_thread(void *arg)
{
	struct link *l = arg;
	struct out *o = malloc(sizeof(*o));
	struct ipc_dgram *d = &l->journal->in;
	const char *why = "a datagram that is empty or was cut";
	int r = creds_thread_init(l->w->proc_fd);

	if (!o || r < 0) {
		log_err("link %u: its thread cannot start: %d", l->index, r < 0 ? -r : ENOMEM);
		_exit(ROLE_EXIT_FAIL);
	}
	journal_own = l->journal;
	out_init(o, l->fd, &l->w->handles, l->journal);
	do {
		r = ipc_recv(l->fd, d, 0);
		if (r == 1)
			r = link_serve(l, o, d, &why) < 0 ? -EPROTO : -EINTR;
	} while (r == -EINTR);
	if (r == -EPROTO)
		log_err("link %u: the transport broke the protocol: %s: the link ends", l->index, why);
	else if (r < 0)
		log_err("link %u: cannot receive: %d", l->index, -r);
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
