/*
 * Another process on the host that holds or tries a lock.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostlock.h"

static int take(const char *path, enum hostlock_kind kind, int type, off_t start, off_t len)
{
	struct flock fl = { .l_type = (short)type, .l_whence = SEEK_SET, .l_start = start,
			    .l_len = len };
	int op = type == F_RDLCK ? LOCK_SH : type == F_WRLCK ? LOCK_EX : LOCK_UN;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno;
	if (kind == HOSTLOCK_POSIX ? fcntl(fd, F_SETLK, &fl) : flock(fd, op | LOCK_NB))
		return errno;
	return 0;
}

/**
 * hostlock_hold() - Take a lock in a process of its own, and keep it
 * @h:		Filled in
 * @path:	File
 * @kind:	Which of the two kinds of locks
 * @type:	F_RDLCK or F_WRLCK
 * @start:	First byte
 * @len:	How many, 0 for all
 *
 * Return: 0; -EAGAIN when the lock is taken; or another negative errno
 */
int hostlock_hold(struct hostlock *h, const char *path, enum hostlock_kind kind, int type,
		  off_t start, off_t len)
{
	int hold[2], said[2];
	char err = 0;

	if (pipe2(hold, O_CLOEXEC) || pipe2(said, O_CLOEXEC))
		return -errno;
	h->pid = fork();
	if (h->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Nothing of the front end, its connection least of all, may stay open. */
		dup2(hold[0], 0);
		dup2(said[1], 1);
		close_range(3, ~0u, 0);
		err = (char)take(path, kind, type, start, len);
		if (write(1, &err, 1) == 1 && !err)
			while (read(0, &err, 1) < 0 && errno == EINTR)
				;
		_exit(0);
	}
	close(hold[0]);
	close(said[1]);
	h->hold_fd = hold[1];
	if (h->pid < 0 || read(said[0], &err, 1) != 1)
		err = EIO;
	close(said[0]);
	if (err)
		hostlock_drop(h);
	return -err;
}

/**
 * hostlock_drop() - End the process that holds a lock
 * @h:	What hostlock_hold() filled in
 */
void hostlock_drop(struct hostlock *h)
{
	close(h->hold_fd);
	if (h->pid > 0)
		waitpid(h->pid, NULL, 0);
	h->pid = 0;
}

/**
 * hostlock_try() - Whether another process could take a lock now
 * @path:	File
 * @kind:	Which of the two kinds of locks
 * @type:	F_RDLCK or F_WRLCK
 * @start:	First byte
 * @len:	How many, 0 for all
 *
 * Return: 0 if so, -EAGAIN if not, or another negative errno
 */
int hostlock_try(const char *path, enum hostlock_kind kind, int type, off_t start, off_t len)
{
	struct hostlock h;
	int err = hostlock_hold(&h, path, kind, type, start, len);

	if (!err)
		hostlock_drop(&h);
	return err == -EACCES ? -EAGAIN : err;
}
