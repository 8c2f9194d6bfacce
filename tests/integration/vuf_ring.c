/*
 * Split virtqueues, the driver's side.
 *
 * Which descriptor follows which is kept here and not read back from guest
 * memory: a back end that writes where it must not is then found by the checks
 * on completion, and does not lead the front end astray.
 *
 * Each completion is verified as the Linux driver does it: the head must be in
 * flight; the used length must be that of the reply's header, at least 16; the
 * reply must carry the request's unique number. A breach marks the ring broken
 * for good and says why on stderr.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "vuf_daemon.h"
#include "vuf_ring.h"

#define ALIGN(n, a) (((n) + (a) - 1) & ~(uint64_t)((a) - 1))

static uint16_t load16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static void full_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint16_t *used_event(struct ring *r)
{
	return &r->avail->ring[r->size];
}

static uint16_t *avail_event(struct ring *r)
{
	return (uint16_t *)&r->used->ring[r->size];
}

/**
 * ring_reset() - Forget all requests and start from index 0
 * @r:	Ring that the back end does not use at present
 */
void ring_reset(struct ring *r)
{
	memset(r->mem.host, 0, r->mem.size);
	memset(r->slots, 0, r->size * sizeof(*r->slots));
	for (unsigned int i = 0; i < r->size; i++)
		r->next[i] = (uint16_t)(i + 1);
	r->free_head = 0;
	r->nfree = r->size;
	r->avail_idx = r->kicked_idx = r->used_idx = 0;
	r->broken = false;
}

static int make_call(struct ring *r, bool socketpair_wanted)
{
	int sv[2];

	if (!socketpair_wanted) {
		r->call_fd = r->call_peer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		return r->call_fd < 0 ? -errno : 0;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv))
		return -errno;
	r->call_fd = sv[0];
	r->call_peer = sv[1];
	return 0;
}

/**
 * ring_init() - Make a ring in guest memory
 * @r:			Filled in; to be given to ring_close() in any case
 * @gm:			Guest memory
 * @region:		Region that the ring is to lie in, or -1 for any
 * @index:		Number of the ring
 * @size:		Entries, a power of two
 * @call_socketpair:	Call descriptor is a socket pair, as user-mode-linux
 *			has it, not an eventfd
 *
 * Return: 0 or a negative errno
 */
int ring_init(struct ring *r, struct gmem *gm, int region, unsigned int index, unsigned int size,
	      bool call_socketpair)
{
	uint64_t desc_bytes = (uint64_t)size * sizeof(struct vring_desc);
	uint64_t avail_bytes = 6 + 2ull * size;
	uint64_t used_at = ALIGN(desc_bytes + avail_bytes, 64);
	uint64_t total = used_at + 6 + 8ull * size;
	int err;

	memset(r, 0, sizeof(*r));
	r->kick_fd = r->call_fd = r->call_peer = r->err_fd = r->conn_fd = -1;
	r->index = index;
	r->size = size;
	r->gm = gm;
	err = region < 0 ? gmem_alloc(gm, total, &r->mem) :
			   gmem_alloc_in(gm, (unsigned int)region, total, &r->mem);
	if (err)
		return err;
	r->desc_gpa = r->mem.gpa;
	r->avail_gpa = r->mem.gpa + desc_bytes;
	r->used_gpa = r->mem.gpa + used_at;
	r->desc = (void *)r->mem.host;
	r->avail = (void *)(r->mem.host + desc_bytes);
	r->used = (void *)(r->mem.host + used_at);
	r->next = calloc(size, sizeof(*r->next));
	r->slots = calloc(size, sizeof(*r->slots));
	r->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!r->next || !r->slots || r->kick_fd < 0 || r->err_fd < 0)
		return -ENOMEM;
	err = make_call(r, call_socketpair);
	if (!err)
		ring_reset(r);
	return err;
}

/**
 * ring_close() - Release a ring
 * @r:	Ring; requests in flight are forgotten
 */
void ring_close(struct ring *r)
{
	if (r->kick_fd >= 0)
		close(r->kick_fd);
	if (r->call_fd >= 0)
		close(r->call_fd);
	if (r->call_peer >= 0 && r->call_peer != r->call_fd)
		close(r->call_peer);
	if (r->err_fd >= 0)
		close(r->err_fd);
	if (r->mem.host)
		gmem_free(r->gm, &r->mem);
	free(r->next);
	free(r->slots);
	memset(r, 0, sizeof(*r));
	r->kick_fd = r->call_fd = r->call_peer = r->err_fd = r->conn_fd = -1;
}

