/* fs_local.c - see fs_local.h. */
#include "common/fs_local.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* fs_is_local() - see fs_local.h. */
bool fs_is_local(int fd)
{
	struct statfs s;

	if (fstatfs(fd, &s) < 0)
		return false;
	switch ((uint32_t)s.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
	case F2FS_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}
