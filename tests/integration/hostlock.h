/*
 * Another process on the host that holds or tries a lock.
 */
#ifndef HOSTLOCK_H
#define HOSTLOCK_H

#include <stdint.h>
#include <sys/types.h>

enum hostlock_kind { HOSTLOCK_POSIX, HOSTLOCK_FLOCK };

struct hostlock {
	pid_t pid;
	int hold_fd;
};

int hostlock_try(const char *path, enum hostlock_kind kind, int type, off_t start, off_t len);
int hostlock_hold(struct hostlock *h, const char *path, enum hostlock_kind kind, int type,
		  off_t start, off_t len);
void hostlock_drop(struct hostlock *h);

#endif
