/*
 * A host file system whose reads fail or wait as a test wants it.
 *
 * It is a FUSE server in a process of its own, mounted in the mount namespace
 * of the test, with which it goes. Two files are in it:
 *
 *   bad    its first pages can be read, all others give EIO
 *   slow   no read of it is answered before the test says so
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "hostfs.h"
#include "vuf_daemon.h"

#define BAD 2
#define SLOW 3
#define MAX_WAITING 256

/* In the server: the low numbers that it keeps when it closes all others. */
enum { DEV_FD = 3, SAID_FD = 4, HEARD_FD = 5 };

static struct {
	struct fuse_in_header head;
	struct fuse_read_in in;
} waiting[MAX_WAITING];
static unsigned int nwaiting;
static bool released;

/**
 * hostfs_own_mounts() - Let what this process mounts be seen by it and its children only
 *
 * Return: NULL, or why that cannot be
 */
const char *hostfs_own_mounts(void)
{
	if (unshare(CLONE_NEWNS))
		return "no mount namespace may be made";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return "nothing may be mounted";
	return NULL;
}

/**
 * hostfs_byte() - What the files contain
 * @at:	Where
 *
 * Return: the byte
 */
uint8_t hostfs_byte(uint64_t at)
{
	return (uint8_t)(at / HOSTFS_PAGE * 7 + at % HOSTFS_PAGE + 1);
}

static void reply(const struct fuse_in_header *q, int error, const void *body, size_t len)
{
	char buf[sizeof(struct fuse_out_header) + HOSTFS_PAGE];
	struct fuse_out_header h = {
		.len = (uint32_t)(sizeof(h) + (error ? 0 : len)),
		.error = -error,
		.unique = q->unique,
	};

	memcpy(buf, &h, sizeof(h));
	if (!error && len)
		memcpy(buf + sizeof(h), body, len);
	/* Whoever asked may be dead by now. */
	(void)!write(DEV_FD, buf, h.len);
}

static void attr_of(uint64_t node, struct fuse_attr *a)
{
	memset(a, 0, sizeof(*a));
	a->ino = node;
	a->mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	a->nlink = 1;
	a->size = node == FUSE_ROOT_ID ? 0 : HOSTFS_PAGES * HOSTFS_PAGE;
	a->blksize = HOSTFS_PAGE;
}

static void answer_read(const struct fuse_in_header *q, const struct fuse_read_in *in)
{
	uint64_t end = (uint64_t)(q->nodeid == BAD ? HOSTFS_GOOD_PAGES : HOSTFS_PAGES) * HOSTFS_PAGE;
	uint8_t data[HOSTFS_PAGE];
	uint32_t n = in->size < HOSTFS_PAGE ? in->size : HOSTFS_PAGE;

	if (in->offset + n > end) {
		reply(q, q->nodeid == BAD ? EIO : 0, NULL, 0);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		data[i] = hostfs_byte(in->offset + i);
	reply(q, 0, data, n);
}

static void answer(const struct fuse_in_header *q, const void *arg)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = HOSTFS_PAGE,
				      .flags = FUSE_ASYNC_READ, .max_background = MAX_WAITING };
	struct fuse_entry_out e = { 0 };
	struct fuse_attr_out a = { 0 };
	struct fuse_open_out o = { .fh = 1, .open_flags = FOPEN_KEEP_CACHE };

	switch (q->opcode) {
	case FUSE_INIT:
		reply(q, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		e.nodeid = !strcmp(arg, "bad") ? BAD : !strcmp(arg, "slow") ? SLOW : 0;
		attr_of(e.nodeid, &e.attr);
		reply(q, e.nodeid ? 0 : ENOENT, &e, sizeof(e));
		break;
	case FUSE_GETATTR:
		attr_of(q->nodeid, &a.attr);
		reply(q, 0, &a, sizeof(a));
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		reply(q, 0, &o, sizeof(o));
		break;
	case FUSE_READ:
		if (q->nodeid == SLOW && !released && nwaiting < MAX_WAITING) {
			waiting[nwaiting].head = *q;
			memcpy(&waiting[nwaiting++].in, arg, sizeof(waiting[0].in));
			(void)!write(HEARD_FD, "", 1);
		} else {
			answer_read(q, arg);
		}
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		reply(q, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		reply(q, ENOSYS, NULL, 0);
	}
}

/* Until the file system is unmounted. */
static void serve(void)
{
	static union {
		struct fuse_in_header head;
		char bytes[FUSE_MIN_READ_BUFFER + HOSTFS_PAGE];
	} buf;
	struct pollfd p[2] = {
		{ .fd = DEV_FD, .events = POLLIN },
		{ .fd = SAID_FD, .events = POLLIN },
	};

	for (;;) {
		ssize_t n;
		char c;

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents) {
			if (read(SAID_FD, &c, 1) != 1)
				return;
			released = true;
			while (nwaiting) {
				nwaiting--;
				answer_read(&waiting[nwaiting].head, &waiting[nwaiting].in);
			}
		}
		if (!p[0].revents)
			continue;
		n = read(DEV_FD, &buf, sizeof(buf));
		if (n >= (ssize_t)sizeof(buf.head))
			answer(&buf.head, buf.bytes + sizeof(buf.head));
		else if (n < 0 && errno == ENODEV)
			return;
	}
}

/**
 * hostfs_mount() - Mount it
 * @h:		Filled in
 * @dir:	Where; hostfs_own_mounts() was called before
 *
 * Return: 0 or a negative errno
 */
int hostfs_mount(struct hostfs *h, const char *dir)
{
	int said[2], heard[2], dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[128];

	if (dev < 0)
		return -errno;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other,max_read=%u", dev, HOSTFS_PAGE);
	if (mount("hostfs", dir, "fuse", MS_NOSUID | MS_NODEV, options) || pipe2(said, O_CLOEXEC) ||
	    pipe2(heard, O_CLOEXEC))
		return -errno;
	h->pid = fork();
	if (h->pid < 0)
		return -errno;
	if (h->pid == 0) {
		int fds[] = { fcntl(dev, F_DUPFD, 10), fcntl(said[0], F_DUPFD, 10),
			      fcntl(heard[1], F_DUPFD, 10) };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Nothing of the front end, its connection least of all, may stay open. */
		for (int i = 0; i < 3; i++)
			dup2(fds[i], DEV_FD + i);
		close_range(HEARD_FD + 1, ~0u, 0);
		serve();
		_exit(0);
	}
	close(dev);
	close(said[0]);
	close(heard[1]);
	h->say_fd = said[1];
	h->heard_fd = heard[0];
	return 0;
}

/**
 * hostfs_wait_for_read() - Wait until somebody waits for "slow"
 * @h:	File system
 *
 * Return: 0, -ETIMEDOUT, or -EPIPE when the server has ended
 */
int hostfs_wait_for_read(struct hostfs *h)
{
	struct pollfd p = { .fd = h->heard_fd, .events = POLLIN };
	char c;

	if (poll(&p, 1, vuf_timeout_ms()) != 1)
		return -ETIMEDOUT;
	return read(h->heard_fd, &c, 1) == 1 ? 0 : -EPIPE;
}

/**
 * hostfs_release() - Answer all reads that wait, and from now on all others at once
 * @h:	File system
 */
void hostfs_release(struct hostfs *h)
{
	(void)!write(h->say_fd, "", 1);
}
