/*
 * What a daemon, with all of its processes, uses.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define PROCS 64

static ssize_t slurp(const char *path, char *text, size_t room)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return -1;
	n = fread(text, 1, room - 1, f);
	fclose(f);
	text[n] = '\0';
	return (ssize_t)n;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], text[512];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (slurp(path, text, sizeof(text)) <= 0 || !(p = strrchr(text, ')')))
		return 0;
	return (pid_t)atoi(p + 4);
}

/* The daemon and all that descend from it. */
static int tree_of(pid_t daemon, pid_t *pids)
{
	DIR *dir = opendir("/proc");
	int n = 0;

	for (struct dirent *d; dir && n < PROCS && (d = readdir(dir));) {
		pid_t pid = (pid_t)atoi(d->d_name);

		for (pid_t p = pid; p > 1; p = parent_of(p))
			if (p == daemon) {
				pids[n++] = pid;
				break;
			}
	}
	if (dir)
		closedir(dir);
	return n;
}

/**
 * procs_cpu_us() - Processor time of a daemon
 * @daemon:	Its first process
 *
 * Return: microseconds that it and its descendants have used, threads that have
 * ended included; processes that have ended are not
 */
double procs_cpu_us(pid_t daemon)
{
	pid_t pids[PROCS];
	int n = tree_of(daemon, pids);
	double sum = 0;

	for (int i = 0; i < n; i++) {
		struct timespec t;
		clockid_t clock;

		if (!clock_getcpuclockid(pids[i], &clock) && !clock_gettime(clock, &t))
			sum += (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
	}
	return sum;
}

/**
 * procs_pss_kb() - Memory of a daemon
 * @daemon:	Its first process
 *
 * Return: KiB, what several processes share counted once
 */
double procs_pss_kb(pid_t daemon)
{
	pid_t pids[PROCS];
	int n = tree_of(daemon, pids);
	double sum = 0;

	for (int i = 0; i < n; i++) {
		char path[64], text[2048];
		const char *p;

		snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pids[i]);
		if (slurp(path, text, sizeof(text)) > 0 && (p = strstr(text, "\nPss:")))
			sum += atof(p + 5);
	}
	return sum;
}

/**
 * procs_descriptors() - Open descriptors of a daemon
 * @daemon:	Its first process
 *
 * Return: the largest count that one of its processes has
 */
unsigned int procs_descriptors(pid_t daemon)
{
	pid_t pids[PROCS];
	int n = tree_of(daemon, pids);
	unsigned int most = 0;

	for (int i = 0; i < n; i++) {
		unsigned int count = 0;
		char path[64];
		DIR *dir;

		snprintf(path, sizeof(path), "/proc/%d/fd", (int)pids[i]);
		dir = opendir(path);
		for (struct dirent *d; dir && (d = readdir(dir));)
			count += d->d_name[0] != '.';
		if (dir)
			closedir(dir);
		most = count > most ? count : most;
	}
	return most;
}

/**
 * procs_pin() - Say where the calling thread, and what it starts, may run
 * @cpus:	Set-up
 * @daemon:	It is to become the daemon, not the load generator
 *
 * Return: 0 or a negative errno
 */
int procs_pin(enum bench_cpus cpus, bool daemon)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	if (cpus == CPUS_SAME || (cpus == CPUS_SPLIT && !daemon))
		CPU_SET(0, &set);
	for (long i = cpus == CPUS_SPLIT; cpus != CPUS_SAME && (daemon || cpus == CPUS_FREE) && i < n; i++)
		CPU_SET((size_t)i, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}
