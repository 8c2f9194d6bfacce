/*
 * test-options: wrong command lines. Each gets one line that names what is
 * wrong, and a status: 2 for usage, 1 for the rest.
 */
#define _GNU_SOURCE 1
#include <sys/socket.h>

#include "test-options.h"

#define SOCK "--socket-path={socket}"
#define SRC "-o", "source={dir}"
#define LONG_50 "12345678901234567890123456789012345678901234567890"

struct usage_row {
	const char *words[10];
	int status;
	const char *part;	/* what the line must name */
};

static const struct usage_row rows[] = {
	/* Unknown. */
	{ { SOCK, SRC, "--bogus" }, 2, "bogus" },
	{ { SOCK, SRC, "-Q" }, 2, "Q" },
	{ { SOCK, SRC, "-o", "bogus" }, 2, "bogus" },
	{ { SOCK, SRC, "-o", "xattr,bogus=1" }, 2, "bogus" },
	{ { SOCK, SRC, "stray" }, 2, "stray" },
	/* An abbreviation could become another option one day. */
	{ { "--socket={socket}", SRC }, 2, "socket" },
	/* Given twice, though it be with the same value. */
	{ { SOCK, SOCK, SRC }, 2, "socket-path" },
	{ { SOCK, SRC, SRC }, 2, "source" },
	{ { SOCK, SRC, "-o", "xattr,xattr" }, 2, "xattr" },
	{ { SOCK, SRC, "--cache=auto", "--cache=none" }, 2, "cache" },
	{ { SOCK, SRC, "-o", "timeout=1", "-o", "timeout=2" }, 2, "timeout" },
	{ { SOCK, SRC, "-o", "log_level=err,log_level=err" }, 2, "log_level" },
	{ { SOCK, SRC, "--thread-pool-size=1", "--thread-pool-size=1" }, 2, "thread-pool-size" },
	{ { SOCK, SRC, "--tag=a", "--tag=b" }, 2, "tag" },
	/* Contradictory. */
	{ { SOCK, SRC, "-o", "flock,no_flock" }, 2, "flock" },
	{ { SOCK, SRC, "-o", "no_xattr", "-o", "xattr" }, 2, "xattr" },
	{ { SOCK, SRC, "-o", "posix_lock,no_posix_lock" }, 2, "posix_lock" },
	{ { SOCK, SRC, "-o", "readdirplus,no_readdirplus" }, 2, "readdirplus" },
	{ { SOCK, SRC, "-o", "writeback,no_writeback" }, 2, "writeback" },
	{ { SOCK, "--fd=3", SRC }, 2, "fd" },
	/* Missing. */
	{ { SOCK }, 2, "source" },
	{ { SRC }, 2, "socket" },
	{ { SOCK, "-o", "source" }, 2, "source" },
	{ { SOCK, "-o", "source=" }, 2, "source" },
	{ { SOCK, SRC, "-o" }, 2, "o" },
	{ { "--socket-path=", SRC }, 2, "socket-path" },
	/* Values that are none. */
	{ { SOCK, SRC, "--cache=sometimes" }, 2, "sometimes" },
	{ { SOCK, SRC, "--thread-pool-size=many" }, 2, "many" },
	{ { SOCK, SRC, "--thread-pool-size=-1" }, 2, "-1" },
	{ { SOCK, SRC, "--thread-pool-size=" }, 2, "thread-pool-size" },
	{ { SOCK, SRC, "--thread-pool-size=99999999999999999999" }, 2, "thread-pool-size" },
	{ { SOCK, SRC, "-o", "timeout=soon" }, 2, "soon" },
	{ { SOCK, SRC, "-o", "timeout=-1" }, 2, "-1" },
	{ { SOCK, SRC, "-o", "timeout=" }, 2, "timeout" },
	{ { SOCK, SRC, "-o", "timeout=nan" }, 2, "nan" },
	{ { SOCK, SRC, "-o", "log_level=loud" }, 2, "loud" },
	{ { SOCK, SRC, "-o", "xattr=1" }, 2, "xattr" },
	{ { SOCK, SRC, "--xattr=1" }, 2, "xattr" },
	{ { SOCK, SRC, "--xattr", "-o", "no_xattr" }, 2, "xattr" },
	{ { SOCK, SRC, "--log-level=loud" }, 2, "loud" },
	/* There is only one way to be shut in. */
	{ { SOCK, SRC, "--sandbox=none" }, 2, "namespace" },
	{ { SOCK, SRC, "-o", "sandbox=chroot" }, 2, "namespace" },
	{ { SOCK, SRC, "--tag=" }, 2, "tag" },
	{ { SOCK, SRC, "--tag=" LONG_50 }, 2, "tag" },
	{ { "--fd=x", SRC }, 2, "fd" },
	{ { "--fd=-1", SRC }, 2, "fd" },
	/* The world is not as the command line says. */
	{ { SOCK, "-o", "source={dir}/missing" }, 1, "missing" },
	{ { SOCK, "-o", "source=/etc/passwd" }, 1, "/etc/passwd" },
	{ { "--socket-path={dir}/missing/sock", SRC }, 1, "missing" },
	{ { "--fd=77", SRC }, 1, "77" },
};

