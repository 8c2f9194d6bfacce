/* hold.c - see hold.h. */
#include "hold/hold.h"

#include "common/log.h"
#include "ipc/channel.h"
#include "ipc/roles.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Only holders use these; the worker never touches their pages. */
static struct ipc_dgram in;
static struct ipc_batch out;

/* Like fork(), but the descriptor table is one, and the monitor is the parent of both. */
static long clone_sharing(uint64_t namespaces, int *pidfd)
{
	return syscall(SYS_clone, CLONE_FILES | CLONE_PARENT | CLONE_PIDFD | SIGCHLD | namespaces, NULL, pidfd, NULL, NULL);
}

/* The monitor is told of a process, and gets its pidfd, whose number is free again afterwards. */
static void tell(int channel, uint32_t kind, int number, int pidfd, long pid)
{
	struct ipc_held *m;

	ipc_batch_reset(&out);
	m = ipc_batch_add(&out, IPC_HELD, 0, 0, 0, NULL);
	if (!m || (pidfd >= 0 && !ipc_batch_fd(&out, pidfd, true))) {
		close_fd(&pidfd);
		return;
	}
	m->kind = kind;
	m->channel = number;
	m->pid = (int32_t)pid;
	if (ipc_batch_send(channel, &out) < 0)
		_exit(ROLE_EXIT_FAIL);
}

static _Noreturn void hold_run(int channel);

/* Make another holder that talks by `number`. A failure is told by closing that: the monitor asks again after a while. */
static void multiply(int channel, int number)
{
	int pidfd = -1;
	long pid = clone_sharing(0, &pidfd);

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		hold_run(number);
	}
	if (pid > 0) {
		tell(channel, HELD_HOLDER, number, pidfd, pid);
	} else {
		log_warn("no other holder could be made: %d", errno);
		close(number);
	}
}

static void take_hold(int channel, const struct ipc_msg *m)
{
	const struct ipc_hold *q = m->body;

	/* Of a holder that died: the table still has its end. */
	if (q->gone > ROLE_FD_LOG && q->gone != channel)
		close(q->gone);
	multiply(channel, ipc_take_fd(&in, m, 0));
}

/* Give what is open at these numbers. One by one: a number that is closed would lose the others of its datagram. */
static bool give(int to, const struct ipc_msg *m)
{
	const int32_t *number = (const int32_t *)(const void *)m->tail;
	uint32_t n = m->tail_len / sizeof(*number);
	struct ipc_have *rep;
	char *status;

	if (m->tail_len % sizeof(*number))
		return false;
	ipc_batch_reset(&out);
	rep = ipc_batch_add(&out, IPC_HAVE, 0, 0, n, &status);
	if (!rep)
		return false;
	rep->count = n;
	for (uint32_t i = 0; i < n; i++) {
		status[i] = number[i] > ROLE_FD_LOG && fcntl(number[i], F_GETFD) >= 0 && ipc_batch_fd(&out, number[i], false);
	}
	return ipc_batch_send_patiently(to, &out) == 0;
}

/* One message. Return false when it may not be. */
static bool obey(int fd, const struct ipc_msg *m, int channel, int *show)
{
	switch (m->hdr->type) {
	case IPC_HOLD:
		take_hold(channel, m);
		return true;
	case IPC_SHOW:
		close_fd(show);
		*show = ipc_take_fd(&in, m, 0);
		return true;
	case IPC_WANT:
		return give(fd, m);
	default:
		return false;
	}
}

/* What came on a descriptor. Return false when its peer has gone or broke the protocol. @dir: who speaks there. */
static bool hear(int fd, enum ipc_dir dir, int channel, int *show)
{
	const char *why = "a message that a holder does not take";
	struct ipc_msg m;
	int r = ipc_recv(fd, &in, MSG_DONTWAIT);

	if (r == -EAGAIN || r == -EINTR)
		return true;
	if (r <= 0)
		return false;
	while ((r = ipc_next(&in, dir, &m, &why)) == 1 && obey(fd, &m, channel, show))
		;
	ipc_dgram_end(&in);
	if (r)
		log_err("a holder's peer broke the protocol: %s", why);
	return r == 0;
}

/* What a holder does until the monitor closes its channel. */
static _Noreturn void hold_run(int channel)
{
	int show = -1;

	tell(channel, HELD_READY, channel, -1, 0);

	for (;;) {
		struct pollfd p[2] = { { .fd = channel, .events = POLLIN }, { .fd = show, .events = POLLIN } };

		if (ppoll(p, 2, NULL, NULL) < 0)
			continue;
		if (p[1].revents && !hear(show, IPC_DIR_R2H, channel, &show))
			close_fd(&show);
		if (p[0].revents && !hear(channel, IPC_DIR_M2R, channel, &show))
			_exit(ROLE_EXIT_OK);
	}
}

