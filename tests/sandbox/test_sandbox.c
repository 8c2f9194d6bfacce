/* test_sandbox.c - enters each role's sandbox and tries to get out: every probe in a process of its own.
 *
 * Needs root; exits 77 (skipped) without. Prints "ok" or "not ok" per probe. See probe.h.
 */
#include "probe.h"

#include "common/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

static unsigned int passed, failed;

static void result(bool ok, const char *role, const char *name, const char *detail)
{
	printf("%sok - %s: %s%s%s\n", ok ? "" : "not ", role, name, *detail ? ": " : "", detail);
	fflush(stdout);
	if (ok)
		passed++;
	else
		failed++;
}

/* Away from the numbers that a role's own descriptors take. */
static int high(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 20);

	close(fd);
	return r;
}

/* What exec does for a role: the monitor's permitted capabilities come into effect. */
static void effective_as_after_exec(void)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	syscall(SYS_capget, &hdr, d);
	d[0].permitted &= ~(1u << CAP_KILL); /* not in the bounding set: lost at exec */
	for (int i = 0; i < 2; i++)
		d[i].effective = d[i].permitted;
	syscall(SYS_capset, &hdr, d);
}

/* In the new process: become the role, run the probe, report its result by the exit status. */
static _Noreturn void be_role(const struct role_under_test *role, const struct probe *p, struct scene *s, int log)
{
	struct sandbox_params params = {
		.uid = TRY_UID, .gid = TRY_UID, .source_fd = s->share_fd, .mntns_fd = -1,
		.read_only = p->how & READ_ONLY, .no_seccomp = p->how & NO_FILTER,
	};

	if (dup2(log, SANDBOX_LOG_FD) < 0)
		_exit(120);
	effective_as_after_exec();
	if (sandbox_enter(role->policy, &params, &s->jail) < 0)
		_exit(121);
	errno = 0;
	_exit(p->run(s));
}

static pid_t start_role(void)
{
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, .exit_signal = SIGCHLD,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* Did it come out as the row says? @nr: of the record, or -1. */
static bool as_expected(const struct probe *p, const siginfo_t *si, int nr, char *detail, size_t size)
{
	bool exited = si->si_code == CLD_EXITED;
	bool ok = false;

	switch (p->expect) {
	case WORKS:
		ok = exited && si->si_status == 0;
		break;
	case FAILS:
		ok = exited && si->si_status == p->value;
		break;
	case DIES:
		ok = !exited && (si->si_status == p->value || p->value == 0);
		break;
	case REFUSED:
		ok = !exited && si->si_status == SIGSYS &&
		     (nr == sandbox_syscall_number(p->call) || !strcmp(p->call, "?"));
		break;
	}
	detail[0] = '\0';
	if (!ok && exited)
		snprintf(detail, size, "exit status %d (%s)", si->si_status, strerror(si->si_status));
	else if (!ok)
		snprintf(detail, size, "signal %d, call %d (%s)", si->si_status, nr, nr < 0 ? "" : sandbox_syscall_name(nr));
	return ok;
}

static void run_probe(const struct role_under_test *role, const struct probe *p, struct scene *s)
{
	struct sandbox_sigsys_record rec = { .nr = -1 };
	char detail[200], text[1100];
	siginfo_t si = { 0 };
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
		exit(1);
	pid_t pid = start_role();
	if (pid == 0)
		be_role(role, p, s, sv[1]);
	close(sv[1]);
	if (pid < 0 || waitid(P_PID, (id_t)pid, &si, WEXITED) < 0)
		exit(1);
	int nr = -1;
	for (;;) {
		ssize_t n = recv(sv[0], text, sizeof(text), MSG_DONTWAIT);

		if (n <= 0)
			break;
		if (n == (ssize_t)sizeof(rec) && text[0] == SANDBOX_SIGSYS_RECORD) {
			memcpy(&rec, text, sizeof(rec));
			nr = rec.nr;
		}
	}
	close(sv[0]);
	bool ok = as_expected(p, &si, nr, detail, sizeof(detail));
	result(ok, role->policy->role, p->name, detail);
}

/* The monitor's report is text on stderr: read it from there. */
static void run_monitor_probe(const struct probe *p, struct scene *s)
{
	static const struct sandbox_params params = { .source_fd = -1, .mntns_fd = -1 };
	char text[1000] = "", detail[200];
	siginfo_t si = { 0 };
	int pp[2], nr = -1;

	if (pipe(pp) < 0)
		exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pp[1], STDERR_FILENO);
		if (sandbox_enter(&policy_monitor, &params, NULL) < 0)
			_exit(121);
		errno = 0;
		_exit(p->run(s));
	}
	close(pp[1]);
	if (read(pp[0], text, sizeof(text) - 1) > 0)
		(void)!sscanf(text, "virtiofsd: system call number %d", &nr);
	close(pp[0]);
	if (pid < 0 || waitid(P_PID, (id_t)pid, &si, WEXITED) < 0)
		exit(1);
	bool ok = as_expected(p, &si, nr, detail, sizeof(detail));
	result(ok, "monitor", p->name, detail);
}

