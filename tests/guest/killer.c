/*
 * killer - ends children of a running daemon at random times, in several ways.
 *
 * killer --monitor=PID [OPTION]...
 *   --roles=LIST      of fsworker, transport, keeper (those who serve) and holder (who keep
 *                     descriptors); default: all
 *   --signals=LIST    of KILL; SEGV, a real fault; SYS, a system call that the filter refuses; STOP,
 *                     followed by CONT; default: all
 *   --interval=A-B    milliseconds from one to the next (50-500)
 *   --stop=A-B        milliseconds from STOP to CONT (10-200)
 *   --count=N         ends after so many that ended a process
 *   --seconds=N       or after this time
 *   --seed=N          of what is random; default: from the clock; it is printed
 *   --log=FILE        a line "SECONDS PID ROLE SIGNAL" for each
 * Without --count and --seconds it goes on until SIGTERM, or until the daemon is gone. Then it prints
 * what it did: "KILLER ROLE SIGNAL COUNT" for each kind, and "KILLER total N".
 * Exit status: 0; 1 when a process did not end of what ends it; 2 usage.
 *
 * Those who serve are the first processes of pid namespaces: the kernel keeps SIGSEGV and SIGSYS of
 * others from them. So such a process is stopped by ptrace and its main thread sent to where no code is,
 * or the next system call of that is made another one. Not any other thread: a fault of one that serves a
 * request is held against the request, which is given up when it has ended two processes.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROLES = 4, WAYS = 4, CHILDREN = 64, END_MS = 10000 };
enum way { WAY_KILL, WAY_SEGV, WAY_SYS, WAY_STOP };

static const char *const way_name[WAYS] = { "KILL", "SEGV", "SYS", "STOP" };

static const struct role {
	const char *name;
	const char *process; /* what the kernel calls it */
	bool inner;          /* the first process of a pid namespace */
} roles[ROLES] = {
	{ "fsworker", "virtiofsd-fswor", true },
	{ "transport", "virtiofsd-trans", true },
	{ "keeper", "virtiofsd-keepe", false },
	{ "holder", "holder", false },
};

struct range {
	unsigned from, to;
};

static struct killer {
	pid_t monitor;
	bool role[ROLES];
	bool way[WAYS];
	struct range interval, stop;
	unsigned long count, seconds;
	uint64_t random;
	FILE *log;
	double began;
	unsigned long done[ROLES][WAYS];
	unsigned long ended; /* processes */
	unsigned long failed;
} k = { .interval = { 50, 500 }, .stop = { 10, 200 }, .count = ULONG_MAX, .seconds = ULONG_MAX };

static volatile sig_atomic_t told_to_end;

