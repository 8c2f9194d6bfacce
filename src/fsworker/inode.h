/* inode.h - the objects of the share that the guest knows, by nodeid.
 *
 * Role: fsworker. What must outlive this process lies in an array of 128-byte slots in memory that the monitor
 * made and keeps (and never reads); beside it stand, private to this process, the descriptor of each slot, its
 * references (slots.h) and the hash by identity. An object is known by mount, device and inode number: as long
 * as its slot holds an O_PATH descriptor the number cannot come to mean another object.
 *
 * A slot is valid as long as the guest has looked it up more often than it has forgotten it; its descriptor is
 * closed when besides no operation uses it any more. The root is slot 1, nodeid 1, and is never dropped.
 *
 * The guest may know more objects than there are descriptors. A slot that has not been used for a while can be *cold*: it
 * has no descriptor but a sealed handle, for which the keeper gives one back (inode_cold.c). Its number may have become
 * another object's meanwhile, so there the birth time is part of the identity, and a handle knows the generation. What the
 * guest knows from a listing alone is cold from the start, and is known by its name (inode_named.c).
 */
#ifndef VFSD_INODE_H
#define VFSD_INODE_H

#include "fsworker/fetch.h"
#include "fsworker/slots.h"
#include "ipc/messages.h"

#include <linux/stat.h>
#include <sys/stat.h>

struct keeper_link;
struct name;

#define INODE_ROOT 1u
#define INODE_HANDLE_MAX IPC_HANDLE_MAX
#define INODE_NAME_MAX (INODE_HANDLE_MAX - 8u)
#define INODE_SHARDS 64u
#define INODE_NAMED_IN 1024u

enum inode_state {
	INODE_FREE = 0,
	INODE_LIVE = 1, /* all other fields are right */
};

/* In the memory that the monitor keeps. Only the fsworker writes it; one that starts anew checks each slot. */
struct inode_slot {
	uint32_t generation; /* of the nodeid */
	uint32_t state;      /* enum inode_state; written last when a slot is filled, first when it is dropped */
	uint32_t mode;       /* as last seen; the type never changes */
	uint32_t btime_nsec; /* birth time stands in for the generation of the inode; 0.0 when unknown */
	uint64_t nlookup;    /* how often the guest was told; stays at its maximum once there; under the shard's lock */
	uint64_t ino;
	uint64_t dev;
	uint64_t mnt_id;
	int64_t btime_sec;
	uint16_t handle_len; /* of the sealed handle, 0: none */
	uint16_t name_len;   /* of the name by which it can be opened, 0: none; under the shard's lock. Never both. */
	uint32_t held;       /* ipc_held() of its descriptor, for who takes over; 0: none, the slot is cold */
	union {
		uint8_t handle[INODE_HANDLE_MAX];
		struct {
			uint64_t parent; /* nodeid */
			char name[INODE_NAME_MAX];
		} at;
	};
};
_Static_assert(sizeof(struct inode_slot) == 128, "the slot's size is known outside");

/* What stands in the place of slot 0, which is never an inode's. */
struct inode_head {
	_Atomic uint32_t marks[SLOTS_SHARDS]; /* see slots.h */
};
_Static_assert(sizeof(struct inode_head) <= sizeof(struct inode_slot), "one slot");

struct inode_shard {
	pthread_mutex_t lock;
	uint32_t *heads; /* chains through slots.next */
	uint32_t mask, used;
} __attribute__((aligned(64)));

/* What keeps the descriptors few. Nothing here is touched as long as there are few. */
struct inode_cooler {
	struct keeper_link *keeper; /* NULL: no slot is ever cold */
	uint32_t fd_cache;          /* with more descriptors than this some are given up */
	uint32_t fd_urgent;         /* and with more than this whoever wants another one waits for it */
	uint32_t batch;             /* so many at once */
	uint32_t nfds;              /* descriptors' numbers are below this */
	_Atomic uint32_t *slot_of_fd; /* which slot has a descriptor, 0: none; nfds of them */
	_Atomic uint32_t fd_top;    /* those that any slot ever had are below this */
	uint32_t hand;              /* where the search for idle ones goes on; under busy */
	_Atomic uint32_t rest;      /* calls until it is worth to search again */
	atomic_bool started;        /* slots may be cold from now on */
	pthread_mutex_t busy;       /* one thread searches; before all other locks but session_lock and a link's busy */
	atomic_bool asked;          /* the thread that does it has something to do */
	bool running, stop;         /* it is there; it is to end; both under wake_lock */
	pthread_t thread;
	pthread_mutex_t wake_lock;
	pthread_cond_t wake;
	pthread_mutex_t lock;       /* of a slot's turning cold or warm: its fds[], held and COLD change together; after a shard's */
};

