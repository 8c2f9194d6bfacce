/* redo.c - what did the process before this one do?
 *
 * Role: fsworker. A request that is served again may have been done: its process was killed before, in or after the system call.
 * Names tell. What is found where the request was to make something is taken for the request's own when it is of the right kind
 * and owner and was born after the request was begun. A stranger's object is mistaken for it only if another guest or the host
 * made the same name, as the same user, in the moments between; the request itself had then failed, or will.
 */
#include "fsworker/fsworker.h"
#include "fsworker/resolve.h"

#include <sys/stat.h>

/* How finely a file system that wrote this may count: some know tenths of microseconds, hundredths of seconds, or seconds. */
static uint32_t granularity(uint32_t nsec)
{
	uint32_t g = 1;

	while (g < 1000000000 && nsec % (UINT64_C(10) * g) == 0)
		g *= 10;
	return g;
}

/*
 * redo_made() - Is this name what the request that is served again has made?
 * @r:		Request
 * @dirfd:	Where
 * @name:	Name
 * @type:	S_IF*
 * @cred:	Who made it
 */
bool redo_made(const struct req *r, int dirfd, const struct name *name, uint32_t type, const struct ipc_cred *cred)
{
	const struct journal_step *step = journal_now;
	const struct statx_timestamp *born;
	struct statx st;

	if (!r->redo || resolve_statx_name(dirfd, name, &st) < 0 || (st.stx_mode & S_IFMT) != type || st.stx_uid != cred->uid)
		return false;
	/* A file system that knows no birth changes the inode at its birth, too. */
	born = st.stx_mask & STATX_BTIME ? &st.stx_btime : &st.stx_ctime;
	return born->tv_sec > step->begun_sec ||
	       (born->tv_sec == step->begun_sec &&
		born->tv_nsec >= step->begun_nsec - step->begun_nsec % granularity(born->tv_nsec));
}

/* redo_same() - Is this name a name of what the descriptor stands for? */
bool redo_same(int dirfd, const struct name *name, int fd)
{
	struct statx a, b;

	return resolve_statx_name(dirfd, name, &a) == 0 && resolve_statx_fd(fd, 0, &b) == 0 && a.stx_ino == b.stx_ino &&
	       statx_dev(&a) == statx_dev(&b);
}
