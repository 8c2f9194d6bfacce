/* handle.c - see handle.h. */
#include "fsworker/handle.h"

#include "common/crashpoint.h"
#include "common/log.h"
#include "fsworker/inode.h"
#include "fsworker/journal.h"
#include "fsworker/resolve.h"

#define DIR_BUFS_MAX 512u

/*
 * handle_table_init() - Make a table for open files and directories
 * @t:		Table
 * @rows:	Memory of max + 1 rows, all zero or those of a process before (see handle_restore()), borrowed
 * @max:	How many there can be
 * @generation:	Of this process, see ipc_held()
 *
 * Return: 0 or -ENOMEM
 */
int handle_table_init(struct handle_table *t, struct handle_row *rows, uint32_t max, uint32_t generation)
{
	int r;

	memset(t, 0, sizeof(*t));
	t->rows = rows;
	t->generation = generation;
	r = slots_init(&t->ids, MIN(max, UINT32_MAX - 1) + 1, 1, ((struct handle_head *)(void *)rows)->marks);
	if (r < 0)
		return r;
	t->handles = calloc((size_t)t->ids.count, sizeof(*t->handles));
	if (!t->handles) {
		slots_fini(&t->ids);
		return -ENOMEM;
	}
	t->dir_bufs_max = DIR_BUFS_MAX;
	return 0;
}

/* handle_table_fini() - Close all and free the memory */
void handle_table_fini(struct handle_table *t)
{
	if (t->handles)
		handle_revoke_all(t);
	free_ptr(&t->handles);
	slots_fini(&t->ids);
}

/*
 * handle_reserve() - A slot for something that is about to be opened
 * @t:		Table
 * @shard_hint:	Where to look first; threads with different hints do not meet
 * @dir:	With room for a directory's stream
 * @index:	Out: slot, to be published or unreserved
 *
 * Return: 0, -ENFILE when too much is open, -ENOMEM
 */
int handle_reserve(struct handle_table *t, uint32_t shard_hint, bool dir, uint32_t *index)
{
	uint32_t i = slots_take(&t->ids, shard_hint);

	if (!i) {
		log_limited(LOG_LVL_WARN, "the guest has too many files open (%u)", t->ids.count - 1);
		return -ENFILE;
	}
	t->handles[i] = (struct handle){ .fd = -1 };
	if (dir) {
		struct dir_stream *d = calloc(1, sizeof(*d));

		if (!d) {
			slots_free(&t->ids, i);
			return -ENOMEM;
		}
		pthread_mutex_init(&d->lock, NULL);
		d->positioned = true;
		t->handles[i].dir = d;
	}
	*index = i;
	return 0;
}

static void slot_clear(struct handle_table *t, uint32_t index)
{
	struct handle *h = &t->handles[index];
	struct dir_stream *d = h->dir;
	int fd = h->fd;

	if (d) {
		dir_buf_drop(t, d);
		pthread_mutex_destroy(&d->lock);
		free(d);
	}
	*h = (struct handle){ .fd = -1 };
	slots_free(&t->ids, index);
	close_fd(&fd);
}

/* handle_unreserve() - The opening failed: give the slot back */
void handle_unreserve(struct handle_table *t, uint32_t index)
{
	slot_clear(t, index);
}

/*
 * handle_publish() - What the slot was reserved for is open
 * @t:		Table
 * @index:	Reserved slot
 * @fd:		Descriptor, taken over
 * @flags:	O_* it was opened with
 * @nodeid:	Whose it is
 * @dev:	Its device
 * @refs:	References that the caller keeps for itself
 *
 * Return: the fh
 */
uint64_t handle_publish(struct handle_table *t, uint32_t index, int fd, uint32_t flags, uint64_t nodeid, uint64_t dev,
			uint32_t refs)
{
	struct handle *h = &t->handles[index];
	uint64_t fh = slots_id(&t->ids, index);

	h->fd = fd;
	h->flags = flags;
	h->nodeid = nodeid;
	h->dev = dev;
	journal_opening(index);
	CRASHPOINT("opening");
	t->rows[index] = (struct handle_row){
		.generation = (uint32_t)(fh >> 32), .held = ipc_held(t->generation, fd), .flags = flags, .nodeid = nodeid, .dev = dev,
	};
	__atomic_store_n(&t->rows[index].state, h->dir ? HANDLE_OPEN_DIR : HANDLE_OPEN, __ATOMIC_RELEASE);
	CRASHPOINT("opened");
	slots_publish(&t->ids, index, refs);
	return fh;
}

/* From now on the row is of an fh that never was. */
static void row_clear(struct handle_row *row)
{
	__atomic_store_n(&row->state, HANDLE_FREE, __ATOMIC_RELEASE);
	CRASHPOINT("closing");
	row->generation += row->generation != UINT32_MAX;
}

/* handle_undo() - A request that will be served again had opened this one, or was about to; nobody knows its number. In memory
 * that is not restored yet. */
void handle_undo(struct handle_table *t, uint32_t *index)
{
	if (*index && *index < t->ids.count && t->rows[*index].state != HANDLE_FREE)
		row_clear(&t->rows[*index]);
	*index = 0;
}

/* Is the descriptor what the row says? */
static bool row_is_true(const struct handle_row *row, int fd)
{
	struct statx st;
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && !(flags & O_PATH) && ((uint32_t)flags & O_ACCMODE) == (row->flags & O_ACCMODE) &&
	       resolve_statx_fd(fd, 0, &st) == 0 && statx_dev(&st) == row->dev &&
	       (row->state == HANDLE_OPEN_DIR ? S_ISDIR(st.stx_mode) : S_ISREG(st.stx_mode));
}

