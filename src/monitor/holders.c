/* holders.c - those who keep the descriptors of a role between one process of it and the next (hold/hold.h).
 *
 * Role: monitor. A holder shares its descriptor table with the role's worker, which a guest may have taken over: the worker can
 * speak on the holder's channel, close it, and give us a descriptor that is no pidfd. By that it loses what it had itself, and
 * nothing else: what is received here is only waited for, signalled, and stored.
 */
#include "monitor/monitor.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define REAP_MAX 32u
#define AGAIN_MS 1000 /* until a holder that could not be made is asked for again */

/* Holders that were told to end and are still to be collected: killed if they do not by the end of the daemon. */
static int reap[REAP_MAX];
static uint32_t nreap;

static struct ipc_batch batch;

static void holder_clear(struct holder *h)
{
	*h = (struct holder){ .pidfd = -1, .channel = -1, .far = -1 };
}

static bool ended(int pidfd, int flags)
{
	siginfo_t si = { 0 };
	int r;

	do
		r = waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | flags);
	while (r < 0 && errno == EINTR);
	return r < 0 || si.si_pid != 0;
}

/**
 * holders_reap() - collect holders that were told to end.
 */
void holders_reap(void)
{
	for (uint32_t i = 0; i < nreap;) {
		if (!ended(reap[i], WNOHANG)) {
			i++;
			continue;
		}
		close(reap[i]);
		reap[i] = reap[--nreap];
	}
}

/**
 * holders_wait() - collect all who were told to end: what they keep, and the locks on it, are gone then.
 * @ms: at most so long.
 *
 * Return: how many are left.
 */
uint32_t holders_wait(int64_t ms)
{
	int64_t deadline = now_ms() + ms;

	for (holders_reap(); nreap && now_ms() < deadline; holders_reap()) {
		struct pollfd p = { .fd = reap[0], .events = POLLIN };
		struct timespec t = { .tv_nsec = 100000000 };

		ppoll(&p, 1, &t, NULL);
	}
	return nreap;
}

/**
 * holders_ending() - are there some that were told to end and are not collected yet? Nobody waits for their pidfds.
 */
bool holders_ending(void)
{
	return nreap > 0;
}

static void reap_later(int pidfd)
{
	holders_reap();
	if (nreap == REAP_MAX) {
		/* They have nothing to do before they end, and this one was killed. */
		(void)!ended(pidfd, 0);
		close(pidfd);
		return;
	}
	reap[nreap++] = pidfd;
}

/**
 * holders_new() - channels for the holders of a process that is about to start.
 * @far: out: the other ends, which go to the process.
 *
 * Return: 0 or -errno.
 */
int holders_new(struct holders *h, uint32_t generation, int (*far)[IPC_HOLDERS])
{
	h->generation = generation;
	h->again_at_ms = 0;
	for (size_t i = 0; i < IPC_HOLDERS; i++) {
		holder_clear(&h->holder[i]);
		(*far)[i] = -1;
	}
	for (size_t i = 0; i < IPC_HOLDERS; i++) {
		int sv[2], r = ipc_pair(sv);

		if (r < 0) {
			for (size_t k = 0; k < i; k++) {
				close_fd(&h->holder[k].channel);
				close_fd(&(*far)[k]);
			}
			h->generation = 0;
			return r;
		}
		h->holder[i].channel = sv[0];
		(*far)[i] = sv[1];
	}
	return 0;
}

/**
 * holders_end() - nobody needs what they keep any more: they end.
 */
void holders_end(struct holders *h)
{
	for (size_t i = 0; h->generation && i < IPC_HOLDERS; i++) {
		close_fd(&h->holder[i].channel);
		if (h->holder[i].pidfd >= 0) {
			if (nreap == REAP_MAX)
				pidfd_kill(h->holder[i].pidfd);
			reap_later(take_fd(&h->holder[i].pidfd));
		}
	}
	h->generation = 0;
}

/**
 * holders_complete() - are all there that should be?
 */
