/* fuzz_fsworker.c - the bytes of datagrams from a transport that was taken over, into the fsworker.
 *
 * The input is a row of datagrams, each with two bytes of length before it. They go through ipc_next() and the
 * handlers as on a link; the share is a scratch directory on a tmpfs where there is one. Runs without the jail and
 * without a pool: one thread does all. What may wait for a lock gets a thread, as always.
 */
#include "common/log.h"
#include "fsworker/creds.h"
#include "fsworker/fsworker.h"
#include "fsworker/lock_wait.h"
#include "fsworker/resolve.h"

#include <fcntl.h>
#include <ftw.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define SLOTS 18u /* so few that a number that is made up may be one that was given out */
#define FD_LIMIT 256u
#define HANDLES 16u
#define FILE_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fsworker w;
static struct link fuzz_link;
static struct out out;
static struct ipc_dgram dgram;
static int peer, home;
static char dir[64];
static struct {
	char common[IPC_COMMON_STATE];
	char link[IPC_LINK_STATE];
	struct inode_slot slots[SLOTS];
	struct handle_row rows[HANDLES + 1];
} state;

static void quiet(enum log_level level, const char *text, size_t len)
{
	(void)level;
	(void)text;
	(void)len;
}

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "fuzz_fsworker: cannot %s: %s\n", what, strerror(errno));
		abort();
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	return at->level ? remove(path) : 0;
}

static void clear_share(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_share(void)
{
	clear_share();
	rmdir(dir);
}

static void set_up(void)
{
	struct rlimit limit = { FILE_BYTES_MAX, FILE_BYTES_MAX };
	struct ipc_config_fsworker cfg = {
		.flags = CFG_XATTR | CFG_FLOCK | CFG_POSIX_LOCK,
		.nlinks = 1,
		.max_open_files = 32,
		.inode_slots = SLOTS,
	};
	int sv[2];

	log_to_sink(quiet);
	home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
	snprintf(dir, sizeof(dir), "%s/fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(dir) != NULL, "make a directory");
	atexit(remove_share);
	/* The share lies in memory. */
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	w = (struct fsworker){ .flags = cfg.flags, .links = &fuzz_link, .nlinks = 1, .keeper_fd = -1 };
	w.root_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	w.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	w.bulk = mmap(NULL, IPC_BULK_LINK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(w.root_fd >= 0 && w.proc_fd >= 0 && w.bulk != MAP_FAILED, "set up");
	must(ipc_pair(sv) == 0, "make a socket pair");
	peer = sv[0];
	fuzz_link.fd = sv[1];
	must(fsworker_init(&w, &cfg, &state, FD_LIMIT) == 0, "make the tables");
	must(creds_thread_init(w.proc_fd) == 0, "set the ids (it must be run as root)");
	out_init(&out, &fuzz_link, fuzz_link.journal);
	journal_own = fuzz_link.journal;
	journal_now = &fuzz_link.journal->step;
}

/* Every input meets the same numbers. */
static void renew_tables(void)
{
	struct statx st;

	inode_table_fini(&w.inodes);
	handle_table_fini(&w.handles);
	memset(state.link, 0, sizeof(state) - offsetof(__typeof__(state), link));
	must(resolve_statx_fd(w.root_fd, 0, &st) == 0 && inode_table_init(&w.inodes, state.slots, SLOTS, FD_LIMIT, 1) == 0 &&
		     inode_set_root(&w.inodes, w.root_fd, &st) == 0 && handle_table_init(&w.handles, state.rows, HANDLES, 1) == 0,
	     "make the tables");
}

/* Things to find. */
static void fill_share(void)
{
	static const char *const files[] = { "a", "b", "c" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		mknodat(w.root_fd, files[i], S_IFREG | 0644, 0);
	mkdirat(w.root_fd, "d", 0755);
	mkfifoat(w.root_fd, "f", 0644);
	(void)!symlinkat("/etc/passwd", w.root_fd, "l");
}

static void drain(void)
{
	static char sink[IPC_DGRAM_MAX];
	char control[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)] __attribute__((aligned(8)));

	for (;;) {
		struct iovec iov = { sink, sizeof(sink) };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = sizeof(control) };

		if (recvmsg(peer, &m, MSG_DONTWAIT) < 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
				close(fd);
			}
	}
}

static void serve(const uint8_t *data, size_t size)
{
	const char *why;

	memcpy(dgram.buf, data, size);
	dgram.len = (uint32_t)size;
	dgram.pos = dgram.nfds = dgram.fd_pos = 0;
	if (size >= sizeof(struct ipc_hdr))
		((struct ipc_hdr *)dgram.buf)->dgram = dgram.len;
	if (size)
		(void)!link_serve(&fuzz_link, &out, &dgram, JOURNAL_NOWHERE, &why);
	drain();
}

/* One input is one session. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;

	if (!ready)
		set_up();
	ready = true;
	/* A thread of the fsworker lives in /proc/self/fd; who runs this does not. */
	must(fchdir(w.proc_fd) == 0 && creds_root() == 0, "return to root");
	fill_share();
	while (size >= 2) {
		size_t len = data[0] | (size_t)data[1] << 8;

		data += 2;
		size -= 2;
		len = MIN(len, size);
		serve(data, len);
		data += len;
		size -= len;
	}
	session_wipe(&w);
	lock_wait_fini();
	drain();
	must(fchdir(home) == 0 && creds_root() == 0, "return to root");
	renew_tables();
	clear_share();
	return 0;
}
