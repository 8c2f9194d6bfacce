/* test_hold.c - descriptors that outlive their process: what a worker had open when it was killed, holders that are killed
 * and replaced, what a holder may not do. Needs root. */
#include "common/log.h"
#include "hold/hold.h"
#include "ipc/channel.h"
#include "sandbox/sandbox.h"
#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MANY 600 /* more than one message takes */
#define NOBODY 65534
#define FAULT (SANDBOX_SANITIZED ? SIGKILL : SIGSEGV) /* a sanitizer has a handler for it */

static struct {
	int channel[HOLDERS]; /* this end */
	int far[HOLDERS];     /* number of the other end, in the shared table */
	int holder[HOLDERS];  /* pidfds */
	int worker;
	int from_worker;
	int32_t file, many[MANY];
} t;

static struct ipc_dgram d;
static struct ipc_batch b;

/* The worker: opens things, says where, waits to be killed. */
static _Noreturn void work(int to)
{
	char name[] = "/tmp/test-hold.XXXXXX";
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5 };
	int32_t numbers[1 + MANY];

	numbers[0] = mkstemp(name);
	if (numbers[0] < 0 || unlink(name) < 0 || write(numbers[0], "kept", 4) != 4 ||
	    fcntl(numbers[0], F_OFD_SETLK, &lock) < 0 || getpid() != 1)
		_exit(3);
	for (int i = 0; i < MANY; i++)
		numbers[1 + i] = i % 2 ? memfd_create("many", MFD_CLOEXEC) : open("/", O_PATH | O_CLOEXEC);
	if (write(to, numbers, sizeof(numbers)) != (ssize_t)sizeof(numbers))
		_exit(4);
	for (;;)
		pause();
}

/* Hear of one process; return its pidfd, -1 for READY. */
static int held_or_ready(int channel, uint32_t *kind, int *number)
{
	const struct ipc_held *h;
	const char *why = "";
	struct ipc_msg m;
	int pidfd;

	ck_assert_int_eq(ipc_recv(channel, &d, 0), 1);
	ck_assert_msg(ipc_next(&d, IPC_DIR_R2M, &m, &why) == 1, "%s", why);
	ck_assert_int_eq(m.hdr->type, IPC_HELD);
	h = m.body;
	*kind = h->kind;
	*number = h->channel;
	pidfd = m.nfds ? ipc_take_fd(&d, &m, 0) : -1;
	ipc_dgram_end(&d);
	return pidfd;
}

static int held(int channel, uint32_t *kind, int *number)
{
	int pidfd;

	do
		pidfd = held_or_ready(channel, kind, number);
	while (*kind == HELD_READY);
	return pidfd;
}

static void start(void)
{
	int sv[HOLDERS][2], say[2], log[2], number;
	uint32_t kind;
	pid_t pid;

	/* A role's own numbers are not for anything else. */
	while (open("/dev/null", O_RDWR | O_CLOEXEC) <= SANDBOX_LOG_FD)
		;
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, say), 0);
	ck_assert_int_eq(ipc_pair(log), 0);
	for (unsigned i = 0; i < HOLDERS; i++)
		ck_assert_int_eq(ipc_pair(sv[i]), 0);
	pid = fork();
	if (pid == 0) {
		struct hold_params p = { .uid = NOBODY, .gid = NOBODY };

		if (dup2(log[1], SANDBOX_LOG_FD) < 0)
			_exit(1);
		log_to_fd(SANDBOX_LOG_FD);
		for (unsigned i = 0; i < HOLDERS; i++) {
			close(sv[i][0]);
			p.channel[i] = sv[i][1];
		}
		if (hold_split(&p) < 0)
			_exit(2);
		work(say[1]);
	}
	t.holder[0] = (int)syscall(SYS_pidfd_open, pid, 0);
	for (unsigned i = 0; i < HOLDERS; i++) {
		close(sv[i][1]);
		t.channel[i] = sv[i][0];
		t.far[i] = sv[i][1];
	}
	t.worker = held(t.channel[0], &kind, &number);
	ck_assert_uint_eq(kind, HELD_WORKER);
	t.holder[1] = held(t.channel[0], &kind, &number);
	ck_assert_uint_eq(kind, HELD_HOLDER);
	ck_assert_int_eq(number, t.far[1]);
	int32_t numbers[1 + MANY];

	ck_assert_int_eq(recv(say[0], numbers, sizeof(numbers), 0), sizeof(numbers));
	t.file = numbers[0];
	memcpy(t.many, numbers + 1, sizeof(t.many));
}

static void stop(void)
{
	for (unsigned i = 0; i < HOLDERS; i++)
		close(t.channel[i]);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* By pidfd: the kernel takes this process for the parent of all. */
static void end(int pidfd, int sig, int code, int status)
{
	siginfo_t si = { 0 };

	if (sig)
		ck_assert_int_eq(syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0), 0);
	ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED), 0);
	ck_assert_int_eq(si.si_code, code);
	ck_assert_int_eq(si.si_status, status);
}

