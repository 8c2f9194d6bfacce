/* request_answer.c - from the fsworker's answer to the reply in the guest's memory.
 *
 * Role: transport. Distrusted: the fsworker, which may be the guest's by now: ipc_next() has checked sizes and counts, the
 * rest (lengths inside tails, ids) is checked here; what is wrong becomes EIO, never a byte out of bounds.
 */
#include "transport/queue_int.h"

#include <fcntl.h>

static void wrong(struct request *r, const char *what)
{
	log_limited(LOG_LVL_ERR, "the fsworker's answer to %s is wrong: %s", fuse_op_name(r->opcode), what);
	request_reply_error(r, EIO);
}

static uint32_t open_reply_flags(struct fuse_dev *dev, uint32_t open_flags)
{
	uint32_t f = 0;

	if (dev->cfg.cache == CACHE_NONE)
		f |= FW_FOPEN_DIRECT_IO;
	else if (dev->cfg.cache == CACHE_ALWAYS)
		f |= FW_FOPEN_KEEP_CACHE;
	/* The host's file system orders concurrent direct writes itself. */
	if ((open_flags & O_DIRECT) || (f & FW_FOPEN_DIRECT_IO))
		f |= FW_FOPEN_PARALLEL_DIRECT_WRITES;
	/* Closing a file that was not written means nothing, unless it ends locks. */
	if ((open_flags & O_ACCMODE) == O_RDONLY && !fuse_dev_has(dev, FW_POSIX_LOCKS))
		f |= FW_FOPEN_NOFLUSH;
	return f;
}

static void note_mode(struct request *r, uint64_t nodeid, const struct statx *st)
{
	handles_note_mode(r->q->dev->handles, nodeid, st->stx_mode);
}

static void answer_entry(struct request *r, const struct ipc_entry *e)
{
	struct fw_entry_out out;

	if (e->nodeid == 0) {
		wrong(r, "no nodeid");
		return;
	}
	note_mode(r, e->nodeid, &e->st);
	fuse_encode_entry(e, r->q->dev->timeout, &out);
	request_reply(r, 0, &out, sizeof(out));
}

static void answer_attr(struct request *r, const struct statx *st)
{
	note_mode(r, r->nodeid, st);
	if (r->opcode == FW_STATX) {
		struct fw_statx_out out = {
			.attr_valid = r->q->dev->timeout.sec,
			.attr_valid_nsec = r->q->dev->timeout.nsec,
		};

		fuse_encode_statx(st, &out.stat);
		request_reply(r, 0, &out, sizeof(out));
	} else {
		struct fw_attr_out out = {
			.attr_valid = r->q->dev->timeout.sec,
			.attr_valid_nsec = r->q->dev->timeout.nsec,
		};

		fuse_encode_attr(st, 0, &out.attr);
		request_reply(r, 0, &out, sizeof(out));
	}
}

/* Take the granted descriptor, if there is one, into the table of handles. */
static bool take_grant(struct request *r, const struct ipc_msg *m, uint64_t fh, uint64_t nodeid, uint32_t mode)
{
	int error;

	if (m->nfds == 0 || m->fds[0] < 0)
		return true; /* without one, or it was lost, or taken, when the process before this one died */
	if (r->q->dev->cfg.flags & CFG_FORWARDED) {
		wrong(r, "a descriptor, where none may be");
		return false;
	}
	r->reserved = false;
	error = handles_add(r->q->dev->handles, fh, nodeid, ipc_take_fd(r->q->in, m, 0),
			    r->flags & ~(uint32_t)O_DIRECT, mode);
	if (error == 0 || (error == -EEXIST && r->q->inherited))
		return true;
	if (error == -EPROTO || error == -EEXIST)
		wrong(r, "a handle that cannot be");
	else
		request_reply_error(r, -error);
	return false;
}

static void answer_open(struct request *r, const struct ipc_msg *m)
{
	const struct ipc_open_rep *rep = m->body;
	struct fw_open_out out = { .fh = rep->fh, .open_flags = open_reply_flags(r->q->dev, r->flags) };

	if (take_grant(r, m, rep->fh, r->nodeid, rep->mode))
		request_reply(r, 0, &out, sizeof(out));
}

static void answer_create(struct request *r, const struct ipc_msg *m, const struct ipc_entry *e, uint64_t fh)
{
	struct {
		struct fw_entry_out entry;
		struct fw_open_out open;
	} out = { .open = { .fh = fh, .open_flags = open_reply_flags(r->q->dev, r->flags) } };

	if (e->nodeid == 0) {
		wrong(r, "no nodeid");
		return;
	}
	fuse_encode_entry(e, r->q->dev->timeout, &out.entry);
	if (take_grant(r, m, fh, e->nodeid, e->st.stx_mode))
		request_reply(r, 0, &out, sizeof(out));
}

static void answer_opendir(struct request *r, uint64_t fh)
{
	struct fw_open_out out = { .fh = fh };

	if (r->q->dev->cfg.cache == CACHE_ALWAYS)
		out.open_flags = FW_FOPEN_CACHE_DIR | FW_FOPEN_KEEP_CACHE;
	request_reply(r, 0, &out, sizeof(out));
}

static void answer_readdir(struct request *r, const struct ipc_msg *m)
{
	const struct ipc_readdir_rep *rep = m->body;
	int64_t n = fuse_encode_dirents(m->tail, m->tail_len, rep->count, r->opcode == FW_READDIRPLUS,
					r->q->dev->timeout, r->q->reply, MIN(r->size, QUEUE_REPLY_MAX));

	if (n < 0)
		wrong(r, "directory entries");
	else
		request_reply(r, 0, r->q->reply, (size_t)n);
}

