/* test_fuse_wire.c - our spelling of the FUSE protocol against the kernel's header, for all that the installed one knows. */
#include <linux/fuse.h>

#include "transport/fuse_wire.h"
#include "unit.h"

#define SAME_SIZE(ours, theirs) ck_assert_uint_eq(sizeof(struct ours), sizeof(struct theirs))
#define SAME_AT(ours, theirs, field) \
	ck_assert_uint_eq(offsetof(struct ours, field), offsetof(struct theirs, field))

START_TEST(structs_have_the_kernels_layout)
{
	SAME_SIZE(fw_in_header, fuse_in_header);
	SAME_AT(fw_in_header, fuse_in_header, uid);
	SAME_AT(fw_in_header, fuse_in_header, pid);
	SAME_SIZE(fw_out_header, fuse_out_header);
	SAME_SIZE(fw_attr, fuse_attr);
	SAME_AT(fw_attr, fuse_attr, mode);
	SAME_AT(fw_attr, fuse_attr, blksize);
	SAME_AT(fw_attr, fuse_attr, flags);
	SAME_SIZE(fw_entry_out, fuse_entry_out);
	SAME_AT(fw_entry_out, fuse_entry_out, attr_valid);
	SAME_AT(fw_entry_out, fuse_entry_out, attr);
	SAME_SIZE(fw_attr_out, fuse_attr_out);
	SAME_SIZE(fw_forget_in, fuse_forget_in);
	SAME_SIZE(fw_forget_one, fuse_forget_one);
	SAME_SIZE(fw_batch_forget_in, fuse_batch_forget_in);
	SAME_SIZE(fw_getattr_in, fuse_getattr_in);
	SAME_SIZE(fw_mknod_in, fuse_mknod_in);
	SAME_AT(fw_mknod_in, fuse_mknod_in, umask);
	SAME_SIZE(fw_mkdir_in, fuse_mkdir_in);
	SAME_SIZE(fw_rename_in, fuse_rename_in);
	SAME_SIZE(fw_rename2_in, fuse_rename2_in);
	SAME_SIZE(fw_link_in, fuse_link_in);
	SAME_SIZE(fw_setattr_in, fuse_setattr_in);
	SAME_AT(fw_setattr_in, fuse_setattr_in, lock_owner);
	SAME_AT(fw_setattr_in, fuse_setattr_in, ctimensec);
	SAME_AT(fw_setattr_in, fuse_setattr_in, mode);
	SAME_AT(fw_setattr_in, fuse_setattr_in, gid);
	SAME_SIZE(fw_open_in, fuse_open_in);
	SAME_SIZE(fw_create_in, fuse_create_in);
	SAME_AT(fw_create_in, fuse_create_in, open_flags);
	SAME_SIZE(fw_open_out, fuse_open_out);
	SAME_SIZE(fw_release_in, fuse_release_in);
	SAME_AT(fw_release_in, fuse_release_in, lock_owner);
	SAME_SIZE(fw_flush_in, fuse_flush_in);
	SAME_AT(fw_flush_in, fuse_flush_in, lock_owner);
	SAME_SIZE(fw_read_in, fuse_read_in);
	SAME_AT(fw_read_in, fuse_read_in, size);
	SAME_AT(fw_read_in, fuse_read_in, flags);
	SAME_SIZE(fw_write_in, fuse_write_in);
	SAME_AT(fw_write_in, fuse_write_in, write_flags);
	SAME_SIZE(fw_write_out, fuse_write_out);
	SAME_SIZE(fw_statfs_out, fuse_statfs_out);
	SAME_SIZE(fw_fsync_in, fuse_fsync_in);
	SAME_SIZE(fw_setxattr_in, fuse_setxattr_in);
	SAME_SIZE(fw_getxattr_in, fuse_getxattr_in);
	SAME_SIZE(fw_getxattr_out, fuse_getxattr_out);
	SAME_SIZE(fw_lk_in, fuse_lk_in);
	ck_assert_uint_eq(offsetof(struct fw_lk_in, start), offsetof(struct fuse_lk_in, lk.start));
	ck_assert_uint_eq(offsetof(struct fw_lk_in, pid), offsetof(struct fuse_lk_in, lk.pid));
	SAME_AT(fw_lk_in, fuse_lk_in, lk_flags);
	SAME_SIZE(fw_lk_out, fuse_lk_out);
	SAME_SIZE(fw_access_in, fuse_access_in);
	SAME_SIZE(fw_init_in, fuse_init_in);
	SAME_AT(fw_init_in, fuse_init_in, flags2);
	SAME_SIZE(fw_init_out, fuse_init_out);
	SAME_AT(fw_init_out, fuse_init_out, max_write);
	SAME_AT(fw_init_out, fuse_init_out, max_pages);
	SAME_AT(fw_init_out, fuse_init_out, flags2);
	SAME_SIZE(fw_interrupt_in, fuse_interrupt_in);
	SAME_SIZE(fw_fallocate_in, fuse_fallocate_in);
	SAME_SIZE(fw_lseek_in, fuse_lseek_in);
	SAME_SIZE(fw_lseek_out, fuse_lseek_out);
	SAME_SIZE(fw_copy_file_range_in, fuse_copy_file_range_in);
	SAME_AT(fw_copy_file_range_in, fuse_copy_file_range_in, len);
	SAME_SIZE(fw_syncfs_in, fuse_syncfs_in);
	ck_assert_uint_eq(sizeof(struct fw_dirent), FUSE_NAME_OFFSET);
	ck_assert_uint_eq(sizeof(struct fw_direntplus), FUSE_NAME_OFFSET_DIRENTPLUS);
	ck_assert_uint_eq(FW_SETXATTR_IN_SHORT, FUSE_COMPAT_SETXATTR_IN_SIZE);
#if FUSE_KERNEL_MINOR_VERSION >= 39
	SAME_SIZE(fw_statx_in, fuse_statx_in);
	SAME_SIZE(fw_statx_out, fuse_statx_out);
	SAME_SIZE(fw_statx, fuse_statx);
	SAME_AT(fw_statx, fuse_statx, mtime);
	SAME_AT(fw_statx, fuse_statx, dev_minor);
#endif
}
END_TEST