static void send_fd(int channel, uint16_t type, int fd, int gone)
{
	ipc_batch_reset(&b);
	void *m = ipc_batch_add(&b, type, 0, 0, 0, NULL);

	if (type == IPC_HOLD)
		((struct ipc_hold *)m)->gone = gone;
	ck_assert(ipc_batch_fd(&b, fd, true));
	ck_assert_int_eq(ipc_batch_send(channel, &b), 0);
}

/* What a successor does. */
static int ask(int channel)
{
	int sv[2];

	ck_assert_int_eq(ipc_pair(sv), 0);
	send_fd(channel, IPC_SHOW, sv[1], -1);
	return sv[0];
}

/* Is it the worker's file, with its lock? */
static void check_file(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 12 };
	char text[8] = "", path[32];
	int other;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, text, 4, 0), 4);
	ck_assert_str_eq(text, "kept");
	ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 4);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(fcntl(other, F_OFD_SETLK, &lock), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(other);
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0); /* it is this description's */
	lock = (struct flock){ .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = 10 };
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

static void check_fetch(int channel)
{
	int32_t numbers[MANY + 3];
	int fds[MANY + 3], s = ask(channel);

	memcpy(numbers, t.many, sizeof(t.many));
	numbers[MANY] = 100000; /* not open */
	numbers[MANY + 1] = t.file;
	numbers[MANY + 2] = -1;
	ck_assert_int_eq(hold_fetch(s, numbers, fds, MANY + 3), 0);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_ge(fds[i], 0);
	ck_assert_int_eq(fds[MANY], -1);
	ck_assert_int_eq(fds[MANY + 2], -1);
	check_file(fds[MANY + 1]);
	for (int i = 0; i < MANY + 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	close(s);
}

START_TEST(what_a_killed_worker_had)
{
	end(t.worker, SIGKILL, CLD_KILLED, SIGKILL);
	for (unsigned i = 0; i < HOLDERS; i++) {
		check_fetch(t.channel[i]);
		check_fetch(t.channel[i]); /* a successor that failed has one after it */
	}
}
END_TEST

START_TEST(holders_are_replaced)
{
	int sv[2], number, fresh, pidfd;
	uint32_t kind;

	/* The first, which was there before the others, then one that has taken its place. */
	end(t.holder[0], SIGKILL, CLD_KILLED, SIGKILL);
	ck_assert_int_eq(ipc_pair(sv), 0);
	send_fd(t.channel[1], IPC_HOLD, sv[1], t.far[0]);
	pidfd = held(t.channel[1], &kind, &number);
	ck_assert_uint_eq(kind, HELD_HOLDER);
	fresh = sv[0];
	end(t.holder[1], FAULT, CLD_KILLED, FAULT);
	end(t.worker, SIGKILL, CLD_KILLED, SIGKILL);
	check_fetch(fresh);
	ck_assert_int_eq(ipc_pair(sv), 0);
	send_fd(fresh, IPC_HOLD, sv[1], t.far[1]);
	t.holder[1] = held(fresh, &kind, &number);
	check_fetch(sv[0]);
	/* Told to end. */
	close(fresh);
	end(pidfd, 0, CLD_EXITED, 0);
	check_fetch(sv[0]);
	close(sv[0]);
	end(t.holder[1], 0, CLD_EXITED, 0);
}
END_TEST

/* Nobody is left: a successor is told so, and does not wait. */
START_TEST(no_holder)
{
	int32_t numbers[2] = { t.file, t.file };
	int fds[2], s = ask(t.channel[0]);

	check_fetch(t.channel[1]);
	end(t.holder[0], SIGKILL, CLD_KILLED, SIGKILL);
	end(t.worker, SIGKILL, CLD_KILLED, SIGKILL);
	end(t.holder[1], SIGKILL, CLD_KILLED, SIGKILL);
	ck_assert_int_eq(hold_fetch(s, numbers, fds, 2), -EPIPE);
	ck_assert_int_eq(fds[0], -1);
	close(s);
}
END_TEST

/* A peer that breaks the protocol loses its socket; the holder stays for others. */
START_TEST(nonsense)
{
	int s = ask(t.channel[0]);
	char byte;

	ck_assert_int_eq(send(s, "nonsense", 8, MSG_NOSIGNAL), 8);
	ck_assert_int_eq(recv(s, &byte, 1, 0), 0);
	close(s);
	end(t.worker, SIGKILL, CLD_KILLED, SIGKILL);
	check_fetch(t.channel[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hold");
	TCase *tc = tcase_create("hold");
	SRunner *r;
	int failed;

	if (geteuid() != 0) {
		printf("SKIP: needs root\n");
		return 77;
	}
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, what_a_killed_worker_had);
	tcase_add_test(tc, holders_are_replaced);
	tcase_add_test(tc, no_holder);
	tcase_add_test(tc, nonsense);
	suite_add_tcase(suite, tc);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
