/* state.h - what must outlive this process and belongs to no single link, inode or handle: rows in the memory that the
 * monitor keeps.
 *
 * Role: fsworker. A row is written before what it tells of counts: its `state` last when it is filled, first when it is given up.
 * Who takes over reads each field as if a guest had written it.
 */
#ifndef VFSD_STATE_H
#define VFSD_STATE_H

#include "fsworker/journal.h"

#include <stdatomic.h>

#define STATE_MAGIC 0x7673646673773033ull /* changes with the layout of any of this, of slots, rows and journals */
#define STATE_JOBS 1024u
#define STATE_WAITS 1024u
#define STATE_OWNERS 16384u
#define JOB_BODY_MAX 96u
#define JOB_ANSWER_MAX 320u

enum row_state {
	ROW_FREE = 0,
	ROW_ASKED = 1,    /* the request is to be answered */
	ROW_ANSWERED = 2, /* the answer is in the row, and may have been sent */
};

/* A request that a thread of the pool serves. */
struct job_row {
	uint32_t state; /* enum row_state */
	uint16_t type, link;
	uint64_t tag, session;
	uint32_t begun; /* a thread has begun it */
	uint32_t answer_len;
	struct journal_step step;
	uint64_t body[JOB_BODY_MAX / 8];
	uint64_t answer[JOB_ANSWER_MAX / 8];
};

/* A request that waits for a lock. */
struct wait_row {
	uint32_t state; /* enum row_state */
	uint32_t link;
	uint64_t tag;
	uint32_t stop;      /* what lock_wait.state is */
	int32_t error;      /* when answered */
	uint64_t fh;
	uint64_t nodeid, owner;
	uint32_t has_owner; /* else a flock of the handle */
	int32_t flock_op;
	int64_t start, len;
	uint32_t type;
	uint32_t zero;
};

/* The open file description of an owner's locks. */
struct owner_row {
	uint32_t state; /* ROW_FREE or ROW_ASKED */
	uint32_t held;  /* ipc_held() of it */
	uint64_t nodeid, owner, fh;
	uint32_t mixed, reads;
	uint32_t pid;
	uint32_t zero;
};

/* A mount whose objects may be cold: what is open on it, for the keeper. */
struct mount_row {
	uint64_t mnt_id; /* 0: none */
	uint32_t held;   /* ipc_held() of its descriptor */
	uint32_t zero;
};

struct fsw_state {
	uint64_t magic;
	_Atomic uint64_t session;
	_Atomic uint32_t session_flags;
	uint32_t zero;
	struct job_row jobs[STATE_JOBS];
	struct wait_row waits[STATE_WAITS];
	struct owner_row owners[STATE_OWNERS];
	struct mount_row mounts[IPC_MOUNTS_MAX];
};
_Static_assert(sizeof(struct fsw_state) <= IPC_COMMON_STATE, "the monitor makes room for it");

#endif