static void on_term(int sig)
{
	(void)sig;
	told_to_end = 1;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned below(unsigned bound)
{
	k.random ^= k.random >> 12;
	k.random ^= k.random << 25;
	k.random ^= k.random >> 27;
	return bound == 0 ? 0 : (unsigned)((k.random * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % bound;
}

/* Not to the end if SIGTERM comes. */
static void pause_ms(const struct range *r)
{
	unsigned ms = r->from + below(r->to - r->from + 1);
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* ------------------------------------------------------------ who is there */

static const char *field(const char *status, const char *name)
{
	const char *at = strstr(status, name);

	return at ? at + strlen(name) : "";
}

/* The role of a living child of the monitor; -1 when it is none, or has none. */
static int role_of(pid_t pid)
{
	char path[64], status[4096], name[16] = "";
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, status, sizeof(status) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	status[n] = '\0';
	if (atoi(field(status, "\nPPid:")) != (int)k.monitor || strchr("ZX", field(status, "\nState:\t")[0]))
		return -1;
	if (sscanf(status, "Name:\t%15[^\n]", name) != 1)
		return -1;

	const char *inner = field(status, "\nNSpid:\t");
	/* Its number here and in its own namespace. */
	bool is_inner = strcspn(inner, "\t\n") != strcspn(inner, "\n");

	for (int i = 0; i < ROLES; i++)
		if (strcmp(name, roles[i].process) == 0 && (is_inner || !roles[i].inner))
			return i;
	return -1;
}

/* Each role is as likely as the others, however many processes it has. */
static int random_child(pid_t *pid)
{
	pid_t found[CHILDREN];
	int role[CHILDREN], n = 0;
	DIR *dir = opendir("/proc");

	for (struct dirent *d; dir && n < CHILDREN && (d = readdir(dir));) {
		if (d->d_name[0] < '0' || d->d_name[0] > '9')
			continue;
		found[n] = atoi(d->d_name);
		role[n] = role_of(found[n]);
		n += role[n] >= 0 && k.role[role[n]];
	}
	if (dir)
		closedir(dir);
	if (n == 0)
		return -1;

	int chosen = 0, last = 0;
	bool here[ROLES] = { false };
	unsigned roles_here = 0, nth;

	for (int i = 0; i < n; i++) {
		roles_here += !here[role[i]];
		here[role[i]] = true;
	}
	nth = below(roles_here) + 1;
	for (int i = 0; i < ROLES && nth > 0; i++) {
		nth -= here[i];
		chosen = i;
	}
	/* Of its processes one, too. */
	for (int i = 0, seen = 0; i < n; i++)
		if (role[i] == chosen && below((unsigned)++seen) == 0)
			last = i;
	*pid = found[last];
	return chosen;
}

/* --------------------------------------------------------------- by ptrace */

/* Wait until a traced thread stops; false when it is gone. */
static bool stopped(pid_t tid)
{
	int status;

	while (waitpid(tid, &status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	return WIFSTOPPED(status);
}

static bool change_place(pid_t tid)
{
	struct user_regs_struct regs;
	struct iovec v = { &regs, sizeof(regs) };

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &v) < 0)
		return false;
#if defined(__x86_64__)
	regs.rip = 8;
	regs.orig_rax = UINT64_MAX; /* not in a system call, so none is begun again */
#elif defined(__aarch64__)
	regs.pc = 8;
#else
#error "where does the next instruction lie?"
#endif
	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &v) == 0;
}

/* The thread is about to make a system call: let it be one that no role needs. */
static bool change_call(pid_t tid)
{
#if defined(__x86_64__)
	struct user_regs_struct regs;
	struct iovec v = { &regs, sizeof(regs) };

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &v) < 0)
		return false;
	regs.orig_rax = SYS_acct;
	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &v) == 0;
#else
	int number = SYS_acct;
	struct iovec v = { &number, sizeof(number) };

	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_ARM_SYSTEM_CALL, &v) == 0;
#endif
}

/* False when the thread was gone before. */
static bool misguide(pid_t tid, enum way way)
{
	bool done;

	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0)
		return false;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 || !stopped(tid))
		return false;
	if (way == WAY_SEGV) {
		done = change_place(tid);
	} else {
		done = ptrace(PTRACE_SYSCALL, tid, NULL, NULL) == 0 && stopped(tid) && change_call(tid);
	}
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
	return done;
}

/* --------------------------------------------------------------- one of it */

static bool ends(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	double end = seconds() + END_MS / 1000.0;
	int n;

	do
		n = poll(&p, 1, END_MS);
	while (n < 0 && errno == EINTR && seconds() < end);
	return n > 0;
}

static void say(pid_t pid, int role, enum way way)
{
	k.done[role][way]++;
	if (k.log) {
		fprintf(k.log, "%.3f %d %s %s\n", seconds() - k.began, (int)pid, roles[role].name, way_name[way]);
		fflush(k.log);
	}
}

static int send_signal(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

static void attack(pid_t pid, int role, enum way way)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool done;

	/* Once more, now that the number cannot become another's. */
	if (pidfd < 0 || role_of(pid) != role) {
		if (pidfd >= 0)
			close(pidfd);
		return;
	}
	if (way == WAY_STOP) {
		if (send_signal(pidfd, SIGSTOP) == 0) {
			say(pid, role, way);
			pause_ms(&k.stop);
			send_signal(pidfd, SIGCONT);
		}
		close(pidfd);
		return;
	}
	done = way == WAY_KILL ? send_signal(pidfd, SIGKILL) == 0 : misguide(pid, way);
	if (done) {
		say(pid, role, way);
		k.ended++;
		if (!ends(pidfd)) {
			fprintf(stderr, "killer: pid %d (%s) lives on after %s\n", (int)pid, roles[role].name, way_name[way]);
			k.failed++;
		}
	}
	close(pidfd);
}

