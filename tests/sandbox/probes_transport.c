/* probes_transport.c - what a transport that was taken over might try. */
#include "probe.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/securebits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define TRY(n, ...)                           \
	static int try_##n(struct scene *s)   \
	{                                     \
		(void)s;                      \
		return RAW(__VA_ARGS__);      \
	}

TRY(open_path, SYS_openat, (long)AT_FDCWD, "/etc/passwd", 0L)
TRY(open_relative, SYS_openat, s->share_fd, "file", 0L)
TRY(open2_relative, SYS_openat2, s->share_fd, "file", NULL, 0L)
TRY(stat_path, SYS_newfstatat, (long)AT_FDCWD, "/etc/passwd", NULL, 0L)
TRY(statx_path, SYS_statx, (long)AT_FDCWD, "/", 0L, 0L, NULL)
TRY(truncate_granted, SYS_ftruncate, s->file_fd, 0L)
TRY(chmod_granted, SYS_fchmod, s->file_fd, 0777L)
TRY(chown_granted, SYS_fchown, s->file_fd, 0L, 0L)
TRY(xattr_granted, SYS_fsetxattr, s->file_fd, "user.x", "y", 1L, 0L)
TRY(read_xattr_granted, SYS_fgetxattr, s->file_fd, "security.capability", s->dir, 64L)
TRY(read_xattr_dirty, SYS_fgetxattr, s->file_fd, "security.capability", s->dir, 1L << 32)
TRY(times_granted, SYS_utimensat, s->file_fd, NULL, NULL, 0L)
TRY(lock_granted, SYS_flock, s->file_fd, 1L)
TRY(record_lock_granted, SYS_fcntl, s->file_fd, (long)F_SETLK, NULL)
TRY(lease_granted, SYS_fcntl, s->file_fd, (long)F_SETLEASE, (long)F_WRLCK)
TRY(link_granted, SYS_linkat, s->file_fd, "", (long)AT_FDCWD, "/x", (long)AT_EMPTY_PATH)
TRY(unlink_path, SYS_unlinkat, (long)AT_FDCWD, "/x", 0L)
TRY(mkdir_path, SYS_mkdirat, (long)AT_FDCWD, "/x", 0700L)
TRY(mknod_path, SYS_mknodat, (long)AT_FDCWD, "/x", (long)S_IFCHR, 0x103L)
TRY(become_root, SYS_setresuid, 0L, 0L, 0L)
TRY(drop_filter_caps, SYS_capset, NULL, NULL)
TRY(bind_socket, SYS_bind, s->listen_fd, NULL, 0L)
TRY(connect_socket, SYS_connect, s->listen_fd, NULL, 0L)
TRY(send_elsewhere, SYS_sendto, s->listen_fd, "x", 1L, 0L, s->dir, 16L)
TRY(pidfd, SYS_pidfd_open, 1L, 0L)
TRY(huge_memfd, SYS_memfd_create, "x", (long)(MFD_CLOEXEC | MFD_HUGETLB))
TRY(set_limit, SYS_prlimit64, 0L, 7L, s->dir, NULL)
TRY(stray_number, 4095L)

static int grant_works(struct scene *s)
{
	char a[] = "0123456789abcdef", b[16];
	struct iovec w = { a, 16 }, r = { b, 16 };
	loff_t in = 0, out = 64;
	struct stat st;

	if (pwritev2(s->file_fd, &w, 1, 0, RWF_DSYNC) != 16 || preadv2(s->file_fd, &r, 1, 0, 0) != 16)
		return errno;
	if (memcmp(a, b, 16) != 0 || fallocate(s->file_fd, 0, 0, 4096) < 0 || lseek(s->file_fd, 0, SEEK_DATA) != 0)
		return errno ? errno : 1;
	if (copy_file_range(s->file_fd, &in, s->file_fd, &out, 16, 0) != 16)
		return errno;
	if (fgetxattr(s->file_fd, "security.capability", NULL, 0) >= 0 || (errno != ENODATA && errno != EOPNOTSUPP))
		return errno;
	if (fsync(s->file_fd) < 0 || fdatasync(s->file_fd) < 0 || fstat(s->file_fd, &st) < 0)
		return errno;
	return pread(s->file_fd, b, 16, 64) == 16 && pwrite(s->file_fd, b, 16, 0) == 16 ? 0 : errno;
}

