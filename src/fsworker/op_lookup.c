/* op_lookup.c - LOOKUP, FORGET, READLINK, and what every answer about a named object needs. */
#include "fsworker/fsworker.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"

#include <sys/stat.h>

/*
 * entry_fill() - Tell the guest of an object
 * @w:		Process
 * @e:		Out: st may be where @st points to
 * @nodeid:	Its number, counted as looked up
 * @parent:	Directory that it was found in
 * @st:		Its attributes
 */
void entry_fill(const struct fsworker *w, struct ipc_entry *e, uint64_t nodeid, const struct inode_use *parent,
		const struct statx *st)
{
	const struct inode_slot *dir = inode_slot(parent);

	e->nodeid = nodeid;
	e->flags = 0;
	e->zero = 0;
	/* Files on some layered file systems have another device than their directory; only directories can be roots
	 * of mounts that a guest is to see as such. */
	if (S_ISDIR(st->stx_mode) && (dir->mnt_id != st->stx_mnt_id || dir->dev != statx_dev(st)) &&
	    (atomic_load_explicit(&w->session_flags, memory_order_relaxed) & IPC_INIT_SUBMOUNTS))
		e->flags |= IPC_ENTRY_SUBMOUNT;
	if (st != &e->st)
		e->st = *st;
}

/*
 * entry_of_fd() - Take an object that was opened into the table
 * @w:		Process
 * @parent:	Directory that it was found in
 * @path_fd:	Its O_PATH descriptor, taken over on success
 * @e:		Out
 *
 * Return: 0 or -errno
 */
int entry_of_fd(struct fsworker *w, const struct inode_use *parent, int *path_fd, struct ipc_entry *e)
{
	uint64_t nodeid;
	int r = resolve_statx_fd(*path_fd, 0, &e->st);

	if (r == 0)
		r = inode_intern(&w->inodes, path_fd, &e->st, &nodeid);
	if (r == 0)
		entry_fill(w, e, nodeid, parent, &e->st);
	return r;
}

/*
 * entry_of_name() - Look up an entry of a directory
 * @w:			Process
 * @parent:		Directory
 * @name:		Checked name
 * @how:		Is it likely in the table? Then one system call answers. Is it seen in a listing? Then it may be
 *			enough, too.
 * @e:			Out
 *
 * Return: 0 or -errno
 */
int entry_of_name(struct fsworker *w, const struct inode_use *parent, const struct name *name, enum entry_how how,
		  struct ipc_entry *e)
{
	AUTO_FD fd = -1;
	int r;

	if (how != ENTRY_NEW) {
		uint64_t nodeid, dir = inode_nodeid(parent);

		r = resolve_statx_name(parent->fd, name, &e->st);
		if (r < 0)
			return r;
		nodeid = how == ENTRY_LISTED ? inode_list(&w->inodes, dir, name, &e->st)
					     : inode_find(&w->inodes, dir, name, &e->st);
		if (nodeid) {
			entry_fill(w, e, nodeid, parent, &e->st);
			return 0;
		}
	}
	r = how == ENTRY_LISTED ? inode_may_add(&w->inodes) : 0;
	if (r < 0)
		return r;
	fd = resolve_child(parent->fd, name);
	return fd < 0 ? fd : entry_of_fd(w, parent, &fd, e);
}

/*
 * parent_and_name() - What most requests by name start with
 * @r:		Request whose tail is the name
 * @nodeid:	The directory that it names
 * @parent:	Out: directory in use
 * @name:	Out: checked name
 *
 * Return: 0 or -errno
 */
int parent_and_name(struct req *r, uint64_t nodeid, struct inode_use *parent, struct name *name)
{
	int e = inode_get(&r->w->inodes, nodeid, parent);

	return e < 0 ? e : name_check(name, r->tail, r->tail_len);
}

/* "." and "..": for guests that export the share by NFS and know a directory by number only. */
static int lookup_dots(struct req *r, const struct inode_use *dir, struct ipc_entry *e)
{
	AUTO_FD fd = -1;
	int err;

	if (!S_ISDIR(inode_mode(dir)))
		return -ENOTDIR;
	/* There is nothing above the root of the share. */
	if (r->tail_len == 1 || dir->index == INODE_ROOT) {
		err = resolve_statx_fd(dir->fd, 0, &e->st);
		if (err < 0)
			return err;
		inode_remember(dir);
		entry_fill(r->w, e, inode_nodeid(dir), dir, &e->st);
		return 0;
	}
	fd = resolve_parent(dir->fd);
	return fd < 0 ? fd : entry_of_fd(r->w, dir, &fd, e);
}

static bool is_dots(const char *s, uint32_t len)
{
	return (len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.');
}

/* answer_lookup() - LOOKUP */
int answer_lookup(struct req *r)
{
	const struct ipc_lookup_req *q = r->body;
	struct ipc_lookup_rep *rep;
	struct ipc_entry entry;
	AUTO_INODE parent = { 0 };
	struct name name;
	int err = inode_get(&r->w->inodes, q->parent, &parent);

	if (unlikely(err < 0))
		return err;
	if (unlikely(is_dots(r->tail, r->tail_len))) {
		err = lookup_dots(r, &parent, &entry);
	} else {
		err = name_check(&name, r->tail, r->tail_len);
		if (err == 0)
			err = entry_of_name(r->w, &parent, &name, ENTRY_KNOWN, &entry);
	}
	if (err < 0)
		return err;
	rep = reply_add(r, 0, NULL);
	rep->entry = entry;
	return 0;
}

/* answer_forget() - FORGET and BATCH_FORGET. There is no answer, so nothing to say about nonsense. */
int answer_forget(struct req *r)
{
	const struct ipc_forget_req *q = r->body;
	const struct ipc_forget_one *one = (const void *)r->tail;

	if (q->count != r->tail_len / sizeof(*one) || r->tail_len % sizeof(*one))
		return -EINVAL;
	/* Begun by a process before this one: from where that ended. */
	for (uint64_t i = r->redo ? r->link->journal->forgot : 0; i < q->count; i++) {
		inode_forget(&r->w->inodes, one[i].nodeid, one[i].nlookup);
		CRASHPOINT("forget-one");
	}
	return 0;
}

/* answer_readlink() - READLINK */
int answer_readlink(struct req *r)
{
	const struct ipc_readlink_req *q = r->body;
	AUTO_INODE u = { 0 };
	char *tail;
	ssize_t n;
	int err = inode_get(&r->w->inodes, q->nodeid, &u);

	if (err < 0)
		return err;
	if (!S_ISLNK(inode_mode(&u)))
		return -EINVAL;
	n = readlinkat(u.fd, "", r->out->scratch, IPC_PATH_MAX + 1);
	if (n < 0)
		return -errno;
	if (n > IPC_PATH_MAX)
		return -ENAMETOOLONG;
	reply_add(r, (uint32_t)n, &tail);
	memcpy(tail, r->out->scratch, (size_t)n);
	return 0;
}
