/* probes_fsworker.c - what a fsworker that was taken over might try, and what its work needs. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define TRY(n, ...)                         \
	static int try_##n(struct scene *s) \
	{                                   \
		(void)s;                    \
		return RAW(__VA_ARGS__);    \
	}

TRY(open_etc, SYS_openat, (long)AT_FDCWD, "/etc/passwd", 0L)
TRY(open_up, SYS_openat, s->jail.root_fd, "../../../../etc/passwd", 0L)
TRY(open_link, SYS_openat, s->jail.root_fd, "to-etc", 0L)
TRY(open_proc, SYS_openat, (long)AT_FDCWD, "/proc/self/mem", (long)O_RDWR)
TRY(proc_up, SYS_openat, s->jail.proc_fd, "../mem", (long)O_RDWR)
TRY(proc_up_up, SYS_openat, s->jail.proc_fd, "../../self/mem", (long)O_RDWR)
TRY(proc_up_one, SYS_openat, s->jail.proc_fd, "../root/etc/passwd", 0L)
TRY(open_host_device, SYS_openat, s->jail.root_fd, "null-device", (long)O_RDWR)
TRY(unshare_namespace, SYS_unshare, (long)CLONE_NEWNS)
TRY(link_empty_path, SYS_linkat, s->file_fd, "", s->jail.root_fd, "linked", (long)AT_EMPTY_PATH)
TRY(make_dir, SYS_mkdirat, s->jail.root_fd, "new-dir", 0700L)
TRY(open_to_write, SYS_openat, s->jail.root_fd, "file", (long)O_RDWR)
TRY(read_file, SYS_openat, s->jail.root_fd, "file", (long)O_RDONLY)
TRY(rename_flags, SYS_renameat2, s->jail.root_fd, "a", s->jail.root_fd, "b", 0x80L)
TRY(signal_owner, SYS_fcntl, s->file_fd, 10L /* F_SETSIG */, 9L)
TRY(process_lock, SYS_fcntl, s->file_fd, (long)F_SETLK, NULL)

/* A device node of the guest's own making, and one that was there: neither opens. */
static int open_own_device(struct scene *s)
{
	if (mknodat(s->jail.root_fd, "own-device", S_IFCHR | 0600, makedev(1, 3)) < 0 && errno != EEXIST)
		return 1;
	return RAW(SYS_openat, (long)s->jail.root_fd, "own-device", (long)O_RDWR);
}

static int gain_forbidden_caps(struct scene *s)
{
	(void)s;
	if (sandbox_set_cap(CAP_SYS_ADMIN, true) != -EPERM || sandbox_set_cap(CAP_DAC_READ_SEARCH, true) != -EPERM)
		return 1;
	return try_gain_capability(s);
}

static int caps_rise_and_fall(struct scene *s)
{
	int fd;

	if (setresuid(TRY_UID, TRY_UID, 0) < 0)
		return 1;
	fd = openat(s->jail.root_fd, "root-only", O_RDONLY);
	if (fd < 0 || sandbox_set_cap(CAP_DAC_OVERRIDE, false) != 0)
		return 2;
	if (openat(s->jail.root_fd, "root-only", O_RDONLY) >= 0 || errno != EACCES)
		return 3;
	if (sandbox_set_cap(CAP_DAC_OVERRIDE, true) != 0 || openat(s->jail.root_fd, "root-only", O_RDONLY) < 0)
		return 4;
	return setresuid(0, 0, 0) < 0 ? 5 : 0;
}

static int no_groups_no_bounding(struct scene *s)
{
	struct rlimit core;

	(void)s;
	/* At 1 the kernel hands no dump to a program; at 0 it does. */
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur != 1 || core.rlim_max != 1)
		return 3;
	for (int cap = 0; cap < 41; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return 1;
	return getgroups(0, NULL) == 0 && getpid() == 1 ? 0 : 2;
}

static int reach_network(struct scene *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = 0x08080808 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)s;
	return fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? errno : 0;
}

static int exec_from_share(struct scene *s)
{
	char *argv[] = { NULL };

	(void)s;
	execve("/program", argv, argv);
	return errno;
}

