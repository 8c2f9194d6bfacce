/* resolve.h - from names and descriptors to descriptors: the only callers of openat().
 *
 * Role: fsworker. Every walk starts at a descriptor and takes one component; no symbolic link is ever followed
 * for a guest. Only regular files and directories are opened; of everything else there is at most an O_PATH
 * descriptor.
 */
#ifndef VFSD_RESOLVE_H
#define VFSD_RESOLVE_H

#include "fsworker/name.h"

#include <fcntl.h>

/* A number as a name below /proc/self/fd. */
struct fd_name {
	char s[12];
};

/* What is asked of statx() everywhere. The id of a mount that is never used again, where the kernel has it. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif
#define RESOLVE_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID | STATX_MNT_ID_UNIQUE)

struct fd_name fd_name_of(int fd);
int resolve_child(int dirfd, const struct name *name) NODISCARD;
int resolve_parent(int dirfd) NODISCARD;
int resolve_create(int dirfd, const struct name *name, uint32_t flags, uint32_t mode) NODISCARD;
int resolve_tmpfile(int dirfd, uint32_t flags, uint32_t mode) NODISCARD;
int resolve_reopen(int proc_fd, int fd, uint32_t type, uint32_t flags) NODISCARD;
int resolve_pin(int proc_fd, int fd) NODISCARD;
int resolve_statx_name(int dirfd, const struct name *name, struct statx *st) NODISCARD;
int resolve_statx_fd(int fd, uint32_t sync, struct statx *st) NODISCARD;

#endif
