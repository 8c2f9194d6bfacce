/*
 * A FUSE client: the operations on names, attributes and sessions.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse_client.h"

#define ARG(x) { &(x), sizeof(x) }
#define STR(s) { (s), strlen(s) + 1 }

/* For operations whose reply is a fixed struct. */
static int call_fixed(struct fs *fs, uint32_t opcode, uint64_t nodeid, const struct fs_arg *args,
		      unsigned int nargs, void *reply, size_t size)
{
	return fs_call(fs, opcode, nodeid, args, nargs, reply, size, size, NULL);
}

/* Operations that create objects carry the client's extensions at the end. */
static int call_create(struct fs *fs, uint32_t opcode, uint64_t nodeid, const struct fs_arg *args,
		       unsigned int nargs, void *reply, size_t size)
{
	struct freq *q;
	size_t room = fs->ext_len, len;
	void *p;
	int err;

	for (unsigned int i = 0; i < nargs; i++)
		room += args[i].n;
	q = fs_new(fs, opcode, nodeid, room, size);
	if (!q)
		return FS_BROKEN;
	for (unsigned int i = 0; i < nargs; i++)
		fs_put(q, args[i].p, args[i].n);
	if (fs->ext_len) {
		fs_put(q, fs->ext, fs->ext_len);
		fs_head(q)->total_extlen = (uint16_t)(fs->ext_len / 8);
	}
	err = fs_submit(q) ? FS_BROKEN : fs_wait(q);
	if (!err) {
		p = fs_reply(q, &len);
		if (len != size)
			err = FS_BROKEN;
		else
			memcpy(reply, p, len);
	}
	if (q->vq.done)
		fs_free(q);
	return err;
}

/**
 * fs_start() - INIT
 * @fs:		Client
 * @minor:	Protocol minor version that the client has
 * @flags:	What it offers; FUSE_INIT_EXT decides about the long form
 *
 * Return: 0, a negative errno, or FS_BROKEN; @fs->minor and @fs->flags are what
 * was agreed on
 */
int fs_start(struct fs *fs, uint32_t minor, uint64_t flags)
{
	bool ext = minor >= 36 && (flags & FUSE_INIT_EXT);
	struct fuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = minor,
		.max_readahead = 1u << 20,
		.flags2 = ext ? (uint32_t)(flags >> 32) : 0,
	};
	struct fs_arg args[] = { { &in, ext ? sizeof(in) : 16 } };
	int err;

	if (!ext)
		flags = (uint32_t)flags & ~(uint64_t)FUSE_INIT_EXT;
	in.flags = (uint32_t)flags;
	err = call_fixed(fs, FUSE_INIT, 0, args, 1, &fs->init, sizeof(fs->init));
	if (err)
		return err;
	fs->minor = fs->init.minor < minor ? fs->init.minor : minor;
	fs->flags = fs->init.flags;
	if (fs->init.flags & FUSE_INIT_EXT)
		fs->flags |= (uint64_t)fs->init.flags2 << 32;
	/* A server may not answer with what was not offered. */
	if (fs->init.major != FUSE_KERNEL_VERSION || (fs->flags & ~flags))
		return FS_BROKEN;
	return 0;
}

int fs_destroy(struct fs *fs)
{
	return call_fixed(fs, FUSE_DESTROY, 0, NULL, 0, NULL, 0);
}

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fuse_entry_out *out)
{
	struct fs_arg args[] = { STR(name) };

	return call_fixed(fs, FUSE_LOOKUP, parent, args, 1, out, sizeof(*out));
}

static int forget_call(struct fs *fs, uint32_t opcode, uint64_t nodeid, const struct fs_arg *args,
		       unsigned int nargs)
{
	unsigned int queue = fs->queue;
	struct freq *q;
	size_t room = 0;
	int err;

	for (unsigned int i = 0; i < nargs; i++)
		room += args[i].n;
	fs->queue = DEV_HIPRIO;
	q = fs_new(fs, opcode, nodeid, room, 0);
	fs->queue = queue;
	if (!q)
		return FS_BROKEN;
	q->vq.noreply = true;
	for (unsigned int i = 0; i < nargs; i++)
		fs_put(q, args[i].p, args[i].n);
	err = fs_submit(q) ? FS_BROKEN : fs_wait(q);
	if (q->vq.done)
		fs_free(q);
	return err;
}

/**
 * fs_forget() - Give lookup counts back; goes over the hiprio queue
 * @fs:		Client
 * @nodeid:	Object
 * @nlookup:	How many
 *
 * Return: 0, or FS_BROKEN; there is no reply, only a completion
 */
