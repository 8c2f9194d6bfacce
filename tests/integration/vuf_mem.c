/*
 * Guest memory: shared regions and an allocator of guest buffers.
 *
 * Guest address, file offset and "user address" of a region all differ and
 * none is 0, so that a back end which mixes them up fails at once. The regions
 * do not touch each other.
 *
 * Freed buffers are kept in lists by size class outside of guest memory: what
 * the back end writes there cannot disturb the allocator.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vuf_mem.h"

#define PAGE 4096u
#define FIRST_GPA 0x10000000ull
#define GPA_GAP 0x3000000ull
#define FIRST_UADDR 0x7e0000000000ull
#define FILE_OFFSET 0x5000ull

/**
 * gmem_add() - Add a region
 * @gm:			Memory
 * @gpa:		Guest address, page aligned
 * @size:		Size, page aligned
 * @file_offset:	Where in its file the region begins
 *
 * Return: index of the region, or a negative errno
 */
int gmem_add(struct gmem *gm, uint64_t gpa, uint64_t size, uint64_t file_offset)
{
	struct gmem_region *r = &gm->regions[gm->n];
	void *p;

	if (gm->n == VU_MAX_REGIONS)
		return -ENOSPC;
	memset(r, 0, sizeof(*r));
	r->fd = memfd_create("guest-memory", MFD_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	if (ftruncate(r->fd, (off_t)(file_offset + size)))
		goto fail;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, (off_t)file_offset);
	if (p == MAP_FAILED)
		goto fail;
	r->host = p;
	r->wire.gpa = gpa;
	r->wire.size = size;
	r->wire.uaddr = FIRST_UADDR + gpa * 2;
	r->wire.mmap_offset = file_offset;
	return (int)gm->n++;
fail:
	close(r->fd);
	return -errno;
}

/**
 * gmem_init() - Make guest memory
 * @gm:			Filled in
 * @nregions:		How many regions
 * @region_size:	Size of each
 *
 * Return: 0 or a negative errno
 */
