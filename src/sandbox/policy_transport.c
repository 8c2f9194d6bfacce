/* policy_transport.c - what the transport may do.
 *
 * The transport reads what the guest and the VMM write: expect it to be taken over. It has an empty root, no
 * capability and no call that opens, reopens or names anything: files come to it as descriptors that the fsworker
 * granted, and leave only contents to it.
 */
#include "sandbox/sandbox_internal.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static const struct sandbox_syscall calls[] = {
#include "sandbox/rows_libc.inc"

	/* vhost-user */
	ALLOW("accept4", "the VMM's connection, from the listening socket that the monitor made"),
	ALLOW("recvmmsg", "the VMM's messages: it has the kernel write down how much it took, which a process may not live to do"),
	ALLOW("sendmmsg", "replies to the VMM, likewise"),
	ALLOW("shutdown", "ends the VMM's connection or a link that broke the protocol"),
	ALLOW("fstatfs", "page size of guest memory: huge pages? Is a granted file on a local file system?"),
	ALLOW_IF("memfd_create", ONLY_BITS(1, MFD_CLOEXEC | MFD_ALLOW_SEALING | 8 /* MFD_NOEXEC_SEAL */),
		 "the in-flight region that the VMM asks for"),
	ALLOW_IF("fcntl", IS(1, F_ADD_SEALS), "the in-flight region cannot shrink under its readers"),
	ALLOW_IF("fcntl", IS(1, F_GET_SEALS), "can guest memory shrink?"),

	ALLOW("pipe2", "libevent makes itself one for signals in every event base"),

	/* contents of granted files */
	ALLOW("preadv", "READ"),
	ALLOW("pwritev", "WRITE"),
	ALLOW("preadv2", "READ, without waiting for the disk"),
	ALLOW("pwritev2", "WRITE, with the flags of the guest's open"),
	ALLOW("pread64", "READ into one buffer"),
	ALLOW("pwrite64", "WRITE from one buffer"),
	ALLOW("fsync", "FSYNC"),
	ALLOW("fdatasync", "FSYNC with datasync"),
	ALLOW("fallocate", "FALLOCATE; size of the in-flight region"),
	ALLOW("lseek", "LSEEK: data and holes"),
	ALLOW("copy_file_range", "COPY_FILE_RANGE between two granted files"),
	ALLOW_IF("fgetxattr", IS_NULL(3), "GETXATTR: has a granted file capabilities? With a size of 0: whether and how long, not what"),

#if SANDBOX_SANITIZED
#include "sandbox/rows_sanitizer.inc"
#endif
	{ .name = NULL },
};

static const char *const other[] = {
	"namespaces: mount, pid, net, ipc and uts of its own; it is the only process in them, but for its holders, which are in all",
	"    of these but the pid namespace",
	"process: no_new_privs, not dumpable, no core dump (RLIMIT_CORE 1), dies with the monitor",
	"descriptors: channel and log to the monitor; vhost-user socket, guest memory, kick and call events;",
	"    one link per ring to the fsworker; the bulk area and its state memory; files that the guest has open (not with",
	"    --data-path=forwarded)",
	NULL,
};

const struct sandbox_policy policy_transport = {
	.role = "transport",
	.root = SANDBOX_ROOT_EMPTY,
	.drop_ids = true,
	.securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
		      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
	.report_fd = SANDBOX_LOG_FD,
	.calls = calls,
	.other = other,
};
