/*
 * test-options: SIGHUP, which replaces the children by what is on disk, while the guest goes on.
 */
#define _GNU_SOURCE 1
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "crash.h"
#include "test-options.h"

static char exe[PATH_MAX + 16], good[PATH_MAX];
static uint64_t node, fh;

/* Put a copy of a program where the daemon finds its helper; the file that was there stays what it is for who has it open. */
static void install(const char *program)
{
	char fresh[PATH_MAX + 32];
	int from = open(program, O_RDONLY | O_CLOEXEC), to;
	struct stat st;

	snprintf(fresh, sizeof(fresh), "%s.new", exe);
	to = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	ck_assert(from >= 0 && to >= 0);
	ck_ok(fstat(from, &st));
	ck_assert_int_eq(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
	close(from);
	close(to);
	ck_ok(rename(fresh, exe));
}

static void begin(void)
{
	/* nohup(1) and some runners of tests start us with it ignored, and the daemon heeds that. */
	signal(SIGHUP, SIG_DFL);
	snprintf(exe, sizeof(exe), "%s/helper", env.dir);
	snprintf(good, sizeof(good), "%s", tu_helper("fsworker"));
	install(good);
	tu_set_helper("fsworker", exe);
	tu_start(&env, NULL, NULL);
	tu_init(&env);
	fh = tu_create(FS, TU_ROOT, "file", O_RDWR, 0600, &node);
	ck_ok(fs_write(FS, node, fh, "before", 6, 0, O_RDWR, 0));
	ck_ok(unlink(tu_path(&env, "file")));
}

/* All that was open is, and new things can be done. */
static void still_serves(void)
{
	struct fuse_entry_out e;
	char got[8] = "";

	ck_assert_int_eq(fs_read(FS, node, fh, got, 6, 0, O_RDWR), 6);
	ck_assert_str_eq(got, "before");
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e));
	ck_ok(fs_forget(FS, e.nodeid, 1));
	ck_ok(fs_rmdir(FS, TU_ROOT, "dir"));
}

/* Ask for the replacement, go on working, until the daemon says how it went. */
static void reload(const char *says)
{
	time_t end = time(NULL) + vuf_timeout_ms() / 1000;
	char *text;
	bool said;

	ck_ok(kill(env.d.pid, SIGHUP));
	do {
		still_serves();
		text = daemon_stderr(&env.d);
		said = strstr(text, says);
		ck_assert_msg(said || time(NULL) <= end, "'%s' is not in: %s", says, text);
		free(text);
	} while (!said);
	still_serves();
}

START_TEST(replaced_while_used)
{
	begin();
	install(good);
	reload("SIGHUP: done");
	reload("runs the executable that is on disk now");
}
END_TEST

START_TEST(new_one_does_not_work)
{
	begin();
	install("/bin/false");
	reload("the old one goes on");
	/* It is tried again when it is asked for again. */
	install(good);
	reload("runs the executable that is on disk now");
}
END_TEST

START_TEST(new_one_is_missing)
{
	begin();
	ck_ok(unlink(exe));
	reload("stays as it is");
}
END_TEST

/* A start that is under way is one of the old executable: it is not the one that was asked for. */
START_TEST(during_a_start)
{
	struct stat want, have;
	char path[64];

	begin();
	install(good);
	ck_ok(kill(kid_serving(env.d.pid), SIGKILL));
	/* Wherever the start is by now. */
	crash_sleep_us((unsigned int)_i * 5000);
	reload("SIGHUP: done");
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)kid_serving(env.d.pid));
	ck_ok(stat(path, &have));
	ck_ok(stat(exe, &want));
	ck_assert_uint_eq(have.st_ino, want.st_ino);
}
END_TEST

static int manager;

/* A service manager's socket; an abstract one as well. */
static void manage(bool abstract)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len;

	snprintf(a.sun_path, sizeof(a.sun_path), "%c%.90s.notify", abstract ? '@' : '/', env.socket + 1);
	ck_ok(setenv("NOTIFY_SOCKET", a.sun_path, 1));
	unsetenv("SYSTEMD_EXEC_PID"); /* whoever runs the tests may be a service */
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(a.sun_path) + !abstract);
	if (abstract)
		a.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_ok(bind(manager, (struct sockaddr *)&a, len));
}

