/*
 * The loop that keeps requests in flight, one thread for each request queue.
 *
 * A thread with nothing to do sleeps until the daemon calls, as a guest does:
 * it never spins.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* Latencies ---------------------------------------------------------------- */

/* 32 classes for each power of two: a class is at most 3 % wide. */
static unsigned int class_of(uint64_t ns)
{
	unsigned int high;

	if (ns < 64)
		return (unsigned int)ns / 2;
	high = 63 - (unsigned int)__builtin_clzll(ns);
	return (high - 5) * 32 + (unsigned int)((ns >> (high - 5)) & 31);
}

static double class_us(unsigned int c)
{
	unsigned int high = c / 32 + 5;

	if (c < 32)
		return c * 2 / 1e3;
	return (double)((1ull << high) + ((uint64_t)(c % 32) << (high - 5))) / 1e3;
}

static double percentile(struct lane *lanes, unsigned int n, double part)
{
	uint64_t total = 0, seen = 0;

	for (unsigned int i = 0; i < n; i++)
		total += lanes[i].latency->n;
	for (unsigned int c = 0; c < 64 * 32; c++) {
		for (unsigned int i = 0; i < n; i++)
			seen += lanes[i].latency->count[c];
		if (seen && (double)seen >= part * (double)total)
			return class_us(c);
	}
	return 0;
}

int64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Requests ------------------------------------------------------------------ */

/**
 * slot_request() - Make a request that can be sent again and again
 * @s:		Slot
 * @i:		Which of its requests
 * @opcode:	Operation
 * @nodeid:	Object
 * @args:	Arguments, or NULL
 * @n:		Their size
 * @reply:	Room for the reply
 *
 * Return: the request; NULL when guest memory is used up
 */
struct freq *slot_request(struct slot *s, unsigned int i, uint32_t opcode, uint64_t nodeid,
			  const void *args, size_t n, size_t reply)
{
	struct freq *q = fs_new(&s->lane->fs, opcode, nodeid, n, reply);

	if (!q)
		return NULL;
	fs_put(q, args, n);
	return slot_made(s, i, q);
}

/**
 * slot_made() - A request has all of its arguments
 * @s:	Slot
 * @i:	Which of its requests
 * @q:	Request
 *
 * Return: the request; NULL when guest memory is used up
 */
struct freq *slot_made(struct slot *s, unsigned int i, struct freq *q)
{
	fs_layout(q);
	q->vq.reply = q->in.host;
	q->vq.owner = s;
	if (ring_prepare(q->ring, &q->vq))
		return NULL;
	s->req[i] = q;
	return q;
}

/* slot_args() - Arguments of a request, to be changed in place */
void *slot_args(struct freq *q)
{
	return q->out.host + sizeof(struct fuse_in_header);
}

/**
 * slot_reply() - Reply to the request that was answered
 * @s:		Slot
 * @size:	Least size
 *
 * Return: it; NULL when it is an error or too short
 */
const void *slot_reply(struct slot *s, size_t size)
{
	size_t len;
	const void *p;

	if (fs_result(s->now))
		return NULL;
	p = fs_reply(s->now, &len);
	return len >= size ? p : NULL;
}

/* slot_fail() - The operation went wrong. Returns NULL, for a workload's next() to return. */
struct freq *slot_fail(struct slot *s, const char *why)
{
	fprintf(stderr, "bench: %s: %s (opcode %u, result %d, reply of %u bytes)\n",
		s->lane->load->work->name, why, s->now->opcode, fs_result(s->now),
		s->now->vq.used_len);
	s->lane->failed = true;
	return NULL;
}

/* lane_random() - A number; the same sequence in every run */
uint64_t lane_random(struct lane *lane)
{
	lane->rng ^= lane->rng << 13;
	lane->rng ^= lane->rng >> 7;
	lane->rng ^= lane->rng << 17;
	return lane->rng;
}

static int forget_now(struct lane *lane)
{
	struct load *l = lane->load;
	int err = 0;

	if (lane->nforgets) {
		pthread_mutex_lock(&l->hiprio);
		err = fs_batch_forget(&lane->fs, lane->forgets, lane->nforgets);
		pthread_mutex_unlock(&l->hiprio);
		lane->requests++;
	}
	lane->nforgets = 0;
	return err;
}

