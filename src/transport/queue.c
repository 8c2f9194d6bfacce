/* queue.c - a ring's thread: its rounds, its mailbox, and the control thread's side of it.
 *
 * Role: transport. A round takes chains until there are no more, sends what was asked of the fsworker in one datagram, makes
 * finished heads visible in one update of the used index, and calls the guest once, if it wants to be called.
 *
 * Stopping waits for the requests in flight, so that after GET_VRING_BASE nothing touches the ring. Locks that wait are
 * the exception, they may wait for ever: they stay, and if the VMM starts the ring again where it was (a paused VM), their
 * answers find their way; if the ring is another (a reset), they are cancelled.
 *
 * When the process dies the next one goes on from struct state_ring (state.h). What it does first, on the ring's thread, before
 * it looks at anything new:
 *
 *	1. The heads of which the fsworker was asked are taken again, and decoded again from the guest's memory: that makes them
 *	   requests which wait for the answers to the tags that the process before gave them (request.c).
 *	2. The datagram of answers that it was working through is worked through once more, and its heads made visible.
 *	3. The batch of questions that it may or may not have sent is sent, before anything is added (worker_link.c).
 *	4. All other heads in flight are taken again and served as if they were new: nothing was done for them, or something that
 *	   may be done twice (direct_io.c).
 *	5. The guest is called, whether or not it was before.
 *
 * A guest that changes a chain while it is in flight gets an error for it, or an answer to what it asked first.
 */
#include "transport/queue_int.h"

#include "common/crashpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>

#define ROUND_MAX 64 /* chains taken before answers are looked at again */

/* queue_report_broken() - once per start: log it, tell the VMM by the ring's err descriptor. */
void queue_report_broken(struct queue *q)
{
	const char *why = virtq_why_broken(q->vq);
	uint64_t one = 1;

	if (!why || q->reported_broken)
		return;
	q->reported_broken = true;
	log_limited(LOG_LVL_ERR, "ring %u is stopped: %s", q->index, why);
	if (q->err_fd >= 0)
		(void)!write(q->err_fd, &one, sizeof(one));
}

static bool may_pop(struct queue *q)
{
	if (!q->enabled || q->stopping || !virtq_started(q->vq) || virtq_why_broken(q->vq))
		return false;
	if (IPC_DGRAM_MAX - q->out->used < LINK_ROOM)
		link_flush(q);
	return !q->out_full;
}

/* queue_run_ring() - take what is available. */
void queue_run_ring(struct queue *q)
{
	struct virtq_elem e;
	unsigned n = 0;

	if (!may_pop(q))
		return;
	virtq_no_kick(q->vq);
	while (may_pop(q)) {
		enum virtq_status s = virtq_pop(q->vq, &e);

		if (s == VIRTQ_OK) {
			request_begin(q, &e);
			if (++n % ROUND_MAX == 0) {
				/* A guest that never pauses must not keep answers and commands waiting. */
				link_flush(q);
				link_read(q);
				queue_run_mail(q);
				queue_finish_round(q);
			}
			continue;
		}
		if (s == VIRTQ_BROKEN) {
			queue_report_broken(q);
			return;
		}
		if (q->polling || !virtq_want_kick(q->vq))
			return;
		virtq_no_kick(q->vq);
	}
}

/* queue_poll() - look once for chains and answers. True when there was something, which is done then. */
bool queue_poll(struct queue *q)
{
	bool link = q->active && link_read(q), ring = virtq_pending(q->vq);

	if (ring)
		queue_run_ring(q);
	if (ring || link)
		queue_finish_round(q);
	return ring || link;
}

/* queue_may_poll() - is there a ring that may be looked at, and nothing under way but what queue_poll() sees? */
bool queue_may_poll(struct queue *q)
{
	return may_pop(q) && !q->inherited && q->npool == 0;
}

/* queue_poll_end() - from now on the guest kicks again. */
void queue_poll_end(struct queue *q)
{
	q->polling = false;
	if (may_pop(q) && virtq_want_kick(q->vq)) {
		queue_run_ring(q);
		queue_finish_round(q);
	}
}