static void fill_desc(struct vring_desc *d, const struct vreq *q, unsigned int i, uint16_t next)
{
	unsigned int n = q->nout + q->nin;

	d->addr = q->segs[i].gpa;
	d->len = q->segs[i].len;
	d->flags = (uint16_t)((i >= q->nout ? VRING_DESC_F_WRITE : 0) |
			      (i + 1 < n ? VRING_DESC_F_NEXT : 0));
	d->next = i + 1 < n ? next : 0;
}

static int fill_table(struct ring *r, struct vreq *q)
{
	unsigned int n = q->nout + q->nin;
	struct vring_desc *t;

	if (q->table_valid)
		return 0;
	if (q->table_room < n) {
		if (q->table_room)
			gmem_free(r->gm, &q->table);
		q->table_room = 0;
		if (gmem_alloc(r->gm, n * sizeof(*t), &q->table))
			return -ENOMEM;
		q->table_room = n;
	}
	t = (void *)q->table.host;
	for (unsigned int i = 0; i < n; i++)
		fill_desc(&t[i], q, i, (uint16_t)(i + 1));
	q->table_valid = true;
	return 0;
}

/**
 * ring_prepare() - Do now what ring_add() would need guest memory for
 * @r:	Ring
 * @q:	Request with its segments
 *
 * Return: 0 or -ENOMEM
 */
int ring_prepare(struct ring *r, struct vreq *q)
{
	return r->indirect && q->nout + q->nin > 1 ? fill_table(r, q) : 0;
}

/**
 * ring_add() - Make a request available
 * @r:	Ring
 * @q:	Request; stays in flight until ring_pop() returns it
 *
 * Does not kick.
 *
 * Return: 0; -EAGAIN when the ring has no room; -EIO when it is broken
 */
int ring_add(struct ring *r, struct vreq *q)
{
	unsigned int n = q->nout + q->nin;
	bool indirect = r->indirect && n > 1;
	unsigned int need = indirect ? 1 : n;
	uint16_t head = r->free_head;

	if (r->broken)
		return -EIO;
	if (need > r->nfree || !n)
		return -EAGAIN;
	if (indirect) {
		struct vring_desc *d = &r->desc[head];

		if (fill_table(r, q))
			return -ENOMEM;
		d->addr = q->table.gpa;
		d->len = (uint32_t)(n * sizeof(*d));
		d->flags = VRING_DESC_F_INDIRECT;
		d->next = 0;
		r->free_head = r->next[head];
	} else {
		uint16_t at = head;

		for (unsigned int i = 0; i < n; i++) {
			fill_desc(&r->desc[at], q, i, r->next[at]);
			at = r->next[at];
		}
		r->free_head = at;
	}
	r->nfree -= need;
	q->head = head;
	q->done = false;
	q->error = 0;
	r->slots[head] = q;
	ring_put_raw(r, head);
	return 0;
}

/**
 * ring_put_raw() - Put any number into the available ring
 * @r:		Ring
 * @head:	What to put there
 */
void ring_put_raw(struct ring *r, uint16_t head)
{
	r->avail->ring[r->avail_idx & (r->size - 1)] = head;
	store16(&r->avail->idx, ++r->avail_idx);
}

/**
 * ring_kick_always() - Tell the device, whether or not it wants to be told
 * @r:	Ring
 */
void ring_kick_always(struct ring *r)
{
	uint64_t one = 1;

	r->kicked_idx = r->avail_idx;
	if (write(r->kick_fd, &one, sizeof(one)) != sizeof(one) && errno != EAGAIN)
		r->broken = true;
	r->kicks++;
}

/**
 * ring_kick() - Tell the device about new requests if it wants to be told
 * @r:	Ring
 *
 * Return: whether it was told
 */
bool ring_kick(struct ring *r)
{
	bool want;

	full_fence();
	if (r->event_idx)
		want = (uint16_t)(r->avail_idx - load16(avail_event(r)) - 1) <
		       (uint16_t)(r->avail_idx - r->kicked_idx);
	else
		want = !(load16(&r->used->flags) & VRING_USED_F_NO_NOTIFY);
	if (want) {
		ring_kick_always(r);
	} else {
		r->kicked_idx = r->avail_idx;
		r->kicks_saved++;
	}
	return want;
}

