/* supervise.c - the monitor's loop: signals, deaths, messages and log records, until the daemon ends.
 *
 * Role: monitor. Whoever wakes us, log records come first, then messages, then deaths: a child's last words and its
 * GONE are heard before its end is judged.
 *
 * Ending. A role whose channel closes ends by itself; one that does not is killed after a while. When the monitor is
 * killed the kernel kills them (parent-death signal). A taken-over fsworker may lose that signal by changing ids of
 * its main thread; the end of the channel, on which every untouched role ends, is the second line. Each is the first
 * process of its own pid namespace, so nothing that it made outlives it.
 */
#include "monitor/monitor.h"

#include "ipc/roles.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#define LOG_PAUSE_MS 100      /* until a log that is over its rate is looked at again */
#define LOG_BATCH 64u         /* records of one child before the others have their turn */
#define LOG_LAST_WORDS 4096u  /* records that are heard from one that has ended; more than a socket holds */
#define REAP_PAUSE_MS 50      /* until holders that were told to end are looked for again */
#define NOTIFY_PAUSE_MS 20    /* until a service manager that took no more is told again */
#define END_PATIENCE_MS 5000  /* for a child to end by itself; then again once it was killed */

#define SETS_MAX (1 + IPC_FETCH_MAX) /* of holders, that a role can have */

/* For each child its own three descriptors, then two for each of its holders. */
enum {
	POLL_SIGNALS,
	POLL_CHILDREN,
	POLL_OWN = 3,
	POLL_PER_CHILD = POLL_OWN + 2 * IPC_HOLDERS * SETS_MAX,
	POLL_COUNT = POLL_CHILDREN + POLL_PER_CHILD * ROLE_COUNT,
};

static struct holders *set_of(struct child *c, size_t i)
{
	return i == 0 ? &c->own : &c->before[i - 1];
}

/* Why a child ended, in words. */
static void cause_text(const struct child *c, const siginfo_t *si, char *text, size_t size)
{
	int sig = si->si_status;
	const char *abbrev;

	if (si->si_code == CLD_EXITED) {
		const char *meaning = si->si_status == ROLE_EXIT_FAIL	  ? ": it could not be set up" :
				      si->si_status == ROLE_EXIT_PROTOCOL ? ": a peer of it broke the protocol" :
									    "";

		snprintf(text, size, "ended with exit status %d%s", si->si_status, meaning);
		return;
	}
	abbrev = sigabbrev_np(sig);
	if (sig == SIGSYS && c->refused_nr >= 0)
		snprintf(text, size, "was killed by signal %d (SIGSYS): its filter refused system call %d (%s)", sig,
			 c->refused_nr, sandbox_syscall_name(c->refused_nr));
	else if (sig == SIGSYS)
		snprintf(text, size, "was killed by signal %d (SIGSYS): its filter refused a system call", sig);
	else
		snprintf(text, size, "was killed by signal %d (SIG%s)", sig, abbrev ? abbrev : "?");
}

/* Does a child end like this when it is told to? One that was not ready yet cannot say that it is, and gives up. */
static bool ended_as_told(const struct child *c, const siginfo_t *si)
{
	return si->si_code == CLD_EXITED && (si->si_status == ROLE_EXIT_OK ||
					     (c->state == CHILD_STARTING && si->si_status == ROLE_EXIT_FAIL));
}

/**
 * supervise_ended() - a child has ended and was collected. One that was not told to is replaced.
 */
void supervise_ended(struct monitor *m, struct child *c, const siginfo_t *si)
{
	char cause[160];

	/* A copy of its socket may be with a process that it made and that still talks. */
	logsink_drain(c, LOG_LAST_WORDS);
	if (c->channel >= 0)
		answer_child(m, c);
	cause_text(c, si, cause, sizeof(cause));
	if (m->stop) {
		if (m->killing || ended_as_told(c, si))
			log_debug("the %s (pid %d) %s", c->role->name, (int)c->pid, cause);
		else
			log_warn("the %s (pid %d) %s as the daemon ended", c->role->name, (int)c->pid, cause);
	}
	respawn_ended(m, c, cause, si->si_code != CLD_EXITED && si->si_status == SIGKILL);
}

/* Collect what has ended. */
static void collect(struct monitor *m, struct child *c)
{
	siginfo_t si = { 0 };

	for (size_t i = 0; i < SETS_MAX; i++)
		if (!m->stop || (i == 0 && c->state == CHILD_STARTING && c->pidfd < 0))
			holders_collect(m, c, set_of(c, i));
	if (c->pidfd >= 0 && waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED | WNOHANG) == 0 && si.si_pid != 0)
		supervise_ended(m, c, &si);
	holders_reap();
}

/* Is it one that its pidfd tells of? */
static bool known(struct monitor *m, pid_t pid)
{
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		struct child *c = &m->child[i];

		if (c->pidfd >= 0 && c->pid == pid)
			return true;
		for (size_t k = 0; k < SETS_MAX; k++)
			for (size_t n = 0; set_of(c, k)->generation && n < IPC_HOLDERS; n++)
				if (set_of(c, k)->holder[n].pidfd >= 0 && set_of(c, k)->holder[n].pid == pid)
					return true;
	}
	return false;
}

/* Processes of a start that was thrown away before we were told of them. Only when we have been told of all that there are: the
 * end of one that will still be told of must be left to its pidfd. */
static void reap_strangers(struct monitor *m)
{
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (m->child[i].state != CHILD_SERVING || (m->child[i].role->holds && !holders_complete(&m->child[i].own)))
			return;
	for (;;) {
		siginfo_t si = { 0 };

		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0 || known(m, si.si_pid))
			return;
		(void)!waitid(P_PID, (id_t)si.si_pid, &si, WEXITED | WNOHANG);
	}
}

