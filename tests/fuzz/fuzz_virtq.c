/* fuzz_virtq.c - any bytes as a guest's memory, any order of the device's own calls: whatever comes out of virtq_pop() keeps
 * the promises of virtq.h, and nothing is ever in flight twice.
 *
 * Input: byte 0: bits 0-2 log2 of the ring's size, bit 3 event_idx, bit 4 indirect, bit 5 with an in-flight record,
 * bit 6 the record comes from the input as well; byte 1: number of calls; bytes 2-3: base; then the calls, a byte each;
 * then memory: descriptor table, available ring, used ring, record, heap.
 */
#include "transport/virtq.h"

#include <sys/mman.h>

#define GUEST 0x1000ull
#define USER 0x10000ull
#define MEM 16384u
#define AVAIL 2048u
#define USED 4096u
#define RECORD 6144u
#define SIZE_MAX_LOG2 7u

#define MUST(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gmem *mem;
static uint8_t *bytes;
static struct virtq *vq;

static void set_up(void)
{
	const struct gmem_region_desc d = { GUEST, MEM, USER, 0 };
	struct gmem *none = gmem_new();
	int fd = gmem_new_memfd("fuzz", MEM);

	MUST(none && fd >= 0 && gmem_with_region(none, &d, fd, &mem) == 0);
	gmem_unref(none);
	close(fd);
	bytes = gmem_at(mem, (struct gpa){ GUEST }, MEM);
	vq = virtq_new();
	MUST(vq);
}

struct state {
	uint8_t busy[1 << SIZE_MAX_LOG2];
	uint16_t heads[1 << SIZE_MAX_LOG2];
	uint32_t n;
	uint32_t size;
};

static void check_chain(const struct state *s, const struct virtq_elem *e)
{
	uint64_t out = 0, in = 0;

	MUST(e->head < s->size && !s->busy[e->head]);
	MUST(e->nout + e->nin >= 1 && e->nout + e->nin <= (int)VIRTQ_SEGS_MAX);
	for (uint32_t i = 0; i < (uint32_t)e->nout + e->nin; i++) {
		MUST(e->seg[i].len && e->seg[i].addr.v <= UINT64_MAX - e->seg[i].len);
		(void)gmem_at(mem, e->seg[i].addr, e->seg[i].len);
		*(i < e->nout ? &out : &in) += e->seg[i].len;
	}
	MUST(out == e->out_len && in == e->in_len && out + in <= 1ull << 32);
}

/* One call of the device, or one step of a guest that writes while the device works. */
static void step(struct state *s, uint8_t op, uint8_t guest)
{
	struct virtq_elem e;

	switch (op % 8) {
	case 0:
	case 1:
		if (virtq_pop(vq, &e) == VIRTQ_OK) {
			check_chain(s, &e);
			s->busy[e.head] = 1;
			s->heads[s->n++] = e.head;
		}
		break;
	case 2:
		if (s->n) {
			uint16_t *h = &s->heads[(op >> 3) % s->n];

			virtq_push(vq, *h, op);
			s->busy[*h] = 0;
			*h = s->heads[--s->n];
		}
		break;
	case 3:
		virtq_publish(vq);
		break;
	case 4:
		virtq_want_kick(vq);
		break;
	case 5:
		virtq_no_kick(vq);
		virtq_pending(vq);
		break;
	case 6: /* the guest makes more available, or something like it */
		bytes[AVAIL + 2] = (uint8_t)(bytes[AVAIL + 2] + (op >> 3));
		break;
	case 7:
		bytes[(op >> 3) * 256u + guest] ^= 1u << (guest & 7);
		break;
	}
	MUST(virtq_inflight(vq) == s->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state s = { .n = 0 };
	struct virtq_config cfg = { .desc_user = USER, .avail_user = USER + AVAIL, .used_user = USER + USED };
	const uint8_t *calls = data + 4;
	uint8_t ncalls;

	if (!vq)
		set_up();
	if (size < 4 || size < 4u + data[1])
		return 0;
	ncalls = data[1];
	cfg.size = 1u << (data[0] & 7);
	cfg.event_idx = data[0] & 8;
	cfg.indirect = data[0] & 16;
	cfg.inflight = data[0] & 32 ? bytes + RECORD : NULL;
	cfg.base = (uint16_t)(data[2] | data[3] << 8);
	memset(bytes, 0, MEM);
	memcpy(bytes, calls + ncalls, MIN(size - 4 - ncalls, MEM));
	if (!(data[0] & 64))
		memset(bytes + RECORD, 0, 16);
	s.size = cfg.size;
	MUST(virtq_start(vq, &cfg, mem, false) == 0);
	for (uint8_t i = 0; i < ncalls; i++)
		step(&s, calls[i], calls[(i + 1) % ncalls]);
	while (s.n) {
		virtq_push(vq, s.heads[--s.n], 0);
		s.busy[s.heads[s.n]] = 0;
	}
	virtq_publish(vq);
	virtq_stop(vq);
	MUST(virtq_inflight(vq) == 0);
	return 0;
}
