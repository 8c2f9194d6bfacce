/* gmem.c - see gmem.h.
 *
 * Role: transport. The one file that maps memory. Distrusted: the VMM, which chooses each descriptor, offset and size
 * and may truncate the file behind a mapping at any time.
 *
 * Theory. A `struct mapping` is one mmap() and counts the sets that hold it; a `struct gmem` is an immutable array of
 * regions, sorted by guest address, and counts its holders. Both counts are atomic: the last holder may be any thread.
 *
 * An access beyond the end of a truncated file raises SIGBUS in the thread that makes it. The handler must find out
 * whether the address is guest memory without taking a lock, so each live mapping also has an entry in `live`, a static
 * array whose entries are guarded by a sequence number each: odd while the entry changes. The mapping that a thread
 * faults on cannot change meanwhile (the thread holds a reference), so an entry that is odd, or whose number moved
 * while it was read, is another one and is passed over. The handler lays one zero page over the hole and notes it for
 * the thread; the access then succeeds, and whoever made it asks gmem_take_fault() before believing what it read.
 */
#include "transport/gmem.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Old sets live on while requests hold them: more than one set's worth of mappings may be alive at a time. */
#define LIVE_MAX (4 * GMEM_SLOTS_MAX)

struct live {
	uint32_t seq;    /* odd: the entry is changing */
	uintptr_t start, end;
	uint64_t page; /* of the file behind it; mappings of huge pages can only be replaced whole pages at a time */
};

struct mapping {
	uint32_t refs;
	uint32_t slot; /* in live[] */
	void *base;
	size_t len;
};

struct region {
	uint64_t guest;
	uint64_t size;
	char *host;
	uint64_t user;
	struct mapping *map;
};

struct gmem {
	uint32_t refs;
	uint32_t n;
	struct region r[]; /* sorted by guest; neither guest nor user ranges overlap */
};

static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER; /* writers of live[] */
static struct live live[LIVE_MAX];
static uint32_t live_used;    /* entries ever used; only grows */
static _Thread_local volatile sig_atomic_t faulted; /* set by the handler, in the thread that met it */

static void live_write(struct live *l, uintptr_t start, uintptr_t end, uint64_t page)
{
	__atomic_store_n(&l->seq, l->seq + 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&l->start, start, __ATOMIC_SEQ_CST);
	__atomic_store_n(&l->end, end, __ATOMIC_SEQ_CST);
	__atomic_store_n(&l->page, page, __ATOMIC_SEQ_CST);
	__atomic_store_n(&l->seq, l->seq + 1, __ATOMIC_SEQ_CST);
}

static int live_add(const struct mapping *map, uint64_t page, uint32_t *slot)
{
	uint32_t i = 0;

	pthread_mutex_lock(&live_lock);
	while (i < live_used && live[i].start)
		i++;
	if (i == LIVE_MAX) {
		pthread_mutex_unlock(&live_lock);
		return -ENOSPC;
	}
	live_write(&live[i], (uintptr_t)map->base, (uintptr_t)map->base + map->len, page);
	if (i == live_used)
		__atomic_store_n(&live_used, i + 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&live_lock);
	*slot = i;
	return 0;
}

static void live_remove(uint32_t slot)
{
	pthread_mutex_lock(&live_lock);
	live_write(&live[slot], 0, 0, 0);
	pthread_mutex_unlock(&live_lock);
}

/* Runs in the signal handler. */
static bool live_patch(uintptr_t addr)
{
	uint32_t n = __atomic_load_n(&live_used, __ATOMIC_SEQ_CST);

	for (uint32_t i = 0; i < n; i++) {
		struct live *l = &live[i];
		uint32_t seq = __atomic_load_n(&l->seq, __ATOMIC_SEQ_CST);
		uintptr_t start = __atomic_load_n(&l->start, __ATOMIC_SEQ_CST);
		uintptr_t end = __atomic_load_n(&l->end, __ATOMIC_SEQ_CST);
		uint64_t page = __atomic_load_n(&l->page, __ATOMIC_SEQ_CST);

		if ((seq & 1) || seq != __atomic_load_n(&l->seq, __ATOMIC_SEQ_CST))
			continue;
		if (addr < start || addr >= end)
			continue;
		faulted = 1;
		start += (addr - start) & ~(uintptr_t)(page - 1);
		return mmap((void *)start, page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			    0) != MAP_FAILED;
	}
	return false;
}

static void on_sigbus(int sig, siginfo_t *si, void *context)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	int saved = errno;

	(void)context;
	if (si->si_code > 0 && live_patch((uintptr_t)si->si_addr)) {
		errno = saved;
		return;
	}
	/* Not ours. A fault comes again when the handler returns; a signal that was sent does not. */
	sigaction(sig, &dfl, NULL);
	if (si->si_code <= 0)
		raise(sig);
	errno = saved;
}