int fs_forget(struct fs *fs, uint64_t nodeid, uint64_t nlookup)
{
	struct fuse_forget_in in = { .nlookup = nlookup };
	struct fs_arg args[] = { ARG(in) };

	return forget_call(fs, FUSE_FORGET, nodeid, args, 1);
}

int fs_batch_forget(struct fs *fs, const struct fuse_forget_one *list, uint32_t n)
{
	struct fuse_batch_forget_in in = { .count = n };
	struct fs_arg args[] = { ARG(in), { list, n * sizeof(*list) } };

	return forget_call(fs, FUSE_BATCH_FORGET, 0, args, 2);
}

int fs_getattr(struct fs *fs, uint64_t nodeid, const uint64_t *fh, struct fuse_attr_out *out)
{
	struct fuse_getattr_in in = {
		.getattr_flags = fh ? FUSE_GETATTR_FH : 0,
		.fh = fh ? *fh : 0,
	};
	struct fs_arg args[] = { ARG(in) };

	return call_fixed(fs, FUSE_GETATTR, nodeid, args, 1, out, sizeof(*out));
}

int fs_statx(struct fs *fs, uint64_t nodeid, const uint64_t *fh, uint32_t mask,
	     struct fn_statx_out *out)
{
	struct fn_statx_in in = {
		.getattr_flags = fh ? FUSE_GETATTR_FH : 0,
		.fh = fh ? *fh : 0,
		.sx_mask = mask,
	};
	struct fs_arg args[] = { ARG(in) };

	return call_fixed(fs, FN_STATX, nodeid, args, 1, out, sizeof(*out));
}

int fs_setattr(struct fs *fs, uint64_t nodeid, const struct fuse_setattr_in *in,
	       struct fuse_attr_out *out)
{
	struct fs_arg args[] = { { in, sizeof(*in) } };

	return call_fixed(fs, FUSE_SETATTR, nodeid, args, 1, out, sizeof(*out));
}

ssize_t fs_readlink(struct fs *fs, uint64_t nodeid, char *buf, size_t size)
{
	size_t got;
	int err = fs_call(fs, FUSE_READLINK, nodeid, NULL, 0, buf, 0, size, &got);

	return err ? err : (ssize_t)got;
}

int fs_symlink(struct fs *fs, uint64_t parent, const char *name, const char *target,
	       struct fuse_entry_out *out)
{
	struct fs_arg args[] = { STR(name), STR(target) };

	return call_create(fs, FUSE_SYMLINK, parent, args, 2, out, sizeof(*out));
}

int fs_mknod(struct fs *fs, uint64_t parent, const char *name, uint32_t mode, uint32_t rdev,
	     struct fuse_entry_out *out)
{
	struct fuse_mknod_in in = { .mode = mode, .rdev = rdev, .umask = fs->umask };
	struct fs_arg args[] = { ARG(in), STR(name) };

	return call_create(fs, FUSE_MKNOD, parent, args, 2, out, sizeof(*out));
}

int fs_mkdir(struct fs *fs, uint64_t parent, const char *name, uint32_t mode,
	     struct fuse_entry_out *out)
{
	struct fuse_mkdir_in in = { .mode = mode, .umask = fs->umask };
	struct fs_arg args[] = { ARG(in), STR(name) };

	return call_create(fs, FUSE_MKDIR, parent, args, 2, out, sizeof(*out));
}

int fs_unlink(struct fs *fs, uint64_t parent, const char *name)
{
	struct fs_arg args[] = { STR(name) };

	return call_fixed(fs, FUSE_UNLINK, parent, args, 1, NULL, 0);
}

int fs_rmdir(struct fs *fs, uint64_t parent, const char *name)
{
	struct fs_arg args[] = { STR(name) };

	return call_fixed(fs, FUSE_RMDIR, parent, args, 1, NULL, 0);
}

int fs_rename(struct fs *fs, uint64_t parent, const char *name, uint64_t newparent,
	      const char *newname)
{
	struct fuse_rename_in in = { .newdir = newparent };
	struct fs_arg args[] = { ARG(in), STR(name), STR(newname) };

	return call_fixed(fs, FUSE_RENAME, parent, args, 3, NULL, 0);
}

int fs_rename2(struct fs *fs, uint64_t parent, const char *name, uint64_t newparent,
	       const char *newname, uint32_t flags)
{
	struct fuse_rename2_in in = { .newdir = newparent, .flags = flags };
	struct fs_arg args[] = { ARG(in), STR(name), STR(newname) };

	return call_fixed(fs, FUSE_RENAME2, parent, args, 3, NULL, 0);
}

int fs_link(struct fs *fs, uint64_t nodeid, uint64_t newparent, const char *newname,
	    struct fuse_entry_out *out)
{
	struct fuse_link_in in = { .oldnodeid = nodeid };
	struct fs_arg args[] = { ARG(in), STR(newname) };

