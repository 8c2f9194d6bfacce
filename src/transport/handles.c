/* handles.c - see handles.h.
 *
 * Slots are found by the low half of the id and guarded by one of a few locks, chosen by the slot, so that rings do not
 * meet. A second index by nodeid serves handles_note_mode(), which only has work to do for files with special bits.
 *
 * In the state each handle has a row (state.h), under the same lock. A row is marked as used when all of it stands there, and
 * wiped before its descriptor is closed, so that the number which a successor reads means this file at every moment. A grant that
 * died before its row was whole is lost, and its file's contents go through the fsworker.
 */
#include "transport/handles.h"

#include "common/crashpoint.h"
#include "common/fs_local.h"

#include <pthread.h>
#include <sys/stat.h>

#define SHARDS 64u
#define NODE_BUCKETS 1024u
#define NODE_WALK_MAX 16u

struct shard {
	pthread_mutex_t lock;
} __attribute__((aligned(64)));

struct handles {
	uint32_t slots;
	struct handle **slot; /* [i] under shard[i % SHARDS] */
	struct shard shard[SHARDS];
	pthread_mutex_t node_lock; /* taken alone or inside a shard's lock */
	struct handle *node[NODE_BUCKETS];
	uint32_t open, open_max; /* atomic: descriptors, those that are expected included */
	uint32_t special; /* atomic: handles with suidgid set, so that the usual case is one load */
	struct state_file *row; /* [slots], or NULL */
	uint32_t generation;
};

static uint32_t node_bucket(uint64_t nodeid)
{
	return (uint32_t)((nodeid * 0x9e3779b97f4a7c15ull) >> 54);
}

/* handles_new() - see handles.h. */
struct handles *handles_new(uint32_t slots)
{
	struct handles *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->slots = slots;
	t->open_max = slots > UINT32_MAX / 2 ? UINT32_MAX : slots * 2; /* the monitor saw to it that the limit allows it */
	t->slot = calloc(slots, sizeof(struct handle *));
	if (!t->slot) {
		free(t);
		return NULL;
	}
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_init(&t->shard[i].lock, NULL);
	pthread_mutex_init(&t->node_lock, NULL);
	return t;
}

/* handles_free() - see handles.h. */
void handles_free(struct handles *t)
{
	if (!t)
		return;
	handles_clear(t);
	free(t->slot);
	free(t);
}

/* handles_reserve() - see handles.h. */
bool handles_reserve(struct handles *t)
{
	if (likely(__atomic_add_fetch(&t->open, 1, __ATOMIC_RELAXED) <= t->open_max))
		return true;
	handles_unreserve(t);
	return false;
}

/* handles_unreserve() - see handles.h. */
void handles_unreserve(struct handles *t)
{
	__atomic_sub_fetch(&t->open, 1, __ATOMIC_RELAXED);
}

static pthread_mutex_t *lock_of(struct handles *t, uint64_t fh)
{
	return &t->shard[(uint32_t)fh % SHARDS].lock;
}

/* Under the node lock. */
static void set_suidgid(struct handles *t, struct handle *h, bool on)
{
	if (__atomic_exchange_n(&h->suidgid, on, __ATOMIC_RELAXED) == on)
		return;
	if (t->row && t->row[(uint32_t)h->fh].flags)
		__atomic_store_n(&t->row[(uint32_t)h->fh].flags, STATE_FILE_USED | (on ? STATE_FILE_SUIDGID : 0), __ATOMIC_RELEASE);
	if (on)
		__atomic_add_fetch(&t->special, 1, __ATOMIC_RELAXED);
	else
		__atomic_sub_fetch(&t->special, 1, __ATOMIC_RELAXED);
}

static bool mode_is_special(uint32_t mode)
{
	return S_ISREG(mode) && (mode & (S_ISUID | S_ISGID));
}

/* Under the slot's lock. */
static struct handle *detach(struct handles *t, uint32_t i)
{
	struct handle *h = t->slot[i], **pp;