/* Locks that still wait go on only if the ring starts again where it stopped, also if another process does it. */
static void note_stopped(struct queue *q, const struct virtq_config *at)
{
	struct state_ring *s = q->state;

	s->stopped_size = 0;
	state_order();
	if (!at)
		return;
	s->stopped_base = q->last_base;
	s->stopped_desc = at->desc_user;
	s->stopped_avail = at->avail_user;
	s->stopped_used = at->used_user;
	state_order();
	s->stopped_size = at->size;
}

static bool is_stopped_at(const struct queue *q, const struct virtq_config *cfg)
{
	const struct state_ring *s = q->state;

	return s->stopped_size == cfg->size && s->stopped_base == cfg->base && s->stopped_desc == cfg->desc_user &&
	       s->stopped_avail == cfg->avail_user && s->stopped_used == cfg->used_user;
}

static void stop_finish(struct queue *q)
{
	struct queue_command *c = q->stop_cmd;

	q->last_base = virtq_stop(q->vq);
	note_stopped(q, c->cmd == CMD_STOP ? &q->cfg : NULL);
	q->stopping = false;
	q->stop_cmd = NULL;
	gmem_unref(q->mem);
	q->mem = NULL;
	pthread_mutex_lock(&q->mail_lock);
	c->result = q->last_base;
	c->done = true;
	pthread_cond_signal(&q->mail_done);
	pthread_mutex_unlock(&q->mail_lock);
}

static void call_guest(struct queue *q)
{
	uint64_t one = 1;

	if (q->call_fd >= 0)
		(void)!write(q->call_fd, &one, sizeof(one));
}

/* queue_publish() - make visible what was given back; the guest is called at the end of the round. */
void queue_publish(struct queue *q)
{
	if (!q->pushed)
		return;
	q->pushed = false;
	CRASHPOINT("before-publish");
	if (virtq_started(q->vq) && virtq_publish(q->vq))
		q->call = true;
	CRASHPOINT("after-publish");
}

/* queue_finish_round() - send, publish, call. */
void queue_finish_round(struct queue *q)
{
	link_end_round(q);
	queue_publish(q);
	if (q->call) {
		q->call = false;
		call_guest(q);
		CRASHPOINT("guest-called");
	}
	queue_report_broken(q);
	if (q->stopping && q->active == 0)
		stop_finish(q);
}

/* Mailbox ------------------------------------------------------------------------------------------ */

static void wake(struct queue *q)
{
	uint64_t one = 1;

	(void)!write(q->wake_fd, &one, sizeof(one));
}

/* queue_post_done() - from a pool thread: a job has finished. */
void queue_post_done(struct queue *q, struct direct_job *job)
{
	pthread_mutex_lock(&q->mail_lock);
	job->next_done = q->mail_jobs;
	q->mail_jobs = job;
	/* Inside the lock: as soon as the ring's thread has the job, the ring may be freed. */
	if (!job->next_done)
		wake(q);
	pthread_mutex_unlock(&q->mail_lock);
}

/* queue_post_interrupt() - from any ring's thread: the guest has lost interest in a request. */
void queue_post_interrupt(struct queue *q, uint64_t unique)
{
	pthread_mutex_lock(&q->mail_lock);
	/* In the state, since the INTERRUPT is given back before the CANCEL is on its way. */
	for (unsigned i = 0; i < STATE_INTERRUPTS; i++)
		if (q->state->interrupts[i] == 0) {
			q->state->interrupts[i] = unique;
			break;
		}
	q->mail_interrupted = true;
	wake(q);
	pthread_mutex_unlock(&q->mail_lock);
}

static void run_interrupts(struct queue *q)
{
	uint64_t uniques[STATE_INTERRUPTS];

	if (q->inherited)
		return; /* they stay until the start */
	pthread_mutex_lock(&q->mail_lock);
	memcpy(uniques, q->state->interrupts, sizeof(uniques));
	pthread_mutex_unlock(&q->mail_lock);
	for (uint32_t i = 0; i < q->nslots; i++)
		for (unsigned k = 0; k < STATE_INTERRUPTS; k++)
			if (q->slots[i]->state == REQUEST_WAITING && uniques[k] && q->slots[i]->unique == uniques[k])
				link_cancel(q->slots[i]);
	CRASHPOINT("interrupts-run");
	pthread_mutex_lock(&q->mail_lock);
	for (unsigned k = 0; k < STATE_INTERRUPTS; k++)
		if (uniques[k])
			q->state->interrupts[k] = 0;
	pthread_mutex_unlock(&q->mail_lock);
}

