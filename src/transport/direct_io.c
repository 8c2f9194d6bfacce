/* direct_io.c - contents of files that were granted to us: one system call between the page cache and the guest's pages.
 *
 * Role: transport. Distrusted: the guest (sizes, addresses), the VMM (memory that it takes away gives EFAULT here).
 *
 * What the page cache can answer is served at once on the ring's thread: reads say RWF_NOWAIT, and so do writes where the
 * file system knows it. What would block, or may (O_DIRECT, fsync, fallocate, copies), goes to the pool, so that it delays
 * nobody else. A file system that cannot tell about writes gets them inline, until one of them took long: then the
 * handle's writes go to the pool for a while. Nothing here opens, maps or changes a file's attributes.
 *
 * What this process had begun when it died, the next one does again from the start. The guest was not told of it, so to it nothing
 * has happened yet, and all but one of these may be done twice: READ, WRITE at an offset, FSYNC, the FALLOCATEs that
 * leave the rest of the file where it is (others are refused), and copies have the same effect the second time.
 *
 * WRITE at the end of the file has not. Before it the chain's row says how long the file was (append_begin()); who finds that
 * looks whether the file has become longer by what was to be written (append_redo()):
 *
 *	death				the file		the next process
 *	before the row			as it was		appends
 *	after the row			as it was		appends
 *	in the middle of the call	longer by a part	appends the rest
 *	after the call			longer by all of it	appends nothing
 *
 * What stands there is compared with the guest's data, since the host may append, too; where the guest opened the file for
 * writing only, its length has to do. Two appends of one guest to one file are never under way at a time: its
 * kernel has a lock for that.
 */
#include "transport/blame.h"
#include "transport/queue_int.h"

#include "common/crashpoint.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define SLOW_WRITE_NS 1000000 /* an inline write of this length has blocked */
#define SLOW_BACKOFF_NS 100000000

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Point iov at `len` bytes of the segments, `skip` bytes from their start. Neighbours become one entry: a guest's buffer is often a
 * row of pages, and the kernel works through an entry at a time.
 * Return how many entries, or -1 when they lie outside of guest memory or are too short. */
static int build_iov(struct queue *q, const struct virtq_seg *seg, unsigned nseg, uint64_t skip, uint64_t len)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nseg && len; i++) {
		if (skip >= seg[i].len) {
			skip -= seg[i].len;
			continue;
		}
		char *p = gmem_at(q->mem, seg[i].addr, seg[i].len);

		if (!p)
			return -1;
		size_t part = MIN((size_t)(seg[i].len - skip), len);

		if (n && (char *)q->iov[n - 1].iov_base + q->iov[n - 1].iov_len == p + skip)
			q->iov[n - 1].iov_len += part;
		else
			q->iov[n++] = (struct iovec){ .iov_base = p + skip, .iov_len = part };
		len -= part;
		skip = 0;
	}
	return len ? -1 : (int)n;
}

static void iov_advance(struct direct_job *d, size_t n)
{
	d->offset += n;
	d->done += n;
	d->len -= n;
	while (n && d->niov) {
		size_t part = MIN(n, d->iov->iov_len);

		d->iov->iov_base = (char *)d->iov->iov_base + part;
		d->iov->iov_len -= part;
		n -= part;
		if (d->iov->iov_len == 0) {
			d->iov++;
			d->niov--;
		}
	}
}

/* Right before the first byte. Without it the write is not safe to do again; a file that fails fstat() is not known. */
static void append_begin(struct direct_job *d)
{
	struct stat st;

	if ((d->append->flags & ROW_APPEND) || fstat(d->h->fd, &st))
		return;
	d->append->before = (uint64_t)st.st_size;
	state_order();
	d->append->flags |= ROW_APPEND;
	state_order();
	CRASHPOINT("append-intent");
}

