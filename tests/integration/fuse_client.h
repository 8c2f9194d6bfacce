/*
 * A FUSE client over a virtio-fs device: requests, and a call per operation.
 */
#ifndef FUSE_CLIENT_H
#define FUSE_CLIENT_H

#include <sys/types.h>

#include <linux/fuse.h>

#include "fuse_new.h"
#include "vuf_dev.h"

/*
 * Result of a call that failed in the front end: a time-out, a broken ring, a
 * reply of a wrong size. No errno has this value.
 */
#define FS_BROKEN (-100000)

#define FS_MAX_SEGS 1100
#define FS_POOL 64

/* All flags a Linux 6.18 guest offers on virtio-fs. */
#define FS_GUEST_FLAGS                                                                       \
	((uint64_t)(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC |               \
		    FUSE_EXPORT_SUPPORT | FUSE_BIG_WRITES | FUSE_DONT_MASK |                 \
		    FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE | FUSE_SPLICE_READ |                \
		    FUSE_FLOCK_LOCKS | FUSE_HAS_IOCTL_DIR | FUSE_AUTO_INVAL_DATA |           \
		    FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |           \
		    FUSE_WRITEBACK_CACHE | FUSE_NO_OPEN_SUPPORT | FUSE_PARALLEL_DIROPS |     \
		    FUSE_HANDLE_KILLPRIV | FUSE_POSIX_ACL | FUSE_ABORT_ERROR |               \
		    FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_NO_OPENDIR_SUPPORT |         \
		    FUSE_EXPLICIT_INVAL_DATA | FUSE_SUBMOUNTS | FUSE_HANDLE_KILLPRIV_V2 |    \
		    FUSE_SETXATTR_EXT | FUSE_INIT_EXT) |                                     \
	 FN_CREATE_SUPP_GROUP | FUSE_HAS_EXPIRE_ONLY | FN_DIRECT_IO_ALLOW_MMAP |             \
	 FN_NO_EXPORT_SUPPORT | FN_HAS_RESEND | FN_ALLOW_IDMAP)

struct fs;

/* One request and its reply. */
struct freq {
	struct vreq vq;
	struct fs *fs;
	struct ring *ring;
	struct gbuf out_mem, in_mem;	/* what was allocated */
	struct gbuf out, in;		/* the part in use, cut into segments */
	uint32_t out_len;		/* bytes filled in so far */
	uint32_t in_len;		/* bytes the device may write */
	uint32_t opcode;
	struct gseg segs[FS_MAX_SEGS];
};

struct fs {
	struct vudev *dev;
	unsigned int queue;		/* that the calls of this client use */
	uint64_t next_unique;
	uint32_t uid, gid, pid;
	uint32_t umask;			/* sent with create operations */
	const void *ext;		/* extensions sent with create operations */
	uint16_t ext_len;		/* a multiple of 8 */
	/*
	 * How requests are cut: 0 as Linux does (header, arguments, pages),
	 * otherwise into segments of this many bytes; UINT32_MAX: one segment.
	 */
	uint32_t chunk;

	uint32_t minor;			/* agreed on by INIT */
	uint64_t flags;			/* agreed on by INIT */
	struct fuse_init_out init;
	struct freq *pool[FS_POOL];
	unsigned int npool;
};

struct fs_arg {
	const void *p;
	size_t n;
};

/* Requests, for those who want several in flight. */
void fs_init(struct fs *fs, struct vudev *dev);
void fs_close(struct fs *fs);
struct freq *fs_new(struct fs *fs, uint32_t opcode, uint64_t nodeid, size_t arg_room,
		    size_t reply_room);
void *fs_put(struct freq *q, const void *p, size_t n);
struct fuse_in_header *fs_head(struct freq *q);
void fs_layout(struct freq *q);
int fs_submit(struct freq *q);
int fs_again(struct freq *q);
int fs_wait(struct freq *q);
int fs_result(struct freq *q);
void *fs_reply(struct freq *q, size_t *len);
void fs_free(struct freq *q);
int fs_call(struct fs *fs, uint32_t opcode, uint64_t nodeid, const struct fs_arg *args,
	    unsigned int nargs, void *reply, size_t min, size_t max, size_t *got);

/* Operations. All return 0 or a count, a negative errno, or FS_BROKEN. */
int fs_start(struct fs *fs, uint32_t minor, uint64_t flags);
int fs_destroy(struct fs *fs);
int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fuse_entry_out *out);
int fs_forget(struct fs *fs, uint64_t nodeid, uint64_t nlookup);
int fs_batch_forget(struct fs *fs, const struct fuse_forget_one *list, uint32_t n);
int fs_getattr(struct fs *fs, uint64_t nodeid, const uint64_t *fh, struct fuse_attr_out *out);
int fs_statx(struct fs *fs, uint64_t nodeid, const uint64_t *fh, uint32_t mask,
	     struct fn_statx_out *out);
