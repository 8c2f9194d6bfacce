/* pool.c - threads for what may block long, made when there is work and nobody to do it.
 *
 * A job is a copy of a request: its type, tag and fixed struct (operations with a tail never come here). The thread
 * runs the request's handler again, with may_block set, and answers on the request's link, one datagram for each.
 */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"

#include "common/log.h"
#include "ipc/roles.h"

#define POOL_JOBS 1024u     /* that may wait; then the links' threads do the work themselves */
#define POOL_BODY_MAX 96u
#define POOL_STACK (256u * 1024)

struct job {
	struct job *next;
	struct link *link; /* with a reference */
	uint64_t tag, session;
	uint16_t type;
	uint64_t body[POOL_BODY_MAX / 8];
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
		p->jobs[i].next = p->unused;
		p->unused = &p->jobs[i];
	}
	return p;
}

static void job_run(struct pool *p, const struct job *j, struct out *o)
{
	struct req r = {
		.w = p->w,
		.link = j->link,
		.out = o,
		.body = j->body,
		.tag = j->tag,
		.session = j->session,
		.type = j->type,
		.pooled = true,
		.may_block = true,
	};

	out_init(o, j->link->fd, &p->w->handles, NULL);
	answer_request(&r);
	out_flush(o);
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
		job_run(p, j, self->out);
		pthread_mutex_lock(&p->lock);
		j->next = p->unused;
		p->unused = j;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void add_thread(struct pool *p)
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
		return;
	}
	free_ptr(&t->out);
	log_limited(LOG_LVL_WARN, "no thread for the pool: %d", r);
}

/*
 * pool_submit() - Let a request be served by a thread of the pool
 * @p:		Pool
 * @r:		Request; what is needed of it is copied
 * @body_len:	Size of its fixed struct
 *
 * Return: true when the pool has it, false when the caller must do it itself
 */
bool pool_submit(struct pool *p, const struct req *r, uint32_t body_len)
{
	struct job *j = NULL;

	if (!p || body_len > POOL_BODY_MAX || r->tail_len)
		return false;
	pthread_mutex_lock(&p->lock);
	if (p->waiting >= p->idle && p->running < p->max && !p->stop)
		add_thread(p);
	if (p->running && p->unused && !p->stop) {
		j = p->unused;
		p->unused = j->next;
		j->next = NULL;
		j->link = r->link;
		j->tag = r->tag;
		j->session = r->session;
		j->type = r->type;
		memcpy(j->body, r->body, body_len);
		link_get(r->link);
		*p->last = j;
		p->last = &j->next;
		p->waiting++;
		pthread_cond_signal(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	return j != NULL;
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
