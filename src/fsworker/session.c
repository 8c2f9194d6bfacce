/* session.c - INIT and DESTROY: all that a guest has been given ends.
 *
 * Operations of other links may be under way. Each holds its link's `busy` while it runs, which costs nothing
 * as long as nobody else wants it. Who ends a session sets session_ending, takes and releases every busy once,
 * and then knows that nothing runs that began before; what begins now waits on session_lock. Requests in the
 * pool and waits for locks go on: they hold references and end on their own. What they add to a table they
 * add between session_hold() and session_release(), which fails when their session is over.
 */
#include "fsworker/fsworker.h"

#include "common/crashpoint.h"

/* session_op_begin() - An operation of this link starts */
void session_op_begin(struct link *l)
{
	pthread_mutex_lock(&l->busy);
	while (unlikely(atomic_load(&l->w->session_ending))) {
		pthread_mutex_unlock(&l->busy);
		pthread_mutex_lock(&l->w->session_lock);
		pthread_mutex_unlock(&l->w->session_lock);
		pthread_mutex_lock(&l->busy);
	}
}

/* session_op_end() - and has ended */
void session_op_end(struct link *l)
{
	pthread_mutex_unlock(&l->busy);
}

/* session_hold() - On a thread of the pool: keep the request's session from ending. False when it has ended. */
bool session_hold(struct req *r)
{
	if (!r->pooled)
		return true;
	pthread_mutex_lock(&r->w->session_lock);
	if (atomic_load(&r->w->session) == r->session)
		return true;
	pthread_mutex_unlock(&r->w->session_lock);
	return false;
}

/* session_release() - End what session_hold() began. */
void session_release(struct req *r)
{
	if (r->pooled)
		pthread_mutex_unlock(&r->w->session_lock);
}

/* session_wipe() - Drop all nodeids, handles and locks. The caller is in no operation. */
void session_wipe(struct fsworker *w)
{
	pthread_mutex_lock(&w->session_lock);
	atomic_store(&w->session_ending, true);
	for (uint32_t i = 0; i < w->nlinks; i++) {
		pthread_mutex_lock(&w->links[i].busy);
		pthread_mutex_unlock(&w->links[i].busy);
	}
	atomic_fetch_add(&w->session, 1);
	w->state->session = atomic_load(&w->session);
	CRASHPOINT("wiping");
	locks_end_session(w->locks);
	handle_revoke_all(&w->handles);
	CRASHPOINT("wiping-handles");
	inode_forget_all(&w->inodes);
	atomic_store(&w->session_flags, 0);
	w->state->session_flags = 0;
	atomic_store(&w->session_ending, false);
	pthread_mutex_unlock(&w->session_lock);
}

/* answer_init() - A guest starts: whatever a guest had before is gone */
int answer_init(struct req *r)
{
	const struct ipc_init_req *q = r->body;

	session_wipe(r->w);
	atomic_store(&r->w->session_flags, q->flags);
	r->w->state->session_flags = q->flags;
	return reply_empty(r);
}

/* answer_destroy() - The guest has unmounted */
int answer_destroy(struct req *r)
{
	session_wipe(r->w);
	return reply_empty(r);
}
