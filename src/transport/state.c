/* state.c - see state.h. */
#include "transport/state.h"

#include "common/crashpoint.h"

/* state_use() - see state.h. */
int state_use(struct state *s, void *memory, uint32_t nlinks, uint32_t max_open_files, uint32_t generation)
{
	const uint32_t size = (uint32_t)(sizeof(struct state_head) ^ sizeof(struct state_ring) << 8);

	*s = (struct state){
		.head = memory,
		.base = memory,
		.nlinks = nlinks,
		.nfiles = max_open_files + 1,
		.generation = generation,
	};
	s->found = s->head->version != 0;
	if (s->found)
		return s->head->version == STATE_VERSION && s->head->size == size ? 0 : -EPROTO;
	s->head->size = size;
	s->head->conn.generation = generation;
	s->head->conn.progress = STATE_PROGRESS(0, 0, 0, 1);
	state_order();
	s->head->version = STATE_VERSION;
	return 0;
}

/* state_open() - see state.h. */
int state_open(struct state *s, int fd, uint32_t nlinks, uint32_t max_open_files, uint32_t generation)
{
	/* The monitor sealed it: its size is what it is. */
	void *memory = gmem_map_bulk(fd, IPC_TSTATE_BYTES(nlinks, max_open_files));

	return memory ? state_use(s, memory, nlinks, max_open_files, generation) : -errno;
}

/* state_ring() - see state.h. */
struct state_ring *state_ring(const struct state *s, uint32_t i)
{
	return (struct state_ring *)(void *)(s->base + IPC_DEVICE_STATE + (uint64_t)i * IPC_RING_STATE);
}

/* state_files() - see state.h. */
struct state_file *state_files(const struct state *s)
{
	return (struct state_file *)(void *)(s->base + IPC_DEVICE_STATE + (uint64_t)s->nlinks * IPC_RING_STATE);
}

/* state_device() - see state.h. */
const struct state_device *state_device(const struct state *s)
{
	return &s->head->dev[s->head->current & 1];
}

/* state_draft() - see state.h. */
struct state_device *state_draft(const struct state *s)
{
	return &s->head->dev[!(s->head->current & 1)];
}

/* state_commit() - see state.h. */
void state_commit(struct state *s)
{
	CRASHPOINT("state-drafted");
	state_order();
	__atomic_store_n(&s->head->current, !(s->head->current & 1), __ATOMIC_RELEASE);
	CRASHPOINT("state-committed");
}

/* state_fetch_all() - see state.h. */
void state_fetch_all(const struct state_fetch *f, const uint32_t *held, int *fds, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += IPC_FDS_MAX) {
		uint32_t part = MIN(n - i, (uint32_t)IPC_FDS_MAX);

		for (uint32_t k = i; k < i + part; k++)
			fds[k] = -1;
		/* A holder that does not answer: the descriptors are -1, and each has somebody who sees it. */
		(void)!f->fn(f->arg, held + i, fds + i, part);
	}
}

/* state_fetch_one() - see state.h. */
int state_fetch_one(const struct state_fetch *f, uint32_t held)
{
	int fd = -1;

	if (held)
		state_fetch_all(f, &held, &fd, 1);
	return fd;
}

/* state_under_way() - see state.h. */
uint32_t state_under_way(const struct state *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; s->found && i < s->nlinks; i++) {
		uint64_t ticket;
		uint16_t head = 0;

		if (state_ring(s, i)->generation == 0)
			continue; /* never used: its memory shall not come to be by looking at it */
		for (; virtq_own_next(state_ring(s, i)->own, &head, &ticket); head++)
			n++;
	}
	return n;
}

/* state_ring_inherit() - see state.h. */
void state_ring_inherit(struct state_ring *r, uint32_t generation, const struct state_fetch *f)
{
	uint32_t n = MIN(r->ngrants, (uint32_t)IPC_FDS_MAX);
	int fds[IPC_FDS_MAX];

	if (r->generation == 0)
		return; /* it was never used: its memory shall not come to be by looking at it */
	if (!(((const struct ipc_hdr *)r->in.buf)->dgram & IPC_DGRAM_LEN)) {
		/* Nothing is being worked through; what stands there is of one that was. */
		r->in.nfds = 0;
		state_order();
		r->ngrants = 0;
		state_order();
		r->generation = generation;
		return;
	}
	if (n == 0) {
		n = MIN(r->in.nfds, (uint32_t)IPC_FDS_MAX);
		for (uint32_t i = 0; i < n; i++)
			r->grant[i] = state_held(r->generation, r->in.fds[i]);
		state_order();
		r->ngrants = n;
		state_order();
	}
	state_fetch_all(f, r->grant, fds, n);
	for (uint32_t i = 0; i < n; i++) {
		__atomic_store_n(&r->grant[i], state_held(generation, fds[i]), __ATOMIC_RELEASE);
		CRASHPOINT("grant-moved");
	}
}
