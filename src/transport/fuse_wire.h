/* fuse_wire.h - the FUSE protocol's bytes as they stand in guest memory, versions 7.27 to 7.45.
 *
 * Role: transport; nobody else sees these. Layouts and numbers are the kernel's (include/uapi/linux/fuse.h); they are
 * spelled out here because the C library's kernel headers may be older than the protocol we speak. tests/unit
 * compares every one that <linux/fuse.h> knows. All little-endian on the hosts that we support, as is the guest.
 */
#ifndef VFSD_FUSE_WIRE_H
#define VFSD_FUSE_WIRE_H

#include "common/base.h"

#define FW_MAJOR 7u
#define FW_MINOR 45u     /* what we speak */
#define FW_MINOR_MIN 27u /* what a guest must at least */
#define FW_ROOT_ID 1u

enum fw_opcode {
	FW_LOOKUP = 1,
	FW_FORGET = 2,
	FW_GETATTR = 3,
	FW_SETATTR = 4,
	FW_READLINK = 5,
	FW_SYMLINK = 6,
	FW_MKNOD = 8,
	FW_MKDIR = 9,
	FW_UNLINK = 10,
	FW_RMDIR = 11,
	FW_RENAME = 12,
	FW_LINK = 13,
	FW_OPEN = 14,
	FW_READ = 15,
	FW_WRITE = 16,
	FW_STATFS = 17,
	FW_RELEASE = 18,
	FW_FSYNC = 20,
	FW_SETXATTR = 21,
	FW_GETXATTR = 22,
	FW_LISTXATTR = 23,
	FW_REMOVEXATTR = 24,
	FW_FLUSH = 25,
	FW_INIT = 26,
	FW_OPENDIR = 27,
	FW_READDIR = 28,
	FW_RELEASEDIR = 29,
	FW_FSYNCDIR = 30,
	FW_GETLK = 31,
	FW_SETLK = 32,
	FW_SETLKW = 33,
	FW_ACCESS = 34,
	FW_CREATE = 35,
	FW_INTERRUPT = 36,
	FW_BMAP = 37,
	FW_DESTROY = 38,
	FW_IOCTL = 39,
	FW_POLL = 40,
	FW_NOTIFY_REPLY = 41,
	FW_BATCH_FORGET = 42,
	FW_FALLOCATE = 43,
	FW_READDIRPLUS = 44,
	FW_RENAME2 = 45,
	FW_LSEEK = 46,
	FW_COPY_FILE_RANGE = 47,
	FW_SETUPMAPPING = 48,
	FW_REMOVEMAPPING = 49,
	FW_SYNCFS = 50,
	FW_TMPFILE = 51,
	FW_STATX = 52,
	FW_COPY_FILE_RANGE_64 = 53,
	FW_OPCODE_END,
};

/* INIT flags, both words as one number. */
#define FW_ASYNC_READ (1ull << 0)
#define FW_POSIX_LOCKS (1ull << 1)
#define FW_ATOMIC_O_TRUNC (1ull << 3)
#define FW_EXPORT_SUPPORT (1ull << 4)
#define FW_BIG_WRITES (1ull << 5)
#define FW_DONT_MASK (1ull << 6)
#define FW_FLOCK_LOCKS (1ull << 10)
#define FW_HAS_IOCTL_DIR (1ull << 11)
#define FW_AUTO_INVAL_DATA (1ull << 12)
#define FW_DO_READDIRPLUS (1ull << 13)
#define FW_READDIRPLUS_AUTO (1ull << 14)
#define FW_ASYNC_DIO (1ull << 15)
#define FW_WRITEBACK_CACHE (1ull << 16)
#define FW_NO_OPEN_SUPPORT (1ull << 17)
#define FW_PARALLEL_DIROPS (1ull << 18)
#define FW_HANDLE_KILLPRIV (1ull << 19)
#define FW_POSIX_ACL (1ull << 20)
#define FW_MAX_PAGES (1ull << 22)
#define FW_CACHE_SYMLINKS (1ull << 23)
#define FW_NO_OPENDIR_SUPPORT (1ull << 24)
#define FW_SUBMOUNTS (1ull << 27)
#define FW_HANDLE_KILLPRIV_V2 (1ull << 28)
#define FW_SETXATTR_EXT (1ull << 29)
#define FW_INIT_EXT (1ull << 30)
#define FW_SECURITY_CTX (1ull << 32)
#define FW_CREATE_SUPP_GROUP (1ull << 34)
#define FW_DIRECT_IO_ALLOW_MMAP (1ull << 36)
#define FW_ALLOW_IDMAP (1ull << 40)