static bool have_waiting(const struct queue *q)
{
	for (uint32_t i = 0; i < q->nslots; i++)
		if (q->slots[i]->state == REQUEST_WAITING)
			return true;
	return false;
}

/* Nobody will hear the answers of waiting locks any more. */
static void orphan_waiting(struct queue *q)
{
	for (uint32_t i = 0; i < q->nslots; i++) {
		struct request *r = q->slots[i];

		if (r->state != REQUEST_WAITING)
			continue;
		bool answered = r->parked_error >= 0;

		if (!answered)
			link_cancel(r);
		r->state = REQUEST_ORPHAN;
		__atomic_sub_fetch(&q->nwaiting, 1, __ATOMIC_RELAXED);
		if (answered)
			request_free(r);
	}
}

/* Answers that came while the ring was stopped. */
static void tell_parked(struct queue *q)
{
	for (uint32_t i = 0; i < q->nslots; i++) {
		struct request *r = q->slots[i];

		if (r->state != REQUEST_WAITING || r->parked_error < 0)
			continue;
		request_set_waiting(r, false);
		request_reply_error(r, r->parked_error);
	}
}

/* What must be done before anything new is looked at, see the top of this file: steps 1 and 2. */
static void take_over(struct queue *q)
{
	struct virtq_elem e;

	for (uint32_t n = virtq_again_first(q->vq, request_was_asked, q); n && virtq_pop(q->vq, &e) == VIRTQ_OK; n--) {
		request_begin(q, &e);
		CRASHPOINT("head-taken-again");
	}
	link_found(q, true);
}