/**
 * lane_forget() - Give one lookup back, with others later
 * @lane:	Lane
 * @nodeid:	What was looked up
 */
void lane_forget(struct lane *lane, uint64_t nodeid)
{
	lane->forgets[lane->nforgets++] = (struct fuse_forget_one){ .nodeid = nodeid, .nlookup = 1 };
	if (lane->nforgets == BENCH_FORGETS && forget_now(lane))
		lane->failed = true;
}

/* The loop ------------------------------------------------------------------ */

static void put(struct slot *s, struct freq *q)
{
	s->now = q;
	s->lane->requests++;
	if (fs_again(q))
		s->lane->failed = true;
}

static void begin_operation(struct slot *s)
{
	struct load *l = s->lane->load;
	struct freq *q;

	if (atomic_load_explicit(&l->stop, memory_order_relaxed) ||
	    (l->work->ops && s->lane->ops + ring_inflight(s->req[0]->ring) >= l->work->ops))
		return;
	s->step = 0;
	s->began_ns = bench_now_ns();
	q = l->work->next(s);
	if (q)
		put(s, q);
}

/* The reply is there. */
static void go_on(struct slot *s)
{
	struct lane *lane = s->lane;
	struct freq *q;

	s->step++;
	q = lane->load->work->next(s);
	if (lane->failed)
		return;
	if (q) {
		put(s, q);
		return;
	}
	lane->latency->count[class_of((uint64_t)(bench_now_ns() - s->began_ns))]++;
	lane->latency->n++;
	lane->ops++;
	lane->bytes += lane->load->work->bytes;
	s->serial++;
	begin_operation(s);
}

static int sleep_until_called(struct lane *lane, struct ring *r)
{
	struct pollfd p[2] = {
		{ .fd = r->call_fd, .events = POLLIN },
		{ .fd = r->conn_fd, .events = POLLRDHUP },
	};
	uint64_t calls;

	while (ring_arm(r)) {
		int n = poll(p, 2, vuf_timeout_ms());

		if (n <= 0)
			return n == 0 ? -ETIMEDOUT : -errno;
		if (!p[0].revents)
			return -ECONNRESET;
		if (read(r->call_fd, &calls, sizeof(calls)) == sizeof(calls))
			lane->interrupts += calls;
	}
	return 0;
}

static void *lane_run(void *arg)
{
	struct lane *lane = arg;
	struct ring *r = lane->slots[0].req[0]->ring;
	unsigned int inflight;

	for (unsigned int i = 0; i < lane->nslots; i++)
		begin_operation(&lane->slots[i]);
	ring_kick(r);
	while (!lane->failed && (inflight = r->size - r->nfree) > 0) {
		struct vreq *q;
		bool any = false;
		int err;

		while (!lane->failed && (q = ring_pop(r))) {
			any = true;
			go_on(q->owner);
		}
		if (r->broken)
			lane->failed = true;
		if (any) {
			ring_kick(r);
			continue;
		}
		err = lane->failed ? 0 : sleep_until_called(lane, r);
		if (err) {
			fprintf(stderr, "bench: %s: %u requests in flight: %s\n", lane->load->work->name,
				inflight, strerror(-err));
			lane->failed = true;
		}
	}
	if (lane->failed)
		atomic_store(&lane->load->stop, true);
	else if (forget_now(lane))
		lane->failed = true;
	return NULL;
}

/* Setting up ---------------------------------------------------------------- */

static int lane_begin(struct load *l, unsigned int i, const struct fs *fs)
{
	struct lane *lane = &l->lanes[i];

	lane->load = l;
	lane->number = i;
	lane->nslots = l->depth;
	lane->fs = *fs;
	lane->fs.npool = 0;
	lane->fs.queue = DEV_REQUEST + i;
	lane->fs.next_unique = ((uint64_t)(i + 1) << 48) + 2;
	lane->rng = 88172645463325252ull + i;
	lane->latency = calloc(1, sizeof(*lane->latency));
	if (!lane->latency)
		return -ENOMEM;
	for (unsigned int s = 0; s < l->depth; s++) {
		lane->slots[s].lane = lane;
		lane->slots[s].number = i * l->depth + s;
		if (l->work->begin(&lane->slots[s]))
			return -ENOMEM;
	}
	return 0;
}

