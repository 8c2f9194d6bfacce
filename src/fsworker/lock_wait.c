/* lock_wait.c - see lock_wait.h.
 *
 * A wait is called back by a signal that interrupts its system call. A signal that comes just before the call
 * begins would be lost, so it is not one signal but a timer of the waiting thread that fires again and again
 * until the thread has noticed. The timer is made before the wait, so that calling back cannot fail and never
 * waits itself.
 */
#include "fsworker/lock_wait.h"

#include "common/crashpoint.h"
#include "common/log.h"

#include <signal.h>
#include <sys/file.h>
#include <time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define WAITS_MAX STATE_WAITS
#define WAIT_STACK (128u * 1024)
#define WAIT_SIGNAL SIGUSR1
#define CIRCLE_MAX 64u       /* owners that a circle may have */
#define CIRCLE_BUDGET 20000u /* owners and locks that are looked at for one wait, under the lock of all */
#define CALL_BACK_NS 1000000 /* between two signals to a thread that has not noticed yet */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t gone, begin;
	struct lock_wait *first;
	_Atomic uint32_t count; /* threads, those included that have left the list; changed under the lock */
} waits = { .lock = PTHREAD_MUTEX_INITIALIZER, .gone = PTHREAD_COND_INITIALIZER, .begin = PTHREAD_COND_INITIALIZER };

static void on_signal(int sig)
{
	(void)sig; /* to interrupt the system call is all that is wanted */
}

/* lock_wait_init() - Once for the process, before any thread. 0 or -errno. */
int lock_wait_init(void)
{
	struct sigaction sa = { .sa_handler = on_signal }; /* without SA_RESTART */

	return sigaction(WAIT_SIGNAL, &sa, NULL) < 0 ? -errno : 0;
}

/* lock_wait_fini() - Until all waits have ended; they were called back before */
void lock_wait_fini(void)
{
	pthread_mutex_lock(&waits.lock);
	while (waits.count)
		pthread_cond_wait(&waits.gone, &waits.lock);
	pthread_mutex_unlock(&waits.lock);
}

static void call_back(struct lock_wait *w)
{
	struct itimerspec often = { .it_value.tv_nsec = 1, .it_interval.tv_nsec = CALL_BACK_NS };

	if (w->armed)
		timer_settime(w->timer, 0, &often, NULL);
}

/* Make the timer. False when it cannot be had. */
static bool arm(struct lock_wait *w)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WAIT_SIGNAL };

	ev.sigev_notify_thread_id = gettid();
	pthread_mutex_lock(&waits.lock);
	w->armed = timer_create(CLOCK_MONOTONIC, &ev, &w->timer) == 0;
	pthread_mutex_unlock(&waits.lock);
	return w->armed;
}

static int lock_once(const struct lock_wait *w)
{
	struct flock range = w->range;
	int r = w->owner ? fcntl(lock_owner_fd(w->owner), F_OFD_SETLKW, &range) : flock(w->handle.h->fd, w->flock_op);

	return r < 0 ? -errno : 0;
}

/* Of a wait that was called back before its process died: was the lock had at that moment? */
static int try_once(const struct lock_wait *w)
{
	struct flock range = w->range;
	int r = w->owner ? fcntl(lock_owner_fd(w->owner), F_OFD_SETLK, &range) :
			   flock(w->handle.h->fd, w->flock_op | LOCK_NB);

	return r < 0 ? -EINTR : 0;
}

static void unlock(const struct lock_wait *w)
{
	struct flock range = w->range;

	range.l_type = F_UNLCK;
	if (w->owner)
		fcntl(lock_owner_fd(w->owner), F_OFD_SETLK, &range);
	else
		flock(w->handle.h->fd, LOCK_UN);
}

static int state_of(struct lock_wait *w)
{
	int state;

	pthread_mutex_lock(&waits.lock);
	state = w->state;
	pthread_mutex_unlock(&waits.lock);
	return state;
}

static int wait_until(struct lock_wait *w)
{
	int r = -ENOLCK;

	if (!arm(w)) {
		log_limited(LOG_LVL_WARN, "no timer for a wait for a lock: %d", errno);
		return r;
	}
	r = -EINTR;
	while (r == -EINTR && state_of(w) == LOCK_WAIT_GO_ON)
		r = lock_once(w);
	return r;
}

