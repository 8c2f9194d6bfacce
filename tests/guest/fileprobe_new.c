/*
 * fileprobe_new.c - checks of what guests ask for since FUSE 7.38.
 */
#define _GNU_SOURCE
#include "fileprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000U
#endif

static struct statx statx_of(int fd, unsigned int mask)
{
	struct statx st;

	CHECK(statx(fd, "", AT_EMPTY_PATH, mask, &st) == 0, "statx");
	return st;
}

/* For the host to compare. */
static void put_birth(const struct statx_timestamp *birth)
{
	FILE *file = fopen("statx-birth", "we");

	CHECK(file != NULL, "open");
	fprintf(file, "%lld.%09u\n", (long long)birth->tv_sec, birth->tv_nsec);
	CHECK(fclose(file) == 0, "close");
}

/* All fields agree with fstat(), whatever else is asked for along with them. */
void probe_statx(void)
{
	int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = open_new("statx-file");
	struct stat st;

	CHECK(dir >= 0, "open the folder");
	write_pattern(fd, 12345, 0);
	CHECK(fchown(fd, 12, 34) == 0 && fchmod(fd, 0604) == 0, "attributes");
	CHECK(link("statx-file", "statx-link") == 0, "link");
	CHECK(fsync(fd) == 0, "fsync");

	struct statx got = statx_of(fd, STATX_ALL | STATX_MNT_ID | STATX_DIOALIGN);
	struct statx folder = statx_of(dir, STATX_ALL | STATX_MNT_ID);

	CHECK(fstat(fd, &st) == 0, "fstat");
	CHECK((got.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS, "mask %x", got.stx_mask);
	CHECK(got.stx_ino == st.st_ino && got.stx_mode == st.st_mode && got.stx_nlink == 2, "file");
	CHECK(got.stx_uid == 12 && got.stx_gid == 34, "owner %u:%u", got.stx_uid, got.stx_gid);
	CHECK(got.stx_size == 12345 && got.stx_blocks == (uint64_t)st.st_blocks, "size");
	CHECK(got.stx_mtime.tv_sec == st.st_mtim.tv_sec &&
		      got.stx_mtime.tv_nsec == (uint32_t)st.st_mtim.tv_nsec,
	      "modification time");
	CHECK(got.stx_ctime.tv_sec == st.st_ctim.tv_sec &&
		      got.stx_ctime.tv_nsec == (uint32_t)st.st_ctim.tv_nsec,
	      "change time");
	CHECK((got.stx_mask & STATX_MNT_ID) != 0 && got.stx_mnt_id == folder.stx_mnt_id,
	      "mount ids %llu %llu", (unsigned long long)got.stx_mnt_id,
	      (unsigned long long)folder.stx_mnt_id);
	if ((got.stx_mask & STATX_BTIME) == 0)
		left_out("statx", "no birth time (Linux 6.6)");
	else
		put_birth(&got.stx_btime);
	if ((got.stx_mask & STATX_DIOALIGN) == 0)
		left_out("statx", "no alignment of direct I/O (FUSE has none)");
	close(fd);
	close(dir);
}

/* More than 4 GiB in one call, of which a kernel may do less: those up to now share at
 * most 2 GiB of a local file system's blocks at a time. */
void probe_copyrange_64(void)
{
	const off_t size = 5 * GIB;
	const off_t last = 5 * GIB - 65536;
	int from = open_new("copy-from");
	int to = open_new("copy-to");
	off_t from_at = 0;
	off_t to_at = 0;
	struct stat st;

	write_pattern(from, 65536, 0);
	write_pattern(from, 65536, 4 * GIB);
	write_pattern(from, 65536, last);
	CHECK(fsync(from) == 0, "fsync");
	ssize_t done = copy_file_range(from, &from_at, to, &to_at, (size_t)size, 0);
	CHECK(done > 0 && done <= size, "copy_file_range: %zd", done);
	CHECK(from_at == done && to_at == done, "offsets");
	CHECK(fstat(to, &st) == 0 && st.st_size == done, "size %ld", (long)st.st_size);
	check_pattern(to, 65536, 0);
	if (done == size) {
		check_pattern(to, 65536, 4 * GIB);
		check_pattern(to, 65536, last);
	} else {
		char text[64];

		snprintf(text, sizeof(text), "one call copied %zd of %ld bytes", done, (long)size);
		left_out("copy-range-64", text);
	}
	close(from);
	close(to);
}

static bool all_zero(int fd, size_t size, off_t offset)
{
	uint8_t got[4096];

	for (; size > 0; size -= sizeof(got), offset += (off_t)sizeof(got)) {
		CHECK(pread(fd, got, sizeof(got), offset) == (ssize_t)sizeof(got), "read");
		for (size_t i = 0; i < sizeof(got); i++)
			if (got[i] != 0)
				return false;
	}
	return true;
}

/* Each mode does what it says, or is refused. */
void probe_fallocate_modes(void)
{
	static const struct {
		const char *name;
		int mode;
		bool zeroes; /* the range reads as zeroes then */
		off_t grows; /* by so much */
	} modes[] = {
		{ "ZERO_RANGE", FALLOC_FL_ZERO_RANGE, true, 0 },
		{ "ZERO_RANGE KEEP_SIZE", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, true, 0 },
		{ "PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, true, 0 },
		{ "COLLAPSE_RANGE", FALLOC_FL_COLLAPSE_RANGE, false, -65536 },
		{ "INSERT_RANGE", FALLOC_FL_INSERT_RANGE, true, 65536 },
		{ "UNSHARE_RANGE", FALLOC_FL_UNSHARE_RANGE, false, 0 },
		{ "WRITE_ZEROES", 0x80, true, 0 },
	};
	struct stat st;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		int fd = open_new(modes[i].name);

		write_pattern(fd, 256 * 1024, 0);
		if (fallocate(fd, modes[i].mode, 65536, 65536) != 0) {
			CHECK(errno == EOPNOTSUPP, "%s", modes[i].name);
			left_out("fallocate", modes[i].name);
			CHECK(fstat(fd, &st) == 0 && st.st_size == 256 * 1024, "%s: size",
			      modes[i].name);
			check_pattern(fd, 256 * 1024, 0);
			close(fd);
			continue;
		}
		CHECK(fstat(fd, &st) == 0 && st.st_size == 256 * 1024 + modes[i].grows,
		      "%s: size %ld", modes[i].name, (long)st.st_size);
		check_pattern(fd, 65536, 0);
		if (modes[i].zeroes)
			CHECK(all_zero(fd, 65536, 65536), "%s: zeroes", modes[i].name);
		if (modes[i].grows == 0)
			check_pattern(fd, 128 * 1024, 128 * 1024);
		close(fd);
	}
	/* Beyond the end: ZERO_RANGE alone makes the file longer. */
	int fd = open_new("beyond");
	if (fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 131072) == 0) {
		CHECK(fstat(fd, &st) == 0 && st.st_size == 131072, "size %ld", (long)st.st_size);
		CHECK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 131072, 65536) == 0,
		      "keep size");
		CHECK(fstat(fd, &st) == 0 && st.st_size == 131072, "size %ld", (long)st.st_size);
	}
	close(fd);
}

