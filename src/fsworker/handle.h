/* handle.h - open files and directories that the guest names by a file handle.
 *
 * Role: fsworker. An fh is a slot and its generation (slots.h): forged, closed and stale ones are EBADF. The
 * fsworker keeps a descriptor of its own for each although the transport reads and writes through the one that it was
 * granted: for locks, attributes and truncation, and because it shares the open file description with the transport.
 */
#ifndef VFSD_HANDLE_H
#define VFSD_HANDLE_H

#include "fsworker/fetch.h"
#include "fsworker/slots.h"

#include <fcntl.h>

/* A directory's entries that getdents64() has returned and nobody has asked for yet. */
struct dir_stream {
	pthread_mutex_t lock;
	char *buf;        /* DIR_BUF_BYTES, or NULL while there is nothing to keep */
	uint32_t pos, len;
	uint64_t cookie;  /* d_off of the last entry given out: buf[pos] is the one after it */
	bool positioned;  /* the descriptor's offset is where buf ends */
};
#define DIR_BUF_BYTES 32768u

struct handle {
	int fd;
	uint32_t flags;  /* O_* it was opened with */
	uint64_t nodeid; /* whose open file it is */
	uint64_t dev;
	struct dir_stream *dir; /* NULL: a file */
};

/* What another process needs to know of a handle; in memory that the monitor keeps. Only the fsworker writes it; one that
 * starts anew checks each row. */
enum handle_state {
	HANDLE_FREE = 0,
	HANDLE_OPEN = 1,
	HANDLE_OPEN_DIR = 2,
};
struct handle_row {
	uint32_t generation; /* of the fh, or of the next one when it is free */
	uint32_t state;      /* enum handle_state; written last when it is opened */
	uint32_t held;       /* ipc_held() of its descriptor, for who takes over */
	uint32_t flags;
	uint64_t nodeid, dev;
};
_Static_assert(sizeof(struct handle_row) == 32, "the row's size is known outside");

/* What stands in the place of row 0, which is never a handle's. */
struct handle_head {
	_Atomic uint32_t marks[SLOTS_SHARDS];
};
_Static_assert(sizeof(struct handle_head) <= sizeof(struct handle_row), "one row");

struct handle_table {
	struct slots ids;
	struct handle *handles;
	struct handle_row *rows; /* of the same slots */
	uint32_t generation;     /* of this process, for handle_row.held */
	_Atomic uint32_t dir_bufs; /* how many streams hold a buffer */
	uint32_t dir_bufs_max;
};

struct handle_use {
	struct handle_table *t; /* NULL: none */
	uint32_t index;
	struct handle *h;
};

enum handle_kind {
	HANDLE_FILE,
	HANDLE_DIR,
	HANDLE_ANY,
};

int handle_table_init(struct handle_table *t, struct handle_row *rows, uint32_t max, uint32_t generation) NODISCARD;
void handle_undo(struct handle_table *t, uint32_t *index);
int handle_restore(struct handle_table *t, fetch_fn *fetch, void *arg, uint32_t *lost) NODISCARD;
void handle_table_fini(struct handle_table *t);

int handle_reserve(struct handle_table *t, uint32_t shard_hint, bool dir, uint32_t *index) NODISCARD;
void handle_unreserve(struct handle_table *t, uint32_t index);
uint64_t handle_publish(struct handle_table *t, uint32_t index, int fd, uint32_t flags, uint64_t nodeid, uint64_t dev,
			uint32_t refs);

int handle_get(struct handle_table *t, uint64_t fh, enum handle_kind kind, struct handle_use *u) NODISCARD;
int handle_get_of(struct handle_table *t, uint64_t fh, enum handle_kind kind, uint64_t nodeid,
		  struct handle_use *u) NODISCARD;
void handle_put(struct handle_use *u);
void handle_put_index(struct handle_table *t, uint32_t index);
#define AUTO_HANDLE __attribute__((cleanup(handle_put))) struct handle_use

bool handle_revoke(const struct handle_use *u) NODISCARD;
void handle_revoke_all(struct handle_table *t);

bool dir_buf_take(struct handle_table *t, struct dir_stream *d) NODISCARD;
void dir_buf_drop(struct handle_table *t, struct dir_stream *d);

/* Can this handle be written through? */
static inline bool handle_writes(const struct handle *h)
{
	return (h->flags & O_ACCMODE) != O_RDONLY;
}

#endif