/* Replies to OPEN, OPENDIR, CREATE. */
#define FW_FOPEN_DIRECT_IO (1u << 0)
#define FW_FOPEN_KEEP_CACHE (1u << 1)
#define FW_FOPEN_CACHE_DIR (1u << 3)
#define FW_FOPEN_NOFLUSH (1u << 5)
#define FW_FOPEN_PARALLEL_DIRECT_WRITES (1u << 6)

#define FW_FATTR_MODE (1u << 0)
#define FW_FATTR_UID (1u << 1)
#define FW_FATTR_GID (1u << 2)
#define FW_FATTR_SIZE (1u << 3)
#define FW_FATTR_ATIME (1u << 4)
#define FW_FATTR_MTIME (1u << 5)
#define FW_FATTR_FH (1u << 6)
#define FW_FATTR_ATIME_NOW (1u << 7)
#define FW_FATTR_MTIME_NOW (1u << 8)
#define FW_FATTR_LOCKOWNER (1u << 9)
#define FW_FATTR_CTIME (1u << 10)
#define FW_FATTR_KILL_SUIDGID (1u << 11)

#define FW_RELEASE_FLUSH (1u << 0)
#define FW_RELEASE_FLOCK_UNLOCK (1u << 1)
#define FW_GETATTR_FH (1u << 0)
#define FW_LK_FLOCK (1u << 0)
#define FW_WRITE_CACHE (1u << 0)
#define FW_WRITE_LOCKOWNER (1u << 1)
#define FW_WRITE_KILL_SUIDGID (1u << 2)
#define FW_FSYNC_FDATASYNC (1u << 0)
#define FW_OPEN_KILL_SUIDGID (1u << 0)
#define FW_SETXATTR_ACL_KILL_SGID (1u << 0)
#define FW_ATTR_SUBMOUNT (1u << 0)
#define FW_EXT_GROUPS 32u
#define FW_MAX_SECCTX 31u
#define FW_INVALID_ID UINT32_MAX /* a uid or gid that the guest could not map (ALLOW_IDMAP) */

struct fw_in_header {
	uint32_t len, opcode;
	uint64_t unique, nodeid;
	uint32_t uid, gid, pid;
	uint16_t total_extlen; /* in units of 8 bytes */
	uint16_t padding;
};

struct fw_out_header {
	uint32_t len;
	int32_t error; /* 0 or a negative errno */
	uint64_t unique;
};

struct fw_attr {
	uint64_t ino, size, blocks, atime, mtime, ctime;
	uint32_t atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev, blksize, flags;
};

struct fw_entry_out {
	uint64_t nodeid, generation, entry_valid, attr_valid;
	uint32_t entry_valid_nsec, attr_valid_nsec;
	struct fw_attr attr;
};

struct fw_attr_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec, dummy;
	struct fw_attr attr;
};

