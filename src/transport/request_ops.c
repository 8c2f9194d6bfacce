/* request_ops.c - one function for each FUSE operation: from the decoded request to the question for the fsworker, or
 * to the granted descriptor.
 *
 * Role: transport. The fsworker checks all of it again: what is refused here is refused early, not for safety.
 */
#include "transport/queue_int.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static void fill_cred(struct ipc_cred *c, const struct fuse_req *fr, uint32_t umask)
{
	*c = (struct ipc_cred){
		.uid = fr->h.uid,
		.gid = fr->h.gid,
		.sup_gid = fr->sup_gid,
		.has_sup_gid = fr->has_sup_gid,
		.umask = umask & 0777,
	};
}

/* A message whose tail is the request's first name. */
static void *ask_named(struct request *r, uint16_t type, const struct fuse_req *fr)
{
	char *tail;
	void *m = link_add(r, type, fr->name_len[0], &tail);

	if (m)
		memcpy(tail, fr->name[0], fr->name_len[0]);
	return m;
}

/* A message whose tail is the two names. */
static void *ask_named2(struct request *r, uint16_t type, const struct fuse_req *fr)
{
	char *tail;
	void *m = link_add(r, type, fr->name_len[0] + fr->name_len[1], &tail);

	if (m) {
		memcpy(tail, fr->name[0], fr->name_len[0]);
		memcpy(tail + fr->name_len[0], fr->name[1], fr->name_len[1]);
	}
	return m;
}

/* The device number as the kernel's new_decode_dev() reads it. */
static uint32_t dev_major(uint32_t dev)
{
	return (dev & 0xfff00) >> 8;
}
static uint32_t dev_minor(uint32_t dev)
{
	return (dev & 0xff) | ((dev >> 12) & 0xfff00);
}

void request_lookup(struct request *r, const struct fuse_req *fr)
{
	struct ipc_lookup_req *m = ask_named(r, IPC_LOOKUP, fr);

	if (m)
		m->parent = r->nodeid;
}

void request_forget(struct request *r, const struct fuse_req *fr)
{
	const struct fw_forget_in *in = fr->arg;
	struct ipc_forget_one one = { .nodeid = r->nodeid, .nlookup = in->nlookup };
	struct ipc_forget_req *m;
	char *tail;

	m = link_add_no_reply(r, IPC_FORGET, sizeof(one), &tail);
	if (m) {
		m->count = 1;
		memcpy(tail, &one, sizeof(one));
	}
	request_end(r, 0);
}

void request_batch_forget(struct request *r, const struct fuse_req *fr)
{
	const struct fw_batch_forget_in *in = fr->arg;
	uint64_t left = MIN(in->count, fr->data_len / sizeof(struct fw_forget_one));
	const char *from = fr->data;

	_Static_assert(sizeof(struct fw_forget_one) == sizeof(struct ipc_forget_one), "copied as it is");
	if (left != in->count)
		log_limited(LOG_LVL_WARN, "ring %u: BATCH_FORGET of %u has only %llu", r->q->index, in->count,
			    (unsigned long long)left);
	while (left) {
		uint64_t n = MIN(left, IPC_FORGET_TAIL / sizeof(struct ipc_forget_one));
		struct ipc_forget_req *m;
		char *tail;

		m = link_add_no_reply(r, IPC_FORGET, (uint32_t)(n * sizeof(struct ipc_forget_one)), &tail);
		if (!m)
			break;
		m->count = n;
		memcpy(tail, from, n * sizeof(struct ipc_forget_one));
		from += n * sizeof(struct ipc_forget_one);
		left -= n;
	}
	request_end(r, 0);
}

/* An open file tells its attributes itself. False: ask the fsworker. So where a file server may tell another user something else, or
 * keep this thread waiting; and where there are setuid or setgid bits, or were: it must know them, too, for the next OPEN. */
