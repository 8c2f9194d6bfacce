/* op_file.c - open regular files: OPEN to RELEASE.
 *
 * By default the transport reads and writes through the descriptor that OPEN and CREATE grant it, and READ and
 * WRITE come here only where the kernel would act on its lack of privilege, or with --data-path=forwarded.
 * Contents then lie in the link's window of the bulk area, which is never looked at here: only system calls
 * read and write it.
 */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/lock_wait.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"
#include "common/fs_local.h"

#include <limits.h>
#include <sys/file.h>
#include <sys/uio.h>

/* A write of this size or smaller costs less than handing it on. */
#define WRITE_INLINE_MAX 65536u

#define OVERFLOW_ID 65534u /* the kernel's own stand-in for an id that cannot be told */

/*
 * open_flags() - How a guest's file is opened
 * @w:		Process
 * @asked:	O_* that the guest sent
 * @flags:	Out: those that mean something to an open file of its own. Creating, not following links and directories
 *		are the business of whoever opens.
 *
 * Return: 0, -EINVAL for an access mode that does not exist
 */
int open_flags(const struct fsworker *w, uint32_t asked, uint32_t *flags)
{
	/* Not O_APPEND: the guest may switch it off and on again (fcntl F_SETFL) without a word, so each write tells. */
	uint32_t f = asked & (O_ACCMODE | O_TRUNC | O_DIRECT | O_SYNC | O_DSYNC | O_NOATIME);

	if ((f & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	/* With a write-back cache the guest's kernel reads what it will write partly. */
	if (cfg_has(w, CFG_WRITEBACK) && (f & O_ACCMODE) == O_WRONLY)
		f = (f & ~(uint32_t)O_ACCMODE) | O_RDWR;
	*flags = f | O_LARGEFILE;
	return 0;
}

/* answer_open() - OPEN */
int answer_open(struct req *r)
{
	const struct ipc_open_req *q = r->body;
	bool grant = !cfg_has(r->w, CFG_FORWARDED);
	struct ipc_open_rep *rep;
	AUTO_INODE u = { 0 };
	uint32_t flags, index;
	uint64_t fh;
	int fd, err = inode_get(&r->w->inodes, q->nodeid, &u);

	if (unlikely(err < 0))
		return err;
	if (S_ISDIR(inode_mode(&u)))
		return -EISDIR;
	err = open_flags(r->w, q->flags, &flags);
	if (err == 0 && flags & O_TRUNC)
		err = creds_fsetid(!q->kill_suidgid);
	if (err == 0)
		err = handle_reserve(&r->w->handles, r->link->index, false, &index);
	if (err < 0)
		return err;
	/* A lease of somebody on the host may be waited for, by default up to 45 seconds. */
	fd = resolve_reopen(r->w->proc_fd, u.fd, inode_mode(&u), r->may_block ? flags : flags | O_NONBLOCK);
	if (fd < 0) {
		handle_unreserve(&r->w->handles, index);
		return fd == -EAGAIN && !r->may_block ? ANSWER_POOL : fd;
	}
	if (!session_hold(r)) {
		close(fd);
		handle_unreserve(&r->w->handles, index);
		return -ESTALE;
	}
	fh = handle_publish(&r->w->handles, index, fd, flags, q->nodeid, inode_slot(&u)->dev, grant);
	session_release(r);
	rep = reply_add(r, 0, NULL);
	rep->fh = fh;
	rep->mode = inode_mode(&u);
	if (grant)
		reply_grant(r, index, fd);
	return 0;
}

/* Where a request's contents are. */
static int bulk_iov(const struct req *r, uint64_t off, uint32_t size, struct iovec *iov)
{
	if (size > IPC_BULK_SLOT || !range_within(off, size, IPC_BULK_LINK) || !r->w->bulk)
		return -EINVAL;
	iov->iov_base = r->w->bulk + r->link->index * IPC_BULK_LINK + off;
	iov->iov_len = size;
	return 0;
}

/*
 * Read all there is up to the end of the file; with RWF_NOWAIT: -EAGAIN when some of it must be waited for. An error after some
 * bytes is an error: a short answer would be the end of the file to the guest.
 */
static ssize_t read_all(int fd, struct iovec iov, off_t offset, int flags)
{
	ssize_t total = 0;

	for (;;) {
		ssize_t n = preadv2(fd, &iov, 1, offset, flags);

		if (n < 0 && flags && (errno == EAGAIN || errno == EOPNOTSUPP))
			return -EAGAIN;
		if (n < 0)
			return -errno;
		total += n;
		if (n == 0 || (size_t)n == iov.iov_len)
			return total;
		/* Fewer than asked for: the end of the file, of what is cached, or of what can be read. The next try tells. */
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		offset += n;
	}
}

/* answer_read() - READ */
int answer_read(struct req *r)
{
	const struct ipc_read_req *q = r->body;
	struct ipc_read_rep *rep;
	AUTO_HANDLE h = { 0 };
	struct iovec iov;
	ssize_t n;
	int err = handle_get(&r->w->handles, q->fh, HANDLE_FILE, &h);

	if (err == 0)
		err = bulk_iov(r, q->bulk_off, q->size, &iov);
	if (err == 0 && q->offset > INT64_MAX)
		err = -EINVAL;
	if (err < 0)
		return err;
	n = read_all(h.h->fd, iov, (off_t)q->offset, r->may_block ? 0 : RWF_NOWAIT);
	if (n == -EAGAIN && !r->may_block)
		return ANSWER_POOL;
	if (n < 0)
		return (int)n;
	rep = reply_add(r, 0, NULL);
	rep->size = (uint64_t)n;
	return 0;
}

/*
 * A write at the end of the file cannot be done twice. Before it the size is noted; when it is served again, the file tells by
 * what stands there how much of it was done, if nobody else has appended meanwhile.
 * @done: out: bytes of it that are there
 */
static int append_done(struct req *r, const struct handle *h, const struct iovec *iov, size_t *done)
{
	uint64_t before = journal_now->intent - 1;
	struct statx st;
	size_t n;
	int err = resolve_statx_fd(h->fd, 0, &st);

	*done = 0;
	if (err < 0)
		return err;
	if (!r->redo || journal_now->intent == 0) {
		journal_intend(st.stx_size + 1);
		return 0;
	}
	n = st.stx_size > before ? (size_t)MIN(st.stx_size - before, (uint64_t)iov->iov_len) : 0;
	for (size_t at = 0, len; at < n; at += len) {
		/* Through /proc, for a handle that only writes. */
		AUTO_FD fd = resolve_reopen(r->w->proc_fd, h->fd, S_IFREG, O_RDONLY);
		struct iovec there = { .iov_base = r->out->scratch, .iov_len = MIN(n - at, sizeof(r->out->scratch)) };

		len = there.iov_len;
		if (fd < 0 || preadv2(fd, &there, 1, (off_t)(before + at), 0) != (ssize_t)len ||
		    memcmp((const char *)iov->iov_base + at, there.iov_base, len) != 0)
			return 0;
	}
	*done = n;
	return 0;
}

/* answer_write() - WRITE */
int answer_write(struct req *r)
{
	static const struct ipc_cred nobody = { .uid = OVERFLOW_ID, .gid = OVERFLOW_ID };
	const struct ipc_write_req *q = r->body;
	struct ipc_write_rep *rep;
	AUTO_HANDLE h = { 0 };
	struct iovec iov;
	size_t done = 0;
	ssize_t n = 0;
	int err = handle_get(&r->w->handles, q->fh, HANDLE_FILE, &h);

	if (err == 0)
		err = bulk_iov(r, q->bulk_off, q->size, &iov);
	if (err == 0 && q->offset > INT64_MAX)
		err = -EINVAL;
	if (err < 0)
		return err;
	if (!r->may_block && (q->size > WRITE_INLINE_MAX || h.h->flags & (O_DSYNC | O_DIRECT)))
		return ANSWER_POOL;
	/* Who cannot be named (a guest's write-back, any writer in guests since Linux 6.12) is not the superuser, for whom file
	 * systems keep blocks. What the transport writes is nobody's, too. */
	err = creds_become(q->flags & IPC_WRITE_AS_CALLER ? &q->cred : &nobody);
	if (err == 0)
		err = creds_fsetid(!(q->flags & IPC_WRITE_KILL_SUIDGID));
	if (err < 0)
		return err;
	if (q->flags & IPC_WRITE_APPEND)
		err = append_done(r, h.h, &iov, &done);
	if (err < 0)
		return err;
	iov.iov_base = (char *)iov.iov_base + done;
	iov.iov_len -= done;
	if (iov.iov_len || done == 0)
		n = pwritev2(h.h->fd, &iov, 1, (off_t)q->offset, q->flags & IPC_WRITE_APPEND ? RWF_APPEND : 0);
	CRASHPOINT("written");
	if (n < 0 && done == 0)
		return -errno;
	rep = reply_add(r, 0, NULL);
	rep->size = (uint64_t)MAX(n, 0) + done;
	return 0;
}

/* answer_fsync() - FSYNC */
int answer_fsync(struct req *r)
{
	const struct ipc_fsync_req *q = r->body;
	AUTO_HANDLE h = { 0 };
	int err = handle_get(&r->w->handles, q->fh, HANDLE_FILE, &h);

	if (err < 0)
		return err;
	if (!r->may_block)
		return ANSWER_POOL;
	if ((q->datasync ? fdatasync(h.h->fd) : fsync(h.h->fd)) < 0)
		return -errno;
	return reply_empty(r);
}

/* close_matters() - Does closing a file mean anything to its file system? Then FLUSH must be a close(). */
bool close_matters(int fd)
{
	return !fs_is_local(fd);
}

/* The share's own device stays what it is as long as this process runs; the number of any other may be used again. */
static bool flush_closes(const struct fsworker *w, const struct handle *h)
{
	if (!handle_writes(h))
		return false;
	return h->dev == w->inodes.slots[INODE_ROOT].dev ? w->close_matters : close_matters(h->fd);
}

/* answer_flush() - FLUSH: one of perhaps several descriptors of an open file was closed in the guest */
int answer_flush(struct req *r)
{
	const struct ipc_flush_req *q = r->body;
	AUTO_HANDLE h = { 0 };
	int fd, err = handle_get_of(&r->w->handles, q->fh, HANDLE_FILE, q->nodeid, &h);

	if (err < 0)
		return err;
	locks_drop_owner(r->w->locks, q->nodeid, q->lock_owner);
	if (flush_closes(r->w, h.h)) {
		if (!r->may_block)
			return ANSWER_POOL;
		fd = fcntl(h.h->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0 || close(fd) < 0)
			return -errno;
	}
	return reply_empty(r);
}

static int release(struct req *r, const struct ipc_release_req *q, bool quiet)
{
	AUTO_HANDLE h = { 0 };
	int err = handle_get_of(&r->w->handles, q->fh, HANDLE_FILE, q->nodeid, &h);

	/* The transport may still have the same open file description, so closing would not be enough. Before the handle is gone, or
	 * a process after this one would not know whose lock it is. */
	if (err == 0 && q->flock_unlock)
		flock(h.h->fd, LOCK_UN);
	CRASHPOINT("unlocked");
	if (err == 0 && !handle_revoke(&h))
		err = -EBADF;
	if (err < 0 && !r->redo)
		return err;
	CRASHPOINT("released");
	if (h.t)
		lock_wait_cancel_handle(&r->w->handles, h.index);
	/* One that waited may have got it meanwhile. */
	if (h.t && q->flock_unlock)
		flock(h.h->fd, LOCK_UN);
	if (q->lock_owner)
		locks_drop_owner(r->w->locks, q->nodeid, q->lock_owner);
	locks_drop_handle(r->w->locks, q->nodeid, q->fh);
	/* What came with it may count on the file being closed: the guest was told. */
	if (quiet)
		return 0;
	err = reply_empty(r);
	/* The guest does not wait for close(). A process before this one may have closed it already. */
	if (h.t)
		out_hold(r->out, h.index);
	h.t = NULL;
	return err;
}

/* answer_release() - RELEASE: the last descriptor was closed */
int answer_release(struct req *r)
{
	return release(r, r->body, false);
}

/* answer_close() - the same, for a transport that told the guest already */
int answer_close(struct req *r)
{
	const struct ipc_close_req *q = r->body;
	struct ipc_release_req full = { .nodeid = q->nodeid, .fh = q->fh };

	return release(r, &full, true);
}

/* answer_fallocate() - FALLOCATE */
int answer_fallocate(struct req *r)
{
	const struct ipc_fallocate_req *q = r->body;
	AUTO_HANDLE h = { 0 };
	int err = handle_get(&r->w->handles, q->fh, HANDLE_FILE, &h);

	if (err == 0 && (q->offset > INT64_MAX || q->length > INT64_MAX))
		err = -EINVAL;
	/* What Linux guests ask for, all of which can be done twice. To shift what is behind a range cannot. */
	if (err == 0 && q->mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		err = -EOPNOTSUPP;
	if (err < 0)
		return err;
	if (!r->may_block)
		return ANSWER_POOL;
	err = creds_fsetid(!q->kill_suidgid);
	if (err == 0 && fallocate(h.h->fd, (int)q->mode, (off_t)q->offset, (off_t)q->length) < 0)
		err = -errno;
	return err < 0 ? err : reply_empty(r);
}

/* answer_lseek() - LSEEK. The offset of the open file description is nobody's: reads and writes bring their own. */
int answer_lseek(struct req *r)
{
	const struct ipc_lseek_req *q = r->body;
	struct ipc_lseek_rep *rep;
	AUTO_HANDLE h = { 0 };
	off_t pos;
	int err = handle_get(&r->w->handles, q->fh, HANDLE_FILE, &h);

	if (err == 0 && q->whence > SEEK_HOLE)
		err = -EINVAL;
	if (err < 0)
		return err;
	pos = lseek(h.h->fd, (off_t)q->offset, (int)q->whence);
	if (pos < 0)
		return -errno;
	rep = reply_add(r, 0, NULL);
	rep->offset = (uint64_t)pos;
	return 0;
}

/* answer_copy() - COPY_FILE_RANGE */
int answer_copy(struct req *r)
{
	const struct ipc_copy_req *q = r->body;
	struct ipc_copy_rep *rep;
	AUTO_HANDLE in = { 0 };
	AUTO_HANDLE out = { 0 };
	off_t from, to;
	ssize_t n;
	int err = handle_get(&r->w->handles, q->fh_in, HANDLE_FILE, &in);

	if (err == 0)
		err = handle_get(&r->w->handles, q->fh_out, HANDLE_FILE, &out);
	if (err == 0 && (q->off_in > INT64_MAX || q->off_out > INT64_MAX))
		err = -EINVAL;
	if (err < 0)
		return err;
	if (!r->may_block)
		return ANSWER_POOL;
	err = creds_fsetid(!q->kill_suidgid);
	if (err < 0)
		return err;
	from = (off_t)q->off_in;
	to = (off_t)q->off_out;
	n = copy_file_range(in.h->fd, &from, out.h->fd, &to, MIN(q->len, (uint64_t)SSIZE_MAX), 0);
	if (n < 0)
		return -errno;
	rep = reply_add(r, 0, NULL);
	rep->size = (uint64_t)n;
	return 0;
}
