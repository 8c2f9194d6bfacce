/*
 * Starts the daemon under test, collects what it says, reports how it ended.
 *
 * Its standard error is a memory file, not a pipe: the daemon can never block
 * on a full one, and a test reads all that was said at any moment without a
 * reader thread.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vuf_daemon.h"

#define DAEMON_MAX_WORDS 64
#define CONNECT_RETRY_MS 5

/**
 * vuf_timeout_ms() - How long any wait may take before it counts as a failure
 *
 * Generous, so that a slow or instrumented machine passes; a test never
 * succeeds because a time-out expired.
 *
 * Return: milliseconds; VUF_TIMEOUT_MS in the environment overrides 20 s
 */
int vuf_timeout_ms(void)
{
	static int cached;

	if (!cached) {
		const char *s = getenv("VUF_TIMEOUT_MS");
		int v = s ? atoi(s) : 0;

		cached = v > 0 ? v : 20000;
	}
	return cached;
}

/* One word of the template with its placeholders replaced; malloc'ed. */
static char *expand_word(const char *word, const struct daemon_args *args)
{
	static const char *const keys[] = { "{socket}", "{dir}" };
	const char *values[] = { args->socket, args->dir };
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	while (*word) {
		size_t k, n = 0;

		for (k = 0; k < 2; k++) {
			n = strlen(keys[k]);
			if (values[k] && !strncmp(word, keys[k], n))
				break;
		}
		if (k < 2) {
			fputs(values[k], f);
			word += n;
		} else {
			fputc(*word++, f);
		}
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static void exec_daemon(const struct daemon *d, const struct daemon_args *args, char **argv)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	/* A test that dies must not leave a daemon that waits for a connection. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(null, STDIN_FILENO);
	dup2(d->out_fd, STDOUT_FILENO);
	dup2(d->err_fd, STDERR_FILENO);
	if (args->pass_fd >= 0) {
		if (args->pass_fd == args->pass_as)
			fcntl(args->pass_fd, F_SETFD, 0);
		else
			dup2(args->pass_fd, args->pass_as);
	}
	execv(argv[0], argv);
	dprintf(STDERR_FILENO, "cannot execute %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/**
 * daemon_start() - Run the daemon
 * @d:		Filled in; to be given to daemon_close() in any case
 * @args:	Command template and what its placeholders stand for
 *
 * Return: 0, or a negative errno
 */
int daemon_start(struct daemon *d, const struct daemon_args *args)
{
	char *argv[DAEMON_MAX_WORDS + 1] = { NULL };
	int err = 0;

	memset(d, 0, sizeof(*d));
	d->pidfd = d->err_fd = d->out_fd = -1;
	for (unsigned int i = 0; args->words[i]; i++) {
		if (i == DAEMON_MAX_WORDS || !(argv[i] = expand_word(args->words[i], args))) {
			err = -ENOMEM;
			goto out;
		}
	}
	/*
	 * O_APPEND: children and the daemon share the file, and each opening of
	 * it by /dev/stderr would have an offset of its own.
	 */
	d->err_fd = memfd_create("stderr", MFD_CLOEXEC);
	d->out_fd = memfd_create("stdout", MFD_CLOEXEC);
	if (d->err_fd < 0 || d->out_fd < 0 || fcntl(d->err_fd, F_SETFL, O_APPEND) ||
	    fcntl(d->out_fd, F_SETFL, O_APPEND)) {
		err = -errno;
		goto out;
	}
	fflush(NULL);
	d->pid = fork();
	if (d->pid == 0)
		exec_daemon(d, args, argv);
	if (d->pid < 0) {
		err = -errno;
		d->pid = 0;
		goto out;
	}
	d->pidfd = (int)syscall(SYS_pidfd_open, d->pid, 0);
	if (d->pidfd < 0)
		err = -errno;
out:
	for (unsigned int i = 0; i < DAEMON_MAX_WORDS; i++)
		free(argv[i]);
	return err;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/**
 * daemon_connect() - Connect to the daemon's socket as soon as it listens
 * @d:			Daemon, or NULL when nobody's life is to be watched
 * @socket_path:	Where it listens
 *
 * Return: the descriptor; -ECHILD if the daemon ended instead, -ETIMEDOUT, or
 * another negative errno
 */
int daemon_connect(struct daemon *d, const char *socket_path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int64_t end = now_ms() + vuf_timeout_ms();
	int fd;

	if (strlen(socket_path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	for (;;) {
		int err;

		if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
			return fd;
		err = errno;
		if (err != ENOENT && err != ECONNREFUSED && err != EAGAIN) {
			close(fd);
			return -err;
		}
		if (d && daemon_wait(d, CONNECT_RETRY_MS) != -ETIMEDOUT) {
			close(fd);
			return -ECHILD;
		}
		if (!d)
			poll(NULL, 0, CONNECT_RETRY_MS);
		if (now_ms() > end) {
			close(fd);
			return -ETIMEDOUT;
		}
	}
}

/**
 * daemon_wait() - Wait for the end of the daemon
 * @d:		Daemon
 * @timeout_ms:	How long
 *
 * Return: its exit status; 256 + the number of the signal that killed it;
 * -ETIMEDOUT if it still runs
 */
int daemon_wait(struct daemon *d, int timeout_ms)
{
	if (!d->reaped) {
		struct pollfd p = { .fd = d->pidfd, .events = POLLIN };
		int n;

		if (d->pid <= 0)
			return -ESRCH;
		do
			n = poll(&p, 1, timeout_ms);
		while (n < 0 && errno == EINTR);
		if (n == 0)
			return -ETIMEDOUT;
		if (waitpid(d->pid, &d->status, 0) != d->pid)
			return -errno;
		d->reaped = true;
	}
	return WIFEXITED(d->status) ? WEXITSTATUS(d->status) : 256 + WTERMSIG(d->status);
}

/**
 * daemon_signal() - Send the daemon a signal
 * @d:		Daemon
 * @sig:	Signal number
 *
 * Return: 0, or a negative errno
 */
int daemon_signal(struct daemon *d, int sig)
{
	if (d->reaped || d->pid <= 0)
		return -ESRCH;
	return kill(d->pid, sig) ? -errno : 0;
}

static char *read_all(int fd)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) || !(text = malloc((size_t)st.st_size + 1)))
		return strdup("");
	n = pread(fd, text, (size_t)st.st_size, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/**
 * daemon_stderr() - All that the daemon has written to stderr until now
 * @d:		Daemon
 *
 * Return: text to be freed
 */
char *daemon_stderr(struct daemon *d)
{
	return read_all(d->err_fd);
}

/**
 * daemon_stdout() - All that the daemon has written to stdout until now
 * @d:		Daemon
 *
 * Return: text to be freed
 */
char *daemon_stdout(struct daemon *d)
{
	return read_all(d->out_fd);
}

/**
 * daemon_close() - End the daemon if it still runs, release everything
 * @d:		Daemon
 */
void daemon_close(struct daemon *d)
{
	if (d->pid > 0 && !d->reaped) {
		kill(d->pid, SIGKILL);
		waitpid(d->pid, &d->status, 0);
	}
	if (d->pidfd >= 0)
		close(d->pidfd);
	if (d->err_fd >= 0)
		close(d->err_fd);
	if (d->out_fd >= 0)
		close(d->out_fd);
	memset(d, 0, sizeof(*d));
	d->pidfd = d->err_fd = d->out_fd = -1;
}
