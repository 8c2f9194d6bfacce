/* resolve.c - see resolve.h. */
#include "fsworker/resolve.h"

#include <sys/stat.h>

/* fd_name_of() - a descriptor's name below /proc/self/fd */
struct fd_name fd_name_of(int fd)
{
	struct fd_name n;
	unsigned int v = fd < 0 ? 0 : (unsigned int)fd;
	char digits[sizeof(n.s)];
	size_t len = 0, i = 0;

	do {
		digits[len++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (len)
		n.s[i++] = digits[--len];
	n.s[i] = '\0';
	return n;
}

/* A guest has no limit of descriptors of its own: what we are out of, the system is out of. */
static int open_result(long fd)
{
	if (fd >= 0)
		return (int)fd;
	return errno == EMFILE ? -ENFILE : -errno;
}

/*
 * One step into a directory. The name is one checked component and no link is followed, so the kernel cannot leave
 * the directory: openat2() with RESOLVE_BENEATH would add nothing, but a lock of the whole host (against renames) and
 * EXDEV for a name that is renamed at this moment.
 */
static int open_entry(int dirfd, const char *name, uint32_t flags, uint32_t mode)
{
	return open_result(openat(dirfd, name, (int)(flags | O_NOFOLLOW | O_CLOEXEC), (mode_t)mode));
}

/* resolve_child() - O_PATH descriptor of an entry, whatever it is; a symbolic link is itself. Or -errno. */
int resolve_child(int dirfd, const struct name *name)
{
	return open_entry(dirfd, name->s, O_PATH, 0);
}

/*
 * resolve_parent() - O_PATH descriptor of a directory's parent
 *
 * The caller has seen to it that the directory is not the share's root. Below that the root of the mount namespace
 * and, for a directory that the host moved out of the share, the kernel's own check against mounts set the limit.
 *
 * Return: descriptor or -errno
 */
int resolve_parent(int dirfd)
{
	return open_result(openat(dirfd, "..", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/* resolve_create() - Make a regular file that was not there before, and open it. Descriptor or -errno. */
int resolve_create(int dirfd, const struct name *name, uint32_t flags, uint32_t mode)
{
	return open_entry(dirfd, name->s, flags | O_CREAT | O_EXCL | O_NOCTTY, mode & 07777);
}

/* resolve_tmpfile() - Make a regular file without a name, and open it. Descriptor or -errno. */
int resolve_tmpfile(int dirfd, uint32_t flags, uint32_t mode)
{
	return open_entry(dirfd, ".", flags | O_TMPFILE | O_NOCTTY, mode & 07777);
}

/*
 * resolve_reopen() - Open what an O_PATH descriptor stands for
 * @proc_fd:	/proc/self/fd
 * @fd:		Descriptor
 * @type:	Its mode as statx() told: opening a FIFO would wait, opening a device would act
 * @flags:	How
 *
 * Return: descriptor or -errno
 */
int resolve_reopen(int proc_fd, int fd, uint32_t type, uint32_t flags)
{
	struct fd_name n = fd_name_of(fd);

	if (S_ISLNK(type))
		return -ELOOP;
	if (!S_ISREG(type) && !S_ISDIR(type))
		return -ENXIO;
	flags &= ~(uint32_t)(O_CREAT | O_EXCL | O_NOFOLLOW);
	return open_result(openat(proc_fd, n.s, (int)flags | O_NOCTTY | O_CLOEXEC));
}

/* resolve_pin() - An O_PATH descriptor of an open file, one that does not count as open. Or -errno. */
int resolve_pin(int proc_fd, int fd)
{
	struct fd_name n = fd_name_of(fd);

	return open_result(openat(proc_fd, n.s, O_PATH | O_CLOEXEC));
}

/* resolve_statx_name() - Attributes of an entry of a directory. 0 or -errno. */
int resolve_statx_name(int dirfd, const struct name *name, struct statx *st)
{
	return statx(dirfd, name->s, AT_SYMLINK_NOFOLLOW, RESOLVE_STATX_MASK, st) < 0 ? -errno : 0;
}

/* resolve_statx_fd() - Attributes of what a descriptor stands for. @sync: AT_STATX_*. 0 or -errno. */
int resolve_statx_fd(int fd, uint32_t sync, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH | (int)sync, RESOLVE_STATX_MASK, st) < 0 ? -errno : 0;
}
