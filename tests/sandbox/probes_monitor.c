/* probes_monitor.c - what nothing in the daemon may do, not even the monitor; and the monitor's own work. */
#include "probe.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define TRY(n, ...)                         \
	static int try_##n(struct scene *s) \
	{                                   \
		(void)s;                    \
		return RAW(__VA_ARGS__);    \
	}

TRY(make_device, SYS_mknodat, (long)AT_FDCWD, "/", 0L, 0L)
TRY(pkey, SYS_pkey_mprotect, NULL, 0L, 0L, 0L)
TRY(listen_more, SYS_bind, s->listen_fd, NULL, 0L)
TRY(attach_segment, SYS_shmat, 0L, NULL, 0L)

static int effective_is_small(struct scene *s)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	(void)s;
	if (syscall(SYS_capget, &hdr, d) < 0)
		return 1;
	return d[0].effective == (1u << CAP_SYS_ADMIN | 1u << CAP_KILL) && d[1].effective == 0 ? 0 : 2;
}

static int never_dangerous(struct scene *s)
{
	(void)s;
	return prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE, 0, 0, 0) || prctl(PR_CAPBSET_READ, CAP_SYS_MODULE, 0, 0, 0) ||
	       prctl(PR_CAPBSET_READ, CAP_SYS_RAWIO, 0, 0, 0) || prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0);
}

/* Make what a child gets, start one in new namespaces, end it, and learn why it ended. */
static int own_work(struct scene *s)
{
	int pidfd = -1, sv[2];
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	siginfo_t si;
	int fd = memfd_create("m", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)s;
	if (fd < 0 || ftruncate(fd, 4096) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return 1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return 2;
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		for (;;)
			poll(NULL, 0, -1);
	if (pid < 0 || syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
		return 3;
	return waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0 || si.si_status != SIGKILL ? 4 : 0;
}

static const struct probe probes[] = {
#define X(n, c) COMMON_ROW(n, c)
	COMMON_PROBES(X)
#undef X
	{ "refused: pkey_mprotect", try_pkey, REFUSED, 0, "pkey_mprotect", 0 },
	{ "refused: bind", try_listen_more, REFUSED, 0, "bind", 0 },
	{ "refused: shmat", try_attach_segment, REFUSED, 0, "shmat", 0 },
	{ "fails: mknod", try_make_device, FAILS, EEXIST, NULL, 0 },
	{ "EPERM: a capability outside its policy", try_gain_capability, FAILS, EPERM, NULL, 0 },
	{ "EPERM: open_by_handle_at, which passes its filter for the keeper", try_open_by_handle, FAILS, EPERM, NULL, 0 },
	{ "works: two capabilities in effect", effective_is_small, WORKS, 0, NULL, 0 },
	{ "works: bounding set without the dangerous ones", never_dangerous, WORKS, 0, NULL, 0 },
	{ "works: its own work", own_work, WORKS, 0, NULL, 0 },
};

static const char *const never[] = {
	"open_by_handle_at", "bind", "listen", "ptrace", "process_vm_readv", "process_vm_writev", "io_uring_setup",
	"bpf", "userfaultfd", "perf_event_open", "keyctl", "add_key", "request_key", "pkey_mprotect", "shmat",
	"personality", "pidfd_getfd", "quotactl", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load",
	"init_module", "finit_module", "delete_module", "settimeofday", "clock_settime", "adjtimex", "sethostname",
	"setdomainname", "chroot", "iopl", "ioperm", "acct", "syslog", "vhangup", "kcmp", "move_pages", "mbind", NULL,
};

const struct role_under_test test_monitor = { &policy_monitor, probes, ARRAY_SIZE(probes), never };
