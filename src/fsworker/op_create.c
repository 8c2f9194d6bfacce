/* op_create.c - SYMLINK, MKNOD, MKDIR, CREATE, TMPFILE: what did not exist before.
 *
 * Everything is made by the caller's ids, never by the superuser and given away afterwards: its owner is right from
 * the first moment, and quotas and reserved blocks count for the one who made it.
 */
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/resolve.h"

#include "common/crashpoint.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#define CREATE_TRIES 3

/* Before anything is made: could its maker be told of it? */
static int begin(struct req *r, uint64_t nodeid, const struct ipc_cred *cred, struct inode_use *parent,
		 struct name *name)
{
	int err = parent_and_name(r, nodeid, parent, name);

	if (err == 0)
		err = inode_may_add(&r->w->inodes);
	if (err == 0)
		err = creds_create(cred);
	return err;
}

/* The process before this one was killed after it had made this. */
static bool symlink_made(const struct req *r, int dirfd, const struct name *name, const char *target,
			 const struct ipc_cred *cred)
{
	char found[IPC_PATH_MAX + 1];
	size_t len = strlen(target);

	return redo_made(r, dirfd, name, S_IFLNK, cred) &&
	       readlinkat(dirfd, name->s, found, sizeof(found)) == (ssize_t)len && memcmp(found, target, len) == 0;
}

/* All of these answers are one entry. */
static int finish(struct req *r, const struct inode_use *parent, const struct name *name)
{
	struct ipc_entry entry;
	struct ipc_entry *rep;
	int err;

	CRASHPOINT("made");
	err = entry_of_name(r->w, parent, name, ENTRY_NEW, &entry);

	if (err < 0)
		return err;
	rep = reply_add(r, 0, NULL);
	*rep = entry;
	return 0;
}
_Static_assert(sizeof(struct ipc_symlink_rep) == sizeof(struct ipc_entry) &&
		       sizeof(struct ipc_mknod_rep) == sizeof(struct ipc_entry) &&
		       sizeof(struct ipc_mkdir_rep) == sizeof(struct ipc_entry),
	       "an entry is the whole answer");

/* answer_symlink() - SYMLINK. The tail is the name and, after it, the contents. */
int answer_symlink(struct req *r)
{
	const struct ipc_symlink_req *q = r->body;
	const char *contents = r->tail + q->name_len;
	AUTO_INODE parent = { 0 };
	char target[IPC_PATH_MAX + 1];
	struct name name;
	uint32_t len;
	int err;

	if (q->name_len > r->tail_len)
		return -EINVAL;
	len = r->tail_len - q->name_len;
	if (len > IPC_PATH_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || memchr(contents, '\0', len))
		return len ? -EINVAL : -ENOENT;
	memcpy(target, contents, len);
	target[len] = '\0';
	r->tail_len = q->name_len;
	err = begin(r, q->parent, &q->cred, &parent, &name);
	if (err == 0 && symlinkat(target, parent.fd, name.s) < 0)
		err = -errno;
	if (unlikely(err == -EEXIST) && symlink_made(r, parent.fd, &name, target, &q->cred))
		err = 0;
	return err < 0 ? err : finish(r, &parent, &name);
}

/* answer_mknod() - MKNOD. A device may be made and is never opened. */
int answer_mknod(struct req *r)
{
	const struct ipc_mknod_req *q = r->body;
	AUTO_INODE parent = { 0 };
	struct name name;
	int err;

	switch (q->mode & S_IFMT) {
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		break;
	default:
		return -EINVAL;
	}
	err = begin(r, q->parent, &q->cred, &parent, &name);
	if (err == 0 && mknodat(parent.fd, name.s, q->mode & (S_IFMT | 07777),
				makedev(q->rdev_major, q->rdev_minor)) < 0)
		err = -errno;
	if (unlikely(err == -EEXIST) && redo_made(r, parent.fd, &name, q->mode & S_IFMT, &q->cred))
		err = 0;
	return err < 0 ? err : finish(r, &parent, &name);
}

/* answer_mkdir() - MKDIR */
int answer_mkdir(struct req *r)
{
	const struct ipc_mkdir_req *q = r->body;
	AUTO_INODE parent = { 0 };
	struct name name;
	int err = begin(r, q->parent, &q->cred, &parent, &name);

	if (err == 0 && mkdirat(parent.fd, name.s, q->mode & 07777) < 0)
		err = -errno;
	if (unlikely(err == -EEXIST) && redo_made(r, parent.fd, &name, S_IFDIR, &q->cred))
		err = 0;
	return err < 0 ? err : finish(r, &parent, &name);
}

/* A file that is being created: what must be undone if it cannot be answered. */
struct creation {
	uint32_t handle; /* reserved slot, 0: none */
	uint32_t flags;
	int fd;          /* open as the guest wants it */
	int path_fd;
	struct ipc_entry entry;
};

static void creation_undo(struct handle_table *t, struct creation *c)
{
	close_fd(&c->fd);
	close_fd(&c->path_fd);
	if (c->handle)
		handle_unreserve(t, c->handle);
}

/* Somebody else has made it first, and the guest did not ask to be the one. */
static int open_existing(struct req *r, const struct inode_use *parent, const struct name *name, bool kill,
			 struct creation *c)
{
	struct statx st;
	int err;

