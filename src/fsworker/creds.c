/* creds.c - for whom a thread acts; see creds.h.
 *
 * A thread is one of two: the superuser of the jail, for requests that carry no caller; or the caller, so that
 * what it makes is its own from the first moment and the file system charges it (quota, reserved blocks). The
 * ids are the effective ones, changed by raw system calls: those of libc change all threads of the process.
 *
 * CAP_FSETID decides whether setgid bits survive a change by someone outside the group. It is in the effective set
 * for the guest's superuser and out of it for everybody else, and where the guest says that the caller lacks it.
 *
 * The umask is given to the kernel instead of being applied here: only the kernel knows whether the directory
 * has a default ACL, and then the umask must not count. That wants file system attributes (umask, working
 * directory) of the thread's own. The working directory is /proc/self/fd, for truncate() and the calls on extended
 * attributes, which take no directory; nothing else in this program starts at the working directory.
 */
#include "fsworker/creds.h"

#include "common/log.h"
#include "sandbox/sandbox.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifdef SYS_setresuid32
#define NR_SETRESUID SYS_setresuid32
#define NR_SETRESGID SYS_setresgid32
#define NR_SETGROUPS SYS_setgroups32
#else
#define NR_SETRESUID SYS_setresuid
#define NR_SETRESGID SYS_setresgid
#define NR_SETGROUPS SYS_setgroups
#endif

#define ID_NONE UINT32_MAX /* to the kernel "leave it": never a guest's */

/* What this thread has now; ID_NONE in an id: not known, set it in any case. */
static _Thread_local struct {
	uint32_t uid, gid;
	uint32_t sup_gid, has_sup_gid;
	uint32_t umask;
	bool no_fsetid;
} have;

static int set_groups(uint32_t has, uint32_t gid)
{
	have.has_sup_gid = ID_NONE;
	if (syscall(NR_SETGROUPS, (long)has, &gid) < 0)
		return -errno;
	have.has_sup_gid = has;
	have.sup_gid = gid;
	return 0;
}

static int set_ids(uint32_t uid, uint32_t gid)
{
	if (have.gid != gid) {
		have.gid = ID_NONE;
		if (syscall(NR_SETRESGID, -1L, (long)gid, -1L) < 0)
			return -errno;
		have.gid = gid;
	}
	if (have.uid != uid) {
		have.uid = ID_NONE;
		if (syscall(NR_SETRESUID, -1L, (long)uid, -1L) < 0)
			return -errno;
		have.uid = uid;
	}
	return 0;
}

/*
 * creds_thread_init() - First call of a thread that serves requests
 * @proc_fd:	/proc/self/fd
 *
 * A thread starts with what the thread that made it had at that moment, so all is set once.
 *
 * Return: 0 or -errno
 */
int creds_thread_init(int proc_fd)
{
	int r;

	/* Zeros would say that all is set already. */
	have.uid = have.gid = have.has_sup_gid = have.umask = ID_NONE;
	if (unshare(CLONE_FS) < 0 || fchdir(proc_fd) < 0)
		return -errno;
	umask(0);
	have.umask = 0;
	r = set_groups(0, 0);
	if (r == 0)
		r = set_ids(0, 0);
	have.no_fsetid = true;
	if (r == 0)
		r = creds_fsetid(true);
	return r;
}

/* creds_root() - Act as the superuser of the jail. 0 or -errno. */
int creds_root(void)
{
	int r = 0;

	if (likely((have.uid | have.gid | have.has_sup_gid) == 0))
		return 0;
	if (have.has_sup_gid)
		r = set_groups(0, 0);
	return r ? r : set_ids(0, 0);
}

/*
 * creds_become() - Act as a caller of the guest
 *
 * Return: 0, -EINVAL for ids that no process can have, or -errno
 */
int creds_become(const struct ipc_cred *c)
{
	uint32_t has = c->has_sup_gid != 0, sup = has ? c->sup_gid : 0;
	int r = 0;

	if (unlikely(c->uid == ID_NONE || c->gid == ID_NONE || sup == ID_NONE))
		return -EINVAL;
	if (unlikely(have.has_sup_gid != has || (has && have.sup_gid != sup)))
		r = set_groups(has, sup);
	return r ? r : set_ids(c->uid, c->gid);
}

/* creds_create() - Act as a caller who makes something: its ids, its umask, its right to setgid. 0 or -errno. */
int creds_create(const struct ipc_cred *c)
{
	int r = creds_become(c);

	if (r == 0)
		r = creds_fsetid(c->uid == 0);
	if (r == 0 && have.umask != (c->umask & 0777)) {
		have.umask = c->umask & 0777;
		umask(have.umask);
	}
	return r;
}

/* creds_fsetid() - May what comes next keep setuid and setgid bits? 0 or -errno. */
int creds_fsetid(bool on)
{
	int r;

	if (likely(have.no_fsetid == !on))
		return 0;
	r = sandbox_set_cap(CAP_FSETID, on);
	if (r == 0)
		have.no_fsetid = !on;
	return r;
}

/* creds_dac_override() - Let permission bits count for this thread, or not count again. 0 or -errno. */
int creds_dac_override(bool on)
{
	int r = sandbox_set_cap(CAP_DAC_OVERRIDE, on);

	if (r < 0)
		log_limited(LOG_LVL_ERR, "CAP_DAC_OVERRIDE cannot be %s: %d", on ? "raised" : "dropped", -r);
	return r;
}