	return call_fixed(fs, FUSE_LINK, newparent, args, 2, out, sizeof(*out));
}

int fs_open(struct fs *fs, uint64_t nodeid, uint32_t flags, struct fuse_open_out *out)
{
	struct fuse_open_in in = { .flags = flags };
	struct fs_arg args[] = { ARG(in) };

	return call_fixed(fs, FUSE_OPEN, nodeid, args, 1, out, sizeof(*out));
}

struct create_out {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

int fs_create(struct fs *fs, uint64_t parent, const char *name, uint32_t flags, uint32_t mode,
	      struct fuse_entry_out *entry, struct fuse_open_out *open)
{
	struct fuse_create_in in = { .flags = flags, .mode = mode, .umask = fs->umask };
	struct fs_arg args[] = { ARG(in), STR(name) };
	struct create_out out;
	int err = call_create(fs, FUSE_CREATE, parent, args, 2, &out, sizeof(out));

	if (!err) {
		*entry = out.entry;
		*open = out.open;
	}
	return err;
}

int fs_tmpfile(struct fs *fs, uint64_t parent, uint32_t flags, uint32_t mode,
	       struct fuse_entry_out *entry, struct fuse_open_out *open)
{
	struct fuse_create_in in = { .flags = flags, .mode = mode, .umask = fs->umask };
	/* Linux sends the name of the dentry, which is "/" for a tmpfile. */
	struct fs_arg args[] = { ARG(in), STR("/") };
	struct create_out out;
	int err = call_create(fs, FUSE_TMPFILE, parent, args, 2, &out, sizeof(out));

	if (!err) {
		*entry = out.entry;
		*open = out.open;
	}
	return err;
}

int fs_statfs(struct fs *fs, uint64_t nodeid, struct fuse_kstatfs *out)
{
	struct fuse_statfs_out r;
	int err = call_fixed(fs, FUSE_STATFS, nodeid, NULL, 0, &r, sizeof(r));

	if (!err)
		*out = r.st;
	return err;
}

int fs_setxattr(struct fs *fs, uint64_t nodeid, const char *name, const void *value,
		uint32_t size, uint32_t flags)
{
	struct fuse_setxattr_in in = { .size = size, .flags = flags };
	struct fs_arg args[] = {
		{ &in, fs->flags & FUSE_SETXATTR_EXT ? sizeof(in) : FUSE_COMPAT_SETXATTR_IN_SIZE },
		STR(name),
		{ value, size },
	};

	return call_fixed(fs, FUSE_SETXATTR, nodeid, args, 3, NULL, 0);
}

/* With size 0 the reply is the size that would be needed. */
static ssize_t xattr_read(struct fs *fs, uint32_t opcode, uint64_t nodeid, const char *name,
			  void *buf, uint32_t size)
{
	struct fuse_getxattr_in in = { .size = size };
	struct fs_arg args[] = { ARG(in), { name, name ? strlen(name) + 1 : 0 } };
	struct fuse_getxattr_out probe;
	size_t got;
	int err;

	if (!size) {
		err = call_fixed(fs, opcode, nodeid, args, 2, &probe, sizeof(probe));
		return err ? err : (ssize_t)probe.size;
	}
	err = fs_call(fs, opcode, nodeid, args, 2, buf, 0, size, &got);
	return err ? err : (ssize_t)got;
}

ssize_t fs_getxattr(struct fs *fs, uint64_t nodeid, const char *name, void *buf, uint32_t size)
{
	return xattr_read(fs, FUSE_GETXATTR, nodeid, name, buf, size);
}

ssize_t fs_listxattr(struct fs *fs, uint64_t nodeid, void *buf, uint32_t size)
{
	return xattr_read(fs, FUSE_LISTXATTR, nodeid, NULL, buf, size);
}

int fs_removexattr(struct fs *fs, uint64_t nodeid, const char *name)
{
	struct fs_arg args[] = { STR(name) };

	return call_fixed(fs, FUSE_REMOVEXATTR, nodeid, args, 1, NULL, 0);
}

int fs_access(struct fs *fs, uint64_t nodeid, uint32_t mask)
{
	struct fuse_access_in in = { .mask = mask };
	struct fs_arg args[] = { ARG(in) };

	return call_fixed(fs, FUSE_ACCESS, nodeid, args, 1, NULL, 0);
}

int fs_syncfs(struct fs *fs, uint64_t nodeid)
{
	struct fuse_syncfs_in in = { 0 };
	struct fs_arg args[] = { ARG(in) };

	return call_fixed(fs, FUSE_SYNCFS, nodeid, args, 1, NULL, 0);
}