bool holders_complete(const struct holders *h)
{
	for (size_t i = 0; i < IPC_HOLDERS; i++)
		if (h->holder[i].pidfd < 0 || h->holder[i].far < 0 || !h->holder[i].ready)
			return false;
	return h->generation != 0;
}

/* One who can be asked, or NULL. */
static struct holder *any(struct holders *h, const struct holder *but)
{
	for (size_t i = 0; h->generation && i < IPC_HOLDERS; i++)
		if (&h->holder[i] != but && h->holder[i].pidfd >= 0 && h->holder[i].channel >= 0)
			return &h->holder[i];
	return NULL;
}

/**
 * holders_alive() - is there one who can be asked?
 */
bool holders_alive(struct holders *h)
{
	return any(h, NULL) != NULL;
}

/* Send a message with one descriptor, which is taken over. */
static int ask(int channel, uint16_t type, int fd, int32_t gone)
{
	void *body;

	ipc_batch_reset(&batch);
	body = ipc_batch_add(&batch, type, 0, 0, 0, NULL);
	if (!body || !ipc_batch_fd(&batch, fd, true)) {
		close(fd);
		return -EMSGSIZE;
	}
	if (type == IPC_HOLD)
		((struct ipc_hold *)body)->gone = gone;
	return ipc_batch_send(channel, &batch);
}

/**
 * holders_show() - a socket on which one of them gives what it keeps.
 * @fd: out.
 *
 * When that one ends, who asks is not told: the others have the same descriptor table, and in it the far end of this socket.
 * See holders_collect().
 *
 * Return: 0, -ESRCH when none is left, or another -errno.
 */
int holders_show(struct holders *h, int *fd)
{
	struct holder *who = any(h, NULL);
	int sv[2], r = who ? ipc_pair(sv) : -ESRCH;

	if (r < 0)
		return r;
	r = ask(who->channel, IPC_SHOW, sv[1], 0);
	if (r < 0)
		close(sv[0]);
	else
		*fd = sv[0];
	who->shown = r == 0;
	return r;
}

/* A holder has ended: let the other make a copy of itself. */
static bool replace(const struct child *c, struct holders *h, struct holder *gone)
{
	const struct holder *who = any(h, gone);
	int sv[2], far = gone->far, r = who ? ipc_pair(sv) : -ESRCH;

	close_fd(&gone->channel);
	holder_clear(gone);
	if (r == 0) {
		r = ask(who->channel, IPC_HOLD, sv[1], far);
		if (r < 0)
			close(sv[0]);
		else
			gone->channel = sv[0];
	}
	if (r < 0)
		log_err("the descriptors of the %s are kept by %s: if it dies now they are lost", c->role->name,
			who ? "one process only" : "nobody");
	return r == 0;
}

/**
 * holders_again() - one could not be made: is it time to ask for it again?
 */
void holders_again(struct child *c, struct holders *h)
{
	if (!h->generation || !h->again_at_ms || now_ms() < h->again_at_ms)
		return;
	h->again_at_ms = 0;
	for (size_t i = 0; i < IPC_HOLDERS; i++)
		if (h->holder[i].pidfd < 0 && h->holder[i].channel < 0 && !replace(c, h, &h->holder[i]))
			h->again_at_ms = now_ms() + AGAIN_MS;
}

static void throw_away(struct child *c)
{
	c->thrown_away = true;
	spawn_signal(c, SIGKILL);
}

/**
 * holders_collect() - has one of them ended?
 *
 * One that did so by itself is replaced. Where it was the role's first process, which had made no worker yet, the start has failed.
 */
