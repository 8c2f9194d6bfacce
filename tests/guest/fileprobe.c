/*
 * fileprobe - checks of file operations that a shell cannot make.
 *
 * fileprobe CHECK [ARG]... runs one check in the current folder and ends with 0
 * (as it should be), 1 (not; what and where goes to standard error) or 77 (the
 * file system cannot do it). Without arguments it lists the checks. The checks
 * hold on any local Linux file system, so a failure on the share alone is the
 * share's.
 */
#define _GNU_SOURCE
#include "fileprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

void complain(int line, const char *cond, const char *format, ...)
{
	int saved = errno;
	va_list args;

	fprintf(stderr, "fileprobe:%d: not so: %s: ", line, cond);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno: %s)\n", strerror(saved));
	exit(1);
}

void left_out(const char *part, const char *why)
{
	fprintf(stderr, "left out: %s: %s\n", part, why);
}

static const char *check_name;

void skip(const char *why)
{
	left_out(check_name, why);
	exit(EXIT_SKIP);
}

int open_new(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0, "open %s", name);
	return fd;
}

void write_all(int fd, const void *data, size_t size, off_t offset)
{
	CHECK(pwrite(fd, data, size, offset) == (ssize_t)size, "write at %ld", (long)offset);
}

/* A pattern in which every 8 bytes tell their own offset. */
static void fill_pattern(uint8_t *data, size_t size, uint64_t offset)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = (offset + i) * UINT64_C(0x9e3779b97f4a7c15) + 1;

		memcpy(data + i, &word, size - i < 8 ? size - i : 8);
	}
}

void check_pattern(int fd, size_t size, off_t offset)
{
	uint8_t *want = malloc(size);
	uint8_t *got = malloc(size);

	CHECK(want != NULL && got != NULL, "memory");
	fill_pattern(want, size, (uint64_t)offset);
	CHECK(pread(fd, got, size, offset) == (ssize_t)size, "read at %ld", (long)offset);
	CHECK(memcmp(want, got, size) == 0, "contents at %ld", (long)offset);
	free(want);
	free(got);
}

void write_pattern(int fd, size_t size, off_t offset)
{
	uint8_t *data = malloc(size);

	CHECK(data != NULL, "memory");
	fill_pattern(data, size, (uint64_t)offset);
	write_all(fd, data, size, offset);
	free(data);
}

/* Shared and private mappings against read and write, growth, and a signal past the end. */
static void probe_mmap(void)
{
	const size_t size = 2 * MIB;
	int fd = open_new("mmap");

	write_pattern(fd, size, 0);
	uint8_t *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(shared != MAP_FAILED, "mmap shared");
	uint8_t *private = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(private != MAP_FAILED, "mmap private");

	memset(shared + 4000, 0xa5, 9000);
	memset(private + 100000, 0x5a, 5000);
	uint8_t back[9000];
	CHECK(pread(fd, back, sizeof(back), 4000) == (ssize_t)sizeof(back), "read back");
	for (size_t i = 0; i < sizeof(back); i++)
		CHECK(back[i] == 0xa5, "byte %zu of the mapped write", i);
	check_pattern(fd, 5000, 100000);

	write_all(fd, "through write", 13, 700000);
	CHECK(memcmp(shared + 700000, "through write", 13) == 0, "write seen in the mapping");
	CHECK(msync(shared, size, MS_SYNC) == 0, "msync");

	/* A second descriptor and mapping after the first are gone. */
	CHECK(munmap(shared, size) == 0 && munmap(private, size) == 0, "munmap");
	close(fd);
	fd = open("mmap", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0, "open again");
	uint8_t *again = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(again != MAP_FAILED, "mmap again");
	CHECK(again[4000] == 0xa5 && again[12999] == 0xa5, "mapped write kept");
	CHECK(memcmp(again + 700000, "through write", 13) == 0, "written bytes kept");
	CHECK(truncate("mmap", 4096) == 0, "truncate");

	pid_t child = fork();
	CHECK(child >= 0, "fork");
	if (child == 0) {
		const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		volatile uint8_t beyond = again[8192];
		_exit(beyond);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child, "wait");
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "SIGBUS past the end");
	munmap(again, size);
	close(fd);
}

/* Two processes count up in one mapped page, with the file written through. */
static void probe_mmap_shared_count(void)
{
	int fd = open_new("count");

	CHECK(ftruncate(fd, 4096) == 0, "truncate");
	unsigned *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(count != MAP_FAILED, "mmap");
	pid_t children[4];
	for (int i = 0; i < 4; i++) {
		children[i] = fork();
		CHECK(children[i] >= 0, "fork");
		if (children[i] == 0) {
			for (int n = 0; n < 10000; n++)
				__atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++)
		CHECK(waitpid(children[i], NULL, 0) == children[i], "wait");
	CHECK(*count == 40000, "count is %u", *count);
	munmap(count, 4096);
	unsigned stored;
	CHECK(fsync(fd) == 0, "fsync");
	CHECK(pread(fd, &stored, sizeof(stored), 0) == (ssize_t)sizeof(stored), "read");
	CHECK(stored == 40000, "stored count is %u", stored);
	close(fd);
}

static void probe_tmpfile(void)
{
	struct stat st;
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		skip("no O_TMPFILE");
	CHECK(fd >= 0, "O_TMPFILE");
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0, "no link yet");
	CHECK((st.st_mode & 07777) == 0640, "mode %o", st.st_mode);
	write_pattern(fd, 100000, 0);
	check_pattern(fd, 100000, 0);

	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "tmpfile-named", AT_SYMLINK_FOLLOW) == 0, "linkat");
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 1, "one link");
	close(fd);
	fd = open("tmpfile-named", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0, "open by name");
	check_pattern(fd, 100000, 0);
	close(fd);

	fd = open(".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	CHECK(fd >= 0, "O_TMPFILE with O_EXCL");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "tmpfile-excl", AT_SYMLINK_FOLLOW), ENOENT);
	close(fd);
}

