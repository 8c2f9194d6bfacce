/*
 * A daemon from its start to its end, and what it costs when nobody asks for
 * anything, or for everything.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define RETRY_NS 100000
#define LIGHT_PAUSE_NS 10000000

static void pause_ns(int64_t ns)
{
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	nanosleep(&t, NULL);
}

static int connect_soon(struct life *v, const char *socket_path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int64_t end = bench_now_ns() + (int64_t)vuf_timeout_ms() * 1000000;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", socket_path);
	while (bench_now_ns() < end) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
			return fd;
		close(fd);
		if (daemon_wait(&v->d, 0) != -ETIMEDOUT)
			return -ECHILD;
		pause_ns(RETRY_NS);
	}
	return -ETIMEDOUT;
}

/**
 * life_begin() - Start a daemon and connect
 * @v:		Filled in; to be given to life_end() in any case
 * @t:		Which, and where
 * @queues:	Request queues
 *
 * Return: 0; -ENOSPC when it has fewer queues; or another negative errno after a message
 */
int life_begin(struct life *v, const struct target *t, unsigned int queues)
{
	struct dev_config cfg = { .request_queues = queues, .queue_size = 1024, .regions = 1,
				  .region_size = 512u << 20 };
	struct daemon_args args = { .words = t->words, .socket = t->socket, .dir = t->dir, .pass_fd = -1 };
	int64_t began;
	int err, fd;

	memset(v, 0, sizeof(*v));
	v->dev.vu.fd = -1;
	unlink(t->socket);
	procs_pin(t->cpus, true);
	began = bench_now_ns();
	err = daemon_start(&v->d, &args);
	procs_pin(t->cpus, false);
	if (err)
		return err;
	fd = connect_soon(v, t->socket);
	v->ready_ms = (double)(bench_now_ns() - began) / 1e6;
	err = fd < 0 ? fd : dev_open(&v->dev, fd, &cfg);
	v->opened = fd >= 0;
	if (!err && v->dev.nrings != queues + 1)
		err = -ENOSPC;
	v->reply_ms = (double)(bench_now_ns() - began) / 1e6;
	if (err && err != -ENOSPC) {
		char *said = daemon_stderr(&v->d);

		fprintf(stderr, "bench: %s: %s: %s\n", t->name, strerror(-err), said);
		free(said);
	}
	return err;
}

/**
 * life_end() - Hang up and end a daemon
 * @v:	Life; it may have failed to begin
 */
void life_end(struct life *v)
{
	if (v->opened)
		dev_close(&v->dev);
	if (daemon_wait(&v->d, 2000) == -ETIMEDOUT) {
		daemon_signal(&v->d, SIGTERM);
		daemon_wait(&v->d, 5000);
	}
	daemon_close(&v->d);
}

/**
 * life_start_times() - From exec to an answer
 * @t:		Daemon
 * @ready_ms:	Until its socket takes a connection
 * @reply_ms:	Until the device was set up and INIT was answered
 *
 * Return: 0 or a negative errno
 */
int life_start_times(const struct target *t, double *ready_ms, double *reply_ms)
{
	struct life *v = malloc(sizeof(*v));
	struct fs fs;
	int64_t began;
	int err;

	if (!v)
		return -ENOMEM;
	err = life_begin(v, t, 1);
	began = bench_now_ns();
	if (!err) {
		fs_init(&fs, &v->dev);
		err = fs_start(&fs, 45, FS_GUEST_FLAGS);
		fs_close(&fs);
	}
	*ready_ms = v->ready_ms;
	*reply_ms = v->reply_ms + (double)(bench_now_ns() - began) / 1e6;
	life_end(v);
	free(v);
	return err;
}

/**
 * life_idle() - Processor time of a daemon that is asked nothing, or little
 * @t:		Daemon
 * @seconds:	How long to look at each
 * @idle_us:	Microseconds of each second with no request
 * @light_us:	The same with one GETATTR each 10 ms
 *
 * Return: 0 or a negative errno
 */
int life_idle(const struct target *t, double seconds, double *idle_us, double *light_us)
{
	struct life *v = malloc(sizeof(*v));
	struct fuse_attr_out a;
	struct fs fs;
	double cpu;
	int err;

	if (!v)
		return -ENOMEM;
	err = life_begin(v, t, 1);
	if (!err) {
		fs_init(&fs, &v->dev);
		err = fs_start(&fs, 45, FS_GUEST_FLAGS);
	}
	if (!err) {
		pause_ns(100000000);
		cpu = procs_cpu_us(v->d.pid);
		pause_ns((int64_t)(seconds * 1e9));
		*idle_us = (procs_cpu_us(v->d.pid) - cpu) / seconds;
		cpu = procs_cpu_us(v->d.pid);
		for (unsigned int i = 0; i < (unsigned int)(seconds * 100) && !err; i++) {
			err = fs_getattr(&fs, FUSE_ROOT_ID, NULL, &a);
			pause_ns(LIGHT_PAUSE_NS);
		}
		*light_us = (procs_cpu_us(v->d.pid) - cpu) / seconds;
		fs_close(&fs);
	}
	life_end(v);
	free(v);
	return err;
}

/**
 * life_walk() - A guest looks at many files, and remembers them
 * @t:		Daemon
 * @files:	How many there are below walk/
 * @m:		Filled in; not ok, and descriptors the files until the first error, when there is one
 *
 * Return: 0 or a negative errno when it could not begin
 */
int life_walk(const struct target *t, unsigned int files, struct measured *m)
{
	struct life *v = malloc(sizeof(*v));
	struct fuse_entry_out e, d;
	char name[16];
	struct fs fs;
	double cpu;
	int64_t began;
	unsigned int i = 0;
	int err;

	if (!v)
		return -ENOMEM;
	memset(m, 0, sizeof(*m));
	err = life_begin(v, t, 1);
	if (!err) {
		fs_init(&fs, &v->dev);
		err = fs_start(&fs, 45, FS_GUEST_FLAGS);
		if (!err)
			err = fs_lookup(&fs, FUSE_ROOT_ID, "walk", &e);
	}
	if (!err) {
		double before = procs_pss_kb(v->d.pid);
		int bad = 0;

		cpu = procs_cpu_us(v->d.pid);
		began = bench_now_ns();
		for (; i < files && !bad; i++) {
			struct fuse_entry_out f;

			share_file_name(name, i / 1000);
			if (i % 1000 == 0)
				bad = fs_lookup(&fs, e.nodeid, name, &d);
			share_file_name(name, i % 1000);
			if (!bad)
				bad = fs_lookup(&fs, d.nodeid, name, &f);
		}
		m->ops = i / ((double)(bench_now_ns() - began) / 1e9);
		m->cpu_us = (procs_cpu_us(v->d.pid) - cpu) / i;
		m->pss_kb = procs_pss_kb(v->d.pid) - before;
		m->descriptors = procs_descriptors(v->d.pid);
		m->ok = !bad;
		if (bad)
			fprintf(stderr, "bench: %s: walk: error %d at file %u\n", t->name, bad, i);
		fs_close(&fs);
	}
	life_end(v);
	free(v);
	return err;
}
