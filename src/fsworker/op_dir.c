/* op_dir.c - open directories: OPENDIR, READDIR with and without lookups, RELEASEDIR, FSYNCDIR.
 *
 * A guest reads a directory in pieces of its own size, each from the offset where the last ended. getdents64()
 * gives pieces of another size, so a stream keeps what is left of one. A guest that goes on where it stopped
 * costs neither a seek nor an entry read twice; one that jumps costs a seek.
 */
#include "fsworker/fsworker.h"
#include "fsworker/resolve.h"

#include <dirent.h>

/* Room beyond the guest's own budget, so that the first entry always fits. */
#define TAIL_SLACK 1024u

/* An answer that is being filled. */
struct fill {
	char *tail;
	uint32_t used, max;
	uint64_t budget; /* bytes that the caller can still hold */
	uint64_t count;
};

/* answer_opendir() - OPENDIR */
int answer_opendir(struct req *r)
{
	const struct ipc_opendir_req *q = r->body;
	struct ipc_opendir_rep *rep;
	AUTO_INODE u = { 0 };
	uint32_t index;
	uint64_t fh;
	int fd, err = inode_get(&r->w->inodes, q->nodeid, &u);

	if (err == 0 && !S_ISDIR(inode_mode(&u)))
		err = -ENOTDIR;
	if (err == 0)
		err = handle_reserve(&r->w->handles, r->link->index, true, &index);
	if (err < 0)
		return err;
	fd = resolve_reopen(r->w->proc_fd, u.fd, inode_mode(&u), O_RDONLY | O_DIRECTORY);
	if (fd < 0) {
		handle_unreserve(&r->w->handles, index);
		return fd;
	}
	fh = handle_publish(&r->w->handles, index, fd, O_RDONLY | O_DIRECTORY, q->nodeid, inode_slot(&u)->dev, 0);
	rep = reply_add(r, 0, NULL);
	rep->fh = fh;
	return 0;
}

static uint64_t entry_cost(const struct ipc_readdir_req *q, size_t name_len)
{
	return ALIGN_UP((uint64_t)q->entry_cost + name_len, 8u);
}

/* The buffer, or what stands in for it, with at least one entry. Return: 1, 0 at the end, -errno. */
static int stream_fill(struct req *r, struct handle *h, char **buf)
{
	struct dir_stream *d = h->dir;
	ssize_t n;

	*buf = d->buf;
	if (d->pos < d->len)
		return 1;
	d->pos = d->len = 0;
	*buf = dir_buf_take(&r->w->handles, d) ? d->buf : r->out->scratch;
	n = getdents64(h->fd, *buf, DIR_BUF_BYTES);
	if (n < 0)
		return -errno;
	d->len = (uint32_t)n;
	if (n == 0)
		dir_buf_drop(&r->w->handles, d);
	return n > 0;
}

/* Bring the stream to where the guest goes on. */
static int stream_seek(struct req *r, struct handle *h, uint64_t offset)
{
	struct dir_stream *d = h->dir;

	/* From the start means anew: what was made since the buffer was filled is to be seen. */
	if (d->positioned && offset == d->cookie && (offset != 0 || d->len == 0))
		return 0;
	dir_buf_drop(&r->w->handles, d);
	d->positioned = false;
	if (offset > INT64_MAX || lseek(h->fd, (off_t)offset, SEEK_SET) < 0)
		return -EINVAL;
	d->cookie = offset;
	d->positioned = true;
	return 0;
}

static void look_up(struct req *r, const struct inode_use *dir, const struct dirent64 *de, size_t name_len,
		    struct ipc_entry *e)
{
	struct inode_key key = {
		.ino = de->d_ino,
		.dev = inode_slot(dir)->dev,
		.mnt_id = inode_slot(dir)->mnt_id,
	};
	enum entry_how how = ENTRY_LISTED;
	struct name name;

	/* A directory is opened in any case, so all that one look at a new one by its name would do is cost a call. */
	if (de->d_type == DT_DIR)
		how = inode_known(&r->w->inodes, &key) ? ENTRY_KNOWN : ENTRY_NEW;
	/* ".", ".." and what cannot be looked up have no number: the guest will ask if it wants to know. */
	if (name_check(&name, de->d_name, (uint32_t)name_len) == 0 &&
	    (how != ENTRY_NEW || inode_may_add(&r->w->inodes) == 0) && entry_of_name(r->w, dir, &name, how, e) == 0)
		return;
	memset(e, 0, sizeof(*e));
}

