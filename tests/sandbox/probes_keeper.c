/* probes_keeper.c - what a keeper that was taken over might try, and what a taken-over fsworker might try by its channel. */
#include "probe.h"

#include "keeper/keeper.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define TRY(n, ...)                         \
	static int try_##n(struct scene *s) \
	{                                   \
		(void)s;                    \
		return RAW(__VA_ARGS__);    \
	}

TRY(open_relative, SYS_openat, s->share_fd, "file", 0L)
TRY(open2_relative, SYS_openat2, s->share_fd, "file", NULL, 0L)
TRY(stat_relative, SYS_statx, s->share_fd, "file", 0L, 0L, NULL)
TRY(read_shown, SYS_read, s->file_fd, s->dir, 1L)
TRY(write_shown, SYS_write, s->file_fd, "x", 1L)
TRY(pread_shown, SYS_pread64, s->file_fd, s->dir, 1L, 0L)
TRY(list_shown, SYS_getdents64, s->share_fd, s->dir, 8L)
TRY(link_shown, SYS_linkat, s->file_fd, "", (long)AT_FDCWD, "/x", (long)AT_EMPTY_PATH)
TRY(map_memory, SYS_mmap, NULL, 4096L, (long)PROT_READ, (long)(MAP_PRIVATE | MAP_ANONYMOUS), -1L, 0L)
TRY(thread, SYS_clone, 0x3d0f00L, NULL, NULL, NULL, NULL)
TRY(become_root, SYS_setresuid, 0L, 0L, 0L)
TRY(handle_of_name, SYS_name_to_handle_at, s->share_fd, "file", NULL, NULL, 0L)
TRY(send_elsewhere, SYS_sendto, s->listen_fd, "x", 1L, 0L, s->dir, 16L)
TRY(set_flags, SYS_fcntl, s->file_fd, (long)F_SETFL, 0L)

union any_handle {
	struct file_handle h;
	char room[sizeof(struct file_handle) + SEAL_HANDLE_MAX];
};

/* Of what is outside of the share: it was seen once, or worked out. */
static bool outside_handle(const struct scene *s, union any_handle *r)
{
	int id;

	r->h.handle_bytes = SEAL_HANDLE_MAX;
	return syscall(SYS_name_to_handle_at, s->outside_fd, "", &r->h, &id, AT_EMPTY_PATH) == 0;
}

/* What the capability is for: without the seals this would be the way out. */
static int open_outside(struct scene *s, int flags)
{
	union any_handle r;

	if (!outside_handle(s, &r))
		return 1;
	return RAW(SYS_open_by_handle_at, (long)s->list_fd, &r.h, (long)flags);
}

static int handle_to_look(struct scene *s)
{
	return open_outside(s, O_PATH | O_CLOEXEC);
}

static int handle_to_read(struct scene *s)
{
	return open_outside(s, O_RDONLY | O_CLOEXEC);
}

static int handle_to_write(struct scene *s)
{
	return open_outside(s, O_WRONLY | O_CLOEXEC);
}

static struct keeper keeper;
static struct ipc_batch b;
static struct ipc_dgram d;
static struct ipc_msg m;
static int sv[2];

/* The fsworker sends what is in b; the keeper's answer is in m, if it gives one. */
static bool converse(void)
{
	const char *why;

	ipc_dgram_end(&d);
	return ipc_batch_send(sv[0], &b) == 0 && keeper_hear(&keeper, sv[1], &why) == 1 &&
	       (ipc_recv(sv[0], &d, MSG_DONTWAIT) != 1 || ipc_next(&d, IPC_DIR_K2W, &m, &why) == 1);
}

/* The channel is made before the sandbox is up (see be_role()): here it is only used. */
static bool begin(const struct scene *s)
{
	sv[0] = s->channel[0];
	sv[1] = s->channel[1];
	keeper_init(&keeper, (const uint8_t *)"a key of no worth");
	return ipc_batch_add(&b, IPC_MOUNT, 0, 0, 0, NULL) && ipc_batch_fd(&b, s->list_fd, false) && converse();
}

static bool seal(int fd, struct ipc_sealed_one *out)
{
	struct ipc_seal *q = ipc_batch_add(&b, IPC_SEAL, 1, 0, 0, NULL);

	q->count = 1;
	if (!ipc_batch_fd(&b, fd, false) || !converse() || m.tail_len != sizeof(*out))
		return false;
	memcpy(out, m.tail, sizeof(*out));
	return out->error == 0;
}

