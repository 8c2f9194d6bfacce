/* logsink.c - where every record of the daemon ends: stderr or syslog, one line each.
 *
 * Role: monitor. A child's records are datagrams on a socket that only that child has: who speaks is known by the
 * descriptor, whatever the text says. The text is not trusted: what is not printable is escaped (it may have been
 * chosen by a guest to move an operator's cursor), what is too much is counted and left out, and a line ends where it
 * ends here. Neither an stderr nor a system's log that takes nothing stops the monitor; it loses records.
 */
#include "monitor/monitor.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>

#define LINE_MAX_BYTES 4000 /* below PIPE_BUF: one write, not mixed with others' */

static bool use_syslog;
static uint32_t stderr_lost;

static const char *const level_text[] = {
	[LOG_LVL_ERR] = "error: ", [LOG_LVL_WARN] = "warning: ", [LOG_LVL_INFO] = "", [LOG_LVL_DEBUG] = "debug: ",
};
static const int level_syslog[] = {
	[LOG_LVL_ERR] = LOG_ERR, [LOG_LVL_WARN] = LOG_WARNING, [LOG_LVL_INFO] = LOG_INFO, [LOG_LVL_DEBUG] = LOG_DEBUG,
};

static void to_stderr(const char *line, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	char note[80];

	if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT)) {
		stderr_lost++;
		return;
	}
	if (stderr_lost) {
		int n = snprintf(note, sizeof(note), "virtiofsd: %u lines were lost, stderr took no more\n", stderr_lost);

		if (write(STDERR_FILENO, note, (size_t)n) < 0)
			return;
		stderr_lost = 0;
	}
	if (write(STDERR_FILENO, line, len) < 0)
		stderr_lost++;
}

/* @who: "" or "transport[123]: ". */
static void put_line(const char *who, enum log_level level, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	char line[LINE_MAX_BYTES];
	size_t n = (size_t)snprintf(line, sizeof(line), "%s%s%s", use_syslog ? "" : "virtiofsd: ", who,
				    level_text[level]);

	for (size_t i = 0; i < len && n < sizeof(line) - 8; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c < 0x7f && c != '\\') {
			line[n++] = (char)c;
			continue;
		}
		line[n++] = '\\';
		line[n++] = 'x';
		line[n++] = hex[c >> 4];
		line[n++] = hex[c & 15];
	}
	if (use_syslog) {
		syslog_line(level_syslog[level], line, n);
		return;
	}
	line[n++] = '\n';
	to_stderr(line, n);
}

/**
 * logsink_own() - a record of the monitor itself; the log_sink_fn of this process.
 */
void logsink_own(enum log_level level, const char *text, size_t len)
{
	put_line("", level, text, len);
}

/**
 * logsink_start() - from here on records go where the options say; before, to stderr.
 *
 * To be called while files can be opened.
 */
void logsink_start(bool to_syslog)
{
	if (!to_syslog)
		return;
	syslog_open();
	use_syslog = true;
}

static uint32_t records_per_s(void)
{
	return log_enabled(LOG_LVL_DEBUG) ? 10 * LOG_RECORDS_PER_S : LOG_RECORDS_PER_S;
}

static void who_text(const struct child *c, char *who, size_t size)
{
	snprintf(who, size, "%s[%d]: ", c->role->name, (int)c->pid);
}

/* Say how many records were left out, if any. */
static void report_held(struct child *c)
{
	char who[48], text[80];

	if (!c->log_held)
		return;
	who_text(c, who, sizeof(who));
	int n = snprintf(text, sizeof(text), "%u log records were left out: more than %u in a second", c->log_held,
			 records_per_s());

	put_line(who, LOG_LVL_WARN, text, (size_t)n);
	c->log_held = 0;
}

/* May the child have one more line this second? */
static bool within_rate(struct child *c)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != c->log_second) {
		c->log_second = now.tv_sec;
		c->log_used = 0;
		report_held(c);
	}
	if (c->log_used >= records_per_s()) {
		c->log_held++;
		return false;
	}
	c->log_used++;
	return true;
}

/* One datagram: struct sandbox_sigsys_record, or a level byte and text. */
static void take_record(struct child *c, const char *buf, size_t len)
{
	struct sandbox_sigsys_record rec;
	char who[48];

	if (len == sizeof(rec) && (unsigned char)buf[0] == SANDBOX_SIGSYS_RECORD) {
		memcpy(&rec, buf, sizeof(rec));
		c->refused_nr = rec.nr;
		return;
	}
	if (len < 1 || (unsigned char)buf[0] > LOG_LVL_DEBUG || !log_enabled((enum log_level)buf[0]))
		return;
	who_text(c, who, sizeof(who));
	if (within_rate(c))
		put_line(who, (enum log_level)buf[0], buf + 1, len - 1);
}

/**
 * logsink_over_rate() - has the child said all that it may in this second?
 *
 * What it goes on to say then waits in its socket, and in the end it waits itself: reading it only to leave it out would
 * be work for the monitor without end.
 */
bool logsink_over_rate(const struct child *c)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec == c->log_second && c->log_used >= records_per_s();
}

/**
 * logsink_drain() - write out what the child has said.
 * @most: records at a time, so that a child that never stops does not stop the monitor.
 */
void logsink_drain(struct child *c, unsigned int most)
{
	char buf[1 + LOG_TEXT_MAX];

	for (; c->log >= 0 && most > 0; most--) {
		ssize_t n = recv(c->log, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0)
			return;
		if (n == 0) {
			report_held(c);
			close_fd(&c->log);
			return;
		}
		take_record(c, buf, (size_t)n);
	}
}