static int start(struct queue *q, const struct virtq_config *cfg, struct gmem *mem)
{
	/* Is it the ring that was stopped? Heads in flight mean something only there. */
	bool same = is_stopped_at(q, cfg), keep = have_waiting(q) && same;
	struct virtq_config c = *cfg;
	uint32_t max = cfg->size + q->nslots; /* orphans may hold slots of before */
	struct request **slots;
	int r;

	c.own = q->state->own;
	c.resume = cfg->resume || (q->inherited && same && !virtq_own_broken(q->state->own));
	if (!keep)
		orphan_waiting(q);
	if (max > q->slots_max) {
		slots = realloc(q->slots, max * sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		q->slots = slots;
		q->slots_max = max;
	}
	if (q->inherited && !c.resume)
		link_cancel_inherited(q);
	q->reported_broken = false;
	r = virtq_start(q->vq, &c, mem, keep);
	if (r < 0)
		return r;
	if (c.resume) {
		r = request_keep_slots(q, cfg->size);
		if (r < 0) {
			virtq_stop(q->vq);
			return r;
		}
	}
	q->mem = gmem_ref(mem);
	q->cfg = *cfg;
	if (c.resume)
		take_over(q);
	else if (q->inherited)
		link_found(q, false);
	__atomic_store_n(&q->inherited, false, __ATOMIC_RELAXED); /* INTERRUPT asks, from other rings */
	link_open(q);
	run_interrupts(q);
	tell_parked(q);
	q->pushed = true; /* a process before us may have died owing a call */
	return 0;
}

static int set_gmem(struct queue *q, struct gmem *mem)
{
	int r;

	if (!virtq_started(q->vq))
		return 0;
	r = virtq_set_gmem(q->vq, mem);
	gmem_ref(mem);
	gmem_unref(q->mem);
	q->mem = mem;
	return r;
}

static void replace_fd(int *slot, int fd)
{
	close_fd(slot);
	*slot = fd;
}

/* Return false when the command is done later (a stop that waits). */
static bool run_command(struct queue *q, struct queue_command *c)
{
	switch (c->cmd) {
	case CMD_START:
		c->result = start(q, c->cfg, c->mem);
		break;
	case CMD_DROP:
		orphan_waiting(q);
		note_stopped(q, NULL);
		__attribute__((fallthrough));
	case CMD_STOP:
		c->result = q->last_base;
		if (!virtq_started(q->vq))
			break;
		q->stopping = true;
		q->stop_cmd = c;
		return false; /* queue_finish_round() looks whether it is time */
	case CMD_ENABLE:
		q->enabled = c->on;
		break;
	case CMD_GMEM:
		c->result = set_gmem(q, c->mem);
		break;
	case CMD_KICK:
		queue_loop_watch_kick(q->loop, c->fd);
		replace_fd(&q->kick_fd, c->fd);
		break;
	case CMD_CALL:
		replace_fd(&q->call_fd, c->fd);
		/* A ring that runs already may have called by the old one. One call too many does no harm. */
		if (virtq_started(q->vq))
			call_guest(q);
		break;
	case CMD_ERR:
		replace_fd(&q->err_fd, c->fd);
		break;
	case CMD_EXIT:
		queue_loop_exit(q->loop);
		break;
	case CMD_NONE:
		break;
	}
	return true;
}

/* queue_run_mail() - on the ring's thread. Its caller looks at the ring afterwards: a command may have started or enabled it,
 * and a kick may have gone to a descriptor that was replaced. */
void queue_run_mail(struct queue *q)
{
	struct direct_job *jobs;
	struct queue_command *c;
	bool interrupted;

	pthread_mutex_lock(&q->mail_lock);
	jobs = q->mail_jobs;
	q->mail_jobs = NULL;
	c = q->mail_cmd;
	q->mail_cmd = NULL;
	interrupted = q->mail_interrupted;
	q->mail_interrupted = false;
	pthread_mutex_unlock(&q->mail_lock);

	while (jobs) {
		struct direct_job *next = jobs->next_done;

		q->npool--;
		direct_done(jobs);
		jobs = next;
	}
	if (interrupted)
		run_interrupts(q);
	if (c && run_command(q, c)) {
		queue_finish_round(q);
		pthread_mutex_lock(&q->mail_lock);
		c->done = true;
		pthread_cond_signal(&q->mail_done);
		pthread_mutex_unlock(&q->mail_lock);
	}
}

/* The control thread's side ------------------------------------------------------------------------ */

static int command(struct queue *q, struct queue_command c)
{
	pthread_mutex_lock(&q->mail_lock);
	q->mail_cmd = &c;
	wake(q);
	while (!c.done) {
		struct timespec until;

		/* A ring may be held up for long: by a file system that hangs, or by a descriptor of the VMM's that takes no more. A
		 * VMM that has gone meanwhile is not waited with. */
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		if (pthread_cond_timedwait(&q->mail_done, &q->mail_lock, &until) == ETIMEDOUT && q->dev->while_waiting)
			q->dev->while_waiting();
	}
	pthread_mutex_unlock(&q->mail_lock);
	return c.result;
}

static void *queue_thread(void *arg)
{
	struct queue *q = arg;
	char name[16];

	snprintf(name, sizeof(name), q->index ? "ring-%u" : "hiprio", q->index);
	prctl(PR_SET_NAME, name);
	queue_loop_run(q->loop);
	return NULL;
}

static void free_parts(struct queue *q)
{
	if (q->loop)
		queue_loop_free(q->loop);
	if (q->vq)
		virtq_free(q->vq);
	for (uint32_t i = 0; i < q->nslots; i++)
		free(q->slots[i]);
	free(q->slots);
	free(q->own_state);
	free(q->args);
	free(q->reply);
	close_fd(&q->wake_fd);
	close_fd(&q->link_fd);
	close_fd(&q->kick_fd);
	close_fd(&q->call_fd);
	close_fd(&q->err_fd);
	free(q);
}

/* The kernel copies answers into the state in one step, which a page that must first be made could fail in the middle. */
static void prefault(void *p, size_t len)
{
	for (size_t i = 0; i < len; i += 4096)
		(void)__atomic_fetch_or((char *)p + i, 0, __ATOMIC_RELAXED);
}

/* What did a process before this one leave behind? */
static void open_state(struct queue *q)
{
	struct state_ring *s = q->state;
	uint32_t used = (uint32_t)(s->commit & STATE_COMMIT_USED);
	uint64_t ticket;
	uint16_t head = 0;

	q->in = &s->in;
	q->out = &s->out;
	if (used > IPC_DGRAM_MAX || used % 8)
		used = 0; /* it was taken over: what it asked is lost */
	q->out_found = used != 0;
	q->out_full = q->out_found;
	q->out_urgent = q->out_found;
	q->out->used = used;
	q->out->count = used != 0;
	q->out->nfds = 0;
	q->out->resent = false;
	s->commit = (s->commit & ~(uint64_t)STATE_COMMIT_USED) | used;
	request_drop_uncounted(q);
	q->inherited = virtq_own_next(s->own, &head, &ticket) || q->out_found || ((struct ipc_hdr *)s->in.buf)->dgram != 0 ||
		       s->commit >> STATE_COMMIT_SHIFT;
	q->resumed = q->inherited;
	if (!q->inherited)
		s->generation = q->dev->cfg.heir.generation;
	prefault(q->in, sizeof(*q->in));
}

/* queue_new() - see queue.h. */
struct queue *queue_new(struct fuse_dev *dev, unsigned index, int link_fd, void *bulk, struct state_ring *state)
{
	struct queue *q = calloc(1, sizeof(*q));
	int e = ENOMEM;

	if (!q) {
		close(link_fd);
		errno = ENOMEM;
		return NULL;
	}
	q->dev = dev;
	q->index = index;
	q->link_fd = link_fd;
	/* Only this end: a ring whose fsworker is behind must still read answers, or both wait for each other. */
	(void)fcntl(link_fd, F_SETFL, O_NONBLOCK);
	q->kick_fd = q->call_fd = q->err_fd = -1;
	q->bulk = bulk;
	q->bulk_free = (1u << IPC_BULK_SLOTS) - 1;
	q->bulk_wait_tail = &q->bulk_wait;
	pthread_mutex_init(&q->mail_lock, NULL);
	pthread_cond_init(&q->mail_done, NULL);
	q->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->vq = virtq_new();
	q->own_state = state ? NULL : calloc(1, sizeof(*state));
	q->state = state ? state : q->own_state;
	if (q->state)
		open_state(q);
	q->args = malloc(FUSE_ARGS_MAX);
	q->reply = malloc(QUEUE_REPLY_MAX);
	if (q->wake_fd >= 0 && q->vq && q->state && q->args && q->reply)
		q->loop = queue_loop_new(q);
	if (q->loop && q->inherited)
		queue_loop_watch_link(q->loop, false, false); /* answers wait until it is known what was asked: link_open() */
	if (q->loop)
		e = pthread_create(&q->thread, NULL, queue_thread, q);
	if (e) {
		free_parts(q);
		errno = e;
		return NULL;
	}
	__atomic_store_n(&dev->queues[index], q, __ATOMIC_RELEASE);
	return q;
}

/* queue_free() - see queue.h. No other ring may be running: an INTERRUPT there could still mean this one. */
void queue_free(struct queue *q)
{
	command(q, (struct queue_command){ .cmd = CMD_DROP });
	__atomic_store_n(&q->dev->queues[q->index], NULL, __ATOMIC_RELEASE);
	command(q, (struct queue_command){ .cmd = CMD_EXIT });
	pthread_join(q->thread, NULL);
	free_parts(q);
}

int queue_start(struct queue *q, const struct virtq_config *cfg, struct gmem *m)
{
	return command(q, (struct queue_command){ .cmd = CMD_START, .cfg = cfg, .mem = m });
}

uint16_t queue_stop(struct queue *q)
{
	return (uint16_t)command(q, (struct queue_command){ .cmd = CMD_STOP });
}

void queue_drop(struct queue *q)
{
	command(q, (struct queue_command){ .cmd = CMD_DROP });
}

/* Only the control thread starts and stops, so that its own question needs no lock. */
bool queue_started(const struct queue *q)
{
	return virtq_started(q->vq);
}

void queue_enable(struct queue *q, bool on)
{
	command(q, (struct queue_command){ .cmd = CMD_ENABLE, .on = on });
}

int queue_set_gmem(struct queue *q, struct gmem *m)
{
	return command(q, (struct queue_command){ .cmd = CMD_GMEM, .mem = m });
}

void queue_set_kick(struct queue *q, int fd)
{
	command(q, (struct queue_command){ .cmd = CMD_KICK, .fd = fd });
}

void queue_set_call(struct queue *q, int fd)
{
	command(q, (struct queue_command){ .cmd = CMD_CALL, .fd = fd });
}

void queue_set_err(struct queue *q, int fd)
{
	command(q, (struct queue_command){ .cmd = CMD_ERR, .fd = fd });
}