static int look_up_all(struct load *l, struct fs *fs)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;
	char name[16];

	for (unsigned int i = 0; i < BENCH_FILES; i++) {
		share_file_name(name, i);
		if (fs_lookup(fs, FUSE_ROOT_ID, name, &e) || e.attr.size != BENCH_FILE_SIZE)
			return -EPROTO;
		l->nodeids[i] = e.nodeid;
	}
	if (fs_lookup(fs, FUSE_ROOT_ID, "data", &e) || fs_open(fs, e.nodeid, O_RDWR, &o))
		return -EPROTO;
	l->data_node = e.nodeid;
	l->data_fh = o.fh;
	if (fs_lookup(fs, FUSE_ROOT_ID, "dir", &e))
		return -EPROTO;
	l->dir_node = e.nodeid;
	return 0;
}

static void run_lanes(struct load *l, struct measured *m, pid_t daemon)
{
	double cpu = procs_cpu_us(daemon), spent;
	int64_t began = bench_now_ns();
	unsigned int started = 0;

	for (; started < l->nlanes; started++)
		if (pthread_create(&l->lanes[started].thread, NULL, lane_run, &l->lanes[started])) {
			atomic_store(&l->stop, true);
			m->ok = false;
			break;
		}
	if (!l->work->ops) {
		struct timespec t = { .tv_sec = (time_t)l->seconds,
				      .tv_nsec = (long)((l->seconds - (double)(time_t)l->seconds) * 1e9) };

		nanosleep(&t, NULL);
		atomic_store(&l->stop, true);
	}
	for (unsigned int i = 0; i < started; i++)
		pthread_join(l->lanes[i].thread, NULL);
	spent = (double)(bench_now_ns() - began) / 1e9;
	cpu = procs_cpu_us(daemon) - cpu;
	for (unsigned int i = 0; i < started; i++) {
		struct lane *lane = &l->lanes[i];

		m->ok &= !lane->failed;
		m->ops += (double)lane->ops;
		m->mb += (double)lane->bytes / 1e6;
		m->kicks += (double)l->dev->rings[DEV_REQUEST + i].kicks;
		m->interrupts += (double)lane->interrupts;
	}
	if (m->ops > 0) {
		m->cpu_us = cpu / m->ops;
		m->kicks /= m->ops;
		m->interrupts /= m->ops;
		m->ops /= spent;
		m->mb /= spent;
	}
	m->p50_us = percentile(l->lanes, started, 0.5);
	m->p99_us = percentile(l->lanes, started, 0.99);
}

/**
 * load_run() - Drive a daemon that has been connected to
 * @l:		What to do; dev is started
 * @m:		Filled in
 * @daemon:	Its first process
 *
 * Return: 0; -EPROTO when any reply or the contents were wrong
 */
int load_run(struct load *l, struct measured *m, pid_t daemon)
{
	struct fs fs;
	int err;

	memset(m, 0, sizeof(*m));
	m->ok = true;
	fs_init(&fs, l->dev);
	err = fs_start(&fs, 45, FS_GUEST_FLAGS & ~(uint64_t)FUSE_WRITEBACK_CACHE);
	if (!err)
		err = look_up_all(l, &fs);
	if (!err && l->work->prepare)
		err = l->work->prepare(l);
	l->lanes = calloc(l->nlanes, sizeof(*l->lanes));
	if (!l->lanes)
		err = -ENOMEM;
	for (unsigned int i = 0; i < l->nlanes && !err; i++)
		err = lane_begin(l, i, &fs);
	for (unsigned int i = 0; i < l->dev->nrings; i++)
		l->dev->rings[i].kicks = 0;
	if (!err) {
		run_lanes(l, m, daemon);
		m->pss_kb = procs_pss_kb(daemon);
		m->descriptors = procs_descriptors(daemon);
	}
	if (!err && m->ok && l->work->check)
		err = l->work->check(l);
	if (err || m->ops == 0)
		m->ok = false;
	for (unsigned int i = 0; l->lanes && i < l->nlanes; i++)
		free(l->lanes[i].latency);
	free(l->lanes);
	fs_close(&fs);
	return m->ok ? 0 : -EPROTO;
}
