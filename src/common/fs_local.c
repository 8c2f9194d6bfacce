/* fs_local.c - see fs_local.h. */
#include "common/fs_local.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* fs_is_local() - see fs_local.h. */
bool fs_is_local(int fd)
{
	struct statfs s;
	struct stat st;

	if (fstatfs(fd, &s) < 0)
		return false;
	switch ((uint32_t)s.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
		/* 9p tells the type of what its server has, but no block device. */
		return fstat(fd, &st) == 0 && major(st.st_dev) != 0;
	case BTRFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return true;
	default:
		return false;
	}
}
