/* pool.c - see pool.h. One queue and one lock: what comes here is slow by nature. */
#include "transport/pool.h"

#include "common/log.h"

#include <pthread.h>
#include <sys/prctl.h>

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct pool_job *head, **tail;
	unsigned max, threads, idle, queued;
};

static void *pool_thread(void *arg)
{
	struct pool *p = arg;

	prctl(PR_SET_NAME, "pool");
	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct pool_job *job = p->head;

		if (!job) {
			p->idle++;
			pthread_cond_wait(&p->work, &p->lock);
			p->idle--;
			continue;
		}
		p->head = job->next;
		if (!p->head)
			p->tail = &p->head;
		p->queued--;
		pthread_mutex_unlock(&p->lock);
		job->run(job);
		pthread_mutex_lock(&p->lock);
	}
	return NULL;
}

/* pool_new() - see pool.h. */
struct pool *pool_new(unsigned threads)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	p->tail = &p->head;
	p->max = threads;
	return p;
}

/* With the lock held; a failure leaves fewer threads, which is enough as long as there is one. */
static void add_thread(struct pool *p)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	int e = pthread_create(&t, &attr, pool_thread, p);

	pthread_attr_destroy(&attr);
	if (e == 0)
		p->threads++;
	else
		log_limited(LOG_LVL_WARN, "cannot start pool thread %u of %u (errno %d)", p->threads + 1, p->max, e);
}

/* pool_submit() - see pool.h. */
bool pool_submit(struct pool *p, struct pool_job *job)
{
	bool taken;

	if (p->max == 0)
		return false;
	pthread_mutex_lock(&p->lock);
	if (p->idle <= p->queued && p->threads < p->max)
		add_thread(p);
	taken = p->threads > 0;
	if (taken) {
		job->next = NULL;
		*p->tail = job;
		p->tail = &job->next;
		p->queued++;
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return taken;
}