static ino_t inode_of(const char *name)
{
	struct stat st;

	CHECK(lstat(name, &st) == 0, "lstat %s", name);
	return st.st_ino;
}

static void probe_renameflags(void)
{
	close(open_new("r-a"));
	close(open_new("r-b"));
	ino_t a = inode_of("r-a");
	ino_t b = inode_of("r-b");

	CHECK_ERRNO(renameat2(AT_FDCWD, "r-a", AT_FDCWD, "r-b", RENAME_NOREPLACE), EEXIST);
	CHECK(inode_of("r-a") == a && inode_of("r-b") == b, "unchanged");
	CHECK(renameat2(AT_FDCWD, "r-a", AT_FDCWD, "r-c", RENAME_NOREPLACE) == 0, "noreplace");
	CHECK(inode_of("r-c") == a, "moved");

	CHECK(mkdir("r-dir", 0755) == 0, "mkdir");
	close(open_new("r-dir/in"));
	CHECK(renameat2(AT_FDCWD, "r-b", AT_FDCWD, "r-dir", RENAME_EXCHANGE) == 0, "exchange");
	CHECK(inode_of("r-dir") == b, "file under the folder's name");
	struct stat st;
	CHECK(stat("r-b/in", &st) == 0, "folder under the file's name");
	CHECK_ERRNO(renameat2(AT_FDCWD, "r-b", AT_FDCWD, "r-none", RENAME_EXCHANGE), ENOENT);
	CHECK_ERRNO(renameat2(AT_FDCWD, "r-b", AT_FDCWD, "r-c",
			      RENAME_EXCHANGE | RENAME_NOREPLACE),
		    EINVAL);

	if (renameat2(AT_FDCWD, "r-c", AT_FDCWD, "r-d", RENAME_WHITEOUT) != 0) {
		CHECK(errno == EINVAL, "whiteout");
		left_out(check_name, "no RENAME_WHITEOUT");
		return;
	}
	CHECK(lstat("r-c", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0, "whiteout left");
	CHECK(inode_of("r-d") == a, "moved with whiteout");
	CHECK(unlink("r-c") == 0, "remove the whiteout");
}

enum { MOVERS = 4, MOVED = 8 };

static void move(const char *from, const char *to)
{
	CHECK(rename(from, to) == 0, "rename %s to %s", from, to);
}

static void put_text(const char *name, int number)
{
	int fd = open_new(name);

	write_all(fd, &number, sizeof(number), 0);
	close(fd);
}

static int get_text(const char *name)
{
	int number = -1;
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0, "open %s", name);
	CHECK(pread(fd, &number, sizeof(number), 0) == (ssize_t)sizeof(number), "read %s", name);
	close(fd);
	return number;
}

/* One process: its files to another folder and back, its folder away and back, and new
 * files over its own and over the one that all processes replace. */
static void mover(int m, int rounds)
{
	char from[64];
	char to[64];

	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < MOVED; i++) {
			snprintf(from, sizeof(from), "from%d/%d", m, i);
			snprintf(to, sizeof(to), "to%d/%d", m, i);
			move(from, to);
			CHECK(access(from, F_OK) != 0, "%s after it was moved", from);
			CHECK(get_text(to) == m * 100 + i, "%s: another file", to);
			move(to, from);
		}
		snprintf(from, sizeof(from), "from%d", m);
		snprintf(to, sizeof(to), "elsewhere/from%d", m);
		move(from, to);
		snprintf(to, sizeof(to), "elsewhere/from%d/%d", m, round % MOVED);
		CHECK(get_text(to) == m * 100 + round % MOVED, "%s: in the moved folder", to);
		snprintf(to, sizeof(to), "elsewhere/from%d", m);
		move(to, from);

		snprintf(from, sizeof(from), "new%d", m);
		snprintf(to, sizeof(to), "over%d", m);
		put_text(from, round);
		move(from, to);
		CHECK(get_text(to) == round, "%s: the replaced file", to);
		put_text(from, m);
		move(from, "common");
		CHECK(get_text("common") < MOVERS, "common: the file of all");
	}
}