static void take_signals(struct monitor *m)
{
	struct signalfd_siginfo si;

	while (read(m->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		const char *abbrev = sigabbrev_np((int)si.ssi_signo);

		if (si.ssi_signo == SIGCHLD)
			continue; /* collect() looks */
		if (si.ssi_signo == SIGHUP) {
			upgrade_begin(m);
			continue;
		}

		log_info("SIG%s: the daemon ends", abbrev ? abbrev : "?");
		m->stop = true;
	}
}

/* Wait for something to happen, and hear what children say. @ms: at most so long, -1 for ever. */
static void wait_and_hear(struct monitor *m, int64_t ms)
{
	struct pollfd p[POLL_COUNT];
	struct timespec t;

	p[POLL_SIGNALS] = (struct pollfd){ .fd = m->signal_fd, .events = POLLIN };
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		struct child *c = &m->child[i];
		struct pollfd *own = &p[POLL_CHILDREN + POLL_PER_CHILD * i], *held = own + POLL_OWN;

		own[0] = (struct pollfd){ .fd = c->pidfd, .events = POLLIN };
		own[1] = (struct pollfd){ .fd = c->channel, .events = POLLIN };
		own[2] = (struct pollfd){ .fd = logsink_over_rate(c) ? -1 : c->log, .events = POLLIN };
		if (c->log >= 0 && own[2].fd < 0 && (ms < 0 || ms > LOG_PAUSE_MS))
			ms = LOG_PAUSE_MS;
		for (size_t k = 0; k < SETS_MAX; k++)
			for (size_t n = 0; n < IPC_HOLDERS; n++) {
				const struct holder *h = &set_of(c, k)->holder[n];
				bool there = set_of(c, k)->generation != 0;

				*held++ = (struct pollfd){ .fd = there ? h->pidfd : -1, .events = POLLIN };
				*held++ = (struct pollfd){ .fd = there ? h->channel : -1, .events = POLLIN };
			}
	}
	if (notify_flush() && (ms < 0 || ms > NOTIFY_PAUSE_MS))
		ms = NOTIFY_PAUSE_MS;
	if (holders_ending() && (ms < 0 || ms > REAP_PAUSE_MS))
		ms = REAP_PAUSE_MS;
	t = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	if (ppoll(p, POLL_COUNT, ms < 0 ? NULL : &t, NULL) < 0)
		return;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (p[POLL_CHILDREN + POLL_PER_CHILD * i + 2].revents)
			logsink_drain(&m->child[i], LOG_BATCH);
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		const struct pollfd *own = &p[POLL_CHILDREN + POLL_PER_CHILD * i];
		struct child *c = &m->child[i];

		for (size_t k = 0; k < SETS_MAX * IPC_HOLDERS; k++) {
			struct holders *h = set_of(c, k / IPC_HOLDERS);

			if (own[POLL_OWN + 2 * k + 1].revents && h->generation && h->holder[k % IPC_HOLDERS].channel >= 0)
				holders_hear(c, h, k % IPC_HOLDERS);
		}
		if (own[1].revents && c->channel >= 0)
			answer_child(m, c);
		if (!m->stop)
			respawn_go(m, c);
	}
	if (p[POLL_SIGNALS].revents)
		take_signals(m);
}

/* Is one left of those whose channel is closed? */
static bool any_ending(const struct monitor *m)
{
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (m->child[i].state != CHILD_NONE && m->child[i].channel < 0)
			return true;
	return false;
}

/* Give the children that were told to end until then to do so. */
static void wait_for_end(struct monitor *m, int64_t patience_ms)
{
	int64_t deadline = now_ms() + patience_ms;

	for (;;) {
		for (size_t i = 0; i < ROLE_COUNT; i++)
			collect(m, &m->child[i]);

		int64_t left = deadline - now_ms();

		if (!any_ending(m) || left <= 0)
			return;
		wait_and_hear(m, left);
	}
}

static void end_children(struct monitor *m)
{
	notify_stopping();
	/* The transport first: for one that still serves, the end of the fsworker is an error to report. */
	close_fd(&m->child[ROLE_TRANSPORT].channel);
	wait_for_end(m, END_PATIENCE_MS);
	for (size_t i = 0; i < ROLE_COUNT; i++)
		close_fd(&m->child[i].channel);
	wait_for_end(m, END_PATIENCE_MS);
	m->killing = true;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (m->child[i].state != CHILD_NONE) {
			log_warn("the %s (pid %d) does not end: it is killed", m->child[i].role->name,
				 (int)m->child[i].pid);
			spawn_signal(&m->child[i], SIGKILL);
		}
	wait_for_end(m, END_PATIENCE_MS);
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		if (m->child[i].state != CHILD_NONE)
			log_err("the %s (pid %d) cannot be killed: it waits for a device or a file server",
				m->child[i].role->name, (int)m->child[i].pid);
		for (size_t k = 0; k < SETS_MAX; k++)
			holders_end(set_of(&m->child[i], k));
	}
	/* Until then the guest's locks on the host's files are held. */
	if (holders_wait(END_PATIENCE_MS))
		log_err("not all of those who keep descriptors have ended: they wait for a device or a file server");
}

/**
 * supervise_run() - serve the children until the daemon ends, then end them.
 *
 * Leaves the exit status in m.
 */
void supervise_run(struct monitor *m)
{
	while (!m->stop) {
		wait_and_hear(m, respawn_next_ms(m));
		for (size_t i = 0; i < ROLE_COUNT; i++)
			collect(m, &m->child[i]);
		reap_strangers(m);
		if (!m->stop)
			respawn_due(m);
		if (!m->stop)
			upgrade_step(m);
	}
	end_children(m);
}