int gmem_init(struct gmem *gm, unsigned int nregions, uint64_t region_size)
{
	uint64_t gpa = FIRST_GPA;

	memset(gm, 0, sizeof(*gm));
	region_size = (region_size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	for (unsigned int i = 0; i < nregions; i++) {
		int err = gmem_add(gm, gpa, region_size, FILE_OFFSET + i * PAGE);

		if (err < 0) {
			gmem_close(gm);
			return err;
		}
		gpa += region_size + GPA_GAP;
	}
	return 0;
}

/**
 * gmem_remove() - Remove a region
 * @gm:	Memory
 * @i:	Index; those behind it move up. Free buffers of it are forgotten
 */
void gmem_remove(struct gmem *gm, unsigned int i)
{
	struct gmem_region gone = gm->regions[i];

	munmap(gone.host, gone.wire.size);
	close(gone.fd);
	memmove(gm->regions + i, gm->regions + i + 1, (--gm->n - i) * sizeof(gone));
	for (unsigned int c = 0; c < GMEM_CLASSES; c++) {
		struct gmem_list *l = &gm->free[c];
		size_t keep = 0;

		for (size_t k = 0; k < l->n; k++)
			if (l->bufs[k].gpa - gone.wire.gpa >= gone.wire.size)
				l->bufs[keep++] = l->bufs[k];
		l->n = keep;
	}
}

/**
 * gmem_close() - Give all memory back
 * @gm:	Memory
 */
void gmem_close(struct gmem *gm)
{
	while (gm->n)
		gmem_remove(gm, gm->n - 1);
	for (unsigned int c = 0; c < GMEM_CLASSES; c++)
		free(gm->free[c].bufs);
	memset(gm, 0, sizeof(*gm));
}

static unsigned int size_class(size_t size)
{
	unsigned int c = 0;

	while (c < GMEM_CLASSES && ((size_t)1 << (c + GMEM_MIN_SHIFT)) < size)
		c++;
	return c;
}

/**
 * gmem_alloc_in() - Allocate a buffer in one region
 * @gm:		Memory
 * @region:	Index of the region
 * @size:	Bytes wanted
 * @out:	The buffer; page aligned when it is at least a page
 *
 * Never uses freed buffers.
 *
 * Return: 0 or -ENOMEM
 */
int gmem_alloc_in(struct gmem *gm, unsigned int region, size_t size, struct gbuf *out)
{
	struct gmem_region *r = &gm->regions[region];
	unsigned int c = size_class(size);
	uint64_t want, at;

	if (c == GMEM_CLASSES || region >= gm->n)
		return -ENOMEM;
	want = (uint64_t)1 << (c + GMEM_MIN_SHIFT);
	at = want >= PAGE ? (r->used + PAGE - 1) & ~(uint64_t)(PAGE - 1) :
			    (r->used + want - 1) & ~(want - 1);
	if (at + want > r->wire.size)
		return -ENOMEM;
	r->used = at + want;
	out->gpa = r->wire.gpa + at;
	out->host = r->host + at;
	out->size = (uint32_t)size;
	return 0;
}

/**
 * gmem_alloc() - Allocate a buffer
 * @gm:		Memory
 * @size:	Bytes wanted
 * @out:	The buffer; page aligned when it is at least a page
 *
 * Takes from the regions in turn, so that all of them are in use.
 *
 * Return: 0 or -ENOMEM
 */
int gmem_alloc(struct gmem *gm, size_t size, struct gbuf *out)
{
	unsigned int c = size_class(size);
	unsigned int best = 0;

	if (c == GMEM_CLASSES)
		return -ENOMEM;
	if (gm->free[c].n) {
		*out = gm->free[c].bufs[--gm->free[c].n];
		out->size = (uint32_t)size;
		return 0;
	}
	for (unsigned int i = 1; i < gm->n; i++)
		if (gm->regions[i].wire.size - gm->regions[i].used >
		    gm->regions[best].wire.size - gm->regions[best].used)
			best = i;
	return gmem_alloc_in(gm, best, size, out);
}

/**
 * gmem_free() - Return a buffer to the allocator
 * @gm:		Memory
 * @buf:	Buffer from gmem_alloc() or gmem_alloc_in()
 */
void gmem_free(struct gmem *gm, const struct gbuf *buf)
{
	struct gmem_list *l = &gm->free[size_class(buf->size)];

	if (!buf->host)
		return;
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct gbuf *bigger = reallocarray(l->bufs, room, sizeof(*bigger));

		if (!bigger)
			return;	/* merely never used again */
		l->bufs = bigger;
		l->room = room;
	}
	l->bufs[l->n++] = *buf;
}

/**
 * gmem_host() - Where a guest address lies here
 * @gm:		Memory
 * @gpa:	Guest address
 * @len:	Bytes that must be there
 *
 * Return: pointer, or NULL when the range is not in one region
 */
void *gmem_host(struct gmem *gm, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < gm->n; i++) {
		const struct gmem_region *r = &gm->regions[i];

		if (gpa >= r->wire.gpa && gpa - r->wire.gpa < r->wire.size &&
		    len <= r->wire.size - (gpa - r->wire.gpa))
			return r->host + (gpa - r->wire.gpa);
	}
	return NULL;
}

/**
 * gmem_uaddr() - The "user address" of a guest address, which ring addresses are
 * @gm:		Memory
 * @gpa:	Guest address
 *
 * Return: the address, or 0 when no region has it
 */
uint64_t gmem_uaddr(struct gmem *gm, uint64_t gpa)
{
	for (unsigned int i = 0; i < gm->n; i++) {
		const struct gmem_region *r = &gm->regions[i];

		if (gpa - r->wire.gpa < r->wire.size)
			return r->wire.uaddr + (gpa - r->wire.gpa);
	}
	return 0;
}
