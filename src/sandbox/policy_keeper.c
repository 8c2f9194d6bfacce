/* policy_keeper.c - what the keeper of handles may do.
 *
 * The only process with CAP_DAC_READ_SEARCH, which opens any inode of a file system by its number: so it has nothing else, and
 * talks to the fsworker alone. Its filter cannot see whether a handle was sealed; that is what src/keeper is for.
 */
#include "sandbox/sandbox_internal.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static const struct sandbox_cap caps[] = {
	{ CAP_DAC_READ_SEARCH, "open_by_handle_at()" },
	{ 0, NULL },
};

static const struct sandbox_syscall calls[] = {
	ALLOW("ppoll", "waits for the fsworker, and for the monitor's end"),
	ALLOW("recvmsg", "what the fsworker asks for"),
	ALLOW("sendmsg", "sealed handles, descriptors"),
	ALLOW_IF("sendto", IS_NULL(4), "log records, to the peer of the socket and no other address"),
	ALLOW("close", "descriptors that were shown or sent"),
	ALLOW_IF("fcntl", IS(1, F_GETFL), "can handles be opened by what is shown for a mount?"),
	ALLOW_IF("statx", BITS_ARE(2, AT_EMPTY_PATH, AT_EMPTY_PATH), "which mount, which object; always of a descriptor itself"),
	ALLOW("fstatfs", "which file system"),
	ALLOW_IF("name_to_handle_at", IS(4, AT_EMPTY_PATH), "the handle of a descriptor itself"),
	ALLOW_IF("open_by_handle_at", IS(2, O_PATH | O_CLOEXEC), "a descriptor that stands for an object and does not open it"),
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
	"namespaces: mount, pid, net, ipc and uts of its own; it is the only process in them",
	"process: no_new_privs, not dumpable, no core dump (RLIMIT_CORE 1), dies with the monitor",
	"descriptors: channel and log to the monitor; channel to the fsworker; one for each mount of the share, open for reading",
	NULL,
};

const struct sandbox_policy policy_keeper = {
	.role = "keeper",
	.root = SANDBOX_ROOT_EMPTY,
	.drop_ids = true,
	.securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
		      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
	.report_fd = SANDBOX_LOG_FD,
	.caps = caps,
	.calls = calls,
	.other = other,
};
