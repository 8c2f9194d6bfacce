/* policy_monitor.c - what the monitor may do.
 *
 * The monitor is root's process and never reads a byte from the guest or the VMM; only messages from its children, of
 * types that hold nothing but numbers. It enters its sandbox before it starts the first child, so that there is no
 * moment when something of this daemon runs without a filter.
 *
 * A filter is inherited, and so this one cannot be as small as the monitor's own work. It is the union of three parts:
 * own calls; calls that a child needs between exec and the end of its own sandbox_enter() (the dynamic linker, mounts,
 * dropping ids and capabilities, loading its filter); all that the children's filters allow, with any argument. What
 * it is for, then: nothing in the daemon can ever trace or read another process, load code into the kernel, set
 * the clock, use keyrings, io_uring, BPF, performance counters or userfaultfd, or open a network socket.
 *
 * Capabilities likewise: a child that is executed by root, with no_new_privs, gets the bounding set as far as the
 * monitor has it permitted. So the monitor keeps permitted what its children need, and in effect what it uses itself.
 */
#include "sandbox/sandbox_internal.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/socket.h>

static const struct sandbox_cap caps[] = {
	{ CAP_SYS_ADMIN, "makes the pid, net, ipc and uts namespaces of a child as it starts it" },
	{ CAP_KILL, "ends a child that does not end by itself, though it has another uid" },
	{ 0, NULL },
};

static const struct sandbox_cap for_children[] = {
	{ CAP_SYS_ADMIN, "children: mount namespace, root directory, their filter; dropped by all" },
	{ CAP_SYS_CHROOT, "fsworker: entering the mount namespace of an earlier one; dropped" },
	{ CAP_SETPCAP, "children: bounding set and securebits; dropped by all" },
	{ CAP_SETUID, "transport, keeper: leaving root, dropped; fsworker: keeps it" },
	{ CAP_SETGID, "transport, keeper: leaving root's groups, dropped; fsworker: keeps it" },
	{ CAP_DAC_READ_SEARCH, "keeper: keeps it; dropped by all others, who get it at exec, before they hear of anybody" },
	{ CAP_DAC_OVERRIDE, "fsworker: keeps it; raised by the monitor to execute a child and to remove its socket" },
	{ CAP_CHOWN, "fsworker: keeps it" },
	{ CAP_FOWNER, "fsworker: keeps it" },
	{ CAP_FSETID, "fsworker: keeps it" },
	{ CAP_MKNOD, "fsworker: keeps it" },
	{ CAP_SETFCAP, "fsworker: keeps it" },
	{ 0, NULL },
};

