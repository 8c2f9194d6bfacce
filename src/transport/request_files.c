/* request_files.c - operations on open files: granted descriptors are served here, the rest is asked of the fsworker.
 *
 * Role: transport. A handle without a granted descriptor (--data-path=forwarded, or one that the fsworker kept to itself)
 * goes the long way, with its data in the bulk area.
 *
 * Setuid and setgid bits of written files: the host's kernel clears them when the writer lacks CAP_FSETID, which this process always
 * does. That is what a guest asks for by *_KILL_SUIDGID. A write without that flag to a file that has such bits goes to
 * the fsworker, which can leave them alone.
 */
#include "transport/queue_int.h"

#include <fcntl.h>
#include <sys/file.h>

/* The host's descriptions are never O_DIRECT, as QEMU's daemon has it by default: the guest's kernel may write back pages of a
 * shared mapping, of any length, through any handle that can write. In the guest O_DIRECT means what it always does. */
static uint32_t host_flags(uint32_t flags)
{
	return flags & ~(uint32_t)O_DIRECT;
}

static void writer_cred(struct ipc_cred *c, const struct fuse_req *fr)
{
	*c = (struct ipc_cred){ .uid = fr->h.uid, .gid = fr->h.gid };
}

/* A question that is answered with an open file. */
static void *ask_to_open(struct request *r, uint16_t type, uint32_t tail_len, char **tail)
{
	r->reserved = handles_reserve(r->q->dev->handles);
	if (r->reserved)
		return link_add(r, type, tail_len, tail);
	log_limited(LOG_LVL_WARN, "the guest has too many files open, or closed while they are in use");
	request_reply_error(r, ENFILE);
	return NULL;
}

void request_open(struct request *r, const struct fuse_req *fr)
{
	const struct fw_open_in *in = fr->arg;
	struct ipc_open_req *m = ask_to_open(r, IPC_OPEN, 0, NULL);

	if (!m)
		return;
	r->flags = in->flags & IPC_OPEN_FLAGS & ~(uint32_t)O_EXCL;
	m->nodeid = r->nodeid;
	m->flags = host_flags(r->flags);
	m->kill_suidgid = !!(in->open_flags & FW_OPEN_KILL_SUIDGID) || fuse_dev_has(r->q->dev, FW_HANDLE_KILLPRIV);
}

void request_create(struct request *r, const struct fuse_req *fr)
{
	const struct fw_create_in *in = fr->arg;
	char *tail;
	struct ipc_create_req *m = ask_to_open(r, IPC_CREATE, fr->name_len[0], &tail);

	if (!m)
		return;
	memcpy(tail, fr->name[0], fr->name_len[0]);
	r->flags = in->flags & IPC_OPEN_FLAGS;
	m->parent = r->nodeid;
	m->flags = host_flags(r->flags);
	m->mode = in->mode & 07777;
	m->kill_suidgid = !!(in->open_flags & FW_OPEN_KILL_SUIDGID) || fuse_dev_has(r->q->dev, FW_HANDLE_KILLPRIV);
	m->cred = (struct ipc_cred){
		.uid = fr->h.uid,
		.gid = fr->h.gid,
		.sup_gid = fr->sup_gid,
		.has_sup_gid = fr->has_sup_gid,
		.umask = in->umask & 0777,
	};
}

void request_tmpfile(struct request *r, const struct fuse_req *fr)
{
	const struct fw_create_in *in = fr->arg;
	struct ipc_tmpfile_req *m = ask_to_open(r, IPC_TMPFILE, 0, NULL);

	if (!m)
		return;
	r->flags = in->flags & IPC_OPEN_FLAGS;
	m->parent = r->nodeid;
	m->flags = host_flags(r->flags);
	m->mode = in->mode & 07777;
	m->cred = (struct ipc_cred){
		.uid = fr->h.uid,
		.gid = fr->h.gid,
		.sup_gid = fr->sup_gid,
		.has_sup_gid = fr->has_sup_gid,
		.umask = in->umask & 0777,
	};
}

void request_read(struct request *r, const struct fuse_req *fr)
{
	const struct fw_read_in *in = fr->arg;
	struct handle *h = request_handle(r, in->fh);

	if (r->reply_room < sizeof(struct fw_out_header) ||
	    in->size > r->reply_room - sizeof(struct fw_out_header)) {
		handle_put(h);
		request_reply_error(r, EINVAL);
		return;
	}
	if (h) {
		direct_read(r, h, in->offset, in->size);
		return;
	}
	if (in->size > IPC_BULK_SLOT) {
		request_reply_error(r, EINVAL);
		return;
	}
	r->fh = in->fh;
	r->size = in->size;
	r->write.offset = in->offset;
	link_bulk_read(r);
}

static bool append_was_begun(const struct request *r)
{
	const struct state_row *row = &r->q->state->row[r->head];

	return unlikely(r->q->resumed) && row->ticket == r->ticket && row->flags & ROW_APPEND;
}

