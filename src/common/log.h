/* log.h - log records of every role.
 *
 * A role other than the monitor has neither syslog nor a terminal: log_to_fd() makes each record one
 * datagram on the descriptor that the monitor gave it (one level byte, then the text). The monitor
 * knows by the descriptor who speaks, escapes what it gets, and writes it (monitor/logsink.c); a role
 * that was taken over can write nonsense there, but not in another's name.
 *
 * Text from a guest (names!) must not be logged by anyone at a level above debug.
 */
#ifndef VFSD_LOG_H
#define VFSD_LOG_H

#include "base.h"

enum log_level {
	LOG_LVL_ERR = 0,
	LOG_LVL_WARN = 1,
	LOG_LVL_INFO = 2,
	LOG_LVL_DEBUG = 3,
};

/* Longest text of one record in bytes; what is longer is cut. */
#define LOG_TEXT_MAX 1000

extern enum log_level log_level_limit; /* records above this level are not made; set once at start */

typedef void log_sink_fn(enum log_level level, const char *text, size_t len);

/* log_to_sink() - send all further records to a function (the monitor, tests). */
void log_to_sink(log_sink_fn *sink);

/* log_to_fd() - send all further records as datagrams to a SOCK_SEQPACKET descriptor. A full socket
 * drops the record (and counts it) instead of waiting: a log reader that sleeps must not stop I/O. */
void log_to_fd(int fd);

void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_enabled(l) ((l) <= log_level_limit)
#define log_at(l, ...)                                \
	do {                                          \
		if (unlikely(log_enabled(l)))         \
			log_write((l), __VA_ARGS__);  \
	} while (0)
#define log_err(...) log_at(LOG_LVL_ERR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LVL_DEBUG, __VA_ARGS__)

/* A place in the code that a guest can make speak as often as it likes logs through one of these: at
 * most `burst` records in each `period_s` seconds; what was held back is counted in the next record.
 * Safe for threads. */
struct log_limit {
	uint32_t burst;
	uint32_t period_s;
	int64_t window_start; /* CLOCK_MONOTONIC seconds */
	uint32_t used;
	uint32_t held_back;
};
#define LOG_LIMIT_INIT(b, p) { .burst = (b), .period_s = (p) }

/* log_limit_pass() - may this record go out? On true, *held is how many were held back before. */
bool log_limit_pass(struct log_limit *limit, uint32_t *held);

#define log_limited(l, ...)                                                                      \
	do {                                                                                     \
		static struct log_limit limit_here = LOG_LIMIT_INIT(10, 10);                     \
		uint32_t held_here;                                                              \
		if (log_enabled(l) && log_limit_pass(&limit_here, &held_here)) {                 \
			log_write((l), __VA_ARGS__);                                             \
			if (held_here)                                                           \
				log_write((l), "(%u more records like this one were held back)", \
					  held_here);                                            \
		}                                                                                \
	} while (0)

#endif