static void probe_rename_storm(void)
{
	const char *form = getenv("LONG");
	const int rounds = form != NULL && *form == '1' ? 2000 : 60;
	char name[64];
	struct stat st;

	CHECK(mkdir("elsewhere", 0755) == 0, "mkdir");
	put_text("common", 0);
	for (int m = 0; m < MOVERS; m++) {
		snprintf(name, sizeof(name), "from%d", m);
		CHECK(mkdir(name, 0755) == 0, "mkdir");
		snprintf(name, sizeof(name), "to%d", m);
		CHECK(mkdir(name, 0755) == 0, "mkdir");
		for (int i = 0; i < MOVED; i++) {
			snprintf(name, sizeof(name), "from%d/%d", m, i);
			put_text(name, m * 100 + i);
		}
	}
	for (int m = 0; m < MOVERS; m++) {
		pid_t child = fork();

		CHECK(child >= 0, "fork");
		if (child == 0) {
			mover(m, rounds);
			exit(0);
		}
	}
	for (int m = 0; m < MOVERS; m++) {
		int status;

		CHECK(wait(&status) > 0 && status == 0, "mover's status");
	}
	for (int m = 0; m < MOVERS; m++) {
		for (int i = 0; i < MOVED; i++) {
			snprintf(name, sizeof(name), "from%d/%d", m, i);
			CHECK(get_text(name) == m * 100 + i, "%s at the end", name);
		}
	}
	CHECK(stat("elsewhere", &st) == 0 && rmdir("elsewhere") == 0, "nothing left elsewhere");
	CHECK_ERRNO(rename("from1", "from1/inside"), EINVAL);
	/* xfs says EEXIST; POSIX has both. */
	CHECK(rename("from1", "from2") == -1 && (errno == ENOTEMPTY || errno == EEXIST),
	      "onto a folder that is not empty");
	CHECK_ERRNO(rename("from1", "common"), ENOTDIR);
	CHECK_ERRNO(rename("common", "from1"), EISDIR);
}

static void probe_holes(void)
{
	int fd = open_new("holes");

	write_pattern(fd, 64 * 1024, 1 * MIB);
	write_pattern(fd, 64 * 1024, 8 * MIB);
	CHECK(ftruncate(fd, 16 * MIB) == 0, "truncate");
	CHECK(fsync(fd) == 0, "fsync");

	struct stat st;
	CHECK(fstat(fd, &st) == 0 && st.st_blocks * 512 < 4 * MIB, "sparse: %ld blocks",
	      (long)st.st_blocks);
	off_t data = lseek(fd, 0, SEEK_DATA);
	CHECK(data > 0 && data <= 1 * MIB, "first data at %ld", (long)data);
	off_t hole = lseek(fd, data, SEEK_HOLE);
	CHECK(hole >= 1 * MIB + 64 * 1024 && hole < 8 * MIB, "then a hole at %ld", (long)hole);
	off_t second = lseek(fd, hole, SEEK_DATA);
	CHECK(second > hole && second <= 8 * MIB, "second data at %ld", (long)second);
	off_t last = lseek(fd, second, SEEK_HOLE);
	CHECK(last >= 8 * MIB + 64 * 1024 && last <= 16 * MIB, "last hole at %ld", (long)last);
	CHECK_ERRNO(lseek(fd, last, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 16 * MIB, SEEK_HOLE), ENXIO);

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * MIB, 64 * 1024) != 0) {
		CHECK(errno == EOPNOTSUPP, "punch");
		skip("no FALLOC_FL_PUNCH_HOLE");
	}
	uint8_t zero[4096] = { 0 };
	uint8_t got[4096];
	CHECK(pread(fd, got, sizeof(got), 8 * MIB) == (ssize_t)sizeof(got), "read");
	CHECK(memcmp(got, zero, sizeof(got)) == 0, "punched");
	check_pattern(fd, 64 * 1024, 1 * MIB);
	close(fd);
}

static void probe_fallocate(void)
{
	struct stat st;
	int fd = open_new("fallocate");

	if (fallocate(fd, 0, 0, 1 * MIB) != 0) {
		CHECK(errno == EOPNOTSUPP, "fallocate");
		skip("no fallocate");
	}
	CHECK(fstat(fd, &st) == 0 && st.st_size == 1 * MIB && st.st_blocks * 512 >= 1 * MIB,
	      "size %ld blocks %ld", (long)st.st_size, (long)st.st_blocks);
	CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 * MIB, 1 * MIB) == 0, "keep size");
	CHECK(fstat(fd, &st) == 0 && st.st_size == 1 * MIB, "size kept");
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
	close(fd);
}

static void probe_btime(void)
{
	struct statx first;
	struct statx second;
	struct timespec now;
	int fd = open_new("btime");

	CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0, "clock");
	CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &first) == 0, "statx");
	if ((first.stx_mask & STATX_BTIME) == 0)
		skip("no birth time (guest kernels before 6.6 do not ask for it)");
	CHECK(first.stx_btime.tv_sec <= now.tv_sec + 5 && first.stx_btime.tv_sec >= now.tv_sec - 60,
	      "birth time %ld, now %ld", (long)first.stx_btime.tv_sec, (long)now.tv_sec);
	sleep(1);
	write_all(fd, "x", 1, 0);
	CHECK(fchmod(fd, 0600) == 0, "chmod");
	CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &second) == 0, "statx again");
	CHECK(memcmp(&first.stx_btime, &second.stx_btime, sizeof(first.stx_btime)) == 0,
	      "birth time stays");
	CHECK(second.stx_ctime.tv_sec > first.stx_ctime.tv_sec ||
		      second.stx_ctime.tv_nsec != first.stx_ctime.tv_nsec,
	      "change time moves");
	close(fd);
}

static void copy_range(int from, off_t from_at, int to, off_t to_at, size_t size)
{
	while (size > 0) {
		ssize_t done = copy_file_range(from, &from_at, to, &to_at, size, 0);

		CHECK(done > 0, "copy_file_range: %zd at %ld", done, (long)from_at);
		size -= (size_t)done;
	}
}