static const struct sandbox_syscall calls[] = {
	/* own: supervision */
	ALLOW("ppoll", "waits for signals, children's ends, messages and log records"),
	ALLOW("waitid", "why a child ended"),
	ALLOW("pidfd_send_signal", "ends a child that does not end by itself"),
	ALLOW("signalfd4", "signals as something to poll"),
	ALLOW("socketpair", "channels, links and log sockets of new children"),
	ALLOW_IF2("setsockopt", IS(1, SOL_SOCKET), IS(2, SO_SNDBUF), "room for the largest datagram in them"),
	ALLOW_IF("shutdown", IS(1, SHUT_RDWR), "the links, when the fsworker cannot be started any more"),
	ALLOW("memfd_create", "bulk area and inode table"),
	ALLOW("ftruncate", "their size"),
	ALLOW("fcntl", "their seals; descriptors of a child"),
	ALLOW("unlink", "removes socket and lock file at the end"),
	ALLOW("unlinkat", "the same, on arm64"),
	ALLOW_IF("socket", IS(0, AF_UNIX), "syslog and the service manager, when they were restarted"),
	ALLOW("connect", "syslog and the service manager, when they were restarted"),

	/* own: starting a child */
	ALLOW("clone3", "a child in its namespaces"),
	ALLOW("clone", "the same, where clone3 is refused from outside"),
	ALLOW("fork", "the same"),
	ALLOW("setsid", "a terminal's signals are for the monitor only"),
	ALLOW("dup", "the descriptors of a child, at their fixed numbers"),
	ALLOW("dup2", "the descriptors of a child, at their fixed numbers"),
	ALLOW("dup3", "the descriptors of a child, at their fixed numbers"),
	ALLOW("close_range", "nothing else passes to a child"),
	ALLOW("rt_sigaction", "a child starts with default actions"),
	ALLOW("execveat", "the one exec of the daemon; no child can after its own filter"),
	ALLOW("faccessat2", "can the executable be executed?"),

	/* children: dynamic linker and start of libc */
	ALLOW("openat", "libraries"),
	ALLOW("read", "libraries"),
	ALLOW("pread64", "libraries"),
	ALLOW("mmap", "libraries: executable mappings"),
	ALLOW("mprotect", "libraries: relocations"),
	ALLOW("newfstatat", "libraries"),
	ALLOW("fstat", "libraries"),
	ALLOW("access", "preloaded libraries"),
	ALLOW("faccessat", "preloaded libraries, on arm64"),
	ALLOW("readlink", "libraries relative to the program"),
	ALLOW("readlinkat", "libraries relative to the program, on arm64"),
	ALLOW("arch_prctl", "thread pointer"),
	ALLOW("set_tid_address", "main thread"),
	ALLOW("prlimit64", "stack size; no core dump"),
	ALLOW("setrlimit", "no core dump"),
	ALLOW("getrlimit", "limits"),
	ALLOW("uname", "kernel version"),
	ALLOW("mseal", "libraries, in newer dynamic linkers"),
	ALLOW("getsockopt", "how much room a channel has; a role looks whether the monitor started it"),
	ALLOW("getuid", "start of libraries"),
	ALLOW("geteuid", "start of libraries"),
	ALLOW("getgid", "start of libraries"),
	ALLOW("getegid", "start of libraries"),
	ALLOW("statfs", "libcap-ng: is /proc there?"),
	ALLOW("ioctl", "stdio: terminals"),

	/* children: their sandbox_enter() */
	ALLOW("prctl", "bounding set, securebits, no_new_privs, parent-death signal"),
	ALLOW("capget", "capabilities"),
	ALLOW("capset", "capabilities"),
	ALLOW("unshare", "mount namespace"),
	ALLOW("setns", "mount namespace of an earlier fsworker"),
	ALLOW("mount", "propagation of the new namespace's mounts"),
	ALLOW("fsopen", "empty root, procfs"),
	ALLOW("fsconfig", "empty root, procfs"),
	ALLOW("fsmount", "empty root, procfs"),
	ALLOW("open_tree", "copy of the share's mounts, /proc/self/fd"),
	ALLOW("mount_setattr", "nodev, nosuid, noexec, read-only"),
	ALLOW("move_mount", "new root"),
	ALLOW("pivot_root", "new root"),
	ALLOW("umount2", "old root"),
	ALLOW("fchdir", "new root"),
	ALLOW("chdir", "new root"),
	ALLOW("setgroups", "dropping ids"),
	ALLOW("setresuid", "dropping ids"),
	ALLOW("setresgid", "dropping ids"),
	ALLOW("getgroups", "dropping ids, read back"),
	ALLOW("getresuid", "dropping ids, read back"),
	ALLOW("getresgid", "dropping ids, read back"),
	ALLOW("seccomp", "their own filter"),
#if SANDBOX_SANITIZED
#include "sandbox/rows_sanitizer.inc"
	ALLOW("personality", "AddressSanitizer"),
#endif
	{ .name = NULL },
};

static const struct sandbox_policy *const children[] = { &policy_transport, &policy_fsworker, &policy_keeper, &policy_holder, NULL };

static const char *const other[] = {
	"namespaces: the host's",
	"process: no_new_privs, not dumpable, no core dump (RLIMIT_CORE 1)",
	"descriptors: listening socket, lock file, sockets to syslog and to the service manager, shared directory (O_PATH),",
	"    channels and logs of the children, their pidfds and mount namespace, shared memory that it does not map",
	NULL,
};

const struct sandbox_policy policy_monitor = {
	.role = "monitor",
	.root = SANDBOX_ROOT_HOST,
	.securebits = SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
	.report_fd = STDERR_FILENO,
	.caps = caps,
	.bounding = for_children,
	.calls = calls,
	.children = children,
	.other = other,
};
