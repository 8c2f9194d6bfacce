/*
 * test-poison: a request that makes the fsworker die each time it is served. Needs a daemon that was configured with
 * --enable-crash-points; with any other these tests say so and are skipped.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testutil.h"

static struct env env;
#define FS (&env.fs)

/* The first so many processes die at this place. */
static void die_at(const char *place, int processes)
{
	char name[64];

	for (int i = 1; i <= processes; i++) {
		snprintf(name, sizeof(name), "VIRTIOFSD_CRASH_AT_%d", i);
		ck_assert_int_eq(setenv(name, place, 1), 0);
	}
	tu_setup(&env);
	tu_start(&env, NULL, NULL);
}

static unsigned int look_in_log(const char *what)
{
	char *text = daemon_stderr(&env.d);
	unsigned int n = 0;

	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		n++;
	free(text);
	return n;
}

/* A process's entry may come to the log after its reply has come to the guest. */
static unsigned int count_in_log(const char *what)
{
	for (int waited = 0; waited < vuf_timeout_ms() && !look_in_log(what); waited += 10)
		usleep(10000);
	return look_in_log(what);
}

/* The third process refuses it, and serves all else. */
START_TEST(a_fault_each_time)
{
	struct fuse_entry_out e;

	die_at("fsworker:!made:1", 9);
	ck_err(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e), EIO);
	ck_assert_uint_eq(count_in_log("took over after"), 2);
	ck_assert_uint_eq(count_in_log("MKDIR has ended this process 2 times"), 1);
	ck_ok(fs_lookup(FS, TU_ROOT, "dir", &e));
	ck_ok(fs_rmdir(FS, TU_ROOT, "dir"));
	tu_teardown(&env);
}
END_TEST

START_TEST(a_fault_in_the_pool)
{
	struct fuse_open_out o;

	die_at("fsworker:!job-begun:1", 2);
	ck_ok(fs_opendir(FS, TU_ROOT, O_RDONLY | O_DIRECTORY, &o));
	ck_err(fs_fsyncdir(FS, TU_ROOT, o.fh, 0), EIO);
	ck_assert_uint_eq(count_in_log("FSYNCDIR has ended this process 2 times"), 1);
	ck_ok(fs_fsyncdir(FS, TU_ROOT, o.fh, 0));
	tu_teardown(&env);
}
END_TEST

/* The transport looks at INIT first; then each process of it only at this request. */
START_TEST(a_fault_in_the_transport)
{
	struct fuse_entry_out e;

	ck_assert_int_eq(setenv("VIRTIOFSD_CRASH_AT_1", "transport:!row-filled:2", 1), 0);
	ck_assert_int_eq(setenv("VIRTIOFSD_CRASH_AT_2", "transport:!row-filled:1", 1), 0);
	die_at("fsworker:nowhere:1", 0);
	ck_err(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e), EIO);
	ck_assert_uint_eq(count_in_log("took over after"), 2);
	ck_assert_uint_eq(count_in_log("has ended this process twice"), 1);
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e));
	tu_teardown(&env);
}
END_TEST

/* Who is killed by somebody else has done nothing wrong. */
START_TEST(killed_each_time)
{
	struct fuse_entry_out e;

	die_at("fsworker:made:1", 5);
	ck_ok(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e));
	ck_assert_uint_eq(count_in_log("took over after"), 5);
	ck_err(fs_mkdir(FS, TU_ROOT, "dir", 0755, &e), EEXIST);
	tu_teardown(&env);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("poison");
	TCase *tc = tcase_create("poison");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_fault_each_time);
	tcase_add_test(tc, a_fault_in_the_pool);
	tcase_add_test(tc, a_fault_in_the_transport);
	tcase_add_test(tc, killed_each_time);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
#ifdef CRASH_POINTS
	return tu_main(argc, argv, make_suite);
#else
	(void)argc;
	(void)argv;
	(void)make_suite;
	puts("SKIP: not configured with --enable-crash-points");
	return 77;
#endif
}