/* copy_file_range across the borders of 2 and 4 GiB, both in length and in offset. */
static void probe_copyrange(void)
{
	int from = open_new("copy-from");
	int to = open_new("copy-to");
	const off_t marks[] = { 0, 2 * GIB - 4096, 4 * GIB - 8192, 4 * GIB + 65536 };
	const off_t size = 4 * GIB + 128 * 1024;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		write_pattern(from, 16384, marks[i]);
	CHECK(ftruncate(from, size) == 0, "truncate");
	copy_range(from, 4 * GIB - 8192, to, 4 * GIB - 8192, 128 * 1024);
	check_pattern(to, 16384, 4 * GIB - 8192);
	check_pattern(to, 16384, 4 * GIB + 65536);
	CHECK(ftruncate(to, 0) == 0, "truncate");

	/* Lengths that 32 bits cannot hold; the source ends long before. */
	const size_t lengths[] = { (size_t)4 * GIB, (size_t)(4 * GIB + 4096) };
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		off_t from_at = 4 * GIB + 65536;
		off_t to_at = 0;
		ssize_t done = copy_file_range(from, &from_at, to, &to_at, lengths[i], 0);
		struct stat st;

		CHECK(done == 65536, "%zu bytes in one call: %zd", lengths[i], done);
		CHECK(from_at == 4 * GIB + 131072 && to_at == done, "offsets moved by the result");
		CHECK(fstat(to, &st) == 0 && st.st_size == done, "size %ld", (long)st.st_size);
		CHECK(ftruncate(to, 0) == 0, "truncate");
	}
	close(from);
	close(to);
}

/* All of 4 GiB: where the file system shares blocks at once, elsewhere in parts. */
static void probe_copyrange_all(void)
{
	const off_t size = 4 * GIB + 65536;
	int from = open_new("copy-from");
	int to = open_new("copy-to");
	off_t copied = 0;

	write_pattern(from, 16384, 0);
	write_pattern(from, 16384, 4 * GIB - 8192);
	CHECK(ftruncate(from, size) == 0, "truncate");
	while (copied < size) {
		off_t from_at = copied;
		off_t to_at = copied;
		ssize_t done = copy_file_range(from, &from_at, to, &to_at, (size_t)(size - copied), 0);

		CHECK(done > 0, "copy_file_range: %zd at %ld", done, (long)copied);
		CHECK(from_at == copied + done && to_at == copied + done, "offsets");
		copied += done;
	}
	check_pattern(to, 16384, 0);
	check_pattern(to, 16384, 4 * GIB - 8192);
	CHECK(unlink("copy-from") == 0 && unlink("copy-to") == 0, "remove");
	close(from);
	close(to);
}

static void probe_direct(void)
{
	const size_t size = 1 * MIB;
	uint8_t *data;
	uint8_t *back;

	CHECK(posix_memalign((void **)&data, 4096, size) == 0, "memory");
	CHECK(posix_memalign((void **)&back, 4096, size) == 0, "memory");
	int fd = open("direct", O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EINVAL)
		skip("no O_DIRECT");
	CHECK(fd >= 0, "open");
	fill_pattern(data, size, 0);
	write_all(fd, data, size, 0);
	CHECK(pread(fd, back, size, 0) == (ssize_t)size, "direct read");
	CHECK(memcmp(data, back, size) == 0, "direct contents");
	int buffered = open("direct", O_RDWR | O_CLOEXEC);
	CHECK(buffered >= 0, "open buffered");
	check_pattern(buffered, size, 0);
	memset(data, 0x77, 4096);
	write_all(fd, data, 4096, 65536);
	uint8_t one[4096];
	CHECK(pread(buffered, one, sizeof(one), 65536) == (ssize_t)sizeof(one), "buffered read");
	CHECK(memcmp(one, data, 4096) == 0, "direct write seen by a buffered read");
	memset(one, 0x33, sizeof(one));
	write_all(buffered, one, sizeof(one), 131072);
	CHECK(pread(fd, back, 4096, 131072) == 4096, "direct read");
	CHECK(memcmp(one, back, 4096) == 0, "buffered write seen by a direct read");
	CHECK(pread(fd, back, 4096, (off_t)size) == 0, "end of file");
	close(buffered);
	close(fd);
	free(data);
	free(back);
}

/* A file without a name goes on working, in every call that takes a descriptor. */
static void probe_unlinked(void)
{
	struct stat st;
	struct timespec times[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1100000000 } };
	int fd = open_new("unlinked");

	write_pattern(fd, 300000, 0);
	CHECK(unlink("unlinked") == 0, "unlink");
	CHECK_ERRNO(open("unlinked", O_RDONLY | O_CLOEXEC), ENOENT);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0, "fstat: %lu links", (unsigned long)st.st_nlink);
	check_pattern(fd, 300000, 0);
	write_pattern(fd, 8192, 400000);
	check_pattern(fd, 8192, 400000);
	CHECK(ftruncate(fd, 4096) == 0, "ftruncate");
	CHECK(fchmod(fd, 0600) == 0, "fchmod");
	CHECK(futimens(fd, times) == 0, "futimens");
	CHECK(fstat(fd, &st) == 0 && st.st_size == 4096 && (st.st_mode & 0777) == 0600 &&
		      st.st_mtime == 1100000000,
	      "fstat after changes");
	CHECK(fsync(fd) == 0, "fsync");
	close(open_new("unlinked"));
	CHECK(fstat(fd, &st) == 0 && st.st_size == 4096, "another of that name is another file");

	/* A folder removed while it is open and the current one of a process. */
	CHECK(mkdir("gone", 0755) == 0, "mkdir");
	int dir = open("gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0 && rmdir("gone") == 0, "rmdir");
	CHECK(fstat(dir, &st) == 0, "fstat of a removed folder");
	CHECK_ERRNO(openat(dir, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0644), ENOENT);
	close(dir);

	/* Renamed over while open. */
	int old = open_new("over");
	write_pattern(old, 5000, 0);
	int new = open_new("over-new");
	CHECK(rename("over-new", "over") == 0, "rename over");
	check_pattern(old, 5000, 0);
	CHECK(fstat(old, &st) == 0 && st.st_nlink == 0, "old has no name");
	CHECK(fstat(new, &st) == 0 && st.st_size == 0 && st.st_nlink == 1, "new has one");
	close(old);
	close(new);
	close(fd);
}