static bool attr_of_open(struct request *r, const struct fw_getattr_in *in)
{
	struct handle *h;
	struct stat st;
	bool told;

	if (r->q->asked)
		return false;
	if (in->getattr_flags & FW_GETATTR_FH)
		h = handles_get(r->q->dev->handles, in->fh);
	else
		h = handles_get_of_node(r->q->dev->handles, r->nodeid);
	told = h && h->nodeid == r->nodeid && h->local && !__atomic_load_n(&h->suidgid, __ATOMIC_RELAXED) &&
	       fstat(h->fd, &st) == 0 && !(st.st_mode & (S_ISUID | S_ISGID));
	if (told) {
		struct fw_attr_out out = {
			.attr_valid = r->q->dev->timeout.sec,
			.attr_valid_nsec = r->q->dev->timeout.nsec,
		};

		fuse_encode_stat(&st, &out.attr);
		request_reply(r, 0, &out, sizeof(out));
	}
	handle_put(h);
	return told;
}

void request_getattr(struct request *r, const struct fuse_req *fr)
{
	const struct fw_getattr_in *in = fr->arg;
	struct ipc_getattr_req *m;

	if (attr_of_open(r, in))
		return;
	m = link_add(r, IPC_GETATTR, 0, NULL);
	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->has_fh = !!(in->getattr_flags & FW_GETATTR_FH);
	m->fh = in->fh;
}

void request_statx(struct request *r, const struct fuse_req *fr)
{
	const struct fw_statx_in *in = fr->arg;
	struct ipc_getattr_req *m = link_add(r, IPC_GETATTR, 0, NULL);

	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->has_fh = !!(in->getattr_flags & FW_GETATTR_FH);
	m->fh = in->fh;
	m->mask = in->sx_mask;
	m->sync = in->sx_flags & AT_STATX_SYNC_TYPE;
}

void request_setattr(struct request *r, const struct fuse_req *fr)
{
	static const struct {
		uint32_t fuse, ipc;
	} bits[] = {
		{ FW_FATTR_MODE, IPC_SET_MODE },	     { FW_FATTR_UID, IPC_SET_UID },
		{ FW_FATTR_GID, IPC_SET_GID },		     { FW_FATTR_SIZE, IPC_SET_SIZE },
		{ FW_FATTR_ATIME, IPC_SET_ATIME },	     { FW_FATTR_MTIME, IPC_SET_MTIME },
		{ FW_FATTR_FH, IPC_SET_FH },		     { FW_FATTR_ATIME_NOW, IPC_SET_ATIME_NOW },
		{ FW_FATTR_MTIME_NOW, IPC_SET_MTIME_NOW },   { FW_FATTR_KILL_SUIDGID, IPC_SET_KILL_SUIDGID },
	};
	const struct fw_setattr_in *in = fr->arg;
	struct ipc_setattr_req *m = link_add(r, IPC_SETATTR, 0, NULL);

	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->fh = in->fh;
	m->size = in->size;
	m->atime = (struct ipc_time){ .sec = (int64_t)in->atime, .nsec = in->atimensec };
	m->mtime = (struct ipc_time){ .sec = (int64_t)in->mtime, .nsec = in->mtimensec };
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
		if (in->valid & bits[i].fuse)
			m->valid |= bits[i].ipc;
	/* With the older HANDLE_KILLPRIV every truncation clears the bits. */
	if ((in->valid & FW_FATTR_SIZE) && fuse_dev_has(r->q->dev, FW_HANDLE_KILLPRIV))
		m->valid |= IPC_SET_KILL_SUIDGID;
	m->mode = in->mode & 07777;
	m->uid = in->uid;
	m->gid = in->gid;
	fill_cred(&m->cred, fr, 0);
}

void request_readlink(struct request *r, const struct fuse_req *fr)
{
	struct ipc_readlink_req *m = link_add(r, IPC_READLINK, 0, NULL);

	(void)fr;
	if (m)
		m->nodeid = r->nodeid;
}

void request_symlink(struct request *r, const struct fuse_req *fr)
{
	struct ipc_symlink_req *m = ask_named2(r, IPC_SYMLINK, fr);

	if (!m)
		return;
	m->parent = r->nodeid;
	m->name_len = fr->name_len[0];
	fill_cred(&m->cred, fr, 0);
}