/**
 * gmem_install_sigbus() - Survive the truncation of guest memory
 *
 * Once at start, before any thread.
 *
 * Return: 0 or -errno
 */
int gmem_install_sigbus(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigemptyset(&sa.sa_mask);
	return sigaction(SIGBUS, &sa, NULL) ? -errno : 0;
}

static void mapping_unref(struct mapping *map)
{
	if (__atomic_sub_fetch(&map->refs, 1, __ATOMIC_ACQ_REL))
		return;
	live_remove(map->slot);
	munmap(map->base, map->len);
	free(map);
}

/* What a descriptor from the VMM may be: a regular file (memfd, tmpfs, hugetlbfs, disk) that is long enough, or a
 * character device (devdax), which has no size to look at. */
static int check_file(int fd, uint64_t offset, uint64_t size)
{
	struct stat st;
	uint64_t end;

	if (!checked_add(offset, size, &end) || end > INT64_MAX)
		return -EINVAL;
	if (fstat(fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode))
		return (uint64_t)st.st_size < end ? -EINVAL : 0;
	return S_ISCHR(st.st_mode) ? 0 : -ENODEV;
}

static uint64_t file_page_size(int fd)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct statfs sf;

	if (fstatfs(fd, &sf) == 0 && sf.f_type == HUGETLBFS_MAGIC && (uint64_t)sf.f_bsize > page)
		page = (uint64_t)sf.f_bsize;
	return page;
}

/* Offsets need not be multiples of the page size: more is mapped then, and *host points inside. */
static int mapping_new(int fd, uint64_t offset, uint64_t size, struct mapping **out, char **host)
{
	uint64_t page = file_page_size(fd);
	uint64_t skip = offset & (page - 1);
	struct mapping *map;
	uint64_t len;
	int r;

	r = check_file(fd, offset, size);
	if (r)
		return r;
	len = ALIGN_UP(skip + size, page); /* both below 2^63 by check_file() */
	if (len > SIZE_MAX)
		return -EINVAL;
	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	map->refs = 1;
	map->len = (size_t)len;
	map->base = mmap(NULL, map->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			 (off_t)(offset - skip));
	if (map->base == MAP_FAILED) {
		r = -errno;
		free(map);
		return r;
	}
	madvise(map->base, map->len, MADV_DONTDUMP); /* a tenant's memory is no part of our core dump */
	r = live_add(map, page, &map->slot);
	if (r) {
		munmap(map->base, map->len);
		free(map);
		return r;
	}
	*host = (char *)map->base + skip;
	*out = map;
	return 0;
}

static struct gmem *gmem_alloc(uint32_t n)
{
	struct gmem *m = calloc(1, sizeof(*m) + n * sizeof(m->r[0]));

	if (m)
		m->refs = 1;
	return m;
}

/**
 * gmem_new() - An empty set
 *
 * Return: the set with one reference, or NULL without memory
 */
struct gmem *gmem_new(void)
{
	return gmem_alloc(0);
}

/**
 * gmem_ref() - One more holder
 * @m:	The set
 *
 * Return: @m
 */
struct gmem *gmem_ref(struct gmem *m)
{
	__atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
	return m;
}

/**
 * gmem_unref() - One holder less; the last one unmaps what no other set holds
 * @m:	The set, may be NULL
 */