/* Runs a function as another user and group, in a child. */
void as_user(uid_t uid, gid_t gid, void (*run)(void))
{
	int status;
	pid_t child = fork();

	CHECK(child >= 0, "fork");
	if (child == 0) {
		CHECK(setgroups(0, NULL) == 0, "setgroups");
		CHECK(setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0, "ids");
		run();
		exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child, "wait");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x of user %u", status, uid);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	CHECK(stat(name, &st) == 0, "stat %s", name);
	return st.st_mode & 07777;
}

static void make_setuid(const char *name)
{
	int fd = open_new(name);

	write_all(fd, "12345678", 8, 0);
	CHECK(fchown(fd, 1000, 1000) == 0, "chown");
	CHECK(fchmod(fd, 06777) == 0, "chmod");
	close(fd);
}

static void priv_write(void)
{
	int fd = open("priv-write", O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0, "open");
	write_all(fd, "x", 1, 0);
	close(fd);
}

static void priv_truncate(void)
{
	CHECK(truncate("priv-truncate", 3) == 0, "truncate");
}

static void priv_open_truncate(void)
{
	int fd = open("priv-otrunc", O_WRONLY | O_TRUNC | O_CLOEXEC);

	CHECK(fd >= 0, "open");
	close(fd);
}

static void priv_chown(void)
{
	CHECK(chown("priv-chown", (uid_t)-1, 1000) == 0, "chown");
}

/* setuid and setgid go away when a user without rights changes the file. */
static void probe_killpriv(void)
{
	make_setuid("priv-write");
	as_user(2000, 2000, priv_write);
	CHECK(mode_of("priv-write") == 0777, "after write: %o", mode_of("priv-write"));
	make_setuid("priv-truncate");
	as_user(2000, 2000, priv_truncate);
	CHECK(mode_of("priv-truncate") == 0777, "after truncate: %o", mode_of("priv-truncate"));
	make_setuid("priv-otrunc");
	as_user(2000, 2000, priv_open_truncate);
	CHECK(mode_of("priv-otrunc") == 0777, "after O_TRUNC: %o", mode_of("priv-otrunc"));
	make_setuid("priv-chown");
	as_user(1000, 1000, priv_chown);
	CHECK(mode_of("priv-chown") == 0777, "after chown: %o", mode_of("priv-chown"));

	/* Root's own write keeps them. */
	make_setuid("priv-root");
	int fd = open("priv-root", O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0, "open");
	write_all(fd, "x", 1, 0);
	close(fd);
	CHECK(mode_of("priv-root") == 06777, "after root's write: %o", mode_of("priv-root"));
}

/* A file's capabilities go away with the first write, whoever writes. */
static void probe_killcaps(void)
{
	/* struct vfs_ns_cap_data version 2, little endian, cap_net_raw permitted. */
	static const uint8_t caps[20] = { 0x01, 0, 0, 0x02, 0, 0x20 };
	uint8_t back[64];
	int fd = open_new("caps");

	if (fsetxattr(fd, "security.capability", caps, sizeof(caps), 0) != 0) {
		CHECK(errno == EOPNOTSUPP || errno == EPERM, "set");
		skip("no security.capability");
	}
	CHECK(fgetxattr(fd, "security.capability", back, sizeof(back)) == (ssize_t)sizeof(caps),
	      "get");
	write_all(fd, "x", 1, 0);
	CHECK_ERRNO(fgetxattr(fd, "security.capability", back, sizeof(back)), ENODATA);
	close(fd);
}

static void in_setgid_dir(void)
{
	int fd = open("sgid/file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	CHECK(fd >= 0, "create");
	close(fd);
	CHECK(mkdir("sgid/dir", 0777) == 0, "mkdir");
	CHECK(mkfifo("sgid/fifo", 0666) == 0, "mkfifo");
	CHECK(symlink("file", "sgid/link") == 0, "symlink");
	/* Not a member of the group: the bit for it is not for this user to set. */
	fd = open("sgid/exec", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 02775);
	CHECK(fd >= 0, "create with setgid");
	close(fd);
}

static void probe_setgid_dir(void)
{
	static const char *const names[] = { "sgid/file", "sgid/dir", "sgid/fifo", "sgid/link",
					     "sgid/exec" };
	struct stat st;

	umask(022);
	CHECK(mkdir("sgid", 0777) == 0, "mkdir");
	CHECK(chown("sgid", 0, 3000) == 0, "chown");
	CHECK(chmod("sgid", 02777) == 0, "chmod");
	as_user(2000, 2000, in_setgid_dir);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CHECK(lstat(names[i], &st) == 0, "%s", names[i]);
		CHECK(st.st_uid == 2000 && st.st_gid == 3000, "%s: %u:%u", names[i], st.st_uid,
		      st.st_gid);
	}
	CHECK(mode_of("sgid/dir") == 02755, "sub-folder takes the bit: %o", mode_of("sgid/dir"));
	CHECK(mode_of("sgid/file") == 0644, "umask: %o", mode_of("sgid/file"));
	CHECK(mode_of("sgid/exec") == 0755, "no setgid for a stranger: %o", mode_of("sgid/exec"));
}

