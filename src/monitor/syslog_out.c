/* syslog_out.c - records to the system's log.
 *
 * Role: monitor. Not by libc's syslog(), which waits for a daemon that has stopped reading: the monitor waits for nobody.
 * Lines that find no room are counted, and the count is told as soon as there is.
 */
#include "monitor/monitor.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

#define SYSLOG_LINE_MAX 4200

static int syslog_fd = -1;
static uint32_t syslog_lost;

static bool reach(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = _PATH_LOG };
	AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		return false;
	syslog_fd = take_fd(&fd);
	return true;
}

/* One datagram, as RFC 3164 and every daemon that listens there want it. */
static bool put(int level, const char *text, size_t len)
{
	char line[SYSLOG_LINE_MAX], stamp[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	int n;

	if (localtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%h %e %T ", &tm);
	n = snprintf(line, sizeof(line), "<%d>%svirtiofsd[%d]: %.*s", LOG_DAEMON | level, stamp, (int)getpid(), (int)len, text);
	if (n < 0)
		return false;
	/* A daemon that was started again listens on another socket of the same name. */
	for (int i = 0; i < 2; i++) {
		if (syslog_fd < 0 && !reach())
			return false;
		if (send(syslog_fd, line, MIN((size_t)n, sizeof(line) - 1), MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE)
			return false;
		close_fd(&syslog_fd);
	}
	return false;
}

/**
 * syslog_open() - reach the system's log, and read the time zone, while files can be opened.
 */
void syslog_open(void)
{
	tzset();
	(void)reach();
}

/**
 * syslog_line() - one line of printable text.
 * @level: LOG_ERR, ...
 */
void syslog_line(int level, const char *text, size_t len)
{
	char note[64];

	if (syslog_lost) {
		int n = snprintf(note, sizeof(note), "%u lines were lost, the log took no more", syslog_lost);

		if (put(LOG_WARNING, note, (size_t)n))
			syslog_lost = 0;
	}
	if (syslog_lost || !put(level, text, len))
		syslog_lost++;
}
