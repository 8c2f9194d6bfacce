/* op_fs.c - STATFS, SYNCFS, ACCESS. */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/resolve.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* answer_statfs() - STATFS */
int answer_statfs(struct req *r)
{
	const struct ipc_statfs_req *q = r->body;
	struct ipc_statfs_rep *rep;
	AUTO_INODE u = { 0 };
	struct statfs s;
	int err = inode_get(&r->w->inodes, q->nodeid, &u);

	if (err < 0)
		return err;
	if (fstatfs(u.fd, &s) < 0)
		return -errno;
	rep = reply_add(r, 0, NULL);
	rep->blocks = s.f_blocks;
	rep->bfree = s.f_bfree;
	rep->bavail = s.f_bavail;
	rep->files = s.f_files;
	rep->ffree = s.f_ffree;
	rep->bsize = (uint32_t)s.f_bsize;
	rep->namelen = (uint32_t)s.f_namelen;
	rep->frsize = (uint32_t)s.f_frsize;
	return 0;
}

/* answer_syncfs() - SYNCFS */
int answer_syncfs(struct req *r)
{
	const struct ipc_syncfs_req *q = r->body;
	AUTO_INODE u = { 0 };
	AUTO_FD fd = -1;
	int err = inode_get(&r->w->inodes, q->nodeid, &u);

	if (err < 0)
		return err;
	if (!r->may_block)
		return ANSWER_POOL;
	fd = resolve_reopen(r->w->proc_fd, u.fd, inode_mode(&u), O_RDONLY);
	if (fd < 0)
		return fd;
	if (syncfs(fd) < 0)
		return -errno;
	return reply_empty(r);
}

/*
 * answer_access() - ACCESS: would the caller be let?
 *
 * The kernel is asked, because of ACLs. The right of the jail's superuser to pass by permissions is laid down
 * for that call, but for the guest's superuser, who has it.
 */
int answer_access(struct req *r)
{
	const struct ipc_access_req *q = r->body;
	bool plain = q->cred.uid != 0;
	AUTO_INODE u = { 0 };
	int err = inode_get(&r->w->inodes, q->nodeid, &u);

	if (err == 0 && q->mask & ~(uint32_t)(R_OK | W_OK | X_OK))
		err = -EINVAL;
	if (err == 0)
		err = creds_become(&q->cred);
	if (err == 0 && plain)
		err = creds_dac_override(false);
	if (err < 0)
		return err;
	if (syscall(SYS_faccessat2, u.fd, "", (int)q->mask, AT_EACCESS | AT_EMPTY_PATH) < 0)
		err = -errno;
	if (plain && creds_dac_override(true) < 0)
		err = -EIO;
	return err < 0 ? err : reply_empty(r);
}