static void in_sticky_dir(void)
{
	CHECK_ERRNO(unlink("sticky/other"), EPERM);
	CHECK_ERRNO(rename("sticky/other", "sticky/mine"), EPERM);
	close(open_new("sticky/own"));
	CHECK(unlink("sticky/own") == 0, "own file");
}

static void probe_sticky(void)
{
	CHECK(mkdir("sticky", 0777) == 0, "mkdir");
	CHECK(chmod("sticky", 01777) == 0, "chmod");
	close(open_new("sticky/other"));
	CHECK(chown("sticky/other", 1000, 1000) == 0, "chown");
	CHECK(chmod("sticky/other", 0666) == 0, "chmod");
	as_user(2000, 2000, in_sticky_dir);
}

static void probe_umask(void)
{
	umask(027);
	close(open("umask-file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
	CHECK(mode_of("umask-file") == 0640, "file %o", mode_of("umask-file"));
	CHECK(mkdir("umask-dir", 0777) == 0, "mkdir");
	CHECK(mode_of("umask-dir") == 0750, "dir %o", mode_of("umask-dir"));
	CHECK(mknod("umask-fifo", S_IFIFO | 0666, 0) == 0, "mknod");
	CHECK(mode_of("umask-fifo") == 0640, "fifo %o", mode_of("umask-fifo"));
	umask(0);
	close(open("umask-none", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
	CHECK(mode_of("umask-none") == 0666, "none %o", mode_of("umask-none"));
	umask(077);
	CHECK(mkdir("umask-all", 0777) == 0, "mkdir");
	CHECK(mode_of("umask-all") == 0700, "all %o", mode_of("umask-all"));
}

/* A supplementary group opens a file and a folder that nothing else opens. */
static void probe_groups(void)
{
	const gid_t group = 4000;
	int status;

	CHECK(mkdir("groups", 0770) == 0, "mkdir");
	CHECK(chown("groups", 0, group) == 0 && chmod("groups", 02770) == 0, "rights");
	int fd = open_new("groups/shared");
	CHECK(fchown(fd, 0, group) == 0 && fchmod(fd, 0660) == 0, "rights");
	close(fd);

	pid_t child = fork();
	CHECK(child >= 0, "fork");
	if (child == 0) {
		struct stat st;

		CHECK(setgroups(1, &group) == 0, "setgroups");
		CHECK(setresgid(2000, 2000, 2000) == 0 && setresuid(2000, 2000, 2000) == 0, "ids");
		fd = open("groups/shared", O_RDWR | O_CLOEXEC);
		CHECK(fd >= 0, "open by the group's right");
		write_all(fd, "group", 5, 0);
		close(fd);
		fd = open("groups/new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0664);
		CHECK(fd >= 0, "create by the group's right");
		CHECK(fstat(fd, &st) == 0 && st.st_uid == 2000 && st.st_gid == group, "%u:%u",
		      st.st_uid, st.st_gid);
		close(fd);
		fd = open("groups", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0664);
		if (fd >= 0) {
			CHECK(fstat(fd, &st) == 0 && st.st_uid == 2000 && st.st_gid == group,
			      "O_TMPFILE: %u:%u", st.st_uid, st.st_gid);
			close(fd);
		} else {
			CHECK(errno == EOPNOTSUPP || errno == EISDIR, "O_TMPFILE by the group's right");
		}
		CHECK(mkdir("groups/sub", 0775) == 0, "mkdir by the group's right");
		CHECK(mode_of("groups/sub") == 02775 || mode_of("groups/sub") == 02755, "mode %o",
		      mode_of("groups/sub"));
		CHECK(chown("groups/new", (uid_t)-1, group) == 0, "chgrp to the own group");
		CHECK(unlink("groups/shared") == 0, "unlink by the group's right");
		exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child, "wait");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

/* Values, sizes, flags, lists; the names that the test of the host looks for stay. */
static void probe_xattr(void)
{
	char value[256];
	char name[64];
	char list[8192];
	int fd = open_new("x-file");

	if (fsetxattr(fd, "user.plain", "value", 5, 0) != 0) {
		CHECK(errno == EOPNOTSUPP, "set");
		skip("no extended attributes");
	}
	CHECK(fgetxattr(fd, "user.plain", value, sizeof(value)) == 5 &&
		      memcmp(value, "value", 5) == 0,
	      "get");
	CHECK(fgetxattr(fd, "user.plain", NULL, 0) == 5, "size");
	CHECK_ERRNO(fgetxattr(fd, "user.plain", value, 3), ERANGE);
	CHECK_ERRNO(fgetxattr(fd, "user.none", value, sizeof(value)), ENODATA);
	CHECK_ERRNO(fsetxattr(fd, "user.plain", "again", 5, XATTR_CREATE), EEXIST);
	CHECK_ERRNO(fsetxattr(fd, "user.other", "again", 5, XATTR_REPLACE), ENODATA);
	CHECK(fsetxattr(fd, "user.plain", "re\0placed", 9, XATTR_REPLACE) == 0, "replace");
	CHECK(getxattr("x-file", "user.plain", value, sizeof(value)) == 9 &&
		      memcmp(value, "re\0placed", 9) == 0,
	      "bytes as they are");
	CHECK(fsetxattr(fd, "user.empty", "", 0, XATTR_CREATE) == 0, "empty value");
	CHECK(fgetxattr(fd, "user.empty", value, sizeof(value)) == 0, "empty value back");

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.number-%02d", i);
		memset(value, i, 40);
		CHECK(fsetxattr(fd, name, value, 40, XATTR_CREATE) == 0, "number %d", i);
	}
	ssize_t length = flistxattr(fd, list, sizeof(list));
	CHECK(length > 0 && flistxattr(fd, NULL, 0) == length, "list: %zd", length);
	CHECK_ERRNO(flistxattr(fd, list, 10), ERANGE);
	int found = 0;
	for (char *at = list; at < list + length; at += strlen(at) + 1)
		found += strncmp(at, "user.number-", 12) == 0;
	CHECK(found == 40, "%d of 40 in the list", found);
	CHECK(fremovexattr(fd, "user.number-07") == 0, "remove");
	CHECK_ERRNO(fgetxattr(fd, "user.number-07", value, sizeof(value)), ENODATA);
	CHECK_ERRNO(fremovexattr(fd, "user.number-07"), ENODATA);

	CHECK(mkdir("x-dir", 0755) == 0, "mkdir");
	CHECK(setxattr("x-dir", "user.dir", "folder", 6, 0) == 0, "on a folder");
	CHECK(getxattr("x-dir", "user.dir", value, sizeof(value)) == 6, "of a folder");
	CHECK(symlink("x-file", "x-link") == 0, "symlink");
	CHECK_ERRNO(lsetxattr("x-link", "user.link", "l", 1, 0), EPERM);
	CHECK(getxattr("x-link", "user.plain", value, sizeof(value)) == 9, "through a link");
	close(fd);
}

static void probe_names(void)
{
	char name[300];

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	close(open_new(name));
	CHECK(unlink(name) == 0, "255 bytes");
	name[255] = 'n';
	name[256] = '\0';
	CHECK_ERRNO(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644), ENAMETOOLONG);
	CHECK_ERRNO(mkdir(name, 0755), ENAMETOOLONG);

	/* Names that are no text. */
	static const char *const odd[] = { "\xff\xfe", " ", "a\nb", "\\", "-rf", "...", "\x7f" };
	struct stat st;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		close(open_new(odd[i]));
		CHECK(stat(odd[i], &st) == 0 && unlink(odd[i]) == 0, "odd name %zu", i);
	}
	/* A link's target of up to 4095 bytes. */
	char target[4097];
	char back[4200];
	memset(target, 't', sizeof(target));
	target[4095] = '\0';
	if (symlink(target, "long-link") == 0)
		CHECK(readlink("long-link", back, sizeof(back)) == 4095 &&
			      memcmp(target, back, 4095) == 0,
		      "readlink");
	else
		CHECK(errno == ENAMETOOLONG, "symlink");
}

/* A file's largest size, as the host's file system has it. */
static void probe_file_limit(void)
{
	int fd = open_new("limit");
	const off_t largest = INT64_MAX;

	if (ftruncate(fd, largest) != 0)
		CHECK(errno == EFBIG || errno == EINVAL, "ftruncate");
	errno = 0;
	ssize_t done = pwrite(fd, "x", 1, largest - 1);
	CHECK(done == 1 || errno == EFBIG || errno == EINVAL, "write at the end of all: %zd", done);
	CHECK(ftruncate(fd, 0) == 0, "truncate");

	const struct rlimit limit = { 10000, 10000 };
	signal(SIGXFSZ, SIG_IGN);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0, "limit");
	CHECK(pwrite(fd, "0123456789", 10, 9995) == 5, "up to the limit");
	CHECK_ERRNO(pwrite(fd, "x", 1, 10000), EFBIG);
	CHECK_ERRNO(ftruncate(fd, 10001), EFBIG);
	close(fd);
	unlink("limit");
}

/* Writes until there is no space left, and once more after a removal. */
static void probe_full(void)
{
	uint8_t *data = malloc(MIB);
	off_t size = 0;
	int fd = open_new("fill");

	CHECK(data != NULL, "memory");
	memset(data, 0x11, MIB);
	for (;;) {
		ssize_t done = pwrite(fd, data, MIB, size);

		if (done < 0)
			break;
		size += done;
		CHECK(size < 64 * GIB, "this file system has no end");
	}
	CHECK(errno == ENOSPC || errno == EDQUOT, "error when full");
	fprintf(stderr, "fileprobe: full after %ld MiB: %s\n", (long)(size / MIB), strerror(errno));
	struct statvfs vfs;
	CHECK(fstatvfs(fd, &vfs) == 0 && vfs.f_bavail * vfs.f_bsize < 4 * MIB, "statvfs agrees");
	CHECK(ftruncate(fd, 0) == 0 && fsync(fd) == 0, "make room");
	write_pattern(fd, MIB, 0);
	check_pattern(fd, MIB, 0);
	close(fd);
	CHECK(unlink("fill") == 0, "remove");
	free(data);
}

static void write_over_quota(void)
{
	uint8_t *data = calloc(1, MIB);
	off_t size = 0;
	ssize_t done = 0;
	int fd = open_new("quota-file");

	CHECK(data != NULL, "memory");
	/* The write that reaches the limit may be a short one. */
	while (size < 64 * MIB && (done = pwrite(fd, data, MIB, size)) > 0)
		size += done;
	/* With write-back in the guest the error may come as late as this. */
	if (size >= 64 * MIB)
		CHECK_ERRNO(fsync(fd), EDQUOT);
	else
		CHECK(done < 0 && errno == EDQUOT, "after %ld MiB", (long)(size / MIB));
	close(fd);
	unlink("quota-file");
	free(data);
}

/* User 2000 has a quota of less than 64 MiB here. */
static void probe_quota(void)
{
	as_user(2000, 2000, write_over_quota);
}

/* Sockets: bound in the guest, usable there, a socket for others to see. */
static void probe_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "sock" };
	struct stat st;
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(server >= 0 && client >= 0, "socket");
	CHECK(bind(server, (struct sockaddr *)&addr, sizeof(addr)) == 0, "bind");
	CHECK(lstat("sock", &st) == 0 && S_ISSOCK(st.st_mode), "a socket");
	CHECK(listen(server, 1) == 0, "listen");
	CHECK(connect(client, (struct sockaddr *)&addr, sizeof(addr)) == 0, "connect");
	int peer = accept(server, NULL, NULL);
	CHECK(peer >= 0 && write(client, "hello", 5) == 5, "write");
	char back[8];
	CHECK(read(peer, back, sizeof(back)) == 5 && memcmp(back, "hello", 5) == 0, "read");
	CHECK(rename("sock", "sock-moved") == 0, "rename");
	close(client);
	close(peer);
	close(server);
}

