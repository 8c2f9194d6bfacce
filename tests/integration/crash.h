/*
 * The children of a running daemon, and ways to end them: for test-crash.
 */
#ifndef CRASH_H
#define CRASH_H

#include <pthread.h>
#include <stdatomic.h>

#include "testutil.h"

#define CRASH_KIDS 32

/* One child of the monitor. */
struct kid {
	pid_t pid;
	char name[20];		/* what the kernel calls it: 15 characters */
	bool inner;		/* the first process of a pid namespace of its own: one that serves */
	bool zombie;
};

int kids_of(pid_t monitor, struct kid *k, int room);
pid_t kid_serving(pid_t monitor);
int kid_holders(pid_t monitor, pid_t *pids, int room);
int kid_descriptors(pid_t pid);
void crash_settle(struct env *e, const char *what);
int64_t crash_now_ms(void);
void crash_sleep_us(unsigned int us);

/* From the daemon's log. */
unsigned int crash_said(struct env *e, const char *text);
bool crash_took_over(struct env *e, pid_t dead);
void crash_wait_served(struct env *e, pid_t dead);

pid_t crash_kill(struct env *e);
void crash_kill_and_wait(struct env *e);
void crash_log_is_good(struct env *e);

/* Kills again and again, from a thread of its own, while the test goes on. */
struct crasher {
	struct env *e;
	unsigned int pause_us;		/* at most, between a take-over and the next kill */
	unsigned int starts_of_8;	/* how many of 8 kills meet the successor before it serves */
	atomic_uint kills;
	atomic_bool stop;
	pthread_t thread;
};

void crasher_start(struct crasher *c, struct env *e, unsigned int pause_us, unsigned int starts_of_8);
void crasher_stop(struct crasher *c);

#endif
