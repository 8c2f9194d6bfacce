/*
 * test-options: the socket's life, signals, and that no child stays behind.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "test-options.h"

static int make_socket(bool listening)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, env.socket);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (listening)
		ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

/* In the socket's directory nothing may remain but the share. */
static void nothing_left(void)
{
	DIR *d = opendir(env.dir);
	struct dirent *e;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		ck_assert_msg(e->d_name[0] == '.' ? strlen(e->d_name) < 3 :
						    !strcmp(e->d_name, "share"),
			      "%s is left behind", e->d_name);
	closedir(d);
}

/*
 * All descendants of the daemon become this process's children when their
 * parents die, and must end by themselves.
 */
static void no_children_left(void)
{
	time_t end = time(NULL) + vuf_timeout_ms() / 1000;

	for (;;) {
		pid_t p = waitpid(-1, NULL, WNOHANG);

		if (p < 0 && errno == ECHILD)
			return;
		ck_assert_msg(time(NULL) <= end, "a process of the daemon outlives it");
		if (p == 0)
			poll(NULL, 0, 5);
	}
}

START_TEST(socket_is_private)
{
	struct stat st;

	to_start(NULL);
	/* It may be gone by now: one connection is all that is accepted. */
	if (!lstat(env.socket, &st)) {
		ck_assert(S_ISSOCK(st.st_mode));
		ck_assert_uint_eq(st.st_mode & 0007, 0);
	}
	tu_stop(&env);
	nothing_left();
}
END_TEST

START_TEST(disconnect_ends_all)
{
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	to_start(NULL);
	tu_exercise(FS, "file");
	tu_stop(&env);
	nothing_left();
	no_children_left();
}
END_TEST

static void wait_until_listening(void)
{
	time_t end = time(NULL) + vuf_timeout_ms() / 1000;

	while (access(env.socket, F_OK)) {
		ck_assert(time(NULL) <= end);
		poll(NULL, 0, 5);
	}
}

/* Signals end the daemon whether or not somebody is connected. */
START_TEST(signals)
{
	int sig = _i & 1 ? SIGTERM : SIGINT;
	bool connected = _i & 2;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	if (connected) {
		to_start(NULL);
		tu_exercise(FS, "file");
	} else {
		tu_daemon(&env, NULL);
		wait_until_listening();
	}
	ck_ok(daemon_signal(&env.d, sig));
	tu_expect_exit(&env, 0);
	nothing_left();
	no_children_left();
	if (connected)
		ck_err2(vu_alive(&env.dev.vu), ECONNRESET, EPIPE);
}
END_TEST

/* Killed, the monitor cannot clean up, but its children must notice. */
START_TEST(kill_of_the_monitor)
{
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	to_start(NULL);
	tu_exercise(FS, "file");
	ck_ok(daemon_signal(&env.d, SIGKILL));
	tu_expect_exit(&env, 256 + SIGKILL);
	no_children_left();
}
END_TEST

/* The socket of a daemon that was killed. */
START_TEST(stale_socket)
{
	close(make_socket(_i));
	to_start(NULL);
	tu_exercise(FS, "file");
	tu_stop(&env);
	nothing_left();
}
END_TEST

static void refused(const char *part)
{
	char *err;

	ck_assert_int_eq(to_run(WORDS("--socket-path={socket}", "-o", "source={dir}"), &err, NULL), 1);
	to_expect_line(err, part);
	free(err);
}

START_TEST(socket_in_use)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = make_socket(true);
	int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	refused(env.socket);
	/* Still there, and still theirs. */
	strcpy(sa.sun_path, env.socket);
	ck_assert_int_eq(connect(c, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(c);
	close(fd);
	unlink(env.socket);
}
END_TEST

/* A second daemon on the same path, before and after the first has its guest. */
START_TEST(second_daemon)
{
	tu_daemon(&env, NULL);
	wait_until_listening();
	refused(env.socket);
	tu_open(&env, NULL);
	tu_init(&env);
	if (!access(env.socket, F_OK))
		refused(env.socket);
	tu_exercise(FS, "file");
}
END_TEST

/* Something that is no socket is somebody's, and stays. */
START_TEST(socket_path_is_a_file)
{
	char buf[8];

	tu_write_file(env.socket, "keep", 4, 0600);
	refused(env.socket);
	ck_assert_uint_eq(tu_read_file(env.socket, buf, 8), 4);
	unlink(env.socket);
	/* Nor may a link lead anywhere else. */
	ck_assert_int_eq(symlink("elsewhere", env.socket), 0);
	refused(env.socket);
	unlink(env.socket);
	nothing_left();
}
END_TEST

/* One guest per daemon: others find the door closed or nobody who answers. */
START_TEST(second_guest)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	to_start(NULL);
	strcpy(sa.sun_path, env.socket);
	if (!connect(c, (struct sockaddr *)&sa, sizeof(sa))) {
		struct vu second;
		uint8_t hello[12] = { VU_GET_FEATURES, 0, 0, 0, VU_VERSION };

		vu_init(&second, c);
		vu_send_raw(&second, hello, sizeof(hello), NULL, 0);
	}
	tu_exercise(FS, "file");
	close(c);
	tu_exercise(FS, "file");
}
END_TEST

/**
 * sockets_case() - Sockets, signals, children
 *
 * Return: the test case
 */
TCase *sockets_case(void)
{
	TCase *tc = tcase_create("sockets");

	tcase_add_test(tc, socket_is_private);
	tcase_add_test(tc, disconnect_ends_all);
	tcase_add_loop_test(tc, signals, 0, 4);
	tcase_add_test(tc, kill_of_the_monitor);
	tcase_add_loop_test(tc, stale_socket, 0, 2);
	tcase_add_test(tc, socket_in_use);
	tcase_add_test(tc, second_daemon);
	tcase_add_test(tc, socket_path_is_a_file);
	tcase_add_test(tc, second_guest);
	return tc;
}
