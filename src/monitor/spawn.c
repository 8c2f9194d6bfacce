/* spawn.c - starting a child: the only exec of the daemon.
 *
 * Role: monitor. A child begins with a fresh address space, in namespaces of its own, with five descriptors (0 to 2
 * /dev/null, the channel and the log at the numbers of ipc/roles.h), default signal actions, no signal blocked, no
 * terminal, and an environment of which only libc's and the sanitizers' switches pass. Everything else it gets by its
 * CONFIG message.
 */
#include "monitor/monitor.h"

#include "ipc/roles.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

_Static_assert(ROLE_FD_LOG == SANDBOX_LOG_FD, "the sandbox reports where the log is");

/* Variables that pass to a child: they change how libc allocates, and what a test build reports. */
static const char *const passed_on[] = {
	"GLIBC_TUNABLES", "MALLOC_PERTURB_", "MALLOC_ARENA_MAX", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
};

/* A new process in new namespaces, and its pidfd; as fork(), 0 in the child. */
static pid_t clone_child(uint64_t namespaces, int *pidfd)
{
	struct clone_args args = {
		.flags = namespaces | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	/* Container run-times refuse clone3, whose flags they cannot see. The first three arguments of clone have one
	 * order on x86-64 and arm64; the rest is unused here. */
	if (pid < 0 && errno == ENOSYS)
		pid = syscall(SYS_clone, namespaces | CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, NULL);
	return (pid_t)pid;
}

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			(void)sigaction(sig, &dfl, NULL); /* libc's own two refuse: nothing is lost */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. Put the descriptors where the role expects them, and close all others. */
static int place_descriptors(int null_fd, int channel, int log, int *exe)
{
	/* First away from the numbers to be filled, whatever theirs are now. */
	int high_channel = fcntl(channel, F_DUPFD_CLOEXEC, 16);
	int high_log = fcntl(log, F_DUPFD_CLOEXEC, 16);
	int high_null = fcntl(null_fd, F_DUPFD_CLOEXEC, 16);

	int high_exe = fcntl(*exe, F_DUPFD_CLOEXEC, 16);

	if (high_channel < 0 || high_log < 0 || high_null < 0 || high_exe < 0)
		return -errno;
	/* A sanitizer's report has no other way out than stderr. */
	for (int fd = 0; fd <= (SANDBOX_SANITIZED ? STDOUT_FILENO : STDERR_FILENO); fd++)
		if (dup2(high_null, fd) < 0)
			return -errno;
	if (dup2(high_channel, ROLE_FD_MONITOR) < 0 || dup2(high_log, ROLE_FD_LOG) < 0)
		return -errno;
	/* The executable is closed by being executed. */
	if (close_range(ROLE_FD_LOG + 1, (unsigned int)high_exe - 1, 0) < 0 || close_range((unsigned int)high_exe + 1, ~0u, 0) < 0)
		return -errno;
	*exe = high_exe;
	return 0;
}

/* In the child. Does not return. */
static _Noreturn void become(const struct child *c, const struct config *cfg, int null_fd, int channel, int log)
{
	const struct role *role = c->role;
	int exe_fd = c->next_exe_fd >= 0 ? c->next_exe_fd : c->exe_fd;
	char *argv[] = { strdupa(role->argv0), NULL };
	char *env[ARRAY_SIZE(passed_on) + 2];
	size_t n = 0;

	/* The kernel kills this process when the monitor dies; the role asks again once its ids changed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	setsid();
	reset_signals();

	int r = place_descriptors(null_fd, channel, log, &exe_fd);
	if (r < 0) {
		log_err("cannot start the %s: descriptors: %s", role->name, strerror(-r));
		_exit(ROLE_EXIT_FAIL);
	}
	log_to_fd(ROLE_FD_LOG);
	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++) {
		char *value = getenv(passed_on[i]);

		if (value)
			env[n++] = value - strlen(passed_on[i]) - 1;
	}
#ifdef CRASH_POINTS
	/* A test: the n-th process of a role is to die somewhere (common/crashpoint.h). */
	char variable[64], setting[160];
	const char *at;

	snprintf(variable, sizeof(variable), "VIRTIOFSD_CRASH_AT_%u", c->generation);
	at = getenv(variable);
	snprintf(setting, sizeof(setting), "VIRTIOFSD_CRASH_AT=%s", at ? at : "");
	if (at)
		env[n++] = setting;
#endif
	env[n] = NULL;
	execveat(exe_fd, "", argv, env, AT_EMPTY_PATH);
	log_err("cannot execute '%s': %s", role->path(cfg), strerror(errno));
	_exit(ROLE_EXIT_FAIL);
}

/**
 * spawn_child() - start a role's executable.
 * @c: its role is set; the rest is filled in.
 *
 * Return: 0, or -errno.
 */
int spawn_child(struct monitor *m, struct child *c)
{
	int channel[2], log[2], r;

	r = ipc_pair(channel);
	if (r < 0)
		return r;
	r = ipc_pair(log);
	if (r < 0) {
		close(channel[0]);
		close(channel[1]);
		return r;
	}

	int pidfd = -1;
	pid_t pid = clone_child(c->role->namespaces, &pidfd);
	if (pid == 0)
		become(c, m->cfg, m->null_fd, channel[1], log[1]);
	r = pid < 0 ? -errno : 0;
	close(channel[1]);
	close(log[1]);
	if (r < 0) {
		close(channel[0]);
		close(log[0]);
		return r;
	}
	/* The first process of a role that splits is a holder from then on; it will tell us of the worker. */
	if (c->role->holds) {
		c->own.holder[0].pidfd = pidfd;
		c->own.holder[0].pid = pid;
	} else {
		c->pidfd = pidfd;
	}
	c->pid = pid;
	c->channel = channel[0];
	c->log = log[0];
	c->state = CHILD_STARTING;
	c->ready = false;
	c->taking = false;
	c->tries_next = c->next_exe_fd >= 0;
	c->overdue = false;
	c->thrown_away = false;
	c->at_fault = false;
	c->began_ms = now_ms();
	c->refused_nr = -1;
	c->asks_nobody = false;
	return 0;
}

/**
 * pidfd_kill() - kill a process that has not been collected.
 */
void pidfd_kill(int pidfd)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		log_warn("cannot kill a child: %s", strerror(errno));
}

/**
 * spawn_signal() - send a signal to a child that has not been collected.
 */
void spawn_signal(const struct child *c, int sig)
{
	if (c->pidfd >= 0 && syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0) < 0 && errno != ESRCH)
		log_warn("cannot signal the %s: %s", c->role->name, strerror(errno));
}
