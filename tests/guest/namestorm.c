/*
 * namestorm - processes that make, move, change and remove files of all kinds at
 * random in one tree, all over each other.
 *
 * namestorm [-p PROCESSES] [-n OPERATIONS] [-s SEED] FOLDER
 *   The names are few, so that operations meet. An operation may fail as others
 *   were there first (the errors of that kind are listed below); any other error
 *   ends it with 1. What the tree is in the end, guest and host have to agree on:
 *   comparing that is the caller's business.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NAMES = 14, DEPTH = 3, PATH_LENGTH = 128 };

static uint64_t random_state;
static unsigned long done_count;

static uint64_t next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned below(unsigned bound)
{
	return (unsigned)(next_random() >> 33) % bound;
}

/* What another process's operation can do to one's own. */
static const int expected_errors[] = { ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL, ELOOP,
				       ENXIO,  EPERM,  EMLINK,	ENODATA };

static void outcome(const char *what, const char *path, bool ok)
{
	if (ok) {
		done_count++;
		return;
	}
	int err = errno;
	for (size_t i = 0; i < sizeof(expected_errors) / sizeof(expected_errors[0]); i++) {
		if (err == expected_errors[i])
			return;
	}
	fprintf(stderr, "namestorm: %s %s: %s\n", what, path, strerror(err));
	exit(1);
}

/* d<i>/d<j>/n<k>: folders and files share the names, so that either meets the other. */
static const char *some_path(char *path)
{
	unsigned depth = below(DEPTH);
	int used = 0;

	for (unsigned i = 0; i < depth; i++)
		used += snprintf(path + used, (size_t)(PATH_LENGTH - used), "d%u/", below(5));
	snprintf(path + used, (size_t)(PATH_LENGTH - used), "%c%u", below(3) == 0 ? 'd' : 'n',
		 below(NAMES));
	return path;
}

static void do_create(const char *path)
{
	char data[3000];
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | (below(2) == 0 ? O_EXCL : 0),
		      0600 + below(0200));

	outcome("create", path, fd >= 0);
	if (fd < 0)
		return;
	memset(data, 'a' + (int)below(26), sizeof(data));
	off_t at = (off_t)below(100000);
	/* A FIFO of that name takes nothing. */
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		outcome("write", path, pwrite(fd, data, below(sizeof(data)) + 1, at) > 0);
	close(fd);
}

static void do_mkdir(const char *path)
{
	outcome("mkdir", path, mkdir(path, 0700 + below(0100)) == 0);
}

static void do_symlink(const char *path)
{
	char target[PATH_LENGTH];

	outcome("symlink", path, symlink(some_path(target), path) == 0);
}

static void do_mknod(const char *path)
{
	outcome("mknod", path, mknod(path, (below(2) == 0 ? S_IFIFO : S_IFSOCK) | 0644, 0) == 0);
}

static void do_link(const char *path)
{
	char other[PATH_LENGTH];

	outcome("link", path, link(path, some_path(other)) == 0);
}