void request_mknod(struct request *r, const struct fuse_req *fr)
{
	const struct fw_mknod_in *in = fr->arg;
	struct ipc_mknod_req *m = ask_named(r, IPC_MKNOD, fr);

	if (!m)
		return;
	m->parent = r->nodeid;
	m->mode = in->mode;
	m->rdev_major = dev_major(in->rdev);
	m->rdev_minor = dev_minor(in->rdev);
	fill_cred(&m->cred, fr, in->umask);
}

void request_mkdir(struct request *r, const struct fuse_req *fr)
{
	const struct fw_mkdir_in *in = fr->arg;
	struct ipc_mkdir_req *m = ask_named(r, IPC_MKDIR, fr);

	if (!m)
		return;
	m->parent = r->nodeid;
	m->mode = in->mode & 07777;
	fill_cred(&m->cred, fr, in->umask);
}

void request_unlink(struct request *r, const struct fuse_req *fr)
{
	struct ipc_unlink_req *m = ask_named(r, IPC_UNLINK, fr);

	if (m)
		m->parent = r->nodeid;
}

void request_rmdir(struct request *r, const struct fuse_req *fr)
{
	struct ipc_rmdir_req *m = ask_named(r, IPC_RMDIR, fr);

	if (m)
		m->parent = r->nodeid;
}

void request_rename(struct request *r, const struct fuse_req *fr)
{
	uint64_t newdir;
	uint32_t flags = 0;

	if (r->opcode == FW_RENAME2) {
		const struct fw_rename2_in *in = fr->arg;

		newdir = in->newdir;
		flags = in->flags;
	} else {
		newdir = ((const struct fw_rename_in *)fr->arg)->newdir;
	}
	struct ipc_rename_req *m = ask_named2(r, IPC_RENAME, fr);

	if (!m)
		return;
	m->old_parent = r->nodeid;
	m->new_parent = newdir;
	m->flags = flags;
	m->name_len = fr->name_len[0];
	fill_cred(&m->cred, fr, 0);
}

void request_link(struct request *r, const struct fuse_req *fr)
{
	const struct fw_link_in *in = fr->arg;
	struct ipc_link_req *m = ask_named(r, IPC_LINK, fr);

	if (!m)
		return;
	m->nodeid = in->oldnodeid;
	m->parent = r->nodeid;
}

void request_statfs(struct request *r, const struct fuse_req *fr)
{
	struct ipc_statfs_req *m = link_add(r, IPC_STATFS, 0, NULL);

	(void)fr;
	if (m)
		m->nodeid = r->nodeid;
}

void request_access(struct request *r, const struct fuse_req *fr)
{
	const struct fw_access_in *in = fr->arg;
	struct ipc_access_req *m = link_add(r, IPC_ACCESS, 0, NULL);

	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->mask = in->mask;
	fill_cred(&m->cred, fr, 0);
}

void request_syncfs(struct request *r, const struct fuse_req *fr)
{
	struct ipc_syncfs_req *m = link_add(r, IPC_SYNCFS, 0, NULL);

	(void)fr;
	if (m)
		m->nodeid = r->nodeid;
}

/* xattr=off means that the guest is to stop asking: ENOSYS makes its kernel remember. */
static bool xattr_refused(struct request *r)
{
	if (r->q->dev->cfg.flags & CFG_XATTR)
		return false;
	request_reply_error(r, ENOSYS);
	return true;
}

void request_setxattr(struct request *r, const struct fuse_req *fr)
{
	const struct fw_setxattr_in *in = fr->arg;
	struct ipc_setxattr_req *m;
	char *tail;

	if (xattr_refused(r))
		return;
	if (in->size > fr->data_len) {
		request_reply_error(r, EINVAL);
		return;
	}
	if (in->size > IPC_XATTR_MAX) {
		request_reply_error(r, E2BIG);
		return;
	}
	m = link_add(r, IPC_SETXATTR, fr->name_len[0] + in->size, &tail);
	if (!m)
		return;
	memcpy(tail, fr->name[0], fr->name_len[0]);
	memcpy(tail + fr->name_len[0], fr->data, in->size);
	m->nodeid = r->nodeid;
	m->flags = in->flags;
	m->name_len = fr->name_len[0];
	m->acl_kill_sgid = fuse_dev_has(r->q->dev, FW_SETXATTR_EXT) &&
			   (in->setxattr_flags & FW_SETXATTR_ACL_KILL_SGID);
}

