/*
 * What FUSE 7.39 to 7.45 added, for hosts whose <linux/fuse.h> is older.
 *
 * The names have a prefix of their own, so that a newer system header does not
 * collide with them.
 */
#ifndef FUSE_NEW_H
#define FUSE_NEW_H

#include <stdint.h>

#define FN_STATX 52
#define FN_COPY_FILE_RANGE_64 53

#define FN_CREATE_SUPP_GROUP (1ull << 34)
#define FN_DIRECT_IO_ALLOW_MMAP (1ull << 36)
#define FN_NO_EXPORT_SUPPORT (1ull << 38)
#define FN_HAS_RESEND (1ull << 39)
#define FN_ALLOW_IDMAP (1ull << 40)
#define FN_OVER_IO_URING (1ull << 41)
#define FN_REQUEST_TIMEOUT (1ull << 42)

#define FN_EXT_GROUPS 32

struct fn_sx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t reserved;
};

/* Laid out as struct statx of the system call. */
struct fn_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct fn_sx_time atime;
	struct fn_sx_time btime;
	struct fn_sx_time ctime;
	struct fn_sx_time mtime;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t spare2[14];
};

struct fn_statx_in {
	uint32_t getattr_flags;
	uint32_t reserved;
	uint64_t fh;
	uint32_t sx_flags;
	uint32_t sx_mask;
};

struct fn_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	struct fn_statx stat;
};

struct fn_copy_out {
	uint64_t bytes_copied;
};

_Static_assert(sizeof(struct fn_statx) == 256, "wire size");
_Static_assert(sizeof(struct fn_statx_out) == 288, "wire size");
_Static_assert(sizeof(struct fn_statx_in) == 24, "wire size");

#endif
