/*
 * The same contents moved by one process that has the file open: the speed that
 * no daemon can exceed.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define PIECES (BENCH_BLOCK / BENCH_PAGE)

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/**
 * plain_run() - preadv() or pwritev() of 1 MiB in pages, as a daemon would for a guest
 * @dir:	Share
 * @write:	Write
 * @seconds:	How long
 * @m:		Filled in
 *
 * The memory is a shared mapping of a memory file, like a guest's. Eight blocks are used
 * in turn, as a workload of depth 8 does.
 *
 * Return: 0 or a negative errno
 */
int plain_run(const char *dir, bool write, double seconds, struct measured *m)
{
	int mem = memfd_create("plain", MFD_CLOEXEC), fd, err = 0;
	uint8_t *p = MAP_FAILED;
	struct iovec iov[PIECES];
	char path[4096];
	int64_t began, now;
	double cpu;

	memset(m, 0, sizeof(*m));
	snprintf(path, sizeof(path), "%s/data", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (mem >= 0 && !ftruncate(mem, 8 * BENCH_BLOCK))
		p = mmap(NULL, 8 * BENCH_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	if (fd < 0 || p == MAP_FAILED) {
		err = -EIO;
		goto out;
	}
	for (unsigned int i = 0; i < 8 * BENCH_BLOCK; i += BENCH_PAGE)
		share_fill(p + i, i);
	cpu = cpu_us();
	began = now = bench_now_ns();
	for (uint64_t n = 0; (double)(now - began) < seconds * 1e9 && !err; n++, now = bench_now_ns()) {
		uint64_t at = write ? n % 8 * BENCH_BLOCK : n * BENCH_BLOCK % BENCH_DATA_SIZE;

		for (unsigned int i = 0; i < PIECES; i++) {
			iov[i].iov_base = p + n % 8 * BENCH_BLOCK + i * BENCH_PAGE;
			iov[i].iov_len = BENCH_PAGE;
		}
		if ((write ? pwritev(fd, iov, PIECES, (off_t)at) : preadv(fd, iov, PIECES, (off_t)at)) != BENCH_BLOCK)
			err = -EIO;
		m->ops++;
	}
	m->cpu_us = (cpu_us() - cpu) / m->ops;
	m->ops /= (double)(now - began) / 1e9;
	m->mb = m->ops * BENCH_BLOCK / 1e6;
	m->ok = !err;
out:
	if (p != MAP_FAILED)
		munmap(p, 8 * BENCH_BLOCK);
	if (mem >= 0)
		close(mem);
	if (fd >= 0)
		close(fd);
	return err;
}
