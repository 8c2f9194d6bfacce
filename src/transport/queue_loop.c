/* queue_loop.c - what a ring's thread waits for: kicks, answers of the fsworker, its mailbox. libevent is only known here.
 *
 * Role: transport. Kick and mailbox are eventfds watched edge-triggered and never read: each write is one event, and a
 * counter that nobody resets cannot block a writer for longer than 2^64 kicks. A kick that is something else (the VMM
 * decides) is read.
 */
#include "transport/queue_int.h"

#include "common/spin.h"
#include "ipc/roles.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FOUND_MAX 64u /* until the mailbox has its turn */

struct queue_loop {
	struct queue *q;
	struct event_base *base;
	struct event *kick, *link_read, *link_write, *wake, *late;
	bool kick_needs_read;
	bool end;
	struct spin spin;
};

/* After whatever was done. */
static void finish_round(struct queue_loop *l)
{
	queue_finish_round(l->q);
	if (likely(!l->q->reaped))
		return;
	l->q->reaped = false;
	queue_run_ring(l->q);
	queue_finish_round(l->q);
}

/* While more is likely to come soon it is looked for, and the guest need not kick. */
static void run_ring(struct queue_loop *l)
{
	l->q->polling = l->spin.window_ns > 0;
	queue_run_ring(l->q);
	finish_round(l);
}

/* Return false when nothing came and it is time to sleep. */
static bool poll_ring(struct queue_loop *l)
{
	struct queue *q = l->q;
	unsigned found = 0;

	if (queue_may_poll(q) && spin_begin(&l->spin)) {
		q->polling = true;
		do {
			if (!queue_poll(q))
				continue;
			spin_found(&l->spin);
			found++;
			if (!queue_may_poll(q) || !spin_begin(&l->spin))
				break;
		} while (found < FOUND_MAX && spin_again(&l->spin));
	}
	if (q->polling)
		queue_poll_end(q);
	if (unlikely(q->link_reap || q->reaped))
		finish_round(l);
	return found == FOUND_MAX;
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct queue_loop *l = arg;
	uint64_t count;

	(void)what;
	if (l->kick_needs_read) {
		ssize_t n = read(fd, &count, sizeof(count));

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			queue_loop_watch_kick(l, -1); /* its other end is closed */
	}
	run_ring(l);
}

static void on_link(evutil_socket_t fd, short what, void *arg)
{
	struct queue_loop *l = arg;

	(void)fd;
	if (what & EV_READ)
		link_read(l->q);
	if (what & EV_WRITE) {
		link_flush(l->q);
		if (!l->q->out_full && !l->q->link_dead)
			queue_loop_watch_link(l, !l->q->inherited, false); /* see link_open() */
		queue_run_ring(l->q);
	}
	finish_round(l);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct queue_loop *l = arg;

	(void)fd;
	(void)what;
	queue_run_mail(l->q);
	run_ring(l);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct queue_loop *l = arg;

	(void)fd;
	(void)what;
	link_flush(l->q);
	finish_round(l);
}

/* queue_loop_new() - NULL: no memory or descriptors. */
struct queue_loop *queue_loop_new(struct queue *q)
{
	struct queue_loop *l = calloc(1, sizeof(*l));
	struct event_config *cfg = event_config_new();

	if (!l || !cfg)
		goto fail;
	l->q = q;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	event_config_require_features(cfg, EV_FEATURE_ET);
	l->base = event_base_new_with_config(cfg);
	if (!l->base)
		goto fail;
	l->link_read = event_new(l->base, q->link_fd, EV_READ | EV_PERSIST, on_link, l);
	l->link_write = event_new(l->base, q->link_fd, EV_WRITE | EV_PERSIST, on_link, l);
	l->wake = event_new(l->base, q->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, l);
	l->late = evtimer_new(l->base, on_late, l);
	if (!l->link_read || !l->link_write || !l->wake || !l->late || event_add(l->link_read, NULL) || event_add(l->wake, NULL))
		goto fail;
	event_config_free(cfg);
	return l;
fail:
	if (cfg)
		event_config_free(cfg);
	if (l)
		queue_loop_free(l);
	return NULL;
}

/* queue_loop_free() - the thread has ended. */
void queue_loop_free(struct queue_loop *l)
{
	if (l->kick)
		event_free(l->kick);
	if (l->link_read)
		event_free(l->link_read);
	if (l->link_write)
		event_free(l->link_write);
	if (l->wake)
		event_free(l->wake);
	if (l->late)
		event_free(l->late);
	if (l->base)
		event_base_free(l->base);
	free(l);
}

/* queue_loop_run() - until queue_loop_exit(). */
void queue_loop_run(struct queue_loop *l)
{
	bool more = false;

	spin_init(&l->spin, l->q->dev->cfg.poll_us);
	while (!l->end) {
		if (!more)
			spin_sleeps(&l->spin);
		if (event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY | (more ? EVLOOP_NONBLOCK : EVLOOP_ONCE)) < 0) {
			log_err("ring %u: cannot wait for anything", l->q->index);
			_exit(ROLE_EXIT_FAIL); /* the next process may be able to */
		}
		if (!more)
			spin_woke(&l->spin);
		more = !l->end && poll_ring(l);
	}
}

/* queue_loop_exit() - on the loop's own thread. */
void queue_loop_exit(struct queue_loop *l)
{
	l->end = true;
	event_base_loopbreak(l->base);
}

/* queue_loop_watch_kick() - instead of the one before. */
void queue_loop_watch_kick(struct queue_loop *l, int fd)
{
	struct stat st;

	if (l->kick)
		event_free(l->kick);
	l->kick = NULL;
	if (fd < 0)
		return;
	/* An eventfd is an anonymous inode: it has no file type. */
	l->kick_needs_read = fstat(fd, &st) < 0 || (st.st_mode & S_IFMT);
	l->kick = event_new(l->base, fd, EV_READ | EV_PERSIST | (l->kick_needs_read ? 0 : EV_ET), on_kick, l);
	if (!l->kick || event_add(l->kick, NULL)) {
		log_limited(LOG_LVL_ERR, "ring %u: its kick descriptor cannot be watched", l->q->index);
		if (l->kick)
			event_free(l->kick);
		l->kick = NULL;
	}
}

/* queue_loop_watch_link() - for answers, and for room to send. */
void queue_loop_watch_link(struct queue_loop *l, bool read, bool write)
{
	if (read)
		event_add(l->link_read, NULL);
	else
		event_del(l->link_read);
	if (write)
		event_add(l->link_write, NULL);
	else
		event_del(l->link_write);
}

/* queue_loop_flush_soon() - unless that is to happen anyway. */
void queue_loop_flush_soon(struct queue_loop *l)
{
	static const struct timeval soon = { .tv_usec = 1000 };

	if (!evtimer_pending(l->late, NULL) && evtimer_add(l->late, &soon))
		link_flush(l->q);
}