/* Go on with an open file or directory. False: it is none, or memory is short. */
static bool adopt(struct handle_table *t, uint32_t index, int fd)
{
	struct handle_row *row = &t->rows[index];
	struct dir_stream *d = NULL;

	if (fd < 0 || !row_is_true(row, fd))
		return false;
	if (row->state == HANDLE_OPEN_DIR) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return false;
		pthread_mutex_init(&d->lock, NULL); /* not positioned: the guest says where it goes on */
	}
	t->handles[index] = (struct handle){
		.fd = fd, .flags = row->flags, .nodeid = row->nodeid, .dev = row->dev, .dir = d,
	};
	row->held = ipc_held(t->generation, fd);
	slots_restore(&t->ids, index, row->generation, true);
	return true;
}

static void abandon(struct handle_table *t, uint32_t index)
{
	row_clear(&t->rows[index]); /* also a free one, as for inodes */
	t->handles[index].fd = -1;
	slots_restore(&t->ids, index, t->rows[index].generation, false);
}

/*
 * handle_restore() - Take over the open files and directories of a process before this one
 * @t:		Empty table in the memory of that process
 * @fetch:	How to get its descriptors
 * @arg:	For fetch
 * @lost:	As for inode_restore()
 *
 * As inode_restore(). A row whose nodeid is another's by now is no danger: whoever uses a handle says which nodeid it is of.
 *
 * Return: 0 or -errno
 */
int handle_restore(struct handle_table *t, fetch_fn *fetch, void *arg, uint32_t *lost)
{
	uint32_t index[FETCH_BATCH], n, i = 0;
	uint32_t held[FETCH_BATCH];
	int fds[FETCH_BATCH], r = 0;

	do {
		for (n = 0; n < FETCH_BATCH && (i = slots_next_used(&t->ids, i)) != 0;) {
			if (t->rows[i].state == HANDLE_OPEN || t->rows[i].state == HANDLE_OPEN_DIR) {
				index[n] = i;
				held[n++] = t->rows[i].held;
			} else {
				abandon(t, i);
			}
		}
		if (n)
			r = fetch(arg, held, fds, n);
		for (uint32_t k = 0; r == 0 && k < n; k++) {
			if (adopt(t, index[k], fds[k])) {
				CRASHPOINT("handle-adopted");
				continue;
			}
			close_fd(&fds[k]);
			abandon(t, index[k]);
			++*lost;
		}
	} while (i && r == 0);
	return r;
}

/*
 * handle_get() - Use the open file that a guest names
 * @t:		Table
 * @fh:		The guest's number, unchecked
 * @kind:	What it must be
 * @u:		Out: end it with handle_put()
 *
 * Return: 0, -EBADF
 */
int handle_get(struct handle_table *t, uint64_t fh, enum handle_kind kind, struct handle_use *u)
{
	uint32_t index = slots_index(fh);

	if (unlikely(!slots_get(&t->ids, fh)))
		return -EBADF;
	*u = (struct handle_use){ .t = t, .index = index, .h = &t->handles[index] };
	if (unlikely(kind != HANDLE_ANY && (u->h->dir != NULL) != (kind == HANDLE_DIR))) {
		handle_put(u);
		return -EBADF;
	}
	return 0;
}

/* handle_get_of() - The same, and the handle must be one of this inode. Return: 0, -EBADF */
int handle_get_of(struct handle_table *t, uint64_t fh, enum handle_kind kind, uint64_t nodeid, struct handle_use *u)
{
	int r = handle_get(t, fh, kind, u);

	if (r == 0 && unlikely(u->h->nodeid != nodeid)) {
		handle_put(u);
		r = -EBADF;
	}
	return r;
}

/* handle_put_index() - Drop a reference that is known by its slot */
void handle_put_index(struct handle_table *t, uint32_t index)
{
	if (slots_put(&t->ids, index))
		slot_clear(t, index);
}

/* handle_put() - End the use of a handle; *u is empty afterwards, and may have been so before */
void handle_put(struct handle_use *u)
{
	struct handle_table *t = u->t;

	u->t = NULL;
	if (t)
		handle_put_index(t, u->index);
}

/* handle_revoke() - The guest has closed it: from now on the fh is EBADF. True for one caller only. */
bool handle_revoke(const struct handle_use *u)
{
	bool mine = slots_revoke(&u->t->ids, u->index);

	if (mine)
		row_clear(&u->t->rows[u->index]);
	return mine;
}

/* handle_revoke_all() - The end of a session. Operations that use a handle keep it until they end. */
void handle_revoke_all(struct handle_table *t)
{
	for (uint32_t i = slots_next_used(&t->ids, 0); i; i = slots_next_used(&t->ids, i)) {
		AUTO_HANDLE u = { 0 };

		if (handle_get(t, slots_id(&t->ids, i), HANDLE_ANY, &u) == 0 && !handle_revoke(&u))
			continue;
	}
}

/*
 * dir_buf_take() - A buffer for a stream, if not too many have one
 *
 * A guest may leave any number of directories half read. Streams without a buffer work, with a seek each time.
 */
bool dir_buf_take(struct handle_table *t, struct dir_stream *d)
{
	if (d->buf)
		return true;
	if (atomic_fetch_add(&t->dir_bufs, 1) < t->dir_bufs_max)
		d->buf = malloc(DIR_BUF_BYTES);
	if (!d->buf)
		atomic_fetch_sub(&t->dir_bufs, 1);
	return d->buf != NULL;
}

/* dir_buf_drop() - Nothing is left in the stream's buffer, or nobody wants it */
void dir_buf_drop(struct handle_table *t, struct dir_stream *d)
{
	d->pos = d->len = 0;
	if (d->buf) {
		free_ptr(&d->buf);
		atomic_fetch_sub(&t->dir_bufs, 1);
	}
}