struct fw_forget_in {
	uint64_t nlookup;
};
struct fw_forget_one {
	uint64_t nodeid, nlookup;
};
struct fw_batch_forget_in {
	uint32_t count, dummy;
};
struct fw_getattr_in {
	uint32_t getattr_flags, dummy;
	uint64_t fh;
};
struct fw_mknod_in {
	uint32_t mode, rdev, umask, padding;
};
struct fw_mkdir_in {
	uint32_t mode, umask;
};
struct fw_rename_in {
	uint64_t newdir;
};
struct fw_rename2_in {
	uint64_t newdir;
	uint32_t flags, padding;
};
struct fw_link_in {
	uint64_t oldnodeid;
};
struct fw_setattr_in {
	uint32_t valid, padding;
	uint64_t fh, size, lock_owner, atime, mtime, ctime;
	uint32_t atimensec, mtimensec, ctimensec, mode, unused4, uid, gid, unused5;
};
struct fw_open_in {
	uint32_t flags, open_flags;
};
struct fw_create_in {
	uint32_t flags, mode, umask, open_flags;
};
struct fw_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};
struct fw_release_in {
	uint64_t fh;
	uint32_t flags, release_flags;
	uint64_t lock_owner;
};
struct fw_flush_in {
	uint64_t fh;
	uint32_t unused, padding;
	uint64_t lock_owner;
};
struct fw_read_in {
	uint64_t fh, offset;
	uint32_t size, read_flags;
	uint64_t lock_owner;
	uint32_t flags, padding;
};
struct fw_write_in {
	uint64_t fh, offset;
	uint32_t size, write_flags;
	uint64_t lock_owner;
	uint32_t flags, padding;
};
struct fw_write_out {
	uint32_t size, padding;
};
struct fw_statfs_out {
	uint64_t blocks, bfree, bavail, files, ffree;
	uint32_t bsize, namelen, frsize, padding, spare[6];
};
struct fw_fsync_in {
	uint64_t fh;
	uint32_t fsync_flags, padding;
};
struct fw_setxattr_in {
	uint32_t size, flags;
	uint32_t setxattr_flags, padding; /* only with SETXATTR_EXT */
};
#define FW_SETXATTR_IN_SHORT 8u
struct fw_getxattr_in {
	uint32_t size, padding;
};
struct fw_getxattr_out {
	uint32_t size, padding;
};
struct fw_lk_in {
	uint64_t fh, owner, start, end;
	uint32_t type, pid, lk_flags, padding;
};
struct fw_lk_out {
	uint64_t start, end;
	uint32_t type, pid;
};
struct fw_access_in {
	uint32_t mask, padding;
};
struct fw_init_in {
	uint32_t major, minor, max_readahead, flags;
	uint32_t flags2, unused[11]; /* only with INIT_EXT, since 7.36 */
};
#define FW_INIT_IN_SHORT 16u
struct fw_init_out {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth;
	uint16_t request_timeout, unused[11];
};
struct fw_interrupt_in {
	uint64_t unique;
};
struct fw_fallocate_in {
	uint64_t fh, offset, length;
	uint32_t mode, padding;
};
struct fw_lseek_in {
	uint64_t fh, offset;
	uint32_t whence, padding;
};
struct fw_lseek_out {
	uint64_t offset;
};
struct fw_copy_file_range_in {
	uint64_t fh_in, off_in, nodeid_out, fh_out, off_out, len, flags;
};
struct fw_copy_file_range_out {
	uint64_t bytes_copied;
};
struct fw_syncfs_in {
	uint64_t padding;
};
struct fw_dirent {
	uint64_t ino, off;
	uint32_t namelen, type;
};
struct fw_direntplus {
	struct fw_entry_out entry;
	struct fw_dirent dirent;
};
struct fw_statx_in {
	uint32_t getattr_flags, reserved;
	uint64_t fh;
	uint32_t sx_flags, sx_mask;
};
struct fw_sx_time {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t reserved;
};
struct fw_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, spare0;
	uint64_t ino, size, blocks, attributes_mask;
	struct fw_sx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare2[14];
};
struct fw_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec, flags;
	uint64_t spare[2];
	struct fw_statx stat;
};
struct fw_ext_header { /* also the head of the security contexts: nr_secctx stands for type */
	uint32_t size, type;
};

_Static_assert(sizeof(struct fw_in_header) == 40 && sizeof(struct fw_out_header) == 16, "headers");
_Static_assert(sizeof(struct fw_attr) == 88 && sizeof(struct fw_entry_out) == 128, "attributes");
_Static_assert(sizeof(struct fw_init_out) == 64 && sizeof(struct fw_init_in) == 64, "init");
_Static_assert(sizeof(struct fw_statx) == 256 && sizeof(struct fw_statx_out) == 288, "statx");
_Static_assert(sizeof(struct fw_lk_in) == 48 && sizeof(struct fw_setattr_in) == 88, "lk, setattr");

#endif
