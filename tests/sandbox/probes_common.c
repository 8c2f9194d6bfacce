/* probes_common.c - things that no role, or none of the children, may do; and things that libc must be able to. */
#include "probe.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* Never allowed -------------------------------------------------------------------------------------------------- */

#define TRY(n, ...)                  \
	int try_##n(struct scene *s) \
	{                            \
		(void)s;             \
		return RAW(__VA_ARGS__); \
	}

TRY(ptrace, SYS_ptrace, 16L /* PTRACE_ATTACH */, s->victim, 0L, 0L)
TRY(bpf, SYS_bpf, 0L, NULL, 0L)
TRY(io_uring, SYS_io_uring_setup, 8L, NULL)
TRY(userfaultfd, SYS_userfaultfd, 0L)
TRY(perf_event, SYS_perf_event_open, NULL, 0L, -1L, -1L, 0L)
TRY(add_key, SYS_add_key, "user", "x", "y", 1L, -3L)
TRY(keyctl, SYS_keyctl, 0L, -3L, 0L)
TRY(init_module, SYS_init_module, NULL, 0L, "")
TRY(kexec, SYS_kexec_load, 0L, 0L, NULL, 0L)
TRY(reboot_host, SYS_reboot, 0L, 0L, 0L, NULL) /* wrong magic numbers: harmless where it is allowed */
TRY(swapon_file, SYS_swapon, "/nonexistent", 0L)
TRY(set_clock, SYS_clock_settime, (long)CLOCK_MONOTONIC, NULL) /* impossible for this clock */
TRY(set_day, SYS_settimeofday, 1L /* no address */, NULL)
TRY(chroot_dir, SYS_chroot, "/")
TRY(sethostname_host, SYS_sethostname, 1L /* no address */, 1L)
TRY(inet_socket, SYS_socket, (long)AF_INET, (long)SOCK_STREAM, 0L)
TRY(personality_exec, SYS_personality, 0x0400000L /* READ_IMPLIES_EXEC */)
TRY(quota, SYS_quotactl, 0L, NULL, 0L, NULL)
TRY(steal_fd, SYS_pidfd_getfd, 0L, 0L, 0L)
TRY(shm_segment, SYS_shmget, 0L, 4096L, 01600L)
TRY(acct_file, SYS_acct, "/nonexistent")

int try_handle_name(struct scene *s)
{
	struct { struct file_handle h; char room[128]; } fh = { .h.handle_bytes = 128 };
	int mount_id;

	return RAW(SYS_name_to_handle_at, s->share_fd, "", &fh, &mount_id, (long)AT_EMPTY_PATH);
}

int try_read_other_memory(struct scene *s)
{
	char buf[8];
	struct iovec mine = { buf, 8 }, other = { buf, 8 };

	return RAW(SYS_process_vm_readv, s->victim, &mine, 1L, &other, 1L, 0L);
}

int try_write_other_memory(struct scene *s)
{
	char buf[8] = "";
	struct iovec mine = { buf, 8 }, other = { buf, 8 };

	return RAW(SYS_process_vm_writev, s->victim, &mine, 1L, &other, 1L, 0L);
}

/* The known way out of a mount jail: the root inode of the file system by its number. */
int try_open_by_handle(struct scene *s)
{
	struct { struct file_handle h; uint32_t ino, gen; } fh = {
		.h = { .handle_bytes = 8, .handle_type = 1 }, .ino = 2,
	};
	int at = s->file_fd;

	if (s->jail.root_fd >= 0) /* not O_PATH: that would be EBADF */
		at = openat(s->jail.root_fd, ".", O_RDONLY | O_DIRECTORY);
	return RAW(SYS_open_by_handle_at, (long)at, &fh, (long)(O_PATH | O_DIRECTORY));
}

/* Allowed to the monitor, to no child ----------------------------------------------------------------------------- */

TRY(fork, SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL)
TRY(vfork, SYS_clone, (long)(CLONE_VM | CLONE_VFORK | SIGCHLD), NULL, NULL, NULL, NULL)
TRY(clone3, SYS_clone3, NULL, 0L)
TRY(exec, SYS_execve, "/bin/true", NULL, NULL)
TRY(execveat, SYS_execveat, s->file_fd, "", NULL, NULL, (long)AT_EMPTY_PATH)
TRY(mmap_exec, SYS_mmap, NULL, 4096L, (long)(PROT_READ | PROT_EXEC), (long)(MAP_PRIVATE | MAP_ANONYMOUS), -1L, 0L)
TRY(unix_socket, SYS_socket, (long)AF_UNIX, (long)SOCK_STREAM, 0L)
TRY(mount, SYS_mount, "none", "/", "tmpfs", 0L, NULL)
TRY(setns, SYS_setns, s->host_ns_fd, (long)CLONE_NEWNS)
TRY(unshare_ns, SYS_unshare, (long)CLONE_NEWUSER)
TRY(kill_victim, SYS_kill, s->victim, (long)SIGTERM)
TRY(tgkill_victim, SYS_tgkill, s->victim, s->victim, (long)SIGTERM)
TRY(dumpable, SYS_prctl, (long)PR_SET_DUMPABLE, 1L, 0L, 0L, 0L)
TRY(tty_ioctl, SYS_ioctl, s->file_fd, (long)TCGETS, NULL)
TRY(other_ioctl, SYS_ioctl, s->file_fd, (long)FIONREAD, NULL)
TRY(fcntl_owner, SYS_fcntl, s->file_fd, (long)F_SETOWN, 1L)