static enum way random_way(void)
{
	enum way w;

	do
		w = below(WAYS);
	while (!k.way[w]);
	return w;
}

static void run(void)
{
	while (!told_to_end && k.ended < k.count && seconds() - k.began < (double)k.seconds) {
		pid_t pid = 0;
		int role;

		pause_ms(&k.interval);
		if (told_to_end)
			break;
		if (kill(k.monitor, 0) < 0)
			break;
		role = random_child(&pid);
		if (role >= 0)
			attack(pid, role, random_way());
	}
}

/* ----------------------------------------------------------------- options */

static void usage(void)
{
	fputs("usage: killer --monitor=PID [--roles=LIST] [--signals=LIST] [--interval=A-B] [--stop=A-B]\n"
	      "              [--count=N] [--seconds=N] [--seed=N] [--log=FILE]\n",
	      stderr);
	exit(2);
}

static void parse_list(char *list, bool *set, unsigned n, const char *(*name)(unsigned))
{
	memset(set, 0, n * sizeof(*set));
	for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		unsigned i = 0;

		while (i < n && strcmp(word, name(i)) != 0)
			i++;
		if (i == n)
			usage();
		set[i] = true;
	}
}

static const char *role_name_of(unsigned i)
{
	return roles[i].name;
}

static const char *way_name_of(unsigned i)
{
	return way_name[i];
}

static void parse_range(const char *text, struct range *r)
{
	if (sscanf(text, "%u-%u", &r->from, &r->to) != 2 || r->from > r->to)
		usage();
}

static void parse(char *argument)
{
	char *value = strchr(argument, '=');

	if (!value)
		usage();
	*value++ = '\0';
	if (strcmp(argument, "--monitor") == 0)
		k.monitor = atoi(value);
	else if (strcmp(argument, "--roles") == 0)
		parse_list(value, k.role, ROLES, role_name_of);
	else if (strcmp(argument, "--signals") == 0)
		parse_list(value, k.way, WAYS, way_name_of);
	else if (strcmp(argument, "--interval") == 0)
		parse_range(value, &k.interval);
	else if (strcmp(argument, "--stop") == 0)
		parse_range(value, &k.stop);
	else if (strcmp(argument, "--count") == 0)
		k.count = strtoul(value, NULL, 10);
	else if (strcmp(argument, "--seconds") == 0)
		k.seconds = strtoul(value, NULL, 10);
	else if (strcmp(argument, "--seed") == 0)
		k.random = strtoull(value, NULL, 0);
	else if (strcmp(argument, "--log") == 0)
		k.log = fopen(value, "we");
	else
		usage();
	if (strcmp(argument, "--log") == 0 && !k.log) {
		perror(value);
		exit(2);
	}
}

static void prepare(void)
{
	struct sigaction action = { .sa_handler = on_term };

	if (k.monitor <= 1)
		usage();
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (k.random == 0)
		k.random = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
	printf("KILLER seed %" PRIu64 "\n", k.random);
	fflush(stdout);
	k.began = seconds();
}

int main(int argc, char **argv)
{
	unsigned long total = 0;

	memset(k.role, 1, sizeof(k.role));
	memset(k.way, 1, sizeof(k.way));
	for (int i = 1; i < argc; i++)
		parse(argv[i]);
	prepare();
	run();
	for (int i = 0; i < ROLES; i++) {
		for (int w = 0; w < WAYS; w++) {
			if (k.done[i][w] != 0)
				printf("KILLER %s %s %lu\n", roles[i].name, way_name[w], k.done[i][w]);
			total += w == WAY_STOP ? 0 : k.done[i][w];
		}
	}
	printf("KILLER total %lu\n", total);
	return k.failed != 0;
}