/* Out of the list: from here on nobody calls back. */
static int leave(struct lock_wait *w)
{
	struct lock_wait **at;
	int state;

	pthread_mutex_lock(&waits.lock);
	for (at = &waits.first; *at != w; at = &(*at)->next)
		;
	*at = w->next;
	if (w->armed)
		timer_delete(w->timer);
	state = w->state;
	pthread_mutex_unlock(&waits.lock);
	return state;
}

static void row_state(struct wait_row *row, uint32_t state)
{
	journal_order();
	__atomic_store_n(&row->state, state, __ATOMIC_RELEASE);
	journal_order();
}

static void *wait_thread(void *arg)
{
	struct lock_wait *w = arg;
	int r;

	pthread_mutex_lock(&waits.lock);
	while (!w->begun)
		pthread_cond_wait(&waits.begin, &waits.lock);
	pthread_mutex_unlock(&waits.lock);
	r = w->again && w->state != LOCK_WAIT_GO_ON ? try_once(w) : wait_until(w);

	CRASHPOINT("wait-ended");
	if (leave(w) == LOCK_WAIT_DROP && r == 0) {
		unlock(w);
		r = -EINTR;
	}
	/* Before the answer: the guest may ask for the lock's end as soon as it has it. */
	if (w->owner)
		lock_owner_put(w->table, w->owner);
	handle_put(&w->handle);
	w->row->error = -r;
	row_state(w->row, ROW_ANSWERED);
	CRASHPOINT("wait-kept");
	link_answer_late(w->link, IPC_SETLK, w->tag, -r, false);
	CRASHPOINT("wait-sent");
	row_state(w->row, ROW_FREE);
	link_put(w->link);
	free(w);
	pthread_mutex_lock(&waits.lock);
	waits.count--;
	pthread_cond_broadcast(&waits.gone);
	pthread_mutex_unlock(&waits.lock);
	return NULL;
}

/*
 * Would the owner wait for itself, by way of others who wait? As the guest's own kernel finds out for its local files,
 * and nobody else can here: to the host's kernel each of the descriptions is a stranger. Those in the list cannot get
 * on meanwhile, as they leave it under its lock before they are answered, and what they hold the kernel tells; so a
 * circle is one, and the last wait that closes it sees it. A guest that has too much to look at waits, as it would without.
 */
static bool closes_circle(const struct lock_wait *w)
{
	uint64_t names[CIRCLE_MAX], own;
	uint32_t budget = CIRCLE_BUDGET;
	size_t count;

	if (!w->owner)
		return false;
	own = lock_owner_name(w->owner);
	count = lock_holders(w->table, w->owner, &w->range, names, 0, CIRCLE_MAX, &budget);
	for (size_t i = 0; i < count && names[i] != own; i++)
		for (const struct lock_wait *o = waits.first; o; o = o->next)
			if (o->owner && o->table == w->table && o->state == LOCK_WAIT_GO_ON &&
			    lock_owner_name(o->owner) == names[i])
				count = lock_holders(o->table, o->owner, &o->range, names, count, CIRCLE_MAX, &budget);
	for (size_t i = 0; i < count; i++)
		if (names[i] == own)
			return true;
	return false;
}

/* A row for a wait, filled in; with the lock of all waits. NULL when there are too many. */
static struct wait_row *take_row(const struct lock_wait *w)
{
	struct wait_row *rows = w->link->w->state->waits;
	uint32_t i = 0;

	if (w->row)
		return w->row;
	while (i < WAITS_MAX && __atomic_load_n(&rows[i].state, __ATOMIC_ACQUIRE) != ROW_FREE)
		i++;
	if (i == WAITS_MAX)
		return NULL;
	rows[i] = (struct wait_row){
		.link = w->link->index,
		.tag = w->tag,
		.fh = slots_id(&w->handle.t->ids, w->handle.index),
		.nodeid = w->handle.h->nodeid,
		.owner = w->owner ? lock_owner_name(w->owner) : 0,
		.has_owner = w->owner != NULL,
		.flock_op = w->flock_op,
		.start = w->range.l_start,
		.len = w->range.l_len,
		.type = (uint32_t)w->range.l_type,
	};
	row_state(&rows[i], ROW_ASKED);
	CRASHPOINT("wait-begun");
	return &rows[i];
}