START_TEST(wrong_usage)
{
	const struct usage_row *row = &rows[_i];
	char *err;
	int status = to_run(row->words, &err, NULL);

	to_expect_line(err, row->part);
	ck_assert_msg(status == row->status, "status %d, expected %d: %s", status, row->status, err);
	free(err);
	/* Nothing may be left behind by a daemon that did not start. */
	ck_assert_int_eq(access(env.socket, F_OK), -1);
}
END_TEST

/* A path too long for a socket: there is no way to know if that is usage. */
START_TEST(long_socket_path)
{
	char path[300];
	char *err;
	int status;

	snprintf(path, sizeof(path), "--socket-path=%s/" LONG_50 LONG_50 LONG_50, "/tmp");
	status = to_run(WORDS(path, SRC), &err, NULL);
	ck_assert_msg(status == 1 || status == 2, "status %d", status);
	to_expect_line(err, "socket");
	free(err);
}
END_TEST

/* Descriptors that are open, but not what --fd means. */
START_TEST(wrong_descriptor)
{
	const char *argv[TU_MAX_WORDS];
	struct daemon_args args = { .words = argv, .dir = env.share, .pass_as = 17 };
	struct daemon d;
	unsigned int n = 0;
	char *err;
	int sv[2];

	if (_i == 0) {
		args.pass_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} else if (_i == 1) {
		args.pass_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	} else {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv), 0);
		args.pass_fd = sv[0];
	}
	argv[n++] = tu_program();
	for (unsigned int i = 0; tu_extra()[i]; i++)
		argv[n++] = tu_extra()[i];
	argv[n++] = "--fd=17";
	argv[n++] = "-o";
	argv[n++] = "source={dir}";
	argv[n] = NULL;
	ck_ok(daemon_start(&d, &args));
	ck_assert_int_eq(daemon_wait(&d, vuf_timeout_ms()), 1);
	err = daemon_stderr(&d);
	to_expect_line(err, "17");
	free(err);
	daemon_close(&d);
}
END_TEST

/* Started by an ordinary user. */
START_TEST(not_root)
{
	const char *argv[TU_MAX_WORDS] = { "/usr/bin/setpriv", "--reuid=65534", "--regid=65534",
					   "--clear-groups" };
	struct daemon_args args = { .words = argv, .dir = env.share, .pass_fd = -1 };
	unsigned int n = 4;
	struct daemon d;
	char *err;
	int status;

	args.socket = env.socket;
	ck_assert_int_eq(chmod(env.dir, 0777), 0);
	argv[n++] = tu_program();
	for (unsigned int i = 0; tu_extra()[i]; i++)
		argv[n++] = tu_extra()[i];
	argv[n++] = SOCK;
	argv[n++] = "-o";
	argv[n++] = "source={dir}";
	argv[n] = NULL;
	ck_ok(daemon_start(&d, &args));
	status = daemon_wait(&d, vuf_timeout_ms());
	err = daemon_stderr(&d);
	/* 126, 127: no setpriv, or the build tree is closed to that user. */
	if (status != 126 && status != 127) {
		ck_assert_int_eq(status, 1);
		to_expect_line(err, "root");
	}
	free(err);
	daemon_close(&d);
}
END_TEST

/**
 * usage_case() - Wrong command lines
 *
 * Return: the test case
 */
TCase *usage_case(void)
{
	TCase *tc = tcase_create("usage");

	tcase_add_loop_test(tc, wrong_usage, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tc, long_socket_path);
	tcase_add_loop_test(tc, wrong_descriptor, 0, 3);
	tcase_add_test(tc, not_root);
	return tc;
}
