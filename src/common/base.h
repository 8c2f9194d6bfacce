/* base.h - small things that every file may use: compile-time checks, ownership of
 * descriptors and memory by scope, arithmetic that says when it overflows.
 *
 * Role: all. Depends on libc only.
 */
#ifndef VFSD_BASE_H
#define VFSD_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_UP(x, a) (((x) + ((a) - 1)) & ~((__typeof__(x))(a) - 1))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define NODISCARD __attribute__((warn_unused_result))

/* close_fd() - close a descriptor if there is one, and forget it; errno is kept. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
		*fd = -1;
	}
}

static inline void free_ptr(void *p)
{
	void **pp = p;

	free(*pp);
	*pp = NULL;
}

/* A descriptor or a block that ends with its scope unless it is taken out of it. */
#define AUTO_FD __attribute__((cleanup(close_fd))) int
#define AUTO_FREE __attribute__((cleanup(free_ptr)))

/* take_fd() - hand the descriptor on to a new owner. */
static inline int take_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#define checked_add(a, b, res) (!__builtin_add_overflow((a), (b), (res)))
#define checked_mul(a, b, res) (!__builtin_mul_overflow((a), (b), (res)))

/* range_within() - is [off, off+len) inside [0, total)? Never overflows. */
static inline bool range_within(uint64_t off, uint64_t len, uint64_t total)
{
	return off <= total && len <= total - off;
}

#endif