/* A day's work by name: everything that a guest asks for. */
static int names_work(struct scene *s)
{
	int root = s->jail.root_fd;
	struct timespec times[2] = { { 1, 0 }, { 2, 0 } };
	struct statx st;
	char buf[256], name[32];
	int dir, fd;

	if (mkdirat(root, "w", 0755) < 0)
		return 1;
	dir = openat(root, "w", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || statx(dir, "", AT_EMPTY_PATH, STATX_ALL, &st) < 0)
		return 2;
	fd = openat(dir, "f", O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0 || fchownat(dir, "f", 1, 1, AT_SYMLINK_NOFOLLOW) < 0)
		return 3;
	if (symlinkat("/etc/passwd", dir, "l") < 0 || readlinkat(dir, "l", buf, sizeof(buf)) != 11)
		return 4;
	snprintf(name, sizeof(name), "%d", fd);
	if (linkat(s->jail.proc_fd, name, dir, "f2", AT_SYMLINK_FOLLOW) < 0)
		return 5;
	if (renameat2(dir, "f2", dir, "f3", RENAME_NOREPLACE) < 0 || unlinkat(dir, "f3", 0) < 0)
		return 6;
	if (mknodat(dir, "p", S_IFIFO | 0600, 0) < 0 || utimensat(dir, "", times, AT_EMPTY_PATH) < 0)
		return 7;
	if (fchdir(s->jail.proc_fd) < 0)
		return 8;
	if (setxattr(name, "user.x", "y", 1, 0) < 0 && errno != EOPNOTSUPP)
		return 9;
	if ((getxattr(name, "user.x", buf, sizeof(buf)) < 0 && errno != EOPNOTSUPP) ||
	    listxattr(name, buf, sizeof(buf)) < 0 || fchmodat(AT_FDCWD, name, 0600, 0) < 0 || truncate(name, 100) < 0)
		return 10;
	if (unlinkat(dir, "p", 0) < 0 || unlinkat(dir, "l", 0) < 0 || unlinkat(dir, "f", 0) < 0 ||
	    unlinkat(root, "w", AT_REMOVEDIR) < 0)
		return 11;
	return 0;
}

/* Reopening an O_PATH descriptor, contents, locks, directories. */
static int files_work(struct scene *s)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10 };
	int path = openat(s->jail.root_fd, "file", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char name[32], buf[4096] = "text";
	struct iovec v = { buf, 4 };
	struct statfs sf;
	int fd, dir;

	snprintf(name, sizeof(name), "%d", path);
	fd = openat(s->jail.proc_fd, name, O_RDWR | O_CLOEXEC);
	if (path < 0 || fd < 0)
		return 1;
	if (pwritev2(fd, &v, 1, 0, 0) != 4 || preadv2(fd, &v, 1, 0, 0) != 4 || ftruncate(fd, 8192) < 0)
		return 2;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8192) < 0 || fsync(fd) < 0 || lseek(fd, 0, SEEK_HOLE) < 0)
		return 3;
	if (flock(fd, LOCK_EX) < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return 4;
	if (syscall(SYS_faccessat2, s->jail.root_fd, "file", R_OK, 0) < 0 || fstatfs(path, &sf) < 0 || syncfs(fd) < 0)
		return 5;
	dir = openat(s->jail.root_fd, ".", O_RDONLY | O_DIRECTORY);
	if (dir < 0 || syscall(SYS_getdents64, dir, buf, sizeof(buf)) <= 0)
		return 6;
	return unshare(CLONE_FS) < 0 || umask(022) != 022 ? 7 : 0;
}

/* Objects belong to whom the guest says, and nobody's groups come along. */
static int ids_work(struct scene *s)
{
	gid_t extra = 77;
	struct stat st;
	int fd;

	if (syscall(SYS_setgroups, 1, &extra) < 0 || syscall(SYS_setresgid, -1, 1001, -1) < 0 ||
	    syscall(SYS_setresuid, -1, 1000, -1) < 0)
		return 1;
	fd = openat(s->jail.root_fd, "of-1000", O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != 1000 || st.st_gid != 1001)
		return 2;
	if (syscall(SYS_setresuid, -1, 0, -1) < 0 || syscall(SYS_setresgid, -1, 0, -1) < 0 ||
	    syscall(SYS_setgroups, 0, NULL) < 0)
		return 3;
	return unlinkat(s->jail.root_fd, "of-1000", 0) < 0 ? 4 : 0;
}

