/* ids.c - becoming another user, completely: no supplementary group, real, effective, saved and file-system ids.
 *
 * Role: transport, fsworker. Raw system calls: glibc's wrappers would signal other threads, of which there are none
 * yet, and set up a machinery that the filter has no room for.
 */
#include "sandbox/sandbox_internal.h"

#include <sys/syscall.h>

/**
 * ids_become() - leave all supplementary groups, then take these ids.
 * @uid: user id. @gid: group id.
 *
 * Groups first: without CAP_SETGID, or as another user, they could no longer be left. A process that keeps root's
 * groups makes files that belong to them (the setgid files of CVE-2022-0358).
 */
int ids_become(uint32_t uid, uint32_t gid, const char **step)
{
	*step = "leave the supplementary groups (CAP_SETGID)";
	if (syscall(SYS_setgroups, 0, NULL) < 0)
		return -errno;
	*step = "change the group id (CAP_SETGID)";
	if (syscall(SYS_setresgid, gid, gid, gid) < 0)
		return -errno;
	*step = "change the user id (CAP_SETUID)";
	if (syscall(SYS_setresuid, uid, uid, uid) < 0)
		return -errno;
	return 0;
}

/**
 * ids_verify() - are these the ids, all of them?
 */
int ids_verify(uint32_t uid, uint32_t gid, const char **step)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	*step = "read the ids back";
	if (getresuid(&ru, &eu, &su) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return -errno;
	*step = "drop the ids: they did not change";
	if (ru != uid || eu != uid || su != uid || rg != gid || eg != gid || sg != gid)
		return -EPERM;
	*step = "leave the supplementary groups: some are left";
	if (getgroups(0, NULL) != 0)
		return -EPERM;
	return 0;
}