void request_write(struct request *r, const struct fuse_req *fr)
{
	const struct fw_write_in *in = fr->arg;
	struct handle *h;
	bool kill;

	/* The header's length said how much came; request_begin() saw that it is there. */
	if (in->size > FUSE_MAX_WRITE ||
	    in->size != fr->h.len - sizeof(struct fw_in_header) - sizeof(struct fw_write_in)) {
		request_reply_error(r, EINVAL);
		return;
	}
	kill = (in->write_flags & FW_WRITE_KILL_SUIDGID) || fuse_dev_has(r->q->dev, FW_HANDLE_KILLPRIV);
	r->fh = in->fh;
	r->size = in->size;
	r->write = (struct ipc_write_req){
		.fh = in->fh,
		.offset = in->offset,
		.size = in->size,
		.flags = kill ? IPC_WRITE_KILL_SUIDGID : 0,
	};
	if (in->write_flags & FW_WRITE_CACHE) {
		r->write.flags |= IPC_WRITE_CACHE;
	} else if (fr->h.uid != FW_INVALID_ID && fr->h.gid != FW_INVALID_ID) {
		r->write.flags |= IPC_WRITE_AS_CALLER;
		writer_cred(&r->write.cred, fr);
	}
	/* Each write says whether it appends. A guest with a write-back cache knows best where its file ends. */
	if ((in->flags & O_APPEND) && !(in->write_flags & FW_WRITE_CACHE) && !fuse_dev_has(r->q->dev, FW_WRITEBACK_CACHE))
		r->write.flags |= IPC_WRITE_APPEND;
	h = request_handle(r, in->fh);
	/* An append that a process before this one began from here goes on here, whatever the mode is by now: what is done of it is
	 * known only here. */
	if (h && (kill || append_was_begun(r) || !__atomic_load_n(&h->suidgid, __ATOMIC_RELAXED))) {
		direct_write(r, h);
		return;
	}
	handle_put(h);
	link_bulk_write(r);
}

/*
 * The guest learns nothing from the answer to RELEASE. So where closing is all there is to do it is told at once, and the
 * fsworker with the next question, which is served after it, or soon (link_end_round()). A lock must have ended when its holder hears
 * that it has; on a network file system much may follow from a close; a handle that was not granted may not be there at all; and when
 * files are about to run out, each counts.
 */
static bool release_is_quiet(struct request *r, const struct fw_release_in *in)
{
	const struct fuse_dev *dev = r->q->dev;
	bool plain = handles_remove(dev->handles, in->fh, r->nodeid);

	if (r->q->asked)
		return r->q->asked->type == IPC_CLOSE;
	return plain && !(in->release_flags & FW_RELEASE_FLOCK_UNLOCK) && !fuse_dev_may_be_locked(dev, r->nodeid) &&
	       handles_few(dev->handles);
}

void request_release(struct request *r, const struct fuse_req *fr)
{
	const struct fw_release_in *in = fr->arg;
	struct ipc_release_req *m;

	if (release_is_quiet(r, in)) {
		struct ipc_close_req *c = link_add_no_reply(r, IPC_CLOSE, 0, NULL);

		if (c) {
			c->nodeid = r->nodeid;
			c->fh = in->fh;
		}
		request_reply_error(r, 0);
		return;
	}
	m = link_add(r, IPC_RELEASE, 0, NULL);
	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->fh = in->fh;
	m->lock_owner = in->lock_owner;
	m->flock_unlock = !!(in->release_flags & FW_RELEASE_FLOCK_UNLOCK);
}

/* A local file system learns of an error when it is written to, not when a file is closed. So FLUSH ends locks, and else nothing. */
static bool flush_is_nothing(struct request *r, uint64_t fh)
{
	struct handle *h = request_handle(r, fh);
	bool nothing = h && h->nodeid == r->nodeid && h->local && !fuse_dev_may_be_locked(r->q->dev, r->nodeid);

	handle_put(h);
	return nothing;
}

void request_flush(struct request *r, const struct fuse_req *fr)
{
	const struct fw_flush_in *in = fr->arg;
	struct ipc_flush_req *m;

	if (flush_is_nothing(r, in->fh)) {
		request_reply_error(r, 0);
		return;
	}
	m = link_add(r, IPC_FLUSH, 0, NULL);
	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->fh = in->fh;
	m->lock_owner = in->lock_owner;
}

void request_fsync(struct request *r, const struct fuse_req *fr)
{
	const struct fw_fsync_in *in = fr->arg;
	struct handle *h = request_handle(r, in->fh);

	if (h) {
		r->direct = (struct direct_job){ .mode = in->fsync_flags & FW_FSYNC_FDATASYNC };
		direct_submit(r, h, NULL);
		return;
	}
	struct ipc_fsync_req *m = link_add(r, IPC_FSYNC, 0, NULL);

	if (!m)
		return;
	m->fh = in->fh;
	m->datasync = !!(in->fsync_flags & FW_FSYNC_FDATASYNC);
}