/* The in-flight region of vhost-user, made and sealed. */
static int inflight_works(struct scene *s)
{
	int fd = memfd_create("inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)s;
	if (fd < 0 || fallocate(fd, 0, 0, 65536) < 0)
		return errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 || fcntl(fd, F_GET_SEALS) < 0)
		return errno;
	char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return errno;
	p[0] = 1;
	return munmap(p, 65536) < 0 || close(fd) < 0 ? errno : 0;
}

static int events_work(struct scene *s)
{
	struct pollfd p = { .fd = s->listen_fd, .events = POLLIN };
	int ev = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = { .events = EPOLLIN };
	uint64_t one = 1;
	int flags;

	if (ev < 0 || ep < 0 || write(ev, &one, 8) != 8 || epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) < 0)
		return errno;
	if (epoll_wait(ep, &e, 1, 1000) != 1 || read(ev, &one, 8) != 8 || poll(&p, 1, 0) < 0)
		return errno ? errno : 1;
	flags = fcntl(s->listen_fd, F_GETFL);
	if (flags < 0 || fcntl(s->listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return errno;
	return accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC) < 0 && errno == EAGAIN ? 0 : 1;
}

/* Without the filter: capabilities, ids, root and namespaces must hold on their own. */

static int open_etc(struct scene *s)
{
	(void)s;
	return open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
}

static int open_proc(struct scene *s)
{
	(void)s;
	return open("/proc/self/status", O_RDONLY) < 0 ? errno : 0;
}

static int open_above(struct scene *s)
{
	(void)s;
	return open("../../../../etc/passwd", O_RDONLY) < 0 ? errno : 0;
}

static int write_root(struct scene *s)
{
	(void)s;
	return mkdir("/x", 0700) < 0 ? errno : 0;
}

static int root_is_empty(struct scene *s)
{
	struct stat st;

	(void)s;
	if (stat("/", &st) < 0)
		return errno;
	return st.st_nlink == 2 && chdir("..") == 0 && stat(".", &st) == 0 ? 0 : 1;
}

static int reach_network(struct scene *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = 0x08080808 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)s;
	return fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? errno : 0;
}

static int no_capability(struct scene *s)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	(void)s;
	if (syscall(SYS_capget, &hdr, d) < 0)
		return errno;
	if (d[0].effective | d[0].permitted | d[0].inheritable | d[1].effective | d[1].permitted | d[1].inheritable)
		return 1;
	for (int cap = 0; cap < 41; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return 2;
	return getuid() == TRY_UID && geteuid() == TRY_UID && getgid() == TRY_UID && getgroups(0, NULL) == 0 ? 0 : 3;
}

static int open_securebits(struct scene *s)
{
	(void)s;
	return RAW(SYS_prctl, (long)PR_SET_SECUREBITS, 0L, 0L, 0L, 0L);
}

static int host_named(struct scene *s)
{
	(void)s;
	return sethostname("x", 1) < 0 ? errno : 0;
}

static int alone_in_pid_ns(struct scene *s)
{
	(void)s;
	return getpid() == 1 ? 0 : 1;
}

