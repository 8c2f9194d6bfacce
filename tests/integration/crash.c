/*
 * The children of a running daemon, and ways to end them.
 *
 * A child is found by who its parent is, never by its name alone: other
 * daemons may run on this machine. What has become of a kill is read from the
 * daemon's log, which has one entry for each process that was replaced.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

#define WORKER "virtiofsd-fswor"
#define HOLDERS 2	/* of each role that is replaced */
#define STARTS 3	/* that are killed one after the other, at most */
#define TOOK_OVER " took over after "
#define STILL 20	/* looks, 5 ms apart, at which nothing has changed */

int64_t crash_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void crash_sleep_us(unsigned int us)
{
	struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };

	nanosleep(&t, NULL);
}

static ssize_t read_small(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, room - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n;
}

/* The value of a line of /proc/PID/status. */
static const char *field(const char *status, const char *name)
{
	const char *at = strstr(status, name);

	return at ? at + strlen(name) : "";
}

static bool describe(pid_t pid, pid_t parent, struct kid *k)
{
	char path[64], status[4096];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (read_small(path, status, sizeof(status)) <= 0)
		return false;
	if (atoi(field(status, "\nPPid:")) != (int)parent)
		return false;
	k->pid = pid;
	if (sscanf(status, "Name:\t%15[^\n]", k->name) != 1)
		k->name[0] = '\0';
	k->zombie = strchr("ZX", field(status, "\nState:\t")[0]) != NULL;
	/* "NSpid: 4711 1": its number here, and in its own namespace. */
	p = field(status, "\nNSpid:\t");
	k->inner = strcspn(p, "\t\n") != strcspn(p, "\n");
	return true;
}

/**
 * kids_of() - The children of the monitor
 * @monitor:	Its pid
 * @k:		Filled in
 * @room:	For how many
 *
 * Return: how many there are
 */
int kids_of(pid_t monitor, struct kid *k, int room)
{
	char path[64], text[1024];
	int n = 0;
	DIR *dir;

	/* Quick, but a kernel need not have it. */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)monitor, (int)monitor);
	if (read_small(path, text, sizeof(text)) >= 0) {
		for (char *w = strtok(text, " "); w && n < room; w = strtok(NULL, " "))
			n += describe(atoi(w), monitor, &k[n]);
		return n;
	}
	dir = opendir("/proc");
	for (struct dirent *d; dir && n < room && (d = readdir(dir));)
		if (d->d_name[0] >= '0' && d->d_name[0] <= '9')
			n += describe(atoi(d->d_name), monitor, &k[n]);
	if (dir)
		closedir(dir);
	return n;
}

/**
 * kid_serving() - The fsworker that serves, or is about to
 * @monitor:	Pid of the monitor
 *
 * Return: its pid; 0 when there is none at the moment
 */
pid_t kid_serving(pid_t monitor)
{
	struct kid k[CRASH_KIDS];
	int n = kids_of(monitor, k, CRASH_KIDS);

	for (int i = 0; i < n; i++)
		if (k[i].inner && !k[i].zombie && !strcmp(k[i].name, WORKER))
			return k[i].pid;
	return 0;
}

/**
 * kid_holders() - Those who keep descriptors
 * @monitor:	Pid of the monitor
 * @pids:	Filled in
 * @room:	For how many
 *
 * Return: how many there are
 */
int kid_holders(pid_t monitor, pid_t *pids, int room)
{
	struct kid k[CRASH_KIDS];
	int n = kids_of(monitor, k, CRASH_KIDS), found = 0;

	for (int i = 0; i < n && found < room; i++)
		if (!k[i].zombie && !strcmp(k[i].name, "holder"))
			pids[found++] = k[i].pid;
	return found;
}

/**
 * kid_descriptors() - How many descriptors a process has
 * @pid:	It
 *
 * Return: the count; -1 when it is gone
 */