/* GETXATTR and LISTXATTR: their size alone, or the bytes. */
static void answer_xattr(struct request *r, const struct ipc_msg *m, uint64_t size)
{
	if (r->size == 0) {
		struct fw_getxattr_out out = { .size = (uint32_t)size };

		if (size > IPC_XATTR_MAX)
			wrong(r, "an attribute's size");
		else
			request_reply(r, 0, &out, sizeof(out));
		return;
	}
	if (m->tail_len > r->size)
		wrong(r, "more than was asked for");
	else
		request_reply(r, 0, m->tail, m->tail_len);
}

static void answer_statfs(struct request *r, const struct ipc_statfs_rep *s)
{
	struct fw_statfs_out out = {
		.blocks = s->blocks,
		.bfree = s->bfree,
		.bavail = s->bavail,
		.files = s->files,
		.ffree = s->ffree,
		.bsize = s->bsize,
		.namelen = s->namelen,
		.frsize = s->frsize,
	};

	request_reply(r, 0, &out, sizeof(out));
}

static void answer_read(struct request *r, uint64_t size)
{
	const char *data = r->q->bulk + (size_t)r->bulk_slot * IPC_BULK_SLOT;

	if (size > r->size || r->bulk_slot < 0)
		wrong(r, "more than was asked for");
	else
		request_reply(r, 0, data, size);
}

static void answer_write(struct request *r, uint64_t size)
{
	struct fw_write_out out = { .size = (uint32_t)(size + r->direct.done) };

	if (size > r->write.size)
		wrong(r, "more than was asked for");
	else
		request_reply(r, 0, &out, sizeof(out));
}

static void answer_copy(struct request *r, uint64_t size)
{
	if (r->opcode == FW_COPY_FILE_RANGE_64) {
		struct fw_copy_file_range_out out = { .bytes_copied = size };

		request_reply(r, 0, &out, sizeof(out));
	} else {
		struct fw_write_out out = { .size = (uint32_t)MIN(size, UINT32_MAX) };

		request_reply(r, 0, &out, sizeof(out));
	}
}

static void answer_getlk(struct request *r, const struct ipc_getlk_rep *l)
{
	struct fw_lk_out out = { .start = l->start, .end = l->end, .type = l->type, .pid = l->pid };

	request_reply(r, 0, &out, sizeof(out));
}

static void answer_init(struct request *r)
{
	fuse_dev_session(r->q->dev, r->init_flags);
	request_reply(r, 0, &r->init_out, sizeof(r->init_out));
}

/* request_answer() - the fsworker has answered r by m (of the right type). */
void request_answer(struct request *r, const struct ipc_msg *m)
{
	const void *b = m->body;

	if (m->hdr->error) {
		/* A write that was begun from here has an effect already: say how much of it. */
		if (r->ipc_type == IPC_WRITE && r->direct.done)
			answer_write(r, 0);
		else
			request_reply_error(r, m->hdr->error);
		return;
	}
	switch (r->ipc_type) {
	case IPC_LOOKUP:
		answer_entry(r, &((const struct ipc_lookup_rep *)b)->entry);
		break;
	case IPC_SYMLINK:
		answer_entry(r, &((const struct ipc_symlink_rep *)b)->entry);
		break;
	case IPC_MKNOD:
		answer_entry(r, &((const struct ipc_mknod_rep *)b)->entry);
		break;
	case IPC_MKDIR:
		answer_entry(r, &((const struct ipc_mkdir_rep *)b)->entry);
		break;
	case IPC_LINK:
		answer_entry(r, &((const struct ipc_link_rep *)b)->entry);
		break;
	case IPC_GETATTR:
		answer_attr(r, &((const struct ipc_getattr_rep *)b)->st);
		break;
	case IPC_SETATTR:
		answer_attr(r, &((const struct ipc_setattr_rep *)b)->st);
		break;
	case IPC_READLINK:
		request_reply(r, 0, m->tail, m->tail_len);
		break;
	case IPC_STATFS:
		answer_statfs(r, b);
		break;
	case IPC_GETXATTR:
		answer_xattr(r, m, ((const struct ipc_getxattr_rep *)b)->size);
		break;
	case IPC_LISTXATTR:
		answer_xattr(r, m, ((const struct ipc_listxattr_rep *)b)->size);
		break;
	case IPC_OPEN:
		answer_open(r, m);
		break;
	case IPC_CREATE:
		answer_create(r, m, &((const struct ipc_create_rep *)b)->entry,
			      ((const struct ipc_create_rep *)b)->fh);
		break;
	case IPC_TMPFILE:
		answer_create(r, m, &((const struct ipc_tmpfile_rep *)b)->entry,
			      ((const struct ipc_tmpfile_rep *)b)->fh);
		break;
	case IPC_READ:
		answer_read(r, ((const struct ipc_read_rep *)b)->size);
		break;
	case IPC_WRITE:
		answer_write(r, ((const struct ipc_write_rep *)b)->size);
		break;
	case IPC_LSEEK:
		request_reply(r, 0, b, sizeof(struct fw_lseek_out));
		break;
	case IPC_COPY:
		answer_copy(r, ((const struct ipc_copy_rep *)b)->size);
		break;
	case IPC_GETLK:
		answer_getlk(r, b);
		break;
	case IPC_OPENDIR:
		answer_opendir(r, ((const struct ipc_opendir_rep *)b)->fh);
		break;
	case IPC_READDIR:
		answer_readdir(r, m);
		break;
	case IPC_INIT:
		answer_init(r);
		break;
	default: /* all others have nothing to tell but that it is done */
		request_reply_error(r, 0);
	}
}