static const struct probe probes[] = {
#define X(n, c) COMMON_ROW(n, c)
	COMMON_PROBES(X)
#undef X
	HANDLE_ROWS
	{ "refused: open by path", try_open_path, REFUSED, 0, "openat", 0 },
	{ "refused: open below a directory", try_open_relative, REFUSED, 0, "openat", 0 },
	{ "refused: openat2", try_open2_relative, REFUSED, 0, "openat2", 0 },
	{ "refused: stat by path", try_stat_path, REFUSED, 0, "newfstatat", 0 },
	{ "refused: statx by path", try_statx_path, REFUSED, 0, "statx", 0 },
	{ "refused: truncate a granted file", try_truncate_granted, REFUSED, 0, "ftruncate", 0 },
	{ "refused: chmod a granted file", try_chmod_granted, REFUSED, 0, "fchmod", 0 },
	{ "refused: chown a granted file", try_chown_granted, REFUSED, 0, "fchown", 0 },
	{ "refused: xattr of a granted file", try_xattr_granted, REFUSED, 0, "fsetxattr", 0 },
	{ "refused: read an xattr of a granted file", try_read_xattr_granted, REFUSED, 0, "fgetxattr", 0 },
	{ "refused: the same by a dirty size", try_read_xattr_dirty, REFUSED, 0, "fgetxattr", 0 },
	{ "refused: times of a granted file", try_times_granted, REFUSED, 0, "utimensat", 0 },
	{ "refused: flock a granted file", try_lock_granted, REFUSED, 0, "flock", 0 },
	{ "refused: record lock on a granted file", try_record_lock_granted, REFUSED, 0, "fcntl", 0 },
	{ "refused: lease on a granted file", try_lease_granted, REFUSED, 0, "fcntl", 0 },
	{ "refused: fcntl F_SETOWN", try_fcntl_owner, REFUSED, 0, "fcntl", 0 },
	{ "refused: link a granted file", try_link_granted, REFUSED, 0, "linkat", 0 },
	{ "refused: unlink", try_unlink_path, REFUSED, 0, "unlinkat", 0 },
	{ "refused: mkdir", try_mkdir_path, REFUSED, 0, "mkdirat", 0 },
	{ "refused: mknod", try_mknod_path, REFUSED, 0, "mknodat", 0 },
	{ "refused: become root", try_become_root, REFUSED, 0, "setresuid", 0 },
	{ "refused: capset", try_drop_filter_caps, REFUSED, 0, "capset", 0 },
	{ "refused: UNIX socket", try_unix_socket, REFUSED, 0, "socket", 0 },
	{ "refused: bind", try_bind_socket, REFUSED, 0, "bind", 0 },
	{ "refused: connect", try_connect_socket, REFUSED, 0, "connect", 0 },
	{ "refused: sendto with an address", try_send_elsewhere, REFUSED, 0, "sendto", 0 },
	{ "refused: pidfd_open", try_pidfd, REFUSED, 0, "pidfd_open", 0 },
	{ "refused: memfd with other flags", try_huge_memfd, REFUSED, 0, "memfd_create", 0 },
	{ "refused: set a resource limit", try_set_limit, REFUSED, 0, "prlimit64", 0 },
	{ "refused: a number without a call", try_stray_number, REFUSED, 0, "?", 0 },
	{ "refused: fork", try_fork, REFUSED, 0, "clone", 0 },
	{ "refused: vfork", try_vfork, REFUSED, 0, "clone", 0 },
	{ "refused: execve", try_exec, REFUSED, 0, "execve", 0 },
	{ "refused: execveat", try_execveat, REFUSED, 0, "execveat", 0 },
	{ "refused: mmap PROT_EXEC", try_mmap_exec, REFUSED, 0, "mmap", 0 },
	{ "refused: mprotect PROT_EXEC", try_mprotect_exec, REFUSED, 0, "mprotect", 0 },
	{ "refused: dlopen", try_dlopen, REFUSED, 0, "openat", 0 },
	{ "refused: mount", try_mount, REFUSED, 0, "mount", 0 },
	{ "refused: setns", try_setns, REFUSED, 0, "setns", 0 },
	{ "refused: unshare", try_unshare_ns, REFUSED, 0, "unshare", 0 },
	{ "refused: kill a process of the same user", try_kill_victim, REFUSED, 0, "kill", 0 },
	{ "refused: tgkill a process of the same user", try_tgkill_victim, REFUSED, 0, "tgkill", 0 },
	{ "refused: become dumpable", try_dumpable, REFUSED, 0, "prctl", 0 },
	{ "refused: load a filter", try_new_seccomp, REFUSED, 0, "prctl", 0 },
	{ "refused: ioctl", try_other_ioctl, REFUSED, 0, "ioctl", 0 },
	{ "refused: replace the handler of SIGSYS", try_handle_sigsys, REFUSED, 0, "rt_sigaction", 0 },
	{ "refused: the same by a dirty number", try_high_half, REFUSED, 0, "rt_sigaction", 0 },
	{ "dies: a refused call with SIGSYS blocked", try_block_sigsys, DIES, SIGSYS, NULL, 0 },
	{ "dies: a 32-bit system call", try_small_int80, DIES, 0, NULL, 0 },
	{ "dies: an x32 system call", try_x32, DIES, SIGSYS, NULL, 0 },
	{ "ENOSYS: clone3", try_clone3, FAILS, ENOSYS, NULL, 0 },
	{ "ENOTTY: is it a terminal?", try_tty_ioctl, FAILS, ENOTTY, NULL, 0 },
	{ "works: contents of a granted file", grant_works, WORKS, 0, NULL, 0 },
	{ "works: in-flight region", inflight_works, WORKS, 0, NULL, 0 },
	{ "works: events", events_work, WORKS, 0, NULL, 0 },
	{ "works: threads and malloc", try_threads, WORKS, 0, NULL, 0 },
	{ "works: libc", try_libc, WORKS, 0, NULL, 0 },
	{ "dies: abort", try_abort, DIES, SIGSEGV, NULL, 0 },

	{ "no filter: open by path", open_etc, FAILS, ENOENT, NULL, NO_FILTER },
	{ "no filter: open /proc", open_proc, FAILS, ENOENT, NULL, NO_FILTER },
	{ "no filter: open above the root", open_above, FAILS, ENOENT, NULL, NO_FILTER },
	{ "no filter: write to the root", write_root, FAILS, EROFS, NULL, NO_FILTER },
	{ "no filter: the root is empty", root_is_empty, WORKS, 0, NULL, NO_FILTER },
	{ "no filter: no capability, no group", no_capability, WORKS, 0, NULL, NO_FILTER },
	{ "no filter: gain a capability", try_gain_capability, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: unlock the securebits", open_securebits, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: become root", try_become_root, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: mount", try_mount, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: setns", try_setns, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: chroot", try_chroot_dir, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: host name", host_named, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: network", reach_network, FAILS, ENETUNREACH, NULL, NO_FILTER },
	{ "no filter: open_by_handle_at", try_open_by_handle, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: its own pid namespace", alone_in_pid_ns, WORKS, 0, NULL, NO_FILTER },
	{ "no filter: kill a process of the same user", try_kill_victim, FAILS, ESRCH, NULL, NO_FILTER },
	{ "no filter: trace a process of the same user", try_ptrace, FAILS, ESRCH, NULL, NO_FILTER },
	{ "no filter: read a process of the same user", try_read_other_memory, FAILS, ESRCH, NULL, NO_FILTER },
};

static const char *const never[] = {
	"open", "openat", "openat2", "creat", "open_by_handle_at", "socket", "socketpair", "connect", "bind", "listen",
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill",
	"mount", "setns", "unshare", "chroot", "pivot_root", "fchmod", "fchmodat", "fchown", "fchownat", "ftruncate",
	"truncate", "setxattr", "fsetxattr", "utimensat", "linkat", "unlinkat", "renameat2", "mknodat", "mkdirat",
	"symlinkat", "setresuid", "setresgid", "setgroups", "capset", "io_uring_setup", "io_uring_enter", "bpf",
	"userfaultfd", "perf_event_open", "keyctl", "pkey_mprotect", "shmat", "personality", "seccomp", "pidfd_getfd",
	NULL,
};

const struct role_under_test test_transport = { &policy_transport, probes, ARRAY_SIZE(probes), never };
