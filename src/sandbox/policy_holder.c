/* policy_holder.c - what those may do who only keep a transport's or an fsworker's descriptors open.
 *
 * A holder shares its worker's descriptor table and nothing else. It passes descriptors on to the next worker, and can
 * do nothing with them itself: no call here reads, writes, opens or names a file.
 */
#include "sandbox/sandbox_internal.h"

#include <fcntl.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static const struct sandbox_syscall calls[] = {
	ALLOW("ppoll", "waits for the monitor"),
	ALLOW_IF("fcntl", IS(1, F_GETFD), "is a descriptor open?"),
	ALLOW("recvmsg", "what the monitor and the next worker ask for"),
	ALLOW("sendmsg", "the descriptors"),
	ALLOW_IF("sendto", IS_NULL(4), "log records, to the peer of the socket and no other address"),
	ALLOW("close", "the channel of a holder that died, the socket of a worker that has what it wanted"),
	ALLOW_IF("clone", IS(0, CLONE_FILES | CLONE_PARENT | CLONE_PIDFD | SIGCHLD), "another holder, in place of one that died"),
	ALLOW_IF2("prctl", IS(0, PR_SET_PDEATHSIG), IS(1, SIGKILL), "it dies with the monitor, too"),
	ALLOW("clock_gettime", "time, where the vDSO cannot tell it"),
	ALLOW("rt_sigreturn", "end of a signal handler"),
	ALLOW("restart_syscall", "after a stop and continue the kernel resumes a wait by it"),
	ALLOW("exit_group", "end of the process"),
#if SANDBOX_SANITIZED
#include "sandbox/rows_libc.inc"
#include "sandbox/rows_sanitizer.inc"
#endif
	{ .name = NULL },
};

static const char *const other[] = {
	"namespaces: mount, net, ipc and uts of its own; the host's pid namespace (the end of the worker's would be its own)",
	"process: no_new_privs, not dumpable, no core dump (RLIMIT_CORE 1), dies with the monitor",
	"descriptors: all those of the worker, in one table with it",
	NULL,
};

const struct sandbox_policy policy_holder = {
	.role = "holder",
	.root = SANDBOX_ROOT_EMPTY,
	.drop_ids = true,
	.securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
		      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
	.report_fd = SANDBOX_LOG_FD,
	.calls = calls,
	.other = other,
};