	__atomic_store_n(&t->slot[i], NULL, __ATOMIC_RELEASE);
	pthread_mutex_lock(&t->node_lock);
	if (t->row)
		__atomic_store_n(&t->row[i].flags, 0, __ATOMIC_RELEASE);
	for (pp = &t->node[node_bucket(h->nodeid)]; *pp; pp = &(*pp)->next_of_node) {
		if (*pp == h) {
			*pp = h->next_of_node;
			break;
		}
	}
	set_suidgid(t, h, false);
	pthread_mutex_unlock(&t->node_lock);
	return h;
}

/* Under the slot's lock and the node lock. */
static void write_row(struct handles *t, const struct handle *h, int fd)
{
	struct state_file *row = &t->row[(uint32_t)h->fh];

	row->fh = h->fh;
	row->nodeid = h->nodeid;
	row->open_flags = h->open_flags;
	row->held = state_held(t->generation, fd);
	CRASHPOINT("file-row-filled");
	__atomic_store_n(&row->flags, STATE_FILE_USED | (h->suidgid ? STATE_FILE_SUIDGID : 0), __ATOMIC_RELEASE);
	CRASHPOINT("file-row-used");
}

/* handles_add() - see handles.h. */
int handles_add(struct handles *t, uint64_t fh, uint64_t nodeid, int fd, uint32_t open_flags, uint32_t mode)
{
	uint32_t i = (uint32_t)fh;
	struct handle *h, *stale;

	h = i < t->slots ? calloc(1, sizeof(*h)) : NULL;
	if (!h) {
		close(fd);
		handles_unreserve(t);
		return i < t->slots ? -ENOMEM : -EPROTO;
	}
	h->table = t;
	h->fh = fh;
	h->nodeid = nodeid;
	h->fd = fd;
	h->refs = 1;
	h->open_flags = open_flags;
	h->local = fs_is_local(fd);

	pthread_mutex_t *lock = lock_of(t, fh);

	pthread_mutex_lock(lock);
	if (t->slot[i] && t->slot[i]->fh == fh) {
		pthread_mutex_unlock(lock);
		handle_put(h);
		return -EEXIST;
	}
	/* Another generation: one whose answer came when its session had ended already. */
	stale = t->slot[i] ? detach(t, i) : NULL;
	__atomic_store_n(&t->slot[i], h, __ATOMIC_RELEASE);
	pthread_mutex_lock(&t->node_lock);
	h->next_of_node = t->node[node_bucket(nodeid)];
	t->node[node_bucket(nodeid)] = h;
	set_suidgid(t, h, mode_is_special(mode));
	if (t->row)
		write_row(t, h, fd);
	pthread_mutex_unlock(&t->node_lock);
	pthread_mutex_unlock(lock);
	handle_put(stale);
	return 0;
}

/* A row that a process before this one wrote; not believed. @fd: what was fetched for it. */
static bool restore(struct handles *t, uint32_t i, int fd)
{
	struct state_file old = t->row[i];
	struct stat st;
	int r = -EBADF;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint32_t)old.fh == i && handles_reserve(t)) {
		r = handles_add(t, old.fh, old.nodeid, fd, old.open_flags, st.st_mode);
		fd = -1;
	}
	if (r == 0)
		return true;
	close_fd(&fd);
	__atomic_store_n(&t->row[i].flags, 0, __ATOMIC_RELEASE);
	return false;
}

