/*
 * locktool - takes, tries and queries file locks, for the tests of locks that
 * guest and host share.
 *
 * locktool KIND try FILE MODE            0 got it, 1 busy, 2 error
 * locktool KIND wait FILE MODE           blocks until it has the lock
 * locktool KIND hold FILE MODE READY GO  locks, creates READY, waits for GO to
 *                                        exist (60 s at most), unlocks
 * locktool KIND drop FILE MODE READY     locks, creates READY, ends without unlock
 * locktool KIND query FILE MODE          prints "free" or "read PID", "write PID"
 * locktool KIND count FILE MODE TIMES    TIMES times: opens, waits for the lock,
 *                                        adds one to the number in the file
 * KIND is flock, posix or ofd; MODE is sh or ex, for posix and ofd with an
 * optional range: ex:START:LENGTH.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum kind { KIND_FLOCK, KIND_POSIX, KIND_OFD };

struct request {
	enum kind kind;
	bool exclusive;
	off_t start;
	off_t length;
};

static void fail(const char *what)
{
	fprintf(stderr, "locktool: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void usage(void)
{
	fputs("usage: locktool flock|posix|ofd try|wait|hold|drop|query|count "
	      "FILE MODE [READY [GO]]\n",
	      stderr);
	exit(2);
}

static struct request parse_request(const char *kind, const char *mode)
{
	struct request req = { .kind = KIND_FLOCK };

	if (strcmp(kind, "posix") == 0)
		req.kind = KIND_POSIX;
	else if (strcmp(kind, "ofd") == 0)
		req.kind = KIND_OFD;
	else if (strcmp(kind, "flock") != 0)
		usage();

	if (strncmp(mode, "ex", 2) == 0)
		req.exclusive = true;
	else if (strncmp(mode, "sh", 2) != 0)
		usage();
	if (mode[2] == ':') {
		char *end;

		req.start = strtoll(mode + 3, &end, 0);
		if (*end == ':')
			req.length = strtoll(end + 1, NULL, 0);
	}
	return req;
}

static struct flock to_flock(const struct request *req)
{
	struct flock lock = {
		.l_type = req->exclusive ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = req->start,
		.l_len = req->length,
	};
	return lock;
}

/* Returns true with the lock, false if it is busy; ends the program on error. */
static bool take(int fd, const struct request *req, bool wait)
{
	int ret;

	if (req->kind == KIND_FLOCK) {
		int op = req->exclusive ? LOCK_EX : LOCK_SH;

		ret = flock(fd, wait ? op : op | LOCK_NB);
	} else {
		struct flock lock = to_flock(req);
		int cmd;

		if (req->kind == KIND_POSIX)
			cmd = wait ? F_SETLKW : F_SETLK;
		else
			cmd = wait ? F_OFD_SETLKW : F_OFD_SETLK;
		ret = fcntl(fd, cmd, &lock);
	}
	if (ret == 0)
		return true;
	if (!wait && (errno == EWOULDBLOCK || errno == EACCES))
		return false;
	fail("lock");
	return false;
}

static void drop(int fd, const struct request *req)
{
	if (req->kind == KIND_FLOCK) {
		if (flock(fd, LOCK_UN) != 0)
			fail("unlock");
		return;
	}

	struct flock lock = to_flock(req);

	lock.l_type = F_UNLCK;
	if (fcntl(fd, req->kind == KIND_POSIX ? F_SETLK : F_OFD_SETLK, &lock) != 0)
		fail("unlock");
}

static void create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		fail(path);
	close(fd);
}

static void wait_for(const char *path)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };

	for (int i = 0; i < 60 * 20; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0) {
			close(fd);
			return;
		}
		nanosleep(&pause, NULL);
	}
	fprintf(stderr, "locktool: %s did not appear\n", path);
	exit(2);
}

static void take_now(int fd, const struct request *req)
{
	if (!take(fd, req, false)) {
		fputs("locktool: the lock is not free\n", stderr);
		exit(1);
	}
}

/* The file holds a decimal number of fixed length, so that its size never changes. */
static void count_one(const char *path, const struct request *req)
{
	enum { DIGITS = 10 };
	char text[DIGITS + 1] = "";
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		fail(path);
	take(fd, req, true);
	/* Again, for contents that nobody cached before the lock. */
	int data = req->kind == KIND_POSIX ? fd : open(path, O_RDWR | O_CLOEXEC);

	if (data < 0)
		fail(path);
	if (pread(data, text, DIGITS, 0) < 0)
		fail("read");
	snprintf(text, sizeof(text), "%010lu", (strtoul(text, NULL, 10) + 1) % 10000000000);
	if (pwrite(data, text, DIGITS, 0) != DIGITS)
		fail("write");
	drop(fd, req);
	if (data != fd)
		close(data);
	close(fd);
}

static void query(int fd, const struct request *req)
{
	struct flock lock = to_flock(req);

	if (fcntl(fd, req->kind == KIND_OFD ? F_OFD_GETLK : F_GETLK, &lock) != 0)
		fail("query");
	if (lock.l_type == F_UNLCK)
		puts("free");
	else
		printf("%s %ld\n", lock.l_type == F_WRLCK ? "write" : "read", (long)lock.l_pid);
}

int main(int argc, char **argv)
{
	if (argc < 5)
		usage();

	const struct request req = parse_request(argv[1], argv[4]);
	const char *verb = argv[2];
	int fd = open(argv[3], O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		fail(argv[3]);
	if (strcmp(verb, "try") == 0)
		return take(fd, &req, false) ? 0 : 1;
	if (strcmp(verb, "wait") == 0) {
		take(fd, &req, true);
		return 0;
	}
	if (strcmp(verb, "query") == 0) {
		query(fd, &req);
		return 0;
	}
	if (strcmp(verb, "count") == 0 && argc == 6) {
		for (long left = strtol(argv[5], NULL, 10); left > 0; left--)
			count_one(argv[3], &req);
		return 0;
	}
	if (strcmp(verb, "hold") == 0 && argc == 7) {
		take_now(fd, &req);
		create(argv[5]);
		wait_for(argv[6]);
		drop(fd, &req);
		return 0;
	}
	if (strcmp(verb, "drop") == 0 && argc == 6) {
		take_now(fd, &req);
		create(argv[5]);
		return 0;
	}
	usage();
}