void request_fallocate(struct request *r, const struct fuse_req *fr)
{
	const struct fw_fallocate_in *in = fr->arg;
	struct handle *h;
	/* The protocol has no flag for it here: root in the guest keeps the bits, others lose them, as on a host. Who cannot
	 * be told from others (FW_INVALID_ID, guests since 6.12) counts as one of them. */
	bool kill = fr->h.uid != 0;

	if (in->offset > INT64_MAX || in->length > INT64_MAX) {
		request_reply_error(r, EINVAL);
		return;
	}
	/* What Linux guests ask for, all of which can be done twice. To shift what is behind a range cannot. */
	if (in->mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		request_reply_error(r, EOPNOTSUPP);
		return;
	}
	h = request_handle(r, in->fh);
	if (h && (kill || !__atomic_load_n(&h->suidgid, __ATOMIC_RELAXED))) {
		r->direct = (struct direct_job){ .mode = in->mode, .offset = in->offset, .len = in->length };
		direct_submit(r, h, NULL);
		return;
	}
	handle_put(h);
	struct ipc_fallocate_req *m = link_add(r, IPC_FALLOCATE, 0, NULL);

	if (!m)
		return;
	m->fh = in->fh;
	m->offset = in->offset;
	m->length = in->length;
	m->mode = in->mode;
	m->kill_suidgid = kill;
}

void request_lseek(struct request *r, const struct fuse_req *fr)
{
	const struct fw_lseek_in *in = fr->arg;
	struct handle *h = request_handle(r, in->fh);

	if (h) {
		struct fw_lseek_out out = { 0 };
		/* Nobody uses the description's own position; finding a hole is a walk of the file's map in memory. */
		off_t at = lseek(h->fd, (off_t)in->offset, (int)in->whence);

		out.offset = (uint64_t)at;
		request_reply(r, at < 0 ? errno : 0, &out, sizeof(out));
		handle_put(h);
		return;
	}
	struct ipc_lseek_req *m = link_add(r, IPC_LSEEK, 0, NULL);

	if (!m)
		return;
	m->fh = in->fh;
	m->offset = in->offset;
	m->whence = in->whence;
}

void request_copy_file_range(struct request *r, const struct fuse_req *fr)
{
	const struct fw_copy_file_range_in *in = fr->arg;
	struct handle *from, *to;
	bool kill = fr->h.uid != 0; /* as for FALLOCATE */
	uint64_t len = in->len;

	if (in->flags || in->off_in > INT64_MAX || in->off_out > INT64_MAX) {
		request_reply_error(r, EINVAL);
		return;
	}
	/* The older form answers in 32 bits. */
	if (r->opcode == FW_COPY_FILE_RANGE)
		len = MIN(len, UINT32_MAX & ~(uint64_t)4095);
	len = MIN(len, (uint64_t)INT64_MAX);
	from = request_handle(r, in->fh_in);
	to = request_handle(r, in->fh_out);
	if (from && to && (kill || !__atomic_load_n(&to->suidgid, __ATOMIC_RELAXED))) {
		r->direct = (struct direct_job){ .offset = in->off_in, .offset2 = in->off_out, .len = len };
		direct_submit(r, from, to);
		return;
	}
	handle_put(from);
	handle_put(to);
	struct ipc_copy_req *m = link_add(r, IPC_COPY, 0, NULL);

	if (!m)
		return;
	m->fh_in = in->fh_in;
	m->off_in = in->off_in;
	m->fh_out = in->fh_out;
	m->off_out = in->off_out;
	m->len = len;
	m->kill_suidgid = kill;
}

static bool lock_refused(struct request *r, const struct fw_lk_in *in)
{
	uint64_t need = in->lk_flags & FW_LK_FLOCK ? FW_FLOCK_LOCKS : FW_POSIX_LOCKS;

	if (fuse_dev_has(r->q->dev, need))
		return false;
	request_reply_error(r, ENOSYS); /* the guest then keeps its locks to itself */
	return true;
}

void request_getlk(struct request *r, const struct fuse_req *fr)
{
	const struct fw_lk_in *in = fr->arg;
	struct ipc_getlk_req *m;

	if (lock_refused(r, in))
		return;
	m = link_add(r, IPC_GETLK, 0, NULL);
	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->fh = in->fh;
	m->owner = in->owner;
	m->start = in->start;
	m->end = in->end;
	m->type = in->type;
}

void request_setlk(struct request *r, const struct fuse_req *fr)
{
	const struct fw_lk_in *in = fr->arg;
	struct ipc_setlk_req *m;

	if (lock_refused(r, in))
		return;
	fuse_dev_lock(r->q->dev, r->nodeid);
	m = link_add(r, IPC_SETLK, 0, NULL);
	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->fh = in->fh;
	m->owner = in->owner;
	m->start = in->start;
	m->end = in->end;
	m->type = in->type;
	m->pid = in->pid;
	m->wait = r->opcode == FW_SETLKW;
	m->flock = !!(in->lk_flags & FW_LK_FLOCK);
	if (m->wait && in->type != F_UNLCK)
		request_set_waiting(r, true);
}