static int verify(struct ring *r, const struct vreq *q)
{
	struct fuse_out_header oh;
	const char *why = NULL;

	if (q->noreply) {
		if (q->used_len)
			why = "a reply where none may be";
		memset(&oh, 0, sizeof(oh));
	} else {
		memcpy(&oh, q->reply, sizeof(oh));
		if (q->used_len < sizeof(oh))
			why = "shorter than a header";
		else if (oh.len != q->used_len)
			why = "used length is not that of the header";
		else if (oh.unique != q->unique)
			why = "unique number is not the request's";
	}
	if (!why)
		return 0;
	fprintf(stderr, "vufront: ring %u: %s (used %u, header %u, error %d, unique %#llx)\n",
		r->index, why, q->used_len, oh.len, oh.error, (unsigned long long)oh.unique);
	return -EPROTO;
}

/**
 * ring_pop() - Take one completed request off the ring
 * @r:	Ring
 *
 * Return: the request, whose error field tells if its completion was in order;
 * NULL if there is none, or if the ring is or turns out to be broken
 */
struct vreq *ring_pop(struct ring *r)
{
	const struct vring_used_elem *e;
	struct vreq *q;
	unsigned int n;
	uint16_t at;

	if (r->broken || load16(&r->used->idx) == r->used_idx)
		return NULL;
	e = &r->used->ring[r->used_idx & (r->size - 1)];
	if (e->id >= r->size || !r->slots[e->id]) {
		fprintf(stderr, "vufront: ring %u: completion of head %u, not in flight\n",
			r->index, e->id);
		r->broken = true;
		return NULL;
	}
	q = r->slots[e->id];
	q->used_len = e->len;
	r->slots[e->id] = NULL;
	r->used_idx++;
	r->completions++;

	n = r->indirect && q->nout + q->nin > 1 ? 1 : q->nout + q->nin;
	at = q->head;
	for (unsigned int i = 1; i < n; i++)
		at = r->next[at];
	r->next[at] = r->free_head;
	r->free_head = q->head;
	r->nfree += n;

	q->error = verify(r, q);
	if (q->error)
		r->broken = true;
	q->done = true;
	return q;
}

/**
 * ring_arm() - Ask to be called at the next completion
 * @r:	Ring
 *
 * Return: true if nothing has completed meanwhile, so sleeping is safe
 */
bool ring_arm(struct ring *r)
{
	if (r->event_idx)
		store16(used_event(r), r->used_idx);
	else
		store16(&r->avail->flags, 0);
	full_fence();
	return load16(&r->used->idx) == r->used_idx;
}

/**
 * ring_disarm() - Ask not to be called: the ring is polled
 * @r:	Ring
 */
void ring_disarm(struct ring *r)
{
	if (r->event_idx)
		store16(used_event(r), (uint16_t)(r->used_idx - 1));
	else
		store16(&r->avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}

/**
 * ring_sleep() - Sleep until the device calls
 * @r:		Ring
 * @timeout_ms:	How long at most
 *
 * The connection is watched as well where the ring knows it, so that the death
 * of the device is seen at once and not by a time-out.
 *
 * Return: 0 when something has completed, -ETIMEDOUT, -ECONNRESET when the
 * device has hung up, or -EPIPE when it has closed its end of a call socket
 */
int ring_sleep(struct ring *r, int timeout_ms)
{
	struct pollfd p[2] = {
		{ .fd = r->call_fd, .events = POLLIN },
		{ .fd = r->conn_fd, .events = POLLRDHUP },
	};
	char drain[4096];

	while (ring_arm(r)) {
		int n = poll(p, 2, timeout_ms);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ring_arm(r) ? -ETIMEDOUT : 0;
		r->sleeps++;
		if (!p[0].revents)
			return ring_arm(r) ? -ECONNRESET : 0;
		if (read(r->call_fd, drain, sizeof(drain)) == 0)
			return -EPIPE;
	}
	return 0;
}

/**
 * ring_wait() - Sleep until one request is complete
 * @r:	Ring
 * @q:	Request in flight on it; others that complete before are marked done
 *
 * Return: 0; -EPROTO for a bad completion; -ETIMEDOUT; -EIO for a broken ring
 */
int ring_wait(struct ring *r, struct vreq *q)
{
	while (!q->done) {
		int err;

		if (ring_pop(r))
			continue;
		if (r->broken)
			return -EIO;
		err = ring_sleep(r, vuf_timeout_ms());
		if (err)
			return err;
	}
	return q->error;
}

/**
 * ring_inflight() - How many requests are in flight
 * @r:	Ring
 *
 * Return: their number
 */
unsigned int ring_inflight(const struct ring *r)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->size; i++)
		n += r->slots[i] != NULL;
	return n;
}

/**
 * ring_used_idx() - The device's index into the used ring
 * @r:	Ring
 *
 * Return: the index as it is now
 */
uint16_t ring_used_idx(const struct ring *r)
{
	return load16(&r->used->idx);
}