static const struct probe probes[] = {
#define X(n, c) COMMON_ROW(n, c)
	COMMON_PROBES(X)
#undef X
	HANDLE_ROWS
	{ "refused: UNIX socket", try_unix_socket, REFUSED, 0, "socket", 0 },
	{ "refused: fork", try_fork, REFUSED, 0, "clone", 0 },
	{ "refused: vfork", try_vfork, REFUSED, 0, "clone", 0 },
	{ "refused: execve", try_exec, REFUSED, 0, "execve", 0 },
	{ "refused: execveat", try_execveat, REFUSED, 0, "execveat", 0 },
	{ "refused: mmap PROT_EXEC", try_mmap_exec, REFUSED, 0, "mmap", 0 },
	{ "refused: mprotect PROT_EXEC", try_mprotect_exec, REFUSED, 0, "mprotect", 0 },
	{ "refused: mount", try_mount, REFUSED, 0, "mount", 0 },
	{ "refused: setns", try_setns, REFUSED, 0, "setns", 0 },
	{ "refused: unshare a mount namespace", try_unshare_namespace, REFUSED, 0, "unshare", 0 },
	{ "refused: unshare a user namespace", try_unshare_ns, REFUSED, 0, "unshare", 0 },
	{ "refused: kill another process", try_kill_victim, REFUSED, 0, "kill", 0 },
	{ "refused: tgkill another process", try_tgkill_victim, REFUSED, 0, "tgkill", 0 },
	{ "refused: become dumpable", try_dumpable, REFUSED, 0, "prctl", 0 },
	{ "refused: load a filter", try_new_seccomp, REFUSED, 0, "prctl", 0 },
	{ "refused: ioctl", try_other_ioctl, REFUSED, 0, "ioctl", 0 },
	{ "refused: fcntl F_SETOWN", try_fcntl_owner, REFUSED, 0, "fcntl", 0 },
	{ "refused: fcntl F_SETSIG", try_signal_owner, REFUSED, 0, "fcntl", 0 },
	{ "refused: locks that belong to the process", try_process_lock, REFUSED, 0, "fcntl", 0 },
	{ "refused: linkat AT_EMPTY_PATH", try_link_empty_path, REFUSED, 0, "linkat", 0 },
	{ "refused: unknown rename flags", try_rename_flags, REFUSED, 0, "renameat2", 0 },
	{ "refused: replace the handler of SIGSYS", try_handle_sigsys, REFUSED, 0, "rt_sigaction", 0 },
	{ "refused: the same by a dirty number", try_high_half, REFUSED, 0, "rt_sigaction", 0 },
	{ "dies: a refused call with SIGSYS blocked", try_block_sigsys, DIES, SIGSYS, NULL, 0 },
	{ "dies: a 32-bit system call", try_small_int80, DIES, 0, NULL, 0 },
	{ "dies: an x32 system call", try_x32, DIES, SIGSYS, NULL, 0 },
	{ "ENOSYS: clone3", try_clone3, FAILS, ENOSYS, NULL, 0 },
	{ "ENOENT: a path of the host", try_open_etc, FAILS, ENOENT, NULL, 0 },
	{ "ENOENT: above the share", try_open_up, FAILS, ENOENT, NULL, 0 },
	{ "ENOENT: a link out of the share", try_open_link, FAILS, ENOENT, NULL, 0 },
	{ "ENOENT: /proc by path", try_open_proc, FAILS, ENOENT, NULL, 0 },
	{ "ENOENT: own memory through /proc/self/fd", try_proc_up, FAILS, ENOENT, NULL, 0 },
	{ "ENOENT: own memory, further up", try_proc_up_up, FAILS, ENOENT, NULL, 0 },
	{ "ENOENT: the root of process 1", try_proc_up_one, FAILS, ENOENT, NULL, 0 },
	{ "EACCES: a device node that is there", try_open_host_device, FAILS, EACCES, NULL, 0 },
	{ "EACCES: a device node of its own making", open_own_device, FAILS, EACCES, NULL, 0 },
	{ "EPERM: a capability outside its policy", gain_forbidden_caps, FAILS, EPERM, NULL, 0 },
	{ "works: a capability of its policy, down and up", caps_rise_and_fall, WORKS, 0, NULL, 0 },
	{ "works: operations by name", names_work, WORKS, 0, NULL, 0 },
	{ "works: open files", files_work, WORKS, 0, NULL, 0 },
	{ "works: acting as a guest's user", ids_work, WORKS, 0, NULL, 0 },
	{ "works: threads and malloc", try_threads, WORKS, 0, NULL, 0 },
	{ "works: libc", try_libc, WORKS, 0, NULL, 0 },
	{ "dies: abort", try_abort, DIES, SIGSEGV, NULL, 0 },
	{ "EROFS: mkdir in a read-only share", try_make_dir, FAILS, EROFS, NULL, READ_ONLY },
	{ "EROFS: write to a file of it", try_open_to_write, FAILS, EROFS, NULL, READ_ONLY },
	{ "works: read from it", try_read_file, WORKS, 0, NULL, READ_ONLY },

	{ "no filter: open_by_handle_at of the root inode", try_open_by_handle, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: mount", try_mount, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: setns", try_setns, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: unshare a mount namespace", try_unshare_namespace, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: chroot", try_chroot_dir, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: kill another process", try_kill_victim, FAILS, ESRCH, NULL, NO_FILTER },
	{ "no filter: trace another process", try_ptrace, FAILS, ESRCH, NULL, NO_FILTER },
	{ "no filter: network", reach_network, FAILS, ENETUNREACH, NULL, NO_FILTER },
	{ "no filter: execute a program of the share", exec_from_share, FAILS, EACCES, NULL, NO_FILTER },
	{ "no filter: no group, empty bounding set, no core dump, own pid namespace", no_groups_no_bounding, WORKS, 0, NULL,
	  NO_FILTER },
};

static const char *const never[] = {
	"open_by_handle_at", "name_to_handle_at", "socket", "socketpair", "connect", "bind", "listen", "accept4",
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill",
	"mount", "umount2", "setns", "chroot", "pivot_root", "move_mount", "open_tree", "fsopen", "io_uring_setup",
	"bpf", "userfaultfd", "perf_event_open", "keyctl", "pkey_mprotect", "shmat", "personality", "seccomp",
	"pidfd_getfd", "memfd_create", "quotactl", "swapon", NULL,
};

const struct role_under_test test_fsworker = { &policy_fsworker, probes, ARRAY_SIZE(probes), never };