void probe_syncfs(void)
{
	int fd = open_new("syncfs");

	write_pattern(fd, 1 * MIB, 0);
	CHECK(syncfs(fd) == 0, "syncfs");
	check_pattern(fd, 1 * MIB, 0);
	close(fd);
}

/* ------------------------------------------------------------ idmapped mounts */

/* The share has 3000 for the guest's root, and 7000 for its user 1000. */
#define ID_MAP "3000 0 1\n7000 1000 1\n"

static void write_map(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, ID_MAP, strlen(ID_MAP)) == (ssize_t)strlen(ID_MAP), "%s", path);
	close(fd);
}

/* A user namespace with that map lives as long as its descriptor. */
static int new_user_namespace(void)
{
	char path[64];
	int ready[2];
	char byte;

	CHECK(pipe2(ready, O_CLOEXEC) == 0, "pipe");
	pid_t child = fork();
	CHECK(child >= 0, "fork");
	if (child == 0) {
		if (unshare(CLONE_NEWUSER) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		skip("no user namespaces");
	write_map(child, "uid_map");
	write_map(child, "gid_map");
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)child);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0, "open %s", path);
	kill(child, SIGKILL);
	CHECK(waitpid(child, NULL, 0) == child, "wait");
	close(ready[0]);
	return fd;
}