int fs_setattr(struct fs *fs, uint64_t nodeid, const struct fuse_setattr_in *in,
	       struct fuse_attr_out *out);
ssize_t fs_readlink(struct fs *fs, uint64_t nodeid, char *buf, size_t size);
int fs_symlink(struct fs *fs, uint64_t parent, const char *name, const char *target,
	       struct fuse_entry_out *out);
int fs_mknod(struct fs *fs, uint64_t parent, const char *name, uint32_t mode, uint32_t rdev,
	     struct fuse_entry_out *out);
int fs_mkdir(struct fs *fs, uint64_t parent, const char *name, uint32_t mode,
	     struct fuse_entry_out *out);
int fs_unlink(struct fs *fs, uint64_t parent, const char *name);
int fs_rmdir(struct fs *fs, uint64_t parent, const char *name);
int fs_rename(struct fs *fs, uint64_t parent, const char *name, uint64_t newparent,
	      const char *newname);
int fs_rename2(struct fs *fs, uint64_t parent, const char *name, uint64_t newparent,
	       const char *newname, uint32_t flags);
int fs_link(struct fs *fs, uint64_t nodeid, uint64_t newparent, const char *newname,
	    struct fuse_entry_out *out);
int fs_open(struct fs *fs, uint64_t nodeid, uint32_t flags, struct fuse_open_out *out);
int fs_create(struct fs *fs, uint64_t parent, const char *name, uint32_t flags, uint32_t mode,
	      struct fuse_entry_out *entry, struct fuse_open_out *open);
int fs_tmpfile(struct fs *fs, uint64_t parent, uint32_t flags, uint32_t mode,
	       struct fuse_entry_out *entry, struct fuse_open_out *open);
ssize_t fs_read(struct fs *fs, uint64_t nodeid, uint64_t fh, void *buf, uint32_t size,
		uint64_t offset, uint32_t flags);
ssize_t fs_write(struct fs *fs, uint64_t nodeid, uint64_t fh, const void *buf, uint32_t size,
		 uint64_t offset, uint32_t flags, uint32_t write_flags);
int fs_statfs(struct fs *fs, uint64_t nodeid, struct fuse_kstatfs *out);
int fs_release(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t flags,
	       uint32_t release_flags, uint64_t owner);
int fs_flush(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t owner);
int fs_fsync(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t flags);
int fs_setxattr(struct fs *fs, uint64_t nodeid, const char *name, const void *value,
		uint32_t size, uint32_t flags);
ssize_t fs_getxattr(struct fs *fs, uint64_t nodeid, const char *name, void *buf, uint32_t size);
ssize_t fs_listxattr(struct fs *fs, uint64_t nodeid, void *buf, uint32_t size);
int fs_removexattr(struct fs *fs, uint64_t nodeid, const char *name);
int fs_opendir(struct fs *fs, uint64_t nodeid, uint32_t flags, struct fuse_open_out *out);
ssize_t fs_readdir(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t offset, void *buf,
		   uint32_t size);
ssize_t fs_readdirplus(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t offset, void *buf,
		       uint32_t size);
int fs_releasedir(struct fs *fs, uint64_t nodeid, uint64_t fh);
int fs_fsyncdir(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t flags);
int fs_getlk(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t owner,
	     struct fuse_file_lock *lk);
int fs_setlk(struct fs *fs, uint32_t opcode, uint64_t nodeid, uint64_t fh, uint64_t owner,
	     const struct fuse_file_lock *lk, uint32_t lk_flags);
struct freq *fs_setlk_begin(struct fs *fs, uint32_t opcode, uint64_t nodeid, uint64_t fh,
			    uint64_t owner, const struct fuse_file_lock *lk, uint32_t lk_flags);
int fs_access(struct fs *fs, uint64_t nodeid, uint32_t mask);
int fs_interrupt(struct fs *fs, uint64_t unique);
int fs_fallocate(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t mode, uint64_t offset,
		 uint64_t length);
int64_t fs_lseek(struct fs *fs, uint64_t nodeid, uint64_t fh, uint64_t offset, uint32_t whence);
int64_t fs_copy(struct fs *fs, uint32_t opcode, const struct fuse_copy_file_range_in *in,
		uint64_t nodeid_in);
int fs_syncfs(struct fs *fs, uint64_t nodeid);
int fs_ioctl(struct fs *fs, uint64_t nodeid, const struct fuse_ioctl_in *in, const void *data,
	     void *out, size_t out_size, struct fuse_ioctl_out *res);
int fs_poll(struct fs *fs, uint64_t nodeid, uint64_t fh, uint32_t events, uint32_t *revents);
int fs_bmap(struct fs *fs, uint64_t nodeid, uint64_t block, uint32_t blocksize,
	    uint64_t *result);

#endif