/* The next message must begin with this; its status is text. */
static void told(const char *first, const char *status)
{
	struct pollfd p = { .fd = manager, .events = POLLIN };
	char text[512];
	ssize_t n;

	ck_assert_msg(poll(&p, 1, vuf_timeout_ms()) == 1, "the service manager was not told %s", first);
	n = recv(manager, text, sizeof(text) - 1, 0);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_msg(!strncmp(text, first, strlen(first)), "the service manager was told %s instead of %s", text, first);
	ck_assert_msg(strstr(text, "\nSTATUS=") && strstr(text, status), "%s", text);
}

/* By the clock that is in the message, the manager knows that it is later than its signal. */
static void told_reloading(int64_t not_before_us)
{
	char text[512];
	const char *at;
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_msg(!strncmp(text, "RELOADING=1\n", 12), "%s", text);
	at = strstr(text, "\nMONOTONIC_USEC=");
	ck_assert_ptr_nonnull(at);
	ck_assert_int_ge(atoll(at + 16), not_before_us);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

START_TEST(service_manager_is_told)
{
	int64_t then;

	manage(_i);
	begin();
	told("READY=1\n", "serving");
	install(good);
	then = now_us();
	ck_ok(kill(env.d.pid, SIGHUP));
	told_reloading(then);
	told("READY=1\n", "all processes but the first were replaced");
	install("/bin/false");
	ck_ok(kill(env.d.pid, SIGHUP));
	told_reloading(then);
	told("READY=1\n", "not all processes");
	still_serves();
	ck_ok(unlink(exe));
	ck_ok(kill(env.d.pid, SIGHUP));
	told_reloading(then);
	told("READY=1\n", "not all processes");
	install(good);
	ck_ok(kill(env.d.pid, SIGHUP));
	told_reloading(then);
	told("READY=1\n", "all processes but the first were replaced");
	ck_ok(kill(env.d.pid, SIGTERM));
	told("STOPPING=1\n", "ending");
	tu_expect_exit(&env, 0);
}
END_TEST

/* What is in its environment is a manager's of another process. */
START_TEST(service_manager_of_another)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	manage(false);
	ck_ok(setenv("SYSTEMD_EXEC_PID", pid, 1));
	begin();
	reload("SIGHUP: done");
	ck_assert_int_eq(recv(manager, pid, sizeof(pid), MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

/* A manager that is not there holds nobody up. */
START_TEST(service_manager_is_gone)
{
	static const char *const names[] = { "/nowhere/notify", "vsock:2:1", "@", "/" };

	ck_ok(setenv("NOTIFY_SOCKET", names[_i], 1));
	begin();
	ck_assert_uint_ge(crash_said(&env, "NOTIFY_SOCKET: "), 1);
	reload("SIGHUP: done");
}
END_TEST

/* Nor does one whose queue is full; it is told when there is room again. */
START_TEST(service_manager_is_slow)
{
	int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), full = 0;
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	char text[16];

	manage(false);
	ck_ok(getsockname(manager, (struct sockaddr *)&a, &len));
	ck_ok(connect(other, (struct sockaddr *)&a, len));
	while (send(other, "FULL", 4, MSG_DONTWAIT) == 4)
		full++;
	ck_assert_int_eq(errno, EAGAIN);
	begin();
	reload("SIGHUP: done");
	for (int i = 0; i < full; i++)
		ck_assert_int_eq(recv(manager, text, sizeof(text), 0), 4);
	told("READY=1\n", "serving");
	told("RELOADING=1\n", "replacing");
	told("READY=1\n", "reload 1: all processes but the first were replaced");
	close(other);
}
END_TEST

/**
 * upgrade_case() - SIGHUP
 *
 * Return: the test case
 */
TCase *upgrade_case(void)
{
	TCase *tc = tcase_create("upgrade");

	tcase_add_test(tc, replaced_while_used);
	tcase_add_test(tc, new_one_does_not_work);
	tcase_add_test(tc, new_one_is_missing);
	tcase_add_loop_test(tc, during_a_start, 0, 8);
	tcase_add_loop_test(tc, service_manager_is_told, 0, 2);
	tcase_add_test(tc, service_manager_of_another);
	tcase_add_loop_test(tc, service_manager_is_gone, 0, 4);
	tcase_add_test(tc, service_manager_is_slow);
	return tc;
}