static int mapped; /* the current folder, through the idmapped mount */

static void owned_by(int at, const char *name, uid_t uid, gid_t gid)
{
	struct stat st;

	CHECK(fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0, "stat %s", name);
	CHECK(st.st_uid == uid && st.st_gid == gid, "%s: %u:%u, not %u:%u", name, st.st_uid, st.st_gid,
	      uid, gid);
}

static void make_all(const char *folder)
{
	char name[64];
	int fd;

	CHECK(mkdirat(mapped, folder, 0755) == 0, "mkdir");
	snprintf(name, sizeof(name), "%s/file", folder);
	fd = openat(mapped, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd >= 0, "create");
	write_pattern(fd, 10000, 0);
	close(fd);
	snprintf(name, sizeof(name), "%s/link", folder);
	CHECK(symlinkat("file", mapped, name) == 0, "symlink");
	snprintf(name, sizeof(name), "%s/fifo", folder);
	CHECK(mknodat(mapped, name, S_IFIFO | 0644, 0) == 0, "mknod");
	fd = openat(mapped, folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		CHECK(errno == EOPNOTSUPP || errno == EISDIR, "O_TMPFILE");
		left_out("idmap", "no O_TMPFILE");
		return;
	}
	char proc[64];
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	snprintf(name, sizeof(name), "%s/tmpfile", folder);
	CHECK(linkat(AT_FDCWD, proc, mapped, name, AT_SYMLINK_FOLLOW) == 0, "linkat");
	close(fd);
}

static void as_mapped_user(void)
{
	make_all("of-user");
	int fd = openat(mapped, "of-user/file", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0, "the owner opens it");
	check_pattern(fd, 10000, 0);
	CHECK(fchmod(fd, 0640) == 0, "the owner changes the mode");
	close(fd);
	CHECK(renameat(mapped, "of-user/fifo", mapped, "of-user/pipe") == 0, "rename");
	CHECK_ERRNO(openat(mapped, "of-root/file", O_RDONLY | O_CLOEXEC), EACCES);
}

static void as_stranger(void)
{
	/* Nobody whom the share could have as owner. */
	CHECK_ERRNO(openat(mapped, "stranger", O_WRONLY | O_CREAT | O_CLOEXEC, 0644), EOVERFLOW);
	CHECK_ERRNO(mkdirat(mapped, "stranger", 0755), EOVERFLOW);
}

/* Owners are translated on the way in and out of an idmapped mount. */
void probe_idmap(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };

	/* In a folder that the mapping has no owner for, nobody may make anything. */
	CHECK(chown(".", 3000, 3000) == 0 && chmod(".", 0777) == 0, "the folder's rights");
	attr.userns_fd = (uint64_t)new_user_namespace();
	mapped = (int)syscall(SYS_open_tree, AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	CHECK(mapped >= 0, "open_tree");
	if (syscall(SYS_mount_setattr, mapped, "", AT_EMPTY_PATH, &attr, sizeof(attr)) != 0) {
		CHECK(errno == EINVAL, "mount_setattr");
		skip("no idmapped mounts of this file system (Linux 6.12)");
	}
	make_all("of-root");
	owned_by(mapped, "of-root/file", 0, 0);
	owned_by(AT_FDCWD, "of-root/file", 3000, 3000);
	as_user(1000, 1000, as_mapped_user);
	owned_by(mapped, "of-user/file", 1000, 1000);
	owned_by(AT_FDCWD, "of-user/file", 7000, 7000);
	as_user(2000, 2000, as_stranger);

	int fd = openat(mapped, "given", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	CHECK(fd >= 0, "create");
	CHECK(fchown(fd, 1000, 1000) == 0, "chown through the mapping");
	CHECK_ERRNO(fchown(fd, 2000, 2000), EOVERFLOW);
	close(fd);
	owned_by(AT_FDCWD, "given", 7000, 7000);

	/* What the mapping has no name for belongs to nobody. */
	close(open_new("unmapped"));
	owned_by(mapped, "unmapped", 65534, 65534);
	close(mapped);
	close((int)attr.userns_fd);
}