/* Before each write and chown a guest's kernel asks whether the file has capabilities, which it would lose. An open file on a local
 * file system tells itself that it has none; that may have to be read from the disk, once. What it has, and any other attribute, is
 * asked of the fsworker. */
static bool has_no_capability(struct request *r, const struct fuse_req *fr)
{
	static const char name[] = "security.capability";
	struct handle *h;
	bool none;

	if (r->q->asked || fr->name_len[0] != sizeof(name) - 1 || memcmp(fr->name[0], name, sizeof(name) - 1))
		return false;
	h = handles_get_of_node(r->q->dev->handles, r->nodeid);
	none = h && h->local && fgetxattr(h->fd, name, NULL, 0) < 0 && errno == ENODATA;
	handle_put(h);
	return none;
}

void request_getxattr(struct request *r, const struct fuse_req *fr)
{
	const struct fw_getxattr_in *in = fr->arg;
	struct ipc_getxattr_req *m;

	if (xattr_refused(r))
		return;
	if (has_no_capability(r, fr)) {
		request_reply_error(r, ENODATA);
		return;
	}
	m = ask_named(r, IPC_GETXATTR, fr);
	if (!m)
		return;
	r->size = in->size;
	m->nodeid = r->nodeid;
	m->size = MIN(in->size, IPC_XATTR_MAX);
}

void request_listxattr(struct request *r, const struct fuse_req *fr)
{
	const struct fw_getxattr_in *in = fr->arg;
	struct ipc_listxattr_req *m;

	if (xattr_refused(r))
		return;
	m = link_add(r, IPC_LISTXATTR, 0, NULL);
	if (!m)
		return;
	r->size = in->size;
	m->nodeid = r->nodeid;
	m->size = MIN(in->size, IPC_XATTR_MAX);
}

void request_removexattr(struct request *r, const struct fuse_req *fr)
{
	struct ipc_removexattr_req *m;

	if (xattr_refused(r))
		return;
	m = ask_named(r, IPC_REMOVEXATTR, fr);
	if (m)
		m->nodeid = r->nodeid;
}

void request_opendir(struct request *r, const struct fuse_req *fr)
{
	struct ipc_opendir_req *m = link_add(r, IPC_OPENDIR, 0, NULL);

	(void)fr;
	if (m)
		m->nodeid = r->nodeid;
}

void request_readdir(struct request *r, const struct fuse_req *fr)
{
	const struct fw_read_in *in = fr->arg;
	bool plus = r->opcode == FW_READDIRPLUS;
	struct ipc_readdir_req *m;

	if (r->reply_room < sizeof(struct fw_out_header)) {
		request_reply_error(r, EINVAL);
		return;
	}
	m = link_add(r, IPC_READDIR, 0, NULL);
	if (!m)
		return;
	r->size = (uint32_t)MIN(MIN(in->size, r->reply_room - sizeof(struct fw_out_header)), IPC_DIR_TAIL);
	m->nodeid = r->nodeid;
	m->fh = in->fh;
	m->offset = in->offset;
	m->plus = plus;
	m->max_bytes = r->size;
	m->entry_cost = plus ? FUSE_DIRENTPLUS_COST : FUSE_DIRENT_COST;
}

void request_releasedir(struct request *r, const struct fuse_req *fr)
{
	const struct fw_release_in *in = fr->arg;
	struct ipc_releasedir_req *m = link_add(r, IPC_RELEASEDIR, 0, NULL);

	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->fh = in->fh;
}

void request_fsyncdir(struct request *r, const struct fuse_req *fr)
{
	const struct fw_fsync_in *in = fr->arg;
	struct ipc_fsyncdir_req *m = link_add(r, IPC_FSYNCDIR, 0, NULL);

	if (!m)
		return;
	m->nodeid = r->nodeid;
	m->fh = in->fh;
	m->datasync = !!(in->fsync_flags & FW_FSYNC_FDATASYNC);
}