/* errno that the keeper tells; 0: there is a descriptor. */
static int unseal(uint64_t mnt_id, const uint8_t *handle, uint32_t len)
{
	struct ipc_unseal_one one = { .mnt_id = mnt_id, .len = len };
	uint32_t error = 0;
	char *tail;
	struct ipc_unseal *q = ipc_batch_add(&b, IPC_UNSEAL, 1, 0, sizeof(one), &tail);

	q->count = 1;
	memcpy(one.handle, handle, MIN(len, (uint32_t)IPC_HANDLE_MAX));
	memcpy(tail, &one, sizeof(one));
	if (!converse() || m.tail_len != sizeof(error))
		return 255;
	memcpy(&error, m.tail, sizeof(error));
	return error || m.nfds == 1 ? (int)error : 254;
}

static uint64_t mount_of(int fd)
{
	struct statx st;

	return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID | 0x4000u, &st) == 0 ? st.stx_mnt_id : 0;
}

static int channel_works(struct scene *s)
{
	struct ipc_sealed_one f, dir;

	if (!begin(s) || !seal(s->file_fd, &f) || !seal(s->share_fd, &dir))
		return 1;
	return unseal(mount_of(s->share_fd), f.handle, f.len) || unseal(mount_of(s->share_fd), dir.handle, dir.len) ? 2 : 0;
}

/* The known escape, by the channel. */
static int escape_made_up(struct scene *s)
{
	static const struct { int32_t type; uint32_t ino, generation; } ext4_root = { 1, 2, 0 };
	uint8_t text[IPC_HANDLE_MAX] = { 0 };

	memcpy(text + SEAL_BYTES, &ext4_root, sizeof(ext4_root));
	return begin(s) ? unseal(mount_of(s->share_fd), text, SEAL_BYTES + sizeof(ext4_root)) : 1;
}

static int escape_copied(struct scene *s)
{
	uint8_t text[IPC_HANDLE_MAX] = { 0 };
	struct ipc_sealed_one f;
	union any_handle r;

	if (!begin(s) || !outside_handle(s, &r) || !seal(s->file_fd, &f))
		return 1;
	/* With the seal of a good one. */
	memcpy(text, f.handle, SEAL_BYTES);
	memcpy(text + SEAL_BYTES, &r.h.handle_type, 4);
	memcpy(text + SEAL_BYTES + 4, r.h.f_handle, r.h.handle_bytes);
	return unseal(mount_of(s->share_fd), text, SEAL_BYTES + 4 + r.h.handle_bytes);
}

static int escape_own_key(struct scene *s)
{
	static const uint8_t key[IPC_KEEPER_KEY] = "a guess";
	struct seal_place place = { .mnt_id = mount_of(s->share_fd) };
	struct seal_handle h = { 0 };
	uint8_t text[IPC_HANDLE_MAX];
	union any_handle r;
	uint32_t n;

	if (!begin(s) || !outside_handle(s, &r))
		return 1;
	place.fs_type = keeper.mount[0].place.fs_type;
	place.fs_id = keeper.mount[0].place.fs_id;
	h.type = r.h.handle_type;
	h.len = r.h.handle_bytes;
	memcpy(h.bytes, r.h.f_handle, h.len);
	n = seal_make(key, &place, &h, text);
	return unseal(place.mnt_id, text, n);
}

static int escape_other_mount(struct scene *s)
{
	struct ipc_sealed_one f;

	return begin(s) && seal(s->file_fd, &f) ? unseal(mount_of(s->share_fd) + 1000000, f.handle, f.len) : 1;
}

/* Without the filter: what else holds it. */

static int one_capability(struct scene *s)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct c[2];

	(void)s;
	if (syscall(SYS_capget, &hdr, c) < 0)
		return 1;
	if (c[0].effective != 1u << CAP_DAC_READ_SEARCH || c[0].permitted != c[0].effective || c[0].inheritable ||
	    c[1].effective | c[1].permitted | c[1].inheritable)
		return 2;
	for (int cap = 0; cap < 41; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return 3;
	return getuid() == TRY_UID && getgid() == TRY_UID && getgroups(0, NULL) == 0 && getpid() == 1 ? 0 : 4;
}

static int open_etc(struct scene *s)
{
	(void)s;
	return open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
}

static int write_root(struct scene *s)
{
	(void)s;
	return mkdir("/x", 0700) < 0 ? errno : 0;
}

static int reach_network(struct scene *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = 0x08080808 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)s;
	return fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? errno : 0;
}

