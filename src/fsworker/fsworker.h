/* fsworker.h - what the files of the fsworker share: the state of the process, of a link, of one request.
 *
 * Role: fsworker. The peer on every link is the transport, which the guest may have taken over: nothing in a
 * request is believed before this side has checked it, whatever the transport did.
 *
 * A link is served by one thread, request after request, in the order in which they came. A handler either
 * answers (and returns 0), returns a negative errno that becomes the answer, or says that the answer comes from
 * elsewhere: from the pool, where the same handler runs again and may block, or from a thread that waits for a lock.
 */
#ifndef VFSD_FSWORKER_H
#define VFSD_FSWORKER_H

#include "fsworker/handle.h"
#include "fsworker/inode.h"
#include "fsworker/journal.h"
#include "fsworker/keeper_link.h"
#include "fsworker/state.h"
#include "ipc/channel.h"

#include <pthread.h>
#include <stdatomic.h>

/* What a handler may return beside 0 and -errno. */
enum {
	ANSWER_POOL = 1,  /* would block long: run again on a thread of the pool */
	ANSWER_LATER = 2, /* another thread answers */
};

struct fsworker;
struct name;
struct job;
struct lock_table;
struct lock_wait;
struct pool;

/* Answers on their way to a link. Owned by one thread. */
struct out {
	int fd;
	bool broken; /* the peer is gone; what is sent goes nowhere */
	const struct fsworker *w;
	uint32_t nheld;
	struct handle_table *handles;
	/* Handles that stay open until the batch is sent: their descriptors travel in it, or their closing can wait
	 * until the guest has its answer. */
	uint32_t held[IPC_FDS_MAX];
	struct ipc_batch *batch;  /* the journal's, or `own` */
	struct journal *journal;  /* NULL: not a link's thread */
	struct ipc_batch own;
	char scratch[IPC_XATTR_MAX] __attribute__((aligned(8))); /* for results whose size shows late */
};

struct link {
	struct fsworker *w;
	int fd;
	uint32_t index;       /* which window of the bulk area is this link's */
	_Atomic uint32_t refs; /* its thread and every answer that is still to come; the last one closes fd */
	bool started;         /* main thread only: it has or had a thread */
	pthread_mutex_t busy; /* held while an operation runs, see session.c */
	pthread_mutex_t late_lock;
	struct journal *journal;
	bool resume;          /* a process before this one was in the middle of something here */
	struct out *late; /* under late_lock: answers of threads that waited for a lock */
} __attribute__((aligned(64)));

struct fsworker {
	uint32_t flags;                   /* CFG_* of the configuration */
	_Atomic uint32_t session_flags;   /* IPC_INIT_* of the guest's INIT */
	int root_fd;                      /* the share's root */
	int proc_fd;                      /* "/proc/self/fd": reopening by number */
	uint32_t poll_us;                 /* see spin.h */
	bool close_matters;               /* to the file system of the root, see op_file.c */
	int keeper_fd;                    /* channel to the keeper; -1: there is none. fsworker_init() takes it */
	struct keeper_link *keeper;
	struct inode_table inodes;
	struct handle_table handles;
	struct lock_table *locks;
	struct pool *pool;                /* NULL: everything inline */
	struct fsw_state *state;          /* in memory that outlives the process */
	char *bulk;                       /* nlinks windows of IPC_BULK_LINK bytes; only ever given to system calls */
	uint32_t nlinks;
	struct link *links;
	pthread_mutex_t session_lock;     /* held while a session ends; before any link's busy */
	atomic_bool session_ending;       /* operations that start now wait for session_lock */
	_Atomic uint64_t session;         /* counts them; changed under session_lock */
};

/* One request while it is served. */
struct req {
	struct fsworker *w;
	struct link *link;
	struct out *out;
	const void *body;
	const char *tail;
	uint64_t tag;
	uint32_t tail_len;
	uint16_t type;
	uint64_t session; /* that it was asked in */
	bool redo;      /* a process before this one has begun it, and perhaps done it */
	bool pooled;    /* this is a thread of the pool */
	bool may_block; /* nobody else waits for this thread, or there is no pool */
	/* Who has taken it on, and begins when the link has noted that it need not do it itself. */
	struct job *job;
	struct lock_wait *wait;
};

