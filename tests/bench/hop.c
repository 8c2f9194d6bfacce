/*
 * What a request costs that passes from process to process and does nothing but look at one file: what no daemon of one
 * process, or of two, can do better by sleeping and waking. No code of a daemon is in it.
 *
 * The first process waits for a kick (an eventfd) and calls (another). It looks at the file itself, or has the second
 * one do it: asked by a datagram of a socket pair, or by a word in shared memory and a futex.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define MESSAGE 160 /* about what a small question or answer is */

struct hop {
	enum bench_hop kind;
	int file, kick, call, link[2], asked_event;
	uint32_t *word; /* asked when not zero */
};

static void look(const struct hop *h)
{
	struct statx st;

	if (statx(h->file, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st))
		_exit(1);
}

static void add_one(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		_exit(1);
}

static void ask(const struct hop *h)
{
	char message[MESSAGE] = { 0 };

	if (h->kind == HOP_SOCKET) {
		if (send(h->link[0], message, sizeof(message), MSG_NOSIGNAL) < 0)
			_exit(1);
		return;
	}
	__atomic_store_n(h->word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, h->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* The second process. */
static void serve(const struct hop *h)
{
	char message[MESSAGE];

	for (;;) {
		if (h->kind == HOP_SOCKET) {
			if (recv(h->link[1], message, sizeof(message), 0) <= 0)
				_exit(1);
			look(h);
			if (send(h->link[1], message, sizeof(message), MSG_NOSIGNAL) < 0)
				_exit(1);
			continue;
		}
		while (!__atomic_exchange_n(h->word, 0, __ATOMIC_SEQ_CST))
			syscall(SYS_futex, h->word, FUTEX_WAIT, 0, NULL, NULL, 0);
		look(h);
		add_one(h->asked_event);
	}
}

/* The first process. Edge-triggered: counters are not read. */
static void forward(const struct hop *h)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC), answer = h->kind == HOP_SOCKET ? h->link[0] : h->asked_event;
	char message[MESSAGE];

	if (epoll_ctl(ep, EPOLL_CTL_ADD, h->kick, &e))
		_exit(1);
	e.data.u32 = 1;
	if (h->kind != HOP_NONE && epoll_ctl(ep, EPOLL_CTL_ADD, answer, &e))
		_exit(1);
	for (;;) {
		if (epoll_wait(ep, &e, 1, -1) != 1)
			continue;
		if (e.data.u32 == 0 && h->kind != HOP_NONE) {
			ask(h);
			continue;
		}
		if (h->kind == HOP_NONE)
			look(h);
		else if (h->kind == HOP_SOCKET && recv(answer, message, sizeof(message), 0) <= 0)
			_exit(1);
		add_one(h->call);
	}
}

static pid_t start(void (*run)(const struct hop *h), const struct hop *h)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run(h);
	_exit(0);
}

static double end(pid_t pid)
{
	struct rusage u;
	int status;

	if (pid <= 0)
		return 0;
	kill(pid, SIGKILL);
	if (wait4(pid, &status, 0, &u) != pid)
		return 0;
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/**
 * hop_run() - Requests one after the other
 * @dir:	Share
 * @cpus:	Where they may run
 * @kind:	How many processes, and what is between them
 * @seconds:	How long
 * @m:		Filled in: ops, p50_us (the mean), cpu_us of the processes that serve
 *
 * Return: 0 or a negative errno
 */
int hop_run(const char *dir, enum bench_cpus cpus, enum bench_hop kind, double seconds, struct measured *m)
{
	struct hop h = { .kind = kind, .link = { -1, -1 } };
	pid_t first = -1, second = 0;
	int64_t began, now;
	double n = 0;
	int err = 0;

	memset(m, 0, sizeof(*m));
	h.file = open(dir, O_PATH | O_CLOEXEC);
	h.kick = eventfd(0, EFD_CLOEXEC);
	h.call = eventfd(0, EFD_CLOEXEC);
	h.asked_event = eventfd(0, EFD_CLOEXEC);
	h.word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h.file < 0 || h.kick < 0 || h.call < 0 || h.asked_event < 0 || h.word == MAP_FAILED ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, h.link)) {
		err = -errno;
		goto out;
	}
	procs_pin(cpus, true);
	first = start(forward, &h);
	if (kind != HOP_NONE)
		second = start(serve, &h);
	procs_pin(cpus, false);
	if (first < 0 || second < 0) {
		err = -errno;
		goto out;
	}
	began = now = bench_now_ns();
	for (; (double)(now - began) < seconds * 1e9; n++, now = bench_now_ns()) {
		struct pollfd p = { .fd = h.call, .events = POLLIN };
		uint64_t count;

		add_one(h.kick);
		if (poll(&p, 1, 1000) != 1 || read(h.call, &count, sizeof(count)) < 0) {
			err = -EIO;
			break;
		}
	}
	m->ops = n / ((double)(now - began) / 1e9);
	m->p50_us = (double)(now - began) / 1e3 / n;
out:
	m->cpu_us = end(first) + end(second);
	m->cpu_us /= n > 0 ? n : 1;
	m->ok = !err;
	if (h.word != MAP_FAILED)
		munmap(h.word, 4096);
	close(h.file);
	close(h.kick);
	close(h.call);
	close(h.asked_event);
	close(h.link[0]);
	close(h.link[1]);
	return err;
}
