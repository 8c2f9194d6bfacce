/*
 * What needs a file system that the test mounts itself: the host's reads fail
 * or hang, or something is mounted on the host while the daemon runs.
 *
 * A machine that does not let its root mount (some containers) cannot run
 * these, so they are a program of their own, which is skipped as a whole and
 * says why.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "test-mounts.h"

#define TEST_TIMEOUT_S 120
#define SKIP 77

struct env env;

static void setup(void)
{
	const char *why = hostfs_own_mounts();

	ck_assert_msg(!why, "%s: %s", why, strerror(errno));
	tu_setup(&env);
}

static void teardown(void)
{
	/* What a test has mounted is in the way of removing its directory. */
	if (env.running)
		tu_stop(&env);
	umount2(env.share, MNT_DETACH);
	tu_teardown(&env);
}

/**
 * tm_case() - A test case whose tests find a directory, and may mount
 * @name:	Its name
 *
 * Return: the test case
 */
TCase *tm_case(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TEST_TIMEOUT_S);
	return tc;
}

static Suite *make_suite(void)
{
	Suite *s = suite_create("mounts");

	suite_add_tcase(s, reads_case());
	suite_add_tcase(s, later_case());
	suite_add_tcase(s, reserve_case());
	return s;
}

/* In a process that may spoil its mount namespace. */
static void try_to_mount(void)
{
	const char *why = hostfs_own_mounts();

	if (!why && access("/dev/fuse", R_OK | W_OK))
		why = "/dev/fuse is not there";
	if (!why && mount("none", "/tmp", "tmpfs", 0, NULL))
		why = "no tmpfs may be mounted";
	if (why)
		printf("SKIP test-mounts: %s: %s\n", why, strerror(errno));
	fflush(stdout);
	_exit(why ? SKIP : 0);
}

int main(int argc, char **argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		try_to_mount();
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIP)
		return SKIP;
	return tu_main(argc, argv, make_suite);
}