/* answer.c */
void answer_request(struct req *r);
uint32_t answer_body_len(uint16_t type);
#define OP(N, n, qt, qf, rep, rt, rf) int answer_##n(struct req *r);
#define CTL(N, n, d, t, f0, f1)
#include "ipc/messages.def"
#undef OP
#undef CTL

/* out.c */
void out_init(struct out *o, const struct link *l, struct journal *journal);
void out_flush(struct out *o);
void out_found(struct out *o, uint32_t used);
void *reply_add(struct req *r, uint32_t tail_len, char **tail);
uint32_t reply_room(struct req *r, uint32_t want);
int reply_empty(struct req *r);
void reply_error(struct req *r, int error);
void reply_grant(struct req *r, uint32_t handle_index, int fd);
void out_hold(struct out *o, uint32_t handle_index);

/* link.c */
int link_start(struct link *l);
void link_wait_threads(void);
int link_serve(struct link *l, struct out *o, struct ipc_dgram *d, uint32_t again, const char **why);
void link_settle(struct link *l);
void link_undo(struct link *l, struct ipc_ready *said);
void link_get(struct link *l);
void link_put(struct link *l);
bool link_prepare_late(struct link *l);
void link_answer_late(struct link *l, uint16_t type, uint64_t tag, int error, bool again);

/* loop.c */
int fsworker_init(struct fsworker *w, const struct ipc_config_fsworker *cfg, void *state, uint32_t fd_limit);
int fsworker_restore(struct fsworker *w, fetch_fn *fetch, void *arg, struct ipc_ready *said) NODISCARD;
void fsworker_fini(struct fsworker *w);
int loop_run(struct fsworker *w, int monitor_fd);

/* pool.c */
struct pool *pool_new(struct fsworker *w, uint32_t max_threads);
bool pool_submit(struct pool *p, struct req *r, uint32_t body_len);
void pool_begin(struct pool *p, struct job *j);
uint32_t pool_restore(struct pool *p);
void pool_wake(struct pool *p);
bool pool_knows(const struct fsworker *w, uint32_t link, uint64_t tag);
void pool_free(struct pool *p);

/* redo.c: what a process before this one did */
bool redo_made(const struct req *r, int dirfd, const struct name *name, uint32_t type, const struct ipc_cred *cred) NODISCARD;
bool redo_same(int dirfd, const struct name *name, int fd) NODISCARD;

/* session.c */
void session_op_begin(struct link *l);
void session_op_end(struct link *l);
void session_wipe(struct fsworker *w);
bool session_hold(struct req *r) NODISCARD;
void session_release(struct req *r);

/* op_lookup.c, for the other families */
void entry_fill(const struct fsworker *w, struct ipc_entry *e, uint64_t nodeid, const struct inode_use *parent,
		const struct statx *st);
enum entry_how {
	ENTRY_NEW,    /* it is not in the table */
	ENTRY_KNOWN,  /* it may be */
	ENTRY_LISTED, /* it may be, and may be told of without being opened */
};
int entry_of_name(struct fsworker *w, const struct inode_use *parent, const struct name *name, enum entry_how how,
		  struct ipc_entry *e) NODISCARD;
int entry_of_fd(struct fsworker *w, const struct inode_use *parent, int *path_fd, struct ipc_entry *e) NODISCARD;
int parent_and_name(struct req *r, uint64_t nodeid, struct inode_use *parent, struct name *name) NODISCARD;

/* op_file.c */
bool close_matters(int fd) NODISCARD;
int open_flags(const struct fsworker *w, uint32_t asked, uint32_t *flags) NODISCARD;

/* op_lock.c */
struct lock_table *locks_new(struct fsworker *w, uint32_t max_owners, uint32_t generation);
int locks_restore(struct lock_table *t, fetch_fn *fetch, void *arg, uint32_t *lost) NODISCARD;
bool locks_know(const struct fsworker *w, uint32_t link, uint64_t tag);
void locks_wake(struct lock_table *t);
void locks_free(struct lock_table *t);
void locks_end_session(struct lock_table *t);
void locks_drop_owner(struct lock_table *t, uint64_t nodeid, uint64_t owner);
void locks_drop_handle(struct lock_table *t, uint64_t nodeid, uint64_t fh);

/* Is this request to be answered with "not supported" by configuration? */
static inline bool cfg_has(const struct fsworker *w, uint32_t flag)
{
	return (w->flags & flag) != 0;
}

#endif