struct inode_table {
	struct slots ids;
	struct inode_slot *slots;
	int *fds; /* O_PATH descriptor of each valid slot that is not cold */
	uint64_t seed;
	uint32_t generation; /* of this process, for inode_slot.held */
	uint32_t fd_limit;
	_Atomic uint32_t fd_used;
	_Atomic uint32_t named_in[INODE_NAMED_IN]; /* how many slots have a name in the directories of this remainder */
	struct inode_cooler cool;
	struct inode_shard shard[INODE_SHARDS];
};

/* An inode in use by an operation: fd stays open until inode_put(). */
struct inode_use {
	struct inode_table *t; /* NULL: none */
	uint32_t index;
	int fd; /* -1 after inode_get_slot() */
};

/* What makes two looks at the file system the same object. */
struct inode_key {
	uint64_t ino, dev, mnt_id;
};

int inode_table_init(struct inode_table *t, void *slots, uint64_t count, uint32_t fd_limit, uint32_t generation) NODISCARD;
void inode_table_fini(struct inode_table *t);
int inode_set_root(struct inode_table *t, int fd, const struct statx *st) NODISCARD;
struct journal;
void inode_settle(struct inode_table *t, struct journal *j);
void inode_undo(struct inode_table *t, struct journal *j);
int inode_restore(struct inode_table *t, fetch_fn *fetch, void *arg, uint32_t *lost) NODISCARD;

/* inode_cold.c */
int inode_use_keeper(struct inode_table *t, struct keeper_link *k, uint32_t fd_cache, uint32_t nfds) NODISCARD;
int inode_warm(struct inode_use *u) NODISCARD;
void inode_end_cooler(struct inode_table *t);
int inode_make_room(struct inode_table *t) NODISCARD;
void inode_keep(struct inode_table *t, const struct inode_use *dir, const struct name *name, struct inode_use *u);

/* inode_named.c */
bool inode_names_in(struct inode_table *t, const struct inode_use *dir) NODISCARD;
void inode_moves(struct inode_table *t, const struct inode_use *dir, const struct name *name);

int inode_get(struct inode_table *t, uint64_t nodeid, struct inode_use *u) NODISCARD;
int inode_get_slot(struct inode_table *t, uint64_t nodeid, struct inode_use *u) NODISCARD;
void inode_put(struct inode_use *u);
#define AUTO_INODE __attribute__((cleanup(inode_put))) struct inode_use

uint64_t inode_find(struct inode_table *t, uint64_t parent, const struct name *name, const struct statx *st) NODISCARD;
uint64_t inode_list(struct inode_table *t, uint64_t parent, const struct name *name, const struct statx *st) NODISCARD;
bool inode_known(struct inode_table *t, const struct inode_key *key) NODISCARD;
int inode_intern(struct inode_table *t, int *fd, const struct statx *st, uint64_t *nodeid) NODISCARD;
void inode_remember(const struct inode_use *u);
void inode_forget(struct inode_table *t, uint64_t nodeid, uint64_t nlookup);
void inode_forget_all(struct inode_table *t);
int inode_may_add(struct inode_table *t) NODISCARD;

/* Fields of a used inode. */
static inline const struct inode_slot *inode_slot(const struct inode_use *u)
{
	return &u->t->slots[u->index];
}

static inline uint64_t inode_nodeid(const struct inode_use *u)
{
	return slots_id(&u->t->ids, u->index);
}

/* inode_mode() - st_mode as last seen; the type is for good. */
static inline uint32_t inode_mode(const struct inode_use *u)
{
	return __atomic_load_n(&u->t->slots[u->index].mode, __ATOMIC_RELAXED);
}

/* inode_saw() - keep the mode that a system call has just shown. */
static inline void inode_saw(const struct inode_use *u, const struct statx *st)
{
	uint32_t *mode = &u->t->slots[u->index].mode;

	if (unlikely(__atomic_load_n(mode, __ATOMIC_RELAXED) != st->stx_mode))
		__atomic_store_n(mode, st->stx_mode, __ATOMIC_RELAXED);
}

static inline uint64_t statx_dev(const struct statx *st)
{
	return (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
}

#endif