int kid_descriptors(pid_t pid)
{
	char path[64];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	for (struct dirent *d; (d = readdir(dir));)
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* Who is there, and how many descriptors each has. False when somebody is there who is to go. */
static bool look(struct env *e, unsigned int *sum)
{
	struct kid k[CRASH_KIDS];
	int n = kids_of(e->d.pid, k, CRASH_KIDS), holders = 0, inner = 0;

	*sum = (unsigned int)kid_descriptors(e->d.pid);
	for (int i = 0; i < n; i++) {
		if (k[i].zombie)
			return false;
		holders += !strcmp(k[i].name, "holder");
		inner += k[i].inner;
		*sum = *sum * 1000 + (unsigned int)kid_descriptors(k[i].pid) + (unsigned int)k[i].pid;
	}
	return inner + holders == n && holders % HOLDERS == 0 && holders / HOLDERS <= inner;
}

/**
 * crash_settle() - Wait until everybody is in place again, and nobody changes
 * @e:		Environment
 * @what:	After what: for the message
 */
void crash_settle(struct env *e, const char *what)
{
	int64_t end = crash_now_ms() + vuf_timeout_ms();
	unsigned int sum, last = 0;
	int still = 0;

	while (still < STILL) {
		if (crash_now_ms() > end) {
			struct kid k[CRASH_KIDS];
			int n = kids_of(e->d.pid, k, CRASH_KIDS);

			for (int i = 0; i < n; i++)
				fprintf(stderr, "pid %d: %s%s\n", (int)k[i].pid, k[i].name, k[i].zombie ? ", ended" : "");
			ck_abort_msg("%s: the daemon does not come to rest: %s", what, tu_error(-ECHILD));
		}
		still = look(e, &sum) && sum == last ? still + 1 : 0;
		last = sum;
		crash_sleep_us(5000);
	}
}

/**
 * crash_said() - How often the daemon's log has a text
 * @e:		Environment
 * @text:	Which
 *
 * Return: the count
 */
unsigned int crash_said(struct env *e, const char *text)
{
	char *log = daemon_stderr(&e->d);
	unsigned int n = 0;

	for (const char *p = log; (p = strstr(p, text)); p += strlen(text))
		n++;
	free(log);
	return n;
}

static bool line_about(struct env *e, pid_t pid, const char *what)
{
	char *log = daemon_stderr(&e->d), text[32];
	bool found = false;

	snprintf(text, sizeof(text), "(pid %d) ", (int)pid);
	for (char *save, *line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		found |= strstr(line, text) && strstr(line, what);
	free(log);
	return found;
}

/**
 * crash_took_over() - Was this process replaced?
 * @e:		Environment
 * @dead:	Its pid
 *
 * Return: true when the log says that another one serves in its place
 */
bool crash_took_over(struct env *e, pid_t dead)
{
	return line_about(e, dead, TOOK_OVER);
}

/**
 * crash_wait_served() - Wait until a process was replaced
 * @e:		Environment
 * @dead:	Its pid
 */
void crash_wait_served(struct env *e, pid_t dead)
{
	int64_t end = crash_now_ms() + vuf_timeout_ms();

	while (!crash_took_over(e, dead)) {
		ck_assert_msg(crash_now_ms() < end, "pid %d was not replaced: %s", (int)dead,
			      tu_error(-ECHILD));
		crash_sleep_us(1000);
	}
}

/**
 * crash_kill() - Kill the fsworker, as soon as there is one
 * @e:	Environment
 *
 * Return: its pid
 */
pid_t crash_kill(struct env *e)
{
	int64_t end = crash_now_ms() + vuf_timeout_ms();
	pid_t pid;

	while (!(pid = kid_serving(e->d.pid)))
		ck_assert_msg(crash_now_ms() < end, "no fsworker: %s", tu_error(-ECHILD));
	/* It cannot have been collected and its number given to another: only we kill it. */
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	return pid;
}

/**
 * crash_kill_and_wait() - Kill the fsworker, and wait for the next one
 * @e:	Environment
 */
void crash_kill_and_wait(struct env *e)
{
	crash_wait_served(e, crash_kill(e));
}

/**
 * crash_log_is_good() - Nothing was lost
 * @e:	Environment
 */
void crash_log_is_good(struct env *e)
{
	char *log = daemon_stderr(&e->d);

	ck_assert_msg(!strstr(log, "lost") && !strstr(log, "broke the protocol"), "the daemon said:\n%s", log);
	free(log);
}

/* Return the pid of one that is dead now; 0 to stop. */
static pid_t kill_one(struct crasher *c, pid_t but)
{
	pid_t pid;

	do {
		if (atomic_load(&c->stop))
			return 0;
		pid = kid_serving(c->e->d.pid);
	} while (!pid || pid == but);
	kill(pid, SIGKILL);
	atomic_fetch_add(&c->kills, 1);
	return pid;
}

/*
 * However slow the machine is, one of each chain of starts lives long enough to
 * serve: a killer that is faster than every start shows only that nobody serves.
 */
static void *crasher_run(void *arg)
{
	struct crasher *c = arg;
	unsigned int seed = (unsigned int)c->e->d.pid;

	while (!atomic_load(&c->stop)) {
		unsigned int served = crash_said(c->e, TOOK_OVER);
		pid_t pid = kill_one(c, 0);

		for (int i = 0; pid && i < STARTS && (unsigned int)rand_r(&seed) % 8 < c->starts_of_8; i++) {
			/* Wherever in its start the next one is. */
			crash_sleep_us((unsigned int)rand_r(&seed) % 20000);
			pid = kill_one(c, pid);
		}
		/* Not assert: this is not the test's own thread. */
		while (pid && !atomic_load(&c->stop) && crash_said(c->e, TOOK_OVER) == served)
			crash_sleep_us(1000);
		crash_sleep_us((unsigned int)rand_r(&seed) % (c->pause_us + 1));
	}
	return NULL;
}

/**
 * crasher_start() - From now on fsworkers die
 * @c:			Filled in
 * @e:			Environment
 * @pause_us:		Longest time from a take-over to the next kill
 * @starts_of_8:	How many of 8 successors are killed as they start
 */
void crasher_start(struct crasher *c, struct env *e, unsigned int pause_us, unsigned int starts_of_8)
{
	memset(c, 0, sizeof(*c));
	c->e = e;
	c->pause_us = pause_us;
	c->starts_of_8 = starts_of_8;
	ck_assert_int_eq(pthread_create(&c->thread, NULL, crasher_run, c), 0);
}

/**
 * crasher_stop() - No more; waits until an fsworker serves
 * @c:	Crasher
 */
void crasher_stop(struct crasher *c)
{
	struct fuse_attr_out a;

	atomic_store(&c->stop, true);
	pthread_join(c->thread, NULL);
	ck_ok(fs_getattr(&c->e->fs, TU_ROOT, NULL, &a));
}