int try_mprotect_exec(struct scene *s)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)s;
	return p == MAP_FAILED ? 1 : RAW(SYS_mprotect, p, 4096L, (long)(PROT_READ | PROT_EXEC));
}

/* The handler that reports refused calls cannot be replaced... */
int try_handle_sigsys(struct scene *s)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	(void)s;
	return sigaction(SIGSYS, &sa, NULL) < 0 ? errno : 0;
}

/* ...also not by a number whose upper half the kernel does not read. */
int try_high_half(struct scene *s)
{
	struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } act = { SIG_IGN, 0, NULL, 0 };

	(void)s;
	return RAW(SYS_rt_sigaction, (long)SIGSYS | 1L << 32, &act, NULL, 8L);
}

int try_block_sigsys(struct scene *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return try_ptrace(s);
}

/* A filter can only take away; but none of the roles should be able to load one that says "ENOSYS" at will. */
int try_new_seccomp(struct scene *s)
{
	struct sock_filter f[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog prog = { 1, f };

	(void)s;
	return RAW(SYS_prctl, (long)PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, &prog, 0L, 0L);
}

int try_dlopen(struct scene *s)
{
	(void)s;
	return dlopen("libm.so.6", RTLD_NOW) ? 0 : ENOENT;
}

/* A 32-bit system call from a 64-bit process has other numbers: 1 is exit() there. */
int try_small_int80(struct scene *s)
{
	(void)s;
#ifdef __x86_64__
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory");
	return r < 0 ? (int)-r : 0;
#else
	raise(SIGSYS);
	kill(getpid(), SIGKILL);
	return 0;
#endif
}

int try_x32(struct scene *s)
{
	(void)s;
#ifdef __x86_64__
	return RAW(0x40000000L + SYS_getpid);
#else
	return RAW(0x3ffffL);
#endif
}

int try_gain_capability(struct scene *s)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	(void)s;
	if (syscall(SYS_capget, &hdr, d) < 0)
		return 1;
	d[0].permitted |= 1u << CAP_SYS_MODULE | 1u << CAP_DAC_READ_SEARCH;
	d[0].effective |= 1u << CAP_SYS_MODULE | 1u << CAP_DAC_READ_SEARCH;
	return RAW(SYS_capset, &hdr, d);
}

/* What must go on working ----------------------------------------------------------------------------------------- */

int try_abort(struct scene *s)
{
	(void)s;
	abort();
}

static void *thread_main(void *arg)
{
	/* An arena of its own, large blocks, and the call that names it. */
	for (size_t i = 1; i < 64; i++) {
		void *p = malloc(i * 4096);

		if (!p)
			return NULL;
		memset(p, 1, i * 4096);
		p = realloc(p, i * 8192);
		free(p);
	}
	prctl(PR_SET_NAME, "probe");
	sched_yield();
	return arg;
}

int try_threads(struct scene *s)
{
	pthread_t t[16];
	void *ret;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (pthread_create(&t[i], NULL, thread_main, s) != 0)
			return 1;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		if (pthread_join(t[i], &ret) != 0 || ret != s)
			return 2;
	return 0;
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int try_libc(struct scene *s)
{
	struct timespec now, nap = { 0, 1000 };
	static int many[100000];
	char text[256];
	cpu_set_t cpus;
	char rnd[16];

	(void)s;
	snprintf(text, sizeof(text), "%s %f %Lf %d", strerror(ENOENT), 1.5, 2.5L, 42);
	if (fprintf(stdout, "%s", "") < 0 || fprintf(stderr, "%s", "") < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (int)(i * 7919 % 65537);
	qsort(many, ARRAY_SIZE(many), sizeof(many[0]), compare_ints);
	if (many[0] > many[1] || getrandom(rnd, sizeof(rnd), 0) != (ssize_t)sizeof(rnd))
		return 2;
	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0 || nanosleep(&nap, NULL) < 0 || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 3;
	signal(SIGUSR1, SIG_IGN);
	signal(SIGRTMIN + 5, SIG_IGN);
	signal(SIGRTMAX, SIG_IGN);
	if (raise(SIGUSR1) != 0)
		return 4;
	return 0;
}