/* Do the first n bytes of what is to be written stand in the file at `at`? @unseen: the answer if that cannot be seen. */
static bool stands_there(struct direct_job *d, uint64_t at, uint64_t n, bool unseen)
{
	char *buf = d->q->reply;
	unsigned seg = 0;
	size_t skip = 0;

	while (n) {
		ssize_t got = pread(d->h->fd, buf, MIN(n, (uint64_t)QUEUE_REPLY_MAX), (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 && errno == EBADF && unseen;
		for (size_t i = 0; i < (size_t)got;) {
			size_t part = MIN((size_t)got - i, d->iov[seg].iov_len - skip);

			if (memcmp(buf + i, (char *)d->iov[seg].iov_base + skip, part))
				return false;
			i += part;
			skip += part;
			if (skip == d->iov[seg].iov_len) {
				seg++;
				skip = 0;
			}
		}
		at += (uint64_t)got;
		n -= (uint64_t)got;
	}
	return true;
}

/* The process before this one had begun this write: leave out what it has done. */
static void append_redo(struct direct_job *d)
{
	uint64_t before = d->append->before, n;
	struct stat st;

	if (!(d->append->flags & ROW_APPEND) || fstat(d->h->fd, &st) || (uint64_t)st.st_size <= before)
		return;
	n = MIN((uint64_t)st.st_size - before, d->len);
	/* Longer by more than this write: somebody else was there, and to write twice is better than not at all. */
	if (stands_there(d, before, n, (uint64_t)st.st_size - before <= d->len))
		iov_advance(d, n);
}

/* Read or write until all is done, the file ends, or an error: 0 or a positive errno. */
static int transfer(struct direct_job *d, int flags)
{
	if (unlikely(d->append))
		append_begin(d);
	while (d->len) {
		int n_iov = (int)MIN(d->niov, (unsigned)IOV_MAX);
		ssize_t n;

		if (d->opcode == FW_READ)
			n = preadv2(d->h->fd, d->iov, n_iov, (off_t)d->offset, flags);
		else
			n = pwritev2(d->h->fd, d->iov, n_iov, (off_t)d->offset, flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		CRASHPOINT("direct-transferred");
		iov_advance(d, (size_t)n);
		/* The page cache stops early only where a page ends: anything else is the end of the file. */
		if (d->len && d->opcode == FW_READ && d->offset % 4096 && !(d->h->open_flags & O_DIRECT))
			return 0;
	}
	return 0;
}

/* One call, which the kernel bounds: who asked for more asks again, and no guest keeps a thread for hours. */
static int copy_range(struct direct_job *d)
{
	off_t from = (off_t)d->offset, to = (off_t)d->offset2;
	ssize_t n;

	do {
		n = copy_file_range(d->h->fd, &from, d->h2->fd, &to, MIN(d->len, (uint64_t)SSIZE_MAX), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	d->done = (uint64_t)n;
	return 0;
}

static int work(struct direct_job *d)
{
	int r = 0;

	switch (d->opcode) {
	case FW_READ:
	case FW_WRITE:
		return transfer(d, (int)d->mode);
	case FW_FSYNC:
		r = d->mode ? fdatasync(d->h->fd) : fsync(d->h->fd);
		break;
	case FW_FALLOCATE:
		r = fallocate(d->h->fd, (int)d->mode, (off_t)d->offset, (off_t)d->len);
		break;
	default:
		return copy_range(d);
	}
	return r < 0 ? errno : 0;
}

static void job_run(struct pool_job *job)
{
	struct direct_job *d = (struct direct_job *)((char *)job - offsetof(struct direct_job, job));

	blame_begin(d->q->state, d->req->ticket);
	d->error = work(d);
	blame_end();
	queue_post_done(d->q, d);
}

static void job_end(struct direct_job *d)
{
	handle_put(d->h);
	handle_put(d->h2);
	gmem_unref(d->mem);
	d->h = d->h2 = NULL;
	d->mem = NULL;
}

/* Hand the job to the pool, with its own copy of the iov. False: it is to be done here. */
static bool to_pool(struct request *r, struct direct_job *d)
{
	struct iovec *own = NULL;

	if (r->q->dev->cfg.thread_pool_size == 0)
		return false;
	if (d->niov) {
		own = malloc(d->niov * sizeof(*own));
		if (!own)
			return false;
		memcpy(own, d->iov, d->niov * sizeof(*own));
	}
	if (!request_keep(r)) {
		free(own);
		return false;
	}
	d->iov_base = own;
	d->iov = own;
	d->mem = gmem_ref(r->q->mem);
	d->job.run = job_run;
	r->state = REQUEST_POOL;
	if (pool_submit(r->q->dev->pool, &d->job)) {
		r->q->npool++;
		return true;
	}
	r->state = REQUEST_SENT;
	return false; /* own copy of the iov stays valid and is freed by finish() */
}

/* The job is done: tell the guest. */
static void finish(struct request *r)
{
	struct direct_job *d = &r->direct;
	int error = d->error;
	uint64_t done = d->done;

	job_end(d);
	free(d->iov_base);
	d->iov_base = NULL;
	switch (r->opcode) {
	case FW_READ:
		/* Also after some bytes: a short answer would be the end of the file to the guest. */
		if (error)
			request_reply_error(r, error);
		else
			request_reply_written(r, done);
		return;
	case FW_WRITE:
		/* Full for us may not be full for the guest's writer (reserved blocks), if we know who that is. */
		if ((error == ENOSPC || error == EDQUOT) && d->len && (r->write.flags & IPC_WRITE_AS_CALLER)) {
			r->write.offset += done;
			r->write.size -= (uint32_t)done;
			link_bulk_write(r);
			return;
		}
		if (error && !done) {
			request_reply_error(r, error);
		} else {
			struct fw_write_out out = { .size = (uint32_t)done };

			request_reply(r, 0, &out, sizeof(out));
		}
		return;
	case FW_COPY_FILE_RANGE_64:
		request_reply(r, error, &(struct fw_copy_file_range_out){ .bytes_copied = done },
			      sizeof(struct fw_copy_file_range_out));
		return;
	case FW_COPY_FILE_RANGE:
		request_reply(r, error, &(struct fw_write_out){ .size = (uint32_t)done },
			      sizeof(struct fw_write_out));
		return;
	default:
		request_reply_error(r, error);
	}
}

/* direct_done() - on the ring's thread, for a job that a pool thread has finished. */
void direct_done(struct direct_job *d)
{
	struct request *r = d->req;

	r->state = REQUEST_SENT;
	finish(r);
}

/* direct_read() - serve READ from the granted descriptor; takes over the reference to h. */
void direct_read(struct request *r, struct handle *h, uint64_t offset, uint32_t size)
{
	struct direct_job *d = &r->direct;
	int n = build_iov(r->q, r->seg, r->nseg, sizeof(struct fw_out_header), size);

	if (n < 0 || offset > INT64_MAX - (uint64_t)size) {
		handle_put(h);
		request_reply_error(r, n < 0 ? EFAULT : EINVAL);
		return;
	}
	*d = (struct direct_job){ .req = r, .q = r->q, .h = h, .iov = r->q->iov, .niov = (unsigned)n,
				  .opcode = FW_READ, .offset = offset, .len = size };
	if (r->q->dev->cfg.thread_pool_size && !(h->open_flags & O_DIRECT) &&
	    !__atomic_load_n(&h->no_nowait_read, __ATOMIC_RELAXED)) {
		d->error = transfer(d, RWF_NOWAIT);
		if (d->error == EOPNOTSUPP)
			__atomic_store_n(&h->no_nowait_read, true, __ATOMIC_RELAXED);
		else if (d->error != EAGAIN) {
			finish(r);
			return;
		}
		d->error = 0;
	}
	if (to_pool(r, d))
		return;
	d->error = transfer(d, 0);
	finish(r);
}

/* May this write be tried on the ring's thread, and how? -1: no; else the flags. */
static int inline_write_flags(const struct fuse_dev *dev, struct handle *h)
{
	if (dev->cfg.thread_pool_size == 0)
		return 0;
	if (h->open_flags & (O_DIRECT | O_DSYNC | O_SYNC))
		return -1;
	if (!__atomic_load_n(&h->no_nowait_write, __ATOMIC_RELAXED) &&
	    !__atomic_load_n(&dev->no_nowait_write, __ATOMIC_RELAXED))
		return RWF_NOWAIT;
	int64_t until = __atomic_load_n(&h->slow_until_ns, __ATOMIC_RELAXED);

	return until && now_ns() < until ? -1 : 0;
}

/* direct_write() - serve WRITE (r->write) by the granted descriptor; takes over the reference to h. */
void direct_write(struct request *r, struct handle *h)
{
	struct direct_job *d = &r->direct;
	uint64_t offset = r->write.offset, size = r->write.size;
	int n = build_iov(r->q, r->out_seg, r->nout, sizeof(struct fw_in_header) + sizeof(struct fw_write_in), size);
	int flags = inline_write_flags(r->q->dev, h);

	if (n < 0 || offset > INT64_MAX - size) {
		handle_put(h);
		request_reply_error(r, n < 0 ? EFAULT : EINVAL);
		return;
	}
	*d = (struct direct_job){ .req = r, .q = r->q, .h = h, .iov = r->q->iov, .niov = (unsigned)n,
				  .opcode = FW_WRITE, .offset = offset, .len = size,
				  .mode = r->write.flags & IPC_WRITE_APPEND ? RWF_APPEND : 0,
				  .append = r->write.flags & IPC_WRITE_APPEND ? request_row(r) : NULL };
	if (d->append)
		append_redo(d);
	if (flags == RWF_NOWAIT) {
		d->error = transfer(d, RWF_NOWAIT | (int)d->mode);
		if (d->error == EOPNOTSUPP) {
			__atomic_store_n(&h->no_nowait_write, true, __ATOMIC_RELAXED);
			__atomic_store_n(&r->q->dev->no_nowait_write, true, __ATOMIC_RELAXED);
			flags = 0;
		} else if (d->error == EAGAIN) {
			flags = -1;
		} else {
			finish(r);
			return;
		}
		d->error = 0;
	}
	if (flags < 0 && to_pool(r, d))
		return;
	int64_t before = now_ns();

	d->error = transfer(d, (int)d->mode);
	if (now_ns() - before > SLOW_WRITE_NS)
		__atomic_store_n(&h->slow_until_ns, before + SLOW_BACKOFF_NS, __ATOMIC_RELAXED);
	finish(r);
}

/* direct_submit() - FSYNC, FALLOCATE, COPY_FILE_RANGE: r->direct has offsets, len and mode. Takes over the references. */
void direct_submit(struct request *r, struct handle *h, struct handle *h2)
{
	struct direct_job *d = &r->direct;

	d->req = r;
	d->q = r->q;
	d->h = h;
	d->h2 = h2;
	d->opcode = r->opcode;
	if (to_pool(r, d))
		return;
	d->error = work(d);
	finish(r);
}
