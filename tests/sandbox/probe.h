/* probe.h - what a process of each role tries from inside its sandbox, and what must come of it.
 *
 * A probe runs in a process of its own that was started as the monitor starts a role: below a process that has
 * entered the monitor's policy (so with its filter inherited and its capabilities), in new namespaces, with a log
 * socket at its fixed number. It then enters its role's policy for real.
 */
#ifndef VFSD_TEST_PROBE_H
#define VFSD_TEST_PROBE_H

#include "common/base.h"
#include "sandbox/sandbox.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>

enum expectation {
	WORKS,   /* the probe returns 0 */
	FAILS,   /* the probe returns the errno */
	REFUSED, /* it dies of SIGSYS, and the record names the call */
	DIES,    /* it dies of this signal (0: of any), with or without a record */
};

/* Bits of probe.how. */
#define NO_FILTER 1u /* everything but the system call filter: what do the other layers stop? */
#define READ_ONLY 2u /* fsworker: a read-only share */

struct scene {
	int share_fd;       /* O_PATH, the scratch share as the monitor opens it */
	int file_fd;        /* a file of the share, open read-write: what a grant gives */
	int list_fd;        /* the share, open to be listed: what shows a mount to the keeper */
	int outside_fd;     /* O_PATH, a directory beside the share */
	int channel[2];     /* a channel of the daemon's kind */
	int listen_fd;      /* a listening UNIX socket */
	int host_ns_fd;     /* the host's mount namespace */
	pid_t victim;       /* a process of the transport's uid, outside */
	char dir[64];       /* the scratch directory, by path: "share" and "outside" in it */
	struct sandbox_result jail; /* fsworker: filled in by sandbox_enter() */
};

struct probe {
	const char *name;
	int (*run)(struct scene *s);
	enum expectation expect;
	int value;        /* FAILS: errno. DIES: signal */
	const char *call; /* REFUSED */
	unsigned int how;
};

struct role_under_test {
	const struct sandbox_policy *policy;
	const struct probe *probes;
	size_t count;
	const char *const *never; /* calls that its filter must not allow at all; ends with NULL */
};

extern const struct role_under_test test_monitor, test_transport, test_fsworker, test_keeper;

#define TRY_UID 65534u

/* Outcome of a raw system call as a probe returns it. */
#define RAW(...) raw_result(syscall(__VA_ARGS__))
static inline int raw_result(long r)
{
	return r < 0 ? errno : 0;
}

/* Probes that several roles share (probes_common.c). */
#define COMMON_PROBES(X)                                                                                    \
	X(ptrace, "ptrace") X(read_other_memory, "process_vm_readv") X(write_other_memory, "process_vm_writev") \
	X(bpf, "bpf") X(io_uring, "io_uring_setup") X(userfaultfd, "userfaultfd")                           \
	X(perf_event, "perf_event_open") X(add_key, "add_key") X(keyctl, "keyctl")                          \
	X(init_module, "init_module") X(kexec, "kexec_load") X(reboot_host, "reboot") X(swapon_file, "swapon") \
	X(set_clock, "clock_settime") X(set_day, "settimeofday")                                             \
	X(chroot_dir, "chroot") X(sethostname_host, "sethostname") X(inet_socket, "socket")                 \
	X(personality_exec, "personality") X(quota, "quotactl") X(steal_fd, "pidfd_getfd")                  \
	X(shm_segment, "shmget") X(acct_file, "acct")
#define X(n, c) int try_##n(struct scene *s);
COMMON_PROBES(X)
#undef X
#define COMMON_ROW(n, c) { "refused: " #n, try_##n, REFUSED, 0, c, 0 },

/* Refused to all but the keeper; the monitor's filter lets them pass to it. */
#define HANDLE_ROWS                                                                          \
	{ "refused: open_by_handle_at", try_open_by_handle, REFUSED, 0, "open_by_handle_at", 0 }, \
	{ "refused: name_to_handle_at", try_handle_name, REFUSED, 0, "name_to_handle_at", 0 },
int try_open_by_handle(struct scene *s);
int try_handle_name(struct scene *s);

int try_threads(struct scene *s);
int try_libc(struct scene *s);
int try_gain_capability(struct scene *s);
int try_small_int80(struct scene *s);
int try_x32(struct scene *s);
int try_abort(struct scene *s);
int try_fork(struct scene *s);
int try_vfork(struct scene *s);
int try_clone3(struct scene *s);
int try_exec(struct scene *s);
int try_execveat(struct scene *s);
int try_mmap_exec(struct scene *s);
int try_mprotect_exec(struct scene *s);
int try_unix_socket(struct scene *s);
int try_mount(struct scene *s);
int try_setns(struct scene *s);
int try_unshare_ns(struct scene *s);
int try_kill_victim(struct scene *s);
int try_tgkill_victim(struct scene *s);
int try_handle_sigsys(struct scene *s);
int try_block_sigsys(struct scene *s);
int try_dumpable(struct scene *s);
int try_new_seccomp(struct scene *s);
int try_tty_ioctl(struct scene *s);
int try_other_ioctl(struct scene *s);
int try_fcntl_owner(struct scene *s);
int try_dlopen(struct scene *s);
int try_high_half(struct scene *s);

#endif
