/* shm.c - memory that outlives the processes that use it.
 *
 * Role: monitor, which makes it, keeps the descriptor and never maps it. Sealed in its size: no holder can shrink
 * it under another, who would die of SIGBUS.
 */
#include "monitor/monitor.h"

#include <fcntl.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* since Linux 6.3 */
#endif

/**
 * shm_make() - zeroed memory of a fixed size, never executable where the kernel can promise that.
 * @name: for /proc/PID/maps.
 *
 * Return: the descriptor, or -errno.
 */
int shm_make(const char *name, uint64_t size)
{
	AUTO_FD fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return take_fd(&fd);
}