	c->path_fd = resolve_child(parent->fd, name);
	if (c->path_fd < 0)
		return c->path_fd;
	err = resolve_statx_fd(c->path_fd, 0, &st);
	if (err < 0)
		return err;
	if (S_ISDIR(st.stx_mode))
		return -EISDIR;
	/* The guest thought that nothing was here. ESTALE makes its kernel look again, and then do with a link or a special
	 * file what is right for it. */
	if (!S_ISREG(st.stx_mode))
		return -ESTALE;
	err = creds_fsetid(!kill);
	if (err < 0)
		return err;
	c->fd = resolve_reopen(r->w->proc_fd, c->path_fd, st.stx_mode, c->flags | O_NONBLOCK);
	/* A lease: the OPEN that follows can wait elsewhere. */
	if (c->fd == -EAGAIN)
		return -ESTALE;
	return c->fd < 0 ? c->fd : 0;
}

static int create_or_open(struct req *r, const struct ipc_create_req *q, const struct inode_use *parent,
			  const struct name *name, struct creation *c)
{
	for (int i = 0; i < CREATE_TRIES; i++) {
		int err;

		c->fd = resolve_create(parent->fd, name, c->flags & ~(uint32_t)O_TRUNC, q->mode);
		if (c->fd >= 0) {
			CRASHPOINT("created");
			c->path_fd = resolve_pin(r->w->proc_fd, c->fd);
			return c->path_fd < 0 ? c->path_fd : 0;
		}
		/* Its maker opens it whatever its mode is, so as the superuser. */
		if (unlikely(c->fd == -EEXIST) && redo_made(r, parent->fd, name, S_IFREG, &q->cred))
			return creds_root() < 0 ? -EIO : open_existing(r, parent, name, q->kill_suidgid, c);
		if (c->fd != -EEXIST || q->flags & O_EXCL)
			return c->fd;
		/* The guest's kernel takes what CREATE answers for new and checks no permission, so whoever is not its
		 * superuser would get any file that was made here since its LOOKUP. And what is opened below by its name need not
		 * be what was in the way (-o norace). ESTALE: its kernel looks the name up, checks and opens what it finds. */
		if (cfg_has(r->w, CFG_NORACE) || q->cred.uid != 0)
			return -ESTALE;
		err = open_existing(r, parent, name, q->kill_suidgid, c);
		if (err != -ENOENT)
			return err;
		close_fd(&c->path_fd);
		err = creds_create(&q->cred);
		if (err < 0)
			return err;
	}
	return -ESTALE;
}

static int creation_answer(struct req *r, const struct inode_use *parent, struct creation *c)
{
	bool grant = !cfg_has(r->w, CFG_FORWARDED);
	struct ipc_create_rep *rep;
	uint64_t fh;
	int fd = c->fd;
	int err = entry_of_fd(r->w, parent, &c->path_fd, &c->entry);

	if (err < 0)
		return err;
	fh = handle_publish(&r->w->handles, c->handle, take_fd(&c->fd), c->flags, c->entry.nodeid,
			    statx_dev(&c->entry.st), grant);
	rep = reply_add(r, 0, NULL);
	rep->entry = c->entry;
	rep->fh = fh;
	if (grant)
		reply_grant(r, c->handle, fd);
	c->handle = 0;
	return 0;
}
_Static_assert(sizeof(struct ipc_create_rep) == sizeof(struct ipc_tmpfile_rep) &&
		       offsetof(struct ipc_create_rep, fh) == offsetof(struct ipc_tmpfile_rep, fh),
	       "CREATE and TMPFILE are answered alike");

/* answer_create() - CREATE */
int answer_create(struct req *r)
{
	const struct ipc_create_req *q = r->body;
	struct creation c = { .fd = -1, .path_fd = -1 };
	AUTO_INODE parent = { 0 };
	struct name name;
	int err = open_flags(r->w, q->flags, &c.flags);

	if (err == 0)
		err = begin(r, q->parent, &q->cred, &parent, &name);
	if (err == 0)
		err = handle_reserve(&r->w->handles, r->link->index, false, &c.handle);
	if (err == 0)
		err = create_or_open(r, q, &parent, &name, &c);
	if (err == 0)
		err = creation_answer(r, &parent, &c);
	creation_undo(&r->w->handles, &c);
	return err;
}

/* answer_tmpfile() - TMPFILE: O_EXCL, which forbids a later LINK, is kept by the guest's kernel itself */
int answer_tmpfile(struct req *r)
{
	const struct ipc_tmpfile_req *q = r->body;
	struct creation c = { .fd = -1, .path_fd = -1 };
	AUTO_INODE parent = { 0 };
	int err = open_flags(r->w, q->flags, &c.flags);

	if (err == 0)
		err = inode_get(&r->w->inodes, q->parent, &parent);
	if (err == 0)
		err = inode_may_add(&r->w->inodes);
	if (err == 0)
		err = creds_create(&q->cred);
	if (err == 0)
		err = handle_reserve(&r->w->handles, r->link->index, false, &c.handle);
	if (err == 0) {
		c.fd = resolve_tmpfile(parent.fd, c.flags & ~(uint32_t)O_TRUNC, q->mode);
		err = MIN(c.fd, 0);
	}
	if (err == 0) {
		c.path_fd = resolve_pin(r->w->proc_fd, c.fd);
		err = MIN(c.path_fd, 0);
	}
	if (err == 0)
		err = creation_answer(r, &parent, &c);
	creation_undo(&r->w->handles, &c);
	return err;
}
