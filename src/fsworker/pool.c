/* pool.c - threads for what may block long, made when there is work and nobody to do it.
 *
 * A job is a copy of a request: its type, tag and fixed struct (operations with a tail never come here). The thread
 * runs the request's handler again, with may_block set, and answers on the request's link, one datagram for each.
 *
 * Jobs lie in memory that outlives the process (state.h), each with its answer as soon as there is one, so that another process
 * goes on with them: what was not answered is served again, what was is sent again.
 */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "ipc/roles.h"

#define POOL_JOBS STATE_JOBS /* that may wait; then the links' threads do the work themselves */
#define POOL_STACK (256u * 1024)

struct job {
	struct job *next;
	struct job_row *row;
	struct link *link; /* with a reference */
	bool redo;         /* a process before this one has begun it */
};

struct pool_thread {
	struct pool *p;
	struct out *out; /* its own */
	pthread_t thread;
};

struct pool {
	struct fsworker *w;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t wake;
	struct job *first, **last, *unused;
	uint32_t max, running, idle, waiting;
	bool stop;
	struct pool_thread *threads;
	struct job jobs[POOL_JOBS];
};

/* pool_new() - A pool of at most max_threads threads, none of which exists yet. NULL without memory. */
struct pool *pool_new(struct fsworker *w, uint32_t max_threads)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->w = w;
	p->max = max_threads;
	p->threads = calloc(max_threads, sizeof(*p->threads));
	if (!p->threads) {
		free(p);
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->last = &p->first;
	for (uint32_t i = 0; i < POOL_JOBS; i++) {
		p->jobs[i].row = &w->state->jobs[i];
		if (p->jobs[i].row->state != ROW_FREE)
			continue; /* pool_restore() */
		p->jobs[i].next = p->unused;
		p->unused = &p->jobs[i];
	}
	return p;
}

static void row_state(struct job_row *row, uint32_t state)
{
	journal_order();
	__atomic_store_n(&row->state, state, __ATOMIC_RELEASE);
	journal_order();
}

/* The answer is in the batch: keep it until it was sent. */
static void keep_answer(struct job_row *row, const struct ipc_batch *b)
{
	if (b->count != 1 || b->used > sizeof(row->answer))
		return; /* never: a row is for operations with small answers */
	memcpy(row->answer, b->buf, b->used);
	row->answer_len = b->used;
	row_state(row, ROW_ANSWERED);
}

static void job_run(struct pool *p, const struct job *j, struct out *o)
{
	struct job_row *row = j->row;
	struct req r = {
		.w = p->w,
		.link = j->link,
		.out = o,
		.body = row->body,
		.tag = row->tag,
		.session = row->session,
		.type = row->type,
		.redo = j->redo,
		.pooled = true,
		.may_block = true,
	};

	out_init(o, j->link, NULL);
	journal_now = &row->step;
	if (!j->redo)
		journal_step_begin(&row->step);
	journal_order();
	row->begun = 1;
	CRASHPOINT("job-begun");
	journal_order();
	answer_request(&r);
	CRASHPOINT("job-done");
	keep_answer(row, o->batch);
	CRASHPOINT("job-kept");
	out_flush(o);
	CRASHPOINT("job-sent");
	journal_now = &journal_nobodys;
	row_state(row, ROW_FREE);
	link_put(j->link);
}

/* On a thread of the pool: an answer that may have been sent already. */
static void job_send_again(const struct job *j, struct out *o)
{
	out_init(o, j->link, NULL);
	memcpy(o->batch->buf, j->row->answer, sizeof(j->row->answer));
	out_found(o, j->row->answer_len);
	out_flush(o);
	row_state(j->row, ROW_FREE);
	link_put(j->link);
}

static void *pool_thread(void *arg)
{
	struct pool_thread *self = arg;
	struct pool *p = self->p;
	int r = creds_thread_init(p->w->proc_fd);

	/* Without a directory and umask of its own it would change those of others. */
	if (r < 0) {
		log_err("a thread of the pool cannot start: %d", -r);
		_exit(ROLE_EXIT_FAIL);
	}
	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct job *j = p->first;

		if (!j) {
			if (p->stop)
				break;
			p->idle++;
			pthread_cond_wait(&p->wake, &p->lock);
			p->idle--;
			continue;
		}
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
		p->waiting--;
		pthread_mutex_unlock(&p->lock);
		if (j->row->state == ROW_ANSWERED)
			job_send_again(j, self->out);
		else
			job_run(p, j, self->out);
		pthread_mutex_lock(&p->lock);
		j->next = p->unused;
		p->unused = j;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Return false when there can be none now. */
static bool add_thread(struct pool *p)
{
	struct pool_thread *t = &p->threads[p->running];
	pthread_attr_t attr;
	int r = ENOMEM;

	t->p = p;
	t->out = malloc(sizeof(*t->out));
	if (t->out) {
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, POOL_STACK);
		r = pthread_create(&t->thread, &attr, pool_thread, t);
		pthread_attr_destroy(&attr);
	}
	if (r == 0) {
		p->running++;
		return true;
	}
	free_ptr(&t->out);
	log_limited(LOG_LVL_WARN, "no thread for the pool: %d", r);
	return false;
}

