/* policy_fsworker.c - what the fsworker may do.
 *
 * The fsworker makes every call by name or inode that a guest asks for, as the guest's users. It trusts nobody; the
 * transport that asks may be the guest's. Its root is the share: what it could reach when taken over is what the
 * guest's root could ask it for anyway, and never CAP_DAC_READ_SEARCH (open_by_handle_at leaves the jail) or
 * CAP_SYS_ADMIN. Paths are out of a filter's sight, so numbers carry the conditions; LOOKUP's, GETATTR's and
 * OPEN's calls have none, to stay free of cost.
 */
#include "sandbox/sandbox_internal.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static const struct sandbox_cap caps[] = {
	{ CAP_DAC_OVERRIDE, "acts for users that the guest, not the host, has checked" },
	{ CAP_CHOWN, "SETATTR of owner and group" },
	{ CAP_FOWNER, "SETATTR of others' mode and times, sticky directories, O_NOATIME" },
	{ CAP_FSETID, "setgid bits that the guest's root may keep; lowered where they must go" },
	{ CAP_SETUID, "new objects are made as the guest's user" },
	{ CAP_SETGID, "new objects are made with the guest's group" },
	{ CAP_MKNOD, "MKNOD of devices, which nodev keeps from being opened" },
	{ CAP_SETFCAP, "security.capability attributes" },
	{ 0, NULL },
};

#define RENAME_FLAGS (1 | 2 | 4) /* RENAME_NOREPLACE, _EXCHANGE, _WHITEOUT */
#define AT_FLAGS (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)

static const struct sandbox_syscall calls[] = {
#include "sandbox/rows_libc.inc"

	/* finding and looking */
	ALLOW("openat", "LOOKUP, OPEN, CREATE: one component without a link; the flags are checked where they come from the guest"),
	ALLOW("statx", "LOOKUP, GETATTR, STATX"),
	ALLOW("readlinkat", "READLINK"),
	ALLOW("getdents64", "READDIR"),
	ALLOW("lseek", "READDIR at an offset, LSEEK"),
	ALLOW("fstatfs", "STATFS"),
	ALLOW("faccessat2", "ACCESS"),
	ALLOW("fchdir", "to /proc/self/fd, for calls that take a path and no directory"),

	/* making, moving, removing */
	ALLOW("mkdirat", "MKDIR"),
	ALLOW("mknodat", "MKNOD"),
	ALLOW("symlinkat", "SYMLINK"),
	ALLOW_IF("linkat", ONLY_BITS(4, AT_SYMLINK_FOLLOW), "LINK, through /proc/self/fd"),
	ALLOW_IF("unlinkat", ONLY_BITS(2, AT_REMOVEDIR), "UNLINK, RMDIR"),
	ALLOW_IF("renameat2", ONLY_BITS(4, RENAME_FLAGS), "RENAME, RENAME2"),

	/* attributes */
	ALLOW("fchmodat", "SETATTR of the mode, through /proc/self/fd, before Linux 6.6; it has no flags"),
	ALLOW_IF("fchmodat2", IS(3, AT_EMPTY_PATH), "SETATTR of the mode of an O_PATH descriptor"),
	ALLOW_IF("fchownat", ONLY_BITS(4, AT_FLAGS), "SETATTR of the owner"),
	ALLOW_IF("utimensat", IS(3, AT_EMPTY_PATH), "SETATTR of the times"),
	ALLOW("ftruncate", "SETATTR of the size"),
	ALLOW("truncate", "SETATTR of the size, through /proc/self/fd"),
	ALLOW("setxattr", "SETXATTR, through /proc/self/fd"),
	ALLOW("getxattr", "GETXATTR, through /proc/self/fd"),
	ALLOW("listxattr", "LISTXATTR, through /proc/self/fd"),
	ALLOW("removexattr", "REMOVEXATTR, through /proc/self/fd"),

	/* contents, where they do not go by granted descriptors */
	ALLOW("preadv2", "READ, with RWF_NOWAIT first"),
	ALLOW("pwritev2", "WRITE"),
	ALLOW("fallocate", "FALLOCATE"),
	ALLOW("copy_file_range", "COPY_FILE_RANGE"),
	ALLOW("fsync", "FSYNC, FSYNCDIR"),
	ALLOW("fdatasync", "FSYNC with datasync"),
	ALLOW("syncfs", "SYNCFS"),

	/* taking over from a process before it */
	ALLOW_IF("shutdown", IS(1, SHUT_RDWR), "a link whose peer broke the protocol"),

	/* locks */
	ALLOW("flock", "SETLK with the flag of flock()"),
	ALLOW_IF("fcntl", IS(1, F_OFD_GETLK), "GETLK"),
	ALLOW_IF("fcntl", IS(1, F_OFD_SETLK), "SETLK"),
	ALLOW_IF("fcntl", IS(1, F_OFD_SETLKW), "SETLKW"),
	ALLOW("timer_create", "calling back a thread that waits for a lock: signals to the own process only"),
	ALLOW("timer_settime", "the same"),
	ALLOW("timer_delete", "the same"),

	/* acting as the guest's user, in one thread */
	ALLOW_IF("unshare", IS(0, CLONE_FS), "umask and working directory of a thread's own"),
	ALLOW("umask", "the guest's umask"),
	ALLOW("setresuid", "the guest's user, and back"),
	ALLOW("setresgid", "the guest's group, and back"),
	ALLOW("setgroups", "the one supplementary group that the guest names"),
	ALLOW("capget", "what a thread has in effect"),
	ALLOW("capset", "lower and raise what the policy gives; never more"),

#if SANDBOX_SANITIZED
#include "sandbox/rows_sanitizer.inc"
#endif
	{ .name = NULL },
};

static const char *const other[] = {
	"namespaces: mount, pid, net, ipc and uts of its own; it is the only process in them",
	"process: no_new_privs, not dumpable, no core dump (RLIMIT_CORE 1), dies with the monitor",
	"descriptors: channel and log to the monitor; one link per ring to the transport; the shared directory's root;",
	"    the bulk area and the inode table; its own /proc/self/fd, read-only; objects below the share",
	NULL,
};

const struct sandbox_policy policy_fsworker = {
	.role = "fsworker",
	.root = SANDBOX_ROOT_SHARE,
	.securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
		      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
	.report_fd = SANDBOX_LOG_FD,
	.caps = caps,
	.calls = calls,
	.other = other,
};