/*
 * hold_split() - From here on this process is several
 * @p:	Where the holders talk to the monitor, and whom they become
 *
 * To be called by the only thread, with the privileges that the monitor gives at exec, before the sandbox. The worker is
 * the first process of a new pid namespace. The monitor is the parent of all, and is told of each by HELD.
 *
 * Return: 0 in the worker; -errno when it could not be made. In a holder it does not return.
 */
int hold_split(const struct hold_params *p)
{
	const struct sandbox_params params = { .uid = p->uid, .gid = p->gid, .source_fd = -1, .mntns_fd = -1 };
	uint32_t self = 0;
	int pidfd = -1;
	long pid = clone_sharing(CLONE_NEWPID, &pidfd);

	if (pid < 0)
		return -errno;
	if (pid == 0)
		return 0;
	prctl(PR_SET_NAME, "holder");
	tell(p->channel[0], HELD_WORKER, p->channel[0], pidfd, pid);
	for (uint32_t i = 1; i < HOLDERS && self == 0; i++) {
		pid = clone_sharing(0, &pidfd);
		if (pid == 0)
			self = i;
		else if (pid > 0)
			tell(p->channel[0], HELD_HOLDER, p->channel[i], pidfd, pid);
		else
			_exit(ROLE_EXIT_FAIL); /* the monitor throws the start away */
	}
	if (sandbox_enter(&policy_holder, &params, NULL) < 0)
		_exit(ROLE_EXIT_FAIL);
	hold_run(p->channel[self]);
}

/* One question. */
static int fetch_some(int fd, const int32_t *numbers, int *fds, uint32_t n)
{
	const char *why;
	struct ipc_msg m;
	uint32_t got = 0;
	char *tail;
	struct ipc_want *q;
	int r;

	ipc_batch_reset(&out);
	q = ipc_batch_add(&out, IPC_WANT, 0, 0, n * (uint32_t)sizeof(*numbers), &tail);
	if (!q)
		return -EMSGSIZE;
	q->count = n;
	memcpy(tail, numbers, n * sizeof(*numbers));
	r = ipc_batch_send(fd, &out);
	if (r < 0)
		return r;
	do
		r = ipc_recv(fd, &in, 0);
	while (r == -EINTR);
	if (r == 0)
		return -EPIPE;
	if (r < 0)
		return r;
	if (ipc_next(&in, IPC_DIR_H2R, &m, &why) != 1 || m.hdr->type != IPC_HAVE || m.tail_len != n)
		r = -EPROTO;
	for (uint32_t i = 0; r >= 0 && i < n; i++) {
		fds[i] = -1;
		if (m.tail[i] && got < m.nfds)
			fds[i] = ipc_take_fd(&in, &m, got++);
	}
	ipc_dgram_end(&in);
	return MIN(r, 0);
}

/*
 * hold_fetch() - Get descriptors that holders keep
 * @fd:		Socket that the monitor has SHOWn to one of them; blocking
 * @numbers:	What they are called in the holders' table
 * @fds:	Out: each, close-on-exec; or -1 when nothing is open there
 * @n:		How many
 *
 * Return: 0; -EPIPE when the holder is gone, -EPROTO, or another -errno: what was fetched until then is in @fds, the rest
 * is -1
 */
int hold_fetch(int fd, const int32_t *numbers, int *fds, uint32_t n)
{
	int r = 0;

	for (uint32_t i = 0; i < n; i++)
		fds[i] = -1;
	for (uint32_t i = 0; i < n && r == 0; i += IPC_FDS_MAX)
		r = fetch_some(fd, numbers + i, fds + i, MIN(n - i, (uint32_t)IPC_FDS_MAX));
	return r;
}

/*
 * hold_inherit() - The same, of descriptors that are told by generation and number
 * @heir:	Who has them
 * @held:	ipc_held() of each
 * @fds:	Out: each, close-on-exec; or -1 when it is not to be had
 * @n:		How many, up to IPC_FDS_MAX
 *
 * Return: 0, or the last -errno of hold_fetch()
 */
int hold_inherit(const struct hold_heir *heir, const uint32_t *held, int *fds, uint32_t n)
{
	int32_t numbers[IPC_FDS_MAX];
	uint32_t index[IPC_FDS_MAX];
	int got[IPC_FDS_MAX], r = 0;

	for (uint32_t i = 0; i < n; i++)
		fds[i] = -1;
	n = MIN(n, (uint32_t)IPC_FDS_MAX);
	for (uint32_t g = 0; g < heir->n; g++) {
		uint32_t k = 0;
		int err;

		for (uint32_t i = 0; i < n; i++)
			if (held[i] >> 24 == heir->generation[g]) {
				index[k] = i;
				numbers[k++] = (int32_t)(held[i] & IPC_HELD_NUMBER_MAX);
			}
		if (k == 0)
			continue;
		err = hold_fetch(heir->fd[g], numbers, got, k);
		for (uint32_t i = 0; i < k; i++)
			fds[index[i]] = got[i];
		r = err ? err : r;
	}
	return r;
}
