/* sandbox_enter.c - the stages by which a process gives up what its role does not need.
 *
 * Role: all. Each stage takes away one kind of authority; the order is given by what the stages themselves need:
 *
 *  0. libc      What libc would look up by path at some later moment is settled now.
 *  1. bound     Bounding set, ambient set, securebits. Needs CAP_SETPCAP, takes nothing from the process itself, and
 *               comes first because libcap-ng reads /proc, which stage 2 takes away. NO_SETUID_FIXUP must be set
 *               before stage 3: else leaving uid 0 would clear the capabilities that stage 4 is to keep.
 *  2. root      Mount namespace and root directory. Needs CAP_SYS_ADMIN, and uid 0, which owns the directories it goes
 *               through. From here on no path leads to the host's files.
 *  3. ids       Supplementary groups, gid, uid. Needs CAP_SETGID and CAP_SETUID, so before stage 4.
 *  4. caps      Permitted, effective and inheritable. From here on nothing of the above can be undone.
 *  5. process   no_new_privs, not dumpable, no core dump, the parent-death signal. After 3 and 4: the kernel takes the
 *               signal away, and may make a process dumpable again, when its ids change or its capabilities grow.
 *  6. verify    All of it is read back. A stage that failed without saying so ends the process here.
 *  7. filter    System calls. Last: the stages before need calls that no role needs later.
 *
 * The caller is single-threaded, has read nothing yet from any peer but the monitor, and exits when a stage fails.
 */
#include "sandbox/sandbox_internal.h"

#include "common/log.h"

#include <limits.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* What this file is entered with and the stages share. */
struct entering {
	const struct sandbox_policy *policy;
	const struct sandbox_params *params;
	struct sandbox_result *result;
	const char *step; /* what is being done, for the one message on failure */
};

/* malloc asks for the number of processors when threads compete for its arenas, and reads it from a file below /sys.
 * The transport would be killed for that; the fsworker would open what its guest has put there. So it would be for the file
 * below /proc/sys that malloc reads before it first shrinks a thread's arena: arenas keep what they have (large blocks
 * are mappings of their own, and go back). */
static int stage_libc(struct entering *e)
{
	cpu_set_t cpus;

	e->step = "settle the number of malloc's arenas";
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		CPU_ZERO(&cpus);
	if (mallopt(M_ARENA_MAX, 8 * MAX(CPU_COUNT(&cpus), 1)) != 1 && !SANDBOX_SANITIZED)
		return -EINVAL;
	e->step = "keep malloc from shrinking its arenas";
	return mallopt(M_TRIM_THRESHOLD, INT_MAX) == 1 || SANDBOX_SANITIZED ? 0 : -EINVAL;
}

static int stage_bound(struct entering *e)
{
	return caps_bound(e->policy, &e->step);
}

static int stage_root(struct entering *e)
{
	switch (e->policy->root) {
	case SANDBOX_ROOT_EMPTY:
		return ns_empty_root(&e->step);
	case SANDBOX_ROOT_SHARE:
		return ns_share_root(e->params, e->result, &e->step);
	case SANDBOX_ROOT_HOST:
		break;
	}
	return 0;
}

static int stage_ids(struct entering *e)
{
	if (e->policy->drop_ids)
		return ids_become(e->params->uid, e->params->gid, &e->step);
	if (e->policy->root == SANDBOX_ROOT_HOST)
		return 0;
	return ids_become(0, 0, &e->step);
}

static int stage_caps(struct entering *e)
{
	return caps_keep(e->policy, &e->step);
}

static int stage_process(struct entering *e)
{
	/* At 1 the kernel gives nothing to a program that collects dumps (core_pattern with "|", which no limit of 0
	 * stops), and a file of one byte is too short to be written. Not being dumpable is not enough: each change
	 * of ids sets that to fs.suid_dumpable again. */
	static const struct rlimit no_core = { 1, 1 };

	e->step = "set no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	e->step = "forbid core dumps";
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return -errno;
	/* Not dumpable: other processes of the same user can neither trace it nor look into its /proc entry. */
	e->step = "become not dumpable";
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	if (e->policy->root == SANDBOX_ROOT_HOST)
		return 0; /* the monitor lives as long as it likes */
	e->step = "ask for the parent-death signal";
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

static int stage_verify(struct entering *e)
{
	struct rlimit core;
	int r = caps_verify(e->policy, &e->step);

	if (r == 0 && e->policy->drop_ids)
		r = ids_verify(e->params->uid, e->params->gid, &e->step);
	else if (r == 0 && e->policy->root != SANDBOX_ROOT_HOST)
		r = ids_verify(0, 0, &e->step);
	if (r < 0)
		return r;
	e->step = "become not dumpable, with no_new_privs: it did not stay so";
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return -EPERM;
	e->step = "forbid core dumps: the limit did not change";
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur != 1 || core.rlim_max != 1)
		return -EPERM;
	return 0;
}

static int stage_filter(struct entering *e)
{
	if (e->params->no_seccomp)
		return 0;
	return filter_load(e->policy, &e->step);
}

int sandbox_enter(const struct sandbox_policy *p, const struct sandbox_params *params,
		  struct sandbox_result *result)
{
	static const struct {
		const char *name;
		int (*enter)(struct entering *e);
	} stages[] = {
		{ "libc", stage_libc }, { "bound", stage_bound },     { "root", stage_root },	  { "ids", stage_ids },
		{ "caps", stage_caps }, { "process", stage_process }, { "verify", stage_verify }, { "filter", stage_filter },
	};
	struct entering e = { .policy = p, .params = params, .result = result, .step = "" };

	if (p->root == SANDBOX_ROOT_SHARE)
		*result = (struct sandbox_result){ -1, -1, -1 };
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		int r = stages[i].enter(&e);

		if (r < 0) {
			log_err("sandbox of the %s, stage %s: cannot %s: %s", p->role, stages[i].name, e.step,
				strerror(-r));
			if (p->root == SANDBOX_ROOT_SHARE) {
				close_fd(&result->root_fd);
				close_fd(&result->proc_fd);
				close_fd(&result->mntns_fd);
			}
			return r;
		}
	}
	return 0;
}