static void enqueue(struct pool *p, struct job *j)
{
	j->next = NULL;
	*p->last = j;
	p->last = &j->next;
	p->waiting++;
	pthread_cond_signal(&p->wake);
}

/*
 * pool_restore() - Go on with the jobs of a process before this one
 * @p:		Pool; NULL: there is none, and none was
 *
 * Before any request. A row that makes no sense is dropped: its request is never answered, and who has spoilt it is the guest.
 *
 * Return: how many there are
 */
uint32_t pool_restore(struct pool *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; p && i < POOL_JOBS; i++) {
		struct job *j = &p->jobs[i];
		struct job_row *row = j->row;

		if (row->state == ROW_FREE)
			continue;
		pthread_mutex_lock(&p->lock);
		if ((row->state != ROW_ASKED && row->state != ROW_ANSWERED) || row->link >= p->w->nlinks ||
		    answer_body_len(row->type) == 0 || answer_body_len(row->type) > JOB_BODY_MAX) {
			row->state = ROW_FREE;
			j->next = p->unused;
			p->unused = j;
		} else {
			j->link = &p->w->links[row->link];
			j->redo = row->state == ROW_ASKED && row->begun;
			link_get(j->link);
			enqueue(p, j);
			n++;
		}
		pthread_mutex_unlock(&p->lock);
	}
	return n;
}

/* pool_wake() - After pool_restore(): from now on there may be threads */
void pool_wake(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	while (p->running < p->max && p->running < p->waiting)
		if (!add_thread(p))
			break;
	pthread_mutex_unlock(&p->lock);
}

/* pool_knows() - Does a job stand for this request already? Only meant for requests of a process before this one. */
bool pool_knows(const struct fsworker *w, uint32_t link, uint64_t tag)
{
	for (uint32_t i = 0; i < POOL_JOBS; i++) {
		const struct job_row *row = &w->state->jobs[i];

		if (row->state != ROW_FREE && row->link == link && row->tag == tag)
			return true;
	}
	return false;
}

/*
 * pool_submit() - Let a request be served by a thread of the pool
 * @p:		Pool
 * @r:		Request; what is needed of it is copied
 * @body_len:	Size of its fixed struct
 *
 * Nothing happens before pool_begin(): a job that is done has left no trace, and the link would be asked to do it again.
 *
 * Return: true when the pool has it, as @r->job; false when the caller must do it itself
 */
bool pool_submit(struct pool *p, struct req *r, uint32_t body_len)
{
	struct job *j = NULL;

	if (!p || body_len > JOB_BODY_MAX || r->tail_len)
		return false;
	pthread_mutex_lock(&p->lock);
	if (p->waiting >= p->idle && p->running < p->max && !p->stop)
		(void)add_thread(p);
	if (p->running && p->unused && !p->stop) {
		struct job_row *row;

		j = p->unused;
		p->unused = j->next;
		j->link = r->link;
		j->redo = false;
		row = j->row;
		row->type = r->type;
		row->link = (uint16_t)r->link->index;
		row->tag = r->tag;
		row->session = r->session;
		row->begun = 0;
		row->step.handle = row->step.blame = 0;
		row->answer_len = 0;
		memcpy(row->body, r->body, body_len);
		row_state(row, ROW_ASKED);
		CRASHPOINT("job-given");
		link_get(r->link);
		r->job = j;
	}
	pthread_mutex_unlock(&p->lock);
	return j != NULL;
}

/* pool_begin() - Serve what was submitted */
void pool_begin(struct pool *p, struct job *j)
{
	pthread_mutex_lock(&p->lock);
	enqueue(p, j);
	pthread_mutex_unlock(&p->lock);
}

/* pool_free() - Let what waits be done, then end all threads */
void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->running; i++) {
		pthread_join(p->threads[i].thread, NULL);
		free(p->threads[i].out);
	}
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->threads);
	free(p);
}