void holders_collect(struct monitor *m, struct child *c, struct holders *h)
{
	for (size_t i = 0; h->generation && i < IPC_HOLDERS; i++) {
		struct holder *o = &h->holder[i];
		siginfo_t si = { 0 };

		int r;

		if (o->pidfd < 0)
			continue;
		r = waitid(P_PIDFD, (id_t)o->pidfd, &si, WEXITED | WNOHANG);
		if (r == 0 && si.si_pid == 0)
			continue;
		/* Its worker may have told us of another descriptor: waiting for that would be a loop without end. */
		if (r < 0 && errno != ECHILD) {
			log_err("a holder of the %s is no child of the monitor: its worker is killed", c->role->name);
			if (h == &c->own) {
				c->at_fault = true;
				spawn_signal(c, SIGKILL);
			}
		}
		close_fd(&o->pidfd);
		if (h == &c->own && c->pidfd < 0) {
			c->pid = o->pid;
			supervise_ended(m, c, &si);
			return;
		}
		/* Before TAKE there is nothing to keep: such a start is thrown away, rather than that it goes on with one holder. */
		if (h == &c->own && c->state == CHILD_STARTING && !c->taking) {
			c->at_fault |= si.si_code == CLD_EXITED;
			throw_away(c);
			continue;
		}
		log_info("a holder of the %s's descriptors (pid %d) has ended and is replaced", c->role->name, (int)o->pid);
		c->asks_nobody |= o->shown && h != &c->own;
		/* A start that nobody can make complete any more is thrown away; else it would wait for ever. */
		if (!replace(c, h, o) && h == &c->own && c->state == CHILD_STARTING)
			throw_away(c);
	}
	/* It would wait for ever, and the next one asks another. */
	if (c->asks_nobody && c->state == CHILD_STARTING && !c->ready && c->pidfd >= 0) {
		c->asks_nobody = false;
		throw_away(c);
	}
}

static const char *held(struct child *c, struct holders *h, size_t i, struct ipc_dgram *d, const struct ipc_msg *msg)
{
	const struct ipc_held *q = msg->body;

	if (q->kind == HELD_READY) {
		if (h->holder[i].ready)
			return "a holder that is ready twice";
		h->holder[i].ready = true;
		return NULL;
	}
	if (msg->nfds == 0)
		return "a process without its pidfd";
	if (q->kind == HELD_WORKER) {
		if (h != &c->own || c->state != CHILD_STARTING || c->pidfd >= 0)
			return "a second worker";
		c->pidfd = ipc_take_fd(d, msg, 0);
		c->pid = q->pid;
		h->holder[i].far = q->channel;
		return NULL;
	}
	for (size_t k = 0; k < IPC_HOLDERS; k++) {
		struct holder *o = &h->holder[k];

		if (o->pidfd >= 0 || o->channel < 0)
			continue;
		o->pidfd = ipc_take_fd(d, msg, 0);
		o->far = q->channel;
		o->pid = q->pid;
		return NULL;
	}
	return "a holder that was not asked for";
}

/**
 * holders_hear() - take what waits on a holder's channel; one datagram.
 */
void holders_hear(struct child *c, struct holders *h, size_t i)
{
	static struct ipc_dgram d;
	const char *why = "it broke the framing";
	struct ipc_msg msg;
	int r = ipc_recv(h->holder[i].channel, &d, MSG_DONTWAIT);

	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r == 0) {
		close_fd(&h->holder[i].channel); /* it ends, or could not be made */
		if (h->holder[i].pidfd < 0)
			h->again_at_ms = now_ms() + AGAIN_MS;
		return;
	}
	if (r > 0) {
		while ((r = ipc_next(&d, IPC_DIR_R2M, &msg, &why)) > 0) {
			why = msg.hdr->type == IPC_HELD ? held(c, h, i, &d, &msg) : "a message of a worker";
			if (why) {
				r = -EPROTO;
				break;
			}
		}
		ipc_dgram_end(&d);
	}
	if (r < 0) {
		log_err("a holder of the %s (pid %d) broke the protocol with the monitor: %s: it is killed", c->role->name,
			(int)h->holder[i].pid, why);
		close_fd(&h->holder[i].channel);
		if (h->holder[i].pidfd >= 0)
			pidfd_kill(h->holder[i].pidfd);
		/* A holder runs nothing that could be taken over: who speaks for it is its worker, which has the same table. */
		if (h == &c->own) {
			c->short_lives++;
			c->at_fault = true;
			spawn_signal(c, SIGKILL);
		}
	}
}