static void do_rename(const char *path)
{
	static const unsigned flags[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	char other[PATH_LENGTH];

	outcome("rename", path,
		renameat2(AT_FDCWD, path, AT_FDCWD, some_path(other),
			  flags[below(sizeof(flags) / sizeof(flags[0]))]) == 0);
}

static void do_unlink(const char *path)
{
	outcome("unlink", path, unlink(path) == 0);
}

static void do_rmdir(const char *path)
{
	outcome("rmdir", path, rmdir(path) == 0);
}

static void do_truncate(const char *path)
{
	outcome("truncate", path, truncate(path, (off_t)below(50000)) == 0);
}

static void do_chmod(const char *path)
{
	outcome("chmod", path, chmod(path, 0700 + below(0100)) == 0);
}

static void do_chown(const char *path)
{
	outcome("chown", path, lchown(path, below(1000), below(1000)) == 0);
}

static void do_times(const char *path)
{
	struct timespec times[2] = { { .tv_sec = below(1U << 30), .tv_nsec = below(1000000000) },
				     { .tv_sec = below(1U << 30), .tv_nsec = below(1000000000) } };

	outcome("utimens", path, utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0);
}

static void do_xattr(const char *path)
{
	char value[64] = "value";

	if (below(3) == 0) {
		bool ok = lremovexattr(path, "user.storm") == 0;
		outcome("removexattr", path, ok || errno == EOPNOTSUPP);
	} else {
		bool ok = lsetxattr(path, "user.storm", value, below(sizeof(value)), 0) == 0;
		outcome("setxattr", path, ok || errno == EOPNOTSUPP);
	}
}

static void do_stat(const char *path)
{
	struct stat st;
	char target[PATH_LENGTH];

	outcome("lstat", path, lstat(path, &st) == 0);
	outcome("readlink", path, readlink(path, target, sizeof(target)) >= 0);
}

static void do_list(const char *path)
{
	DIR *dir = opendir(path);

	outcome("opendir", path, dir != NULL);
	if (dir == NULL)
		return;
	errno = 0;
	while (readdir(dir) != NULL)
		;
	outcome("readdir", path, errno == 0);
	closedir(dir);
}

/* Written to after its name is gone, perhaps by this process, perhaps by another. */
static void do_open_unlink(const char *path)
{
	struct stat st;
	char text[4] = "";
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	outcome("open", path, fd >= 0);
	if (fd < 0)
		return;
	outcome("unlink", path, unlink(path) == 0);
	if (fstat(fd, &st) != 0)
		outcome("fstat of an open file", path, (errno = EIO, false));
	if (S_ISREG(st.st_mode)) {
		if (pwrite(fd, "abc", 3, 10) != 3 || pread(fd, text, 3, 10) < 0 || fsync(fd) != 0) {
			fprintf(stderr, "namestorm: open file %s: %s\n", path, strerror(errno));
			exit(1);
		}
	}
	close(fd);
}

static void do_fsync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	outcome("open folder", path, fd >= 0);
	if (fd < 0)
		return;
	outcome("fsync folder", path, fsync(fd) == 0);
	close(fd);
}

static const struct operation {
	unsigned weight;
	void (*run)(const char *path);
} operations[] = {
	{ 20, do_create },  { 10, do_mkdir }, { 5, do_symlink }, { 4, do_mknod },
	{ 6, do_link },	    { 14, do_rename }, { 8, do_unlink },  { 3, do_rmdir },
	{ 5, do_truncate }, { 4, do_chmod },  { 4, do_chown },	 { 4, do_times },
	{ 4, do_xattr },    { 10, do_stat },  { 5, do_list },	 { 3, do_open_unlink },
	{ 1, do_fsync_dir },
};

static void storm(unsigned long count)
{
	unsigned sum = 0;
	char path[PATH_LENGTH];

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		sum += operations[i].weight;
	while (count-- > 0) {
		unsigned pick = below(sum);
		size_t i = 0;

		while (pick >= operations[i].weight)
			pick -= operations[i++].weight;
		operations[i].run(some_path(path));
	}
}

int main(int argc, char **argv)
{
	unsigned long processes = 4;
	unsigned long count = 5000;
	uint64_t seed = 1;
	int option;

	while ((option = getopt(argc, argv, "p:n:s:")) != -1) {
		if (option == 'p')
			processes = strtoul(optarg, NULL, 0);
		else if (option == 'n')
			count = strtoul(optarg, NULL, 0);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	if (optind + 1 != argc || chdir(argv[optind]) != 0) {
		fputs("usage: namestorm [-p PROCESSES] [-n OPERATIONS] [-s SEED] FOLDER\n", stderr);
		return 2;
	}
	umask(0);
	for (unsigned long i = 0; i < processes; i++) {
		pid_t child = fork();

		if (child < 0) {
			perror("namestorm: fork");
			return 2;
		}
		if (child == 0) {
			random_state = (seed * 1000003 + i) * 2 + 1;
			for (int warm = 0; warm < 8; warm++)
				next_random();
			storm(count);
			printf("namestorm: process %lu: %lu operations done\n", i, done_count);
			return 0;
		}
	}
	int failed = 0;
	int status;
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