static const struct probe probes[] = {
#define X(n, c) COMMON_ROW(n, c)
	COMMON_PROBES(X)
#undef X
	{ "refused: open a file of a directory that was shown", try_open_relative, REFUSED, 0, "openat", 0 },
	{ "refused: openat2", try_open2_relative, REFUSED, 0, "openat2", 0 },
	{ "refused: statx by name", try_stat_relative, REFUSED, 0, "statx", 0 },
	{ "refused: the handle of a name", try_handle_of_name, REFUSED, 0, "name_to_handle_at", 0 },
	{ "refused: open by handle to read", handle_to_read, REFUSED, 0, "open_by_handle_at", 0 },
	{ "refused: open by handle to write", handle_to_write, REFUSED, 0, "open_by_handle_at", 0 },
	{ "refused: read", try_read_shown, REFUSED, 0, "read", 0 },
	{ "refused: pread", try_pread_shown, REFUSED, 0, "pread64", 0 },
	{ "refused: write", try_write_shown, REFUSED, 0, "write", 0 },
	{ "refused: list a directory", try_list_shown, REFUSED, 0, "getdents64", 0 },
	{ "refused: link", try_link_shown, REFUSED, 0, "linkat", 0 },
	{ "refused: map memory", try_map_memory, REFUSED, 0, "mmap", 0 },
	{ "refused: mprotect PROT_EXEC", try_mprotect_exec, REFUSED, 0, "mmap", 0 },
	{ "refused: a thread", try_thread, REFUSED, 0, "clone", 0 },
	{ "refused: fork", try_fork, REFUSED, 0, "clone", 0 },
	{ "refused: execve", try_exec, REFUSED, 0, "execve", 0 },
	{ "refused: UNIX socket", try_unix_socket, REFUSED, 0, "socket", 0 },
	{ "refused: sendto with an address", try_send_elsewhere, REFUSED, 0, "sendto", 0 },
	{ "refused: fcntl F_SETFL", try_set_flags, REFUSED, 0, "fcntl", 0 },
	{ "refused: ioctl", try_other_ioctl, REFUSED, 0, "ioctl", 0 },
	{ "refused: become root", try_become_root, REFUSED, 0, "setresuid", 0 },
	{ "refused: gain a capability", try_gain_capability, REFUSED, 0, "capget", 0 },
	{ "refused: mount", try_mount, REFUSED, 0, "mount", 0 },
	{ "refused: setns", try_setns, REFUSED, 0, "setns", 0 },
	{ "refused: kill another process", try_kill_victim, REFUSED, 0, "kill", 0 },
	{ "refused: become dumpable", try_dumpable, REFUSED, 0, "prctl", 0 },
	{ "refused: replace the handler of SIGSYS", try_handle_sigsys, REFUSED, 0, "rt_sigaction", 0 },
	{ "dies: a 32-bit system call", try_small_int80, DIES, 0, NULL, 0 },
	{ "works: open by handle to look, which is its work", handle_to_look, WORKS, 0, NULL, 0 },
	{ "works: sealed and opened again, by the channel", channel_works, WORKS, 0, NULL, 0 },
	{ "EBADMSG: the root inode by a made-up handle, by the channel", escape_made_up, FAILS, EBADMSG, NULL, 0 },
	{ "EBADMSG: a handle from outside with the seal of another", escape_copied, FAILS, EBADMSG, NULL, 0 },
	{ "EBADMSG: a handle from outside, sealed with another key", escape_own_key, FAILS, EBADMSG, NULL, 0 },
	{ "ENODEV: a sealed handle on a mount that was not shown", escape_other_mount, FAILS, ENODEV, NULL, 0 },

	{ "no filter: one capability, no group, own pid namespace", one_capability, WORKS, 0, NULL, NO_FILTER },
	{ "no filter: open by path", open_etc, FAILS, ENOENT, NULL, NO_FILTER },
	{ "no filter: write to the root", write_root, FAILS, EROFS, NULL, NO_FILTER },
	{ "no filter: gain a capability", try_gain_capability, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: become root", try_become_root, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: mount", try_mount, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: setns", try_setns, FAILS, EPERM, NULL, NO_FILTER },
	{ "no filter: network", reach_network, FAILS, ENETUNREACH, NULL, NO_FILTER },
	{ "no filter: kill a process of the same user", try_kill_victim, FAILS, ESRCH, NULL, NO_FILTER },
	{ "no filter: trace a process of the same user", try_ptrace, FAILS, ESRCH, NULL, NO_FILTER },
};

static const char *const never[] = {
	"open", "openat", "openat2", "creat", "read", "write", "pread64", "pwrite64", "preadv2", "pwritev2", "getdents64",
	"mmap", "mprotect", "socket", "socketpair", "connect", "bind", "execve", "execveat", "clone", "fork", "vfork",
	"ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill", "mount", "setns", "unshare", "chroot",
	"fchmod", "fchmodat", "fchown", "fchownat", "ftruncate", "setxattr", "utimensat", "linkat", "unlinkat", "renameat2",
	"mknodat", "mkdirat", "symlinkat", "setresuid", "setresgid", "setgroups", "capset", "io_uring_setup", "bpf",
	"userfaultfd", "perf_event_open", "keyctl", "prctl", "ioctl", "seccomp", "pidfd_getfd", "memfd_create", NULL,
};

const struct role_under_test test_keeper = { &policy_keeper, probes, ARRAY_SIZE(probes), never };
