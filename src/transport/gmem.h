/* gmem.h - guest memory: regions that the VMM shared, and the only way from a guest address to a pointer.
 *
 * Role: transport. Distrusted: the VMM (sizes, offsets, descriptors that it may truncate later) and the guest
 * (every address). A guest address is a type of its own, so that it cannot be dereferenced or added to by accident.
 *
 * A set of regions never changes: SET_MEM_TABLE, ADD_MEM_REG and REM_MEM_REG make a new set that shares the unchanged
 * mappings. Whoever works on guest memory holds a reference to the set; a mapping ends with its last holder.
 * Memory that the VMM truncates under us raises SIGBUS on access: gmem's handler puts zero pages there, marks the
 * thread and goes on; gmem_take_fault() tells, and the ring that met it is stopped.
 */
#ifndef VFSD_GMEM_H
#define VFSD_GMEM_H

#include "common/base.h"

#include <sys/uio.h>

#define GMEM_SLOTS_MAX 509u

struct gpa { /* guest physical address */
	uint64_t v;
};

struct gmem;

struct gmem_region_desc { /* as the vhost-user message says it: all untrusted */
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr; /* the VMM's own virtual address; ring addresses are given in these */
	uint64_t mmap_offset;
};

/* gmem_new() - an empty set with one reference. NULL: no memory. */
struct gmem *gmem_new(void);

/* gmem_with_region() - a new set: those of `old` and one more region, mapped shared, read-write.
 * @fd: borrowed. Return: 0 with *out holding one reference, or -errno (-EINVAL: size 0, wraps, overlaps in guest
 * or user addresses, file too short; -ENOSPC: too many; -errno of mmap). `old` keeps its references. */
int gmem_with_region(struct gmem *old, const struct gmem_region_desc *d, int fd, struct gmem **out) NODISCARD;

/* gmem_without_region() - a new set without the region that matches guest_addr, size and user_addr; -ENOENT if none. */
int gmem_without_region(struct gmem *old, const struct gmem_region_desc *d, struct gmem **out) NODISCARD;

struct gmem *gmem_ref(struct gmem *m);
void gmem_unref(struct gmem *m);

/* gmem_at() - pointer to [addr, addr+len), or NULL unless all of it lies in one region. len 0 is NULL. */
void *gmem_at(const struct gmem *m, struct gpa addr, uint64_t len);

/* gmem_at_user() - the same for an address in the VMM's address space (rings are given so). */
void *gmem_at_user(const struct gmem *m, uint64_t user_addr, uint64_t len);

/* gmem_take_fault() - has this thread met memory that the VMM took away since it asked last? One load. What it read there
 * was zeroes, what it wrote is lost. Only who met it is told: the other rings have nothing to do with it. */
bool gmem_take_fault(void);

/* gmem_fault_seen() - the same, but the next gmem_take_fault() will still tell. */
bool gmem_fault_seen(void);

/* gmem_install_sigbus() - once at start, before any thread. 0 or -errno. */
int gmem_install_sigbus(void) NODISCARD;

/* gmem_map_bulk() - map the monitor's bulk area (sealed, so no SIGBUS there). NULL: errno tells. */
void *gmem_map_bulk(int fd, uint64_t size);

/* gmem_new_memfd() - a zeroed memfd of a size that nobody can change any more. Descriptor or -errno. */
int gmem_new_memfd(const char *name, uint64_t size) NODISCARD;

#endif