/* Append: writers in several processes never overwrite each other. */
static void probe_append(void)
{
	enum { WRITERS = 4, LINES = 500, LENGTH = 32 };

	close(open_new("append"));
	for (int w = 0; w < WRITERS; w++) {
		pid_t child = fork();

		CHECK(child >= 0, "fork");
		if (child != 0)
			continue;
		int fd = open("append", O_WRONLY | O_APPEND | O_CLOEXEC);
		CHECK(fd >= 0, "open");
		for (int i = 0; i < LINES; i++) {
			char line[LENGTH + 1];

			snprintf(line, sizeof(line), "%02d %028d\n", w, i);
			CHECK(write(fd, line, LENGTH) == LENGTH, "append");
		}
		exit(0);
	}
	for (int w = 0; w < WRITERS; w++) {
		int status;

		CHECK(wait(&status) > 0 && status == 0, "writer's status");
	}
	FILE *file = fopen("append", "re");
	char line[64];
	int next[WRITERS] = { 0 };
	int lines = 0;
	CHECK(file != NULL, "open");
	for (; fgets(line, sizeof(line), file) != NULL; lines++) {
		int writer = (int)strtol(line, NULL, 10);
		int number = (int)strtol(line + 3, NULL, 10);

		CHECK(strlen(line) == LENGTH && writer >= 0 && writer < WRITERS, "line %d", lines);
		CHECK(number == next[writer], "line %d: %d after %d", lines, number, next[writer]);
		next[writer]++;
	}
	CHECK(lines == WRITERS * LINES, "%d lines", lines);
	fclose(file);
}