START_TEST(numbers_are_the_kernels)
{
#define SAME(x) ck_assert_uint_eq((uint64_t)FW_##x, (uint64_t)FUSE_##x)
	SAME(LOOKUP); SAME(FORGET); SAME(GETATTR); SAME(SETATTR); SAME(READLINK); SAME(SYMLINK); SAME(MKNOD);
	SAME(MKDIR); SAME(UNLINK); SAME(RMDIR); SAME(RENAME); SAME(LINK); SAME(OPEN); SAME(READ); SAME(WRITE);
	SAME(STATFS); SAME(RELEASE); SAME(FSYNC); SAME(SETXATTR); SAME(GETXATTR); SAME(LISTXATTR);
	SAME(REMOVEXATTR); SAME(FLUSH); SAME(INIT); SAME(OPENDIR); SAME(READDIR); SAME(RELEASEDIR); SAME(FSYNCDIR);
	SAME(GETLK); SAME(SETLK); SAME(SETLKW); SAME(ACCESS); SAME(CREATE); SAME(INTERRUPT); SAME(BMAP);
	SAME(DESTROY); SAME(IOCTL); SAME(POLL); SAME(NOTIFY_REPLY); SAME(BATCH_FORGET); SAME(FALLOCATE);
	SAME(READDIRPLUS); SAME(RENAME2); SAME(LSEEK); SAME(COPY_FILE_RANGE); SAME(SETUPMAPPING);
	SAME(REMOVEMAPPING); SAME(SYNCFS); SAME(TMPFILE);
	SAME(ASYNC_READ); SAME(POSIX_LOCKS); SAME(ATOMIC_O_TRUNC); SAME(EXPORT_SUPPORT); SAME(BIG_WRITES);
	SAME(DONT_MASK); SAME(FLOCK_LOCKS); SAME(HAS_IOCTL_DIR); SAME(AUTO_INVAL_DATA); SAME(DO_READDIRPLUS);
	SAME(READDIRPLUS_AUTO); SAME(ASYNC_DIO); SAME(WRITEBACK_CACHE); SAME(NO_OPEN_SUPPORT); SAME(PARALLEL_DIROPS);
	SAME(HANDLE_KILLPRIV); SAME(POSIX_ACL); SAME(MAX_PAGES); SAME(CACHE_SYMLINKS); SAME(NO_OPENDIR_SUPPORT);
	SAME(SUBMOUNTS); SAME(HANDLE_KILLPRIV_V2); SAME(SETXATTR_EXT); SAME(INIT_EXT); SAME(SECURITY_CTX);
	SAME(RELEASE_FLUSH); SAME(RELEASE_FLOCK_UNLOCK); SAME(GETATTR_FH); SAME(LK_FLOCK); SAME(WRITE_CACHE);
	SAME(WRITE_LOCKOWNER); SAME(WRITE_KILL_SUIDGID); SAME(FSYNC_FDATASYNC); SAME(OPEN_KILL_SUIDGID);
	SAME(SETXATTR_ACL_KILL_SGID); SAME(ATTR_SUBMOUNT);
	ck_assert_uint_eq(FW_ROOT_ID, FUSE_ROOT_ID);
	ck_assert_uint_eq(FW_FOPEN_DIRECT_IO, FOPEN_DIRECT_IO);
	ck_assert_uint_eq(FW_FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE);
	ck_assert_uint_eq(FW_FOPEN_CACHE_DIR, FOPEN_CACHE_DIR);
	ck_assert_uint_eq(FW_FOPEN_NOFLUSH, FOPEN_NOFLUSH);
	ck_assert_uint_eq(FW_FOPEN_PARALLEL_DIRECT_WRITES, FOPEN_PARALLEL_DIRECT_WRITES);
	ck_assert_uint_eq(FW_FATTR_FH, FATTR_FH);
	ck_assert_uint_eq(FW_FATTR_MTIME_NOW, FATTR_MTIME_NOW);
	ck_assert_uint_eq(FW_FATTR_KILL_SUIDGID, FATTR_KILL_SUIDGID);
#if FUSE_KERNEL_MINOR_VERSION >= 39
	SAME(STATX); SAME(CREATE_SUPP_GROUP); SAME(DIRECT_IO_ALLOW_MMAP);
	ck_assert_uint_eq(FW_EXT_GROUPS, FUSE_EXT_GROUPS);
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 41
	SAME(ALLOW_IDMAP);
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 45
	SAME(COPY_FILE_RANGE_64);
#endif
}
END_TEST

UNIT_MAIN("fuse_wire", structs_have_the_kernels_layout, numbers_are_the_kernels)
