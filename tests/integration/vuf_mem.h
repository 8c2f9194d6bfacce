/*
 * Guest memory: shared regions and an allocator of guest buffers.
 */
#ifndef VUF_MEM_H
#define VUF_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "vuf_wire.h"

#define GMEM_CLASSES 20		/* 64 bytes << 0 .. 64 bytes << 19 = 32 MiB */
#define GMEM_MIN_SHIFT 6

struct gmem_region {
	struct vu_region wire;	/* as the back end is told */
	int fd;
	uint8_t *host;		/* first byte of the region, here */
	uint64_t used;		/* bytes handed out by the bump pointer */
};

/* A buffer in guest memory. */
struct gbuf {
	uint64_t gpa;
	uint8_t *host;
	uint32_t size;
};

struct gmem_list {
	struct gbuf *bufs;
	size_t n, room;
};

struct gmem {
	struct gmem_region regions[VU_MAX_REGIONS];
	unsigned int n;
	struct gmem_list free[GMEM_CLASSES];
};

int gmem_init(struct gmem *gm, unsigned int nregions, uint64_t region_size);
int gmem_add(struct gmem *gm, uint64_t gpa, uint64_t size, uint64_t file_offset);
void gmem_remove(struct gmem *gm, unsigned int i);
void gmem_close(struct gmem *gm);
int gmem_alloc(struct gmem *gm, size_t size, struct gbuf *out);
int gmem_alloc_in(struct gmem *gm, unsigned int region, size_t size, struct gbuf *out);
void gmem_free(struct gmem *gm, const struct gbuf *buf);
void *gmem_host(struct gmem *gm, uint64_t gpa, uint64_t len);
uint64_t gmem_uaddr(struct gmem *gm, uint64_t gpa);

#endif