static const struct probe {
	const char *name;
	void (*run)(void);
} probes[] = {
	{ "mmap", probe_mmap },
	{ "mmap-count", probe_mmap_shared_count },
	{ "tmpfile", probe_tmpfile },
	{ "rename-flags", probe_renameflags },
	{ "rename-storm", probe_rename_storm },
	{ "holes", probe_holes },
	{ "fallocate", probe_fallocate },
	{ "btime", probe_btime },
	{ "copy-range", probe_copyrange },
	{ "copy-range-all", probe_copyrange_all },
	{ "direct", probe_direct },
	{ "unlinked", probe_unlinked },
	{ "killpriv", probe_killpriv },
	{ "killcaps", probe_killcaps },
	{ "setgid-dir", probe_setgid_dir },
	{ "sticky", probe_sticky },
	{ "umask", probe_umask },
	{ "groups", probe_groups },
	{ "xattr", probe_xattr },
	{ "names", probe_names },
	{ "file-limit", probe_file_limit },
	{ "full", probe_full },
	{ "quota", probe_quota },
	{ "socket", probe_socket },
	{ "append", probe_append },
	{ "statx", probe_statx },
	{ "copy-range-64", probe_copyrange_64 },
	{ "fallocate-modes", probe_fallocate_modes },
	{ "syncfs", probe_syncfs },
	{ "idmap", probe_idmap },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		if (argc < 2)
			puts(probes[i].name);
		else if (strcmp(argv[1], probes[i].name) == 0) {
			umask(022);
			check_name = argv[1];
			probes[i].run();
			return 0;
		}
	}
	if (argc >= 2)
		fprintf(stderr, "fileprobe: no check '%s'\n", argv[1]);
	return argc < 2 ? 0 : 2;
}
