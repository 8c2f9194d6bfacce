/* fake_driver.h - the driver's side of a ring, for tests: guest memory with one ring in it, and chains put there by hand.
 *
 * Everything is in one region: descriptor table, available ring, used ring, then a heap for indirect tables.
 */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include "transport/virtq.h"

#include <endian.h>
#include <sys/mman.h>

#define DRIVER_GUEST 0x40000000ull
#define DRIVER_USER 0x7e0000000000ull
#define DRIVER_MEM (1u << 20)
#define DRIVER_HEAP (DRIVER_MEM / 2)

#define D_NEXT 1u
#define D_WRITE 2u
#define D_INDIRECT 4u

struct driver_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
struct driver_used {
	uint32_t id;
	uint32_t len;
};

struct driver {
	int fd;
	struct gmem *m;
	uint32_t size;
	struct virtq_config cfg;
	struct driver_desc *desc;
	uint16_t *avail; /* flags, idx, ring[size], used_event */
	uint16_t *used;	 /* flags, idx, ring[size], avail_event */
	struct driver_desc *heap;
	uint16_t avail_idx; /* the driver's own */
	uint16_t used_idx;
};

static inline void driver_open(struct driver *d, uint32_t size)
{
	const uint64_t avail = 16ull * size, used = ALIGN_UP(avail + 6 + 2ull * size, 4);
	const struct gmem_region_desc region = { DRIVER_GUEST, DRIVER_MEM, DRIVER_USER, 0x3000 };
	struct gmem *none = gmem_new();

	memset(d, 0, sizeof(*d));
	d->fd = memfd_create("guest", MFD_CLOEXEC);
	if (!none || d->fd < 0 || ftruncate(d->fd, 0x3000 + DRIVER_MEM) || gmem_with_region(none, &region, d->fd, &d->m))
		abort();
	gmem_unref(none);
	d->size = size;
	d->desc = gmem_at(d->m, (struct gpa){ DRIVER_GUEST }, DRIVER_MEM);
	d->avail = (uint16_t *)((char *)d->desc + avail);
	d->used = (uint16_t *)((char *)d->desc + used);
	d->heap = (struct driver_desc *)((char *)d->desc + DRIVER_HEAP);
	d->cfg.size = size;
	d->cfg.desc_user = DRIVER_USER;
	d->cfg.avail_user = DRIVER_USER + avail;
	d->cfg.used_user = DRIVER_USER + used;
}

static inline void driver_close(struct driver *d)
{
	gmem_unref(d->m);
	close(d->fd);
}

static inline uint16_t *driver_used_event(struct driver *d)
{
	return &d->avail[2 + d->size];
}

static inline uint16_t *driver_avail_event(struct driver *d)
{
	return &d->used[2 + 4 * d->size];
}

static inline void driver_desc(struct driver_desc *table, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
			       uint16_t next)
{
	table[i].addr = htole64(addr);
	table[i].len = htole32(len);
	table[i].flags = htole16(flags);
	table[i].next = htole16(next);
}

/* driver_offer() - put a head into the available ring without showing it. */
static inline void driver_offer(struct driver *d, uint16_t head)
{
	d->avail[2 + (d->avail_idx++ & (d->size - 1))] = htole16(head);
}

static inline void driver_show(struct driver *d)
{
	__atomic_store_n(&d->avail[1], htole16(d->avail_idx), __ATOMIC_SEQ_CST);
}

static inline uint16_t driver_seen_used(struct driver *d)
{
	return le16toh(__atomic_load_n(&d->used[1], __ATOMIC_SEQ_CST));
}

static inline struct driver_used driver_used_at(struct driver *d, uint16_t idx)
{
	struct driver_used u;

	memcpy(&u, (char *)(d->used + 2) + sizeof(u) * (idx & (d->size - 1)), sizeof(u));
	u.id = le32toh(u.id);
	u.len = le32toh(u.len);
	return u;
}

/* driver_simple() - make a chain of one readable and one writable descriptor at head available. */
static inline void driver_simple(struct driver *d, uint16_t head)
{
	uint16_t second = (uint16_t)((head + 1) & (d->size - 1));

	driver_desc(d->desc, head, 0x1000, 40, D_NEXT, second);
	driver_desc(d->desc, second, 0x2000, 16, D_WRITE, 0);
	driver_offer(d, head);
	driver_show(d);
}

#endif