/* All probes of a child's role, with a filter or without, below a process with the monitor's policy. */
static void run_role(const struct role_under_test *role, struct scene *s, bool filtered)
{
	const struct sandbox_params params = { .source_fd = -1, .mntns_fd = -1, .no_seccomp = !filtered };
	unsigned int count = 0;
	int status;

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (sandbox_enter(&policy_monitor, &params, NULL) < 0)
			_exit(1);
		for (size_t i = 0; i < role->count; i++)
			if (!(role->probes[i].how & NO_FILTER) == filtered)
				run_probe(role, &role->probes[i], s);
		fflush(stdout);
		_exit(failed ? 1 : 0);
	}
	for (size_t i = 0; i < role->count; i++)
		count += !(role->probes[i].how & NO_FILTER) == filtered;
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		failed++;
	else
		passed += count;
}

/* Rows: each names a call that exists, with a reason, and none is of the forbidden set. */
static void check_table(const struct role_under_test *role)
{
	const char *name = role->policy->role;
	bool ok = true;

	for (const struct sandbox_syscall *c = role->policy->calls; c->name; c++)
		if (sandbox_syscall_number(c->name) == -1 || !c->why || strlen(c->why) < 4) {
			result(false, name, "row without call or reason", c->name);
			ok = false;
		}
	for (const char *const *n = role->never; *n; n++) {
		if (sandbox_syscall_number(*n) == -1)
			result(false, name, "the forbidden set names no call", *n);
		for (const struct sandbox_syscall *c = role->policy->calls; c->name; c++)
			if (strcmp(c->name, *n) == 0 && c->deny_errno == 0) {
				result(false, name, "allowed, but forbidden", *n);
				ok = false;
			}
	}
	result(ok, name, "table", "");
}

/* What a mount on the host below the share does, and an earlier namespace entered again ---------------------------- */

/* Starts a fsworker that does what it is told by single bytes: 'm' is "late" a mount point? 'q' end. */
static pid_t start_fsworker(struct scene *s, int mntns_fd, int sock, bool propagate)
{
	struct sandbox_params params = { .source_fd = s->share_fd, .mntns_fd = mntns_fd, .propagate = propagate };
	pid_t pid = start_role();

	if (pid != 0)
		return pid;
	dup2(open("/dev/null", O_WRONLY), SANDBOX_LOG_FD);
	if (sandbox_enter(&policy_fsworker, &params, &s->jail) < 0)
		_exit(121);

	struct statx root, late = { 0 };
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} c = { 0 };
	struct iovec v = { &root, sizeof(root) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof(c.room) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	char cmd;

	statx(s->jail.root_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &root);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &s->jail.mntns_fd, sizeof(int));
	if (sendmsg(sock, &m, 0) < 0)
		_exit(1);
	while (read(sock, &cmd, 1) == 1 && cmd == 'm') {
		statx(s->jail.root_fd, "late", 0, STATX_BASIC_STATS | STATX_MNT_ID, &late);
		if (write(sock, &late, sizeof(late)) < 0)
			_exit(1);
	}
	_exit(0);
}

static int receive_ns(int sock, struct statx *root)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} c;
	struct iovec v = { root, sizeof(*root) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof(c.room) };
	int fd = -1;

	if (recvmsg(sock, &m, 0) > 0 && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return high(fd);
}