/* handles_keep() - see handles.h. */
uint32_t handles_keep(struct handles *t, const struct state *s, const struct state_fetch *f)
{
	struct state_file *row = state_files(s);
	uint32_t index[IPC_FDS_MAX], held[IPC_FDS_MAX], n = 0, lost = 0;
	int fds[IPC_FDS_MAX];

	if (s->nfiles < t->slots)
		return 0;
	t->row = row;
	t->generation = s->generation;
	for (uint32_t i = 0; i <= t->slots && f; i++) {
		if (i < t->slots && (row[i].flags & STATE_FILE_USED)) {
			index[n] = i;
			held[n++] = row[i].held;
		}
		if (n < IPC_FDS_MAX && i < t->slots)
			continue;
		state_fetch_all(f, held, fds, n);
		for (uint32_t k = 0; k < n; k++) {
			lost += !restore(t, index[k], fds[k]);
			CRASHPOINT("file-restored");
		}
		n = 0;
	}
	return lost;
}

/* handles_get() - see handles.h. */
struct handle *handles_get(struct handles *t, uint64_t fh)
{
	uint32_t i = (uint32_t)fh;
	struct handle *h;

	if (i >= t->slots)
		return NULL;
	pthread_mutex_t *lock = lock_of(t, fh);

	pthread_mutex_lock(lock);
	h = t->slot[i];
	if (h && h->fh == fh)
		__atomic_add_fetch(&h->refs, 1, __ATOMIC_RELAXED);
	else
		h = NULL;
	pthread_mutex_unlock(lock);
	return h;
}

/* handles_get_of_node() - see handles.h. What is on a chain has the table's own reference as long as the node lock is held. */
struct handle *handles_get_of_node(struct handles *t, uint64_t nodeid)
{
	struct handle *h;
	unsigned n = 0;

	if (__atomic_load_n(&t->open, __ATOMIC_RELAXED) == 0)
		return NULL;
	pthread_mutex_lock(&t->node_lock);
	for (h = t->node[node_bucket(nodeid)]; h && h->nodeid != nodeid; h = ++n < NODE_WALK_MAX ? h->next_of_node : NULL)
		;
	if (h)
		__atomic_add_fetch(&h->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&t->node_lock);
	return h;
}

/* handles_few() - see handles.h. */
bool handles_few(const struct handles *t)
{
	return __atomic_load_n(&t->open, __ATOMIC_RELAXED) < t->slots / 2;
}

/* handle_put() - see handles.h. */
void handle_put(struct handle *h)
{
	if (h && __atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		close(h->fd);
		handles_unreserve(h->table);
		free(h);
	}
}

/* handles_remove() - see handles.h. */
bool handles_remove(struct handles *t, uint64_t fh, uint64_t nodeid)
{
	uint32_t i = (uint32_t)fh;
	struct handle *h = NULL;
	bool plain;

	if (i >= t->slots)
		return false;
	pthread_mutex_lock(lock_of(t, fh));
	if (t->slot[i] && t->slot[i]->fh == fh)
		h = detach(t, i);
	pthread_mutex_unlock(lock_of(t, fh));
	plain = h && h->nodeid == nodeid && h->local;
	handle_put(h);
	return plain;
}

/* handles_clear() - see handles.h. */
void handles_clear(struct handles *t)
{
	for (uint32_t i = 0; i < t->slots; i++) {
		struct handle *h = NULL;

		/* An empty slot, seen without its lock, is one that a new session cannot have filled yet. */
		if (!__atomic_load_n(&t->slot[i], __ATOMIC_ACQUIRE))
			continue;
		pthread_mutex_lock(lock_of(t, i));
		if (t->slot[i])
			h = detach(t, i);
		pthread_mutex_unlock(lock_of(t, i));
		handle_put(h);
	}
}

/* handles_note_mode() - see handles.h. */
void handles_note_mode(struct handles *t, uint64_t nodeid, uint32_t mode)
{
	bool special = mode_is_special(mode);

	if (likely(!special && __atomic_load_n(&t->special, __ATOMIC_RELAXED) == 0))
		return;
	pthread_mutex_lock(&t->node_lock);
	for (struct handle *h = t->node[node_bucket(nodeid)]; h; h = h->next_of_node)
		if (h->nodeid == nodeid)
			set_suidgid(t, h, special);
	pthread_mutex_unlock(&t->node_lock);
}