/*
 * lock_wait_start() - Wait for a lock and answer the request when it is there
 * @w:		What to wait for; copied. On success its references are taken over.
 * @again:	It has waited in a process before this one already
 * @out:	Out: the wait, which begins with lock_wait_begin(): when it has ended nothing tells of it, and whoever asked must have
 *		noted by then that it need not be asked again
 *
 * Return: 0, -EDEADLK, -ENOLCK when too many wait already or there is no thread for one more
 */
int lock_wait_start(const struct lock_wait *w, bool again, struct lock_wait **out)
{
	struct lock_wait *mine = NULL;
	struct wait_row *row = NULL;
	pthread_attr_t attr;
	pthread_t thread;
	int r = ENOLCK;

	if (!link_prepare_late(w->link))
		return -ENOLCK;
	pthread_mutex_lock(&waits.lock);
	if (!again && closes_circle(w)) {
		pthread_mutex_unlock(&waits.lock);
		return -EDEADLK;
	}
	if (waits.count < WAITS_MAX)
		mine = malloc(sizeof(*mine));
	if (mine)
		row = take_row(w);
	if (row) {
		*mine = *w;
		mine->row = row;
		mine->again = again;
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, WAIT_STACK);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		r = pthread_create(&thread, &attr, wait_thread, mine);
		pthread_attr_destroy(&attr);
		if (r)
			row_state(row, ROW_FREE);
	}
	if (r == 0) {
		mine->next = waits.first;
		waits.first = mine;
		waits.count++;
	}
	pthread_mutex_unlock(&waits.lock);
	*out = mine;
	if (r == 0)
		return 0;
	free(mine);
	log_limited(LOG_LVL_WARN, "the guest waits for too many locks");
	return -ENOLCK;
}

/* lock_wait_begin() - Let a wait go on, and end */
void lock_wait_begin(struct lock_wait *w)
{
	pthread_mutex_lock(&waits.lock);
	w->begun = true;
	pthread_cond_broadcast(&waits.begin);
	pthread_mutex_unlock(&waits.lock);
}

static void stop(struct lock_wait *w, bool drop)
{
	if (drop)
		w->state = LOCK_WAIT_DROP;
	else if (w->state == LOCK_WAIT_GO_ON)
		w->state = LOCK_WAIT_STOP;
	w->row->stop = w->state;
	call_back(w);
}

/* lock_wait_cancel_tag() - The guest has interrupted a request; if it does not wait for a lock, nothing happens */
void lock_wait_cancel_tag(const struct link *l, uint64_t tag)
{
	pthread_mutex_lock(&waits.lock);
	for (struct lock_wait *w = waits.first; w; w = w->next)
		if (w->link == l && w->tag == tag)
			stop(w, false);
	pthread_mutex_unlock(&waits.lock);
}

/* lock_wait_cancel_link() - Nobody is there to get the answers */
void lock_wait_cancel_link(const struct link *l)
{
	pthread_mutex_lock(&waits.lock);
	for (struct lock_wait *w = waits.first; w; w = w->next)
		if (w->link == l)
			stop(w, true);
	pthread_mutex_unlock(&waits.lock);
}

/* lock_wait_cancel_handle() - The open file through which it was asked for is closed, and its number is invalid already */
void lock_wait_cancel_handle(const struct handle_table *t, uint32_t index)
{
	/* RELEASE is frequent, waits are not. One that starts at this moment is missed here as it would be below. */
	if (likely(atomic_load(&waits.count) == 0))
		return;
	pthread_mutex_lock(&waits.lock);
	for (struct lock_wait *w = waits.first; w; w = w->next)
		if (w->handle.t == t && w->handle.index == index)
			stop(w, true);
	pthread_mutex_unlock(&waits.lock);
}

/* lock_wait_cancel_all() - The session ends */
void lock_wait_cancel_all(const struct lock_table *t)
{
	pthread_mutex_lock(&waits.lock);
	for (struct lock_wait *w = waits.first; w; w = w->next)
		if (w->table == t)
			stop(w, true);
	pthread_mutex_unlock(&waits.lock);
}