/* One entry into the answer, if it fits. */
static bool put_entry(struct req *r, struct fill *f, const struct inode_use *dir, const struct dirent64 *de)
{
	const struct ipc_readdir_req *q = r->body;
	size_t len = strlen(de->d_name);
	uint32_t padded = ALIGN_UP((uint32_t)len, 8u);
	uint32_t fixed = (uint32_t)(sizeof(struct ipc_dirent) + (q->plus ? sizeof(struct ipc_entry) : 0));
	struct ipc_dirent *out = (struct ipc_dirent *)(f->tail + f->used);
	char *name = f->tail + f->used + fixed;

	if (entry_cost(q, len) > f->budget || fixed + padded > f->max - f->used)
		return false;
	*out = (struct ipc_dirent){
		.ino = de->d_ino,
		.off = (uint64_t)de->d_off,
		.name_len = (uint32_t)len,
		.type = de->d_type,
	};
	if (q->plus)
		look_up(r, dir, de, len, (struct ipc_entry *)(out + 1));
	memset(name + padded - 8, 0, 8);
	memcpy(name, de->d_name, len);
	f->used += fixed + padded;
	f->budget -= entry_cost(q, len);
	f->count++;
	return true;
}

static void put_entries(struct req *r, struct handle *h, const struct inode_use *dir, char *buf, struct fill *f)
{
	struct dir_stream *d = h->dir;

	/* What goes wrong after the first entries ends this answer, and is told to the next request. */
	do {
		while (d->pos < d->len) {
			const struct dirent64 *de = (const struct dirent64 *)(buf + d->pos);

			if (!put_entry(r, f, dir, de))
				return;
			d->pos += de->d_reclen;
			d->cookie = (uint64_t)de->d_off;
		}
	} while (stream_fill(r, h, &buf) == 1);
}

static int read_stream(struct req *r, struct handle *h, const struct inode_use *dir)
{
	const struct ipc_readdir_req *q = r->body;
	struct dir_stream *d = h->dir;
	struct ipc_readdir_rep *rep;
	struct fill f = { .budget = q->max_bytes };
	char *buf;
	int more = stream_seek(r, h, q->offset);

	if (more == 0)
		more = stream_fill(r, h, &buf);
	if (more < 0)
		return more;
	if (more == 1 && entry_cost(q, strlen(((const struct dirent64 *)(buf + d->pos))->d_name)) > f.budget)
		return -EINVAL;
	if (more == 1)
		f.max = reply_room(r, (uint32_t)MIN((uint64_t)q->max_bytes * 2 + TAIL_SLACK, IPC_DIR_TAIL));
	rep = reply_add(r, f.max, &f.tail);
	if (more == 1)
		put_entries(r, h, dir, buf, &f);
	rep->count = f.count;
	ipc_batch_trim(r->out->batch, f.used);
	return 0;
}

/* answer_readdir() - READDIR and READDIRPLUS */
int answer_readdir(struct req *r)
{
	const struct ipc_readdir_req *q = r->body;
	AUTO_INODE dir = { 0 };
	AUTO_HANDLE h = { 0 };
	int err = handle_get_of(&r->w->handles, q->fh, HANDLE_DIR, q->nodeid, &h);

	if (err == 0 && q->plus)
		err = inode_get(&r->w->inodes, q->nodeid, &dir);
	if (err < 0)
		return err;
	pthread_mutex_lock(&h.h->dir->lock);
	err = read_stream(r, h.h, &dir);
	/* Without a buffer of its own the stream loses what was not given out, and must seek the next time. */
	if (!h.h->dir->buf && h.h->dir->len) {
		h.h->dir->pos = h.h->dir->len = 0;
		h.h->dir->positioned = false;
	}
	pthread_mutex_unlock(&h.h->dir->lock);
	return err;
}

/* answer_releasedir() - RELEASEDIR */
int answer_releasedir(struct req *r)
{
	const struct ipc_releasedir_req *q = r->body;
	AUTO_HANDLE h = { 0 };
	int err = handle_get_of(&r->w->handles, q->fh, HANDLE_DIR, q->nodeid, &h);

	if (err == 0 && !handle_revoke(&h))
		err = -EBADF;
	if (err < 0)
		return r->redo ? reply_empty(r) : err; /* it is closed already */
	err = reply_empty(r);
	out_hold(r->out, h.index);
	h.t = NULL;
	return err;
}

/* answer_fsyncdir() - FSYNCDIR */
int answer_fsyncdir(struct req *r)
{
	const struct ipc_fsyncdir_req *q = r->body;
	AUTO_HANDLE h = { 0 };
	int err = handle_get_of(&r->w->handles, q->fh, HANDLE_DIR, q->nodeid, &h);

	if (err < 0)
		return err;
	if (!r->may_block)
		return ANSWER_POOL;
	if ((q->datasync ? fdatasync(h.h->fd) : fsync(h.h->fd)) < 0)
		return -errno;
	return reply_empty(r);
}
