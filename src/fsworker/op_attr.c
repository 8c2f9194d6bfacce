/* op_attr.c - GETATTR, SETATTR. */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"

#include <sys/syscall.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define NSEC_MAX 999999999u

/* answer_getattr() - GETATTR and STATX */
int answer_getattr(struct req *r)
{
	const struct ipc_getattr_req *q = r->body;
	struct ipc_getattr_rep *rep;
	AUTO_INODE u = { 0 };
	AUTO_HANDLE h = { 0 };
	struct statx st;
	/* An open file has a descriptor of its own. */
	int err = q->has_fh ? inode_get_slot(&r->w->inodes, q->nodeid, &u) : inode_get(&r->w->inodes, q->nodeid, &u);

	if (unlikely(err < 0))
		return err;
	if (unlikely(q->sync & ~(uint32_t)AT_STATX_SYNC_TYPE || q->sync == AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if (q->has_fh) {
		err = handle_get_of(&r->w->handles, q->fh, HANDLE_ANY, q->nodeid, &h);
		if (err < 0)
			return err;
	}
	err = resolve_statx_fd(h.t ? h.h->fd : u.fd, q->sync, &st);
	if (err < 0)
		return err;
	inode_saw(&u, &st);
	rep = reply_add(r, 0, NULL);
	rep->st = st;
	return 0;
}

/* fchmodat2() came with Linux 6.6; before, the way to what a descriptor stands for is through /proc. */
static int change_mode(const struct inode_use *u, int proc_fd, mode_t mode)
{
	static atomic_bool no_fchmodat2;
	struct fd_name n = fd_name_of(u->fd);

	if (S_ISLNK(inode_mode(u)))
		return -EOPNOTSUPP;
	if (!atomic_load_explicit(&no_fchmodat2, memory_order_relaxed)) {
		if (syscall(SYS_fchmodat2, u->fd, "", mode, AT_EMPTY_PATH) == 0)
			return 0;
		if (errno != ENOSYS)
			return -errno;
		atomic_store_explicit(&no_fchmodat2, true, memory_order_relaxed);
	}
	return fchmodat(proc_fd, n.s, mode, 0) < 0 ? -errno : 0;
}

static int change_size(const struct ipc_setattr_req *q, const struct inode_use *u, const struct handle_use *h)
{
	struct fd_name n = fd_name_of(u->fd);
	int r;

	if (S_ISDIR(inode_mode(u)))
		return -EISDIR;
	if (!S_ISREG(inode_mode(u)) || q->size > INT64_MAX)
		return -EINVAL;
	r = creds_fsetid(!(q->valid & IPC_SET_KILL_SUIDGID));
	if (r < 0)
		return r;
	/* The working directory is /proc/self/fd (creds.c): one call instead of an open, a truncation and a close. */
	if (h->t && handle_writes(h->h))
		r = ftruncate(h->h->fd, (off_t)q->size);
	else
		r = truncate(n.s, (off_t)q->size);
	return r < 0 ? -errno : 0;
}

static int change_owner(const struct ipc_setattr_req *q, const struct inode_use *u)
{
	uid_t uid = q->valid & IPC_SET_UID ? q->uid : (uid_t)-1;
	gid_t gid = q->valid & IPC_SET_GID ? q->gid : (gid_t)-1;
	int r;

	/* -1 would mean "leave it", which is not what was asked for. */
	if ((q->valid & IPC_SET_UID && uid == (uid_t)-1) || (q->valid & IPC_SET_GID && gid == (gid_t)-1))
		return -EINVAL;
	r = creds_fsetid(q->cred.uid == 0);
	if (r == 0 && fchownat(u->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

static int one_time(struct timespec *out, bool set, bool now, const struct ipc_time *t)
{
	*out = (struct timespec){ .tv_nsec = UTIME_OMIT };
	if (set && now) {
		out->tv_nsec = UTIME_NOW;
	} else if (set) {
		if (t->nsec > NSEC_MAX)
			return -EINVAL;
		*out = (struct timespec){ .tv_sec = t->sec, .tv_nsec = t->nsec };
	}
	return 0;
}

static int change_times(const struct ipc_setattr_req *q, const struct inode_use *u)
{
	struct timespec ts[2];

	if (one_time(&ts[0], q->valid & IPC_SET_ATIME, q->valid & IPC_SET_ATIME_NOW, &q->atime) < 0 ||
	    one_time(&ts[1], q->valid & IPC_SET_MTIME, q->valid & IPC_SET_MTIME_NOW, &q->mtime) < 0)
		return -EINVAL;
	return utimensat(u->fd, "", ts, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/*
 * answer_setattr() - SETATTR
 *
 * One request may change several things, which the guest's kernel has checked as one. The order: the size
 * first, because it is the most likely to fail; the mode after the owner, because a change of owner clears
 * setuid and setgid, and what is asked for is to be there at the end; times last, because all others touch
 * them.
 */
int answer_setattr(struct req *r)
{
	const struct ipc_setattr_req *q = r->body;
	struct ipc_setattr_rep *rep;
	AUTO_INODE u = { 0 };
	AUTO_HANDLE h = { 0 };
	struct statx st;
	int err = inode_get(&r->w->inodes, q->nodeid, &u);

	if (err == 0 && q->valid & ~IPC_SET_ALL)
		err = -EINVAL;
	if (err == 0 && q->valid & IPC_SET_FH)
		err = handle_get_of(&r->w->handles, q->fh, HANDLE_ANY, q->nodeid, &h);
	/* As for OPEN: a lease. There is none on a file that is open for writing. */
	if (err == 0 && q->valid & IPC_SET_SIZE && !r->may_block && !(h.t && handle_writes(h.h)))
		return ANSWER_POOL;
	if (err == 0 && q->valid & IPC_SET_SIZE)
		err = change_size(q, &u, &h);
	if (err == 0 && q->valid & (IPC_SET_UID | IPC_SET_GID))
		err = change_owner(q, &u);
	if (err == 0 && q->valid & IPC_SET_MODE) {
		/* Whether the caller may keep setgid was decided by the guest's kernel. */
		err = creds_fsetid(true);
		if (err == 0)
			err = change_mode(&u, r->w->proc_fd, q->mode & 07777);
	}
	CRASHPOINT("attributes");
	if (err == 0 && q->valid & (IPC_SET_ATIME | IPC_SET_MTIME))
		err = change_times(q, &u);
	if (err == 0)
		err = resolve_statx_fd(u.fd, 0, &st);
	if (err < 0)
		return err;
	inode_saw(&u, &st);
	rep = reply_add(r, 0, NULL);
	rep->st = st;
	return 0;
}
