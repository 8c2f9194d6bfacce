/* notify.c - tells the service manager what the daemon does: sd_notify(3), without libsystemd.
 *
 * Role: monitor. That library would bring four others for compression and cryptography into root's one process, for a protocol of
 * one datagram of lines to the socket that $NOTIFY_SOCKET names. Children do not get that variable (spawn.c).
 *
 * The monitor waits for nobody, and a manager that never hears READY=1 kills a daemon that serves. So what finds its queue full is
 * kept, and sent again and again from the monitor's loop.
 */
#include "monitor/monitor.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define KEPT 4u /* messages; of more, the oldest say least */

static struct sockaddr_un manager;
static socklen_t manager_len; /* 0: nobody wants to know */
static int notify_fd = -1;
static struct {
	char text[200];
	size_t len;
} kept[KEPT];
static unsigned int nkept;

static bool reach(void)
{
	AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&manager, manager_len) < 0)
		return false;
	notify_fd = take_fd(&fd);
	return true;
}

/**
 * notify_open() - find out who wants to know.
 *
 * What is not a path or an abstract name (vsock, of a manager outside of this machine) is left alone, with a warning.
 */
void notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET"), *whose = getenv("SYSTEMD_EXEC_PID");
	size_t len = name ? strlen(name) : 0;

	/* A management stack that is a service itself has passed its own variables on: it is not us that its manager waits for. */
	if (len == 0 || (whose && strtol(whose, NULL, 10) != getpid()))
		return;
	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(manager.sun_path)) {
		log_warn("NOTIFY_SOCKET: '%s' is no name of a UNIX socket: the service manager is told nothing", name);
		return;
	}
	manager.sun_family = AF_UNIX;
	memcpy(manager.sun_path, name, len);
	manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (name[0] == '@')
		manager.sun_path[0] = '\0';
	else
		manager_len++;
	if (!reach()) {
		log_warn("NOTIFY_SOCKET: cannot reach '%s': %s: the service manager is told nothing", name, strerror(errno));
		manager_len = 0;
	}
}

/* A manager that was started again listens on another socket of the same name. 0 or a positive errno. */
static int put(const char *text, size_t len)
{
	for (int i = 0; i < 2; i++) {
		if (notify_fd < 0 && !reach())
			return errno;
		if (send(notify_fd, text, len, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EAGAIN || errno == ENOBUFS)
			return EAGAIN;
		close_fd(&notify_fd);
	}
	return errno;
}

/**
 * notify_flush() - send what has found no room so far.
 *
 * Return: whether there is still something.
 */
bool notify_flush(void)
{
	while (nkept) {
		int r = put(kept[0].text, kept[0].len);

		if (r == EAGAIN)
			return true;
		if (r)
			log_warn("the service manager cannot be told: %s", strerror(r));
		memmove(&kept[0], &kept[1], --nkept * sizeof(kept[0]));
	}
	return false;
}

static void tell_line(const char *first, const char *status)
{
	int n;

	if (manager_len == 0)
		return;
	if (nkept == KEPT)
		memmove(&kept[0], &kept[1], --nkept * sizeof(kept[0]));
	n = snprintf(kept[nkept].text, sizeof(kept[nkept].text), "%s\nSTATUS=%s\n", first, status);
	kept[nkept].len = MIN((size_t)n, sizeof(kept[nkept].text) - 1);
	nkept++;
	(void)notify_flush();
}

/**
 * notify_ready() - the socket listens and all serve; or what notify_reloading() began is done.
 * @status: for people
 */
void notify_ready(const char *status)
{
	tell_line("READY=1", status);
}

/**
 * notify_reloading() - until notify_ready(). The time tells the manager that this is about its own signal.
 */
void notify_reloading(void)
{
	struct timespec t;
	char text[100];

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
	tell_line(text, "replacing processes by the executables that are on disk now");
}

/**
 * notify_stopping() - the daemon ends.
 */
void notify_stopping(void)
{
	tell_line("STOPPING=1", "ending");
}