void gmem_unref(struct gmem *m)
{
	if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (uint32_t i = 0; i < m->n; i++)
		mapping_unref(m->r[i].map);
	free(m);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int check_desc(const struct gmem *m, const struct gmem_region_desc *d)
{
	uint64_t end;

	if (d->size == 0 || !checked_add(d->guest_addr, d->size, &end) ||
	    !checked_add(d->user_addr, d->size, &end))
		return -EINVAL;
	if (m->n >= GMEM_SLOTS_MAX)
		return -ENOSPC;
	for (uint32_t i = 0; i < m->n; i++)
		if (overlap(m->r[i].guest, m->r[i].size, d->guest_addr, d->size) ||
		    overlap(m->r[i].user, m->r[i].size, d->user_addr, d->size))
			return -EINVAL;
	return 0;
}

static void copy_region(struct gmem *to, const struct region *r)
{
	__atomic_add_fetch(&r->map->refs, 1, __ATOMIC_RELAXED);
	to->r[to->n++] = *r;
}

/**
 * gmem_with_region() - A new set: an old one and one more region
 * @old:	The old set; keeps its references
 * @d:		The region, untrusted
 * @fd:		Descriptor to map, borrowed
 * @out:	The new set with one reference
 *
 * Return: 0; -EINVAL: size 0, wraps, overlaps, or the file is too short; -ENOSPC: too many; -ENODEV: not a file; or
 * -errno of mmap()
 */
int gmem_with_region(struct gmem *old, const struct gmem_region_desc *d, int fd, struct gmem **out)
{
	struct region add = { .guest = d->guest_addr, .size = d->size, .user = d->user_addr };
	struct gmem *m;
	uint32_t i = 0;
	int r = check_desc(old, d);

	if (r)
		return r;
	m = gmem_alloc(old->n + 1);
	if (!m)
		return -ENOMEM;
	r = mapping_new(fd, d->mmap_offset, d->size, &add.map, &add.host);
	if (r) {
		free(m);
		return r;
	}
	while (i < old->n && old->r[i].guest < add.guest)
		copy_region(m, &old->r[i++]);
	m->r[m->n++] = add;
	while (i < old->n)
		copy_region(m, &old->r[i++]);
	*out = m;
	return 0;
}

/**
 * gmem_without_region() - A new set: an old one without one region
 * @old:	The old set; keeps its references
 * @d:		The region: its guest address, size and user address must match
 * @out:	The new set with one reference
 *
 * Return: 0, -ENOENT, or -ENOMEM
 */
int gmem_without_region(struct gmem *old, const struct gmem_region_desc *d, struct gmem **out)
{
	uint32_t gone = 0;
	struct gmem *m;

	while (gone < old->n && !(old->r[gone].guest == d->guest_addr && old->r[gone].size == d->size &&
				  old->r[gone].user == d->user_addr))
		gone++;
	if (gone == old->n)
		return -ENOENT;
	m = gmem_alloc(old->n - 1);
	if (!m)
		return -ENOMEM;
	for (uint32_t i = 0; i < old->n; i++)
		if (i != gone)
			copy_region(m, &old->r[i]);
	*out = m;
	return 0;
}

/**
 * gmem_at() - From a guest address to a pointer
 * @m:		Guest memory
 * @addr:	Guest physical address, untrusted
 * @len:	Bytes, untrusted
 *
 * Return: the pointer; NULL unless all of it lies in one region, and for @len 0
 */
void *gmem_at(const struct gmem *m, struct gpa addr, uint64_t len)
{
	uint32_t lo = 0, hi = m->n;

	while (lo < hi) { /* first region that begins above addr */
		uint32_t mid = (lo + hi) / 2;

		if (m->r[mid].guest <= addr.v)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || len == 0)
		return NULL;

	const struct region *r = &m->r[lo - 1];

	if (!range_within(addr.v - r->guest, len, r->size))
		return NULL;
	return r->host + (addr.v - r->guest);
}

/**
 * gmem_at_user() - From an address of the VMM to a pointer
 * @m:		Guest memory
 * @user_addr:	Address in the VMM's address space, untrusted
 * @len:	Bytes
 *
 * Return: as gmem_at()
 */
void *gmem_at_user(const struct gmem *m, uint64_t user_addr, uint64_t len)
{
	for (uint32_t i = 0; i < m->n && len; i++) {
		const struct region *r = &m->r[i];

		if (user_addr >= r->user && range_within(user_addr - r->user, len, r->size))
			return r->host + (user_addr - r->user);
	}
	return NULL;
}

/**
 * gmem_take_fault() - Has this thread met memory that the VMM took away?
 *
 * Return: true once after it did
 */
bool gmem_take_fault(void)
{
	if (likely(!faulted))
		return false;
	faulted = 0;
	return true;
}

/**
 * gmem_fault_seen() - The same, for who only wants to know whether to believe what was read
 *
 * Return: true until gmem_take_fault() was asked
 */
bool gmem_fault_seen(void)
{
	return faulted;
}

/**
 * gmem_map_bulk() - Map the bulk area
 * @fd:		Sealed memfd from the monitor, borrowed
 * @size:	Its size
 *
 * Return: the mapping, which lives as long as the process, or NULL with errno set
 */
void *gmem_map_bulk(int fd, uint64_t size)
{
	int r = check_file(fd, 0, size);
	void *p;

	if (r) {
		errno = -r;
		return NULL;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTDUMP);
	return p;
}

/**
 * gmem_new_memfd() - A zeroed memfd that keeps its size for good
 * @name:	For /proc/PID/maps
 * @size:	Size in bytes
 *
 * A byte written at the end sets the size: this process has no ftruncate(), and fallocate() would charge all of it to us.
 *
 * Return: the descriptor or -errno
 */
int gmem_new_memfd(const char *name, uint64_t size)
{
	AUTO_FD fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || pwrite(fd, "", 1, (off_t)(size - 1)) != 1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return take_fd(&fd);
}