static void check_mounts(struct scene *s, bool propagate)
{
	struct statx root1, root2, late1 = { 0 }, late2 = { 0 };
	int a[2], b[2], status;
	char path[128];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, a) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, b) < 0)
		exit(1);
	a[1] = high(a[1]);
	b[1] = high(b[1]);
	pid_t one = start_fsworker(s, -1, a[1], propagate);
	close(a[1]);
	int ns = receive_ns(a[0], &root1);
	pid_t two = start_fsworker(s, ns, b[1], propagate);
	close(b[1]);
	int ns2 = receive_ns(b[0], &root2);

	result(ns >= 0 && ns2 >= 0, "fsworker", "sends its mount namespace", "");
	result(root1.stx_mnt_id == root2.stx_mnt_id && root1.stx_mnt_id != 0, "fsworker",
	       "enters the mount namespace of an earlier one: the same mount", "");

	snprintf(path, sizeof(path), "%s/share/late", s->dir);
	if (mount("late", path, "tmpfs", 0, NULL) < 0)
		exit(1);
	if (write(a[0], "m", 1) == 1)
		(void)!read(a[0], &late1, sizeof(late1));
	if (write(b[0], "m", 1) == 1)
		(void)!read(b[0], &late2, sizeof(late2));
	result(late1.stx_mnt_id == late2.stx_mnt_id && (late1.stx_mnt_id != root1.stx_mnt_id) == propagate, "fsworker",
	       propagate ? "told so, sees a mount that the host makes later" : "sees no mount that the host makes later", "");
	umount(path);
	(void)!write(a[0], "q", 1);
	(void)!write(b[0], "q", 1);
	waitpid(one, &status, 0);
	waitpid(two, &status, 0);
}

/* The scratch tree ----------------------------------------------------------------------------------------------- */

static bool put_file(const char *dir, const char *name, mode_t mode, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) >= 0 && fchmod(fd, mode) == 0;
	close(fd);
	return ok;
}

static pid_t start_victim(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setresuid(TRY_UID, TRY_UID, TRY_UID) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	return pid;
}

static bool make_scene(struct scene *s)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char path[128];

	*s = (struct scene){ .jail = { -1, -1, -1 } };
	strcpy(s->dir, "/tmp/virtiofsd-sandbox-XXXXXX");
	if (!mkdtemp(s->dir) || mount("scratch", s->dir, "tmpfs", 0, "mode=0755") < 0 ||
	    mount(NULL, s->dir, NULL, MS_SHARED, NULL) < 0)
		return false;
	snprintf(path, sizeof(path), "%s/share", s->dir);
	if (mkdir(path, 0755) < 0 || !put_file(path, "file", 0644, "some text") ||
	    !put_file(path, "root-only", 0600, "") || !put_file(path, "program", 0755, "#!/bin/sh\n"))
		return false;
	char outside[160];
	snprintf(outside, sizeof(outside), "%s/outside", s->dir);
	if (mkdir(outside, 0755) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->channel) < 0)
		return false;
	s->outside_fd = high(open(outside, O_PATH | O_DIRECTORY | O_CLOEXEC));
	s->channel[0] = high(s->channel[0]);
	s->channel[1] = high(s->channel[1]);
	s->list_fd = high(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	s->share_fd = high(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (s->share_fd < 0 || symlinkat("/etc/passwd", s->share_fd, "to-etc") < 0 ||
	    mkdirat(s->share_fd, "late", 0755) < 0 ||
	    mknodat(s->share_fd, "null-device", S_IFCHR | 0666, makedev(1, 3)) < 0)
		return false;
	s->file_fd = high(openat(s->share_fd, "file", O_RDWR | O_CLOEXEC));
	s->host_ns_fd = high(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
	s->listen_fd = high(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", s->dir);
	if (bind(s->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(s->listen_fd, 1) < 0)
		return false;
	s->victim = start_victim();
	return s->file_fd >= 0 && s->list_fd >= 0 && s->outside_fd >= 0 && s->host_ns_fd >= 0 && s->victim > 0;
}

static void remove_scene(const struct scene *s)
{
	kill(s->victim, SIGKILL);
	umount2(s->dir, MNT_DETACH);
	rmdir(s->dir);
}

int main(void)
{
	struct scene s;

	if (geteuid() != 0) {
		printf("skipped: not root, so no namespaces and no capabilities to give up\n");
		return 77;
	}
	/* A mount namespace of the test's own: what it mounts is gone with it, whatever happens. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		printf("skipped: no mount namespaces here: %s\n", strerror(errno));
		return 77;
	}
	alarm(120); /* a probe that hangs is a failure */
	if (!make_scene(&s)) {
		printf("not ok - cannot make the scratch share: %s\n", strerror(errno));
		return 1;
	}
	check_table(&test_monitor);
	check_table(&test_transport);
	check_table(&test_fsworker);
	check_table(&test_keeper);
	for (size_t i = 0; i < test_monitor.count; i++)
		run_monitor_probe(&test_monitor.probes[i], &s);
	run_role(&test_transport, &s, true);
	run_role(&test_transport, &s, false);
	run_role(&test_fsworker, &s, true);
	run_role(&test_fsworker, &s, false);
	run_role(&test_keeper, &s, true);
	run_role(&test_keeper, &s, false);
	check_mounts(&s, false);
	check_mounts(&s, true);
	remove_scene(&s);
	printf("%u passed, %u failed\n", passed, failed);
	return failed ? 1 : 0;
}
