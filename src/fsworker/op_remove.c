/* op_remove.c - UNLINK, RMDIR, RENAME, LINK: names of what exists. */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"

#include <stdio.h>
#include <sys/syscall.h>

static int remove_name(struct req *r, uint64_t nodeid, int flags)
{
	AUTO_INODE parent = { 0 };
	AUTO_INODE victim = { 0 };
	struct name name;
	int err = parent_and_name(r, nodeid, &parent, &name);

	if (err == 0)
		inode_keep(&r->w->inodes, &parent, &name, &victim);
	if (err == 0 && unlinkat(parent.fd, name.s, flags) < 0)
		err = -errno;
	CRASHPOINT("removed");
	/* The guest's kernel only removes what it has just seen: the process before this one did it. */
	if (unlikely(err == -ENOENT) && r->redo)
		err = 0;
	return err < 0 ? err : reply_empty(r);
}

/* answer_unlink() - UNLINK */
int answer_unlink(struct req *r)
{
	const struct ipc_unlink_req *q = r->body;

	return remove_name(r, q->parent, 0);
}

/* answer_rmdir() - RMDIR */
int answer_rmdir(struct req *r)
{
	const struct ipc_rmdir_req *q = r->body;

	return remove_name(r, q->parent, AT_REMOVEDIR);
}

/* Before another object comes to the first name: which is at the first? It tells a process after this one whether they have. */
static int intend_exchange(struct req *r, const struct inode_use *from, const struct name *name)
{
	struct statx st;
	int err;

	if (r->redo && journal_now->intent)
		return 0;
	err = resolve_statx_name(from->fd, name, &st);
	if (err == 0)
		journal_intend(st.stx_ino);
	return err;
}

/* The request is served again: is it as it would be afterwards? */
static bool was_renamed(const struct ipc_rename_req *q, const struct inode_use *from, const struct name *old_name,
			const struct inode_use *to, const struct name *new_name)
{
	struct statx st;
	bool there = resolve_statx_name(from->fd, old_name, &st) == 0;

	if (q->flags & (RENAME_EXCHANGE | RENAME_WHITEOUT))
		return there && journal_now->intent && st.stx_ino != journal_now->intent;
	return !there && resolve_statx_name(to->fd, new_name, &st) == 0;
}

/* answer_rename() - RENAME and RENAME2. The tail is the old name and, after it, the new one. */
int answer_rename(struct req *r)
{
	const struct ipc_rename_req *q = r->body;
	AUTO_INODE from = { 0 };
	AUTO_INODE to = { 0 };
	AUTO_INODE victim = { 0 };
	struct name old_name, new_name;
	int err;

	if (q->name_len > r->tail_len || q->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	err = inode_get(&r->w->inodes, q->old_parent, &from);
	if (err == 0)
		err = inode_get(&r->w->inodes, q->new_parent, &to);
	if (err == 0)
		err = name_check(&old_name, r->tail, q->name_len);
	if (err == 0)
		err = name_check(&new_name, r->tail + q->name_len, r->tail_len - q->name_len);
	/* What stays at the old name belongs to the caller; the rest is the superuser's right either way. */
	if (err == 0 && q->flags & RENAME_WHITEOUT)
		err = creds_become(&q->cred);
	if (err == 0 && unlikely(q->flags & (RENAME_EXCHANGE | RENAME_WHITEOUT)))
		err = intend_exchange(r, &from, &old_name);
	if (err == 0 && unlikely(r->redo) && was_renamed(q, &from, &old_name, &to, &new_name))
		return reply_empty(r);
	if (err == 0)
		inode_moves(&r->w->inodes, &from, &old_name);
	if (err == 0 && q->flags & RENAME_EXCHANGE)
		inode_moves(&r->w->inodes, &to, &new_name);
	else if (err == 0 && !(q->flags & RENAME_NOREPLACE))
		inode_keep(&r->w->inodes, &to, &new_name, &victim);
	/* Not libc's: it turns one without flags into another system call. */
	if (err == 0 && syscall(SYS_renameat2, from.fd, old_name.s, to.fd, new_name.s, q->flags) < 0)
		err = -errno;
	CRASHPOINT("renamed");
	return err < 0 ? err : reply_empty(r);
}

/*
 * answer_link() - LINK
 *
 * Through /proc, because linkat() of a descriptor itself wants CAP_DAC_READ_SEARCH, which is not here for good
 * reason. The link of the descriptor is followed to the object; if that is a symbolic link it is not followed
 * further.
 */
int answer_link(struct req *r)
{
	const struct ipc_link_req *q = r->body;
	struct ipc_link_rep *rep;
	AUTO_INODE parent = { 0 };
	AUTO_INODE u = { 0 };
	struct name name;
	struct statx st;
	struct fd_name n;
	int err = inode_get(&r->w->inodes, q->nodeid, &u);

	if (err == 0)
		err = parent_and_name(r, q->parent, &parent, &name);
	if (err < 0)
		return err;
	n = fd_name_of(u.fd);
	if (linkat(r->w->proc_fd, n.s, parent.fd, name.s, AT_SYMLINK_FOLLOW) < 0 &&
	    !(errno == EEXIST && r->redo && redo_same(parent.fd, &name, u.fd)))
		return -errno;
	CRASHPOINT("linked");
	err = resolve_statx_fd(u.fd, 0, &st);
	if (err < 0)
		return err;
	inode_remember(&u);
	rep = reply_add(r, 0, NULL);
	entry_fill(r->w, &rep->entry, inode_nodeid(&u), &parent, &st);
	return 0;
}
