/* log.c - see log.h. */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

enum log_level log_level_limit = LOG_LVL_INFO;

static log_sink_fn *log_sink;
static int log_fd = -1;
static uint32_t log_dropped; /* records that a full socket cost us; atomic */

void log_to_sink(log_sink_fn *sink)
{
	log_sink = sink;
}

static void sink_to_fd(enum log_level level, const char *text, size_t len)
{
	char record[1 + LOG_TEXT_MAX];
	uint32_t dropped = __atomic_exchange_n(&log_dropped, 0, __ATOMIC_RELAXED);

	if (dropped) {
		record[0] = LOG_LVL_WARN;
		int n = snprintf(record + 1, LOG_TEXT_MAX, "%u log records were lost, the log was full",
				 dropped);

		if (send(log_fd, record, 1 + (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			__atomic_add_fetch(&log_dropped, dropped, __ATOMIC_RELAXED);
	}
	record[0] = (char)level;
	memcpy(record + 1, text, len);
	if (send(log_fd, record, 1 + len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		__atomic_add_fetch(&log_dropped, 1, __ATOMIC_RELAXED);
}

void log_to_fd(int fd)
{
	log_fd = fd;
	log_sink = sink_to_fd;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char text[LOG_TEXT_MAX];
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	if (log_sink)
		log_sink(level, text, (size_t)n);
	else
		(void)!write(STDERR_FILENO, text, (size_t)n); /* before set-up; nowhere else to say it */
	errno = saved;
}

bool log_limit_pass(struct log_limit *limit, uint32_t *held)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards every log_limit; a rare path */
	struct timespec now;
	bool pass;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&lock);
	*held = 0;
	if (limit->used == 0 || now.tv_sec - limit->window_start >= (int64_t)limit->period_s) {
		*held = limit->held_back;
		limit->window_start = now.tv_sec;
		limit->used = 0;
		limit->held_back = 0;
	}
	pass = limit->used < limit->burst;
	if (pass)
		limit->used++;
	else
		limit->held_back++;
	pthread_mutex_unlock(&lock);
	return pass;
}
